"""Files of a reader study: what is read, and every way in which a file can be wrong."""

import json

import pytest
import tiny_reader_studies as tiny

from classifier import reader_answers


@pytest.fixture
def deck(tmp_path):
    return tiny.write_deck(tmp_path / "deck", images=3)


def _load(deck, *contents, **options):
    paths = [
        tiny.write(deck / "answers" / f"{number}.json", content)
        for number, content in enumerate(contents)
    ]
    return reader_answers.load_study(deck, deck, paths, **options)


def test_study_is_read(deck):
    contents = [tiny.answers(deck, code) for code in reversed(tiny.GROUPS)]
    study = _load(deck, *contents)
    assert list(study.answers) == list(tiny.GROUPS)
    assert study.deck.items[256][:2] == ("256-000", "256-001")
    assert study.key["256-001"]["origin"] == "synthetic"
    assert study.answers["r2"].by_item["512-003"]["milliseconds"] == 4000
    assert study.unfinished == study.absent == () and not study.simulated


def test_a_folder_of_answers_is_read(deck):
    for code in tiny.GROUPS:
        tiny.write(deck / "saved" / f"{code}.json", tiny.answers(deck, code))
    assert len(reader_answers.load_study(deck, deck, [deck / "saved"]).answers) == 6
    (deck / "nothing").mkdir()
    with pytest.raises(FileNotFoundError, match=r"nothing holds no \*.json"):
        reader_answers.load_study(deck, deck, [deck / "nothing"])
    with pytest.raises(ValueError, match="no answers were given"):
        reader_answers.load_study(deck, deck, [])


def _edited(content):
    content["answers"][0]["answer"] = "real"
    content["answers"][1]["answer"] = "real"
    return content


def _signed(change):
    def changed(content):
        change(content)
        return tiny.sign(content)

    return changed


def _set(name, value):
    return _signed(lambda content: content.__setitem__(name, value))


def _set_first(name, value):
    return _signed(lambda content: content["answers"][0].__setitem__(name, value))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_edited, "0.json was changed after the page had saved it"),
        (_set("deck", "ff00"), "0.json answers deck ff00, this is ab12"),
        (_set("reader", "r9"), "'r9', whom the deck does not have .it has r1, r2"),
        (_set("reader", ["r1"]), "whom the deck does not have"),
        (_set("mode", "unrestricted"), "read as 'unrestricted', the deck is 'timed'"),
        (_set("background", None), "no background"),
        (_set("format", "reader answers 2"), "'reader answers 2', not 'reader answers 1'"),
        (_set_first("item", "256-999"), "answers an image '256-999' that the deck does not have"),
        (_set_first("item", ["x"]), "that the deck does not have"),
        (_set_first("item", "256-001"), "answers image 256-001 twice"),
        (_set_first("resolution", 512), "resolution 512, the deck shows it at 256 px"),
        (_set_first("answer", "fake"), "answer 'fake' is neither"),
        (_set_first("confidence", 6), "confidence 6 is not 1 to 5"),
        (_set_first("confidence", True), "confidence True is not 1 to 5"),
        (_set_first("milliseconds", -1), "milliseconds -1 is not a whole number"),
        (_set_first("position", None), "position None is not a whole number"),
        (_set_first("reasons", "waves"), "reasons 'waves' are no list of texts"),
        (_set("background", {"reloads": 1.5}), "reloads 1.5 is not a whole number"),
        (_set("background", {"pixel_ratio": 0}), "pixel_ratio 0 is not a number above 0"),
        (_set("background", {"scales": [1]}), "scales .1. are not a number above 0 for each"),
        (_set("background", {"scales": {"256": "1"}}), "scales .* are not a number above 0"),
    ],
)  # fmt: skip
def test_files_of_answers_that_are_wrong(deck, change, message):
    content = change(tiny.answers(deck, "r1"))
    with pytest.raises(ValueError, match=message):
        _load(deck, content, allow_incomplete=True)


def test_every_wrong_file_is_told_at_once(deck):
    contents = [_edited(tiny.answers(deck, code)) for code in ("r1", "r2")]
    with pytest.raises(ValueError, match="0.json was changed(.|\n)*1.json was changed"):
        _load(deck, *contents)


