"""The folder that an evaluation leaves behind: rows, a report for people, and figures.

results.jsonl   a line for each number; those of later evaluations are appended
report.md       tables and what they mean; this and the figures are of the last evaluation
grid.png        real images above synthetic ones
spectra.png     power spectra
diversity.png   similarity of pairs with the same finding
evolution.png   distances of a run while it was trained
"""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

from pgan import distance_curves, evaluation, results
from pgan.metrics import diversity, kernel, plots, spectrum

RESULTS, REPORT = "results.jsonl", "report.md"
_FIGURES = ("grid.png", "spectra.png", "diversity.png", "evolution.png")

# What every report says about its first table, before what holds for these sets only.
_READING = (
    "`real`: other real images in place of the synthetic ones, the floor: what a perfect generator "
    "would get on average with so many images. A number says something beside the floor only.",
    "`8 px`: the same reals without any detail.",
    "Only numbers of the same name, resolution and reference compare. Names hold the count of "
    "images of each set, the features, and how images were chosen: distances of fewer images are "
    "larger, and those in other features have another unit.",
    "`fd`, `fid` (Frechet distance): smaller is better. `kd`, `kid` (kernel distance): 0 on "
    "average for equal distributions, so at times below; `m` is the size of its subsets where it "
    f"is not {kernel.SUBSET_SIZE}.",
    "`precision`: share of the synthetic images that are near real ones; `recall`: share of the "
    "real ones that are near synthetic ones. `density` and `coverage`: likewise, less dependent on "
    "single images. Good is near the values of `real`; a generator that repeats itself has "
    "precision without recall.",
    "`swd` (sliced Wasserstein distance of patches, times 1000): smaller is better. Of grey "
    "images, so not comparable with numbers of colour images.",
    "`spectrum..._db`: root mean square difference of the power spectra in decibels.",
)
_FINDING_NOTE = (
    "Synthetic images that were drawn for a finding, and other reals that have it, each against "
    "reals of the reference that have it; as many of each set as the smallest has. Compare "
    "`synthetic` with `real` in the same line, not findings with each other: their counts differ."
)
_EVOLUTION_NOTE = (
    "Distances that training measured by itself, over few images. They show the course; values "
    "compare with each other under the same name only. Images of earlier stages were enlarged."
)


def write(
    folder: str | os.PathLike,
    found: evaluation.Evaluation,
    title: str,
    curves: distance_curves.Curves | None = None,
) -> list[pathlib.Path]:
    """Writes everything but the images that were compared.

    Args:
        folder: Where to; made if absent.
        found: What to write.
        title: Of the report.
        curves: Distances of the run while it was trained, if it has any.

    Returns:
        The files.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for row in (*found.rows, *found.pairs):
        results.append(folder / RESULTS, row)
    for name in _FIGURES:  # Those of an earlier evaluation would be taken for this one's.
        (folder / name).unlink(missing_ok=True)
    found.grid.save(folder / "grid.png")
    spectra_rows = [row for row in found.rows if "db" in row]
    figures = {}
    if spectra_rows:
        figures["spectra.png"] = plots.spectra(spectra_rows, "Power spectra")
    if found.pairs:
        title_of_pairs = "Similarity of pairs with the same finding"
        figures["diversity.png"] = plots.diversity(found.pairs, title_of_pairs)
    if curves is not None:
        title_of_curves = f"{curves.run}: distance to real images while training"
        figures["evolution.png"] = plots.evolution(curves, title_of_curves)
    for name, drawing in figures.items():
        drawing.savefig(folder / name)
    (folder / REPORT).write_text(_report(found, title, figures), encoding="utf-8")
    return [folder / name for name in (RESULTS, REPORT, "grid.png", *figures)]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown table of whole sets: a line for each measure, a column for each set."""
    rows = [row for row in rows if "setting" not in row]
    kinds = list(dict.fromkeys(row["images"] for row in rows))
    values = {(row["metric"], row["images"]): row["value"] for row in rows}
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    cells = [[metric, *(values[metric, kind] for kind in kinds)] for metric in metrics]
    return results.markdown_table(("measure", *kinds), cells)


