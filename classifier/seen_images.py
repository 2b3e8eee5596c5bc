"""Which images a classifier has seen, as it is written beside its weights, and whose they were."""

from collections.abc import Mapping, Sequence
from typing import Any

from classifier import image_table
from pgan import run_folder
from pgan.data import overlap, record_set

_UNKNOWN = "unknown"
_IDENTITY = {"name", "origin", "fingerprint", "fold", "fold_fingerprint"}


def describe(folds: Sequence[image_table.Fold]) -> list[dict[str, Any]]:
    """Identity of folds, and of what the generators of synthetic ones were trained on.

    Args:
        folds: That a classifier is trained or validated on.

    Returns:
        JSON types, each fold once: name, origin and fingerprint of the record set, name and
        fingerprint of the fold; "source", the collection, where it is known. Nothing of patients.
    """
    found = []
    for fold in folds:
        content = fold.records.manifest
        own = {
            "name": fold.records.name,
            "origin": content["origin"],
            "source": content["source"],
            "fingerprint": fold.records.fingerprint,
            "fold": fold.fold,
            "fold_fingerprint": fold.records.fold_fingerprint(fold.fold),
        }
        for facts in (own, *(_of_generator(fold.records) if own["origin"] == "synthetic" else ())):
            kept = {name: facts[name] for name in own if name in facts}
            if kept not in found:
                found.append(kept)
    return found


def require_unseen(
    table: image_table.ImageTable,
    seen: Sequence[Mapping[str, Any]] | None,
    at_hand: Sequence[record_set.RecordSet],
    whose: str,
) -> list[str]:
    """Refuses images of patients that a classifier has seen, as far as that can be told.

    Args:
        table: Images of one fold.
        seen: From `describe`; None if the classifier does not say.
        at_hand: Record sets that it was trained on, for comparison; the table's own is anyhow.
        whose: Name of the classifier.

    Returns:
        Sentences on what could not be checked. Collections of other hospitals are none: that a
        person was a patient of both cannot be told from records.

    Raises:
        ValueError: If a patient was seen, record sets cannot be compared, or one at hand is none
            of those that the classifier was trained on.
    """
    own = table.folds[0].records
    prints = {facts.get("fingerprint") for facts in seen or ()}
    for records in at_hand:
        if records.fingerprint not in prints:
            names = ", ".join(sorted({facts["name"] for facts in seen or ()})) or "it does not say"
            raise ValueError(
                f"--trained_on={records.path} is no record set that {whose} was trained on "
                f"({names}); give that very one, or leave the flag out"
            )
    if seen is None:
        return [
            f"{whose} does not say which images it was trained on, as its training is of an older "
            f"version; whether patients of {own.name} are among them is not checked"
        ]
    known = {records.fingerprint: records for records in (*at_hand, own)}
    unchecked = []
    for facts in seen:
        if facts["origin"] == _UNKNOWN:
            unchecked.append(
                f"{whose} was trained or validated on synthetic images; which {facts['name']} is "
                f"not known, and whether patients of {own.name} are among them is not checked"
            )
            continue
        # Of a generator of several hospitals it may be "phantom, real".
        if own.manifest["origin"] not in facts["origin"].split(", "):
            continue
        records = known.get(facts["fingerprint"])
        source = facts.get("source") if records is None else records.manifest["source"]
        if source is not None and not _one_home(source, own.manifest["source"]):
            continue
        if records is not None and _holds(records, facts):
            fold = image_table.Fold(records, facts["fold"])
            table.require_no_patient_of([fold], f"which {whose} was trained or validated on")
        elif records is not None:
            unchecked.append(
                f"{whose} was trained or validated on the fold {facts['fold']} of {facts['name']}, "
                f"which {records.path} does not hold any more as it was; whether patients of "
                f"{own.name} are among them is not checked"
            )
        else:
            unchecked.append(
                f"{whose} was trained or validated on {facts['name']}, fold {facts['fold']}, with "
                f"which {own.name} may share patients; give --trained_on=FOLDER, that record set, "
                "to have it checked"
            )
    return unchecked


def _of_generator(records):
    trained_on = records.manifest["provenance"].get("training_records", {})
    return [
        facts
        # Not where several generators drew the images, nor of a federation, whose fingerprint is
        # that of all its sites together.
        if _IDENTITY <= facts.keys() and "sites" not in facts
        else {"name": f"images the generators of {records.name} saw", "origin": _UNKNOWN}
        for facts in (trained_on, *trained_on.get(run_folder.ANCESTORS, []))
    ]


def _holds(records, facts):
    try:
        return records.fold_fingerprint(facts["fold"]) == facts["fold_fingerprint"]
    except ValueError:  # a split that is no longer there
        return False


def _one_home(first, second):
    return overlap.home(first) == overlap.home(second)
