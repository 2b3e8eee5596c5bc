"""Experiments with classifiers <Fig 2, Fig 3, fig S3, table S4>, and where classifiers look."""

import html
from collections.abc import Sequence

from pgan.report import collect, markup, paper, pictures, section

_MEAN, _ALL = "mean", "all"
_METRICS = ("auc", "accuracy", "sensitivity", "specificity", "ppv", "npv", "f1")
_FIGURES = {
    "composition": "Where the training images of each arm come from; hatched: with the finding.",
    "roc": "ROC curves on the test images; thin: seeds.",
    "metrics": "Metrics with 95 % intervals of redrawn patients.",
    "reliability": "Shares of positives by probability; larger points: more test images.",
    "diversity": "Likeness of random pairs of training images with the finding.",
    "robustness": "Under attack, by its strength in grey levels of 255.",
}
_SHOWN = {
    "fig2": {"roc": ("Fig 2B",), "metrics": ("Fig 2C",), "diversity": ("Fig 2A",)},
    "fig3": {"composition": ("Fig 3A",), "metrics": ("Fig 3B", "table S4")},
    "adversarial": {"robustness": ("fig S3",)},
}
_MOST_SHEETS = 4


def build(found: collect.Found, album: pictures.Album) -> list[section.Section]:
    """A section for all experiments, and one for explanations; none without such rows."""
    parts, shows = [], set()
    for folder in found.folders:
        rows = section.of_kind(folder, "classifier")
        if rows:
            parts.append(
                section.guarded(rows, lambda f=folder, r=rows: _experiment(f, r, album, shows))
            )
    made = [section.Section("Classifiers", parts, frozenset(shows))] if parts else []
    looks = []
    for folder in found.folders:
        rows = section.of_kind(folder, "explanation")
        if rows:
            looks.append(
                section.guarded(rows, lambda f=folder, r=rows: _explanation(f, r, found, album))
            )
    if looks:
        made.append(section.Section("Where classifiers look", looks))
    return made


def _arm(row):
    return row.get("arm", row.get("classifier"))


def _experiment(folder, rows, album, shows):
    own = [row for row in rows if row["name"] == "classifier"]
    every = [row for row in own if row["group"] == _ALL]
    first = every[0]
    name = first.get("experiment", "")
    plan = folder.facts.get("experiment.json", {})
    titles = {r["name"]: r["title"] for r in plan.get("experiment", {}).get("recipes", [])}
    arms = list(dict.fromkeys(map(_arm, own)))
    weights = plan.get("settings", {}).get("weights")
    facts = [
        f"{max(row['images'] for row in every):,} test images of "
        f"{max(row['patients'] for row in every):,} patients",
        f"{section.shared(rows, 'resolution')} px" if first.get("resolution") else "",
        f"seeds {section.shared(rows, 'seeds')}" if first.get("seeds") else
        section.counted(first["runs"], "run"),
        f"DenseNet-121 from {weights} weights" if weights else "",
        f"95 % intervals of {first['redraws']:,} redraws of patients",
        f"thresholds chosen on {first['thresholds']} images",
    ]  # fmt: skip
    heading = f"{folder.name}: {name} ({first['figure']})" if name else folder.name
    parts = [markup.heading(heading), markup.paragraph("; ".join(filter(None, facts)) + ".")]
    parts.append(_compositions(folder, arms, titles))
    parts.append(_arms_table(every, arms, titles))
    if name == "fig3":
        parts.append(_beside_fig3(every, arms, titles))
    compared = [row for row in rows if row["name"] == "comparison"]
    if compared:
        parts.append(_differences(compared, titles))
    calibrated = [row for row in rows if row["name"] == "calibration"]
    if calibrated:
        parts.append(_calibration(calibrated, titles))
    attacked = [row for row in rows if row["name"] == "robustness"]
    if attacked:
        parts.append(_under_attack(attacked, titles))
    alike = [row for row in rows if row["name"] == "diversity"]
    if alike:
        parts.append(_likeness(alike, titles))
    figures = []
    for kind, caption in _FIGURES.items():
        picture = album.chart(folder.picture(f"{kind}.png"), f"{kind} of {name}", caption)
        if picture:
            figures.append(picture)
            shows.update(_SHOWN.get(name, {}).get(kind, ()))
    parts.append(markup.beside(*figures))
    groups = _groups_table(own, arms, titles)
    return [*parts, groups, section.beside_paper(name)]


def _title(arm, titles):
    return titles.get(arm) or arm


def _compositions(folder, arms, titles):
    lines = []
    for arm in arms:
        counts = folder.arms.get(arm, {}).get("about", {}).get("composition")
        if counts:
            total = sum(counts.values())
            text = "; ".join(f"{number:,} {kind}" for kind, number in counts.items())
            lines.append([_title(arm, titles), total, text])
    header = ["arm", "training images", "of which"]
    return markup.table(header, lines) if lines else ""


