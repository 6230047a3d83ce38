from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import CubicHermiteSpline

from cube.simulate.ellipsoid import east_north_up, ecef_from_geodetic, geodetic_from_ecef
from cube.simulate.geometry import zero_doppler
from cube.simulate.orbit import orbit_over

TIME = np.datetime64("2022-08-30T01:25:00", "us")


def test_velocity_and_acceleration_are_derivatives_of_the_position():
    orbit = orbit_over(68.2, 27.5, time=TIME, direction="descending", incidence_deg=37.0)
    time, step = np.linspace(-90, 90, 19), 1e-2
    before, now, after = (orbit.state(time + shift) for shift in (-step, 0.0, step))
    # A metre has 1e-9 of rounding at this radius: 1e-7 m/s over the step; r n^3 h^2 / 6 is 1e-7.
    np.testing.assert_allclose(
        (after.position - before.position) / (2 * step), now.velocity, rtol=0, atol=1e-5
    )
    np.testing.assert_allclose(
        (after.velocity - before.velocity) / (2 * step), now.acceleration, rtol=0, atol=1e-7
    )


def test_state_vectors_ten_seconds_apart_describe_the_orbit_to_a_millimetre():
    orbit = orbit_over(68.2, 27.5, time=TIME, direction="ascending", incidence_deg=40.0)
    nodes = np.arange(-80.0, 81.0, 10.0)
    state = orbit.state(nodes)
    spline = CubicHermiteSpline(nodes, state.position, state.velocity)
    between = orbit.state(nodes[:-1] + 5.0)
    np.testing.assert_allclose(spline(nodes[:-1] + 5.0), between.position, rtol=0, atol=1e-3)


@pytest.mark.parametrize("direction", ["ascending", "descending"])
@pytest.mark.parametrize(("lon", "lat"), [(68.2, 27.5), (-179.9, -35.0), (15.0, 66.0)])
@pytest.mark.parametrize("incidence", [31.0, 45.0])
def test_orbit_sees_the_point_broadside_to_its_right_at_the_wanted_angle(
    direction, lon, lat, incidence
):
    orbit = orbit_over(lon, lat, time=TIME, direction=direction, incidence_deg=incidence)
    ground = ecef_from_geodetic(np.array(lat), np.array(lon), np.array(0.0))
    state = orbit.state(0.0)
    look = ground - state.position
    assert abs(look @ state.velocity) / np.linalg.norm(look) < 1e-3
    _, _, up = east_north_up(np.array(lat), np.array(lon))
    angle = np.degrees(np.arccos(-look @ up / np.linalg.norm(look)))
    assert angle == pytest.approx(incidence, abs=1e-6)
    right = np.cross(state.velocity, state.position)
    assert look @ right > 0
    assert (state.velocity[2] > 0) == (direction == "ascending")
    assert 6.6e5 < np.linalg.norm(look) < 1.05e6


def test_zero_doppler_time_of_the_aimed_point_is_the_epoch():
    orbit = orbit_over(68.2, 27.5, time=TIME, direction="descending", incidence_deg=37.0)
    time, _ = zero_doppler(orbit, ecef_from_geodetic(np.array(27.5), np.array(68.2), np.array(0.0)))
    assert abs(float(time)) < 1e-6


def test_orbit_keeps_its_inclination_and_height():
    orbit = orbit_over(68.2, 27.5, time=TIME, direction="ascending", incidence_deg=37.0)
    lat, _, height = geodetic_from_ecef(orbit.state(np.arange(0.0, 5930.0, 10.0)).position)
    assert lat.max() == pytest.approx(81.8, abs=0.2)
    assert 6.8e5 < height.min() < height.max() < 7.2e5


@pytest.mark.parametrize(
    ("lat", "incidence", "text"), [(85.0, 37.0, "81.8"), (20.0, 8.0, "15..60")]
)
def test_what_cannot_be_seen_is_refused(lat, incidence, text):
    with pytest.raises(ValueError, match=text):
        orbit_over(0.0, lat, time=TIME, direction="ascending", incidence_deg=incidence)


def test_geodetic_coordinates_return():
    generator = np.random.default_rng(1)
    lat, lon = generator.uniform(-90, 90, 500), generator.uniform(-180, 180, 500)
    height = generator.uniform(-500, 9e5, 500)
    found = geodetic_from_ecef(ecef_from_geodetic(lat, lon, height))
    np.testing.assert_allclose(found[0], lat, rtol=0, atol=1e-11)
    np.testing.assert_allclose(found[1], lon, rtol=0, atol=1e-11)
    np.testing.assert_allclose(found[2], height, rtol=0, atol=1e-6)
