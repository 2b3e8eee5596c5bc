import numpy as np
import pytest
import tiny_records
from PIL import Image

from pgan import image_sets


def _save(folder, name, image):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def _noise(seed, side=16):
    return np.random.default_rng(seed).integers(0, 256, (side, side), np.uint8)


@pytest.fixture
def folder(tmp_path):
    """70 noise images in two folders, whose names are in the order of their seeds."""
    for seed in range(70):
        _save(tmp_path / "set", f"{seed // 50}/{seed:03d}.png", _noise(seed))
    return tmp_path / "set"


def test_files_come_in_the_order_of_their_names(folder):
    (folder / ".hidden").write_text("not looked at")
    images = image_sets.of_folder(folder, show_progress=False)
    assert (images.name, images.resolution, images.count) == ("set", 16, 70)
    assert images.labels is None and images.findings is None
    np.testing.assert_array_equal(images.fetch([3, 60]), [_noise(3), _noise(60)])


@pytest.mark.parametrize("count", [0, 1, 32, 33, 70])
def test_batches_hold_each_image_once(folder, count):
    images = image_sets.of_folder(folder, show_progress=False)
    batches = list(images.batches(np.arange(count)))
    assert all(0 < len(batch) <= 32 for batch in batches)
    found = np.concatenate([np.zeros((0, 16, 16), np.uint8), *batches])
    wanted = np.array([_noise(seed) for seed in range(count)], np.uint8).reshape(-1, 16, 16)
    np.testing.assert_array_equal(found, wanted)


def test_an_error_while_reading_ahead_is_raised(folder):
    images = image_sets.of_folder(folder, show_progress=False)
    _save(folder, "1/050.png", _noise(50, 20))
    with pytest.raises(ValueError, match=r"050.png has changed: it was of 16 px, now \(20, 20\)"):
        list(images.batches(np.arange(70)))


def test_a_fold_has_labels_and_patients(tmp_path):
    records = tiny_records.build(tmp_path / "tiny")
    images = image_sets.of_fold(records, 8, "val")
    assert (images.count, images.findings) == (records.fold_size("val"), tiny_records.FINDINGS)
    assert images.patients == records.patient_ids("val")
    np.testing.assert_array_equal(images.labels, records.label_matrix("val"))
    grey = images.fetch(np.arange(images.count))[:, 0, 0]
    np.testing.assert_allclose(images.labels[:, 1], grey / 100, rtol=1e-6)


def test_images_of_a_generator_are_of_nobody(tmp_path):
    records = tiny_records.build(tmp_path / "drawn", origin="synthetic")
    assert image_sets.of_fold(records, 8, "all").patients is None


def test_labels_of_a_table(folder):
    rows = ["path,seed,index,Mass,Hernia", "0/007.png,1,0,1,0", "1/055.png,1,1,0.5,0.25"]
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    images = image_sets.of_folder(folder, show_progress=False)
    assert images.findings == ("Mass", "Hernia")
    np.testing.assert_array_equal(images.labels, [[1, 0], [0.5, 0.25]])
    np.testing.assert_array_equal(images.fetch([0, 1]), [_noise(7), _noise(55)])
    (folder / "labels.csv").write_text("path,Mass\n0/999.png,1\n")
    with pytest.raises(ValueError, match="names 1 files that are missing.*999.png"):
        image_sets.of_folder(folder, show_progress=False)
    (folder / "labels.csv").write_text("file,Mass\n0/007.png,1\n")
    with pytest.raises(ValueError, match="labels.csv has no column 'path'"):
        image_sets.of_folder(folder, show_progress=False)


def test_what_is_no_set_of_images_is_refused_by_name(folder, tmp_path):
    def refused(match):
        with pytest.raises(ValueError, match=match):
            image_sets.of_folder(folder, show_progress=False)

    text = folder / "0" / "notes.txt"
    text.write_text("which images these are")
    refused(r"notes.txt cannot be read as an image.*take notes.txt away")
    text.rename(folder / "0" / "030.png")
    refused(r"030.png cannot be read as an image")
    _save(folder, "0/030.png", _noise(30)[:, :12])
    refused(r"030.png has 12x16 px; images must be square.*--geometry")
    _save(folder, "0/030.png", _noise(30, 32))
    refused(r"030.png has 32x32 px, .*000.png has 16x16; images must have one size")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no images"):
        image_sets.of_folder(tmp_path / "empty")
    with pytest.raises(ValueError, match="nowhere is no folder"):
        image_sets.of_folder(tmp_path / "nowhere")


def test_other_files_of_the_same_count_are_another_set(folder):
    before = image_sets.of_folder(folder).facts
    assert image_sets.of_folder(folder).facts == before
    first = min(path for path in folder.rglob("*.png"))
    first.rename(first.with_name("renamed.png"))
    assert image_sets.of_folder(folder).facts != before


def test_jpeg_files_are_read_and_counted(folder):
    smooth = np.kron(_noise(1, 4), np.ones((4, 4), np.uint8))
    (folder / "0" / "000.png").unlink()
    _save(folder, "0/000.jpg", smooth)
    images = image_sets.of_folder(folder, show_progress=False)
    assert (images.facts["files"], images.facts["jpeg_files"]) == (70, 1)
    assert np.abs(images.fetch([0])[0].astype(int) - smooth).mean() < 10
