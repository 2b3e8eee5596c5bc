"""The command as typed: flag files, dry run, refusals, signals, a kill."""

import json
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from pgan import checkpoints, config, plan, preflight

_ROOT = pathlib.Path(__file__).parents[1]
_TOOL = _ROOT / "tools" / "train_pgan.py"
_TINY = (
    "--resolution=8",
    "--latent_size=8",
    "--fmap_base=64",
    "--fmap_max=8",
    "--stage_kimg=0.064",
    "--fade_kimg=0.064",
    "--total_kimg=0.192",
    "--batch_sizes=16",
    "--tick_kimg=0.064",
    "--grid_columns=2",
    "--critic_images=8",
    "--preflight=off",
)


def test_dry_run_of_the_paper_needs_no_records(run_tool, capsys):
    run_tool("train_pgan", f"--flagfile={_ROOT / 'nih.flags'}", "--dry_run")
    text = capsys.readouterr().out
    assert "generator 23,255,657, discriminator 23,156,335" in text
    assert "Images: 12,000,000 in" in text
    rows = re.findall(
        r"^ +(\d+) px (fade-in|stable) +(\d+) +\d+ +([\d.e+]+) +([\d.e+]+)", text, re.M
    )
    assert len(rows) == 17
    batches = {int(size): int(batch) for size, _, batch, _, _ in rows}
    assert batches == {4: 128, 8: 128, 16: 128, 32: 128, 64: 64, 128: 32, 256: 16, 512: 8, 1024: 4}
    assert rows[-1][3:] == ("9600", "12000")
    assert "GFLOP/s" in text
    assert "GiB a checkpoint" in text


def test_flag_file_of_the_paper_is_the_default_configuration(run_tool, capsys):
    run_tool("train_pgan", f"--flagfile={_ROOT / 'nih.flags'}", "--dry_run")
    text = capsys.readouterr().out
    saved = json.loads(text[text.index("{") : text.index("\n}") + 2])
    paper = config.TrainConfig(strategy="mirrored").to_dict()
    assert saved == json.loads(json.dumps(paper))


@pytest.mark.parametrize("name", ["nih_small.flags", "phantom.flags", "chexpert.flags"])
def test_shipped_flag_files_are_valid(run_tool, capsys, name):
    run_tool("train_pgan", f"--flagfile={_ROOT / name}", "--dry_run")
    assert "Parameters: generator" in capsys.readouterr().out


def test_the_preflight_refuses_a_batch_before_it_takes_its_time(run_tool, capsys):
    """Only the last stage's batch does not divide into groups."""
    arguments = ("--dry_run", "--measure", "--preflight=full", "--batch_sizes=4:16,8:6")
    assert run_tool("train_pgan", *_TINY, *arguments) == 1
    error = capsys.readouterr().err
    assert "8 px" in error and "stddev_group" in error and "Traceback" not in error


@pytest.mark.parametrize(
    "flag, message",
    [
        ("--penalty_target=0", "--penalty_target must be above 0"),
        ("--learning_rate=4:1e-3", "--learning_rate has no value for 8 px"),
        ("--ema_kimg=-1", "--ema_kimg must be finite and at least 0"),
    ],
)
def test_what_would_fail_later_is_refused_now(run_tool, capsys, flag, message):
    assert run_tool("train_pgan", *_TINY, "--dry_run", flag) == 1
    assert message in capsys.readouterr().err


def test_two_decays_of_the_average_are_refused_also_if_one_is_the_default(run_tool, capsys):
    flag_file = f"--flagfile={_ROOT / 'nih.flags'}"  # has --ema_decay=0.999
    assert run_tool("train_pgan", flag_file, "--ema_kimg=10", "--dry_run") == 1
    error = capsys.readouterr().err
    assert "--ema_kimg=10 and --ema_decay=0.999 both set" in error and "leave one" in error
    assert run_tool("train_pgan", flag_file, "--ema_kimg=0", "--dry_run") == 0


def test_measured_dry_run_times_every_stage(run_tool, capsys):
    run_tool("train_pgan", *_TINY, "--dry_run", "--measure", "--preflight=full")
    text = capsys.readouterr().out
    number = r" +([\d.e+-]+)"
    rows = re.findall(rf"^ +(\d+) px .*{3 * number} +[\d.]+ +([\d.]+) GiB$", text, re.M)
    assert [int(row[0]) for row in rows] == [4, 8, 8]
    for _, seconds, rate, hours, gib in rows:
        assert float(seconds) * float(rate) == pytest.approx(16, rel=0.02)
        assert float(hours) == pytest.approx(64 / float(rate) / 3600, rel=0.02)
        assert float(gib) > 0.1
    assert "by the steps measured here" in text
    devices = dict(re.findall(r"^ +x (\d+) +([\d.e-]+) h$", text, re.M))
    assert float(devices["1"]) == pytest.approx(2 * float(devices["2"]), rel=0.02)
    assert re.search(r"^ +8 px +[\d,]+ +-$", text, re.M)  # images per hour; the paper has none


