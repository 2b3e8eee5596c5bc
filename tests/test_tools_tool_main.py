"""Flags of tools, read before TensorFlow is there."""

import json
import pathlib
import subprocess
import sys

_ROOT = pathlib.Path(__file__).parents[1]


def test_keras_builds_and_trains_in_a_tool_that_loads_tensorflow_late(tmp_path):
    """Not so with absl's own parser: TensorFlow 2.14 then makes a context without eager mode."""
    program = """
import json, sys
sys.path.insert(0, sys.argv.pop(1))
import config_flags
from absl import app

def main(argv):
    import tensorflow as tf
    model = tf.keras.Sequential([tf.keras.layers.Dense(1, input_shape=(2,))])
    again = tf.keras.Model(model.inputs, model.outputs)
    again.compile("adam", "mse")
    print(json.dumps(argv[1:] + [len(again.fit(tf.ones((4, 2)), tf.ones(4), verbose=0).epoch)]))

assert "tensorflow" not in sys.modules
app.run(main, flags_parser=config_flags.parse_with_tensorflow)
"""
    path = tmp_path / "program.py"
    path.write_text(program)
    command = [sys.executable, path, _ROOT / "tools", "rest"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == ["rest", 1]
