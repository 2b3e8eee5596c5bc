import os
import pathlib
import pickle

import numpy as np
import pytest
from PIL import Image

from pgan.data import image_files, labels, nih, splits

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
    images = nih.read(collection)
    assert [image.image_id for image in images] == list(ROWS)
    assert [image.patient_id for image in images] == ["1", "1", "2"]
    assert [labels.present(image.labels, nih.FINDINGS) for image in images] == [
        ["Cardiomegaly", "Pleural Thickening"], [], ["Hernia"],
    ]  # fmt: skip
    assert images[1].extras == {"age": 58, "sex": "M", "view": "AP"}
    assert images[2].extras == {"sex": "F", "view": "PA"}  # nobody is 414
    reloaded = pickle.loads(pickle.dumps(images[1])).load()
    np.testing.assert_array_equal(reloaded.image, pixels(1))
    assert reloaded.rendering == ""


@pytest.mark.parametrize("folder", ["images_003/images", "images_012", "."])
def test_places_of_files(tmp_path, folder):
    write_csv(tmp_path, name="Data_Entry_2017_v2020.csv")
    for name in ROWS:
        write_png(tmp_path / folder / name, pixels())
    assert len(nih.read(tmp_path)) == 3


def test_a_file_in_two_places(collection):
    write_png(collection / "images_001" / "00000001_000.png", pixels())
    with pytest.raises(ValueError, match="00000001_000.png is there twice"):
        nih.read(collection)


def test_rows_and_files_must_match_unless_allowed(collection, caplog):
    (collection / "images" / "00000001_000.png").unlink()
    write_png(collection / "images" / "extra.png", pixels())
    with pytest.raises(ValueError, match="file: 1 .00000001_000.png.; files.*row: 1 .extra.png"):
        nih.read(collection)
    assert len(nih.read(collection, allow_missing=True)) == 2
    assert "00000001_000.png" in caplog.text
    for path in (collection / "images").glob("0*.png"):
        path.unlink()
    with pytest.raises(ValueError, match="No row"):
        nih.read(collection, allow_missing=True)


def test_unknown_finding_names_line_and_file(collection):
    write_csv(collection, {**ROWS, "00000001_001.png": "Mass|Covid,1,1,58,M,AP"})
    with pytest.raises(ValueError, match="2017.csv, line 3 .00000001_001.png.*'Covid'"):
        nih.read(collection)


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
        nih.read(collection)


def test_nothing_there(tmp_path):
    with pytest.raises(ValueError, match="no folder"):
        nih.read(tmp_path / "absent")
    with pytest.raises(ValueError, match="Data_Entry_2017"):
        nih.read(tmp_path)
    write_csv(tmp_path)
    with pytest.raises(ValueError, match="no PNG files"):
        nih.read(tmp_path)


def test_table_alone(collection):
    images = nih.read_table(collection / "Data_Entry_2017.csv")
    assert [image.image_id for image in images] == list(ROWS)
    assert all(image.load is None and not image.path for image in images)


def test_tables_of_the_release():
    """Numbers of the release, and of the patient-wise split that the paper's are from."""
    root = os.environ.get("PGAN_METADATA")
    if not root:
        pytest.skip("PGAN_METADATA does not name a folder with the label tables of the data sets")
    images = nih.read_table(pathlib.Path(root) / "Data_Entry_2017_v2020.csv.gz")
    assert len(images) == 112_120 and len({image.patient_id for image in images}) == 30_805
    assert sum(image.labels[nih.FINDINGS.index("Pneumonia")] for image in images) == 1_431
    lists = [
        splits.read_list(pathlib.Path(root) / f"nih_{fold}_list.txt.gz") for fold in splits.FOLDS
    ]
    folds = splits.from_lists(images, lists).folds  # refuses a patient in two of them
    assert [len(folds[fold]) for fold in splits.FOLDS] == [78_468, 11_219, 22_433]
    patient_of = {image.image_id: image.patient_id for image in images}
    patients = [len({patient_of[name] for name in folds[fold]}) for fold in splits.FOLDS]
    assert patients == [21_528, 3_090, 6_187]


def test_real_files():
    root = os.environ.get("PGAN_NIH_MINI")
    if not root:
        pytest.skip("PGAN_NIH_MINI does not name a folder of ChestX-ray14 with its CSV")
    images = nih.read(root)
    assert len({image.image_id for image in images}) == len(images)
    # The release names a file after its patient.
    assert all(int(i.image_id.split("_")[0]) == int(i.patient_id) for i in images)
    first = images[0].load().image
    assert first.dtype == np.uint8 and first.std() > 10
    for path in sorted((pathlib.Path(root) / "images_1024").glob("*.png"))[:5]:
        assert image_files.load(path).image.shape == (1024, 1024)
