"""From the stored values of a DICOM image to grey values, by the rules of the standard.

The order is that of PS3.4 N.2: modality transformation, then value of interest (VOI), then
presentation. All three map one value to another, so they are worked out once for each of the 2^8
or 2^16 words that a pixel can hold, and an image is rendered by looking its words up.
"""

import numpy as np

from pgan.data.dicom_header import number, text
from pgan.data.radiograph import Pixels

# Which values become black to white.
#   auto        what the file asks for: its VOI LUT, or else its window. Without either, images of
#               up to 8 bits keep their range, and of others the percentiles are taken.
#   voi_lut     the first VOI look-up table of the file
#   window      the first window centre and width of the file
#   percentile  PERCENTILES of the image's pixels
#   minmax      the extremes of the image, which the paper takes. One bright marker changes all
#               other grey values, and what was calibrated in the exposure is lost.
WINDOWS = ("auto", "voi_lut", "window", "percentile", "minmax")
PERCENTILES = (0.5, 99.5)

# What `render` and `check` read.
TAGS = (
    "BitsStored",
    "ModalityLUTSequence",
    "PhotometricInterpretation",
    "PixelPaddingRangeLimit",
    "PixelPaddingValue",
    "PixelRepresentation",
    "PresentationLUTShape",
    "RescaleIntercept",
    "RescaleSlope",
    "VOILUTFunction",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
)

_ROWS_AT_ONCE = 64  # so that the look-up's indices, 8 bytes each, stay in the cache


def check(dataset, window: str) -> None:
    """Raises what `render` would raise for this header, as far as that needs no pixels.

    Messages are predicates, to be put after the name of the file.

    Raises:
      ValueError: unknown window, one that the file does not have, or one that is no valid table or
        function.
    """
    bits = int(number(dataset, "BitsStored"))
    ends = np.array([0, 2**bits - 1])
    values, _ = _modality(ends, dataset)
    name = _choose(dataset, window)
    if name == "voi_lut":
        _voi_lut(values, dataset)
    elif name == "window":
        _window(values, dataset)


def render(words: np.ndarray, dataset, window: str = "auto") -> Pixels:
    """Grey values of an image.

    Args:
      words: uint8 or uint16 [H, W], pixels as the file holds them: bits above BitsStored are not
        looked at, and the highest stored bit is the sign where Pixel Representation says so.
      dataset: pydicom's, with at least those of TAGS that the file has.
      window: one of WINDOWS.

    Returns:
      float32 [H, W] in [0, 255] in the sense of MONOCHROME2, low values black, and a text of what
      was applied. Pixel padding is black and does not count for percentile and minmax.

    Raises:
      ValueError: as `check`, or the image has one grey value only where it is to be stretched.
    """
    allocated = 8 * words.dtype.itemsize
    bits = int(number(dataset, "BitsStored"))
    signed = number(dataset, "PixelRepresentation", 0) == 1
    every_word = np.arange(2**allocated)
    stored = _signed(every_word % 2**bits, bits) if signed else every_word % 2**bits
    padding, padding_text = _padding(every_word, stored, signed, dataset)
    values, modality_text = _modality(stored, dataset)

    name = _choose(dataset, window)
    if name == "voi_lut":
        grey, voi_text = _voi_lut(values, dataset)
    elif name == "window":
        grey, voi_text = _window(values, dataset)
    elif name == "stored":
        grey, voi_text = _stretch(values, values.min(), values.max(), "stored range")
    else:
        counts = np.bincount(words.ravel(), minlength=len(every_word))
        counts[padding] = 0
        shares = PERCENTILES if name == "percentile" else (0, 100)
        label = f"percentile {shares[0]}-{shares[1]}" if name == "percentile" else "minmax"
        grey, voi_text = _stretch(values, *_quantiles(values, counts, shares), label)

    inversion_text = _inversion(dataset)
    if inversion_text:
        grey = 255 - grey
    grey[padding] = 0
    parts = (inversion_text, modality_text, voi_text, padding_text, f"{bits} of {allocated} bits")
    return Pixels(_look_up(grey.astype(np.float32), words), "; ".join(filter(None, parts)))


