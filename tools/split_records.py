r"""Splits a finished record set anew: by quota of classes, by fractions, by lists, or into clients.

    python tools/split_records.py --records=records/rsna --name=local --seed=1 \
        --quota="train: 950 healthy + 50 Pneumonia" \
        --quota="test: 6000 of healthy:Pneumonia 2:3"
    python tools/split_records.py --records=records/nih --name=gan --seed=1 \
        --fractions=train:0.7,val:0.1,test:0.2 --exclude_records=records/rsna \
        --exclude_fold=local/test
    python tools/split_records.py --records=records/nih --name=clients20 --seed=1 --clients=20 \
        --images_per_client=1000 --from_fold=train
    python tools/split_records.py --records=records/nih --name=skewed --seed=1 --clients=5 \
        --client_shares=5,3,1,1,1 --dirichlet=0.3 --from_fold=train
    python tools/split_records.py --records=records/nih --name=tenths --seed=1 \
        --fractions=train:0.8,val:0.1,test:0.1
    python tools/split_records.py --records=records/nih --name=pa --seed=1 --only=view=PA \
        --fractions=train:0.7,val:0.1,test:0.2
    python tools/split_records.py --records=records/site --name=screened --from_fold=train \
        --fractions=train:1 --leave_out=suspicious.csv

Folds are disjoint by patient. They lie in the record set, whose images stay as they are, and are
used as its other folds are: tools/train_pgan.py --train_fold=clients20/client_03. The same command
again changes nothing.
"""

import pathlib

from absl import app, flags

import tool_main

_RECORDS = flags.DEFINE_string("records", None, "Folder of the record set.", required=True)
_NAME = flags.DEFINE_string("name", None, "Name of the split.", required=True)
_SEED = flags.DEFINE_integer("seed", 0, "Of the draw.", lower_bound=0)
_FROM_FOLD = flags.DEFINE_string("from_fold", "all", "Fold to draw from.")
_ONLY = flags.DEFINE_multi_string(
    "only",
    None,
    "Draw from images of this class alone, such as view=PA; if repeated, from those that are of "
    "every one of these classes at once.",
)
_QUOTA = flags.DEFINE_multi_string(
    "quota",
    None,
    "What a fold holds; once for each fold. Classes are findings, healthy (no finding present), "
    "any, group=NAME for a class of the collection itself, such as RSNA's group=normal, view=PA or "
    "sex=F. 'train: rest' takes all images of the patients that are left.",
)
_FRACTIONS = flags.DEFINE_list("fractions", None, "Folds with their shares of the patients.")
_SPLIT_LISTS = flags.DEFINE_list(
    "split_lists",
    None,
    "Files of image names, as for tools/build_records.py: train, val and test, or train_val and "
    "test. Names of real images need --key_file.",
)
_ALLOW_MISSING = flags.DEFINE_boolean(
    "allow_missing", False, "Go on with what matches if --split_lists and records differ."
)
_KEY_FILE = flags.DEFINE_string(
    "key_file", "~/.pgan/pseudonym.key", "Key of the records' pseudonyms, for --split_lists."
)
_LEAVE_OUT = flags.DEFINE_string(
    "leave_out", None, "List of tools/screen_examples.py, whose records are in no fold."
)
_CLIENTS = flags.DEFINE_integer("clients", None, "Number of disjoint clients.", lower_bound=2)
_IMAGES_PER_CLIENT = flags.DEFINE_list(
    "images_per_client", None, "Exactly so many images each: one number, or one for each client."
)
_CLIENT_SHARES = flags.DEFINE_list(
    "client_shares",
    None,
    "Deal all images in this proportion, to within a patient; equal if neither is given.",
)
_DIRICHLET = flags.DEFINE_float(
    "dirichlet",
    None,
    "Skew the clients' labels: 100 is nearly alike, 1 skewed; smaller ones approach one class per "
    "client, as far as patients allow. Without it, clients are alike.",
)
_EXCLUDE_RECORDS = flags.DEFINE_list(
    "exclude_records",
    None,
    "Record sets made with the same key: leave out all patients in --exclude_fold of them.",
)
_EXCLUDE_FOLD = flags.DEFINE_list("exclude_fold", None, "Folds of --exclude_records.")


def _split():
    from pgan.data import pool as pool_lib
    from pgan.data import record_set, split_report, splits

    records = record_set.RecordSet.open(_RECORDS.value, verify="size")
    pool = pool_lib.Pool.of_records(records, _FROM_FOLD.value)
    pool, only = _restrict(pool)
    pool, excluded = _exclude(records, pool)
    split = _draw(records, pool)
    source = {
        "from_fold": _FROM_FOLD.value,
        "from_fold_fingerprint": records.fold_fingerprint(_FROM_FOLD.value),
        "excluded": excluded,
        **({"only": only} if only else {}),
    }
    split = splits.Split(split.folds, {**split.settings, **source})
    written = splits.store(records, _NAME.value, split)
    print(split_report.table(pool, split))
    for remark in split_report.remarks(pool, split):
        print(remark)
    state = "Written" if written else "Already there"
    print(f"{state}: {records.path}, folds {_NAME.value}/... ({', '.join(split.folds)})")


