r"""Runs one of the paper's classifier experiments, from images to tables and figures.

    python tools/run_experiment.py --experiment=fig2 --local=records/rsna \
        --local_folds=local/train,local/val,local/test --first=exports/nih/1 \
        --first_records=records/nih --second=exports/chexpert/1 \
        --second_records=records/chexpert --output=experiments/fig2
    python tools/run_experiment.py --experiment=oversampling --finding=Hernia \
        --local=records/nih --first=exports/nih/1 --images=2000 --rare=50 \
        --output=experiments/hernia

Several seeds, resumable after every trained classifier: the same command continues. `--preset=adam`
is a recipe without a schedule; every setting of the classifier is a flag. `--dry_run` checks that
the images of all arms can be had and says which differences the test images can show.
"""

import logging
import pathlib
import sys

import tqdm
from absl import flags

import config_flags
import tool_main
from classifier import config

# The flags that ask for its images, by experiment.
_EXPERIMENTS = {
    "fig2": ("images", "rare", "test_images"),
    "fig3": ("images", "more_images"),
    "oversampling": ("finding", "images", "rare"),
    "adversarial": ("finding", "images", "rare", "test_images", "strengths"),
    "real_vs_synthetic": ("finding", "images", "rare"),
    "real_only": ("images",),
}
_EXPERIMENT = flags.DEFINE_enum("experiment", None, list(_EXPERIMENTS), "Which.", required=True)
_LOCAL = flags.DEFINE_string("local", None, "The hospital's own record set.", required=True)
_FOLDS = flags.DEFINE_list(
    "local_folds", ["train", "val", "test"], "Its folds to train on, to validate on, to test on."
)
_FIRST = flags.DEFINE_string("first", None, "Export of a generator, such as exports/nih/1.")
_FIRST_RECORDS = flags.DEFINE_string(
    "first_records",
    None,
    "Record set that it was trained on: for label vectors, and to check that no test image is of "
    "its patients.",
)
_SECOND = flags.DEFINE_string("second", None, "Export of another hospital's generator.")
_SECOND_RECORDS = flags.DEFINE_string("second_records", None, "Record set of that one.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder of the results.", required=True)
_SEEDS = flags.DEFINE_list("seeds", ["1", "2", "3"], "Seeds; every arm is trained with each.")
_PRESET = flags.DEFINE_enum(
    "preset", "paper", list(config.PRESETS), "Settings of the classifier that flags change."
)
_IMAGES = flags.DEFINE_integer(
    "images", None, "Training images of an arm (fig2, fig3, real_only) or its healthy ones. "
    "Default: the paper's, 1000 and 78,468.", 1,
)  # fmt: skip
_MORE_IMAGES = flags.DEFINE_integer(
    "more_images", None, "Images that the second generator adds (fig3). Default 191,229.", 1
)
_RARE = flags.DEFINE_integer("rare", 50, "Real training images with the finding.", 1)
_TEST_IMAGES = flags.DEFINE_integer(
    "test_images", None, "Test images: fig2 6000, healthy to pneumonia 2:3; adversarial 1000, half "
    "with the finding. fig3 and real_only take the whole fold, oversampling and real_vs_synthetic "
    "all its images of the finding and healthy ones.", 2,
)  # fmt: skip
_FINDING = flags.DEFINE_string(
    "finding", "Pneumonia", "Finding (oversampling, adversarial, real_vs_synthetic)."
)
_STRENGTHS = flags.DEFINE_list(
    "strengths", ["0.5", "1", "2", "4", "8"],
    "Attacks on the test images (adversarial), in grey levels; --attack_epsilon is that of "
    "training, --attack_steps the steps of pgd there.",
)  # fmt: skip
_VALIDATION = flags.DEFINE_enum(
    "validation", "alike", ["alike", "paper"],
    "Validation images: a fifth as many as an arm trains on, of the same origins, or all real ones "
    "of the fold that the question is about.",
)  # fmt: skip
_REDRAWS = flags.DEFINE_integer("redraws", 10_000, "Redraws of patients, for intervals.", 1)
_PERMUTATIONS = flags.DEFINE_integer("permutations", 10_000, "Exchanges, for p values.", 1)
_DRY_RUN = flags.DEFINE_boolean(
    "dry_run", False, "Only print what would be trained and which differences could be shown."
)
_EXPECTED_AUC = flags.DEFINE_float("expected_auc", 0.75, "For --dry_run.", 0.5, 0.999)
_EXPECTED_DIFFERENCE = flags.DEFINE_float(
    "expected_difference", 0.07, "Difference of the AUC for --dry_run; 0.07 is the paper's (fig2).",
    0.001, 0.5,
)  # fmt: skip

