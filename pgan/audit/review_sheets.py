"""Sheets for reading: each synthetic image beside its nearest training images.

    sheets/index.html   the page, see `review_page`
    sheets/images.js    what it shows
    sheets/images_512px/    pictures of each image, one for the training image that is most alike
                        after alignment, one for each space: the synthetic image, its neighbours,
                        and the differences (grey: equal, bright: the synthetic image is brighter)

The folder needs nothing else and can be copied to the computer of a reader, inside the hospital:
it holds images of patients.
"""

import hashlib
import io
import json
import os
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np
import tqdm
from PIL import Image

from pgan.audit import copy_criterion, neighbour_spaces, procedure, review_page
from pgan.data import manifest, record_access, record_set

FOLDER = "sheets"

_ALIGNED = "aligned"  # the training image that is most alike after alignment
_GAP = 2  # px between the images of a strip


def difference(image: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Half the difference of two images around middle grey, uint8.

    Args:
        image: uint8 [H, W]; the result is bright where it is brighter.
        other: uint8 [H, W].
    """
    halves = (image.astype(np.int16) - other.astype(np.int16)) // 2
    return (halves + 128).astype(np.uint8)


def strip(image: np.ndarray, neighbours: Sequence[np.ndarray]) -> np.ndarray:
    """An image, its neighbours and the differences in a row, uint8 [H, (1 + 2k) W and gaps]."""
    cells = [image, *neighbours, *(difference(image, other) for other in neighbours)]
    gap = np.zeros((len(image), _GAP), np.uint8)
    return np.concatenate([part for cell in cells for part in (cell, gap)][:-1], axis=1)


def write(
    output: str | os.PathLike,
    result: procedure.Result,
    records: record_set.RecordSet,
    count: int,
    pixels: int,
    progress: bool = True,
) -> str:
    """Draws the sheets, or what of them is missing.

    Args:
        output: Folder of the audit.
        result: Its result.
        records: The real images.
        count: How many synthetic images are shown, those that are nearest to a training image.
        pixels: Side of an image on the sheets, at most; a power of two.
        progress: Whether to show a bar.

    Returns:
        Path of the page in the folder of the audit.

    Raises:
        ValueError: If the side is no power of two, or the real images lack it.
    """
    folder = pathlib.Path(output) / FOLDER
    synthetic, train = result.material.synthetic_full, result.material.train
    size = min(pixels, synthetic.shape[1])
    if size < 1 or synthetic.shape[1] % size:
        raise ValueError(f"--sheet_pixels must be a power of two, got {pixels}")
    # Pictures of another size have another folder.
    pictures = folder / f"images_{size}px"
    _require_own(pictures, result.report["facts"])
    chosen = np.sort(np.argsort(result.rank, kind="stable")[:count]).tolist()
    # What an image was suspected to copy need not be near without alignment, so it has a strip too.
    nearest = result.copies.nearest[:, np.newaxis]
    aligned = neighbour_spaces.Nearest(nearest, 1.0 - result.copies.similarity[:, np.newaxis])
    spaces = {_ALIGNED: aligned, **result.neighbours}
    files = {(name, i): pictures / f"{i:06d}_{name}.png" for i in chosen for name in spaces}
    missing = [key for key, path in files.items() if not path.exists()]
    reader = record_access.ImageReader(records, size, train.name)
    for name, i in tqdm.tqdm(missing, desc="Sheets", unit="img", disable=not progress):
        image = copy_criterion.reduced(synthetic[i : i + 1], size)[0]
        _save(files[name, i], strip(image, reader.read(spaces[name].positions[i])))
    shown = [
        {
            "number": i,
            "rank": int(result.rank[i]),
            "suspected": bool(result.suspected[i]),
            "similarity": float(result.copies.similarity[i]),
            "record": str(train.record_ids[result.copies.nearest[i]]),
            "strips": [
                {
                    "space": name,
                    "file": files[name, i].relative_to(folder).as_posix(),
                    "neighbours": [
                        {"record": str(train.record_ids[place]), "value": _shown(name, distance)}
                        for place, distance in zip(
                            found.positions[i], found.distances[i], strict=True
                        )
                    ],
                }
                for name, found in spaces.items()
            ],
        }
        for i in chosen
    ]
    title = f"Synthetic images of {result.report['facts']['generator']}"
    facts: dict[str, Any] = {"title": title, "pixels": size, "images": shown}
    text = json.dumps(facts, sort_keys=True)
    # Marks belong to these images with these neighbours.
    facts["id"] = hashlib.sha256(text.encode()).hexdigest()[:16]
    # In a script, "</" could end it.
    content = json.dumps(facts).replace("</", "<\\/")
    manifest.write_text(folder / "images.js", f"const AUDIT = {content};\n")
    manifest.write_text(folder / "index.html", review_page.PAGE)
    return f"{FOLDER}/index.html"


def _require_own(pictures: pathlib.Path, facts: dict[str, Any]) -> None:
    """Makes the folder of pictures, without those of another audit, which have the same names."""
    text = json.dumps(facts, sort_keys=True) + "\n"
    identity = pictures / "audit.json"
    if pictures.exists() and not (identity.exists() and identity.read_text() == text):
        shutil.rmtree(pictures)
    pictures.mkdir(parents=True, exist_ok=True)
    manifest.write_text(identity, text)


def _shown(space: str, distance: float) -> float:
    """SSIM itself is what people know; of features there are only distances."""
    return round(float(1.0 - distance if space in ("ssim", _ALIGNED) else distance), 4)


def _save(path: pathlib.Path, picture: np.ndarray) -> None:
    with io.BytesIO() as file:
        Image.fromarray(picture).save(file, "PNG")
        content = file.getvalue()
    beside = path.with_name(path.name + ".tmp")
    beside.write_bytes(content)
    os.replace(beside, path)
