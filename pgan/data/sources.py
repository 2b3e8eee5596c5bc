"""The collections that record sets are built from, by name."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from pgan.data import chexpert, collection, folder, labels, nih, rsna, splits
from pgan.data.radiograph import Radiograph

SOURCES = ("nih", "chexpert", "rsna", "folder")

# A folder that the phantom was written to in a collection's own layout has this file.
DRAWN = "PHANTOM.json"


@dataclasses.dataclass(frozen=True)
class Source:
    """The images of a collection.

    Attributes:
      images: to be split into folds.
      official_val: images that the collection keeps for validation; no fold is drawn from them.
      findings: vocabulary of the labels.
      origin: "real", or "phantom" for drawings in the collection's layout.
      provenance: what of the reading decides labels and grey values, for the manifest.
    """

    images: list[Radiograph]
    official_val: list[Radiograph]
    findings: tuple[str, ...]
    origin: str
    provenance: dict


def vocabulary(names: Sequence[str]) -> tuple[str, ...]:
    """The findings of a named vocabulary, or the names given."""
    if len(names) == 1 and names[0] in labels.VOCABULARIES:
        return labels.VOCABULARIES[names[0]]
    return tuple(name.strip() for name in names)


def read(
    name: str,
    root: str | os.PathLike,
    csv_path: str | os.PathLike | None = None,
    findings: Sequence[str] | None = None,
    uncertain: str = "paper",
    window: str = "auto",
    allow_missing: bool = False,
) -> Source:
    """Reads a collection.

    Args:
      name: one of SOURCES.
      root: its folder.
      csv_path: its label table, where that may be elsewhere (nih, folder).
      findings: vocabulary that the labels are to be in; None leaves them in the collection's own.
      uncertain: what CheXpert's -1 is read as, one of `chexpert.UNCERTAIN`.
      window: see `image_files.load`.
      allow_missing: go on with what matches if tables and files differ.

    Raises:
      ValueError: no such collection there, a fault in its tables, a finding that it does not
        label, or an option that it does not have.
    """
    if csv_path and name not in ("nih", "folder"):
        raise ValueError(f"--csv is for nih and folder; the tables of {name} lie in --input.")
    official, own = [], {"nih": nih, "chexpert": chexpert, "rsna": rsna}.get(name)
    provenance = {"window": window}
    if name == "nih":
        images = nih.read(root, csv_path, window, allow_missing)
    elif name == "chexpert":
        images, official = chexpert.read(root, uncertain, window, allow_missing)
        provenance["uncertain"] = uncertain
    elif name == "rsna":
        images = rsna.read(root, window, allow_missing)
    elif name == "folder":
        if not findings:
            raise ValueError("A folder has no vocabulary: say it, for instance --findings=nih_14.")
        images = folder.read(root, vocabulary(findings), csv_path, window, allow_missing)
    else:
        raise ValueError(f"The source is one of {', '.join(SOURCES)}, got {name!r}.")
    wanted = vocabulary(findings) if findings else own.FINDINGS
    if own and wanted != own.FINDINGS:
        images, official = (_projected(part, own.FINDINGS, wanted) for part in (images, official))
    drawn = (pathlib.Path(root) / DRAWN).exists()
    return Source(images, official, wanted, "phantom" if drawn else "real", provenance)


def check(
    source: Source, max_images: int | None = None, **options
) -> tuple[Source, list[collection.SetAside]]:
    """The source without images that cannot be used, and those; see `collection.check`."""
    images, left_out = collection.check(
        [*source.images[:max_images], *source.official_val], **options
    )
    kept_apart = {image.image_id for image in source.official_val}
    parts = {
        "images": [image for image in images if image.image_id not in kept_apart],
        "official_val": [image for image in images if image.image_id in kept_apart],
    }
    return dataclasses.replace(source, **parts), left_out


def split(source: Source, lists: Sequence, seed: int | None, allow_missing: bool) -> splits.Split:
    """Folds of a source.

    Args:
      source: the images.
      lists: image ids of each fold, see `splits.from_lists`; empty draws by patient, 70/10/20.
      seed: of the draw; None is 0, except that all of CheXpert, which the paper did not split, is
        for training then.
      allow_missing: see `splits.from_lists`.

    Raises:
      ValueError: see `splits.from_lists`.
    """
    if lists:
        return splits.from_lists(source.images, lists, seed or 0, allow_missing)
    if not source.official_val or seed is not None:
        result = splits.draw(source.images, seed or 0)
    else:
        everything = [image.image_id for image in source.images]
        result = splits.Split({"train": everything}, {"method": "official"})
    if source.official_val:
        kept_apart = [image.image_id for image in source.official_val]
        result.folds[chexpert.OFFICIAL_VAL] = kept_apart
    return result


def _projected(
    images: Sequence[Radiograph], findings: Sequence[str], wanted: Sequence[str]
) -> list[Radiograph]:
    return [
        dataclasses.replace(image, labels=labels.project(image.labels, findings, wanted))
        for image in images
    ]
