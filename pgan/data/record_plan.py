"""What a record set will hold, decided before the first image is read."""

import dataclasses
import hashlib
import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from pgan.data import encoding_pool, manifest, pyramid, radiograph, splits
from pgan.data import pseudonyms as pseudonyms_lib

ORIGINS = ("real", "phantom", "synthetic")
ENCODINGS = ("auto", "png", "raw")
# A shard is read by one reader at a time and rewritten as a whole after a kill: small enough for
# both, and not so small that a set has thousands of files per resolution.
_SHARD_BYTES = 128 * 2**20
_SMALL_SET_SHARDS = 16
_SMALLEST_SHARD = 32  # records

_PLAIN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclasses.dataclass(frozen=True)
class Plan:
    """A record set before it is written.

    Attributes:
      settings: the manifest's head: everything that decides the set's bytes. A folder is only
        ever continued with the same settings.
      radiographs: in record order.
      record_ids: of each radiograph.
      patient_ids: of each radiograph, as stored.
      folds: record ids of each fold in record order, "all" among them.
      shards: (start, stop) positions of the records of each shard.
      twin_ids: of each radiograph, as stored; empty where there is no twin.
      stamps: per shard, a hash over what its records are made from.
    """

    settings: dict
    radiographs: list[radiograph.Radiograph]
    record_ids: list[str]
    patient_ids: list[str]
    twin_ids: list[str]
    folds: dict[str, list[str]]
    shards: list[tuple[int, int]]
    stamps: list[str]

    @property
    def encodings(self) -> dict[int, str]:
        """{resolution: "raw" or "png"}."""
        return {int(size): encoding for size, encoding in self.settings["encoding"].items()}

    @property
    def max_resolution(self) -> int:
        """The largest resolution."""
        return max(self.encodings)

    @property
    def preparation(self) -> encoding_pool.Preparation:
        """What is done to every image."""
        return encoding_pool.Preparation(
            self.max_resolution, self.settings["geometry"], self.settings["mask_markers"]
        )

    def extras(self, position: int) -> dict:
        """{name: value} of `manifest.EXTRAS` of a record, without the unknown ones."""
        facts = {**self.radiographs[position].extras, "twin_id": self.twin_ids[position]}
        return {name: facts[name] for name in manifest.EXTRAS if facts.get(name, "") != ""}

    def shard_name(self, resolution: int, shard: int) -> str:
        """Path of a shard in the set."""
        return manifest.shard_name(resolution, shard, len(self.shards))


def make_plan(
    radiographs: Sequence[radiograph.Radiograph],
    findings: Sequence[str],
    max_resolution: int,
    source: str,
    origin: str,
    split: splits.Split | None = None,
    pseudonyms: pseudonyms_lib.Pseudonymizer | None = None,
    num_shards: int | None = None,
    encoding: str = "auto",
    geometry: str = "pad",
    mask_markers: bool = False,
    provenance: Mapping | None = None,
) -> Plan:
    """Decides ids, order, folds, shards and encodings of a record set.

    Records are ordered by a hash of their id. That mixes findings and patients over the shards,
    is the same at every resolution and, since ids of real images are keyed hashes, lets nobody
    read off which record was which file.

    Args:
      radiographs: of the collection, each image id once.
      findings: the vocabulary of their labels.
      max_resolution: power of two, the largest resolution.
      source: the collection's name, such as "nih".
      origin: "real", "phantom" or "synthetic".
      split: folds beside "all", which is always there.
      pseudonyms: replaces the ids. Needed for real images; without it ids are stored as they are.
      num_shards: per resolution; None chooses by size.
      encoding: "png", "raw", or "auto", which chooses per resolution.
      geometry: how images become square, one of `pyramid.GEOMETRIES`.
      mask_markers: whether letters and blocks near the border are covered.
      provenance: JSON facts for the manifest, such as the generator of synthetic images or how
        uncertain labels were read. Part of the settings, so the same on every restart.

    Raises:
      ValueError: on an argument outside what is said above.
    """
    _check(radiographs, findings, origin, pseudonyms)
    _check_choices(origin=(origin, ORIGINS), encoding=(encoding, ENCODINGS))
    _check_choices(geometry=(geometry, pyramid.GEOMETRIES))
    split = split or splits.Split({}, {"method": "none"})
    splits.check_by_patient(
        split.folds, {image.image_id: image.patient_id for image in radiographs}
    )
    name = pseudonyms.image if pseudonyms else str
    record_of = {image.image_id: name(image.image_id) for image in radiographs}
    if len(set(record_of.values())) < len(record_of):
        raise ValueError("Two images have the same pseudonym; use another key.")
    ordered = sorted(radiographs, key=lambda image: _rank(record_of[image.image_id]))
    encodings = {
        size: pyramid.choose_encoding(size) if encoding == "auto" else encoding
        for size in pyramid.resolutions(max_resolution)
    }
    num_shards = num_shards or _choose_num_shards(len(ordered), max_resolution)
    shards = _shard_ranges(len(ordered), num_shards)
    stamps = [_stamp(ordered[start:stop]) for start, stop in shards]
    settings = {
        "format": manifest.FORMAT,
        "format_version": manifest.FORMAT_VERSION,
        "origin": origin,
        "source": source,
        "source_fingerprint": manifest.sha256_of_lines(stamps),
        "provenance": dict(provenance or {}),
        "findings": list(findings),
        "num_images": len(ordered),
        "num_shards": num_shards,
        "geometry": geometry,
        "mask_markers": mask_markers,
        "encoding": {str(size): encodings[size] for size in encodings},
        "key_fingerprint": pseudonyms.key_fingerprint if pseudonyms else None,
        "split": split.settings,
    }
    members = {fold: set(ids) for fold, ids in split.folds.items()}
    folds = {
        fold: [record_of[i.image_id] for i in ordered if i.image_id in members[fold]]
        for fold in members
    }
    record_ids = [record_of[image.image_id] for image in ordered]
    return Plan(
        settings=settings,
        radiographs=ordered,
        record_ids=record_ids,
        patient_ids=[_patient_id(image, pseudonyms) for image in ordered],
        twin_ids=[_twin_id(image, pseudonyms) for image in ordered],
        folds={**folds, "all": record_ids},
        shards=shards,
        stamps=stamps,
    )


