"""What goes wrong at hospitals: the real command refuses each input with a message to act on.

The table of a folder of radiographs holds one row that is good and what a case adds to it.
"""

import re
import struct
import zlib

import numpy as np
import pytest
import tiny_dicoms
from PIL import Image
from pydicom import uid

HEADER = "file,patient,findings"
GOOD = "good.png,P0,Edema"


def png(path, side=40):
    Image.fromarray(np.full((side, side), 90, np.uint8)).save(path)


def cut(path, count=30):
    path.write_bytes(path.read_bytes()[:-count])


def truncated_dicom(root):
    cut(tiny_dicoms.write(root / "a.dcm", tiny_dicoms.DEEP), 500)
    return "a.dcm,P1,Edema"


def truncated_compressed_dicom(root):
    cut(tiny_dicoms.write(root / "a.dcm", tiny_dicoms.DEEP, uid.RLELossless), 500)
    return "a.dcm,P1,Edema"


def truncated_png(root):
    png(root / "a.png")
    cut(root / "a.png")
    return "a.png,P1,Edema"


def truncated_jpeg(root):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40)).astype(np.uint8)
    Image.fromarray(noise).save(root / "a.jpg")
    cut(root / "a.jpg", 400)
    return "a.jpg,P1,Edema"


def wrong_photometric(root):
    tiny_dicoms.write(root / "a.dcm", tiny_dicoms.GREY, PhotometricInterpretation="PALETTE COLOR")
    return "a.dcm,P1,Edema"


def more_bits_stored_than_allocated(root):
    path = tiny_dicoms.write(root / "a.dcm", tiny_dicoms.GREY)
    tiny_dicoms.edit(path, BitsStored=12, HighBit=11)
    return "a.dcm,P1,Edema"


def only_a_lateral_view(root):
    tiny_dicoms.write(root / "a.dcm", tiny_dicoms.GREY, ViewPosition="LL")
    return f"{HEADER}\na.dcm,P1,Edema"


def a_film(root):
    path = tiny_dicoms.write(root / "a.dcm", tiny_dicoms.GREY)
    tiny_dicoms.edit(path, NumberOfFrames=2)
    return f"{HEADER}\na.dcm,P1,Edema"


def a_knee(root):
    tiny_dicoms.write(root / "a.dcm", tiny_dicoms.GREY, BodyPartExamined="KNEE")
    return f"{HEADER}\na.dcm,P1,Edema"


def a_huge_dicom(root):
    path = tiny_dicoms.write(root / "a.dcm", tiny_dicoms.GREY)
    tiny_dicoms.edit(path, Rows=40_000, Columns=40_000)
    return "a.dcm,P1,Edema"


