import numpy as np
import pytest

from pgan.data import clients, manifest, splits
from pgan.data.pool import Pool

FINDINGS = ("Effusion", "Mass", "Hernia")
RATES = (0.3, 0.1, 0.02)


def make(labels, patients, findings=FINDINGS):
    return Pool(
        image_ids=[f"i{number:05d}" for number in range(len(patients))],
        patient_ids=list(patients),
        labels=np.array(labels, np.float32).reshape(len(patients), len(findings)),
        findings=findings,
        extras=[{}] * len(patients),
    )


def collection(num_patients=1500, most=6, seed=0):
    """Patients with one to six images, each with findings of his own."""
    generator = np.random.default_rng(seed)
    labels, patients = [], []
    for patient in range(num_patients):
        prone = generator.random(3) < RATES
        for _ in range(generator.integers(1, most + 1)):
            labels.append(prone & (generator.random(3) < 0.8))
            patients.append(f"p{patient:05d}")
    return make(labels, patients)


POOL = collection()


def draw(images, *arguments, **settings):
    split = clients.draw(images, *arguments, **settings)
    splits.check_by_patient(
        split.folds, dict(zip(images.image_ids, images.patient_ids, strict=True))
    )
    assert all(len(set(ids)) == len(ids) for ids in split.folds.values())
    return split


def sizes(split):
    return [len(ids) for ids in split.folds.values()]


@pytest.mark.parametrize("dirichlet", [None, 100, 1, 0.1])
def test_equal_clients(dirichlet):
    split = draw(POOL, 20, 1, images_per_client=[100], dirichlet=dirichlet)
    assert sizes(split) == [100] * 20
    assert list(split.folds)[:2] == ["client_00", "client_01"]
    # All images of a patient are there but for at most one patient per client.
    of = dict(zip(POOL.image_ids, POOL.patient_ids, strict=True))
    for ids in split.folds.values():
        there = {of[i] for i in ids}
        assert sum(patient in there for patient in POOL.patient_ids) - 100 < 6


@pytest.mark.parametrize("dirichlet", [None, 0.3])
def test_unequal_exact_clients(dirichlet):
    split = draw(POOL, 3, 1, images_per_client=[500, 30, 7], dirichlet=dirichlet)
    assert sizes(split) == [500, 30, 7]


@pytest.mark.parametrize("dirichlet", [None, 100, 0.3])
def test_nearly_all_images_in_equal_clients(dirichlet):
    each = len(POOL) // 20
    split = draw(POOL, 20, 1, images_per_client=[each], dirichlet=dirichlet)
    assert sizes(split) == [each] * 20


@pytest.mark.parametrize("dirichlet", [None, 100, 0.3])
@pytest.mark.parametrize("shares", [None, [5, 3, 1, 1, 1]])
def test_shares_deal_all_images_to_within_a_patient(dirichlet, shares):
    split = draw(POOL, 5, 1, shares=shares, dirichlet=dirichlet)
    assert sum(sizes(split)) == len(POOL)
    parts = np.array(shares or [1] * 5)
    assert np.abs(np.array(sizes(split)) - len(POOL) * parts / parts.sum()).max() <= 6


def test_settings():
    split = draw(POOL, 2, 7, images_per_client=[10], dirichlet=0.5)
    assert split.settings == {
        "method": "clients", "seed": 7, "clients": 2, "images_per_client": [10], "dirichlet": 0.5,
    }  # fmt: skip
    split = draw(POOL, 2, 7, shares=[2, 1])
    assert split.settings == {
        "method": "clients", "seed": 7, "clients": 2, "client_shares": [2, 1],
    }  # fmt: skip
    assert list(draw(POOL, 101, 1, images_per_client=[5]).folds)[-1] == "client_100"


def test_a_draw_is_a_function_of_seed_and_ids():
    backwards = Pool(
        POOL.image_ids[::-1], POOL.patient_ids[::-1], POOL.labels[::-1], FINDINGS, POOL.extras
    )
    for settings in ({"images_per_client": [50]}, {}, {"images_per_client": [50], "dirichlet": 1}):
        first, second = draw(POOL, 10, 3, **settings), draw(backwards, 10, 3, **settings)
        assert {f: set(ids) for f, ids in first.folds.items()} == {
            f: set(ids) for f, ids in second.folds.items()
        }
        assert first.folds != draw(POOL, 10, 4, **settings).folds


