"""Scoring as typed: from decks and files of answers to tables and figures, and bad input."""

import json

import pytest
import tiny_reader_studies as tiny
from PIL import Image

from pgan import results


@pytest.fixture
def deck(tmp_path):
    return tiny.write_deck(tmp_path / "deck", images=10, resolutions=(256, 512, 1024))


def _score(run_tool, deck, *arguments):
    output = deck.parent / "scores"
    given = (
        f"--deck={deck}",
        f"--key={deck}/key.json",
        f"--answers={deck.parent / 'answers'}",
        f"--output={output}",
    )
    return run_tool("score_reader_study", *given, *arguments), output


def test_simulated_readers_are_scored(run_tool, deck, capsys):
    simulated = f"--output={deck.parent / 'answers'}"
    given = (f"--deck={deck}", f"--key={deck}/key.json", simulated)
    assert run_tool("simulate_readers", *given, "--time_outs=0.05") == 0
    assert "simulated CV experts r1, true accuracy 256 px" in capsys.readouterr().out
    status, output = _score(run_tool, deck)
    assert status == 0
    assert "CV experts: accuracy ± SE" in capsys.readouterr().out
    report = (output / "report.md").read_text()
    for text in (
        "**Simulated readers. No person has seen these images",
        "## Table 1: accuracy and agreement",
        "### Table 1, unanswered images left out",
        "| *the paper's CV experts: accuracy*   | 60 ± 5 %",
        "## Table S2: readers",
        "radiologists - CV experts",
        "1024 px - 256 px",
        "## Confidence",
        "waves",
        "synthetic, called real by everyone",
    ):
        assert text in report, text
    for name in ("rates.png", "roc.png"):
        assert (output / name).read_bytes()[:4] == b"\x89PNG"
        assert f"]({name})" in report
    rows = results.read(output / "results.jsonl")
    assert all(row["simulated"] for row in rows)
    assert {row["unanswered"] for row in rows} == {"wrong", "excluded"}
    assert len((output / "answers.csv").read_text().splitlines()) == 1 + 6 * 60
    # Once more gives the same.
    assert _score(run_tool, deck)[0] == 0
    assert (output / "report.md").read_text() == report
    again = results.read(output / "results.jsonl")
    assert [{**row, "timestamp": 0} for row in again] == [{**row, "timestamp": 0} for row in rows]


def test_one_reader_without_confidence_or_a_time(run_tool, tmp_path):
    deck = tiny.write_deck(
        tmp_path / "deck", resolutions=(256,), groups={"r1": "thorax"}, mode="unrestricted",
        seconds=None, confidence=False, reasons=[],
    )  # fmt: skip
    content = tiny.answers(deck, "r1", wrong=["256-000"])
    for one in content["answers"]:
        one["confidence"] = None
    tiny.write(tmp_path / "answers" / "r1.json", tiny.sign(content))
    status, output = _score(run_tool, deck)
    assert status == 0
    report = (output / "report.md").read_text()
    assert "any time for an image" in report and "95 %" in report
    assert "Simulated" not in report and "## Confidence" not in report
    assert "Groups and resolutions compared" not in report and "ticked" not in report
    assert "thorax: Fleiss' kappa" in report and "n/a" in report


def test_incomplete_studies(run_tool, deck, capsys):
    for code in ("r1", "r2", "r4", "r5", "r6"):
        skipped = ["256-003"] if code == "r1" else []
        content = tiny.answers(deck, code, wrong=["256-001"], skipped=skipped)
        tiny.write(deck.parent / "answers" / f"{code}.json", content)
    status, output = _score(run_tool, deck)
    told = capsys.readouterr().err
    assert status == 1 and not output.exists()
    assert "reader r1 was shown 59 of 60 images" in told and "--allow_incomplete" in told
    status, output = _score(run_tool, deck, "--allow_incomplete")
    assert status == 0
    told = capsys.readouterr().err
    assert "Incomplete: " in told and "No file was given of r3." in told
    assert "**Incomplete.**" in (output / "report.md").read_text()


def test_bad_input_is_told_in_a_line(run_tool, deck, capsys):
    assert _score(run_tool, deck)[0] == 1
    assert "answers; wanted is a reader's answers" in capsys.readouterr().err
    content = tiny.answers(deck, "r1")
    content["answers"][0]["answer"] = None
    tiny.write(deck.parent / "answers" / "r1.json", content)
    assert _score(run_tool, deck, "--allow_incomplete")[0] == 1
    assert "r1.json was changed after the page had saved it" in capsys.readouterr().err
    key = json.loads((deck / "key.json").read_text())
    other = deck.parent / "other.json"
    other.write_text(json.dumps({**key, "deck": "ffff"}))
    assert _score(run_tool, deck, f"--key={other}")[0] == 1
    assert "other.json is the key of deck ffff" in capsys.readouterr().err
    assert run_tool("score_reader_study", f"--deck={deck}") == 1
    assert "give --deck, --key, --answers and --output, or --plan" in "".join(capsys.readouterr())


def test_sheet_of_images_that_were_judged_alike(run_tool, tmp_path, capsys):
    groups = {"r1": "a", "r2": "a"}
    deck = tiny.write_deck(tmp_path / "deck", images=3, resolutions=(256,), groups=groups)
    for code in groups:
        content = tiny.answers(deck, code, wrong=["256-001"])
        tiny.write(tmp_path / "answers" / f"{code}.json", content)
    images = tmp_path / "release" / "images" / "0256"
    images.mkdir(parents=True)
    assert _score(run_tool, deck, f"--images={tmp_path / 'release'}")[0] == 1
    assert "--images is the folder that" in capsys.readouterr().err
    for number in range(6):
        Image.new("L", (256, 256), 40 * number).save(images / f"256-{number:03}.png")
    status, output = _score(run_tool, deck, f"--images={tmp_path / 'release'}")
    assert status == 0 and "](sheet.png)" in (output / "report.md").read_text()
    with Image.open(output / "sheet.png") as sheet:
        # Three rows: wrongly called real, rightly real, rightly synthetic; the first of one image.
        grey = {colour for _, colour in sheet.getcolors()}
        assert sheet.height > 3 * 160 and {40, 80, 120, 160, 200} <= grey


def test_plan(run_tool, capsys):
    assert run_tool("score_reader_study", "--plan", "--expected_accuracy=0.7") == 0
    assert "# Plan of a reader study: an accuracy of 70 %" in capsys.readouterr().out
    assert run_tool("score_reader_study", "--plan", "--expected_accuracy=2") == 1
    assert "accuracy must be in (0, 1)" in capsys.readouterr().err
