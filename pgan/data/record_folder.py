"""The folder of a record set while it is written: whose it is, what is there, when it is whole."""

import contextlib
import fcntl
import json
import os
import pathlib
import platform
from collections.abc import Collection, Iterator

import numpy as np
import PIL
import tqdm

from pgan.data import manifest, record_plan, split_store

UNFINISHED = "unfinished.json"
SET_ASIDE = "set_aside.txt"


@contextlib.contextmanager
def claimed(output_dir: pathlib.Path, work: str = "writing records to") -> Iterator[None]:
    """Makes the folder, and keeps a second process from writing there at the same time.

    Args:
        output_dir: The folder.
        work: What is done there, for the message.

    Raises:
        ValueError: If another process is at it.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    folder = os.open(output_dir, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ValueError(
            f"Another process is {work} {output_dir}; wait until it ends, or stop it first."
        ) from None
    finally:
        os.close(folder)


def read_finished(output_dir: pathlib.Path, plan: record_plan.Plan) -> dict | None:
    """The manifest of a finished set of the same settings, or None if there is none yet."""
    for name in (manifest.MANIFEST, UNFINISHED):
        if (output_dir / name).exists():
            break
    else:
        strangers = [path.name for path in output_dir.iterdir()]
        if strangers:
            raise ValueError(
                f"{output_dir} is not empty and holds no record set (it has {strangers[0]}); "
                f"give another --output."
            )
        return None
    there = json.loads((output_dir / name).read_text())
    if name == UNFINISHED:
        there["source_fingerprint"] = plan.settings["source_fingerprint"]  # compared by shard
    # Settings are compared as JSON gives them back: tuples as lists.
    wanted = json.loads(json.dumps(plan.settings))
    differing = [key for key in wanted if there.get(key) != wanted[key]]
    if differing:
        state = "a finished" if name == manifest.MANIFEST else "an unfinished"
        lines = [
            f"  {k}: {_brief(there.get(k))} there, {_brief(wanted[k])} asked" for k in differing
        ]
        raise ValueError(
            f"{output_dir} holds {state} record set of other settings or another source:\n"
            + "\n".join(lines)
            + "\nGive another --output, or remove that folder."
        )
    return there if name == manifest.MANIFEST else None


def _brief(value) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def read_set_aside(output_dir: pathlib.Path, finished: dict | None) -> set[str]:
    """Ids of the records that an earlier call left out because their images are broken."""
    if finished:
        return set(finished["set_aside"])
    path = output_dir / SET_ASIDE
    return set(path.read_text().split()) if path.exists() else set()


def note_set_aside(output_dir: pathlib.Path, record_ids: Collection[str]) -> None:
    """Notes the records left out: before their shard is in its place, so that none is forgotten."""
    manifest.write_text(output_dir / SET_ASIDE, "".join(f"{i}\n" for i in sorted(record_ids)))


def present_shards(
    output_dir: pathlib.Path,
    plan: record_plan.Plan,
    finished: dict | None,
    set_aside: Collection[str],
    progress: bool,
) -> dict[str, dict]:
    """{name: facts} of the shards that need not be written."""
    present = {}
    names = [
        (plan.shard_name(size, shard), plan.shards[shard])
        for shard in range(len(plan.shards))
        for size in plan.encodings
        if (output_dir / plan.shard_name(size, shard)).exists()
    ]
    for name, (start, stop) in tqdm.tqdm(
        names, unit="shard", desc="Checking", disable=not progress or not names
    ):
        path = output_dir / name
        facts = {
            "bytes": path.stat().st_size,
            "sha256": manifest.sha256_of_file(path),
            "records": sum(i not in set_aside for i in plan.record_ids[start:stop]),
        }
        if finished is None or facts == finished["shards"].get(name):
            present[name] = facts
    return present


def begin(output_dir: pathlib.Path, plan: record_plan.Plan, present: dict[str, dict]) -> None:
    """Notes what is being written, and checks that shards already there came from the same."""
    path = output_dir / UNFINISHED
    if path.exists():
        stamps = json.loads(path.read_text())["stamps"]
        for shard, stamp in enumerate(plan.stamps):
            written = [s for s in plan.encodings if plan.shard_name(s, shard) in present]
            if written and stamps[shard] != stamp:
                raise ValueError(
                    f"The source's files or labels have changed since "
                    f"{output_dir / plan.shard_name(written[0], shard)} was written. Remove "
                    f"{output_dir} and run the command again."
                )
    manifest.write_json(path, {**plan.settings, "stamps": plan.stamps})


def check_rebuilt(output_dir: pathlib.Path, name: str, facts: dict, finished: dict | None) -> None:
    """Checks that a shard written again into a finished set has the bytes of the first time."""
    if finished and finished["shards"][name] != facts:
        (output_dir / name).unlink()
        raise ValueError(
            f"The rebuilt {output_dir / name} differs from the one this set was finished with. "
            f"The set was written with {finished['written_with']}, this is {_libraries()}. Build "
            f"it anew in another folder."
        )


def tables_whole(output_dir: pathlib.Path, finished: dict) -> bool:
    """Whether the record table and the fold lists are there as the manifest has them."""
    names = [manifest.RECORDS, *(manifest.fold_name(fold) for fold in finished["folds"])]
    return all(
        (output_dir / name).exists()
        and manifest.sha256_of_file(output_dir / name) == finished["tables"][name]
        for name in names
    )


def finish(
    output_dir: pathlib.Path,
    plan: record_plan.Plan,
    shards: dict[str, dict],
    finished: dict | None,
    set_aside: Collection[str],
) -> None:
    """Writes the tables, and last of all the manifest."""
    kept = [p for p, record_id in enumerate(plan.record_ids) if record_id not in set_aside]
    table = manifest.records_csv(
        [plan.record_ids[p] for p in kept],
        [plan.patient_ids[p] for p in kept],
        [plan.radiographs[p].labels for p in kept],
        [plan.extras(p) for p in kept],
        plan.settings["findings"],
    )
    texts = {manifest.RECORDS: table}
    all_folds = {fold: [i for i in ids if i not in set_aside] for fold, ids in plan.folds.items()}
    for fold, ids in all_folds.items():
        texts[manifest.fold_name(fold)] = "".join(f"{record_id}\n" for record_id in ids)
    for name, text in texts.items():
        manifest.write_text(output_dir / name, text)
    if not finished:
        folds = {fold: _describe_fold(plan, ids) for fold, ids in all_folds.items()}
        content = {
            **plan.settings,
            "num_records": len(kept),
            "num_patients": len({plan.patient_ids[p] for p in kept}),
            "set_aside": sorted(set_aside),
            "records_per_shard": [
                sum(i not in set_aside for i in plan.record_ids[start:stop])
                for start, stop in plan.shards
            ],
            "fingerprint": manifest.set_fingerprint(shards, folds),
            "folds": folds,
            "written_with": _libraries(),
            "tables": {name: manifest.sha256_of_text(text) for name, text in texts.items()},
            "shards": {name: shards[name] for name in sorted(shards)},
        }
        manifest.write_json(output_dir / manifest.MANIFEST, content)
    for name in (UNFINISHED, SET_ASIDE):
        (output_dir / name).unlink(missing_ok=True)


def _describe_fold(plan: record_plan.Plan, record_ids: Collection[str]) -> dict:
    members = set(record_ids)
    chosen = [p for p, record_id in enumerate(plan.record_ids) if record_id in members]
    labels = np.array([plan.radiographs[p].labels for p in chosen], np.float32)
    findings = plan.settings["findings"]
    return split_store.describe(
        record_ids,
        [plan.patient_ids[p] for p in chosen],
        labels.reshape(len(chosen), len(findings)),
        findings,
    )


def _libraries() -> str:
    return f"Python {platform.python_version()}, NumPy {np.__version__}, Pillow {PIL.__version__}"