def _look_up(table: np.ndarray, words: np.ndarray) -> np.ndarray:
    image = np.empty(words.shape, np.float32)
    for top in range(0, len(words), _ROWS_AT_ONCE):
        rows = slice(top, top + _ROWS_AT_ONCE)
        np.take(table, words[rows], out=image[rows], mode="clip")
    return image


def _signed(values: np.ndarray, bits: int) -> np.ndarray:
    """Two's complement of that many bits."""
    return values - (values >= 2 ** (bits - 1)) * 2**bits


def _padding(every_word, stored, signed, dataset) -> tuple[np.ndarray, str]:
    """Which words are no part of the image (PS3.3 C.7.5.1.1.2).

    Writers differ: some give a value of the stored bits, some one that uses all bits of a word,
    such as 65535 beside 12-bit pixels, and some write negative values as unsigned.
    """
    value = number(dataset, "PixelPaddingValue")
    if value is None:
        return np.zeros(len(every_word), bool), ""
    limit = number(dataset, "PixelPaddingRangeLimit", value)
    whole = _signed(every_word, len(every_word).bit_length() - 1) if signed else every_word
    low, high = sorted(int(whole[int(end) % len(every_word)]) for end in (value, limit))
    padding = ((stored >= low) & (stored <= high)) | ((whole >= low) & (whole <= high))
    return padding, f"padding {low}" if low == high else f"padding {low} to {high}"


def _modality(stored: np.ndarray, dataset) -> tuple[np.ndarray, str]:
    """Values of the modality, by its table or by rescaling (PS3.3 C.11.1)."""
    if dataset.get("ModalityLUTSequence"):
        name = "Modality LUT Sequence"
        values, _, applied = _table(dataset, dataset.ModalityLUTSequence[0], stored, name)
        return values.astype(float), applied
    if number(dataset, "RescaleSlope") is None and number(dataset, "RescaleIntercept") is None:
        return stored.astype(float), ""
    slope = number(dataset, "RescaleSlope", 1)
    intercept = number(dataset, "RescaleIntercept", 0)
    if slope == 0:
        raise ValueError("has the Rescale Slope 0, which leaves no image; fetch the file again.")
    return slope * stored + intercept, f"rescale {slope:g} {intercept:g}"


def _choose(dataset, window: str) -> str:
    if window not in WINDOWS:
        raise ValueError(f"cannot have the window {window!r}; use one of {', '.join(WINDOWS)}.")
    has_window = None not in (number(dataset, "WindowCenter"), number(dataset, "WindowWidth"))
    has = {"voi_lut": bool(dataset.get("VOILUTSequence")), "window": has_window}
    if window == "auto":
        small = number(dataset, "BitsStored") <= 8
        return next((name for name in has if has[name]), "stored" if small else "percentile")
    if not has.get(window, True):
        missing = {"voi_lut": "VOI LUT Sequence", "window": "Window Center and Window Width"}
        raise ValueError(f"has no {missing[window]}; use --window=auto, percentile or minmax.")
    return window


def _voi_lut(values: np.ndarray, dataset) -> tuple[np.ndarray, str]:
    name = "VOI LUT Sequence"
    output, bits, applied = _table(dataset, dataset.VOILUTSequence[0], np.rint(values), name)
    return output * (255 / (2**bits - 1)), applied


