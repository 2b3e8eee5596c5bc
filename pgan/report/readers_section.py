"""Readers who tell synthetic images from real ones <Table 1, table S2, fig S4E>."""

from pgan.report import collect, markup, pictures, section

_REASONS = 12
_FIGURES = {
    "rates": "Readers and groups with 95 % intervals.",
    "roc": "Synthetic images found against false alarms.",
}
_UNANSWERED = {
    "wrong": " Images without an answer count as wrong.",
    "excluded": " Images without an answer are left out.",
}
_SHARES = ("accuracy", "sensitivity", "specificity", "auc")


def build(found: collect.Found, album: pictures.Album) -> section.Section | None:
    """The section; None without a scored study."""
    parts, shows = [], set()
    for folder in found.folders:
        rows = section.of_kind(folder, "readers")
        # Images without an answer count as wrong, or not at all: two tables of one study.
        for number, way in enumerate(dict.fromkeys(row.get("unanswered") for row in rows)):
            own = [row for row in rows if row.get("unanswered") == way]
            parts.append(
                section.guarded(own, lambda f=folder, r=own, n=number: _study(f, r, shows, n == 0))
            )
        if rows:
            parts.append(_pictures(folder, album))
    if not parts:
        return None
    parts.append(section.beside_paper("readers"))
    return section.Section("Reader study", parts, frozenset(shows))


def _named(rows, name):
    return [row for row in rows if row["name"] == name]


def _study(folder, rows, shows, is_first):
    groups, readers = _named(rows, "reader_group"), _named(rows, "reader")
    simulated = ""
    if any(row.get("simulated") for row in rows):
        some = any(row.get("simulated_readers", "").startswith("some") for row in rows)
        simulated = " Some of the readers" if some else " The readers"
        simulated += " were simulated: these are no findings about people."
    names = {row["reader"] for row in readers}
    parts = [
        markup.heading(folder.name),
        markup.paragraph(
            f"{section.counted(len(names), 'reader')} told synthetic images from real ones at "
            f"{section.shared(groups or readers, 'resolution')} px; a positive is a synthetic "
            "image. Intervals of 95 %."
            + _UNANSWERED.get(rows[0].get("unanswered"), "")
            + simulated
        ),
    ]  # fmt: skip
    values = {(row["group"], row["resolution"], row["metric"]): row for row in groups}
    metrics = [m for m in _SHARES if any(row["metric"] == m for row in groups)]
    lines = []
    for group, resolution in dict.fromkeys((r["group"], r["resolution"]) for r in groups):
        cells = [values.get((group, resolution, metric)) for metric in metrics]
        some = next(cell for cell in cells if cell)
        lines.append(
            [
                group, f"{resolution} px", some["readers"], some["images"],
                *(markup.estimate(cell) if cell else None for cell in cells),
            ]
        )  # fmt: skip
    header = ["group", "size", "readers", "images", *metrics]
    if lines:
        shows |= {"Table 1", "table S2"}
        parts.append(markup.table(header, lines))
    parts += [_agreement(rows, values), _single(readers)]
    if is_first:
        parts += [_differences(rows), _reasons(rows, shows), _times(rows)]
    return [part for part in parts if part]


def _agreement(rows, values):
    lines = [
        [
            row["group"], f"{row['resolution']} px", row["readers"],
            markup.p_value(
                values.get((row["group"], row["resolution"], "accuracy"), {}).get("p_guessing")
            ),
            markup.estimate(row, digits=2),
        ]
        for row in _named(rows, "reader_agreement")
    ]  # fmt: skip
    if not lines:
        return ""
    header = ["group", "size", "readers", "p of guessing", "Fleiss' kappa (95 %)"]
    return markup.table(header, lines, "Guessing and agreement")


def _pictures(folder, album):
    parts = []
    for name, caption in _FIGURES.items():
        parts.append(album.chart(folder.picture(f"{name}.png"), name, caption))
    for path in folder.pictures:
        if path.stem not in _FIGURES:  # perhaps images of the deck
            caption = f"{folder.name}: {path.stem}."
            parts.append(album.records(path, path.stem, caption, collect.UNKNOWN))
    return markup.join(parts)


def _single(rows):
    rows = [row for row in rows if row["metric"] == "accuracy"]
    if not rows:
        return ""
    lines = [
        [
            row["reader"], row["group"], f"{row['resolution']} px", row["count"],
            markup.estimate(row), markup.p_value(row.get("p_holm")), row.get("without_answer"),
        ]
        for row in rows
    ]  # fmt: skip
    header = [
        "reader", "group", "size", "images", "accuracy (95 %)", "p of guessing, Holm",
        "without answer",
    ]  # fmt: skip
    return markup.table(header, lines, "Single readers")


def _differences(rows):
    lines = [
        [
            row["metric"], row["between"], row.get("group", f"{row.get('resolution', '')} px"),
            f"{row['second']} \N{MINUS SIGN} {row['first']}", markup.estimate(row),
            markup.p_value(row["p_value"]),
        ]
        for row in _named(rows, "reader_difference")
        if row["metric"] == "accuracy"
    ]  # fmt: skip
    if not lines:
        return ""
    header = ["measure", "between", "of", "difference", "value (95 %)", "p"]
    return markup.table(header, lines, "Differences")


def _reasons(rows, shows):
    found = [row for row in _named(rows, "reader_reason") if row["value"] or row["ticked_on_real"]]
    found = [row for row in found if row["group"] == "all readers"] or found
    if not found:
        return ""
    shows.add("fig S4E")
    found.sort(key=lambda row: -row["value"])
    lines = [
        [
            row["reason"], f"{row['resolution']} px", row["group"],
            f"{row['value']} of {row['synthetic_shown']}",
            f"{row['ticked_on_real']} of {row['real_shown']}",
        ]
        for row in found[:_REASONS]
    ]  # fmt: skip
    header = ["reason given", "size", "group", "on synthetic images", "on real images"]
    return markup.table(header, lines, "What readers took for a sign of a synthetic image")


def _times(rows):
    """Seconds for an answer, by group."""
    kept = [row for row in rows if row["name"] == "reader_time" and "group" in row]
    lines = [
        [row["group"], f"{row['resolution']} px", row["value"], row["mean"], row["count"]]
        for row in kept
    ]
    if not lines:
        return ""
    header = ["group", "size", "median seconds", "mean", "answers"]
    return markup.table(header, lines, "Time for an answer")
