"""tools/audit_privacy.py: copies are found, others not, controls must fail, ended runs go on."""

import csv
import dataclasses
import json
import pathlib
import re

import numpy as np
import pytest
from PIL import Image

from pgan import config, image_sources
from pgan.audit import comparison_sets, overtrained, procedure, reporting
from pgan.data import labels, phantom, record_access, record_plan, record_set, record_writer, splits

SIZE = 32


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """400 phantoms of 32 px, about 280 for training and 80 of other patients for the test."""
    folder = tmp_path_factory.mktemp("records") / "phantom"
    images = list(phantom.read(400, seed=1, size=SIZE))
    plan = record_plan.make_plan(
        images,
        labels.NIH_14,
        SIZE,
        source="phantom",
        origin="phantom",
        split=splits.draw(images, 1),
    )
    record_writer.write_record_set(folder, plan, progress=False)
    return record_set.RecordSet.open(folder)


def _write(folder, images):
    (folder / "images").mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / "images" / f"{number:04d}.png")
    return folder


@pytest.fixture(scope="module")
def strangers():
    """Phantoms of another population, uint8 [48, 32, 32]."""
    return np.stack([image.load() for image in phantom.read(48, seed=9, size=SIZE)])


@pytest.fixture(scope="module")
def honest(tmp_path_factory, strangers):
    return _write(tmp_path_factory.mktemp("honest"), strangers)


@pytest.fixture
def audit(run_tool, records, tmp_path, capsys):
    """Runs the tool without the over-trained generator; returns status, output folder, errors."""

    def run(synthetic, *more, output="audit", control=False):
        folder = tmp_path / output
        status = run_tool(
            "audit_privacy",
            f"--records={records.path}",
            f"--synthetic={synthetic}",
            f"--output={folder}",
            "--count=48",
            "--planted=10",
            f"--control_generator={control}",
            *more,
        )
        return status, folder, capsys.readouterr()

    return run


def _report(folder):
    return json.loads((folder / "report.json").read_text())


def test_images_of_others_pass_and_the_report_says_what_was_tested(audit, honest, records):
    more = ("--sheets=12", "--neighbours=2")
    status, folder, printed = audit(honest, *more)
    report = _report(folder)
    assert status == 0, printed.out
    assert report["suspects"] == []
    assert all(row["passed"] for row in report["planted"].values())
    assert set(report["planted"]) == {"exact", "shifted", "contrast", "noise", "jpeg"}
    assert report["search"]["recall"] == 1.0
    text = (folder / "report.md").read_text()
    assert "No copy of a training image was found among 48 synthetic images" in text
    assert "taken on trust" in text  # nobody knows what drew a folder of images
    assert "planted copies only" in text
    assert "not resolvable: 1 % of" in text
    assert "anonym" not in text.lower()
    rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    names = [row["metric"] for row in rows]
    assert len(set(names)) == len(names)
    auc = next(row for row in rows if row["metric"].startswith("mia_generator_ssim_auc"))
    assert auc["interval"]["low"] < auc["value"] < auc["interval"]["high"]
    tpr = next(row for row in rows if row["metric"].startswith("mia_generator_ssim_tpr"))
    assert tpr["value"] is None and "500 are needed" in tpr["reason"]

    _check_neighbours_and_sheets(folder, records)
    assert f"{folder}/sheets/index.html" in printed.out
    status, _, printed = audit(honest, *more, "--seed=5")
    assert status == 1
    assert "begun with seed 0 instead of 5; give another folder" in printed.err


