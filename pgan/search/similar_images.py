"""The images most alike by SSIM, out of very many.

Exact SSIM of all pairs of 10^5 synthetic and 10^5 real images at 256 px would take months. So the
reference images pass three sieves, each finer and dearer than the one before:

1. inner products of short vectors (`window_grid.Projection`) with every image;
2. SSIM's formula at a grid of windows, for a shortlist of some hundreds;
3. SSIM itself, for the best of these, one step of them after the other, until by what the second
   sieve was wrong with those already computed, no other is likely to be among the nearest.

What is returned is exact (float64, equal to scikit-image's); what can go wrong is that a neighbour
is missed. `exhaustive` with `recall` measures how often that is, and the places that the
neighbours had in the sieves tell how close it was.
"""

import concurrent.futures
import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import tqdm

from pgan.search import block_store, pair_ssim, reference_index, sieves

_VERSION = 1  # Raise whenever a change alters what is found.
_BLOCK = 512
_STEPS = 8
_EXHAUSTIVE_QUERIES, _EXHAUSTIVE_REFERENCES = 64, 256
Reference = reference_index.Reference


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """What a search found; nearest first, and of equally near ones that which comes first.

    Attributes:
        positions: int64 [Q, k], places of the neighbours in the reference.
        ids: str [Q, k], their ids.
        ssim: float64 [Q, k].
        vector_rank: int32 [Q, k], their places in the order of the first sieve, from 0; -1 after
            an exhaustive search.
        window_rank: As well, of the second sieve.
        computed: int32 [Q], how many reference images SSIM was computed of.
        settings: What the search was made with, JSON types.
    """

    positions: np.ndarray
    ids: np.ndarray
    ssim: np.ndarray
    vector_rank: np.ndarray
    window_rank: np.ndarray
    computed: np.ndarray
    settings: dict[str, Any]

    def margins(self) -> dict[str, float]:
        """How much room the sieves left: places near the end of a shortlist would tell of misses.

        Returns:
            Of the neighbours' places in both sieves the 99th percentile and the last, and the
            share of queries that SSIM was computed for as often as was allowed.
        """
        most = self.settings["most_computed"]
        result = {}
        for name in ("vector_rank", "window_rank"):
            ranks = getattr(self, name)
            result[f"{name}_99"] = float(np.percentile(ranks, 99))
            result[f"{name}_last"] = float(ranks.max())
        return {**result, "cut_off": float((self.computed >= most).mean())}


def nearest(
    queries: Any,
    reference: Reference,
    k: int = 3,
    shortlist: int = 512,
    most_computed: int | None = None,
    query_groups: Sequence[str] | None = None,
    folder: str | os.PathLike | None = None,
    progress: bool = True,
) -> Neighbours:
    """Finds the reference images nearest to each query by SSIM.

    Args:
        queries: uint8 [Q, H, W], an array, a memory-mapped file, or anything with `len` and slices
            that are; then with a `fingerprint`, or each slice is asked for twice.
        reference: The images to be found, of the same size.
        k: Neighbours per query.
        shortlist: Images that pass the first sieve. Where that is all of them, SSIM is computed of
            all, and the result is exact.
        most_computed: Images that SSIM is computed of at most otherwise; if None, as many as take
            about as long as 64 of 256 px.
        query_groups: Patient of each query. Reference images of the same are left out, as is needed
            when real images are compared with real ones.
        folder: Where finished blocks are kept, so that the same call goes on after an end. None
            keeps nothing.
        progress: Whether to show a bar.

    Returns:
        The neighbours.

    Raises:
        ValueError: If sizes, k or groups do not go together, or the folder holds another search.
    """
    _check(queries, reference, k, query_groups)
    shortlist = min(max(shortlist, k), len(reference))
    if most_computed is None:
        most_computed = _STEPS * pair_ssim.many(reference.images.shape[1:])
    settings = {
        "queries": block_store.fingerprint(queries),
        "reference": reference.fingerprint,
        "k": k,
        "shortlist": shortlist,
        "most_computed": min(max(most_computed, k), shortlist),
        "groups": None if query_groups is None else _digest(query_groups, reference.groups),
        "version": _VERSION,
    }
    store = block_store.Folder(folder, settings)
    search = sieves.Sieves(reference, reference.index(progress), settings)
    blocks = []
    with tqdm.tqdm(total=len(queries), desc="Searching", unit="img", disable=not progress) as bar:
        for number, start in enumerate(range(0, len(queries), _BLOCK)):
            stop = min(start + _BLOCK, len(queries))
            block = store.load(f"block_{number:06d}")
            if block is None:
                groups = None if query_groups is None else query_groups[start:stop]
                block = search.block(np.asarray(queries[start:stop]), groups)
                store.save(f"block_{number:06d}", block)
            blocks.append(block)
            bar.update(stop - start)
    return _neighbours(blocks, reference, settings)


