"""The over-trained control: its images, records and settings; its training is tested elsewhere."""

import numpy as np
import pytest

from pgan import schedule
from pgan.audit import overtrained
from pgan.data import phantom, record_access
from pgan.search import block_store


@pytest.fixture(scope="module")
def images():
    images = phantom.read(overtrained.IMAGES, seed=4, size=32)
    return np.stack([image.load() for image in images])


def test_every_image_has_a_label_of_its_own(images, phantom_records, tmp_path):
    records = overtrained.write_records(tmp_path / "records", images, phantom_records)
    assert records.folds[overtrained.FOLD] == records.num_records == 16
    assert records.max_resolution == overtrained.RESOLUTION
    assert records.manifest["geometry"] == phantom_records.manifest["geometry"]
    labels = records.label_matrix(overtrained.FOLD)
    assert (labels.sum(axis=1) == 1).all()
    # Image i has the label i, in whatever order they were written.
    stored = block_store.images_of_records(records, 32, overtrained.FOLD)
    np.testing.assert_array_equal(stored, images[labels.argmax(axis=1)])
    assert sorted(labels.argmax(axis=1)) == list(range(16))
    fingerprint = records.fingerprint
    again = overtrained.write_records(tmp_path / "records", images, phantom_records)
    assert again.fingerprint == fingerprint
    some = record_access.read_images(again, 32, overtrained.FOLD, [3])
    np.testing.assert_array_equal(some[0], stored[3])


def test_records_of_other_images_are_not_taken_for_these(images, phantom_records, tmp_path):
    overtrained.write_records(tmp_path / "records", images, phantom_records)
    with pytest.raises(ValueError, match="records"):
        overtrained.write_records(tmp_path / "records", images[::-1], phantom_records)


def test_the_choice_of_images_is_noted(phantom_records, tmp_path):
    positions = np.array([1, 4, 9])
    overtrained._note_choice(tmp_path, phantom_records, "train", positions)
    overtrained._note_choice(tmp_path, phantom_records, "train", positions)
    for fold, others in (("train", positions + 1), ("test", np.array([0, 1, 2]))):
        with pytest.raises(
            ValueError, match="control of other images .* give --overtrained_run an"
        ):
            overtrained._note_choice(tmp_path, phantom_records, fold, others)


def test_the_network_tells_its_images_by_their_labels_alone():
    made = overtrained.training_config(seed=3)
    assert len(made.network.findings) == overtrained.IMAGES
    assert made.network.resolution == overtrained.RESOLUTION
    assert made.schedule.batch_sizes == str(overtrained.IMAGES)
    assert made.seed == 3
    whole = schedule.build(made.schedule, overtrained.RESOLUTION)
    assert whole.total_images == overtrained.SHOWN


def test_a_control_must_reach_its_resolution():
    whole = schedule.build(overtrained.training_config().schedule, overtrained.RESOLUTION)
    first = min(phase.start for phase in whole.phases if phase.resolution == 32)
    assert overtrained.Settings("folder", first + 1).images_shown == first + 1
    with pytest.raises(ValueError, match=f"--control_kimg must be above {first / 1000:g}"):
        overtrained.Settings("folder", first)


def test_membership_of_memorised_images_is_recognised(images):
    """Drawn images are those of the control, with noise; others are of other patients."""
    others = np.stack([image.load() for image in phantom.read(40, seed=5, size=32)])
    noise = np.random.default_rng(0).normal(0, 6, images.shape)
    drawn = np.clip(np.rint(images + noise), 0, 255).astype(np.uint8)
    names = [f"m{i}" for i in range(16)], [f"o{i}" for i in range(40)]
    rng = np.random.default_rng(0)
    found = overtrained._attack(images, others, drawn, *names, rng)
    assert (found.members, found.others) == (16, 40)
    assert found.auc == 1.0 and found.auc_interval.low > 0.5
    # A generator of half of them.
    half = overtrained._attack(images, others, drawn[:8], *names, rng)
    assert 0.6 < half.auc < 1.0