def finding_table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown table of sets that were chosen by their labels; empty without any."""
    cells = {}
    for row in (row for row in rows if "setting" in row):
        finding = row["findings"][0] if len(row["findings"]) == 1 else row["setting"]
        key = finding, row["count"], row["metric"]
        cells.setdefault(key, {})[row["images"]] = row["value"]
    header = ("finding", "images", "measure", evaluation.REAL, evaluation.SYNTHETIC)
    lines = [[*key, *(values.get(kind) for kind in header[3:])] for key, values in cells.items()]
    return results.markdown_table(header, lines) if lines else ""


def pair_table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown table of the rows of `diversity.compare`."""
    keys = ("mean", "sd", "pairs")
    header = ["finding", *(f"{side} {key}" for side in ("real", "synthetic") for key in keys)]
    lines = [
        [
            row["finding"],
            *(row[f"{side}_{key}"] for side in ("real", "synthetic") for key in keys),
            row["difference"],
            row["difference_standard_error"],
        ]
        for row in rows
    ]
    return results.markdown_table((*header, "difference", "its standard error"), lines)


def _report(found, title, figures):
    parts = [f"# {title}", _bullets(_facts(found.rows))]
    parts += ["## Distances", table(found.rows), _bullets([*_READING, *found.notes])]
    parts += ["## Images", "![Real images above synthetic ones](grid.png)"]
    by_finding = finding_table(found.rows)
    if by_finding:
        parts += ["## By finding", by_finding, _FINDING_NOTE, _balanced_note(found.rows)]
    if found.pairs:
        parts += ["## Diversity", pair_table(found.pairs)]
        parts += ["![Similarity of pairs](diversity.png)", _diversity_note(found.pairs[0])]
        parts += [_bullets(diversity.notes(found.pairs))]
    if "spectra.png" in figures:
        parts += ["## Spectra", "![Power spectra](spectra.png)", _peaks(found.rows)]
    if "evolution.png" in figures:
        parts += ["## While training", "![Distances while training](evolution.png)"]
        parts += [_EVOLUTION_NOTE]
    if found.left_out:
        parts += ["## Left out", _bullets(found.left_out)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _facts(rows):
    """What was measured, from the rows themselves."""
    row = next(row for row in rows if row["images"] == evaluation.SYNTHETIC)
    facts = [f"synthetic: {row['source']}"]
    if row.get("kept_as_best"):
        facts.append(f"its checkpoint was kept as the best: {_described(row['kept_as_best'])}")
    if "labels" in row:
        facts.append(f"labels that it was drawn for: {_described(row['labels'])}")
    return [
        *facts,
        "reference, real images"
        + (" of patients that were not trained on" if row.get("reference_unseen") else "")
        + f": {row['reference']}",
        f"{row['count']:,} images of each set, {row['resolution']} px",
        f"features: {_described(row['features'])}",
        f"seed: {row['seed']}",
    ]


def _balanced_note(rows):
    row = next((row for row in rows if row.get("setting") == "balanced"), None)
    if row is None:
        return ""
    return (
        f"`balanced`: {row['images_per_finding']:,} images of each set for each of "
        f"{', '.join(row['findings'])}; an image with several of them is there for the rarest."
    )


def _diversity_note(row):
    note = (
        f"Mean `{row['metric']}` of random pairs of images with the same finding, of different "
        "patients on the real side; it is higher where images resemble one another more. A "
        "generator that lost diversity has a positive difference of several standard errors. It "
        "says nothing about quality: noise is diverse. Values at other sizes are another measure."
    )
    if "paper_code" in row["metric"]:
        note += (
            " The variant `paper_code` has the exponents of the paper's released code, but was not "
            "seen to reproduce the paper's figure: its values do not compare with published ones."
        )
    return note


def _peaks(rows):
    """What regular patterns the synthetic images have, in words."""
    (row,) = (r for r in rows if "db" in r and r["images"] == evaluation.SYNTHETIC)
    if row["count"] < spectrum.FEWEST_FOR_PEAKS:
        return ""
    if not row["peaks"]:
        return "No regular pattern was found in the synthetic images that the reference has not."
    header = ("cycles per pixel", "direction, degrees", "dB above its surroundings", "score")
    cells = [[p["frequency"], p["angle"], p["excess"], p["score"]] for p in row["peaks"]]
    return "Regular patterns in the synthetic images:\n\n" + results.markdown_table(header, cells)


def _bullets(sentences):
    return "\n".join(f"* {sentence}" for sentence in sentences)


def _described(facts):
    known = {key: value for key, value in facts.items() if value is not None}
    return ", ".join(
        f"{key} {results.format_number(value) if isinstance(value, float) else value}"
        for key, value in known.items()
    )
