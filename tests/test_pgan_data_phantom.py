"""Tests of the procedural chest phantom: reproducibility, findings, ground truth, population."""

import itertools
import multiprocessing
import pickle

import numpy as np
import pytest
from scipy import ndimage

from pgan.data import labels, phantom, phantom_population
from pgan.data.phantom_texture import Grid, box_reduce

SIZE = 128
PATIENTS = (0, 1, 2)


def _noiseless(findings, patient, size=SIZE):
    grey, _ = phantom._render(phantom.strengths(findings), 7, patient, 0, size, noisy=False)
    return grey


def _load(radiograph):
    return radiograph.load()


# --- Reproducibility ---------------------------------------------------------------------------


def test_image_does_not_depend_on_what_was_drawn_before():
    first = phantom.draw({"Effusion": 0.7}, patient=3, image=1, seed=5, size=SIZE)
    phantom.draw({"Edema": 1.0}, patient=4, seed=5, size=SIZE)
    phantom._exam.cache_clear()
    again = phantom.draw({"Effusion": 0.7}, patient=3, image=1, seed=5, size=SIZE)
    np.testing.assert_array_equal(first, again)


def test_image_is_the_same_in_another_process():
    records = list(phantom.read(4, seed=2, size=64))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        elsewhere = pool.map(_load, records)
    for record, image in zip(records, elsewhere, strict=True):
        np.testing.assert_array_equal(record.load(), image)


def test_global_random_state_is_neither_used_nor_changed():
    np.random.seed(0)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first = phantom.draw({"Fibrosis": 1}, size=SIZE)
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    np.testing.assert_array_equal(first, phantom.draw({"Fibrosis": 1}, size=SIZE))


def test_read_does_not_depend_on_count():
    few, many = list(phantom.read(9, seed=3, size=64)), list(phantom.read(30, seed=3, size=64))
    assert len(few) == 9 and len(many) == 30
    for a, b in zip(few, many[:9], strict=True):
        assert (a.image_id, a.patient_id, a.stamp) == (b.image_id, b.patient_id, b.stamp)
        np.testing.assert_array_equal(a.labels, b.labels)
        np.testing.assert_array_equal(a.extras["strengths"], b.extras["strengths"])
    np.testing.assert_array_equal(few[8].load(), many[8].load())


def test_seeds_give_different_populations():
    a, b = next(phantom.read(1, seed=0, size=64)), next(phantom.read(1, seed=1, size=64))
    assert a.patient_id != b.patient_id
    assert np.mean(a.load() != b.load()) > 0.5


# --- Images ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [4, 32, 128, 256])
def test_type_shape_and_range(size):
    image = phantom.draw(patient=1, size=size)
    assert image.dtype == np.uint8 and image.shape == (size, size)
    assert image.max() > 150
    assert image.min() < 110


def test_same_content_at_every_size():
    large = _noiseless({"Mass": 1, "Fibrosis": 0.5}, 1, 512)
    small = _noiseless({"Mass": 1, "Fibrosis": 0.5}, 1, 128)
    assert np.abs(box_reduce(large, 128) - small).mean() < 2.5


def test_small_sizes_are_box_filtered():
    large, small = phantom.draw(patient=2, size=128), phantom.draw(patient=2, size=32)
    means = large.reshape(32, 4, 32, 4).mean((1, 3), dtype=np.float64)
    np.testing.assert_allclose(small, means, atol=1.0)


def test_tissues_have_the_greys_of_a_radiograph():
    for patient in PATIENTS:
        image, truth = phantom.draw_with_truth(patient=patient, seed=7, size=SIZE)
        lungs, heart = image[truth.lungs].mean(), image[truth.heart].mean()
        assert image[truth.abdomen].mean() > lungs
        assert heart > lungs + 40
        # Air above the shoulders is black.
        assert np.percentile(image[:8], 5) < lungs / 2


def test_right_dome_is_higher_and_heart_lies_left():
    rows, columns = np.mgrid[:SIZE, :SIZE]
    domes, hearts = [], []
    for patient in range(12):
        _, truth = phantom.draw_with_truth(patient=patient, seed=7, size=SIZE)
        # The patient's right is the left of the image.
        domes.append(rows[truth.right_lung].max() - rows[truth.left_lung].max())
        middle = 0.5 * (columns[truth.lungs].min() + columns[truth.lungs].max())
        hearts.append(columns[truth.heart].mean() - middle)
        assert np.array_equal(truth.lungs, truth.right_lung | truth.left_lung)
        assert not (truth.lungs & truth.heart).any()
    assert np.mean(domes) < 0
    assert np.mean(hearts) > 2


# --- Findings ----------------------------------------------------------------------------------


@pytest.mark.parametrize("finding", labels.NIH_14)
def test_strength_zero_is_healthy(finding):
    healthy = phantom.draw(patient=1, seed=7, size=SIZE)
    np.testing.assert_array_equal(
        healthy, phantom.draw({finding: 0.0}, patient=1, seed=7, size=SIZE)
    )


