r"""Shows what an exported generator has learned of findings: sweeps, and maps of what they change.

    python tools/visualize_findings.py --export=exports/nih/1 --output=shown/nih
    python tools/visualize_findings.py --export=exports/nih/1 --output=shown/pairs \
        --findings=Cardiomegaly,Effusion --seeds=0:0,0:1,7 --others="Edema=0.5" --frames=41 \
        --combinations="Cardiomegaly+Effusion" --interpolate

Writes for each finding the way from absent to present (PNG strip, GIF, and MP4 where there is an
encoder), the differences that it makes, a sheet of all findings, their mean over many pseudo-
patients, and report.md. Of generators that were trained on phantoms, results.jsonl and report.md
say whether the maps lie where the finding acts. The same command again continues after an
interruption. With --records the nearest training images are shown too, in a folder of their own:
these are images of patients.
"""

from absl import flags

import tool_main

_EXPORT = flags.DEFINE_string("export", None, "Export, <output>/<name>/<version>.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "Folder of pictures and numbers.", required=True)
_FINDINGS = flags.DEFINE_list("findings", None, "Which findings; all of the generator by default.")
_SEEDS = flags.DEFINE_list(
    "seeds",
    ["0:0", "0:1", "0:2", "0:3"],
    "Pseudo-patients of the pictures, SEED:INDEX as tools/synthesize_images.py counts its images; "
    "SEED alone is index 0.",
)
_OTHERS = flags.DEFINE_string(
    "others", None, 'What all other findings are held at, "Edema=0.5,Mass"; 0 by default.'
)
_SWEEPS = flags.DEFINE_boolean("sweeps", True, "Write sweeps.")
_FRAMES = flags.DEFINE_integer(
    "frames", 21, "Frames of a sweep, and of the way between two --seeds.", lower_bound=2
)
_FRAME_RATE = flags.DEFINE_float("frame_rate", 10, "Frames a second.", 0.5, 60)
_COMBINATIONS = flags.DEFINE_list(
    "combinations", [], 'Findings shown alone and together, "Cardiomegaly+Effusion,Mass+Edema".'
)
_INTERPOLATE = flags.DEFINE_boolean(
    "interpolate", False, "Write the ways from each of --seeds to the next, findings at --others."
)
_LIMIT = flags.DEFINE_float(
    "limit",
    None,
    "End of the scale of differences in grey levels, so that several generators have one; chosen "
    "by the finding that changes most if unset.",
    lower_bound=0.5,
)
_MEAN_COUNT = flags.DEFINE_integer(
    "mean_count", 256, "Pseudo-patients of the mean maps; 0 leaves them out.", lower_bound=0
)
_MEAN_SEED = flags.DEFINE_integer("mean_seed", 0, "Their seed.", lower_bound=0)
_PHANTOMS = flags.DEFINE_integer(
    "phantoms",
    32,
    "Phantoms that tell where a finding acts, for generators trained on phantoms; 0: none, as for "
    "pictures of other outlines, such as those of --site=chexpert, where the places differ.",
    lower_bound=0,
)
_RECORDS = flags.DEFINE_string(
    "records",
    None,
    "Record set of the training images. If given, the nearest of them are shown: patients.",
)
_FOLD = flags.DEFINE_string("fold", None, "Fold of --records; that of the training by default.")


def _request(card):
    """What the flags ask for, checked with the model card alone, before TensorFlow is loaded."""
    import numpy as np

    from pgan.data import labels
    from pgan.visualize import pseudo_patients, request

    vocabulary = tuple(card["findings"])
    if not vocabulary and not _INTERPOLATE.value:
        raise ValueError(
            f"{_EXPORT.value} was trained without findings, so it can show none. --interpolate "
            "shows its pseudo-patients; for findings train on records that were built with some"
        )
    names = vocabulary if _FINDINGS.value is None else _FINDINGS.value
    positions = tuple(dict.fromkeys(labels.find(name, vocabulary) for name in names))
    others = np.zeros(len(vocabulary), np.float32)
    if _OTHERS.value is not None:
        others = labels.parse(_OTHERS.value, vocabulary)
    phantom = card["training_records"].get("origin") == "phantom"
    return request.Request(
        patients=pseudo_patients.parse(_SEEDS.value),
        positions=positions,
        others=others,
        frames=_FRAMES.value,
        frame_rate=_FRAME_RATE.value,
        sweeps=_SWEEPS.value,
        combinations=tuple(
            pseudo_patients.combination(text, vocabulary) for text in _COMBINATIONS.value
        ),
        interpolate=_INTERPOLATE.value,
        mean_count=_MEAN_COUNT.value,
        mean_seed=_MEAN_SEED.value,
        phantoms=_PHANTOMS.value if phantom else 0,
        limit=_LIMIT.value,
    )


def _training(card):
    """The training images, if they are asked for."""
    if _RECORDS.value is None:
        return None
    from pgan.data import record_set
    from pgan.visualize import neighbours, request

    fold = _FOLD.value or card["training_records"]["fold"]
    records = record_set.RecordSet.open(_RECORDS.value)
    neighbours.check(records, fold, card["resolution"])
    return request.Training(records, fold)


def main() -> None:
    """Runs the tool; see the module's docstring."""
    from pgan import model_card

    card = model_card.read(_EXPORT.value)
    wanted, training = _request(card), _training(card)

    from pgan import synthesis
    from pgan.visualize import animations, procedure, report_text

    if (reason := animations.encoder_missing()) is not None:
        print(f"No MP4 is written, only GIF: {reason}")
    if training is not None:
        print(f"{_OUTPUT.value}/nearest will show images of {training.records.name}: patients")
    rows = procedure.run(synthesis.load(_EXPORT.value), wanted, _OUTPUT.value, training)
    ratios = [row for row in rows if row["name"] == "map_ratio"]
    if ratios:
        print(report_text.ratio_table(ratios))
    print(f"report: {_OUTPUT.value}/{procedure.REPORT}")


if __name__ == "__main__":
    tool_main.run(main, continues=True)
