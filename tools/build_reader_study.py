r"""Builds a test of readers: can they tell real from synthetic radiographs?

    python tools/build_reader_study.py --records=records/nih --synthetic=records/nih_synthetic \
        --mask_markers --resolutions=256,512,1024 --count=50 --readers=cv1,cv2,cv3,rad1,rad2,rad3 \
        --groups=cv1=vision,cv2=vision,cv3=vision,rad1=radiology,rad2=radiology,rad3=radiology \
        --output=studies/nih --key=keys/nih_study.json
    python tools/build_reader_study.py --records=records/nih --synthetic=records/nih_synthetic \
        --readers=expert --mode=unrestricted --mask_markers --output=studies/expert \
        --key=keys/expert.json
    python tools/build_reader_study.py --output=studies/nih --key=keys/nih_study.json \
        --release=published/nih

--output gets deck.json and one page per reader, reader_<code>.html: a file that works in any
browser without a network and saves the reader's answers at the end. Give readers their page and
nothing else. Covering markers is no guarantee: let somebody who is no reader look through a page
first, and replace what shows one by --exclude into another --output. --key says which images are
real; it is needed to score the answers, only its owner can read it, and it must stay away from
readers. A page has 1.33 bytes per pixel: 184 MB in the first example.

--release writes the images of a deck with their answers into a folder for publication, once all
have been read. See before whether the terms of the real images allow it.
"""

import sys

from absl import app, flags

import tool_main

_RECORDS = flags.DEFINE_string("records", None, "Record set with real images.")
_SYNTHETIC = flags.DEFINE_string(
    "synthetic", None, "Record set of tools/synthesize_images.py --format=records."
)
_FOLD = flags.DEFINE_string("fold", "test", "Fold of --records.")
_SYNTHETIC_FOLD = flags.DEFINE_string("synthetic_fold", "all", "Fold of --synthetic.")
_RESOLUTIONS = flags.DEFINE_list(
    "resolutions", ["256", "512", "1024"], "Sizes in px that are read, levels of both record sets."
)
_COUNT = flags.DEFINE_integer(
    "count", 50, "Real images of each resolution, and as many synthetic ones."
)
_READERS = flags.DEFINE_list("readers", [], "Codes of the readers; name spare ones at once.")
_GROUPS = flags.DEFINE_list("groups", [], "Groups of readers, <reader>=<group>.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder of the deck.", required=True)
_KEY = flags.DEFINE_string("key", None, "File of the answers, outside of --output.", required=True)
_RELEASE = flags.DEFINE_string(
    "release", None, "Folder for the images of the deck that is there, with their answers."
)
_TITLE = flags.DEFINE_string("title", "Real or synthetic radiographs", "Headline of the pages.")
_MODE = flags.DEFINE_enum(
    "mode",
    "timed",
    ["timed", "unrestricted"],
    "timed: from low to high resolution, no going back. unrestricted: from high to low, without a "
    "limit, with zoom and going back.",
)
_SECONDS = flags.DEFINE_integer("seconds", None, "For each image in timed mode; 30 if not given.")
_ZOOM = flags.DEFINE_boolean("zoom", None, "Whether images can be enlarged; by mode if not given.")
_CONFIDENCE = flags.DEFINE_boolean("confidence", False, "Ask how sure readers are, 1 to 5.")
_REASONS = flags.DEFINE_list(
    "reasons",
    [],
    "What can be ticked as having given an image away, any of vessels, bones, waves, markers, "
    "other.",
)
_MASK_MARKERS = flags.DEFINE_boolean(
    "mask_markers",
    False,
    "Cover letters and blocks near the border in real and synthetic images alike (128 px and "
    "more); for record sets that were built without it.",
)
_ALLOW_MARKERS = flags.DEFINE_boolean(
    "allow_markers", False, "Build the deck although markers are not covered."
)
_EXCLUDE = flags.DEFINE_list(
    "exclude",
    [],
    "Names of images to replace by others, as the pages show them: of those in which somebody who "
    "reads no study has found a marker that is not covered.",
)
_SEED = flags.DEFINE_integer("seed", 0, "Of the draw and of the readers' orders.", lower_bound=0)


