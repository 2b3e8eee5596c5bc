"""How tools start and end, in processes of their own: flags, TensorFlow, messages, exit status."""

import pathlib
import signal
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).parents[1]
_HEAD = "import sys\nfrom absl import app, flags\nimport tool_main\n"
_HINT = "Pass --help to see all flags."


def _command(tmp_path, body, settings, *arguments):
    path = tmp_path / "program.py"
    path.write_text(f"{_HEAD}{body}\ntool_main.run(main{settings})\n")
    return [sys.executable, path, *arguments]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a program of that `main`, and returns status, output and messages."""
    monkeypatch.setenv("PYTHONPATH", str(_ROOT / "tools"))

    def run(body, *arguments, settings=""):
        command = _command(tmp_path, body, settings, *arguments)
        done = subprocess.run(command, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    return run


def test_keras_builds_and_trains_in_a_tool_that_loads_tensorflow_late(run):
    """Not so with absl's own parser: TensorFlow 2.14 then makes a context without eager mode."""
    body = """
def main():
    import tensorflow as tf
    model = tf.keras.Sequential([tf.keras.layers.Dense(1, input_shape=(2,))])
    again = tf.keras.Model(model.inputs, model.outputs)
    again.compile("adam", "mse")
    print(len(again.fit(tf.ones((4, 2)), tf.ones(4), verbose=0).epoch))

assert "tensorflow" not in sys.modules
"""
    assert run(body, settings=", tensorflow=True")[:2] == (0, "1\n")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("raise ValueError('--count must be at least 1')", "--count must be at least 1"),
        ("raise RuntimeError('a job has ended')", "a job has ended"),
        ("open('absent.csv')", "No such file or directory: 'absent.csv'"),
        ("raise FileNotFoundError('there is no record set')", "there is no record set"),
        ("raise ValueError", "ValueError"),
    ],
)  # fmt: skip
def test_what_a_user_can_mend_is_a_message_and_a_status(run, statement, message):
    assert run(f"def main():\n    {statement}") == (1, "", f"Error: {message}\n")
    status, _, error = run(f"def main():\n    {statement}", settings=", error=2, wrong_usage=3")
    assert (status, error) == (2, f"Error: {message}\n")


def test_other_errors_are_faults_of_the_program_and_show_where(run):
    status, _, error = run("def main():\n    {}['name']")
    assert status == 1 and "Traceback" in error and "KeyError: 'name'" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cuont=3"], "Unknown command line flag 'cuont'. Did you mean: count ?"),
        (["--count=many"], "flag --count=many"),
        (["--flagfile=absent.flags"], "absent.flags"),
        (["more"], "unknown argument 'more'; flags are written --name=value"),
        (["--count=1"], "give --count from 2"),
    ],
)
def test_wrong_usage_is_told_with_its_own_status(run, arguments, message):
    body = """
_COUNT = flags.DEFINE_integer("count", 2, "How many.")
def main():
    if _COUNT.value < 2:
        raise app.UsageError("give --count from 2")
    print(_COUNT.value)
"""
    for status, settings in ((1, ""), (2, ", wrong_usage=2")):
        found, output, error = run(body, *arguments, settings=settings)
        assert (found, output) == (status, "")
        assert error.startswith("Error: ") and message in error
        assert error.endswith(f"\n{_HINT}\n")
    assert run(body, "--count=7", settings=", wrong_usage=2") == (0, "7\n", "")


def test_a_tool_says_its_status(run):
    assert run("def main():\n    return 4")[0] == 4
    assert run("def main():\n    return None")[0] == 0


@pytest.mark.parametrize("continues", [False, True])
def test_ctrl_c_is_no_traceback(tmp_path, monkeypatch, continues):
    monkeypatch.setenv("PYTHONPATH", str(_ROOT / "tools"))
    body = "def main():\n    import time\n    print('ready', flush=True)\n    time.sleep(600)"
    command = _command(tmp_path, body, f", continues={continues}")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # Shells let what they start in the background ignore Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        error = process.stderr.read()
    assert process.returncode == 130
    assert error.strip() == "interrupted" + "; the same command again continues" * continues
