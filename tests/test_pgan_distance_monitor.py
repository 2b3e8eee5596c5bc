import dataclasses
import json
import shutil
from unittest import mock

import numpy as np
import pytest

from pgan import (
    checkpoints,
    config,
    distance_monitor,
    plots,
    run_folder,
    schedule,
    train,
    training_step,
)
from pgan.data import record_reader
from pgan.metrics import features, frechet


@pytest.fixture(scope="module")
def settings(phantom_records):
    return config.TrainConfig(
        network=config.NetworkConfig(
            resolution=8,
            findings=phantom_records.findings,
            latent_size=8,
            fmap_base=64,
            fmap_max=8,
        ),
        schedule=config.ScheduleConfig(
            stage_kimg="0.064", fade_kimg="0.064", total_kimg=0.208, batch_sizes="4:16,8:8"
        ),
        tick_kimg="0.016",
        metric_every_kimg=0.05,
        metric_images=20,
        critic_images=8,
        grid_columns=2,
        preflight="off",
    )


@pytest.fixture(scope="module")
def run_dir(settings, phantom_records, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "watched"
    train.train(settings, phantom_records, str(path), show_progress=False)
    return path


def make(settings, records, path):
    state = training_step.TrainingState(settings)
    return distance_monitor.DistanceMonitor(
        state, settings, records, run_folder.RunFolder(path), features.FixedExtractor()
    )


def test_names_hold_counts_and_features(settings, phantom_records, tmp_path):
    held_out = min(20, phantom_records.fold_size("val"))
    names = make(settings, phantom_records, tmp_path).names
    assert names == (
        distance_monitor.Names(
            "monitor/fd20_fixed_to_train",
            f"monitor/fd{held_out}_fixed_to_held_out",
            f"monitor/fd{held_out}_fixed_real_floor",
            "labels/fjd20_fixed_to_train",
        )
    )
    alone = dataclasses.replace(settings, held_out_fold="")
    assert make(alone, phantom_records, tmp_path).judge == names.train


def test_values_are_those_of_the_images(settings, phantom_records, tmp_path):
    monitor = make(settings, phantom_records, tmp_path)
    phase = schedule.build(settings.schedule, 8).phases[0]
    monitor.enter(phase)
    values = monitor.measure(16)
    extractor = features.FixedExtractor()

    def reals(fold, count):
        batches = record_reader.evaluation_dataset(phantom_records, 8, fold, 7, limit=count)
        images = np.concatenate([batch["images"].numpy() for batch in batches])[..., 0]
        pixels = np.rint((images + 1) * 127.5).astype(np.uint8)
        return frechet.statistics(extractor(pixels.repeat(2, 1).repeat(2, 2)))

    drawn = np.concatenate(list(monitor._synthetic(16)))
    assert drawn.shape == (20, 16, 16) and drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn[:, ::4, ::4], drawn[:, 3::4, 3::4])  # 4 px, enlarged
    held_out = phantom_records.fold_size("val")
    expected = {
        monitor.names.train: (frechet.statistics(extractor(drawn)), reals("train", 20)),
        monitor.names.held_out: (
            frechet.statistics(extractor(drawn[:held_out])), reals("val", held_out)
        ),
        monitor.names.floor: (reals("train", held_out), reals("val", held_out)),
    }  # fmt: skip
    assert values.keys() == expected.keys() | {monitor.names.joint}
    for name, pair in expected.items():
        assert values[name] == pytest.approx(frechet.distance(*pair), rel=1e-6), name
    assert len(list((tmp_path / "monitor").glob("reals_*.npz"))) == 3
    # The second time reads the cache, and the images are the same.
    assert monitor.measure(32) == pytest.approx(values, rel=1e-12)


def test_labels_of_other_images_show_in_the_joint_distance_only(
    settings, phantom_records, tmp_path
):
    """Real images in the place of synthetic ones: their own labels, and those of others."""
    monitor = make(settings, phantom_records, tmp_path)
    monitor.enter(schedule.build(settings.schedule, 8).phases[0])
    batches = record_reader.evaluation_dataset(phantom_records, 8, "train", 20, limit=20)
    [images] = [plots.to_uint8(batch["images"])[..., 0] for batch in batches]
    enlarged = images.repeat(2, 1).repeat(2, 2)
    with mock.patch.object(monitor, "_synthetic", lambda _: [enlarged]):
        right = monitor.measure(16)
        monitor._labels = np.roll(monitor._labels, 1, axis=0)
        wrong = monitor.measure(32)
    names = monitor.names
    for name in (names.train, names.held_out):
        assert wrong[name] == pytest.approx(right[name], rel=1e-9, abs=1e-9)
    # The labels of condition_matrix belong to the images that the reader gives, in this order.
    assert right[names.joint] == pytest.approx(0, abs=1e-6)
    assert wrong[names.joint] > 0.1


