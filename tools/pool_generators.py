r"""A deposit of generators of several sites: submit, admit, list, compare, sample across sites.

    python tools/pool_generators.py --action=submit --deposit=/mnt/deposit --site=aachen \
        --export=exports/chest/1 --evaluation=evaluations/chest --audit=audits/chest
    python tools/pool_generators.py --action=admit --deposit=/mnt/deposit \
        --reference=records/nih --reference_fold=test --floor_fold=val
    python tools/pool_generators.py --action=list --deposit=/mnt/deposit --output=deposit.csv
    python tools/pool_generators.py --action=compare --deposit=/mnt/deposit
    python tools/pool_generators.py --action=sample --deposit=/mnt/deposit --output=records/pooled \
        --count=10000 --vocabulary=shared_7 --weights=aachen=1,stanford=3

submit   copies an export into the deposit after reading its files without running any of it. A
         tampered or malformed one is refused. --evaluation holds the site's own numbers (of
         tools/evaluate_gan.py --export), --audit its audit (of tools/audit_privacy.py --export).
admit    measures what is undecided (or --submissions) against a public reference, and admits or
         rejects it by the thresholds below, with the reason, in the deposit's ledger.
list     prints all submissions; compare prints what was measured side by side. --output: as a file.
sample   draws a labelled record set from the newest admitted generator of each site (or
         --submissions). Sites have equal shares unless --weights says otherwise.

The same command again continues after an interruption. Exit status of submit 1 if it was refused,
of admit 1 if the reference could not judge one of the submissions.

The audit's numbers are the site's word: the deposit has no images of its patients. It judges them
anew. pgan/deposit/graph_check.py and signature_check.py say what else the checks cannot catch.
"""

import pathlib

from absl import app, flags

import config_flags
import tool_main
from pgan.deposit import gate

_ACTION = flags.DEFINE_enum(
    "action", None, ["submit", "admit", "list", "compare", "sample"], "What to do.", required=True
)
_DEPOSIT = flags.DEFINE_string("deposit", None, "Folder of the deposit.", required=True)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Of sample, the record set; of list, a CSV file; of compare, a text file."
)
_SUBMISSIONS = flags.DEFINE_list(
    "submissions", [], "Of admit, list, compare, sample: site, site/name or site/name/version."
)

_SITE = flags.DEFINE_string("site", None, "submit: who submits.")
_EXPORT = flags.DEFINE_string("export", None, "submit: export, <output>/<name>/<version>.")
_EVALUATION = flags.DEFINE_string(
    "evaluation", None, "submit: --output of tools/evaluate_gan.py --export."
)
_AUDIT = flags.DEFINE_string("audit", None, "submit: --output of tools/audit_privacy.py --export.")

_REFERENCE = flags.DEFINE_string("reference", None, "admit: public record set with real images.")
_FOLD = flags.DEFINE_string("reference_fold", "test", "admit: fold of it, the reference.")
_FLOOR_FOLD = flags.DEFINE_string(
    "floor_fold", "train", "admit: fold of it for the distance between real images."
)
_FEATURES = flags.DEFINE_string(
    "features", "fixed", "admit: extractor, as of tools/evaluate_gan.py --features."
)
_FEATURES_SHA256 = flags.DEFINE_string(
    "features_sha256", None, "admit: SHA-256 that its file must have."
)
_PAIRS = flags.DEFINE_integer(
    "pairs", 1000, "admit: pairs of each finding whose similarity is measured."
)
config_flags.define(gate.Thresholds)

_COUNT = flags.DEFINE_integer(
    "count",
    None,
    "admit: images of each set, the whole reference if unset; sample: images, every label row once "
    "if unset.",
)
_SEED = flags.DEFINE_integer("seed", 0, "admit, sample: seed of images.")

