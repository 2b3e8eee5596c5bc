"""tools/evaluate_gan.py for every kind of images, and its answers to mistakes."""

import functools
import json
import pathlib

import numpy as np
import pytest
import tiny_records
import tiny_runs
from PIL import Image

from pgan import config, results

_NETWORK = config.NetworkConfig(
    resolution=16, findings=tiny_records.FINDINGS, latent_size=8, fmap_base=64, fmap_max=8
)
_SCHEDULE = config.ScheduleConfig(stage_kimg="1", fade_kimg="1", total_kimg=6, batch_sizes="8")


def _noise(value, contrast=80):
    rng = np.random.default_rng(value)
    return np.clip(rng.normal(128, contrast, (16, 16)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """60 images of noise in which nearly nothing is left of 8 px averages."""
    images = tiny_records.radiographs(load=_noise)
    return tiny_records.build(tmp_path_factory.mktemp("data") / "noise", images=images)


@pytest.fixture
def run_dir(tmp_path):
    """A finished run of 16 px that watched its distance; its last checkpoint is the best."""
    path = pathlib.Path(
        tiny_runs.make_run(
            tmp_path / "run", images_shown=6000, network=_NETWORK, schedule=_SCHEDULE
        )
    )
    best = path / "checkpoints" / "best"
    best.mkdir()
    for file in (path / "checkpoints").glob("ckpt-*"):
        (best / file.name).write_bytes(file.read_bytes())
    facts = {"metric": "monitor/fd4_fixed_to_held_out", "value": 2.0, "images_shown": 6000}
    (best / "best.json").write_text(json.dumps(facts))
    row = {"images_shown": 6000, "monitor/fd4_fixed_to_held_out": 2.0}
    (path / "stats.jsonl").write_text(json.dumps(row) + "\n")
    return str(path)


def _folder(path, count, seed, **noise):
    path.mkdir()
    for i in range(count):
        Image.fromarray(_noise(1000 * seed + i, **noise)).save(path / f"{i:03d}.png")
    return path


def _values(path, kind):
    return {r["metric"]: r["value"] for r in results.read(path) if r.get("images") == kind}


def test_a_record_set_of_images(records, run_tool, tmp_path, capsys):
    dull = tiny_records.radiographs(load=functools.partial(_noise, contrast=5))
    tiny_records.build(tmp_path / "dull", images=dull)
    output = tmp_path / "out"
    flags = [f"--records={records.path}", f"--output={output}", "--fewest_images=2", "--pairs=5"]
    assert run_tool("evaluate_gan", *flags, f"--synthetic={tmp_path / 'dull'}") == 0
    count = records.fold_size("val")
    values = _values(output / "results.jsonl", "synthetic")
    assert {name for name in values if "Mass" not in name and "Hernia" not in name} == {
        f"fd{count}_fixed",
        f"kd{count}_m{count // 2}_fixed",
        f"pr{count}_k3_fixed_precision",
        f"pr{count}_k3_fixed_recall",
        f"dc{count}_k5_fixed_density",
        f"dc{count}_k5_fixed_coverage",
        f"swd{count}_grey_16px",
        f"spectrum{count}_16px_db",
    }
    floor = _values(output / "results.jsonl", "real")
    assert values[f"fd{count}_fixed"] > 3 * floor[f"fd{count}_fixed"]
    printed = capsys.readouterr().out
    assert "| measure" in printed and f"| fd{count}_fixed" in printed
    assert str(output / "report.md") in printed
    assert {path.name for path in output.iterdir()} == {
        "results.jsonl", "report.md", "grid.png", "spectra.png", "diversity.png",
    }  # fmt: skip


def test_the_best_checkpoint_of_a_run(records, run_dir, run_tool, tmp_path):
    output = tmp_path / "out"
    flags = [f"--records={records.path}", f"--run_dir={run_dir}", f"--output={output}"]
    assert run_tool("evaluate_gan", *flags, "--best", "--pairs=5", "--fewest_images=2") == 0
    rows = results.read(output / "results.jsonl")
    drawn = [row for row in rows if row.get("images") == "synthetic"]
    assert {row["source"] for row in drawn} == {"run, best, at 6,000 images"}
    assert drawn[0]["kept_as_best"]["value"] == 2.0
    assert (output / "evolution.png").exists() and (output / "diversity.png").exists()
    assert "kept as the best" in (output / "report.md").read_text()
    assert not list(output.glob(".drawn-*"))  # images that were drawn are taken away


def test_two_folders_with_and_without_other_reals(run_tool, tmp_path, capsys):
    real, gan = _folder(tmp_path / "real", 20, 1), _folder(tmp_path / "gan", 20, 2)
    flags = [f"--real={real}", f"--synthetic={gan}", f"--output={tmp_path / 'out'}"]
    assert run_tool("evaluate_gan", *flags) == 0
    assert "have no labels" in capsys.readouterr().out
    assert {row["images"] for row in results.read(tmp_path / "out/results.jsonl")} == {"synthetic"}
    more = _folder(tmp_path / "more", 25, 3)
    assert run_tool("evaluate_gan", *flags, f"--floor={more}", "--count=15") == 0
    values = _values(tmp_path / "out/results.jsonl", "real")
    assert values["fd15_fixed"] > 0


def test_a_run_against_a_folder(run_dir, run_tool, tmp_path, capsys):
    real = _folder(tmp_path / "real", 12, 1)
    flags = [f"--real={real}", f"--run_dir={run_dir}", f"--output={tmp_path / 'out'}"]
    assert run_tool("evaluate_gan", *flags) == 1
    assert "give --label_sampling=uniform_class" in capsys.readouterr().err
    assert run_tool("evaluate_gan", *flags, "--label_sampling=uniform_class") == 0


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--records=r"], "exactly one of --run_dir, --export and --synthetic"),
        (["--records=r", "--run_dir=a", "--export=b"], "exactly one of --run_dir"),
        (["--synthetic=a"], "one of --records and --real"),
        (["--records=r", "--real=b", "--synthetic=a"], "one of --records and --real"),
        (["--records=r", "--floor=b", "--synthetic=a"], "it is --train_fold"),
        (["--real=b", "--floor=./b", "--synthetic=a"], "must be different images"),
        (["--records=r", "--export=a", "--best"], "--best goes with --run_dir"),
        (["--records=r", "--export=a", f"--output={__file__}"], "--output is a folder"),
    ],
)
def test_flags_that_do_not_go_together(run_tool, capsys, flags, message):
    assert run_tool("evaluate_gan", *flags) == 1
    printed = capsys.readouterr()
    assert message in printed.out + printed.err


