"""Record sets: images, patients and findings, by fold <table S3>."""

import collections
from collections.abc import Sequence

from pgan.report import collect, markup, pictures, section

_SPLITS = "splits/"


def build(found: collect.Found, album: pictures.Album) -> section.Section | None:
    """The section; None without a record set."""
    sets = [folder for folder in found.folders if "manifest.json" in folder.facts]
    real = [f for f in sets if f.facts["manifest.json"].get("origin") != collect.SYNTHETIC]
    drawn = [f for f in sets if f not in real]
    if not sets:
        return None
    parts = []
    for folder in real:
        parts.append(section.guarded([], lambda folder=folder: _set(folder, album)))
    if drawn:
        parts.append(section.guarded([], lambda: _synthetic(drawn)))
    parts.append(section.beside_paper("data"))
    shows = {"table S3"} if real else set()
    return section.Section("Data", parts, frozenset(shows))


def _set(folder: collect.Folder, album: pictures.Album) -> list[markup.Html]:
    manifest = folder.facts["manifest.json"]
    origin = manifest.get("origin", collect.UNKNOWN)
    folds = manifest["folds"]
    sides = [int(side) for side in manifest.get("encoding", {})]
    parts = [
        markup.heading(folder.name),
        markup.paragraph(
            f"{manifest['num_records']:,} images of {manifest['num_patients']:,} patients "
            f"({section.origin_text(origin)}; source {manifest.get('source', '')}), "
            f"{min(sides)} to {max(sides)} px. Folds are of whole patients. The cells count images "
            "with a finding; an image may have several."
        ),
    ]
    tables = [_counts(manifest["findings"], folds)]
    for name, split in folder.facts.items():
        if name.startswith(_SPLITS):
            facts = split.get("settings", {})
            title = f"Split {name.removeprefix(_SPLITS)} (seed {markup.number(facts.get('seed'))})"
            tables.append(_sizes(split["folds"], title))
    caption = f"{folder.name}: some images of each finding."
    samples = album.records(folder.picture("samples.png"), "images by finding", caption, origin)
    parts.append(markup.beside(markup.join(tables), samples))
    caption = f"{folder.name}: label statistics."
    parts.append(album.chart(folder.picture("description.png"), "label statistics", caption))
    return parts


def _counts(findings: Sequence[str], folds: dict) -> markup.Html:
    names = list(folds)
    rows = [
        ["images", *(folds[name]["records"] for name in names)],
        ["patients", *(folds[name]["patients"] for name in names)],
    ]
    if "No Finding" not in findings:
        rows.append(["no finding", *(folds[name].get("no_finding") for name in names)])
    for finding in findings:
        cells = []
        for name in names:
            unknown = folds[name].get("unknown", {}).get(finding, 0)
            count = folds[name]["positives"].get(finding)
            cells.append(f"{count:,} ({unknown:,} unknown)" if unknown else count)
        rows.append([finding, *cells])
    return markup.table(["", *names], rows)


def _sizes(folds: dict, title: str) -> markup.Html:
    rows = []
    for name, fold in folds.items():
        shown = fold["positives"] if len(fold["positives"]) <= 3 else {}
        counts = ", ".join(f"{n:,} {finding}" for finding, n in shown.items())
        rows.append([name, fold["records"], fold["patients"], fold.get("no_finding"), counts])
    header = ["fold", "images", "patients", "no finding", "findings"]
    if not any(row[-1] for row in rows):
        header, rows = header[:-1], [row[:-1] for row in rows]
    return markup.table(header, rows, title)


def _synthetic(folders: Sequence[collect.Folder]) -> list[markup.Html]:
    """A row for each folder and generator: an experiment draws dozens of sets."""
    groups = collections.defaultdict(list)
    for folder in folders:
        generator = folder.facts["manifest.json"].get("provenance", {}).get("generator")
        groups[folder.name.rpartition("/")[0], generator].append(folder)
    rows = []
    for (parent, generator), sets in groups.items():
        manifests = [folder.facts["manifest.json"] for folder in sets]
        trained = manifests[0].get("provenance", {}).get("training_records", {})
        sides = [int(side) for side in manifests[0].get("encoding", {})]
        rows.append(
            [
                sets[0].name if len(sets) == 1 else parent, len(sets),
                sum(manifest["num_records"] for manifest in manifests),
                max(sides, default=None), generator,
                f"{trained.get('fold_size', 0):,} of {trained.get('name')}, {trained.get('fold')}"
                if trained else None,
            ]
        )  # fmt: skip
    header = ["folder", "record sets", "images", "px", "generator", "generator trained on"]
    return [markup.heading("Synthetic record sets"), markup.table(header, rows)]
