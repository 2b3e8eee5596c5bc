import dataclasses

import pytest
import tiny_records

from pgan.data import overlap, pseudonyms

NIH = tiny_records.radiographs(12)  # patients 0 to 3


def twins(start, stop, known=True):
    """RSNA images that are images of NIH under other names."""
    return [
        dataclasses.replace(
            image,
            image_id=f"exam{i:03d}",
            patient_id=image.patient_id if known else f"exam{i:03d}",
            twin=("nih", image.image_id) if known else None,
        )
        for i, image in enumerate(tiny_records.radiographs(60))
        if start <= i < stop
    ]


@pytest.fixture
def build(tmp_path):
    def run(name, images, source="nih", key=b"k", origin="real"):
        maker = pseudonyms.Pseudonymizer(key * 32, source) if key else None
        return tiny_records.build(
            tmp_path / name,
            images=images,
            source=source,
            origin=origin,
            split=None,
            pseudonyms=maker,
            num_shards=1,
            max_resolution=4,
        )

    return run


def shared(first, second):
    return len(overlap.shared_patients((first, "all"), (second, "all")))


def test_one_collection(build):
    first, second = build("a", NIH), build("b", tiny_records.radiographs(60)[10:20])
    assert shared(first, second) == 1  # image 10 and 11 of patient 3, who has 9 to 11
    assert shared(second, first) == 1
    assert shared(first, build("c", tiny_records.radiographs(60)[12:20])) == 0


def test_patients_without_a_common_image(build):
    assert shared(build("a", NIH[:10]), build("b", NIH[10:])) == 1


def test_rsna_has_patients_of_nih(build):
    nih = build("nih", NIH[:10])
    rsna = build("rsna", twins(10, 20), "rsna")
    assert shared(nih, rsna) == shared(rsna, nih) == 1
    assert shared(nih, build("apart", twins(12, 20), "rsna")) == 0
    assert shared(rsna, build("other", twins(18, 22), "rsna")) == 1  # patient 6 has 18 to 20


def test_twins_alone_tell(build):
    images = [dataclasses.replace(i, patient_id=f"stranger{i.patient_id}") for i in twins(0, 6)]
    assert shared(build("a", images, "hospital"), build("nih", NIH)) == 2
    assert shared(build("b", NIH, "chexpert"), build("c", NIH[:10])) == 0


def test_without_the_mapping_rsna_cannot_be_compared(build):
    nih, rsna = build("nih", NIH), build("rsna", twins(0, 12, known=False), "rsna")
    with pytest.raises(
        ValueError, match="rsna were taken from the collection nih, but for 12 of them .* mapping"
    ):
        shared(nih, rsna)
    with pytest.raises(ValueError, match="cannot be compared"):
        shared(rsna, build("mapped", twins(0, 6), "rsna"))
    assert shared(rsna, rsna) == 12
    assert shared(rsna, build("half", twins(6, 15, known=False), "rsna")) == 6


def test_other_keys_are_refused(build):
    with pytest.raises(ValueError, match="cannot be compared: made with different keys .*--key_f"):
        shared(build("a", NIH), build("b", NIH, key=b"l"))


def test_other_origins_have_nothing_in_common(build):
    assert shared(build("a", NIH), build("b", NIH, key=None, origin="phantom")) == 0


def test_plain_ids_mean_something_in_their_collection_only(build):
    first, second = (build(name, NIH, name, None, "phantom") for name in ("north", "south"))
    assert shared(first, second) == 0
    assert shared(first, first) == 4


def test_describe(build):
    assert overlap.describe((build("name", NIH), "val")) == "name, fold val"
