"""Runs every signature of an export where only TensorFlow is installed.

    python -I pgan/export_check.py EXPORT_DIR INPUTS.npz OUTPUTS.npz

`pgan.export` starts this file in a process of its own, to see that an export needs nothing of this
project. It must therefore import nothing of it.
"""

import sys

import numpy as np


def run(export_dir: str, inputs_path: str, outputs_path: str) -> None:
    """Draws images by every signature.

    Args:
        export_dir: The SavedModel.
        inputs_path: An .npz of latents, labels, seeds and indices.
        outputs_path: Where to write an .npz with the results by signature, those of
            `png_from_seeds` decoded, and `one_by_one`, the images of `from_seeds` drawn singly.
    """
    for package in ("pgan", "classifier", "federated"):
        sys.modules[package] = None  # An import of it fails from here on.

    import tensorflow as tf

    inputs = {key: tf.constant(value) for key, value in np.load(inputs_path).items()}
    by_latent = {key: inputs[key] for key in ("latents", "labels")}
    by_seed = {key: inputs[key] for key in ("seeds", "indices", "labels")}
    signatures = tf.saved_model.load(export_dir).signatures
    results = {
        name: signatures[name](**by_latent)["images"]
        for name in ("serving_default", "float_images")
    }
    results["from_seeds"] = signatures["from_seeds"](**by_seed)["images"]
    results["one_by_one"] = tf.concat(
        [
            signatures["from_seeds"](**{key: x[i : i + 1] for key, x in by_seed.items()})["images"]
            for i in range(len(inputs["seeds"]))
        ],
        axis=0,
    )
    files = signatures["png_from_seeds"](**by_seed)["image_bytes"]
    results["png_from_seeds"] = tf.stack([tf.io.decode_png(file) for file in files])
    np.savez(outputs_path, **{key: value.numpy() for key, value in results.items()})


if __name__ == "__main__":
    run(*sys.argv[1:])
