"""How many neighbours the search finds, how long it takes, and how right its numbers are."""

import concurrent.futures
import itertools
import multiprocessing
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tqdm
from PIL import Image
from scipy import ndimage

from pgan import timing
from pgan.data import phantom
from pgan.search import pair_ssim, similar_images

SEED, QUERY_SEED = 1, 2  # of the references, and of the queries
_CHUNK = 250
_BLUR = 1.5  # px
_LARGEST_SHIFT = 16  # of 256 px
_TO_QUERIES = 100_000  # as the paper compared


def draw(count: int, size: int, seed: int, folder: pathlib.Path, workers: int) -> np.ndarray:
    """Draws phantoms, or reads those that were drawn before.

    Args:
        count: Number of images.
        size: Of the images in px.
        seed: Of the population.
        folder: Where they are kept, in files of 250.
        workers: Processes that draw.

    Returns:
        uint8 [count, size, size].
    """
    folder = pathlib.Path(folder) / f"phantoms_seed{seed}_{size}"
    folder.mkdir(parents=True, exist_ok=True)
    chunks = range(-(-count // _CHUNK))
    paths = {i: folder / f"{i:05d}.npy" for i in chunks}
    missing = [i for i in chunks if not paths[i].exists()]
    if missing:
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(workers, context) as executor:
            waiting = [executor.submit(_draw_chunk, seed, size, i, paths[i]) for i in missing]
            done = concurrent.futures.as_completed(waiting)
            for future in tqdm.tqdm(done, "Drawing phantoms, 250 each", len(waiting)):
                future.result()
    return np.concatenate([np.load(paths[i]) for i in chunks])[:count]


def _draw_chunk(seed: int, size: int, chunk: int, path: pathlib.Path) -> None:
    images = phantom.read((chunk + 1) * _CHUNK, seed, size)
    pictures = [image.load() for image in itertools.islice(images, chunk * _CHUNK, None)]
    partial = path.with_suffix(".part")
    with open(partial, "wb") as file:
        np.save(file, np.stack(pictures))
    os.replace(partial, path)


def multiply(images: np.ndarray, count: int, folder: pathlib.Path) -> np.ndarray:
    """Makes many images of few: mirrored or not, shifted, and of another contrast.

    Drawing a whole collection would take hours. To SSIM, whose windows are 11 px wide, an image
    that is shifted by more than a few px is another one.

    Args:
        images: uint8 [N, R, R]; they are the first of the result.
        count: Number of images wanted.
        folder: Where they are kept.

    Returns:
        uint8 [count, R, R], a memory map.
    """
    size = images.shape[1]
    path = pathlib.Path(folder) / f"many_{size}_{len(images)}_{count}.npy"
    if not path.exists():
        partial = path.with_suffix(".part")
        result = np.lib.format.open_memmap(partial, "w+", np.uint8, (count, size, size))
        for number in tqdm.trange(count, desc="Making more of them"):
            result[number] = _altered(images, number)
        result.flush()
        del result
        os.replace(partial, path)
    return np.load(path, mmap_mode="r")


def _altered(images: np.ndarray, number: int) -> np.ndarray:
    image = images[number % len(images)]
    if number < len(images):
        return image
    rng = np.random.default_rng((3, number))
    if rng.random() < 0.5:
        image = image[:, ::-1]
    largest = max(1, _LARGEST_SHIFT * len(image) // 256)
    down, across = rng.integers(-largest, largest + 1, 2)
    padded = np.pad(image, largest, mode="edge")
    rows = slice(largest + down, largest + down + len(image))
    columns = slice(largest + across, largest + across + len(image))
    curve = 255 * (np.arange(256) / 255) ** np.exp(rng.uniform(-0.35, 0.35))
    return np.rint(curve).astype(np.uint8)[padded[rows, columns]]


def read_folder(folder: str | os.PathLike) -> np.ndarray:
    """Reads the PNG files of a folder, of one size, as uint8 [N, H, W], in the order of names.

    Raises:
        ValueError: If there are none, or they differ in size.
    """
    images = [
        np.asarray(Image.open(p).convert("L")) for p in sorted(pathlib.Path(folder).glob("*.png"))
    ]
    if len({image.shape for image in images}) != 1:
        raise ValueError(f"{folder} has no PNG files, or of several sizes")
    return np.stack(images)


def make_queries(images: np.ndarray, count: int) -> dict[str, np.ndarray]:
    """Makes queries of three kinds: as they are, blurred, and means of two.

    The latter two are like what generators draw: too smooth, or between images.

    Args:
        images: uint8 [2 * count or more, H, W], none of them among the references.
        count: Number of queries in all.

    Returns:
        uint8 images by kind.
    """
    third = count // 3
    plain, blurred = images[: count - 2 * third], images[count - 2 * third : count - third]
    first, second = images[count - third : count], images[count : count + third]
    smooth = ndimage.gaussian_filter(blurred.astype(np.float32), (0, _BLUR, _BLUR))
    means = (first.astype(np.float32) + second) / 2
    return {
        "plain": plain,
        "blurred": np.rint(smooth).astype(np.uint8),
        "mean of two": np.rint(means).astype(np.uint8),
    }


def measure_recall(
    queries: Mapping[str, np.ndarray], reference: similar_images.Reference, k: int = 3
) -> dict[str, Any]:
    """Compares the search with all pairs.

    Returns:
        A row: recall, the largest SSIM by which the nearest was missed, and times.
    """
    images = np.concatenate(list(queries.values()))
    kinds = np.repeat(list(queries), [len(part) for part in queries.values()])
    found, truth = [], []
    search_time = timing.sample(lambda: found.append(similar_images.nearest(images, reference, k)))
    all_time = timing.sample(lambda: truth.append(similar_images.exhaustive(images, reference, k)))
    hits = found[0].ssim >= truth[0].ssim[:, -1:] - 1e-9
    return {
        "recall": similar_images.recall(found[0], truth[0]),
        "recall_by_kind": {kind: float(hits[kinds == kind].mean()) for kind in queries},
        "nearest_found": float((found[0].ssim[:, 0] >= truth[0].ssim[:, 0] - 1e-9).mean()),
        "largest_loss": float((truth[0].ssim - found[0].ssim).max()),
        "ssim_of_nearest": float(truth[0].ssim[:, 0].mean()),
        "ssim_computed": float(found[0].computed.mean()),
        **found[0].margins(),
        "search_seconds": search_time.seconds,
        "search_cpu_seconds": search_time.cpu_seconds,
        "all_pairs_seconds": all_time.seconds,
        "all_pairs_cpu_seconds": all_time.cpu_seconds,
    }


def measure_index(images: np.ndarray, folder: pathlib.Path) -> dict[str, Any]:
    """Times the making of an index, from the beginning; it stays in the folder."""
    shutil.rmtree(folder, ignore_errors=True)
    taken = timing.sample(lambda: similar_images.Reference(images, folder=folder).index())
    size = sum(path.stat().st_size for path in pathlib.Path(folder).iterdir())
    return {"seconds": taken.seconds, "cpu_seconds": taken.cpu_seconds, "index_bytes": size}


def measure_search(
    queries: np.ndarray,
    reference: similar_images.Reference,
    index_row: Mapping[str, Any],
    k: int = 3,
) -> dict[str, Any]:
    """Times a search and extrapolates it to as many queries as the paper had.

    Args:
        queries: uint8 [Q, H, W].
        reference: With its index made.
        index_row: What `measure_index` measured.
        k: Number of neighbours.
    """
    reference.index()
    similar_images.nearest(queries[:8], reference, k, progress=False)  # Compiles.
    found = []
    taken = timing.sample(lambda: found.append(similar_images.nearest(queries, reference, k)))
    factor = _TO_QUERIES / len(queries)
    return {
        "seconds": taken.seconds,
        "cpu_seconds": taken.cpu_seconds,
        "ssim_computed": float(found[0].computed.mean()),
        **found[0].margins(),
        "to_queries": _TO_QUERIES,
        "to_hours": (index_row["seconds"] + factor * taken.seconds) / 3600,
        "to_core_hours": (index_row["cpu_seconds"] + factor * taken.cpu_seconds) / 3600,
    }


def measure_skimage(images: np.ndarray, repeats: int) -> dict[str, Any]:
    """Compares SSIM of all pairs with a plain loop over scikit-image's function.

    Args:
        images: uint8 [N, H, W]; the first quarter is compared with the others.
        repeats: Rounds over which medians are taken.
    """
    from skimage import metrics

    first, others = np.split(images, [len(images) // 4])
    settings = {
        "gaussian_weights": True,
        "sigma": 1.5,
        "use_sample_covariance": False,
        "data_range": 255,
    }

    def plain():
        return np.array(
            [[metrics.structural_similarity(a, b, **settings) for b in others] for a in first]
        )

    def ours():
        return np.array([pair_ssim.scores(pair_ssim.terms(image), others) for image in first])

    truth = plain()
    difference = float(np.abs(ours() - truth).max())
    rounds = timing.compare(ours, {"plain": plain}, repeats, 0, 1)
    return {
        "pairs": truth.size,
        "largest_difference": difference,
        "ms_per_pair": 1e3 * timing.median_seconds(rounds) / truth.size,
        "times_as_fast": timing.median_ratio(rounds, "plain"),
    }


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Formats rows as lists of names and values."""
    lines = []
    for row in rows:
        lines.append(f"**{row['measured']}**\n")
        lines += [f"- {name}: {value}" for name, value in row.items() if name != "measured"]
        lines.append("")
    return "\n".join(lines)
