"""Features of the images of an audit, computed once and kept part by part."""

import os

import numpy as np
import tqdm

from pgan.metrics import features
from pgan.search import block_store

_IMAGES = 512  # of which features are computed between two saves


def extract(
    extractor: features.Extractor,
    images: np.ndarray,
    folder: str | os.PathLike,
    what: str,
    progress: bool = True,
) -> np.ndarray:
    """Computes the features of images, or reads those that were kept.

    Args:
        extractor: The features.
        images: uint8 [N, R, R], an array or a memory map.
        folder: Where the features are kept, part by part.
        what: Whose images, for the bar.
        progress: Whether to show it.

    Returns:
        float32 [N, D].

    Raises:
        ValueError: If a feature is not finite, or the extractor refuses the images.
    """
    kept = block_store.Folder(folder, {"features": extractor.facts, "images": len(images)})
    parts = []
    bar = tqdm.tqdm(total=len(images), desc=f"Features, {what}", unit="img", disable=not progress)
    with bar:
        for number, start in enumerate(range(0, len(images), _IMAGES)):
            name = f"features_{number:06d}"
            part = kept.load(name)
            if part is None:
                part = {"features": extractor(np.asarray(images[start : start + _IMAGES]))}
                if not np.isfinite(part["features"]).all():
                    raise ValueError(f"{extractor.name}: features of {what} are not finite")
                kept.save(name, part)
            parts.append(part["features"])
            bar.update(len(parts[-1]))
    return np.concatenate(parts)
