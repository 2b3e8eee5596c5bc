"""SSIM of pairs equals scikit-image's; what is estimated at a grid of windows is close to it."""

import numpy as np
import pytest
import tiny_chests
from skimage import metrics

from pgan.metrics import similarity
from pgan.search import pair_ssim, window_grid


def _skimage(image, other):
    """Mean over windows inside the image: skimage leaves out 5 px where its mean is taken."""
    return metrics.structural_similarity(
        image,
        other,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
    )


def _noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def _scores(image, others):
    return pair_ssim.scores(pair_ssim.terms(image), others)


@pytest.mark.parametrize("shape", [(64, 64), (33, 21), (11, 11)])
def test_equals_scikit_image(shape):
    noise = _noise(12, *shape)
    low_contrast = 200 + noise[:2] // 64  # where variances are small differences
    flat = np.stack([np.full(shape, grey, np.uint8) for grey in (0, 7, 255)])
    others = np.concatenate([noise, 255 - noise[:2], low_contrast, flat])
    for image in (noise[0], low_contrast[0], flat[1]):
        expected = [_skimage(image, other) for other in others]
        np.testing.assert_allclose(_scores(image, others), expected, rtol=0, atol=1e-9)


def test_equals_the_function_of_the_metrics_on_chests():
    images, queries = tiny_chests.chests()[0][:50], tiny_chests.strangers()[:3]
    for query in queries:
        expected = similarity.ssim(np.broadcast_to(query, images.shape), images)
        np.testing.assert_allclose(_scores(query, images), expected, rtol=0, atol=1e-12)


def test_an_image_is_itself():
    images = np.concatenate([_noise(2, 64, 64), np.full((1, 64, 64), 93, np.uint8)])
    for number, image in enumerate(images):
        assert _scores(image, images)[number] == pytest.approx(1.0, abs=1e-14)
    assert _scores(images[0], images)[1] < 0.1


@pytest.mark.parametrize("count", [0, 1, 8, 19, 128, 139])
def test_the_number_of_others_does_not_matter(count):
    """128 of 64 px are compared at a time, and what is left over by eights."""
    assert (pair_ssim.many((64, 64)), pair_ssim.many((256, 256)), pair_ssim.BATCH) == (128, 8, 8)
    images = tiny_chests.chests()[0]
    found = _scores(images[0], images[:count])
    one_by_one = [_scores(images[0], image[np.newaxis])[0] for image in images[:count]]
    np.testing.assert_allclose(found, one_by_one, rtol=0, atol=1e-13)


def test_the_order_of_two_images_does_not_matter():
    one, other = _noise(2, 64, 64)
    assert _scores(one, other[np.newaxis])[0] == pytest.approx(
        _scores(other, one[np.newaxis])[0], abs=1e-14
    )


# The grid


def test_statistics_are_those_of_the_window():
    size = (40, 27)
    images = _noise(3, *size)
    grid = window_grid.WindowGrid(size)
    statistics = grid.statistics(images)
    # Of 40 and 27 px every window is taken: stride 1.
    assert grid.windows == 30 * 17
    assert statistics.shape == (3, window_grid.STATISTICS, grid.windows)
    weights = np.outer(pair_ssim.WEIGHTS, pair_ssim.WEIGHTS)
    window = images[1, 4:15, 9:20].astype(float)
    mean = (weights * window).sum()
    across = (weights * window * np.arange(-5, 6)).sum()
    down = (weights * window * np.arange(-5, 6)[:, np.newaxis]).sum()
    # The gradient in units of the standard deviation of a place under the window.
    spread = np.sqrt((pair_ssim.WEIGHTS * np.arange(-5, 6) ** 2).sum())
    found = statistics[1, :, 4 * 17 + 9]
    expected = [mean, (weights * window**2).sum() - mean**2, across / spread, down / spread]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_a_ramp_has_no_finer_structure():
    """Its variance is the sum of the squares of its gradient."""
    rows, columns = np.mgrid[:48, :48]
    statistics = window_grid.WindowGrid((48, 48)).statistics((2 * rows + columns)[np.newaxis])
    _, variance, across, down = statistics[0]
    np.testing.assert_allclose(across**2 + down**2, variance, rtol=1e-3)
    np.testing.assert_allclose(down, 2 * across, rtol=1e-3)


def test_estimates_and_vectors_tell_who_is_near():
    images, queries = tiny_chests.chests()[0], tiny_chests.strangers()[:6]
    grid = window_grid.WindowGrid(images.shape[1:])
    statistics, of_queries = grid.statistics(images), grid.statistics(queries)
    projection = window_grid.Projection.fit(statistics[::2], components=128)
    assert projection.dimensions == 130
    products = projection.queries(of_queries) @ projection.references(statistics).T
    for query, own, product in zip(queries, of_queries, products, strict=True):
        exact = _scores(query, images)
        estimates = window_grid.ssim(own, statistics.astype(np.float16))
        assert np.corrcoef(estimates, exact)[0, 1] > 0.95
        assert np.corrcoef(product, exact)[0, 1] > 0.8


def test_a_projection_is_made_again_of_its_arrays():
    statistics = window_grid.WindowGrid((64, 64)).statistics(tiny_chests.chests()[0][:40])
    projection = window_grid.Projection.fit(statistics, components=8)
    again = window_grid.Projection(**projection.arrays())
    np.testing.assert_array_equal(again.references(statistics), projection.references(statistics))


def test_equal_images_have_a_projection():
    """A set without any variance, and a set of one image."""
    same = np.repeat(tiny_chests.chests()[0][:1], 5, axis=0)
    statistics = window_grid.WindowGrid((64, 64)).statistics(same)
    for count in (1, 5):
        vectors = window_grid.Projection.fit(statistics[:count], 16).references(statistics)
        assert np.isfinite(vectors).all()


def test_images_smaller_than_the_window_are_refused():
    with pytest.raises(ValueError, match="10x64 px are smaller than SSIM's window of 11 px"):
        window_grid.WindowGrid((10, 64))
