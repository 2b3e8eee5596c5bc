"""The deck of a reader study: which images are shown, and which of them are real.

The paper's test <Methods, "Reader study">: per resolution 50 real and 50 synthetic radiographs in
random order, from low to high resolution, all different, markers covered, 30 s each.

deck.json, for everybody, says nothing about which is which:
    {"format": "reader deck 1", "deck": id, "title", "mode": "timed" or "unrestricted", "seconds",
     "zoom", "confidence", "reasons", "resolutions": [...], "readers": {code: {"group"}},
     "items": {resolution: [names, sorted]}}
key.json, for those who score:
    {"format": "reader key 1", "deck": id, "items": {name: {"resolution", "origin", "image_id",
     "findings", "source"}}}

Items stand in the order of their names, which are hashes.
"""

import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from classifier import reader_items, reader_page

DECK_FORMAT, KEY_FORMAT = "reader deck 1", "reader key 1"
MODES = ("timed", "unrestricted")
REASONS = ("vessels", "bones", "waves", "markers", "other")

_CODE = re.compile(r"[A-Za-z0-9_-]{1,32}")


@dataclasses.dataclass(frozen=True)
class Rules:
    """What readers may do.

    Attributes:
        title: Headline of the pages.
        mode: "timed": low to high resolution, no going back; "unrestricted": high to low
            resolution, no time limit, going back.
        seconds: Per image; None if unrestricted.
        zoom: Whether images can be enlarged.
        confidence: Whether 1 to 5 is asked for.
        reasons: What can be ticked as having given an image away, of `REASONS`.
    """

    title: str = "Real or synthetic radiographs"
    mode: str = "timed"
    seconds: int | None = 30
    zoom: bool = False
    confidence: bool = False
    reasons: tuple[str, ...] = ()

    def __post_init__(self):
        """Checks the values.

        Raises:
            ValueError: If one is not among those described above.
        """
        if self.mode not in MODES:
            raise ValueError(f"--mode must be one of {', '.join(MODES)}, got {self.mode!r}")
        if self.mode == "timed" and (self.seconds is None or self.seconds < 1):
            raise ValueError(f"--seconds must be at least 1 in timed mode, got {self.seconds}")
        if self.mode == "unrestricted" and self.seconds is not None:
            raise ValueError(f"unrestricted mode has no limit, but --seconds is {self.seconds}")
        unknown = [reason for reason in self.reasons if reason not in REASONS]
        if unknown:
            raise ValueError(f"--reasons takes {', '.join(REASONS)}; got {unknown[0]!r}")


def deck(
    items: Sequence[reader_items.Item], rules: Rules, readers: Mapping[str, str]
) -> dict[str, Any]:
    """Content of deck.json.

    Args:
        items: From `reader_items.draw`.
        rules: What readers may do.
        readers: Group of each reader by code.
    """
    resolutions = sorted({item.resolution for item in items})
    content = {
        "format": DECK_FORMAT,
        **dataclasses.asdict(rules),
        "reasons": list(rules.reasons),
        "resolutions": resolutions,
        "readers": {code: {"group": group} for code, group in readers.items()},
        "items": {
            str(resolution): sorted(item.name for item in items if item.resolution == resolution)
            for resolution in resolutions
        },
    }
    text = reader_page.canonical(content)
    return {"deck": hashlib.sha256(text.encode()).hexdigest()[:16], **content}


def key(deck_id: str, items: Sequence[reader_items.Item]) -> dict[str, Any]:
    """Content of key.json."""
    return {
        "format": KEY_FORMAT,
        "deck": deck_id,
        "items": {
            item.name: {
                "resolution": item.resolution,
                "origin": item.origin,
                "image_id": item.image_id,
                "findings": list(item.findings),
                "source": item.source,
            }
            for item in items
        },
    }


def parse_readers(codes: Sequence[str], groups: Sequence[str]) -> dict[str, str]:
    """Group of each reader by code, "" for those without.

    Args:
        codes: Such as ["cv1", "rad1"].
        groups: Such as ["cv1=computer vision", "rad1=radiology"].

    Raises:
        ValueError: If a code is no plain one or comes twice, or a group is of no reader.
    """
    if not codes:
        raise ValueError("a study needs readers; give --readers=cv1,cv2,rad1")
    readers = {}
    for code in codes:
        if not _CODE.fullmatch(code):
            raise ValueError(
                f"--readers: a code has 1 to 32 letters, digits, '_' or '-', got {code!r}"
            )
        # Pages are files, and some systems know no capitals in their names.
        if code.lower() in map(str.lower, readers):
            raise ValueError(
                f"--readers names {code!r} twice; each reader needs a code of their own"
            )
        readers[code] = ""
    for entry in groups:
        code, equals, group = entry.partition("=")
        if not equals or code not in readers:
            raise ValueError(
                f"--groups wants <reader>=<group> with readers {', '.join(readers)}, got {entry!r}"
            )
        readers[code] = group.strip()
    return readers
