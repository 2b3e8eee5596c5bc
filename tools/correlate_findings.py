r"""Asks a generator for each finding at all strengths, and a classifier for what it sees.

    python tools/correlate_findings.py --export=exports/nih/1 --output=correlations/nih \
        --classifier=experiments/fig3/seed1/real --records=records/nih
    python tools/correlate_findings.py --export=exports/stanford/1 --output=correlations/stanford \
        --classifier=exports/nih_classifier/1 --allow_other_vocabulary
    python tools/correlate_findings.py --output=correlations/nih --scatter=Edema:Pneumonia

Fig 5C and 5D of the paper: 5000 images for each finding, at strengths drawn from 0 to 1 and all
others absent; Pearson's r of strength and each probability; findings that go together; mean
probabilities at 11 strengths of the same latents; and how well each finding is drawn. Images are
not kept, scores are: the same command again continues after any finding, and without --export and
--classifier report and figures are made again from the scores of --output.
"""

import pathlib

from absl import flags, logging

import tool_main

_EXPORT = flags.DEFINE_string("export", None, "Exported generator, <output>/<name>/<version>.")
_CLASSIFIER = flags.DEFINE_string(
    "classifier",
    None,
    "Folder of a trained classifier, <experiment>/seed<number>/<arm>, or of its export.",
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder of scores and results.", required=True)
_IMAGES = flags.DEFINE_integer("images", 5000, "Images of each finding.", 3)
_DOSE_IMAGES = flags.DEFINE_integer("dose_images", 200, "Latents at each of 11 strengths.", 2)
_SEED = flags.DEFINE_integer("seed", 1, "Seed of latents and strengths.", 0)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", None, "Images drawn at once; by resolution if unset.", 1
)
_OTHER_VOCABULARY = flags.DEFINE_boolean(
    "allow_other_vocabulary",
    False,
    "Let generator and classifier have different findings: the matrix is rectangular then.",
)
_BLOCKS = flags.DEFINE_integer(
    "blocks", 6, "Groups of findings that are framed; 6 give those of the paper's matrix.", 1
)
_SCATTER = flags.DEFINE_list(
    "scatter",
    [],
    "Pairs FINDING:PROBABILITY of the scatter plot; default, as in the paper: "
    "Cardiomegaly:Cardiomegaly,Cardiomegaly:Fibrosis.",
)
_COMPARE = flags.DEFINE_string(
    "compare",
    "paper",
    "Matrix to compare with: paper (its NIH-GAN), none, or the matrix.csv of another --output.",
)
_RECORDS = flags.DEFINE_string(
    "records", None, "Record set of the generator's training, for its images of each finding."
)


def _pairs() -> tuple[tuple[str, str], ...]:
    pairs = [tuple(part.strip() for part in text.split(":")) for text in _SCATTER.value]
    for text, pair in zip(_SCATTER.value, pairs, strict=True):
        if len(pair) != 2 or not all(pair):
            raise ValueError(
                f"--scatter takes pairs such as Cardiomegaly:Fibrosis, commas between them; got "
                f"{text!r}"
            )
    return tuple(pairs)


def _other():
    from classifier import correlation_files

    if _COMPARE.value == "none":
        return None
    if _COMPARE.value == "paper":
        return "the paper's NIH-GAN", correlation_files.of_the_paper()
    path = pathlib.Path(_COMPARE.value)
    if not path.is_file():
        raise ValueError(
            f"--compare={path} is no file; give paper, none, or the matrix.csv of another --output"
        )
    # Reports are passed on: the name of its folder is enough.
    name = "/".join(path.resolve().parts[-2:])
    return name, correlation_files.from_csv(path.read_text(encoding="utf-8"), str(path))


def _plan(output, pairs):
    """The plan of the folder, with all its scores."""
    from classifier import correlation_files, correlation_report

    if not (_EXPORT.value or _CLASSIFIER.value):
        return correlation_files.read_plan(output)
    if not (_EXPORT.value and _CLASSIFIER.value):
        raise ValueError(
            "give both --export and --classifier, or neither to report again on the scores that "
            "--output holds"
        )
    from classifier import correlation_drawing, scorer
    from pgan import synthesis

    generator, classifier = synthesis.load(_EXPORT.value), scorer.load(_CLASSIFIER.value)
    plan = correlation_drawing.make_plan(
        generator, classifier, _IMAGES.value, _DOSE_IMAGES.value, _SEED.value,
        _OTHER_VOCABULARY.value,
    )  # fmt: skip
    correlation_report.choose_pairs(plan, pairs)  # An unknown one is answered before the work.
    if _RECORDS.value:
        _training_images(plan)
    correlation_drawing.draw(plan, generator, classifier, output, _BATCH_SIZE.value)
    return plan


def _training_images(plan):
    from classifier import correlation_report
    from pgan.data import record_set

    if not _RECORDS.value:
        return None
    # Only the table is read; shards are not needed.
    records = record_set.RecordSet.open(_RECORDS.value, verify="size")
    return correlation_report.training_images(plan, records)


def main() -> None:
    """Runs the tool; see the module's docstring."""
    # Keras warns that it could not save the classifier as one of its own models.
    logging.set_verbosity(logging.ERROR)
    from classifier import correlation_report, correlation_text

    output, other, pairs = pathlib.Path(_OUTPUT.value), _other(), _pairs()
    plan = _plan(output, pairs)
    wishes = correlation_report.Wishes(_BLOCKS.value, pairs, other, _training_images(plan))
    rows = correlation_report.write(output, plan, wishes)
    findings = [row for row in rows if row["name"] == "generated_finding"]
    print(f"{correlation_text.verdict(findings)}\n{correlation_text.finding_table(findings)}")
    print(f"report: {output}/report.md")


if __name__ == "__main__":
    tool_main.run(main, tensorflow=True, continues=True)
