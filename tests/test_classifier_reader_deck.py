"""Which images a deck has, what its files say, and what would betray them."""

import collections
import dataclasses
import io
import json

import numpy as np
import pytest
import tiny_readers
from PIL import Image

from classifier import reader_checks, reader_deck, reader_items, reader_page

_RESOLUTIONS = (16, 32)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return tiny_readers.sources(tmp_path_factory.mktemp("records"))


@pytest.fixture(scope="module")
def items(sources):
    return reader_items.draw(sources, _RESOLUTIONS, 5, seed=1, progress=False)


def test_real_and_synthetic_are_balanced_at_every_resolution(items):
    counts = collections.Counter((item.resolution, item.origin) for item in items)
    assert counts == {(r, o): 5 for r in _RESOLUTIONS for o in ("real", "synthetic")}


def test_no_patient_and_no_image_comes_twice(items):
    patients = [item.image_id.rsplit("-", 1)[0] for item in items]
    assert len(set(patients)) == len(items) == 20
    assert len({item.name for item in items}) == 20


def test_items_are_images_of_their_records(sources, items):
    for item in items:
        source = sources[item.origin == "synthetic"]
        _, patient, k = item.image_id.split("-")
        original = tiny_readers.noise([int(patient), int(k), item.origin == "synthetic"], 256)
        factor = 32 // item.resolution
        means = original.reshape(item.resolution, factor, item.resolution, factor).mean((1, 3))
        np.testing.assert_array_equal(item.pixels, np.rint(means))
        assert item.source == source.records.name
        assert item.findings == (("Effusion",) if int(patient) % 2 else ())
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(item.png))), item.pixels)


def test_draw_is_a_function_of_the_seed(sources, items):
    again = reader_items.draw(sources, _RESOLUTIONS, 5, seed=1, progress=False)
    other = reader_items.draw(sources, _RESOLUTIONS, 5, seed=2, progress=False)
    assert [item.name for item in again] == [item.name for item in items]
    assert not {item.name for item in other} & {item.name for item in items}


def test_excluded_images_are_replaced_by_other_patients_and_the_rest_stays(sources, items):
    exclude = {items[3].name, items[11].name, items[12].name}
    again = reader_items.draw(sources, _RESOLUTIONS, 5, 1, exclude=exclude, progress=False)
    kept = {item.name for item in items} - exclude
    assert len(again) == 20 and kept < {item.name for item in again}
    assert not exclude & {item.name for item in again}
    assert len({item.image_id.rsplit("-", 1)[0] for item in again}) == 20
    counts = collections.Counter((item.resolution, item.origin) for item in again)
    assert set(counts.values()) == {5}


def test_what_cannot_be_excluded(sources, items):
    with pytest.raises(ValueError, match="--exclude names 0123, which is no image of this deck"):
        reader_items.draw(sources, _RESOLUTIONS, 5, 1, exclude=["0123"], progress=False)
    full = reader_items.draw(sources, (16, 32), 10, 1, progress=False)
    with pytest.raises(ValueError, match="no further patients"):
        reader_items.draw(sources, (16, 32), 10, 1, exclude=[full[0].name], progress=False)


@pytest.mark.parametrize("resolution", _RESOLUTIONS)
def test_files_do_not_tell_real_from_synthetic(items, resolution):
    files = [item.png for item in items if item.resolution == resolution]
    assert len({len(file) for file in files}) == 1
    for file in files:
        chunks, place = [], 8
        while place < len(file):
            length = int.from_bytes(file[place : place + 4], "big")
            chunks.append(file[place + 4 : place + 8])
            place += length + 12
        assert set(chunks) == {b"IHDR", b"IDAT", b"IEND"}
        assert Image.open(io.BytesIO(file)).mode == "L"


@pytest.mark.parametrize("size", [64, 100, 1024])
def test_size_of_a_file_is_that_of_any_content(size):
    flat = np.zeros((size, size), np.uint8)
    rough = np.random.default_rng(0).integers(0, 256, (size, size)).astype(np.uint8)
    assert len(reader_items.encode(flat)) == len(reader_items.encode(rough))


