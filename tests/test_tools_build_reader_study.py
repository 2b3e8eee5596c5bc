"""The tool that builds a reader study, as its users run it."""

import json

import pytest
import tiny_readers


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    tiny_readers.sources(folder)
    return folder


@pytest.fixture
def build(run_tool, sets, tmp_path):
    def run(*more, **flags):
        flags = {
            "records": sets / "real",
            "synthetic": sets / "synthetic",
            "fold": "all",
            "resolutions": "32,16",
            "count": 4,
            "readers": "cv1,rad1",
            "output": tmp_path / "deck",
            "key": tmp_path / "key.json",
            **flags,
        }
        given = [f"--{name}={value}" for name, value in flags.items() if value is not None]
        return run_tool("build_reader_study", *given, *more)

    return run


def test_study_is_built_and_released(build, run_tool, tmp_path, capsys):
    groups = "--groups=cv1=vision,rad1=general radiology"
    assert build("--allow_markers", groups, "--confidence", "--reasons=bones,other") == 0
    printed = capsys.readouterr()
    deck = json.loads((tmp_path / "deck" / "deck.json").read_text())
    assert deck["resolutions"] == [16, 32] and deck["seconds"] == 30 and not deck["zoom"]
    assert deck["readers"] == {"cv1": {"group": "vision"}, "rad1": {"group": "general radiology"}}
    assert deck["confidence"] and deck["reasons"] == ["bones", "other"]
    assert "| border mean" in printed.out and f"deck {deck['deck']}: 16 images" in printed.out
    assert "WARNING: the images of" in printed.err and "are not covered" in printed.err
    key = json.loads((tmp_path / "key.json").read_text())
    assert sorted(key["items"]) == sorted(deck["items"]["16"] + deck["items"]["32"])

    places = [f"--output={tmp_path / 'deck'}", f"--key={tmp_path / 'key.json'}"]
    assert run_tool("build_reader_study", *places, f"--release={tmp_path / 'public'}") == 0
    assert (tmp_path / "public" / "answers.csv").exists()


def test_unrestricted_studies_have_zoom_and_no_limit(build, tmp_path):
    assert build("--allow_markers", mode="unrestricted") == 0
    deck = json.loads((tmp_path / "deck" / "deck.json").read_text())
    assert deck["mode"] == "unrestricted" and deck["zoom"] and deck["seconds"] is None


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({}, "give --mask_markers here"),
        ({"readers": "cv1,cv1"}, "--readers names 'cv1' twice"),
        ({"readers": None}, "--readers=cv1,cv2,rad1"),
        ({"resolutions": "big"}, "--resolutions wants numbers"),
        ({"mode": "unrestricted", "seconds": 9}, "unrestricted mode has no limit"),
        ({"key": "deck/key.json", "output": "deck"}, "lies in the folder of the deck"),
        ({"records": "nowhere"}, "There is no record set"),
    ],
)
def test_mistakes_are_told_in_a_line(build, capsys, flags, message):
    assert build(**flags) == 1
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
