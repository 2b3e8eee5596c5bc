"""What sections share: which rows are whose, guards against rows of other versions, the paper."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pgan.report import collect, markup, paper

# Kinds of rows by their name.
_NAMES = {
    "classifier": "classifier",
    "comparison": "classifier",
    "calibration": "classifier",
    "robustness": "classifier",
    "robustness_comparison": "classifier",
    "diversity": "classifier",
    "explanation": "explanation",
    "pointing": "explanation",
    "precision_comparison": "precision",
    "federation_comparison": "federation",
    "generated_finding": "correlation",
    "map_change": "visualisation",
    "map_ratio": "visualisation",
}
_PREFIXES = {"reader": "readers", "correlation": "correlation", "deposit": "deposit"}
# Columns of tables of unknown rows that name patients or places on a machine.
_PRIVATE = ("patient", "image_id", "record", "records_csv", "folder", "path", "items", "previous")
_LONGEST_TABLE = 60  # rows
_MOST_COLUMNS = 12


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        title: Its heading.
        parts: Below it.
        shows: Figures and tables of the paper that it shows, names of `paper.INDEX`.
    """

    title: str
    parts: list[markup.Html]
    shows: frozenset[str] = frozenset()

    @property
    def anchor(self) -> str:
        """Where links to it lead."""
        return "-".join("".join(c if c.isalnum() else " " for c in self.title.lower()).split())


def kind(row: collect.Row) -> str:
    """Which section a row belongs to; empty if to none."""
    name = row.get("name")
    if isinstance(name, str):
        known = _NAMES.get(name)
        prefix = name.split("_")[0]
        return known or _PREFIXES.get(prefix, "")
    if "audit_version" in row:
        return "audit"
    if "real_mean" in row and "synthetic_mean" in row:
        return "pairs"
    if "images" in row and "reference" in row and "metric" in row:
        return "evaluation"
    return ""


def of_kind(folder: collect.Folder, *kinds: str) -> list[collect.Row]:
    """Rows of a folder of some kinds."""
    return [row for row in folder.rows if kind(row) in kinds]


def guarded(rows: Sequence[collect.Row], build: Callable[[], Any]) -> markup.Html:
    """What `build` makes of rows, or a plain table of them if they lack what it needs.

    Rows may be of another version of the tool that wrote them.
    """
    try:
        return markup.join(build())
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        reason = f"{type(error).__name__}: {error}"
        note = f"These rows are not as expected ({reason}); they are shown as they are."
        return markup.join([markup.paragraph(note, "note warning"), plain_tables(rows)])


def beside_paper(*topics: str) -> markup.Html:
    """The paper's numbers on some topics, in a box; nothing if it has none."""
    rows = [(one.where, one.what, one.value) for one in paper.numbers(*topics)]
    if not rows:
        return markup.Html("")
    table = markup.table(("where", "what", "value"), rows, "In the paper")
    return markup.Html(f'<div class="paper">{table}</div>')


def plain_tables(rows: Sequence[collect.Row]) -> markup.Html:
    """Rows of any kind, a table for each set of columns."""
    tables = {}
    for row in rows:
        simple = {key: value for key, value in row.items() if _is_shown(key, value)}
        tables.setdefault(tuple(simple), []).append(simple)
    parts = []
    for columns, lines in tables.items():
        if not columns:
            continue
        same = [c for c in columns if len(lines) > 1 and all(r[c] == lines[0][c] for r in lines)]
        varying = [c for c in columns if c not in same] or list(columns)
        note = "; ".join(f"{c}: {markup.number(lines[0][c])}" for c in same if c in columns)
        more = []
        if len(varying) > _MOST_COLUMNS:
            more.append(f"columns left out: {', '.join(varying[_MOST_COLUMNS:])}")
        if len(lines) > _LONGEST_TABLE:
            more.append(f"{len(lines) - _LONGEST_TABLE:,} further rows left out")
        varying = varying[:_MOST_COLUMNS]
        parts.append(
            markup.table(
                varying,
                [[row[c] for c in varying] for row in lines[:_LONGEST_TABLE]],
                notes="; ".join(filter(None, [note, *more])),
            )
        )
    return markup.join(parts)


def _is_shown(key, value):
    if key == "timestamp" or key in _PRIVATE or "fingerprint" in key or "sha256" in key:
        return False
    if isinstance(value, list):
        return len(value) <= 8 and not any(isinstance(item, dict | list) for item in value)
    if isinstance(value, dict):
        return len(value) <= 6 and not any(isinstance(v, dict | list) for v in value.values())
    return True


def shared(rows: Iterable[collect.Row], key: str) -> str:
    """The values of a key among rows, for a sentence: "32" or "32 and 64"."""
    values = []
    for row in rows:
        value = row.get(key)
        for one in value if isinstance(value, list) else [value]:
            if one is not None and one not in values:
                values.append(one)
    return enumeration([markup.number(value) for value in values])


def enumeration(words: Sequence[str]) -> str:
    """Such as "a, b and c"."""
    words = list(words)
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def counted(count: int, singular: str, plural: str = "") -> str:
    """Such as "1 run" and "2 runs"."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def origin_text(origin: str) -> str:
    """Whose images, in words."""
    return {
        collect.REAL: "real patients",
        collect.PHANTOM: "drawn phantoms",
        collect.SYNTHETIC: "synthetic images",
    }.get(origin, "unknown origin")
