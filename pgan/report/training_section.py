"""Runs: courses of losses and distances <fig S1D>, and sample grids by resolution <fig S4A, S5>."""

import pathlib
import re
from collections.abc import Iterable, Sequence

from pgan.report import collect, markup, pictures, plots, section

DISTANCE, CRITIC = "distance to real images", "score of real minus synthetic images"
_LABELS, _GRADIENTS = "label loss of the generator", "gradient norm of the generator"
_MOST_RUNS = 12  # of a figure
_MEMORISED = "memorised"  # fold of the control of an audit
_HELD_OUT, _TRAIN, _FLOOR = "_to_held_out", "_to_train", "_real_floor"
_GRID = re.compile(r"fakes(\d+(?:\.\d{3})?)\.png")  # kimg; older runs have whole ones


def build(found: collect.Found, album: pictures.Album) -> list[section.Section]:
    """Sections on courses and on sample grids; none without runs and comparisons of them."""
    groups, compared = _groups(found), _precisions(found, album)
    if not groups and not compared:
        return []
    courses, grids, shows = [], [], {"fig S4A"}
    for name, folders in groups.items():
        rows = [row for folder in folders for row in folder.ticks]
        courses.append(
            section.guarded(
                [], lambda n=name, f=folders, r=rows: _course(n, f, r, found, album, shows)
            )
        )
        grids.append(section.guarded([], lambda n=name, f=folders: _grids(n, f, found, album)))
        if any("chexpert" in str(_records(folder).get("name")) for folder in folders):
            shows.add("fig S5")
    courses += [compared, section.beside_paper("training", "distance")]
    made = [section.Section("Training", courses, frozenset(shows & {"fig S1D"}))]
    if any(grids):
        shown = frozenset(shows & {"fig S4A", "fig S5"})
        made.append(section.Section("Sample grids", grids, shown))
    return made


def _groups(found):
    """Runs of one folder, size and set of images, which one figure can show."""
    groups = {}
    for folder in found.folders:
        if folder.ticks and "federation.json" not in folder.facts:
            parent = folder.name.rpartition("/")[0]
            key = parent, _resolution(folder), _records(folder).get("fingerprint")
            groups.setdefault(key, []).append(folder)
    named = {}
    for (parent, resolution, _), folders in groups.items():
        name = folders[0].name if len(folders) == 1 else f"{parent}, {resolution} px"
        named[name if name not in named else f"{name} ({len(named)})"] = folders
    return named


def _records(folder):
    return folder.facts.get("config.json", {}).get("records") or {}


def _config(folder):
    return folder.facts.get("config.json", {}).get("config") or {}


def _resolution(folder):
    return _config(folder).get("network", {}).get("resolution") or max(
        (row.get("training/resolution", 0) for row in folder.ticks), default=0
    )


def _short(folder, group):
    return folder.name.rpartition("/")[2] if len(group) > 1 else folder.name


def _course(name, folders, rows, found, album, shows):
    records, config = _records(folders[0]), _config(folders[0])
    origin = records.get("origin") or found.origin(folders[0])
    total = config.get("schedule", {}).get("total_kimg")
    seeds = sorted({s for f in folders if (s := _config(f).get("seed")) is not None})
    network = config.get("network", {})
    parts = [
        markup.heading(name),
        markup.paragraph(
            f"{section.counted(len(folders), 'run')} of the progressive GAN to "
            f"{_resolution(folders[0])} px on {records.get('fold_size', 0):,} images "
            f"({records.get('name', '')}, {records.get('fold', '')}; "
            f"{section.origin_text(origin)}), {'seed' if len(seeds) == 1 else 'seeds'} "
            f"{section.enumeration(list(map(str, seeds)))}; "
            f"{markup.number(total)} thousand images to be shown, at most "
            f"{markup.number(network.get('fmap_max'))} channels, latent vector of "
            f"{markup.number(network.get('latent_size'))}."
        ),
    ]
    shown = [_as_course(folder, _short(folder, folders)) for folder in folders[:_MOST_RUNS]]
    measured = _distances(rows)
    if any(DISTANCE in course.curves for course in shown):
        shows.add("fig S1D")
    stages = list(_stages(max(folders[:_MOST_RUNS], key=lambda f: len(f.ticks)).ticks))
    panels = any(course.curves for course in shown)
    if panels:
        drawing = plots.courses(
            shown, stages, "real images shown, thousands", (DISTANCE, _GRADIENTS)
        )
        caption = (
            "Over the real images shown; shaded while a resolution fades in. Distance: "
            + (_explained(measured[0]) if measured else "not measured")
            + ". Dashed: real images against real ones, the floor. Score of real minus synthetic: "
            "the discriminator's estimate of how far the two are apart."
        )
        if len(folders) > _MOST_RUNS:
            caption += f" {len(folders) - _MOST_RUNS} further runs are in the table only."
        parts.append(album.drawing(plots.svg(drawing), f"curves of {name}", caption))
    parts.append(_table(folders))
    return parts


def _explained(name):
    """A name of a distance, such as monitor/fd194_fixed_to_held_out, in words."""
    match = re.fullmatch(r"monitor/(fd|fid)([\dk]+)_?(.*?)(_to_held_out|_to_train)", name)
    if not match:
        return name.removeprefix("monitor/")
    kind, count, features, end = match.groups()
    target = {_HELD_OUT: "to held-out images", _TRAIN: "to training images"}[end]
    of = f" in the features {features}" if features else ""
    return f"{kind.upper()} of {count} images {target}{of}"


def _distances(ticks):
    """Names of the distances that were measured, that to held-out images first."""
    measured = sorted({key for row in ticks for key in row if key.startswith("monitor/")})
    return [key for end in (_HELD_OUT, _TRAIN) for key in measured if key.endswith(end)]


