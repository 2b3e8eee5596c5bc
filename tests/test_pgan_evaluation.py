"""Numbers of an evaluation, on noise in which nearly nothing is left of 8 px averages."""

import dataclasses

import numpy as np
import pytest
import tiny_records

from pgan import (
    comparison_grid,
    evaluation,
    evaluation_sets,
    image_sets,
    image_sources,
    set_comparison,
)
from pgan.data import clients, record_set, splits
from pgan.data import pool as pool_lib
from pgan.metrics import features, frechet

FINDINGS = tiny_records.FINDINGS


def _noise(count, seed, contrast=80.0):
    """Images uint8 [N, 16, 16]; a contrast for each, or one for all."""
    rng = np.random.default_rng(seed)
    contrast = np.reshape(contrast, (-1, 1, 1))
    return np.clip(rng.normal(128, contrast, (count, 16, 16)), 0, 255).astype(np.uint8)


def _set(name, images, labels=None, **facts):
    labelled = labels is not None
    return image_sets.ImageSet(
        name, images.shape[1], len(images), lambda numbers: images[numbers], facts,
        FINDINGS if labelled else None, np.asarray(labels, np.float32) if labelled else None,
    )  # fmt: skip


def _labels(count, seed=0):
    """A third of the images have the first finding, half the second."""
    rng = np.random.default_rng(seed)
    return rng.random((count, 2)) < [0.33, 0.5]


def _source(images, **settings):
    """Images that exist already."""
    return image_sources.Synthetic(
        images.name, images.resolution, lambda *_: images.batches(range(images.count)),
        images.facts, images=images, **settings,
    )  # fmt: skip


def _generator(contrast_of=lambda labels: 80.0, resolution=16, **settings):
    def draw(labels, seed):
        yield _noise(len(labels), 1000 + seed, contrast_of(labels))

    settings = {"findings": FINDINGS, **settings}
    return image_sources.Synthetic("gan", resolution, draw, {"run": "gan"}, **settings)