def _check_neighbours_and_sheets(folder, records):
    with open(folder / "neighbours.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 48 * 2 * 2  # images, spaces, neighbours
    assert {row["record"] for row in table} <= set(records.record_ids("train"))
    pictures = sorted((folder / "sheets").rglob("*.png"))
    assert len(pictures) == 12 * 3
    sizes = {path.stem.split("_")[1]: Image.open(path).size for path in pictures}
    one, two = (3 * SIZE + 2 * 2, SIZE), (5 * SIZE + 4 * 2, SIZE)  # image, neighbours, differences
    assert sizes == {"aligned": one, "ssim": two, "fixed": two}
    script = (folder / "sheets" / "images.js").read_text()
    shown = json.loads(re.fullmatch(r"const AUDIT = (.*);\n", script).group(1))["images"]
    assert sorted(image["rank"] for image in shown) == list(range(12))
    assert all((folder / "sheets" / s["file"]).exists() for i in shown for s in i["strips"])
    page = (folder / "sheets" / "index.html").read_text()
    assert "http" not in page  # nothing external


def test_copies_are_found_and_named(audit, records, strangers, tmp_path):
    places = [3, 60, 150, 222]
    copies = record_access.read_images(records, SIZE, "train", places)
    synthetic = _write(tmp_path / "copying", np.concatenate([strangers[:44], copies]))
    status, folder, printed = audit(synthetic)
    assert status == 4
    assert "found: 4 of 48 synthetic images are suspected copies" in printed.out
    found = {row["image"]: row["record"] for row in _report(folder)["suspects"]}
    ids = records.record_ids("train")
    assert found == {44 + i: ids[place] for i, place in enumerate(places)}
    assert audit(synthetic, "--fail_on=controls")[0] == 0  # found all the same, and in the report


def test_a_generator_of_training_images_is_recognised_by_every_test(audit, records, tmp_path):
    """Noisy training images: what is nearest to a real image tells whether it was trained on."""
    copies = record_access.read_images(records, SIZE, "train", list(range(0, 270, 2)))
    noise = np.random.default_rng(0).normal(0, 4, copies.shape)
    copies = np.clip(np.rint(copies + noise), 0, 255).astype(np.uint8)
    more = ("--count=135", "--fail_on=distances")
    status, folder, _ = audit(_write(tmp_path / "noisy", copies), *more)
    report = _report(folder)
    assert status == 4
    assert set(report["verdict"]["found"]) == {"copies", "distances", "membership"}
    test = report["distances"]["ssim"]
    assert test["preference"]["share"] > 0.6 and test["preference"]["p_value"] < 0.01
    assert test["copying"]["nearer"] > 0.95 and test["copying"]["z"] < -5
    assert test["authenticity"] < 10


def test_an_ended_audit_goes_on_to_the_same_report(audit, honest, monkeypatch):
    _, whole, _ = audit(honest, output="whole")
    for place in ("_look_for_copies", "_distances", "_attacks"):
        with monkeypatch.context() as patch:

            def end(*arguments):
                raise KeyboardInterrupt

            patch.setattr(procedure, place, end)
            status, parts, printed = audit(honest, output="parts")
            assert status == 130 and "the same command again continues" in printed.err
            assert not (parts / "report.md").exists()
    status, parts, _ = audit(honest, output="parts")
    assert status == 0
    for name in ("report.json", "report.md", "neighbours.csv"):
        assert (parts / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.fixture
def short_control(monkeypatch):
    """A control of 640 images, which learns nothing by heart."""
    whole = overtrained.training_config

    def short(images_shown=640, seed=0):
        changed = whole(images_shown, seed)
        plan = dataclasses.replace(
            changed.schedule, initial_resolution=32, stage_kimg="1", fade_kimg="0"
        )
        network = dataclasses.replace(changed.network, fmap_base=64, fmap_max=8)
        return dataclasses.replace(changed, schedule=plan, network=network)

    monkeypatch.setattr(overtrained, "training_config", short)


@pytest.mark.slow
def test_an_audit_fails_whose_control_was_missed(audit, honest, short_control, tmp_path):
    control = tmp_path / "control"
    more = (f"--overtrained_run={control}", "--control_kimg=0.64", "--sheets=0")
    status, folder, printed = audit(honest, *more, control=True)
    assert status == 3
    assert "FAILED CONTROL: over-trained generator" in printed.out
    text = (folder / "report.md").read_text()
    assert "**FAILED CONTROL.**" in text and "All controls were caught" not in text
    assert "No copy of a training image was found" not in text
    assert not list(folder.rglob("work/control"))
    chosen = json.loads((control / "chosen.json").read_text())["records"]
    assert len(set(chosen)) == overtrained.IMAGES
    # Another audit of the same fold takes the finished control as it is.
    saved = _times(control / "run" / "checkpoints")
    status, _, _ = audit(honest, *more, "--members=100", control=True, output="again")
    assert status == 3
    assert _times(control / "run" / "checkpoints") == saved


def _times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_control_that_ends_too_early_is_refused_before_anything_is_done(audit, honest):
    status, folder, printed = audit(honest, "--control_kimg=2", control=True)
    assert status == 1
    assert "--control_kimg must be above 45" in printed.err
    assert not folder.exists()


def _refusal(audit, synthetic, *more):
    status, folder, printed = audit(synthetic, *more)
    assert status == 1
    assert not (folder / "report.md").exists()
    assert "Traceback" not in printed.err
    return printed.err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--count=8"], "--count must be at least 16, got 8"),
        (["--count=60"], "60 images are wanted of .*, which has 48; give --count=48"),
        (["--resolution=64"], "--resolution must be 32, ... or 32 px"),
        (["--held_out_fold=train"], "--train_fold and --held_out_fold are both 'train'"),
        (["--train_fold=nothing"], "'nothing'"),
        (["--held_out_fold=val"], "the fold 'val' .*an audit needs at least 40 of 20"),
        (["--planted=500"], "--planted=500 images of different patients"),
        (["--calibration=10"], "--calibration must be at least 40"),
        (["--features=inception:/nowhere.pb"], "/nowhere.pb"),
        (["--run_dir=/nowhere"], "/nowhere"),
    ],
)
def test_wrong_arguments(audit, honest, arguments, message):
    assert re.search(message, _refusal(audit, honest, *arguments))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "give --run_dir, --export or --synthetic"),
        (["--synthetic=x", "--fail_on=luck"], "--fail_on takes controls, copies"),
        (["--synthetic=x", "more"], "unknown argument 'more'"),
        (["--synthetic=x", "--count=many"], "--count"),
        (["--synthetic=x", "--sheet_pixels=24"], "--sheet_pixels wants a power of two, got 24"),
    ],
)
def test_wrong_usage(run_tool, records, tmp_path, capsys, arguments, message):
    folder = tmp_path / "audit"
    status = run_tool(
        "audit_privacy", f"--records={records.path}", f"--output={folder}", *arguments
    )
    captured = capsys.readouterr()
    assert status == 2
    assert message in captured.out + captured.err
    assert not folder.exists()


