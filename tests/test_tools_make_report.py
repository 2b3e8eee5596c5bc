"""The page of a report, made as by the command."""

import json
import pathlib
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path):
    rows = [{"what": "speed", "value": 7.25, "timestamp": 1e9}]
    path = tmp_path / "measured"
    path.mkdir()
    (path / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_tool_writes_one_file_and_says_its_size(run_tool, folder, tmp_path, capsys):
    output = tmp_path / "out" / "page.html"
    assert run_tool("make_report", str(folder), f"--output={output}", "--title=Mine & yours") == 0
    text = output.read_text(encoding="utf-8")
    assert "<title>Mine &amp; yours</title>" in text and "7.25" in text
    assert f"report: {output} (0.0 MB)" in capsys.readouterr().out
    assert [path.name for path in output.parent.iterdir()] == ["page.html"]


def test_damaged_lines_are_warned_of(run_tool, folder, tmp_path, capsys):
    with open(folder / "results.jsonl", "a") as file:
        file.write("nonsense\n")
    assert run_tool("make_report", str(folder), f"--output={tmp_path / 'page.html'}") == 0
    assert "Warning: measured/results.jsonl: 1 damaged line" in capsys.readouterr().err


def test_mistakes_are_told_in_a_line(run_tool, folder, tmp_path, capsys):
    assert run_tool("make_report", str(tmp_path / "absent")) == 1
    assert "Error: there is no" in capsys.readouterr().err
    assert run_tool("make_report", str(folder), f"--output={tmp_path}") == 1
    assert "is a folder; give a file such as" in capsys.readouterr().err


@pytest.mark.slow
def test_a_browser_shows_the_page(run_tool, folder, tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("no Chromium is installed")
    page, picture = tmp_path / "page.html", tmp_path / "page.png"
    assert run_tool("make_report", str(folder), f"--output={page}") == 0
    subprocess.run(
        [
            browser, "--headless=new", "--no-sandbox", "--disable-gpu", f"--screenshot={picture}",
            f"--user-data-dir={tmp_path / 'profile'}", "--window-size=400,900", page.as_uri(),
        ],
        check=True,
        capture_output=True,
        timeout=300,
    )  # fmt: skip
    pixels = np.asarray(Image.open(pathlib.Path(picture)).convert("L"))
    assert pixels.shape == (900, 400) and pixels.min() < 100 < 250 < np.median(pixels)
