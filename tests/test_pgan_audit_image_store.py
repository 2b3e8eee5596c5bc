"""Images of an audit and what is computed of them: drawn once, checked, kept part by part."""

import numpy as np
import pytest
import tiny_chests

from pgan import image_sources
from pgan.audit import copy_criterion, feature_store, image_store, kept_stages
from pgan.search import block_store

COUNT = 2 * image_store.PART + 10


def _picture(label, seed):
    """Tells its label and its seed, and is not flat."""
    image = np.full((16, 16), seed % 251, np.uint8)
    image[0] = label
    image[1, ::2] = 255
    return image


class Generator:
    """A generator that notes the seeds that it is asked for and can be ended."""

    def __init__(self):
        self.seeds, self.ends_at = [], None

    def source(self, findings=("Mass",)):
        return image_sources.Synthetic("gan", 16, self.draw, {}, findings=findings)

    def draw(self, labels, seed):
        if len(self.seeds) == self.ends_at:
            raise KeyboardInterrupt
        self.seeds.append(seed)
        for start in range(0, len(labels), 32):
            yield np.stack([_picture(row[0], seed) for row in labels[start : start + 32]])


def _labels(count=COUNT):
    return np.arange(count, dtype=np.float32)[:, np.newaxis]


def _draw(generator, folder, seed=5, count=COUNT):
    return image_store.draw(generator.source(), _labels(count), seed, folder, progress=False)


def test_images_show_their_labels(tmp_path):
    generator = Generator()
    images = _draw(generator, tmp_path)
    assert isinstance(images, np.memmap) and not images.flags.writeable
    assert images.dtype == np.uint8 and images.shape == (COUNT, 16, 16)
    np.testing.assert_array_equal(images[:, 0, 0], np.arange(COUNT))
    # The file is all that stays.
    assert [path.name for path in tmp_path.glob("*.npy")] == ["synthetic.npy"]
    assert not list(tmp_path.glob("*.npz")) and not list(tmp_path.glob("*.part"))
    asked = list(generator.seeds)
    np.testing.assert_array_equal(_draw(generator, tmp_path), images)
    assert generator.seeds == asked


def test_audits_with_other_seeds_share_no_images(tmp_path):
    seeds = []
    for seed in range(4):
        generator = Generator()
        _draw(generator, tmp_path / str(seed), seed)
        seeds += generator.seeds
    assert len(set(seeds)) == len(seeds) == 4 * 3
    assert max(seeds) < 2**63


def test_drawing_that_was_ended_goes_on(tmp_path):
    whole = _draw(Generator(), tmp_path / "whole")
    generator = Generator()
    generator.ends_at = 2
    with pytest.raises(KeyboardInterrupt):
        _draw(generator, tmp_path / "parts")
    assert not (tmp_path / "parts" / "synthetic.npy").exists()
    generator.ends_at = None
    parts = _draw(generator, tmp_path / "parts")
    assert len(generator.seeds) == len(set(generator.seeds)) == 3  # none was drawn twice
    np.testing.assert_array_equal(parts, whole)


def _of_folder(images):
    """A source of images that exist."""

    def draw(labels, seed):
        yield from (images[start : start + 32] for start in range(0, len(images), 32))

    return image_sources.Synthetic("folder", 16, draw, {})


def test_images_that_exist_are_read(tmp_path):
    images = np.stack([_picture(number, 1) for number in range(70)])
    found = image_store.draw(_of_folder(images), _labels(70), 0, tmp_path, progress=False)
    np.testing.assert_array_equal(found, images)


def test_too_few_images_are_refused(tmp_path):
    images = np.stack([_picture(number, 1) for number in range(70)])
    with pytest.raises(ValueError, match="71 images are wanted of folder, which has 70; .*=70"):
        image_store.draw(_of_folder(images), _labels(71), 0, tmp_path, progress=False)
    assert not (tmp_path / "synthetic.npy").exists()


def test_flat_images_are_refused_and_named(tmp_path):
    images = np.stack([_picture(number, 1) for number in range(70)])
    images[[40, 43]] = 0
    with pytest.raises(
        ValueError, match="image 40 of folder is of one grey level .*2 of the 32 fr"
    ):
        image_store.draw(_of_folder(images), _labels(70), 0, tmp_path, progress=False)
    assert not (tmp_path / "synthetic.npy").exists()


