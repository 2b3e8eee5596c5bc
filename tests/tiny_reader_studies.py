"""Small decks with their keys, and files of answers to them."""

import json

from classifier import reader_answers, reader_deck, reader_page

GROUPS = {"r1": "CV experts", "r2": "CV experts", "r3": "CV experts",
          "r4": "radiologists", "r5": "radiologists", "r6": "radiologists"}  # fmt: skip


def write_deck(folder, images=10, resolutions=(256, 512), groups=GROUPS, deck_id="ab12", **facts):
    """Writes deck.json and key.json of as many synthetic as real images; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    truth = {
        f"{resolution}-{number:03}": {
            "resolution": resolution,
            "origin": "synthetic" if number % 2 else "real",
            "image_id": f"image{number}",
            "findings": ["Mass"] if number == 1 else [],
            "source": "phantoms",
        }
        for resolution in resolutions
        for number in range(2 * images)
    }
    deck = {
        "format": reader_deck.DECK_FORMAT,
        "deck": deck_id,
        "title": "Tiny",
        "mode": "timed",
        "seconds": 30,
        "zoom": False,
        "confidence": True,
        "reasons": ["bones", "waves"],
        "resolutions": list(resolutions),
        "readers": {code: {"group": group} for code, group in groups.items()},
        "items": {
            str(resolution): sorted(
                n for n, one in truth.items() if one["resolution"] == resolution
            )
            for resolution in resolutions
        },
        **facts,
    }
    key = {"format": reader_deck.KEY_FORMAT, "deck": deck_id, "items": truth}
    (folder / "deck.json").write_text(json.dumps(deck))
    (folder / "key.json").write_text(json.dumps(key))
    return folder


def answers(folder, reader, wrong=(), timed_out=(), skipped=(), ticks=(), quick=(), **background):
    """Content of a file: right but for the images in `wrong`, 4 s and a confidence of 3 each."""
    deck, key = (json.loads((folder / f"{name}.json").read_text()) for name in ("deck", "key"))
    given = []
    for resolution, items in deck["items"].items():
        for item in items:
            if item in skipped:
                continue
            others = {"real": "synthetic", "synthetic": "real"}
            answer = key["items"][item]["origin"]
            answer = None if item in timed_out else others[answer] if item in wrong else answer
            given.append(
                {
                    "item": item,
                    "resolution": int(resolution),
                    "position": len(given),
                    "answer": answer,
                    "confidence": None if answer is None else 3,
                    "milliseconds": 30000 if answer is None else 199 if item in quick else 4000,
                    "reasons": ["waves"] if item in ticks else [],
                }
            )
    return sign(
        {
            "format": reader_answers.ANSWERS_FORMAT,
            "deck": deck["deck"],
            "reader": reader,
            "mode": deck["mode"],
            "background": {"group": GROUPS.get(reader), "years": 4, **background},
            "started": "2024-01-01T09:00:00Z",
            "finished": "2024-01-01T09:30:00Z",
            "answers": given,
        }
    )


def sign(content):
    """The content with its digest."""
    return {**content, "digest": reader_page.digest(content)}


def write(path, content):
    """Writes a file of answers; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path
