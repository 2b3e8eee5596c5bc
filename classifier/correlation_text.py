"""The report on drawn findings, in words and tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from classifier import correlation, correlation_files
from pgan import results

_READING = (
    "r: Pearson's correlation of the strength that was asked for, uniform from 0 to 1 with all "
    "other findings absent, and the probability of the classifier. It is that of the generator and "
    "the classifier together: low where the one does not draw a finding or the other does not see "
    "it. It tells nothing about how large a change is, or whether a radiologist would see it.",
    "Intervals of 95 % hold for other images of the same two models, not for other trainings.",
    "Rank: Spearman's correlation. Well above r, the probability rises, but not in a line.",
    "Change: of the mean probability from strength 0 to 1, the same latents at both, with a 95 % "
    "interval; rising: share of the latents that have a higher probability at 1.",
    "Place: of the finding's own probability among all by r; 1 is the most specific. Strongest: "
    "the probability with the largest r.",
)
_ALIKE = (
    "Columns are grouped by average linkage of Euclidean distances, as in the paper, over the "
    "generator's axis only; the number of groups was given. Groups are there for every matrix, "
    "of noise too."
)
_OTHER = (
    "Generators and classifiers of other images, sizes and lengths of training give other "
    "matrices; cells are no independent draws, so there is no p value. Difference: mean of the "
    "absolute difference of cells."
)


def report(
    plan: correlation_files.Plan,
    matrix: correlation.Matrix,
    findings: Sequence[Mapping[str, Any]],
    blocks: Mapping[str, Any],
    compared: Sequence[Mapping[str, Any]],
    pairs: Sequence[tuple[str, str]],
) -> str:
    """Markdown of a report.

    Args:
        plan: What was drawn.
        matrix: Correlations.
        findings: Rows "generated_finding".
        blocks: Row "correlation_blocks".
        compared: Rows "correlation_comparison".
        pairs: Of the scatter plot.
    """
    generator, judge = plan.generator, plan.classifier
    scaled = ""
    if generator["resolution"] != judge["resolution"]:
        scaled = f", scaled down to the {judge['resolution']} px of the classifier"
    shown = "; ".join(f"{finding} to {output}" for finding, output in pairs)
    parts = [
        "# Which findings belong together",
        f"{plan.images:,} images for each of {len(plan.findings)} findings of "
        f"{generator['name']} at {generator['resolution']} px{scaled}, judged by "
        f"{judge['name']} ({len(plan.outputs)} findings); {plan.dose_images:,} latents at each of "
        f"{len(plan.levels)} strengths; seed {plan.seed}.",
        "## How well each finding is drawn",
        verdict(findings),
        finding_table(findings),
        "\n".join(f"* {line}" for line in _READING),
        "![r of each finding](findings.png)",
        "## Which go together",
        _blocks(blocks),
        "![Correlations](matrix.png)",
        _undefined(matrix),
        f"## Probability by strength\n\nEach point an image: {shown}.",
        "![Strength and probability](scatter.png)",
        "Means over the same latents at each strength, with 95 % intervals (two standard errors).",
        "![Dose response](dose_response.png)",
    ]
    if compared:
        parts += [f"## Beside the matrix of {compared[0]['with']}", _comparison(compared), _OTHER]
        if compared[-1]["count"]:
            parts.append("![Both matrices](comparison.png)")
    return "\n\n".join(part for part in parts if part) + "\n"


def verdict(findings: Sequence[Mapping[str, Any]]) -> str:
    """A sentence that counts every finding."""
    own = [row for row in findings if row["output"] is not None]
    defined = [row for row in own if row["value"] is not None]
    groups = (
        ("r is above 0 (its interval is)", [row for row in defined if row["low"] > 0]),
        ("r is not told from 0", [row for row in defined if row["low"] <= 0 <= row["high"]]),
        ("r is below 0", [row for row in defined if row["high"] < 0]),
        ("r is undefined", [row for row in own if row["value"] is None]),
        ("no output of the classifier", [row for row in findings if row["output"] is None]),
    )
    named = [
        f"{title}: {len(rows)} ({', '.join(row['finding'] for row in rows)})"
        for title, rows in groups
        if rows
    ]
    return f"Of {len(findings)} findings, {'; '.join(named)}."


def finding_table(findings: Sequence[Mapping[str, Any]]) -> str:
    """Markdown table, the best drawn finding first; those without r last."""
    known = any(row["training_images"] is not None for row in findings)
    header = ["finding", "r", "rank", "change", "rising", "place", "strongest"]

    def key(row):
        value = row.get("value")
        return -2.0 if value is None else value

    lines = []
    for row in sorted(findings, key=key, reverse=True):
        line = [row["finding"], "no such output", None, None, None, None]
        if row["output"] is not None:
            line[1] = _with_ends(row["value"], row["low"], row["high"])
            line[2] = row["rank_correlation"]
            line[3] = _with_ends(row["change"], row["change_low"], row["change_high"], 3)
            line[4] = row["rising"]
            line[5] = f"{row['place']} of {row['outputs']}" if row["place"] else None
        line.append(row["strongest_output"])
        lines.append([*line, row["training_images"]] if known else line)
    return results.markdown_table([*header, "training images"] if known else header, lines)


def _with_ends(value, low, high, digits=2):
    if value is None:
        return "undefined"
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _blocks(row):
    if row["blocks"] is None:
        return "There is no grouping: it needs two findings and a row without an undefined cell."
    named = "; ".join(", ".join(block) for block in row["blocks"])
    text = f"{len(row['blocks'])} groups, in the order of the figure: {named}. {_ALIKE}"
    if row["outputs_left_out"]:
        text += f" Left out, as not defined: {', '.join(row['outputs_left_out'])}."
    return text


def _undefined(matrix):
    """Which cells are not defined, and why."""
    missing = np.isnan(matrix.values)
    if not missing.any():
        return ""
    named = [
        f"{output} ({'all' if row.all() else row.sum()} of {len(row)})"
        for output, row in zip(matrix.outputs, missing, strict=True)
        if row.any()
    ]
    return (
        f"Undefined are {missing.sum()} of {missing.size} cells, as the classifier gave all images "
        f"of a finding one and the same probability: {', '.join(named)}."
    )


def _comparison(rows):
    lines = [
        [row["cells"], row["count"], row["rank_correlation"], row["mean_absolute_difference"]]
        for row in rows
    ]
    return results.markdown_table(("cells", "count", "rank correlation", "difference"), lines)
