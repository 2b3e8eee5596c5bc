"""What a site says of its generator: numbers of tools/evaluate_gan.py and an audit's report.

Both are the site's word. Numbers can be measured again where the reference is public. An audit
cannot: it needs the images of the patients, which never leave the site. Its report is checked for
being one of this very generator and of its training images, and judged anew by the numbers in it;
these are believed, its verdict is not.
"""

import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from pgan import evaluation_report, results, set_comparison
from pgan.audit import overtrained, planted, reporting
from pgan.deposit import submission_check
from pgan.deposit.graph_check import RefusedError, printable

_LARGEST = 2**25  # bytes
_CLAIM = (
    "metric",
    "value",
    "images",
    "count",
    "resolution",
    "reference",
    "reference_fingerprint",
    "features",
    "seed",
    "labels",
    "timestamp",
)
_METRIC = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_AUDIT_FILE = "report.json"
# What reading a report raises that is none, or whose values are of other types.
_MALFORMED = (LookupError, TypeError, ValueError, AttributeError, OverflowError)
_NO_REPORT = (
    "the audit is no report of tools/audit_privacy.py, or one of another version; give --audit the "
    "--output of that tool"
)


def read_claims(path: str | os.PathLike, card: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Numbers that a site measured of whole sets of images of its generator.

    Args:
        path: Folder or `results.jsonl` of tools/evaluate_gan.py.
        card: Of the generator.

    Raises:
        FileNotFoundError: If there is no such file.
        RefusedError: If it holds no number of this generator.
    """
    file = _file(path, evaluation_report.RESULTS)
    rows = [row for row in results.read(file) if isinstance(row, dict)]
    rows = [
        {name: row[name] for name in _CLAIM if name in row}
        for row in rows
        if row.get("images") == set_comparison.SYNTHETIC
        and "setting" not in row
        and row.get("generator_fingerprint") == card["fingerprint"]
        and isinstance(row.get("metric"), str)
        and _METRIC.fullmatch(row["metric"])
        and _is_number(row.get("value"))
    ]
    if not rows:
        raise RefusedError(
            f"{file} holds no number of the generator {card['name']}/{card['version']}; measure "
            "it with tools/evaluate_gan.py --export=..., not --run_dir"
        )
    return rows


def _is_number(value: Any) -> bool:
    """Whether it is a number that floats can hold; whole numbers of JSON may have any size."""
    is_number = isinstance(value, float | int) and not isinstance(value, bool)
    return is_number and abs(value) < 1e300  # nor NaN


def read_audit(path: str | os.PathLike, card: Mapping[str, Any]) -> dict[str, Any]:
    """The report of an audit without the names of records, which are the site's own business.

    Args:
        path: Folder or `report.json` of tools/audit_privacy.py.
        card: Of the generator.

    Raises:
        FileNotFoundError: If there is no such file.
        RefusedError: If it is no report, one of another generator, or contradicts itself.
    """
    file = _file(path, _AUDIT_FILE)
    report = submission_check.read_json(file)
    brief(report)
    try:
        audited = report["facts"].get("generator_generator_fingerprint")
        trained_on = report["facts"]["train_fingerprint"]
        suspects = [{k: v for k, v in one.items() if k != "record"} for one in report["suspects"]]
    except _MALFORMED:
        raise RefusedError(_NO_REPORT) from None
    if audited != card["fingerprint"]:
        raise RefusedError(
            f"{file} is the audit of another generator or of a run; audit this export with "
            "tools/audit_privacy.py --export=..."
        )
    if trained_on != card["training_records"]["fold_fingerprint"]:
        raise RefusedError(f"{file} audits other images than the generator was trained on")
    return {**report, "suspects": suspects}


def brief(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the ledger keeps of an audit, with the verdict that its numbers give today.

    Args:
        report: `report.json` of tools/audit_privacy.py.

    Returns:
        JSON types: `count` of the synthetic images, `planted`, the copies of the kind with the
        fewest, `copies_px`, at which copies were looked for, `failed_controls` and `found` as of
        `reporting.Verdict`, `control_generator`, `part_trained_on` and `strangers`.

    Raises:
        RefusedError: If it is no such report, or its own verdict is another.
    """
    try:
        recounted = _recounted(report)
        verdict = reporting.judge(recounted)
        facts, said = report["facts"], report["verdict"]
        found = {
            "count": int(facts["count"]),
            "planted": min(row["count"] for row in recounted["planted"].values()),
            "copies_px": int(report["copies_px"]),
            "failed_controls": list(map(_plain, verdict.failed_controls)),
            "found": {kind: list(map(_plain, texts)) for kind, texts in verdict.found.items()},
            "control_generator": bool(report["control"]),
            "part_trained_on": "trained_images" in facts,
            "strangers": list(map(_plain, facts.get("strangers", []))),
        }
        own = _kinds(said["failed_controls"], said["found"])
    except _MALFORMED:
        raise RefusedError(_NO_REPORT) from None
    by_numbers = _kinds(verdict.failed_controls, verdict.found)
    if own != by_numbers:
        raise RefusedError(
            f"the audit's own verdict ({', '.join(own) or 'nothing'}) is not that of its numbers "
            f"({', '.join(by_numbers) or 'nothing'}): it was changed, or made by another version; "
            "run tools/audit_privacy.py again and submit report.json as it is"
        )
    return found


def _recounted(report):
    """A report whose controls have passed if their counts say so, whatever it says itself."""
    # Every audit has these; without them, nothing could be found.
    _ = report["distances"]["ssim"], report["attacks"][0]
    rows = {}
    for name, kind in planted.KINDS.items():
        count, caught = (int(report["planted"][name][key]) for key in ("count", "caught"))
        rows[name] = {
            "text": kind.text,
            "count": count,
            "caught": caught,
            "required": kind.required,
            "passed": caught >= kind.required * count,
        }
    control = report["control"]
    if control:
        control = {
            **control,
            "drawn": overtrained.DRAWN,
            "required": overtrained.REQUIRED,
            "passed": control["caught"] >= overtrained.REQUIRED * overtrained.DRAWN,
            "attack_passed": control["attack"]["auc_interval"]["low"] > 0.5,
        }
    return {**report, "planted": rows, "control": control}


def _kinds(failed_controls, found) -> list[str]:
    """Kinds of `reporting.KINDS` that a verdict names."""
    named = {"controls": failed_controls, **found}
    return [kind for kind in reporting.KINDS if named.get(kind)]


def _plain(text: Any) -> str:
    """A site's sentence as it may be printed."""
    return printable(str(text))


def _file(path, name):
    path = pathlib.Path(path)
    file = path / name if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    if file.stat().st_size > _LARGEST:
        raise RefusedError(f"{file} has more than {_LARGEST:,} bytes")
    return file
