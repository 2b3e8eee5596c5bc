"""The search for the nearest images by SSIM: as good as all pairs, and it goes on when ended."""

import json

import numpy as np
import pytest
import tiny_chests
from scipy import ndimage

from pgan.search import pair_ssim, reference_index, sieves, similar_images


@pytest.fixture(scope="module")
def chests():
    """400 phantoms, their patients, and the reference of them."""
    images, patients = tiny_chests.chests()
    return images, patients, similar_images.Reference(images, groups=patients.tolist())


@pytest.fixture(scope="module")
def queries():
    """Other patients, as they are and blurred, uint8 [20, 64, 64]."""
    plain = tiny_chests.strangers()[:10]
    blurred = ndimage.gaussian_filter(plain.astype(np.float32), (0, 1.5, 1.5))
    return np.concatenate([plain, np.rint(blurred).astype(np.uint8)])


def _nearest(*arguments, **settings):
    return similar_images.nearest(*arguments, progress=False, **settings)


def _exhaustive(*arguments, **settings):
    return similar_images.exhaustive(*arguments, progress=False, **settings)


def _reference(count=40, **settings):
    return similar_images.Reference(tiny_chests.chests()[0][:count], **settings)


@pytest.fixture(scope="module")
def truth(chests, queries):
    return _exhaustive(queries, chests[2], 3)


def test_all_pairs_are_compared(chests, queries, truth):
    images, _, reference = chests
    for number in (0, 19):
        values = pair_ssim.scores(pair_ssim.terms(queries[number]), images)
        order = np.argsort(-values, kind="stable")[:3]
        np.testing.assert_array_equal(truth.positions[number], order)
        np.testing.assert_array_equal(truth.ssim[number], values[order])
    assert truth.computed.tolist() == [400] * 20
    assert truth.ids.tolist() == truth.positions.astype(str).tolist()


def test_a_shortlist_of_all_finds_all(chests, queries, truth):
    found = _nearest(queries, chests[2], 3, shortlist=1000, most_computed=8)
    assert found.computed.tolist() == [400] * 20
    np.testing.assert_array_equal(found.positions, truth.positions)
    np.testing.assert_array_equal(found.ssim, truth.ssim)
    assert similar_images.recall(found, truth) == 1.0


def test_a_short_shortlist_finds_most(chests, queries, truth):
    found = _nearest(queries, chests[2], 3, shortlist=40, most_computed=16)
    assert similar_images.recall(found, truth) >= 0.9
    assert found.computed.max() <= 16
    assert found.vector_rank.max() < 40 and found.window_rank.max() < 16
    # By chance, 40 of 400 would hold a tenth of them.
    assert np.median(found.vector_rank) < 10
    margins = found.margins()
    assert margins["vector_rank_last"] == found.vector_rank.max()
    assert margins["window_rank_99"] <= margins["window_rank_last"] < 16
    assert margins["cut_off"] == np.mean(found.computed == 16)


def test_a_copy_is_found_first(chests):
    images, _, reference = chests
    found = _nearest(images[5:400:50], reference, 3, shortlist=20, most_computed=8)
    assert found.positions[:, 0].tolist() == list(range(5, 400, 50))
    np.testing.assert_allclose(found.ssim[:, 0], 1.0, rtol=0, atol=1e-14)
    assert (np.diff(found.ssim, axis=1) <= 0).all() and (found.ssim[:, 1] < 0.999).all()
    # Nothing else is within reach of it, so that SSIM of few images is computed.
    alone = _nearest(images[5:400:50], reference, 1, shortlist=256)
    np.testing.assert_array_equal(alone.positions[:, 0], found.positions[:, 0])
    assert alone.computed.tolist() == [pair_ssim.many(images.shape[1:])] * 8


def test_the_own_patient_is_left_out(chests):
    images, patients, reference = chests
    chosen = np.arange(0, 400, 25)
    groups = patients[chosen].tolist()
    truth = _exhaustive(images[chosen], reference, 2, query_groups=groups)
    found = _nearest(images[chosen], reference, 2, query_groups=groups)
    np.testing.assert_array_equal(found.positions, truth.positions)
    assert not (patients[found.positions] == patients[chosen][:, np.newaxis]).any()
    members = np.array([np.sum(patients == group) for group in groups])
    np.testing.assert_array_equal(truth.computed, 400 - members)


def test_leaving_out_leaves_enough_to_choose_from():
    """Also where nearly all of the reference is of the own patient."""
    images = tiny_chests.chests()[0][:40]
    groups = ["own"] * 37 + ["a", "b", "c"]
    reference = similar_images.Reference(images, groups=groups)
    found = _nearest(images[:2], reference, 3, shortlist=8, query_groups=["own", "own"])
    assert np.sort(found.positions, axis=1).tolist() == [[37, 38, 39]] * 2
    with pytest.raises(ValueError, match="k must be 1 to 3, the images to choose from: 4"):
        _nearest(images[:2], reference, 4, query_groups=["own", "own"])


