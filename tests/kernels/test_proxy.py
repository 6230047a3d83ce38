"""The tensor polynomial of a tile against bisection in plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from references import circular_orbit, ecef, zero_doppler

from cube.kernels import proxy

STATE = circular_orbit()
SIZE = 512
LINE_S = 1.4936e-3  # azimuthTimeInterval of IW GRD products
LOW, HIGH = -100.0, 5000.0


def place(u, v):
    """Longitude and latitude of a 5 km tile at 32 degrees of incidence, u and v in -1..1."""
    return 4.2 + 0.0237 * u + 0.003 * v, 1.5 - 0.0229 * v + 0.0004 * u * v


@pytest.fixture(scope="module")
def polynomials():
    """Time and range solved by bisection at the nodes, then fitted."""
    at = [-np.cos(np.pi * (np.arange(n) + 0.5) / n) for n in proxy.NODES]
    solved = np.empty((2, *proxy.NODES))
    for i, v in enumerate(at[0]):
        for j, u in enumerate(at[1]):
            for k, w in enumerate(at[2]):
                height = (LOW + HIGH) / 2 + w * (HIGH - LOW) / 2
                solved[:, i, j, k] = zero_doppler(STATE, ecef(*place(u, v), height), 0, 60)
    return proxy.fit3(solved[0]), proxy.fit3(solved[1])


def test_nodes_are_those_of_chebyshev():
    for count in proxy.NODES:
        expected = np.polynomial.chebyshev.chebroots([0] * count + [1])
        # roots of the companion matrix are good to some 1e-15
        np.testing.assert_allclose(proxy.nodes(count), np.sort(expected), rtol=0, atol=1e-14)


def test_a_tile_of_five_kilometres_relief_is_exact_to_nanometres(polynomials):
    rng = np.random.default_rng(4)
    height = rng.uniform(LOW, HIGH, (SIZE, SIZE)).astype("float32")
    time, slant = np.empty((2, SIZE, SIZE))
    middle, half = (LOW + HIGH) / 2, (HIGH - LOW) / 2
    proxy.evaluate3(polynomials[0], *height.shape, 0, 0, height, middle, half, time)
    proxy.evaluate3(polynomials[1], *height.shape, 0, 0, height, middle, half, slant)
    for row, col in rng.integers(0, SIZE, (150, 2)):
        u, v = (2 * col + 1) / SIZE - 1, (2 * row + 1) / SIZE - 1
        point = ecef(*place(u, v), float(height[row, col]))
        exact_time, exact_slant = zero_doppler(STATE, point, 0, 60)
        assert abs(time[row, col] - exact_time) / LINE_S <= 1e-6
        assert abs(slant[row, col] - exact_slant) <= 1e-5


def test_an_unknown_height_is_an_unknown_place(polynomials):
    height = np.zeros((4, 4), "float32")
    height[1, 2] = np.nan
    out = np.empty((4, 4))
    proxy.evaluate3(polynomials[0], *height.shape, 0, 0, height, 0.0, 1.0, out)
    np.testing.assert_array_equal(np.isnan(out), np.isnan(height))


def test_a_polynomial_of_the_fitted_degree_is_kept():
    rng = np.random.default_rng(5)
    wanted = rng.normal(size=proxy.TERMS)
    y, x, h = np.meshgrid(*(proxy.nodes(n) for n in proxy.NODES), indexing="ij")
    values = np.polynomial.polynomial.polyval3d(y, x, h, wanted)
    # power coefficients of degree 5 are ten times the values: 1e-15 becomes 1e-13
    np.testing.assert_allclose(proxy.fit3(values), wanted, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        proxy.fit2(np.polynomial.polynomial.polyval2d(y, x, wanted[..., 0])[..., 0]),
        wanted[..., 0],
        rtol=0,
        atol=1e-12,
    )


@settings(deadline=None)  # the first call compiles
@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_part_of_a_tile_has_the_bits_of_the_whole(rows, cols, data):
    c = np.random.default_rng(rows * 61 + cols).normal(size=proxy.TERMS[:2])
    whole = np.empty((rows + 2, cols + 2))  # with the pixel of halo on each side
    proxy.evaluate2(c, rows, cols, -1, -1, whole)
    row, col = data.draw(st.integers(-1, rows)), data.draw(st.integers(-1, cols))
    part = np.empty(
        (data.draw(st.integers(1, rows + 1 - row)), data.draw(st.integers(1, cols + 1 - col)))
    )
    proxy.evaluate2(c, rows, cols, row, col, part)
    inside = whole[row + 1 : row + 1 + part.shape[0], col + 1 : col + 1 + part.shape[1]]
    np.testing.assert_array_equal(part, inside)
