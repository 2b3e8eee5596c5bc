"""Whose generator draws which image of a pooled set, and with what labels.

Label rows are in one vocabulary. A row goes to a site whose generator knows all findings of the
row; which one, the shares of the sites decide. Findings that a generator does not know are unknown
(NaN) in the labels of its images, not absent.
"""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from pgan import label_plan, synthesis
from pgan.data import labels as labels_lib
from pgan.data import pool, record_set
from pgan.deposit import ledger, storage, vocabulary

# Images that are drawn before those of several sites are put in order; bounds memory.
_WINDOW_PIXELS, _LARGEST_WINDOW = 2**26, 1024


@dataclasses.dataclass(frozen=True)
class Member:
    """A generator that takes part.

    Attributes:
        submission: Where it comes from.
        generator: Loaded.
        weight: Its part of the images, relative to the others'.
    """

    submission: storage.Submission
    generator: synthesis.ExportedGenerator
    weight: float


def newest_admitted(
    submissions: Sequence[storage.Submission], wanted: Sequence[storage.Submission] | None = None
) -> list[storage.Submission]:
    """What a pooled set is drawn from.

    Args:
        submissions: All of the deposit, oldest first.
        wanted: Those that were asked for; None takes the newest admitted one of each site.

    Raises:
        ValueError: If none is admitted, or one that was asked for is not.
    """
    if wanted is not None:
        for one in wanted:
            if one.status != ledger.ADMITTED:
                reasons = "; ".join((one.decision or {}).get("reasons", [])) or "--action=admit"
                raise ValueError(f"{one.id} is {one.status}, not admitted: {reasons}")
        return list(wanted)
    newest = {one.site: one for one in submissions if one.status == ledger.ADMITTED}
    if not newest:
        raise ValueError("no submission is admitted; see --action=list and --action=admit")
    return list(newest.values())


def load(
    deposit: storage.Deposit,
    submissions: Sequence[storage.Submission],
    weights: Mapping[str, float] | None = None,
) -> list[Member]:
    """Checks and loads generators.

    Args:
        deposit: The deposit.
        submissions: Whose.
        weights: {site: part of the images}; equal parts for None. Several generators of a site
            share its part.

    Raises:
        ValueError: If a weight is missing, not positive, or of another site; if the generators'
            training images were made square in several ways; if files have been changed.
    """
    sites = [one.site for one in submissions]
    weights = dict.fromkeys(sites, 1.0) if weights is None else weights
    if set(weights) != set(sites) or not all(0 < w < float("inf") for w in weights.values()):
        raise ValueError(
            f"--weights wants a positive number for each of {', '.join(sorted(set(sites)))}, got "
            f"{', '.join(f'{site}={w:g}' for site, w in weights.items())}"
        )
    _require_one_preparation(submissions)
    members = []
    for one in submissions:
        with deposit.opened(one) as private:
            generator = synthesis.load(private / storage.GENERATOR)
        members.append(Member(one, generator, weights[one.site] / sites.count(one.site)))
    return members


def rows_of_records(
    path: str | os.PathLike, fold: str, findings: Sequence[str]
) -> label_plan.LabelPlan:
    """The label rows of a fold in another vocabulary, unknown and unlabelled findings as absent.

    Raises:
        ValueError: If the record set or fold cannot be used.
    """
    known = record_set.RecordSet.open(path, verify="size").findings
    plan = label_plan.from_records(path, fold, known)
    rows = np.nan_to_num(vocabulary.translate(plan.rows, known, findings), nan=0.0)
    return dataclasses.replace(plan, rows=rows)


