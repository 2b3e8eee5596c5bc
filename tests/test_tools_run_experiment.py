"""Experiments as typed, with a small network in the place of DenseNet-121."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tiny_runs
from tiny_classifiers import tiny_backbone  # noqa: F401

from classifier import model, power, predictions, training, training_sets
from pgan import config, export, results
from pgan.data import labels, phantom, record_plan, record_set, record_writer, splits

pytestmark = pytest.mark.usefixtures("tiny_backbone")


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records") / "phantom"
    images = list(phantom.read(200, seed=3, size=32))
    fractions = {"train": 0.5, "val": 0.25, "test": 0.25}
    split = splits.draw(images, 8, fractions)  # every fold has effusion and pneumonia
    plan = record_plan.make_plan(
        images, labels.NIH_14, 32, source="phantom", origin="phantom", split=split
    )
    record_writer.write_record_set(folder, plan, progress=False)
    return record_set.RecordSet.open(folder)


@pytest.fixture(scope="module")
def exports(tmp_path_factory, records):
    """Two untrained generators of 32 px that say they were trained on the records."""
    network = config.NetworkConfig(
        resolution=32, findings=labels.NIH_14, latent_size=8, fmap_base=64, fmap_max=4
    )
    schedule = config.ScheduleConfig(stage_kimg="1", fade_kimg="1", total_kimg=7, batch_sizes="8")
    facts = {
        "name": records.name,
        "fingerprint": records.fingerprint,
        "fold": "train",
        "fold_size": records.fold_size("train"),
        "fold_fingerprint": records.fold_fingerprint("train"),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_runs, "RECORDS", facts)
        patch.setattr(export, "_check_in_fresh_process", lambda *arguments: 0.0)
        return [
            tiny_runs.make_export(
                tmp_path_factory.mktemp(f"site{seed}"), f"site{seed}", images_shown=7000,
                network=network, schedule=schedule, seed=seed,
            )
            for seed in (1, 2)
        ]  # fmt: skip


@pytest.fixture
def common(records, exports, tmp_path):
    return [
        f"--local={records.path}", f"--first={exports[0]}", f"--first_records={records.path}",
        f"--second={exports[1]}", f"--second_records={records.path}", "--resolution=32",
        "--weights=random", "--batch_size=4", "--max_epochs=1", "--augment=", "--redraws=50",
        "--permutations=19", "--seeds=1,2", f"--output={tmp_path / 'out'}",
    ]  # fmt: skip


def test_an_experiment_goes_on_after_its_last_model_and_ends_with_a_report(
    run_tool, common, tmp_path, monkeypatch, capsys
):
    arguments = ("--experiment=oversampling", "--finding=Effusion", "--images=16", "--rare=4")
    train, trained = training.train, []

    def interrupted(settings, *rest, **named):
        if len(trained) == 4:
            raise KeyboardInterrupt
        trained.append(settings.seed)
        return train(settings, *rest, **named)

    monkeypatch.setattr(training, "train", interrupted)
    assert run_tool("run_experiment", *common, *arguments) == 130
    monkeypatch.setattr(
        training,
        "train",
        lambda s, *rest, **named: trained.append(s.seed) or train(s, *rest, **named),
    )
    assert run_tool("run_experiment", *common, *arguments) == 0
    assert trained == [1, 1, 1, 2, 2, 2]
    output = tmp_path / "out"
    rows = results.read(output / "results.jsonl")
    auc = {
        row["arm"]: row
        for row in rows
        if row["name"] == "classifier"
        and (row["metric"], row["finding"], row["group"]) == ("auc", "Effusion", "all")
    }
    assert set(auc) == {"imbalanced", "repeated", "synthetic"}
    assert all(len(row["each"]) == 2 and row["seed_sd"] is not None for row in auc.values())
    pairs = {(row["first"], row["second"]) for row in rows if row["name"] == "comparison"}
    assert len(pairs) == 3
    report = (output / "report.md").read_text()
    assert "12 synthetic: site1/1, positive" in report
    assert "16 phantom: phantom, positive" in report  # 4 images, 4 times each
    for name in ("roc", "metrics", "composition"):
        assert (output / f"{name}.png").stat().st_size > 5000
    # Whole, it is reported again from its files alone.
    (output / "report.md").unlink()
    monkeypatch.setattr(training, "train", None)
    monkeypatch.setattr(training_sets, "check", None)
    assert run_tool("run_experiment", *common, *arguments) == 0
    assert (output / "report.md").read_text() == report
    # Other settings are another experiment.
    assert run_tool("run_experiment", *common, *arguments, "--learning_rate=0.5") == 1
    assert "it differs in settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "arms"),
    [
        (("--experiment=fig3", "--images=12", "--more_images=20"), 4),
        (("--experiment=real_vs_synthetic", "--finding=Effusion", "--images=8", "--rare=4"), 3),
    ],
)
def test_the_other_experiments_run(run_tool, common, tmp_path, arguments, arms):
    assert run_tool("run_experiment", *common, *arguments, "--seeds=1") == 0
    facts = json.loads((tmp_path / "out" / "experiment.json").read_text())
    assert len(facts["experiment"]["recipes"]) == arms
    assert len(list((tmp_path / "out").glob("seed1/*/predictions.npz"))) == arms


def test_attacked_images_are_judged_by_all_arms_and_not_twice(
    run_tool, common, tmp_path, monkeypatch
):
    arguments = (
        "--experiment=adversarial", "--finding=Effusion", "--images=8", "--rare=4", "--seeds=1",
        "--test_images=10", "--strengths=1,32", "--attack_epsilon=8", "--attack_steps=2",
    )  # fmt: skip
    assert run_tool("run_experiment", *common, *arguments) == 0
    output = tmp_path / "out"
    kept = {arm: json.loads((output / f"seed1/{arm}/classifier.json").read_text())["settings"]
            for arm in ("plain", "fgsm", "pgd")}  # fmt: skip
    assert {arm: own["attack"] for arm, own in kept.items()} == {
        "plain": "none", "fgsm": "fgsm", "pgd": "pgd"
    }  # fmt: skip
    rows = [row for row in results.read(output / "results.jsonl") if row["name"] == "robustness"]
    conditions = {(row["attack"], row["epsilon"]) for row in rows}
    assert conditions == {("none", 0), ("fgsm", 1), ("fgsm", 32), ("pgd", 1), ("pgd", 32)}
    auc = {
        (row["arm"], row["attack"], row["epsilon"]): row["value"]
        for row in rows
        if (row["metric"], row["finding"]) == ("auc", "Effusion")
    }
    # The classifiers' own gradient was used: a strong attack leaves less than a weak one.
    assert auc["plain", "fgsm", 32] < auc["plain", "fgsm", 1] <= auc["plain", "none", 0]
    clean = predictions.load(output / "seed1/plain/predictions.npz")
    attacked = predictions.load(output / "seed1/plain/attacks/pgd_32.npz")
    assert attacked.same_images(clean) and not np.allclose(attacked.scores, clean.scores)
    assert attacked.about["attack"] == {"kind": "pgd", "epsilon": 32.0, "steps": 10}
    report = (output / "report.md").read_text()
    assert "### auc under pgd" in report and "### accuracy under fgsm" in report
    plain = report.partition("## plain: ")[2].partition("##")[0]
    assert f"{auc['plain', 'none', 0]:.3f}" in plain  # of the clean images
    assert (output / "robustness.png").stat().st_size > 5000
    # A missing file is made again, the others are kept.
    (output / "seed1/plain/attacks/pgd_32.npz").unlink()
    before = (output / "seed1/plain/attacks/pgd_1.npz").stat().st_mtime_ns
    monkeypatch.setattr(model.Classifier, "fit", None)
    assert run_tool("run_experiment", *common, *arguments) == 0
    assert (output / "seed1/plain/attacks/pgd_1.npz").stat().st_mtime_ns == before
    again = predictions.load(output / "seed1/plain/attacks/pgd_32.npz")
    np.testing.assert_array_equal(again.scores, attacked.scores)


def test_fig2_shows_how_alike_the_images_with_pneumonia_are(run_tool, common, tmp_path):
    arguments = ("--experiment=fig2", "--images=16", "--rare=2", "--test_images=2", "--seeds=1")
    assert run_tool("run_experiment", *common, *arguments) == 0
    output = tmp_path / "out"
    rows = [row for row in results.read(output / "results.jsonl") if row["name"] == "diversity"]
    by_arm = {row["arm"]: row for row in rows}
    # 2 real images of two patients, and 2 with 4 synthetic ones.
    assert (by_arm["real"]["images"], by_arm["real"]["pairs"]) == (2, 1)
    assert (by_arm["augmented"]["images"], by_arm["augmented"]["pairs"]) == (6, 15)
    assert by_arm["real"]["sd"] is None and by_arm["augmented"]["sd"] > 0
    assert by_arm["real"]["metric"] == "ms_ssim_2scales"
    assert all(0 < row["value"] < 1 for row in rows)
    assert "ms_ssim_2scales" in (output / "report.md").read_text()
    assert (output / "diversity.png").stat().st_size > 5000
    assert (output / "seed1/real/augmented.png").stat().st_size > 500


def test_a_dry_run_says_what_could_be_shown_and_trains_nothing(run_tool, common, tmp_path, capsys):
    arguments = ("--experiment=real_vs_synthetic", "--finding=Effusion", "--images=8", "--rare=4")
    assert run_tool("run_experiment", *common, *arguments, "--dry_run") == 0
    text = capsys.readouterr().out
    assert "real_vs_synthetic: 6 models (2 seeds), 32 px" in text
    assert not (tmp_path / "out").exists()
    row = next(line for line in text.splitlines() if line.startswith("| Effusion"))
    _, _, positives, negatives, sd, least, wanted, _ = (cell.strip() for cell in row.split("|"))
    expected = power.hanley_mcneil_sd(0.75, int(positives), int(negatives))
    assert float(sd) == pytest.approx(expected, abs=6e-4)
    assert float(least) > 0.07 and int(wanted) > int(positives)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--experiment=fig3", "--images=12", "--more_images=20", "--second="),
            "for the arm 'pooled': this experiment needs the generator 'second'",
        ),
        (
            ("--experiment=fig3", "--images=999", "--more_images=20"),
            "for the arm 'real': ",  # the last one; generators draw as many as one likes
        ),
    ],
)
def test_a_dry_run_finds_what_a_later_arm_lacks(
    run_tool, common, tmp_path, capsys, arguments, message
):
    assert run_tool("run_experiment", *common, *arguments, "--dry_run") == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_presets_give_way_to_flags(run_tool, common, tmp_path):
    arguments = ("--experiment=real_vs_synthetic", "--finding=Effusion", "--images=8", "--rare=4")
    more = ("--seeds=1", "--preset=adam", "--learning_rate=0.002")
    assert run_tool("run_experiment", *common, *arguments, *more) == 0
    settings = json.loads((tmp_path / "out" / "experiment.json").read_text())["settings"]
    assert (settings["optimizer"], settings["learning_rate"]) == ("adam", 0.002)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("--local_folds=train,val",), "--local_folds wants three folds"),
        (("--local_folds=train,val,train",), "which the classifier is trained or validated on"),
        (("--seeds=one",), "--seeds wants whole numbers"),
        (("--first=",), "for the arm 'synthetic': this experiment needs the generator 'first'"),
        (("--finding=Fracture",), "Fracture"),
        (("--rare=90",), "Not enough images"),
        (("--test_images=10",), "takes no --test_images; it takes --finding, --images, --rare"),
        (("--experiment=adversarial", "--strengths=0"), "--strengths wants numbers above 0"),
        (("--weights=/nowhere.h5",), "is no file"),
        (("--resolution=64",), "no r0064 shards"),
    ],
)
def test_bad_input_is_answered_before_anything_is_trained(
    run_tool, common, tmp_path, monkeypatch, capsys, changes, message
):
    monkeypatch.setattr(training, "train", None)
    arguments = ("--experiment=real_vs_synthetic", "--finding=Effusion", "--images=8", "--rare=4")
    assert run_tool("run_experiment", *common, *arguments, *changes) == 1
    assert message in capsys.readouterr().err
    # The folder is nobody's yet, and can be had with better flags.
    assert not (tmp_path / "out" / "experiment.json").exists()
    assert not (tmp_path / "out" / "synthetic").exists()
    assert tf.keras.mixed_precision.global_policy().name == "float32"
