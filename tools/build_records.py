r"""Builds a record set: images at every resolution with labels, patients and folds.

    python tools/build_records.py --source=nih --input=data/nih --output=records/nih \
        --max_resolution=1024 --split_lists=train_val_list.txt,test_list.txt --split_seed=1
    python tools/build_records.py --source=chexpert --input=data/chexpert --max_resolution=256 \
        --output=records/chexpert --geometry=stretch --window=minmax
    python tools/build_records.py --source=rsna --input=data/rsna --output=records/rsna \
        --max_resolution=256 --split_seed=1
    python tools/build_records.py --source=folder --input=data/clinic --findings=shared_7 \
        --output=records/clinic --max_resolution=512 --mask_markers --max_bad=20
    python tools/build_records.py --source=phantom --count=2000 --seed=1 --output=records/phantom \
        --max_resolution=128 --split_seed=1

The same command again continues after an interruption, and mends a damaged set. Names of patients
and images are replaced by keyed hashes; keep the key file, and keep it to yourself. What is left
out, and what --mask_markers covered, is listed beside --output, not in it: those files hold names
and unmasked images.
"""

import os
import pathlib

from absl import app, flags

import tool_main

_SOURCE = flags.DEFINE_enum(
    "source", None, ["nih", "chexpert", "rsna", "folder", "phantom"], "Where the images come from."
)
_INPUT = flags.DEFINE_string("input", None, "Folder of the collection.")
_CSV = flags.DEFINE_string("csv", None, "Label file, if it is not in --input (nih, folder).")
_COLLECTION = flags.DEFINE_string(
    "collection",
    "clinic",
    "Name of a folder's collection (folder). Ids are hashed under it, so that patient 17 of one "
    "clinic is not patient 17 of another.",
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder of the record set.")
_MAX_RESOLUTION = flags.DEFINE_integer(
    "max_resolution", None, "Largest resolution in pixels, a power of two; all from 4 up are made."
)
_FINDINGS = flags.DEFINE_list(
    "findings",
    None,
    "Vocabulary of the set: nih_14, chexpert_14, shared_7, pneumonia, or names. The collection's "
    "own if not given; folder has none of its own.",
)
_UNCERTAIN = flags.DEFINE_enum(
    "uncertain",
    "paper",
    ["paper", "zeros", "ones", "ignore"],
    "What -1 is read as (chexpert); ignore masks it.",
)
_WINDOW = flags.DEFINE_enum(
    "window",
    "auto",
    ["auto", "voi_lut", "window", "percentile", "minmax"],
    "Which stored values become black to white; auto takes what a DICOM file asks for, minmax is "
    "the paper's stretch of every image to its own extremes.",
)
_GEOMETRY = flags.DEFINE_enum(
    "geometry",
    "pad",
    ["pad", "crop", "stretch"],
    "How images become square: black borders, their centre, or other proportions as in the paper.",
)
_MASK_MARKERS = flags.DEFINE_boolean(
    "mask_markers", False, "Cover letters and blocks near the border; look at the sheet it makes."
)
_MAX_BAD = flags.DEFINE_integer(
    "max_bad", 0, "Set up to so many broken images aside.", lower_bound=0
)
_COUNT = flags.DEFINE_integer("count", None, "Number of images (phantom).", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Of the population (phantom).", lower_bound=0)
_SPLIT_SEED = flags.DEFINE_integer(
    "split_seed",
    None,
    "Of the draw of folds by patient, 70/10/20; 0 if not given. CheXpert is all for training "
    "unless it is given.",
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
_DRY_RUN = flags.DEFINE_boolean(
    "dry_run", False, "Check the collection, print what would be written and stop."
)
flags.mark_flags_as_required(["source", "output", "max_resolution"])


def _plan():
    """What the record set will hold, and what of the collection is left out."""
    from pgan.data import labels, phantom, pseudonyms, record_plan, sources, splits

    options = {
        "num_shards": _SHARDS.value,
        "encoding": _ENCODING.value,
        "geometry": _GEOMETRY.value,
        "mask_markers": _MASK_MARKERS.value,
    }
    if _SOURCE.value == "phantom":
        if _COUNT.value is None:
            raise app.UsageError("--source=phantom needs --count.")
        images = list(phantom.read(_COUNT.value, _SEED.value, size=_MAX_RESOLUTION.value))
        plan = record_plan.make_plan(
            images,
            labels.NIH_14,
            _MAX_RESOLUTION.value,
            source="phantom",
            origin="phantom",
            split=splits.draw(images, _SPLIT_SEED.value or 0),
            **options,
        )
        return plan, []
    if _INPUT.value is None:
        raise app.UsageError(f"--source={_SOURCE.value} needs --input.")
    if len(_SPLIT_LISTS.value or ()) == 3 and _SPLIT_SEED.value is not None:
        raise app.UsageError("Three --split_lists leave nothing to draw; drop --split_seed.")
    name = _COLLECTION.value if _SOURCE.value == "folder" else _SOURCE.value
    if _SOURCE.value == "folder" and name in (*sources.SOURCES, "phantom"):
        raise app.UsageError(f"--collection={name} has a reader of its own: --source.")
    lists = [splits.read_list(path) for path in _SPLIT_LISTS.value or ()]
    key_file = pathlib.Path(_KEY_FILE.value).expanduser().absolute()
    if pathlib.Path(_OUTPUT.value).absolute() in key_file.parents:
        raise app.UsageError("--key_file must be outside --output: the key undoes the pseudonyms.")
    source = sources.read(
        _SOURCE.value,
        _INPUT.value,
        _CSV.value,
        _FINDINGS.value,
        _UNCERTAIN.value,
        _WINDOW.value,
        _ALLOW_MISSING.value,
    )
    source, left_out = sources.check(
        source,
        _MAX_IMAGES.value,
        min_size=_MAX_RESOLUTION.value,
        geometry=_GEOMETRY.value,
        window=_WINDOW.value,
        max_bad=_MAX_BAD.value,
        progress=True,
    )
    plan = record_plan.make_plan(
        [*source.images, *source.official_val],
        source.findings,
        _MAX_RESOLUTION.value,
        source=name,
        origin=source.origin,
        split=sources.split(source, lists, _SPLIT_SEED.value, _ALLOW_MISSING.value),
        pseudonyms=pseudonyms.Pseudonymizer(pseudonyms.load_key(key_file), name),
        provenance=source.provenance,
        **options,
    )
    return plan, left_out


def _beside(ending):
    """Path of a file beside the record set, for what must not be in it."""
    output = pathlib.Path(_OUTPUT.value).absolute()
    return output.with_name(f"{output.name}.{ending}")


def main() -> None:
    from pgan.data import collection, pyramid, record_forecast, record_writer

    pyramid.resolutions(_MAX_RESOLUTION.value)
    plan, left_out = _plan()
    folds = ", ".join(f"{fold} {len(ids)}" for fold, ids in plan.folds.items())
    count, patients = len(plan.radiographs), len(set(plan.patient_ids))
    print(f"{count} images of {patients} patients; folds: {folds}.")
    workers = len(os.sched_getaffinity(0)) if _WORKERS.value is None else _WORKERS.value
    if _DRY_RUN.value:
        record_forecast.foresee(_OUTPUT.value, plan, workers)
        return
    broken = sum(one.broken for one in left_out)
    result = record_writer.write_record_set(
        _OUTPUT.value, plan, workers=workers, max_bad=_MAX_BAD.value - broken
    )
    left_out += [collection.SetAside(*item, broken=True) for item in result.set_aside.items()]
    if left_out:
        listing = _beside("left_out.csv")
        if result.shards or not listing.exists():
            collection.write_listing(listing, left_out)
        broken = sum(one.broken for one in left_out)
        print(f"Left out: {broken} broken images, {len(left_out) - broken} others: {listing}")
    if result.shards:
        print(f"Shards written: {result.shards}. The record set is complete: {_OUTPUT.value}")
        _draw_pictures(plan)
    else:
        print(
            f"Already complete: {_OUTPUT.value}. Sources that changed are known by their sizes "
            "only: give another --output for files that were changed in place"
        )
        if _MASK_MARKERS.value and not _beside("markers.png").exists():
            _draw_pictures(plan)  # the call that wrote the shards was ended before


def _draw_pictures(plan) -> None:
    from pgan import record_pictures
    from pgan.data import record_set

    records = record_set.RecordSet.open(_OUTPUT.value, verify="size")
    print(f"Images of each finding: {record_pictures.draw_samples(records)}")
    if _MASK_MARKERS.value:
        sheet = record_pictures.draw_markers(plan, _beside("markers.png"))
        print(f"Images before and after masking, not for sharing: {sheet}")


if __name__ == "__main__":
    tool_main.run(main, continues=True)