def _check(
    radiographs: Sequence[radiograph.Radiograph],
    findings: Collection[str],
    origin: str,
    pseudonyms: pseudonyms_lib.Pseudonymizer | None,
) -> None:
    if not radiographs:
        raise ValueError("There are no images to write.")
    if any("," in name or '"' in name or "\n" in name for name in findings):
        raise ValueError("Names of findings must be free of commas, quotes and line ends.")
    if origin == "real" and pseudonyms is None:
        raise ValueError("Real images need pseudonyms: their ids must not be stored.")
    seen = set()
    for image in radiographs:
        if image.image_id in seen:
            raise ValueError(f"The image {image.image_id} is there twice.")
        seen.add(image.image_id)
        labels = np.asarray(image.labels)
        inside = ((labels >= 0) & (labels <= 1)) | np.isnan(labels)
        if labels.shape != (len(findings),) or not inside.all():
            raise ValueError(
                f"The labels of {image.image_id} must be {len(findings)} values in [0, 1] or "
                f"unknown (NaN), got {labels}."
            )
        if pseudonyms is None:
            for plain in (image.image_id, image.patient_id):
                if not _PLAIN_ID.fullmatch(plain):
                    raise ValueError(
                        f"Ids must be 1 to 64 letters, digits, '.', '_' or '-', got {plain!r}."
                    )


def _check_choices(**choices: tuple[str, Collection[str]]) -> None:
    for name, (value, known) in choices.items():
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}.")


def _patient_id(
    image: radiograph.Radiograph, pseudonyms: pseudonyms_lib.Pseudonymizer | None
) -> str:
    if pseudonyms is None:
        return image.patient_id
    # A twin's patient is one of the collection it was taken from, and known by that pseudonym.
    return (pseudonyms.of(image.twin[0]) if image.twin else pseudonyms).patient(image.patient_id)


def _twin_id(image: radiograph.Radiograph, pseudonyms: pseudonyms_lib.Pseudonymizer | None) -> str:
    if image.twin is None:
        return ""
    collection, name = image.twin
    return pseudonyms.of(collection).image(name) if pseudonyms else name


def _rank(record_id: str) -> bytes:
    return hashlib.sha256(record_id.encode()).digest()


def _choose_num_shards(num_records: int, max_resolution: int) -> int:
    # Pixels take about half a byte as PNG; the estimate need not be good.
    by_size = -(-num_records * max_resolution**2 // (2 * _SHARD_BYTES))
    return max(by_size, min(_SMALL_SET_SHARDS, -(-num_records // _SMALLEST_SHARD)))


def _shard_ranges(num_records: int, num_shards: int) -> list[tuple[int, int]]:
    if not 0 < num_shards <= min(num_records, 99999):
        raise ValueError(
            f"The number of shards must be in 1 ... {min(num_records, 99999)} (one record each at "
            f"least), got {num_shards}."
        )
    edges = [shard * num_records // num_shards for shard in range(num_shards + 1)]
    return list(zip(edges[:-1], edges[1:], strict=True))


def _stamp(images: Sequence[radiograph.Radiograph]) -> str:
    return manifest.sha256_of_lines(
        "\t".join(
            [
                image.image_id,
                image.patient_id,
                image.stamp,
                np.asarray(image.labels, np.float32).tobytes().hex(),
                *(str(image.extras.get(name, "")) for name in manifest.EXTRAS),
                *(image.twin or ()),
            ]
        )
        for image in images
    )
