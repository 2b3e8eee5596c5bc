"""Two ways to say which images are near: SSIM, and the features of an extractor.

Both answer the same question, for the same sets of images:

    synthetic   the synthetic images, and behind them the planted copies
    train       the training fold
    members     the images of the training fold that are compared with as many others
    others      as many images of the held-out fold
    pool        members, then others
"""

import abc
import dataclasses
import os
import pathlib
from collections.abc import Callable

import numpy as np

from pgan.audit import comparison_sets, feature_store
from pgan.data import record_set
from pgan.metrics import features
from pgan.search import block_store, feature_neighbours, similar_images

# Pixels that may be compared to measure the recall of the search, and images it is measured with.
_RECALL_PIXELS = 6e10
_RECALL_IMAGES = (16, 64)


@dataclasses.dataclass(frozen=True)
class Nearest:
    """Nearest images.

    Attributes:
        positions: int64 [Q, k], places in the set that was searched, nearest first.
        distances: float64 [Q, k]; by SSIM it is 1 - SSIM.
    """

    positions: np.ndarray
    distances: np.ndarray


class Space(abc.ABC):
    """Searches of an audit; each is done once and kept.

    Attributes:
        name: Part of the names of numbers.
    """

    def __init__(
        self,
        name: str,
        material: comparison_sets.Material,
        plants: np.ndarray,
        folder: str | os.PathLike,
        progress: bool = True,
    ):
        """Takes the images.

        Args:
            name: See the class.
            material: The images of the audit.
            plants: uint8 [P, S, S], planted copies.
            folder: Where results are kept.
            progress: Whether to show bars.
        """
        self.name = name
        self._folder, self._progress = pathlib.Path(folder), progress
        self._material = material
        pairs = material.pairs
        members = material.train.images[pairs.members]
        others = material.held_out.images[pairs.others]
        self._images = {
            "synthetic": np.concatenate([np.asarray(material.synthetic), plants]),
            "only_synthetic": material.synthetic,
            "train": material.train.images,
            "members": members,
            "others": others,
            "pool": np.concatenate([members, others]),
        }
        self._kept = block_store.Folder(self._folder / "results", {"space": name})

    def synthetic_to_train(self, k: int) -> Nearest:
        """Of each synthetic image and planted copy, the k nearest training images."""
        return self._keep("synthetic_to_train", lambda: self._search("synthetic", "train", k))

    def others_to_train(self) -> Nearest:
        """Of each of the others, the nearest training image."""
        return self._keep("others_to_train", lambda: self._search("others", "train", 1))

    def synthetic_to_pool(self) -> Nearest:
        """Of each synthetic image, the nearest of members and others."""
        return self._keep("to_pool", lambda: self._search("only_synthetic", "pool", 1))

    def pool_to_synthetic(self) -> Nearest:
        """Of members and others, the nearest synthetic image."""
        return self._keep("of_pool", lambda: self._search("pool", "only_synthetic", 1))

    def train_to_other_patients(self, positions: np.ndarray) -> Nearest:
        """Of some training images, the nearest training image of another patient.

        Args:
            positions: int64 [N], places in the training fold; the same in every call.
        """
        return self._keep("other_patients", lambda: self._search_other_patients(positions))

    def _keep(self, name: str, find: Callable[[], Nearest]) -> Nearest:
        kept = self._kept.load(name)
        if kept is None:
            kept = dataclasses.asdict(find())
            self._kept.save(name, kept)
        return Nearest(**kept)

    @abc.abstractmethod
    def _search(self, queries: str, reference: str, k: int) -> Nearest:
        """Of each image of one set, the k nearest of another."""

    @abc.abstractmethod
    def _search_other_patients(self, positions: np.ndarray) -> Nearest:
        """See `train_to_other_patients`."""


class SSIMSpace(Space):
    """SSIM, by the search of `pgan.search`."""

    def __init__(
        self,
        records: record_set.RecordSet,
        material: comparison_sets.Material,
        plants: np.ndarray,
        folder: str | os.PathLike,
        progress: bool = True,
    ):
        """Takes the images, see `Space`; the index is made when it is first needed."""
        super().__init__("ssim", material, plants, folder, progress)
        train = material.train
        self._references = {
            "train": similar_images.Reference(
                train.images,
                groups=train.patients.tolist(),
                folder=self._folder / "train",
                fingerprint=block_store.identity(records, material.size, train.name),
            )
        }

    def recall(self, k: int, seed: int) -> dict[str, float]:
        """Measures how many of the nearest training images the search finds.

        Returns:
            "recall" of k neighbours, of "images" synthetic images that were compared with all.
        """
        train, images = self._images["train"], self._images["only_synthetic"]
        fewest, most = _RECALL_IMAGES
        count = int(np.clip(_RECALL_PIXELS / train.size, fewest, most))
        chosen = np.random.default_rng(seed).permutation(len(images))[:count]
        chosen = np.sort(chosen)

        def measure():
            queries = np.asarray(images[chosen])
            truth = similar_images.exhaustive(
                queries, self._reference("train"), k, progress=self._progress
            )
            found = similar_images.nearest(queries, self._reference("train"), k, progress=False)
            return Nearest(chosen, np.array([similar_images.recall(found, truth)]))

        found = self._keep("recall", measure)
        return {"recall": float(found.distances[0]), "images": len(found.positions)}

    def _reference(self, name):
        if name not in self._references:
            self._references[name] = similar_images.Reference(self._images[name])
        return self._references[name]

    def _search(self, queries, reference, k):
        found = similar_images.nearest(
            self._images[queries],
            self._reference(reference),
            k,
            folder=self._folder / f"{queries}_to_{reference}",
            progress=self._progress,
        )
        return Nearest(found.positions, 1.0 - found.ssim)

    def _search_other_patients(self, positions):
        found = similar_images.nearest(
            self._images["train"][positions],
            self._reference("train"),
            1,
            query_groups=self._material.train.patients[positions].tolist(),
            folder=self._folder / "other_patients",
            progress=self._progress,
        )
        return Nearest(found.positions, 1.0 - found.ssim)


class FeatureSpace(Space):
    """Euclidean distances of features, all of them computed."""

    def __init__(
        self,
        extractor: features.Extractor,
        material: comparison_sets.Material,
        plants: np.ndarray,
        folder: str | os.PathLike,
        progress: bool = True,
    ):
        """Takes the images, see `Space`; features are computed when they are first needed."""
        super().__init__(extractor.name, material, plants, folder, progress)
        self._extractor = extractor
        self._features: dict[str, np.ndarray] = {}

    def _of(self, name):
        if name == "only_synthetic":
            return self._of("synthetic")[: len(self._images[name])]
        if name == "members":
            return self._of("train")[self._material.pairs.members]
        if name == "pool":
            return np.concatenate([self._of("members"), self._of("others")])
        if name not in self._features:
            self._features[name] = feature_store.extract(
                self._extractor, self._images[name], self._folder / name, name, self._progress
            )
        return self._features[name]

    def _search(self, queries, reference, k):
        found = feature_neighbours.nearest_features(self._of(queries), self._of(reference), k)
        return Nearest(*found)

    def _search_other_patients(self, positions):
        patients, train = self._material.train.patients, self._of("train")
        found = feature_neighbours.nearest_features(
            train[positions], train, 1, x_groups=patients[positions], y_groups=patients
        )
        return Nearest(*found)