def _evaluate(source, reference=None, floor=None, scratch=None, **settings):
    settings = {"pairs": 20, **settings}
    return evaluation.evaluate(
        reference, floor, source, features.FixedExtractor(), evaluation.Settings(**settings),
        scratch, show_progress=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def reference():
    return _set("reals", _noise(60, 1), _labels(60, 1), fingerprint="r" * 8)


@pytest.fixture(scope="module")
def floor():
    return _set("others", _noise(90, 2), _labels(90, 2), fingerprint="f" * 8)


def _values(found, metric="fd60_fixed"):
    return {row["images"]: row["value"] for row in found.rows if row["metric"] == metric}


def test_good_images_are_near_the_floor_and_dull_ones_are_not(reference, floor):
    good = _evaluate(_source(_set("good", _noise(60, 3))), reference, floor)
    dull = _evaluate(_source(_set("dull", _noise(60, 3, 5.0))), reference, floor)
    values = _values(good)
    assert list(values) == ["real", "8 px, bilinear", "8 px, nearest", "synthetic"]
    assert 0 < values["synthetic"] < values["8 px, nearest"] < values["8 px, bilinear"]
    assert values["synthetic"] == pytest.approx(values["real"], rel=0.5)
    assert _values(dull)["synthetic"] > values["8 px, nearest"]
    assert _values(dull)["real"] == values["real"]
    (row,) = (r for r in dull.rows if r["metric"] == "fd60_fixed" and r["images"] == "synthetic")
    assert (row["source"], row["reference"], row["count"]) == ("dull", "reals", 60)
    assert row["reference_fingerprint"] == "r" * 8


def test_numbers_by_finding_are_of_images_that_have_it(reference, floor, tmp_path):
    """The generator draws the first finding well and the second dull."""
    source = _generator(lambda labels: np.where(labels[:, 1] > 0.5, 20.0, 80.0))
    found = _evaluate(source, reference, floor, tmp_path)
    rows = {
        (row["setting"], row["images"]): row
        for row in found.rows
        if "setting" in row and row["metric"].startswith("fd")
    }
    mass, hernia = (int((reference.labels[:, i] > 0.5).sum()) for i in (0, 1))
    assert rows["Mass", "synthetic"]["metric"] == f"fd{mass}_Mass_fixed"
    assert rows["Hernia", "real"]["metric"] == f"fd{hernia}_Hernia_fixed"
    assert rows["Hernia", "synthetic"]["count"] == hernia
    assert rows["Hernia", "synthetic"]["images_per_finding"] == hernia
    assert rows["Hernia", "synthetic"]["labels"] == {"label_sampling": "dataset"}
    ratio = {
        finding: rows[finding, "synthetic"]["value"] / rows[finding, "real"]["value"]
        for finding in ("Mass", "Hernia")
    }
    assert ratio["Hernia"] > 2 * ratio["Mass"]
    # By hand: all images of the reference that have it, and as many others by the seed.
    extractor = features.FixedExtractor()
    numbers = np.flatnonzero(reference.labels[:, 1] > 0.5)
    drawn = np.concatenate(list(source.draw(np.nan_to_num(reference.labels), 0)))
    statistics = [
        frechet.statistics(extractor(images[numbers]))
        for images in (drawn, reference.fetch(np.arange(60)))
    ]
    assert rows["Hernia", "synthetic"]["value"] == pytest.approx(
        frechet.distance(*statistics), rel=1e-6
    )


def test_features_are_computed_once(reference, floor, tmp_path):
    seen = []

    class Counted(features.FixedExtractor):
        def __call__(self, images):
            seen.append(len(images))
            return super().__call__(images)

    settings = evaluation.Settings(pairs=0, count=40, balance_findings=True)
    evaluation.evaluate(
        reference, floor, _generator(), Counted(), settings, tmp_path, show_progress=False
    )
    # Reference, other reals, two blurred, synthetic; then what of the two reals is needed more.
    assert 5 * 40 < sum(seen) <= 5 * 40 + (60 - 40) + (90 - 40)


def test_balanced_sets_are_asked_for(reference, floor, tmp_path):
    found = _evaluate(_generator(), reference, floor, tmp_path, balance_findings=True)
    rows = [row for row in found.rows if row.get("setting") == "balanced"]
    assert {row["images"] for row in rows} == {"real", "synthetic"}
    each = rows[0]["images_per_finding"]
    assert rows[0]["metric"] == f"fd{2 * each}_balanced_fixed"
    assert rows[0]["findings"] == list(FINDINGS) and rows[0]["count"] == 2 * each
    assert all(row.get("setting") != "balanced" for row in _evaluate(
        _generator(), reference, floor, tmp_path).rows)  # fmt: skip


def test_rare_findings_are_left_out_with_their_counts(reference, floor, tmp_path):
    rare = dataclasses.replace(floor, labels=floor.labels * [1, 0])
    found = _evaluate(_generator(), reference, rare, tmp_path, balance_findings=True)
    hernia = int((reference.labels[:, 1] > 0.5).sum())
    counts = f"Hernia ({hernia} reference, 0 real, {hernia} synthetic)"
    assert "Balanced sets: fewer than two findings remain." in found.left_out
    (by_finding, balanced) = [s for s in found.left_out if "Hernia" in s]
    assert by_finding.startswith("Distances by finding: too few images, at least 10 of each set")
    assert counts in by_finding and "Mass" not in by_finding
    assert balanced.startswith("In the balanced sets: too few") and ", 0 real, " in balanced
    assert {row["setting"] for row in found.rows if "setting" in row} == {"Mass"}


def test_pairs_are_of_the_reference_and_the_drawn_images(reference, floor, tmp_path):
    found = _evaluate(_generator(), reference, floor, tmp_path, ms_ssim_variant="standard")
    assert [row["finding"] for row in found.pairs] == list(FINDINGS)
    row = found.pairs[0]
    assert (row["real"], row["synthetic"], row["metric"]) == ("reals", "gan", "ms_ssim_1scale")
    assert row["real_pairs"] == row["synthetic_pairs"] == 20 and row["run"] == "gan"
    none = _evaluate(_generator(), reference, floor, tmp_path, pairs=0)
    assert none.pairs == [] and "Pairs with the same finding: --pairs=0." in none.left_out
    small = _evaluate(_generator(), reference, floor, tmp_path, ms_ssim_variant="paper_code")
    assert small.pairs == [] and any("at least 22 px" in s for s in small.left_out)


def test_without_labels_there_are_no_numbers_by_finding(reference, floor):
    found = _evaluate(_source(_set("plain", _noise(60, 3))), reference, floor)
    assert found.pairs == [] and not any("setting" in row for row in found.rows)
    assert any("pairs with the same finding: plain has no labels." in s for s in found.left_out)


def test_without_other_reals_there_is_no_floor(reference):
    found = _evaluate(_source(_set("plain", _noise(60, 3))), _set("plain reals", _noise(60, 4)))
    assert list(_values(found)) == ["synthetic"]
    assert any("no floor" in note for note in found.notes)
    assert any("plain reals, plain have no labels" in s for s in found.left_out)


def test_notes_say_what_a_number_is_not(reference, floor, tmp_path):
    source = _generator(training_records={"fold_fingerprint": "another fold"})
    source.facts["kept_as_best"] = {"metric": "monitor/fd64_fixed_to_held_out", "value": 1.0}
    text = "\n".join(_evaluate(source, reference, floor, tmp_path).notes)
    assert "no FID" in text and "not trained on others" in text and "Judge it by another" in text
    assert "has seen patients of the reference is not known" in text
    trained_here = _generator(training_records={"fold_fingerprint": "f" * 8})
    text = "\n".join(_evaluate(trained_here, reference, floor, tmp_path).notes)
    assert "not trained on" not in text and "Judge it" not in text
    jpeg = _set("jpeg", _noise(60, 3), files=60, jpeg_files=60)
    text = "\n".join(_evaluate(_source(jpeg), reference, floor).notes)
    assert "JPEG files are among jpeg only" in text


def test_sets_that_do_not_fit_are_refused(reference, floor, tmp_path):
    def refused(match, source, first=reference, **settings):
        with pytest.raises(ValueError, match=match):
            _evaluate(source, first, floor, tmp_path, **settings)

    plain = _source(_set("plain", _noise(30, 3)))
    refused("60 images of each set are wanted, plain has 30; give --count=30", plain)
    refused("70 images of each set are wanted, reals has 60", _generator(), count=70)
    refused("16 px, gan of 32 px; only images of one size compare", _generator(resolution=32))
    refused("gan has images of 8 px; 16 px are the fewest", _generator(resolution=8))
    refused("reals has another vocabulary than gan.*Mass, Hernia; wanted are Mass$|Mass[.]",
            _generator(findings=("Mass",)))  # fmt: skip
    bare = _set("bare", _noise(60, 1))
    refused("bare has no labels that images could be drawn for", _generator(), bare)
    for name, value in (("count", 1), ("pairs", -1), ("fewest_images", 1), ("seed", -1)):
        with pytest.raises(ValueError, match=f"--{name} must be at least"):
            evaluation.Settings(**{name: value})
    with pytest.raises(ValueError, match="one of dataset, uniform_class, independent, got 'real'"):
        evaluation.Settings(label_sampling="real")


def test_flat_images_are_refused_with_their_source(reference, floor, tmp_path):
    flat = np.zeros((60, 16, 16), np.uint8)
    for source in (_source(_set("empty", flat)), _generator(lambda labels: 0.0)):
        with pytest.raises(ValueError, match=f"{source.name} has images of one grey level"):
            _evaluate(source, reference, floor, tmp_path)


def test_label_sampling_is_explicit(reference):
    def sampled(name, seed=0):
        return evaluation_sets.label_sampling(name, reference, FINDINGS, seed)

    np.testing.assert_array_equal(sampled("dataset").labels(60), reference.labels)
    uniform = sampled("uniform_class").labels(50)
    assert uniform.sum(axis=0).tolist() == [25, 25] and uniform.sum(axis=1).max() == 1
    drawn = [sampled("independent", seed).rows for seed in (1, 1, 2)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()
    assert np.abs(drawn[0].mean(axis=0) - reference.labels.mean(axis=0)).max() < 0.3


def _generated_from(**training_records):
    return _generator(training_records=training_records)


def test_patients_of_another_split_are_recognised(tmp_path):
    """One that is drawn from all records holds patients of the test fold."""
    records = tiny_records.build(tmp_path / "tiny")
    pool = pool_lib.Pool.of_records(records, "all")
    splits.store(records, "gan", clients.draw(pool, 2, 1))

    def reference(fold):
        identity = {
            "fingerprint": records.fingerprint, "fold": fold,
            "fold_fingerprint": records.fold_fingerprint(fold),
        }  # fmt: skip
        return evaluation_sets.real_sets(records, _generated_from(**identity), "val", "test")[0]

    assert reference("train").facts["unseen"] is True
    with pytest.raises(ValueError, match="was trained on patients of the fold 'val'"):
        for fold in records.split_folds("gan"):
            reference(fold)
    # Nor may networks that it was started from have seen them.
    started = {
        "fingerprint": records.fingerprint, "fold": "train",
        "fold_fingerprint": records.fold_fingerprint("train"),
    }  # fmt: skip
    for fold in ("val", "test"):
        parent = {
            "fingerprint": records.fingerprint, "fold": fold, "name": "tiny",
            "fold_fingerprint": records.fold_fingerprint(fold),
        }  # fmt: skip
        source = _generated_from(**started, ancestors=[parent])
        if fold == "test":
            assert evaluation_sets.real_sets(records, source, "val", "test")[0].facts["unseen"]
        else:
            with pytest.raises(ValueError, match="trained on patients of the fold 'val'"):
                evaluation_sets.real_sets(records, source, "val", "test")
    other = _generated_from(fingerprint="x", fold="train", fold_fingerprint="y")
    assert evaluation_sets.real_sets(records, other, "val", "test")[0].facts["unseen"] is False


def test_a_generator_is_judged_by_a_fold_it_has_not_seen(tmp_path):
    records = tiny_records.build(tmp_path / "tiny")
    seen = records.fold_fingerprint("val")
    with pytest.raises(ValueError, match="trained on the fold 'val'"):
        evaluation_sets.real_sets(records, _generated_from(fold_fingerprint=seen), "val", "train")
    with pytest.raises(ValueError, match="has no r0032 shards"):
        evaluation_sets.real_sets(records, _generator(resolution=32), "val", "train")
    with pytest.raises(ValueError, match="'val' and 'all' of .* share 6 images"):
        evaluation_sets.real_sets(records, _generator(), "val", "all")
    prepared = {**records.preparation, "geometry": "stretch"}
    with pytest.raises(ValueError, match="gan was made with --geometry=stretch"):
        evaluation_sets.real_sets(records, _generator(preparation=prepared), "val", "train")
    reference, floor = evaluation_sets.real_sets(
        record_set.RecordSet.open(records.path), _generator(), "val", "train"
    )
    assert (reference.name, floor.name) == ("tiny, val", "tiny, train")
    assert reference.facts["fingerprint"] == seen


def test_blur_keeps_the_averages_of_8_px_only():
    images = _noise(3, 0)
    (found,) = set_comparison.blurred(iter([images]), "nearest")
    means = images.reshape(3, 8, 2, 8, 2).mean(axis=(2, 4))
    np.testing.assert_array_equal(found, np.rint(means).repeat(2, 1).repeat(2, 2))
    odd = np.random.default_rng(0).integers(0, 256, (2, 20, 20), np.uint8)
    (found,) = set_comparison.blurred(iter([odd]), "bilinear")
    assert found.shape == (2, 20, 20)
    assert found.mean() == pytest.approx(odd.mean(), abs=3)


def test_the_grid_has_images_with_the_finding_above_each_other(reference):
    marked = {}

    def fetched(name, numbers):
        marked.setdefault(name, []).append(numbers.tolist())
        return _noise(len(numbers), 0)

    sets = [
        dataclasses.replace(s, name=name, fetch=lambda numbers, name=name: fetched(name, numbers))
        for s, name in ((reference, "a"), (reference, "b"))
    ]
    picture = comparison_grid.draw(*sets, findings=1, columns=3)
    assert marked["a"] == marked["b"]
    none, hernia = marked["a"]
    assert not reference.labels[none].any() and reference.labels[hernia, 1].all()
    assert len(hernia) == 3 and np.asarray(picture).std() > 0
    bare = _set("bare", _noise(5, 1))
    assert comparison_grid.draw(bare, bare).size[0] > 5 * 64