def test_plan_names_the_paper_beside_what_was_measured():
    settings = config.TrainConfig(schedule=config.ScheduleConfig(total_kimg=12000))
    # A second for every 100 images at all stages, so that hours are those of the images.
    reports = [preflight.StageReport(2**level, 100, 2.0, 1.0, 2**30) for level in range(2, 11)]
    text = plan.describe(settings, reports, [preflight.SamplingReport(512, 1, 5000.0)])
    for pixels, hours in ((256, 60), (512, 114), (1024, 272)):
        assert re.search(rf"^ +{pixels} px +33.3 h +{hours} h$", text, re.M)
    assert re.search(r"^ +512 px +5,000 +41,379$", text, re.M)
    assert re.search(r"^ +x 4 +8.33 h$", text, re.M)
    assert re.search(r"^ +x 8 +batches do not divide; see --batch_sizes$", text, re.M)


def test_a_run_through_the_tool(run_tool, capsys, phantom_records, tmp_path):
    run_dir = tmp_path / "run"
    arguments = (*_TINY, f"--records={phantom_records.path}", f"--run_dir={run_dir}")
    assert run_tool("train_pgan", *arguments) == 0
    assert "finished at 192 images" in capsys.readouterr().out
    # The flags it wrote repeat the run: same configuration, so the same folder accepts them.
    assert run_tool("train_pgan", f"--flagfile={run_dir / 'flags.txt'}") == 0
    capsys.readouterr()
    assert run_tool("train_pgan", *arguments, "--fmap_max=16") == 1
    assert "fmap_max: 8 in the run folder, 16 now" in capsys.readouterr().err


def test_the_flag_file_of_a_run_by_half_life_repeats_it(
    run_tool, capsys, phantom_records, tmp_path
):
    arguments = (*_TINY, "--initial_resolution=8", "--total_kimg=0.032", "--ema_kimg=0.01")
    where = (f"--records={phantom_records.path}", f"--run_dir={tmp_path}/run")
    assert run_tool("train_pgan", *arguments, *where) == 0
    flag_file = f"--flagfile={tmp_path}/run/flags.txt"
    assert run_tool("train_pgan", flag_file) == 0, capsys.readouterr().err
    assert run_tool("train_pgan", flag_file, "--ema_kimg=0.02") == 1
    assert "ema_kimg: 0.01 in the run folder, 0.02 now" in capsys.readouterr().err


def test_what_is_advised_after_a_divergence_works_as_typed(
    run_tool, capsys, phantom_records, tmp_path
):
    arguments = (*_TINY, "--initial_resolution=8", f"--records={phantom_records.path}")
    arguments += (f"--run_dir={tmp_path}/run",)
    assert run_tool("train_pgan", *arguments, "--total_kimg=0.032") == 0
    assert run_tool("train_pgan", *arguments, "--learning_rate=1e30") == 1

    def advised(error, rate):
        assert "is not finite between 32 and" in error and "ckpt-32 is from before" in error
        _, script, *typed = shlex.split(re.search(r"^  (python .*)$", error, re.M)[1])
        assert (script, typed[-1]) == ("tools/train_pgan.py", f"--learning_rate={rate}")
        return typed

    typed = advised(capsys.readouterr().err, "5e+29")
    # It continues, with half of a rate that is no better.
    assert run_tool("train_pgan", *typed) == 1
    error = capsys.readouterr().err
    assert "learning_rate is 5e+29 from here on; it was 1e30" in error
    advised(error, "2.5e+29")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("--records=",), "--records is needed"),
        (("--records=/nowhere",), "tools/build_records.py"),
        (("--resolution=24",), "--resolution must be a power of two"),
        (("--resolution=64", "--total_kimg=9"), "max_resolution=64"),
        (("--batch_sizes=6",), "no multiple of the minibatch-stddev group of 4"),
        (("--strategy=mirrored", "--batch_sizes=5"), "divided over 2 replicas"),
        (("--train_fold=training",), "training"),
        (("--precision=float64",), "precision"),
        (("stray",), "stray"),
    ],
)
def test_bad_input_is_answered_before_anything_is_written(
    run_tool, capsys, phantom_records, tmp_path, changes, message
):
    run_dir = tmp_path / "run"
    arguments = (*_TINY, f"--records={phantom_records.path}", f"--run_dir={run_dir}")
    assert run_tool("train_pgan", *arguments, *changes) != 0
    printed = capsys.readouterr()
    assert message in printed.err + printed.out
    assert not (run_dir / "config.json").exists()


