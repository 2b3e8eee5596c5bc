"""Looks inside classifiers: chooses images, maps what speaks for a finding, compares two."""

import dataclasses
import math
import pathlib
from collections.abc import Sequence

import numpy as np
import tqdm

from classifier import grad_cam, image_table, model, pointing, training

# Label and decision of the images of each kind.
KINDS = {
    "true_positive": (True, True),
    "false_positive": (False, True),
    "false_negative": (True, False),
    "true_negative": (False, False),
}
RANDOM = "random"
_BATCH = 64


@dataclasses.dataclass(frozen=True)
class Judge:
    """A classifier that is asked about one finding.

    Attributes:
        name: For people.
        folder: It was loaded from.
        trained: The classifier.
        column: Place of the finding among its outputs.
        layer: That maps are made of.
        width: Of the layer's feature maps.
    """

    name: str
    folder: pathlib.Path
    trained: training.Trained
    column: int
    layer: str
    width: int

    @property
    def finding(self) -> str:
        """As the classifier calls it."""
        return self.trained.classifier.findings[self.column]

    @property
    def threshold(self) -> float:
        """Of its decisions on the finding; NaN if none could be fitted."""
        return float(self.trained.thresholds[self.column])

    @property
    def resolution(self) -> int:
        """Size of its images in px."""
        return self.trained.classifier.backbone.input_shape[1]

    def scores(self, images: np.ndarray) -> np.ndarray:
        """float32 [N] in [0, 1] of images uint8 [N, R, R]."""
        return model.probabilities(self.trained.classifier, images, _BATCH)[:, self.column]


@dataclasses.dataclass(frozen=True)
class Explained:
    """An image and what classifiers see in it.

    Attributes:
        image_id: Its name.
        patient: Whose it is.
        label: 1, 0 or NaN.
        image: uint8 [R, R].
        scores: Of each classifier, in [0, 1].
        maps: float32 [J, R, R], of each classifier, in log odds.
        region: bool [R, R], where the finding is; None if it is absent or that is not known.
    """

    image_id: str
    patient: str
    label: float
    image: np.ndarray
    scores: tuple[float, ...]
    maps: np.ndarray
    region: np.ndarray | None

    @property
    def densities(self) -> np.ndarray:
        """float32 [J, R, R], the maps in multiples of their means."""
        return grad_cam.density(self.maps)

    @property
    def overlap(self) -> float:
        """Of two classifiers' maps as densities, in [0, 1]: 1 for the same, 0 for none; or NaN."""
        positive = np.maximum(self.maps, 0.0)
        if not positive.any((-2, -1)).all():
            return math.nan
        return float(grad_cam.density(positive).min(0).mean())


def load_judges(
    folders: Sequence[pathlib.Path], finding: str, layer: str | None = None
) -> list[Judge]:
    """Loads classifiers to be asked about a finding.

    Args:
        folders: Of `training.train`.
        finding: What they are asked about.
        layer: As in `grad_cam.choose_layer`.

    Raises:
        ValueError: If a folder holds none, one does not judge the finding or has no such layer, or
            they take images of different sizes.
    """
    judges: list[Judge] = []
    same_name = len({folder.name for folder in folders}) < len(folders)
    for folder in folders:
        trained = training.load(folder)
        try:
            column = grad_cam.find_finding(trained.classifier, finding)
            chosen, width = grad_cam.choose_layer(trained.classifier, layer)
        except ValueError as error:
            raise ValueError(f"{folder}: {error}") from None
        name = str(folder) if same_name else folder.name
        judges.append(Judge(name, folder, trained, column, chosen, width))
        if judges[0].resolution != judges[-1].resolution:
            raise ValueError(
                f"{folders[0]} takes images of {judges[0].resolution} px, {folder} of "
                f"{judges[-1].resolution} px; compare classifiers of one resolution"
            )
    return judges


