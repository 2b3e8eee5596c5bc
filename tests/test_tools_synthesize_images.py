"""tools/synthesize_images.py: sets of image files and record sets, continued and refused."""

import csv
import json
import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np
import pydicom
import pytest
import tiny_runs
from PIL import Image

from pgan import config, label_plan, plots, synthesis, synthetic_sets
from pgan.data import image_files, labels, record_reader, record_set

TOOL = pathlib.Path(__file__).parent.parent / "tools" / "synthesize_images.py"


@pytest.fixture(scope="module")
def export_path(tmp_path_factory):
    return tiny_runs.make_export(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def nih_export_path(tmp_path_factory):
    """An export with the 14 findings of the phantom's records."""
    network = config.NetworkConfig(
        resolution=8, findings=labels.NIH_14, latent_size=8, fmap_base=64, fmap_max=8
    )
    return tiny_runs.make_export(tmp_path_factory.mktemp("nih"), network=network)


@pytest.fixture
def synthesize(run_tool, export_path, tmp_path):
    def run(*arguments, export=export_path, output=tmp_path / "set", code=0):
        flags = (f"--export={export}", f"--output={output}", *arguments)
        assert run_tool("synthesize_images", *flags) == code
        return output

    return run


@pytest.fixture
def refusal(synthesize, capsys):
    """Runs the tool and returns its one message of failure."""

    def run(*arguments):
        synthesize(*arguments, code=1)
        return capsys.readouterr().err

    return run


def _images(folder):
    return {p.name: p.read_bytes() for p in sorted((folder / "images").rglob("*.png"))}


SUFFIXES = {"png": ".png", "dicom": ".dcm"}
every_file_format = pytest.mark.parametrize("file_format", SUFFIXES)


@every_file_format
def test_images_are_those_of_the_generator(synthesize, export_path, file_format):
    folder = synthesize(
        "--findings=Mass=1,Hernia=0.5", "--count=5", "--seed=3", f"--format={file_format}"
    )
    with open(folder / "labels.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = synthesis.load(export_path).sample("Mass=1,Hernia=0.5", seeds=3, indices=range(5))
    assert [row["index"] for row in rows] == list("01234")
    for row, image in zip(rows, wanted, strict=True):
        assert row["path"].endswith(SUFFIXES[file_format])
        np.testing.assert_array_equal(image_files.load(folder / row["path"]).image, image)
        assert (row["Mass"], row["Pleural Thickening"], row["Hernia"]) == ("1", "0", "0.5")


def test_files_say_that_they_are_synthetic(synthesize, export_path):
    folder = synthesize("--findings=Mass=1,Hernia=0.5", "--count=2", "--seed=3")
    text = Image.open(folder / "images/000/000001.png").text
    assert text["synthetic"] == "true" and "not a radiograph" in text["Warning"]
    assert text["generator"] == "tiny/1"
    assert text["generator_fingerprint"] == synthesis.load(export_path).fingerprint
    assert (text["seed"], text["index"]) == ("3", "1")
    assert text["findings"] == "Mass=1, Hernia=0.5"


def test_dicom_files_say_that_they_are_synthetic(synthesize, export_path):
    folder = synthesize("--findings=Mass=1,Hernia=0.3", "--count=2", "--seed=3", "--format=dicom")
    file = pydicom.dcmread(folder / "images/000/000001.dcm")
    assert file.SyntheticData == "YES" and "SYNTHETIC" in str(file.PatientName)
    wanted = synthesis.load(export_path).marks
    wanted |= {"seed": "3", "index": "1", "findings": "Mass=1, Hernia=0.3"}
    assert file.ImageComments.splitlines() == [f"{key}: {text}" for key, text in wanted.items()]


def test_records_of_dicom_files_have_the_same_pixels(synthesize, run_tool, export_path, tmp_path):
    folder = synthesize("--uniform_class", "--count=12", "--format=dicom")
    with open(folder / "labels.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [f"{row['path']},{n},{tiny_runs.FINDINGS[n % 3]}" for n, row in enumerate(rows)]
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["file,patient,findings", *lines]) + "\n")
    built = (f"--input={folder}", f"--csv={table}", f"--output={tmp_path / 'records'}")
    findings = f"--findings={','.join(tiny_runs.FINDINGS)}"
    own = (findings, "--max_resolution=8", f"--key_file={tmp_path / 'key'}", "--workers=0")
    assert run_tool("build_records", "--source=folder", *built, *own) == 0
    records = record_set.RecordSet.open(tmp_path / "records", verify="full")
    stored = record_reader.evaluation_dataset(records, 8, "all", batch_size=12)
    images = plots.to_uint8(next(iter(stored))["images"].numpy()[..., 0])
    drawn = synthesis.load(export_path).sample(np.tile(np.eye(3), (4, 1)), 0, range(12))
    assert sorted(image.tobytes() for image in images) == sorted(i.tobytes() for i in drawn)


def test_dicom_files_hold_nothing_of_the_source(synthesize, run_tool, tmp_path, capsys):
    folder = synthesize("--findings=Mass", "--count=3", "--format=dicom")
    source = tmp_path / "source.csv"
    source.write_text("Image Index,Patient Name\n00000017_000.png,Person^Doering\n")
    scan = ("scan_identifiers", f"--input={source}", f"--scan={folder}")
    assert run_tool(*scan) == 0, capsys.readouterr().out
    path = folder / "images/000/000001.dcm"
    named = pydicom.dcmread(path)
    named.PatientName = "Doering"
    named.save_as(path)
    assert run_tool(*scan) == 1
    assert "000001.dcm: person's name (part) do*****" in capsys.readouterr().out


def test_uniform_class_draws_findings_in_turn(synthesize, monkeypatch):
    sheets = []
    draw = plots.image_grid
    monkeypatch.setattr(plots, "image_grid", lambda *a: sheets.append(a) or draw(*a))
    folder = synthesize("--uniform_class", "--count=8")
    with open(folder / "labels.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["Hernia"] for row in rows] == list("00100100")
    ((images, names, title),) = sheets
    assert names == list(tiny_runs.FINDINGS)
    assert [len(row) for row in images] == [3, 3, 2]
    assert "tiny/1" in title
    assert Image.open(folder / "sheet.png").size[0] > 3 * 64


def test_every_row_of_a_csv_is_drawn_once_by_default(synthesize, tmp_path):
    path = tmp_path / "wanted.csv"
    path.write_text("Mass,count\n1,2\n0,1\n")
    folder = synthesize(f"--labels_csv={path}")
    assert len(_images(folder)) == 3


@every_file_format
def test_a_set_is_continued_with_the_same_bytes(synthesize, tmp_path, capsys, file_format):
    flags = ("--uniform_class", "--count=30", "--batch_size=4", f"--format={file_format}")
    suffix = SUFFIXES[file_format]
    whole = synthesize(*flags, output=tmp_path / "whole")
    folder = shutil.copytree(whole, tmp_path / "killed")
    for name in ("labels.csv", "sheet.png", f"images/000/000002{suffix}"):
        (folder / name).unlink()
    for index in range(17, 30):
        (folder / f"images/000/{index:06d}{suffix}").unlink()
    # As a crash of the machine may leave it.
    (folder / f"images/000/000003{suffix}").write_bytes(b"")
    capsys.readouterr()
    synthesize(*flags, "--batch_size=7", output=folder)
    assert "15 images in" in capsys.readouterr().out
    for path in (p.relative_to(whole) for p in whole.rglob("*") if p.is_file()):
        assert (folder / path).read_bytes() == (whole / path).read_bytes(), path


def test_a_killed_process_leaves_whole_files_only(synthesize, export_path, tmp_path):
    """Kills the tool for real while it writes, then continues."""
    flags = ["--uniform_class", "--count=20000", "--batch_size=2"]
    folder = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, TOOL, f"--export={export_path}", f"--output={folder}", *flags],
        stderr=subprocess.DEVNULL,
        env=_environment(),
    )
    while process.poll() is None and not (folder / "images/000/000040.png").exists():
        time.sleep(0.02)
    assert process.poll() is None
    process.kill()
    process.wait()
    written = list((folder / "images").rglob("*.png"))
    assert 40 <= len(written) < 20000 and not (folder / "labels.csv").exists()
    for path in written:
        Image.open(path).load()
    settings = json.loads((folder / "synthesis.json").read_text())
    (folder / "synthesis.json").write_text(json.dumps({**settings, "count": 60}))
    for path in written[60:]:
        path.unlink()
    synthesize(*flags, "--count=60", output=folder)
    images = _images(folder)
    fresh = synthesize("--uniform_class", "--count=60", output=tmp_path / "fresh")
    assert {name: images[name] for name in _images(fresh)} == _images(fresh)


