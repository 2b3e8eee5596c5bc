"""Admits submissions to a deposit or rejects them, one after the other."""

import dataclasses
from collections.abc import Callable, Iterable

from pgan import evaluation, evaluation_report
from pgan.deposit import gate, measuring, storage, submission_check, testimony
from pgan.deposit.graph_check import RefusedError, printable
from pgan.metrics import features


def admit(
    deposit: storage.Deposit,
    submissions: Iterable[storage.Submission],
    reference: measuring.Reference,
    extractor: features.Extractor,
    settings: evaluation.Settings,
    thresholds: gate.Thresholds,
    say: Callable[[str], None] = lambda text: None,
    show_progress: bool = True,
) -> list[storage.Submission]:
    """Measures submissions, decides, and writes each decision into the ledger at once.

    A call that was ended goes on with those that are not decided. The numbers, a report and a grid
    of images go to the folder `measured` of the deposit.

    Args:
        deposit: The deposit.
        submissions: Which ones.
        reference: Public images.
        extractor: The features.
        settings: Of the evaluation.
        thresholds: What is wanted.
        say: Is told what happens.
        show_progress: Whether to draw bars.

    Returns:
        Those that stay undecided, because the reference cannot judge them.

    Raises:
        OSError: If the storage cannot be read or written.
    """
    undecided = []
    about = {
        "reference": {
            "records": reference.records.name,
            "records_fingerprint": reference.records.fingerprint,
            "fold": reference.fold,
            "floor_fold": reference.floor_fold,
        },
        "extractor": {"name": extractor.name, **extractor.facts},
        "settings": dataclasses.asdict(settings),
        "thresholds": thresholds.to_dict(),
    }
    for submission in submissions:
        say(f"{submission.id}: measuring")
        more = {}
        try:
            measuring.require_fit(submission, reference)
            with deposit.opened(submission) as private:
                audit = _audit(submission, private)
                found = measuring.measure(
                    submission,
                    private / storage.GENERATOR,
                    reference,
                    extractor,
                    settings,
                    show_progress,
                )
            decision, more = _judge(deposit, submission, found, audit, thresholds)
        except measuring.MisfitError as error:
            say(f"{submission.id}: not judged, {printable(str(error))}")
            undecided.append(submission)
            continue
        except (RefusedError, measuring.UnusableError) as error:
            decision = gate.Decision([printable(str(error))], [])
        row = {"reasons": decision.reasons, "flags": decision.flags, **more, **about}
        deposit.record(submission, decision.event, row)
        say(f"{submission.id}: {decision.event}")
        for text in decision.reasons:
            say(f"  because {text}")
        for text in decision.flags:
            say(f"  note: {text}")
    return undecided


def _audit(submission, private):
    """What its audit says, read again: the ledger holds what was made of it when it came."""
    if storage.AUDIT not in submission.files:
        return None
    return testimony.brief(submission_check.read_json(private / storage.AUDIT))


def _judge(deposit, submission, found, audit, thresholds):
    """The decision, and the numbers that it rests on."""
    folder = deposit.path / "measured" / submission.id
    evaluation_report.write(folder, found, f"{submission.id}, measured by the deposit")
    measured = measuring.summarise(found)
    claim = measuring.comparable_claim(submission.claims, measured)
    decision = gate.judge(measured, claim, audit, thresholds)
    return decision, {"measured": measured, "claim": claim, "audit": audit}
