"""The loop: resume to the bit, signals, refusals, what a run folder holds."""

import dataclasses
import json
import logging
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pgan import checkpoints, config, run_folder, snapshots, train, training_errors
from pgan.data import record_folder


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
        tick_kimg="0.048",
        grid_columns=2,
        critic_images=8,
        preflight="off",
    )


def _variables(run_dir):
    path = checkpoints.latest(run_dir)
    names = [name for name, _ in tf.train.list_variables(path)]
    values = {name: tf.train.load_variable(path, name) for name in names}
    # The graph of objects is stored as text, and the count of saves differs by design.
    return {k: v for k, v in values.items() if "OBJECT_GRAPH" not in k and "save_counter" not in k}


class _StopAt(train.StopRequest):
    """Asks to stop at the n-th time that the loop looks."""

    def __init__(self, looks):
        super().__init__()
        self._looks = looks

    @property
    def signal(self):
        self._looks -= 1
        return 15 if self._looks <= 0 else None

    @signal.setter
    def signal(self, value):
        pass


@pytest.fixture(scope="module")
def whole_run(settings, phantom_records, tmp_path_factory):
    run_dir = str(tmp_path_factory.mktemp("runs") / "whole")
    result = train.train(settings, phantom_records, run_dir, show_progress=False)
    assert result == train.TrainResult(208, 208, True, None)
    return run_dir


@pytest.mark.parametrize("looks", [3, pytest.param(11, marks=pytest.mark.slow)])
def test_a_stopped_and_continued_run_is_bit_identical(
    looks, settings, phantom_records, whole_run, tmp_path
):
    run_dir = str(tmp_path / "run")
    first = train.train(
        settings, phantom_records, run_dir, show_progress=False, stop=_StopAt(looks)
    )
    assert not first.finished
    assert first.signal == 15
    second = train.train(settings, phantom_records, run_dir, show_progress=False)
    assert second.finished
    assert second.images_trained == 208 - first.images_shown
    expected, got = _variables(whole_run), _variables(run_dir)
    assert expected.keys() == got.keys()
    for name in expected:
        np.testing.assert_array_equal(expected[name], got[name], err_msg=name)


def test_a_finished_run_has_nothing_left_to_do(settings, phantom_records, whole_run):
    result = train.train(settings, phantom_records, whole_run, show_progress=False)
    assert result == train.TrainResult(208, 0, True, None)


def test_run_folder_holds_what_a_person_looks_at(settings, whole_run, phantom_records):
    folder = pathlib.Path(whole_run)
    saved = json.loads((folder / "config.json").read_text())
    assert config.TrainConfig.from_dict(saved["config"]) == settings
    assert saved["records"]["fold_fingerprint"] == phantom_records.fold_fingerprint("train")
    rows = [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]
    assert [row["images_shown"] for row in rows] == [48, 64, 96, 128, 144, 192, 208]
    for row in rows:
        for name in (
            "discriminator/penalty",
            "generator/adversarial",
            "scores/real",
            "critic/train_reals",
            "critic/held_out_reals",
            "training/alpha",
            "discriminator/gradient_norm",
        ):
            assert np.isfinite(row[name]), name
    assert [row["training/resolution"] for row in rows] == [4, 4, 8, 8, 8, 8, 8]
    assert len(list((folder / "checkpoints").glob("*.index"))) == settings.keep_checkpoints
    grids = sorted(path.name for path in folder.glob("fakes*.png"))
    assert grids == [snapshots.grid_name(row["images_shown"]) for row in rows]
    grid = np.asarray(Image.open(folder / "fakes000000.208.png"))
    assert grid.dtype == np.uint8
    assert grid.std() > 0
    assert (folder / "reals.png").exists()
    assert "finished at 208 images" in (folder / "log.txt").read_text()
    assert list(folder.glob("events.out.tfevents.*"))
    assert not list(folder.rglob("*.tmp*"))


def test_lines_beyond_the_checkpoint_are_dropped_when_a_killed_run_continues(
    settings, phantom_records, whole_run, tmp_path
):
    run_dir = tmp_path / "run"
    shutil.copytree(whole_run, run_dir)
    for path in (run_dir / "checkpoints").glob("ckpt-208*"):
        path.unlink()
    with open(run_dir / "stats.jsonl", "a", encoding="utf-8") as file:
        file.write('{"images_shown": 2')  # The line that the kill cut short.
    result = train.train(settings, phantom_records, str(run_dir), show_progress=False)
    assert result.images_trained == 208 - 192
    rows = run_folder.RunFolder(run_dir).read_stats()
    assert [row["images_shown"] for row in rows] == [48, 64, 96, 128, 144, 192, 208]
    for name, value in _variables(whole_run).items():
        np.testing.assert_array_equal(value, _variables(str(run_dir))[name], err_msg=name)