def test_files_that_are_no_answers(deck, tmp_path):
    text = tmp_path / "text.json"
    text.write_text("no JSON")
    with pytest.raises(ValueError, match="text.json is no JSON"):
        reader_answers.load_study(deck, deck, [text])
    with pytest.raises(ValueError, match="deck.json has the format 'reader deck 1', not"):
        reader_answers.load_study(deck, deck, [deck / "deck.json"])
    with pytest.raises(FileNotFoundError, match="there is no .*none.json; wanted is a reader's"):
        reader_answers.load_study(deck, deck, [tmp_path / "none.json"])
    with pytest.raises(FileNotFoundError, match="wanted is the deck of tools/build_reader_study"):
        reader_answers.load_study(tmp_path, deck, [])
    with pytest.raises(FileNotFoundError, match="wanted is the key of tools/build_reader_study"):
        reader_answers.load_study(deck, tmp_path, [])


def test_readers_that_come_twice(deck):
    first, other = tiny.answers(deck, "r1"), tiny.answers(deck, "r1", wrong=["256-000"])
    with pytest.raises(ValueError, match="0.json and .*1.json are copies; give one"):
        _load(deck, first, first, allow_incomplete=True)
    with pytest.raises(ValueError, match="are both of reader r1; .* give the first"):
        _load(deck, first, other, allow_incomplete=True)
    path = deck / "answers" / "0.json"
    with pytest.raises(ValueError, match="0.json was given twice"):
        reader_answers.load_study(deck, deck, [path, path], allow_incomplete=True)


def test_incomplete_studies_are_scored_only_when_asked_for(deck):
    contents = [tiny.answers(deck, code) for code in list(tiny.GROUPS)[:5]]
    contents[1] = tiny.answers(deck, "r2", skipped=["256-000", "512-005"])
    with pytest.raises(ValueError, match="reader r2 was shown 10 of 12 images.\nLet the readers"):
        _load(deck, *contents)
    study = _load(deck, *contents, allow_incomplete=True)
    assert len(study.unfinished) == 1 and len(study.answers) == 5 and study.absent == ("r6",)


def test_images_that_an_unfinished_reading_has_not_shown(deck):
    # As the page saves it: every image, those to come without an answer and time.
    content = tiny.answers(deck, "r1", timed_out=["256-000", "256-001", "512-005"])
    for place, milliseconds in ((1, 29_999), (-1, 0)):
        content["answers"][place]["milliseconds"] = milliseconds
    study = _load(deck, tiny.sign(content))
    assert len(study.answers["r1"].by_item) == 12  # finished: left open on purpose
    study = _load(deck, tiny.sign({**content, "finished": None}), allow_incomplete=True)
    names = {one["item"] for one in content["answers"]}
    assert names - set(study.answers["r1"].by_item) == {"256-001", "512-005"}
    assert "was shown 10 of 12" in study.unfinished[0]


def test_readers_without_a_group_are_one(tmp_path):
    deck = tiny.write_deck(tmp_path / "deck", images=3, groups={"r1": "", "r2": ""})
    assert reader_answers.load_deck(deck).readers == {"r1": "readers", "r2": "readers"}


def test_keys_that_do_not_fit(deck, tmp_path):
    other = tiny.write_deck(tmp_path / "other", images=3, deck_id="cd34")
    with pytest.raises(ValueError, match="is the key of deck cd34, the deck is ab12"):
        reader_answers.load_study(deck, other, [])
    key = json.loads((deck / "key.json").read_text())
    del key["items"]["256-000"]
    (deck / "key.json").write_text(json.dumps(key))
    with pytest.raises(ValueError, match="do not name the same images"):
        reader_answers.load_study(deck, deck, [])
    key["items"]["256-000"] = {"resolution": 512, "origin": "real"}
    (deck / "key.json").write_text(json.dumps(key))
    with pytest.raises(ValueError, match="has no origin .* of image 256-000"):
        reader_answers.load_study(deck, deck, [])


def test_damaged_decks(deck):
    path = deck / "deck.json"
    whole = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in whole.items() if k != "readers"}))
    with pytest.raises(ValueError, match="deck.json is damaged .KeyError: 'readers'"):
        reader_answers.load_deck(deck)
    path.write_text(json.dumps({**whole, "items": {"256": ["a", "a"]}}))
    with pytest.raises(ValueError, match="has 2 images, 1 of them different"):
        reader_answers.load_deck(deck)
