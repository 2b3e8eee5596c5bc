"""Patients that two folds have in common, of one record set or of two."""

from pgan.data import record_set

# Collections whose images were taken from another collection.
_TAKEN_FROM = {"rsna": "nih"}

Fold = tuple[record_set.RecordSet, str]


def shared_patients(first: Fold, second: Fold) -> set[str]:
    """Patients of the first fold who are in the second too, or an image of theirs is.

    Two ids are equal if they are one name in one collection under one key. So this finds
      - patients and images in both, if the sets are of one collection;
      - those of NIH and RSNA, if RSNA's records were built with the mapping to NIH's images: then
        their patients are NIH's, and each has the NIH image as its twin;
      - of other collections only images of which one is noted as the other's twin. That a person
        was a patient of two hospitals cannot be told: their names for the person differ.
    Images of different origin, such as real ones and phantoms, have nothing in common.

    Args:
      first: record set and name of a fold of it.
      second: likewise.

    Raises:
      ValueError: the sets' ids were made with different keys, or only one of two sets that have
        images in common says which they are.
    """
    contents = [records.manifest for records, _ in (first, second)]
    if contents[0]["origin"] != contents[1]["origin"]:
        return set()
    keys = [content["key_fingerprint"] for content in contents]
    if keys[0] != keys[1]:
        raise ValueError(
            f"{first[0].path} and {second[0].path} cannot be compared: made with different keys "
            f"({keys[0] or 'none'} and {keys[1] or 'none'}). Build one of them again with the "
            f"--key_file of the other."
        )
    homes = [home(content["source"]) for content in contents]
    if homes[0] == homes[1]:
        _check_twins_known(first, second, homes[0])
    elif keys[0] is None:
        return set()  # plain ids may be equal in two collections and mean different people
    patients, images = set(second[0].patient_ids(second[1])), set().union(*_image_names(second))
    return {
        patient
        for patient, names in zip(first[0].patient_ids(first[1]), _image_names(first), strict=True)
        if patient in patients or not names.isdisjoint(images)
    }


def home(source: str) -> str:
    """The collection that images of a source were first of, such as "nih" of those of "rsna"."""
    return _TAKEN_FROM.get(source, source)


def describe(fold: Fold) -> str:
    """Such as "nih, fold train"."""
    return f"{fold[0].name}, fold {fold[1]}"


def _image_names(fold: Fold) -> list[set[str]]:
    """The names of each image: its own and that of its twin."""
    records, name = fold
    return [
        {record_id, facts.get("twin_id", "")} - {""}
        for record_id, facts in zip(records.record_ids(name), records.extras(name), strict=True)
    ]


def _check_twins_known(first: Fold, second: Fold, home: str) -> None:
    """Refuses two folds of images from one collection if only one of them says which they are."""
    if first[0].fingerprint == second[0].fingerprint:
        return
    without = [
        sum(len(names) < 2 for names in _image_names(fold))
        if fold[0].manifest["source"] in _TAKEN_FROM
        else 0
        for fold in (first, second)
    ]
    if min(without) == 0 < max(without):
        fold = (first, second)[without.index(max(without))]
        raise ValueError(
            f"{describe(first)}, and {describe(second)}, cannot be compared: the images of "
            f"{fold[0].name} were taken from the collection {home}, but for {max(without)} of "
            f"them it is not known from which image there. Build {fold[0].name} again with the "
            f"mapping to {home}."
        )
