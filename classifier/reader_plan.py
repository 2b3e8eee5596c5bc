"""How many images and readers a reader study needs, before anyone reads.

The paper's reasoning is that decisions are binomial: an observed share of n decisions has a
standard deviation of sqrt(p q / n) <Methods>. That is of one reader. Of a group two more things
count: how readers differ, and that some images fool all of them alike.
"""

import dataclasses
import math

import numpy as np
from scipy import stats as scipy_stats

from classifier import power, reader_intervals
from pgan import results

ALPHA = 0.05
_MOST_IMAGES = 20_000
_MOST_READERS = 100
_READERS = (3, 4, 6, 8, 12)
_IMAGES = (50, 100, 200, 400)


@dataclasses.dataclass(frozen=True)
class Expected:
    """What a planner expects of readers.

    Attributes:
        accuracy: Mean over readers.
        reader_sd: Standard deviation among the readers' true accuracies.
        item_correlation: Of the errors of two readers at the same image: 0 if every reader stumbles
            over images of his or her own, 1 if all over the same.

    Raises:
        ValueError: For values out of range.
    """

    accuracy: float = 0.6
    reader_sd: float = 0.05
    item_correlation: float = 0.1

    def __post_init__(self):
        """Checks the values."""
        if not 0.0 < self.accuracy < 1.0:
            raise ValueError(f"accuracy must be in (0, 1), e.g. 0.6, got {self.accuracy}")
        if not 0.0 <= self.reader_sd < 0.5:
            raise ValueError(f"reader_sd must be in [0, 0.5), e.g. 0.05, got {self.reader_sd}")
        if not 0.0 <= self.item_correlation <= 1.0:
            raise ValueError(f"item_correlation must be in [0, 1], got {self.item_correlation}")


def most_wrong(images: np.ndarray | int) -> np.ndarray:
    """Most right answers that are too few for a guesser, by the exact two-sided binomial test.

    As many wrong answers are too few as well: a guesser is right half of the time.

    Args:
        images: That the reader judges, int, any shape.

    Returns:
        float64 of the same shape, -1 where no number of answers tells a reader from a guesser.
    """
    binomial = scipy_stats.binom(np.asarray(images), 0.5)
    count = binomial.ppf(ALPHA / 2.0)
    return np.where(binomial.cdf(count) <= ALPHA / 2.0, count, count - 1.0)


def reader_power(accuracy: float, images: np.ndarray | int) -> np.ndarray:
    """Exact chance that one reader's accuracy differs from guessing at the 5 % level.

    Args:
        accuracy: Of the reader.
        images: That the reader judges, as many synthetic as real; int, any shape.
    """
    limit = most_wrong(images)
    binomial = scipy_stats.binom(np.asarray(images), accuracy)
    return binomial.cdf(limit) + binomial.sf(images - limit - 1.0)


def images_against_guessing(accuracy: float, wanted: float = 0.8) -> int:
    """Images at which one reader is told from guessing, and at all larger numbers as well.

    The power of an exact test is a saw, so the first number that reaches it is not enough.

    Args:
        accuracy: Of the reader.
        wanted: Power.

    Raises:
        ValueError: If the accuracy is that of guessing, or needs more images than anyone reads.
    """
    if accuracy == 0.5 or not 0.0 < wanted < 1.0:
        raise ValueError(
            f"power must be in (0, 1) and accuracy not 0.5, got {wanted} and {accuracy}"
        )
    about = power.sample_size(accuracy, abs(accuracy - 0.5), ALPHA, wanted)
    if about > _MOST_IMAGES:
        raise ValueError(
            f"an accuracy of {accuracy:g} takes about {about:,} images to be told from 0.5; expect "
            "a larger difference"
        )
    # The normal approximation is within a few teeth of the saw.
    images = np.arange(1, 2 * about + 60)
    return int(images[reader_power(accuracy, images) < wanted].max(initial=0)) + 1


def images_for_half_width(accuracy: float, half_width: float) -> int:
    """Least images of one reader whose exact 95 % interval is no wider than twice that.

    Args:
        accuracy: To be expected; at the nearest number of right answers.
        half_width: As a share, such as 0.1.

    Raises:
        ValueError: If it is not in [0.005, 0.5).
    """
    if not 0.005 <= half_width < 0.5:
        raise ValueError(f"half_width must be in [0.005, 0.5), e.g. 0.1, got {half_width}")

    def enough(images):
        low, high = reader_intervals.share_interval(round(accuracy * images), images)
        return high - low <= 2.0 * half_width

    # The exact interval is never shorter than the normal one that this starts below.
    images = max(1, int(0.9 * power.binomial_sd(accuracy, 1) ** 2 * (1.96 / half_width) ** 2))
    while not enough(images):
        images += 1
    return images


