"""Reading, naming and exporting the checkpoint that was kept as the best of a run."""

import json
import pathlib
import shutil

import numpy as np
import pytest
import tiny_runs

from pgan import checkpoints, image_sources


def _make_run(path, best_at=2800, newest=3000, metric="monitor/fd20_fixed_to_held_out"):
    """A run whose best checkpoint is of another time and has other weights than its newest."""
    earlier = tiny_runs.make_run(path / "earlier", images_shown=best_at, seed=5)
    run_dir = tiny_runs.make_run(path / "run", images_shown=newest)
    kept = pathlib.Path(run_dir) / "checkpoints" / "best"
    kept.mkdir()
    for file in (pathlib.Path(earlier) / "checkpoints").glob("ckpt-*"):
        shutil.copy(file, kept)
    facts = {"metric": metric, "value": 1.25, "images_shown": best_at}
    (kept / "best.json").write_text(json.dumps(facts))
    return run_dir


def test_best_is_another_checkpoint_and_says_so(tmp_path):
    run_dir = _make_run(tmp_path)
    (newest, plain), (best, info) = (
        checkpoints.load_generator(run_dir, best=best) for best in (False, True)
    )
    assert (plain.images_shown, plain.best) == (3000, None)
    assert info.images_shown == 2800
    assert info.best == {"metric": "monitor/fd20_fixed_to_held_out", "value": 1.25}
    pairs = zip(newest.trainable_variables, best.trainable_variables, strict=True)
    assert any((a.numpy() != b.numpy()).any() for a, b in pairs)
    source = image_sources.from_run(run_dir, best=True)
    assert source.name == "run, best, at 2,800 images"
    facts = dict(source.facts)
    # Another generator of as many images in a folder of this name is another.
    assert facts.pop("weights") != image_sources.from_run(run_dir).facts["weights"]
    assert facts == {"run": "run", "images_shown": 2800, "kept_as_best": info.best}
    labels = np.eye(3, dtype=np.float32)
    drawn = [
        np.concatenate(list(image_sources.from_run(run_dir, best).draw(labels, 0)))
        for best in (False, True)
    ]
    assert (drawn[0] != drawn[1]).any()


def test_a_checkpoint_that_is_being_replaced_is_not_mistaken(tmp_path):
    run_dir = _make_run(tmp_path)
    kept = pathlib.Path(run_dir) / "checkpoints" / "best"
    for file in (pathlib.Path(run_dir) / "checkpoints").glob("ckpt-3000.*"):
        shutil.copy(file, kept)  # its best.json is not written yet
    assert checkpoints.load_generator(run_dir, best=True)[1].images_shown == 2800


def test_a_run_that_kept_none_is_told(tmp_path):
    run_dir = tiny_runs.make_run(tmp_path / "run")
    with pytest.raises(FileNotFoundError, match="kept no best checkpoint.*--metric_every_kimg"):
        checkpoints.load_generator(run_dir, best=True)
    run_dir = _make_run(tmp_path / "other")
    (pathlib.Path(run_dir) / "checkpoints" / "best" / "ckpt-2800.index").unlink()
    with pytest.raises(checkpoints.CheckpointError, match="checkpoints/best can be read"):
        checkpoints.load_generator(run_dir, best=True)


def test_tool_exports_the_best(run_tool, tmp_path, capsys, monkeypatch):
    from pgan import export

    monkeypatch.setattr(export, "_check_in_fresh_process", lambda *_: 0.0)
    run_dir = _make_run(tmp_path)
    flags = [f"--run_dir={run_dir}", f"--output={tmp_path / 'exports'}", "--name=gan"]
    assert run_tool("export_generator", *flags, "--best") == 0
    card = json.loads((tmp_path / "exports/gan/1/assets/model_card.json").read_text())
    assert card["images_shown"] == 2800 and not card["training_finished"]
    assert card["kept_as_best"]["value"] == 1.25
    assert "kept as the best: monitor/fd20_fixed_to_held_out = 1.25" in capsys.readouterr().out
    assert run_tool("export_generator", *flags) == 0
    assert (
        json.loads((tmp_path / "exports/gan/2/assets/model_card.json").read_text())["kept_as_best"]
        is None
    )


def test_the_best_of_an_earlier_stage_needs_permission(run_tool, tmp_path, capsys):
    run_dir = _make_run(tmp_path, best_at=1000)  # 4 px
    flags = [f"--run_dir={run_dir}", f"--output={tmp_path / 'exports'}", "--name=gan", "--best"]
    assert run_tool("export_generator", *flags) == 1
    assert "--allow_unfinished" in capsys.readouterr().err
