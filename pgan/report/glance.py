"""The few numbers that a reader looks for first, each beside the paper's."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from pgan.report import collect, markup, section

_MEAN, _ALL = "mean", "all"
_AUC = {"fig2": {"real": "0.74", "augmented": "0.81"}}
_MOST_LINES = 30
Line = tuple[str, str, markup.Html | str, str | None]


def build(found: collect.Found) -> markup.Html:
    """A table; nothing if there is no such number."""
    lines = _guarded(lambda: _runs(found.folders))
    for maker in (_classifiers, _audit, _federation, _readers):
        for folder in found.folders:
            lines += _guarded(lambda make=maker, f=folder: make(f))
    if not lines:
        return markup.Html("")
    note = ""
    if len(lines) > _MOST_LINES:
        note = f"{len(lines) - _MOST_LINES} more in the sections."
    header = ["where", "what", "here", "paper"]
    table = markup.table(header, lines[:_MOST_LINES], "At a glance", note)
    return table


def _guarded(make: Callable[[], Iterable[Line]]) -> list[Line]:
    try:
        return list(make())
    except (KeyError, TypeError, ValueError, AttributeError):
        return []  # the section says what is wrong with these rows


def _runs(folders: Sequence[collect.Folder]) -> Iterator[Line]:
    """Last distances of the runs of a folder, beside their floor."""
    groups = {}
    for folder in folders:
        if folder.ticks and "federation.json" not in folder.facts:
            last = next((r for r in reversed(folder.ticks) if any("monitor/" in k for k in r)), {})
            names = sorted(key for key in last if key.endswith("_to_held_out"))
            floors = sorted(key for key in last if key.endswith("_real_floor"))
            if names and floors:
                key = folder.name.rpartition("/")[0] or folder.name, names[0]
                groups.setdefault(key, []).append((last[names[0]], last[floors[0]]))
    for (parent, name), values in groups.items():
        distances, floors = zip(*values, strict=True)
        metric = name.removeprefix("monitor/").removesuffix("_to_held_out")
        what = f"{metric} to held-out images at the end, {section.counted(len(values), 'run')}"
        yield parent, what, f"{_range(distances)}; real images {_range(floors)}", None


def _range(values):
    ends = dict.fromkeys((markup.number(float(min(values))), markup.number(float(max(values)))))
    return " to ".join(ends)


def _classifiers(folder: collect.Folder) -> Iterator[Line]:
    rows = [
        row
        for row in folder.rows
        if row.get("name") == "classifier" and row["group"] == _ALL and row["metric"] == "auc"
    ]
    findings = list(dict.fromkeys(row["finding"] for row in rows))
    of = findings[0] if len(findings) == 2 else _MEAN
    plan = folder.facts.get("experiment.json", {}).get("experiment", {})
    titles = {recipe["name"]: recipe["title"] for recipe in plan.get("recipes", [])}
    for row in rows:
        if row["finding"] == of:
            arm = row.get("arm", row.get("classifier"))
            what = f"AUC, {'mean over findings' if of == _MEAN else of}: {titles.get(arm, arm)}"
            printed = _AUC.get(row.get("experiment"), {}).get(arm)
            yield folder.name, what, markup.estimate(row), printed


def _audit(folder: collect.Folder) -> Iterator[Line]:
    for row in section.of_kind(folder, "audit"):
        if row["metric"].startswith("suspected_copies"):
            what = f"suspected copies among {row['count']:,} synthetic images"
            verdict = folder.facts.get("report.json", {}).get("verdict")
            shown = markup.number(row["value"])
            if verdict is None:
                shown = f"{shown}, without a verdict"
            elif verdict.get("failed_controls"):
                shown = "controls were missed: no statement"
            elif others := sorted(set(verdict.get("found", {})) - {"copies"}):
                shown = f"{shown}; {' and '.join(others)} found"
            yield folder.name, what, shown, "0 of 1000"


def _federation(folder: collect.Folder) -> Iterator[Line]:
    rows = section.of_kind(folder, "federation")
    for row in rows:
        is_last = row["metric"] == "distance" and row["kind"] == "final" and not row["baseline"]
        if is_last and "+" not in row["variant"]:  # attacks have a table of their own
            seeds = section.counted(row["seeds"], "seed")
            what = f"last distance, {row['variant']}, {seeds}"
            yield folder.name, what, markup.number(row["mean"]), None


def _readers(folder: collect.Folder) -> Iterator[Line]:
    printed = {
        ("CV experts", 256): "0.60", ("CV experts", 512): "0.67", ("CV experts", 1024): "0.82",
        ("radiologists", 256): "0.51", ("radiologists", 512): "0.65",
        ("radiologists", 1024): "0.77",
    }  # fmt: skip
    rows = section.of_kind(folder, "readers")
    for row in rows:
        if row.get("unanswered") != rows[0].get("unanswered"):
            continue  # the same study, with images without an answer counted in another way
        if row["name"] == "reader_group" and row["metric"] == "accuracy":
            who = row["group"] + (" (simulated)" if row.get("simulated") else "")
            what = f"accuracy of {who} at {row['resolution']} px"
            paper = printed.get((row["group"], row["resolution"]))
            yield folder.name, what, markup.estimate(row), paper
