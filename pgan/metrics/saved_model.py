"""Features of a model of one's own, saved with a signature for them."""

import os
import pathlib
import re
from typing import Any

import numpy as np
import tensorflow as tf

from pgan.metrics import features, weight_files


class SavedModelExtractor:
    """A SavedModel's signature `features`, for instance of a classifier of radiographs.

    The signature takes one tensor [N, H, W, 1] of grey levels 0 to 255, uint8 or float32, N free:
    resizing, scaling and channels are its own business. It returns one tensor, floating [N, D],
    where each row depends on its own image only. In TensorFlow:

        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 1], tf.uint8)])
        def features(images): ...
        tf.saved_model.save(module, folder, signatures={"features": features})

    The name is that of the folder (of a version folder, its parent's too) with the beginning of the
    fingerprint, such as `densenet_1_3f2a9c01`.

    Attributes:
        fingerprint: Hex SHA-256 of the graph, variables and assets.
    """

    def __init__(self, path: str | os.PathLike, sha256: str | None = None):
        """Loads the model.

        Args:
            path: Folder with saved_model.pb.
            sha256: Fingerprint that it must have; None takes the model as it is.

        Raises:
            OSError: If it cannot be read.
            ValueError: If it is another model, or its signature is not as above.
        """
        folder = pathlib.Path(path).resolve()
        if not (folder / "saved_model.pb").is_file():
            raise FileNotFoundError(
                f"{path} is no SavedModel: it has no saved_model.pb; give "
                "saved_model:/path/to/<folder with saved_model.pb>"
            )
        self.fingerprint = weight_files.fingerprint(folder)
        weight_files.compare(self.fingerprint, sha256, path)
        title = f"{folder.parent.name}_{folder.name}" if folder.name.isdigit() else folder.name
        title = re.sub(r"[^A-Za-z0-9]+", "_", title).strip("_").lower()
        self.name = f"{title}_{self.fingerprint[:8]}"
        self.facts = {
            "network": title,
            "sha256": self.fingerprint,
            "variant": "signature features",
        }
        self._path = path
        self._model = tf.saved_model.load(str(folder))  # Keeps the signature's variables alive.
        self._signature = self._checked_signature()

    @property
    def dimension(self) -> int | None:
        """Entries of a feature vector; None before the first if the signature leaves them open."""
        return self._dimension

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Computes features; see `features.Extractor`.

        Raises:
            ValueError: If images are not of the size that the signature takes, it refuses them, or
                what it returns is not finite, not [N, D], or of another D than before.
        """
        images = features.checked(images)
        if not self._spec.shape[1:3].is_compatible_with(images.shape[1:]):
            raise ValueError(
                f"the signature features of {self._path} takes images of "
                f"{list(self._spec.shape[1:3])} px, got {list(images.shape[1:])}; export one that "
                "takes any size and resizes them itself"
            )
        return features.in_parts(self._features, images, self._dimension)

    def _checked_signature(self):
        known = dict(self._model.signatures)
        if "features" not in known:
            raise ValueError(
                f"{self._path} has no signature 'features', only "
                f"{sorted(known) or 'none at all'}; save it with signatures={{'features': ...}}"
            )
        signature = known["features"]
        inputs = signature.structured_input_signature[1]
        outputs = signature.structured_outputs
        specs = list(inputs.values())
        fits = (
            len(specs) == len(outputs) == 1
            and specs[0].dtype in (tf.uint8, tf.float32)
            and specs[0].shape.is_compatible_with([None, None, None, 1])
            and specs[0].shape.rank == 4
            and specs[0].shape[0] is None
        )
        if fits:
            (self._input, self._spec), (self._output, output) = *inputs.items(), *outputs.items()
            fits = output.dtype.is_floating and output.shape.is_compatible_with([None, None])
        if not fits:
            raise ValueError(
                f"the signature features of {self._path} must take one uint8 or float32 "
                f"[N, H, W, 1] and return one float [N, D], N free; it takes {_listed(inputs)} and "
                f"returns {_listed(outputs)}"
            )
        self._dimension = output.shape[1] if output.shape.rank == 2 else None
        return signature

    def _features(self, images):
        tensor = tf.cast(tf.constant(images[..., np.newaxis]), self._spec.dtype)
        where = f"the signature features of {self._path}"
        try:
            found = self._signature(**{self._input: tensor})[self._output].numpy()
        except tf.errors.InvalidArgumentError as error:
            lines = error.message.splitlines()
            reason = next((line for line in lines if "assertion failed" in line), lines[0])
            size = list(images.shape[1:])
            raise ValueError(f"{where} refuses images of {size} px: {reason.strip()}") from None
        found = found.astype(np.float32)
        if found.ndim != 2 or len(found) != len(images):
            raise ValueError(
                f"{where} returned shape {list(found.shape)} for {len(images)} images, wanted "
                f"[{len(images)}, D]"
            )
        if self._dimension not in (None, found.shape[1]):
            raise ValueError(
                f"{where} returned {found.shape[1]} entries, before that {self._dimension}"
            )
        if not np.isfinite(found).all():
            raise ValueError(f"{where} returned values that are not finite")
        self._dimension = found.shape[1]
        return found


def _listed(tensors: dict[str, Any]) -> str:
    return (
        ", ".join(f"{name}: {t.dtype.name} {t.shape}" for name, t in tensors.items()) or "nothing"
    )