def test_deck_says_nothing_of_the_answers(items):
    deck = reader_deck.deck(items, reader_deck.Rules(), tiny_readers.READERS)
    text = json.dumps(deck)
    for item in items:
        assert item.name in text and item.image_id not in text
    assert set(deck) == {
        "format", "deck", "title", "mode", "seconds", "zoom", "confidence", "reasons",
        "resolutions", "readers", "items",
    }  # fmt: skip
    assert deck["items"]["16"] == sorted(deck["items"]["16"])
    assert deck["resolutions"] == [16, 32]
    assert deck["readers"] == {"cv1": {"group": "vision"}, "rad1": {"group": "radiology"}}
    assert len(deck["deck"]) == 16 and set(deck["deck"]) <= set("0123456789abcdef")


def test_another_rule_is_another_deck(items):
    decks = [
        reader_deck.deck(items, reader_deck.Rules(seconds=seconds), tiny_readers.READERS)["deck"]
        for seconds in (30, 30, 20)
    ]
    assert decks[0] == decks[1] != decks[2]


def test_key_tells_each_item(items):
    key = reader_deck.key("abc", items)
    assert (key["format"], key["deck"]) == ("reader key 1", "abc")
    for item in items:
        entry = key["items"][item.name]
        assert entry["origin"] == item.image_id.split("-")[0].replace("phantom", "real")
        assert entry["image_id"] == item.image_id and entry["resolution"] == item.resolution
        assert isinstance(entry["findings"], list) and entry["source"] == item.source


@pytest.mark.parametrize(
    ("resolutions", "count", "message"),
    [
        (
            (16, 32),
            11,
            "take 22 patients.*40 images of 20 patients, which is 10 at each.*--count=10",
        ),
        ((16, 64), 2, "have no 64 px .*4, 8, 16, 32.*build_records.py --max_resolution=64"),
        ((16, 16), 2, "different ones"),
        ((16,), 0, "--count=0"),
    ],
)
def test_decks_that_the_data_do_not_give(sources, resolutions, count, message):
    with pytest.raises(ValueError, match=message):
        reader_items.draw(sources, resolutions, count, seed=1, progress=False)


def test_sources_of_other_resolutions(sources, tmp_path):
    small = tiny_readers.build(tmp_path / "small", "synthetic")
    small.resolutions = (4, 8, 16)
    with pytest.raises(ValueError, match="synthetic images of .*no 32 px.*synthesize_images.py"):
        reader_items.draw(
            [sources[0], reader_items.Source(small, "all", "synthetic")],
            (32,),
            2,
            1,
            progress=False,
        )


def test_the_same_image_in_both_sets_is_refused(sources):
    real = sources[0]
    twin = dataclasses.replace(real, origin="synthetic")
    with pytest.raises(ValueError, match="are the same image"):
        reader_items.draw([real, twin], (16,), 20, 1, progress=False)


def test_small_images_cannot_be_masked(sources):
    with pytest.raises(ValueError, match="from 128 px on"):
        reader_items.draw(sources, (16,), 2, 1, mask_markers=True, progress=False)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mode": "free"}, "timed, unrestricted"),
        ({"seconds": 0}, "at least 1"),
        ({"seconds": None}, "at least 1"),
        ({"mode": "unrestricted"}, "no limit"),
        ({"reasons": ("ribs",)}, "vessels, bones.*'ribs'"),
    ],
)
def test_rules_are_checked(values, message):
    with pytest.raises(ValueError, match=message):
        reader_deck.Rules(**values)


@pytest.mark.parametrize(
    ("codes", "groups", "message"),
    [
        ([], [], "--readers=cv1"),
        (["a b"], [], "'a b'"),
        (["cv1", "CV1"], [], "twice"),
        (["cv1"], ["cv2=vision"], "'cv2=vision'"),
        (["cv1"], ["vision"], "<reader>=<group>"),
    ],
)
def test_readers_are_checked(codes, groups, message):
    with pytest.raises(ValueError, match=message):
        reader_deck.parse_readers(codes, groups)


def test_readers_without_a_group():
    found = reader_deck.parse_readers(["cv1", "rad1"], ["rad1=radiology"])
    assert found == {"cv1": "", "rad1": "radiology"}


def test_orders_differ_by_reader_and_do_not_mix_resolutions(items):
    deck = reader_deck.deck(items, reader_deck.Rules(), tiny_readers.READERS)
    first, second = (reader_page.order(deck, reader, 1) for reader in ("cv1", "rad1"))
    assert [block["resolution"] for block in first] == [16, 32]
    for one, two in zip(first, second, strict=True):
        assert sorted(one["items"]) == deck["items"][str(one["resolution"])]
        assert sorted(one["items"]) == sorted(two["items"])
        assert one["items"] != two["items"] and one["items"] != sorted(one["items"])
    assert first == reader_page.order(deck, "cv1", 1) != reader_page.order(deck, "cv1", 2)


