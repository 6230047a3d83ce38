"""The satellite's path as polynomials through all state vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import ArrayLike, NDArray

_DEGREE = 9
_PLACE_WEIGHT_S, _SPEED_WEIGHT_S = 0.1, 1e4
"""Weight of velocities beside positions, where positions or velocities are wanted. State vectors
are 10 s apart: the one hardly matters, and the other all but decides."""


@dataclass(frozen=True, slots=True)
class Orbit:
    """Polynomial orbit, Earth-fixed, in a time normalised to -1..1 over its arc.

    Position and velocity are polynomials of their own: vectors that were computed on board hold
    velocities that differ from the slope of their positions by some mm/s, which moves zero Doppler
    by decimetres. ESA's processor takes each as it is, as its geolocation grids show.

    Attributes
    ----------
    centre_s, half_s : float
        Middle and half length of the arc, seconds after the epoch that the caller chose.
    coefficients : float64, shape (degree + 1, 3)
        Position in metres, ascending powers of the normalised time.
    velocity_coefficients : float64, shape (degree, 3)
        Velocity in metres per second, likewise.
    """

    centre_s: float
    half_s: float
    coefficients: NDArray[np.float64]
    velocity_coefficients: NDArray[np.float64]

    def state(
        self, time_s: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Position (m), velocity (m/s) and acceleration (m/s2), each of shape (..., 3)."""
        u = ((np.asarray(time_s) - self.centre_s) / self.half_s)[..., None]
        position = np.zeros((*u.shape[:-1], 3))
        velocity = np.zeros_like(position)
        slope = np.zeros_like(position)
        for row in self.coefficients[::-1]:
            position = position * u + row
        for row in self.velocity_coefficients[::-1]:
            slope = slope * u + velocity
            velocity = velocity * u + row
        return position, velocity, slope / self.half_s


def fit_orbit(time_s: ArrayLike, position: ArrayLike, velocity: ArrayLike) -> Orbit:
    """Least-squares polynomials through positions and velocities of all state vectors.

    Degree 9 on the 16 or more vectors of an annotation stays within millimetres of them.

    Parameters
    ----------
    time_s : shape (n,)
        Seconds after any epoch, increasing.
    position, velocity : shape (n, 3)
        Metres and metres per second, Earth-fixed.

    Raises
    ------
    ValueError
        Fewer than four vectors, times not increasing, or values not finite.

    Notes
    -----
    Fields: ``generalAnnotation/orbitList/orbit`` (Sentinel-1 Product Specification,
    S1-RS-MDA-52-7441, section 6.3.1.2).
    """
    time = np.asarray(time_s, "float64")
    place, speed = np.asarray(position, "float64"), np.asarray(velocity, "float64")
    if time.ndim != 1 or len(time) < 4:
        raise ValueError(f"an orbit needs at least 4 state vectors, found {time.size}")
    if place.shape != (len(time), 3) or speed.shape != (len(time), 3):
        raise ValueError(f"state vectors of shape {place.shape} and {speed.shape}, not (n, 3)")
    if not (np.isfinite(place).all() and np.isfinite(speed).all() and (np.diff(time) > 0).all()):
        raise ValueError("state vectors are not finite, or their times do not increase")
    centre, half = (time[0] + time[-1]) / 2, (time[-1] - time[0]) / 2
    u = (time - centre) / half
    degree = min(_DEGREE, 2 * len(time) - 3)
    basis = chebyshev.chebvander(u, degree)
    slopes = np.stack(
        [chebyshev.chebval(u, chebyshev.chebder(row)) for row in np.eye(degree + 1)], axis=-1
    )

    def solve(weight_s: float) -> NDArray[np.float64]:
        weight = weight_s / half
        design = np.concatenate([basis, slopes * weight])
        target = np.concatenate([place, speed * half * weight])
        return np.asarray(np.linalg.lstsq(design, target, rcond=None)[0])

    rates = chebyshev.chebder(solve(_SPEED_WEIGHT_S)) / half
    return Orbit(
        float(centre),
        float(half),
        _to_powers(solve(_PLACE_WEIGHT_S)),
        _to_powers(rates),
    )


def _to_powers(series: NDArray[np.float64]) -> NDArray[np.float64]:
    """Powers of a Chebyshev series in each column."""
    powers = np.zeros_like(series)
    for column, terms in zip(powers.T, series.T, strict=True):
        converted = chebyshev.cheb2poly(terms)
        column[: len(converted)] = converted
    return powers
