"""The generator as TensorFlow Serving runs it: one final stage and four signatures.

serving_default  latents float32 [N, Z], labels float32 [N, L] -> images uint8 [N, R, R, 1]
float_images     the same inputs                               -> images float32, about [-1, 1]
from_seeds       seeds int64 [N], indices int64 [N], labels    -> images uint8 [N, R, R, 1]
png_from_seeds   the same inputs                               -> image_bytes string [N]

N is any number. Image n of `from_seeds` depends on seeds[n], indices[n] and labels[n] alone. On a
CPU it is the same to the bit at any batch size; on a GPU, whose libraries choose their algorithm
by batch size, up to rounding.
"""

from collections.abc import Mapping

import tensorflow as tf

from pgan import kernel_sharing, layers, networks, synthetic_mark

# Signatures and their inputs.
SIGNATURES = {
    "serving_default": ("latents", "labels"),
    "float_images": ("latents", "labels"),
    "from_seeds": ("seeds", "indices", "labels"),
    "png_from_seeds": ("seeds", "indices", "labels"),
}

# Rows that the first block computes at once. The kernels of matrix products and of reductions over
# N rows depend on N, those of the convolutions after it do not (bit-identical where measured).
_ROWS = 16
# zlib level; 6 takes three times as long for 10 % smaller files.
_PNG_COMPRESSION = 3


def latents_of(seeds: tf.Tensor, indices: tf.Tensor, latent_size: int) -> tf.Tensor:
    """Draws a latent vector for every (seed, index).

    Args:
        seeds: int64 [N].
        indices: int64 [N].
        latent_size: Entries of a vector.

    Returns:
        float32 [N, latent_size], standard normal; row n is a function of seeds[n] and indices[n].
    """

    def draw(key):
        # The algorithm is named because the default one depends on the device.
        return tf.random.stateless_normal([latent_size], key, alg="philox")

    keys = tf.stack([seeds, indices], axis=1)
    return tf.map_fn(draw, keys, fn_output_signature=tf.TensorSpec([latent_size], tf.float32))


def to_uint8(images: tf.Tensor) -> tf.Tensor:
    """Converts images in [-1, 1] to grey levels, rounded and clipped, as `plots.to_uint8`."""
    return tf.cast(tf.clip_by_value(tf.round((images + 1.0) * 127.5), 0.0, 255.0), tf.uint8)


def build(
    generator: networks.Generator, level: int, alpha: float | None, marks: Mapping[str, str]
) -> tuple[tf.Module, dict[str, tf.types.experimental.GenericFunction]]:
    """Builds the object to save, which holds the weights of one stage and no others.

    Kernels are held as the layers multiply with them, scaled and folded, so that no request pays
    for that.

    Args:
        generator: A float32 generator.
        level: log2 of the image size.
        alpha: None for a stable stage, or the weight of its resolution in [0, 1], which becomes
            part of the graph.
        marks: Texts of every PNG.

    Returns:
        The module and its signatures by name.
    """
    config = generator.config
    # The functions close over the generator. Held by the module, it would be saved as a whole.
    module = tf.Module(name="generator")
    fading = alpha is not None
    shared = kernel_sharing.SharedKernels(generator, level, fading)
    kernels = {
        ref: tf.Variable(kernel, trainable=False) for ref, kernel in shared.by_kernel.items()
    }
    module.weights = [kernels.get(v.ref(), v) for v in generator.active_variables(level, fading)]
    chunks = synthetic_mark.png_chunks(marks)

    def draw(latents, labels):
        with layers.sharing(kernels):
            return _draw(generator, level, alpha, latents, labels)

    def draw_seeds(seeds, indices, labels):
        return to_uint8(draw(latents_of(seeds, indices, config.latent_size), labels))

    labels = tf.TensorSpec([None, config.num_labels], tf.float32, name="labels")
    latents = tf.TensorSpec([None, config.latent_size], tf.float32, name="latents")
    by_latent = [latents, labels]
    by_seed = [
        tf.TensorSpec([None], tf.int64, name="seeds"),
        tf.TensorSpec([None], tf.int64, name="indices"),
        labels,
    ]

    @tf.function(input_signature=by_latent)
    def serving_default(latents, labels):
        return {"images": to_uint8(draw(latents, labels))}

    @tf.function(input_signature=by_latent)
    def float_images(latents, labels):
        return {"images": draw(latents, labels)}

    @tf.function(input_signature=by_seed)
    def from_seeds(seeds, indices, labels):
        return {"images": draw_seeds(seeds, indices, labels)}

    @tf.function(input_signature=by_seed)
    def png_from_seeds(seeds, indices, labels):
        png = tf.io.encode_png(draw_seeds(seeds, indices, labels), _PNG_COMPRESSION)
        header = synthetic_mark.PNG_HEADER_BYTES
        head, tail = tf.strings.substr(png, 0, header), tf.strings.substr(png, header, 2**31 - 1)
        return {"image_bytes": tf.strings.join([head, tf.constant(chunks), tail])}

    functions = (serving_default, float_images, from_seeds, png_from_seeds)
    return module, dict(zip(SIGNATURES, functions, strict=True))


def _draw(generator, level, alpha, latents, labels):
    """`Generator.call`, its first block on a fixed number of rows."""
    config = generator.config
    first, *others = generator.blocks[: level - networks.MIN_LEVEL + 1]

    def draw_rows(x):
        return first(layers.pixel_norm(x) if config.normalize_latents else x)

    x = tf.concat([latents, labels], axis=-1)
    count, width = tf.shape(x)[0], config.feature_maps(4)
    x = tf.pad(x, [[0, -count % _ROWS], [0, 0]])
    x = tf.reshape(x, [-1, _ROWS, config.latent_size + config.num_labels])
    rows = tf.TensorSpec([_ROWS, 4, 4, width], first.compute_dtype)
    x = tf.reshape(tf.map_fn(draw_rows, x, fn_output_signature=rows), [-1, 4, 4, width])[:count]
    below = None
    for block in others:
        below, x = x, block(x)
    images = generator.to_rgb[level - networks.MIN_LEVEL](x)
    if alpha is None:
        return images
    old = layers.upscale(generator.to_rgb[level - 1 - networks.MIN_LEVEL](below))
    return layers.lerp(old, images, alpha)