def _start(records, run_dir):
    # Enough images that the run is still going when the signal comes.
    arguments = [*_TINY, "--total_kimg=2", f"--records={records.path}", f"--run_dir={run_dir}"]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(
        [sys.executable, str(_TOOL), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )


def _wait_for_checkpoint(run_dir, child, after=-1):
    for _ in range(1200):
        numbers = [int(p.stem.split("-")[1]) for p in run_dir.glob("checkpoints/ckpt-*.index")]
        if numbers and max(numbers) > after:
            return max(numbers)
        assert child.poll() is None, "the run ended before it was interrupted"
        time.sleep(0.1)
    raise AssertionError("no checkpoint within two minutes")


@pytest.mark.slow
def test_sigterm_saves_and_a_kill_loses_nothing_that_was_saved(phantom_records, tmp_path):
    interrupted, whole = tmp_path / "interrupted", tmp_path / "whole"
    child = _start(phantom_records, interrupted)
    _wait_for_checkpoint(interrupted, child)
    child.send_signal(signal.SIGTERM)
    out, _ = child.communicate(timeout=120)
    assert child.returncode == 128 + signal.SIGTERM
    assert re.search(r"saved at [\d,]+ images; continue with\n +python .*train_pgan.py", out)
    saved = checkpoints.load_generator(str(interrupted))[1].images_shown

    child = _start(phantom_records, interrupted)
    _wait_for_checkpoint(interrupted, child, after=saved)
    child.kill()
    child.communicate()

    for run_dir in (interrupted, whole):
        child = _start(phantom_records, run_dir)
        out, _ = child.communicate(timeout=300)
        assert child.returncode == 0
        assert "finished at 2,000 images" in out
    _assert_same_checkpoint(interrupted, whole)


def _assert_same_checkpoint(*run_dirs):
    paths = [checkpoints.latest(str(run_dir)) for run_dir in run_dirs]
    for name, _ in tf.train.list_variables(paths[0]):
        if "save_counter" not in name and "OBJECT_GRAPH" not in name:
            values = [tf.train.load_variable(path, name) for path in paths]
            np.testing.assert_array_equal(*values, err_msg=name)


def _start_workers(records, run_dir, total_kimg, of_second=()):
    cluster = {"worker": [f"localhost:{port}" for port in _free_ports(2)]}
    arguments = [
        *_TINY,
        "--initial_resolution=8",
        f"--total_kimg={total_kimg}",
        "--tick_kimg=0.512",
        "--strategy=multi_worker",
        f"--records={records.path}",
        f"--run_dir={run_dir}",
    ]
    return [
        subprocess.Popen(
            [sys.executable, str(_TOOL), *arguments, *(of_second if i else ())],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "TF_CONFIG": json.dumps(
                    {"cluster": cluster, "task": {"type": "worker", "index": i}}
                ),
            },
        )
        for i in range(2)
    ]


def _outputs(children, timeout):
    try:
        return [child.communicate(timeout=timeout) for child in children]
    finally:
        for child in children:
            child.kill()


@pytest.mark.slow
def test_workers_with_other_flags_do_not_train_one_run(phantom_records, tmp_path):
    other = ("--learning_rate=2e-3",)
    children = _start_workers(phantom_records, tmp_path / "run", 400, of_second=other)
    outputs = _outputs(children, timeout=120)
    assert [child.returncode for child in children] == [1, 1], outputs
    assert all("not started with the same flags and records" in error for _, error in outputs)


@pytest.mark.slow
def test_two_workers_train_one_run_and_stop_together(phantom_records, tmp_path):
    children = _start_workers(phantom_records, tmp_path / "run", total_kimg=400)
    _wait_for_checkpoint(tmp_path / "run", children[0])
    # The one that is not the chief is told; the chief has to hear of it.
    children[1].send_signal(signal.SIGTERM)
    outputs = _outputs(children, timeout=120)
    assert [child.returncode for child in children] == [128 + signal.SIGTERM] * 2, outputs
    rows = (tmp_path / "run" / "stats.jsonl").read_text().splitlines()
    assert all(np.isfinite(json.loads(row)["scores/real"]) for row in rows)
    saved = checkpoints.load_generator(str(tmp_path / "run"))[1].images_shown
    assert all(f"saved at {saved:,} images" in out for out, _ in outputs)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_worker_ends_the_other_and_both_continue_to_the_same_result(
    killed, phantom_records, tmp_path
):
    interrupted, whole = tmp_path / "interrupted", tmp_path / "whole"
    children = _start_workers(phantom_records, interrupted, total_kimg=4)
    _wait_for_checkpoint(interrupted, children[0])
    children[killed].kill()
    # TensorFlow misses a silent worker after up to two minutes.
    _, err = _outputs(children, timeout=240)[1 - killed]
    assert children[1 - killed].returncode == 1
    assert "another worker was lost" in err
    assert "start all workers again with the same commands" in err
    assert checkpoints.load_generator(str(interrupted))[1].images_shown < 4000
    for run_dir in (interrupted, whole):
        children = _start_workers(phantom_records, run_dir, total_kimg=4)
        outputs = _outputs(children, timeout=240)
        assert [child.returncode for child in children] == [0, 0], outputs
    _assert_same_checkpoint(interrupted, whole)


def _free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for opened in sockets:
        opened.bind(("localhost", 0))
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports
