"""Recipes become images: quotas, origins, validation, leaks, what does not fit."""

import collections
import dataclasses

import numpy as np
import pytest
import tiny_runs

from classifier import recipes, training_sets
from pgan import synthesis
from pgan.data import labels, pool

_FINDINGS = ("Mass", "Hernia")


@pytest.fixture(scope="module")
def generators(tmp_path_factory):
    """Two generators of other weights; both know Mass, Pleural Thickening and Hernia at 8 px."""
    return [
        synthesis.load(tiny_runs.make_export(tmp_path_factory.mktemp(name), name, seed=seed))
        for name, seed in (("one", 1), ("two", 2))
    ]


@pytest.fixture
def inputs(generators, phantom_records, tmp_path):
    sites = {
        recipes.FIRST: training_sets.Site(generators[0]),
        recipes.SECOND: training_sets.Site(generators[1]),
    }
    return training_sets.Inputs(
        phantom_records, ("train", "val", "test"), sites, tmp_path / "synthetic"
    )


def _recipe(*parts):
    return recipes.Recipe("arm", parts, "an arm")


_BOTH = _recipe(
    recipes.real({pool.HEALTHY: 6, "Infiltration": 2}),
    recipes.drawn({pool.HEALTHY: 3, "Mass": 4}, recipes.FIRST, recipes.SECOND),
)


def test_images_come_in_the_numbers_and_from_the_origins_of_the_recipe(inputs):
    table = training_sets.training_images(_BOTH, inputs, 8, _FINDINGS, seed=1)
    kinds = collections.Counter(table.origins)
    assert kinds == {"phantom: phantom": 8, "synthetic: one/1": 4, "synthetic: two/1": 3}
    synthetic = np.array([origin.startswith("synthetic") for origin in table.origins])
    drawn = table.labels[synthetic]
    assert drawn[:, 0].sum() == 4 and drawn[:, 1].sum() == 0
    real = set(inputs.local.record_ids("train"))
    assert {i for i, s in zip(table.image_ids, synthetic, strict=True) if not s} <= real
    # Images of the two generators are theirs: same labels and seeds, other weights.
    images = table.read(np.flatnonzero(synthetic))
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == 7


def test_the_same_seed_gives_the_same_images_and_draws_nothing_twice(inputs, monkeypatch):
    first = training_sets.training_images(_BOTH, inputs, 8, _FINDINGS, seed=1)
    monkeypatch.setattr(synthesis.ExportedGenerator, "_draw", None, raising=False)
    folders = sorted(p.name for p in inputs.work.iterdir())
    again = training_sets.training_images(_BOTH, inputs, 8, _FINDINGS, seed=1)
    assert sorted(p.name for p in inputs.work.iterdir()) == folders
    assert again.image_ids == first.image_ids
    np.testing.assert_array_equal(again.read(range(15)), first.read(range(15)))


def test_other_seeds_and_validation_give_other_images(inputs):
    # The few images of the fold "val" show no infiltration.
    inputs = dataclasses.replace(inputs, folds=("train", "test", "val"))
    tables = [
        training_sets.training_images(_BOTH, inputs, 8, _FINDINGS, seed=1),
        training_sets.training_images(_BOTH, inputs, 8, _FINDINGS, seed=2),
        training_sets.validation_images(_BOTH, inputs, 8, _FINDINGS, seed=1, share=0.5),
    ]
    synthetic = [
        {i for i, origin in zip(t.image_ids, t.origins, strict=True) if "synthetic" in origin}
        for t in tables
    ]
    assert not synthetic[0] & synthetic[1] and not synthetic[0] & synthetic[2]
    assert collections.Counter(tables[2].origins)["phantom: phantom"] == 3 + 1
    assert set(tables[2].image_ids) - synthetic[2] <= set(inputs.local.record_ids("test"))


def test_validation_takes_a_fifth_of_the_recipe_or_what_the_fold_has(inputs):
    recipe = _recipe(recipes.real({pool.HEALTHY: 500}))
    fold = pool.Pool.of_records(inputs.local, "val")
    few = training_sets.validation_images(recipe, inputs, 8, _FINDINGS, seed=1, share=0.004)
    assert len(few) == 2
    most = training_sets.validation_images(recipe, inputs, 8, _FINDINGS, seed=1)
    assert len(most) == fold.members(pool.HEALTHY).sum() < 100


def test_validation_may_be_all_real_images_as_in_the_paper(inputs):
    arguments = (_BOTH, inputs, 8, _FINDINGS, 1)
    table = training_sets.validation_images(*arguments, real_classes=())
    assert table.image_ids == inputs.local.record_ids("val")


