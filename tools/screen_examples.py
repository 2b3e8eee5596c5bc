r"""Lists training examples whose labels a confident classifier disagrees with.

    python tools/screen_examples.py --records=records/site --classifier=classifiers/chest/1 \
        --output=suspicious.csv
    python tools/simulate_federated.py --records=records/site --leave_out=suspicious.csv ...

The classifier is a SavedModel with a signature `images` or `predict` from uint8 images to
probabilities; it should not have been trained on these examples.
"""

import tqdm
from absl import flags

import tool_main

_RECORDS = flags.DEFINE_string("records", None, "Record set of the site.", required=True)
_CLASSIFIER = flags.DEFINE_string("classifier", None, "Folder of the SavedModel.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "CSV file to write.", required=True)
_FOLD = flags.DEFINE_string("fold", "train", "Fold that is screened.")
_RESOLUTION = flags.DEFINE_integer(
    "resolution", 0, "Size that the classifier takes, px; 0: the records' largest.", 0
)
_CONFIDENCE = flags.DEFINE_float(
    "confidence", 0.95, "Probability against a label from which it is disagreed with."
)
_BATCH = 32


def main() -> None:
    """Runs the tool; see the module's docstring."""
    from federated import example_screening
    from pgan.data import record_access, record_set

    if not 0.5 < _CONFIDENCE.value <= 1:
        raise ValueError(f"--confidence must be in (0.5, 1], got {_CONFIDENCE.value}")
    records = record_set.RecordSet.open(_RECORDS.value)
    size = _RESOLUTION.value or records.max_resolution
    records.require_resolution(size)
    ids, labels = records.record_ids(_FOLD.value), records.label_matrix(_FOLD.value)
    reader = record_access.ImageReader(records, size, _FOLD.value)

    def batches():
        for start in tqdm.trange(0, len(ids), _BATCH, unit="batch", desc="screening"):
            places = range(start, min(start + _BATCH, len(ids)))
            part = slice(start, start + _BATCH)
            yield ids[part], reader.read(places), labels[part]

    flagged, known = example_screening.flag(
        batches(),
        tuple(records.findings),
        example_screening.load(_CLASSIFIER.value),
        _CONFIDENCE.value,
    )
    example_screening.write(_OUTPUT.value, flagged)
    images = len({one.image_id for one in flagged})
    print(f"{len(flagged)} labels of {images} of {len(ids)} images: {_OUTPUT.value}")
    unknown = [name for name in records.findings if name not in known]
    if unknown:
        print(f"not looked at, since the classifier does not know them: {', '.join(unknown)}")


if __name__ == "__main__":
    tool_main.run(main)
