"""Standard troposphere: published values, and where it moves a pixel to."""

from __future__ import annotations

import math

import numpy as np
import pytest
from references import ecef, minus, read_product

from cube.kernels.delay import path_delay, zenith_delay
from cube.kernels.ellipsoid import normals
from cube.kernels.geocode import image_coordinates
from cube.readers.annotation import read_annotation

NODES = -np.cos(np.pi * (np.arange(8) + 0.5) / 8)


def integrated(height: float) -> float:
    """Hydrostatic zenith delay by summing refractivity through the ICAO standard atmosphere.

    77.604 K/hPa (Thayer 1974) times pressure over temperature, in layers of 10 m up to 80 km.
    """
    layers = [
        (0.0, -6.5e-3),
        (11e3, 0.0),
        (20e3, 1e-3),
        (32e3, 2.8e-3),
        (47e3, 0.0),
        (51e3, -2.8e-3),
    ]
    gas, gravity = 287.053, 9.80665
    temperature, pressure, total, step = 288.15, 1013.25, 0.0, 10.0
    for k in range(8000):
        low = step * k
        lapse = next(rate for base, rate in reversed(layers) if low >= base)
        middle = temperature + lapse * step / 2
        ahead = pressure * math.exp(-gravity * step / (gas * middle))
        if low >= height:
            total += 77.604e-6 * (pressure + ahead) / 2 / middle * step
        temperature, pressure = temperature + lapse * step, ahead
    return total


@pytest.mark.parametrize("height", [0.0, 500.0, 2000.0, 5000.0])
def test_the_dry_part_is_the_integral_of_refractivity(height):
    wet = 0.1355 * (1 - 5.58e-3 * height / 283.15) ** 20.857
    # the formula takes the gravity of 45 degrees at the height of the air's mass: 4 mm less
    assert float(zenith_delay(height)) - wet == pytest.approx(integrated(height), abs=0.008)


def test_the_wet_part_is_that_of_the_standard_at_sea_level():
    """RTCA DO-229D, A.4.2.4, at 45 degrees; written out with its own numbers."""
    gas, gravity, lapse, decrease = 287.054, 9.784, 5.58e-3, 2.57
    wet = 1e-6 * 382_000 * gas / ((decrease + 1) * gravity - lapse * gas) * 11.66 / 283.15
    assert float(zenith_delay(0.0)) == pytest.approx(0.0022768 * 1013.25 + wet, abs=1e-4)


def test_it_falls_with_height_and_unknown_stays_unknown():
    found = zenith_delay(np.array([-400.0, 0.0, 1000.0, 5000.0, 9000.0, np.nan]))
    assert (np.diff(found[:5]) < 0).all()
    assert 0.6 < found[4] < 0.8
    assert np.isnan(found[5])


@pytest.mark.parametrize("angle", [0.0, 30.0, 46.0])
def test_the_path_is_longer_by_the_cosine_of_incidence(angle):
    point = np.array(ecef(12.0, 41.0, 300.0))
    up = normals(12.0, 41.0)
    north = np.array([-math.sin(math.radians(41)) * math.cos(math.radians(12)),
                      -math.sin(math.radians(41)) * math.sin(math.radians(12)),
                      math.cos(math.radians(41))])  # fmt: skip
    tilt = math.radians(angle)
    satellite = point + 8e5 * (math.cos(tilt) * up + math.sin(tilt) * north)
    found = float(path_delay(point, up, satellite, np.array(300.0)))
    assert found == pytest.approx(float(zenith_delay(300.0)) / math.cos(tilt), rel=1e-9)


def test_pixels_move_to_far_range_by_the_delay_and_no_line(data_dir):
    """A tile of the Rome scene: sample positions by zenith delay, angle and spacing."""
    folder = next((data_dir / "safe").glob("S1B_IW_GRDH_1SDV_20211223*.SAFE"))
    path = next((folder / "annotation").glob("*.xml"))
    annotation, product = read_annotation(str(path)), read_product(path.read_bytes())
    middle = product.grid[5 * 21 + 10]
    lon = middle.lon + 0.02 * np.broadcast_to(NODES, (8, 8))
    lat = middle.lat - 0.02 * np.broadcast_to(NODES[:, None], (8, 8))
    height = np.random.default_rng(0).uniform(0, 2000, (64, 64)).astype("float32")
    words = annotation.orbit, annotation.image, lon, lat, height
    plain, late = image_coordinates(*words), image_coordinates(*words, delay=True)
    moved = (late[1] - plain[1]) * product.sample_step
    incidence = math.radians(middle.incidence)
    expected = zenith_delay(height) / math.cos(incidence) / math.sin(incidence)
    # incidence turns by 0.2 degree over the tile and with height: 0.5 % of 4 m; ground range is
    # along the ellipsoid, whose slope is that of the angle there
    np.testing.assert_allclose(moved, expected, rtol=0.01)
    # the bistatic term: 4 m of path are 1e-8 s, a hundred thousandth of a line
    np.testing.assert_allclose(late[0], plain[0], rtol=0, atol=2e-5)
    assert 2.0 < moved.min() < moved.max() < 6.0


def test_normals_are_those_of_the_ellipsoid():
    for lon, lat in [(12.0, 41.0), (-120.0, -65.0)]:
        up = np.array(minus(ecef(lon, lat, 1000.0), ecef(lon, lat, 0.0))) / 1000
        np.testing.assert_allclose(normals(lon, lat), up, rtol=0, atol=1e-9)
