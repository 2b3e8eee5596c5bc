"""Judges what an audit found, and writes it for people and for machines.

    report.md, report.json, results.jsonl (a row for each number), neighbours.csv

The verdict says what was found by which test, and never more than that.
"""

import csv
import dataclasses
import io
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from pgan import results
from pgan.audit import membership, procedure, report_text
from pgan.data import manifest
from pgan.metrics import names

REPORT = "report"
RESULTS = "results.jsonl"
NEIGHBOURS = "neighbours.csv"

# What --fail_on takes, and the exit status of each.
KINDS = {"controls": 3, "copies": 4, "distances": 4, "membership": 4}
# Of the one-sided test that synthetic images prefer training patients.
SIGNIFICANT = 0.01

LIMITS = (
    "SSIM and feature distances can miss copies. Rotated, mirrored or scaled copies, copies "
    "that are moved by more than 2 px (as augmentation while training does), copies of a part of "
    "an image and others that are changed more than the planted ones were not looked for.",
    "One draw of {count:,} images was tested. An image that the generator draws once in "
    "{rare:,} times would with a probability of 5 % not be among them, and rarer ones still more "
    "easily.",
    "The generator has seen its training images through the gradients of the discriminator, which "
    "was trained on them. That it was never shown one directly does not protect anybody.",
    "Writing in the images is not read automatically, nor is jewellery recognised; that is what "
    "the sheets are for.",
    "Membership inference was tried with a few simple attacks. Stronger ones exist, for instance "
    "with other generators trained for comparison or by searching the latent space.",
    "Whether a person recognises herself, or an expert somebody by a rare finding, was not tested.",
    "The threshold for copies rests on {reals:,} real images. Nothing rarer than one of them was "
    "observed; beyond, it is extrapolated.",
)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What follows from an audit.

    Attributes:
        failed_controls: Controls that the audit did not catch; then it says nothing else.
        found: Kind of finding to sentences.
    """

    failed_controls: list[str]
    found: dict[str, list[str]]

    def status(self, fail_on: Sequence[str]) -> int:
        """Exit status: 3 if a control was missed, 4 if something was found, 0 otherwise.

        Args:
            fail_on: Of `KINDS`, what counts.
        """
        if self.failed_controls and "controls" in fail_on:
            return KINDS["controls"]
        return max((KINDS[kind] for kind in self.found if kind in fail_on), default=0)


def judge(report: Mapping[str, Any]) -> Verdict:
    """Judges the report of `procedure.run`."""
    failed = [
        f"planted copies, {row['text']}: {row['caught']} of {row['count']} caught, "
        f"{row['required']:.0%} required"
        for row in report["planted"].values()
        if not row["passed"]
    ]
    control = report["control"]
    if control and not control["passed"]:
        failed.append(
            f"over-trained generator: {control['caught']} of {control['drawn']} of its images "
            f"caught, {control['required']:.0%} required"
        )
    if control and not control["attack_passed"]:
        low = control["attack"]["auc_interval"]["low"]
        failed.append(
            "over-trained generator: membership of its images not recognised (AUC "
            f"{control['attack']['auc']:.2f}, lower end of the interval {low:.2f})"
        )
    found: dict[str, list[str]] = {}
    if report["suspects"]:
        found["copies"] = [
            f"{len(report['suspects'])} of {report['facts']['count']:,} synthetic images are "
            "suspected copies of training images"
        ]
    for space, test in report["distances"].items():
        preference = test["preference"]
        if preference["p_value"] < SIGNIFICANT:
            found.setdefault("distances", []).append(
                f"in {space}, synthetic images are nearer to training patients than to others: "
                f"{preference['share']:.1%} of them, p = {preference['p_value']:.2g}"
            )
    for attack in report["attacks"]:
        # An attack that is sure of a few patients has an AUC of nearly 0.5 (Carlini et al. 2022).
        numbers = [("AUC", "auc", 0.5), ("TPR at 1 % FPR", "tpr", membership.FPR)]
        for text, key, luck in numbers:
            interval = attack[f"{key}_interval"]
            if interval is not None and interval["low"] > luck:
                found.setdefault("membership", []).append(
                    f"membership is recognised better than by luck by the attack {attack['name']}: "
                    f"{text} {report_text.with_interval(attack[key], interval)}"
                )
    return Verdict(failed, found)


def write(
    output: str | os.PathLike,
    result: procedure.Result,
    sheets: str | None,
) -> Verdict:
    """Writes all files of the report.

    Args:
        output: Folder of the audit.
        result: Its result.
        sheets: Path of the sheets beside the report, or None.

    Returns:
        The verdict.
    """
    output, report = pathlib.Path(output), result.report
    verdict = judge(report)
    content = {**report, "verdict": dataclasses.asdict(verdict), "limits": limits(report)}
    text = report_text.write(
        report, verdict.failed_controls, verdict.found, content["limits"], sheets
    )
    manifest.write_text(output / f"{REPORT}.md", text)
    manifest.write_text(output / NEIGHBOURS, _neighbours_csv(result))
    # The report first: rows of a new audit must not stand beside the verdict of an old one.
    manifest.write_json(output / f"{REPORT}.json", content)
    results.write(output / RESULTS, rows(report))
    return verdict


def limits(report: Mapping[str, Any]) -> list[str]:
    """What the audit does not tell."""
    count = report["facts"]["count"]
    filled = [
        text.format(
            count=count,
            # (1 - 1/r)^count = 0.05 at r = count / 3, nearly.
            rare=max(1, round(count / 3)),
            reals=report["criterion"]["near"]["reals"],
        )
        for text in LIMITS
    ]
    if not report["facts"]["trained_on_known"]:
        filled.append(
            "What the images' generator was trained on is not recorded with them; that it was the "
            "fold given here was taken on trust."
        )
    if "strangers" in report["facts"]:
        filled.append(
            "The generator was started from networks that were trained on "
            f"{', '.join(report['facts']['strangers'])}. Whether it shows images of those was not "
            "looked at."
        )
    if "trained_images" in report["facts"]:
        filled.append(
            f"The generator was trained on {report['facts']['trained_images']:,} of the training "
            f"fold's {report['train']['images']:,} images. The others passed for training images: "
            "copies are found all the same, but membership and distances look weaker than they are."
        )
    if report["discriminator_shown"] is None:
        filled.append("No discriminator was attacked (no --run_dir was given).")
    if not report["control"]:
        filled.append(
            "The over-trained generator was switched off (--nocontrol_generator): that this audit "
            "finds what a generator has learned by heart is shown by planted copies only."
        )
    return filled


def rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row for each number, its name with everything that it depends on."""
    facts = report["facts"]
    count, size = names.number(facts["count"]), f"{report['compared_px']}px"
    train = names.number(report["train"]["images"])
    pool = names.number(report["pool"]["images"])
    found = [
        (f"suspected_copies{count}_t{train}_{report['copies_px']}px", len(report["suspects"]), {})
    ]
    k = facts["neighbours"]
    images = report["search"]["images"]
    found.append((f"search_recall{images}_k{k}_{size}", report["search"]["recall"], {}))
    for kind, row in report["planted"].items():
        name = f"planted_{kind}_caught{row['count']}_{report['copies_px']}px"
        found.append((name, row["caught"] / row["count"], {"interval": row["interval"]}))
    control = report["control"]
    if control:
        name = f"control_caught{control['drawn']}_{control['resolution']}px"
        more = {"interval": control["interval"], "images_shown": control["images_shown"]}
        found.append((name, control["caught"] / control["drawn"], more))
        attack = control["attack"]
        name = f"mia_{attack['name']}_auc_m{attack['members']}_o{attack['others']}"
        found.append((name, attack["auc"], {"interval": attack["auc_interval"]}))
    for space, test in report["distances"].items():
        where = f"{space}_{size}"
        preference, copying = test["preference"], test["copying"]
        more = {"interval": preference["interval"], "p_value": preference["p_value"]}
        found.append((f"prefer_train{count}_p{pool}_{where}", preference["share"], more))
        more = {"interval": copying["interval"]}
        found.append((f"nearer_than_held_out{count}_t{train}_{where}", copying["nearer"], more))
        found.append((f"ct1cell{count}_t{train}_{where}", copying["z"], {}))
        name = f"authpct{count}_t{train}_other_patients_{where}"
        found.append((name, test["authenticity"], {}))
    for attack in report["attacks"]:
        where = f"m{names.number(attack['members'])}_o{names.number(attack['others'])}"
        name = f"mia_{attack['name']}"
        more = {"interval": attack["auc_interval"]}
        found.append((f"{name}_auc_{where}", attack["auc"], more))
        more = {"interval": attack["tpr_interval"], "reason": attack["reason"]}
        found.append((f"{name}_tpr_at_fpr1pct_{where}", attack["tpr"], more))
    return [{"metric": name, "value": value, **more, **facts} for name, value, more in found]


def _neighbours_csv(result):
    record_ids = result.material.train.record_ids
    with io.StringIO(newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["image", "space", "rank", "record", "distance"])
        for space, found in result.neighbours.items():
            for image, (places, values) in enumerate(
                zip(found.positions, found.distances, strict=True)
            ):
                for rank, (place, value) in enumerate(zip(places, values, strict=True), 1):
                    table.writerow([image, space, rank, record_ids[place], f"{value:.6g}"])
        return file.getvalue()