def test_no_lines_are_left_when_a_run_starts_again_without_a_checkpoint(
    settings, phantom_records, whole_run, tmp_path
):
    run_dir = tmp_path / "run"
    shutil.copytree(whole_run, run_dir)
    shutil.rmtree(run_dir / "checkpoints")
    train.train(settings, phantom_records, str(run_dir), show_progress=False, stop=_StopAt(1))
    assert run_folder.RunFolder(run_dir).read_stats() == []


@pytest.mark.parametrize("damage", ["a bit", "its end"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    settings, phantom_records, whole_run, tmp_path, caplog, damage
):
    run_dir = tmp_path / "run"
    shutil.copytree(whole_run, run_dir)
    data = run_dir / "checkpoints" / "ckpt-208.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 0xFF
    data.write_bytes(content if damage == "a bit" else content[: len(content) // 2])
    with caplog.at_level(logging.WARNING):
        result = train.train(settings, phantom_records, str(run_dir), show_progress=False)
    assert "ckpt-208 cannot be read" in caplog.text
    assert result.images_trained == 208 - 192


def test_a_failed_write_keeps_the_last_good_checkpoint(
    settings, phantom_records, whole_run, tmp_path, monkeypatch
):
    run_dir = tmp_path / "run"
    shutil.copytree(whole_run, run_dir)
    longer = dataclasses.replace(
        settings, schedule=dataclasses.replace(settings.schedule, total_kimg=0.256)
    )

    def full(self, *args, **kwargs):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.train.CheckpointManager, "save", full)
    with pytest.raises(checkpoints.CheckpointError, match="ckpt-208") as caught:
        train.train(longer, phantom_records, str(run_dir), show_progress=False)
    assert "No space left on device" in str(caught.value)
    monkeypatch.undo()
    result = train.train(longer, phantom_records, str(run_dir), show_progress=False)
    assert result == train.TrainResult(256, 48, True, None)


def test_another_configuration_is_refused_by_name(settings, phantom_records, whole_run):
    other = dataclasses.replace(settings, adam_beta2=0.9)
    with pytest.raises(run_folder.ConfigurationMismatchError, match="adam_beta2: 0.99 in"):
        train.train(other, phantom_records, whole_run, show_progress=False)


def test_a_continued_run_takes_the_learning_rate_that_it_is_given(
    settings, phantom_records, tmp_path, caplog
):
    run_dir = tmp_path / "run"

    def go_on(folder, steps, **changes):
        chosen = dataclasses.replace(settings, **changes)
        stop = _StopAt(steps + 1)
        train.train(chosen, phantom_records, str(folder), show_progress=False, stop=stop)
        return _variables(str(folder))

    before = go_on(run_dir, steps=2)
    shutil.copytree(run_dir, tmp_path / "same")
    same = go_on(tmp_path / "same", steps=1)
    assert not [text for text in caplog.messages if "learning_rate" in text]
    rate = "0.0005,8:0.002"
    halved = go_on(run_dir, steps=1, learning_rate=rate)
    lines = [text for text in caplog.messages if "learning_rate" in text]
    assert lines == [
        f"learning_rate is {rate} from here on; it was 0.001 when this run was last started. "
        "flags.txt has the new one"
    ]
    assert lines[0] in (run_dir / "log.txt").read_text()
    # The critic moves first, with the moments and the noise of the run that keeps its rate.
    moved = 0
    for name in before:
        if name.startswith("state/discriminator/"):
            step = same[name] - before[name]
            np.testing.assert_allclose(halved[name] - before[name], step / 2, atol=3e-7)
            moved += np.abs(step).max() > 1e-4
    assert moved
    # The folder remembers, so that the next time nothing is new.
    assert run_folder.RunFolder(run_dir).read()[0].learning_rate == rate
    assert run_folder.RunFolder(run_dir).read_stats()[-1]["training/learning_rate"] == 0.0005
    go_on(run_dir, steps=0, learning_rate=rate)
    assert len([text for text in caplog.messages if "learning_rate" in text]) == 1


def test_a_folder_that_is_trained_in_is_refused_and_left_alone(settings, phantom_records, tmp_path):
    with (
        record_folder.claimed(tmp_path, "training in"),
        pytest.raises(ValueError, match="Another process is training in"),
    ):
        train.train(settings, phantom_records, tmp_path, show_progress=False)
    assert not list(tmp_path.iterdir())


def test_other_findings_and_resolutions_are_refused(settings, phantom_records, tmp_path):
    network = dataclasses.replace(settings.network, findings=("Mass", "Hernia"))
    with pytest.raises(ValueError, match="findings"):
        train.train(
            dataclasses.replace(settings, network=network), phantom_records, str(tmp_path / "a")
        )
    network = dataclasses.replace(settings.network, resolution=1024)
    with pytest.raises(ValueError, match="1024|max_resolution"):
        train.train(
            dataclasses.replace(settings, network=network), phantom_records, str(tmp_path / "b")
        )


def test_divergence_names_the_term_and_the_images(settings, phantom_records, tmp_path):
    short = dataclasses.replace(settings.schedule, initial_resolution=8, total_kimg=0.064)
    wild = dataclasses.replace(settings, learning_rate="1e30", schedule=short)
    with pytest.raises(
        training_errors.TrainingDivergedError, match=r"is not finite between \d+ and \d+"
    ):
        train.train(wild, phantom_records, str(tmp_path / "run"), show_progress=False)


def test_init_from_takes_weights_not_the_clock(settings, phantom_records, whole_run, tmp_path):
    result = train.train(
        settings,
        phantom_records,
        str(tmp_path / "run"),
        init_from=whole_run,
        show_progress=False,
        stop=_StopAt(1),
    )
    assert result.images_shown == 0
    # The networks are saved at once: --init_from is not given when the run is continued.
    taken, source = _variables(str(tmp_path / "run")), _variables(whole_run)
    networks = [k for k in taken if k.split("/")[1] in ("generator", "discriminator", "averaged")]
    assert networks
    for name in networks:
        np.testing.assert_array_equal(taken[name], source[name], err_msg=name)
    # What the networks have seen stays known, also when the run is continued.
    for _ in range(2):
        records = run_folder.RunFolder(tmp_path / "run").read()[1]
        [seen] = records["ancestors"]
        assert seen["fold_fingerprint"] == phantom_records.fold_fingerprint("train")
        train.train(
            settings, phantom_records, str(tmp_path / "run"), show_progress=False, stop=_StopAt(1)
        )
    assert len(run_folder.started_from(tmp_path / "run")) == 2
    # What cannot be started from leaves no run behind that would begin otherwise.
    wider = dataclasses.replace(settings.network, fmap_max=16)
    for source, network, message in (
        (str(tmp_path / "nowhere"), settings.network, "holds no checkpoint"),
        (whole_run, wider, "the same findings, --resolution"),
    ):
        chosen = dataclasses.replace(settings, network=network)
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            train.train(chosen, phantom_records, str(tmp_path / "other"), init_from=source)
        assert not (tmp_path / "other").exists()
    with pytest.raises(ValueError, match="--init_from starts a new run"):
        train.train(settings, phantom_records, whole_run, init_from=whole_run)


def test_the_command_that_continues_a_run():
    command = [
        "tools/train_pgan.py",
        "--init_from=runs/a b",
        "--run_dir=b",
        "--init_from",
        "x",
        "-v",
    ]
    assert train.resume_command(command) == "python tools/train_pgan.py --run_dir=b -v"


def test_load_generator_reads_the_average(settings, whole_run):
    generator, info = checkpoints.load_generator(whole_run)
    assert (info.images_shown, info.finished, info.level, info.alpha) == (208, True, 3, None)
    saved = _variables(whole_run)
    keys = [
        k for k in saved if k.startswith("state/averaged") and "block_8" in k or "blocks/1" in k
    ]
    assert keys
    images = generator(tf.zeros((2, 8)), tf.zeros((2, settings.network.num_labels)), 3)
    assert images.shape == (2, 8, 8, 1)
    averaged = sorted(
        float(np.abs(v).sum()) for k, v in saved.items() if k.startswith("state/averaged")
    )
    loaded = sorted(float(np.abs(v.numpy()).sum()) for v in generator.trainable_variables)
    np.testing.assert_allclose(averaged, loaded, rtol=1e-6)


def test_grids_are_named_in_the_order_of_the_images_shown():
    shown = [16, 999, 1000, 12345, 12_000_000]
    names = [snapshots.grid_name(images) for images in shown]
    assert names == sorted(names)
    assert names[3] == "fakes000012.345.png"


def test_two_replicas_train_through_the_loop(settings, phantom_records, tmp_path, caplog):
    short = dataclasses.replace(settings.schedule, initial_resolution=8, total_kimg=0.064)
    mirrored = dataclasses.replace(settings, strategy="mirrored", schedule=short)
    result = train.train(mirrored, phantom_records, str(tmp_path / "run"), show_progress=False)
    assert result == train.TrainResult(64, 64, True, None)
    # On another number of devices it goes on, and says so once.
    for strategy, said in (("mirrored", []), ("one_device", ["on 2 device(s) so far, now on 1"])):
        caplog.clear()
        longer = dataclasses.replace(short, total_kimg=0.128)
        other = dataclasses.replace(settings, strategy=strategy, schedule=longer)
        train.train(
            other, phantom_records, str(tmp_path / "run"), show_progress=False, stop=_StopAt(1)
        )
        lines = [text for text in caplog.messages if "device(s)" in text]
        assert len(lines) == len(said) and all(b in a for a, b in zip(lines, said, strict=True))
    assert said[0] in (tmp_path / "run/log.txt").read_text()


def test_held_out_images_may_not_be_of_patients_trained_on(phantom_records, tmp_path):
    network = config.NetworkConfig(resolution=16, findings=phantom_records.findings)
    settings = config.TrainConfig(network=network, train_fold="all", held_out_fold="val")
    with pytest.raises(ValueError, match="patients of phantom, fold all .*give another --held_out"):
        train.train(settings, phantom_records, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
