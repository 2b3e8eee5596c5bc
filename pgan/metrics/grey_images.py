"""The form of images that measures without a feature network take."""

import numpy as np


def require(images: np.ndarray, resolution: int) -> np.ndarray:
    """Returns images as they are, if they have the form.

    Args:
        images: uint8 [N, R, R], grey.
        resolution: R.

    Raises:
        ValueError: If dtype or shape is another.
    """
    images = np.asarray(images)
    shape = (resolution, resolution)
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != shape:
        raise ValueError(
            f"images must be uint8 [N, {resolution}, {resolution}], one grey channel, got "
            f"{images.dtype} {list(images.shape)}"
        )
    return images
