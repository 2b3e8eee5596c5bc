"""What readers who tell synthetic radiographs from real ones got right <Table 1, table S2>.

A positive is a synthetic image: sensitivity is the share of synthetic images that were found to be
synthetic, specificity the share of real ones that were found to be real. NumPy and SciPy only.
"""

import dataclasses
import math

import numpy as np
from scipy import stats as scipy_stats

from classifier import agreement, reader_answers, reader_intervals, stats

RATES = ("accuracy", "sensitivity", "specificity")
AUC = "auc"
UNANSWERED = ("wrong", "excluded")
ALL_READERS = "all readers"
# A person needs about as long to react to any picture at all, so that a quicker answer was not
# given to this image.
QUICK_SECONDS = 0.2

_EXCHANGES = 10_000


@dataclasses.dataclass(frozen=True)
class Panel:
    """Answers to the images of one resolution, R readers by N images.

    Attributes:
        resolution: Side of the images in px.
        items: Their names [N].
        synthetic: What they are, bool [N].
        readers: Codes [R].
        groups: Of the readers [R].
        shown: Whether a reader was shown an image, bool [R, N]; all True in a complete study.
        called: float64 [R, N], 1 called synthetic, 0 called real, NaN no answer.
        confidence: float64 [R, N], 1 to 5, NaN where it was not asked or given.
        seconds: float64 [R, N], time to the answer or to the end of the time, NaN where not shown.
    """

    resolution: int
    items: tuple[str, ...]
    synthetic: np.ndarray
    readers: tuple[str, ...]
    groups: tuple[str, ...]
    shown: np.ndarray
    called: np.ndarray
    confidence: np.ndarray
    seconds: np.ndarray

    def of_group(self, group: str) -> np.ndarray:
        """Places of the readers of a group, or of ALL_READERS."""
        return np.flatnonzero([group in (ALL_READERS, own) for own in self.groups])


def panels(study: reader_answers.Study) -> list[Panel]:
    """Tables of answers, one for each resolution, from the least."""
    readers = tuple(study.answers)
    groups = tuple(study.deck.readers[code] for code in readers)
    found = []
    for resolution, items in study.deck.items.items():
        shape = (len(readers), len(items))
        table = {name: np.full(shape, np.nan) for name in ("called", "confidence", "seconds")}
        shown = np.zeros(shape, bool)
        for row, code in enumerate(readers):
            for column, item in enumerate(items):
                one = study.answers[code].by_item.get(item)
                if one is None:
                    continue
                shown[row, column] = True
                table["seconds"][row, column] = one["milliseconds"] / 1000.0
                if one["answer"] is not None:
                    table["called"][row, column] = one["answer"] == "synthetic"
                if one["confidence"] is not None:
                    table["confidence"][row, column] = one["confidence"]
        synthetic = np.array([study.key[item]["origin"] == "synthetic" for item in items])
        found.append(Panel(resolution, items, synthetic, readers, groups, shown, **table))
    return found


def group_names(found: Panel) -> list[str]:
    """The groups of the readers as they come, and ALL_READERS last where there are several."""
    names = list(dict.fromkeys(found.groups))
    return names if len(names) == 1 else [*names, ALL_READERS]


def right(panel: Panel, unanswered: str = "wrong") -> np.ndarray:
    """Which answers are right: float64 [R, N], 1 right, 0 wrong, NaN where nothing counts.

    Args:
        panel: The answers.
        unanswered: Of UNANSWERED: whether an image whose time ran out counts as wrong or not.

    Raises:
        ValueError: For another word.
    """
    if unanswered not in UNANSWERED:
        raise ValueError(f"unanswered images are {' or '.join(UNANSWERED)}, got {unanswered!r}")
    found = np.where(np.isnan(panel.called), np.nan, panel.called == panel.synthetic)
    if unanswered == "wrong":
        found[panel.shown & np.isnan(panel.called)] = 0.0
    return found


def suspicion(panel: Panel) -> np.ndarray:
    """How synthetic an image looked: its confidence, with a minus for what was called real.

    Returns:
        float64 [R, N], -5 to 5; NaN without an answer or its confidence.
    """
    return np.where(panel.called == 1.0, panel.confidence, -panel.confidence) + 0 * panel.called


