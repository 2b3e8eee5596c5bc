"""Deck, pages, key and release on disk."""

import csv
import io
import json
import stat

import numpy as np
import pytest
import tiny_readers
from PIL import Image

from classifier import reader_deck, reader_files, reader_items, reader_page


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    sources = tiny_readers.sources(tmp_path_factory.mktemp("records"))
    return reader_items.draw(sources, (16, 32), 3, seed=1, progress=False)


def _deck(items, **rules):
    return reader_deck.deck(items, reader_deck.Rules(**rules), tiny_readers.READERS)


def _write(folder, items, deck=None):
    return reader_files.write(
        folder / "deck", folder / "keys" / "key.json", deck or _deck(items), items, 1, False
    )


def _files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_deck_has_a_page_for_each_reader_and_no_key(items, tmp_path):
    pages = _write(tmp_path, items)
    assert sorted(_files(tmp_path / "deck")) == ["deck.json", "reader_cv1.html", "reader_rad1.html"]
    assert json.loads((tmp_path / "deck" / "deck.json").read_text()) == _deck(items)
    for page in pages:
        assert reader_page.read_images(page) == {item.name: item.png for item in items}
    for content in _files(tmp_path / "deck").values():
        assert not any(item.image_id.encode() in content for item in items)


def test_only_its_owner_reads_the_key(items, tmp_path):
    _write(tmp_path, items)
    path = tmp_path / "keys" / "key.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == reader_deck.key(_deck(items)["deck"], items)
    assert [file.name for file in path.parent.iterdir()] == ["key.json"]


def test_the_same_deck_is_written_again(items, tmp_path):
    pages = _write(tmp_path, items)
    before = _files(tmp_path / "deck")
    pages[0].unlink()
    _write(tmp_path, items)
    assert _files(tmp_path / "deck") == before


def test_another_deck_is_not_overwritten(items, tmp_path):
    _write(tmp_path, items)
    before = _files(tmp_path / "deck")
    with pytest.raises(ValueError, match="holds another deck .* give another --output"):
        _write(tmp_path, items, _deck(items, seconds=7))
    assert _files(tmp_path / "deck") == before
    (tmp_path / "deck").rename(tmp_path / "old")
    with pytest.raises(ValueError, match="is the key of another deck"):
        _write(tmp_path, items, _deck(items, seconds=7))
    assert not (tmp_path / "deck").exists()


def test_folder_with_something_else(items, tmp_path):
    (tmp_path / "deck").mkdir()
    (tmp_path / "deck" / "thesis.doc").touch()
    with pytest.raises(ValueError, match="not empty and holds no deck"):
        _write(tmp_path, items)


def test_key_that_is_no_key(items, tmp_path):
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "key.json").write_text('{"format": "shopping list"}')
    with pytest.raises(ValueError, match="is not the key of a reader study"):
        _write(tmp_path, items)


@pytest.mark.parametrize("key", ["deck/key.json", "deck/sub/key.json", "other/../deck/key.json"])
def test_key_must_not_lie_with_the_deck(items, tmp_path, key):
    with pytest.raises(ValueError, match="lies in the folder of the deck"):
        reader_files.write(tmp_path / "deck", tmp_path / key, _deck(items), items, 1, False)
    assert list(tmp_path.iterdir()) == []


def test_release_shows_images_and_answers(items, tmp_path):
    _write(tmp_path, items)
    release = reader_files.release(
        tmp_path / "deck", tmp_path / "keys" / "key.json", tmp_path / "public", progress=False
    )
    with open(release / "answers.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(items) == 12
    assert [int(row["resolution"]) for row in rows] == [16] * 6 + [32] * 6
    of_name = {item.name: item for item in items}
    for row in rows:
        item = of_name[row["path"].split("/")[-1].removesuffix(".png")]
        assert row["path"] == f"images/{item.resolution:04d}/{item.name}.png"
        assert row["answer"] == item.origin and row["findings"] == "|".join(item.findings)
        image = Image.open(io.BytesIO((release / row["path"]).read_bytes()))
        np.testing.assert_array_equal(np.asarray(image), item.pixels)
        assert image.text.get("synthetic") == ("true" if item.origin == "synthetic" else None)
    assert len(list(release.rglob("*.png"))) == 12
    everything = b"".join(p.read_bytes() for p in release.rglob("*") if p.is_file())
    assert b"rad1" not in everything
    assert not any(item.image_id.encode() in everything for item in items)


def test_release_needs_the_right_key_and_a_new_folder(items, tmp_path):
    _write(tmp_path, items)
    _write(tmp_path / "other", items, _deck(items, seconds=9))
    right, wrong = (folder / "keys" / "key.json" for folder in (tmp_path, tmp_path / "other"))
    target = tmp_path / "public"
    with pytest.raises(ValueError, match="is the key of deck"):
        reader_files.release(tmp_path / "deck", wrong, target, progress=False)
    with pytest.raises(ValueError, match="nothing.json is not there"):
        reader_files.release(tmp_path / "deck", tmp_path / "nothing.json", target, progress=False)
    with pytest.raises(ValueError, match="is not the deck|deck.json is not there"):
        reader_files.release(tmp_path, right, target, progress=False)
    assert not target.exists()
    target.mkdir()
    with pytest.raises(ValueError, match="--release a new folder"):
        reader_files.release(tmp_path / "deck", right, target, progress=False)
