"""Hospitals that take part from where they are: who they are, and what their record sets are.

A file names them, in an order that must stay, since a site's number decides what it draws:

    [north]
    address = localhost:10001          where its worker is reached, through a tunnel
    records = /srv/pgan/records        its record set, as the worker sees it
    fold = train                       optional; --train_fold if left out

What the coordinator learns of a record set is its manifest, which holds counts and checksums, no
images and no patients. Neither TensorFlow nor TFF is needed here.
"""

import configparser
import dataclasses
import hashlib
import json
import pathlib
import re
from typing import Any

from federated import config
from pgan.data import manifest, split_store

_KEYS = ("address", "records", "fold")
_ADDRESS = re.compile(r"unix:/\S+|(\[[0-9a-fA-F:]+\]|[A-Za-z0-9_.-]+):[0-9]{1,5}")


class UnfitError(ValueError):
    """A site cannot take part with the record set that it has; the message says why."""


@dataclasses.dataclass(frozen=True)
class Site:
    """A hospital as the coordinator reaches it.

    Attributes:
        number: Its place in the file, from 0.
        name: Its name.
        address: HOST:PORT or unix:PATH.
        records: Path of its record set on its own disk.
        fold: Fold that it trains on, such as "train" or "<split>/<fold>".
    """

    number: int
    name: str
    address: str
    records: str
    fold: str

    @property
    def split_path(self) -> str | None:
        """Path of the file that describes the fold, if the manifest does not."""
        split, slash, _ = self.fold.partition("/")
        return f"{self.records}/{split_store.SPLITS}/{split}/{split_store.SPLIT}" if slash else None

    @property
    def fold_path(self) -> str:
        """Path of the fold's list of records."""
        folder = f"{split_store.SPLITS}/{self.fold}.txt"
        return f"{self.records}/{folder if self.split_path else manifest.fold_name(self.fold)}"


@dataclasses.dataclass(frozen=True)
class Holdings:
    """What a site has, as its manifest says.

    Attributes:
        site: Name of the site.
        findings: The vocabulary.
        preparation: What was done to the images, see `RecordSet.preparation`.
        origin: Where they are from, such as "real".
        encoding: How images of the resolution are stored, "raw" or "png".
        num_shards: Files of the resolution.
        fingerprint: Of the record set.
        fold_size: Images of the fold.
        fold_fingerprint: Of the fold.
    """

    site: str
    findings: tuple[str, ...]
    preparation: dict[str, Any] | None
    origin: str
    encoding: str
    num_shards: int
    fingerprint: str
    fold_size: int
    fold_fingerprint: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {**dataclasses.asdict(self), "findings": list(self.findings)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Holdings":
        """The opposite of `to_dict`."""
        return cls(**{**values, "findings": tuple(values["findings"])})


def read_config(path: str, train_fold: str) -> list[Site]:
    """Reads the file of sites.

    Args:
        path: Of the file.
        train_fold: Fold of the sites that name none.

    Raises:
        ValueError: If it cannot be read as such a file; says what is wrong with which site.
    """
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=("#",))
    try:
        with open(path, encoding="utf-8") as file:
            parser.read_file(file)
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise ValueError(
            f"--sites={path} cannot be read: {error}. It has a section [name] for each site, with "
            "the lines address = HOST:PORT and records = PATH"
        ) from None
    sites = []
    for name in parser.sections():
        section = dict(parser[name])
        split_store.check_name(name, "site")
        unknown = sorted(set(section) - set(_KEYS))
        missing = [key for key in ("address", "records") if not section.get(key)]
        if unknown or missing:
            raise ValueError(
                f"the site [{name}] of {path} "
                + (f"has no line '{missing[0]} = ...'" if missing else f"has {unknown[0]!r}")
                + f"; the lines of a site are {', '.join(_KEYS)}"
            )
        address = section["address"]
        if not _ADDRESS.fullmatch(address):
            raise ValueError(
                f"the site [{name}] of {path} has the address {address!r}; wanted is HOST:PORT or "
                "unix:PATH"
            )
        records = section["records"].rstrip("/")
        if not pathlib.PurePosixPath(records).is_absolute():
            raise ValueError(
                f"the site [{name}] of {path} has records = {records!r}; wanted is an absolute "
                "path on the site's own disk"
            )
        sites.append(Site(len(sites), name, address, records, section.get("fold") or train_fold))
    if not sites:
        raise ValueError(f"--sites={path} names no site; each has a section [name]")
    for value in ("address", "name"):
        seen = [getattr(site, value) for site in sites]
        double = next((v for v in seen if seen.count(v) > 1), None)
        if double:
            raise ValueError(f"--sites={path} has the {value} {double} twice")
    return sites


