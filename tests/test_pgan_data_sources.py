import json

import numpy as np
import pytest
from PIL import Image

from pgan.data import labels, sources, splits
from pgan.data.radiograph import Radiograph


@pytest.fixture
def nih(tmp_path):
    (tmp_path / "images").mkdir()
    lines = ["Image Index,Finding Labels,Patient ID"]
    for number, finding in enumerate(("Effusion", "No Finding", "Hernia")):
        name = f"{number:08d}_000.png"
        Image.fromarray(np.full((8, 8), 90, np.uint8)).save(tmp_path / "images" / name)
        lines.append(f"{name},{finding},{number}")
    (tmp_path / "Data_Entry_2017.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_labels_in_the_vocabulary_asked_for(nih):
    own = sources.read("nih", nih)
    assert (own.findings, own.origin) == (labels.NIH_14, "real")
    assert own.provenance == {"window": "auto"}
    shared = sources.read("nih", nih, findings=["shared_7"], window="minmax")
    assert shared.findings == labels.SHARED_7
    present = [labels.present(image.labels, shared.findings) for image in shared.images]
    assert present == [["Effusion"], [], []]
    named = sources.read("nih", nih, findings=["Hernia", " pleural effusion"])
    assert [image.labels.tolist() for image in named.images] == [[0, 1], [0, 0], [1, 0]]
    with pytest.raises(ValueError, match="not labelled: Fracture"):
        sources.read("nih", nih, findings=["Fracture"])


def test_drawings_in_a_native_layout_are_no_real_images(nih):
    (nih / "PHANTOM.json").write_text(json.dumps({}))
    assert sources.read("nih", nih).origin == "phantom"


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"name": "mimic"}, "one of nih, chexpert, rsna, folder, got 'mimic'"),
        ({"name": "folder"}, "say it, for instance --findings"),
        ({"name": "rsna", "csv_path": "a.csv"}, "--csv is for nih and folder"),
    ],
)
def test_refused(nih, arguments, message):
    with pytest.raises(ValueError, match=message):
        sources.read(root=nih, **arguments)


def source(official=0):
    images = [
        Radiograph(f"i{n}", f"p{n // 2}", np.zeros(1, np.float32)) for n in range(20 + official)
    ]
    return sources.Source(images[:20], images[20:], ("Mass",), "real", {})


def test_official_validation_images_are_in_no_drawn_fold():
    everything = sources.split(source(4), [], None, False).folds
    assert {fold: len(ids) for fold, ids in everything.items()} == {"train": 20, "official_val": 4}
    drawn = sources.split(source(4), [], 3, False).folds
    assert set(drawn) == {*splits.FOLDS, "official_val"}
    assert drawn["official_val"] == ["i20", "i21", "i22", "i23"]
    assert sum(len(drawn[fold]) for fold in splits.FOLDS) == 20


def test_folds_without_official_images():
    assert set(sources.split(source(), [], None, False).folds) == set(splits.FOLDS)
    lists = [[f"i{n}" for n in numbers] for numbers in (range(10), range(10, 16), range(16, 20))]
    assert sources.split(source(), lists, None, False).folds["val"] == lists[1]
