"""report.md of a visualization."""

from collections.abc import Mapping, Sequence
from typing import Any

from pgan import region_shares, results

_RATIO_NOTE = (
    "`ratio`: of the absolute differences with - without the finding, the share within the region "
    "where the finding acts, over the region's share of the area (`area`); the mean over "
    "pseudo-patients, with the 95 % interval of a bootstrap of them. 1 is what a map gets that "
    "knows nothing, `largest` what one gets that lies inside entirely. The region: in the mean "
    "over {phantoms} phantoms of |drawn with the finding - drawn without|, the pixels with at "
    f"least {region_shares.EDGE:g} of the largest value. Where a finding has no fixed place or "
    "side, that is everywhere it may be, and few phantoms leave gaps in it: give more --phantoms.",
    "`of others`: the same number of the maps of the other findings in this region. Whatever "
    "changes lungs has more than 1 in a region that lies in the lungs: only a `ratio` above that "
    "of the others shows that the generator knows this finding from them. `above others`: 95 % "
    "interval of the difference of the two in one pseudo-patient.",
    "`of mean map`: the ratio of the mean of the signed differences, in which what differs from "
    "one pseudo-patient to the next cancels.",
)
_CHANGE_NOTE = (
    "`change`: mean absolute difference with - without the finding over all pixels, in grey levels "
    "of 255. A finding that changes next to nothing was not learned; one that changes much was not "
    "therefore learned well."
)
_MAP_NOTE = (
    "Maps show what this generator does when it is asked for a finding, not what the finding is: a "
    "generator that has learned shortcuts, such as a view or a device that goes with it, shows "
    "these. Synthetic images are not for diagnosis."
)


def report(
    title: str,
    facts: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    pictures: Sequence[str],
    nearest: bool,
) -> str:
    """Text of the report.

    Args:
        title: Of the generator.
        facts: That all rows share.
        rows: Of `mean_maps.rows`, with these facts.
        pictures: Paths of PNG files, relative to the report.
        nearest: Whether there are pictures of training images as well.
    """
    parts = [
        f"# Findings of {title}",
        f"* generator: {facts['generator']}, fingerprint {facts['generator_fingerprint'][:16]}\n"
        f"* all other findings held at: {facts['others']}",
        _MAP_NOTE,
    ]
    ratios = [row for row in rows if row["name"] == "map_ratio"]
    if ratios:
        notes = "\n".join(f"* {note}" for note in _RATIO_NOTE)
        notes = notes.replace("{phantoms}", str(facts["phantoms"]))
        parts += ["## Where the maps lie", ratio_table(ratios), notes]
    changes = [row for row in rows if row["name"] == "map_change"]
    if changes:
        count = f"{changes[0]['count']:,} pseudo-patients of seed {facts['seed']}."
        parts += ["## How much changes", change_table(changes), f"{_CHANGE_NOTE} {count}"]
    parts += ["## Pictures"]
    if nearest:
        parts += ["Not here, since they show patients: the nearest training images, `nearest/`."]
    parts += [f"![{name}]({name})" for name in pictures]
    return "\n\n".join(parts) + "\n"


def ratio_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown table of rows "map_ratio", the largest ratio first."""
    header = (
        "finding", "ratio", "95 %", "of others", "above others", "of mean map", "largest", "area",
    )  # fmt: skip
    order = sorted(rows, key=lambda row: -(row["value"] or 0.0))
    cells = [
        [
            row["finding"], row["value"], _interval(row), row["of_others"],
            _interval(row["margin"]), row["of_mean_map"], row["largest"], row["area"],
        ]
        for row in order
    ]  # fmt: skip
    return results.markdown_table(header, cells)


def change_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown table of rows "map_change", the largest change first."""
    order = sorted(rows, key=lambda row: -(row["value"] or 0.0))
    cells = [[row["finding"], row["value"], _interval(row)] for row in order]
    return results.markdown_table(("finding", "change", "95 %"), cells)


def _interval(row):
    if row["low"] is None:
        return ""
    return f"{results.format_number(row['low'])} to {results.format_number(row['high'])}"
