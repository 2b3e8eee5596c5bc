"""Image files to grey levels in TensorFlow operations, as record sets are made of them.

These are `pgan.data.image_files.load` and `pgan.data.pyramid.one_level` once more, for exports that
take files as they are, where this project is not installed. Both give the same grey levels but
for one in some thousand pixels, where the mean of an area is so near to half-way between two levels
that it is rounded either way.

  8 bits           taken as they are; of colours the luminance, alpha is ignored
  PNG of 16 bits   grey: the percentiles 0.5 to 99.5 become black and white; colours: upper 8 bits
  size             made square, then the mean of the area of each pixel, rounded once; for sizes
                   that are no powers of two by way of the next larger one, which record sets have

Only PNG and JPEG are read: TensorFlow has no decoder for DICOM and TIFF.
"""

import tensorflow as tf

from pgan.data import image_files, pyramid

# Files of a request that are prepared at a time; one of 20 million pixels takes 0.8 GB meanwhile.
_AT_ONCE = 2
_HEAD = 32  # bytes of a file that tell what it is
_JPEG_START = b"\xff\xd8\xff"
# Offsets in the head of a PNG file: width, height (4 bytes each), bits, type of colour.
_PNG_SIZE, _PNG_BITS, _PNG_COLOUR, _PNG_GREY = 16, 24, 25, 0
_GREY_VALUES = 2**16  # or 256ths of 256


def prepare(files: tf.Tensor, side: int, geometry: str, window: str = "auto") -> tf.Tensor:
    """Decodes files and brings them to one size.

    Args:
        files: string [N], contents of PNG or JPEG files.
        side: R.
        geometry: One of `pyramid.GEOMETRIES`.
        window: As `image_files.load` has it; windows of DICOM files alone mean "auto" here.

    Returns:
        uint8 [N, R, R, 1]. The operation fails, and says which file and why, if one is of another
        kind, broken, too small or too large, or has 16 bits and one grey value.
    """

    def prepare_one(numbered):
        number, file = numbered
        return _to_side(_decode(number, file, window), side, geometry, number)

    images = tf.map_fn(
        prepare_one,
        (tf.range(tf.size(files)), files),
        fn_output_signature=tf.TensorSpec([side, side], tf.uint8),
        parallel_iterations=_AT_ONCE,
    )
    return images[..., tf.newaxis]


def scale_down(images: tf.Tensor, side: int) -> tf.Tensor:
    """Square images uint8 [N, S, S, 1] at another size, uint8 [N, side, side, 1], S >= side."""

    def scale_one(image):
        return _scaled(tf.cast(image, tf.float32), side)

    spec = tf.TensorSpec([side, side], tf.uint8)
    return tf.map_fn(scale_one, images[..., 0], fn_output_signature=spec)[..., tf.newaxis]


def _to_side(grey, side, geometry, number):
    """Makes float32 [H, W] square and scales it down to uint8 [side, side]."""
    height, width = tf.unstack(tf.shape(grey))
    longer, shorter = tf.maximum(height, width), tf.minimum(height, width)
    enough = (longer if geometry == "pad" else shorter) >= side
    sizes = ("has height and width", tf.shape(grey), f"px, less than the {side} px that are needed")
    grey = _require(grey, enough, number, *sizes)
    if geometry == "pad":
        top, left = (longer - height) // 2, (longer - width) // 2
        grey = tf.pad(grey, [[top, longer - height - top], [left, longer - width - left]])
    elif geometry == "crop":
        top, left = (height - shorter) // 2, (width - shorter) // 2
        grey = grey[top : top + shorter, left : left + shorter]
    return _scaled(grey, side)


def _scaled(grey, side):
    """Scales float32 [H, W] down to uint8 [side, side], as `pyramid.one_level` does."""
    level = pyramid.level_above(side)
    if level != side:
        grey = tf.cond(
            tf.reduce_min(tf.shape(grey)) >= level,
            lambda: tf.cast(_rounded(_box_filter(grey, level)), tf.float32),
            lambda: grey,
        )
    return _rounded(_box_filter(grey, side))


def _rounded(values):
    return tf.cast(tf.round(values), tf.uint8)


def _require(value, condition, number, *message):
    """The value, which cannot be had before a condition was found to hold."""
    check = tf.debugging.Assert(condition, ["image", number, "of the request", *message])
    with tf.control_dependencies([check]):
        return tf.identity(value)


def _decode(number, file, window):
    """float32 [H, W] in [0, 255] of a file."""
    padded = tf.strings.join([tf.strings.substr(file, 0, _HEAD), b"\0" * _HEAD])
    head = tf.io.decode_raw(tf.strings.substr(padded, 0, _HEAD), tf.uint8)
    head = tf.cast(tf.ensure_shape(head, [_HEAD]), tf.int32)
    is_png, is_jpeg = (
        tf.reduce_all(head[: len(start)] == list(start))
        for start in (image_files.PNG_START, _JPEG_START)
    )
    file = _require(
        file, is_png | is_jpeg, number,
        "is neither a PNG nor a JPEG file; tools/build_records.py reads DICOM and TIFF files",
    )  # fmt: skip
    return tf.cond(
        is_png,
        lambda: _decode_png(number, file, head, window),
        lambda: _decode_jpeg(number, file, window),
    )


