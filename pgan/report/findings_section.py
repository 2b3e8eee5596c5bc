"""What generators learned of findings: quality, maps, correlations <Fig 5, fig S4C>."""

import pathlib
from collections.abc import Sequence

from pgan.report import collect, markup, paper, pictures, plots, section

_REAL, _SYNTHETIC = "real", "synthetic"
_SPLITS = "splits/"
_MOST_PICTURES = 14
_CORRELATION_FIGURES = {
    "matrix": "Correlations, clustered",
    "scatter": "Strength and probability",
    "dose_response": "Mean probability by strength",
    "findings": "How well each finding is drawn",
    "comparison": "Beside another matrix",
}


def build(found: collect.Found, album: pictures.Album) -> list[section.Section]:
    """Sections on quality by finding, on maps, and on correlations; none without such rows."""
    made = []
    quality = section.guarded([], lambda: _quality(found, album))
    if quality:
        made.append(section.Section("Findings: size and frequency", [quality]))
    maps, shows = [], set()
    for folder in found.folders:
        rows = section.of_kind(folder, "visualisation")
        if rows:
            maps.append(
                section.guarded(rows, lambda f=folder, r=rows: _maps(f, r, found, album, shows))
            )
    if maps:
        maps.append(section.beside_paper("visualisation"))
        made.append(section.Section("Findings: maps and transitions", maps, frozenset(shows)))
    correlations = []
    for folder in found.folders:
        rows = section.of_kind(folder, "correlation")
        if rows:
            correlations.append(
                section.guarded(rows, lambda f=folder, r=rows: _correlation(f, r, album))
            )
    if correlations:
        correlations.append(section.beside_paper("correlation"))
        shown = frozenset({"Fig 5C", "Fig 5D"})
        made.append(section.Section("Findings: correlations", correlations, shown))
    return made


def _quality(found, album):
    """Ratio of synthetic to real distances of each finding, beside what could explain it."""
    sizes = {
        row["finding"]: row["area"]
        for folder in found.folders
        for row in section.of_kind(folder, "visualisation")
        if row["name"] == "map_ratio"
    }
    trained_with = _trained_with(found)
    parts = []
    for folder in found.folders:
        rows = [
            row
            for row in section.of_kind(folder, "evaluation")
            if len(row.get("findings", ())) == 1 and row["metric"].startswith(("fd", "fid"))
        ]
        latest = {(row["findings"][0], row["images"]): row for row in rows}
        values = []
        for finding in dict.fromkeys(key[0] for key in latest):
            real, synthetic = latest.get((finding, _REAL)), latest.get((finding, _SYNTHETIC))
            if not real or not synthetic or not real["value"] or real["value"] <= 0:
                continue
            generator = synthetic.get("generator_fingerprint") or synthetic.get("run")
            count = trained_with.get(generator, {}).get(finding)
            ratio = synthetic["value"] / real["value"]
            values.append((finding, count, sizes.get(finding), ratio))
        if not values:
            continue
        parts.append(markup.heading(folder.name))
        parts.append(
            markup.paragraph(
                "Distance of synthetic images with a finding to held-out images with it, over that "
                "of other real images with it: 1 is as good as real. Of "
                f"{section.shared(rows, 'count')} images of each set; few images make it uncertain."
            )
        )
        if any(sum(row[place] is not None for row in values) > 1 for place in (1, 2)):
            drawing = plots.findings(values, "distance, synthetic over real")
            parts.append(
                album.drawing(plots.svg(drawing), "quality by frequency and size", "By finding.")
            )
        header = ["finding", "training images with it", "share of the image", "ratio"]
        parts.append(markup.table(header, sorted(values, key=lambda row: row[3])))
    return parts


def _trained_with(found):
    """{generator's fingerprint, or name of its run: {finding: its training images with it}}."""
    positives = {}
    for folder in found.folders:
        manifest = folder.facts.get("manifest.json", {})
        places = {"": manifest.get("folds", {})}
        for name, split in folder.facts.items():
            if name.startswith(_SPLITS):
                places[f"{name.removeprefix(_SPLITS)}/"] = split["folds"]
        for place, folds in places.items():
            for name, fold in folds.items():
                key = manifest.get("fingerprint"), place + name
                positives[key] = fold.get("positives", {})
    counts = {}
    for folder in found.folders:
        card = folder.facts.get("assets/model_card.json", {})
        run = folder.facts.get("config.json", {}).get("records")
        for name, trained in (
            (card.get("fingerprint"), card.get("training_records")),
            (folder.path.name, run),
        ):
            if isinstance(trained, dict):
                own = positives.get((trained.get("fingerprint"), trained.get("fold")), {})
                # Runs of two folders may have one name.
                counts[name] = own if counts.get(name, own) == own else {}
    return counts