@pytest.mark.parametrize(
    "settings, expected",
    [
        ({"images_per_client": [100]}, "25de14a1"),
        ({"images_per_client": [100], "dirichlet": 0.3}, "1c9e6e9c"),
    ],
)
def test_published_clients_are_repeated_from_their_seed(settings, expected):
    """A failure means that splits which others have drawn cannot be made again."""
    split = draw(POOL, 4, 1, **settings)
    assert manifest.fold_fingerprint(split.folds["client_02"])[:8] == expected


def test_dirichlet_sets_the_skew():
    means = []
    for dirichlet in (None, 1000, 10, 1, 0.1):
        split = draw(POOL, 20, 1, images_per_client=[100], dirichlet=dirichlet)
        skew = clients.skew(POOL, split)
        assert list(skew) == list(split.folds)
        means.append(np.mean(list(skew.values())))
    assert means[1] < means[0] < means[2] < means[3]
    assert means[1] < 0.05 and means[4] > 0.35


def test_mixes_follow_the_dirichlet_distribution():
    """With one image per patient nothing keeps a client from its mix.

    The share of a class is beta distributed with parameters a p and a (1 - p), so its variance is
    p (1 - p) / (a + 1).
    """
    count = 16000
    images = make(np.arange(count) % 4 == 0, [f"p{i}" for i in range(count)], ("Mass",))
    for dirichlet in (3, 30):
        split = draw(images, 160, 1, images_per_client=[25], dirichlet=dirichlet)
        place = {i: p for p, i in enumerate(images.image_ids)}
        rates = [images.labels[[place[i] for i in ids]].mean() for ids in split.folds.values()]
        assert np.mean(rates) == pytest.approx(0.25, abs=0.03)
        assert np.var(rates) == pytest.approx(0.25 * 0.75 / (dirichlet + 1), rel=0.3)


def test_clients_share_what_there_is_of_a_rare_class():
    images = make(np.arange(1000) < 10, [f"p{i}" for i in range(1000)], ("Hernia",))
    split = draw(images, 5, 3, dirichlet=0.2)
    assert sizes(split) == [200] * 5
    assert sum(int(i < "i00010") for ids in split.folds.values() for i in ids) == 10


def test_image_classes():
    nan = np.nan
    rows = [[1, 1, 0], [1, 0, 0], [0, 0, 0], [nan, 0, 0], [nan, 1, 1], [1, nan, 0], [0, 0, 0]]
    rows += [[0, 0, 0], [1, 0, 0]]
    classes, names = clients.image_classes(make(rows, "abcdefghi"))
    # Effusion is there four times, Mass twice, Hernia once.
    assert [names[c] for c in classes] == [
        "Mass", "Effusion", "healthy", "other", "Hernia", "Effusion", "healthy", "healthy",
        "Effusion",
    ]  # fmt: skip
    assert set(names) == {"Mass", "Hernia", "other", "Effusion", "healthy"}
    assert [int((classes == c).sum()) for c in range(5)] == [1, 1, 1, 3, 3]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_clients": 1}, "2 clients or more, got 1"),
        ({"images_per_client": [5000]}, "3 clients want 15000 images, and there are 5"),
        ({"images_per_client": [5, 5]}, "images_per_client must be 3 numbers above 0.* got 5, 5"),
        ({"images_per_client": [0]}, "above 0"),
        ({"shares": [1, 2, 0]}, "shares must be 3 numbers above 0.* got 1, 2, 0"),
        ({"shares": [1, 2, float("nan")]}, "shares must be 3 numbers above 0"),
        ({"shares": [1, 1, 1], "images_per_client": [1]}, "not from both"),
        ({"dirichlet": 0}, "dirichlet must be above 0, got 0"),
        ({"dirichlet": float("inf")}, "dirichlet must be above 0"),
        ({"shares": [1000, 1, 1000]}, "client_01 would have no patient"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        clients.draw(POOL, **{"num_clients": 3, "seed": 1, **arguments})


@pytest.mark.parametrize("dirichlet", [None, 0.3])
def test_sizes_that_patients_cannot_make_up(dirichlet):
    images = make(np.zeros(20), np.arange(20) // 10, ("Mass",))
    assert sizes(draw(images, 2, 1, images_per_client=[10], dirichlet=dirichlet)) == [10, 10]
    with pytest.raises(ValueError, match="exactly 12, 8 images could not be made .* 2 patients"):
        clients.draw(images, 2, 1, images_per_client=[12, 8], dirichlet=dirichlet)
