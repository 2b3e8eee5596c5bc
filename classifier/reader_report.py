"""Tables of a reader study as the paper lays them out, from its rows of measurements."""

import itertools
from collections.abc import Sequence

import numpy as np

from classifier import reader_answers, reader_results, reader_study
from classifier.reader_results import Row
from classifier.reader_study import ALL_READERS, AUC, RATES
from pgan import results

# Accuracy of three readers each, at 256, 512 and 1024 px <Results, Table 1>, in percent.
PAPER = {
    "CV experts": {256: (60, 5), 512: (67, 17), 1024: (82, 4)},
    "radiologists": {256: (51, 5), 512: (65, 5), 1024: (77, 13)},
}
_PAPER_NOTE = (
    "The paper's rows are for information only: other readers, images and generator, three readers "
    "a group, 100 images a reader and resolution. By its methods ± is the standard error among the "
    "readers. Of the agreement its text says that there was none at 256 px and more at 512 and "
    "1024 px, of table S2 that sensitivity was higher than specificity; the numbers themselves are "
    "not at hand here."
)
_UNANSWERED = {"wrong": "counted as wrong", "excluded": "left out"}
_QUICK = f"{1000 * reader_study.QUICK_SECONDS:g} ms"
_LISTED = 12  # images of a kind that the report names; images.csv has all


def text(
    study: reader_answers.Study,
    panels: Sequence[reader_study.Panel],
    rows: Sequence[Row],
    others: Sequence[Row] = (),
    figures: Sequence[str] = (),
) -> str:
    """The report as Markdown.

    Args:
        study: The study.
        panels: Its answers.
        rows: Its measurements, of `reader_results.rows`.
        others: Those with unanswered images counted the other way, if they differ.
        figures: Names of pictures beside the report.
    """
    parts = [
        f"# {study.deck.title}: who tells synthetic radiographs from real ones",
        *_warnings(study),
        _conditions(study, panels, rows),
        "## Table 1: accuracy and agreement",
        table_1(rows),
        _PAPER_NOTE,
    ]
    if others:
        word = _UNANSWERED[others[0]["unanswered"]]
        parts += [f"### Table 1, unanswered images {word}", table_1(others, agreement=False)]
    parts += ["## Table S2: readers", _table_s2(rows), _METHOD_READERS]
    if any(row["metric"] == AUC for row in rows):
        parts += ["## Confidence", _confidence(rows)]
    comparison = _comparison(rows)
    if comparison:
        parts += ["## Groups and resolutions compared", comparison, _METHOD_DIFFERENCES]
    parts += ["## Time", _times(rows)]
    shown = _shown(rows)
    if shown:
        parts += ["## How images were shown", shown, _METHOD_SHOWN]
    reasons = _reasons(rows)
    if reasons:
        parts += ["## Reasons that readers ticked", reasons]
    parts += ["## Images that fooled everyone and no one", _images(study, rows)]
    parts += [f"![{name}]({name})" for name in figures]
    parts += ["## How the numbers are made", _METHOD]
    return "\n\n".join(parts) + "\n"


_METHOD_READERS = (
    "Exact (Clopper-Pearson) 95 % intervals over images for this reader. p: exact binomial test "
    "against guessing, two-sided; Holm: adjusted for the readers of a resolution. \"Said "
    "synthetic\": share of the answers; above 50 % a reader has a leaning that raises sensitivity "
    "and lowers specificity."
)  # fmt: skip
_METHOD_DIFFERENCES = (
    "Differences in percentage points, with 95 % intervals and p values of no difference for other "
    "readers and images, not adjusted for their number; none for groups of fewer than 3 readers."
)
_METHOD_SHOWN = (
    "Of each resolution: screen pixels per pixel of the image, in the window as it was at its last "
    "image. Below 1 the image was reduced, so that its finest detail could not be seen unless it "
    "was enlarged. Pixel ratio: screen pixels per pixel of the page. Answers under "
    f"{_QUICK} are quicker than a person reacts; they count as the others do, and answers.csv has "
    "their times."
)
_METHOD = (
    "A positive is a synthetic image: sensitivity is the share of synthetic images found to be "
    "synthetic, specificity that of real images found to be real. \"± SE\" is the standard "
    "deviation among the readers of a group (n - 1) divided by the root of their number. Intervals "
    "of groups hold for other readers of that kind and for other images: variance of Obuchowski "
    "and Rockette, degrees of freedom of Hillis, exact interval of Korn and Graubard; fewer "
    "than three readers say too little of others to have one. \"p if all "
    "guessed\" exchanges what is real among the images, the answers of all readers to an image "
    "together: small if the group does better than guessing; it says nothing of other readers. Of "
    "single readers it is the exact binomial test. Kappa is Fleiss'; images that one of the "
    "readers did not answer are left out of it; its interval is over images (jackknife), for these "
    "readers. AUC is that of the confidence, counted negative where the answer was real. All rows: "
    "results.jsonl; all answers: answers.csv; all images: images.csv."
)  # fmt: skip