def _as_course(folder, name):
    distance = next(iter(_distances(folder.ticks)), None)
    keys = {
        DISTANCE: (distance, 1),
        CRITIC: ("discriminator/wasserstein", -1),
        _LABELS: ("generator/labels", 1),
        _GRADIENTS: ("generator/gradient_norm", 1),
    }
    curves = {}
    for panel, (key, sign) in keys.items():
        points = [
            (row["images_shown"] / 1000, sign * row[key])
            for row in folder.ticks
            if key and isinstance(row.get(key), int | float)
        ]
        if points:
            curves[panel] = points
    floor = _last(folder.ticks, next(iter(_floors(folder.ticks)), ""))
    is_floor = floor is not None and distance and distance.endswith(_HELD_OUT)
    return plots.Course(name, curves, {DISTANCE: floor} if is_floor else {})


def _floors(ticks):
    return sorted({key for row in ticks for key in row if key.endswith(_FLOOR)})


def _last(ticks, key):
    return next((row[key] for row in reversed(ticks) if key in row), None)


def _stages(ticks: Sequence[collect.Row]) -> Iterable[plots.Stage]:
    """Stages from the phases that ticks name; each starts where the tick before it ended."""
    start, previous, current = 0.0, None, 0.0
    for row in ticks:
        if previous is not None and row.get("phase") != previous.get("phase"):
            yield _stage(start, current, previous)
            start = current
        previous, current = row, row["images_shown"] / 1000
    if previous is not None:
        yield _stage(start, current, previous)


def _stage(start, end, row):
    fading = "fade" in str(row.get("phase"))
    return plots.Stage(start, end, int(row.get("training/resolution", 0)), fading)


def _table(folders):
    rows = []
    for folder in folders:
        last, config = folder.ticks[-1], _config(folder)
        total = config.get("schedule", {}).get("total_kimg")
        names = _distances(folder.ticks)
        distance = _last(folder.ticks, names[0]) if names else None
        floor = _last(folder.ticks, next(iter(_floors(folder.ticks)), ""))
        best = folder.facts.get("checkpoints/best/best.json")
        speed = [
            row["training/images_per_second"]
            for row in folder.ticks
            if row.get("training/resolution") == last.get("training/resolution")
            and row.get("training/images_per_second")
        ]
        shown = last["images_shown"] / 1000
        rows.append(
            [
                _short(folder, folders), config.get("seed"), config.get("precision"),
                f"{shown:,.0f} of {total:,.0f}" if total else f"{shown:,.0f}",
                distance, floor,
                f"{best['value']:.3g} at {best['images_shown'] / 1000:,.0f}" if best else None,
                sorted(speed)[len(speed) // 2] if speed else None,
            ]
        )  # fmt: skip
    header = [
        "run", "seed", "precision", "thousand images shown", "last distance", "floor",
        "kept as best", "images a second at the last size",
    ]  # fmt: skip
    return markup.table(header, rows)


def _grids(name, folders, found, album):
    parts = [markup.heading(name)]
    folder = folders[0]
    origin = _records(folder).get("origin") or found.origin(folder)
    latest: dict[int, tuple[float, pathlib.Path]] = {}
    shown = [(row["images_shown"], row.get("training/resolution")) for row in folder.ticks]
    sides = {images // 1000: side for images, side in shown}
    sides |= {images / 1000: side for images, side in shown}
    for path in folder.pictures:
        match = _GRID.fullmatch(path.name)
        if match and sides.get(float(match[1])):
            latest[int(sides[float(match[1])])] = (float(match[1]), path)
    # Of an audit's over-trained generator, whose images are patients by design.
    is_control = _records(folder).get("fold") == _MEMORISED
    picture = album.records if is_control else album.synthetic
    figures = [
        picture(
            path, f"synthetic images at {side} px",
            f"{side} px, after {kimg:,g} thousand images. Rows: findings asked for.", origin,
        )
        for side, (kimg, path) in sorted(latest.items())
    ]  # fmt: skip
    figures.append(
        album.records(
            folder.picture("reals.png"), "real images",
            f"Images that it was trained on ({section.origin_text(origin)}), same rows.", origin,
        )
    )  # fmt: skip
    if not any(figures):
        return []
    text = f"The last grid of each resolution of {_short(folder, folders)}, averaged generator."
    if len(folders) > 1:
        others = section.counted(len(folders) - 1, "other run")
        text += f" {others} of the same kind: grids in their folders."
    return [*parts, markup.paragraph(text), markup.gallery(figures)]


def _precisions(found, album):
    parts = []
    for folder in found.folders:
        rows = section.of_kind(folder, "precision")
        if rows:
            parts.append(section.guarded(rows, lambda f=folder, r=rows: _precision(f, r, album)))
    if not parts:
        return markup.Html("")
    return markup.join([markup.heading("Precisions compared"), *parts])


def _precision(folder, rows, album):
    lines = [
        [
            row["study"], row["precision"], row["metric"], row["pairs"],
            f"{row['ratio']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
            if row.get("low") is not None else row["ratio"],
            row["between_seeds"], row["text"],
        ]
        for row in {(r["study"], r["precision"], r["metric"]): r for r in rows}.values()
    ]  # fmt: skip
    header = [
        "study", "precision", "distance", "pairs of seeds", "ratio to float32 (95 %)",
        "factor between seeds", "judgement",
    ]  # fmt: skip
    caption = f"{folder.name}: runs that differ in their precision only, paired by seed."
    return [
        markup.table(header, lines),
        album.chart(folder.picture("comparison.png"), "distances by precision", caption),
    ]
