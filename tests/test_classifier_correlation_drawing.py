"""Scores of drawn findings: what is drawn, resuming, refusals; the generator is arithmetic."""

import dataclasses
import types

import numpy as np
import pytest
import tensorflow as tf

from classifier import correlation, correlation_drawing, correlation_files, scorer
from pgan import synthesis
from pgan.data import pyramid

_FINDINGS = ("Mass", "Pleural Effusion", "Hernia")
_SIDE = 6
_PREPARATION = {"geometry": "pad", "mask_markers": False, "window": None}


class _Generator:
    """Two rows of the image are as bright as each finding; Mass shows in those of Hernia too."""

    def __init__(self, side=_SIDE):
        self.calls = []
        self._side = side
        self.signatures = {"from_seeds": self._draw}

    def _draw(self, seeds, indices, labels):
        images = []
        for seed, index, row in zip(seeds.numpy(), indices.numpy(), labels.numpy(), strict=True):
            self.calls.append((int(seed), int(index), row.tolist()))
            noise = np.random.default_rng([seed, index]).normal(60, 15, 3)
            shown = row + np.array([0, 0, row[0]])
            levels = np.clip(noise + 80 * shown, 0, 255).astype(np.uint8)
            images.append(np.repeat(np.repeat(levels, self._side // 3)[:, None], self._side, 1))
        return {"images": tf.constant(np.stack(images)[..., None])}


def _generator(model=None, **card):
    facts = {
        "name": "tiny", "version": 1, "fingerprint": "f" * 64, "findings": list(_FINDINGS),
        "resolution": _SIDE, "training_records": {"preparation": _PREPARATION}, **card,
    }  # fmt: skip
    return synthesis.ExportedGenerator(model or _Generator(facts["resolution"]), facts)


def _judge(images):
    return images.reshape(len(images), 3, -1).mean(axis=-1).astype(np.float32) / 255


def _scorer(**changes):
    outputs = ("Mass", "Effusion", "Hernia")
    plain = scorer.Scorer(
        "judge", "c" * 64, outputs, np.full(3, 0.5), _SIDE, _PREPARATION, None, _judge
    )
    return dataclasses.replace(plain, **changes)


def _plan(images=40, dose_images=3, seed=5, **changes):
    return correlation_drawing.make_plan(
        _generator(), _scorer(), images, dose_images, seed, **changes
    )


def test_what_is_drawn(tmp_path):
    model, plan = _Generator(), _plan()
    assert (
        correlation_drawing.draw(plan, _generator(model), _scorer(), tmp_path, progress=False) == 3
    )
    latents = {}
    for number, finding in enumerate(_FINDINGS):
        found = correlation_files.load(plan, finding, tmp_path)
        calls = model.calls[number * (40 + 33) : (number + 1) * (40 + 33)]
        labels = np.array([row for _, _, row in calls], np.float32)
        assert (np.delete(labels, number, axis=1) == 0).all()
        np.testing.assert_array_equal(labels[:40, number], found.strengths)
        np.testing.assert_allclose(labels[40:, number], np.repeat(np.arange(11) / 10, 3), atol=1e-7)
        assert {seed for seed, _, _ in calls} == {5}
        indices = [index for _, index, _ in calls]
        assert indices[40:43] * 11 == indices[40:]  # the same latents at each strength
        latents[finding] = set(indices[:40]), set(indices[40:])
        assert 0 <= found.strengths.min() < 0.2 and 0.8 < found.strengths.max() <= 1
    first, second, third = latents.values()
    assert not first[0] & second[0] and not second[0] & third[0] and not first[0] & first[1]
    assert first[1] == second[1] == third[1]


def test_strengths_are_uniform_and_their_own_for_each_finding(tmp_path):
    plan = _plan(images=500, dose_images=2)
    correlation_drawing.draw(plan, _generator(), _scorer(), tmp_path, progress=False)
    drawn = [correlation_files.load(plan, name, tmp_path).strengths for name in _FINDINGS]
    for strengths in drawn:
        counts = np.histogram(strengths, 10, (0, 1))[0]
        assert counts.min() > 25 and counts.max() < 80
    assert abs(np.corrcoef(drawn)[np.triu_indices(3, 1)]).max() < 0.15
    values = np.stack(
        [
            correlation.correlate(own.strengths, own.scores).value
            for own in (correlation_files.load(plan, name, tmp_path) for name in _FINDINGS)
        ],
        axis=1,
    )
    # The planted look of Mass in the rows of Hernia, and nothing else beside the diagonal.
    planted = np.eye(3, dtype=bool)
    planted[2, 0] = True
    assert values[planted].min() > 0.7 and np.abs(values[~planted]).max() < 0.15


def test_an_interrupted_run_continues_after_the_last_whole_finding(tmp_path):
    plan = _plan()
    whole = tmp_path / "whole"
    correlation_drawing.draw(plan, _generator(), _scorer(), whole, progress=False)
    output, calls = tmp_path / "killed", []

    def break_off(images):
        calls.append(len(images))
        if sum(calls) > 73:  # in the second finding
            raise KeyboardInterrupt
        return _judge(images)

    with pytest.raises(KeyboardInterrupt):
        correlation_drawing.draw(
            plan, _generator(), _scorer(judge=break_off), output, progress=False
        )
    (only,) = (output / "scores").iterdir()
    assert only.name == "01_Mass.npz"
    before = only.read_bytes()
    model = _Generator()
    # Another batch size changes nothing.
    again = correlation_drawing.draw(plan, _generator(model), _scorer(), output, 7, progress=False)
    assert again == 2 and len(model.calls) == 2 * 73 and only.read_bytes() == before
    for finding in _FINDINGS:
        one, other = (correlation_files.load(plan, finding, f) for f in (whole, output))
        for name in ("strengths", "scores", "dose_scores"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert correlation_drawing.draw(plan, _generator(), _scorer(), output, progress=False) == 0


def test_larger_images_are_scaled_as_levels_of_record_sets_are(tmp_path):
    seen = []

    def remember(images):
        seen.append(images)
        return _judge(images)

    large = _generator(resolution=2 * _SIDE)
    plan = correlation_drawing.make_plan(large, _scorer(), 3, 2, 0)
    judge = _scorer(judge=remember)
    correlation_drawing.draw(plan, large, judge, tmp_path, progress=False)
    assert seen[0].shape[1:] == (_SIDE, _SIDE)
    drawn = large.sample("Mass=0", seeds=0, indices=3 * 3)[0]
    assert drawn.shape == (2 * _SIDE, 2 * _SIDE)
    np.testing.assert_array_equal(seen[0][3], pyramid.one_level(drawn, _SIDE))


@pytest.mark.parametrize(
    ("generator", "judge", "message"),
    [
        ({"findings": []}, {}, "tiny/1 draws no findings: it was trained without labels"),
        ({"resolution": 3}, {}, "draws images of 3 px, the classifier takes 6 px"),
        (
            {"training_records": {"preparation": {**_PREPARATION, "geometry": "stretch"}}},
            {},
            "--geometry=stretch and --geometry=pad",
        ),
        (
            {},
            {"findings": ("Mass", "Fracture")},
            "Both: Mass. Drawn only: Pleural Effusion, Hernia",
        ),
        (
            {},
            {"findings": ("Mass",)},
            "Judged only: none. Give --allow_other_vocabulary for a matrix",
        ),
    ],
)
def test_what_does_not_belong_together_is_refused(generator, judge, message):
    with pytest.raises(ValueError) as error:
        correlation_drawing.make_plan(_generator(**generator), _scorer(**judge), 10, 2, 0)
    assert message in str(error.value)


def test_unknown_preparation_and_other_vocabularies_on_request_are_let_pass():
    plain = correlation_drawing.make_plan(
        _generator(training_records=None), _scorer(preparation=None), 10, 2, 0
    )
    assert plain.outputs == ("Mass", "Effusion", "Hernia") and plain.findings == _FINDINGS
    other = _scorer(findings=("Fracture",))
    plan = correlation_drawing.make_plan(_generator(), other, 10, 2, 0, other_vocabulary=True)
    assert (plan.findings, plan.outputs) == (_FINDINGS, ("Fracture",))
    with pytest.raises(ValueError, match="at least --images=3 and --dose_images=2"):
        _plan(images=2)


def test_scores_that_are_not_finite_are_refused_and_not_saved(tmp_path):
    def broken(images):
        return np.where(np.arange(len(images))[:, None] == 4, np.nan, _judge(images))

    with pytest.raises(ValueError, match="scores of judge for 1 of 73 images are not finite"):
        correlation_drawing.draw(
            _plan(), _generator(), _scorer(judge=broken), tmp_path, progress=False
        )
    assert not (tmp_path / "scores").exists()


def test_another_plan_and_damaged_files_are_refused(tmp_path):
    plan = _plan()
    correlation_drawing.draw(plan, _generator(), _scorer(), tmp_path, progress=False)
    other = _plan(images=50, seed=6)
    with pytest.raises(ValueError) as error:
        correlation_drawing.draw(other, _generator(), _scorer(), tmp_path, progress=False)
    assert "differs in images (40 there, 50 now); seed (5 there, 6 now)" in str(error.value)
    assert correlation_files.read_plan(tmp_path) == plan
    # The name of a model says nothing, its fingerprint does.
    renamed = dataclasses.replace(plan, generator={**plan.generator, "name": "other/2"})
    correlation_files.open_plan(renamed, tmp_path)
    path = plan.path(tmp_path, "Hernia")
    assert path.name == "03_Hernia.npz"
    plan.path(tmp_path, "Mass").rename(path)
    with pytest.raises(
        ValueError, match="03_Hernia.npz holds no scores of this plan: it is of Mass"
    ):
        correlation_files.load(plan, "Hernia", tmp_path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="Remove it to have it made again"):
        correlation_drawing.draw(plan, _generator(), _scorer(), tmp_path, progress=False)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="03_Hernia.npz is missing"):
        correlation_files.load(plan, "Hernia", tmp_path)
    shape = types.SimpleNamespace(
        strengths=np.ones(2), scores=np.ones((2, 3)), dose_scores=np.ones(1)
    )
    correlation_files.save(shape, plan, "Hernia", tmp_path)
    with pytest.raises(ValueError, match=r"strengths are \[2\], not \[40\]"):
        correlation_files.load(plan, "Hernia", tmp_path)
    (tmp_path / "correlation.json").write_text('{"findings": []}')
    with pytest.raises(ValueError, match="is no plan of this version"):
        correlation_files.read_plan(tmp_path)
    with pytest.raises(ValueError, match="holds no scores .*give --export and --classifier"):
        correlation_files.read_plan(tmp_path / "nowhere")


def test_matrices_as_csv():
    values = np.array([[0.25, np.nan], [-1.0, 1 / 3]])
    matrix = correlation.Matrix(("Mass", "Hernia"), ("Mass", "Pleural Effusion"), values)
    text = correlation_files.to_csv(matrix)
    assert text.splitlines()[1] == "Mass,0.250000,undefined"
    read = correlation_files.from_csv("# remark, with a comma\n" + text, "here")
    assert (read.outputs, read.findings) == (matrix.outputs, matrix.findings)
    np.testing.assert_allclose(read.values, values, atol=1e-6)
    for broken, message in (
        ("", "here holds no matrix"),
        ("a,b\n", "here holds no matrix"),
        (text.replace("undefined", "undefined,0"), "here holds no matrix"),
        (text.replace("undefined", "1.5"), r"here: a correlation is in \[-1, 1\], got 1.5"),
        (text.replace("undefined", "much"), "here: could not convert"),
    ):
        with pytest.raises(ValueError, match=message):
            correlation_files.from_csv(broken, "here")


def test_the_papers_matrix():
    matrix = correlation_files.of_the_paper()
    assert matrix.values.shape == (14, 14) and matrix.outputs == matrix.findings
    assert not np.isnan(matrix.values).any()
    cells = matrix.cells()
    # What the paper's text and figures say, and the oddity of edema.
    assert cells["cardiomegaly", "cardiomegaly"] == 0.80
    assert (cells["fibrosis", "cardiomegaly"], cells["cardiomegaly", "fibrosis"]) == (0.09, -0.07)
    assert cells["pneumonia", "edema"] == 0.55 and cells["pneumonia", "pneumonia"] == 0.54
    assert [cells[name, name] for name in ("infiltration", "emphysema", "effusion")] == [
        0.54, 0.50, 0.69,
    ]  # fmt: skip
