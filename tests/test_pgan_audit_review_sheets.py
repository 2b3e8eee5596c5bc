"""The pictures of the sheets for a reader; the whole of them is tested with the tool."""

import types

import numpy as np
import pytest

from pgan.audit import review_sheets


def test_differences_are_half_as_large_around_middle_grey():
    image = np.array([[0, 255, 100, 100, 90]], np.uint8)
    other = np.array([[255, 0, 100, 90, 100]], np.uint8)
    assert review_sheets.difference(image, other).tolist() == [[0, 255, 128, 133, 123]]


def test_all_differences_fit_into_a_byte():
    greys = np.arange(256, dtype=np.uint8)
    image, other = np.meshgrid(greys, greys)
    expected = (image.astype(int) - other) // 2 + 128
    assert expected.min() == 0 and expected.max() == 255
    np.testing.assert_array_equal(review_sheets.difference(image, other), expected)


def test_a_strip_is_image_neighbours_and_differences():
    image, *neighbours = (np.full((6, 5), grey, np.uint8) for grey in (100, 90, 140))
    strip = review_sheets.strip(image, neighbours)
    gap = review_sheets._GAP
    assert strip.shape == (6, 5 * 5 + 4 * gap)
    cells = [strip[:, start : start + 5] for start in range(0, strip.shape[1], 5 + gap)]
    assert [np.unique(cell).tolist() for cell in cells] == [[100], [90], [140], [133], [108]]
    between = [strip[:, 5 + i * (5 + gap) :][:, :gap] for i in range(4)]
    assert not np.any(between)
    assert review_sheets.strip(image, []).shape == (6, 5)


@pytest.mark.parametrize("pixels", [0, -4, 24, 5])
def test_sizes_that_are_no_powers_of_two_are_refused(pixels, tmp_path):
    material = types.SimpleNamespace(synthetic_full=np.zeros((2, 32, 32), np.uint8), train=None)
    result = types.SimpleNamespace(material=material)
    with pytest.raises(ValueError, match=f"--sheet_pixels must be a power of two, got {pixels}"):
        review_sheets.write(tmp_path, result, None, 1, pixels, progress=False)
    assert not list(tmp_path.iterdir())


def test_pictures_of_another_audit_are_not_shown_under_its_name(tmp_path):
    pictures = tmp_path / "images_16px"
    review_sheets._require_own(pictures, {"generator": "a"})
    (pictures / "000001_ssim.png").write_bytes(b"of a")
    review_sheets._require_own(pictures, {"generator": "a"})
    assert (pictures / "000001_ssim.png").exists()
    review_sheets._require_own(pictures, {"generator": "b"})
    assert not (pictures / "000001_ssim.png").exists()
