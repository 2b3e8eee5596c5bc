"""Runs requests to an export where only TensorFlow is installed.

    python -I pgan/export_check.py EXPORT_DIR INPUTS.npz OUTPUTS.npz

`pgan.export_folder` starts this file in a process of its own, to see that an export needs nothing
of this project. It must therefore import nothing of it.
"""

import sys

import numpy as np


def run(export_dir: str, inputs_path: str, outputs_path: str) -> None:
    """Runs requests.

    Args:
        export_dir: The SavedModel.
        inputs_path: An .npz with arrays "<number>.<signature>.<input>", files as NumPy bytes.
        outputs_path: Where to write an .npz with arrays "<number>.<output>". NumPy bytes lose
            zeros at their end, which neither PNG files nor names have.
    """
    for package in ("pgan", "classifier", "federated"):
        sys.modules[package] = None  # An import of it fails from here on.

    import tensorflow as tf

    requests = {}
    for key, value in np.load(inputs_path).items():
        number, signature, name = key.split(".")
        requests.setdefault((number, signature), {})[name] = tf.constant(value)
    model = tf.saved_model.load(export_dir)
    results = {}
    for (number, signature), inputs in requests.items():
        for name, value in model.signatures[signature](**inputs).items():
            array = value.numpy()
            results[f"{number}.{name}"] = array.astype(bytes) if array.dtype == object else array
    np.savez(outputs_path, **results)


if __name__ == "__main__":
    run(*sys.argv[1:])
