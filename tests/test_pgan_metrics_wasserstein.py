"""The sliced Wasserstein distance, against plain convolutions, closed forms and known changes."""

import numpy as np
import pytest
from scipy import ndimage, stats

from pgan.metrics import wasserstein


def _images(count, size=32, seed=0):
    """Smooth noise with some detail, uint8."""
    noise = np.random.default_rng(seed).standard_normal((count, size, size))
    smooth = ndimage.gaussian_filter(noise, (0, 3, 3)) * 6 + noise * 0.3
    return np.clip(np.rint(128 + 40 * smooth), 0, 255).astype(np.uint8)


def _collected(images, seed=1, batch=None, **options):
    accumulator = wasserstein.Accumulator(images.shape[1], seed, **options)
    for start in range(0, len(images), batch or len(images)):
        accumulator.add(images[start : start + (batch or len(images))])
    return accumulator


def _distance(a, b, seed=0):
    return wasserstein.distance(a, b, np.random.default_rng(seed))


def _plain_pyramid(image):
    """By two-dimensional convolutions, as the formula is written."""
    binomial = np.array([1, 4, 6, 4, 1])
    kernel = np.outer(binomial, binomial) / 256
    levels, current = [], image.astype(float)
    while len(current) > 16:
        smaller = ndimage.convolve(current, kernel, mode="mirror")[::2, ::2]
        stuffed = np.zeros_like(current)
        stuffed[::2, ::2] = smaller
        levels.append(current - ndimage.convolve(stuffed, 4 * kernel, mode="mirror"))
        current = smaller
    return [*levels, current]


def test_pyramid_agrees_with_plain_convolutions():
    image = _images(1, 64)[0]
    found, expected = wasserstein.laplacian_pyramid(image), _plain_pyramid(image)
    assert [level.shape for level in found] == [(64, 64), (32, 32), (16, 16)]
    for level, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(level, wanted, atol=1e-10)


def test_pyramid_of_a_constant_is_the_constant_at_the_end():
    *fine, last = wasserstein.laplacian_pyramid(np.full((64, 64), 77, np.uint8))
    # Away from the lower and right edge, where the mirror of the stuffed image repeats a pixel.
    for level in fine:
        np.testing.assert_allclose(level[:-4, :-4], 0, atol=1e-12)
    np.testing.assert_allclose(last, 77)


def test_one_dimension_is_the_wasserstein_distance():
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((200, 1)), rng.exponential(size=(200, 1))
    expected = stats.wasserstein_distance(x[:, 0], y[:, 0])
    found = wasserstein.sliced_distance(x, y, np.random.default_rng(0))
    assert found == pytest.approx(expected, rel=1e-12)


def test_a_shift_is_seen_by_its_mean_projection():
    # |d . s| for a random unit vector d in n dimensions has the mean |s| G(n/2) / (sqrt(pi)
    # G((n + 1) / 2)); in 3 dimensions |s| / 2.
    x = np.random.default_rng(1).standard_normal((50, 3))
    found = wasserstein.sliced_distance(x, x + np.array([0, 3.0, 4.0]), np.random.default_rng(0))
    # 512 directions; |cos| is uniform in [0, 1].
    assert found == pytest.approx(2.5, abs=4 * 5 / np.sqrt(12 * 512))


def test_distance_by_other_means():
    """The whole of it again for one level, with patches taken pixel by pixel."""
    sets = [_collected(_images(3, 16, seed), seed=9) for seed in (1, 2)]
    clouds = []
    for seed in (1, 2):
        patches, keys = [], []
        for number, image in enumerate(_images(3, 16, seed)):
            rng = np.random.default_rng(np.random.SeedSequence(9, spawn_key=(number,)))
            keys.extend(rng.random(128))
            for row, column in rng.integers(0, 10, (128, 2)):
                patches.append([image[row + i, column + j] for i in range(7) for j in range(7)])
        values = np.array(patches, float)[np.argsort(keys)]
        clouds.append((values - values.mean()) / values.std())
    for found, expected in zip(sets, clouds, strict=True):
        np.testing.assert_allclose(found.descriptors(16), expected, atol=1e-12)
    rng, values = np.random.default_rng(0), []
    for _ in range(4):
        directions = rng.standard_normal((49, 128))
        for d in (directions / np.sqrt((directions**2).sum(axis=0))).T:
            values.append(stats.wasserstein_distance(clouds[0] @ d, clouds[1] @ d))
    found = _distance(*sets)
    assert found.levels[16] == pytest.approx(1000 * np.mean(values), rel=1e-9)
    assert found.mean == found.levels[16]


def test_descriptors_have_the_counts_and_are_standardised():
    accumulator = _collected(_images(5, 64))
    assert accumulator.sizes == (64, 32, 16)
    for size in accumulator.sizes:
        found = accumulator.descriptors(size)
        assert found.shape == (5 * 128, 49)
        assert found.mean() == pytest.approx(0, abs=1e-12)
        assert found.std() == pytest.approx(1, rel=1e-12)


