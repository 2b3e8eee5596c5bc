import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from pgan.data import chexpert, labels

HEADER = "Path,Sex,Age,Frontal/Lateral,AP/PA," + ",".join(labels.CHEXPERT_14)
# The first rows of the release's train.csv.
ROWS = [
    "train/patient00001/study1/view1_frontal.jpg,Female,68,Frontal,AP,1.0,,,,,,,,,0.0,,,,1.0",
    "train/patient00002/study2/view1_frontal.jpg,Female,87,Frontal,AP,,,-1.0,1.0,,-1.0,-1.0,,-1.0,,"
    "-1.0,,1.0,",
    "train/patient00002/study1/view2_lateral.jpg,Female,83,Lateral,,,,,1.0,,,-1.0,,,,,,1.0,",
    "train/patient00003/study1/view1_frontal.jpg,Male,41,Frontal,AP,,,,,,1.0,,-1.0,,,0.0,,,",
]
VALID = ["valid/patient64541/study1/view1_frontal.jpg,Male,73,Frontal,PA," + ",".join(["0.0"] * 14)]


def write_csv(path, rows, top="CheXpert-v1.0-small/"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([HEADER, *(top + row for row in rows)]) + "\n")
    return path


@pytest.fixture
def root(tmp_path):
    base = tmp_path / "CheXpert-v1.0-small"
    for name, rows in {"train": ROWS, "valid": VALID}.items():
        write_csv(base / f"{name}.csv", rows)
        for row in rows:
            path = base / row.split(",")[0]
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((32, 39), 90, np.uint8)).save(path)
    return tmp_path


def test_frontal_views_only_and_the_official_validation_apart(root):
    train, official = chexpert.read(root)
    assert [image.image_id for image in train] == [
        f"train/patient0000{n}/study{s}/view1_frontal.jpg" for n, s in ((1, 1), (2, 2), (3, 1))
    ]
    assert [image.patient_id for image in train] == [f"patient0000{n}" for n in (1, 2, 3)]
    assert [image.image_id for image in official] == ["valid/patient64541/study1/view1_frontal.jpg"]
    assert train[0].extras == {"age": 68, "sex": "F", "view": "AP"}
    assert train[0].load().image.shape == (32, 39)
    assert chexpert.read(root / "CheXpert-v1.0-small")[0][0].labels.tolist() == (
        train[0].labels.tolist()
    )


@pytest.mark.parametrize(
    "uncertain, expected",
    [
        # Lung Opacity and Fracture are certain in the second row; five others are not.
        ("zeros", []),
        ("ones", ["Cardiomegaly", "Edema", "Consolidation", "Atelectasis", "Pleural Effusion"]),
        ("paper", ["Cardiomegaly", "Edema", "Atelectasis", "Pleural Effusion"]),
    ],
)
def test_uncertain_labels(tmp_path, uncertain, expected):
    images = chexpert.read_table(write_csv(tmp_path / "train.csv", ROWS), uncertain)
    certain = {"Lung Opacity", "Fracture"}
    assert set(labels.present(images[1].labels, chexpert.FINDINGS)) == certain | set(expected)
    assert labels.present(images[0].labels, chexpert.FINDINGS) == ["No Finding", "Support Devices"]
    assert not np.isnan(images[1].labels).any()


def test_ignored_labels_are_unknown(tmp_path):
    images = chexpert.read_table(write_csv(tmp_path / "train.csv", ROWS), "ignore")
    unknown = [chexpert.FINDINGS[i] for i in np.flatnonzero(np.isnan(images[1].labels))]
    assert unknown == ["Cardiomegaly", "Edema", "Consolidation", "Atelectasis", "Pleural Effusion"]


def test_tables_of_the_release():
    folder = os.environ.get("PGAN_METADATA")
    if not folder:
        pytest.skip("PGAN_METADATA does not name a folder with the label tables of the data sets")
    path = pathlib.Path(folder) / "chexpert_train.csv.gz"
    images = chexpert.read_table(path)
    assert len(images) == 191_027  # the paper's number; the authors' table had 202 more
    pneumonia = chexpert.FINDINGS.index("Pneumonia")
    assert sum(image.labels[pneumonia] for image in images) == 20_656  # table S3 of the paper


@pytest.mark.parametrize(
    "row, message",
    [
        (ROWS[0].replace("1.0,,", "2.0,,", 1), "line 3: a label is 1.0, 0.0, -1.0 or blank.*'2.0'"),
        (ROWS[3], "line 3: train/patient00003/study1/view1_frontal.jpg is there twice"),
        (ROWS[0].replace("patient", "../patient"), "line 3: expected a path such as"),
        (ROWS[0].replace("train/patient", "frontal/"), "line 3: expected a path such as"),
    ],
)
def test_rows_refused(tmp_path, row, message):
    with pytest.raises(ValueError, match=message):
        chexpert.read_table(write_csv(tmp_path / "train.csv", [ROWS[3], row]))


def test_policies_refused(tmp_path):
    with pytest.raises(ValueError, match="paper, zeros, ones, ignore, got 'maybe'"):
        chexpert.read_table(write_csv(tmp_path / "train.csv", ROWS), "maybe")


def test_only_laterals(tmp_path):
    with pytest.raises(ValueError, match="no frontal view"):
        chexpert.read_table(write_csv(tmp_path / "train.csv", [ROWS[2]]))


def test_nothing_there(tmp_path):
    with pytest.raises(ValueError, match="no train.csv in .*stanfordmlgroup"):
        chexpert.read(tmp_path)


def test_rows_without_a_file(root, caplog):
    (root / "CheXpert-v1.0-small" / ROWS[0].split(",")[0]).unlink()
    with pytest.raises(ValueError, match="rows without a file: 1 .train/patient00001"):
        chexpert.read(root)
    (root / "CheXpert-v1.0-small" / "valid.csv").unlink()
    train, official = chexpert.read(root, allow_missing=True)
    assert (len(train), official) == (2, [])
    assert "patient00001" in caplog.text
