"""Tables of a deposit: a line for each submission, and the measures of several side by side."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from pgan import results
from pgan.data import labels
from pgan.deposit import storage

COLUMNS = (
    "site",
    "generator",
    "px",
    "findings",
    "training images",
    "claimed",
    "measured",
    "floor",
    "coverage",
    "similarity gap",
    "audit",
    "status",
    "reason",
)
_DISTANCES = ("fd", "fid")


def text(submissions: Sequence[storage.Submission]) -> str:
    """Markdown table, a line for each submission."""
    rows = [list(line(one).values()) for one in submissions]
    return results.markdown_table(COLUMNS, rows)


def line(submission: storage.Submission) -> dict[str, Any]:
    """What is told of a submission, by column."""
    facts, decision = submission.facts, submission.decision or {}
    measured = decision.get("measured", {})
    values = (
        submission.site,
        f"{facts['name']}/{facts['version']}",
        facts["resolution"],
        _vocabulary(facts["findings"]),
        facts["training_records"]["fold_size"],
        _claimed(submission, decision),
        f"{measured['metric']} {results.format_number(measured['distance'])}" if measured else "",
        measured.get("floor"),
        measured.get("coverage"),
        measured.get("similarity_gap"),
        _audit(decision.get("audit") or submission.audit),
        submission.status,
        "; ".join(
            [*decision.get("reasons", ()), *map("note: {}".format, decision.get("flags", ()))]
        ),
    )
    return dict(zip(COLUMNS, values, strict=True))


def as_csv(submissions: Sequence[storage.Submission]) -> str:
    """The same as CSV, with exact numbers and checksums."""
    with io.StringIO(newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([*COLUMNS, "submitted", "decided", "sha256", "finding names"])
        for one in submissions:
            decided = (one.decision or {}).get("date", "")
            names = "|".join(one.facts["findings"])
            more = [one.submitted, decided, one.sha256, names]
            # A site chooses its texts; none may begin like a spreadsheet's formula.
            cells = [*line(one).values(), *more]
            table.writerow([f"'{c}" if str(c)[:1] in "=+@" and str(c) else c for c in cells])
        return file.getvalue()


def comparison(submissions: Sequence[storage.Submission]) -> str:
    """Markdown tables of what was measured, one for each reference, count and extractor."""
    groups: dict[tuple, list[storage.Submission]] = {}
    for one in submissions:
        measured = (one.decision or {}).get("measured")
        if measured:
            key = (measured["reference"], measured["reference_fingerprint"], measured["metric"])
            groups.setdefault((*key, measured["resolution"]), []).append(one)
    parts = []
    for (reference, _, _, resolution), members in groups.items():
        measured = [one.decision["measured"] for one in members]
        measures = list(dict.fromkeys(name for found in measured for name in found["rows"]))
        rows = [
            [
                name,
                measured[-1]["rows"].get(name, {}).get("real"),
                *(found["rows"].get(name, {}).get("synthetic") for found in measured),
            ]
            for name in measures
        ]
        kind = "similarity gap"
        rows.append([kind, None, *(found["similarity_gap"] for found in measured)])
        head = ("measure", "real", *(f"{one.id} ({one.status})" for one in members))
        title = f"Against {reference}, {measured[0]['count']} images of each set, {resolution} px"
        parts.append(f"{title}\n\n{results.markdown_table(head, rows)}")
    return "\n\n".join(parts) or "Nothing was measured yet; see --action=admit."


def _vocabulary(findings) -> str:
    known = {tuple(names): name for name, names in labels.VOCABULARIES.items()}
    return known.get(tuple(findings), str(len(findings)))


def _claimed(submission, decision) -> str:
    claim, mark = decision.get("claim"), ""
    if claim is None:
        found = [row for row in submission.claims if row["metric"].startswith(_DISTANCES)]
        claim = found[-1] if found else None
        mark = " (own reference)" if decision.get("measured") else ""
    if claim is None:
        return "nothing"
    return f"{claim['metric']} {results.format_number(float(claim['value']))}{mark}"


def _audit(audit) -> str:
    if audit is None:
        return "missing"
    found = [*(["controls failed"] if audit["failed_controls"] else []), *audit["found"]]
    return f"{audit['count']} images: {', '.join(found) or 'nothing found'}"
