"""Geodetic to Earth-fixed coordinates against plain Python and PROJ."""

from __future__ import annotations

import numpy as np
import pytest
from pyproj import Transformer
from references import ecef

from cube.kernels.ellipsoid import to_ecef


@pytest.fixture
def places():
    rng = np.random.default_rng(1)
    lat = np.degrees(np.arcsin(rng.uniform(-1, 1, 300)))
    return rng.uniform(-180, 180, 300), lat, rng.uniform(-400, 9000, 300)


def test_positions_agree_with_the_textbook_formula(places):
    expected = [ecef(*place) for place in zip(*places, strict=True)]
    # a double holds 6.4e6 m to 1e-9 m; some ten operations on top
    np.testing.assert_allclose(to_ecef(*places), expected, rtol=0, atol=1e-8)


def test_positions_agree_with_proj(places):
    to_xyz = Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)
    expected = np.stack(to_xyz.transform(*places), axis=-1)
    np.testing.assert_allclose(to_ecef(*places), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("lat", [-90.0, 90.0])
def test_the_pole_is_where_the_semi_minor_axis_ends(lat):
    x, y, z = to_ecef(77.0, lat, 100.0)
    assert np.hypot(x, y) < 1e-8
    assert abs(z) == pytest.approx(6_356_752.314245 + 100, abs=1e-6)  # NIMA TR8350.2, table 3.3


def test_heights_broadcast_against_places():
    found = to_ecef(np.zeros((3, 1)), np.zeros((3, 1)), np.arange(4.0))
    assert found.shape == (3, 4, 3)
    np.testing.assert_array_equal(found[0, :, 0], 6_378_137.0 + np.arange(4.0))
