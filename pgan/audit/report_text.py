"""The report of an audit for people: Markdown of its numbers."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pgan import results

_LISTED = 20  # suspected copies


def write(
    report: Mapping[str, Any],
    failed_controls: Sequence[str],
    found: Mapping[str, Sequence[str]],
    limits: Sequence[str],
    sheets: str | None,
) -> str:
    """Writes the report as Markdown.

    Args:
        report: Of `procedure.run`.
        failed_controls: Sentences of the verdict, see `reporting`.
        found: As well.
        limits: What the audit does not tell.
        sheets: Path of the sheets beside the report, or None.
    """
    facts = report["facts"]
    sections = [
        f"# Privacy audit of {facts['generator']}",
        *_verdict(report, failed_controls, found),
        "## What was compared",
        _compared(report),
        "## Copies of training images",
        *_copies(report),
        "## Controls: what this audit catches",
        *_controls(report),
        "## Training patients against others",
        *_against_others(report),
        "## Membership inference",
        *_membership(report),
        "## For a reader",
        _reading(sheets),
        "## What this audit does not tell",
        "\n".join(f"* {text}" for text in limits),
    ]
    return "\n\n".join(sections) + "\n"


def _verdict(report, failed_controls, found):
    lines = []
    if failed_controls:
        listed = "\n".join(f"* {text}" for text in failed_controls)
        lines += [
            "**FAILED CONTROL.** This audit missed what it had to find, so that it says nothing "
            f"by what it did not find:\n\n{listed}"
        ]
    elif report["control"]:
        lines.append("All controls were caught.")
    else:
        lines.append("The planted copies were caught. The over-trained generator was switched off.")
    texts = [text for texts in found.values() for text in texts]
    if texts:
        lines.append("**Found:**\n\n" + "\n".join(f"* {text}" for text in texts))
    elif not failed_controls:
        lines.append(
            f"No copy of a training image was found among {report['facts']['count']:,} synthetic "
            "images by the criterion below. Neither a preference for training patients nor their "
            "membership was recognised. That is what was tested; the last section says what was "
            "not."
        )
    return lines


def _compared(report):
    facts = report["facts"]
    cells = [
        ["synthetic images", f"{facts['count']:,}, drawn for the labels of the training fold"],
        ["training fold", _fold_text(report["train"])],
        ["held-out fold", _fold_text(report["held_out"])],
        ["compared at", f"{report['compared_px']} px; copies told at {report['copies_px']} px"],
        [
            "equal numbers",
            f"{report['pool']['images']:,} images of {report['pool']['patients']:,} patients of "
            "each fold, drawn in pairs of patients with equally many images",
        ],
        ["features", json.dumps(facts["features"])],
        ["seed", str(facts["seed"])],
    ]
    if facts["images_existed"]:
        cells[0][1] = f"{facts['count']:,}, of a folder"
    return results.markdown_table(("", ""), cells)


def _copies(report):
    criterion, facts = report["criterion"], report["facts"]
    near, alone = criterion["near"], criterion["alone"]
    near_s, near_most = (1 - np.exp(-near[key]) for key in ("value", "largest"))
    alone_r, alone_most = (np.exp(-alone[key]) for key in ("value", "largest"))
    lines = [
        "Two images are compared after they were moved against each other by up to 2 px, given "
        "the same mean and contrast, and smoothed. A synthetic image is a suspected copy if its "
        f"SSIM to a training image is above {near_s:.4f} (the largest that one of "
        f"{near['reals']:,} real images reached to a training image of another patient: "
        f"{near_most:.4f}), or if its "
        "dissimilarity (1 - SSIM) to one patient is less than "
        f"{alone_r:.3f} of that to any other (smallest of the real images: {alone_most:.3f}). With "
        "these thresholds a generator that copies nothing, and whose images are no more alike to "
        "training images than real ones are, has a suspected copy in about one of twenty audits at "
        "most. They are extrapolated from the largest tenth of what real images reach; one in "
        f"{near['reals']:,} is the rarest that was observed.",
        f"**{len(report['suspects'])} of {facts['count']:,} synthetic images are suspected.**",
    ]
    if report["suspects"]:
        cells = [
            [
                row["image"],
                row["record"],
                f"{row['similarity']:.4f}",
                f"{np.exp(-row['alone']):.3f}",
            ]
            for row in report["suspects"][:_LISTED]
        ]
        header = (
            "image",
            "training record",
            "SSIM, aligned",
            "dissimilarity to the next patient's",
        )
        lines.append(results.markdown_table(header, cells))
        if len(report["suspects"]) > _LISTED:
            lines.append(f"And {len(report['suspects']) - _LISTED} more in `report.json`.")
    search = report["search"]
    quantiles = [
        [name, *(f"{value:.4g}" for value in row.values())]
        for name, row in report["nearest"].items()
    ]
    lines += [
        f"The {facts['neighbours']} nearest training images of each are in `neighbours.csv`. By "
        "SSIM they were searched for in sieves: of those that a comparison with all training "
        f"images gives, {search['recall']:.1%} were found (measured with {search['images']} "
        "images). In features all distances were computed. Distances to the nearest (1 - SSIM; "
        "Euclidean):",
        results.markdown_table(("", "smallest", "median", "largest"), quantiles),
    ]
    return lines


def _controls(report):
    cells = [
        [
            row["text"],
            f"{row['caught']} of {row['count']}",
            _interval(row["interval"]),
            f"{row['required']:.0%}",
            f"{row['nearest_by_ssim']} of {row['count']}",
            "caught" if row["passed"] else "FAILED CONTROL",
        ]
        for row in report["planted"].values()
    ]
    header = ("planted copies", "caught", "95 % interval", "required", "nearest by SSIM", "")
    lines = [
        "Copies of training images of different patients were slipped in among the synthetic "
        "ones. Caught are those that are suspected, and of the right image. By plain SSIM, without "
        "alignment, the right image is the nearest one in as many as the fifth column says.",
        results.markdown_table(header, cells),
    ]
    control = report["control"]
    if not control:
        return [*lines, "The over-trained generator was switched off (--nocontrol_generator)."]
    attack = control["attack"]
    return [
        *lines,
        f"A generator of {control['resolution']} px was trained on {control['images']} training "
        f"images alone, {control['images_shown'] // control['images']:,} times each, and audited "
        f"in the same way: {control['caught']} of {control['drawn']} of its images "
        f"({_interval(control['interval'])}; {control['required']:.0%} required) are caught, as "
        f"copies of {control['originals_found']} of the {control['images']}: "
        f"{'caught' if control['passed'] else '**FAILED CONTROL**'}. Membership of the "
        f"{control['images']} against {attack['others']} held-out images is recognised with AUC "
        f"{with_interval(attack['auc'], attack['auc_interval'])}: "
        f"{'caught' if control['attack_passed'] else '**FAILED CONTROL**'}.",
    ]


def _against_others(report):
    cells = [
        [
            space,
            with_interval(test["preference"]["share"], test["preference"]["interval"]),
            f"{test['preference']['p_value']:.2g}",
            with_interval(test["copying"]["nearer"], test["copying"]["interval"]),
            f"{test['copying']['z']:.1f}",
            f"{test['authenticity']:.1f}",
        ]
        for space, test in report["distances"].items()
    ]
    header = ("distance", "prefer training", "p", "nearer than held-out", "C_T", "AuthPct")
    return [
        results.markdown_table(header, cells),
        "*Prefer training*: share of synthetic images whose nearest real image, of equally many of "
        "both folds, is one that was trained on; 0.5 without memory. The p-value is one-sided, by "
        "exchange of patients in pairs. *Nearer than held-out*: probability that a synthetic "
        "image is nearer to its nearest training image than a held-out image is to its own; "
        "*C_T* is the same in standard deviations, below 0 if nearer, one cell. Both also move "
        "with the quality of the images: blurred ones are near to everything. *AuthPct*: percent "
        "of synthetic images that are farther from their nearest training image than that one is "
        "from the nearest of another patient. Intervals are of a bootstrap by patient.",
    ]


def _membership(report):
    cells = [
        [
            attack["name"],
            f"{attack['members']:,} ({attack['member_patients']:,})",
            f"{attack['others']:,} ({attack['other_patients']:,})",
            with_interval(attack["auc"], attack["auc_interval"]),
            attack["reason"] or with_interval(attack["tpr"], attack["tpr_interval"]),
        ]
        for attack in report["attacks"]
    ]
    header = ("attack", "members (patients)", "others (patients)", "AUC", "TPR at 1 % FPR")
    lines = [
        "Scores: against the generator, how near the nearest synthetic image is; against the "
        "discriminator, how real the image looks to it. AUC 0.5 is luck. Intervals are of a "
        "bootstrap by patient; each of an attack which recognises nothing lies above luck in about "
        "one of forty audits.",
        results.markdown_table(header, cells),
    ]
    if report["discriminator_shown"] is not None:
        lines.append(
            "The discriminator is not part of an export, and must not be passed on with it: it was "
            "shown the training images themselves."
        )
    return lines


def _reading(sheets):
    if sheets is None:
        return "No sheets were drawn (--sheets=0)."
    return (
        f"[{sheets}]({sheets}) shows synthetic images beside their nearest training images. A "
        "radiologist marks copies, writing, jewellery and unique anatomy there and exports the "
        "marks. The page shows images of patients: like the folder `work`, it must not leave the "
        "hospital."
    )


def _fold_text(row):
    return f"{row['fold']}: {row['images']:,} images of {row['patients']:,} patients"


def _interval(row):
    return f"{row['low']:.2f} to {row['high']:.2f}"


def with_interval(value: float, row: Mapping[str, float]) -> str:
    """A number with its 95 % interval."""
    return f"{value:.3f} ({row['low']:.3f} to {row['high']:.3f})"
