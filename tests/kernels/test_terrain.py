"""Slope of planes, of Horn's kernel written out, and of blocks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cube.kernels import terrain


def plane(rise_y, rise_x, shape=(7, 9), size_y=30.0, size_x=20.0):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return (100 + rise_y * size_y * y + rise_x * size_x * x).astype("float32")


@pytest.mark.parametrize(("rise_y", "rise_x"), [(0, 0), (0.5, 0), (0, -1), (0.3, 0.4), (-2, 1)])
def test_a_plane_has_its_slope_to_the_border(rise_y, rise_x):
    expected = math.degrees(math.atan(math.hypot(rise_y, rise_x)))
    found = terrain.slope(plane(rise_y, rise_x), 30.0, 20.0)
    # heights of some hundred metres in float32: 3e-5 m over 20 m
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_sign_of_a_size_does_not_matter():
    image = plane(0.3, 0.4)
    assert np.array_equal(terrain.slope(image, -30.0, 20.0), terrain.slope(image, 30.0, 20.0))


def test_inside_it_is_the_kernel_of_horn():
    rng = np.random.default_rng(3)
    z = rng.normal(0, 30, (12, 15)).astype("float32").astype("float64")
    found = terrain.slope(z, 30.0, 20.0)
    for i in range(1, 11):
        for j in range(1, 14):
            a, b, c = z[i - 1, j - 1 : j + 2]
            d, _, f = z[i, j - 1 : j + 2]
            g, h, k = z[i + 1, j - 1 : j + 2]
            gx = ((c + 2 * f + k) - (a + 2 * d + g)) / (8 * 20.0)
            gy = ((g + 2 * h + k) - (a + 2 * b + c)) / (8 * 30.0)
            assert found[i, j] == pytest.approx(
                math.degrees(math.atan(math.hypot(gx, gy))), rel=1e-6
            )


def test_gaps_stay_gaps_and_do_not_tilt_their_neighbours():
    image = plane(0.3, 0.4)
    image[3, 4] = np.nan
    found = terrain.slope(image, 30.0, 20.0)
    assert np.isnan(found).sum() == 1
    np.testing.assert_allclose(found[~np.isnan(found)], math.degrees(math.atan(0.5)), atol=1e-3)


def test_a_lone_line_has_no_slope():
    assert np.isnan(terrain.slope(np.ones((1, 5)), 1.0, 1.0)).all()
    assert np.isnan(terrain.slope(np.full((4, 4), np.nan), 1.0, 1.0)).all()
    assert terrain.slope(np.empty((0, 0)), 1.0, 1.0).shape == (0, 0)


@settings(deadline=None)  # the first call compiles
@given(st.integers(0, 2**32 - 1), st.data())
def test_a_block_with_halo_has_the_bits_of_the_whole(seed, data):
    rng = np.random.default_rng(seed)
    image = rng.normal(500, 50, (14, 17)).astype("float32")
    image[rng.random(image.shape) < 0.1] = np.nan
    y0, x0 = data.draw(st.integers(0, 13)), data.draw(st.integers(0, 16))
    y1, x1 = data.draw(st.integers(y0 + 1, 14)), data.draw(st.integers(x0 + 1, 17))
    top, left = max(0, y0 - 1), max(0, x0 - 1)
    block = terrain.slope(image[top : y1 + 1, left : x1 + 1], 30.0, 20.0)
    inner = block[y0 - top : y1 - top, x0 - left : x1 - left]
    assert np.array_equal(inner, terrain.slope(image, 30.0, 20.0)[y0:y1, x0:x1], equal_nan=True)


@pytest.mark.parametrize("sizes", [(0.0, 1.0), (1.0, math.nan), (math.inf, 1.0)])
def test_samples_have_a_size(sizes):
    with pytest.raises(ValueError, match="finite sizes other than 0"):
        terrain.slope(np.ones((3, 3)), *sizes)


def test_height_is_an_image():
    with pytest.raises(ValueError, match="expected two axes"):
        terrain.slope(np.ones(3), 1.0, 1.0)