def test_real_validation_images_are_of_the_classes_that_the_question_is_about(inputs):
    """Thresholds and early stopping of healthy against a finding are not of other findings."""
    for experiment in (
        recipes.adversarial("Effusion", 8, 8, 10), recipes.oversampling("Effusion", 16, 4)
    ):  # fmt: skip
        arguments = (experiment.recipes[0], inputs, 8, ("Effusion",), 1)
        wider = dataclasses.replace(inputs, folds=("val", "train", "test"))
        table = training_sets.validation_images(
            arguments[0], wider, *arguments[2:], real_classes=experiment.classes
        )
        fold = pool.Pool.of_records(inputs.local, "train")
        wanted = fold.members(pool.HEALTHY) | fold.members("Effusion")
        assert set(table.image_ids) == set(np.array(fold.image_ids)[wanted])
        assert len(table) < len(fold)
    assert recipes.fig3().classes == recipes.real_only().classes == ()


def test_repeated_images_are_the_same_real_ones(inputs):
    repeated = _recipe(recipes.real({"Effusion": 2}, repeat=3))
    table = training_sets.training_images(repeated, inputs, 8, ("Effusion",), seed=1)
    assert len(table) == 6 == repeated.parts[0].total
    assert sorted(collections.Counter(table.image_ids).values()) == [3, 3]
    once = training_sets.training_images(
        _recipe(recipes.real({"Effusion": 2})), inputs, 8, ("Effusion",), seed=1
    )
    assert set(once.image_ids) == set(table.image_ids)
    # Validation has the frequencies of training, or the loss would be of another question.
    inputs = dataclasses.replace(inputs, folds=("train", "train", "test"))
    validation = training_sets.validation_images(repeated, inputs, 8, ("Effusion",), seed=1)
    assert len(validation) == 3


def test_label_vectors_of_real_images_are_taken_once_before_any_twice(
    inputs, generators, phantom_records
):
    kept = phantom_records.condition_matrix("train")
    site = training_sets.Site(
        _Renamed(generators[0], phantom_records.findings), phantom_records, "train"
    )
    rows = training_sets._rows_alike(len(kept) + 3, site, 1)
    np.testing.assert_array_equal(np.sort(rows[: len(kept)].sum(axis=1)), np.sort(kept.sum(axis=1)))
    assert len(rows) == len(kept) + 3
    with pytest.raises(ValueError, match="need the collection of one/1"):
        without = training_sets.Site(generators[0])
        training_sets._rows_alike(1, without, 1)


def test_a_size_matched_pool_has_the_label_vectors_of_one_collection(
    inputs, generators, phantom_records
):
    first = _Renamed(generators[0], phantom_records.findings)
    second = _Renamed(generators[1], labels.CHEXPERT_14)
    sites = {
        recipes.FIRST: training_sets.Site(first, phantom_records),
        recipes.SECOND: training_sets.Site(second),
    }
    inputs = dataclasses.replace(inputs, sites=sites)
    recipe = next(r for r in recipes.fig3(21, 40).recipes if r.name == "pooled_matched")
    pairs = training_sets._label_rows(recipe.parts[0], inputs, 8, labels.SHARED_7, 1)
    assert [site.generator for site, _ in pairs] == [first, second]
    assert [len(rows) for _, rows in pairs] == [11, 10]
    alone = training_sets._rows_alike(21, sites[recipes.FIRST], 1)
    np.testing.assert_array_equal(pairs[0][1], alone[::2])
    shared = [labels.project(alone[1::2], first.findings, labels.SHARED_7)]
    shared += [labels.project(pairs[1][1], labels.CHEXPERT_14, labels.SHARED_7)]
    np.testing.assert_array_equal(*shared)
    assert shared[0].any()
    healthy = pairs[1][1][:, labels.CHEXPERT_14.index("No Finding")]
    np.testing.assert_array_equal(healthy, ~alone[1::2].any(axis=1))


def test_a_question_of_some_classes_is_asked_of_them_alone(inputs, phantom_records):
    experiment = recipes.real_vs_synthetic("Effusion", 8, 8)
    inputs = dataclasses.replace(inputs, folds=("val", "test", "train"))
    table = training_sets.test_images(experiment, inputs, 8, ("Effusion",), 1)
    fold = pool.Pool.of_records(phantom_records, "train")
    wanted = fold.members(pool.HEALTHY) | fold.members("Effusion")
    kept = [i for i, chosen in zip(fold.image_ids, wanted, strict=True) if chosen]
    assert 0 < len(kept) < len(fold.image_ids)
    assert set(table.image_ids) == set(kept)


