"""Shares of maps in regions."""

import math

import numpy as np
import pytest

from pgan import region_shares


def test_ratio_is_the_share_of_the_map_over_the_share_of_the_area():
    where = np.zeros((4, 4), bool)
    where[0, :2] = True
    found = np.full((4, 4), -5.0, np.float32)
    found[0, 0], found[3, 3] = 3.0, 1.0
    value = region_shares.measure(found, where)
    assert (value.inside, value.area, value.ratio) == (0.75, 0.125, 6.0)
    assert region_shares.measure(np.ones((4, 4)), where).ratio == pytest.approx(1)
    assert region_shares.measure(where * 0.1, where).ratio == pytest.approx(1 / 0.125)
    assert math.isnan(region_shares.measure(-np.ones((4, 4)), where).ratio)
    for wrong in (np.zeros((4, 4), bool), where[:3]):
        with pytest.raises(ValueError, match="wants a region of this size with a pixel in it"):
            region_shares.measure(found, wrong)


def test_a_region_is_where_a_change_is_a_quarter_of_its_largest():
    change = np.array([[8.0, 2.0], [1.9, 0.0]])
    np.testing.assert_array_equal(region_shares.region(change), [[True, True], [False, False]])
