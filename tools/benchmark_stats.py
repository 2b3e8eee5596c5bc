"""Measures resampling by patient of all metrics and findings, beside a loop over scikit-learn.

    python tools/benchmark_stats.py
    python tools/benchmark_stats.py --images=1000 --patients=300 --redraws=1000

The defaults are the size of the paper's evaluation: 14 findings on the 22,433 test images of
ChestX-ray14. The loop gets a few redraws, one finding after the other, and only AUCs.
"""

import time

import numpy as np
import tqdm
from absl import flags

import tool_main

_IMAGES = flags.DEFINE_integer("images", 22_433, "Images.", 20)
_PATIENTS = flags.DEFINE_integer("patients", 6_187, "Patients that they are of.", 10)
_FINDINGS = flags.DEFINE_integer("findings", 14, "Findings.", 1)
_REDRAWS = flags.DEFINE_integer("redraws", 10_000, "Redraws of patients.", 1)
_LOOP_REDRAWS = flags.DEFINE_integer("loop_redraws", 5, "Redraws of the plain loop.", 1)
_SEED = flags.DEFINE_integer("seed", 1, "Seed of scores and redraws.")


def _loop(labels, scores, patients, count, redraws, generator):
    """AUCs of some redraws by scikit-learn, float64 [findings, redraws]."""
    from sklearn import metrics

    images_of = [np.flatnonzero(patients == patient) for patient in range(count)]
    found = []
    for _ in range(redraws):
        drawn = np.concatenate([images_of[p] for p in generator.integers(0, count, count)])
        found.append(
            [
                metrics.roc_auc_score(labels[drawn, k], scores[drawn, k])
                for k in range(len(scores.T))
            ]
        )
    return np.array(found).T


def main() -> None:
    """Runs the tool; see the module's docstring."""
    from classifier import resampling
    from pgan import results

    generator = np.random.default_rng(_SEED.value)
    count = _PATIENTS.value
    patients = np.sort(
        np.append(np.arange(count), generator.integers(0, count, max(_IMAGES.value - count, 0)))
    )
    # Shares of positives as in ChestX-ray14, from 0.2 % up to 18 %, but enough that each redraw has
    # some: scikit-learn knows no undefined AUC.
    shares = np.maximum(np.geomspace(0.002, 0.18, _FINDINGS.value), 30 / len(patients))
    labels = (generator.random((len(patients), _FINDINGS.value)) < shares).astype(float)
    scores = 1.0 / (1.0 + np.exp(-generator.normal(labels - 1.0)))
    cases = resampling.Cases(labels, scores, patients, np.full(_FINDINGS.value, 0.4), count)
    with tqdm.tqdm(total=_REDRAWS.value, desc="redraws") as bar:
        began, cpu = time.perf_counter(), time.process_time()
        found = resampling.bootstrap(
            cases.evaluate, count, generator, _REDRAWS.value, chunk=cases.chunk(),
            on_chunk=bar.update,
        )  # fmt: skip
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    began = time.perf_counter()
    _loop(labels, scores, patients, count, _LOOP_REDRAWS.value, generator)
    loop = (time.perf_counter() - began) / _LOOP_REDRAWS.value
    ours = seconds / _REDRAWS.value
    width = np.nanmean(found.high[0] - found.low[0])
    print(
        results.markdown_table(
            ["", "redraws", "seconds", "CPU seconds", "ms a redraw"],
            [
                [f"{len(resampling.METRICS)} metrics, BCa and percentile intervals",
                 _REDRAWS.value, seconds, cpu, 1e3 * ours],
                ["loop over roc_auc_score, AUC only", _LOOP_REDRAWS.value,
                 loop * _LOOP_REDRAWS.value, "", 1e3 * loop],
            ],
        )
    )  # fmt: skip
    print(
        f"{len(patients):,} images of {count:,} patients, {_FINDINGS.value} findings: "
        f"{loop / ours:.1f} times as fast as the loop; mean width of an AUC's interval {width:.3f}"
    )


if __name__ == "__main__":
    tool_main.run(main)
