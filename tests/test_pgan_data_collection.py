import csv

import numpy as np
import pytest
from PIL import Image

from pgan.data import collection, dicom, image_files
from pgan.data.radiograph import Radiograph


@pytest.fixture
def paths(tmp_path):
    """Five files: three good ones of 16x12 px, one cut off, one that is no image."""
    result = {}
    for name in ("a", "b", "c", "cut", "text"):
        path = tmp_path / f"{name}.png"
        Image.fromarray(np.full((12, 16), 90, np.uint8)).save(path)
        result[name] = str(path)
    path = tmp_path / "cut.png"
    path.write_bytes(path.read_bytes()[:-5])
    (tmp_path / "text.png").write_text("Dear colleague, " * 20)
    return result


def rows(*names):
    return [Radiograph(name, "p", np.zeros(1, np.float32), extras={"age": 40}) for name in names]


def test_join_gives_rows_their_files(paths, tmp_path):
    images = collection.join(rows(*paths), paths, tmp_path, window="minmax")
    assert [image.path for image in images] == list(paths.values())
    with pytest.raises(ValueError, match="one grey value"):  # asked for minmax
        images[0].load()


def test_check_sets_broken_images_aside(paths, tmp_path):
    images = collection.join(rows(*paths), paths, tmp_path)
    with pytest.raises(ValueError) as caught:
        collection.check(images, max_bad=1)
    message = str(caught.value)
    assert "cut.png is cut off" in message and "text.png cannot be read" in message
    assert "2 broken images, --max_bad=1 are allowed" in message
    kept, left_out = collection.check(images, max_bad=2)
    assert [image.image_id for image in kept] == ["a", "b", "c"]
    assert [(one.image_id, one.broken) for one in left_out] == [("cut", True), ("text", True)]
    size = (tmp_path / "a.png").stat().st_size
    assert kept[0].stamp == f"{size} bytes, window auto"


def test_what_is_no_radiograph_is_left_out_whatever_the_number(paths, tmp_path, monkeypatch):
    probe = image_files.probe

    def refuse(path, window):
        if path == paths["b"]:
            raise dicom.Refused(f"{path} is a lateral view")
        return probe(path, window)._replace(extras={"age": 70, "view": "PA"})

    monkeypatch.setattr(image_files, "probe", refuse)
    images = collection.join(rows("a", "b"), paths, tmp_path, allow_missing=True)
    kept, left_out = collection.check(images)
    assert left_out == [collection.SetAside("b", f"{paths['b']} is a lateral view", False)]
    assert kept[0].extras == {"age": 40, "view": "PA"}  # the table goes before the header
    with pytest.raises(ValueError, match="No image is left. The first: .*lateral view"):
        collection.check(images[1:])


@pytest.mark.parametrize("geometry, fits", [("pad", 16), ("crop", 12), ("stretch", 12)])
def test_small_images_are_found_before_anything_is_made(paths, tmp_path, geometry, fits):
    images = collection.join(rows("a"), paths, tmp_path, allow_missing=True)
    assert len(collection.check(images, fits, geometry)[0]) == 1
    with pytest.raises(
        ValueError, match=f"a.png: the image has 16x12 px, less than the {fits + 1}"
    ):
        collection.check(images, fits + 1, geometry)


def test_the_listing_names_what_was_left_out(tmp_path):
    left_out = [
        collection.SetAside("a", 'x/a.png, "cut" off', True),
        collection.SetAside("b", "lateral", False),
    ]
    collection.write_listing(tmp_path / "left_out.csv", left_out)
    with open(tmp_path / "left_out.csv", newline="") as file:
        assert list(csv.reader(file)) == [
            ["image", "broken", "reason"],
            ["a", "1", 'x/a.png, "cut" off'],
            ["b", "0", "lateral"],
        ]


def test_many_broken_images_are_counted_and_some_named(tmp_path):
    names = [f"{i}.png" for i in range(9)]
    for name in names:
        (tmp_path / name).write_text("x")
    images = collection.join(rows(*names), {n: str(tmp_path / n) for n in names}, tmp_path)
    with pytest.raises(ValueError) as caught:
        collection.check(images)
    assert str(caught.value).count("cannot be read") == collection.LISTED
    assert "and 4 more." in str(caught.value) and "9 broken images" in str(caught.value)
