"""From very many images to the few nearest by SSIM, in three sieves; see `similar_images`."""

import concurrent.futures
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pgan.search import pair_ssim, reference_index, window_grid

# Standard deviations of the second sieve's errors that the next candidate must be out of reach by.
_REACH = 3.0


class Sieves:
    """The three sieves, for blocks of queries."""

    def __init__(
        self,
        reference: reference_index.Reference,
        index: reference_index.Index,
        settings: Mapping[str, Any],
    ):
        """Compiles nothing yet.

        Args:
            reference: The images to be found.
            index: Its index.
            settings: "k" <= "most_computed" <= "shortlist" <= images of the reference, see
                `similar_images.nearest`.
        """
        self._reference, self._index, self._settings = reference, index, settings

    def block(
        self, images: np.ndarray, groups: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Searches for some images.

        Args:
            images: uint8 [N, H, W].
            groups: Patient of each, whose reference images are left out.

        Returns:
            Arrays of `similar_images.Neighbours` by name.
        """
        import tensorflow as tf

        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as executor:
            statistics, vectors = reference_index.describe(
                self._index.grid, self._index.projection.queries, images, executor
            )
            scores = tf.matmul(vectors, self._index.vectors, transpose_b=True).numpy()
            if groups is not None:
                for row, group in zip(scores, groups, strict=True):
                    row[self._reference.members(group)] = -np.inf
            rows = list(executor.map(self._one, images, statistics, scores))
        names = ("positions", "ssim", "vector_rank", "window_rank", "computed")
        columns = zip(*rows, strict=True)
        return {name: np.stack(column) for name, column in zip(names, columns, strict=True)}

    def _one(self, image, statistics, scores):
        """Searches for one image, given its inner products with all reference images."""
        chosen = np.argpartition(scores, -self._settings["shortlist"])
        chosen = chosen[-self._settings["shortlist"] :]
        chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
        estimates = window_grid.ssim(statistics, self._index.statistics[chosen])
        estimates = np.where(np.isfinite(scores[chosen]), estimates, -np.inf)
        order = np.argsort(-estimates, kind="stable")
        order = order[: np.isfinite(estimates).sum()]
        positions, estimates = chosen[order], estimates[order].astype(np.float64)
        values = self._compute(image, positions, estimates)
        window_rank = best(values, positions[: len(values)], self._settings["k"])
        return (
            positions[window_rank].astype(np.int64),
            values[window_rank],
            order[window_rank].astype(np.int32),
            window_rank.astype(np.int32),
            np.int32(len(values)),
        )

    def _compute(self, image, positions, estimates):
        """SSIM of the first candidates, as many as are needed; of all where all passed."""
        k, most = self._settings["k"], min(self._settings["most_computed"], len(positions))
        one = pair_ssim.terms(image)
        if self._settings["shortlist"] == len(self._reference):
            return pair_ssim.scores(one, self._reference.images[positions])
        values, step = np.empty(0), pair_ssim.many(image.shape)
        while len(values) < most:
            stop = min(len(values) + step, most)
            others = self._reference.images[positions[len(values) : stop]]
            values = np.append(values, pair_ssim.scores(one, others))
            if k <= stop < most:
                errors = values - estimates[:stop]
                within_reach = estimates[stop] + errors.mean() + _REACH * errors.std()
                if within_reach < np.partition(values, -k)[-k]:
                    break
        return values


def best(values: np.ndarray, positions: np.ndarray, k: int) -> np.ndarray:
    """Places of the k largest values, largest first; of equal ones that of the first position."""
    return np.lexsort((positions, -values))[:k]