def group_se(expected: Expected, readers: int, images: int) -> float:
    """Standard error of a group's mean accuracy over draws of readers and images.

    sqrt(reader_sd^2 / R + p q / n ((1 - c) / R + c)), c the correlation of errors. With R = 1 and
    no difference of readers it is the paper's sqrt(p q / n).
    """
    decision = power.binomial_sd(expected.accuracy, images) ** 2
    share = expected.item_correlation
    variance = expected.reader_sd**2 / readers
    return math.sqrt(variance + decision * ((1.0 - share) / readers + share))


def group_df(expected: Expected, readers: int, images: int) -> float:
    """Degrees of freedom of that standard error as it will be estimated (Hillis 2007)."""
    decision = power.binomial_sd(expected.accuracy, images) ** 2
    of_readers = expected.reader_sd**2 + decision * (1.0 - expected.item_correlation)
    if of_readers <= 0.0:
        return math.inf
    whole = group_se(expected, readers, images) ** 2
    return whole**2 / ((of_readers / readers) ** 2 / (readers - 1))


def group_half_width(expected: Expected, readers: int, images: int) -> float:
    """Half of the 95 % interval to be expected for other readers and images."""
    quantile = scipy_stats.t.ppf(0.975, group_df(expected, readers, images))
    return float(quantile * group_se(expected, readers, images))


def group_power(expected: Expected, readers: int, images: int) -> float:
    """Chance that the group's interval excludes guessing: noncentral t, an approximation."""
    df = group_df(expected, readers, images)
    shift = abs(expected.accuracy - 0.5) / group_se(expected, readers, images)
    limit = scipy_stats.t.ppf(1.0 - ALPHA / 2.0, df)
    return float(scipy_stats.nct.sf(limit, df, shift) + scipy_stats.nct.cdf(-limit, df, shift))


def readers_needed(
    expected: Expected, images: int, half_width: float | None = None, wanted: float = 0.8
) -> int | None:
    """Least readers for an interval of a group, or for its power against guessing.

    Args:
        expected: Of the readers.
        images: That each of them judges.
        half_width: Of the 95 % interval; None asks for the power instead.
        wanted: Power.

    Returns:
        reader_intervals.FEWEST_READERS to _MOST_READERS, None if more would be needed.
    """
    for readers in range(reader_intervals.FEWEST_READERS, _MOST_READERS + 1):
        if half_width is None:
            enough = group_power(expected, readers, images) >= wanted
        else:
            enough = group_half_width(expected, readers, images) <= half_width
        if enough:
            return readers
    return None


def text(expected: Expected, half_width: float = 0.1, wanted: float = 0.8) -> str:
    """The plan as Markdown.

    Args:
        expected: Of the readers.
        half_width: Of a reader's interval that is wanted.
        wanted: Power that is wanted.
    """
    p = expected.accuracy
    lines = [
        f"# Plan of a reader study: an accuracy of {100 * p:g} %",
        "",
        "One reader (images: as many synthetic as real):",
        "",
        results.markdown_table(
            ["images", "SD of the number right", "SD in %", "95 % interval", "told from guessing"],
            [
                [
                    images,
                    f"{images * power.binomial_sd(p, images):.1f}",
                    f"{100 * power.binomial_sd(p, images):.1f}",
                    _interval(p, images),
                    f"{100 * reader_power(p, images):.0f} %",
                ]
                for images in _IMAGES
            ],
        ),
        "",
        "SD: the paper's sqrt(n p q) and sqrt(p q / n); interval: exact (Clopper-Pearson); last "
        "column: power of the exact two-sided binomial test at 5 %.",
        "",
        f"* {images_for_half_width(p, half_width):,} images for an interval of "
        f"± {100 * half_width:g} points",
    ]
    if p != 0.5:
        lines.append(
            f"* {images_against_guessing(p, wanted):,} images to tell it from guessing with a "
            f"power of {100 * wanted:g} %"
        )
    table = [
        [
            readers,
            *(
                f"± {100 * group_half_width(expected, readers, images):.0f}; "
                f"{100 * group_power(expected, readers, images):.0f} %"
                for images in _IMAGES
            ),
        ]
        for readers in _READERS
    ]
    most = f"> {_MOST_READERS}"
    for title, goal in (
        (f"readers for ± {100 * half_width:g}", half_width),
        (f"readers for {100 * wanted:g} %", None),
    ):
        needed = [readers_needed(expected, images, goal, wanted) for images in _IMAGES]
        table.append([title, *(count or most for count in needed)])
    lines += [
        "",
        f"A group whose readers differ by an SD of {100 * expected.reader_sd:g} points and whose "
        f"errors at an image correlate by {expected.item_correlation:g}: half of the 95 % interval "
        "for other readers and images in points, and power against guessing:",
        "",
        results.markdown_table(["readers", *(f"{n} images" for n in _IMAGES)], table),
        "",
        "Readers and images do not replace each other: with few readers the interval stays wide "
        "however many images they read. SD and correlation are guesses until a pilot was read.",
    ]
    return "\n".join(lines)


def _interval(accuracy, images):
    low, high = reader_intervals.share_interval(round(accuracy * images), images)
    return f"{100 * low:.0f} to {100 * high:.0f} %"