def _warnings(study):
    parts = []
    simulated = [code for code, own in study.answers.items() if own.simulated]
    if simulated and len(simulated) < len(study.answers):
        parts.append(
            f"**Simulated readers: {', '.join(simulated)}. They have not seen these images, and "
            "the numbers of groups count them in; give --answers without their files.**"
        )
    elif simulated:
        parts.append(
            "**Simulated readers. No person has seen these images: this shows what a report looks "
            "like, not whether images are convincing.**"
        )
    if study.unfinished:
        parts.append("**Incomplete.** " + " ".join(study.unfinished))
    return parts


def _conditions(study, panels, rows):
    deck = study.deck
    time = "any time" if deck.seconds is None else f"{deck.seconds:g} s"
    lines = [f"Deck {deck.id}, {deck.mode}, {time} for an image."]
    names = ", ".join(
        f"{group} ({len(panels[0].of_group(group))})" for group in dict.fromkeys(panels[0].groups)
    )
    absent = f" No file was given of {', '.join(study.absent)}." if study.absent else ""
    lines.append(f"Readers: {names}.{absent}")
    for panel in panels:
        synthetic = int(panel.synthetic.sum())
        out = int((panel.shown & np.isnan(panel.called)).sum())
        lines.append(
            f"{panel.resolution} px: {synthetic} synthetic and {len(panel.items) - synthetic} real "
            f"images, {int(panel.shown.sum()):,} shown, {out} without an answer."
        )
    unanswered = _UNANSWERED[rows[0]["unanswered"]]
    lines.append(f"Images without an answer are {unanswered} unless said otherwise.")
    odd = _odd_conditions(rows)
    if odd:
        lines.append(f"**Look at the conditions of {'; '.join(odd)}.**")
    return "\n".join(f"* {line}" for line in lines)


def percent(value: float | None, digits: int = 0) -> str:
    """Such as "60" of 0.6."""
    return "n/a" if value is None else f"{100 * value:.{digits}f}"


def _range(row, digits=0):
    if row["low"] is None:
        return ""
    return f" ({percent(row['low'], digits)} to {percent(row['high'], digits)})"


def _p(value):
    return "n/a" if value is None else "< 0.001" if value < 0.001 else f"{value:.2g}"


def _chosen(rows, name, **facts):
    return [
        row
        for row in rows
        if row["name"] == name and all(row.get(key) == value for key, value in facts.items())
    ]


def _resolutions(rows):
    return list(dict.fromkeys(row["resolution"] for row in rows if row["name"] == "reader_group"))