@pytest.mark.parametrize("finding", labels.NIH_14)
def test_effect_is_continuous_and_grows_with_strength(finding):
    for patient in PATIENTS:
        healthy = _noiseless(None, patient)
        energy = [
            np.sqrt(np.mean((_noiseless({finding: strength}, patient) - healthy) ** 2))
            for strength in (1e-4, 0.25, 0.5, 0.75, 1.0)
        ]
        assert np.all(np.diff(energy) > 0), energy
        assert energy[0] < 0.15
        assert energy[-1] > 0.5


@pytest.mark.parametrize("finding", labels.NIH_14)
def test_effect_lies_in_the_truth_region(finding):
    with_finding, truth = phantom.draw_with_truth({finding: 1.0}, patient=1, seed=7, size=SIZE)
    healthy = phantom.draw(patient=1, seed=7, size=SIZE)
    change = (with_finding.astype(float) - healthy) ** 2
    region = truth.findings[labels.find(finding, labels.NIH_14)]
    inside = region > 0.1 * region.max()
    assert change[inside].sum() > 0.9 * change.sum()
    assert inside.mean() < 0.55
    for name, other in zip(labels.NIH_14, truth.findings, strict=True):
        assert name == finding or not other.any()


def test_truth_of_one_finding_among_several():
    _, truth = phantom.draw_with_truth({"Mass": 1.0, "Cardiomegaly": 1.0}, patient=1, size=SIZE)
    mass, heart = (
        truth.findings[labels.find(name, labels.NIH_14)] for name in ("Mass", "Cardiomegaly")
    )
    assert mass.max() > 5 and heart.max() > 5
    assert np.corrcoef(mass.ravel(), heart.ravel())[0, 1] < 0.5


def test_mean_regions_are_where_the_textbook_has_them():
    regions = phantom.finding_regions(size=64, seed=7, patients=6)
    assert regions.shape == (14, 64, 64) and not regions.flags.writeable
    rows, columns = np.mgrid[:64, :64] / 64.0

    def spread(finding):
        weight = regions[labels.find(finding, labels.NIH_14)]
        weight = weight / weight.sum()
        off = np.abs(columns - 0.5)
        return (weight * rows).sum(), (weight * off).sum()

    heights = {name: spread(name)[0] for name in labels.NIH_14}
    sideways = {name: spread(name)[1] for name in labels.NIH_14}
    assert heights["Effusion"] > heights["Edema"] + 0.05
    assert heights["Atelectasis"] > heights["Edema"]
    assert heights["Pneumothorax"] < heights["Effusion"]
    assert sideways["Hernia"] < 0.1 < sideways["Pneumothorax"]
    assert sideways["Pleural Thickening"] > sideways["Edema"]


def test_cardiomegaly_raises_the_cardiothoracic_ratio():
    for patient in range(8):
        ratio = [
            phantom.draw_with_truth({"Cardiomegaly": strength}, patient=patient, seed=7, size=SIZE)[
                1
            ].cardiothoracic_ratio
            for strength in (0.0, 0.35, 1.0)
        ]
        assert ratio[0] < 0.5 < ratio[1] < ratio[2] < 0.75


def test_effusion_brightens_a_costophrenic_angle():
    for patient in range(4):
        healthy, truth = phantom.draw_with_truth(patient=patient, seed=7, size=SIZE)
        wet = phantom.draw({"Effusion": 0.8}, patient=patient, seed=7, size=SIZE)
        rise = []
        for lung in (truth.right_lung, truth.left_lung):
            # The lowest tenth of a lung is the angle between ribs and diaphragm.
            rows = np.nonzero(lung)[0]
            angle = lung & (np.arange(SIZE)[:, None] > np.percentile(rows, 90))
            rise.append(wet[angle].mean() - healthy[angle].mean())
        assert max(rise) > 15


def test_pneumothorax_and_emphysema_darken_the_lungs():
    for patient in PATIENTS:
        healthy, truth = phantom.draw_with_truth(patient=patient, seed=7, size=SIZE)
        free_gas = phantom.draw({"Pneumothorax": 1}, patient=patient, seed=7, size=SIZE)
        darker = np.percentile((free_gas.astype(float) - healthy)[truth.lungs], 10)
        assert darker < -8
        hyperlucent = phantom.draw({"Emphysema": 1}, patient=patient, seed=7, size=SIZE)
        assert hyperlucent[truth.lungs].mean() < healthy[truth.lungs].mean() - 8


@pytest.mark.parametrize("finding, smallest, largest", [("Mass", 3.0, 7.0), ("Nodule", 0.8, 3.0)])
def test_mass_and_nodule_keep_to_their_sizes(finding, smallest, largest):
    for patient in range(5):
        _, truth = phantom.draw_with_truth({finding: 1.0}, patient=patient, seed=7, size=512)
        region = truth.findings[labels.find(finding, labels.NIH_14)]
        parts, count = ndimage.label(region > 0.15 * region.max())
        areas = ndimage.sum_labels(np.ones_like(region), parts, np.arange(1, count + 1))
        pixel = Grid(512, phantom._exam(7, patient, 0).pose).pixel
        across = 2 * np.sqrt(areas.max() / np.pi) * pixel
        # Two nodules may touch in projection.
        assert smallest < across < (largest if finding == "Mass" else 1.45 * largest)


