import os

import pytest

from pgan.data import pseudonyms

KEY = bytes(range(32))


def test_pseudonyms_are_what_they_were():
    # Changing these breaks the link between record sets that were built before and after.
    nih = pseudonyms.Pseudonymizer(KEY, "nih")
    assert nih.patient("193") == "e2f9fdabd501effd"
    assert nih.image("00000193_019.png") == "6561f7275c89a5b0"
    assert nih.key_fingerprint == "5ab8c392c2c54035"


def test_key_collection_and_kind_matter():
    nih = pseudonyms.Pseudonymizer(KEY, "nih")
    others = {
        pseudonyms.Pseudonymizer(KEY, "chexpert").patient("1"),
        pseudonyms.Pseudonymizer(KEY[::-1], "nih").patient("1"),
        nih.image("1"),
        nih.patient("2"),
    }
    assert len(others) == 4
    assert nih.patient("1") not in others


def test_key_file_is_made_once_and_for_the_owner_only(tmp_path):
    path = tmp_path / "deep" / "pseudonym.key"
    key = pseudonyms.load_key(path)
    assert len(key) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert pseudonyms.load_key(path) == key
    assert os.listdir(path.parent) == ["pseudonym.key"]


@pytest.mark.parametrize("text", ["", "abcd", "zz" * 32])
def test_damaged_key_is_not_replaced(tmp_path, text):
    path = tmp_path / "pseudonym.key"
    path.write_text(text)
    with pytest.raises(ValueError, match="no pseudonym key"):
        pseudonyms.load_key(path)
    assert path.read_text() == text
