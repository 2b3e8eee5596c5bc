"""A record set on disk, checked when it is opened."""

import concurrent.futures
import json
import os
import pathlib

import numpy as np
import tqdm

from pgan.data import manifest, split_store

VERIFY = ("auto", "full", "size")

# "auto" compares checksums up to this many bytes, which takes seconds from a fast disk.
_AUTO_FULL_BYTES = 16 * 2**30
# Above this many bytes to read, checksums take long enough that somebody wants to see them move.
_SHOW_PROGRESS_FROM = 2 * 2**30

_REBUILD = "Run the tools/build_records.py command that made the set again; it rewrites the file."


class RecordSet:
    """Images at several resolutions with labels, patients and folds.

    Attributes:
      path: the folder.
      name: the folder's name.
      manifest: the content of manifest.json.
      findings: the vocabulary, names in the order of the labels.
      resolutions: powers of two, ascending.
      max_resolution: the largest of them.
      num_records: how many images.
      fingerprint: hex SHA-256 over the shards and the folds.
      folds: number of records of each fold that the set was built with; "all" is always among
        them. Folds of further splits are asked for as "<split>/<fold>", see `split_folds`.
    """

    def __init__(self, path: pathlib.Path, content: dict):
        self.path = path
        self.name = path.name
        self.manifest = content
        self.findings = tuple(content["findings"])
        self.resolutions = tuple(sorted(map(int, content["encoding"])))
        self.max_resolution = self.resolutions[-1]
        self.num_records = content["num_records"]
        self.fingerprint = content["fingerprint"]
        self.folds = {fold: facts["records"] for fold, facts in content["folds"].items()}
        self._table = manifest.read_records_csv(path / manifest.RECORDS, self.findings)
        self._masks = {}

    @classmethod
    def open(
        cls, path: str | os.PathLike, verify: str = "auto", max_resolution: int | None = None
    ) -> "RecordSet":
        """Opens a record set after checking that it is whole.

        Args:
          path: its folder.
          verify: "full" compares the SHA-256 of every shard, so that a damaged one is found now
            and not when training comes upon it, at the speed of the disk or of about 1 GB/s and
            core; "size" compares sizes only and takes milliseconds; "auto" is "full" up to 16 GiB
            and "size" beyond.
          max_resolution: check shards up to this resolution only; None checks all.

        Raises:
          ValueError: no finished record set there, or one with a missing or damaged file. The
            message names the file and what to do.
        """
        if verify not in VERIFY:
            raise ValueError(f"verify must be one of {', '.join(VERIFY)}, got {verify!r}.")
        path = pathlib.Path(path).absolute()
        content = _read_manifest(path)
        for name, digest in content["tables"].items():
            if not (path / name).exists():
                raise ValueError(f"{path / name} is missing. {_REBUILD}")
            if manifest.sha256_of_file(path / name) != digest:
                raise ValueError(f"{path / name} has been changed. {_REBUILD}")
        records = cls(path, content)
        records._check_consistent()
        records._check_shards(verify, max_resolution or records.max_resolution)
        return records

    def fold_size(self, fold: str) -> int:
        """Number of records of a fold."""
        return self._fold_facts(fold)["records"]

    def fold_fingerprint(self, fold: str) -> str:
        """Hex SHA-256 over the fold's record ids."""
        return self._fold_facts(fold)["fingerprint"]

    def split_folds(self, split: str) -> list[str]:
        """Names of the folds of a further split, such as "clients20/client_03"."""
        content = split_store.read(self.path, self.fingerprint, split)
        return [f"{split}/{fold}" for fold in content["folds"]]

    def fold_mask(self, fold: str) -> np.ndarray:
        """Bool [num_records], true where a record is in the fold."""
        self._fold_facts(fold)
        if fold not in self._masks:
            if fold in self.folds:
                members = set((self.path / manifest.fold_name(fold)).read_text().split())
            else:
                members = set(split_store.read_ids(self.path, self.fingerprint, fold))
            self._masks[fold] = np.array([i in members for i in self._table["record_ids"]], bool)
        return self._masks[fold]

    def record_ids(self, fold: str = "all") -> list[str]:
        """Ids of the fold's records, in record order."""
        return self._select("record_ids", fold)

    def fold_ids(self, fold: str) -> list[str]:
        """The same as `record_ids`."""
        return self.record_ids(fold)

    def patient_ids(self, fold: str = "all") -> list[str]:
        """Patient of each of the fold's records, in record order."""
        return self._select("patient_ids", fold)

    def extras(self, fold: str = "all") -> list[dict]:
        """{name: text} of `manifest.EXTRAS` of the fold's records, empty where unknown."""
        return self._select("extras", fold)

    def label_matrix(self, fold: str = "all") -> np.ndarray:
        """float32 [N, L], labels of the fold's records in record order; NaN where unknown."""
        return self._table["labels"][self.fold_mask(fold)]

    def condition_matrix(self, fold: str = "all") -> np.ndarray:
        """The same with unknown labels as absent, as generators are conditioned on them."""
        return np.nan_to_num(self.label_matrix(fold), nan=0.0)

    def encoding(self, resolution: int) -> str:
        """How images of a resolution are stored, "raw" or "png"."""
        self.require_resolution(resolution)
        return self.manifest["encoding"][str(resolution)]

    def shard_paths(self, resolution: int) -> list[str]:
        """Paths of the shards of a resolution; shard k holds the same records at each."""
        self.require_resolution(resolution)
        count = self.manifest["num_shards"]
        return [str(self.path / manifest.shard_name(resolution, k, count)) for k in range(count)]

    def level_bytes(self, resolution: int) -> int:
        """Size of all shards of a resolution."""
        shards = self.manifest["shards"]
        folder = manifest.level_folder(resolution) + "/"
        return sum(facts["bytes"] for name, facts in shards.items() if name.startswith(folder))

    def require_resolution(self, resolution: int) -> None:
        """Raises ValueError unless the set has shards of this resolution."""
        if resolution not in self.resolutions:
            raise ValueError(
                f"{self.path} has no {manifest.level_folder(resolution)} shards (found "
                f"{self.resolutions[0]}-{self.max_resolution}); run tools/build_records.py "
                f"--max_resolution={resolution}"
            )

    @property
    def preparation(self) -> dict:
        """What was done to the images: {"geometry", "mask_markers", "window"}, JSON types.

        Of synthetic images, what was done to those that their generator was trained on; None if
        that is not known.
        """
        return manifest.preparation(self.manifest)

    def require_preparation(self, preparation: dict | None, whose: str) -> None:
        """Raises ValueError if other images are known to have been prepared in another way."""
        mine = self.preparation
        if mine is None or preparation is None:
            return
        differing = [
            f"--{name}={preparation.get(name)} (here {mine[name]})"
            for name in mine
            if preparation.get(name) != mine[name]
        ]
        if differing:
            raise ValueError(
                f"{whose} was made with {', '.join(differing)}; a comparison would measure that. "
                f"Build {self.path} anew with the same flags of tools/build_records.py."
            )

    def require_findings(self, findings: tuple[str, ...]) -> None:
        """Raises ValueError unless the set's vocabulary is this one, in this order."""
        if tuple(findings) != self.findings:
            raise ValueError(
                f"{self.path} was made with another vocabulary: its findings are "
                f"{', '.join(self.findings)}; wanted are {', '.join(findings)}."
            )

    def _fold_facts(self, fold: str) -> dict:
        if fold in self.folds:
            return self.manifest["folds"][fold]
        if "/" in fold:
            return split_store.read_facts(self.path, self.fingerprint, fold)
        further = ", ".join(split_store.names(self.path))
        raise ValueError(
            f"{self.path} has no fold {fold!r}; its folds are {', '.join(self.folds)}"
            + (f", and those of its splits {further} (<split>/<fold>)." if further else ".")
        )

    def _select(self, column: str, fold: str) -> list:
        chosen = np.flatnonzero(self.fold_mask(fold))
        return [self._table[column][position] for position in chosen]

    def _check_consistent(self) -> None:
        content = self.manifest
        for fold, facts in content["folds"].items():
            if self.fold_mask(fold).sum() != facts["records"]:
                raise ValueError(f"{self.path}: the fold {fold!r} and the manifest differ.")
        counts = {len(self._table["record_ids"]), sum(content["records_per_shard"])}
        if counts != {self.num_records}:
            raise ValueError(f"{self.path}: {manifest.RECORDS} and the manifest differ.")
        if manifest.set_fingerprint(content["shards"], content["folds"]) != self.fingerprint:
            raise ValueError(f"{self.path / manifest.MANIFEST} has been changed.")

    def _check_shards(self, verify: str, max_resolution: int) -> None:
        facts = {}
        for resolution in self.resolutions:
            if resolution <= max_resolution:
                for path in self.shard_paths(resolution):
                    facts[path] = self.manifest["shards"][os.path.relpath(path, self.path)]
        for path, expected in facts.items():
            if not os.path.exists(path):
                raise ValueError(f"The shard {path} is missing. {_REBUILD}")
            size = os.path.getsize(path)
            if size != expected["bytes"]:
                raise ValueError(
                    f"The shard {path} has {size} bytes instead of {expected['bytes']}. {_REBUILD}"
                )
        total = sum(expected["bytes"] for expected in facts.values())
        if verify == "full" or (verify == "auto" and total <= _AUTO_FULL_BYTES):
            _check_sums(facts, total)


