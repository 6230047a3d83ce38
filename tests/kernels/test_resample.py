"""Bilinear sampling: exact on planes, blind to the window, careful at gaps and borders."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cube.kernels import resample


def sample(values, origin, row, col, out=None):
    row, col = np.atleast_2d(np.asarray(row, float)), np.atleast_2d(np.asarray(col, float))
    if out is None:
        out = np.full(row.shape, np.nan, "float32")
    resample.bilinear(np.asarray(values, "float32"), origin, row, col, out)
    return out


def test_a_plane_is_sampled_exactly():
    line, col = np.mgrid[100.0:164.0, 2000.0:2064.0]
    rng = np.random.default_rng(21)
    at = rng.integers(0, 63 * 64, (2, 10, 10)) / 64  # fractions that float32 holds exactly
    found = sample(line * 2 + col, (100, 2000), 100 + at[0], 2000 + at[1])
    # whole numbers and sixty-fourths below 2^12: no rounding anywhere
    np.testing.assert_array_equal(found, (2 * (100 + at[0]) + 2000 + at[1]).astype("float32"))


def test_a_bilinear_surface_is_sampled_to_rounding():
    y, x = np.mgrid[0.0:20.0, 0.0:30.0]
    at = np.random.default_rng(22).uniform(0, 19, (2, 8, 8))
    found = sample(1 + 0.1 * y + 0.2 * x + 0.03 * y * x, (0, 0), *at)
    exact = 1 + 0.1 * at[0] + 0.2 * at[1] + 0.03 * at[0] * at[1]
    np.testing.assert_allclose(found, exact, rtol=5e-7)  # float32, eight operations


IMAGE = np.random.default_rng(23).gamma(4, 1, (60, 70)).astype("float32")


@settings(deadline=None)  # the first call compiles
@given(st.data())
def test_the_window_never_changes_a_bit(data):
    """Half lines above all: rounding within a window would send them to other neighbours."""
    corner = data.draw(st.tuples(st.integers(0, 40), st.integers(0, 40)))
    size = data.draw(st.tuples(st.integers(2, 20), st.integers(2, 30)))
    exact = st.sampled_from([0.0, 0.5, 0.25, 1 / 3, 1 - 2**-40, 1e-17])
    row = corner[0] + data.draw(st.integers(0, size[0] - 2)) + data.draw(exact)
    col = corner[1] + data.draw(st.integers(0, size[1] - 2)) + data.draw(exact)
    part = IMAGE[corner[0] : corner[0] + size[0], corner[1] : corner[1] + size[1]]
    shift = 100_000  # far from the origin, where local and absolute rounding would differ
    found = sample(part, (corner[0] + shift, corner[1] + shift), row + shift, col + shift)
    whole = sample(IMAGE, (shift, shift), row + shift, col + shift)
    np.testing.assert_array_equal(found.view("u4"), whole.view("u4"))


def test_a_missing_neighbour_makes_the_sample_missing():
    values = np.ones((4, 4))
    values[1, 1] = np.nan
    found = sample(values, (0, 0), [[0.5, 0.5, 1.5, 2.5]], [[0.5, 2.5, 1.5, 2.5]])
    np.testing.assert_array_equal(np.isnan(found), [[True, False, True, False]])


def test_a_neighbour_of_no_weight_may_be_missing():
    values = np.array([[1, np.nan], [3, np.nan], [np.nan, np.nan]])
    assert sample(values, (0, 0), 0.5, 0.0) == 2.0
    assert sample(values, (0, 0), 1.0, 0.0) == 3.0


def test_the_last_line_and_sample_are_inside_and_nothing_beyond():
    values = np.arange(12.0).reshape(3, 4)
    found = sample(values, (0, 0), [[2.0, 2.0, 0.5, 2.001]], [[3.0, 1.5, 3.0, 1.0]])
    np.testing.assert_array_equal(found, [[11.0, 9.5, 5.0, np.nan]])
    outside = [[-0.001, 1.0, 1.0, 3.0]], [[1.0, -0.001, 3.001, 1.0]]
    assert np.isnan(sample(values, (0, 0), *outside)).all()


def test_what_is_filled_already_is_kept():
    out = np.array([[5.0, np.nan]], "float32")
    found = sample(np.ones((2, 2)), (0, 0), [[0.5, 0.5]], [[0.5, 0.5]], out)
    np.testing.assert_array_equal(found, [[5.0, 1.0]])


def test_an_unknown_place_is_left_alone():
    found = sample(np.ones((2, 2)), (0, 0), [[np.nan, 0.5]], [[0.5, np.nan]])
    assert np.isnan(found).all()


def test_only_zero_and_less_is_raised_to_the_floor():
    values = np.array([[[-1.0, 0.0], [1e-7, np.nan]]], "float32")
    resample.raise_to_floor(values, np.float32(1e-5))
    expected = np.array([[[1e-5, 1e-5], [1e-7, np.nan]]], "float32")
    np.testing.assert_array_equal(values, expected)


def test_bounds_are_those_of_the_coordinates_inside():
    row = np.array([[-1.0, 3.0, 5.0], [np.nan, 9.0, 9.5]])
    col = np.array([[2.0, 4.0, 7.0], [1.0, 7.0, 3.0]])
    assert resample.inside_bounds(row, col, 10, 8) == (3.0, 9.0, 4.0, 7.0)
    low, high, _, _ = resample.inside_bounds(row[:1, :1], col[:1, :1], 10, 8)
    assert low > high
