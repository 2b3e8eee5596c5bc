"""What scores of drawn findings say: rows, a report, matrices as CSV, figures. No model is needed.

results.jsonl            a row for each cell, finding, comparison; and the blocks
report.md                tables and what they mean
matrix.csv               Pearson's r; matrix_low.csv, matrix_high.csv: ends of its 95 % intervals
dose_response.csv        mean probabilities by strength
matrix.png, scatter.png  Fig 5D and 5C; dose_response.png, findings.png, comparison.png
"""

import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats as scipy_stats

from classifier import correlation, correlation_files, correlation_plots
from classifier import correlation_text as text
from pgan import results, run_folder
from pgan.data import labels as labels_lib
from pgan.data import record_set

_FIGURES = ("matrix", "scatter", "dose_response", "findings", "comparison")
# Of the paper: what its scatter plot shows.
_PAIRS = (("Cardiomegaly", "Cardiomegaly"), ("Cardiomegaly", "Fibrosis"))


@dataclasses.dataclass(frozen=True)
class Wishes:
    """What of a report can be chosen.

    Attributes:
        blocks: Groups of findings.
        pairs: (finding, output) of the scatter plot; empty for those of the paper, or the first
            finding where these are not there.
        other: Name of another matrix, and the matrix; None to compare with none.
        training_images: Of the generator by finding; None where that is not known.
    """

    blocks: int = 6
    pairs: tuple[tuple[str, str], ...] = ()
    other: tuple[str, correlation.Matrix] | None = None
    training_images: Mapping[str, int] | None = None


def training_images(plan: correlation_files.Plan, records: record_set.RecordSet) -> dict[str, int]:
    """Images of each finding that a generator was trained on.

    Args:
        plan: Names the records of its generator.
        records: A record set that should be these.

    Returns:
        {finding: images that are labelled with it, from 0.5 on}.

    Raises:
        ValueError: If the generator was trained on other images, or does not say on which.
    """
    own = plan.generator["training_records"]
    if not own:
        raise ValueError(
            f"{plan.generator['name']} does not say what it was trained on; leave out --records"
        )
    there = records.fingerprint, records.fold_fingerprint(own["fold"])
    if there != (own["fingerprint"], own["fold_fingerprint"]):
        raise ValueError(
            f"{plan.generator['name']} was not trained on the fold {own['fold']!r} of "
            f"{records.path} but on that of the record set {own['name']!r} with the fingerprint "
            f"{own['fingerprint'][:16]}; give that as --records, or leave it out"
        )
    counts = (records.label_matrix(own["fold"]) >= 0.5).sum(axis=0)
    places = [labels_lib.find(name, records.findings) for name in plan.findings]
    return {name: int(counts[place]) for name, place in zip(plan.findings, places, strict=True)}