def _table(dataset, item, inputs: np.ndarray, name: str) -> tuple[np.ndarray, int, str]:
    """Looks values up in an item of a LUT sequence (PS3.3 C.11.1.1 and C.11.2.1.1).

    Returns:
      Output values, the number of bits that they are of, and a text.
    """
    descriptor = item.get("LUTDescriptor")
    data = item.get("LUTData")
    if data is None or not hasattr(descriptor, "__len__") or len(descriptor) != 3:
        raise ValueError(f"has a {name} without a descriptor or data; use another --window.")
    count, first, bits = (int(value) for value in descriptor)
    count = count % 2**16 or 2**16
    if first >= 2**15 and inputs.min() < 0:  # a negative one, written as unsigned
        first -= 2**16
    if isinstance(data, bytes):
        order = "<" if dataset.original_encoding[1] else ">"
        in_bytes = bits == 8 and len(data) < 2 * count
        data = np.frombuffer(data[: len(data) // 2 * 2], "u1" if in_bytes else f"{order}u2")
    else:
        data = np.atleast_1d(np.asarray(data, np.int64)) % 2**16
        if bits == 8 and len(data) < count:  # two entries in a word, the lower byte first
            data = data.astype("<u2").view("u1")
    if not 8 <= bits <= 16 or len(data) < count or data[:count].max() >= 2**bits:
        raise ValueError(
            f"has a {name} of {len(data)} entries where its descriptor says {count} of {bits} "
            f"bits; use another --window."
        )
    places = np.clip(inputs - first, 0, count - 1).astype(np.intp)
    applied = f"{name.removesuffix(' Sequence')} {count} entries from {first}, {bits} bits"
    return data[places].astype(float), bits, applied


def _window(values: np.ndarray, dataset) -> tuple[np.ndarray, str]:
    """The functions of PS3.3 C.11.2.1.2 and C.11.2.1.3, with the output range [0, 255]."""
    center, width = number(dataset, "WindowCenter"), number(dataset, "WindowWidth")
    function = text(dataset, "VOILUTFunction").upper() or "LINEAR"
    applied = f"window {function.lower().replace('_', ' ')} {center:g} {width:g}"
    smallest = "1 or more" if function == "LINEAR" else "more than 0"
    if width < 1 if function == "LINEAR" else width <= 0:
        raise ValueError(
            f"has the Window Width {width:g} where {smallest} is needed; use --window=percentile."
        )
    if function == "SIGMOID":
        # Beyond +-60 the function is flat to the last bit of a float; exp would overflow.
        return 255 / (1 + np.exp(np.clip(-4 * (values - center) / width, -60, 60))), applied
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    elif function != "LINEAR_EXACT":
        raise ValueError(
            "has a VOI LUT Function other than LINEAR, LINEAR_EXACT and SIGMOID; use "
            "--window=percentile."
        )
    if width == 0:
        return np.where(values > center, 255.0, 0.0), applied
    return np.clip(((values - center) / width + 0.5) * 255, 0, 255), applied


def _quantiles(values: np.ndarray, counts: np.ndarray, shares: tuple) -> tuple:
    """Smallest values that so many per cent of the pixels do not exceed, by the nearest rank."""
    order = np.argsort(values, kind="stable")
    upto = np.cumsum(counts[order])
    if not upto[-1]:
        raise ValueError("consists of pixel padding only; leave it out.")
    ranks = [max(1, np.ceil(share / 100 * upto[-1])) for share in shares]
    return tuple(values[order][np.searchsorted(upto, ranks)])


def _stretch(values, low: float, high: float, label: str) -> tuple[np.ndarray, str]:
    if not low < high:
        raise ValueError(
            f"has one grey value, {low:g}, where {label} needs a range; leave it out or "
            f"use another --window."
        )
    grey = np.clip((values - low) * (255 / (high - low)), 0, 255)
    return grey, f"{label} = {low:g}-{high:g}"


def _inversion(dataset) -> str:
    """What turns the image over, "" if nothing.

    MONOCHROME1 and a Presentation LUT Shape of INVERSE are two ways to say one thing: the standard
    (PS3.3 C.8.11.3) asks for INVERSE in images that are MONOCHROME1, so both invert only once.
    """
    if text(dataset, "PhotometricInterpretation") == "MONOCHROME1":
        return "MONOCHROME1 inverted"
    if text(dataset, "PresentationLUTShape").upper() == "INVERSE":
        return "presentation LUT inverted"
    return ""
