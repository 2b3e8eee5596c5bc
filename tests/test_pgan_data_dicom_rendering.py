import numpy as np
import pydicom
import pytest
import tiny_dicoms
from pydicom.pixels import processing

from pgan.data import dicom, dicom_rendering


def _render(words, window="auto", **tags):
    """Grey values and text of words of 16 bits, or of 8 if they are uint8."""
    words = np.atleast_2d(words)
    words = words if words.dtype == np.uint8 else words.astype(np.uint16)
    return dicom_rendering.render(words, tiny_dicoms.dataset(words, **tags), window)


# By the formulas of PS3.3 C.11.2.1.2 and C.11.2.1.3 with the output range 0 to 255.
@pytest.mark.parametrize(
    "tags, words, expected, text",
    [
        (
            {"WindowCenter": 3, "WindowWidth": 4},
            [0, 1, 2, 3, 4, 5],
            [0, 0, 85, 170, 255, 255],
            "window linear 3 4; 16 of 16 bits",
        ),
        (
            {"WindowCenter": 3, "WindowWidth": 4, "VOILUTFunction": "LINEAR_EXACT"},
            [0, 1, 2, 3, 4, 5, 6],
            [0, 0, 63.75, 127.5, 191.25, 255, 255],
            "window linear exact 3 4; 16 of 16 bits",
        ),
        (
            {"WindowCenter": 3, "WindowWidth": 4, "VOILUTFunction": "SIGMOID"},
            [1, 3, 5, 65535],
            [30.396744, 127.5, 224.603256, 255],
            "window sigmoid 3 4; 16 of 16 bits",
        ),
        (
            {"WindowCenter": 3, "WindowWidth": 1},
            [2, 3],
            [0, 255],
            "window linear 3 1; 16 of 16 bits",
        ),
        (
            {"WindowCenter": [3, 50], "WindowWidth": [4, 90]},
            [1, 2, 3],
            [0, 85, 170],
            "window linear 3 4; 16 of 16 bits",
        ),
        (
            {"WindowCenter": 3, "WindowWidth": 4, "RescaleSlope": 0.5, "RescaleIntercept": -1},
            [4, 6, 8],
            [0, 85, 170],
            "rescale 0.5 -1; window linear 3 4; 16 of 16 bits",
        ),
        (
            {"WindowCenter": 3, "WindowWidth": 4, "PhotometricInterpretation": "MONOCHROME1"},
            [1, 2, 3, 4],
            [255, 170, 85, 0],
            "MONOCHROME1 inverted; window linear 3 4; 16 of 16 bits",
        ),
        (
            {"WindowCenter": 3, "WindowWidth": 4, "PresentationLUTShape": "INVERSE"},
            [1, 2, 3, 4],
            [255, 170, 85, 0],
            "presentation LUT inverted; window linear 3 4; 16 of 16 bits",
        ),
        (  # two ways to say one thing: one inversion
            {
                "WindowCenter": 3,
                "WindowWidth": 4,
                "PhotometricInterpretation": "MONOCHROME1",
                "PresentationLUTShape": "INVERSE",
            },
            [1, 2],
            [255, 170],
            "MONOCHROME1 inverted; window linear 3 4; 16 of 16 bits",
        ),
        (
            {"VOILUTSequence": [tiny_dicoms.table([0, 819, 4095], 2, 12)]},
            [0, 2, 3, 4, 60000],
            [0, 0, 51, 255, 255],
            "VOI LUT 3 entries from 2, 12 bits; 16 of 16 bits",
        ),
        (
            {"VOILUTSequence": [tiny_dicoms.table([0, 51, 255], 0, 8)]},
            [0, 1, 2],
            [0, 51, 255],
            "VOI LUT 3 entries from 0, 8 bits; 16 of 16 bits",
        ),
        (  # modality values -1, 0 and 1 before the table
            {
                "VOILUTSequence": [tiny_dicoms.table([255, 51, 0], -1, 8)],
                "RescaleSlope": 1,
                "RescaleIntercept": -1,
            },
            [0, 1, 2],
            [255, 51, 0],
            "rescale 1 -1; VOI LUT 3 entries from -1, 8 bits; 16 of 16 bits",
        ),
        (
            {
                "ModalityLUTSequence": [tiny_dicoms.table([1, 2, 3, 4], 100, 16)],
                "WindowCenter": 3,
                "WindowWidth": 4,
            },
            [0, 101, 102, 103],
            [0, 85, 170, 255],
            "Modality LUT 4 entries from 100, 16 bits; window linear 3 4; 16 of 16 bits",
        ),
        (  # a file may offer both: its table comes first, unless the window is asked for
            {
                "VOILUTSequence": [tiny_dicoms.table([0, 51, 255], 0, 8)],
                "WindowCenter": 3,
                "WindowWidth": 4,
            },
            [0, 1, 2],
            [0, 51, 255],
            "VOI LUT 3 entries from 0, 8 bits; 16 of 16 bits",
        ),
    ],
)
def test_values_by_hand(tags, words, expected, text):
    pixels = _render(words, **tags)
    np.testing.assert_allclose(pixels.image, [expected], atol=1e-4)
    assert pixels.image.dtype == np.float32
    assert pixels.rendering == text


