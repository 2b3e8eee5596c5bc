r"""Trains the arms of a federated experiment over seeds, or attacks against aggregators <fig. 4>.

    python tools/compare_federations.py --train_flags=fig4_phantom.flags \
        --records=records/phantom_30k --seeds=1,2,3 --output=studies/fig4
    python tools/compare_federations.py --train_flags=attacks_phantom.flags \
        --records=records/phantom_30k --attacks=none,sign_flip \
        --aggregators=weighted_mean,median --output=studies/attacks

The second form trains federations of which all clients take part in every round. The same command
again continues. Writes <output>/<variant>_<seed>/ (run folders of tools/simulate_federated.py),
results.jsonl and comparison.png, and prints tables: of the arms, or with a line for each attack and
a column for each aggregator.
"""

import pathlib

from absl import flags

import tool_main
from federated import config

# The baseline comes first: others are shown as differences from it.
_AGGREGATORS = {
    "weighted_mean": ("--aggregation=weighted_mean",),
    "median": ("--aggregation=median",),
    "trimmed_mean": ("--aggregation=trimmed_mean",),
    "clipped_mean": ("--aggregation=mean", "--clip_norm={clip_norm}"),
    "norm_rejection": ("--aggregation=mean", "--reject_norm={reject_norm}"),
}
_TRAIN_FLAGS = flags.DEFINE_string(
    "train_flags", None, "Flag file of tools/simulate_federated.py, the same for all runs."
)
_RECORDS = flags.DEFINE_string("records", None, "Record set of all clients.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "Folder of the comparison.", required=True)
_PRESET = flags.DEFINE_enum("preset", "paper", list(config.PRESETS), "Settings that flags change.")
_SEEDS = flags.DEFINE_list("seeds", ["1", "2", "3"], "Seeds; a run of each variant for each.")
_ARMS = flags.DEFINE_list("arms", list(config.ARMS), f"Of {', '.join(config.ARMS)}.")
_ATTACKS = flags.DEFINE_list(
    "attacks", [], f"Instead of arms: of {', '.join(config.ATTACKS)}, against every aggregator."
)
_AGGREGATORS_ASKED = flags.DEFINE_list(
    "aggregators", ["weighted_mean", "median", "trimmed_mean"], f"Of {', '.join(_AGGREGATORS)}."
)
_ATTACKERS = flags.DEFINE_integer("attackers", 1, "Clients that attack.", 1)
_ATTACK_SCALE = flags.DEFINE_float("attack_scale", 1.0, "See tools/simulate_federated.py.", 0)
_CLIP_NORM = flags.DEFINE_float("clip_norm", 0.0, "Norm of clipped_mean.", 0)
_REJECT_NORM = flags.DEFINE_float("reject_norm", 0.0, "Norm of norm_rejection.", 0)
_OF_ATTACKS = ("aggregators", "attackers", "attack_scale", "clip_norm", "reject_norm")
_JOBS = flags.DEFINE_integer(
    "jobs", 1, "Runs at a time, each on its share of the processor's cores.", 1
)


def _variants() -> dict[str, list[str]]:
    """Flags of each variant by its name."""
    _check("arms", _ARMS.value, config.ARMS)
    _check("attacks", _ATTACKS.value, config.ATTACKS)
    _check("aggregators", _AGGREGATORS_ASKED.value, _AGGREGATORS)
    if not _ATTACKS.value:
        return {arm: [f"--arm={arm}"] for arm in _ARMS.value}
    norms = {"clip_norm": _CLIP_NORM.value, "reject_norm": _REJECT_NORM.value}
    for aggregator, name in (("clipped_mean", "clip_norm"), ("norm_rejection", "reject_norm")):
        if aggregator in _AGGREGATORS_ASKED.value and not norms[name]:
            raise ValueError(
                f"--aggregators={aggregator} needs --{name}; a run without attack has update_norm "
                "of its clients in stats.jsonl"
            )
    return {
        f"{attack}+{aggregator}": [
            f"--attack={attack}",
            f"--attackers={_ATTACKERS.value}",
            f"--attack_scale={_ATTACK_SCALE.value}",
            "--client_share=1",
            *(text.format(**norms) for text in _AGGREGATORS[aggregator]),
        ]
        for attack in _ATTACKS.value
        for aggregator in _AGGREGATORS_ASKED.value
    }


def _check(name, values, known):
    if len(set(values)) < len(values):
        raise ValueError(f"--{name} has one twice: {','.join(values)}")
    wrong = [value for value in values if value not in known]
    if wrong:
        raise ValueError(f"--{name} must be of {', '.join(known)}; got {wrong[0]!r}")


def _command(own: list[str], seed: int, run_dir: pathlib.Path) -> list[str]:
    return tool_main.command(
        "simulate_federated",
        *([f"--flagfile={_TRAIN_FLAGS.value}"] if _TRAIN_FLAGS.value else []),
        f"--preset={_PRESET.value}",
        f"--records={_RECORDS.value}",
        f"--run_dir={run_dir}",
        f"--seed={seed}",
        *own,
    )


def _train(variants: dict[str, list[str]], seeds: list[int], output: pathlib.Path) -> None:
    """Trains what is missing, some runs at a time."""
    from federated import comparison
    from pgan import job_queue, run_folder

    jobs = []
    for seed in seeds:
        for variant, own in variants.items():
            name = comparison.folder_name(variant, seed)
            jobs.append(
                job_queue.Job(
                    name,
                    _command(own, seed, output / name),
                    run_folder.RunFolder(output / name).share_trained,
                    output / f"{name}.out",
                )
            )
    job_queue.run_with_bar(jobs, _JOBS.value, "runs")


def _report_arms(runs):
    """Prints means of the arms and their differences, and returns them."""
    from federated import comparison

    arms = {run.variant for run in runs}
    table = comparison.estimates(runs, config.CENTRALIZED)
    if {config.SINGLE, config.FEDERATED} <= arms:
        both = [run for run in runs if run.variant in (config.SINGLE, config.FEDERATED)]
        table += comparison.differences(both, config.FEDERATED)
    print(comparison.markdown(table))
    return table


def _report_attacks(runs):
    """Prints attacks against aggregators, and returns their means and differences."""
    from federated import comparison

    own, damages = comparison.estimates(runs), comparison.damages(runs)
    for metric in comparison.METRICS:
        if any(run.points[metric] for run in runs):
            print(f"\n{metric}, last measurement (SD over the seeds):\n")
            print(comparison.attack_table(own, metric))
    if any(one.metric == comparison.DISTANCE for one in damages):
        print("\ndistance less that of the same aggregator without an attack (95 % interval):\n")
        print(comparison.attack_table(damages, comparison.DISTANCE))
    unattacked = [run for run in runs if run.variant.startswith("none+")]
    first = f"none+{_AGGREGATORS_ASKED.value[0]}"
    return own + damages + comparison.differences(unattacked, first)


def main() -> None:
    """Runs the tool; see the module's docstring."""
    if not _SEEDS.value or not all(seed.isdigit() for seed in _SEEDS.value):
        raise ValueError(f"--seeds wants whole numbers such as 1,2,3; got {_SEEDS.value}")
    seeds = [int(seed) for seed in _SEEDS.value]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"--seeds has one twice: {','.join(_SEEDS.value)}")
    useless = ("arms",) if _ATTACKS.value else _OF_ATTACKS
    given = [f"--{name}" for name in useless if flags.FLAGS[name].present]
    if given:
        raise ValueError(
            f"{', '.join(given)}: of no use {'with' if _ATTACKS.value else 'without'} --attacks"
        )
    variants = _variants()
    output = pathlib.Path(_OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    _train(variants, seeds, output)
    from federated import comparison, plots
    from pgan import results

    runs = [comparison.read_run(output, variant, seed) for variant in variants for seed in seeds]
    table = _report_attacks(runs) if _ATTACKS.value else _report_arms(runs)
    results.write(output / "results.jsonl", comparison.rows(table))
    drawing = (plots.attacks if _ATTACKS.value else plots.variants)(runs, output.name)
    drawing.savefig(output / "comparison.png")
    print(f"figure: {output / 'comparison.png'}")


if __name__ == "__main__":
    tool_main.run(main, continues=True)
