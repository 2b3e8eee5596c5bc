import numpy as np
import pytest

from pgan.data import labels


def test_nih_order_is_the_classifiers():
    assert len(labels.NIH_14) == len(set(labels.NIH_14)) == 14
    assert labels.NIH_14[:4] == ("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration")
    assert labels.NIH_14[-2:] == ("Pleural Thickening", "Hernia")


@pytest.mark.parametrize("name", ["Pleural_Thickening", " PLEURAL thickening"])
def test_find_takes_spellings(name):
    assert labels.find(name, labels.NIH_14) == 12


def test_find_names_the_unknown_and_the_known():
    with pytest.raises(ValueError, match="'Covid'.*Atelectasis, Cardiomegaly"):
        labels.find("Covid", labels.NIH_14)


def test_encode():
    findings = ("A", "B", "C")
    assert labels.encode(["C", "a"], findings).tolist() == [1, 0, 1]
    assert labels.encode({"B": 0.25}, findings).tolist() == [0, 0.25, 0]
    assert labels.encode(["No Finding"], findings).tolist() == [0, 0, 0]
    assert labels.encode([], findings).dtype == np.float32


@pytest.mark.parametrize(
    "values, message",
    [
        (["A", "a"], "twice"),
        (["A", "No Finding"], "beside"),
        ({"A": 1.5}, "1.5"),
        ({"A": float("nan")}, "nan"),
        ({"No Finding": 0.5}, "strength"),
        ("A", "list of names"),
    ],
)
def test_encode_refuses(values, message):
    with pytest.raises(ValueError, match=message):
        labels.encode(values, ("A", "B"))


def test_parse():
    vector = labels.parse("Cardiomegaly=1, effusion=0.5,Mass", labels.NIH_14)
    assert labels.present(vector, labels.NIH_14) == ["Cardiomegaly", "Effusion", "Mass"]
    assert vector[2] == 0.5
    assert not labels.parse("No_Finding", labels.NIH_14).any()


@pytest.mark.parametrize("text", ["", "Mass,,Nodule", "Mass=big", "Mass=-1", "Masses"])
def test_parse_refuses(text):
    with pytest.raises(ValueError):
        labels.parse(text, labels.NIH_14)


def test_vocabularies():
    assert len(labels.CHEXPERT_14) == 14 and labels.CHEXPERT_14[0] == "No Finding"
    assert len(labels.SHARED_7) == 7
    for vocabulary in (labels.SHARED_7, labels.PNEUMONIA):
        for own in (labels.NIH_14, labels.CHEXPERT_14):
            identity = labels.project(np.eye(14, dtype=np.float32), own, vocabulary)
            assert identity.shape == (14, len(vocabulary))
            assert identity.sum(0).tolist() == [1] * len(vocabulary)


def test_project_goes_by_the_common_name_and_keeps_the_unknown():
    row = np.arange(14, dtype=np.float32) / 14
    row[7] = np.nan
    names = dict(zip(labels.CHEXPERT_14, row, strict=True))
    shared = labels.project(row, labels.CHEXPERT_14, labels.SHARED_7)
    assert shared[labels.SHARED_7.index("Effusion")] == names["Pleural Effusion"]
    assert shared[0] == names["Cardiomegaly"]
    assert np.isnan(shared[labels.SHARED_7.index("Pneumonia")])
    back = labels.project(row[None], labels.CHEXPERT_14, ("pleural_effusion", "Fracture"))
    assert back.tolist() == [[names["Pleural Effusion"], names["Fracture"]]]


def test_project_refuses_what_is_not_labelled():
    with pytest.raises(ValueError, match="not labelled: Hernia. Labelled are: No Finding"):
        labels.project(np.zeros(14), labels.CHEXPERT_14, ("Edema", "Hernia"))


def test_no_finding_is_a_class_where_the_vocabulary_says_so():
    vector = labels.encode(["No Finding", "Support Devices"], labels.CHEXPERT_14)
    assert labels.present(vector, labels.CHEXPERT_14) == ["No Finding", "Support Devices"]
    assert labels.parse("no_finding=0.5", labels.CHEXPERT_14)[0] == 0.5


def test_is_healthy():
    rows = np.float32([[0, 0], [0.4, 0], [0, 1], [np.nan, 0]])
    assert labels.is_healthy(rows, ("A", "B")).tolist() == [True, True, False, False]
    assert labels.is_healthy(rows, ("A", "No Finding")).tolist() == [False, False, True, False]