def _read_manifest(path: pathlib.Path) -> dict:
    if not path.is_dir():
        raise ValueError(f"There is no record set {path}; tools/build_records.py makes one.")
    try:
        content = json.loads((path / manifest.MANIFEST).read_text())
    except FileNotFoundError:
        raise ValueError(
            f"{path} holds no finished record set ({manifest.MANIFEST} is missing). If building it "
            f"was interrupted, run the same command of tools/build_records.py again."
        ) from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path / manifest.MANIFEST} is damaged: {error}") from None
    kind = content.get("format"), content.get("format_version")
    if kind != (manifest.FORMAT, manifest.FORMAT_VERSION):
        raise ValueError(
            f"{path} holds {kind[0]!r} version {kind[1]}; expected {manifest.FORMAT!r} version "
            f"{manifest.FORMAT_VERSION}. Build it anew with tools/build_records.py."
        )
    return content


def _check_sums(facts: dict[str, dict], total: int) -> None:
    bar = tqdm.tqdm(
        total=total,
        unit="B",
        unit_scale=True,
        desc="Verifying records",
        disable=total < _SHOW_PROGRESS_FROM,
    )
    # hashlib lets go of the interpreter's lock, so threads hash in parallel.
    with bar, concurrent.futures.ThreadPoolExecutor() as executor:
        sums = executor.map(manifest.sha256_of_file, facts)
        for (path, expected), digest in zip(facts.items(), sums, strict=True):
            if digest != expected["sha256"]:
                executor.shutdown(wait=False, cancel_futures=True)
                raise ValueError(f"The shard {path} is damaged (checksum). {_REBUILD}")
            bar.update(expected["bytes"])