def exhaustive(
    queries: np.ndarray,
    reference: Reference,
    k: int = 3,
    query_groups: Sequence[str] | None = None,
    progress: bool = True,
) -> Neighbours:
    """Finds the nearest by computing SSIM of all pairs.

    Args:
        queries: uint8 [Q, H, W]; 64 at a time are compared, each time with all references.
        reference: As in `nearest`.
        k: As well.
        query_groups: As well.
        progress: As well.

    Returns:
        The neighbours.

    Raises:
        ValueError: As `nearest`.
    """
    _check(queries, reference, k, query_groups)
    settings = {"k": k, "exhaustive": True, "most_computed": len(reference)}
    blocks = []
    total = len(queries) * len(reference)
    with (
        tqdm.tqdm(total=total, desc="All pairs", unit="pair", disable=not progress) as bar,
        concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as executor,
    ):
        for first in range(0, len(queries), _EXHAUSTIVE_QUERIES):
            images = np.asarray(queries[first : first + _EXHAUSTIVE_QUERIES])
            ones = list(map(pair_ssim.terms, images))
            values = np.empty((len(images), len(reference)), np.float64)
            step = pair_ssim.many(images.shape[1:])

            def compare(start, ones=ones, values=values, step=step):
                others = reference.images[start : start + step]
                for row, one in zip(values, ones, strict=True):
                    row[start : start + len(others)] = pair_ssim.scores(one, others)

            # Some at a time, because those that wait could not be interrupted.
            for start in range(0, len(reference), _EXHAUSTIVE_REFERENCES):
                stop = min(start + _EXHAUSTIVE_REFERENCES, len(reference))
                list(executor.map(compare, range(start, stop, step)))
                bar.update((stop - start) * len(images))
            if query_groups is not None:
                for row, group in zip(values, query_groups[first:], strict=False):
                    row[reference.members(group)] = -np.inf
            everywhere = np.arange(len(reference))
            positions = np.stack([sieves.best(row, everywhere, k) for row in values])
            blocks.append(
                {
                    "positions": positions,
                    "ssim": np.take_along_axis(values, positions, axis=1),
                    "vector_rank": np.full(positions.shape, -1, np.int32),
                    "window_rank": np.full(positions.shape, -1, np.int32),
                    "computed": np.isfinite(values).sum(axis=1).astype(np.int32),
                }
            )
    return _neighbours(blocks, reference, settings)


def recall(found: Neighbours, truth: Neighbours) -> float:
    """Share of the true neighbours that were found.

    Whatever is as near as the farthest of the true ones counts, so that of equally near images
    either will do.

    Raises:
        ValueError: If the searches are not of as many queries and neighbours.
    """
    if found.ssim.shape != truth.ssim.shape:
        raise ValueError(
            f"searches of {found.ssim.shape} and {truth.ssim.shape} queries and neighbours"
        )
    return float((found.ssim >= truth.ssim[:, -1:] - 1e-9).mean())


def _check(queries, reference, k, query_groups) -> None:
    first = np.asarray(queries[:1])
    if first.dtype != np.uint8 or first.ndim != 3 or not len(first):
        raise ValueError(
            f"queries must be uint8 [Q, H, W], at least one; got {first.dtype} {list(first.shape)}"
        )
    if first.shape[1:] != reference.images.shape[1:]:
        sizes = ["x".join(map(str, images.shape[1:])) for images in (first, reference.images)]
        raise ValueError(
            f"queries of {sizes[0]} px and a reference of {sizes[1]} px; SSIM needs one size, give "
            f"both at the lower resolution"
        )
    most = 0
    if query_groups is not None:
        if reference.groups is None or len(query_groups) != len(queries):
            raise ValueError(
                f"to leave out images of the same group, {len(queries)} queries and the reference "
                f"need groups; got {len(query_groups)} and "
                f"{'none' if reference.groups is None else len(reference.groups)}"
            )
        most = max(len(reference.members(group)) for group in set(query_groups))
    if not 1 <= k <= len(reference) - most:
        raise ValueError(f"k must be 1 to {len(reference) - most}, the images to choose from: {k}")


def _digest(*texts: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps([list(map(str, t)) for t in texts]).encode()).hexdigest()


def _neighbours(blocks, reference, settings) -> Neighbours:
    columns = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    ids = np.array(reference.ids)[columns["positions"]]
    return Neighbours(ids=ids, settings=settings, **columns)
