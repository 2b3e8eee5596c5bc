"""How every tool starts and ends: flags, messages instead of tracebacks, exit status.

A tool has `main()`, which returns its exit status or None for 0, and ends with
`if __name__ == "__main__": tool_main.run(main)`, or `run(main, tensorflow=True)` if it builds Keras
models. What a user can mend is raised as ValueError, RuntimeError or OSError, wrong usage as
app.UsageError; `main` imports what is heavy itself, so that --help is there at once.
"""

import os
import pathlib
import re
import sys
import warnings
from collections.abc import Callable

from absl import app, flags

# Of libraries at pinned versions, which no user can mend.
_ANNOUNCEMENTS = (
    r"pkg_resources is deprecated as an API",
    r"\s*TensorFlow Addons \(TFA\) has ended development",
)
_INTERRUPTED = 130  # what shells give to a command that Ctrl-C ended


def run(
    main: Callable[..., int | None],
    tensorflow: bool = False,
    wrong_usage: int = 1,
    error: int = 1,
    continues: bool = False,
    arguments: bool = False,
) -> None:
    """Parses the flags, runs the tool and ends the process.

    Args:
        main: The tool.
        tensorflow: Whether TensorFlow is loaded with the flags; see `load_tensorflow`.
        wrong_usage: Exit status of wrong flags, for tools whose status 1 means something else.
        error: Exit status of errors.
        continues: Whether the same command goes on where Ctrl-C has ended it.
        arguments: Whether what is no flag is given to `main`, as a list.
    """

    def parse(argv: list[str]) -> list[str]:
        try:
            rest = flags.FLAGS(argv)
        except flags.Error as wrong:
            sys.exit(_usage(wrong, wrong_usage))
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        for announcement in _ANNOUNCEMENTS:
            warnings.filterwarnings("ignore", announcement, UserWarning)
        if tensorflow:
            load_tensorflow()
        return rest

    def run_main(argv: list[str]) -> int | None:
        try:
            if arguments:
                return main(argv[1:])
            if len(argv) > 1:
                raise app.UsageError(
                    f"unknown argument {argv[1]!r}; flags are written --name=value"
                )
            return main()
        except app.UsageError as wrong:
            return _usage(wrong, wrong_usage)
        except KeyboardInterrupt:
            rest = "; the same command again continues" if continues else ""
            print(f"\ninterrupted{rest}", file=sys.stderr)
            return _INTERRUPTED
        except (ValueError, RuntimeError, OSError) as failure:
            # Of an OSError with a number: "No such file or directory: 'records/nih'".
            text = re.sub(r"^\[Errno \d+\] ", "", str(failure))
            print(f"Error: {text or type(failure).__name__}", file=sys.stderr)
            return error

    app.run(run_main, flags_parser=parse)


def command(tool: str, *arguments: str) -> list[str]:
    """Command that runs another tool, such as "train_pgan", for `pgan.job_queue`."""
    return [sys.executable, str(pathlib.Path(__file__).with_name(f"{tool}.py")), *arguments]


def load_tensorflow() -> None:
    """Loads TensorFlow before absl starts the program.

    TensorFlow 2.14 asks absl for a call once the program has started. Imported later than that, it
    is called in the middle of its own import and makes its context before eager execution is on;
    Keras then builds no functional model ("'SymbolicTensor' object has no attribute 'node'").
    Help and wrong flags are answered before, without the wait.
    """
    import tensorflow  # noqa: F401


def _usage(wrong, status):
    print(f"Error: {wrong}\nPass --help to see all flags.", file=sys.stderr)
    return status