@pytest.mark.parametrize(
    "images, message",
    [
        (np.zeros((3, 8, 8), np.uint8), r"must be uint8 \[N, 16, 16\], got uint8 \[3, 8, 8\]"),
        (np.zeros((3, 16, 8), np.uint8), r"got uint8 \[3, 16, 8\]"),
        (np.zeros((3, 16, 16), np.float32), r"got float32 \[3, 16, 16\]"),
    ],
)
def test_other_images_are_refused(images, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        image_store.draw(_of_folder(images), _labels(3), 0, tmp_path, progress=False)


def test_a_full_disk_is_an_error(tmp_path, monkeypatch):
    """Not a signal that ends the program while it writes to a map."""

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(block_store.os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        _draw(Generator(), tmp_path)
    assert not (tmp_path / "synthetic.npy").exists()


# Features


class Extractor:
    """Means of images; counts how many it was asked for."""

    name, dimension, facts = "mean", 1, {"network": "mean"}

    def __init__(self):
        self.asked = 0

    def __call__(self, images):
        self.asked += len(images)
        return images.mean(axis=(1, 2), dtype=np.float32)[:, np.newaxis]


def test_features_are_computed_once(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_store, "_IMAGES", 8)
    images, extractor = tiny_chests.chests()[0][:20], Extractor()
    found = feature_store.extract(extractor, images, tmp_path, "train", progress=False)
    np.testing.assert_array_equal(found, extractor(images))
    assert extractor.asked == 40
    (tmp_path / "features_000001.npz").unlink()
    again = feature_store.extract(extractor, images, tmp_path, "train", progress=False)
    assert extractor.asked == 48
    np.testing.assert_array_equal(again, found)
    with pytest.raises(ValueError, match="was begun with images 20 instead of 19"):
        feature_store.extract(extractor, images[:19], tmp_path, "train", progress=False)


def test_features_that_are_not_finite_are_refused(tmp_path):
    class Broken(Extractor):
        def __call__(self, images):
            return np.full((len(images), 1), np.nan, np.float32)

    images = tiny_chests.chests()[0][:2]
    with pytest.raises(ValueError, match="mean: features of train are not finite"):
        feature_store.extract(Broken(), images, tmp_path, "train", progress=False)
    assert not list(tmp_path.glob("*.npz"))


# Stages


@pytest.fixture(scope="module")
def reference():
    images, patients = tiny_chests.chests()
    return copy_criterion.Reference(images[:60], patients[:60])


def _stages(folder):
    return kept_stages.Stages(block_store.Folder(folder, {}), progress=False)


def test_a_step_is_computed_once(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return {"values": np.arange(3)}

    for _ in range(2):
        assert _stages(tmp_path)("step", compute)["values"].tolist() == [0, 1, 2]
    assert len(calls) == 1


def test_comparisons_go_on_where_they_ended(tmp_path, reference, monkeypatch):
    monkeypatch.setattr(kept_stages, "_PART", 8)
    images, patients = tiny_chests.chests()
    images, patients = images[:20], patients[:20]
    whole = reference.score(images, patients)
    found = _stages(tmp_path).copy_scores("train", reference, images, patients)
    for name in ("near", "alone", "nearest"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
    (tmp_path / f"copies{copy_criterion.VERSION}_train_00001.npz").unlink()
    asked = []
    score = reference.score

    def counted(*arguments):
        asked.append(len(arguments[0]))
        return score(*arguments)

    monkeypatch.setattr(reference, "score", counted)
    again = _stages(tmp_path).copy_scores("train", reference, images, patients)
    assert asked == [8]
    np.testing.assert_array_equal(again.nearest, whole.nearest)


def test_real_images_are_compared_with_those_of_other_patients(tmp_path, reference):
    images, patients = tiny_chests.chests()
    train, held_out = (images[:60], patients[:60]), images[60:90]

    def scores(most, seed, folder):
        rng = np.random.default_rng(seed)
        return _stages(tmp_path / folder).real_scores(
            "audit", reference, train, held_out, most, rng
        )

    found = scores(1000, 0, "all")
    expected = [reference.score(held_out), reference.score(*train)]
    np.testing.assert_array_equal(found.near, np.concatenate([part.near for part in expected]))
    # Held-out images come first; of the others none is near to itself.
    assert len(found.near) == 90 and found.similarity.max() < 0.999
    few = scores(10, 0, "few")
    assert len(few.near) == 20 and np.isin(few.near, found.near).all()
    np.testing.assert_array_equal(scores(10, 0, "again").near, few.near)
