"""Exports the averaged generator of a run for TensorFlow Serving and tools/synthesize_images.py.

    python tools/export_generator.py --run_dir=runs/nih --output=exports --name=nih
    python tools/export_generator.py --run_dir=runs/nih --name=nih_best --best
    python tools/export_generator.py --run_dir=runs/nih --name=nih_early --allow_unfinished

Writes <output>/<name>/<version>/, loads it again in a fresh process and compares it with the run's
generator before it gets that name.
"""

from absl import flags, logging

import tool_main
from pgan import config

_RUN_DIR = flags.DEFINE_string("run_dir", None, "Run folder of tools/train_pgan.py.", required=True)
_OUTPUT = flags.DEFINE_string("output", "exports", "Folder of exports.")
_NAME = flags.DEFINE_string("name", None, "Name of the model.", required=True)
_VERSION = flags.DEFINE_integer("version", None, "Number of the version; the next by default.")
_BEST = flags.DEFINE_boolean(
    "best",
    False,
    "The checkpoint with the smallest distance that --metric_every_kimg of the training measured, "
    "not the newest.",
)
_ALLOW_UNFINISHED = flags.DEFINE_boolean(
    "allow_unfinished", False, "Export a run before its end, at the resolution it has reached."
)
_PRECISION = flags.DEFINE_enum(
    "precision",
    "float32",
    config.PRECISIONS,
    "In which the export computes; mixed_bfloat16 samples several times as fast where the "
    "processor has matrix units for it.",
)
_LICENSE = flags.DEFINE_string(
    "model_license", "not stated", "Terms under which the model is passed on, for its card."
)


def main() -> None:
    logging.set_verbosity(logging.WARNING)  # Saving logs a line of argument names per signature.
    from pgan import checkpoints, export, export_folder

    generator, info = checkpoints.load_generator(_RUN_DIR.value, _BEST.value, _PRECISION.value)
    result = export.write(
        generator,
        info,
        _OUTPUT.value,
        _NAME.value,
        _VERSION.value,
        _ALLOW_UNFINISHED.value,
        _LICENSE.value,
    )
    card = result.card
    if info.best:
        print(f"kept as the best: {info.best['metric']} = {info.best['value']:.3g}")
    print(
        f"checked in a fresh process: pixels within {result.deviation:.1e} of the generator's "
        f"(range -1 to 1, allowed {result.tolerance:g})\n"
        f"{card['resolution']} px, {card['parameters']:,} parameters, {card['images_shown']:,} "
        f"images shown, fingerprint {card['fingerprint'][:16]}\n"
        f"models.config for TensorFlow Serving:\n{export_folder.models_config(_OUTPUT.value)}"
        f"export: {result.path}"
    )


if __name__ == "__main__":
    tool_main.run(main)
