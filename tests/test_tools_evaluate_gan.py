"""Rows of tools/evaluate_gan.py for every kind of synthetic images."""

import functools

import numpy as np
import pytest
import tiny_records
import tiny_runs

from pgan import config, evaluation, image_sources, results
from pgan.metrics import features

_NETWORK = config.NetworkConfig(
    resolution=16, findings=tiny_records.FINDINGS, latent_size=8, fmap_base=64, fmap_max=8
)


def _noise(value, contrast=80):
    rng = np.random.default_rng(value)
    return np.clip(rng.normal(128, contrast, (16, 16)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """60 images of noise in which nearly nothing is left of 8 px averages."""
    images = tiny_records.radiographs(load=_noise)
    return tiny_records.build(tmp_path_factory.mktemp("data") / "noise", images=images)


def _values(rows, metric="fd"):
    return {row["images"]: row["value"] for row in rows if row["metric"].startswith(metric)}


def test_synthetic_records_like_and_unlike_the_reals(records, run_tool, tmp_path, capsys):
    dull = tiny_records.radiographs(load=functools.partial(_noise, contrast=5))
    tiny_records.build(tmp_path / "dull", images=dull)
    output = tmp_path / "out" / "results.jsonl"
    count = records.fold_size("val")
    for synthetic in (records.path, tmp_path / "dull"):
        run_tool(
            "evaluate_gan",
            f"--records={records.path}",
            f"--synthetic={synthetic}",
            f"--output={output}",
        )
    rows = results.read(output)
    half = len(rows) // 2
    like, unlike = _values(rows[:half]), _values(rows[half:])
    assert list(like) == ["real", "8 px, bilinear", "8 px, nearest", "synthetic"]
    assert {row["metric"] for row in rows} == {
        f"fd{count}_fixed",
        f"kd{count}_m{count // 2}_fixed",
        f"pr{count}_k3_fixed_precision",
        f"pr{count}_k3_fixed_recall",
        f"dc{count}_k5_fixed_density",
        f"dc{count}_k5_fixed_coverage",
        f"swd{count}_grey_16px",
        f"spectrum{count}_16px_db",
    }
    assert rows[0]["reference_fingerprint"] == records.fold_fingerprint("val")
    assert like["real"] == unlike["real"]
    assert 0 < like["real"] < like["8 px, nearest"] < like["8 px, bilinear"]
    assert like["synthetic"] < like["8 px, nearest"] < unlike["synthetic"]
    printed = capsys.readouterr().out
    assert "| measure" in printed and f"| fd{count}_fixed" in printed
    precision = _values(rows[half:], f"pr{count}_k3_fixed_precision")
    assert precision["synthetic"] < precision["real"]


def test_a_run_and_its_export_draw_the_same_images(records, tmp_path):
    schedule = config.ScheduleConfig(stage_kimg="1", fade_kimg="1", total_kimg=6, batch_sizes="8")
    export = tiny_runs.make_export(tmp_path, images_shown=6000, network=_NETWORK, schedule=schedule)
    labels = records.label_matrix("train")[:35]
    from_run = image_sources.from_run(str(tmp_path / "run"))
    from_export = image_sources.from_export(str(export))
    assert from_run.resolution == from_export.resolution == 16
    assert from_run.trained_on == from_export.trained_on == "b" * 64
    drawn = [np.concatenate(list(source.draw(labels, 3))) for source in (from_run, from_export)]
    assert drawn[0].shape == (35, 16, 16)
    np.testing.assert_array_equal(*drawn)
    rows = evaluation.evaluate(
        records, from_run, features.FixedExtractor(), "val", "train", count=4, show_progress=False
    )
    assert rows[-1]["images_shown"] == 6000
    assert "fd4_fixed" in {row["metric"] for row in rows}
    assert np.isfinite(_values(rows)["synthetic"])


def test_wrong_sets_are_refused(records):
    def evaluate(synthetic, **changes):
        chosen = {"held_out_fold": "val", "train_fold": "train", "show_progress": False, **changes}
        return evaluation.evaluate(records, synthetic, features.FixedExtractor(), **chosen)

    def draw(labels, seed):
        yield np.zeros((3, 16, 16), np.uint8)

    source = {"name": "gan", "resolution": 16, "draw": draw, "facts": {}}
    with pytest.raises(ValueError, match="has 3; give --count=3"):
        evaluate(image_sources.Synthetic(**source))
    with pytest.raises(ValueError, match="--count must be from 2"):
        evaluate(image_sources.Synthetic(**source), count=1000)
    with pytest.raises(ValueError, match="another vocabulary"):
        evaluate(image_sources.Synthetic(**source, findings=("Mass",)))
    seen = records.fold_fingerprint("val")
    with pytest.raises(ValueError, match="trained on the fold 'val'"):
        evaluate(image_sources.Synthetic(**source, trained_on=seen))
    with pytest.raises(ValueError, match="has no r0032 shards"):
        evaluate(image_sources.Synthetic(**{**source, "resolution": 32}))


def test_grid_shows_reals_above_images_for_their_labels(records, tmp_path):
    schedule = config.ScheduleConfig(stage_kimg="1", fade_kimg="1", total_kimg=6, batch_sizes="8")
    export = tiny_runs.make_export(tmp_path, images_shown=6000, network=_NETWORK, schedule=schedule)
    synthetic = image_sources.from_export(export)
    picture = evaluation.comparison_grid(records, synthetic, "train", findings=1, columns=3)
    assert np.asarray(picture).std() > 0
    with pytest.raises(ValueError, match="--grid needs a generator"):
        evaluation.comparison_grid(records, image_sources.from_folder(records.path), "train")


def test_label_sampling_is_explicit(records):
    rows = evaluation.label_sampling("dataset", records, "train", 0).labels(50)
    np.testing.assert_array_equal(rows[: records.fold_size("train")], records.label_matrix("train"))
    uniform = evaluation.label_sampling("uniform_class", records, "train", 0).labels(50)
    assert uniform.sum(axis=0).tolist() == [25, 25] and uniform.sum(axis=1).max() == 1
    drawn = [evaluation.label_sampling("independent", records, "train", s).rows for s in (1, 1, 2)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()
    prevalence = records.label_matrix("train").mean(axis=0)
    assert np.abs(drawn[0].mean(axis=0) - prevalence).max() < 0.3
    with pytest.raises(ValueError, match="one of dataset, uniform_class, independent, got 'real'"):
        evaluation.label_sampling("real", records, "train", 0)