def _shown_findings(rows):
    findings = list(dict.fromkeys(row["finding"] for row in rows))
    # The mean over one finding says nothing more.
    return [f for f in findings if f != _MEAN] if len(findings) == 2 else findings


def _arms_table(rows, arms, titles):
    """Metrics of each arm, of the one finding or the mean; for several findings the AUC of each."""
    values = {(_arm(row), row["finding"], row["metric"]): row for row in rows}
    findings = _shown_findings(rows)
    of = _MEAN if len(findings) > 1 else findings[0]
    positives = {row["finding"]: row.get("positives") for row in rows}
    caption = "Mean over findings" if of == _MEAN else f"{of}, {positives[of]:,} positive images"
    lines = [
        [_metric(metric), *(_estimate(values.get((arm, of, metric))) for arm in arms)]
        for metric in _METRICS
    ]
    names = [_title(arm, titles) for arm in arms]
    parts = [markup.table(["metric", *names], lines, caption)]
    if of == _MEAN:
        lines = [
            [
                finding,
                positives[finding],
                *(_estimate(values.get((a, finding, "auc"))) for a in arms),
            ]
            for finding in findings
            if finding != _MEAN
        ]
        header = ["finding", "positives", *names]
        note = "Other metrics of each finding are in results.jsonl."
        parts.append(markup.table(header, lines, "AUC by finding", note))
    return markup.join(parts)


def _estimate(row):
    return None if row is None else markup.estimate(row)


def _metric(name):
    return name.upper() if len(name) < 4 else name


def _beside_fig3(rows, arms, titles):
    values = {(row["metric"], _arm(row), row["finding"]): row for row in rows}
    pair = [arm for arm in ("one", "pooled") if arm in arms]
    lines = []
    for metric, printed in paper.FIG_3B.items():
        for finding, ends in printed.items():
            cells = [values.get((metric, arm, finding)) for arm in pair]
            if any(cells):
                own = map(_estimate, cells)
                lines.append([_metric(metric), finding, *own, *(f"{v:.3f}" for v in ends)])
    if not lines:
        return ""
    header = ["metric", "finding", *(_title(arm, titles) for arm in pair)]
    header += ["paper, one generator", "paper, two generators"]
    return markup.table(header, lines, "Beside the paper's Fig 3B, read off the figure")


def _differences(rows, titles):
    by_group = [row for row in rows if row["metric"] == "auc"]
    rows = [row for row in rows if row.get("group", _ALL) == _ALL]
    findings = _shown_findings(rows)
    values = {(r["first"], r["second"], r["finding"], r["metric"]): r for r in rows}
    pairs = list(dict.fromkeys((row["first"], row["second"]) for row in rows))
    names = [f"{_title(b, titles)} \N{MINUS SIGN} {_title(a, titles)}" for a, b in pairs]
    of = _MEAN if len(findings) > 1 else findings[0]
    lines = [
        [_metric(metric), *(_difference(values.get((*pair, of, metric))) for pair in pairs)]
        for metric in _METRICS
    ]
    correction = "not corrected for the number of metrics and pairs."
    note = f"p by {rows[0]['permutations']:,} exchanges of patients' predictions, {correction}"
    caption = "Differences, mean over findings" if of == _MEAN else f"Differences, {of}"
    parts = [markup.table(["metric", *names], lines, caption, note)]
    if of == _MEAN:
        lines = [
            [finding, *(_difference(values.get((*pair, finding, "auc"))) for pair in pairs)]
            for finding in findings
            if finding != _MEAN
        ]
        parts.append(
            markup.table(
                ["finding", *names], lines, "Differences of the AUC by finding",
                "p after Holm's correction over findings.",
            )
        )  # fmt: skip
    spread = _spread_table(values, pairs, names, of)
    groups = _group_differences(by_group, pairs, names, of)
    return markup.join([*parts, spread, groups])


def _spread_table(values, pairs, names, of):
    """Differences of the AUC by seed, as intervals over patients do not say how they vary."""
    rows = [values.get((*pair, of, "auc")) for pair in pairs]
    if not all(row and row.get("seed_sd") is not None for row in rows):
        return ""
    lines = [
        [name, ", ".join("-" if v is None else f"{v:+.3f}" for v in row["each"]), row["seed_sd"]]
        for name, row in zip(names, rows, strict=True)
    ]
    header = ["difference of the AUC", "of each seed", "SD"]
    note = "Intervals and p values are about patients, for these trainings."
    return markup.table(header, lines, "From training to training", note)


def _group_differences(rows, pairs, names, of):
    values = {(r["first"], r["second"], r.get("group")): r for r in rows if r["finding"] == of}
    groups = list(dict.fromkeys(row.get("group") for row in rows))
    if len(groups) < 2:
        return ""
    images = {row.get("group"): row.get("images") for row in rows}
    lines = [
        [group, images[group], *(_difference(values.get((*pair, group))) for pair in pairs)]
        for group in groups
    ]
    what = "mean over findings" if of == _MEAN else of
    header = ["group", "images", *names]
    note = "p not corrected for the number of groups and pairs."
    return markup.table(header, lines, f"Differences of the AUC by group of patients, {what}", note)