def choose_pairs(
    plan: correlation_files.Plan, wanted: Sequence[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Pairs (finding, output) of a scatter plot, as generator and classifier call them.

    Raises:
        ValueError: If the one or the other has no such finding.
    """
    try:
        return [_find(plan, pair) for pair in wanted or _PAIRS]
    except ValueError:
        if wanted:
            raise
    shared = {labels_lib.common_name(name): name for name in plan.outputs}
    for finding in plan.findings:
        if labels_lib.common_name(finding) in shared:
            return [(finding, shared[labels_lib.common_name(finding)])]
    return [(plan.findings[0], plan.outputs[0])]


def _find(plan, pair):
    return tuple(
        names[labels_lib.find(name, names)]
        for name, names in zip(pair, (plan.findings, plan.outputs), strict=True)
    )


def write(
    output: pathlib.Path, plan: correlation_files.Plan, wishes: Wishes
) -> list[dict[str, Any]]:
    """Writes everything that follows from the scores of a folder.

    Args:
        output: The folder.
        plan: Whose scores are there.
        wishes: What can be chosen.

    Returns:
        The rows of results.jsonl.

    Raises:
        FileNotFoundError: If scores of a finding are missing.
        ValueError: If a file is damaged, or a pair is unknown.
    """
    pairs = choose_pairs(plan, wishes.pairs)
    scores = {name: correlation_files.load(plan, name, output) for name in plan.findings}
    matrices = _matrices(plan, scores)
    matrix = matrices["matrix"]
    clustering = correlation.cluster(matrix, wishes.blocks)
    doses = {name: correlation.dose_response(own.dose_scores) for name, own in scores.items()}
    likeness = correlation.compare(matrix, wishes.other[1]) if wishes.other else {}
    facts = {
        "generator": plan.generator["name"],
        "generator_fingerprint": plan.generator["fingerprint"],
        "classifier": plan.classifier["name"],
        "classifier_fingerprint": plan.classifier["fingerprint"],
        "resolution": plan.classifier["resolution"],
        "seed": plan.seed,
    }
    findings = _finding_rows(plan, scores, matrices, doses, wishes.training_images)
    compared = [
        {
            "name": "correlation_comparison",
            "with": wishes.other[0],
            "cells": name,
            "count": found.cells,
            "rank_correlation": _number(found.rank_correlation),
            "mean_absolute_difference": _number(found.mean_difference),
        }
        for name, found in likeness.items()
    ]
    blocks = _block_row(plan, clustering)
    rows = [*_cell_rows(plan, matrices), *findings, blocks, *compared]
    rows = [{**row, **facts} for row in rows]
    for name, values in matrices.items():
        run_folder.write_atomically(output / f"{name}.csv", correlation_files.to_csv(values))
    run_folder.write_atomically(output / "dose_response.csv", _dose_csv(plan, doses))
    figures = {
        "matrix": correlation_plots.matrix(matrix, clustering),
        "scatter": correlation_plots.scatter(
            [(*pair, *_pair(plan, scores, matrix, *pair)) for pair in pairs]
        ),
        "dose_response": correlation_plots.dose_response(plan.levels, doses, matrix),
        "findings": correlation_plots.findings(findings),
    }
    if likeness and likeness["all"].cells:
        figures["comparison"] = correlation_plots.comparison(matrix, *wishes.other)
    for name in _FIGURES:  # An earlier one would be taken for this report's.
        (output / f"{name}.png").unlink(missing_ok=True)
    for name, figure in figures.items():
        figure.savefig(output / f"{name}.png")
    results.write(output / "results.jsonl", rows)
    report = text.report(plan, matrix, findings, blocks, compared, pairs)
    run_folder.write_atomically(output / "report.md", report)
    return rows


def _matrices(plan, scores):
    """{"matrix", "matrix_low", "matrix_high"}: values and ends of intervals."""
    found = [correlation.correlate(own.strengths, own.scores) for own in scores.values()]
    columns = {
        "matrix": [estimate.value for estimate in found],
        "matrix_low": [estimate.low for estimate in found],
        "matrix_high": [estimate.high for estimate in found],
    }
    return {
        name: correlation.Matrix(plan.outputs, plan.findings, np.stack(values, axis=1))
        for name, values in columns.items()
    }


def _pair(plan, scores, matrix, finding, output):
    row, column = plan.outputs.index(output), plan.findings.index(finding)
    own = scores[finding]
    return own.strengths, own.scores[:, row], float(matrix.values[row, column])


def _number(value):
    """JSON has no NaN."""
    return None if math.isnan(value) else float(value)


def _ends(matrices, row, column):
    return {
        key: _number(matrices[name].values[row, column])
        for key, name in (("value", "matrix"), ("low", "matrix_low"), ("high", "matrix_high"))
    }


def _cell_rows(plan, matrices):
    diagonal = matrices["matrix"].diagonal()
    return [
        {
            "name": "correlation",
            "finding": finding,
            "output": output,
            "same_finding": diagonal.get(column) == row,
            **_ends(matrices, row, column),
            "images": plan.images,
        }
        for column, finding in enumerate(plan.findings)
        for row, output in enumerate(plan.outputs)
    ]


def _finding_rows(plan, scores, matrices, doses, counts):
    """A row for each finding of the generator; without an output of its own, values are None."""
    values, diagonal, rows = matrices["matrix"].values, matrices["matrix"].diagonal(), []
    for column, finding in enumerate(plan.findings):
        row, own = diagonal.get(column), {}
        if row is not None:
            dose, found = doses[finding], scores[finding]
            own = _ends(matrices, row, column)
            own["place"] = own["rank_correlation"] = None
            if own["value"] is not None:
                own["place"] = 1 + int((values[:, column] > values[row, column]).sum())
                rank = scipy_stats.spearmanr(found.strengths, found.scores[:, row])[0]
                own["rank_correlation"] = float(rank)
            own |= {
                "change": float(dose.change[row]),
                "change_low": float(dose.change_low[row]),
                "change_high": float(dose.change_high[row]),
                "rising": float(dose.rising[row]),
            }
        defined = not np.isnan(values[:, column]).all()
        strongest = plan.outputs[int(np.nanargmax(values[:, column]))] if defined else None
        rows.append(
            {
                "name": "generated_finding",
                "finding": finding,
                "output": None if row is None else plan.outputs[row],
                **own,
                "strongest_output": strongest,
                "outputs": len(plan.outputs),
                "images": plan.images,
                "dose_images": plan.dose_images,
                "training_images": counts[finding] if counts else None,
            }
        )
    return rows


def _block_row(plan, clustering):
    if clustering is None:
        return {"name": "correlation_blocks", "blocks": None, "order": None}
    names = plan.findings
    return {
        "name": "correlation_blocks",
        "blocks": [[names[column] for column in block] for block in clustering.blocks],
        "order": [names[column] for column in clustering.order],
        "outputs_left_out": [plan.outputs[row] for row in clustering.outputs_left_out],
    }


def _dose_csv(plan, doses):
    lines = ["finding,output,strength,mean,standard_error,latents"]
    lines += [
        f"{finding},{output},{level:g},{dose.mean[k, row]:.8f},{dose.error[k, row]:.8f},"
        f"{plan.dose_images}"
        for finding, dose in doses.items()
        for row, output in enumerate(plan.outputs)
        for k, level in enumerate(plan.levels)
    ]
    return "\n".join(lines) + "\n"