def test_of_copies_in_the_reference_the_first_is_taken():
    images = tiny_chests.chests()[0][:30]
    twice = similar_images.Reference(np.concatenate([images, images]))
    found = _nearest(images[4:7], twice, 3)
    assert found.positions[:, :2].tolist() == [[4, 34], [5, 35], [6, 36]]
    np.testing.assert_array_equal(_exhaustive(images[4:7], twice, 3).positions, found.positions)


def test_recall_counts_equally_near_images():
    images = tiny_chests.chests()[0][:30]
    reference = similar_images.Reference(np.concatenate([images, images]))
    truth = _exhaustive(images[:4], reference, 1)
    backwards = similar_images.Reference(np.concatenate([images[1:], images[:1], images]))
    found = _exhaustive(images[:4], backwards, 1)
    assert (found.positions != truth.positions).any()
    assert similar_images.recall(found, truth) == 1.0
    far = similar_images.Reference(images[4:])
    assert similar_images.recall(_exhaustive(images[:4], far, 1), truth) == 0.0
    with pytest.raises(ValueError, match=r"searches of \(4, 2\) and \(4, 1\) queries"):
        similar_images.recall(_exhaustive(images[:4], reference, 2), truth)


def test_flat_images_are_searched_too():
    images = tiny_chests.chests()[0][:20].copy()
    images[3], images[9] = 0, 200
    found = _nearest(images[[3, 9, 0]], similar_images.Reference(images), 1)
    assert found.positions[:, 0].tolist() == [3, 9, 0]


def test_ids_name_the_neighbours(chests):
    images, _, _ = chests
    names = [f"record{i:03d}" for i in range(40)]
    found = _nearest(images[[7, 30]], _reference(ids=names), 1)
    assert found.ids.tolist() == [["record007"], ["record030"]]


# Going on


class EndedError(Exception):
    """Stands for a kill."""


@pytest.fixture
def counted(monkeypatch):
    """Blocks of 4 queries and 16 reference images; counts which are computed.

    Returns:
        List that gets "query" and "index" for each block; set its `ends_at` to end there.
    """

    class Counted(list):
        ends_at = None

        def count(self, what, function):
            def counting(*arguments):
                if self.ends_at == (what, super(Counted, self).count(what)):
                    raise EndedError
                self.append(what)
                return function(*arguments)

            return counting

    done = Counted()
    monkeypatch.setattr(similar_images, "_BLOCK", 4)
    monkeypatch.setattr(reference_index, "_BLOCK", 16)
    monkeypatch.setattr(sieves.Sieves, "block", done.count("query", sieves.Sieves.block))
    described = done.count("index", reference_index.describe)

    def describe(grid, project, images, executor):
        # Queries are described too, by another function of the projection.
        one = described if project.__name__ == "references" else reference_index_describe
        return one(grid, project, images, executor)

    reference_index_describe = reference_index.describe
    monkeypatch.setattr(reference_index, "describe", describe)
    return done


def _searched(folder, count=40):
    """A search of 10 queries whose blocks are kept."""
    reference = _reference(count, folder=folder / "index")
    return _nearest(tiny_chests.strangers()[:10], reference, 2, folder=folder / "search")