def test_other_flags_are_refused_in_the_same_folder(synthesize, refusal):
    folder = synthesize("--findings=Mass", "--count=3")
    before = _images(folder)
    assert "seed: 0 there, 1 asked" in refusal("--findings=Mass", "--count=3", "--seed=1")
    assert "count: 3 there, 4 asked" in refusal("--findings=Mass", "--count=4")
    assert "'findings': 'Hernia'} asked" in refusal("--findings=Hernia", "--count=3")
    message = refusal("--findings=Mass", "--count=3", "--format=dicom")
    assert "format: png there, dicom asked" in message
    message = refusal("--findings=Mass", "--count=3", "--format=records")
    assert "holds no record set" in message
    assert _images(folder) == before


def test_a_set_that_names_no_format_is_one_of_png_files(synthesize, refusal):
    """As sets were before there were others."""
    folder = synthesize("--findings=Mass", "--count=3")
    settings = json.loads((folder / "synthesis.json").read_text())
    assert settings.pop("format") == "png"
    (folder / "synthesis.json").write_text(json.dumps(settings))
    before = _images(folder)
    (folder / "images/000/000001.png").unlink()
    message = refusal("--findings=Mass", "--count=3", "--format=dicom")
    assert "format: png there, dicom asked" in message
    synthesize("--findings=Mass", "--count=3")
    assert _images(folder) == before