def test_images_without_content_are_refused(audit, strangers, tmp_path):
    """What networks with NaN weights draw."""
    images = strangers.copy()
    images[7] = 0
    message = _refusal(audit, _write(tmp_path / "nan", images))
    assert "image 7 of nan is of one grey level" in message and "NaN" in message


def test_too_small_images_are_refused(audit, strangers, tmp_path):
    message = _refusal(audit, _write(tmp_path / "small", strangers[:, :16, :16]))
    assert "16 px" in message and "cannot be told from another patient's" in message


def test_images_of_the_other_fold_are_recognised(records, tmp_path):
    """A folder that says what its generator was trained on."""
    folder = _write(tmp_path / "told", np.zeros((16, SIZE, SIZE), np.uint8))
    told = {"training_records": {"fold_fingerprint": records.fold_fingerprint("test")}}
    (folder / "synthesis.json").write_text(json.dumps(told))
    rows = [f"images/{number:04d}.png,0" for number in range(16)]
    (folder / "labels.csv").write_text("\n".join(["path,Mass", *rows]))
    source = image_sources.from_folder(folder)
    with pytest.raises(ValueError, match="was trained on the fold 'test', which is given as held"):
        comparison_sets.check(records, source, comparison_sets.Settings(count=16))


def test_a_generator_that_saw_a_part_of_the_fold_is_told(records, tmp_path, caplog):
    """As one of a single client: the rest of the fold is no training images of its."""
    chosen = comparison_sets.Settings(count=16)
    size = records.fold_size("train")
    for used in (size, size - 1):
        seen = {"fold_fingerprint": records.fold_fingerprint("train"), "fold_size": used}
        source = image_sources.Synthetic("gan", SIZE, lambda *_: [], {}, seen)
        comparison_sets.check(records, source, chosen)
        facts = comparison_sets.facts(records, source, chosen, {})
        assert facts.get("trained_images") == (None if used == size else used)
        assert (f"trained on {used} of the {size} images" in caplog.text) == (used < size)


def test_networks_that_a_run_was_started_from_count(records):
    """They may know patients that the run's own fold does not have."""
    chosen = comparison_sets.Settings(count=16)
    own = {
        "fold_fingerprint": records.fold_fingerprint("train"),
        "fold_size": records.fold_size("train"),
    }

    def check(**parent):
        parent = {"fingerprint": records.fingerprint, "name": "set", **parent}
        source = image_sources.Synthetic(
            "gan", SIZE, lambda *_: [], {}, {**own, "ancestors": [parent]}
        )
        comparison_sets.check(records, source, chosen)
        return comparison_sets.facts(records, source, chosen, {}).get("strangers")

    assert check(fold="train") is None
    with pytest.raises(ValueError, match="started from .* fold 'all', which has images outside"):
        check(fold="all")
    assert check(fold="train", fingerprint="other", name="elsewhere") == ["elsewhere"]


def test_every_kind_of_finding_has_a_status():
    verdict = reporting.Verdict([], {"copies": ["x"], "membership": ["y"]})
    assert verdict.status(["controls"]) == 0
    assert verdict.status(["membership"]) == 4
    assert reporting.Verdict(["missed"], {}).status(["controls", "copies"]) == 3
    assert set(reporting.KINDS) == {"controls", "copies", "distances", "membership"}


def test_default_control_shows_each_image_20000_times():
    control = overtrained.Settings("folder")
    assert control.images_shown == 20_000 * overtrained.IMAGES
    assert isinstance(overtrained.training_config(), config.TrainConfig)
    assert pathlib.Path(control.folder).name == "folder"
