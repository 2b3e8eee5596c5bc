"""SSIM and MS-SSIM, against scikit-image, TensorFlow, closed forms and fixed numbers."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from skimage import metrics

from pgan.data import phantom
from pgan.metrics import similarity

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def noise(size, count=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *size), np.uint8)


@functools.cache
def phantoms(size, count=4):
    return np.stack([image.load() for image in phantom.read(count, seed=1, size=size)])


def toy(size, amount):
    """A fixed pair: a plaid, and the plaid with so much of another one, no random numbers."""
    rows, columns = np.mgrid[:size, :size]
    first = 128 + 60 * np.sin(rows / 9) + 50 * np.cos(columns / 23)
    second = first + amount * np.sin((rows + 2 * columns) / 30) * np.cos((rows - columns) / 31)
    return [np.clip(np.rint(image), 0, 255).astype(np.uint8)[None] for image in (first, second)]


def reference(x, y, **settings):
    """Values of scikit-image, which leaves out the border, float64 [N]."""
    return np.array(
        [
            metrics.structural_similarity(
                a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
                data_range=255, **settings,
            )
            for a, b in zip(x, y, strict=True)
        ]
    )  # fmt: skip


def reference_terms(x, y, scales):
    """cs_1 ... cs_(n-1), ssim_n by scikit-image: a huge C1 makes the luminance term 1."""
    x, y = x.astype(float), y.astype(float)
    terms = []
    for _ in range(scales - 1):
        terms.append(reference(x, y, K1=1e9))
        x, y = (a.reshape(len(a), a.shape[1] // 2, 2, -1, 2).mean(axis=(2, 4)) for a in (x, y))
    return np.maximum([*terms, reference(x, y)], 0)


@pytest.mark.parametrize("size", [(11, 11), (12, 40), (64, 64), (97, 31), (256, 256)])
def test_ssim_agrees_with_scikit_image(size):
    x, y = noise(size), noise(size, seed=1)
    half = (x // 2 + y // 2).astype(np.uint8)
    for a, b in ((x, y), (x, half)):
        np.testing.assert_allclose(similarity.ssim(a, b), reference(a, b), atol=1e-9)


@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_ssim_of_phantoms_agrees_with_scikit_image(size):
    x = phantoms(size)
    y = np.roll(x, 1, axis=0)
    found = similarity.ssim(x, y)
    assert found.dtype == np.float64 and 0 < found.min() < found.max() < 1
    np.testing.assert_allclose(found, reference(x, y), atol=1e-9)
    floats = similarity.ssim(x.astype(np.float32), y.astype(np.float64))
    np.testing.assert_array_equal(floats, found)


@pytest.mark.parametrize("first, second", [(0, 0), (7, 7), (0, 255), (100, 140), (255, 254)])
def test_flat_images(first, second):
    """No variance: only the luminance term is left, and nothing is divided by zero."""
    x, y = np.full((1, 176, 200), first, np.uint8), np.full((1, 176, 200), second, np.uint8)
    c1 = (0.01 * 255) ** 2
    luminance = (2 * first * second + c1) / (first**2 + second**2 + c1)
    assert similarity.ssim(x, y) == pytest.approx([luminance], rel=1e-9)
    assert similarity.ms_ssim(x, y) == pytest.approx([luminance**0.1333], rel=1e-9)
    paper = similarity.ms_ssim(x, y, "paper_code")
    assert paper == pytest.approx([luminance ** (4 * 0.1333)], rel=1e-9)


def test_equal_images_have_one_and_the_order_does_not_matter():
    x, y = phantoms(256), np.roll(phantoms(256), 1, axis=0)
    for measure in (similarity.ssim, similarity.ms_ssim):
        np.testing.assert_allclose(measure(x, x), 1.0, rtol=1e-12)
        np.testing.assert_allclose(measure(x, y), measure(y, x), rtol=1e-12)


def test_opposite_images_are_negative_in_ssim_and_zero_in_ms_ssim():
    x = noise((176, 176))
    assert similarity.ssim(x, 255 - x).max() < -0.8
    for variant in similarity.VARIANTS:
        np.testing.assert_array_equal(similarity.ms_ssim(x, 255 - x, variant), 0.0)


@pytest.mark.parametrize("measure", [similarity.ssim, similarity.ms_ssim])
def test_a_pair_does_not_depend_on_the_others(measure):
    x, y = phantoms(32, 70), np.roll(phantoms(32, 70), 1, axis=0)  # more than a part
    one_by_one = [measure(x[i : i + 1], y[i : i + 1])[0] for i in range(len(x))]
    np.testing.assert_allclose(measure(x, y), one_by_one, rtol=1e-12)
    assert measure(x[:0], y[:0]).shape == (0,)


@pytest.mark.parametrize("size", [(176, 176), (177, 250), (256, 256)])
def test_ms_ssim_agrees_with_tensorflow(size):
    """TensorFlow has float32, and squares of 255 leave it five digits of a variance."""
    whole = phantoms(256)
    x = whole[:, : size[0], : size[1]]
    y = np.roll(x, 1, axis=0)
    mixed = (0.7 * x + 0.3 * noise(size, len(x))).astype(np.uint8)
    for a, b in ((x, y), (x, mixed)):
        theirs = tf.image.ssim_multiscale(a[..., None], b[..., None], max_val=255).numpy()
        assert theirs.min() > 0
        np.testing.assert_allclose(similarity.ms_ssim(a, b), theirs, atol=2e-5)


@pytest.mark.parametrize("size, scales", [(16, 1), (32, 2), (64, 3), (128, 4), (256, 5)])
def test_terms_and_weights_of_fewer_scales(size, scales):
    x, y = phantoms(size), np.roll(phantoms(size), 1, axis=0)
    weights = np.array(WEIGHTS[:scales])
    if scales < 5:
        weights /= weights.sum()
    terms = reference_terms(x, y, scales)
    expected = np.prod(terms ** weights[:, None], axis=0)
    np.testing.assert_allclose(similarity.ms_ssim(x, y), expected, rtol=1e-6)
    if scales > 1:
        # As the paper's code: the last factor stands in each of the others.
        factors = terms ** weights[:, None]
        expected = np.prod(factors[:-1] * factors[-1], axis=0)
        np.testing.assert_allclose(similarity.ms_ssim(x, y, "paper_code"), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "amount, standard, paper_code",
    [(10, 0.995216, 0.993348), (40, 0.930111, 0.904094), (120, 0.599613, 0.493736)],
)
def test_fixed_numbers_of_both_variants(amount, standard, paper_code):
    x, y = toy(256, amount)
    assert similarity.ms_ssim(x, y) == pytest.approx([standard], abs=1e-6)
    assert similarity.ms_ssim(x, y, "paper_code") == pytest.approx([paper_code], abs=1e-6)
    assert paper_code < standard


@pytest.mark.parametrize(
    "size, variant, name",
    [
        (1024, "standard", "ms_ssim"),
        (176, "standard", "ms_ssim"),
        (175, "standard", "ms_ssim_4scales"),
        (128, "standard", "ms_ssim_4scales"),
        (87, "standard", "ms_ssim_3scales"),
        (32, "standard", "ms_ssim_2scales"),
        (11, "standard", "ms_ssim_1scale"),
        (256, "paper_code", "ms_ssim_paper_code"),
        (22, "paper_code", "ms_ssim_paper_code_2scales"),
    ],
)
def test_names(size, variant, name):
    assert similarity.ms_ssim_name(size, variant) == name
    image = noise((size, size + 3), 1)
    assert similarity.ms_ssim(image, image, variant) == pytest.approx([1.0])  # it can be computed


@pytest.mark.parametrize(
    "size, variant, message",
    [
        (10, "standard", "at least 11 px a side, got 10"),
        (0, "standard", "at least 11 px"),
        (21, "paper_code", "at least 22 px a side, got 21"),
        (256, "paper", "standard, paper_code; got 'paper'"),
    ],
)
def test_sizes_and_variants_that_are_none(size, variant, message):
    with pytest.raises(ValueError, match=message):
        similarity.ms_ssim_name(size, variant)


@pytest.mark.parametrize("measure", [similarity.ssim, similarity.ms_ssim])
def test_images_that_cannot_be_compared(measure):
    x = noise((16, 16))
    with pytest.raises(ValueError, match=r"one shape.*\[3, 16, 16\] and \[2, 16, 16\]"):
        measure(x, x[:2])
    with pytest.raises(ValueError, match=r"one shape.*\[16, 16\]"):
        measure(x[0], x[0])
    with pytest.raises(ValueError, match=r"one shape.*\[3, 16, 16, 1\]"):
        measure(x[..., None], x[..., None])
    with pytest.raises(ValueError, match=r"at least 11 px, got \[3, 16, 10\]"):
        measure(x[..., :10], x[..., :10])
    for dtype in (np.int64, np.uint16, bool, np.float16, object):
        with pytest.raises(TypeError, match="must be uint8, float32 or float64"):
            measure(x, x.astype(dtype))
    floats = x.astype(np.float32)
    for wrong in (np.nan, np.inf):
        floats[1, 2, 3] = wrong
        with pytest.raises(ValueError, match="not finite"):
            measure(x, floats)
    with pytest.raises(ValueError, match=r"in \[0, 255\], got \[-1, "):
        measure(x, x.astype(np.float32) / 127.5 - 1 - x.min() / 127.5)
    with pytest.raises(ValueError, match=r"in \[0, 255\], got \[0, 256\]"):
        measure(np.zeros((1, 16, 16)), np.linspace(0, 256, 256).reshape(1, 16, 16))
