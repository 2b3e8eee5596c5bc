import os
import pathlib
import pickle

import numpy as np
import pytest
from PIL import Image

from pgan.data import labels, nih

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
)
ROWS = {
    "00000001_000.png": "Cardiomegaly|Pleural_Thickening,0,1,58,M,PA",
    "00000001_001.png": "No Finding,1,1,058Y,M,AP",
    "00000002_000.png": "Hernia,0,2,414,F,PA",
}


def pixels(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (16, 16)).astype(np.uint8)


def write_png(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def write_csv(root, rows=ROWS, name="Data_Entry_2017.csv"):
    text = "\n".join([HEADER, *(f"{image},{rest}" for image, rest in rows.items())])
    (root / name).write_text(text + "\n")


@pytest.fixture
def collection(tmp_path):
    write_csv(tmp_path)
    for seed, name in enumerate(ROWS):
        write_png(tmp_path / "images" / name, pixels(seed))
    return tmp_path


def test_read(collection):
    images = list(nih.read(collection))
    assert [image.image_id for image in images] == list(ROWS)
    assert [image.patient_id for image in images] == ["1", "1", "2"]
    assert [labels.present(image.labels, nih.FINDINGS) for image in images] == [
        ["Cardiomegaly", "Pleural Thickening"], [], ["Hernia"],
    ]  # fmt: skip
    assert images[1].extras == {"age": 58, "sex": "M", "view": "AP"}
    assert images[2].extras == {"sex": "F", "view": "PA"}  # nobody is 414
    reloaded = pickle.loads(pickle.dumps(images[1])).load()
    np.testing.assert_array_equal(reloaded, pixels(1))


@pytest.mark.parametrize("folder", ["images_003/images", "images_012", "."])
def test_places_of_files(tmp_path, folder):
    write_csv(tmp_path, name="Data_Entry_2017_v2020.csv")
    for name in ROWS:
        write_png(tmp_path / folder / name, pixels())
    assert len(list(nih.read(tmp_path))) == 3


def test_a_file_in_two_places(collection):
    write_png(collection / "images_001" / "00000001_000.png", pixels())
    with pytest.raises(ValueError, match="00000001_000.png is there twice"):
        nih.scan(collection)


def test_rows_and_files_must_match_unless_allowed(collection, caplog):
    (collection / "images" / "00000001_000.png").unlink()
    write_png(collection / "images" / "extra.png", pixels())
    with pytest.raises(ValueError, match="file: 1 .00000001_000.png.; files.*row: 1 .extra.png"):
        list(nih.read(collection))
    assert len(list(nih.read(collection, allow_missing=True))) == 2
    assert "00000001_000.png" in caplog.text
    for path in (collection / "images").glob("0*.png"):
        path.unlink()
    with pytest.raises(ValueError, match="No row"):
        list(nih.read(collection, allow_missing=True))


def test_unknown_finding_names_line_and_file(collection):
    write_csv(collection, {**ROWS, "00000001_001.png": "Mass|Covid,1,1,58,M,AP"})
    with pytest.raises(ValueError, match="2017.csv, line 3 .00000001_001.png.*'Covid'"):
        nih.scan(collection)


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("Data_Entry_2017_b.csv", HEADER, "more than one label file"),
        ("Data_Entry_2017.csv", "a,b\n1,2\n", "no column 'Image Index'"),
        ("Data_Entry_2017.csv", f"{HEADER}\nx.png,Mass\n", "line 2.*fields"),
        ("Data_Entry_2017.csv", HEADER + "\nx.png,Mass,0,1,9,M,PA" * 2, "line 3: x.png.*twice"),
    ],
)
def test_csv_refused(collection, name, text, message):
    (collection / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        nih.scan(collection)


def test_nothing_there(tmp_path):
    with pytest.raises(ValueError, match="no folder"):
        nih.scan(tmp_path / "absent")
    with pytest.raises(ValueError, match="Data_Entry_2017"):
        nih.scan(tmp_path)
    write_csv(tmp_path)
    with pytest.raises(ValueError, match="no PNG files"):
        nih.scan(tmp_path)


@pytest.mark.parametrize("length, message", [(-1, "cut off"), (30, "cut off"), (5, "no PNG")])
def test_broken_files_are_found_before_reading(collection, length, message):
    path = collection / "images" / "00000002_000.png"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=f"00000002_000.png is {message}"):
        list(nih.read(collection))


def test_small_files_are_found_before_reading(collection):
    with pytest.raises(ValueError, match="00000001_000.png has 16x16 px, less than the 32"):
        list(nih.read(collection, min_size=32))


def test_damage_inside_a_file_is_found_when_it_is_loaded(collection):
    path = collection / "images" / "00000002_000.png"
    content = bytearray(path.read_bytes())
    content[60] ^= 255
    path.write_bytes(content)
    with pytest.raises(ValueError, match="00000002_000.png cannot be read"):
        list(nih.read(collection))[2].load()


def test_grey_in_colour_modes_is_one_channel(tmp_path):
    grey = pixels()
    alpha = np.full_like(grey, 255)
    for name, channels in {
        "rgb": [grey] * 3,
        "rgba": [grey] * 3 + [alpha],
        "la": [grey, alpha],
    }.items():
        write_png(tmp_path / f"{name}.png", np.stack(channels, -1))
        np.testing.assert_array_equal(nih.load_png(str(tmp_path / f"{name}.png")), grey)


def test_colour_becomes_luminance_with_a_warning(tmp_path, caplog):
    write_png(tmp_path / "c.png", np.full((4, 4, 3), [100, 50, 200], np.uint8))
    expected = 0.299 * 100 + 0.587 * 50 + 0.114 * 200
    np.testing.assert_allclose(nih.load_png(str(tmp_path / "c.png")), expected, rtol=1e-6)
    assert "c.png is coloured" in caplog.text


def test_sixteen_bits_keep_their_fractions(tmp_path):
    write_png(tmp_path / "d.png", np.full((4, 4), 1000, np.uint16))
    np.testing.assert_allclose(nih.load_png(str(tmp_path / "d.png")), 1000 / 257, rtol=1e-6)


def test_real_files():
    root = os.environ.get("PGAN_NIH_MINI")
    if not root:
        pytest.skip("PGAN_NIH_MINI does not name a folder of ChestX-ray14 with its CSV")
    images = list(nih.read(root))
    assert len({image.image_id for image in images}) == len(images)
    # The release names a file after its patient.
    assert all(int(i.image_id.split("_")[0]) == int(i.patient_id) for i in images)
    first = images[0].load()
    assert first.dtype == np.uint8 and first.std() > 10
    for path in sorted((pathlib.Path(root) / "images_1024").glob("*.png"))[:5]:
        assert nih.load_png(str(path)).shape == (1024, 1024)