def _restrict(pool):
    """The images that are of every class of --only, and the names of these classes."""
    import numpy as np

    names = sorted({pool.class_name(word) for word in _ONLY.value or ()})
    if not names:
        return pool, []
    chosen = pool.select(np.all([pool.members(name) for name in names], axis=0))
    print(
        f"Left out: {len(pool) - len(chosen)} images that are not {' and '.join(names)}; "
        f"{len(chosen)} images of {chosen.num_patients} patients remain."
    )
    return chosen, names


def _exclude(records, pool):
    """The pool without the patients of other folds, and these folds for the settings."""
    import numpy as np

    from pgan.data import overlap, record_set

    excluded = []
    for path in _EXCLUDE_RECORDS.value or ():
        other = record_set.RecordSet.open(path, verify="size")
        for name in _EXCLUDE_FOLD.value:
            shared = overlap.shared_patients((records, _FROM_FOLD.value), (other, name))
            before = len(pool)
            pool = pool.select(np.array([p not in shared for p in pool.patient_ids], bool))
            print(
                f"Left out: {before - len(pool)} images of patients who are in "
                f"{overlap.describe((other, name))}; {len(pool)} of {pool.num_patients} patients "
                f"remain."
            )
            fingerprint = other.fold_fingerprint(name)
            excluded.append({"records": other.name, "fold": name, "fold_fingerprint": fingerprint})
    if _LEAVE_OUT.value:
        from federated import example_screening
        from pgan.data import manifest

        unwanted = set(example_screening.read_ids(_LEAVE_OUT.value))
        kept = np.array([image_id not in unwanted for image_id in pool.image_ids], bool)
        # No ids: a split's description goes to the coordinator of a federation.
        excluded.append({"leave_out": manifest.fold_fingerprint(unwanted)})
        print(f"Left out: {len(pool) - kept.sum()} of {len(unwanted)} images of the list.")
        pool = pool.select(kept)
    if not len(pool):
        raise ValueError(f"No images of the fold {_FROM_FOLD.value!r} are left to split.")
    return pool, excluded


def _draw(records, pool):
    from pgan.data import clients, quotas, splits

    seed = _SEED.value
    if _QUOTA.value:
        return quotas.draw(pool, [quotas.parse(text) for text in _QUOTA.value], seed)
    if _FRACTIONS.value:
        fractions = splits.parse_fractions(_FRACTIONS.value)
        return splits.draw(pool.radiographs(), seed, list(fractions), list(fractions.values()))
    if _SPLIT_LISTS.value:
        lists = [_record_ids(records, splits.read_list(path)) for path in _SPLIT_LISTS.value]
        return splits.from_lists(pool.radiographs(), lists, seed, _ALLOW_MISSING.value)
    return clients.draw(
        pool,
        _CLIENTS.value,
        seed,
        _numbers("images_per_client", int),
        _numbers("client_shares", float),
        _DIRICHLET.value,
    )


def _numbers(name, kind):
    given = flags.FLAGS[name].value
    try:
        return given and [kind(text) for text in given]
    except ValueError:
        raise ValueError(f"--{name} is one number or a list of them, got {given}.") from None


def _record_ids(records, names):
    """Record ids of images by their names in the collection."""
    from pgan.data import pseudonyms

    wanted = records.manifest["key_fingerprint"]
    if wanted is None:
        return names
    path = pathlib.Path(_KEY_FILE.value).expanduser()
    if not path.exists():
        raise ValueError(f"There is no key {path}; give the --key_file that made {records.path}.")
    maker = pseudonyms.Pseudonymizer(pseudonyms.load_key(path), records.manifest["source"])
    if maker.key_fingerprint != wanted:
        raise ValueError(
            f"{records.path} was made with the key {wanted}, and {path} holds "
            f"{maker.key_fingerprint}; give the --key_file that made it."
        )
    return [maker.image(name) for name in names]


def _check_flags():
    methods = ("quota", "fractions", "split_lists", "clients")
    given = [name for name in methods if flags.FLAGS[name].value]
    if len(given) != 1:
        raise app.UsageError(
            f"Give exactly one of --quota, --fractions, --split_lists and --clients, got "
            f"{', '.join(given) or 'none'}."
        )
    for name in ("images_per_client", "client_shares", "dirichlet"):
        if flags.FLAGS[name].value is not None and not _CLIENTS.value:
            raise app.UsageError(f"--{name} goes with --clients.")
    if bool(_EXCLUDE_RECORDS.value) != bool(_EXCLUDE_FOLD.value):
        raise app.UsageError(
            "--exclude_records and --exclude_fold (such as train,val) go together."
        )


def main() -> None:
    _check_flags()
    _split()


if __name__ == "__main__":
    tool_main.run(main)