def test_a_missing_or_other_network_is_no_other_network(records, run_tool, tmp_path, capsys):
    """Weights that cannot be used end the tool before anything is measured."""
    gan = _folder(tmp_path / "gan", 4, 1)
    flags = [f"--records={records.path}", f"--synthetic={gan}", f"--output={tmp_path / 'out'}"]
    weights = tmp_path / "graph.pb"
    weights.write_bytes(b"something else")
    for network, message in (
        ([f"--features=inception:{tmp_path / 'none.pb'}"], "none.pb is no file"),
        ([f"--features=inception:{weights}", f"--features_sha256={'0' * 64}"], "wanted is 000"),
        ([f"--features=inception:{weights}"], "is not the Inception graph of 2015"),
        (["--features=vgg"], "an extractor is one of fixed, inception:FILE"),
    ):
        assert run_tool("evaluate_gan", *flags, *network) == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_files_that_are_no_images_are_named(records, run_tool, tmp_path, capsys):
    gan = _folder(tmp_path / "gan", 4, 1)
    (gan / "notes.txt").write_text("nothing to see")
    flags = [f"--records={records.path}", f"--synthetic={gan}", f"--output={tmp_path / 'out'}"]
    assert run_tool("evaluate_gan", *flags) == 1
    error = capsys.readouterr().err
    assert "notes.txt cannot be read as an image" in error and "Traceback" not in error