config_flags.define(config.ClassifierConfig, skip=("seed",))


def _settings() -> config.ClassifierConfig:
    preset = {
        name: value
        for name, value in config.PRESETS[_PRESET.value].items()
        if not flags.FLAGS[name].present
    }
    return config_flags.build(config.ClassifierConfig, seed=0, **preset)


def _numbers(texts: list[str]) -> list[float]:
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) <= 0:
        raise ValueError(f"--strengths wants numbers above 0 such as 1,2,4; got {texts}")
    return numbers


def _experiment():
    from classifier import recipes

    name, images = _EXPERIMENT.value, _IMAGES.value
    taken = _EXPERIMENTS[name]
    for flag in sorted(set().union(*_EXPERIMENTS.values()) - set(taken)):
        if flags.FLAGS[flag].present:
            raise ValueError(
                f"--experiment={name} takes no --{flag}; it takes --{', --'.join(taken)}"
            )
    if name == "fig2":
        return recipes.fig2(images or 1000, _RARE.value, _TEST_IMAGES.value or 6000)
    if name == "fig3":
        return recipes.fig3(images or 78_468, _MORE_IMAGES.value or 191_229)
    if name == "real_only":
        return recipes.real_only(images or 78_468)
    if name == "oversampling":
        return recipes.oversampling(_FINDING.value, images or 1000, _RARE.value)
    if name == "adversarial":
        return recipes.adversarial(
            _FINDING.value, images or 1000, _RARE.value, _TEST_IMAGES.value or 1000,
            _numbers(_STRENGTHS.value), flags.FLAGS.attack_epsilon,
        )  # fmt: skip
    return recipes.real_vs_synthetic(_FINDING.value, images or 1000, _RARE.value)


def _inputs(work: pathlib.Path):
    from classifier import recipes, training_sets
    from pgan import synthesis
    from pgan.data import record_set

    if len(_FOLDS.value) != 3:
        raise ValueError(
            f"--local_folds wants three folds such as train,val,test; got {_FOLDS.value}"
        )
    local, sites = record_set.RecordSet.open(_LOCAL.value), {}
    for role, export, records in (
        (recipes.FIRST, _FIRST.value, _FIRST_RECORDS.value),
        (recipes.SECOND, _SECOND.value, _SECOND_RECORDS.value),
    ):
        if export:
            generator = synthesis.load(export)
            collection = record_set.RecordSet.open(records) if records else None
            facts = generator.card["training_records"]
            fold = facts.get("fold", "train")
            if collection is None and facts.get("fingerprint") == local.fingerprint:
                collection = local
            sites[role] = training_sets.Site(generator, collection, fold)
            if collection is None:
                print(
                    f"Warning: without --{role}_records it cannot be checked that no test image is "
                    f"of a patient that {generator.name} was trained on or chosen by.",
                    file=sys.stderr,
                )
    return training_sets.Inputs(local, tuple(_FOLDS.value), sites, work)


def main() -> None:
    """Runs the tool; see the module's docstring."""
    logging.getLogger("classifier").setLevel(logging.INFO)
    if not all(seed.isdigit() for seed in _SEEDS.value):
        raise ValueError(f"--seeds wants whole numbers such as 1,2,3; got {_SEEDS.value}")
    seeds = tuple(map(int, _SEEDS.value))
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"--seeds wants numbers, each once; got {','.join(_SEEDS.value)!r}")
    settings = _settings()
    from classifier import evaluation, experiment_plan, experiments

    output = pathlib.Path(_OUTPUT.value)
    plan = experiment_plan.Plan(
        _experiment(),
        settings,
        seeds,
        _VALIDATION.value == "paper",
        evaluation.Effort(_REDRAWS.value, _PERMUTATIONS.value),
    )
    inputs = _inputs(output / "synthetic")
    if _DRY_RUN.value:
        from classifier import forecast

        print(forecast.text(plan, inputs, _EXPECTED_AUC.value, _EXPECTED_DIFFERENCE.value))
        return
    total = len(plan.seeds) * len(plan.experiment.recipes)
    with tqdm.tqdm(total=total, desc=plan.experiment.name, unit="model") as bar:
        experiments.run(plan, inputs, output, bar.update)
    print((output / "report.md").read_text())
    print(f"report and figures: {output}")


if __name__ == "__main__":
    tool_main.run(main, tensorflow=True, continues=True)
