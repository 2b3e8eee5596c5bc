"""Planted letters and text lines on phantoms; how much of them is masked, and what of the lungs."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pgan.data import markers, phantom


def planted(image, rng):
    """A letter or a line of text in a corner or at a side, and where it is."""
    size = image.shape[0]
    layer = Image.new("L", (size, size), 0)
    draw = ImageDraw.Draw(layer)
    text = rng.choice(["L", "R", "AP", "PORTABLE", "PA ERECT", "12:45"])
    height = int(size * rng.uniform(0.03, 0.06))
    font = ImageFont.load_default(height)
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    x = rng.choice([0.02 * size, 0.98 * size - (right - left)])
    y = rng.uniform(0.02, 0.08) * size
    draw.text((x - left, y - top), text, fill=255, font=font)
    ink = np.asarray(layer) / 255.0
    grey = rng.uniform(225, 255)
    return np.rint(image * (1 - ink) + grey * ink).astype(np.uint8), ink > 0.5


def test_planted_marks_are_masked_and_lungs_are_not_touched():
    rng = np.random.default_rng(0)
    covered, ink_total, touched, lungs_total = 0, 0, 0, 0
    for patient in range(16):
        image, truth = phantom.draw_with_truth(patient=patient, seed=5, size=512)
        marked, ink = planted(image, rng)
        for picture, where in ((marked, ink), (image, None)):
            found = markers.find(picture)
            touched += (found & truth.lungs).sum()
            lungs_total += truth.lungs.sum()
            if where is not None:
                covered += (found & where).sum()
                ink_total += where.sum()
    assert covered / ink_total >= 0.95
    assert touched / lungs_total < 0.001


def test_the_image_beside_the_marks_is_not_changed():
    image = phantom.draw(patient=3, seed=5, size=256)
    masked, found = markers.mask(image)
    assert masked.dtype == image.dtype and masked.shape == image.shape
    near = found.copy()
    for axis in (0, 1):
        for shift in range(-4, 5):
            near |= np.roll(found, shift, axis)
    np.testing.assert_array_equal(masked[~near], image[~near])
