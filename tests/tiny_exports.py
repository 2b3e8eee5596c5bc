"""Folders of trained classifiers that were not trained, and image files, for tests of exports."""

import dataclasses
import io
import json
import pathlib

import numpy as np
from PIL import Image

from classifier import config, model
from pgan.data import phantom, pyramid

FINDINGS = ("Effusion", "Mass", "Hernia")
SETTINGS = config.ClassifierConfig(resolution=32, weights="random")
PREPARATION = {"geometry": "pad", "mask_markers": False, "window": "auto"}


def save_classifier(
    folder: pathlib.Path, thresholds=(0.4, 0.5, float("nan")), preparation=PREPARATION, **changes
) -> pathlib.Path:
    """A folder as `training.train` leaves it, with random weights.

    Those of the last layer are large, so that images have different probabilities.
    """
    settings = dataclasses.replace(SETTINGS, **changes)
    classifier = model.Classifier(FINDINGS, settings)
    features = classifier.features(chests(8, settings.resolution)).numpy()
    kernel = np.random.default_rng(1).normal(size=classifier.head.kernel.shape)
    kernel /= (features @ kernel).std(axis=0)
    classifier.head.set_weights([kernel, -(features @ kernel).mean(axis=0)])
    folder.mkdir(parents=True)
    classifier.save_weights(str(folder / "best.weights.h5"))
    content = {
        "findings": list(FINDINGS),
        "settings": {k: v for k, v in settings.to_dict().items() if k != "strategy"},
        "training_images": 10,
        "validation_images": 5,
        "about": {"arm": "real", "composition": {"real: nih, positive": 10}},
        "preparation": preparation,
        "initial_weights": {"name": "random", "sha256": ""},
        "thresholds": list(thresholds),
        "epochs": 2,
        "best_epoch": 1,
        "history": [{"loss": 0.5, "val_loss": 0.6}, {"loss": 0.4, "val_loss": 0.7}],
    }
    (folder / "classifier.json").write_text(json.dumps(content))
    return folder


def chests(count: int, size: int = 32) -> np.ndarray:
    """Drawn chests uint8 [N, size, size, 1]."""
    drawn = phantom.read(count, seed=5, size=pyramid.level_above(size))
    images = np.stack([np.asarray(image.load()) for image in drawn])
    return pyramid.scale_down(images, size)[..., np.newaxis]


def encode(pixels: np.ndarray | Image.Image, kind: str = "PNG", **settings) -> bytes:
    """Content of an image file."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    with io.BytesIO() as stream:
        image.save(stream, kind, **settings)
        return stream.getvalue()


def image_files() -> dict[str, bytes]:
    """Files of a chest of 128 x 141 px in all kinds that exports take."""
    rng = np.random.default_rng(0)
    chest = np.pad(chests(1, 128)[0, ..., 0], ((0, 0), (5, 8)), mode="edge")
    grey = np.clip(chest + rng.normal(0, 15, chest.shape), 0, 255).astype(np.uint8)
    colour = np.stack([grey, np.roll(grey, 3, axis=0), np.roll(grey, 7, axis=1)], axis=-1)
    deep = (chest.astype(np.float64) ** 1.3 * 8 + rng.integers(0, 300, chest.shape)) + 500
    return {
        "grey.png": encode(grey),
        "grey.jpg": encode(grey, "JPEG", quality=90),
        "progressive.jpg": encode(grey, "JPEG", progressive=True),
        "equal_channels.png": encode(np.repeat(grey[..., np.newaxis], 3, axis=-1)),
        "colour.png": encode(colour),
        "colour.jpg": encode(colour, "JPEG", quality=85),
        "alpha.png": encode(np.concatenate([colour, grey[..., np.newaxis]], axis=-1)),
        "grey_alpha.png": encode(Image.merge("LA", [Image.fromarray(c) for c in (grey, chest)])),
        "palette.png": encode(Image.fromarray(colour).quantize(64)),
        "one_bit.png": encode(Image.fromarray(grey).convert("1")),
        "sixteen_bits.png": encode(deep.astype(np.uint16)),
    }
