"""One reader's page of a reader study: a file that any browser shows without a network.

It holds the images as they are in the deck, and what its reader may know. Answers are kept in the
browser while the study goes on and saved by the reader as a result file at the end.

    {"format": "reader answers 1", "deck", "reader", "mode", "background": {...}, "started",
     "finished", "answers": [{"item", "resolution", "position", "answer", "confidence",
     "milliseconds", "reasons"}], "digest"}

The digest is `digest` of all the rest. It shows accidental or casual edits only: whoever edits on
purpose can compute it anew, in the page or here.
"""

import base64
import hashlib
import json
import os
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_HERE = pathlib.Path(__file__).parent
_SCRIPTS = ("reader_digest.js", "reader_state.js", "reader_page.js", "reader_input.js")
_PLACE = re.compile(r"\{\{(style|study|images|script)\}\}\n?")
_IMAGE = re.compile(r'<script id="image-([0-9a-f]+)" type="text/plain">([A-Za-z0-9+/=]+)</script>')


def canonical(content: Any) -> str:
    """JSON text that is the same for the same content; the page's script writes it too."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(content: Mapping[str, Any]) -> str:
    """Hex SHA-256 of the canonical JSON of an object without its entry "digest"."""
    rest = {name: value for name, value in content.items() if name != "digest"}
    return hashlib.sha256(canonical(rest).encode("ascii")).hexdigest()


def order(deck: Mapping[str, Any], reader: str, seed: int) -> list[dict[str, Any]]:
    """What a reader is shown: resolutions in the order of the mode, images shuffled within each.

    Timed decks go from low to high resolution, so that what betrays large images is not known when
    the small ones are read; unrestricted ones the other way, as in the paper's last test.

    Args:
        deck: Content of deck.json.
        reader: Code of the reader.
        seed: With the reader's code decides the order.

    Returns:
        [{"resolution": R, "items": [names]}].
    """
    blocks = []
    for resolution in sorted(deck["resolutions"], reverse=deck["mode"] == "unrestricted"):

        def rank(name, resolution=resolution):
            text = f"{seed} {reader} {resolution} {name}"
            return hashlib.sha256(text.encode()).digest()

        items = sorted(deck["items"][str(resolution)], key=rank)
        blocks.append({"resolution": resolution, "items": items})
    return blocks


def parts(
    deck: Mapping[str, Any],
    reader: str,
    blocks: Sequence[Mapping[str, Any]],
    images: Mapping[str, str],
) -> Iterator[str]:
    """Yields the text of a page, piece by piece, since it can have hundreds of megabytes.

    Args:
        deck: Content of deck.json.
        reader: Code of one of its readers.
        blocks: From `order`.
        images: Base64 of the PNG of every item.
    """
    names = ("deck", "title", "mode", "seconds", "zoom", "confidence", "reasons")
    study = {name: deck[name] for name in names}
    study |= {"reader": reader, "group": deck["readers"][reader]["group"], "blocks": blocks}
    template = _read("reader_page.html")
    end = 0
    for place in _PLACE.finditer(template):
        yield template[end : place.start()]
        end = place.end()
        if place[1] == "style":
            yield _read("reader_page.css")
        elif place[1] == "script":
            yield "\n".join(map(_read, _SCRIPTS))
        elif place[1] == "study":
            # No "</script>" of a title may end the element.
            yield json.dumps(study).replace("<", "\\u003c")
        else:
            # In the order of their names, which says nothing. An element each, so that no script
            # has to take all of them at once.
            for name in sorted(images):
                yield f'<script id="image-{name}" type="text/plain">{images[name]}</script>\n'
    yield template[end:]


def write(path: pathlib.Path, texts: Iterator[str]) -> None:
    """Writes a page, whole or not at all."""
    beside = path.with_name(f".{path.name}.tmp")
    try:
        with open(beside, "w", encoding="utf-8") as file:
            file.writelines(texts)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def read_images(path: pathlib.Path) -> dict[str, bytes]:
    """PNG of every item of a page, by its name."""
    with open(path, encoding="utf-8") as file:
        found = (_IMAGE.match(line) for line in file)
        return {match[1]: base64.b64decode(match[2]) for match in found if match}


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
