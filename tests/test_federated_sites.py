"""The file of sites, and what sites' manifests say."""

import json

import pytest
import tiny_federations
import tiny_records

from federated import sites
from pgan.data import splits

_NORTH = "[north]\naddress = localhost:10001\nrecords = /srv/records/\n"


def _write(tmp_path, text):
    path = tmp_path / "sites.cfg"
    path.write_text(text)
    return str(path)


def test_reads_sites_in_their_order(tmp_path):
    text = (
        _NORTH
        + "[a-site]\naddress = unix:/run/a.sock  # a tunnel\nrecords = /r\nfold = halves/first\n"
    )
    north, other = sites.read_config(_write(tmp_path, text), "train")
    assert north == sites.Site(0, "north", "localhost:10001", "/srv/records", "train")
    assert north.fold_path == "/srv/records/folds/train.txt" and north.split_path is None
    assert (other.number, other.address) == (1, "unix:/run/a.sock")
    assert other.fold_path == "/r/splits/halves/first.txt"
    assert other.split_path == "/r/splits/halves/split.json"


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "names no site"),
        ("north\n", "cannot be read"),
        (_NORTH + _NORTH, "already exists"),
        (_NORTH + _NORTH.replace("north", "south"), "the address localhost:10001 twice"),
        ("[north]\nrecords = /srv\n", r"\[north\] of .* has no line 'address"),
        ("[north]\naddress = localhost:1\n", "has no line 'records"),
        (_NORTH + "user = me\n", "has 'user'"),
        (_NORTH.replace(":10001", ""), "has the address 'localhost'; wanted is HOST:PORT"),
        (_NORTH.replace("/srv", "srv"), "wanted is an absolute path"),
        (_NORTH.replace("north", "north/1"), "The name of a site"),
    ],
)
def test_messages_of_the_file(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        sites.read_config(_write(tmp_path, text), "train")


def test_a_missing_file_is_named():
    with pytest.raises(ValueError, match="--sites=nowhere.cfg cannot be read"):
        sites.read_config("nowhere.cfg", "train")


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    found = tiny_records.build(tmp_path_factory.mktemp("records") / "north")
    ids = [
        i for i, p in zip(found.record_ids(), found.patient_ids(), strict=True) if p < "patient10"
    ]
    splits.store(found, "halves", splits.Split({"first": ids}, {"method": "by hand"}))
    return found


def _parse(records, fold="train", resolution=8, **changes):
    site = sites.Site(0, "north", "localhost:1", str(records.path), fold)
    content = {**records.manifest, **changes}
    split = (records.path / "splits/halves/split.json").read_text() if "/" in fold else None
    return sites.parse(site, resolution, json.dumps(content), split)


def test_holdings_are_those_of_the_record_set(records):
    found = _parse(records)
    assert (found.findings, found.preparation) == (records.findings, records.preparation)
    assert (found.fold_size, found.encoding) == (records.fold_size("train"), "raw")
    assert found.fold_fingerprint == records.fold_fingerprint("train")
    assert sites.Holdings.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    site = sites.Site(0, "north", "localhost:1", str(records.path), "train")
    assert sites.shard_paths(site, found, 8) == records.shard_paths(8)
    half = _parse(records, "halves/first")
    assert half.fold_size == 30
    facts = sites.describe([found, half], tiny_federations.settings())
    assert (facts["fold_size"], facts["name"]) == (72, "north, north")
    assert (
        facts["fingerprint"] != sites.describe([half], tiny_federations.settings())["fingerprint"]
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"resolution": 64}, r"north \(.*has no 64 px \(found 4-16\).*--max_resolution=64"),
        ({"fold": "nowhere"}, "has no fold 'nowhere'; its folds are train, val, test, all"),
        ({"fold": "halves/third"}, "has no fold 'halves/third'; its folds are first"),
        ({"folds": {"train": {"records": 0}}}, "has no images in its fold 'train'"),
        ({"format_version": 1}, "version 1; wanted is"),
    ],
)
def test_sites_that_cannot_take_part(records, arguments, message):
    with pytest.raises(ValueError, match=message):
        _parse(records, **arguments)


def test_a_damaged_manifest_is_named(records):
    site = sites.Site(0, "north", "localhost:1", "/srv/records", "train")
    with pytest.raises(ValueError, match=r"north \(/srv/records\) is damaged"):
        sites.parse(site, 8, "{", None)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"findings": ["Hernia", "Mass"]}, "different vocabularies: Mass, Hernia at north"),
        ({"geometry": "stretch"}, "geometry is pad at north and stretch at north"),
        ({"mask_markers": True}, "mask_markers is False at north and True"),
        ({"provenance": {"window": "voi"}}, "window is None at north and voi"),
    ],
)
def test_sites_that_do_not_fit_together(records, changes, message):
    sites.check_alike([_parse(records)] * 2)
    with pytest.raises(ValueError, match=message):
        sites.check_alike([_parse(records), _parse(records, **changes)])
