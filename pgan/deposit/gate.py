"""The quality gate of a deposit: thresholds, and what they say of a submission.

Han et al. 2020 propose to keep inferior generators out of the central repository by a criterion
such as the FID <Discussion>. A distance alone says little: its value depends on the features, the
count of images and the reference. So it is compared with two others that were measured with the
same: real images in the place of the synthetic ones (the floor), and the same reals without any
detail (the blur).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from pgan import config
from pgan.config import option
from pgan.deposit import ledger

# Those of `pgan.audit`, which loads TensorFlow: what an audit can find; px at which it looks for
# copies at most; planted copies of each kind by default. Any fold that it takes has patients for
# so many.
AUDIT_KINDS = ("controls", "copies", "distances", "membership")
COPIES_PX = 128
PLANTED = 20


@dataclasses.dataclass(frozen=True)
class Thresholds(config.Config):
    """What a generator has to reach, with the reasons for the defaults."""

    max_floor_ratio: float = option(
        20.0,
        "Frechet distance at most so many times that between real images. That one falls with the "
        "count, so that the ratio of one generator grows with it: for a trained phantom generator "
        "2.6 at 200 images. The default refuses what is broken, not what is middling.",
    )
    max_blur_share: float = option(
        0.5,
        "Part of the way from the distance between real images to that of images without detail "
        "(8 px) at most; does not depend on the count. 0.5: nearer to real ones than to blurs.",
    )
    min_coverage_ratio: float = option(
        0.5,
        "Coverage (share of real images with a synthetic one nearby) at least so many times that "
        "of other real images: half of the variety.",
    )
    max_similarity_gap: float = option(
        0.1,
        "Pairs of synthetic images with the same finding may be more alike than real pairs by at "
        "most this MS-SSIM, beyond two standard errors. Real pairs differ by 0.1 to 0.2 (SD).",
    )
    claim_tolerance: float = option(
        0.1,
        "Part by which the measured distance may exceed what the site claims for the same number; "
        "other seeds and machines change it by a few per cent.",
    )
    require_claim: bool = option(False, "Reject, not only flag, what has no claim to compare.")
    min_images: int = option(
        200, "Fewest images of each set that a decision rests on; below, distances say little."
    )
    min_audit_images: int = option(
        1000, "Fewest synthetic images of the site's privacy audit; the paper looked at 1,000."
    )
    audit_fail_on: tuple[str, ...] = option(
        ("controls", "copies"),
        "What in an audit rejects: controls, copies, distances, membership. The others are "
        "flagged: they are statistical, and found in most generators with few patients.",
        AUDIT_KINDS,
    )

    def __post_init__(self):
        """Checks the values.

        Raises:
            ValueError: If one cannot be used.
        """
        self._check_choices()
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and value < 0:
                raise ValueError(f"--{field.name} must be at least 0, got {value}")


@dataclasses.dataclass(frozen=True)
class Decision:
    """What the gate says.

    Attributes:
        reasons: Why the submission is rejected; empty if it is admitted.
        flags: What a user of the generator should know.
    """

    reasons: list[str]
    flags: list[str]

    @property
    def event(self) -> str:
        """Of the ledger, `admitted` or `rejected`."""
        return ledger.REJECTED if self.reasons else ledger.ADMITTED


def judge(
    measured: Mapping[str, Any],
    claim: Mapping[str, Any] | None,
    audit: Mapping[str, Any] | None,
    thresholds: Thresholds,
) -> Decision:
    """Judges a submission.

    Args:
        measured: Of `measuring.summarise`.
        claim: Of `measuring.comparable_claim`.
        audit: Of `testimony.brief`, or None.
        thresholds: What is wanted.
    """
    reasons, flags = _judge_images(measured, thresholds)
    found = _judge_claim(measured, claim, thresholds)
    (reasons if thresholds.require_claim or claim is not None else flags).extend(found)
    more, noted = judge_audit(audit, measured["resolution"], thresholds)
    return Decision(reasons + more, flags + noted)


def judge_audit(
    audit: Mapping[str, Any] | None, resolution: int, thresholds: Thresholds
) -> tuple[list[str], list[str]]:
    """Reasons and flags that the site's audit gives.

    Args:
        audit: Of `testimony.brief`, or None.
        resolution: Of the generator's images, px.
        thresholds: What is wanted.
    """
    if audit is None:
        return [
            "the site sent no privacy audit (tools/audit_privacy.py --export=..., then submit a "
            "new version with --audit)"
        ], []
    reasons, flags = [], ["the audit is the site's word; its images never leave the site"]
    count = audit["count"]
    if count < thresholds.min_audit_images:
        reasons.append(
            f"the audit looked at {count:,} images, {thresholds.min_audit_images:,} are wanted "
            "(--min_audit_images)"
        )
    if audit["planted"] < PLANTED:
        reasons.append(
            f"the audit planted {audit['planted']} copies of a kind, {PLANTED} are wanted: fewer "
            f"are caught by luck (tools/audit_privacy.py --planted={PLANTED})"
        )
    wanted = min(resolution, COPIES_PX)
    if audit["copies_px"] < wanted:
        reasons.append(
            f"the audit looked for copies at {audit['copies_px']} px, {wanted} px are wanted of a "
            f"generator of {resolution} px (tools/audit_privacy.py without --resolution)"
        )
    elif wanted < resolution:
        flags.append(
            f"the audit looked for copies at {audit['copies_px']} px, the generator draws "
            f"{resolution} px"
        )
    if not audit["control_generator"]:
        flags.append("the audit was made without an over-trained control generator")
    if audit.get("part_trained_on"):
        flags.append(
            "the generator was trained on a part of the audited fold, so that the audit's "
            "membership looks weaker than it is"
        )
    if audit.get("strangers"):
        reasons.append(
            "the generator was started from networks trained on other records "
            f"({', '.join(audit['strangers'])}), which the audit did not look at"
        )
    kinds = {**audit["found"], "controls": audit["failed_controls"]}
    for kind, sentences in kinds.items():
        target = reasons if kind in thresholds.audit_fail_on else flags
        target.extend(f"audit, {kind}: {sentence}" for sentence in sentences)
    return reasons, flags


def _judge_images(measured, thresholds) -> tuple[list[str], list[str]]:
    reasons, flags, metric = [], [], measured["metric"]
    if measured["count"] < thresholds.min_images:
        reasons.append(
            f"{measured['count']} images of each set were measured, {thresholds.min_images} are "
            "wanted (--count, --min_images)"
        )
    # Written so that a NaN is rejected.
    if not measured["ratio"] <= thresholds.max_floor_ratio:
        reasons.append(
            f"{metric} is {measured['distance']:.3g}, {measured['ratio']:.1f} times that between "
            f"real images ({measured['floor']:.3g}); at most {thresholds.max_floor_ratio:g} times "
            "are allowed (--max_floor_ratio)"
        )
    if not measured["blur_share"] <= thresholds.max_blur_share:
        reasons.append(
            f"{metric} is {measured['blur_share']:.0%} of the way from real images to images "
            f"without detail ({measured['blur']:.3g}); at most {thresholds.max_blur_share:.0%} are "
            "allowed (--max_blur_share)"
        )
    if measured["coverage"] is None:
        flags.append("coverage was not measured, there are too few images")
    else:
        wanted = thresholds.min_coverage_ratio * measured["floor_coverage"]
        if not measured["coverage"] >= wanted:
            reasons.append(
                f"coverage is {measured['coverage']:.2f}, at least {wanted:.2f} is wanted: "
                f"{thresholds.min_coverage_ratio:g} times that of other real images "
                "(--min_coverage_ratio)"
            )
    gap = measured["similarity_gap"]
    if gap is None:
        flags.append("similarity of pairs was not measured")
    else:
        error = measured["similarity_gap_error"] or 0.0
        if not gap - 2 * error <= thresholds.max_similarity_gap:
            reasons.append(
                f"synthetic images with the same finding are more alike than real ones by "
                f"{gap:.2f} ({measured['similarity_metric']}, standard error {error:.2f}); at most "
                f"{thresholds.max_similarity_gap:g} is allowed (--max_similarity_gap)"
            )
    return reasons, flags


def _judge_claim(measured, claim, thresholds) -> Sequence[str]:
    metric = measured["metric"]
    if claim is None:
        return [
            f"the site claims no {metric} against {measured['reference']}, so nothing could be "
            "compared with what was measured"
        ]
    if not measured["distance"] <= (1 + thresholds.claim_tolerance) * claim["value"]:
        return [
            f"the site claims a {metric} of {claim['value']:.3g}, {measured['distance']:.3g} was "
            f"measured, more than {thresholds.claim_tolerance:.0%} above (--claim_tolerance)"
        ]
    return []
