"""Sampling from an export in Python."""

import shutil
import types

import numpy as np
import pytest
import tensorflow as tf
import tiny_runs

from pgan import synthesis


@pytest.fixture(scope="module")
def export_path(tmp_path_factory):
    return tiny_runs.make_export(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def generator(export_path):
    return synthesis.load(str(export_path))


def test_three_lines_give_images(generator):
    images = generator.sample({"Mass": 1, "Hernia": 0.5}, seeds=range(16))
    assert images.shape == (16, 8, 8) and images.dtype == np.uint8
    assert len(np.unique(images.reshape(16, -1), axis=0)) == 16


def test_images_are_the_same_at_any_batch_size_and_call(generator):
    images = generator.sample({"Mass": 1}, seeds=range(20), indices=7, batch_size=20)
    for batch_size in (1, 3, 16):
        again = generator.sample({"Mass": 1}, range(20), indices=7, batch_size=batch_size)
        np.testing.assert_array_equal(again, images)
    one = generator.sample(["Mass"], seeds=11, indices=7)
    np.testing.assert_array_equal(one[0], images[11])


def test_seed_and_index_are_two_things(generator):
    a = generator.sample("Mass", seeds=0, indices=range(3))
    b = generator.sample("Mass", seeds=range(3), indices=0)
    np.testing.assert_array_equal(a[0], b[0])
    assert (a[1] != b[1]).any()


def test_every_way_to_name_findings_means_the_same(generator):
    wanted = generator.sample({"pleural_thickening": 0.5}, seeds=range(2))
    vector = np.array([0, 0.5, 0], np.float32)
    for findings in ("Pleural Thickening=0.5", vector, np.stack([vector, vector])):
        np.testing.assert_array_equal(generator.sample(findings, seeds=range(2)), wanted)
    assert (generator.sample("No Finding", seeds=range(2)) != wanted).any()


def test_no_seed_gives_no_image(generator):
    assert generator.sample("Mass", seeds=[]).shape == (0, 8, 8)


@pytest.mark.parametrize(
    "findings, message",
    [
        ({"Fracture": 1}, "'Fracture'. Known are: Mass, Pleural Thickening, Hernia"),
        ({"Mass": 1.5}, r"'Mass' must be in \[0, 1\], got 1.5"),
        ("Mass=-1", r"'Mass' must be in \[0, 1\]"),
        (np.array([0, 0, 2.0]), r"in \[0, 1\], got values from 0.0 to 2.0"),
        (np.array([0, np.nan, 1]), r"in \[0, 1\]"),
        (np.zeros(14), r"must have shape \[3\] or \[N, 3\], got \(14,\)"),
    ],
)
def test_wrong_findings_are_refused(generator, findings, message):
    with pytest.raises(ValueError, match=message):
        generator.sample(findings, seeds=[0])


def test_numbers_that_do_not_fit_together_are_refused(generator):
    with pytest.raises(ValueError, match="2 seeds, 1 indices and 3 label vectors"):
        generator.sample(np.zeros((3, 3)), seeds=[0, 1])
    with pytest.raises(ValueError, match="seeds must be whole numbers"):
        generator.sample("Mass", seeds=[0.5])


@pytest.mark.parametrize("size, kind", [(32, tf.uint8), (16, tf.float32)])
def test_a_graph_that_draws_other_images_than_its_card_says_is_refused(generator, size, kind):
    def draw(seeds, indices, labels):
        return {"images": tf.zeros([len(seeds), size, size, 1], kind)}

    card = {**generator.card, "resolution": 16}
    model = types.SimpleNamespace(signatures={"from_seeds": draw})
    other = synthesis.ExportedGenerator(model, card)
    with pytest.raises(ValueError, match=r"drew .*where its card says uint8 \[2, 16, 16, 1\]"):
        other.sample(np.zeros([2, len(other.findings)]), seeds=0)


def test_a_path_that_is_no_export_is_refused(export_path, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"did you mean {export_path}"):
        synthesis.load(export_path.parent)
    with pytest.raises(FileNotFoundError, match="export_generator.py writes"):
        synthesis.load(tmp_path)


def test_a_damaged_export_is_refused(export_path, tmp_path):
    copy = tmp_path / "1"
    shutil.copytree(export_path, copy)
    data = copy / "variables" / "variables.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[100] ^= 1
    data.write_bytes(content)
    with pytest.raises(ValueError, match="data-00000-of-00001 is damaged"):
        synthesis.load(copy)
    data.unlink()
    with pytest.raises(ValueError, match="data-00000-of-00001 is missing"):
        synthesis.load(copy)
