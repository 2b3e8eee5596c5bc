"""Tests of the phantom's sites: patients, twins, grey values, findings, devices."""

import collections
import pickle

import numpy as np
import pytest

from pgan.data import labels, phantom, phantom_drawing, phantom_markers, phantom_sites

SITES = ("nih", "chexpert", "rsna")
PNEUMONIA = labels.find("Pneumonia", labels.NIH_14)


def test_nih_is_the_phantom():
    for ours, theirs in zip(
        phantom_sites.read("nih", 4, 3, 64), phantom.read(4, 3, 64), strict=True
    ):
        assert (ours.image_id, ours.stamp) == (theirs.image_id, theirs.stamp)
        np.testing.assert_array_equal(ours.load(), theirs.load())
    findings = {"Effusion": 0.7}
    np.testing.assert_array_equal(
        phantom_sites.draw("nih", findings, patient=2, seed=3, size=64),
        phantom.draw(findings, patient=2, seed=3, size=64),
    )


@pytest.mark.parametrize("site", SITES)
def test_read_does_not_depend_on_count_or_order(site):
    few, many = (list(phantom_sites.read(site, count, 3, 64)) for count in (5, 20))
    for a, b in zip(few, many[:5], strict=True):
        assert (a.image_id, a.patient_id, a.twin) == (b.image_id, b.patient_id, b.twin)
        np.testing.assert_array_equal(a.labels, b.labels)
    last = pickle.loads(pickle.dumps(many[4]))
    np.testing.assert_array_equal(few[4].load(), last.load())
    assert len({image.image_id for image in many}) == 20


def test_rsna_is_a_selection_of_nih():
    chosen = list(phantom_sites.read("rsna", 300, 4, 64))
    source = {image.image_id: image for image in phantom_sites.read("nih", 1700, 4, 64)}
    places = list(source)
    ill = np.mean([image.labels[PNEUMONIA] for image in chosen])
    assert 0.16 < ill < 0.30
    groups = collections.Counter(image.extras["group"] for image in chosen)
    assert groups["opacity"] == sum(image.labels[PNEUMONIA] for image in chosen)
    assert min(groups["normal"], groups["abnormal"]) > 60
    indices = []
    for image in chosen:
        collection, name = image.twin
        twin = source[name]
        assert collection == "phantom" and twin.patient_id == image.patient_id
        np.testing.assert_array_equal(twin.extras["strengths"], image.extras["strengths"])
        for fact in ("age", "sex", "view"):
            assert twin.extras[fact] == image.extras[fact]
        indices.append(places.index(name))
    assert indices == sorted(set(indices))
    # No exam with pneumonia is left out.
    before = [name for name in places[: indices[-1] + 1] if source[name].labels[PNEUMONIA]]
    assert {image.twin[1] for image in chosen if image.labels[PNEUMONIA]} == set(before)


def test_twins_show_the_same_chest_in_other_greys():
    other = next(iter(phantom_sites.read("nih", 1, 9, 64))).load()
    below = slice(16, None)  # markers are above
    for image in phantom_sites.read("rsna", 5, 1, 64):
        twin = phantom_sites.draw(**{**image.load.keywords, "site": "nih"})
        picture = image.load()
        alike = np.corrcoef(picture[below].ravel(), twin[below].ravel())[0, 1]
        assert alike > 0.95
        assert alike > np.corrcoef(picture[below].ravel(), other[below].ravel())[0, 1]
        assert np.abs(picture.astype(int) - twin).mean() > 5


def test_chexpert_has_patients_of_its_own():
    images = list(phantom_sites.read("chexpert", 400, 1, 64))
    nih = list(phantom_sites.read("nih", 400, 1, 64))

    def mean(of, fact):
        return np.mean([fact(image) for image in of])

    assert not {i.patient_id for i in images} & {i.patient_id for i in nih}
    for finding, low, high in (("Effusion", 0.3, 0.45), ("Edema", 0.2, 0.33)):
        assert low < np.mean([i.labels[labels.find(finding, labels.NIH_14)] for i in images]) < high
    assert mean(images, lambda i: i.extras["age"]) > mean(nih, lambda i: i.extras["age"]) + 8
    assert mean(images, lambda i: i.extras["view"] == "AP") > 0.75
    assert 0.45 < mean(images, lambda i: bool(i.extras["devices"])) < 0.7
    shapes = [image.load().shape for image in images[:30]]
    assert all(max(shape) == 64 for shape in shapes)
    assert any(h < w for h, w in shapes) and any(h > w for h, w in shapes)


