import numpy as np
import pytest
import tiny_records

from pgan.data import labels
from pgan.data import pool as pool_lib
from pgan.data.pool import Pool

NAN = np.nan


def pool(rows, findings=("Mass", "Pleural Thickening"), **facts):
    """Images with their labels; `facts` are lists of each image's group, view or sex."""
    count = len(rows)
    return Pool(
        image_ids=[f"i{number}" for number in range(count)],
        patient_ids=[f"p{number // 2}" for number in range(count)],
        labels=np.array(rows, np.float32),
        findings=findings,
        extras=[{name: values[i] for name, values in facts.items()} for i in range(count)],
    )


ROWS = [[0, 0], [1, 0], [0.4, NAN], [0.5, 1], [NAN, 1], [NAN, NAN]]


@pytest.mark.parametrize(
    "word, name, members",
    [
        ("healthy", "healthy", [1, 0, 0, 0, 0, 0]),
        ("No_finding", "healthy", [1, 0, 0, 0, 0, 0]),
        ("ANY", "any", [1, 1, 1, 1, 1, 1]),
        ("mass", "Mass", [0, 1, 0, 1, 0, 0]),
        ("pleural_thickening ", "Pleural Thickening", [0, 0, 0, 1, 1, 0]),
        ("group=Normal", "group=normal", [1, 0, 1, 0, 0, 0]),
        ("view=PA", "view=PA", [1, 1, 0, 0, 0, 0]),
        (" View = ap", "view=AP", [0, 0, 1, 1, 1, 0]),
        ("sex=f", "sex=F", [0, 1, 0, 1, 0, 1]),
    ],
)
def test_classes(word, name, members):
    images = pool(
        ROWS,
        group=["normal", "", "normal", "opacity", "opacity", ""],
        view=["PA", "PA", "AP", "AP", "AP", ""],
        sex=["M", "F"] * 3,
    )
    assert images.class_name(word) == name
    assert images.members(word).tolist() == [bool(member) for member in members]


def test_unknown_classes():
    with pytest.raises(
        ValueError, match="'Cat'. Known are: Mass, .* 'any', 'group=...', 'view=...' or 'sex="
    ):
        pool(ROWS).members("Cat")
    with pytest.raises(ValueError, match="group 'cat'; there are: none"):
        pool(ROWS).members("group=cat")
    with pytest.raises(ValueError, match="there are: group=normal, group=opacity"):
        pool(ROWS, group=["opacity", "normal", *[""] * 4]).members("group=cat")
    with pytest.raises(ValueError, match="No image has the view 'lateral'; there are: view=AP, "):
        pool(ROWS, view=["PA", "AP", *[""] * 4]).members("view=lateral")
    with pytest.raises(ValueError, match="No image has the sex ''; there are: none"):
        pool(ROWS, sex=[""] * 6).members("sex=")


def test_healthy_is_a_class_of_chexpert():
    rows = np.zeros((3, 14))
    rows[0, 0], rows[1, 5], rows[2, 1] = 1, 1, NAN
    images = pool(rows, labels.CHEXPERT_14)
    for word in ("healthy", "No Finding"):
        assert images.members(word).tolist() == [True, False, False]


def test_order_depends_on_seed_and_ids_alone():
    images = pool(ROWS)
    backwards = Pool(images.image_ids[::-1], images.patient_ids[::-1], images.labels, (), [{}] * 6)
    first = {p: [images.image_ids[i] for i in own] for p, own in images.by_patient(1).items()}
    second = {
        p: [backwards.image_ids[i] for i in own] for p, own in backwards.by_patient(1).items()
    }
    assert list(first.items()) == list(second.items())
    assert sorted(first) == ["p0", "p1", "p2"]
    assert {tuple(images.by_patient(seed)) for seed in range(20)} > {tuple(first)}
    # Splits are repeated from their seed: this must not change.
    assert [name for own in first.values() for name in own] == ["i2", "i3", "i5", "i4", "i1", "i0"]


def test_select():
    chosen = pool(ROWS, view=["PA", "AP", *["PA"] * 4]).select(np.array([0, 1, 0, 0, 0, 1], bool))
    assert len(chosen) == 2
    assert chosen.num_patients == 2
    assert (chosen.image_ids, chosen.patient_ids) == (["i1", "i5"], ["p0", "p2"])
    np.testing.assert_array_equal(chosen.labels, [[1, 0], [NAN, NAN]])
    assert chosen.members("view=PA").tolist() == [False, True]


def test_of_records(tmp_path):
    records = tiny_records.build(tmp_path / "tiny")
    images = Pool.of_records(records, "val")
    assert images.image_ids == records.record_ids("val")
    assert images.patient_ids == records.patient_ids("val")
    np.testing.assert_array_equal(images.labels, records.label_matrix("val"))
    assert images.values_of("sex") == ["F"] * 6 and images.values_of("view") == [""] * 6
    first = images.radiographs()[0]
    assert (first.image_id, first.patient_id) == (images.image_ids[0], images.patient_ids[0])


@pytest.mark.parametrize(
    "total, parts, expected",
    [
        (6000, [2, 3], [2400, 3600]),
        (10, [1, 1, 1], [4, 3, 3]),
        (10, [5, 3, 1, 1, 1], [4, 3, 1, 1, 1]),
        (7, [0.1, 0.2, 0.7], [1, 1, 5]),
        (0, [1, 2], [0, 0]),
    ],
)
def test_apportion(total, parts, expected):
    assert pool_lib.apportion(total, parts) == expected
