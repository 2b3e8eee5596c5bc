import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile

import numpy as np
import pydicom
import pytest
import tensorflow as tf
import tiny_dicoms
import tiny_records
from PIL import Image, PngImagePlugin

from pgan.data import (
    identifier_control,
    identifier_files,
    identifier_index,
    identifier_scan,
    identifiers,
)

IMAGE = "00000017_000"


@pytest.fixture
def found():
    found = identifiers.Identifiers()
    found.add_ids(["00000017_000.png", "00000018_001.png"], identifiers.IMAGE)
    found.add_name("Doering^Jane")
    found.add_id("1.2.826.0.1.3680043.8.498.77", identifiers.STUDY)
    found.add_id("4711470", identifiers.PATIENT)
    found.add_id("17", identifiers.PATIENT)
    return found


@pytest.fixture
def index(found):
    return identifier_index.Index(found)


@pytest.fixture
def whats(index, tmp_path):
    """What is found in a file with the given content."""

    def search(content, name="file"):
        (tmp_path / name).write_bytes(content)
        result = identifier_scan.scan([tmp_path / name], index)
        assert result.problems == []
        return sorted(finding.what for finding in result.found)

    return search


def kinds(index, data, **options):
    return [kind for _, _, kind in index.search(data, **options)]


@pytest.mark.parametrize(
    "text",
    [
        "00000017_000", '{"a": "00000017_000.png"}', "/x/00000017/00000017_000.png",
        "a_00000017_000", "00000017_000_256px", "=00000017_000;", "img00000017_000x",
    ],
)  # fmt: skip
def test_found_in_text(index, text):
    assert identifiers.IMAGE in kinds(index, text.encode())


@pytest.mark.parametrize(
    "text",
    ["000000170_000", "00000017_0001", "100000017_000", "00000017-000", "17", "00000019_000"],
)
def test_not_the_same(index, text):
    assert identifiers.IMAGE not in kinds(index, text.encode())


def test_part_where_the_whole_is_not(index):
    assert kinds(index, b"00000017-000") == [f"{identifiers.IMAGE} (part)"]
    assert kinds(index, b"00000017_000") == [identifiers.IMAGE]  # and not its part as well


def test_uids_that_begin_alike(index):
    assert kinds(index, b"1.2.826.0.1.3680043.8.498.77") == [identifiers.STUDY]
    assert kinds(index, b"1.2.826.0.1.3680043.8.498.771") == []
    assert kinds(index, b"1.2.826.0.1.3680043.8.498.78") == []


def test_case_does_not_matter(index):
    assert kinds(index, b"by DOERING, JANE.") == [identifiers.NAME]
    assert kinds(index, b"doering") == kinds(index, b"JANE") == [f"{identifiers.NAME} (part)"]


def test_digits_of_decimal_numbers_are_no_ids(index):
    assert kinds(index, b"bytes: 4711470, study.4711470.dcm") == [identifiers.PATIENT] * 2
    assert kinds(index, b"0.4711470 4711470.5") == []


@pytest.mark.parametrize(
    "before, after, there",
    [
        (b"\x0a8", b"2\x00", True),  # a length and the next field's tag
        (b"28", b"J8abc", False),  # two digits more at a digit
        (b"Zx", b"Zx", True),
        (b"x8", b"8x", True),
    ],
)
def test_adjoining_characters_in_binary_data(index, before, after, there):
    data = before + IMAGE.encode() + after
    assert kinds(index, data, binary=True) == [identifiers.IMAGE] * there


def test_nothing_adjoins_short_ids(index):
    assert kinds(index, b"p4711470 4711470x 47114700") == []
    assert kinds(index, b"p4711470x", binary=True) == [identifiers.PATIENT]
    assert kinds(index, b"ab4711470 4711470ab", binary=True) == []


def test_names_inside_words_of_binary_data(index):
    assert kinds(index, b"\0doerings\0", binary=True) == [f"{identifiers.NAME} (part)"]
    assert kinds(index, b"\0doeringsen\0 undoering", binary=True) == []


def test_short_names_in_text_only(whats):
    noise = bytes(range(256)) * 4
    assert whats(b"dear jane,\n") == ["person's name (part) ja**"]
    assert whats(noise + b" jane " + noise) == []
    assert whats(noise + b" doering " + noise) == ["person's name (part) do*****"]


def test_plain_hashes(whats):
    import hashlib

    assert whats(hashlib.sha256(b"17").hexdigest().encode())[0].startswith("plain hash of an id")
    assert whats(hashlib.md5(b"00000017_000.png").hexdigest().encode().upper()) != []
    assert whats(hashlib.sha256(b"18").hexdigest().encode()) == []


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16", "utf-32"])
@pytest.mark.parametrize("odd", [b"", b"\x01"])
def test_wide_characters(whats, encoding, odd):
    content = odd + f"see {IMAGE}.png".encode(encoding)
    assert whats(content) == ["image id 00**********"]


