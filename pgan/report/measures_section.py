"""Evaluations: distances beside their floor, by finding, pairs <fig S2>, and power spectra."""

import re
from collections.abc import Sequence

from pgan.metrics import plots as metric_plots
from pgan.report import collect, markup, paper, pictures, plots, section

_REAL, _SYNTHETIC = "real", "synthetic"
_EXPLANATIONS = {
    "fd": "Frechet distance, smaller is better",
    "fid": "Frechet inception distance, smaller is better",
    "kd": "kernel distance, about 0 if the distributions are equal",
    "kid": "kernel inception distance, about 0 if the distributions are equal",
    "swd": "sliced Wasserstein distance times 1000, smaller is better",
    "spectrum": "difference of the power spectra in decibels",
}


def build(found: collect.Found, album: pictures.Album) -> list[section.Section]:
    """Sections on measures and on spectra; none without an evaluation."""
    measures, spectra, shows = [], [], set()
    for folder in found.folders:
        for number, rows in enumerate(_evaluations(section.of_kind(folder, "evaluation"))):
            title = folder.name if not number else f"{folder.name}, {number + 1}"
            measures.append(
                section.guarded(rows, lambda t=title, r=rows, f=folder: _measures(t, r, f, found))
            )
            curves = [row for row in rows if "db" in row]
            if curves:
                spectra.append(
                    section.guarded(curves, lambda t=title, r=curves: _spectra(t, r, album))
                )
        pairs = section.of_kind(folder, "pairs")
        if pairs:
            shows.add("fig S2")
            measures.append(section.guarded(pairs, lambda f=folder, r=pairs: _pairs(f, r, album)))
        if section.of_kind(folder, "evaluation"):
            origin = found.origin(folder)
            caption = f"{folder.name}: real images ({section.origin_text(origin)}) above synthetic."
            grid = album.records(folder.picture("grid.png"), "real and synthetic", caption, origin)
            measures.append(markup.gallery([grid]))
    made = []
    if measures:
        measures.append(section.beside_paper("distance", *(["pairs"] if shows else [])))
        made.append(section.Section("Metrics and their floors", measures, frozenset(shows)))
    if spectra:
        made.append(section.Section("Power spectra", spectra))
    return made


def _evaluations(rows: Sequence[collect.Row]) -> list[list[collect.Row]]:
    """Rows of each evaluation of a folder: a later one starts when a measure comes again."""
    evaluations, seen = [], set()
    for row in rows:
        key = row["metric"], row["images"], row.get("setting")
        if not evaluations or key in seen:
            evaluations.append([])
            seen = set()
        seen.add(key)
        evaluations[-1].append(row)
    return evaluations


def whole(rows: Sequence[collect.Row]) -> list[collect.Row]:
    """Rows of whole sets, without those that were chosen by their labels."""
    return [row for row in rows if "setting" not in row]


def _measures(title, rows, folder, found):
    own = [row for row in whole(rows) if row["images"] == _SYNTHETIC] or rows
    first = own[0]
    kinds = list(dict.fromkeys(row["images"] for row in whole(rows)))
    values = {(row["metric"], row["images"]): row for row in whole(rows)}
    lines = []
    for metric in dict.fromkeys(row["metric"] for row in whole(rows)):
        cells = [_with_spread(values.get((metric, kind))) for kind in kinds]
        lines.append([markup.code(metric), _explained(metric), *cells])
    features = first.get("features") or {}
    names = {_REAL: "real (floor)"}
    parts = [
        markup.heading(title),
        markup.paragraph(
            f"{first['count']:,} synthetic images of {first['source']} against as many held-out "
            f"ones of {first['reference']} ({section.origin_text(found.origin(folder))}), "
            f"{first['resolution']} px, seed {first.get('seed')}; features "
            f"{features.get('network', 'of the row')}. The floor is what other real images reach "
            "in their place: a number says something beside it only."
        ),
        markup.table(["measure", "what", *(names.get(kind, kind) for kind in kinds)], lines),
    ]
    if _REAL not in kinds:
        parts.append(markup.paragraph("No floor was measured (--floor).", "note warning"))
    by_finding = [row for row in rows if "setting" in row]
    if by_finding:
        parts.append(_finding_table(by_finding))
    return parts


