"""Exact range-Doppler solution: when and how far away a point on the ground is seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cube.kernels.orbit import Orbit

_ROUNDS = 12
_TOLERANCE_S = 1e-10  # 0.7 micrometres along the orbit


class ConvergenceError(ValueError):
    """The zero-Doppler time of a point did not settle."""


def zero_doppler(
    orbit: Orbit, points: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Zero-Doppler time and slant range of points on the ground.

    Newton's iteration on ``(P - S(t)) . V(t) = 0`` (Curlander & McDonough 1991, section 8.2).

    Parameters
    ----------
    orbit : Orbit
    points : float64, shape (..., 3)
        Earth-fixed metres, finite.

    Returns
    -------
    time_s, slant_range_m : float64, shape (...)
        Time after the orbit's epoch; one-way distance.

    Raises
    ------
    ConvergenceError
        A point lies outside what the orbit arc can see.
    """
    time = np.full(points.shape[:-1], orbit.centre_s)
    settled = np.zeros(time.shape, "bool")
    for _ in range(_ROUNDS):
        position, velocity, acceleration = orbit.state(time)
        sight = points - position
        value = (sight * velocity).sum(-1)
        slope = (sight * acceleration).sum(-1) - (velocity * velocity).sum(-1)
        step = np.where(settled, 0.0, value / slope)
        time = time - step
        # each point stops by itself: what it is must not depend on those it is solved with
        settled |= np.abs(step) < _TOLERANCE_S
        if settled.all():
            break
        # One arc beyond either end is far outside the image, yet still inside the polynomial's
        # neighbourhood; without the bound a far point would run away.
        time = np.clip(time, orbit.centre_s - 3 * orbit.half_s, orbit.centre_s + 3 * orbit.half_s)
    else:
        worst = float(np.abs(step).max())
        raise ConvergenceError(
            f"zero-Doppler time did not settle after {_ROUNDS} rounds: worst step {worst:.1e} s >"
            f" {_TOLERANCE_S:.0e} s; point outside the orbit arc?"
        )
    position = orbit.state(time)[0]
    return time, np.sqrt(((points - position) ** 2).sum(-1))
