r"""Writes phantoms in the files of ChestX-ray14, CheXpert or the RSNA challenge.

    python tools/write_phantom_site.py --site=nih --count=4000 --seed=1 --output=data/phantom_nih
    python tools/write_phantom_site.py --site=chexpert --count=2000 --seed=1 --size=512 \
        --output=data/phantom_chexpert

Sites differ in patients, exposure, processing and markers; all findings are drawn and known. The
images of `rsna` are exams of `nih` with the same seed, and its mapping names them.

The same command again continues after an interruption.
"""

import os

from absl import flags

import tool_main

_SITE = flags.DEFINE_enum(
    "site", None, ["nih", "chexpert", "rsna"], "Whose patients, pictures and files."
)
_COUNT = flags.DEFINE_integer("count", None, "Number of images.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Of the population.", lower_bound=0)
_SIZE = flags.DEFINE_integer(
    "size", 256, "Longer side of the images in pixels, a power of two up to 1024."
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write to.")
_WORKERS = flags.DEFINE_integer(
    "workers", None, "Processes that draw; one per processor if not given.", lower_bound=0
)

flags.mark_flags_as_required(["site", "count", "output"])


def main() -> None:
    from pgan.data import phantom_layouts

    workers = len(os.sched_getaffinity(0)) if _WORKERS.value is None else _WORKERS.value
    written = phantom_layouts.write(
        _SITE.value, _OUTPUT.value, _COUNT.value, _SEED.value, _SIZE.value, workers
    )
    print(f"Files written: {written}. " if written else "Already complete. ", end="")
    print(f"{_COUNT.value} images of the site {_SITE.value}: {_OUTPUT.value}")
    twins = phantom_layouts.describe(_OUTPUT.value).get("twins_within")
    if twins:
        print(
            f"Their twins are among the first {twins} images of --site=nih --seed={_SEED.value}; "
            f"write these with --count={twins} or more."
        )


if __name__ == "__main__":
    tool_main.run(main, continues=True)