def test_a_fold_without_the_finding_is_refused(inputs):
    """Its healthy images alone would be judged, and nothing of that is defined."""
    fold = pool.Pool.of_records(inputs.local, "val")
    lacking = next(name for name in fold.findings if not fold.members(name).any())
    experiment = recipes.real_vs_synthetic(lacking, 8, 8)
    inputs = dataclasses.replace(inputs, folds=("train", "test", "val"))
    with pytest.raises(ValueError, match=f"fold val, has no image of {lacking}; give other"):
        training_sets.test_images(experiment, inputs, 8, (lacking,), 1)


def test_validation_images_are_of_other_patients(inputs):
    """Early stopping and thresholds would be fitted on what was trained on."""
    inputs = dataclasses.replace(inputs, folds=("train", "train", "test"))
    with pytest.raises(ValueError, match="patients of .* are also in"):
        training_sets.test_images(recipes.real_only(), inputs, 8, _FINDINGS, 1)


def test_a_generator_of_images_prepared_in_another_way_is_refused(inputs, generators):
    other = synthesis.ExportedGenerator.__new__(synthesis.ExportedGenerator)
    preparation = {**inputs.local.preparation, "geometry": "stretch"}
    other.name, other.card = "cut/1", {"training_records": {"preparation": preparation}}
    inputs = dataclasses.replace(inputs, sites={recipes.FIRST: training_sets.Site(other)})
    with pytest.raises(ValueError, match="the generator cut/1 was made with --geometry=stretch"):
        training_sets.test_images(recipes.real_only(), inputs, 8, _FINDINGS, 1)


class _Renamed:
    """A generator with another vocabulary, of which nothing is drawn."""

    def __init__(self, generator, findings):
        self.name, self.findings, self.card = generator.name, findings, generator.card
        self.resolution = generator.resolution


def test_no_finding_is_a_class_where_the_vocabulary_has_it(generators):
    generator = _Renamed(generators[0], labels.CHEXPERT_14)
    rows = training_sets._pure_rows({pool.HEALTHY: 2, "Effusion": 1}, generator, 1)
    names = sorted(labels.CHEXPERT_14[int(row.argmax())] for row in rows)
    assert names == ["No Finding", "No Finding", "Pleural Effusion"]
    assert (rows.sum(axis=1) == 1).all()


def test_test_images_are_of_nobody_that_was_trained_on(inputs, generators, phantom_records):
    experiment = recipes.fig2()
    everything = dataclasses.replace(experiment, findings=("Mass",), test={})
    table = training_sets.test_images(everything, inputs, 8, ("Mass",), 1)
    assert table.image_ids == phantom_records.record_ids("test")
    few = dataclasses.replace(everything, test={pool.HEALTHY: 3})
    assert len(training_sets.test_images(few, inputs, 8, ("Mass",), 1)) == 3
    facts = {
        "name": "phantom", "fold": "test",
        "fold_fingerprint": phantom_records.fold_fingerprint("test"),
    }  # fmt: skip
    leaking = synthesis.ExportedGenerator.__new__(synthesis.ExportedGenerator)
    leaking.name, leaking.card = "leak/1", {"training_records": facts}
    sites = {recipes.FIRST: training_sets.Site(leaking, phantom_records, "test")}
    with pytest.raises(ValueError, match="which the generator leak/1 was trained on"):
        training_sets.test_images(
            everything, dataclasses.replace(inputs, sites=sites), 8, ("Mass",), 1
        )
    sites = {recipes.FIRST: training_sets.Site(leaking, phantom_records, "train")}
    with pytest.raises(ValueError, match="holds other images"):
        training_sets.test_images(
            everything, dataclasses.replace(inputs, sites=sites), 8, ("Mass",), 1
        )
    same = dataclasses.replace(inputs, folds=("train", "val", "train"))
    with pytest.raises(ValueError, match="which the classifier is trained or validated on"):
        training_sets.test_images(everything, same, 8, ("Mass",), 1)


def _kept(records, metric, fold, **more):
    """A site whose generator was kept as the best by a metric; nothing is drawn."""
    facts = {"name": "phantom", "fold": "train", **more}
    facts["fold_fingerprint"] = records.fold_fingerprint("train")
    generator = synthesis.ExportedGenerator.__new__(synthesis.ExportedGenerator)
    generator.name = "kept/1"
    generator.card = {
        "training_records": facts,
        "training_settings": {"held_out_fold": fold},
        "kept_as_best": metric and {"metric": metric, "value": 1.0},
    }
    return training_sets.Site(generator, records)