def table_1(rows: Sequence[Row], agreement: bool = True) -> str:
    """Accuracy of the groups by resolution, with the paper's below.

    Args:
        rows: Of `reader_results.rows`.
        agreement: Whether kappa has a line as well.
    """
    resolutions = _resolutions(rows)
    lines = []
    for group in reader_results.group_order(rows):
        accuracy, agreed = [], []
        for resolution in resolutions:
            [row] = _chosen(
                rows, "reader_group", metric="accuracy", group=group, resolution=resolution
            )
            spread = "" if row["se"] is None else f" ± {percent(row['se'])}"
            accuracy.append(
                f"{percent(row['value'])}{spread} %{_range(row)}; SD {percent(row['sd'])}; "
                f"p if all guessed {_p(row['p_guessing'])}"
            )
            [row] = _chosen(rows, "reader_agreement", group=group, resolution=resolution)
            agreed.append(kappa_cell(row))
        lines.append([f"{group}: accuracy ± SE", *accuracy])
        if agreement:
            lines.append([f"{group}: Fleiss' kappa", *agreed])
    for group, own in PAPER.items():
        if set(own) & set(resolutions):
            cells = [own.get(resolution) for resolution in resolutions]
            cells = ["" if cell is None else f"{cell[0]} ± {cell[1]} %" for cell in cells]
            lines.append([f"*the paper's {group}: accuracy*", *cells])
    header = ["", *(f"{resolution} px" for resolution in resolutions)]
    return results.markdown_table(header, lines)


def kappa_cell(row: Row) -> str:
    """Such as "0.12 (0.02 to 0.22)" of a row of agreement."""
    if row["value"] is None:
        return "n/a"
    value, low, high = (round(row[name], 2) + 0.0 for name in ("value", "low", "high"))  # no -0
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def _table_s2(rows):
    lines = []
    for resolution in _resolutions(rows):
        of_readers = _chosen(rows, "reader", metric="accuracy", resolution=resolution)
        for row in of_readers:
            cells = [
                _rate(_chosen(rows, "reader", metric=metric, resolution=resolution,
                              reader=row["reader"])[0])
                for metric in RATES
            ]  # fmt: skip
            lines.append(
                [
                    f"{resolution} px", row["reader"], row["group"], *cells,
                    percent(row["called_synthetic"]) + " %",
                    _p(row["p_value"]), _p(row["p_holm"]), row["without_answer"],
                ]
            )  # fmt: skip
        for group in reader_results.group_order(rows):
            found = [
                _chosen(rows, "reader_group", metric=metric, resolution=resolution, group=group)[0]
                for metric in RATES
            ]
            cells = [
                f"{percent(row['value'])}"
                + ("" if row["se"] is None else f" ± {percent(row['se'])}")
                + f" %{_range(row)}"
                for row in found
            ]
            lines.append([f"{resolution} px", "mean ± SE", group, *cells, "", "", "", ""])
    header = ["", "reader", "group", *RATES, "said synthetic", "p", "p (Holm)", "no answer"]
    return results.markdown_table(header, lines)


def _rate(row):
    return f"{percent(row['value'])} %{_range(row)}"


def _confidence(rows):
    resolutions = _resolutions(rows)
    found = [row for row in rows if row["metric"] == AUC and row["name"] != "reader_difference"]
    names = list(dict.fromkeys(row.get("reader", row["group"]) for row in found))
    cells = {(row.get("reader", row["group"]), row["resolution"]): row for row in found}
    lines = []
    for name in sorted(names, key=lambda name: name == ALL_READERS):
        own = [cells[name, resolution] for resolution in resolutions]
        lines.append([name, *(_auc(row) for row in own)])
    return (
        results.markdown_table(["AUC", *(f"{side} px" for side in resolutions)], lines)
        + "\n\nOf a reader over images (DeLong), of a group, the mean over its readers, over "
        "readers and images; both symmetric in the log odds."
    )


def _auc(row):
    if row["value"] is None:
        return "n/a"
    ends = "" if row["low"] is None else f" ({row['low']:.2f} to {row['high']:.2f})"
    return f"{row['value']:.2f}{ends}"


def _comparison(rows):
    lines = []
    for row in _chosen(rows, "reader_difference"):
        if row["metric"] not in RATES:
            continue
        if row["between"] == "groups":
            names = f"{row['resolution']} px", f"{row['second']} - {row['first']}"
        else:
            names = row["group"], f"{row['second']} px - {row['first']} px"
        ends = _range(row, 1)
        lines.append((names, row["metric"], percent(row["value"], 1) + ends, row["p_value"]))
    table = []
    for names, own in itertools.groupby(
        sorted(lines, key=lambda line: list(dict.fromkeys(n for n, *_ in lines)).index(line[0])),
        key=lambda line: line[0],
    ):
        cells = [f"{cell}; p {_p(p)}" if p is not None else cell for _, _, cell, p in own]
        table.append([*names, *cells])
    return results.markdown_table(["", "", *RATES], table) if table else ""


