r"""Exports a trained classifier for TensorFlow Serving, and as a network of tools/evaluate_gan.py.

    python tools/export_classifier.py --run=experiments/fig2/seed1/real --output=exports \
        --name=pneumonia
    python tools/evaluate_gan.py --features=saved_model:exports/pneumonia/1 ...

--run is the folder of one arm of tools/run_experiment.py. Writes <output>/<name>/<version>/, loads
it again in a fresh process and compares it with the classifier before it gets that name.
"""

import pathlib

from absl import flags, logging

import tool_main

_RUN = flags.DEFINE_string("run", None, "Folder of a trained classifier.", required=True)
_OUTPUT = flags.DEFINE_string("output", "exports", "Folder of exports.")
_NAME = flags.DEFINE_string("name", None, "Name of the model.", required=True)
_VERSION = flags.DEFINE_integer("version", None, "Number of the version; the next by default.")
_GEOMETRY = flags.DEFINE_string(
    "geometry",
    None,
    "How tools/build_records.py made the training images square; only for trainings whose "
    "classifier.json does not say it.",
)
_LICENSE = flags.DEFINE_string(
    "model_license", "not stated", "Terms under which the model is passed on, for its card."
)


def main() -> None:
    # Keras warns that it could not save the classifier as one of its own models.
    logging.set_verbosity(logging.ERROR)
    from classifier import export, training
    from pgan import export_folder

    result = export.write(
        training.load(pathlib.Path(_RUN.value)),
        _OUTPUT.value,
        _NAME.value,
        _VERSION.value,
        _GEOMETRY.value,
        _LICENSE.value,
    )
    card = result.card
    print(
        f"checked in a fresh process: probabilities within {result.deviation:.1e} of the "
        f"classifier's (allowed {result.tolerance:g})\n"
        f"{card['resolution']} px, {card['parameters']:,} parameters, trained on "
        f"{card['training_images']:,} images, fingerprint {card['fingerprint'][:16]}"
    )
    for finding, threshold in zip(card["findings"], card["thresholds"], strict=True):
        decided = "no threshold, no decision" if threshold is None else f"from {threshold:.3f}"
        print(f"  {finding}: {decided}")
    print(
        f"models.config for TensorFlow Serving:\n{export_folder.models_config(_OUTPUT.value)}"
        f"export: {result.path}"
    )


if __name__ == "__main__":
    tool_main.run(main, tensorflow=True)
