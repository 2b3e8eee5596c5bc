"""The fixed extractor: a pure function, whose distances rise with what makes images worse."""

import numpy as np
import pytest
from scipy import ndimage

from pgan.data import phantom
from pgan.metrics import features, frechet


@pytest.fixture(scope="module")
def extractor():
    return features.FixedExtractor()


@pytest.fixture(scope="module")
def phantoms():
    """Two times 8 images of each of 8 patients, in patients' order, uint8 [64, 64, 64] each."""
    drawn = np.array(
        [[phantom.draw(patient=i, image=j, size=128) for j in range(16)] for i in range(8)]
    )
    means = _grey(drawn.reshape(8, 16, 64, 2, 64, 2).mean(axis=(3, 5)))
    return means[:, :8].reshape(64, 64, 64), means[:, 8:].reshape(64, 64, 64)


def _grey(images):
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


def _distances(extractor, reference, candidates):
    wanted = frechet.statistics(extractor(reference))
    return [
        frechet.distance(frechet.statistics(extractor(images)), wanted) for images in candidates
    ]


def _rises(values):
    return all(later > 1.05 * earlier for earlier, later in zip(values, values[1:], strict=False))


def test_features_are_a_function_of_the_image_alone(extractor, phantoms):
    images = phantoms[0][:6]
    found = extractor(images)
    assert found.shape == (6, extractor.dimension) == (6, 256)
    assert found.dtype == np.float32
    alone = np.concatenate([features.FixedExtractor()(image[np.newaxis]) for image in images])
    np.testing.assert_allclose(found, alone, rtol=1e-4, atol=1e-5)


def test_features_are_those_that_the_name_stands_for(extractor):
    # A changed network needs another name: results under the old one are no longer comparable.
    ramp = np.linspace(0, 255, 64, dtype=np.uint8)
    image = (ramp[:, np.newaxis] // 2 + ramp // 3)[np.newaxis]
    found = extractor(image)[0]
    np.testing.assert_allclose(
        found[:5], [-0.5704, 0.3230, 0.0385, 0.0856, 0.3208], rtol=2e-3, atol=1e-4
    )
    assert float(np.abs(found).sum()) == pytest.approx(44.883, rel=1e-3)


def test_a_grey_area_answers_to_the_mean_filter_only(extractor):
    found = extractor(np.full((1, 64, 64), 255, np.uint8)).reshape(4, 4, 16)
    np.testing.assert_allclose(found[..., 0], 1.0, atol=1e-5)
    np.testing.assert_allclose(found[..., 1:], 0.0, atol=1e-4)


def test_quadrants_see_where_something_is(extractor):
    image = np.zeros((1, 64, 64), np.uint8)
    image[:, :32, 32:] = 255  # Upper right.
    means = extractor(image).reshape(4, 4, 16)[0, :, 0]
    assert means[1] > 0.8
    assert (means[[0, 2, 3]] < -0.8).all()


def test_images_of_any_size_give_about_the_same_features(extractor):
    drawn = phantom.draw(patient=3, size=256).astype(np.float32)
    wanted = extractor(_grey(drawn.reshape(64, 4, 64, 4).mean(axis=(1, 3)))[np.newaxis])
    for size in (256, 128, 64):
        factor = 256 // size
        image = _grey(drawn.reshape(size, factor, size, factor).mean(axis=(1, 3)))
        # Grey levels are rounded once for each size.
        np.testing.assert_allclose(extractor(image[np.newaxis]), wanted, atol=0.02)
    for size in (16, 40, 100):
        assert np.isfinite(extractor(np.zeros((1, size, size), np.uint8))).all()


def test_distance_rises_with_blur(extractor, phantoms):
    reference, images = phantoms
    blurred = [
        _grey(ndimage.gaussian_filter(images.astype(float), (0, sigma, sigma)))
        for sigma in (0, 1, 2, 4, 8)
    ]
    distances = _distances(extractor, reference, blurred)
    assert _rises(distances), distances


def test_distance_rises_with_noise(extractor, phantoms):
    reference, images = phantoms
    noise = np.random.default_rng(0).standard_normal(images.shape)
    noisy = [_grey(images + strength * noise) for strength in (0, 4, 8, 16, 32)]
    distances = _distances(extractor, reference, noisy)
    assert _rises(distances), distances


def test_distance_rises_with_dropped_modes(extractor, phantoms):
    reference, images = phantoms
    # All patients, halves, quarters, each alone; which of them are kept is averaged out.
    distances = [
        np.mean(
            _distances(
                extractor,
                reference,
                [np.tile(part, (groups, 1, 1)) for part in np.split(images, groups)],
            )
        )
        for groups in (1, 2, 4, 8)
    ]
    assert _rises(distances), distances


def test_statistics_do_not_depend_on_the_batches(extractor, phantoms):
    whole = features.statistics(extractor, [phantoms[0]])
    parts = features.statistics(extractor, np.split(phantoms[0], [1, 11, 40]))
    assert whole.count == parts.count == 64
    np.testing.assert_allclose(parts.mean, whole.mean, atol=1e-5)
    np.testing.assert_allclose(parts.covariance, whole.covariance, atol=1e-5)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 64, 64), np.float32),
        np.zeros((2, 64, 64, 1), np.uint8),
        np.zeros((2, 8, 8), np.uint8),
    ],
)
def test_other_images_are_refused(extractor, images):
    with pytest.raises(ValueError, match="uint8"):
        extractor(images)
