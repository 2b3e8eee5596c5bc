"""Tables and comparisons of classifiers from their predictions, in seconds and without a model.

    python tools/evaluate_predictions.py --predictions=real.npz --output=report
    python tools/evaluate_predictions.py --predictions=real.npz,augmented.npz --output=report

Of several files each later one is compared with the first. Writes report.md and results.jsonl.
"""

import pathlib
import sys

import tqdm
from absl import flags

import tool_main

_PREDICTIONS = flags.DEFINE_list("predictions", None, "Files of scores, .npz.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "Folder of the report.", required=True)
_THRESHOLDS = flags.DEFINE_enum(
    "thresholds",
    "validation",
    ["validation", "paper_code"],
    "Decisions at thresholds that were fitted on validation images, or, as the paper's code did, "
    "on the test images themselves, which flatters the rates.",
)
_REDRAWS = flags.DEFINE_integer("redraws", 10_000, "Redraws of patients, for intervals.", 1)
_PERMUTATIONS = flags.DEFINE_integer("permutations", 10_000, "Exchanges, for p values.", 1)
_SEED = flags.DEFINE_integer("seed", 1, "Seed of both.", 0)


def main() -> None:
    """Runs the tool; see the module's docstring."""
    from classifier import evaluation, predictions
    from pgan import results, run_folder

    paths = [pathlib.Path(path) for path in _PREDICTIONS.value]
    found = [predictions.load(path) for path in paths]
    names = [
        path.stem if len({p.stem for p in paths}) == len(paths) else str(path) for path in paths
    ]
    output = pathlib.Path(_OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    effort = evaluation.Effort(_REDRAWS.value, _PERMUTATIONS.value, _SEED.value)
    fitted = "test" if _THRESHOLDS.value == "paper_code" else "validation"
    parts = ["# Classifiers\n"]
    if fitted == "test":
        warning = (
            "Thresholds were fitted on the images that are judged here: sensitivity, specificity "
            "and what depends on them are too good. AUCs are not affected."
        )
        print(f"Warning: {warning}", file=sys.stderr)
        parts.append(f"**{warning}**\n")
    rows = []
    with tqdm.tqdm(total=2 * len(found) - 1, unit="table") as bar:
        for name, one in zip(names, found, strict=True):
            own = evaluation.table([one], effort, fitted)
            rows += [{"name": "classifier", "classifier": name, **row} for row in own]
            parts.append(f"## {name}\n")
            for group in dict.fromkeys(row["group"] for row in own):
                images = max(row["images"] for row in own if row["group"] == group)
                parts.append(
                    f"### {group}, {images:,} images\n\n{evaluation.markdown(own, group)}\n"
                )
            bar.update()
        for name, one in list(zip(names, found, strict=True))[1:]:
            own = evaluation.comparison([found[0]], [one], effort, fitted)
            facts = {"name": "comparison", "first": names[0], "second": name}
            rows += [{**facts, **row} for row in own]
            parts.append(
                f"## {name} minus {names[0]}\n\n{evaluation.markdown(own)}\n\np values by "
                f"exchanging the predictions of whole patients, {effort.permutations:,} times, "
                "after Holm's correction over the findings of a metric. Differences by sex, age "
                "and view are in results.jsonl.\n"
            )
            bar.update()
    parts.append(
        f"95 % intervals by percentiles of {effort.redraws:,} redraws of patients; BCa intervals, "
        "standard deviations and counts are in results.jsonl. No interval is given where fewer "
        f"than {evaluation.FEWEST} patients have the finding or do not, or all redraws are alike."
    )
    run_folder.write_atomically(output / "report.md", "\n".join(parts) + "\n")
    results.write(output / "results.jsonl", rows)
    for name in names:
        own = [row for row in rows if row.get("classifier") == name]
        print(f"{name}\n{evaluation.markdown([r for r in own if r['metric'] == 'auc'])}\n")
    print(f"report: {output / 'report.md'}")


if __name__ == "__main__":
    tool_main.run(main)
