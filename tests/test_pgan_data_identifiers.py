import hashlib

import pytest

from pgan import layers
from pgan.data import identifiers as ids


@pytest.fixture
def found():
    return ids.Identifiers()


def test_ids_are_lower_case_and_of_some_length(found):
    found.add_id(" AB-1234 ", ids.PATIENT)
    found.add_id("17", ids.PATIENT)
    found.add_id("1.2.3", ids.STUDY)
    found.add_id("", ids.STUDY)
    assert found.kinds == {b"ab-1234": ids.PATIENT}
    assert found.too_short == {"17", "1.2.3"}
    assert found.count_by_kind() == {ids.PATIENT: 1}
    assert len(found) == 1


def test_an_id_without_a_run_to_look_up_is_too_short(found):
    found.add_id("12-34-56", ids.PATIENT)
    assert not found.kinds and found.too_short == {"12-34-56"}


def test_file_names_lose_extensions_and_give_their_parts(found):
    found.add_ids(["00000017_000.png", "a/0004CFAB-14fd.dcm.gz"], ids.IMAGE)
    assert found.kinds == {
        b"00000017_000": ids.IMAGE,
        b"00000017": f"{ids.IMAGE} (part)",
        b"0004cfab-14fd": ids.IMAGE,
        b"0004cfab": f"{ids.IMAGE} (part)",
    }


def test_plain_hashes_also_of_ids_that_are_too_short(found):
    found.add_id("17", ids.PATIENT)
    found.add_ids(["00000017_000.png"], ids.IMAGE)
    expected = {
        hashlib.new(name, text).hexdigest()[:16].encode()
        for name in ("md5", "sha1", "sha256")
        for text in (b"17", b"00000017_000.png", b"00000017_000")
    }
    assert found.digests == expected


def test_generic_names_are_kept_out(found):
    paths = [
        f"CheXpert-v1.0-small/train/patient{n:05d}/study{n % 2}/view1_frontal.jpg"
        for n in range(20)
    ]
    found.add_ids(paths, ids.IMAGE)
    assert set(found.kinds) == {f"patient{n:05d}".encode() for n in range(20)}
    assert {"view1_frontal", "study1", "CheXpert-v1.0-small"} <= found.kept_out


def test_names_in_many_folders_are_kept_out(found):
    found.add_ids([f"p{n:07d}/xyz123456.dcm" for n in range(20)], ids.IMAGE)
    assert "xyz123456" in found.kept_out
    assert set(found.kinds) == {f"p{n:07d}".encode() for n in range(20)}
    few = ids.Identifiers()
    few.add_ids(["images/00000017_000.png", "small/00000017_000.png"], ids.IMAGE)
    assert b"00000017_000" in few.kinds


@pytest.mark.parametrize("name", ["images_001", "view1_frontal", "stage_2_train_images", "IM-0001"])
def test_generic(name):
    assert ids.is_generic(name)


@pytest.mark.parametrize(
    "name", ["patient00001", "00000017", "IM-0001-0001", "frontal_smith", "17"]
)
def test_not_generic(name):
    assert not ids.is_generic(name)


@pytest.mark.parametrize("written", ["Doering^Jane^Q", "Doering, Jane", "DOERING JANE"])
def test_names_whole_and_in_parts(found, written):
    found.add_name(written)
    assert {b"doering", b"jane", b"doering^jane", b"jane doering", b"doering, jane"} <= set(
        found.kinds
    )
    assert found.kinds[b"doering"] == f"{ids.NAME} (part)"


def test_short_parts_of_names_are_searched_for_with_the_others(found):
    found.add_name("Li^Wei")
    assert found.too_short == {"Li", "Wei"}
    assert b"wei li" in found.kinds and b"wei" not in found.kinds


def test_words_of_the_software_are_no_names(found):
    found.add_name("Mass^Adam")
    found.add_name("ANONYMOUS")
    assert found.kept_out == {"Mass", "Adam", "ANONYMOUS"}
    assert b"mass^adam" in found.kinds and b"mass" not in found.kinds
    words = ids.software_words()
    assert {"atelectasis", "record", "patient"} <= words
    assert "doering" not in words


def test_authors_in_docstrings_are_no_words_of_the_software():
    assert "Karras" in (layers.__doc__ or "")
    assert "karras" not in ids.software_words()


def test_other_letters_in_every_coding(found):
    found.add_name("Müller")
    assert {b"m\xc3\xbcller", b"m\xfcller", b"m\\u00fcller", b"m\xc3\x9cller"} <= set(found.kinds)


def test_placeholders_and_exceptions():
    found = ids.Identifiers(kept_out=["Ward7-2000"])
    found.add_id("WARD7-2000", ids.STUDY)
    assert not found.kinds and found.kept_out == {"WARD7-2000"}


@pytest.mark.parametrize("written", ["19560304", "1956-03-04"])
def test_birth_dates(found, written):
    found.add_date(written)
    expected = {b"19560304", b"1956-03-04", b"04.03.1956", b"03/04/1956", b"04/03/1956"}
    assert expected <= set(found.kinds)
