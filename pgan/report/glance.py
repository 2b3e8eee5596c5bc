"""The few numbers that a reader looks for first, each beside the paper's."""

from collections.abc import Iterator

from pgan.report import collect, markup, section

_MEAN, _ALL = "mean", "all"
_AUC = {"fig2": {"real": "0.74", "augmented": "0.81"}}
_MOST_LINES = 24
Line = tuple[str, str, markup.Html | str, str | None]


def build(found: collect.Found) -> markup.Html:
    """A table; nothing if there is no such number."""
    lines = []
    for folder in found.folders:
        for maker in (_run, _classifiers, _audit, _federation, _readers):
            try:
                lines += maker(folder)
            except (KeyError, TypeError, ValueError, AttributeError):
                continue  # the section says what is wrong with these rows
    if not lines:
        return markup.Html("")
    note = ""
    if len(lines) > _MOST_LINES:
        note = f"{len(lines) - _MOST_LINES} more in the sections."
    header = ["where", "what", "here", "paper"]
    table = markup.table(header, lines[:_MOST_LINES], "At a glance", note)
    return table


def _run(folder: collect.Folder) -> Iterator[Line]:
    if not folder.ticks or "federation.json" in folder.facts:
        return
    last = next((r for r in reversed(folder.ticks) if any("monitor/" in key for key in r)), {})
    names = sorted(key for key in last if key.endswith("_to_held_out"))
    floors = sorted(key for key in last if key.endswith("_real_floor"))
    if names and floors:
        name = names[0].removeprefix("monitor/").removesuffix("_to_held_out")
        what = f"last {name} to held-out images (floor)"
        here = f"{markup.number(last[names[0]])} ({markup.number(last[floors[0]])})"
        yield folder.name, what, here, None


def _classifiers(folder: collect.Folder) -> Iterator[Line]:
    rows = [
        row
        for row in folder.rows
        if row.get("name") == "classifier" and row["group"] == _ALL and row["metric"] == "auc"
    ]
    findings = list(dict.fromkeys(row["finding"] for row in rows))
    of = findings[0] if len(findings) == 2 else _MEAN
    for row in rows:
        if row["finding"] == of:
            arm = row.get("arm", row.get("classifier"))
            what = f"AUC, {'mean over findings' if of == _MEAN else of}: {arm}"
            printed = _AUC.get(row.get("experiment"), {}).get(arm)
            yield folder.name, what, markup.estimate(row), printed


def _audit(folder: collect.Folder) -> Iterator[Line]:
    for row in section.of_kind(folder, "audit"):
        if row["metric"].startswith("suspected_copies"):
            what = f"suspected copies among {row['count']:,} synthetic images"
            yield folder.name, what, markup.number(row["value"]), "0 of 1000"


def _federation(folder: collect.Folder) -> Iterator[Line]:
    rows = section.of_kind(folder, "federation")
    for row in rows:
        if row["metric"] == "distance" and row["kind"] == "final" and not row["baseline"]:
            seeds = section.counted(row["seeds"], "seed")
            what = f"last distance, {row['variant'].replace('+', ' against ')}, {seeds}"
            yield folder.name, what, markup.number(row["mean"]), None


def _readers(folder: collect.Folder) -> Iterator[Line]:
    printed = {
        ("CV experts", 256): "0.60", ("CV experts", 512): "0.67", ("CV experts", 1024): "0.82",
        ("radiologists", 256): "0.51", ("radiologists", 512): "0.65",
        ("radiologists", 1024): "0.77",
    }  # fmt: skip
    for row in section.of_kind(folder, "readers"):
        if row["name"] == "reader_group" and row["metric"] == "accuracy":
            who = row["group"] + (" (simulated)" if row.get("simulated") else "")
            what = f"accuracy of {who} at {row['resolution']} px"
            paper = printed.get((row["group"], row["resolution"]))
            yield folder.name, what, markup.estimate(row), paper
