import numpy as np
import pytest

from pgan.data import quotas, splits
from pgan.data.pool import Pool

FINDINGS = ("Pneumonia", "Hernia", "Pleural Thickening")


def pool(rows):
    """Images (patient, findings)."""
    return Pool(
        image_ids=[f"i{number:05d}" for number in range(len(rows))],
        patient_ids=[patient for patient, _ in rows],
        labels=np.array([[name in shown for name in FINDINGS] for _, shown in rows], np.float32),
        findings=FINDINGS,
        extras=[{}] * len(rows),
    )


def like_rsna():
    """As many exams and positives as the challenge has, of patients with one to five exams."""
    generator = np.random.default_rng(0)
    patients = np.sort(generator.choice(12000, 26684))
    positive = set(generator.permutation(26684)[:6012])
    return pool([(f"p{p}", ["Pneumonia"] if i in positive else []) for i, p in enumerate(patients)])


def draw(images, *texts, seed=1):
    split = quotas.draw(images, [quotas.parse(text) for text in texts], seed)
    splits.check_by_patient(
        split.folds, dict(zip(images.image_ids, images.patient_ids, strict=True))
    )
    return split


def count(images, split, fold, word):
    chosen = np.isin(images.image_ids, split.folds[fold])
    return int((images.members(word) & chosen).sum())


@pytest.mark.parametrize(
    "text, fold, counts",
    [
        ("train: 950 healthy + 50 Pneumonia", "train", {"healthy": 950, "Pneumonia": 50}),
        ("train:5 Pleural Thickening", "train", {"Pleural Thickening": 5}),
        ("a: 6000 of healthy:Pneumonia 2:3", "a", {"healthy": 2400, "Pneumonia": 3600}),
        ("a: 10 of x y:group=normal 1 : 2", "a", {"x y": 3, "group=normal": 7}),
        ("a: 7 of any 1", "a", {"any": 7}),
        ("a: 8 of view=PA:view=AP 3:1", "a", {"view=PA": 6, "view=AP": 2}),
        ("a: rest", "a", {}),
    ],
)
def test_parse(text, fold, counts):
    assert quotas.parse(text) == quotas.Quota(fold, counts)
    assert quotas.parse(str(quotas.parse(text))) == quotas.Quota(fold, counts)


@pytest.mark.parametrize(
    "text, message",
    [
        ("950 healthy", "needs a fold's name and a colon, got '950 healthy'. Write 'train: 950"),
        ("train: healthy", "Cannot read the quota"),
        ("train: 9 healthy + ", "Cannot read the quota"),
        ("train: 9 healthy, 3 Mass + x", "Cannot read the quota"),
        ("train: -9 healthy", "Cannot read the quota"),
        ("train: 10 of a:b 1:2:3", "2 classes and 3 parts"),
        ("train: 10 of a:b 0:0", "2 classes and 2 parts"),
        ("train: 10 of a:b 0:1", "number above 0"),
        ("train: 0 healthy", "number above 0"),
        ("train: 1 a + 2 a", "named once"),
    ],
)
def test_parse_refuses(text, message):
    with pytest.raises(ValueError, match=message):
        quotas.parse(text)


def test_the_papers_sets():
    images = like_rsna()
    split = draw(images, "train: 950 healthy + 50 pneumonia", "test: 6000 of healthy:Pneumonia 2:3")
    assert {fold: len(ids) for fold, ids in split.folds.items()} == {"train": 1000, "test": 6000}
    assert count(images, split, "train", "Pneumonia") == 50
    assert count(images, split, "test", "healthy") == 2400
    assert split.settings == {
        "method": "quota",
        "seed": 1,
        "quotas": ["train: 950 healthy + 50 Pneumonia", "test: 2400 healthy + 3600 Pneumonia"],
        "patients": "drawn",
    }


def test_a_draw_is_a_function_of_seed_and_ids():
    images = like_rsna().select(np.arange(26684) < 2000)
    backwards = Pool(
        images.image_ids[::-1],
        images.patient_ids[::-1],
        images.labels[::-1],
        images.findings,
        images.extras,
    )
    texts = ("train: 95 healthy + 5 pneumonia", "test: 60 of healthy:Pneumonia 2:3")
    first, second = draw(images, *texts), draw(backwards, *texts)
    assert {f: set(ids) for f, ids in first.folds.items()} == {
        f: set(ids) for f, ids in second.folds.items()
    }
    assert first.folds != draw(images, *texts, seed=2).folds
    # Folds list their images in the pool's order.
    assert [i for i in images.image_ids if i in first.folds["test"]] == first.folds["test"]


