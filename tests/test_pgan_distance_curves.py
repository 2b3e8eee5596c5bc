import json

import pytest
import tiny_runs

from pgan import distance_curves, run_folder


def _watch(run_dir, *rows):
    folder = run_folder.RunFolder(run_dir)
    for shown, values in rows:
        folder.append_stats({"images_shown": shown, "training/alpha": 1.0, **values})


def test_distances_phases_and_best_of_a_run(tmp_path):
    run_dir = tiny_runs.make_run(tmp_path / "run", images_shown=2500)
    _watch(
        run_dir,
        (500, {"monitor/fd8_fixed_to_train": 9.0, "monitor/fd4_fixed_real_floor": 1.0}),
        (1500, {}),
        (2500, {"monitor/fd8_fixed_to_train": 4.0, "monitor/fd4_fixed_real_floor": 1.0}),
    )
    curves = distance_curves.read(run_dir)
    assert curves.values == {
        "fd8_fixed_to_train": [(500, 9.0), (2500, 4.0)],
        "fd4_fixed_real_floor": [(500, 1.0), (2500, 1.0)],
    }
    assert (curves.run, curves.images_shown, curves.best) == ("run", 2500, None)
    assert curves.phases == [(0, 4, False), (1000, 8, True), (2000, 8, False)]
    best = {"metric": "monitor/fd8_fixed_to_train", "value": 4.0, "images_shown": 2500}
    (tmp_path / "run/checkpoints/best").mkdir()
    (tmp_path / "run/checkpoints/best/best.json").write_text(json.dumps(best))
    assert distance_curves.read(run_dir).best == {**best, "metric": "fd8_fixed_to_train"}


def test_a_run_of_one_stage_so_far(tmp_path):
    run_dir = tiny_runs.make_run(tmp_path / "run", images_shown=1000)
    _watch(run_dir, (1000, {"monitor/fd8_fixed_to_train": 9.0}))
    assert distance_curves.read(run_dir).phases == [(0, 4, False)]


def test_a_run_that_watched_nothing_has_no_curves(tmp_path):
    run_dir = tiny_runs.make_run(tmp_path / "run")
    assert distance_curves.read(run_dir) is None
    _watch(run_dir, (1000, {}))
    assert distance_curves.read(run_dir) is None
    with pytest.raises(FileNotFoundError, match="is no run folder"):
        distance_curves.read(tmp_path)