def test_strengths_are_written_in_full():
    """0.1234567 and 0.12345671 draw two images, which need two texts."""
    row = np.array([0.1234567, 0, 0.3], np.float32)
    text = synthetic_sets.finding_text(row, tiny_runs.FINDINGS)
    assert text == "Mass=0.1234567, Hernia=0.3"
    other = np.nextafter(row, np.float32(1))
    assert synthetic_sets.finding_text(other * (row > 0), tiny_runs.FINDINGS) != text


def test_a_folder_of_something_else_is_refused(refusal, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "thesis.txt").write_text("important")
    assert "thesis.txt" in refusal("--findings=Mass", "--count=3")


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--findings=Fracture", "--count=1"], "Known are: Mass, Pleural Thickening, Hernia"),
        (["--findings=Mass", "--count=0"], "--count must be at least 1, got 0"),
        (["--labels_csv=absent.csv"], "absent.csv"),
        ([], "exactly one of --findings, --labels_csv, --uniform_class, --label_records"),
        (["--uniform_class", "--findings=Mass"], "exactly one of --findings"),
        (["--uniform_class", "--format=dicom", "--workers=2"], "--workers is for --format=records"),
        (["--independent"], "exactly one of --findings"),
        (["--uniform_class", "--independent"], "takes prevalences from --label_records"),
    ],
)
def test_wrong_flags_leave_nothing_behind(refusal, tmp_path, flags, message):
    assert message in refusal(*flags)
    assert not (tmp_path / "set").exists()


