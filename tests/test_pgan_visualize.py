"""Pseudo-patients, sweeps, maps of differences and their pictures, of generators made to order."""

import io
import sys

import numpy as np
import pytest
import tiny_runs
from PIL import Image

from pgan import synthesis
from pgan.search import block_store
from pgan.visualize import animations, mean_maps, plots, pseudo_patients


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    return synthesis.load(tiny_runs.make_export(tmp_path_factory.mktemp("tiny")))


def test_pseudo_patients_are_images_of_seeds():
    one, other = pseudo_patients.parse(["3", " 4:12"])
    assert (one.seed, one.index, other.seed, other.index) == (3, 0, 4, 12)
    assert [str(one), str(other)] == ["3:0", "4:12"]
    for wrong in ("", "a", "1:2:3", "1:", "1.5"):
        with pytest.raises(ValueError, match="--seeds takes SEED or SEED:INDEX, such as"):
            pseudo_patients.parse([wrong])
    for wrong in ([], ["1", "1:0"]):
        with pytest.raises(ValueError, match="must name different images, at least one"):
            pseudo_patients.parse(wrong)


def test_drawing_from_latents_gives_the_images_of_seeds(generator):
    labels = np.array([[1, 0, 0], [0, 0.5, 0], [0, 0, 0]], np.float32)
    latents = generator.latents([3, 3, 4], [0, 7, 1])
    assert latents.shape == (3, 8) and len(np.unique(latents)) == 24
    drawn = generator.draw(latents, labels, batch_size=2)
    assert drawn.dtype == np.float32 and 0 <= drawn.min() and drawn.max() <= 255
    assert (drawn != np.rint(drawn)).any()
    wanted = generator.sample(labels, [3, 3, 4], [0, 7, 1])
    np.testing.assert_array_equal(np.rint(drawn).astype(np.uint8), wanted)
    with pytest.raises(ValueError, match="got 2 seeds and 3 indices"):
        generator.latents([1, 2], [1, 2, 3])


