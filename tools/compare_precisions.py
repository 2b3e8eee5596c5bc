r"""Trains pairs of runs that differ in their precision only, and says whether quality suffers.

    python tools/compare_precisions.py --train_flags=precision_32px.flags --records=records/nih \
        --seeds=1,2,3 --output=studies/nih_32px

The same command again continues. Writes <output>/<precision>_<seed>/ (run folders of
tools/train_pgan.py), results.jsonl and comparison.png.
"""

import dataclasses
import pathlib

from absl import flags

import tool_main
from pgan import config

_TRAIN_FLAGS = flags.DEFINE_string(
    "train_flags", None, "Flag file of tools/train_pgan.py, the same for all runs.", required=True
)
_RECORDS = flags.DEFINE_string("records", None, "Record set to train on.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "Folder of the comparison.", required=True)
_SEEDS = flags.DEFINE_list("seeds", ["1", "2", "3"], "Seeds; one pair of runs for each.")
_PRECISIONS = flags.DEFINE_list(
    "precisions", ["float32", "mixed_bfloat16"], f"Of {', '.join(config.PRECISIONS)}."
)
_DISTANCE = flags.DEFINE_enum(
    "distance", "to_train", ["to_train", "to_held_out"], "Which watched distance judges."
)
_SPREAD_FROM = flags.DEFINE_string(
    "spread_from",
    None,
    "Folder of another comparison of several seeds, whose spread judges a single pair.",
)
_BESIDE = flags.DEFINE_list(
    "beside", [], "Folders of other comparisons, shown in the same table and figure."
)
_JOBS = flags.DEFINE_integer(
    "jobs", 1, "Runs at a time, each on its share of the processor's cores.", 1
)


def _command(precision: str, seed: int, run_dir: pathlib.Path) -> list[str]:
    return tool_main.command(
        "train_pgan",
        f"--flagfile={_TRAIN_FLAGS.value}",
        f"--records={_RECORDS.value}",
        f"--run_dir={run_dir}",
        f"--precision={precision}",
        f"--seed={seed}",
    )


def _train(wanted: list[tuple[str, int]], output: pathlib.Path) -> None:
    """Trains what is missing, some runs at a time."""
    from pgan import job_queue, precision_comparison, run_folder

    jobs = []
    for pair in wanted:
        name = precision_comparison.folder_name(*pair)
        jobs.append(
            job_queue.Job(
                name,
                _command(*pair, output / name),
                run_folder.RunFolder(output / name).share_trained,
                output / f"{name}.out",
            )
        )
    job_queue.run_with_bar(jobs, _JOBS.value, "runs")


def main() -> None:
    """Runs the tool; see the module's docstring."""
    from pgan import precision_comparison, results
    from pgan.metrics import plots

    if precision_comparison.BASELINE not in _PRECISIONS.value:
        raise ValueError(f"--precisions needs {precision_comparison.BASELINE}, what others are to")
    for precision in _PRECISIONS.value:
        if precision not in config.PRECISIONS:
            raise ValueError(f"--precisions must be of {config.PRECISIONS}, got {precision!r}")
    if not all(seed.isdigit() for seed in _SEEDS.value):
        raise ValueError(f"--seeds wants whole numbers such as 1,2,3; got {_SEEDS.value}")
    output = pathlib.Path(_OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    wanted = [(p, int(seed)) for seed in _SEEDS.value for p in _PRECISIONS.value]
    _train(wanted, output)
    names = {precision_comparison.folder_name(*pair) for pair in wanted}
    runs = [
        run
        for run in precision_comparison.read_runs(output, _DISTANCE.value)
        if precision_comparison.folder_name(run.precision, run.seed) in names
    ]
    spread = None
    if _SPREAD_FROM.value:
        others = precision_comparison.read_runs(_SPREAD_FROM.value, _DISTANCE.value)
        spread = precision_comparison.between_seed_sd(others)
    verdicts = precision_comparison.judge(runs, spread)
    studies, tables = {output.name: runs}, {output.name: verdicts}
    for folder in map(pathlib.Path, _BESIDE.value):
        studies[folder.name] = precision_comparison.read_runs(folder, _DISTANCE.value)
        tables[folder.name] = precision_comparison.judge(studies[folder.name])
    for verdict in verdicts:
        results.append(
            output / "results.jsonl",
            {"name": "precision_comparison", "study": output.name, **dataclasses.asdict(verdict)},
        )
    picture = plots.precision_pairs(studies)
    picture.savefig(output / "comparison.png")
    print(precision_comparison.table(tables))
    print(f"figure: {output / 'comparison.png'}")


if __name__ == "__main__":
    tool_main.run(main, continues=True)
