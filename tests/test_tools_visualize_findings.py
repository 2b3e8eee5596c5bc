"""tools/visualize_findings.py as typed: its folder, going on with it, and what it refuses."""

import unittest.mock

import numpy as np
import pytest
import tiny_runs
from PIL import Image

from pgan import config, results, run_folder
from pgan.data import labels
from pgan.visualize import animations, pictures

_FILMS = animations.encoder_missing() is None
_FEW = ("--seeds=0:0,5", "--frames=3", "--mean_count=4")


@pytest.fixture(scope="module")
def export_path(tmp_path_factory):
    return tiny_runs.make_export(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def phantom_export_path(tmp_path_factory, phantom_records):
    """An export at 16 px that says it was trained on the phantoms."""
    network = config.NetworkConfig(
        resolution=16, findings=labels.NIH_14, latent_size=8, fmap_base=64, fmap_max=8
    )
    plan = config.ScheduleConfig(stage_kimg="1", fade_kimg="1", total_kimg=5, batch_sizes="8")
    trained_on = run_folder.describe_records(phantom_records, tiny_runs.settings())
    with unittest.mock.patch.object(tiny_runs, "RECORDS", trained_on):
        return tiny_runs.make_export(
            tmp_path_factory.mktemp("phantom"), network=network, schedule=plan, images_shown=5000
        )


@pytest.fixture
def show(run_tool, export_path, tmp_path):
    def run(*arguments, export=export_path, code=0):
        output = tmp_path / "out"
        flags = (f"--export={export}", f"--output={output}", *arguments)
        assert run_tool("visualize_findings", *flags) == code
        return output

    return run


@pytest.fixture
def refusal(show, capsys):
    def run(*arguments, **more):
        show(*arguments, code=1, **more)
        return capsys.readouterr().err

    return run


def _files(folder):
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix(): (folder / path).read_bytes() for path in paths}


def test_all_kinds_of_pictures_are_written_once(show, capsys):
    flags = (*_FEW, "--combinations=Hernia+Mass", "--interpolate", "--others=Pleural Thickening=1")
    folder = show(*flags)
    ends = ("png", "gif", "mp4") if _FILMS else ("png", "gif")
    names = ("Mass", "Pleural_Thickening", "Hernia")
    animated = (*(f"sweeps/{name}" for name in names), "interpolation")
    wanted = {f"{name}.{end}" for name in animated for end in ends}
    wanted |= {f"differences/{name}.png" for name in (*names, "0-0", "5-0", "mean")}
    wanted |= {"combinations/Hernia+Mass.png", "maps.npz", "settings.json"}
    wanted |= {"results.jsonl", "report.md"}
    before = _files(folder)
    assert set(before) == wanted
    with Image.open(folder / "sweeps/Mass.gif") as gif:
        assert gif.n_frames == 3
    assert Image.open(folder / "differences/mean.png").text["synthetic"] == "true"
    with np.load(folder / "maps.npz") as arrays:
        assert arrays["difference"].shape == (3, 8, 8)
        assert tuple(arrays["findings"]) == tiny_runs.FINDINGS
    rows = results.read(folder / "results.jsonl")
    # Not trained on phantoms, so it is not known where findings should be.
    assert [row["name"] for row in rows] == ["map_change"] * 3
    assert {row["others"] for row in rows} == {"Pleural Thickening=1"} and rows[0]["count"] == 4
    report = (folder / "report.md").read_text()
    assert "## How much changes" in report and "## Where the maps lie" not in report
    assert "![combinations/Hernia+Mass.png]" in report
    # The same again writes what is missing, and nothing else.
    for name in ("sweeps/Hernia.gif", "differences/5-0.png"):
        (folder / name).unlink()
    kept = {name: (folder / name).stat().st_mtime_ns for name in ("maps.npz", "sweeps/Mass.gif")}
    show(*flags)
    after = _files(folder)
    assert {n: (folder / n).stat().st_mtime_ns for n in kept} == kept
    changing = {"results.jsonl"}  # holds times
    assert {n: b for n, b in after.items() if n not in changing} == {
        n: b for n, b in before.items() if n not in changing
    }