def estimates(panel: Panel, metric: str, unanswered: str = "wrong") -> reader_intervals.Estimates:
    """A measure of every reader. Images are drawn within their kind, real or synthetic.

    Args:
        panel: The answers.
        metric: Of RATES, or AUC, for which only answers with a confidence count.
        unanswered: Of UNANSWERED.
    """
    found = suspicion(panel) if metric == AUC else right(panel, unanswered)
    if metric in ("sensitivity", "specificity"):
        found[:, panel.synthetic != (metric == "sensitivity")] = np.nan
    counted = ~np.isnan(found)
    values, influence = np.full(len(found), np.nan), np.zeros(found.shape)
    for row, own in enumerate(counted):
        if metric == AUC:
            values[row] = stats.roc_auc(panel.synthetic[own], found[row, own])
        elif own.any():
            values[row] = found[row, own].mean()
        if np.isnan(values[row]):
            continue
        kinds = [own & panel.synthetic, own & ~panel.synthetic]
        if metric == AUC:
            parts = stats.placements(panel.synthetic[own], found[row, own])
            weights = (1.0, 1.0)
        else:
            parts = [found[row, kind] for kind in kinds]
            weights = [kind.sum() / own.sum() for kind in kinds]
        for kind, part, weight in zip(kinds, parts, weights, strict=True):
            influence[row, kind] = reader_intervals.influence_of(part, weight)
    images = int(counted.any(axis=0).sum())
    return reader_intervals.Estimates(values, counted.sum(axis=1), images, influence)


def guessing_p_value(synthetic: np.ndarray, hits: int) -> float:
    """Exact two-sided binomial p value of so many right answers of a reader who guesses.

    A guesser is right half of the time or, where there are more images of one kind, as often as
    someone who always names that kind.

    Args:
        synthetic: Kind of the images that count, bool [N].
        hits: Right answers.

    Returns:
        NaN without images, or if all are of one kind.
    """
    share = max(np.mean(synthetic), 1.0 - np.mean(synthetic)) if len(synthetic) else 1.0
    if share == 1.0:
        return math.nan
    return float(scipy_stats.binomtest(hits, len(synthetic), share).pvalue)


def group_guessing_p_value(panel: Panel, readers: np.ndarray) -> float:
    """Two-sided p value of the right answers of a group that cannot tell real from synthetic.

    What is real is exchanged among the images, all readers' answers to an image staying together:
    readers who agree, as over an image that looks odd to all, are no independent witnesses, as a
    binomial test would take them for.

    Args:
        panel: The answers.
        readers: Places of the group's readers.

    Returns:
        At least 1 in 10,001; NaN without answers, or if all answered images are of one kind.
    """
    called = panel.called[readers]
    answered = (~np.isnan(called)).sum(axis=0)
    # By how much right answers change if the image is synthetic instead of real.
    gain = (2 * np.nansum(called, axis=0) - answered)[answered > 0]
    synthetic = panel.synthetic[answered > 0]
    if not 0 < synthetic.sum() < len(synthetic):
        return math.nan
    rng = np.random.default_rng(0)
    exchanged = rng.permuted(np.tile(synthetic, (_EXCHANGES, 1)), axis=1) @ gain
    # The mean over all exchanges; integers, so that equal ones are equal.
    expected = gain.sum() * synthetic.mean()
    as_far = np.abs(exchanged - expected) >= abs(gain[synthetic].sum() - expected) - 1e-9
    return float((1 + as_far.sum()) / (1 + _EXCHANGES))


def kappa(panel: Panel, readers: np.ndarray) -> agreement.Kappa | None:
    """Fleiss' kappa of what readers called the images that all of them answered.

    Its interval is about other images, these readers being as they are.

    Args:
        panel: The answers.
        readers: Their places.

    Returns:
        None for one reader, or fewer than two such images.
    """
    called = panel.called[readers]
    called = called[:, ~np.isnan(called).any(axis=0)]
    if len(readers) < 2 or called.shape[1] < 2:
        return None
    synthetic = called.sum(axis=0)
    return agreement.fleiss_kappa(np.stack([synthetic, len(readers) - synthetic], axis=1))


def same_verdict(panel: Panel, was_right: bool) -> np.ndarray:
    """Images that all readers judged rightly, or all wrongly: bool [N].

    An image that a reader did not answer is neither.
    """
    return (right(panel, "excluded") == was_right).all(axis=0)
