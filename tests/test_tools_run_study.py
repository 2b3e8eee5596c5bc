"""The study on phantom sites: its steps as typed, and all of it with DenseNet-121 at 32 px."""

import json
import pathlib

import pytest

from pgan import job_queue, results
from pgan.report import build


@pytest.fixture
def steps(run_tool, tmp_path, monkeypatch):
    """Function of the tool's arguments that returns its jobs without running them."""

    def make(*arguments):
        found = []
        monkeypatch.setattr(job_queue, "run", lambda jobs, *rest: found.extend(jobs))
        monkeypatch.setattr(build, "write", lambda *arguments: None)
        assert run_tool("run_study", f"--output={tmp_path}", *arguments) == 0
        return found

    return make


def test_every_step_needs_what_it_reads(steps, tmp_path):
    jobs = {job.name: job for job in steps()}
    assert set(jobs) == {
        *(f"{step}_{site}" for step in ("draw", "records", "split") for site in _SITES),
        *(f"{step}_{site}" for step in _OF_A_GENERATOR for site in ("nih", "chexpert")),
        *_EXPERIMENTS, "federation", "list_deposit", "draw_synthetic", "build_deck", "answer_deck",
        "score_readers",
    }  # fmt: skip

    def needed(name):
        return set(jobs[name].needs).union(*(needed(other) for other in jobs[name].needs))

    def folders(job, output):
        values = (argument.partition("=") for argument in job.command)
        return {
            value for flag, _, value in values
            if value.startswith(str(tmp_path)) and (flag in ("--output", "--run_dir")) == output
        }  # fmt: skip

    makers = {"exports": "export", "data": "draw", "runs": "train"}
    for job in jobs.values():
        assert not job.share_done()
        for folder in folders(job, output=False):
            kind, *rest = pathlib.Path(folder).relative_to(tmp_path).parts
            maker = f"{makers[kind]}_{rest[0]}" if kind in makers else None
            if maker in jobs and maker != job.name:
                assert maker in needed(job.name), (job.name, maker)
        for other in jobs.values():
            made = folders(other, output=True) - folders(job, output=True)
            if job is not other and made & folders(job, output=False):
                assert other.name in needed(job.name), (job.name, other.name)


def test_a_deposit_measures_the_numbers_that_its_sites_claim(steps):
    jobs = {job.name: job.command for job in steps("--size=tiny")}
    for site in ("nih", "chexpert"):
        claim, measured = (
            dict(argument.partition("=")[::2] for argument in jobs[f"{step}_{site}"])
            for step in ("evaluate", "admit")
        )
        assert "--count" not in claim and "--count" not in measured
        assert (claim["--records"], claim["--fold"], claim["--train_fold"]) == (
            measured["--reference"], measured["--reference_fold"], measured["--floor_fold"],
        )  # fmt: skip


def test_the_large_study_has_the_experiments_alone(steps):
    names = {job.name for job in steps("--size=large")}
    assert names >= {"train_nih", "fig2", "adversarial"}
    assert not names & {"federation", "audit_nih", "build_deck", "correlate_nih"}


def test_a_study_keeps_its_size_and_precision(steps, run_tool, tmp_path, capsys):
    first = steps("--size=tiny", "--precision=mixed_bfloat16")
    again = steps("--size=tiny")
    assert [job.command for job in first] == [job.command for job in again]
    assert any("--precision=mixed_bfloat16" in job.command for job in again)
    assert run_tool("run_study", f"--output={tmp_path}", "--size=small") == 1
    assert "holds a study with {'size': 'tiny'" in capsys.readouterr().err


def test_single_experiments_are_chosen_by_name(steps):
    names = [job.name for job in steps("--only=fig2,adversarial", "--size=tiny")]
    assert [name for name in names if name in _EXPERIMENTS] == ["fig2", "adversarial"]


def test_an_unknown_experiment_is_told(run_tool, tmp_path, capsys):
    assert run_tool("run_study", f"--output={tmp_path}", "--only=fig9") == 1
    assert "got fig9" in capsys.readouterr().err


_SITES = ("rsna", "nih", "chexpert")
_EXPERIMENTS = (
    "fig2", "fig3", "oversampling", "adversarial", "real_vs_synthetic", "real_only",
)  # fmt: skip
_OF_A_GENERATOR = (
    "train", "export", "evaluate", "audit", "submit", "admit", "visualize", "correlate",
)  # fmt: skip


@pytest.mark.slow
def test_the_whole_study_runs_on_tiny_phantom_sites_with_densenet(run_tool, tmp_path):
    assert run_tool("run_study", f"--output={tmp_path}", "--size=tiny") == 0
    arms = {
        "fig2": 2, "fig3": 4, "oversampling": 3, "adversarial": 3, "real_vs_synthetic": 3,
        "real_only": 1,
    }  # fmt: skip
    for name, count in arms.items():
        folder = tmp_path / "experiments" / name
        rows = results.read(folder / "results.jsonl")
        found = {row["arm"] for row in rows if row["name"] == "classifier"}
        assert len(found) == count
        areas = [r for r in rows if (r["name"], r.get("metric")) == ("classifier", "auc")]
        assert any(row["value"] is not None for row in areas)
        for row in areas:
            if row["low"] is not None:  # as of few patients
                assert 0 <= row["low"] <= row["value"] <= row["high"] <= 1
        facts = json.loads(next(folder.glob("seed1/*/classifier.json")).read_text())
        assert facts["settings"]["resolution"] == 32 and facts["epochs"] == 1
        assert (folder / "report.md").stat().st_size > 500
    # No patient of the third hospital's test images is in what the generators were trained on.
    assert json.loads((tmp_path / "experiments/fig2/experiment.json").read_text())["generators"]
    assert len(list((tmp_path / "logs").glob("*.log"))) == 37
    page = (tmp_path / "report.html").read_text()
    for name in ("adversarial", "federat", "simulated", "deposit", "Cardiomegaly"):
        assert name in page
