"""Polynomials through all state vectors: real annotations and an analytic orbit."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from references import circular_orbit, read_product

from cube.kernels.orbit import fit_orbit


def all_annotations(folder):
    """Name and content of every product annotation in SAFE folders and zips."""
    for path in sorted(folder.glob("*.SAFE/annotation/*.xml")):
        yield path.name, path.read_bytes()
    for archive in sorted(folder.glob("*.zip")):
        with zipfile.ZipFile(archive) as opened:
            for name in opened.namelist():
                if name.endswith(".xml") and name.split("/")[-2] == "annotation":
                    yield name.split("/")[-1], opened.read(name)


TOLERANCE = 1e-2, 1e-4
"""Position (m) and velocity (m/s). Velocities computed on board disagree with the slopes of their
positions by 7.5 mm/s: each is followed for itself (worst here 6.4 mm, S1C 2025)."""


def test_every_real_orbit_is_reproduced(data_dir):
    worse = {}
    count = 0
    for name, content in all_annotations(data_dir / "safe"):
        product = read_product(content)
        time, position, velocity = map(np.array, zip(*product.orbit, strict=True))
        places, speeds, _ = fit_orbit(time, position, velocity).state(time)
        place = np.linalg.norm(places - position, axis=-1).max()
        speed = np.linalg.norm(speeds - velocity, axis=-1).max()
        if place > TOLERANCE[0] or speed > TOLERANCE[1]:
            worse[name] = place, speed
        count += 1
    assert count >= 8
    assert worse == {}


@pytest.fixture
def circular():
    state = circular_orbit()
    time = np.arange(17) * 10.0 - 80.0
    position, velocity = (np.array(rows) for rows in zip(*map(state, time), strict=True))
    return state, time, position, velocity


def test_a_circular_orbit_is_followed_between_its_vectors(circular):
    state, *vectors = circular
    at = np.random.default_rng(2).uniform(-80, 80, 200)
    position, velocity, acceleration = fit_orbit(*vectors).state(at)
    exact, speed = (np.array(rows) for rows in zip(*map(state, at), strict=True))
    # the tenth derivative of the orbit, R w^10 h^10 / (10! 2^9), is 1e-12 m; rounding rules
    np.testing.assert_allclose(position, exact, rtol=0, atol=1e-6)
    np.testing.assert_allclose(velocity, speed, rtol=0, atol=1e-7)
    step = 1e-2
    ahead, behind = (np.array([state(t + s)[1] for t in at]) for s in (step, -step))
    # central difference of velocities that are exact to 1e-12 relative
    np.testing.assert_allclose(acceleration, (ahead - behind) / (2 * step), rtol=0, atol=1e-6)


def test_velocities_that_contradict_positions_stay_their_own(circular):
    """As those of the downlink do: zero Doppler follows the velocity, range the position."""
    state, time, position, velocity = circular
    off = np.array([4e-3, -3e-3, 5e-3])
    place, speed, _ = fit_orbit(time, position, velocity + off).state(np.array(17.0))
    exact = state(17.0)
    np.testing.assert_allclose(place, exact[0], rtol=0, atol=1e-4)
    np.testing.assert_allclose(speed, exact[1] + off, rtol=0, atol=1e-6)


def test_an_epoch_far_away_costs_no_accuracy(circular):
    state, time, position, velocity = circular
    orbit = fit_orbit(time + 86_400.0, position, velocity)
    np.testing.assert_allclose(orbit.state(np.array(86_403.0))[0], state(3.0)[0], rtol=0, atol=1e-6)


def test_four_vectors_are_enough(circular):
    state, time, position, velocity = circular
    orbit = fit_orbit(time[:4], position[:4], velocity[:4])
    # degree 5 over 30 s: R (w h)^6 / (6! 2^5) is a micrometre
    np.testing.assert_allclose(orbit.state(np.array(-65.0))[0], state(-65.0)[0], rtol=0, atol=1e-3)


def test_bad_state_vectors_are_refused(circular):
    _, time, position, velocity = circular
    with pytest.raises(ValueError, match="at least 4 state vectors, found 3"):
        fit_orbit(time[:3], position[:3], velocity[:3])
    with pytest.raises(ValueError, match=r"not \(n, 3\)"):
        fit_orbit(time, position[:, :2], velocity)
    with pytest.raises(ValueError, match="do not increase"):
        fit_orbit(time[::-1], position, velocity)
    with pytest.raises(ValueError, match="not finite"):
        fit_orbit(time, np.where(np.arange(17)[:, None] == 5, np.nan, position), velocity)