@pytest.fixture
def synthetic_records(synthesize, nih_export_path, phantom_records):
    flags = (f"--label_records={phantom_records.path}", "--fold=train", "--format=records")
    return lambda **more: synthesize(*flags, export=nih_export_path, **more)


def test_records_have_the_labels_of_the_real_ones(
    synthetic_records, nih_export_path, phantom_records
):
    folder = synthetic_records()
    generator = synthesis.load(nih_export_path)
    records = record_set.RecordSet.open(folder, verify="full")
    real = phantom_records.label_matrix("train")
    assert records.findings == phantom_records.findings
    assert records.max_resolution == 8 and records.num_records == len(real)
    origin = records.manifest["provenance"]
    assert records.manifest["origin"] == "synthetic"
    assert origin["generator_fingerprint"] == generator.fingerprint
    assert origin["training_records"] == tiny_runs.RECORDS
    assert origin["labels"]["fold_fingerprint"] == phantom_records.fold_fingerprint("train")
    index = [int(name.rpartition("-")[2]) for name in records.record_ids()]
    assert sorted(index) == list(range(len(real)))
    np.testing.assert_array_equal(records.label_matrix(), real[index])
    wanted = generator.sample(real[index], seeds=0, indices=index)
    stored = record_reader.evaluation_dataset(records, 8, "all", batch_size=len(real))
    images = next(iter(stored))["images"].numpy()[..., 0]
    np.testing.assert_array_equal(plots.to_uint8(images), wanted)
    assert (folder / "sheet.png").exists()


def test_independent_labels_have_the_prevalences_of_records(
    synthesize, nih_export_path, phantom_records, tmp_path
):
    flags = (f"--label_records={phantom_records.path}", "--fold=train", "--independent")

    def drawn(folder, *more):
        synthesize(*flags, *more, export=nih_export_path, output=tmp_path / folder)
        settings = json.loads((tmp_path / folder / "synthesis.json").read_text())
        return label_plan.from_csv(tmp_path / folder / "labels.csv", labels.NIH_14).rows, settings

    real = phantom_records.label_matrix("train")
    rows, settings = drawn("few", "--seed=3")
    assert rows.shape == real.shape and (rows != real).any()
    assert settings["labels"]["label_sampling"] == "independent"
    assert settings["labels"]["fold_fingerprint"] == phantom_records.fold_fingerprint("train")
    more, _ = drawn("more", "--seed=3", "--count=400")
    np.testing.assert_array_equal(more[: len(rows)], rows)
    # Four standard errors at most.
    np.testing.assert_allclose(more.mean(axis=0), real.mean(axis=0), atol=0.1)


def test_a_record_set_is_continued_with_the_same_bytes(synthetic_records, tmp_path, monkeypatch):
    whole = synthetic_records(output=tmp_path / "whole")
    stream = synthetic_sets.Order.draw

    def stop_early(order, indices, batch_size):
        for n, image in enumerate(stream(order, indices, batch_size)):
            if n == len(indices) - 2:
                raise KeyboardInterrupt
            yield image

    with monkeypatch.context() as patch:
        patch.setattr(synthetic_sets.Order, "draw", stop_early)
        synthetic_records(output=tmp_path / "killed", code=130)
    assert not (tmp_path / "killed" / "manifest.json").exists()
    folder = synthetic_records(output=tmp_path / "killed")
    for path in (p.relative_to(whole) for p in whole.rglob("*") if p.is_file()):
        assert (folder / path).read_bytes() == (whole / path).read_bytes(), path


def test_help_does_not_load_tensorflow():
    for name in ("synthesize_images", "export_generator"):
        code = f"import sys, {name}; sys.exit('tensorflow' in sys.modules)"
        environment = {**_environment(), "PYTHONPATH": f"{TOOL.parent}:{TOOL.parent.parent}"}
        assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0


def _environment():
    return {"PYTHONPATH": str(TOOL.parent.parent), "TF_CPP_MIN_LOG_LEVEL": "3", "PATH": ""}
