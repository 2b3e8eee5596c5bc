"""Tests of the rasters that the chest phantom is drawn with."""

import numpy as np
import pytest

from pgan.data.phantom_texture import Grid, Pose, smooth_noise, spline_zoom


@pytest.mark.parametrize("size", [128, 512])
def test_strand_has_its_volume_at_every_size(size):
    grid = Grid(size, Pose(zoom=1.1, tilt=0.05))
    start, end = np.array([[-4.0, 12.0]]), np.array([[3.0, 15.0]])
    path = grid.strands(start, end, np.array([0.2]), 0.1)
    length = np.hypot(7.0, 3.0)
    assert path.sum() * grid.pixel**2 == pytest.approx(np.pi * 0.2**2 * length, rel=0.01)


def test_pixels_and_patient_coordinates_agree():
    grid = Grid(64, Pose(zoom=0.9, shift_x=1.2, shift_y=-0.7, tilt=0.1))
    column, row = grid.to_pixels(grid.x, grid.y)
    rows, columns = np.mgrid[:64, :64]
    np.testing.assert_allclose(column, columns, atol=1e-3)
    np.testing.assert_allclose(row, rows, atol=1e-3)


def test_spline_reproduces_a_plane_and_noise_has_unit_variance():
    knots = np.add.outer(2.0 * np.arange(-1, 10), np.arange(-1, 10)).astype(np.float32)
    centres = (np.arange(32) + 0.5) * 8 / 32
    np.testing.assert_allclose(
        spline_zoom(knots, 32), np.add.outer(2.0 * centres, centres), atol=1e-4
    )
    noise = smooth_noise(np.random.default_rng(0), 512, 64)
    assert noise.std() == pytest.approx(1.0, abs=0.05)
