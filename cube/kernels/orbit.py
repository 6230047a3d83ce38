"""The satellite's path as one polynomial through all state vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import ArrayLike, NDArray

_DEGREE = 9
_VELOCITY_WEIGHT_S = 30.0  # a velocity error acts over about this time between state vectors


@dataclass(frozen=True, slots=True)
class Orbit:
    """Polynomial orbit, Earth-fixed, in a time normalised to -1..1 over its arc.

    Attributes
    ----------
    centre_s, half_s : float
        Middle and half length of the arc, seconds after the epoch that the caller chose.
    coefficients : float64, shape (degree + 1, 3)
        Position in metres, ascending powers of the normalised time.
    """

    centre_s: float
    half_s: float
    coefficients: NDArray[np.float64]

    def state(
        self, time_s: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Position (m), velocity (m/s) and acceleration (m/s2), each of shape (..., 3)."""
        u = ((np.asarray(time_s) - self.centre_s) / self.half_s)[..., None]
        position = np.zeros((*u.shape[:-1], 3))
        velocity = np.zeros_like(position)
        half_acceleration = np.zeros_like(position)
        for row in self.coefficients[::-1]:
            half_acceleration = half_acceleration * u + velocity
            velocity = velocity * u + position
            position = position * u + row
        return position, velocity / self.half_s, 2 * half_acceleration / self.half_s**2


def fit_orbit(time_s: ArrayLike, position: ArrayLike, velocity: ArrayLike) -> Orbit:
    """Least-squares polynomial through positions and velocities of all state vectors.

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
    weight = _VELOCITY_WEIGHT_S / half
    design = np.concatenate([basis, slopes * weight])
    target = np.concatenate([place, speed * half * weight])
    solution = np.linalg.lstsq(design, target, rcond=None)[0]
    powers = np.stack([_to_powers(column, degree) for column in solution.T], axis=-1)
    return Orbit(float(centre), float(half), powers)


def _to_powers(series: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
    powers = np.zeros(degree + 1)
    converted = chebyshev.cheb2poly(series)
    powers[: len(converted)] = converted
    return powers
