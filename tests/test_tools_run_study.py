"""The study on phantom sites: its steps as typed, and all of it with DenseNet-121 at 32 px."""

import json
import pathlib

import pytest

from pgan import job_queue, results


@pytest.fixture
def steps(run_tool, tmp_path, monkeypatch):
    """Function of the tool's arguments that returns its jobs without running them."""

    def make(*arguments):
        found = []
        monkeypatch.setattr(job_queue, "run", lambda jobs, *rest: found.extend(jobs))
        assert run_tool("run_study", f"--output={tmp_path}", *arguments) == 0
        return found

    return make


def test_every_step_needs_what_it_reads(steps, tmp_path):
    jobs = {job.name: job for job in steps()}
    assert set(jobs) == {
        *(f"{step}_{site}" for step in ("draw", "records", "split") for site in _SITES),
        "train_nih", "train_chexpert", "export_nih", "export_chexpert", *_EXPERIMENTS,
    }  # fmt: skip
    made = {"draw": "data", "records": "records", "export": "exports", "train": "runs"}

    def needed(name):
        return set(jobs[name].needs).union(*(needed(other) for other in jobs[name].needs))

    for job in jobs.values():
        before = needed(job.name)
        for other in set(jobs) - {job.name}:
            step, _, site = other.partition("_")
            folder = f"{tmp_path / made.get(step, 'splits')}/{site}"
            inputs = [a for a in job.command if a.endswith(folder) and "--output" not in a]
            if inputs and step != job.name.partition("_")[0]:
                assert other in before, (job.name, other)
        assert job.share_done() == 0


def test_single_experiments_are_chosen_by_name(steps):
    names = [job.name for job in steps("--only=fig2,adversarial", "--size=tiny")]
    assert [name for name in names if name in _EXPERIMENTS] == ["fig2", "adversarial"]


def test_an_unknown_experiment_is_told(run_tool, tmp_path, capsys):
    assert run_tool("run_study", f"--output={tmp_path}", "--only=fig9") == 1
    assert "got fig9" in capsys.readouterr().err


_SITES = ("rsna", "nih", "chexpert")
_EXPERIMENTS = ("fig2", "fig3", "oversampling", "adversarial", "real_vs_synthetic")


@pytest.mark.slow
def test_all_experiments_run_on_the_phantom_sites_with_densenet(run_tool, tmp_path):
    assert run_tool("run_study", f"--output={tmp_path}", "--size=tiny") == 0
    arms = {"fig2": 2, "fig3": 4, "oversampling": 3, "adversarial": 3, "real_vs_synthetic": 3}
    for name, count in arms.items():
        folder = tmp_path / "experiments" / name
        rows = results.read(folder / "results.jsonl")
        found = {row["arm"] for row in rows if row["name"] == "classifier"}
        assert len(found) == count
        areas = [r for r in rows if (r["name"], r["metric"]) == ("classifier", "auc")]
        assert any(row["value"] is not None for row in areas)
        for row in areas:
            assert row["value"] is None or 0 <= row["low"] <= row["value"] <= row["high"] <= 1
        facts = json.loads(next(folder.glob("seed1/*/classifier.json")).read_text())
        assert facts["settings"]["resolution"] == 32 and facts["epochs"] == 1
        assert (folder / "report.md").stat().st_size > 500
    # No patient of the third hospital's test images is in what the generators were trained on.
    assert json.loads((tmp_path / "experiments/fig2/experiment.json").read_text())["generators"]
    logs = pathlib.Path(tmp_path / "logs").glob("*.log")
    assert len(list(logs)) == 18