_VOCABULARY = flags.DEFINE_list(
    "vocabulary",
    [],
    "sample: findings of the set: nih_14, chexpert_14, shared_7, pneumonia, or names. Those that "
    "all its generators know if unset.",
)
_WEIGHTS = flags.DEFINE_list("weights", [], "sample: shares of sites, site=number.")
_FINDINGS = flags.DEFINE_string(
    "findings", None, 'sample: what every image shows, "Effusion=1" or "No Finding".'
)
_LABELS_CSV = flags.DEFINE_string("labels_csv", None, "sample: table of label rows.")
_LABEL_RECORDS = flags.DEFINE_string(
    "label_records", None, "sample: record set whose label rows are used."
)
_LABEL_FOLD = flags.DEFINE_string("label_fold", "train", "sample: fold of --label_records.")
_RESOLUTION = flags.DEFINE_integer(
    "resolution", None, "sample: px of the set; that of the smallest generator if unset."
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", None, "sample: images drawn at once.", 1)
_WORKERS = flags.DEFINE_integer("workers", 0, "sample: processes that encode; 0: none.", 0)

# Flags that an action cannot do without.
_NEEDED = {"submit": (_SITE, _EXPORT), "admit": (_REFERENCE,), "sample": (_OUTPUT,)}


def _submit(deposit) -> int | None:
    new, is_new = deposit.submit(_SITE.value, _EXPORT.value, _EVALUATION.value, _AUDIT.value)
    if not is_new:
        print(f"{new.id} was submitted on {new.submitted} with the same content; nothing to do")
        return None
    print(
        f"submitted: {new.id}, {new.facts['resolution']} px, {len(new.facts['findings'])} "
        f"findings, {len(new.files)} files, sha256 {new.sha256[:16]}"
    )
    if new.audit is None:
        print("without an audit (--audit) it will be rejected")
    if not new.claims:
        print("without numbers of the site (--evaluation) nothing can be compared with them")
    return None


def _chosen(deposit):
    """Submissions that --submissions names, or all."""
    if not _SUBMISSIONS.value:
        return deposit.submissions()
    found = {one.id: one for wanted in _SUBMISSIONS.value for one in deposit.find(wanted)}
    return list(found.values())


def _admit(deposit) -> int | None:
    from pgan import evaluation
    from pgan.data import record_set
    from pgan.deposit import admission, measuring
    from pgan.metrics import extractors

    thresholds = config_flags.build(gate.Thresholds)
    settings = evaluation.Settings(count=_COUNT.value, seed=_SEED.value, pairs=_PAIRS.value)
    chosen = _chosen(deposit)
    if not _SUBMISSIONS.value:
        chosen = [one for one in chosen if one.decision is None]
    if not chosen:
        print("every submission is decided; name those to be judged again by --submissions")
        return None
    reference = measuring.Reference(
        record_set.RecordSet.open(_REFERENCE.value), _FOLD.value, _FLOOR_FOLD.value
    )
    undecided = admission.admit(
        deposit,
        chosen,
        reference,
        extractors.make(_FEATURES.value, _FEATURES_SHA256.value),
        settings,
        thresholds,
        say=lambda text: print(text, flush=True),
    )
    return 1 if undecided else None


def _list(deposit) -> None:
    from pgan.data import manifest
    from pgan.deposit import listing

    chosen = _chosen(deposit)
    print(listing.text(chosen))
    if _OUTPUT.value:
        manifest.write_text(pathlib.Path(_OUTPUT.value), listing.as_csv(chosen))
        print(f"table: {_OUTPUT.value}")


def _compare(deposit) -> None:
    from pgan.data import manifest
    from pgan.deposit import listing

    table = listing.comparison(_chosen(deposit))
    print(table)
    if _OUTPUT.value:
        manifest.write_text(pathlib.Path(_OUTPUT.value), f"{table}\n")


def _findings(submissions) -> tuple[str, ...]:
    """The vocabulary of the set."""
    from pgan.data import labels
    from pgan.deposit import vocabulary

    names = tuple(_VOCABULARY.value)
    if len(names) == 1 and names[0] in labels.VOCABULARIES:
        return labels.VOCABULARIES[names[0]]
    if names:
        return names
    found = vocabulary.shared([one.facts["findings"] for one in submissions])
    if not found:
        raise ValueError("the generators share no finding; say which ones by --vocabulary")
    return found


def _plan(findings: tuple[str, ...]):
    """The label rows."""
    from pgan import label_plan
    from pgan.deposit import pooled_sets

    if _FINDINGS.value is not None:
        return label_plan.same_for_all(_FINDINGS.value, findings)
    if _LABELS_CSV.value is not None:
        return label_plan.from_csv(_LABELS_CSV.value, findings)
    if _LABEL_RECORDS.value is not None:
        return pooled_sets.rows_of_records(_LABEL_RECORDS.value, _LABEL_FOLD.value, findings)
    return label_plan.one_finding_each(findings)


def _weights() -> dict[str, float] | None:
    weights = {}
    for text in _WEIGHTS.value:
        site, _, number = text.partition("=")
        try:
            weights[site.strip()] = float(number)
        except ValueError:
            raise ValueError(f"--weights is site=number,site=number; got {text!r}") from None
    return weights or None


def _sample(deposit) -> None:
    from pgan import synthetic_sets
    from pgan.deposit import pooled_sets, pooled_writer

    wanted = _chosen(deposit) if _SUBMISSIONS.value else None
    submissions = pooled_sets.newest_admitted(deposit.submissions(), wanted)
    findings = _findings(submissions)
    plan = _plan(findings)
    members = pooled_sets.load(deposit, submissions, _weights())
    count = len(plan.rows) if _COUNT.value is None else _COUNT.value
    order = pooled_sets.Order(members, findings, plan, count, _SEED.value, _RESOLUTION.value)
    result = pooled_writer.write(order, _OUTPUT.value, _BATCH_SIZE.value, _WORKERS.value)
    print(f"{count:,} images, {result.drawn:,} drawn now, {order.resolution} px: {_OUTPUT.value}")
    for name, number in order.counts().items():
        print(f"  {name}: {number:,}")
    print(f"findings: {', '.join(findings)}")
    for name in (pooled_writer.PROVENANCE, synthetic_sets.SHEET):
        print(pathlib.Path(_OUTPUT.value) / name)


def main() -> int | None:
    action = _ACTION.value
    for flag in _NEEDED.get(action, ()):
        if not flag.value:
            raise app.UsageError(f"--action={action} needs --{flag.name}")
    sources = (_FINDINGS, _LABELS_CSV, _LABEL_RECORDS)
    if sum(flag.value is not None for flag in sources) > 1:
        raise app.UsageError(f"give one of {', '.join(f'--{flag.name}' for flag in sources)}")

    from pgan.deposit import storage

    run = {
        "submit": _submit, "admit": _admit, "list": _list, "compare": _compare, "sample": _sample
    }  # fmt: skip
    return run[action](storage.Deposit(_DEPOSIT.value))


if __name__ == "__main__":
    tool_main.run(main, tensorflow=True, continues=True)
