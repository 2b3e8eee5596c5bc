r"""Describes labels: counts, prevalence, co-occurrence, patients, ages, sexes and views.

    python tools/describe_records.py --records=records/nih --output=reports/nih
    python tools/describe_records.py --records=records/nih,records/chexpert --folds=train
    python tools/describe_records.py --source=nih --labels=Data_Entry_2017_v2020.csv.gz \
        --split_lists=train.txt,val.txt,test.txt
    python tools/describe_records.py --source=nih,chexpert \
        --labels=Data_Entry_2017_v2020.csv.gz,train.csv --uncertain=paper,ignore

Of finished record sets, or of label tables without one image. Several of them stand side by side,
with findings of other names for the same in one row. Without --output the tables are only printed.
"""

import dataclasses
import os
import pathlib

from absl import app, flags

import tool_main

_RECORDS = flags.DEFINE_list("records", None, "Folders of record sets.")
_FOLDS = flags.DEFINE_list(
    "folds", None, "A column for each; all folds of a single set, or the whole of several sets."
)
_SOURCE = flags.DEFINE_list("source", None, "Instead of --records: nih, chexpert, rsna, folder.")
_LABELS = flags.DEFINE_list("labels", None, "Label table of each --source; may be compressed.")
_SPLIT_LISTS = flags.DEFINE_list(
    "split_lists", None, "Files of image names as for tools/build_records.py (one --source)."
)
_SPLIT_SEED = flags.DEFINE_integer(
    "split_seed", None, "Of a draw of folds by patient, as for tools/build_records.py."
)
_UNCERTAIN = flags.DEFINE_list(
    "uncertain", ["paper"], "What -1 is read as (chexpert): paper, zeros, ones, ignore; or several."
)
_DETAILED = flags.DEFINE_string("detailed", None, "stage_2_detailed_class_info.csv (rsna).")
_MAPPING = flags.DEFINE_string("mapping", None, "JSON of exams' images in ChestX-ray14 (rsna).")
_FINDINGS = flags.DEFINE_list(
    "findings",
    None,
    "Vocabulary: nih_14, chexpert_14, shared_7, pneumonia, or names. The collection's own if not "
    "given; folder has none of its own.",
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder for description.md, description.json and description.png."
)


def _read() -> list:
    """The described sets, in the order of their columns."""
    from pgan.data import description_sets, splits

    if _RECORDS.value:
        folds = _FOLDS.value or (["all"] if len(_RECORDS.value) > 1 else None)
        described = [
            description_sets.describe_records(path, folds, _FINDINGS.value)
            for path in _RECORDS.value
        ]
        return description_sets.with_own_names(described, _RECORDS.value)
    tables, paths = [], []
    for source, path in zip(_SOURCE.value, _LABELS.value, strict=True):
        read = description_sets.read_tables(
            source, path, _FINDINGS.value, _UNCERTAIN.value, _DETAILED.value, _MAPPING.value
        )
        tables += read
        paths += [path] * len(read)
    folds = _FOLDS.value or (["all"] if len(tables) > 1 else None)
    lists = [splits.read_list(path) for path in _SPLIT_LISTS.value or ()]
    described = []
    for table in tables:
        split = None
        if lists:
            split = splits.from_lists(table.radiographs, lists, _SPLIT_SEED.value or 0)
        elif _SPLIT_SEED.value is not None:
            split = splits.draw(table.radiographs, _SPLIT_SEED.value)
        described.append(description_sets.describe_table(table, folds, _FINDINGS.value, split))
    return description_sets.with_own_names(described, paths)


def _describe() -> None:
    from pgan import plots
    from pgan.data import description_tables, manifest

    described = _read()
    columns, matrices, content = {}, [], []
    for one in described:
        headings = one.headings(alone=len(described) == 1)
        columns |= {headings[fold]: facts for fold, facts in one.folds.items()}
        matrices.append(headings.get("all", next(iter(headings.values()))))
        content += [
            {"set": one.name, "fold": fold, **one.facts, **dataclasses.asdict(facts)}
            for fold, facts in one.folds.items()
        ]
    title = f"Labels of {', '.join(one.name for one in described)}"
    origins = [", ".join(f"{key} {value}" for key, value in one.facts.items()) for one in described]
    lines = [f"# {title}", "", *(f"- {origin}" for origin in origins), ""]
    text = "\n".join(lines) + "\n" + description_tables.markdown(columns, matrices)
    if _OUTPUT.value:
        folder = pathlib.Path(_OUTPUT.value)
        picture = plots.label_statistics(columns, matrices, title)
        manifest.write_text(folder / "description.md", text)
        manifest.write_json(folder / "description.json", {"columns": content})
        scratch = folder / "description.tmp.png"
        picture.savefig(scratch)
        os.replace(scratch, folder / "description.png")
    print(text)
    if _OUTPUT.value:
        print(f"Tables and figure: {_OUTPUT.value}")


def main() -> None:
    if bool(_RECORDS.value) == bool(_SOURCE.value):
        raise app.UsageError("Give either --records or --source with --labels.")
    if len(_SOURCE.value or ()) != len(_LABELS.value or ()):
        raise app.UsageError("Give a table for each --source: --labels=FILE[,FILE...].")
    if _RECORDS.value and (_SPLIT_LISTS.value or _SPLIT_SEED.value is not None):
        raise app.UsageError("A record set has its folds; --split_* are for --source.")
    if len(_SOURCE.value or ()) > 1 and _SPLIT_LISTS.value:
        raise app.UsageError("--split_lists are lists of one --source.")
    _describe()


if __name__ == "__main__":
    tool_main.run(main)
