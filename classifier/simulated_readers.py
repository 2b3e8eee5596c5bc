"""Readers of known skill, who answer decks: for tests of the statistics, and for demonstrations.

Signal detection (Green and Swets 1966): an image looks as synthetic to a reader as

    evidence = +-distance / 2 + item_sd * z(image) + e(reader, image),    z, e ~ N(0, 1),

+ for synthetic and - for real ones, and is called synthetic above the reader's criterion. z is the
same for all readers: some images fool everyone. Readers of a population differ in distance and
criterion. Everything that statistics estimate from answers is then known in closed form.
"""

import dataclasses
import datetime
import json
import math
import pathlib
from collections.abc import Mapping

import numpy as np
from scipy import special

from classifier import reader_answers, reader_page, reader_study
from pgan import run_folder

# Distances of the evidence from the criterion at which a reader is surer by one: 1 to 5.
_SURER = np.array([0.25, 0.6, 1.1, 1.8])
_STARTED = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)


@dataclasses.dataclass(frozen=True)
class Population:
    """Readers of a kind.

    Attributes:
        distance: Mean distance of synthetic and real images to a reader; 0 guesses.
        distance_sd: By which readers differ in it.
        criterion: Mean criterion; below 0 more is called synthetic.
        criterion_sd: By which readers differ in it.
        item_sd: By which images differ, the same to all readers.
    """

    distance: float
    distance_sd: float = 0.0
    criterion: float = 0.0
    criterion_sd: float = 0.0
    item_sd: float = 0.5

    @classmethod
    def of_accuracy(cls, accuracy: float, **values: float) -> "Population":
        """One whose mean accuracy over readers and images is that, at a mean criterion of 0.

        Args:
            accuracy: In [0.5, 1).
            **values: Its other attributes, but `distance` and `criterion`.

        Raises:
            ValueError: For another accuracy.
        """
        if not 0.5 <= accuracy < 1.0:
            raise ValueError(f"an accuracy of readers is in [0.5, 1), got {accuracy}")
        # The spread depends on the distance's spread only, so that this is no circle.
        spread = cls(0.0, **values).spread
        return cls(2.0 * spread * float(special.ndtri(accuracy)), **values)

    @property
    def spread(self) -> float:
        """Standard deviation of evidence minus criterion over readers and images of a kind."""
        return math.sqrt(1.0 + self.item_sd**2 + self.distance_sd**2 / 4.0 + self.criterion_sd**2)

    def truth(self) -> dict[str, float]:
        """Accuracy (of as many synthetic as real images), sensitivity and specificity.

        Expected of a reader and an image that are drawn.
        """
        return _rates(self.distance, self.criterion, self.spread)

    def draw(self, count: int, generator: np.random.Generator) -> "Readers":
        """Draws readers."""
        return Readers(
            self.distance + self.distance_sd * generator.normal(size=count),
            self.criterion + self.criterion_sd * generator.normal(size=count),
            self.item_sd,
        )