def test_a_killed_search_goes_on(counted, tmp_path):
    whole = _searched(tmp_path / "whole")
    assert counted == ["index"] * 3 + ["query"] * 3
    folder = tmp_path / "parts"
    for where in (("index", 1), ("query", 0), ("query", 2)):
        counted.clear()
        counted.ends_at = where
        with pytest.raises(EndedError):
            _searched(folder)
    # The last of these found the index whole, and had two blocks to do.
    assert counted == ["query"] * 2
    counted.clear()
    counted.ends_at = None
    parts = _searched(folder)
    assert counted == ["query"]
    for name in ("positions", "ssim", "vector_rank", "window_rank", "computed", "ids"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    assert parts.settings == whole.settings


def test_missing_blocks_only_are_made_again(counted, tmp_path):
    first = _searched(tmp_path)
    counted.clear()
    _searched(tmp_path)
    assert counted == []
    (tmp_path / "search" / "block_000001.npz").unlink()
    (tmp_path / "index" / "block_000002.npz").unlink()
    again = _searched(tmp_path)
    assert counted == ["index", "query"]
    np.testing.assert_array_equal(again.ssim, first.ssim)


def test_blocks_do_not_matter(counted, monkeypatch):
    in_blocks = _nearest(tiny_chests.strangers()[:10], _reference(), 2)
    assert len(counted) == 6
    monkeypatch.undo()
    at_once = _nearest(tiny_chests.strangers()[:10], _reference(), 2)
    np.testing.assert_array_equal(in_blocks.positions, at_once.positions)
    np.testing.assert_array_equal(in_blocks.ssim, at_once.ssim)


def test_a_folder_belongs_to_one_search(tmp_path):
    images = tiny_chests.strangers()
    reference = _reference(groups=["a"] * 20 + ["b"] * 20)
    folder = tmp_path / "search"
    _nearest(images[:4], reference, 2, folder=folder)
    begun = f"{folder} was begun with "
    for arguments, settings, message in (
        ((images[:4], reference, 3), {}, begun + "k 2 instead of 3; give another folder"),
        ((images[:4], reference, 2), {"most_computed": 8}, begun + "most_computed"),
        ((images[1:5], reference, 2), {}, begun + "queries"),
        ((images[:4], _reference(41), 2), {}, begun + "most_computed 40 instead of 41, reference"),
        ((images[:4], reference, 2), {"query_groups": ["a"] * 4}, begun + "groups None instead"),
    ):
        with pytest.raises(ValueError) as error:
            _nearest(*arguments, folder=folder, **settings)
        assert str(error.value).startswith(message)
    # With other patients of the same references, another search.
    own = {"query_groups": ["a"] * 4, "folder": tmp_path / "groups"}
    _nearest(images[:4], reference, 2, **own)
    with pytest.raises(ValueError, match="was begun with groups"):
        _nearest(images[:4], _reference(groups=["a"] * 10 + ["b"] * 30), 2, **own)


def test_an_index_belongs_to_its_images(tmp_path):
    _reference(folder=tmp_path).index(progress=False)
    with pytest.raises(ValueError, match="was begun with reference"):
        _reference(39, folder=tmp_path).index(progress=False)
    with pytest.raises(ValueError, match="components 16 sample 4096"):
        _reference(folder=tmp_path, components=16).index(progress=False)
    kept = _reference(folder=tmp_path).index(progress=False)
    made = _reference().index(progress=False)
    np.testing.assert_array_equal(kept.statistics, made.statistics)
    np.testing.assert_array_equal(kept.vectors, made.vectors)


def test_queries_may_be_anything_with_slices(tmp_path):
    class Slices:
        fingerprint = "of the maker"

        def __len__(self):
            return 5

        def __getitem__(self, part):
            return tiny_chests.strangers()[:5][part]

    found = _nearest(Slices(), _reference(), 2, folder=tmp_path)
    expected = _nearest(tiny_chests.strangers()[:5], _reference(), 2)
    np.testing.assert_array_equal(found.positions, expected.positions)
    assert found.settings["queries"] == "of the maker"
    assert json.loads((tmp_path / "settings.json").read_text()) == found.settings


# Wrong arguments


@pytest.mark.parametrize("search", [_nearest, _exhaustive])
def test_wrong_arguments(search):
    images = tiny_chests.chests()[0]
    reference = _reference()
    grouped = _reference(groups=["a"] * 40)
    small = np.zeros((2, 32, 32), np.uint8)
    for queries, where, k, settings, message in (
        (small, reference, 1, {}, "queries of 32x32 px and a reference of 64x64 px; SSIM needs"),
        (images[:0], reference, 1, {}, r"at least one; got uint8 \[0, 64, 64\]"),
        (images[0], reference, 1, {}, r"queries must be uint8 \[Q, H, W\].*got uint8 \[1, 64\]"),
        (images[:2] / 255, reference, 1, {}, "got float64"),
        (images[:2], reference, 0, {}, "k must be 1 to 40, the images to choose from: 0"),
        (images[:2], reference, 41, {}, "k must be 1 to 40, the images to choose from: 41"),
        (images[:2], reference, 1, {"query_groups": ["a", "b"]}, "groups; got 2 and none"),
        (images[:2], grouped, 1, {"query_groups": ["a"]}, "2 queries .* got 1 and 40"),
        (images[:2], grouped, 1, {"query_groups": ["a", "b"]}, "k must be 1 to 0"),
    ):
        with pytest.raises(ValueError, match=message):
            search(queries, where, k, **settings)


def test_wrong_references():
    images = tiny_chests.chests()[0][:4]
    with pytest.raises(ValueError, match=r"reference images must be uint8 .* got float64 \[4, 64,"):
        similar_images.Reference(images / 255)
    with pytest.raises(ValueError, match=r"at least one; got uint8 \[0, 64, 64\]"):
        similar_images.Reference(images[:0])
    with pytest.raises(ValueError, match="3 ids for 4 reference images"):
        similar_images.Reference(images, ids=["a", "b", "c"])
    with pytest.raises(ValueError, match="1 groups for 4 reference images"):
        similar_images.Reference(images, groups=["a"])
    with pytest.raises(ValueError, match="smaller than SSIM's window"):
        similar_images.Reference(images[:, :8])