def test_a_window_can_be_chosen_where_a_table_is_there_too():
    tags = {"VOILUTSequence": [tiny_dicoms.table([0, 51, 255], 0, 8)]}
    tags |= {"WindowCenter": 3, "WindowWidth": 4}
    np.testing.assert_allclose(_render([1, 2, 3], "window", **tags).image, [[0, 85, 170]])
    np.testing.assert_allclose(_render([0, 1, 2], "voi_lut", **tags).image, [[0, 51, 255]])


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID", "table"])
@pytest.mark.parametrize("rescale", [None, (1, 0), (2, -1000), (0.25, 7)])
@pytest.mark.parametrize("signed", [False, True])
def test_agrees_with_pydicom(function, rescale, signed):
    """pydicom's own functions work on the pixels, in float64 and by masks."""
    rng = np.random.default_rng(3)
    words = rng.integers(-2048 if signed else 0, 2048 if signed else 4096, (20, 30))
    words = words.astype(np.int16 if signed else np.uint16)
    tags = {"BitsStored": 12, "WindowCenter": 900.5, "WindowWidth": 1500}
    if rescale:
        tags |= {"RescaleSlope": rescale[0], "RescaleIntercept": rescale[1]}
    if function == "table":
        entries = np.sort(rng.integers(0, 1024, 500))
        tags |= {"VOILUTSequence": [tiny_dicoms.table(entries.tolist(), -100, 10)]}
    else:
        tags |= {"VOILUTFunction": function}
    made = tiny_dicoms.dataset(words, **tags)
    values = processing.apply_modality_lut(words, made)
    if function == "table":
        values = np.rint(values).astype(int)
        expected = processing.apply_voi_lut(values, made) * (255 / 1023)
    else:
        slope, intercept = rescale or (1, 0)
        low, high = (np.array([-2048, 2047]) if signed else np.array([0, 4095])) * slope + intercept
        expected = (processing.apply_windowing(values, made) - low) * (255 / (high - low))
    image = dicom_rendering.render(words.view(np.uint16), made).image
    np.testing.assert_allclose(image, expected, atol=1e-3)


@pytest.mark.parametrize("length", [4, 5])
def test_entries_of_a_byte_may_share_words(length):
    """Tables of 8 bits come as one entry a word, or as two; as bytes, or as numbers."""
    entries = np.arange(length, dtype=np.uint8) * 50
    padded = np.append(entries, np.zeros(length % 2, np.uint8))
    for vr, data in [
        ("OW", entries.astype("<u2").tobytes()),
        ("OW", padded.tobytes()),
        ("US", entries.tolist()),
        ("US", padded.view("<u2").tolist()),
    ]:
        item = pydicom.Dataset()
        item.add_new("LUTDescriptor", "US", [length, 0, 8])
        item.add_new("LUTData", vr, data)
        words = np.arange(length, dtype=np.uint16)[None]
        made = tiny_dicoms.dataset(words, VOILUTSequence=[item])
        made.set_original_encoding(False, True)
        np.testing.assert_allclose(dicom_rendering.render(words, made).image[0], entries)