@pytest.mark.parametrize(
    "pack",
    [
        gzip.compress,
        bz2.compress,
        lzma.compress,
        lambda content: gzip.compress(bz2.compress(content)),
    ],
)
def test_packed(whats, pack):
    assert whats(pack(IMAGE.encode())) == ["image id 00**********"]


def test_archives(whats):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/00000018_001.png", "")
        archive.writestr("b.json", IMAGE)
    assert whats(stream.getvalue()) == ["image id 00**********"] * 2
    inner, stream = stream.getvalue(), io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        member = tarfile.TarInfo("x.zip")
        member.size, member.uname = len(inner), "doering"
        archive.addfile(member, io.BytesIO(inner))
    assert whats(stream.getvalue()) == [
        "image id 00**********", "image id 00**********", "person's name (part) do*****",
    ]  # fmt: skip


def test_numpy_files(whats):
    stream = io.BytesIO()
    np.savez_compressed(stream, names=np.array([IMAGE]), raw=np.array([b"doering"]))
    assert whats(stream.getvalue()) == ["image id 00**********", "person's name (part) do*****"]


def test_gzip_header_has_a_name(whats):
    stream = io.BytesIO()
    with gzip.GzipFile("00000017_000.csv", "wb", fileobj=stream) as file:
        file.write(b"nothing")
    assert whats(stream.getvalue()) == ["image id 00**********"]


def png(zip=False, text=IMAGE):
    info, stream = PngImagePlugin.PngInfo(), io.BytesIO()
    if text:
        info.add_itxt("Comment", text, zip=zip)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


@pytest.mark.parametrize("content", [png(), png(zip=True), png(text="") + IMAGE.encode()])
def test_png_texts(whats, content):
    assert whats(content) == ["image id 00**********"]


def dicom(pixels=IMAGE, **tags):
    stream = io.BytesIO()
    made = tiny_dicoms.dataset(np.frombuffer(pixels.encode(), np.uint8)[np.newaxis], **tags)
    pydicom.dcmwrite(stream, made, enforce_file_format=True)
    return stream.getvalue()


def test_pixels_of_a_dicom_file_are_not_searched(whats):
    """Twelve pixels of grey levels 48 to 57 and 95 look like an id."""
    assert IMAGE.encode() in dicom()
    assert whats(dicom()) == []
    assert whats(dicom(pixels="4711470")) == []  # with a byte of padding


@pytest.mark.parametrize(
    "content",
    [
        dicom(pixels="any pixels", PatientComments=f"see {IMAGE}"),
        dicom() + IMAGE.encode(),
        dicom(Columns=4),  # a value longer than the image
        bytes(128) + b"DICM" + b"\xff" * 40 + IMAGE.encode(),  # nothing that pydicom can read
        dicom().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.113619.5.2\0\0"),  # a maker's own
        dicom().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0"),  # as if it were RLE
    ],
)
def test_everything_else_of_a_dicom_file_is_searched(whats, content):
    assert "image id 00**********" in whats(content)


def test_exif(whats):
    exif, stream = Image.Exif(), io.BytesIO()
    exif[0x010E] = "Jane Doering"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(stream, "JPEG", exif=exif)
    assert whats(stream.getvalue()) == ["person's name ja**********"]


def test_across_windows_counts_once(index, tmp_path, monkeypatch):
    monkeypatch.setattr(identifier_files, "_WINDOW", 2000)
    line = b"some text without names " * 3 + b"\n"
    for shift in range(0, 600, 7):
        (tmp_path / "a").write_bytes(b"x " * shift + line * 20 + IMAGE.encode() + b"\n" + line * 40)
        (finding,) = identifier_scan.scan([tmp_path / "a"], index).found
        assert finding.count == 1
        assert finding.where == f"line 21, byte {2 * shift + 20 * len(line)}"


def test_file_names_and_links_are_searched_and_masked(index, tmp_path):
    (tmp_path / "00000017_000.txt").write_text("00000018_001 00000018_001")
    os.symlink("/nowhere/00000018_001", tmp_path / "link")
    os.symlink(".", tmp_path / "loop")
    result = identifier_scan.scan([tmp_path], index)
    found = {(f.path, f.where, f.count) for f in result.found}
    assert found == {
        ("00**********.txt", "its name", 1),
        ("00**********.txt", "line 1, byte 0", 2),
        ("link", "what it links to", 1),
    }
    assert "00000017" not in repr(result) and "00000018" not in repr(result)


