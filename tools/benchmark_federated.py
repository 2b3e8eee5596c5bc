r"""Measures a federation's rounds by each way of running them, next to the bare local training.

    python tools/benchmark_federated.py --output=benchmark.jsonl
    python tools/benchmark_federated.py --ways=remote --clients=4 --resolution=64 \
        --output=benchmark.jsonl

in_process  as tools/simulate_federated.py runs them
tff         the same with --engine=tff: in a worker of TensorFlow Federated
remote      as tools/run_federation.py runs them: a worker for each client, on this machine

Every measurement is appended to the output when it is done; the same command again measures only
what is missing, and prints the table. federated/benchmark.py says what is compared with what.
"""

import pathlib
import tempfile

import tqdm
from absl import flags

import tool_main

_WAYS = flags.DEFINE_list("ways", ["in_process", "tff", "remote"], "What to measure.")
_CLIENTS = flags.DEFINE_integer("clients", 2, "Clients, all in every round.", 1)
_IMAGES = flags.DEFINE_integer("images", 256, "Phantoms that each client has.", 1)
_RESOLUTION = flags.DEFINE_integer("resolution", 32, "Image size in px.", 8)
_FMAP_BASE = flags.DEFINE_integer("fmap_base", 512, "Width of the networks at 4 px.", 1)
_FMAP_MAX = flags.DEFINE_integer("fmap_max", 32, "Most feature maps of a layer.", 1)
_GENERATOR_STEPS = flags.DEFINE_integer("generator_steps", 10, "Iterations of a client.", 1)
_CRITIC_STEPS = flags.DEFINE_integer("critic_steps", 5, "Critic steps in each.", 1)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Images per step.", 1)
_REPEATS = flags.DEFINE_integer("repeats", 5, "Timed rounds, of which medians are taken.", 1)
_OUTPUT = flags.DEFINE_string(
    "output", None, "File to which the results are appended, JSON lines.", required=True
)


def _draw_records(folder: pathlib.Path):
    """Writes phantoms as a record set, whose only fold is "all"."""
    from pgan.data import labels, phantom, record_plan, record_set, record_writer

    count, size = _IMAGES.value, _RESOLUTION.value
    drawn = list(tqdm.tqdm(phantom.read(count, seed=0, size=size), "Drawing phantoms", count))
    plan = record_plan.make_plan(
        drawn, labels.NIH_14, max_resolution=size, source="phantom", origin="phantom"
    )
    record_writer.write_record_set(folder, plan, progress=False)
    return record_set.RecordSet.open(folder)


def main() -> None:
    """Runs the tool; see the module's docstring."""
    from federated import benchmark
    from pgan import results

    cases = [
        benchmark.Case(
            way, _CLIENTS.value, _IMAGES.value, _RESOLUTION.value, _FMAP_BASE.value,
            _FMAP_MAX.value, _GENERATOR_STEPS.value, _CRITIC_STEPS.value, _BATCH_SIZE.value,
        )
        for way in _WAYS.value
    ]  # fmt: skip
    repeats, output = _REPEATS.value, _OUTPUT.value
    done = benchmark.answers(cases, repeats, results.read(output))
    missing = [case for case in cases if case not in done]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        records = _draw_records(folder / "phantoms") if missing else None
        with tqdm.tqdm(
            total=repeats * len(cases), initial=repeats * len(done), unit="round"
        ) as bar:
            for case in missing:
                bar.set_postfix_str(case.way)
                row = benchmark.measure(case, records, folder, repeats, bar.update)
                results.append(output, row)
    found = benchmark.answers(cases, repeats, results.read(output))
    print(benchmark.report([found[case] for case in cases]))


if __name__ == "__main__":
    tool_main.run(main, tensorflow=True)
