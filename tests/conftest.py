"""What all tests share: a CPU-only TensorFlow with two logical devices, and running a tool."""

import os
import pathlib
import runpy
import sys

# Read once, when TensorFlow is loaded. Results have to be the same on machines with a card.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import pytest
import tensorflow as tf
from absl import app
from absl.testing import flagsaver

# Two replicas on one CPU. TensorFlow fixes its devices at the first operation, so this cannot wait
# for the test that needs them.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

# Before any flagsaver, which takes back all flags that are defined inside it.
app.define_help_flags()

_TOOLS = pathlib.Path(__file__).parents[1] / "tools"


@pytest.fixture
def run_tool(monkeypatch):
    """Runs a tool in this process as ``python tools/<name>.py <arguments>`` would.

    The tools' flags share names, and absl allows a name once per process, so the flags that a tool
    defines are taken back when it ends.

    Returns:
        Function of the tool's name and its arguments that returns the exit status.
    """

    def run(name, *arguments):
        path = str(_TOOLS / f"{name}.py")
        with flagsaver.flagsaver(), monkeypatch.context() as patch:
            patch.setattr(sys, "argv", [path, *map(str, arguments)])
            patch.delitem(sys.modules, "config_flags", raising=False)
            try:
                runpy.run_path(path, run_name="__main__")
            except SystemExit as stop:
                if isinstance(stop.code, str):  # as sys.exit(message) does
                    sys.stderr.write(f"{stop.code}\n")
                    return 1
                return stop.code or 0
            finally:
                sys.modules.pop("config_flags", None)
        raise AssertionError(f"{path} does not end with absl.app.run")

    return run


@pytest.fixture(scope="session")
def phantom_records(tmp_path_factory):
    """A small record set of phantoms up to 16 px, split by patient into train, val and test."""
    from pgan.data import labels, phantom, record_plan, record_set, record_writer, splits

    folder = tmp_path_factory.mktemp("records") / "phantom"
    images = list(phantom.read(64, seed=1, size=32))
    plan = record_plan.make_plan(
        images, labels.NIH_14, 16, source="phantom", origin="phantom", split=splits.draw(images, 1)
    )
    record_writer.write_record_set(folder, plan, progress=False)
    return record_set.RecordSet.open(folder)
