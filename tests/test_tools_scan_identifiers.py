import os
import pathlib
import shutil

import pytest
import tiny_records

from pgan.data import identifier_control

TABLE = (
    "Image Index,Finding Labels,Patient ID,Patient Age\n"
    "00000017_000.png,Mass,17,64\n00000018_001.png,No Finding,18,57\n"
)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return tiny_records.build(tmp_path_factory.mktemp("records") / "tiny").path


@pytest.fixture
def scan(run_tool, records, tmp_path):
    """Runs the tool over a copy of a record set."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "labels.csv").write_text(TABLE)
    (tmp_path / "source" / "00000019_002.png").write_bytes(b"")
    shutil.copytree(records, tmp_path / "set")

    def run(*arguments):
        return run_tool(
            "scan_identifiers",
            f"--input={tmp_path / 'source'}",
            f"--scan={tmp_path / 'set'}",
            *arguments,
        )

    return run


def test_clean(scan, capsys):
    assert scan() == 0
    out = capsys.readouterr().out
    assert "labels.csv: Image Index 2, Patient ID 2" in out
    assert "Identifiers: 6 (image id 3, image id (part) 3)" in out
    assert "Too short to be searched for alone: 2" in out
    number = len(identifier_control.CONTAINERS) + 3
    assert f"Positive control: {number} of {number} found." in out
    assert "CLEAN: none of 6 identifiers" in out and "NOT" not in out


def test_found_and_masked(scan, tmp_path, capsys):
    (tmp_path / "set" / "log.txt").write_text("\nreading 00000017_000.png, 00000017_000.png")
    (tmp_path / "set" / "00000018_001").mkdir()
    (tmp_path / "set" / "00000018_001" / "a").write_text("")
    assert scan() == 1
    captured = capsys.readouterr()
    assert "log.txt: image id 00********** (line 2, byte 9), 2x" in captured.out
    assert "00**********/a: image id 00********** (its name), 1x" in captured.out
    assert "NOT CLEAN: identifiers found 3 times in 2 files; 0 problems." in captured.out
    assert "00000017" not in captured.out + captured.err
    assert "00000018" not in captured.out + captured.err


def test_what_cannot_be_searched_is_not_clean(scan, tmp_path, capsys):
    (tmp_path / "set" / "a.7z").write_bytes(b"7z\xbc\xaf\x27\x1c")
    assert scan() == 1
    assert "a.7z: cannot be searched: 7z archives" in capsys.readouterr().out


def test_names_columns_and_exceptions(scan, tmp_path, capsys):
    (tmp_path / "source" / "more.csv").write_text("code\nQX123456\n")
    (tmp_path / "names.txt").write_text("Jane Doering\n\nGregory\n")
    (tmp_path / "set" / "note.txt").write_text("doering QX123456 gregory 00000017_000")
    (tmp_path / "known.txt").write_text("Gregory\n00000017\n")
    assert scan(
        f"--names={tmp_path / 'names.txt'}",
        "--columns=code",
        f"--keep_out={tmp_path / 'known.txt'}",
    )
    out = capsys.readouterr().out
    assert "names.txt: 2 names" in out
    found = [
        line.split(": ")[1].split(" (line")[0] for line in out.splitlines() if "note.txt" in line
    ]
    assert sorted(found) == [
        "image id 00**********",
        "image id qx******",
        "person's name (part) do*****",
    ]


def test_results_inside_the_source_are_not_the_source(scan, records, tmp_path):
    shutil.copytree(records, tmp_path / "source" / "0a1b2c3d4e5f")
    assert scan(f"--scan={tmp_path / 'source' / '0a1b2c3d4e5f'}") == 0


def test_a_scan_that_misses_something_says_nothing(scan, monkeypatch, capsys):
    monkeypatch.setattr(identifier_control, "missed", lambda *arguments: ["gzip", "JSON"])
    assert scan() == 2
    captured = capsys.readouterr()
    number = len(identifier_control.CONTAINERS) + 3
    assert f"Positive control: {number - 2} of {number} found." in captured.out
    assert "CLEAN" not in captured.out
    assert "misses what was planted as or in: gzip, JSON" in captured.err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--scan=absent"], "no file or folder absent"),
        (["--input=absent"], "no file or folder absent"),
        (["--scan="], "--scan and --input or --names are needed"),
        (["--input="], "--scan and --input or --names are needed"),
        (["--names=absent.txt"], "absent.txt"),
        (["--nonsense"], "nonsense"),
        (["stray"], "stray"),
    ],
)
def test_usage_has_a_status_of_its_own(scan, capsys, arguments, message):
    assert scan(*arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.out + captured.err
    assert "CLEAN" not in captured.out


def test_nothing_to_search_for(run_tool, records, tmp_path, capsys):
    (tmp_path / "a.csv").write_text("age\n17\n")
    assert run_tool("scan_identifiers", f"--input={tmp_path}", f"--scan={records}") == 2
    assert "nothing to search for" in capsys.readouterr().err


def test_real_radiographs(run_tool, tmp_path, capsys):
    root = os.environ.get("PGAN_NIH_MINI")
    if not root:
        pytest.skip("PGAN_NIH_MINI does not name a folder of ChestX-ray14 with its CSV")
    run_tool(
        "build_records", "--source=nih", f"--input={root}", f"--output={tmp_path / 'set'}",
        "--max_resolution=32", "--max_images=40", f"--key_file={tmp_path / 'key'}", "--workers=0",
        "--allow_missing",
    )  # fmt: skip
    arguments = [f"--input={root}", f"--scan={tmp_path / 'set'}"]
    assert run_tool("scan_identifiers", *arguments) == 0
    name = next(path.name for path in sorted(pathlib.Path(root).rglob("*_000.png")))
    (tmp_path / "set" / "log.txt").write_text(f"reading {name}")
    assert run_tool("scan_identifiers", *arguments) == 1
    assert name.removesuffix("_000.png") not in capsys.readouterr().out