def test_when_it_is_due(settings, phantom_records, tmp_path):
    monitor = make(settings, phantom_records, tmp_path)
    monitor.enter(schedule.build(settings.schedule, 8).phases[0])
    assert [monitor.due(shown, False) for shown in (32, 48, 50, 64)] == [False, False, True, True]
    assert monitor.due(48, True)
    monitor.measure(64)
    assert [monitor.due(shown, False) for shown in (64, 96, 112)] == [False, False, True]
    assert not monitor.due(64, True)
    never = dataclasses.replace(settings, metric_every_kimg=0.0)
    assert not make(never, phantom_records, tmp_path).due(10**6, True)


def test_a_run_writes_its_distances_and_keeps_the_best(settings, phantom_records, run_dir):
    folder = run_folder.RunFolder(run_dir)
    rows = [row for row in folder.read_stats() if any("fd20_fixed" in key for key in row)]
    assert [row["images_shown"] for row in rows] == [64, 112, 160, 208]
    best = distance_monitor.read_best(folder)
    by_value = {row["images_shown"]: row[best["metric"]] for row in rows}
    assert best["images_shown"] == min(by_value, key=by_value.get)
    assert best["value"] == min(by_value.values())
    generator, info = checkpoints.load_generator(str(run_dir), best=True)
    assert info.images_shown == best["images_shown"]
    assert np.isfinite(generator.trainable_variables[0].numpy()).all()
    kept = [p.name for p in (run_dir / "checkpoints/best").iterdir()]
    assert sorted(kept) == sorted(
        ["best.json"]
        + [f"ckpt-{best['images_shown']}.{end}" for end in ("index", "data-00000-of-00001")]
    )


def test_measuring_changes_nothing_of_the_run(settings, phantom_records, run_dir, tmp_path):
    never = dataclasses.replace(settings, metric_every_kimg=0.0)
    train.train(never, phantom_records, str(tmp_path / "run"), show_progress=False)
    with_it, without = (
        checkpoints.load_generator(str(path))[0].trainable_variables
        for path in (run_dir, tmp_path / "run")
    )
    for a, b in zip(with_it, without, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert not (tmp_path / "run" / "monitor").exists()


def test_a_worse_checkpoint_does_not_replace_the_best(settings, phantom_records, run_dir, tmp_path):
    path = shutil.copytree(run_dir, tmp_path / "run")
    monitor = make(settings, phantom_records, path)
    folder = run_folder.RunFolder(path)
    before = distance_monitor.read_best(folder)
    newest = checkpoints.latest(str(path))
    worse = {monitor.judge: before["value"] + 1}
    assert not monitor.keep_if_best(newest, worse, 10**6)
    assert distance_monitor.read_best(folder) == before
    assert monitor.keep_if_best(newest, {monitor.judge: before["value"] - 1}, 10**6)
    assert json.loads((path / "checkpoints/best/best.json").read_text())["images_shown"] == 10**6


def test_bests_by_two_distances_are_kept_apart(
    settings, phantom_records, run_dir, tmp_path, caplog
):
    path = shutil.copytree(run_dir, tmp_path / "run")
    folder, newest = run_folder.RunFolder(path), checkpoints.latest(str(run_dir))
    before = distance_monitor.read_best(folder)
    first = make(settings, phantom_records, path)
    second = make(dataclasses.replace(settings, metric_images=5), phantom_records, path)
    assert second.judge != first.judge == before["metric"]
    # Not comparable: it is the best by its own distance, and the other is not lost.
    worse = before["value"] + 1
    with caplog.at_level("INFO"):
        assert second.keep_if_best(newest, {second.judge: worse}, 10**6)
    facts = {"metric": second.judge, "value": worse, "images_shown": 10**6}
    assert distance_monitor.read_best(folder) == facts
    aside = path / "checkpoints" / f"best_{before['metric'].removeprefix('monitor/')}"
    assert json.loads((aside / "best.json").read_text()) == before
    assert (aside / f"ckpt-{before['images_shown']}.index").exists()
    assert f"kept in {aside}" in caplog.text
    assert not second.keep_if_best(newest, {second.judge: worse + 1}, 2 * 10**6)
    # Back to the first distance, its best counts again.
    assert not first.keep_if_best(newest, {first.judge: worse}, 3 * 10**6)
    assert distance_monitor.read_best(folder) == before
    assert (
        checkpoints.load_generator(str(path), best=True)[1].images_shown == (before["images_shown"])
    )
    assert not aside.exists()


def test_a_continued_run_measures_at_the_same_places(settings, phantom_records, run_dir, tmp_path):
    path = shutil.copytree(run_dir, tmp_path / "run")
    for file in (path / "checkpoints").glob("ckpt-208*"):
        file.unlink()
    train.train(settings, phantom_records, str(path), show_progress=False)
    rows = [
        [
            row
            for row in run_folder.RunFolder(p).read_stats()
            if "monitor/fd20_fixed_to_train" in row
        ]
        for p in (run_dir, path)
    ]
    for a, b in zip(*rows, strict=True):
        assert {k: v for k, v in a.items() if "monitor" in k} == (
            {k: v for k, v in b.items() if "monitor" in k}
        )