def test_equal_sets_have_no_distance_and_order_of_sets_does_not_matter():
    a, b = _collected(_images(20)), _collected(_images(20, seed=5))
    assert _distance(a, _collected(_images(20))) == wasserstein.Distance({32: 0.0, 16: 0.0}, 0.0)
    assert _distance(a, b) == _distance(b, a)
    found = _distance(a, b)
    assert found.mean == pytest.approx((found.levels[32] + found.levels[16]) / 2)
    assert found != _distance(a, b, seed=1)


def test_brightness_and_contrast_do_not_count():
    images = _images(20) // 2 * 2
    assert images.max() < 255
    darker = images // 2 + 60
    assert _distance(_collected(images), _collected(darker)).mean < 1e-2


def test_a_change_is_seen_at_its_scale():
    images, others = _images(20, 64), _images(20, 64, seed=5)
    floor = _distance(_collected(images), _collected(others)).levels
    blurred = ndimage.gaussian_filter(others, (0, 1, 1))
    fine = _distance(_collected(images), _collected(blurred)).levels
    assert fine[64] > 3 * floor[64] and fine[16] < 1.5 * floor[16]
    # The same bright corner in all of them: layout, without detail.
    rows, columns = np.mgrid[:64, :64] / 63
    lit = np.clip(others + 90 * rows * columns, 0, 255).astype(np.uint8)
    coarse = _distance(_collected(images), _collected(lit)).levels
    assert coarse[16] > 3 * floor[16] and coarse[64] < 3 * floor[64]


@pytest.mark.parametrize("batch", [1, 7, 40])
@pytest.mark.parametrize("capacity", [wasserstein.CAPACITY, 128 * 40, 1000, 300, 1])
def test_batches_do_not_matter(batch, capacity):
    images = _images(40)
    whole = _collected(images, capacity=capacity)
    parts = _collected(images, batch=batch, capacity=capacity)
    for size in whole.sizes:
        np.testing.assert_array_equal(parts.descriptors(size), whole.descriptors(size))


def test_the_sample_is_that_of_the_smallest_keys_whenever_it_is_asked_for():
    images = _images(30)
    everything, sample = _collected(images), _collected(images, capacity=500)
    early = wasserstein.Accumulator(32, 1, capacity=500)
    for image in images:
        early.add(image[np.newaxis])
        assert len(early.descriptors(32)) == min(500, 128 * early.count)
    everything.descriptors(32)
    for found in (sample, early):
        assert found.descriptors(32).shape == (500, 49)
        np.testing.assert_array_equal(found._patches[32], everything._patches[32][:500])


def test_the_sample_is_of_all_images():
    # Each image has one grey level at 16 px, so that patches tell where they come from.
    levels = np.repeat(np.arange(200, dtype=np.uint8), 256).reshape(200, 16, 16)
    kept = _collected(levels, capacity=2000)
    kept.descriptors(16)
    origins = kept._patches[16][:, 0]
    # 10 of each on average; a chi-squared of 199 degrees of freedom is below 267 in 99.9 %.
    statistic = np.sum((np.bincount(origins.astype(int), minlength=200) - 10.0) ** 2 / 10)
    assert statistic < 267
    assert abs(origins.mean() - 99.5) < 4 * np.sqrt(200**2 / 12 / 2000)


def test_memory_is_bounded():
    accumulator = wasserstein.Accumulator(32, 1, capacity=256)
    images = _images(10)
    most = 0
    for _ in range(30):
        accumulator.add(images)
        held = sum(len(keys) for keys, _ in accumulator._waiting) + len(accumulator._keys)
        most = max(most, held)
    assert accumulator.count == 300
    assert most <= 2 * 256 + 128


def test_the_seed_decides():
    images = _images(5)
    one, other = _collected(images, seed=1), _collected(images, seed=2)
    assert not np.array_equal(one.descriptors(32), other.descriptors(32))
    assert 0 < _distance(one, other).mean < _distance(one, _collected(_images(5, seed=3))).mean * 2


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="16 px times a power of two a side, got 48"):
        wasserstein.Accumulator(48, 0)
    with pytest.raises(ValueError, match="got 8"):
        wasserstein.Accumulator(8, 0)
    with pytest.raises(ValueError, match="capacity must be at least 1"):
        wasserstein.Accumulator(32, 0, capacity=0)
    accumulator = wasserstein.Accumulator(32, 0)
    for wrong in (_images(2).astype(float), _images(2)[..., np.newaxis], _images(2, 64)):
        with pytest.raises(ValueError, match=r"uint8 \[N, 32, 32\], one grey channel"):
            accumulator.add(wrong)
    with pytest.raises(ValueError, match="no images"):
        accumulator.descriptors(32)
    with pytest.raises(ValueError, match="3 and 2 images .* add 2 of each"):
        _distance(_collected(_images(3)), _collected(_images(2)))
    with pytest.raises(ValueError, match="32 and 16 px"):
        _distance(_collected(_images(3)), _collected(_images(3, 16)))
    with pytest.raises(ValueError, match="as many descriptors"):
        _distance(_collected(_images(3)), _collected(_images(3), capacity=100))
    flat = _collected(np.full((2, 16, 16), 9, np.uint8))
    with pytest.raises(ValueError, match="do not vary at 16 px"):
        _distance(flat, flat)


def test_the_name_says_grey():
    assert wasserstein.name(10_000, 256) == "swd10k_grey_256px"
    assert wasserstein.name(141, 64) == "swd141_grey_64px"
