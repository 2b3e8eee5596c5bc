"""The files of a reader study: deck and pages in one folder, the key elsewhere, and their release.

    deck.json              what the study is, without the answers
    reader_<code>.html     what each reader gets, and nothing else

A release, for publication after the study:
    images/0256/<name>.png     synthetic ones are marked as such in their metadata
    answers.csv                which are real
    deck.json
"""

import base64
import csv
import io
import json
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tqdm
from PIL import Image

from classifier import reader_deck, reader_items, reader_page
from pgan import run_folder, synthetic_mark
from pgan.data import manifest, pyramid

DECK = "deck.json"
ANSWERS = "answers.csv"


def check_places(output: str | os.PathLike, key: str | os.PathLike) -> None:
    """Raises ValueError if the key would lie in the folder that readers get.

    Args:
        output: Folder of the deck.
        key: File of the key.
    """
    folder, file = pathlib.Path(output).resolve(), pathlib.Path(key).resolve()
    if file.is_relative_to(folder):
        raise ValueError(
            f"--key={key} lies in the folder of the deck, which is given to readers; give a file "
            "elsewhere, such as --key=keys/reader_study.json"
        )
    if file.is_dir():
        raise ValueError(f"--key={key} is a folder; give the name of a file")
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--output={output} is a file; give the name of a folder")


def write(
    output: str | os.PathLike,
    key_path: str | os.PathLike,
    deck: Mapping[str, Any],
    items: Sequence[reader_items.Item],
    seed: int,
    progress: bool = True,
) -> list[pathlib.Path]:
    """Writes key, deck and pages, or again what of the same deck is there.

    Args:
        output: Folder of the deck.
        key_path: File of the key, which only its owner may read.
        deck: From `reader_deck.deck`.
        items: Those of the deck.
        seed: Of the readers' orders.
        progress: Whether to show a bar.

    Returns:
        The pages.

    Raises:
        ValueError: If another deck or another key is there.
    """
    check_places(output, key_path)
    folder, key_path = pathlib.Path(output), pathlib.Path(key_path)
    _require_same(folder, key_path, deck["deck"])
    key = reader_deck.key(deck["deck"], items)
    # A deck without its key is worthless, the key without a deck is not.
    _write_private(key_path, json.dumps(key, indent=1) + "\n")
    folder.mkdir(parents=True, exist_ok=True)
    run_folder.write_atomically(folder / DECK, json.dumps(deck, indent=1) + "\n")
    images = {item.name: base64.b64encode(item.png).decode() for item in items}
    pages = []
    for reader in tqdm.tqdm(deck["readers"], "Writing pages", unit="page", disable=not progress):
        pages.append(folder / f"reader_{reader}.html")
        blocks = reader_page.order(deck, reader, seed)
        reader_page.write(pages[-1], reader_page.parts(deck, reader, blocks, images))
    return pages


def release(
    deck_folder: str | os.PathLike,
    key_path: str | os.PathLike,
    output: str | os.PathLike,
    progress: bool = True,
) -> pathlib.Path:
    """Writes a deck with its answers for publication.

    Ids of records are left out: those of real images are pseudonyms of patients' images.

    Args:
        deck_folder: Folder of the deck with at least one page.
        key_path: File of the key.
        output: Folder of the release, new.
        progress: Whether to show a bar.

    Returns:
        Path of the folder.

    Raises:
        ValueError: If deck, pages and key do not belong together, or the folder is there.
    """
    output = pathlib.Path(output)
    if output.exists():
        raise ValueError(f"{output} is there already; give --release a new folder")
    folder = pathlib.Path(deck_folder)
    deck = _read_json(folder / DECK, reader_deck.DECK_FORMAT, "deck")
    key = _read_json(pathlib.Path(key_path), reader_deck.KEY_FORMAT, "key")
    if key["deck"] != deck["deck"]:
        raise ValueError(f"{key_path} is the key of deck {key['deck']}, not of {deck['deck']}")
    pages = [folder / f"reader_{reader}.html" for reader in deck["readers"]]
    page = next((page for page in pages if page.exists()), None)
    if page is None:
        raise ValueError(f"{folder} has no page (reader_<code>.html); the images are taken from it")
    images = reader_page.read_images(page)
    if images.keys() != key["items"].keys():
        raise ValueError(f"{page} and {key_path} name other images; build the deck again")
    beside = output.with_name(f".{output.name}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    rows = []
    for name in tqdm.tqdm(sorted(images), "Writing images", unit="img", disable=not progress):
        facts = key["items"][name]
        path = f"images/{facts['resolution']:04d}/{name}.png"
        (beside / path).parent.mkdir(parents=True, exist_ok=True)
        (beside / path).write_bytes(_for_release(images[name], facts["origin"]))
        findings = "|".join(facts["findings"])
        rows.append([path, facts["resolution"], facts["origin"], findings, facts["source"]])
    rows.sort(key=lambda row: (row[1], row[0]))
    with open(beside / ANSWERS, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["path", "resolution", "answer", "findings", "source"])
        table.writerows(rows)
    # Readers' groups and codes are nobody's business.
    public = {name: value for name, value in deck.items() if name != "readers"}
    manifest.write_json(beside / DECK, public)
    os.rename(beside, output)
    return output


def _require_same(folder: pathlib.Path, key_path: pathlib.Path, deck_id: str) -> None:
    """Raises ValueError if something else is at the places of a deck and its key."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / DECK).exists():
            raise ValueError(f"{folder} is not empty and holds no deck; give another --output")
        there = _read_json(folder / DECK, reader_deck.DECK_FORMAT, "deck")["deck"]
        if there != deck_id:
            raise ValueError(
                f"{folder} holds another deck ({there}, asked for is {deck_id}); give another "
                "--output, or the same flags to write the same deck again. A deck that readers "
                "have seen cannot change, not even by a further reader: name spare ones at once."
            )
    if key_path.exists():
        there = _read_json(key_path, reader_deck.KEY_FORMAT, "key")["deck"]
        if there != deck_id:
            raise ValueError(f"{key_path} is the key of another deck ({there}); give another --key")


def _read_json(path: pathlib.Path, kind: str, what: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(
            f"{path} is not there; it should be the {what} of a reader study"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not the {what} of a reader study: {error}") from None
    if not isinstance(content, dict) or content.get("format") != kind:
        raise ValueError(f"{path} is not the {what} of a reader study (format {kind!r})")
    return content


def _write_private(path: pathlib.Path, text: str) -> None:
    """Writes a file, whole or not at all, that nobody else can read at any time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.tmp")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def _for_release(png: bytes, origin: str) -> bytes:
    """The image as a compressed PNG that says if it is synthetic."""
    pixels = np.asarray(Image.open(io.BytesIO(png), formats=["PNG"]))
    compressed = pyramid.encode(pixels, "png")
    if origin != reader_items.SYNTHETIC:
        return compressed
    texts = {"Warning": synthetic_mark.WARNING, "synthetic": "true"}
    return synthetic_mark.mark(compressed, texts)
