"""Tests of the phantom's folders in the layouts of ChestX-ray14, CheXpert and RSNA."""

import collections
import csv
import hashlib
import json
import re

import numpy as np
import pydicom
import pytest
from PIL import Image

from pgan.data import (
    labels,
    phantom,
    phantom_chexpert_layout,
    phantom_dicom,
    phantom_layouts,
    phantom_nih_layout,
    phantom_rsna_layout,
    phantom_sites,
)

SITES = ("nih", "chexpert", "rsna")
PNEUMONIA = labels.find("Pneumonia", labels.NIH_14)
COUNT, SEED, SIZE = 24, 1, 32


def _rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def _tree(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A small folder of each site."""
    root = tmp_path_factory.mktemp("sites")
    for site in SITES:
        phantom_layouts.write(site, root / site, COUNT, SEED, SIZE, progress=False)
    return {site: root / site for site in SITES}


# --- Layouts -----------------------------------------------------------------------------------


def test_nih_layout(folders):
    folder = folders["nih"]
    header = (folder / "Data_Entry_2017_v2020.csv").read_text().splitlines()[0]
    assert header == (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"
        "View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
    )
    rows = _rows(folder / "Data_Entry_2017_v2020.csv")
    images = list(phantom_sites.read("nih", COUNT, SEED, SIZE))
    for row, image in zip(rows, images, strict=True):
        assert re.fullmatch(r"\d{8}_\d{3}\.png", row["Image Index"])
        assert row["Image Index"].startswith(f"{int(row['Patient ID']):08d}_")
        assert int(row["Image Index"][9:12]) == int(row["Follow-up #"])
        np.testing.assert_array_equal(
            labels.encode(row["Finding Labels"].split("|"), labels.NIH_14), image.labels
        )
        assert (int(row["Patient Age"]), row["Patient Gender"], row["View Position"]) == tuple(
            image.extras[fact] for fact in ("age", "sex", "view")
        )
        with Image.open(folder / "images" / row["Image Index"]) as file:
            assert file.mode == "L"
            np.testing.assert_array_equal(np.asarray(file), image.load())
    parts = [
        (folder / name).read_text().split() for name in ("train_val_list.txt", "test_list.txt")
    ]
    assert sorted(parts[0] + parts[1]) == [row["Image Index"] for row in rows]
    first, second = ({name[:8] for name in part} for part in parts)
    assert first and second and not first & second


def test_chexpert_layout(folders):
    root = folders["chexpert"] / "CheXpert-v1.0-small"
    expected = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *labels.CHEXPERT_14)
    images = iter(phantom_sites.read("chexpert", COUNT, SEED, SIZE))
    patients = {}
    for part in ("train", "valid"):
        assert (root / f"{part}.csv").read_text().splitlines()[0] == ",".join(expected)
        rows = _rows(root / f"{part}.csv")
        patients[part] = {row["Path"].split("/")[2] for row in rows}
        for row in rows:
            image = next(images)
            assert re.fullmatch(
                rf"CheXpert-v1\.0-small/{part}/patient\d{{5}}/study\d+/view1_frontal\.jpg",
                row["Path"],
            )
            with Image.open(folders["chexpert"] / row["Path"]) as file:
                assert (file.format, file.mode) == ("JPEG", "L")
                picture = np.asarray(file).astype(int)
            assert np.abs(picture - image.load()).mean() < 6  # losses of JPEG
            assert row["Sex"] == {"F": "Female", "M": "Male"}[image.extras["sex"]]
            assert (row["Support Devices"] == "1.0") == bool(image.extras["devices"])
            for finding in phantom_chexpert_layout.SOURCES:
                drawn = phantom_chexpert_layout.strength(image.extras["strengths"], finding) > 0
                said = ("1.0",) if drawn else ("0.0",)
                if part == "train":
                    said = ("1.0", "-1.0") if drawn else ("0.0", "-1.0", "")
                assert row[finding] in said
    assert next(images, None) is None
    assert patients["train"] and patients["valid"] and not patients["train"] & patients["valid"]


def test_reports_doubt_what_is_faint():
    faint = np.where(np.arange(14) == PNEUMONIA, 0.4, 0).astype(np.float32)
    generators = [np.random.default_rng([7, i]) for i in range(400)]

    def said(strengths, finding):
        texts = [
            phantom_chexpert_layout.report(strengths, False, rng)[finding] for rng in generators
        ]
        return {text: texts.count(text) / len(texts) for text in sorted(set(texts))}

    assert said(faint, "Pneumonia")["-1.0"] > 0.8
    assert said(np.sign(faint), "Pneumonia") == {"1.0": 1.0}
    assert said(faint, "No Finding") == {"": 1.0}
    healthy = np.zeros(14, np.float32)
    absent = said(healthy, "Pneumothorax")
    assert "1.0" not in absent and absent["0.0"] > absent["-1.0"]
    assert said(healthy, "Fracture") == {"": 1.0}
    # "No Finding" wherever nothing is suspected, which is most often.
    assert 0.5 < said(healthy, "No Finding")["1.0"] < 0.9


def test_rsna_layout(folders):
    folder, images = folders["rsna"], {}
    for image in phantom_sites.read("rsna", COUNT, SEED, SIZE):
        numbers = image.load.keywords
        images[phantom_rsna_layout.exam_id(SEED, numbers["patient"], numbers["image"])] = image
    assert all(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", e) for e in images)
    rows = _rows(folder / "stage_2_train_labels.csv")
    assert tuple(rows[0]) == ("patientId", "x", "y", "width", "height", "Target")
    assert {row["patientId"] for row in rows} == set(images)
    classes = _rows(folder / "stage_2_detailed_class_info.csv")
    assert [row["patientId"] for row in classes] == [row["patientId"] for row in rows]
    for row, detail in zip(rows, classes, strict=True):
        image = images[row["patientId"]]
        assert int(row["Target"]) == image.labels[PNEUMONIA]
        assert detail["class"] == phantom_rsna_layout.CLASSES[image.extras["group"]]
        box = [row[side] for side in ("x", "y", "width", "height")]
        if row["Target"] == "0":
            assert box == [""] * 4
        else:
            x, y, width, height = map(float, box)
            assert 0 <= x < x + width <= SIZE and 0 <= y < y + height <= SIZE
    assert sum(row["Target"] == "1" for row in rows) >= 2


def test_rsna_boxes_hold_the_pneumonia():
    found = 0
    for image in phantom_sites.read("rsna", 30, 2, 128):
        boxes = phantom_rsna_layout.boxes(image)
        assert bool(boxes) == bool(image.labels[PNEUMONIA])
        if boxes:
            region = phantom_sites.truth(image).findings[PNEUMONIA]
            if region.max() < 4:
                continue  # hidden by other findings
            inside = np.zeros(region.shape, bool)
            for x, y, width, height in boxes:
                inside[int(y) : int(y + height), int(x) : int(x + width)] = True
            assert region[inside].sum() > 0.6 * region.sum()
            assert inside.mean() < 0.25
            found += 1
    assert found >= 3


def test_twins_of_rsna_are_in_nih(folders):
    folder = folders["rsna"]
    twins = json.loads((folder / "pneumonia-challenge-dataset-mappings_2018.json").read_text())
    count = json.loads((folder / "PHANTOM.json").read_text())["twins_within"]
    names = {
        phantom_nih_layout.image_name(i.load.keywords["patient"], i.load.keywords["image"]): i
        for i in phantom_sites.read("nih", count, SEED, SIZE)
    }
    last = list(names)[-1]
    assert last in {entry["img_id"] for entry in twins}
    assert len(twins) == COUNT
    for entry in twins:
        path = folder / "stage_2_train_images" / f"{entry['subset_img_id']}.dcm"
        file = pydicom.dcmread(path)
        twin = names[entry["img_id"]]
        assert file.SOPInstanceUID == entry["SOPInstanceUID"]
        assert file.PatientID == entry["subset_img_id"]
        assert file.PatientName == f"Phantom^P{int(entry['img_id'][:8]):06d}"
        assert file.PatientAge == f"{twin.extras['age']:03d}Y"
        assert (file.PatientSex, file.ViewPosition) == (twin.extras["sex"], twin.extras["view"])
        assert (file.Modality, file.BodyPartExamined) == ("CR", "CHEST")


@pytest.mark.parametrize("kind", phantom_dicom.KINDS)
def test_dicom_gives_the_picture_back(kind):
    grey = phantom_sites.draw_unrounded("rsna", {"Mass": 1.0}, patient=1, size=64)
    data = phantom_dicom.encode(
        grey, kind, exam="e", name="A^B", age=7, sex="F", view="AP", jpeg_quality=95
    )
    assert data == phantom_dicom.encode(
        grey, kind, exam="e", name="A^B", age=7, sex="F", view="AP", jpeg_quality=95
    )
    file = pydicom.dcmread(pydicom.filebase.DicomBytesIO(data))
    stored = file.pixel_array.astype(float)
    if kind == "jpeg8":
        assert file.file_meta.TransferSyntaxUID == pydicom.uid.JPEGBaseline8Bit
        assert np.abs(stored - grey).mean() < 2
        return
    assert (file.BitsAllocated, file.BitsStored) == (16, 12) and stored.max() > 255
    # The linear window of PS3.3 C.11.2.1.2.
    share = (stored - (file.WindowCenter - 0.5)) / (file.WindowWidth - 1) + 0.5
    if kind == "inverted12":
        assert file.PhotometricInterpretation == "MONOCHROME1"
        share = 1 - share
    else:
        assert file.PhotometricInterpretation == "MONOCHROME2"
    np.testing.assert_allclose(255 * np.clip(share, 0, 1), np.clip(grey, 0, 255), atol=0.1)


def test_all_kinds_of_dicom_occur():
    rng = np.random.default_rng(0)
    drawn = collections.Counter(phantom_dicom.sample_kind(rng) for _ in range(1000))
    for kind, share in phantom_dicom.KINDS.items():
        assert abs(drawn[kind] / 1000 - share) < 0.05


# --- Writing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("site", SITES)
def test_lost_files_come_back_with_the_same_bytes(site, folders):
    folder = folders[site]
    before = _tree(folder)
    assert phantom_layouts.write(site, folder, COUNT, SEED, SIZE, progress=False) == 0
    images = sorted(p for p in folder.rglob("*") if p.suffix in (".png", ".jpg", ".dcm"))
    assert len(images) == COUNT
    tables = sorted(folder.rglob("*.csv"))
    lost = [images[1], images[-1], tables[-1]]
    for path in lost:
        path.unlink()
    images[2].write_bytes(b"")  # as a loss of power leaves it
    assert phantom_layouts.write(site, folder, COUNT, SEED, SIZE, progress=False) == 4
    assert _tree(folder) == before


def test_an_interrupted_call_is_continued(folders, tmp_path, monkeypatch):
    drawn = []
    encode = phantom_rsna_layout.phantom_dicom.encode

    def interrupted(*arguments, **facts):
        if len(drawn) == 5:
            raise KeyboardInterrupt
        drawn.append(facts["exam"])
        return encode(*arguments, **facts)

    monkeypatch.setattr(phantom_dicom, "encode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        phantom_layouts.write("rsna", tmp_path / "rsna", COUNT, SEED, SIZE, progress=False)
    there = {path.name for path in (tmp_path / "rsna").rglob("*") if path.is_file()}
    assert there == {"PHANTOM.unfinished.json", *(f"{exam}.dcm" for exam in drawn)}
    with pytest.raises(ValueError, match="size 32 there, 64 asked"):
        phantom_layouts.write("rsna", tmp_path / "rsna", COUNT, SEED, 64, progress=False)
    monkeypatch.undo()
    phantom_layouts.write("rsna", tmp_path / "rsna", COUNT, SEED, SIZE, progress=False)
    assert _tree(tmp_path / "rsna") == _tree(folders["rsna"])


def test_processes_write_the_same_bytes(folders, tmp_path):
    phantom_layouts.write("nih", tmp_path / "nih", COUNT, SEED, SIZE, workers=1, progress=False)
    assert _tree(tmp_path / "nih") == _tree(folders["nih"])


def test_description(folders):
    for site, folder in folders.items():
        described = phantom_layouts.describe(folder)
        assert {key: described[key] for key in list(described)[:6]} == {
            "format": "chest phantom",
            "site": site,
            "count": COUNT,
            "seed": SEED,
            "size": SIZE,
            "version": phantom.VERSION,
        }
    inner = folders["chexpert"] / "CheXpert-v1.0-small"
    assert phantom_layouts.describe(inner) == phantom_layouts.describe(folders["chexpert"])


def test_folders_of_others_are_left_alone(folders, tmp_path):
    before = _tree(folders["nih"])
    for site, count, seed, message in (
        ("nih", COUNT, 2, "seed 1 there, 2 asked"),
        ("nih", 7, SEED, "count 24 there, 7 asked"),
        ("rsna", COUNT, SEED, "site 'nih' there, 'rsna' asked"),
    ):
        with pytest.raises(ValueError, match=message):
            phantom_layouts.write(site, folders["nih"], count, seed, SIZE, progress=False)
    assert _tree(folders["nih"]) == before
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(ValueError, match="letter.txt"):
        phantom_layouts.write("nih", tmp_path, 1, progress=False)
    with pytest.raises(ValueError, match="count"):
        phantom_layouts.write("nih", tmp_path / "new", 0, progress=False)
    with pytest.raises(ValueError, match="power of two"):
        phantom_layouts.write("nih", tmp_path / "new", 1, size=100, progress=False)
    assert not (tmp_path / "new").exists()