def _difference(row):
    if row is None or row["value"] is None:
        return None if row is None else "not defined"
    if row.get("p_holm") is None:
        return markup.estimate(row)
    p = markup.p_value(row["p_holm"])
    return markup.join(
        [markup.estimate(row), markup.Html(f' <span class="one">p {html.escape(p)}</span>')]
    )


def _calibration(rows, titles):
    names = ("ece", "ece_scaled", "brier", "brier_scaled", "temperature")
    lines = [
        [
            _title(row["arm"], titles), row["finding"],
            *("not defined" if row[name] is None else row[name] for name in names),
            row["validation_share"], row["test_share"],
        ]
        for row in rows
    ]  # fmt: skip
    header = [
        "arm", "finding", "ECE", "ECE, scaled", "Brier", "Brier, scaled", "temperature",
        "positive in validation", "in test",
    ]  # fmt: skip
    note = (
        "Scaled: by a temperature fitted on the arm's validation images. Where the share of "
        "positives differs between training and test, probabilities are off by that alone."
    )
    return markup.table(header, lines, "Calibration on the test images", note)


def _under_attack(rows, titles):
    finding = _shown_findings(rows)[-1]
    values = {
        (r["attack"], r["epsilon"], _arm(r)): r
        for r in rows
        if r["finding"] == finding and r["metric"] == "auc"
    }
    arms = list(dict.fromkeys(map(_arm, rows)))
    lines = []
    for attack, epsilon in dict.fromkeys(key[:2] for key in values):
        cells = [values.get((attack, epsilon, arm)) for arm in arms]
        name = "no attack" if attack == "none" else f"{attack.upper()}, {epsilon:g} grey levels"
        lines.append([name, *map(_estimate, cells)])
    header = ["test images", *(f"trained: {_title(arm, titles)}" for arm in arms)]
    return markup.table(header, lines, f"AUC of {finding} under attack")


def _likeness(rows, titles):
    lines = [
        [
            row["finding"], _title(row["arm"], titles), row["seed"],
            "not defined" if row["sd"] is None else f"{row['value']:.3f} ± {row['sd']:.3f}",
            row["standard_error"], row["pairs"], row["images"],
        ]
        for row in rows
    ]  # fmt: skip
    header = ["finding", "arm", "seed", "mean ± SD", "standard error", "pairs", "images"]
    caption = f"{rows[0]['metric']} of pairs of training images; lower is more diverse"
    return markup.table(header, lines, caption)


def _groups_table(rows, arms, titles):
    findings = _shown_findings(rows)
    finding = _MEAN if len(findings) > 1 else findings[0]
    chosen = [r for r in rows if r["metric"] == "auc" and r["finding"] == finding]
    values = {(row["group"], _arm(row)): row for row in chosen}
    groups = list(dict.fromkeys(row["group"] for row in chosen))
    if len(groups) < 2:
        return ""
    lines = []
    for group in groups:
        cells = [values.get((group, arm)) for arm in arms]
        images = next(cell["images"] for cell in cells if cell)
        lines.append([group, images, *map(_estimate, cells)])
    header = ["group", "images", *(_title(arm, titles) for arm in arms)]
    what = "mean over findings" if finding == _MEAN else finding
    return markup.table(header, lines, f"AUC by group of patients, {what}")


def _explanation(folder, rows: Sequence[collect.Row], found, album):
    images = [row for row in rows if row["name"] == "explanation"]
    pointed = [row for row in rows if row["name"] == "pointing"]
    first, origin = rows[0], found.origin(folder)
    parts = [
        markup.heading(folder.name),
        markup.paragraph(
            f"Grad-CAM of {section.counted(len(images), 'image')} of {first['records']}, fold "
            f"{first['fold']} ({section.origin_text(origin)}), for {first['finding']}; images "
            f"chosen: {first['choose']}; seed {first['seed']}."
        ),
    ]
    if pointed:
        lines = [
            [
                row["classifier"], row["images"], row["empty_maps"], row["inside"], row["area"],
                row["ratio"], row["ratio_elsewhere"],
            ]
            for row in pointed
        ]  # fmt: skip
        header = [
            "classifier", "images", "empty maps", "share of the map in the finding",
            "share of the image", "ratio", "ratio in other images' regions",
        ]  # fmt: skip
        parts.append(
            markup.table(header, lines, "Where the finding's place is known; a ratio of 1 is luck.")
        )
    sheets = [path for path in folder.pictures if path.name.startswith("sheet_")]
    figures = [
        album.records(path, "maps over images", f"{folder.name}, {path.name}.", origin)
        for path in sheets[:_MOST_SHEETS]
    ]
    return [*parts, *(f for f in figures if f)]