def test_a_sweep_changes_one_finding_in_even_steps():
    others = np.array([0.5, 1, 0], np.float32)
    rows = pseudo_patients.sweep(others, 1, 5)
    np.testing.assert_array_equal(rows[:, 1], [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_array_equal(rows[:, [0, 2]], [[0.5, 0]] * 5)
    np.testing.assert_array_equal(others, [0.5, 1, 0])


def test_contrasts_are_of_the_same_latents_with_the_others_held(generator):
    others = np.array([0, 0.5, 1], np.float32)
    vectors = generator.latents([1, 2])
    without, shown = pseudo_patients.contrasts(generator, vectors, others, [0, 2])
    assert without.shape == shown.shape == (2, 2, 8, 8)
    for patient in range(2):
        for place, (absent, present) in enumerate(
            [((0, 0.5, 1), (1, 0.5, 1)), ((0, 0.5, 0), (0, 0.5, 1))]
        ):
            rows = np.array([absent, present], np.float32)
            pair = generator.draw(vectors[[patient, patient]], rows)
            np.testing.assert_allclose(without[patient, place], pair[0], atol=1e-3)
            np.testing.assert_allclose(shown[patient, place], pair[1], atol=1e-3)
    assert np.abs(shown - without).max() > 0.01


def test_the_great_circle_goes_at_even_speed():
    way = pseudo_patients.great_circle(np.array([1.0, 0.0]), np.array([0.0, 3.0]), 4)
    wanted = [(1, 0), (1.6667 * 0.8660, 1.6667 * 0.5), (2.3333 * 0.5, 2.3333 * 0.8660), (0, 3)]
    np.testing.assert_allclose(way, wanted, atol=2e-4)
    same = pseudo_patients.great_circle(np.array([1.0, 2.0]), np.array([1.0, 2.0]), 3)
    np.testing.assert_allclose(same, [[1, 2]] * 3, rtol=1e-6)


def test_combinations_are_of_different_known_findings():
    findings = tiny_runs.FINDINGS
    assert pseudo_patients.combination("Hernia+pleural_thickening", findings) == (2, 1)
    with pytest.raises(ValueError, match="Unknown finding 'Gout'"):
        pseudo_patients.combination("Mass+Gout", findings)
    for wrong in ("Mass", "Mass+mass"):
        with pytest.raises(ValueError, match=r"two or more different findings joined by '\+'"):
            pseudo_patients.combination(wrong, findings)
    assert pseudo_patients.file_name("Mass/Nodule+B 1.2") == "Mass_Nodule+B_1.2"


class _Quadrants:
    """Finding 0 brightens the upper left quarter by 8, finding 1 all of the lower half by 6, of
    every second pseudo-patient only by 2; finding 2 does nothing."""

    resolution = 4

    def latents(self, seed, indices):
        return np.stack([np.full(len(indices), seed), indices], axis=1).astype(np.float32)

    def draw(self, latents, labels):
        images = np.zeros((len(latents), 4, 4), np.float32)
        images[:, :2, :2] += 100 + 8 * labels[:, 0, np.newaxis, np.newaxis]
        by = np.where(latents[:, 1] % 2, 2, 6) * labels[:, 1]
        images[:, 2:] += 50 + by[:, np.newaxis, np.newaxis]
        return images


def _regions():
    regions = np.zeros((3, 4, 4), bool)
    regions[0, :2, :2] = True
    regions[1, 2:, :2] = True  # half of what finding 1 changes
    regions[2, 0, 0] = True
    return regions


def test_ratios_tell_where_maps_lie():
    maps = mean_maps.measure(
        _Quadrants(), np.zeros(3, np.float32), [0, 1, 2], 8, 5, _regions(), progress=False
    )
    np.testing.assert_allclose(maps.difference[0, :2, :2], 8)
    np.testing.assert_allclose(maps.difference[1], [[0] * 4] * 2 + [[4] * 4] * 2)
    np.testing.assert_allclose(maps.without[2, :2, :2], 100)
    np.testing.assert_allclose(maps.changes[:, 0], 2)
    table = mean_maps.rows(maps, ("A", "B", "C"), _regions(), seed=1)
    rows = {(row["name"], row["finding"]): row for row in table}
    first, second, third = (rows["map_ratio", name] for name in "ABC")
    assert (first["value"], first["low"], first["high"]) == (4, 4, 4)
    assert first["margin"] == {"value": 4, "low": 4, "high": 4, "level": 0.95}
    assert second["margin"]["value"] == pytest.approx(2) and third["margin"]["value"] is None
    assert first["area"] == 0.25 and first["largest"] == 4 and first["of_others"] == 0
    assert second["value"] == pytest.approx(2) and second["of_mean_map"] == pytest.approx(2)
    # No map of the third; those of the first have a quarter of their energy in 1/16 of the area.
    assert third["value"] is None and third["without_change"] == 8
    assert third["of_others"] == pytest.approx((4 + 0) / 2)
    change = rows["map_change", "B"]
    assert change["value"] == pytest.approx(2) and change["count"] == 8
    assert 1 <= change["low"] < 2 < change["high"] <= 3


def test_what_phantoms_have_not_has_no_ratio():
    regions = mean_maps.regions_of_phantoms(("Pleural Effusion", "Fracture"), 16, 2, False)
    assert 0 < regions[0].mean() < 0.5 and not regions[1].any()
    maps = mean_maps.measure(
        _Quadrants(), np.zeros(3, np.float32), [0, 1], 2, 5, np.zeros((2, 4, 4), bool),
        progress=False,
    )  # fmt: skip
    table = mean_maps.rows(maps, ("A", "B"), np.zeros((2, 4, 4), bool), 1)
    assert [row["name"] for row in table] == ["map_change"] * 2


def test_mean_maps_go_on_where_they_were_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(mean_maps, "_BLOCK", 3)
    arguments = (np.zeros(3, np.float32), [0, 1, 2], 8, 5, _regions())
    whole = mean_maps.measure(_Quadrants(), *arguments, progress=False)
    broken, drawn = _Quadrants(), []

    def draw(latents, labels):
        drawn.append(int(latents[0, 1]))
        if len(drawn) == 5:
            raise KeyboardInterrupt
        return _Quadrants.draw(broken, latents, labels)

    broken.draw = draw
    folder = block_store.Folder(tmp_path, {"a": 1})
    with pytest.raises(KeyboardInterrupt):
        mean_maps.measure(broken, *arguments, folder, False)
    assert drawn == [0, 1, 2, 3, 4]
    again = mean_maps.measure(broken, *arguments, folder, False)
    assert drawn[5:] == [3, 4, 5, 6, 7]
    for name in ("without", "difference", "changes", "inside"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))


def test_a_sheet_is_red_where_brighter_and_blue_where_darker():
    difference = np.zeros((8, 8))
    difference[:4], difference[4:] = 20, -20
    panel = plots.Panel("x", np.full((8, 8), 128.0), difference)
    drawing = plots.sheet([panel], 1, "title", limit=10.0)
    with io.BytesIO() as stream:
        drawing.savefig(stream, format="png")
        pixels = np.asarray(Image.open(stream).convert("RGB")).astype(int)
    red = np.argwhere((pixels[..., 0] > 200) & (pixels[..., 2] < 60))
    blue = np.argwhere((pixels[..., 2] > 200) & (pixels[..., 0] < 60))
    upper = pixels.shape[0] * 0.7  # above the bar
    assert red[red[:, 0] < upper][:, 0].mean() < blue[blue[:, 0] < upper][:, 0].mean()
    assert "larger changes than 10 are cut" in drawing.axes[-1].get_xlabel()
    assert len(plots.sheet([panel] * 3, 2, "title", 10.0).axes) == 5


def test_one_scale_fits_the_finding_that_changes_most():
    differences = np.zeros((2, 3, 16, 16))
    differences[1, 2] = -37.2
    differences[0, 0, 0, 0] = 255  # one pixel in 768
    assert plots.scale(differences) == 38
    assert plots.scale(np.zeros((2, 4, 4))) == 1


def test_frames_side_by_side_have_even_sizes():
    frames = np.arange(3 * 2 * 33 * 33, dtype=np.int64).reshape(3, 2, 33, 33).astype(np.uint8)
    composed = animations.compose(frames, ["a", "b"])
    assert composed.shape[1] % 2 == composed.shape[2] % 2 == 0
    cell = -(-256 // 33) * 33
    assert composed.shape[2] == 3 * cell + 3 * cell % 2
    left = composed[1, -cell - composed.shape[1] % 2 :, :cell]
    assert left[-2, -2] in frames[0, 1] and np.ptp(composed[0, :20]) > 100
    assert animations.compose(np.zeros((5, 1, 300, 300), np.uint8), ["a"]).shape[2] == 3 * 300
    assert animations.compose(np.zeros((1, 1, 2048, 2048), np.uint8), ["a"]).shape[2] == 1024
    np.testing.assert_array_equal(animations.strip_places(21), np.arange(0, 21, 2))
    np.testing.assert_array_equal(animations.strip_places(3), [0, 1, 2])


def test_animations_hold_all_grey_levels_and_say_what_they_are(tmp_path):
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    frames = np.stack([ramp, ramp[::-1], ramp.T])
    animations.write_gif(tmp_path / "a" / "x.gif", frames, 10, {"Warning": "synthetic"})
    with Image.open(tmp_path / "a" / "x.gif") as gif:
        assert gif.n_frames == 3 and gif.info["loop"] == 0
        assert gif.info["comment"] == b"Warning: synthetic" and gif.info["duration"] == 800
        for number, frame in enumerate(frames):
            gif.seek(number)
            np.testing.assert_array_equal(np.asarray(gif.convert("L")), frame)
        assert gif.info["duration"] == 800
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["x.gif"]


@pytest.mark.skipif(animations.encoder_missing() is not None, reason="no encoder of films")
def test_films_show_the_frames(tmp_path):
    import imageio.v3

    frames = np.stack([np.full((64, 80), level, np.uint8) for level in (20, 120, 220)])
    animations.write_mp4(tmp_path / "x.mp4", frames, 10, {"Warning": "synthetic"})
    film = imageio.v3.imread(tmp_path / "x.mp4")
    assert film.shape == (3 + 2 * 7, 64, 80, 3)
    assert [abs(film[k].mean() - level) < 6 for k, level in ((0, 20), (8, 120), (16, 220))] == [
        True
    ] * 3
    assert b"Warning: synthetic" in (tmp_path / "x.mp4").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["x.mp4"]


def test_without_an_encoder_it_is_said_why(monkeypatch):
    import imageio_ffmpeg

    def fail():
        raise RuntimeError("No ffmpeg exe could be found.\nInstall it")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", fail)
    assert animations.encoder_missing() == "No ffmpeg exe could be found."
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    assert "imageio_ffmpeg" in animations.encoder_missing()