def _resolutions() -> list[int]:
    try:
        return sorted(int(text) for text in _RESOLUTIONS.value)
    except ValueError:
        raise ValueError(
            f"--resolutions wants numbers such as 256,512,1024, got {','.join(_RESOLUTIONS.value)}"
        ) from None


def _rules():
    from classifier import reader_deck

    timed = _MODE.value == "timed"
    return reader_deck.Rules(
        title=_TITLE.value,
        mode=_MODE.value,
        seconds=30 if timed and _SECONDS.value is None else _SECONDS.value,
        zoom=not timed if _ZOOM.value is None else _ZOOM.value,
        confidence=_CONFIDENCE.value,
        reasons=tuple(_REASONS.value),
    )


_SHARES_APART = 0.15  # of images with a finding, real against synthetic, that are warned of


def _build() -> None:
    from classifier import reader_checks, reader_deck, reader_files, reader_items
    from pgan import results
    from pgan.data import record_set

    # All that can be wrong in the flags is told before anything is read.
    rules, resolutions = _rules(), _resolutions()
    readers = reader_deck.parse_readers(_READERS.value, _GROUPS.value)
    reader_files.check_places(_OUTPUT.value, _KEY.value)
    real = record_set.RecordSet.open(_RECORDS.value)
    synthetic = record_set.RecordSet.open(_SYNTHETIC.value)
    warnings = reader_checks.require_alike(
        real, synthetic, _MASK_MARKERS.value, _ALLOW_MARKERS.value
    )
    items = reader_items.draw(
        [
            reader_items.Source(real, _FOLD.value, reader_items.REAL),
            reader_items.Source(synthetic, _SYNTHETIC_FOLD.value, reader_items.SYNTHETIC),
        ],
        resolutions,
        _COUNT.value,
        _SEED.value,
        _MASK_MARKERS.value,
        _EXCLUDE.value,
    )
    deck = reader_deck.deck(items, rules, readers)
    pages = reader_files.write(_OUTPUT.value, _KEY.value, deck, items, _SEED.value)

    found = reader_checks.separation(items)
    warnings += reader_checks.giveaways(found, _COUNT.value)
    print("how well simple statistics tell synthetic from real images, AUC (0.5: not at all):")
    rows = [
        [name, *(f"{values[name]:.2f}" for values in found.values())]
        for name in reader_checks.STATISTICS
    ]
    print(results.markdown_table(["statistic", *(f"{size} px" for size in found)], rows))
    shares = [
        reader_checks.with_findings(items, o) for o in (reader_items.REAL, reader_items.SYNTHETIC)
    ]
    print(f"with a finding: {shares[0]:.0%} of the real, {shares[1]:.0%} of the synthetic images")
    if abs(shares[0] - shares[1]) > _SHARES_APART:
        warnings.append(
            "findings are that much more frequent in one kind that a reader could answer by them; "
            "draw synthetic images for the labels of real ones (tools/synthesize_images.py "
            "--label_records)"
        )
    for text in warnings:
        print(f"WARNING: {text}", file=sys.stderr)
    print(
        f"deck {deck['deck']}: {len(items)} images, {len(pages)} pages of "
        f"{pages[0].stat().st_size / 1e6:,.1f} MB in {_OUTPUT.value}\n"
        f"key: {_KEY.value} (keep it from readers)"
    )


def _release() -> None:
    from classifier import reader_files

    folder = reader_files.release(_OUTPUT.value, _KEY.value, _RELEASE.value)
    print(f"release: {folder}\nanswers: {folder}/{reader_files.ANSWERS}")


def main() -> int | None:
    if _RELEASE.value:
        _release()
        return None
    if not (_RECORDS.value and _SYNTHETIC.value):
        raise app.UsageError("give --records and --synthetic, or --release of a deck that is there")
    _build()
    return None


if __name__ == "__main__":
    tool_main.run(main, continues=True)