@pytest.mark.parametrize(
    ("metric", "fold", "refused"),
    [
        ("monitor/fd64_fixed_to_held_out", "test", True),
        ("monitor/fd64_fixed_to_held_out", "val", False),
        ("monitor/fd64_fixed_to_train", "test", False),
        (None, "test", False),  # the newest checkpoint: the fold was only looked at
    ],
)
def test_test_images_are_of_nobody_that_chose_a_checkpoint(
    inputs, phantom_records, metric, fold, refused
):
    site = _kept(phantom_records, metric, fold)
    inputs = dataclasses.replace(inputs, sites={recipes.FIRST: site})
    arguments = (recipes.real_only(), inputs, 8, ("Mass",), 1)
    if refused:
        with pytest.raises(
            ValueError, match="fold test, by which the checkpoint of the generator kept/1 was kept"
        ):
            training_sets.test_images(*arguments)
    else:
        table = training_sets.test_images(*arguments)
        assert table.image_ids == phantom_records.record_ids("test")


@pytest.mark.parametrize(
    ("fold", "facts"),
    [("gan/test", {}), ("test", {"held_out_fold_fingerprint": "of other images"})],
)
def test_a_fold_that_chose_a_checkpoint_and_is_gone_is_warned_of(
    inputs, phantom_records, caplog, fold, facts
):
    site = _kept(phantom_records, "monitor/fd64_fixed_to_held_out", fold, **facts)
    inputs = dataclasses.replace(inputs, sites={recipes.FIRST: site})
    assert len(training_sets.test_images(recipes.real_only(), inputs, 8, ("Mass",), 1))
    assert f"kept/1 was chosen by a fold {fold} that" in caplog.text


@pytest.mark.parametrize(
    ("part", "resolution", "findings", "message"),
    [
        (recipes.real({"Effusion": 99}), 8, ("Effusion",), "fold train: .*99"),
        (recipes.drawn({"Mass": 1}, "third"), 8, _FINDINGS, "give --third=EXPORT"),
        (recipes.drawn({"Mass": 1}, "first"), 16, _FINDINGS, "draws 8 px, .* takes 16 px"),
        (recipes.drawn({"Mass": 1}, "first"), 8, ("Edema",), "cannot draw this.*Edema"),
    ],
)
def test_what_cannot_be_had_is_told_before_anything_is_drawn(
    inputs, part, resolution, findings, message
):
    for ask in (training_sets.check, training_sets.training_images):
        with pytest.raises(ValueError, match=message):
            ask(_recipe(part), inputs, resolution, findings, 1)
    assert not inputs.work.exists()


def test_validation_images_that_cannot_be_had_are_told_before_anything_is_drawn(inputs):
    # The few images of the fold "val" show no infiltration.
    with pytest.raises(ValueError, match="fold val: .*'Infiltration'"):
        training_sets.check(_BOTH, inputs, 8, _FINDINGS, 1)
    training_sets.check(_BOTH, inputs, 8, _FINDINGS, 1, real_classes=())
    with pytest.raises(ValueError, match="fold val, has no image of Infiltration"):
        training_sets.check(_BOTH, inputs, 8, _FINDINGS, 1, ("healthy", "Infiltration"))
    training_sets.check(
        _BOTH, dataclasses.replace(inputs, folds=("train", "test", "val")), 8, _FINDINGS, 1
    )
    assert not inputs.work.exists()


def test_parts_that_say_nothing_are_refused():
    with pytest.raises(ValueError, match="needs images of each class"):
        recipes.real({"Mass": 0})
    with pytest.raises(ValueError, match="has one source"):
        recipes.Part(("a", "b"), {"Mass": 1})
    with pytest.raises(ValueError, match="are of any class"):
        recipes.Part(("a",), {"Mass": 1}, synthetic=True, labels=recipes.ALIKE)


def test_numbers_of_the_paper():
    fig2 = recipes.fig2()
    assert [[p.counts for p in r.parts] for r in fig2.recipes] == [
        [{"healthy": 950, "Pneumonia": 50}],
        [{"healthy": 450, "Pneumonia": 50}, {"healthy": 400, "Pneumonia": 100}],
    ]
    assert fig2.test == {"healthy": 2400, "Pneumonia": 3600}
    totals = [sum(p.total for p in r.parts) for r in recipes.fig3().recipes]
    assert totals == [78_468, 269_697, 78_468, 78_468]
    arms = recipes.oversampling("Hernia", 1000, 50).recipes
    assert [sum(p.total for p in r.parts) for r in arms] == [1050, 2000, 2000]


def test_a_classifier_of_all_findings_is_an_experiment_of_one_arm():
    experiment = recipes.real_only(4000)
    [recipe] = experiment.recipes
    assert experiment.findings is None and experiment.comparisons == ()
    assert [(part.source, part.total, part.synthetic) for part in recipe.parts] == [
        (("local",), 4000, False)
    ]
