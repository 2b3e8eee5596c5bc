import json
import os
import pathlib

import pytest

from pgan.data import labels, rsna

LABELS = """patientId,x,y,width,height,Target
exam-a,,,,,0
exam-b,1.0,2.0,3.0,4.0,1
exam-b,5.0,6.0,7.0,8.0,1
exam-c,,,,,0
"""
DETAILED = """patientId,class
exam-a,No Lung Opacity / Not Normal
exam-b,Lung Opacity
exam-b,Lung Opacity
exam-c,Normal
"""
MAPPING = [
    {"SOPInstanceUID": "1.2", "subset_img_id": exam, "img_id": name}
    for exam, name in {
        "exam-a": "00000013_005.png",
        "exam-b": "00000013_006.png",
        "exam-c": "00000020_000.png",
        "of the test set": "00000021_000.png",
    }.items()
]


@pytest.fixture
def tables(tmp_path):
    (tmp_path / rsna.LABELS_CSV).write_text(LABELS)
    (tmp_path / rsna.DETAILED_CSV).write_text(DETAILED)
    (tmp_path / rsna.MAPPING_JSON).write_text(json.dumps(MAPPING))
    return tmp_path


def read_table(tables):
    return rsna.read_table(
        *(tables / n for n in (rsna.LABELS_CSV, rsna.DETAILED_CSV, rsna.MAPPING_JSON))
    )


def test_boxes_are_folded_into_one_label_per_exam(tables):
    images = rsna.read_table(tables / rsna.LABELS_CSV)
    assert [image.image_id for image in images] == ["exam-a", "exam-b", "exam-c"]
    assert [image.labels.tolist() for image in images] == [[0], [1], [0]]
    assert rsna.FINDINGS == labels.PNEUMONIA == ("Pneumonia",)
    assert [image.patient_id for image in images] == ["exam-a", "exam-b", "exam-c"]
    assert all(image.twin is None and not image.extras for image in images)


def test_normal_is_told_from_abnormal_without_opacity(tables):
    groups = [image.extras["group"] for image in read_table(tables)]
    assert groups == ["abnormal", "opacity", "normal"]


def test_every_exam_knows_its_twin_and_its_patient_in_chestxray14(tables):
    images = read_table(tables)
    assert [image.twin for image in images] == [
        ("nih", "00000013_005.png"), ("nih", "00000013_006.png"), ("nih", "00000020_000.png")
    ]  # fmt: skip
    assert [image.patient_id for image in images] == ["13", "13", "20"]  # as in NIH's table


def test_read(tables):
    folder = tables / "stage_2_train_images"
    with pytest.raises(ValueError, match="There is no .*stage_2_train_images.*kaggle"):
        rsna.read(tables)
    folder.mkdir()
    for exam in ("exam-a", "exam-b", "exam-c"):
        (folder / f"{exam}.dcm").write_bytes(b"x")
    images = rsna.read(tables)
    assert [pathlib.Path(image.path).name for image in images][:2] == ["exam-a.dcm", "exam-b.dcm"]
    assert images[0].twin and images[0].extras["group"] == "abnormal"
    (folder / "exam-a.dcm").unlink()
    with pytest.raises(ValueError, match="rows without a file: 1 .exam-a"):
        rsna.read(tables)
    (tables / rsna.MAPPING_JSON).unlink()
    assert rsna.read(tables, allow_missing=True)[0].twin is None


def test_tables_of_the_challenge():
    root = os.environ.get("PGAN_METADATA")
    if not root:
        pytest.skip("PGAN_METADATA does not name a folder with the label tables of the data sets")
    images = rsna.read_table(pathlib.Path(root) / "kaggle_stage_2_train_labels.csv.zip")
    assert len(images) == 26_684
    assert sum(image.labels[0] for image in images) == 6_012


@pytest.mark.parametrize(
    "row, message",
    [
        ("exam-d,,,,,2", "line 6: Target is 0 or 1, got '2'"),
        ("exam-d,,,,,1", "line 6: a row has a box if and only if"),
        ("exam-d,1,2,3,4,0", "line 6: a row has a box if and only if"),
        ("exam-c,1,2,3,4,1", "line 6: exam-c is both positive and negative"),
        ("exam-b,1.0,2.0,3.0,4.0,1", "line 6: the row of exam-b is there twice"),
        ("exam-d,1,2", "line 6: not as many fields"),
    ],
)
def test_labels_refused(tables, row, message):
    path = tables / rsna.LABELS_CSV
    path.write_text(f"{LABELS}{row}\n")
    with pytest.raises(ValueError, match=message):
        rsna.read_table(path)


@pytest.mark.parametrize(
    "change, message",
    [
        (("exam-c,Normal", "exam-c,Healthy"), "line 5: the class is one of .*'Healthy'"),
        (("exam-c,Normal", "exam-a,Normal"), "line 5: exam-a has two classes"),
        (("exam-c,Normal", "exam-c,Lung Opacity"), "exam-c has the class .* Target is 0"),
        (("exam-c,Normal\n", ""), "lacks 1 exams, for instance exam-c"),
    ],
)
def test_detailed_classes_refused(tables, change, message):
    (tables / rsna.DETAILED_CSV).write_text(DETAILED.replace(*change))
    with pytest.raises(ValueError, match=message):
        read_table(tables)


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "is not the challenge's"),
        ('{"a": 1}', "is not the challenge's"),
        ('[{"img_id": "00000013_005.png"}]', "KeyError: 'subset_img_id'"),
        (json.dumps(MAPPING).replace("00000013_005", "13"), "names such as .*got '13.png'"),
        (json.dumps(MAPPING[:2]), "lacks 1 exams, for instance exam-c"),
    ],
)
def test_mappings_refused(tables, text, message):
    (tables / rsna.MAPPING_JSON).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_table(tables)
