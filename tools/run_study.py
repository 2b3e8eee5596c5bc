"""Repeats the paper on phantom sites, from drawn patients to one page with all results.

    python tools/run_study.py --output=studies/phantom
    python tools/run_study.py --output=studies/tiny --size=tiny

Three hospitals are drawn, whose pictures differ as ChestX-ray14's, CheXpert's and RSNA's do. Two
train a GAN each and share the generators in a deposit; the third, with few cases, uses their
images. Then come the classifier experiments, what the generators learned of findings, federated
averaging, and a reader study with simulated readers. <output>/report.html has it all. The same
command again continues, and a step that fails holds up only those that need it. --size=large is the
experiments alone, with more and larger images. Logs are in <output>/logs.
"""

import json
import pathlib
import sys

from absl import flags

import study_sizes
import study_steps
import tool_main

_OUTPUT = flags.DEFINE_string("output", None, "Folder of everything.", required=True)
_SIZE = flags.DEFINE_enum(
    "size", "small", list(study_sizes.SIZES), "How large; tiny only shows that it runs."
)
_PRECISION = flags.DEFINE_enum(
    "precision", None, ["float32", "mixed_bfloat16"],
    "Computation type of all networks; by default what is faster here, of these.",
)  # fmt: skip
_JOBS = flags.DEFINE_integer("jobs", 2, "Steps at a time, each on its share of the cores.", 1)
_ONLY = flags.DEFINE_list("only", [], "Experiments to run and nothing after them; default: all.")


def _precision(output: pathlib.Path) -> str:
    """The precision of a study, which stays what it was at its start, on whatever machine."""
    from pgan import hardware, run_folder

    path = output / "study.json"
    if path.exists():
        old = json.loads(path.read_text())
        wanted = {"size": _SIZE.value, "precision": _PRECISION.value or old["precision"]}
        if wanted != old:
            raise ValueError(
                f"{output} holds a study with {old}, and {wanted} is asked for; give another "
                "--output, or the flags that it was started with"
            )
        return old["precision"]
    fast = hardware.fast_precision().precision
    precision = _PRECISION.value or ("mixed_bfloat16" if fast == "mixed_bfloat16" else "float32")
    output.mkdir(parents=True, exist_ok=True)
    facts = {"size": _SIZE.value, "precision": precision}
    run_folder.write_atomically(path, json.dumps(facts) + "\n")
    return precision


def main() -> None:
    """Runs the tool; see the module's docstring."""
    from pgan import job_queue
    from pgan.data import record_folder

    size = study_sizes.SIZES[_SIZE.value]
    unknown = sorted(set(_ONLY.value) - size.experiments.keys())
    if unknown:
        raise ValueError(
            f"--only names experiments, of {', '.join(size.experiments)}; got {', '.join(unknown)}"
        )
    output = pathlib.Path(_OUTPUT.value).absolute()
    steps = study_steps.Steps(output, size, _precision(output))
    steps.add_data()
    steps.add_generators()
    steps.add_experiments(_ONLY.value)
    if size.more and not _ONLY.value:
        steps.add_federation()
        steps.add_judgement()
        steps.add_findings()
        steps.add_readers()
    with record_folder.claimed(output, "running a study in"):
        try:
            job_queue.run_with_bar(steps.jobs, _JOBS.value, f"study of size {_SIZE.value}")
        except RuntimeError:
            try:
                _report(output)  # of what there is
            except (ValueError, OSError) as error:
                print(f"There is no report: {error}", file=sys.stderr)
            raise
        _report(output)


def _report(output):
    from pgan.report import build

    page = output / "report.html"
    build.write([output], page, "The paper on phantom sites", False)
    print(f"report: {page}")


if __name__ == "__main__":
    tool_main.run(main, continues=True)
