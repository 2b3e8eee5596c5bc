"""The folder of a run: what was asked for, what happened, and what a person looks at.

config.json    configuration and the records' identity, which decide whether a run is continued;
               number of devices
flags.txt      flag file that repeats the run
log.txt        the log
stats.jsonl    one line a tick
reals.png, fakes<kimg, three decimals>.png, checkpoints/, TensorBoard event files
"""

import contextlib
import json
import logging
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from pgan import config, results
from pgan.data import record_set

ANCESTORS = "ancestors"  # in the identity of the images: what networks it started from saw
FORMAT = 1


class ConfigurationMismatchError(ValueError):
    """The folder holds a run of another configuration."""


def write_atomically(path: pathlib.Path, text: str) -> None:
    """Writes a text file beside its place and renames it, so that it is whole or absent."""
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


def describe_records(records: record_set.RecordSet, settings: config.TrainConfig) -> dict[str, Any]:
    """Identity of the images that a run is trained on, for the run folder and the model card.

    Returns:
        Name, origin and fingerprint of the record set; name, size and fingerprint of its fold;
        what was done to the images; fingerprint of the held-out fold, if there is one.
    """
    fold, held_out = settings.train_fold, settings.held_out_fold
    facts = {
        "name": records.name,
        "origin": records.manifest["origin"],
        "fingerprint": records.fingerprint,
        "fold": fold,
        "fold_size": records.fold_size(fold),
        "fold_fingerprint": records.fold_fingerprint(fold),
        "preparation": records.preparation,
    }
    if held_out:
        # The set's own folds are in its fingerprint; those of later splits are not.
        facts["held_out_fold_fingerprint"] = records.fold_fingerprint(held_out)
    return facts


def started_from(run_dir: str | os.PathLike) -> list[dict[str, Any]]:
    """What the networks of a run have seen, for a run that starts from them.

    Args:
        run_dir: The run.

    Returns:
        Identity of its images and of those of all runs that it was started from, as of
        `describe_records`; to be kept as `ancestors` in that of the new run.
    """
    _, records = RunFolder(run_dir).read()
    own = {key: value for key, value in records.items() if key != ANCESTORS}
    return [own, *records.get(ANCESTORS, [])]