def a_huge_png(root):
    png(root / "a.png")
    content = bytearray((root / "a.png").read_bytes())
    content[16:24] = struct.pack(">II", 40_000, 40_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    (root / "a.png").write_bytes(content)
    return "a.png,P1,Edema"


def an_empty_file(root):
    (root / "a.dcm").touch()
    return "a.dcm,P1,Edema"


def a_letter(root):
    (root / "a.png").write_text("Dear colleague,\n" * 20)
    return "a.png,P1,Edema"


def a_thumbnail(root):
    png(root / "a.png", side=8)
    return "a.png,P1,Edema"


def a_float_tiff(root):
    Image.fromarray(np.linspace(0, 1, 1600, dtype=np.float32).reshape(40, 40)).save(root / "a.tif")
    return "a.tif,P1,Edema"


def rows(text):
    def add(root):
        for name in ("a.png", "b.png"):
            png(root / name)
        return text

    return add


def table_of_bytes(root):
    (root / "labels.csv").write_bytes(b"\xff\xfe\x00" * 50)


# Case: (what it adds to the folder, what the message has to say).
CASES = {
    "truncated DICOM": (truncated_dicom, r"a\.dcm .*1 broken images.*--max_bad"),
    "truncated RLE": (truncated_compressed_dicom, r"a\.dcm .*--max_bad"),
    "truncated PNG": (truncated_png, r"a\.png is cut off after \d+ bytes; fetch it again"),
    "truncated JPEG": (truncated_jpeg, r"a\.jpg cannot be read.*truncated.*--max_bad"),
    "photometric": (wrong_photometric, r"a\.dcm .*PALETTE COLOR"),
    "bits": (more_bits_stored_than_allocated, r"a\.dcm .*12.*8"),
    "lateral": (only_a_lateral_view, r"No image is left.*lateral"),
    "film": (a_film, r"No image is left.*frames"),
    "knee": (a_knee, r"No image is left.*KNEE"),
    "huge DICOM": (a_huge_dicom, r"a\.dcm .*40,?000.*100,000,000"),
    "huge PNG": (a_huge_png, r"a\.png claims to have more than 100,000,000 pixels"),
    "empty file": (an_empty_file, r"a\.dcm is empty; fetch it again"),
    "no image": (a_letter, r"a\.png cannot be read as an image"),
    "too small": (
        a_thumbnail,
        r"a\.png: the image has 8x8 px, less than the 32 px.*max_resolution",
    ),
    "float TIFF": (a_float_tiff, r"a\.tif holds pixels of the kind 'F'; expected 8 or 16 bits"),
    "empty table": (rows(""), r"labels\.csv has no column 'file'; it has nothing"),
    "header only": (rows(HEADER), r"labels\.csv has a header and no rows"),
    "no patient column": (rows("file,findings\na.png,Edema"), r"no column 'patient'; it has file"),
    "binary table": (table_of_bytes, r"labels\.csv cannot be read as a table"),
    "duplicate rows": (rows("a.png,P1,Edema\na.png,P1,Edema"), r"line 4: a\.png is there twice"),
    "two patients": (rows("a.png,P1,Edema\na.png,P2,Edema"), r"line 4: .* two patients, P1 and P2"),
    "no patient": (rows("a.png,,Edema"), r"line 3: a\.png has no patient"),
    "typo": (rows("a.png,P1,Edma"), r"line 3: Unknown finding 'Edma'.*Did you mean 'Edema'"),
    "contradiction": (rows("a.png,P1,Edema|No Finding"), r"'No Finding' cannot stand beside"),
    "climbing path": (rows("../a.png,P1,Edema"), r"line 3: '\.\./a\.png' leads out of the folder"),
    "absolute path": (rows("/etc/passwd,P1,Edema"), r"'/etc/passwd' leads out of the folder"),
    "missing file": (rows("c.png,P1,Edema"), r"rows without a file: 1 \(c\.png\).*--allow_missing"),
    "short row": (rows("a.png,P1"), r"line 3: not as many fields as columns"),
    "not a number": (
        rows("file,patient,Edema\na.png,P1,yes"),
        r"line 2: Edema is 1, 0, blank \(absent\) or \? \(unknown\), got 'yes'",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input(case, run_tool, tmp_path, capsys):
    make, expected = CASES[case]
    root = tmp_path / "clinic"
    root.mkdir()
    png(root / "good.png")
    added = make(root)
    if added is not None:
        whole = not added or added.startswith("file,")
        (root / "labels.csv").write_text(added if whole else f"{HEADER}\n{GOOD}\n{added}\n")
    status = run_tool(
        "build_records",
        "--source=folder",
        f"--input={root}",
        "--findings=shared_7",
        f"--output={tmp_path / 'records'}",
        "--max_resolution=32",
        f"--key_file={tmp_path / 'key'}",
        "--workers=0",
    )
    message = capsys.readouterr().err.split("Error: ")[-1]
    assert status == 1

    assert re.search(expected, message, re.DOTALL), message
    assert "Traceback" not in message
    assert not (tmp_path / "records" / "manifest.json").exists()


def test_the_rest_is_built_and_what_is_left_out_is_listed_beside_the_set(
    run_tool, tmp_path, capsys
):
    root = tmp_path / "clinic"
    root.mkdir()
    png(root / "good.png")
    lines = [HEADER, GOOD]
    for number, make in enumerate((truncated_dicom, truncated_jpeg)):
        (root / str(number)).mkdir()
        lines.append(f"{number}/{make(root / str(number))}")
    (root / "lateral").mkdir()
    lines.append("lateral/" + only_a_lateral_view(root / "lateral").splitlines()[1])
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    arguments = [
        "--source=folder",
        f"--input={root}",
        "--findings=shared_7",
        f"--output={tmp_path / 'records'}",
        "--max_resolution=32",
        f"--key_file={tmp_path / 'key'}",
        "--workers=0",
        "--max_bad=2",
    ]
    assert run_tool("build_records", *arguments) == 0
    output = capsys.readouterr().out
    listing = tmp_path / "records.left_out.csv"
    assert f"Left out: 2 broken images, 1 others: {listing}" in output
    text = listing.read_text()
    for name, broken in (("0/a.dcm", 1), ("1/a.jpg", 1), ("lateral/a.dcm", 0)):
        assert f"{name},{broken}," in text
    assert "Images of each finding" in output
    for path in (tmp_path / "records").rglob("*"):
        assert path.is_dir() or b"a.dcm" not in path.read_bytes()
    assert run_tool("build_records", *arguments) == 0
    assert "Already complete" in capsys.readouterr().out
