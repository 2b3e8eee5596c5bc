"""The text of a reader's page; tests/test_classifier_reader_browser.py uses it in a browser."""

import dataclasses
import html.parser
import json
import pathlib
import re

import pytest
import tiny_readers

from classifier import reader_deck, reader_items, reader_page

_SOURCES = sorted(pathlib.Path(reader_page.__file__).parent.glob("reader_*.js"))


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    sources = tiny_readers.sources(tmp_path_factory.mktemp("records"))
    return reader_items.draw(sources, (16, 32), 3, seed=1, progress=False)


def _page(items, reader="cv1", **rules):
    deck = reader_deck.deck(items, reader_deck.Rules(**rules), tiny_readers.READERS)
    images = {item.name: f"AAAA{item.name}" for item in items}
    blocks = reader_page.order(deck, reader, 1)
    return "".join(reader_page.parts(deck, reader, blocks, images))


class _Scripts(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.inside = [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.inside = dict(attrs).get("id", "code")

    def handle_endtag(self, tag):
        if tag == "script":
            self.inside = None

    def handle_data(self, data):
        if self.inside:
            self.scripts[self.inside] = data


def test_answers_are_not_in_the_page(items):
    """Apart from the texts for readers, which are the same for any deck."""
    text = _page(items)
    for item in items:
        assert item.name in text
        assert item.image_id not in text and item.image_id.rsplit("-", 1)[0] not in text
    study = _Scripts(text).scripts["study"].replace("Real or synthetic radiographs", "")
    assert items[0].name in study
    assert not re.search("origin|image_id|findings|source|synthetic|real", study)
    swapped = [
        dataclasses.replace(
            item,
            origin="real" if item.origin == "synthetic" else "synthetic",
            image_id="other",
            findings=("Mass",),
            source="elsewhere",
        )
        for item in items
    ]
    assert _page(swapped) == text


def test_page_holds_what_its_reader_may_know(items):
    study = json.loads(_Scripts(_page(items, "rad1", seconds=12)).scripts["study"])
    assert set(study) == {
        "deck", "title", "mode", "seconds", "zoom", "confidence", "reasons", "reader", "group",
        "blocks",
    }  # fmt: skip
    assert (study["reader"], study["group"], study["seconds"]) == ("rad1", "radiology", 12)
    assert "cv1" not in json.dumps(study)


def test_images_stand_in_the_order_of_their_names(items):
    places = re.findall('<script id="image-([0-9a-f]+)"', _page(items))
    assert places == sorted(item.name for item in items)


def test_a_title_cannot_end_its_element(items):
    title = "</script><script>alert(1)</script>"
    study = json.loads(_Scripts(_page(items, title=title)).scripts["study"])
    assert study["title"] == title


def test_page_needs_no_network(items):
    text = _page(items)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub("(?m)^ *//.*", "", text))
    for tag, attributes in _Scripts(text).tags:
        assert "src" not in attributes or tag == "img"
        assert attributes.get("href", "data:,") == "data:,"
    assert "default-src 'none'" in text


@pytest.mark.parametrize("path", _SOURCES, ids=lambda path: path.name)
def test_scripts_are_for_browsers_of_2017(path):
    """Not a parser: what is easily written by mistake."""
    code = re.sub(r"(?m)//.*$", "", path.read_text(encoding="utf-8"))
    newer = (
        r"\?\.[a-zA-Z(\[]|\?\?|\{ *\.\.\.|\.flat\(|\.flatMap\(|\.at\(|matchAll|replaceAll|"
        r"globalThis|fromEntries|allSettled|catch *\{|\bimport\b|\bexport\b|await|fetch\(|"
        r"crypto|#[a-z]+ *=|\d_\d|\d+n\b"
    )
    assert re.findall(newer, code) == []


def test_digest_covers_all_but_itself():
    content = {"b": [1, None], "a": "ü"}
    # echo -n '{"a":"\u00fc","b":[1,null]}' | sha256sum
    digest = "9d57496cc00f5bc8e497bb536b5910e6d35ca5ec7384dd44272f95ce0ad31c4d"
    assert reader_page.canonical(content) == '{"a":"\\u00fc","b":[1,null]}'
    assert reader_page.digest(content) == reader_page.digest({**content, "digest": "x"}) == digest
    assert reader_page.digest({**content, "a": "u"}) != digest


def test_a_page_is_whole_or_absent(tmp_path):
    def broken():
        yield "<html>"
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        reader_page.write(tmp_path / "page.html", broken())
    assert list(tmp_path.iterdir()) == []