def _decode_jpeg(number, file, window):
    file = _require_pixels(file, tf.io.extract_jpeg_shape(file)[:2], number)
    return _eight_bits(number, tf.io.decode_jpeg(file, dct_method="INTEGER_ACCURATE"), window)


def _decode_png(number, file, head, window):
    bytes_of_size = tf.reshape(head[_PNG_SIZE : _PNG_SIZE + 8], [2, 4])
    size = tf.reduce_sum(bytes_of_size * [2**24, 2**16, 2**8, 1], axis=1)
    file = _require_pixels(file, size, number)

    def sixteen_bits():
        grey = tf.cast(tf.io.decode_png(file, 1, tf.uint16)[..., 0], tf.float32)
        return _stretch(number, grey, "percentile" if window != "minmax" else window, 1)

    def eight_bits():
        return _eight_bits(number, tf.io.decode_png(file), window)

    deep = (head[_PNG_BITS] == 16) & (head[_PNG_COLOUR] == _PNG_GREY)
    return tf.cond(deep, sixteen_bits, eight_bits)


def _require_pixels(file, size, number):
    # As float: a file may claim anything.
    pixels = tf.reduce_prod(tf.cast(size, tf.float64))
    enough = (pixels > 0) & (pixels <= image_files.LARGEST_PIXELS)
    message = f"is broken or has more than {image_files.LARGEST_PIXELS:,} pixels by its header:"
    return _require(file, enough, number, message, size)


def _eight_bits(number, image, window):
    """float32 [H, W] of uint8 [H, W, C], C of 1 to 4."""
    image = tf.cast(image, tf.float32)
    grey = tf.cond(tf.shape(image)[2] >= 3, lambda: _luminance(image), lambda: image[..., 0])
    # Luminances are no whole numbers.
    return _stretch(number, grey, window, 256) if window in ("percentile", "minmax") else grey


def _luminance(image):
    red, green, blue = (image[..., channel] for channel in range(3))
    mixed = tf.add_n(
        [c * weight for c, weight in zip((red, green, blue), image_files.LUMINANCE, strict=True)]
    )
    # Of equal channels it would be the same up to rounding, and a mean half-way between two levels
    # would no longer be.
    return tf.where(tf.reduce_all((red == green) & (red == blue)), red, mixed)


def _stretch(number, grey, window, parts):
    low, high = _percentiles(grey, parts) if window == "percentile" else _extremes(grey)
    low = _require(low, high > low, number, "has one grey value only")
    scale = tf.cast(255.0 / (high - low), tf.float32)
    return tf.clip_by_value((grey - tf.cast(low, tf.float32)) * scale, 0.0, 255.0)


def _extremes(grey):
    return tuple(tf.cast(f(grey), tf.float64) for f in (tf.reduce_min, tf.reduce_max))


def _percentiles(grey, parts):
    """np.percentile, float64, of values that are rounded to so many parts of a grey value."""
    values = tf.cast(tf.round(tf.reshape(grey, [-1]) * parts), tf.int32)
    # Counting takes a sixtieth of the time of sorting.
    counts = tf.math.bincount(values, minlength=_GREY_VALUES, maxlength=_GREY_VALUES)
    up_to = tf.cumsum(counts)

    def value(rank):
        place = tf.searchsorted(up_to, [tf.cast(rank, tf.int32)], side="right")[0]
        return tf.cast(place, tf.float64) / parts

    found = []
    for percent in image_files.PERCENTILES:
        place = tf.cast(up_to[-1] - 1, tf.float64) * (percent / 100.0)
        below, above = value(tf.floor(place)), value(tf.math.ceil(place))
        found.append(below + (above - below) * (place - tf.floor(place)))
    return tuple(found)


def _box_filter(grey, side):
    """`pyramid.box_filter`: float32 [side, side] of [H, W]."""
    values = tf.cast(grey, tf.float64)
    for _ in range(2):
        source = tf.shape(values)[0]
        size = tf.cast(source, tf.float64)
        edges = tf.concat([tf.range(side, dtype=tf.float64) * (size / side), [size]], axis=0)
        whole = tf.minimum(tf.cast(edges, tf.int32), source - 1)
        part = (edges - tf.cast(whole, tf.float64))[:, tf.newaxis]
        # Sums of all rows up to each edge; differences are sums over output pixels.
        before = tf.gather(tf.cumsum(values, exclusive=True), whole)
        integral = before + part * tf.gather(values, whole)
        values = tf.transpose((integral[1:] - integral[:-1]) * (side / size))
    return tf.cast(values, tf.float32)