@pytest.mark.parametrize(
    "content, what",
    [
        (gzip.compress(b"text" * 99, mtime=0)[:-20], "cannot be read"),
        (b"7z\xbc\xaf\x27\x1c...", "7z archives are not unpacked"),
        (b"PK\x03\x04 no archive", "cannot be unpacked"),
        (b"%PDF-1.7", "PDF files are not unpacked"),
    ],
)
def test_what_cannot_be_searched_is_not_clean(index, tmp_path, content, what):
    (tmp_path / "a").write_bytes(content)
    result = identifier_scan.scan([tmp_path], index)
    assert what in result.problems[0].what
    assert not result.clean


def test_pipes_are_not_read(index, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (problem,) = identifier_scan.scan([tmp_path], index).problems
    assert "neither a file nor a folder" in problem.what


def test_missing_path(index, tmp_path):
    with pytest.raises(ValueError, match="no file or folder .*absent"):
        identifier_scan.scan([tmp_path / "absent"], index)


def test_record_set_is_clean(index, tmp_path):
    records = tiny_records.build(tmp_path / "set", encoding="png")
    result = identifier_scan.scan([records.path], index)
    assert result.clean and result.files == len(list(records.path.rglob("*.*")))
    assert result.binary == 0 and 0 < result.searched < result.size


def change_record(path, number, change):
    """Rewrites a shard with one record changed."""
    records = [
        tf.train.Example.FromString(r)
        for r in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    ]
    change(records[number].features.feature)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record.SerializeToString())


def set_bytes(name, value):
    def change(features):
        del features[name].bytes_list.value[:]
        features[name].bytes_list.value.append(value)

    return change


@pytest.mark.parametrize(
    "change, where, problem",
    [
        (set_bytes("patient_id", b"00000018_001"), "record 3, feature 'patient_id'", None),
        (set_bytes("rendering", b"window of Jane"), "record 3, feature 'rendering'", None),
        (set_bytes("note", b"jane"), "record 3, feature 'note'", "does not belong there"),
        (set_bytes("image", png()), "record 3, image, PNG chunk iTXt", "PNG chunk iTXt"),
        (set_bytes("image", png(text="") + b" doering"), "record 3, image, after the PNG image",
         "bytes after the PNG"),
        (set_bytes("image", bytes(16) + b" doering"), "record 3, image, raw bytes",
         "many bytes as pixels"),
        (lambda f: f["number"].int64_list.value.append(4711470), "record 3, feature 'number'",
         "does not belong there"),
        (lambda f: f["image"].bytes_list.value.append(b"doering"), "record 3, image, raw bytes",
         "exactly one image"),
    ],
)  # fmt: skip
def test_planted_in_a_record(index, tmp_path, change, where, problem):
    records = tiny_records.build(tmp_path / "set")
    change_record(records.path / "r0004/00001-of-00005.tfrecord", 2, change)
    result = identifier_scan.scan([records.path], index)
    assert [(f.path, f.where) for f in result.found] == [("r0004/00001-of-00005.tfrecord", where)]
    assert len(result.problems) == (problem is not None)
    assert all(problem in p.what and p.where == "record 3" for p in result.problems)


def test_damaged_shard_and_other_records(index, tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        writer.write(b"\xff no example of 00000017_000")
    content = (tmp_path / "a.tfrecord").read_bytes()
    (tmp_path / "b.tfrecord").write_bytes(content[:-6] + b"xxxxxx")
    result = identifier_scan.scan([tmp_path], index)
    assert [finding.path for finding in result.found] == ["a.tfrecord"]
    assert {p.path: p.what for p in result.problems} == {
        "a.tfrecord": "has a record that is no tf.train.Example",
        "b.tfrecord": "cannot be read (DataLossError)",
    }


def test_control_finds_all(found):
    planted = identifier_control.plant(found)
    index = identifier_index.Index(found)
    assert len(planted) == len(set(planted.values())) == len(identifier_control.CONTAINERS)
    assert identifier_control.missed(index, planted) == []
    assert identifier_control.missed_kinds(index, found) == []


def test_control_notices_a_blind_scan(found, monkeypatch):
    planted = identifier_control.plant(found)
    index = identifier_index.Index(found)
    monkeypatch.setattr(identifier_files, "_UNPACKERS", {})
    monkeypatch.setattr(identifier_files, "_of_png", lambda data, inside: iter(()))
    assert identifier_control.missed(index, planted) == [
        "shard, PNG text", "PNG text", "PNG packed text", "gzip",
    ]  # fmt: skip
    monkeypatch.setattr(identifier_index.Index, "search", lambda *a, **k: [])
    assert identifier_control.missed_kinds(index, found) == list(found.count_by_kind())


def test_chance(index):
    # Seven digits, seven letters in two cases, and all else is rarer.
    expected = 1e9 * (1 / 256**7 + 2**7 / 256**7)
    assert index.chance(10**9) == pytest.approx(expected, rel=0.2)
    assert index.chance(0) == 0
