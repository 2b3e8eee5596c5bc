import dataclasses

import numpy as np
import pytest
from PIL import Image

from pgan import distance_curves, evaluation, evaluation_report, results

_FACTS = {
    "source": "gan",
    "resolution": 32,
    "count": 100,
    "reference": "NIH, test",
    "features": {"network": "fixed", "sha256": None, "variant": "seed 1888"},
    "seed": 3,
}


def _row(metric, images, value, **more):
    return {"metric": metric, "value": value, "images": images, **_FACTS, **more}


def _pair(finding, metric="ms_ssim_2scales"):
    row = {"metric": metric, "resolution": 32, "finding": finding, "pairs_wanted": 50}
    row |= {"real": "NIH, test", "synthetic": "gan", "seed": 0}
    for side, mean in (("real", 0.5), ("synthetic", 0.625)):
        row |= {f"{side}_mean": mean, f"{side}_sd": 0.25, f"{side}_pairs": 45}
        row |= {f"{side}_pairs_existing": 45, f"{side}_images": 10}
    return row | {"difference": 0.125, "difference_standard_error": 0.03}


@pytest.fixture
def found():
    frequency = np.arange(1, 24) / 32
    curve = {
        "frequency": frequency.tolist(),
        "reference_db": (50 - 60 * frequency).tolist(),
        "db": (49 - 60 * frequency).tolist(),
    }
    peak = {"frequency": 0.25, "angle": 90.0, "excess": 8.5, "score": 9.0}
    mass = {"setting": "Mass", "findings": ["Mass"], "images_per_finding": 20, "count": 20}
    both = {"setting": "balanced", "findings": ["Mass", "Edema"], "images_per_finding": 15}
    rows = [
        _row("fd100_fixed", "real", 0.5),
        _row("spectrum100_32px_db", "real", 0.25, peaks=[], **curve),
        _row("fd100_fixed", "8 px, nearest", 6.0),
        _row("spectrum100_32px_db", "8 px, nearest", 9.0, peaks=[], **curve),
        _row("fd100_fixed", "synthetic", 1.75, labels={"label_sampling": "dataset"}),
        _row("spectrum100_32px_db", "synthetic", 1.0, peaks=[peak], **curve),
        _row("fd20_Mass_fixed", "real", 2.5, **mass),
        _row("fd20_Mass_fixed", "synthetic", 4.5, **mass),
        _row("fd30_balanced_fixed", "real", 1.5, **both),
        _row("fd30_balanced_fixed", "synthetic", 3.5, **both),
    ]
    grid = Image.new("L", (8, 8))
    return evaluation.Evaluation(rows, [_pair("Mass")], ["Peaks: too few."], ["No FID."], grid)


def _curves():
    values = {"fd64_fixed_to_held_out": [(1000, 5.0), (2000, 4.0)]}
    return distance_curves.Curves("run", values, [(0, 4, False)], 2000, None)


def _lines(text, start):
    return [line for line in text.splitlines() if line.startswith(start)]


def test_report_has_tables_notes_figures_and_what_is_missing(found, tmp_path):
    files = evaluation_report.write(tmp_path / "out", found, "gan against NIH", _curves())
    assert [file.name for file in files] == [
        "results.jsonl", "report.md", "grid.png", "spectra.png", "diversity.png", "evolution.png",
    ]  # fmt: skip
    assert all(file.stat().st_size for file in files)
    text = files[1].read_text()
    for name in ("grid.png", "spectra.png", "diversity.png", "evolution.png"):
        assert f"]({name})" in text

    def cells(start):
        (line,) = _lines(text, start)
        return [cell.strip() for cell in line.strip("|").split("|")]

    assert cells("| fd100_fixed") == ["fd100_fixed", "0.5", "6", "1.75"]
    assert cells("| Mass     ") == ["Mass", "20", "fd20_Mass_fixed", "2.5", "4.5"]
    assert cells("| balanced") == ["balanced", "100", "fd30_balanced_fixed", "1.5", "3.5"]
    assert cells("| Mass    | 0.5") == "Mass 0.5 0.25 45 0.625 0.25 45 0.125 0.03".split()
    assert cells("| 0.25 ") == ["0.25", "90", "8.5", "9"]
    assert "15 images of each set for each of Mass, Edema" in text
    assert "* No FID." in text and "* Peaks: too few." in text
    assert "labels that it was drawn for: label_sampling dataset" in text
    assert "`real`: other real images" in text and "the floor" in text
    assert "Mass (45 of 10 images)" in text


def test_rows_are_appended_and_the_rest_is_of_the_last_evaluation(found, tmp_path):
    evaluation_report.write(tmp_path, found, "first", _curves())
    plain = dataclasses.replace(
        found, rows=[row for row in found.rows if "setting" not in row and "db" not in row],
        pairs=[], left_out=[],
    )  # fmt: skip
    files = evaluation_report.write(tmp_path, plain, "second")
    assert [file.name for file in files] == ["results.jsonl", "report.md", "grid.png"]
    assert {path.name for path in tmp_path.iterdir()} == {file.name for file in files}
    assert len(results.read(files[0])) == len(found.rows) + 1 + len(plain.rows)
    text = files[1].read_text()
    assert text.startswith("# second\n") and "first" not in text
    for heading in ("By finding", "Diversity", "Spectra", "While training", "Left out"):
        assert f"## {heading}" not in text


def test_the_paper_code_variant_does_not_claim_to_compare(found, tmp_path):
    pairs = [_pair("Mass", "ms_ssim_paper_code_2scales")]
    evaluation_report.write(tmp_path, dataclasses.replace(found, pairs=pairs), "gan")
    assert "do not compare with published ones" in (tmp_path / "report.md").read_text()


def test_no_pattern_is_said_and_too_few_images_are_not_called_none(found, tmp_path):
    def report(**changes):
        rows = [{**row, **(changes if "db" in row else {})} for row in found.rows]
        evaluation_report.write(tmp_path, dataclasses.replace(found, rows=rows), "gan")
        return (tmp_path / "report.md").read_text()

    assert "No regular pattern was found" in report(peaks=[])
    assert "egular pattern" not in report(peaks=[], count=15).split("## Spectra")[1]
