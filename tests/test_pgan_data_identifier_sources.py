import gzip
import json
import zipfile

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from pgan.data import identifier_sources as sources
from pgan.data import identifiers as ids

NIH = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]\n"
    "00000017_000.png,Mass,0,17,64,F,PA,2500,2048,0.168,0.168\n"
    "00000018_001.png,No Finding,1,18,57,M,AP,2500,2048,0.168,0.168\n"
)


@pytest.fixture
def found():
    return ids.Identifiers()


def write_dicom(path, **values):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = Dataset()
    dataset.file_meta = meta
    for name, value in values.items():
        setattr(dataset, name, value)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)


@pytest.mark.parametrize(
    "heading, kind",
    [
        ("Image Index", ids.IMAGE), ("Path", ids.IMAGE), ("subset_img_id", ids.IMAGE),
        ("dicom_id", ids.IMAGE), ("SOPInstanceUID", ids.IMAGE), ("file", ids.IMAGE),
        ("Patient ID", ids.PATIENT), ("patientId", ids.PATIENT), ("patient", ids.PATIENT),
        ("subject_id", ids.PATIENT), ("MRN", ids.PATIENT), ("StudyInstanceUID", ids.STUDY),
        ("Accession Number", ids.STUDY), ("PatientName", ids.NAME), ("Patient's Name", ids.NAME),
        ("Referring Physician", ids.NAME), ("PatientBirthDate", ids.BIRTH_DATE),
        ("Institution", ids.INSTITUTION),
    ],
)  # fmt: skip
def test_columns_with_ids(heading, kind):
    assert sources.column_kind(heading) == kind


@pytest.mark.parametrize(
    "heading",
    ["Finding Labels", "Patient Age", "Patient Gender", "View Position", "Follow-up #", "x",
     "OriginalImage[Width", "OriginalImagePixelSpacing[x", "Target", "Frontal/Lateral", "class"],
)  # fmt: skip
def test_columns_without_ids(heading):
    assert sources.column_kind(heading) is None


def test_nih_table(tmp_path, found):
    (tmp_path / "Data_Entry_2017.csv").write_text(NIH)
    (note,) = sources.gather_table(tmp_path / "Data_Entry_2017.csv", found)
    assert note.endswith("Data_Entry_2017.csv: Image Index 2, Patient ID 2")
    assert set(found.kinds) == {b"00000017_000", b"00000017", b"00000018_001", b"00000018"}
    assert found.too_short == {"17", "18"}


def test_packed_tables(tmp_path, found):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(NIH.encode()))
    with zipfile.ZipFile(tmp_path / "b.csv.zip", "w") as archive:
        archive.writestr("b.csv", "patientId,x\n0004cfab-14fd,2.5\n")
    notes = sources.gather([tmp_path], found)
    assert len(notes) == 3 and notes[-1] == "File names: 0"
    assert {b"00000017_000", b"0004cfab-14fd"} <= set(found.kinds)


def test_json_by_key_and_ids_as_keys(tmp_path, found):
    content = {"rows": [{"img_id": "00000019_104.png", "score": 123456}], "00000020_001.png": {}}
    (tmp_path / "a.json").write_text(json.dumps(content))
    sources.gather_table(tmp_path / "a.json", found)
    assert {b"00000019_104", b"00000020_001"} <= set(found.kinds)
    assert b"123456" not in found.kinds


def test_lists_count_and_prose_does_not(tmp_path, found):
    (tmp_path / "val.txt").write_text("00000021_000.png\n00000022_000.png\n")
    (tmp_path / "readme.txt").write_text("Version 2017 of the\ncollection\n")
    notes = sources.gather([tmp_path], found)
    assert [note.split(": ")[1] for note in notes] == ["names 2", "0"]
    assert b"00000021_000" in found.kinds and not any(b"version" in name for name in found.kinds)


def test_further_columns_and_tables_without_ids_are_told(tmp_path, found):
    (tmp_path / "a.csv").write_text("code,Mass\nQX123456,1\n")
    assert "NO column of ids" in sources.gather_table(tmp_path / "a.csv", found)[0]
    assert not found.kinds
    sources.gather_table(tmp_path / "a.csv", found, columns=["code"])
    assert set(found.kinds) == {b"qx123456"}


