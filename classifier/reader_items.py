"""The images of a reader study's deck: drawn from record sets, encoded so that nothing is told.

An item's name is a hash of its pixels and the seed, and its PNG is not compressed, so that neither
names nor sizes tell real from synthetic.
"""

import dataclasses
import hashlib
import io
from collections.abc import Collection, Sequence

import numpy as np
import tqdm
from PIL import Image

from pgan.data import markers, record_access, record_set

REAL, SYNTHETIC = "real", "synthetic"


@dataclasses.dataclass(frozen=True)
class Item:
    """An image of a deck.

    Attributes:
        name: 16 hex digits.
        pixels: uint8 [R, R].
        png: The same as a PNG file, of one size per resolution.
        origin: "real" or "synthetic".
        image_id: Id of the record.
        findings: Names of those that are there (labels from 0.5 on).
        source: Name of the record set.
    """

    name: str
    pixels: np.ndarray
    png: bytes
    origin: str
    image_id: str
    findings: tuple[str, ...]
    source: str

    @property
    def resolution(self) -> int:
        """R."""
        return len(self.pixels)


@dataclasses.dataclass(frozen=True)
class Source:
    """Where images of one origin come from.

    Attributes:
        records: The record set.
        fold: Its fold.
        origin: "real" or "synthetic".
    """

    records: record_set.RecordSet
    fold: str
    origin: str


def draw(
    sources: Sequence[Source],
    resolutions: Sequence[int],
    count: int,
    seed: int,
    mask_markers: bool = False,
    exclude: Collection[str] = (),
    progress: bool = True,
) -> list[Item]:
    """Draws images of every source: each of another patient, over all resolutions.

    Every synthetic image counts as a patient of its own in its record set, so none of them and
    no seed comes twice either.

    Args:
        sources: One of real and one of synthetic images.
        resolutions: Of the deck in px.
        count: Images per source and resolution.
        seed: Of the draw.
        mask_markers: Whether to cover markers in all images, real and synthetic alike.
        exclude: Names of items to replace by others, such as those in which somebody has found a
            marker that was not covered. All other items stay the same.
        progress: Whether to show a bar.

    Returns:
        The items, in the order of their names.

    Raises:
        ValueError: If a source lacks a resolution, a fold or enough patients, or a name to exclude
            is of no item.
    """
    _check_resolutions(resolutions)
    if mask_markers and min(resolutions) < markers.SMALLEST:
        raise ValueError(
            f"markers cannot be found in images of {min(resolutions)} px, from "
            f"{markers.SMALLEST} px on only; build the records with tools/build_records.py "
            "--mask_markers, and train the generator on them"
        )
    chosen = [_choose(source, resolutions, count, seed) for source in sources]
    items, left_out = [], set()
    bar = tqdm.tqdm(
        total=len(sources) * len(resolutions) * count,
        unit="img",
        desc="Preparing images",
        disable=not progress,
    )
    with bar:
        for source, (positions, spare) in zip(sources, chosen, strict=True):
            for resolution, places in positions.items():
                while len(places):
                    missing = 0
                    for item in _read(source, resolution, places, seed, mask_markers):
                        if item.name in exclude:
                            left_out.add(item.name)
                            missing += 1
                        else:
                            items.append(item)
                            bar.update()
                    if missing > len(spare):
                        raise ValueError(
                            f"the fold {source.fold!r} of {source.records.path} has no further "
                            "patients for the images to --exclude; give a smaller --count"
                        )
                    places, spare = spare[:missing], spare[missing:]
    unknown = sorted(set(exclude) - left_out)
    if unknown:
        raise ValueError(
            f"--exclude names {unknown[0]}, which is no image of this deck; give names as the "
            "pages of a deck with the same flags show them"
        )
    items.sort(key=lambda item: item.name)
    for first, second in zip(items, items[1:], strict=False):
        if first.name == second.name:
            raise ValueError(
                f"{first.image_id} of {first.source} and {second.image_id} of {second.source} are "
                "the same image; look for a copy with tools/audit_privacy.py or give another --seed"
            )
    return items


def encode(pixels: np.ndarray) -> bytes:
    """PNG of uint8 [R, R] without compression and further chunks: its size depends on R alone."""
    with io.BytesIO() as stream:
        Image.fromarray(pixels).save(stream, "PNG", compress_level=0)
        return stream.getvalue()


def _check_resolutions(resolutions: Sequence[int]) -> None:
    if not resolutions or len(set(resolutions)) < len(resolutions):
        raise ValueError(
            f"--resolutions wants different ones, such as 256,512,1024, got {list(resolutions)}"
        )


def _choose(
    source: Source, resolutions: Sequence[int], count: int, seed: int
) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """{resolution: positions in the fold, int64 [count]}, and spare ones; all of other patients."""
    records = source.records
    missing = [size for size in resolutions if size not in records.resolutions]
    if missing:
        how = (
            f"tools/build_records.py --max_resolution={max(resolutions)}"
            if source.origin == REAL
            else f"tools/synthesize_images.py --format=records with a generator of "
            f"{max(resolutions)} px"
        )
        raise ValueError(
            f"the {source.origin} images of {records.path} have no {missing[0]} px (they have "
            f"{', '.join(map(str, records.resolutions))}); give other --resolutions, or run {how}"
        )
    rng = np.random.default_rng([seed, int(source.origin == SYNTHETIC)])
    patients = records.patient_ids(source.fold)
    of_patient: dict[str, list[int]] = {}
    for position, patient in enumerate(patients):
        of_patient.setdefault(patient, []).append(position)
    if count < 1 or len(of_patient) < count * len(resolutions):
        each = len(of_patient) // len(resolutions)
        more = (
            "another fold or larger record set"
            if source.origin == REAL
            else f"more of tools/synthesize_images.py --count={count * len(resolutions)}"
        )
        raise ValueError(
            f"--count={count} {source.origin} images at each of {len(resolutions)} resolutions "
            f"take {count * len(resolutions)} patients, as none is shown twice; the fold "
            f"{source.fold!r} of {records.path} has {len(patients)} images of {len(of_patient)} "
            f"patients, which is {each} at each resolution. Give --count={max(1, each)} or less, "
            f"fewer --resolutions, or {more}"
        )
    drawn = rng.permutation(sorted(of_patient))
    positions = np.array([rng.choice(of_patient[patient]) for patient in drawn], np.int64)
    parts = np.split(positions, np.arange(1, len(resolutions) + 1) * count)
    return dict(zip(resolutions, parts[:-1], strict=True)), parts[-1]


def _read(source, resolution, positions, seed, mask_markers):
    """Yields the items at some positions of a source."""
    records = source.records
    images = record_access.read_images(records, resolution, source.fold, positions)
    ids = records.record_ids(source.fold)
    labels = records.condition_matrix(source.fold)
    for position, pixels in zip(positions, images, strict=True):
        if mask_markers:
            pixels, _ = markers.mask(pixels)
        hashed = hashlib.sha256(f"{seed} {resolution} ".encode() + pixels.tobytes())
        yield Item(
            name=hashed.hexdigest()[:16],
            pixels=pixels,
            png=encode(pixels),
            origin=source.origin,
            image_id=ids[position],
            findings=tuple(
                name
                for name, value in zip(records.findings, labels[position], strict=True)
                if value >= 0.5
            ),
            source=records.name,
        )