def _other_images(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Lines on what differs between two identities; an older version noted less."""
    names = {
        "fingerprint": f"record set {old['name']}",
        "fold": "train_fold",
        "fold_fingerprint": f"fold {old['fold']}",
        "held_out_fold_fingerprint": "held-out fold",
    }
    return [
        f"{name}: {_brief(old[key])} in the run folder, {_brief(new[key])} now"
        for key, name in names.items()
        if key in old and key in new and old[key] != new[key]
    ]


def _brief(value: str) -> str:
    """The beginning of a fingerprint, which is enough for people; other text as it is."""
    return f"fingerprint {value[:8]}" if len(value) == 64 else value


class RunFolder:
    """A run's folder, new or to be continued.

    Attributes:
        path: The folder.
        checkpoints: Its folder of checkpoints.
    """

    def __init__(self, path: str | os.PathLike):
        """Names the folder; nothing is written yet."""
        self.path = pathlib.Path(path)
        self.checkpoints = self.path / "checkpoints"

    @property
    def exists(self) -> bool:
        """Whether a run was started here."""
        return (self.path / "config.json").exists()

    def open(
        self, settings: config.TrainConfig, records: dict[str, Any], replicas: int | None = None
    ) -> None:
        """Starts the run's folder, or checks that it is the same run.

        Args:
            settings: Configuration of the run.
            records: From `describe_records`.
            replicas: Devices that share each batch, which may be others when a run is continued.

        Raises:
            ConfigurationMismatchError: If a run of another configuration or other images is here.
        """
        if self.exists:
            self._check(settings, records)
            _, old = self.read()
            records = {**records, **{key: old[key] for key in (ANCESTORS,) if key in old}}
        elif self.path.exists() and any(self.path.glob("checkpoints/ckpt-*")):
            raise ConfigurationMismatchError(
                f"{self.path} holds checkpoints but no config.json; give --run_dir another folder"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        text = {"format": FORMAT, "config": settings.to_dict(), "records": records}
        if replicas is not None:
            text["replicas"] = replicas
        write_atomically(self.path / "config.json", json.dumps(text, indent=2) + "\n")

    def _check(self, settings: config.TrainConfig, records: dict[str, Any]) -> None:
        old_settings, old_records = self.read()
        lines = config.differences(old_settings, settings)
        anew = "or start anew with another --run_dir (--init_from takes over its weights)."
        if lines:
            raise ConfigurationMismatchError(
                f"{self.path} holds a run of another configuration:\n  "
                + "\n  ".join(lines)
                + f"\nContinue it with --flagfile={self.path / 'flags.txt'}, {anew}"
            )
        lines = _other_images(old_records, records)
        if lines:
            raise ConfigurationMismatchError(
                f"{self.path} holds a run on other images:\n  "
                + "\n  ".join(lines)
                + "\nContinue it with the record set that it began with (--records; a copy will "
                "do), or with one that the same commands of tools/build_records.py and "
                f"tools/split_records.py make again, {anew}"
            )

    @property
    def replicas(self) -> int | None:
        """Devices that shared each batch last; None if that was not noted, or without a run."""
        return self._content().get("replicas") if self.exists else None

    def read(self) -> tuple[config.TrainConfig, dict[str, Any]]:
        """Reads configuration and records' identity of the run.

        Raises:
            FileNotFoundError: If no run was started here.
            ValueError: If the folder was written by an unknown version.
        """
        path = self.path / "config.json"
        if not path.exists():
            raise FileNotFoundError(
                f"{self.path} is no run folder: it has no config.json. --run_dir is the folder "
                "that tools/train_pgan.py wrote."
            )
        content = self._content()
        if content.get("format") != FORMAT:
            raise ValueError(
                f"{path} has format {content.get('format')!r}; this version reads {FORMAT}"
            )
        return config.TrainConfig.from_dict(content["config"]), content["records"]

    def _content(self):
        return json.loads((self.path / "config.json").read_text(encoding="utf-8"))

    def share_trained(self) -> float:
        """Share of its images that the newest checkpoint has seen, 0 to 1.

        Lines of stats.jsonl are no measure: one is written some seconds before its checkpoint.

        Raises:
            ValueError: If the folder was written by an unknown version.
        """
        shown = [int(path.stem.split("-")[1]) for path in self.checkpoints.glob("ckpt-*.index")]
        if not self.exists or not shown:
            return 0.0
        settings, _ = self.read()
        return min(max(shown) / round(1000 * settings.schedule.total_kimg), 1.0)

    @contextlib.contextmanager
    def logging_to_file(self, package: str = "pgan") -> Iterator[None]:
        """Copies the log of a package into log.txt within the block."""
        handler = logging.FileHandler(self.path / "log.txt", encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger = logging.getLogger(package)
        level = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            logger.setLevel(level)
            logger.removeHandler(handler)
            handler.close()

    def append_stats(self, row: dict[str, Any]) -> None:
        """Appends a line to stats.jsonl."""
        results.append(self.path / "stats.jsonl", row)

    def read_stats(self) -> list[dict[str, Any]]:
        """Reads the whole lines of stats.jsonl, oldest first."""
        return results.read(self.path / "stats.jsonl")

    def rewind_stats(self, images_shown: int) -> None:
        """Drops the lines of stats.jsonl beyond the checkpoint that a run continues from."""
        if not (self.path / "stats.jsonl").exists():
            return
        kept = [row for row in self.read_stats() if row["images_shown"] <= images_shown]
        text = "".join(json.dumps(row) + "\n" for row in kept)
        write_atomically(self.path / "stats.jsonl", text)