def test_sites_can_be_told_apart_by_their_greys():
    """Not perfectly: then a classifier would see the site and nothing else."""
    features, sites = [], []
    for number, site in enumerate(SITES):
        for image in phantom_sites.read(site, 40, 6, 64):
            grey = image.load().astype(np.float32)
            height, width = grey.shape
            grey = grey[height // 4 :, width // 8 : -width // 8]  # without markers
            rough = np.abs(np.diff(grey, 2, axis=0)).mean()
            features.append([1, grey.mean(), grey.std(), rough, *np.percentile(grey, [10, 50, 90])])
            sites.append(number)
    features, wanted = np.array(features), np.eye(3)[sites]
    known = np.arange(len(sites)) % 2 == 0
    weights = np.linalg.lstsq(features[known], wanted[known], rcond=None)[0]
    right = (features[~known] @ weights).argmax(1) == np.array(sites)[~known]
    assert 0.6 < right.mean() < 1


@pytest.mark.parametrize("site", ["chexpert", "rsna"])
def test_findings_stay_what_and_where_they_are(site):
    for finding in ("Effusion", "Mass", "Pneumothorax"):
        numbers = {"patient": 3, "seed": 2, "size": 64}
        ill, truth = phantom_sites.draw_with_truth(site, {finding: 0.9}, **numbers)
        healthy = phantom_sites.draw(site, **numbers)
        region = truth.findings[labels.find(finding, labels.NIH_14)]
        assert region.shape == truth.lungs.shape == ill.shape
        change = (ill.astype(float) - healthy) ** 2
        assert change[region > 0.1 * region.max()].sum() > 0.85 * change.sum()
        assert region.max() > 20
        darker = np.mean((ill.astype(float) - healthy)[region > 0.5 * region.max()]) < 0
        assert darker == (finding == "Pneumothorax")


def test_truth_of_a_record():
    image = next(i for i in phantom_sites.read("chexpert", 20, 0, 64) if i.labels.sum() == 1)
    present = phantom_sites.truth(image).findings.reshape(14, -1).any(1)
    np.testing.assert_array_equal(present, image.labels > 0)


def test_devices_are_drawn_where_they_are_named():
    images = list(phantom_sites.read("chexpert", 60, 2, 64))
    seed = phantom_sites.population_seed(phantom_sites.SITES["chexpert"], 2)
    style = phantom_sites.SITES["chexpert"].style
    without = phantom_drawing.Style(style.population, style.technique, "", devices=False)
    for image in [i for i in images if i.extras["devices"]][:4] + [
        i for i in images if not i.extras["devices"]
    ][:4]:
        numbers = image.load.keywords
        place = (np.zeros(14, np.float32), seed, numbers["patient"], numbers["image"], 128, False)
        bare, _ = phantom_drawing.render(*place, style=without)
        shown, _ = phantom_drawing.render(*place, style=style)
        brighter = (shown - bare) > 10
        assert brighter.any() == bool(image.extras["devices"])
        assert brighter.mean() < 0.03
    pacemakers = collections.defaultdict(set)
    for image in images:
        pacemakers[image.patient_id].add("pacemaker" in image.extras["devices"])
    assert all(len(states) == 1 for states in pacemakers.values())


def test_burned_in_text_is_the_same_at_every_size():
    def marks(size):
        rng = np.random.default_rng(5)
        return phantom_markers.burn_in(np.zeros((size, size), np.float32), "AP", rng)

    large, small = marks(512), marks(128)
    assert large.max() > 200
    reduced = large.reshape(128, 4, 128, 4).mean((1, 3))
    assert np.abs(reduced - small).mean() < 0.3 * small.mean()


def test_unknown_site():
    with pytest.raises(ValueError, match="chexpert"):
        phantom_sites.read("mimic", 1, 0)