def parse(site: Site, resolution: int, manifest_text: str, split_text: str | None) -> Holdings:
    """Reads what a site's own files say of it.

    Args:
        site: The site.
        resolution: Of the networks in px.
        manifest_text: Content of the record set's manifest.json.
        split_text: Content of the split's split.json, if its fold is one of a split.

    Raises:
        UnfitError: If the site cannot take part with this record set; names the site.
    """
    where = f"{site.name} ({site.records})"
    try:
        content = json.loads(manifest_text)
        kind = content.get("format"), content.get("format_version")
        folds = json.loads(split_text)["folds"] if split_text else content.get("folds", {})
    except (json.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
        raise UnfitError(f"the record set of {where} is damaged: {error!r}") from None
    if kind != (manifest.FORMAT, manifest.FORMAT_VERSION):
        raise UnfitError(
            f"{where} holds {kind[0]!r} version {kind[1]}; wanted is {manifest.FORMAT!r} version "
            f"{manifest.FORMAT_VERSION}, as tools/build_records.py of this version writes it"
        )
    if str(resolution) not in content["encoding"]:
        sizes = sorted(map(int, content["encoding"]))
        raise UnfitError(
            f"{where} has no {resolution} px (found {sizes[0]}-{sizes[-1]}); run "
            f"tools/build_records.py --max_resolution={resolution} there, or give the federation a "
            "--resolution that all sites have"
        )
    fold = site.fold.rpartition("/")[2]
    if fold not in folds:
        raise UnfitError(f"{where} has no fold {site.fold!r}; its folds are {', '.join(folds)}")
    if not folds[fold]["records"]:
        raise UnfitError(
            f"{where} has no images in its fold {site.fold!r}; name another fold, or leave the "
            "site out"
        )
    return Holdings(
        site=site.name,
        findings=tuple(content["findings"]),
        preparation=manifest.preparation(content),
        origin=content["origin"],
        encoding=content["encoding"][str(resolution)],
        num_shards=content["num_shards"],
        fingerprint=content["fingerprint"],
        fold_size=folds[fold]["records"],
        fold_fingerprint=folds[fold]["fingerprint"],
    )


def shard_paths(site: Site, holdings: Holdings, resolution: int) -> list[str]:
    """Paths of the shards of a resolution on the site's disk."""
    count = holdings.num_shards
    return [f"{site.records}/{manifest.shard_name(resolution, k, count)}" for k in range(count)]


def check_alike(holdings: list[Holdings]) -> None:
    """Raises ValueError unless the images of all sites mean the same and were made alike."""
    first = holdings[0]
    for other in holdings[1:]:
        if other.findings != first.findings:
            raise ValueError(
                f"{first.site} and {other.site} have different vocabularies: "
                f"{', '.join(first.findings)} at {first.site}, {', '.join(other.findings)} at "
                f"{other.site}. Build one of the record sets anew with the other's findings"
            )
        mine, theirs = first.preparation or {}, other.preparation or {}
        for key in mine.keys() & theirs.keys():
            if mine[key] != theirs[key]:
                raise ValueError(
                    f"{first.site} and {other.site} prepared their images in different ways: "
                    f"{key} is {mine[key]} at {first.site} and {theirs[key]} at {other.site}, "
                    "which a critic tells apart. Build one of the record sets anew with the same "
                    "flags of tools/build_records.py"
                )


def describe(holdings: list[Holdings], settings: config.FederatedConfig) -> dict[str, Any]:
    """Identity of all sites' images, in the place of `run_folder.describe_records`."""

    def of_all(name):
        lines = [f"{h.site} {getattr(h, name)}" for h in holdings]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    return {
        "name": ", ".join(h.site for h in holdings),
        "sites": [h.site for h in holdings],
        "origin": ", ".join(sorted({h.origin for h in holdings})),
        "fingerprint": of_all("fingerprint"),
        "fold": settings.train_fold,
        "fold_size": sum(h.fold_size for h in holdings),
        "fold_fingerprint": of_all("fold_fingerprint"),
        "preparation": holdings[0].preparation,
    }