def _maps(folder, rows, found, album, shows):
    first = rows[0]
    changes = [row for row in rows if row["name"] == "map_change"]
    ratios = {row["finding"]: row for row in rows if row["name"] == "map_ratio"}
    parts = [
        markup.heading(folder.name),
        markup.paragraph(
            f"Generator {first['generator']} at {first['resolution']} px: mean change of grey "
            f"levels from a finding absent to fully present, in {first['count']:,} pseudo-patients "
            f"of seed {first['seed']}, other findings at {first['others']}."
        ),
    ]
    lines = []
    for row in sorted(changes, key=lambda row: -(row["value"] or 0.0)):
        ratio = ratios.get(row["finding"])
        margin = ratio and ratio.get("margin")
        lines.append(
            [
                row["finding"], markup.estimate(row, digits=2),
                markup.estimate(ratio, digits=2) if ratio else None,
                ratio and ratio["of_others"],
                markup.estimate(margin, digits=2) if margin else None,
                ratio and ratio["largest"], ratio and ratio["area"],
            ]
        )  # fmt: skip
    header = [
        "finding", "change, grey levels (95 %)", "ratio (95 %)", "ratio of other findings' maps",
        "larger by (95 %)",        "largest possible", "share of the image",
    ]  # fmt: skip
    notes = (
        "Ratio: share of the map that lies where the finding acts in phantoms, over the share of "
        "the image that this place has; 1 by chance."
    )
    parts.append(markup.table(header, lines, notes=notes if ratios else ""))
    # Charts, because they carry texts and colours; they show synthetic images.
    trained_on = _trained_on(first, found)
    for name, places in (("differences", ("Fig 5A", "Fig 5B")), ("sweeps", ("fig S4C",))):
        files = _files(folder.path / name)
        files.sort(key=lambda path: path.name != "mean.png")
        figures = []
        for path in files[:_MOST_PICTURES]:
            shows.update(places)
            caption = f"{name}: {path.stem.replace('_', ' ')}"
            figures.append(album.synthetic(path, caption, caption, trained_on))
        parts.append(markup.gallery(figures, "wide"))
        if len(files) > _MOST_PICTURES:
            parts.append(markup.paragraph(f"{len(files) - _MOST_PICTURES} more in {name}.", "note"))
    films = len(list((folder.path / "sweeps").glob("*.gif")))
    if films:
        shows.add("movies")
        text = f"{section.counted(films, 'animation')} of these in the folder sweeps, as GIF."
        parts.append(markup.paragraph(text, "note"))
    for path in _files(folder.path / "nearest")[:_MOST_PICTURES]:
        caption = f"Beside the nearest training images: {path.stem.replace('_', ' ')}"
        # Not those of its training, perhaps: the rows name the records.
        parts.append(album.records(path, caption, caption, found.origin(folder)))
    return [part for part in parts if part]


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(folder.glob("*.png"))


def _trained_on(row, found):
    """Origin of what a generator was trained on, where a folder tells it."""
    return found.origins.get(row.get("generator_fingerprint"), collect.UNKNOWN)


def _correlation(folder, rows: Sequence[collect.Row], album):
    cells = [row for row in rows if row["name"] == "correlation"]
    first = cells[0]
    parts = [
        markup.heading(folder.name),
        markup.paragraph(
            f"Generator {first['generator']}, classifier {first['classifier']} at "
            f"{first['resolution']} px, seed {first['seed']}: Pearson's r of the strength at which "
            f"a finding was asked for, 0 to 1, and the classifier's probability, over "
            f"{first['images']:,} images of each finding."
        ),
        _generated([row for row in rows if row["name"] == "generated_finding"]),
        _matrix(cells),
    ]
    for name, caption in _CORRELATION_FIGURES.items():
        parts.append(album.chart(folder.picture(f"{name}.png"), caption, f"{caption}."))
    rest = [r for r in rows if r["name"] not in ("correlation", "generated_finding")]
    for row in rest:
        if row["name"] == "correlation_blocks" and row.get("blocks"):
            blocks = [section.enumeration(block) for block in row["blocks"]]
            parts += [markup.paragraph("Findings that go together:"), markup.bullets(blocks)]
    compared = [row for row in rest if row["name"] != "correlation_blocks"]
    return [*parts, section.plain_tables(compared)]


def _generated(rows):
    """How well each finding is drawn, beside the paper's diagonal."""
    lines = [
        [
            row["finding"], markup.estimate(row), row.get("place"), row.get("rank_correlation"),
            row.get("strongest_output"), row.get("training_images"),
            paper.FIG_5D_DIAGONAL.get(row["finding"]),
        ]
        for row in sorted(rows, key=lambda row: -(row.get("value") or -2))
    ]  # fmt: skip
    header = [
        "finding", "r with its own output (95 %)", "its place among outputs", "rank correlation",
        "strongest output", "training images with it", "r of the paper's NIH-GAN",
    ]  # fmt: skip
    return markup.table(header, lines) if lines else ""


def _matrix(rows):
    values = {(row["output"], row["finding"]): row["value"] for row in rows}
    outputs, findings = (
        list(dict.fromkeys(row[key] for row in rows)) for key in ("output", "finding")
    )
    lines = [
        [output, *(_cell(values.get((output, finding))) for finding in findings)]
        for output in outputs
    ]
    header = ["output \\ finding", *findings]
    return markup.table(header, lines, "r; rows: classifier, columns: finding asked for")


def _cell(value):
    return None if value is None else markup.Html(f"{value:.2f}".replace("-", "\N{MINUS SIGN}"))
