"""Rows of tools/evaluate_gan.py for every kind of synthetic images."""

import functools

import numpy as np
import pytest
import tiny_records
import tiny_runs

from pgan import config, evaluation, results
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


def _values(rows):
    return {row["images"]: row["value"] for row in rows}


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
    like, unlike = _values(rows[:4]), _values(rows[4:])
    assert list(like) == ["real", "8 px, bilinear", "8 px, nearest", "synthetic"]
    assert {row["metric"] for row in rows} == {f"fd{count}_fixed"}
    assert rows[0]["reference_fingerprint"] == records.fold_fingerprint("val")
    assert like["real"] == unlike["real"]
    assert 0 < like["real"] < like["8 px, nearest"] < like["8 px, bilinear"]
    assert like["synthetic"] < like["8 px, nearest"] < unlike["synthetic"]
    assert f"| synthetic      | {records.name}" in capsys.readouterr().out


def test_a_run_and_its_export_draw_the_same_images(records, tmp_path):
    schedule = config.ScheduleConfig(stage_kimg="1", fade_kimg="1", total_kimg=6, batch_sizes="8")
    export = tiny_runs.make_export(tmp_path, images_shown=6000, network=_NETWORK, schedule=schedule)
    labels = records.label_matrix("train")[:35]
    from_run = evaluation.from_run(str(tmp_path / "run"))
    from_export = evaluation.from_export(str(export))
    assert from_run.resolution == from_export.resolution == 16
    assert from_run.trained_on == from_export.trained_on == "b" * 64
    drawn = [np.concatenate(list(source.draw(labels, 3))) for source in (from_run, from_export)]
    assert drawn[0].shape == (35, 16, 16)
    np.testing.assert_array_equal(*drawn)
    rows = evaluation.evaluate(
        records, from_run, features.FixedExtractor(), "val", "train", count=4, show_progress=False
    )
    assert rows[-1]["images_shown"] == 6000
    assert rows[-1]["metric"] == "fd4_fixed"
    assert np.isfinite(_values(rows)["synthetic"])


def test_wrong_sets_are_refused(records):
    def evaluate(synthetic, **changes):
        chosen = {"held_out_fold": "val", "train_fold": "train", "show_progress": False, **changes}
        return evaluation.evaluate(records, synthetic, features.FixedExtractor(), **chosen)

    def draw(labels, seed):
        yield np.zeros((3, 16, 16), np.uint8)

    source = {"name": "gan", "resolution": 16, "draw": draw, "facts": {}}
    with pytest.raises(ValueError, match="has 3; give --count=3"):
        evaluate(evaluation.Synthetic(**source))
    with pytest.raises(ValueError, match="--count must be from 2"):
        evaluate(evaluation.Synthetic(**source), count=1000)
    with pytest.raises(ValueError, match="another vocabulary"):
        evaluate(evaluation.Synthetic(**source, findings=("Mass",)))
    seen = records.fold_fingerprint("val")
    with pytest.raises(ValueError, match="trained on the fold 'val'"):
        evaluate(evaluation.Synthetic(**source, trained_on=seen))
    with pytest.raises(ValueError, match="has no r0032 shards"):
        evaluate(evaluation.Synthetic(**{**source, "resolution": 32}))


def test_grid_shows_reals_above_images_for_their_labels(records, tmp_path):
    schedule = config.ScheduleConfig(stage_kimg="1", fade_kimg="1", total_kimg=6, batch_sizes="8")
    export = tiny_runs.make_export(tmp_path, images_shown=6000, network=_NETWORK, schedule=schedule)
    synthetic = evaluation.from_export(export)
    picture = evaluation.comparison_grid(records, synthetic, "train", findings=1, columns=3)
    assert np.asarray(picture).std() > 0
    with pytest.raises(ValueError, match="--grid needs a generator"):
        evaluation.comparison_grid(records, evaluation.from_folder(records.path), "train")
