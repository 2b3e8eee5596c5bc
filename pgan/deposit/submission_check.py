"""Whether a folder is an export that a deposit can take: files, sizes, checksums, card, graph.

Nothing of the folder is run; TensorFlow sees it only after this. See `graph_check` for what that
cannot catch.
"""

import json
import os
import pathlib
import re
import stat
from typing import Any

from pgan import model_card
from pgan.data import manifest
from pgan.deposit import graph_check, signature_check
from pgan.deposit.graph_check import RefusedError

GRAPH = "saved_model.pb"
DATA = "variables/variables.data-00000-of-00001"

# The files of an export and the bytes that each may have. TensorFlow would read others, too, such
# as saved_model.pbtxt in the place of saved_model.pb, and Keras reads code in keras_metadata.pb.
FILES = {
    GRAPH: 2**26,
    "fingerprint.pb": 2**12,
    "variables/variables.index": 2**22,
    DATA: 2**31,
    model_card.CARD: 2**20,
    model_card.FINDINGS: 2**16,
    "assets.extra/tf_serving_warmup_requests": 2**24,
}
_OPTIONAL = {"fingerprint.pb", "assets.extra/tf_serving_warmup_requests"}

NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# No separators of tables; and control characters, which terminals obey, are not printable.
_FINDING = re.compile(r"[^,|\"]{1,64}")
_SIZES = tuple(2**level for level in range(2, 11))


def list_files(folder: pathlib.Path) -> dict[str, int]:
    """{path in the folder: bytes} of an export.

    Raises:
        FileNotFoundError: If there is no folder.
        RefusedError: If it holds links, special files, unexpected files or too large ones, or lacks
            some; names them.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is no folder; give the one that {model_card.GENERATOR.tool} wrote, "
            "<output>/<name>/<version>"
        )
    found = {}
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = pathlib.Path(parent, name)
            inside, facts = path.relative_to(folder).as_posix(), path.lstat()
            if stat.S_ISLNK(facts.st_mode):
                raise RefusedError(f"{inside} is a symbolic link; an export holds files only")
            if stat.S_ISDIR(facts.st_mode):
                if not any(known.startswith(f"{inside}/") for known in FILES):
                    raise RefusedError(f"the folder {inside} does not belong to an export")
                continue
            if not stat.S_ISREG(facts.st_mode):
                raise RefusedError(f"{inside} is no ordinary file")
            if inside not in FILES:
                raise RefusedError(f"{inside} does not belong to an export")
            if facts.st_size > FILES[inside]:
                raise RefusedError(
                    f"{inside} has {facts.st_size:,} bytes, {FILES[inside]:,} are allowed"
                )
            found[inside] = facts.st_size
    missing = sorted(set(FILES) - _OPTIONAL - set(found))
    if missing:
        raise RefusedError(
            f"{folder} is no whole export, it lacks {', '.join(missing)}; "
            f"{model_card.GENERATOR.tool} writes <output>/<name>/<version>"
        )
    return found


def check(folder: pathlib.Path) -> dict[str, Any]:
    """Checks an export before anything of it is run.

    Args:
        folder: Its version folder, which nobody else can change meanwhile.

    Returns:
        Its model card.

    Raises:
        RefusedError: If something is not as it has to be.
    """
    sizes = list_files(folder)
    card = read_json(folder / model_card.CARD)
    _check_card(card)
    if set(card["files"]) != set(sizes) - {model_card.CARD}:
        raise RefusedError("the model card lists other files than the export has")
    for name, wanted in card["files"].items():
        if manifest.sha256_of_file(folder / name) != wanted:
            raise RefusedError(f"{name} has been changed or damaged: its card has another checksum")
    named = (folder / model_card.FINDINGS).read_text(encoding="utf-8", errors="replace")
    if named.splitlines() != card["findings"]:
        raise RefusedError(f"{model_card.FINDINGS} names other findings than the model card")
    signature_check.check(graph_check.check(folder / GRAPH, sizes[DATA]), card)
    return card


def read_json(path: pathlib.Path) -> Any:
    """Reads a JSON file that a site wrote.

    Raises:
        RefusedError: If it is none.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"{path.name} is no JSON file: {error}") from None


def _check_card(card: Any) -> None:
    kind = model_card.GENERATOR
    if not isinstance(card, dict):
        raise RefusedError("the model card is no JSON object")
    found = card.get("format"), card.get("format_version")
    if found != (kind.format, kind.format_version):
        raise RefusedError(
            f"the model card is of {found[0]!r} version {found[1]!r}; wanted is {kind.format!r} "
            f"version {kind.format_version}, which {kind.tool} writes"
        )
    records = card.get("training_records")
    findings, files = card.get("findings"), card.get("files")
    rules = {
        "name": _matches(NAME, card.get("name")),
        "version": _is_number(card.get("version")) and 1 <= card["version"] < 10**9,
        "fingerprint": _matches(_SHA256, card.get("fingerprint")),
        "resolution": _is_number(card.get("resolution")) and card["resolution"] in _SIZES,
        "findings": isinstance(findings, list)
        and len(findings) <= 1000
        and all(_matches(_FINDING, name) and name.isprintable() for name in findings)
        and len({name.casefold() for name in findings}) == len(findings),
        "files": isinstance(files, dict)
        and all(_matches(_SHA256, digest) for digest in files.values()),
        "training_records": isinstance(records, dict)
        and _is_number(records.get("fold_size"))
        and _matches(_SHA256, records.get("fold_fingerprint"))
        and isinstance(records.get("fold", ""), str)
        and isinstance(records.get("preparation"), dict | None)
        and _are_ancestors(records.get("ancestors", [])),
    }
    wrong = [name for name, holds in rules.items() if not holds]
    if wrong:
        raise RefusedError(f"the model card has no proper {', '.join(wrong)}")
    if not findings:
        raise RefusedError(
            "the generator has no findings; a deposit shares images that are labelled, so it takes "
            "generators that were trained with findings only"
        )


def _are_ancestors(value: Any) -> bool:
    """Whether it is what `run_folder.started_from` returns."""
    return isinstance(value, list) and all(
        isinstance(one, dict)
        and all(isinstance(one.get(key), str) for key in ("name", "fingerprint", "fold"))
        and _matches(_SHA256, one.get("fold_fingerprint"))
        for one in value
    )


def _matches(pattern: re.Pattern, value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
