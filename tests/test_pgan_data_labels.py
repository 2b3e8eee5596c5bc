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