def _times(rows):
    found = _chosen(rows, "reader_time")
    resolutions = list(dict.fromkeys(row["resolution"] for row in found))
    names = list(dict.fromkeys(row.get("reader", row.get("group")) for row in found))
    cells = {
        (row.get("reader", row.get("group")), row["resolution"]): (
            "n/a"
            if row["value"] is None
            else f"{row['value']:.1f} ({row['quartiles'][0]:.1f} to {row['quartiles'][1]:.1f})"
        )
        for row in found
    }
    lines = [[name, *(cells[name, resolution] for resolution in resolutions)] for name in names]
    header = ["seconds an image: median (quartiles)", *(f"{side} px" for side in resolutions)]
    return results.markdown_table(header, lines)


def _of_persons(rows):
    """{reader: rows of conditions}, without those who are simulated."""
    found = [row for row in _chosen(rows, "reader_conditions") if not row["simulated"]]
    readers = dict.fromkeys(row["reader"] for row in found)
    return {reader: [row for row in found if row["reader"] == reader] for reader in readers}


def _odd_conditions(rows):
    """Such as "r2 (1024 px shown at 61 %, reloads of the page: 2)"."""
    sentences = []
    for reader, own in _of_persons(rows).items():
        parts = [
            f"{row['resolution']} px shown at {percent(row['scale'])} %"
            for row in own
            if row["scale"] is not None and float(percent(row["scale"])) < 100
        ]
        if own[0]["reloads"]:
            parts.append(f"reloads of the page: {own[0]['reloads']}")
        quick = sum(row["value"] for row in own)
        if quick:
            parts.append(f"answers under {_QUICK}: {quick}")
        if parts:
            sentences.append(f"{reader} ({', '.join(parts)})")
    return sentences


def _shown(rows):
    lines = []
    for reader, own in _of_persons(rows).items():
        scales = ["n/a" if row["scale"] is None else f"{row['scale']:g}" for row in own]
        facts = [own[0][name] for name in ("pixel_ratio", "reloads")]
        facts = ["n/a" if fact is None else f"{fact:g}" for fact in facts]
        quick, count = (sum(row[name] for row in own) for name in ("value", "count"))
        lines.append([reader, own[0]["group"], *scales, *facts, f"{quick:,} of {count:,}"])
    header = ["reader", "group", *(f"{side} px" for side in _resolutions(rows))]
    header += ["pixel ratio", "reloads", f"answers under {_QUICK}"]
    return results.markdown_table(header, lines) if lines else ""


def _reasons(rows):
    found = _chosen(rows, "reader_reason")
    totals: dict[tuple[str, str], np.ndarray] = {}
    for row in found:
        own = totals.setdefault((row["group"], row["reason"]), np.zeros(4, int))
        own += [row["value"], row["synthetic_shown"], row["ticked_on_real"], row["real_shown"]]
    lines = [
        [group, reason, f"{a:,} of {b:,}", f"{c:,} of {d:,}"]
        for (group, reason), (a, b, c, d) in totals.items()
    ]
    if not lines:
        return ""
    header = ["", "reason", "on synthetic images", "on real images, falsely"]
    return results.markdown_table(header, lines)


def _images(study, rows):
    lines = []
    for row in _chosen(rows, "reader_images"):
        names = [
            f"{item} ({study.key[item].get('image_id', '')})" for item in row["items"][:_LISTED]
        ]
        if len(row["items"]) > _LISTED:
            names.append("...")
        lines.append(
            [
                f"{row['resolution']} px", f"{row['origin']}, {reader_results.verdict(row)}",
                f"{row['value']} of {row['images']}", f"{row['by_guessing']:.1f}",
                ", ".join(names),
            ]
        )  # fmt: skip
    header = ["", "", "images", "if all guessed", "which"]
    return results.markdown_table(header, lines)