@dataclasses.dataclass(frozen=True)
class Readers:
    """Some readers.

    Attributes:
        distance: float64 [R].
        criterion: float64 [R].
        item_sd: As of `Population`.
    """

    distance: np.ndarray
    criterion: np.ndarray
    item_sd: float

    def truth(self) -> dict[str, np.ndarray]:
        """Accuracy, sensitivity, specificity and, of the confidence, AUC of each, float64 [R].

        Expected of images that are drawn.
        """
        spread = math.sqrt(1.0 + self.item_sd**2)
        cuts = np.concatenate([-_SURER[::-1], [0.0], _SURER])
        below = {}
        for kind, sign in (("synthetic", 1.0), ("real", -1.0)):
            mean = sign * self.distance / 2.0 - self.criterion
            inner = special.ndtr((cuts - mean[:, np.newaxis]) / spread)
            ends = np.zeros((len(mean), 1)), np.ones((len(mean), 1))
            below[kind] = np.concatenate([ends[0], inner, ends[1]], axis=1)
        shares = np.diff(below["synthetic"])
        # A synthetic image wins over real ones of lower levels, and half over those of its own.
        auc = (shares * (below["real"][:, :-1] + below["real"][:, 1:]) / 2.0).sum(axis=1)
        return {**_rates(self.distance, self.criterion, spread), reader_study.AUC: auc}

    def judge(
        self, synthetic: np.ndarray, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Lets all of them judge the same images.

        Args:
            synthetic: Kind of the images, bool [N].
            generator: Randomness, of images and readers.

        Returns:
            What is called synthetic, bool [R, N], and the confidence, int [R, N], 1 to 5.
        """
        shape = len(self.distance), len(synthetic)
        signs = np.where(synthetic, 0.5, -0.5)
        beyond = (
            self.distance[:, np.newaxis] * signs
            + self.item_sd * generator.normal(size=shape[1])
            + generator.normal(size=shape)
            - self.criterion[:, np.newaxis]
        )
        return beyond > 0.0, 1 + np.searchsorted(_SURER, np.abs(beyond))


def _rates(distance, criterion, spread):
    sensitivity = special.ndtr((distance / 2.0 - criterion) / spread)
    specificity = special.ndtr((distance / 2.0 + criterion) / spread)
    return {
        "accuracy": (sensitivity + specificity) / 2.0,
        "sensitivity": sensitivity,
        "specificity": specificity,
    }


def panel(
    readers: Readers,
    groups: tuple[str, ...],
    images: int,
    generator: np.random.Generator,
    resolution: int = 256,
) -> reader_study.Panel:
    """Answers to as many synthetic as real images, without files.

    Args:
        readers: The readers.
        groups: Of each.
        images: Of each kind.
        generator: Randomness.
        resolution: That the panel says.
    """
    synthetic = np.arange(2 * images) < images
    called, confidence = readers.judge(synthetic, generator)
    return reader_study.Panel(
        resolution=resolution,
        items=tuple(f"i{number}" for number in range(2 * images)),
        synthetic=synthetic,
        readers=tuple(f"r{number}" for number in range(len(groups))),
        groups=groups,
        shown=np.ones(called.shape, bool),
        called=called.astype(np.float64),
        confidence=confidence.astype(np.float64),
        seconds=np.full(called.shape, 5.0),
    )


def answer_deck(
    deck: reader_answers.Deck,
    key: Mapping[str, Mapping],
    populations: Mapping[int, Population],
    seed: int,
    time_outs: float = 0.0,
) -> tuple[dict[str, dict], dict[int, dict[str, np.ndarray]]]:
    """Answers of all readers of a deck, each of whom differs from the mean as much at every size.

    Every file says in its background that the reader is simulated.

    Args:
        deck: The deck.
        key: Its key.
        populations: Of the readers, by resolution.
        seed: Of everything.
        time_outs: Share of the images whose time runs out, where the deck has a time.

    Returns:
        {code: content of the file of answers}, and {resolution: truth of the readers, [R]} as
        `Readers.truth` in the order of the deck.
    """
    answers: dict[str, list[dict]] = {code: [] for code in deck.readers}
    truths = {}
    for resolution, items in deck.items.items():
        # The same deviates at every resolution, whatever the population.
        readers = populations[resolution].draw(len(deck.readers), np.random.default_rng([seed, 0]))
        truths[resolution] = readers.truth()
        generator = np.random.default_rng([seed, 1, resolution])
        synthetic = np.array([key[item]["origin"] == "synthetic" for item in items])
        called, confidence = readers.judge(synthetic, generator)
        for row, own in enumerate(answers.values()):
            for place in generator.permutation(len(items)):
                verdict = "synthetic" if called[row, place] else "real"
                own.append(
                    {
                        "item": items[place],
                        "resolution": resolution,
                        "position": len(own),
                        "answer": verdict,
                        "confidence": int(confidence[row, place]) if deck.confidence else None,
                        "milliseconds": _milliseconds(confidence[row, place], deck, generator),
                        "reasons": _reasons(verdict, deck.reasons, generator),
                    }
                )
                if deck.seconds is not None and generator.random() < time_outs:
                    limit = round(1000 * deck.seconds)
                    own[-1] |= {
                        "answer": None, "confidence": None, "milliseconds": limit, "reasons": [],
                    }  # fmt: skip
    files = {}
    for code, own in answers.items():
        duration = datetime.timedelta(milliseconds=sum(one["milliseconds"] for one in own))
        content = {
            "format": reader_answers.ANSWERS_FORMAT,
            "deck": deck.id,
            "reader": code,
            "mode": deck.mode,
            "background": {"group": deck.readers[code], "years": None, "simulated": True},
            "started": _STARTED.isoformat(),
            "finished": (_STARTED + duration).isoformat(),
            "answers": own,
        }
        files[code] = {**content, "digest": reader_page.digest(content)}
    return files, truths


def _milliseconds(confidence, deck, generator):
    """Unsure readers look longer; nobody longer than the deck allows."""
    seconds = math.exp(2.2 - 0.2 * confidence + 0.4 * generator.normal())
    return round(1000 * min(seconds, deck.seconds or math.inf))


def _reasons(verdict, reasons, generator):
    if verdict == "real" or not reasons or generator.random() < 0.4:
        return []
    return [str(reasons[generator.integers(len(reasons))])]


def write_answers(folder: pathlib.Path, files: Mapping[str, Mapping]) -> list[pathlib.Path]:
    """Writes a file of answers for each reader, whole or not at all.

    Args:
        folder: Made if absent.
        files: Of `answer_deck`.

    Returns:
        The files, <code>.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for code, content in files.items():
        paths.append(folder / f"{code}.json")
        run_folder.write_atomically(paths[-1], json.dumps(content, indent=1) + "\n")
    return paths