def test_an_image_counts_once():
    images = pool([(f"p{i}", ["Pneumonia", "Hernia"]) for i in range(10)])
    split = draw(images, "a: 6 Pneumonia + 4 Hernia")
    assert len(set(split.folds["a"])) == 10
    with pytest.raises(ValueError, match="got 5. .* 5 were taken as another class"):
        draw(images, "a: 6 Pneumonia + 5 Hernia")


def test_scarce_classes_come_first():
    # Every patient is healthy once; only three have a hernia, and both folds want some of them.
    rows = [(f"p{i}", []) for i in range(40)] + [(f"p{i}", ["Hernia"]) for i in range(3)]
    for seed in range(20):
        images = pool(rows)
        split = draw(images, "a: 20 healthy + 1 Hernia", "b: 15 healthy + 2 Hernia", seed=seed)
        assert count(images, split, "b", "Hernia") == 2
        assert split.settings["patients"] == "drawn"


def test_where_little_is_left_images_are_not_wasted():
    # All images of the class are wanted: whoever has two must not be cut.
    rows = [(f"p{i // 2}", ["Hernia"]) for i in range(20)] + [("q", ["Hernia"]), ("r", ["Hernia"])]
    images, chosen = pool(rows), 0
    for seed in range(20):
        split = draw(images, "a: 7 Hernia", "b: 15 Hernia", seed=seed)
        assert {fold: len(ids) for fold, ids in split.folds.items()} == {"a": 7, "b": 15}
        chosen += split.settings["patients"] == "chosen"
    assert chosen > 0


def test_where_little_is_left_patients_are_spared():
    # Fold b needs all that show pneumonia, so fold a must find its hernias with the others.
    rows = [(f"p{i}", ["Hernia"]) for i in range(10)]
    rows += [(f"p{i}", ["Pneumonia"]) for i in range(5)]
    for seed in range(20):
        split = draw(pool(rows), "a: 5 Hernia", "b: 5 Pneumonia", seed=seed)
        assert len(split.folds["a"]) == len(split.folds["b"]) == 5


def test_rest_has_all_images_of_all_other_patients():
    images = like_rsna().select(np.arange(26684) < 300)
    split = draw(images, "train: rest", "test: 20 Pneumonia")
    assert list(split.folds) == ["train", "test"]
    of = dict(zip(images.image_ids, images.patient_ids, strict=True))
    tested = {of[i] for i in split.folds["test"]}
    assert split.folds["train"] == [i for i in images.image_ids if of[i] not in tested]
    assert len(draw(images, "everything: rest").folds["everything"]) == 300


@pytest.mark.parametrize(
    "texts, message",
    [
        (
            ["a: 4 Hernia", "b: 3 Hernia"],
            "fold 'b': wanted 3 of 'Hernia', got 2. There are 6 such images of 6 patients; all "
            "folds together want 7 .* and 4 are of patients that other folds have taken. Ask",
        ),
        (["a: 1 Pleural Thickening"], "wanted 1 of 'Pleural Thickening', got 0. There are 0 such"),
        (["a: 1 Cat"], "Unknown finding 'Cat'"),
        (["a: 1 hernia + 1 Hernia"], "names a class twice"),
        (["a: 1 Hernia", "a: 1 healthy"], "A fold is named twice"),
        (["a/b: 1 Hernia"], "name of a fold must be"),
        (["a: rest", "b: rest"], "Only one fold can have the rest"),
        (["a: 10 any", "b: rest"], "no patients left for 'b: rest'"),
    ],
)
def test_refused(texts, message):
    rows = [(f"p{i}", ["Hernia"] if i < 6 else []) for i in range(10)]
    with pytest.raises(ValueError, match=message):
        draw(pool(rows), *texts)


@pytest.mark.parametrize("seed", range(30))
def test_random_quotas_are_exact(seed):
    """Quotas read off folds that were drawn by patient can be filled, so they have to be."""
    generator = np.random.default_rng(seed)
    rows = []
    for patient in range(60):
        for _ in range(generator.choice([1, 1, 1, 2, 2, 3, 5])):
            shown = [name for name in FINDINGS if generator.random() < 0.15]
            rows.append((f"p{patient}", shown))
    images = pool(rows)
    of = np.array(images.patient_ids)
    part = {p: generator.choice(["a", "b", ""]) for p in set(images.patient_ids)}
    texts, wanted = [], {}
    for fold in ("a", "b"):
        there = np.array([part[p] == fold for p in of])
        used, counts = np.zeros(len(of), bool), {}
        for word in ("Hernia", "Pneumonia", "healthy"):
            members = images.members(word) & there & ~used
            used |= members
            counts[word] = max(int(0.8 * members.sum()), 1)
        texts.append(f"{fold}: " + " + ".join(f"{n} {word}" for word, n in counts.items()))
        wanted[fold] = sum(counts.values())
    split = draw(images, *texts, seed=seed)
    assert {fold: len(ids) for fold, ids in split.folds.items()} == wanted