def test_unrestricted_readers_see_high_resolutions_first(items):
    rules = reader_deck.Rules(mode="unrestricted", seconds=None)
    deck = reader_deck.deck(items, rules, tiny_readers.READERS)
    assert [block["resolution"] for block in reader_page.order(deck, "cv1", 1)] == [32, 16]


def test_masking_covers_both_origins_alike(tmp_path, monkeypatch):
    monkeypatch.setattr(reader_items.markers, "SMALLEST", 16)
    monkeypatch.setattr(reader_items.markers, "mask", lambda image: (image // 2, image > 0))
    both = tiny_readers.sources(tmp_path)
    plain = reader_items.draw(both, (32,), 4, 1, progress=False)
    masked = reader_items.draw(both, (32,), 4, 1, mask_markers=True, progress=False)
    of_image = {item.image_id: item.pixels for item in plain}
    for item in masked:
        np.testing.assert_array_equal(item.pixels, of_image[item.image_id] // 2)


def test_simple_statistics_give_darker_images_away(tmp_path):
    real = tiny_readers.build(tmp_path / "real", "phantom")
    dark = tiny_readers.build(tmp_path / "dark", "synthetic", brightest=128)
    pair = [
        reader_items.Source(real, "all", "real"),
        reader_items.Source(dark, "all", "synthetic"),
    ]
    found = reader_checks.separation(reader_items.draw(pair, (32,), 20, 1, progress=False))
    assert found[32]["mean"] == found[32]["maximum"] == 0.0
    warnings = reader_checks.giveaways(found, 20)
    assert any("mean" in text and "smaller" in text and "AUC 0.00" in text for text in warnings)
    assert not reader_checks.giveaways(found, 3)  # three of each can differ by chance


def test_alike_images_are_no_giveaway(items):
    found = reader_checks.separation(items)
    assert set(found) == set(_RESOLUTIONS)
    assert all(0 <= auc <= 1 for values in found.values() for auc in values.values())
    assert reader_checks.giveaways({32: dict.fromkeys(reader_checks.STATISTICS, 0.7)}, 50) == []


def test_border_is_the_outermost_pixels():
    image = np.zeros((8, 8))
    image[1:-1, 1:-1] = 9
    assert reader_checks.STATISTICS["border mean"](image) == 0
    assert reader_checks.STATISTICS["border sd"](np.pad(image, 1, constant_values=4)) == 0
    assert reader_checks.STATISTICS["grey levels"](image) == 2


def test_sets_of_the_wrong_origin(sources):
    real, synthetic = (source.records for source in sources)
    with pytest.raises(ValueError, match="--records wants real images"):
        reader_checks.require_alike(synthetic, synthetic, False, True)
    with pytest.raises(ValueError, match="--synthetic wants synthetic images; .* are phantom"):
        reader_checks.require_alike(real, real, False, True)


def test_markers_must_be_covered_or_allowed(sources):
    real, synthetic = (source.records for source in sources)
    with pytest.raises(ValueError, match="build_records.py --mask_markers .* or --allow_markers"):
        reader_checks.require_alike(real, synthetic, False, False)
    assert any(
        "not covered" in text for text in reader_checks.require_alike(real, synthetic, False, True)
    )
    covered = reader_checks.require_alike(real, synthetic, True, False)
    assert not any("not covered" in text for text in covered)


@pytest.mark.parametrize("masked", [False, True])
def test_generators_of_otherwise_prepared_images_are_refused(sources, tmp_path, masked):
    prepared = {"geometry": "pad", "mask_markers": masked, "window": None}
    synthetic = tiny_readers.build(
        tmp_path / "set", "synthetic", 2, provenance={"training_records": {"preparation": prepared}}
    )
    real = sources[0].records
    if masked:
        with pytest.raises(ValueError, match="--mask_markers=True"):
            reader_checks.require_alike(real, synthetic, True, True)
    else:
        warnings = reader_checks.require_alike(real, synthetic, True, True)
        assert not any("not known" in text for text in warnings)