def choose(
    table: image_table.ImageTable,
    judge: Judge,
    kind: str,
    count: int,
    seed: int,
    progress: bool = True,
) -> list[int]:
    """Draws images of a kind; fewer draws with the same seed are the first of more.

    Args:
        table: Images, labelled with the finding alone.
        judge: By whose decisions.
        kind: Of `KINDS`, or `RANDOM` for any.
        count: How many; fewer if there are no more.
        seed: Of the draw.
        progress: Whether to show a bar.

    Returns:
        Their numbers in the table.

    Raises:
        ValueError: If there is no image of that kind, or the classifier has no threshold.
    """
    order = np.random.default_rng(seed).permutation(len(table))
    if kind == RANDOM:
        return order[:count].tolist()
    if math.isnan(judge.threshold):
        raise ValueError(
            f"{judge.folder} has no threshold for {judge.finding}, as its validation images had no "
            f"positive or no negative: it decides nothing; give --choose={RANDOM} or --ids"
        )
    present, called = KINDS[kind]
    labels = table.labels[order, 0]
    candidates = order[~np.isnan(labels) & ((labels >= 0.5) == present)]
    chosen: list[int] = []
    with tqdm.tqdm(total=len(candidates), desc="Choosing", unit="img", disable=not progress) as bar:
        for start in range(0, len(candidates), _BATCH):
            part = candidates[start : start + _BATCH]
            scores = judge.scores(table.read(part))
            chosen += part[(scores >= judge.threshold) == called].tolist()
            bar.update(len(part))
            if len(chosen) >= count:
                break
    if not chosen:
        raise ValueError(
            f"there is no {kind.replace('_', ' ')}: of {len(candidates)} images "
            f"{'with' if present else 'without'} {judge.finding}, {judge.folder} calls "
            f"{'none' if called else 'each'} positive; give another --choose or --fold"
        )
    return chosen[:count]


def find_images(table: image_table.ImageTable, ids: Sequence[str]) -> list[int]:
    """Numbers of images by name.

    Raises:
        ValueError: If a name is not in the table.
    """
    numbers = {name: number for number, name in enumerate(table.image_ids)}
    missing = [name for name in ids if name not in numbers]
    if missing:
        fold = table.folds[0]
        raise ValueError(
            f"the fold {fold.fold!r} of {fold.records.path} has no image {missing[0]!r}; its "
            f"images have names such as {table.image_ids[0]!r}"
        )
    return [numbers[name] for name in ids]


def explain(
    table: image_table.ImageTable,
    numbers: Sequence[int],
    judges: Sequence[Judge],
    relu: bool = True,
    progress: bool = True,
) -> list[Explained]:
    """Maps what speaks for the finding in images.

    Args:
        table: Images, labelled with the finding alone.
        numbers: Which.
        judges: Up to two classifiers.
        relu: Whether to leave out what speaks against it.
        progress: Whether to show a bar.
    """
    truth, found = pointing.has_truth(table), []
    bar = tqdm.tqdm(total=len(numbers), desc="Mapping", unit="img", disable=not progress)
    for start in range(0, len(numbers), _BATCH):
        part = list(numbers[start : start + _BATCH])
        images = table.read(part)
        scores = [judge.scores(images) for judge in judges]
        maps = [
            grad_cam.upsample(
                grad_cam.maps(judge.trained.classifier, images, [judge.finding], judge.layer, relu),
                table.resolution,
            )[:, 0]
            for judge in judges
        ]
        for place, number in enumerate(part):
            region = None
            if truth:
                (region,) = pointing.regions(table, [number], table.findings[0])
            found.append(
                Explained(
                    table.image_ids[number],
                    table.patients[number],
                    float(table.labels[number, 0]),
                    images[place],
                    tuple(float(own[place]) for own in scores),
                    np.stack([own[place] for own in maps]),
                    region,
                )
            )
            bar.update()
    bar.close()
    return found