def test_chronic_findings_stay_in_place():
    def centre(finding, image):
        _, truth = phantom.draw_with_truth({finding: 1.0}, patient=1, image=image, size=64)
        region = truth.findings[labels.find(finding, labels.NIH_14)]
        return ndimage.center_of_mass(region**2)

    places = np.array([centre("Mass", image) for image in range(4)])
    assert np.ptp(places, axis=0).max() < 12


# --- Population --------------------------------------------------------------------------------


def test_patients_have_several_images_of_one_anatomy():
    records = list(phantom.read(300, seed=0, size=64))
    groups = [list(group) for _, group in itertools.groupby(records, lambda r: r.patient_id)]
    assert len({group[0].patient_id for group in groups}) == len(groups)
    sizes = [len(group) for group in groups]
    assert 2.0 < np.mean(sizes) < 3.6 and max(sizes) > 4
    for group in groups:
        assert len({(record.extras["age"], record.extras["sex"]) for record in group}) == 1
    assert len({record.image_id for record in records}) == len(records)


def test_images_of_a_patient_resemble_each_other_more_than_strangers():
    def features(patient, image):
        return box_reduce(
            phantom._render(phantom.strengths(None), 0, patient, image, SIZE, False)[0], 32
        )

    same, other = [], []
    for patient in range(8):
        mine = features(patient, 0)
        same.append(np.corrcoef(mine.ravel(), features(patient, 1).ravel())[0, 1])
        other.append(np.corrcoef(mine.ravel(), features(patient + 1, 0).ravel())[0, 1])
        assert np.abs(mine - features(patient, 1)).mean() > 2
    assert np.mean(same) > np.mean(other)


def test_prevalences_and_co_occurrence():
    records = list(phantom.read(3000, seed=1, size=64))
    positive = np.stack([record.labels for record in records])
    assert set(np.unique(positive)) == {0.0, 1.0}
    np.testing.assert_allclose(positive.mean(0), phantom_population.PREVALENCE, atol=0.035)
    assert positive.mean(0).min() > 0.015
    assert 0.3 < np.mean(positive.sum(1) == 0) < 0.55

    def lift(a, b):
        a, b = (positive[:, labels.find(name, labels.NIH_14)] for name in (a, b))
        return (a * b).mean() / (a.mean() * b.mean())

    # Directions as in ChestX-ray14.
    assert lift("Cardiomegaly", "Effusion") > 1.2
    assert lift("Emphysema", "Pneumothorax") > 1.5
    assert lift("Edema", "Pneumonia") > 1.2
    strengths = np.stack([record.extras["strengths"] for record in records])
    np.testing.assert_array_equal(strengths > 0, positive > 0)
    assert strengths[strengths > 0].min() >= 0.35 and strengths.max() <= 1


def test_record_is_lazy_and_pickles():
    record = next(phantom.read(1, seed=0, size=64))
    copy = pickle.loads(pickle.dumps(record))
    np.testing.assert_array_equal(copy.load(), record.load())
    assert record.labels.dtype == np.float32 and record.labels.shape == (14,)
    assert record.extras["view"] in ("PA", "AP")
    assert "seed 0" in record.stamp and "size 64" in record.stamp


def test_truth_of_a_record():
    record = next(r for r in phantom.read(20, seed=0, size=64) if r.labels.sum() == 1)
    truth = phantom.truth(record)
    present = truth.findings.reshape(14, -1).any(1)
    np.testing.assert_array_equal(present, record.labels > 0)


def test_a_named_image_is_drawn_again_with_its_truth():
    records = itertools.islice(phantom.read(20, seed=3, size=64), 5, 8)
    for record in records:
        image, truth = phantom.redraw(record.image_id, 64)
        np.testing.assert_array_equal(image, record.load())
        present = truth.findings.reshape(14, -1).any(1)
        np.testing.assert_array_equal(present, record.labels > 0)
    for name in ("00000001_000.png", "phantom1_000000_000.jpg", "site_phantom1_000000_000.png"):
        with pytest.raises(
            ValueError, match="is no name of a phantom, such as phantom1_000000_000"
        ):
            phantom.redraw(name, 64)


# --- Callers' mistakes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"findings": {"Flu": 1.0}}, "Flu"),
        ({"findings": {"Mass": 1.5}}, "1.5"),
        ({"findings": np.full(14, -0.1)}, r"\[0, 1\]"),
        ({"findings": np.full(14, np.nan)}, "nan"),
        ({"findings": np.zeros(7)}, "14"),
        ({"size": 100}, "power of two"),
        ({"size": 2048}, "1024"),
        ({"patient": -1}, "patient"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        phantom.draw(**arguments)


def test_read_rejects_at_once():
    with pytest.raises(ValueError, match="count"):
        phantom.read(-1, seed=0)
    with pytest.raises(ValueError, match="power of two"):
        phantom.read(1, seed=0, size=100)
