"""Newton's zero-Doppler solution against bisection in plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from references import circular_orbit, ecef, zero_doppler

from cube.kernels import doppler
from cube.kernels.orbit import fit_orbit

STATE = circular_orbit()


@pytest.fixture(scope="module")
def orbit():
    time = np.arange(17) * 10.0 - 80.0
    return fit_orbit(time, *(np.array(rows) for rows in zip(*map(STATE, time), strict=True)))


def test_time_and_range_are_those_of_bisection(orbit):
    rng = np.random.default_rng(3)
    # 2 to 9 degrees beside the track is 230 to 1000 km; 60 s of flight is 3.8 degrees
    places = np.stack(
        [rng.uniform(2, 9, 150), rng.uniform(-3.5, 3.5, 150), rng.uniform(-400, 9000, 150)], axis=-1
    )
    points = np.array([ecef(*place) for place in places])
    time, distance = doppler.zero_doppler(orbit, points.reshape(15, 10, 3))
    expected = np.array([zero_doppler(STATE, tuple(point), -80, 80) for point in points])
    # the orbit at 7e6 m is known to 1e-9 m, and 1e-9 s of flight are 8 micrometres
    np.testing.assert_allclose(time.ravel(), expected[:, 0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(distance.ravel(), expected[:, 1], rtol=0, atol=1e-4)


def test_both_sides_of_the_track_are_solved(orbit):
    points = np.array([ecef(5, 1, 0), ecef(-5, 1, 0)])
    time, _ = doppler.zero_doppler(orbit, points)
    expected = [zero_doppler(STATE, tuple(point), -80, 80)[0] for point in points]
    np.testing.assert_allclose(time, expected, rtol=0, atol=1e-9)


def test_the_answer_does_not_depend_on_the_company(orbit):
    """Rounds are counted for the worst point; a point that has settled only gains digits."""
    near, far = np.array(ecef(5, 0, 0)), np.array(ecef(9, 3.5, 9000))
    alone = doppler.zero_doppler(orbit, near)
    together = doppler.zero_doppler(orbit, np.stack([near, far]))
    # a step below the tolerance of 1e-10 s is cubed, not squared, in the round after
    assert abs(alone[0] - together[0][0]) < 1e-12
    assert abs(alone[1] - together[1][0]) < 1e-8


@pytest.mark.parametrize("place", [(5, 40), (5, 80), (170, 60)])
def test_points_far_from_the_arc_are_refused(orbit, place):
    with pytest.raises(doppler.ConvergenceError, match="outside the orbit arc"):
        doppler.zero_doppler(orbit, np.array(ecef(*place, 0.0)))


def test_the_antipode_is_broadside_through_the_earth(orbit):
    """It does solve the equation; its distance, an Earth's diameter and more, tells it apart."""
    time, distance = doppler.zero_doppler(orbit, np.array(ecef(180.0, 0.0, 0.0)))
    assert abs(time) < 1e-9
    assert distance > 13e6
