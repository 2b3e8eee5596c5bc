"""The regions of phantoms."""

import dataclasses

import numpy as np
import pytest

from classifier import image_table, pointing
from pgan.data import labels, phantom, record_plan, record_set, record_writer


def _write(folder, images, **options):
    plan = record_plan.make_plan(
        images, labels.NIH_14, 64, source="phantom", **{"origin": "phantom", **options}
    )
    record_writer.write_record_set(folder, plan, progress=False)
    return record_set.RecordSet.open(folder)


@pytest.fixture(scope="module")
def images():
    return list(phantom.read(60, seed=2, size=64))


@pytest.fixture(scope="module")
def records(tmp_path_factory, images):
    return _write(tmp_path_factory.mktemp("records") / "phantom", images)


@pytest.mark.parametrize("resolution", [32, 48, 64])
def test_regions_are_where_the_finding_changes_the_image(records, resolution):
    table = image_table.of_fold(records, "all", resolution, ["Effusion"])
    numbers = np.flatnonzero(table.labels[:, 0])[:3].tolist() + [
        int(np.flatnonzero(table.labels[:, 0] == 0)[0])
    ]
    assert pointing.has_truth(table)
    *present, absent = pointing.regions(table, numbers, "Pleural Effusion")
    assert absent is None
    for number, region in zip(numbers, present, strict=False):
        change = phantom.redraw(table.image_ids[number], 64)[1].findings[2]
        assert region.shape == (resolution, resolution) and region.dtype == bool
        assert 0 < region.mean() < 0.2
        # The rest is a haze over all of the image, as fluid changes the exposure.
        nearest = np.arange(64) * resolution // 64
        large = region[np.ix_(nearest, nearest)]
        assert change[large].sum() > 0.5 * change.sum()
        assert change[large].mean() > 10 * change[~large].mean()
    with pytest.raises(ValueError, match="phantoms have no 'Fracture'"):
        pointing.regions(table, numbers, "Fracture")


def test_other_images_have_no_truth(records, images, tmp_path):
    large = list(phantom.read(8, seed=2, size=128))
    masked = _write(tmp_path / "masked", large, mask_markers=True)
    assert not pointing.has_truth(image_table.of_fold(masked, "all", 64))
    synthetic = _write(tmp_path / "synthetic", images[:8], origin="synthetic")
    assert not pointing.has_truth(image_table.of_fold(synthetic, "all", 64))
    # An image that is not what its name says, as of another version of the phantom.
    names = [image.image_id for image in images[:8]]
    moved = [
        dataclasses.replace(image, image_id=name)
        for image, name in zip(images[:8], names[1:] + names[:1], strict=True)
    ]
    table = image_table.of_fold(_write(tmp_path / "moved", moved), "all", 64)
    with pytest.raises(ValueError, match=r"is not what phantoms of version \d+ look like"):
        pointing.regions(table, [0], "Mass")