def _with_spread(row):
    if row is None or row["value"] is None:
        return None
    spread = row.get("spread")
    value = markup.number(float(row["value"]))
    return row["value"] if spread is None else f"{value} ± {markup.number(spread)}"


def _explained(metric):
    if metric.startswith(("pr", "dc")):
        return metric.rpartition("_")[2]
    return _EXPLANATIONS.get(re.match("[a-z]+", metric)[0], "")


def _finding_table(rows):
    values = {(row["setting"], row["metric"], row["images"]): row for row in rows}
    lines = []
    for setting, metric in dict.fromkeys((row["setting"], row["metric"]) for row in rows):
        real, synthetic = (values.get((setting, metric, kind)) for kind in (_REAL, _SYNTHETIC))
        one = synthetic or real
        lines.append(
            [
                setting, one["count"], markup.code(metric),
                real and real["value"], synthetic and synthetic["value"],
            ]
        )  # fmt: skip
    return markup.table(
        ["finding", "images of each set", "measure", "real (floor)", "synthetic"], lines,
        "By finding: images asked for with it, against real ones that have it.",
        "Compare within a line; counts differ between findings, and distances depend on them.",
    )  # fmt: skip


def _pairs(folder, rows, album):
    latest = list({row["finding"]: row for row in rows}.values())
    first = latest[0]
    lines = []
    for row in latest:
        printed = paper.FIG_S2.get(row["finding"])
        lines.append(
            [
                row["finding"], *_side(row, _REAL), *_side(row, _SYNTHETIC), row["difference"],
                row["difference_standard_error"],
                f"{printed[0]:.2f} / {printed[1]:.2f}" if printed else None,
            ]
        )  # fmt: skip
    header = [
        "finding", "real, mean ± SD", "pairs", "synthetic, mean ± SD", "pairs", "difference",
        "its standard error", "paper's NIH-GAN, real / synthetic",
    ]  # fmt: skip
    drawing = metric_plots.diversity(latest, "Similarity of pairs with the same finding")
    return [
        markup.heading(f"{folder.name}: likeness of images with the same finding"),
        markup.paragraph(
            f"{first['metric']} of up to {first['pairs_wanted']:,} random pairs at "
            f"{first['resolution']} px, seed {first['seed']}; real pairs are of different "
            "patients. Lower is more diverse. Values at another size are another measure; the "
            "paper's were read off a figure and come from code with an error in the exponents."
        ),
        album.drawing(plots.svg(drawing), "similarity of pairs", "Bars: means; whiskers: SD."),
        markup.table(header, lines),
    ]


def _side(row, side):
    mean, sd = row[f"{side}_mean"], row[f"{side}_sd"]
    text = None if mean is None else f"{mean:.3f}" + ("" if sd is None else f" ± {sd:.3f}")
    return text, row[f"{side}_pairs"]


def _spectra(title, rows, album):
    drawing = metric_plots.spectra(rows, "Power spectra")
    first = next((row for row in rows if row["images"] == _SYNTHETIC), rows[0])
    peaks = first.get("peaks", [])
    said = (
        "No regular pattern was found in the synthetic images that the reference has not."
        if not peaks
        else f"{section.counted(len(peaks), 'regular pattern')} in the synthetic images, marked."
    )
    caption = (
        f"{first['count']:,} images of each set, {first['resolution']} px; root mean square "
        f"difference of the synthetic ones {first['value']:.2f} dB. {said}"
    )
    return [
        markup.heading(title),
        album.drawing(plots.svg(drawing), f"power spectra, {title}", caption),
    ]
