"""Generator and discriminator of the progressive GAN, conditioned on findings, NHWC.

Han et al. 2020 (Sci. Adv. 6, eabb7973, table S5) on top of Karras et al. 2018
(https://arxiv.org/abs/1710.10196). Both networks work at a `level`, log2 of the image size in
pixels: 2 (4x4) up to `NetworkConfig.max_level`. Images are carried at the level's own size and not
at the final one. A level fades in through `alpha`: from the output of the level below (0) to its
own (1).

The variables of all levels exist from the start; those a level does not use receive no gradient
(`active_variables`). Initial values depend on the seed and on the variable's path only.

Under a mixed policy the blocks compute in the 16-bit type. These stay float32: variables, the
statistics named in `pgan.layers`, the generator's RGB outputs and their blending, and the
discriminator's last layer.
"""

import tensorflow as tf

from pgan import config as config_lib
from pgan import layers

MIN_LEVEL = 2


class Generator(tf.keras.Model):
    """Maps latent vectors and findings to images.

    Attributes:
        config: the NetworkConfig.
    """

    def __init__(
        self,
        config: config_lib.NetworkConfig,
        seed: int = 0,
        dtype: str = "float32",
        fused_scaling: bool = True,
    ):
        """Creates the variables of every level.

        Args:
            config: widths, sizes and findings.
            seed: in [0, 2**32), decides the initial weights.
            dtype: Keras dtype policy of the blocks, "float32", "mixed_bfloat16" or
                "mixed_float16".
            fused_scaling: whether resampling and convolution are one operation; the variables
                and, up to rounding, the images are the same.
        """
        super().__init__(name="generator", dtype=dtype, autocast=False)
        self.config = config
        seed = layers.fold_seed(seed, "generator/")
        width = config.feature_maps(4)
        # Lists are indexed by level - MIN_LEVEL.
        self.blocks = [_GeneratorInput(width, seed, name="block_4", dtype=dtype)]
        _build(self.blocks[0], [None, config.latent_size + config.num_labels])
        self.to_rgb = []
        for level in range(MIN_LEVEL, config.max_level + 1):
            size = 2**level
            if level > MIN_LEVEL:
                block = _GeneratorBlock(
                    config.feature_maps(size),
                    seed,
                    fused_scaling,
                    name=f"block_{size}",
                    dtype=dtype,
                )
                _build(block, [None, size // 2, size // 2, config.feature_maps(size // 2)])
                self.blocks.append(block)
            name = f"to_rgb_{size}"
            to_rgb = layers.EqualizedConv2D(
                config.channels,
                kernel_size=1,
                gain=1.0,
                seed=layers.fold_seed(seed, name),
                name=name,
                dtype="float32",
            )
            _build(to_rgb, [None, size, size, config.feature_maps(size)])
            self.to_rgb.append(to_rgb)
        self.built = True

    def call(
        self,
        latents: tf.Tensor,
        labels: tf.Tensor,
        level: int | None = None,
        alpha: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Draws images.

        Args:
            latents: float32 [N, latent_size], standard normal.
            labels: float32 [N, num_labels] in [0, 1], in the order of `config.findings`.
            level: log2 of the image size (Python int); default the highest.
            alpha: None for a stable level, which uses its own RGB output only, or the scalar in
                [0, 1] by which the level has faded in.

        Returns:
            float32 [N, 2**level, 2**level, channels], linear; trained towards [-1, 1].

        Raises:
            ValueError: for a level out of range, a fade at the lowest level, or inputs of another
                width.
        """
        level = _check_level(self.config, level, fading=alpha is not None)
        latents = _check_width("latents", latents, self.config.latent_size)
        labels = _check_width("labels", labels, self.config.num_labels)
        x = tf.concat([latents, labels], axis=-1)
        if self.config.normalize_latents:
            # Over latents and labels together, as in the original: labels are rescaled as well.
            x = layers.pixel_norm(x)
        below = None
        for block in self.blocks[: level - MIN_LEVEL + 1]:
            below, x = x, block(x)
        images = self.to_rgb[level - MIN_LEVEL](x)
        if alpha is None:
            return images
        old = layers.upscale(self.to_rgb[level - 1 - MIN_LEVEL](below))
        return layers.lerp(old, images, alpha)

    def active_variables(self, level: int, fading: bool) -> list[tf.Variable]:
        """Variables in use at a level, from the input to the output, in a fixed order.

        Raises:
            ValueError: for a level out of range or a fade at the lowest level.
        """
        level = _check_level(self.config, level, fading)
        outputs = self.to_rgb[level - MIN_LEVEL - fading : level - MIN_LEVEL + 1]
        return _variables([*self.blocks[: level - MIN_LEVEL + 1], *outputs])


class Discriminator(tf.keras.Model):
    """Scores images as real and recognises their findings; `config` is its NetworkConfig."""

    def __init__(
        self,
        config: config_lib.NetworkConfig,
        seed: int = 0,
        dtype: str = "float32",
        fused_scaling: bool = True,
    ):
        """Creates the variables of every level; arguments as for `Generator`."""
        super().__init__(name="discriminator", dtype=dtype, autocast=False)
        self.config = config
        seed = layers.fold_seed(seed, "discriminator/")
        # Lists are indexed by level - MIN_LEVEL.
        self.blocks = [_DiscriminatorOutput(config, seed, name="block_4", dtype=dtype)]
        _build(self.blocks[0], [None, 4, 4, config.feature_maps(4)])
        self.from_rgb = []
        for level in range(MIN_LEVEL, config.max_level + 1):
            size = 2**level
            width = config.feature_maps(size)
            if level > MIN_LEVEL:
                below = config.feature_maps(size // 2)
                block = _DiscriminatorBlock(
                    width, below, seed, fused_scaling, name=f"block_{size}", dtype=dtype
                )
                _build(block, [None, size, size, width])
                self.blocks.append(block)
            name = f"from_rgb_{size}"
            from_rgb = layers.EqualizedConv2D(
                width, kernel_size=1, seed=layers.fold_seed(seed, name), name=name, dtype=dtype
            )
            _build(from_rgb, [None, size, size, config.channels])
            self.from_rgb.append(from_rgb)
        self.built = True

    def call(
        self, images: tf.Tensor, level: int | None = None, alpha: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Judges images.

        Args:
            images: float32 [N, 2**level, 2**level, channels] in about [-1, 1]. N is static and a
                multiple of min(N, config.stddev_group).
            level: log2 of the image size (Python int); default the highest.
            alpha: None for a stable level, or the scalar in [0, 1] by which it has faded in.

        Returns:
            scores: float32 [N], unbounded, higher for what looks real.
            logits: float32 [N, num_labels], log odds of each finding.

        Raises:
            ValueError: for a level out of range, a fade at the lowest level, images of another
                size, or a batch that the groups do not divide.
        """
        level = _check_level(self.config, level, fading=alpha is not None)
        images = tf.convert_to_tensor(images)
        wanted = (2**level, 2**level, self.config.channels)
        if tuple(images.shape[1:]) != wanted:
            raise ValueError(
                f"Level {level} takes images of (height, width, channels) = {wanted}, got "
                f"{tuple(images.shape[1:])}."
            )
        x = self._from_rgb(images, level)
        if alpha is not None:
            x = self.blocks[level - MIN_LEVEL](x)
            x = layers.lerp(self._from_rgb(layers.downscale(images), level - 1), x, alpha)
            level -= 1
        for block in reversed(self.blocks[: level - MIN_LEVEL + 1]):
            x = block(x)
        return x[:, 0], x[:, 1:]

    def active_variables(self, level: int, fading: bool) -> list[tf.Variable]:
        """Variables in use at a level, in a fixed order.

        Raises:
            ValueError: for a level out of range or a fade at the lowest level.
        """
        level = _check_level(self.config, level, fading)
        inputs = self.from_rgb[level - MIN_LEVEL - fading : level - MIN_LEVEL + 1]
        return _variables([*self.blocks[: level - MIN_LEVEL + 1], *inputs])

    def _from_rgb(self, images, level):
        return layers.leaky_relu(self.from_rgb[level - MIN_LEVEL](images))


class _GeneratorInput(tf.keras.layers.Layer):
    """Condition [N, K] to features [N, 4, 4, width]."""

    def __init__(self, width, seed, **kwargs):
        super().__init__(**kwargs)
        seed = layers.fold_seed(seed, f"{self.name}/")
        dtype = self.dtype_policy
        self.dense = layers.EqualizedDense(
            (4, 4, width),
            gain=2**0.5 / 4,  # The original's own choice, to match Theano's scale.
            seed=layers.fold_seed(seed, "dense"),
            name="dense",
            dtype=dtype,
        )
        self.conv = _conv(width, seed, "conv", dtype)

    def build(self, input_shape):
        _build(self.dense, input_shape)
        _build(self.conv, [None, *self.dense.target_shape])
        super().build(input_shape)

    def call(self, inputs):
        x = _activate_and_normalize(self.dense(inputs))
        return _activate_and_normalize(self.conv(x))


class _GeneratorBlock(tf.keras.layers.Layer):
    """Features [N, H, W, C] to [N, 2H, 2W, width]."""

    def __init__(self, width, seed, fused_scaling, **kwargs):
        super().__init__(**kwargs)
        seed = layers.fold_seed(seed, f"{self.name}/")
        dtype = self.dtype_policy
        scaling = {"resample": "up", "fused_scaling": fused_scaling}
        self.conv0 = _conv(width, seed, "conv0", dtype, **scaling)
        self.conv1 = _conv(width, seed, "conv1", dtype)

    def build(self, input_shape):
        _, height, width, _ = input_shape
        _build(self.conv0, input_shape)
        _build(self.conv1, [None, 2 * height, 2 * width, self.conv0.filters])
        super().build(input_shape)

    def call(self, inputs):
        x = _activate_and_normalize(self.conv0(inputs))
        return _activate_and_normalize(self.conv1(x))


class _DiscriminatorBlock(tf.keras.layers.Layer):
    """Features [N, H, W, C] to [N, H/2, W/2, width]."""

    def __init__(self, width_in, width, seed, fused_scaling, **kwargs):
        super().__init__(**kwargs)
        seed = layers.fold_seed(seed, f"{self.name}/")
        self.conv0 = _conv(width_in, seed, "conv0", self.dtype_policy)
        # The mean comes before bias and activation. The original's fused convolution, which the
        # paper trained with from 8x8 up, computes that; its unfused branch has them before the
        # mean and is another function.
        scaling = {"resample": "down", "fused_scaling": fused_scaling}
        self.conv1 = _conv(width, seed, "conv1", self.dtype_policy, **scaling)

    def build(self, input_shape):
        _build(self.conv0, input_shape)
        _build(self.conv1, input_shape)
        super().build(input_shape)

    def call(self, inputs):
        x = layers.leaky_relu(self.conv0(inputs))
        return layers.leaky_relu(self.conv1(x))


class _DiscriminatorOutput(tf.keras.layers.Layer):
    """Features [N, 4, 4, C] to float32 [N, 1 + labels]: score, then logits."""

    def __init__(self, config, seed, **kwargs):
        super().__init__(**kwargs)
        seed = layers.fold_seed(seed, f"{self.name}/")
        dtype = self.dtype_policy
        self.stddev = layers.MinibatchStddev(config.stddev_group, name="stddev", dtype=dtype)
        self.conv = _conv(config.feature_maps(4), seed, "conv", dtype)
        self.dense0 = layers.EqualizedDense(
            (config.hidden_width,),
            seed=layers.fold_seed(seed, "dense0"),
            name="dense0",
            dtype=dtype,
        )
        self.dense1 = layers.EqualizedDense(
            (1 + config.num_labels,),
            gain=1.0,
            seed=layers.fold_seed(seed, "dense1"),
            name="dense1",
            dtype="float32",
        )

    def build(self, input_shape):
        _, height, width, channels = input_shape
        _build(self.conv, [None, height, width, channels + 1])
        _build(self.dense0, [None, height * width * self.conv.filters])
        _build(self.dense1, [None, *self.dense0.target_shape])
        super().build(input_shape)

    def call(self, inputs):
        x = layers.leaky_relu(self.conv(self.stddev(inputs)))
        x = tf.reshape(x, [x.shape[0], x.shape[1] * x.shape[2] * x.shape[3]])
        x = layers.leaky_relu(self.dense0(x))
        return self.dense1(x)


def _conv(width, seed, name, dtype, **scaling):
    return layers.EqualizedConv2D(
        width,
        kernel_size=3,
        seed=layers.fold_seed(seed, name),
        name=name,
        dtype=dtype,
        **scaling,
    )


def _activate_and_normalize(x):
    return layers.pixel_norm(layers.leaky_relu(x))


def _build(layer, input_shape):
    """Builds a layer under its own name, which Keras does only in the first call."""
    with tf.name_scope(layer.name):
        layer.build(input_shape)


def _variables(parts):
    return [variable for part in parts for variable in part.trainable_variables]


def _check_level(config, level, fading):
    if level is None:
        level = config.max_level
    if not MIN_LEVEL <= level <= config.max_level:
        raise ValueError(
            f"level must be from {MIN_LEVEL} to {config.max_level} (log2 of the image size), got "
            f"{level}."
        )
    if fading and level == MIN_LEVEL:
        raise ValueError("The lowest level, 4x4, has nothing to fade in from; pass alpha=None.")
    return level


def _check_width(name, x, width):
    x = tf.convert_to_tensor(x, tf.float32)
    if x.shape.rank != 2 or x.shape[1] != width:
        raise ValueError(f"{name} must have shape [N, {width}], got {x.shape}.")
    return x