def test_ratios_and_nearest_images_of_phantoms(show, phantom_export_path, phantom_records, capsys):
    folder = show(
        *_FEW, "--findings=effusion,Cardiomegaly", "--phantoms=2", "--nosweeps",
        f"--records={phantom_records.path}", export=phantom_export_path,
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert "nearest will show images of phantom: patients" in printed and "| ratio" in printed
    rows = [r for r in results.read(folder / "results.jsonl") if r["name"] == "map_ratio"]
    assert [row["finding"] for row in rows] == ["Effusion", "Cardiomegaly"]
    for row in rows:
        assert 0 < row["low"] <= row["value"] <= row["high"] <= row["largest"]
        assert row["phantoms"] == 2 and row["others"] == "0"
        assert row["records_fingerprint"] == phantom_records.fingerprint
    report = (folder / "report.md").read_text()
    assert "in the mean over 2 phantoms" in report and "](nearest/" not in report
    assert "they show patients" in report
    text = Image.open(folder / "nearest" / "Effusion.png").text
    assert "images of patients" in text["Warning"] and "synthetic" not in text
    assert not (folder / ".nearest").exists() and not (folder / "sweeps").exists()


def test_nearest_images_are_those_of_the_training(
    show, phantom_export_path, phantom_records, monkeypatch
):
    titles, write = [], pictures.Pictures.write_sheet

    def note(self, path, panels, columns, title, *rest):
        if path.parent.name == "nearest":
            titles.append((title, [panel.title for panel in panels]))
        return write(self, path, panels, columns, title, *rest)

    monkeypatch.setattr(pictures.Pictures, "write_sheet", note)
    flags = ("--findings=Mass", "--seeds=1", "--mean_count=0", "--nosweeps", "--phantoms=0")
    show(*flags, f"--records={phantom_records.path}", "--fold=test", export=phantom_export_path)
    ((title, names),) = titles
    assert "records that the generator was not trained on" in title and "16 px" in title
    assert names[1].split("\n")[0] in phantom_records.record_ids("test")
    assert -1 <= float(names[1].rpartition(" ")[2]) <= 1


def test_without_an_encoder_gifs_are_written(show, capsys, monkeypatch):
    monkeypatch.setattr(animations, "encoder_missing", lambda: "no ffmpeg")
    folder = show("--findings=Mass", "--seeds=1", "--frames=2", "--mean_count=0")
    assert "No MP4 is written, only GIF: no ffmpeg\n" in capsys.readouterr().out
    assert {path.name for path in (folder / "sweeps").iterdir()} == {"Mass.png", "Mass.gif"}


def test_another_request_is_refused_in_the_same_folder(show, refusal):
    few = ("--findings=Mass", "--seeds=1", "--frames=2", "--mean_count=0")
    before = _files(show(*few))
    message = refusal(*few, "--others=Hernia")
    assert "out was begun with others [0.0, 0.0, 0.0] instead of [0.0, 0.0, 1.0]" in message
    assert "give another folder" in message
    assert "frames 2 instead of 3" in refusal(*few, "--frames=3")
    assert _files(show(*few)).keys() == before.keys()


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--findings=Fracture"], "Unknown finding 'Fracture'. Known are: Mass, Pleural Thick"),
        (["--others=Mass=2"], "The strength of 'Mass' must be in [0, 1], got 2.0"),
        (["--others=1,0,0"], "Unknown finding '1'"),
        (["--seeds=x"], "--seeds takes SEED or SEED:INDEX, such as --seeds=0:0,0:1"),
        (["--combinations=Mass"], "two or more different findings joined by '+'"),
        (["--interpolate", "--seeds=1"], "--interpolate goes from one of --seeds to the next"),
        (["--export=absent"], "absent is no export"),
        (["--records=absent"], "absent"),
    ],
)
def test_wrong_flags_leave_nothing_behind(refusal, tmp_path, flags, message):
    assert message in refusal(*flags)
    assert not (tmp_path / "out").exists()


def test_records_that_cannot_be_compared_are_refused(
    refusal, phantom_export_path, phantom_records, tmp_path
):
    flag = f"--records={phantom_records.path}"
    assert "SSIM needs images of at least 11 px, the generator's have 8" in refusal(flag)
    message = refusal(flag, "--fold=tset", export=phantom_export_path)
    assert "has no fold 'tset'; its folds are train, val, test" in message
    assert not (tmp_path / "out").exists()


def test_a_generator_without_findings_shows_its_pseudo_patients_only(
    show, refusal, tmp_path_factory
):
    network = config.NetworkConfig(
        resolution=8, findings=(), latent_size=8, fmap_base=64, fmap_max=8
    )
    export = tiny_runs.make_export(
        tmp_path_factory.mktemp("plain"), network=network, label_weight=0.0
    )
    assert "was trained without findings, so it can show none" in refusal(export=export)
    folder = show("--interpolate", "--frames=2", export=export)
    assert (folder / "interpolation.gif").exists() and not (folder / "differences").exists()
