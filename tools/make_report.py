r"""Makes one HTML page of everything that folders hold: runs, evaluations, experiments, studies.

    python tools/make_report.py runs/phantom
    python tools/make_report.py studies/phantom evaluations audits --output=report.html \
        --title="Phantom study"

Rows of stats.jsonl (courses of training) and results.jsonl (measurements), manifests of record sets
and pictures beside them become sections with the paper's numbers at their side; at the end stands
which figures and tables of the paper are shown and what makes the others. The page is one file that
needs no network. Pictures of real patients are left out unless --real_images is given. Runs may go
on meanwhile.
"""

import pathlib
import sys

from absl import flags

import tool_main

_OUTPUT = flags.DEFINE_string("output", "report.html", "HTML file to write.")
_TITLE = flags.DEFINE_string("title", "Synthetic chest radiographs: report", "Title of the page.")
_REAL_IMAGES = flags.DEFINE_boolean(
    "real_images",
    False,
    "Show pictures of real patients too. Without, pictures are shown only of records that are "
    "known to be phantoms or synthetic, so that the page can be passed on.",
)


def main(folders: list[str]) -> int | None:
    """Runs the tool; see the module's docstring."""
    from pgan.report import build

    output = pathlib.Path(_OUTPUT.value)
    if output.is_dir():
        raise ValueError(f"--output={output} is a folder; give a file such as {output}/report.html")
    paths = [pathlib.Path(name) for name in folders]
    found = build.write(paths, output, _TITLE.value, _REAL_IMAGES.value)
    for fault in found.faults:
        print(f"Warning: {fault}", file=sys.stderr)
    print(f"report: {output} ({output.stat().st_size / 1e6:.1f} MB)")
    return None


if __name__ == "__main__":
    tool_main.run(main, arguments=True)
