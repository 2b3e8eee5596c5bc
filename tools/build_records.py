r"""Builds a record set: images at every resolution with labels, patients and folds.

    python tools/build_records.py --source=nih --input=data/nih --output=records/nih \
        --max_resolution=1024 --split_lists=train.txt,val.txt,test.txt
    python tools/build_records.py --source=phantom --count=2000 --seed=1 --output=records/phantom \
        --max_resolution=128 --split_seed=1

The same command again continues after an interruption, and mends a damaged set. Names of patients
and images are replaced by keyed hashes; keep the key file, and keep it to yourself.
"""

import os
import pathlib
import sys

from absl import app, flags

_SOURCE = flags.DEFINE_enum("source", None, ["nih", "phantom"], "Where the images come from.")
_INPUT = flags.DEFINE_string("input", None, "Folder of the collection (nih).")
_CSV = flags.DEFINE_string("csv", None, "Label file, if it is not in --input (nih).")
_OUTPUT = flags.DEFINE_string("output", None, "Folder of the record set.")
_MAX_RESOLUTION = flags.DEFINE_integer(
    "max_resolution", None, "Largest resolution in pixels, a power of two; all from 4 up are made."
)
_COUNT = flags.DEFINE_integer("count", None, "Number of images (phantom).", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Of the population (phantom).", lower_bound=0)
_SPLIT_SEED = flags.DEFINE_integer(
    "split_seed", None, "Of the draw of folds by patient, 70/10/20; 0 if not given."
)
_SPLIT_LISTS = flags.DEFINE_list(
    "split_lists",
    None,
    "Files of image names, one a line: three for train, val and test, or two for train_val and "
    "test; then --split_seed draws val, an eighth of the patients of train_val.",
)
_ALLOW_MISSING = flags.DEFINE_boolean(
    "allow_missing", False, "Go on with what matches if labels, lists and files differ."
)
_MAX_IMAGES = flags.DEFINE_integer(
    "max_images", None, "Only the first so many images of the collection.", lower_bound=1
)
_KEY_FILE = flags.DEFINE_string(
    "key_file", "~/.pgan/pseudonym.key", "Key of the pseudonyms; made if absent."
)
_WORKERS = flags.DEFINE_integer(
    "workers",
    None,
    "Processes that encode; one per processor if not given.",
    lower_bound=0,
)
_SHARDS = flags.DEFINE_integer(
    "shards", None, "Files per resolution; chosen by size if not given.", lower_bound=1
)
_ENCODING = flags.DEFINE_enum(
    "encoding", "auto", ["auto", "png", "raw"], "Of the pixels; auto chooses by resolution."
)
_SAMPLES_PER_FINDING = 6

flags.mark_flags_as_required(["source", "output", "max_resolution"])


def _read_source():
    """The images, their vocabulary and origin, and the pseudonyms (None for phantoms)."""
    if _SOURCE.value == "phantom":
        from pgan.data import labels, phantom

        if _COUNT.value is None:
            raise app.UsageError("--source=phantom needs --count.")
        images = phantom.read(_COUNT.value, _SEED.value, size=_MAX_RESOLUTION.value)
        return list(images), labels.NIH_14, "phantom", None

    from pgan.data import nih, pseudonyms

    if _INPUT.value is None:
        raise app.UsageError("--source=nih needs --input.")
    images = nih.read(
        _INPUT.value,
        _CSV.value,
        _ALLOW_MISSING.value,
        min_size=_MAX_RESOLUTION.value,
        progress=True,
    )
    key_file = pathlib.Path(_KEY_FILE.value).expanduser().absolute()
    if pathlib.Path(_OUTPUT.value).absolute() in key_file.parents:
        raise app.UsageError("--key_file must be outside --output: the key undoes the pseudonyms.")
    images = list(images)
    key = pseudonyms.load_key(key_file)
    return images, nih.FINDINGS, "real", pseudonyms.Pseudonymizer(key, nih.SOURCE)


def _split(images):
    from pgan.data import splits

    seed = _SPLIT_SEED.value or 0
    if not _SPLIT_LISTS.value:
        return splits.draw(images, seed)
    if len(_SPLIT_LISTS.value) == 3 and _SPLIT_SEED.value is not None:
        raise app.UsageError("Three --split_lists leave nothing to draw; drop --split_seed.")
    lists = [splits.read_list(path) for path in _SPLIT_LISTS.value]
    return splits.from_lists(images, lists, seed, _ALLOW_MISSING.value)


def _build() -> None:
    from pgan.data import pyramid, record_plan, record_writer

    pyramid.resolutions(_MAX_RESOLUTION.value)
    images, findings, origin, pseudonyms = _read_source()
    images = images[: _MAX_IMAGES.value]
    plan = record_plan.make_plan(
        images,
        findings,
        _MAX_RESOLUTION.value,
        source=_SOURCE.value,
        origin=origin,
        split=_split(images),
        pseudonyms=pseudonyms,
        num_shards=_SHARDS.value,
        encoding=_ENCODING.value,
    )
    folds = ", ".join(f"{fold} {len(ids)}" for fold, ids in plan.folds.items())
    print(f"{len(images)} images of {len(set(plan.patient_ids))} patients; folds: {folds}.")
    workers = len(os.sched_getaffinity(0)) if _WORKERS.value is None else _WORKERS.value
    written = record_writer.write_record_set(_OUTPUT.value, plan, workers=workers)
    if written:
        print(f"Shards written: {written}. The record set is complete: {_OUTPUT.value}")
        print(f"Images of each finding: {_draw_samples()}")
    else:
        print(f"Already complete: {_OUTPUT.value}")


def _draw_samples() -> pathlib.Path:
    """Draws images of each finding, to see at a glance whether labels and images match."""
    import numpy as np

    from pgan import plots
    from pgan.data import labels, record_reader, record_set

    records = record_set.RecordSet.open(_OUTPUT.value, verify="size")
    resolution = min(records.max_resolution, 128)
    rows = {name: [] for name in (labels.NO_FINDING, *records.findings)}
    # Records are in random order, so the first of them hold all but the rarest findings.
    for batch in record_reader.evaluation_dataset(records, resolution, "all", 64, limit=1024):
        images, vectors = plots.to_uint8(batch["images"]), batch["labels"].numpy()
        for image, vector in zip(images, vectors, strict=True):
            for name in labels.present(vector, records.findings) or [labels.NO_FINDING]:
                if len(rows[name]) < _SAMPLES_PER_FINDING:
                    rows[name].append(image[..., 0])
    rows = {name: np.stack(images) for name, images in rows.items() if images}
    path = records.path / "samples.png"
    scratch = path.with_name("samples.tmp.png")
    title = f"{records.name}, {records.manifest['origin']}, {resolution} px"
    plots.image_grid(list(rows.values()), list(rows), title).save(scratch)
    os.replace(scratch, path)
    return path


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected argument: {argv[1]}")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        _build()
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:
        print("\nInterrupted. Finished shards are kept; run the same command again to go on.")
        sys.exit(130)


if __name__ == "__main__":
    app.run(main)