class Order:
    """What is to be drawn by whom.

    Attributes:
        members: The generators.
        findings: Vocabulary of the set.
        resolution: Of its images, px; larger ones are reduced as real ones are.
        owners: int64 [N], which member draws each image.
        labels: float32 [N, L] of the set, NaN for what a generator does not know.
        plan: Where the rows come from.
        seed: Of all images; image i has index i.
    """

    def __init__(
        self,
        members: Sequence[Member],
        findings: Sequence[str],
        plan: label_plan.LabelPlan,
        count: int,
        seed: int,
        resolution: int | None = None,
    ):
        """Deals out the images.

        Args:
            members: The generators.
            findings: Vocabulary of the set.
            plan: Its label rows.
            count: Images.
            seed: Of the images.
            resolution: A power of two up to the smallest of the generators; that one for None.

        Raises:
            ValueError: If no generator knows a row's findings, or a number cannot be used.
        """
        smallest = min(member.generator.resolution for member in members)
        if count < 1:
            raise ValueError(f"--count must be at least 1, got {count}")
        if resolution is not None and not 4 <= resolution <= smallest:
            raise ValueError(
                f"--resolution must be a power of two from 4 to {smallest}, the smallest of the "
                f"generators, got {resolution}"
            )
        self.members, self.findings = tuple(members), tuple(findings)
        self.resolution, self.plan, self.seed = resolution or smallest, plan, seed
        self._rows = plan.labels(count)
        knows = np.array([_known(member, self.findings) for member in members])
        self.owners = deal_out(self._rows, self.findings, knows, [m.weight for m in members])
        self.labels = np.where(knows[self.owners], self._rows, np.nan).astype(np.float32)

    def draw(self, indices: np.ndarray, batch_size: int | None = None) -> Iterator[np.ndarray]:
        """Yields the images of some indices in their order, uint8 [R, R], R that of each member."""
        largest = max(member.generator.resolution for member in self.members)
        window = max(1, min(_LARGEST_WINDOW, _WINDOW_PIXELS // largest**2))
        for start in range(0, len(indices), window):
            part = np.asarray(indices[start : start + window])
            drawn = {}
            for number, member in enumerate(self.members):
                own = part[self.owners[part] == number]
                wanted = member.generator.findings
                rows = vocabulary.translate(self._rows[own], self.findings, wanted)
                seeds = np.full(len(own), self.seed, np.int64)
                images = member.generator.stream(
                    np.nan_to_num(rows, nan=0.0), seeds, own, batch_size
                )
                drawn.update(zip(own.tolist(), images, strict=True))
            yield from (drawn[index] for index in part.tolist())

    def names(self) -> list[str]:
        """Record ids; they begin with the generator's fingerprint, as those of other sets do."""
        marks = [member.generator.fingerprint[:12] for member in self.members]
        return [f"{marks[owner]}-{self.seed}-{i:06d}" for i, owner in enumerate(self.owners)]

    def counts(self) -> dict[str, int]:
        """{submission: images}."""
        counts = np.bincount(self.owners, minlength=len(self.members)).tolist()
        return {m.submission.id: n for m, n in zip(self.members, counts, strict=True)}

    def describe(self) -> dict:
        """Everything that decides the images, JSON types; the provenance of the set."""
        first = self.members[0].submission.facts["training_records"]
        return {
            "generators": [
                {
                    "submission": member.submission.id,
                    "submission_sha256": member.submission.sha256,
                    "generator_fingerprint": member.generator.fingerprint,
                    "weight": member.weight,
                    "images": self.counts()[member.submission.id],
                }
                for member in self.members
            ],
            # One for all; where that is looked for in sets of one generator, too.
            "training_records": {"preparation": first.get("preparation")},
            "seed": self.seed,
            "labels": self.plan.origin,
        }


def deal_out(
    rows: np.ndarray, findings: Sequence[str], knows: np.ndarray, weights: Sequence[float]
) -> np.ndarray:
    """Decides who draws which row.

    Rows that fewer generators can draw are dealt first; each goes to the one of those that can
    which has most of its share left. So shares are met wherever the findings permit it.

    Args:
        rows: float32 [N, L].
        findings: Names of the columns.
        knows: Bool [M, L], which findings each generator knows.
        weights: Of each generator.

    Returns:
        int64 [N].

    Raises:
        ValueError: If nobody knows all findings of a row; names them.
    """
    able = ~np.any((rows[:, None, :] > 0) & ~knows[None], axis=2)
    alone = np.flatnonzero(~able.any(axis=1))
    if len(alone):
        names = [name for name, value in zip(findings, rows[alone[0]], strict=True) if value > 0]
        raise ValueError(
            f"no generator knows {', '.join(names)} ({len(alone)} of {len(rows)} label rows); "
            "choose other --findings or --submissions"
        )
    shares = np.array(pool.apportion(len(rows), weights), np.float64)
    left, owners = shares.copy(), np.zeros(len(rows), np.int64)
    for row in np.argsort(able.sum(axis=1), kind="stable"):
        open_part = np.where(able[row], left / np.maximum(shares, 1), -np.inf)
        owners[row] = np.argmax(open_part)
        left[owners[row]] -= 1
    return owners


def _require_one_preparation(submissions) -> None:
    known = {}
    for one in submissions:
        preparation = one.facts["training_records"].get("preparation")
        if preparation is not None:
            known.setdefault(str(sorted(preparation.items())), []).append(one)
    if len(known) > 1:
        lines = [
            f"  {', '.join(one.id for one in group)}: "
            f"{group[0].facts['training_records']['preparation']}"
            for group in known.values()
        ]
        raise ValueError(
            "the generators were trained on images that were prepared in several ways, which would "
            "tell the sites apart:\n" + "\n".join(lines) + "\nGive --submissions of one way."
        )


def _known(member, findings) -> list[bool]:
    # Images without any finding can be asked for in every vocabulary.
    return [
        labels_lib.is_no_finding(name) or vocabulary.knows(member.generator.findings, name)
        for name in findings
    ]