def test_percentiles_are_values_of_pixels():
    words = np.random.default_rng(1).permutation(1000).reshape(20, 50)
    pixels = _render(words, BitsStored=12)
    assert pixels.rendering == "percentile 0.5-99.5 = 4-994; 12 of 16 bits"
    np.testing.assert_allclose(
        pixels.image, np.clip((words - 4) * (255 / 990), 0, 255), rtol=1e-5, atol=1e-4
    )


def test_minmax_takes_the_extremes_after_rescaling():
    pixels = _render([10, 20, 30], "minmax", RescaleSlope=-1, RescaleIntercept=5)
    np.testing.assert_allclose(pixels.image, [[255, 127.5, 0]])
    assert pixels.rendering == "rescale -1 5; minmax = -25--5; 16 of 16 bits"


def test_images_of_8_bits_keep_their_range():
    words = np.array([[3, 100, 180]], np.uint8)
    plain = _render(words)
    np.testing.assert_array_equal(plain.image, words)
    assert plain.rendering == "stored range = 0-255; 8 of 8 bits"
    inverted = _render(words, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(inverted.image, 255 - words)
    np.testing.assert_allclose(_render([0, 20, 63], BitsStored=6).image, [[0, 20 * 255 / 63, 255]])
    assert _render(words, "minmax").rendering == "minmax = 3-180; 8 of 8 bits"


def test_bits_above_those_stored_are_not_looked_at():
    tags = {"BitsStored": 12, "WindowCenter": 2048, "WindowWidth": 4096}
    values = np.array([[0, 1, 2047, 4095]])
    clean, dirty = _render(values, **tags), _render(values + 0xA000, **tags)
    np.testing.assert_array_equal(clean.image, dirty.image)
    np.testing.assert_allclose(clean.image, values * (255 / 4095), rtol=1e-6)
    assert dirty.rendering == "window linear 2048 4096; 12 of 16 bits"


def test_the_highest_stored_bit_is_the_sign():
    """-2048, -1, 0 and 2047 in 12 bits, with the bits above them empty or full."""
    tags = {"BitsStored": 12, "PixelRepresentation": 1, "WindowCenter": 0, "WindowWidth": 4096}
    for words in ([0x800, 0xFFF, 0, 0x7FF], [0xF800, 0xFFFF, 0xF000, 0xF7FF]):
        image = _render(words, **tags).image
        np.testing.assert_allclose(image, [[0, 2047 * 255 / 4095, 2048 * 255 / 4095, 255]])


@pytest.mark.parametrize(
    "tags, words, expected, text",
    [
        ({"PixelPaddingValue": 4095}, [1000, 2000, 4095], [0, 255, 0], "1000-2000; padding 4095"),
        ({"PixelPaddingValue": 0}, [0, 1000, 2000], [0, 0, 255], "1000-2000; padding 0"),
        (  # white around a MONOCHROME1 image is written as 0, black as 4095
            {"PixelPaddingValue": 0, "PhotometricInterpretation": "MONOCHROME1"},
            [0, 1000, 2000],
            [0, 255, 0],
            "1000-2000; padding 0",
        ),
        (
            {"PixelPaddingValue": 4095, "PixelPaddingRangeLimit": 4000},
            [4000, 4050, 4095, 3999, 10],
            [0, 0, 0, 255, 0],
            "10-3999; padding 4000 to 4095",
        ),
        (  # beyond the stored bits: 4095 is a value of the image then
            {"PixelPaddingValue": 65535},
            [65535, 4095, 0, 819],
            [0, 255, 0, 51],
            "0-4095; padding 65535",
        ),
    ],
)
def test_padding_is_black_and_does_not_count(tags, words, expected, text):
    pixels = _render(words, "minmax", BitsStored=12, **tags)
    np.testing.assert_allclose(pixels.image, [expected], atol=1e-4)
    assert pixels.rendering.endswith(f"minmax = {text}; 12 of 16 bits")


@pytest.mark.parametrize("vr, value", [("SS", -2000), ("US", 65536 - 2000)])
@pytest.mark.parametrize("high_bits", [0x0000, 0xF000])
def test_padding_of_signed_pixels(vr, value, high_bits):
    words = np.array([[(-2000) % 4096 | high_bits, 100, 200]], np.uint16)
    made = tiny_dicoms.dataset(words, BitsStored=12, PixelRepresentation=1)
    made.add_new("PixelPaddingValue", vr, value)
    pixels = dicom_rendering.render(words, made, "minmax")
    np.testing.assert_array_equal(pixels.image, [[0, 0, 255]])
    assert pixels.rendering == "minmax = 100-200; padding -2000; 12 of 16 bits"


def test_padding_is_black_under_windows_and_tables_too():
    tags = {"PixelPaddingValue": 4, "PhotometricInterpretation": "MONOCHROME1"}
    window = {"WindowCenter": 3, "WindowWidth": 4}
    np.testing.assert_allclose(_render([1, 2, 4], **tags, **window).image, [[255, 170, 0]])
    table = {"VOILUTSequence": [tiny_dicoms.table([0, 51, 102, 153, 255], 0, 8)]}
    np.testing.assert_allclose(_render([0, 1, 4], **tags, **table).image, [[255, 204, 0]])


@pytest.mark.parametrize(
    "window, tags, message",
    [
        ("bone", {}, "window 'bone'; use one of auto, voi_lut"),
        ("voi_lut", {}, "has no VOI LUT Sequence; use --window=auto"),
        ("window", {"WindowCenter": 3}, "has no Window Center and Window Width"),
        ("auto", {"WindowCenter": 3, "WindowWidth": 0}, "Window Width 0 where 1 or more"),
        (
            "auto",
            {"WindowCenter": 3, "WindowWidth": 0, "VOILUTFunction": "SIGMOID"},
            "Window Width 0 where more than 0",
        ),
        (
            "auto",
            {"WindowCenter": 3, "WindowWidth": 4, "VOILUTFunction": "CUBIC"},
            "other than LINEAR, LINEAR_EXACT and SIGMOID",
        ),
        ("auto", {"RescaleSlope": 0, "RescaleIntercept": 0}, "Rescale Slope 0"),
        (
            "auto",
            {"VOILUTSequence": [tiny_dicoms.table([0, 300], 0, 8)]},
            "2 entries where its descriptor says 2 of 8 bits",
        ),
        ("auto", {"VOILUTSequence": [pydicom.Dataset()]}, "without a descriptor"),
    ],
)
def test_what_a_header_cannot_give(window, tags, message):
    words = np.array([[1, 2]], np.uint16)
    made = tiny_dicoms.dataset(words, **tags)
    for attempt in (
        lambda: dicom_rendering.check(made, window),
        lambda: dicom_rendering.render(words, made, window),
    ):
        with pytest.raises(ValueError, match=message):
            attempt()


@pytest.mark.parametrize("window", ["percentile", "minmax"])
def test_images_without_contrast_cannot_be_stretched(window):
    with pytest.raises(ValueError, match="one grey value, 7, where .* needs a range"):
        _render([7, 7], window)
    with pytest.raises(ValueError, match="pixel padding only"):
        _render([7, 7], window, PixelPaddingValue=7)


def test_check_passes_what_can_be_rendered():
    made = tiny_dicoms.dataset(np.zeros((1, 2), np.uint16))
    for window in ("auto", "percentile", "minmax"):
        assert dicom_rendering.check(made, window) is None
    assert set(dicom.WINDOWS) == {"auto", "voi_lut", "window", "percentile", "minmax"}