def test_names_and_dates_in_tables(tmp_path, found):
    (tmp_path / "a.csv").write_bytes("PatientName,birth_date\nMüller^Jürgen,19560304\n".encode())
    (tmp_path / "b.csv").write_bytes("PatientName\nGrünwald\n".encode("latin-1"))
    sources.gather([tmp_path], found)
    assert {"müller".encode(), b"1956-03-04", "grünwald".encode()} <= set(found.kinds)


def test_file_names_without_those_of_tables(tmp_path, found):
    (tmp_path / "images_001").mkdir()
    for name in (
        "images_001/00000017_000.png",
        "Data_Entry_2017.csv",
        "images_001/00000018_001.PNG",
    ):
        (tmp_path / name).write_text("")
    assert "File names: 2" in sources.gather([tmp_path], found)
    assert {name for name in found.kinds if b"_" in name} == {b"00000017_000", b"00000018_001"}


def test_excluded_folders(tmp_path, found):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "0a1b2c3d4e5f.png").write_text("")
    sources.gather([tmp_path], found, exclude=[tmp_path / "out"])
    assert not found.kinds


def test_dicom_header(tmp_path, found):
    study, series = generate_uid(), generate_uid()
    nested = Dataset()
    nested.ReferencedSOPInstanceUID = "1.2.3.4.55555555.1"
    write_dicom(
        tmp_path / "slice",
        PatientName="Doering^Jane",
        PatientID="MRN-4711",
        PatientBirthDate="19560304",
        StudyDate="20200101",
        StudyInstanceUID=study,
        SeriesInstanceUID=series,
        SOPClassUID="1.2.840.10008.5.1.4.1.1.1",
        AccessionNumber="ACC998877",
        InstitutionName="St. Elsewhere",
        ReferringPhysicianName="House^Gregory",
        Modality="DX",
        ReferencedImageSequence=[nested],
    )
    (note, _) = sources.gather([tmp_path], found)
    assert "DICOM headers" in note
    for name in ("doering", "gregory", "mrn-4711", "1956-03-04", study, series, "acc998877",
                 "st. elsewhere", "1.2.3.4.55555555.1"):  # fmt: skip
        assert name.encode() in found.kinds, name
    assert b"1.2.840.10008.5.1.4.1.1.1" not in found.kinds and b"20200101" not in found.kinds


def test_errors_name_the_file(tmp_path, found):
    with pytest.raises(ValueError, match="no file or folder .*absent"):
        sources.gather([tmp_path / "absent"], found)
    (tmp_path / "a.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(ValueError, match="a.csv.gz cannot be read as a table"):
        sources.gather([tmp_path], found)
    (tmp_path / "a.csv.gz").unlink()
    # The group's length says that there is more than the file has.
    (tmp_path / "a.dcm").write_bytes(bytes(128) + b"DICM\x02\x00\x00\x00UL\x04\x00\x99")
    with pytest.raises(ValueError, match="header of .*a.dcm cannot be read"):
        sources.gather([tmp_path], found)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_any_delimiter(tmp_path, found, delimiter):
    lines = [["PatientID", "Name", "BirthDate"], ["00471199", "Schneider^Hans", "19500102"]]
    text = "\n".join(delimiter.join(line) for line in lines)
    (tmp_path / "patients.csv").write_text(text)
    [note, _] = sources.gather([tmp_path], found)
    assert "PatientID 1, Name 1, BirthDate 1" in note
    assert {ids.PATIENT, ids.NAME, ids.BIRTH_DATE} <= set(found.count_by_kind())


def test_tables_that_are_not_read_are_told(tmp_path, found):
    (tmp_path / "patients.xlsx").write_bytes(b"PK")
    with pytest.raises(ValueError, match="1 files may hold .*patients.xlsx.*--allow_unread"):
        sources.gather([tmp_path], found)
    notes = sources.gather([tmp_path], found, allow_unread=True)
    assert "NOT read" in notes[0] and notes[1] == "File names: 0"
