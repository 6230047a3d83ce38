"""Exact range-Doppler solution: when and how far away a point on the ground is seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cube.kernels.compiled import compiled
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
    flat = np.ascontiguousarray(points, "float64").reshape(-1, 3)
    time, slant = np.empty(len(flat)), np.empty(len(flat))
    worst = _solve(
        flat,
        orbit.coefficients,
        orbit.velocity_coefficients,
        orbit.centre_s,
        orbit.half_s,
        time,
        slant,
    )
    if not worst < _TOLERANCE_S:
        raise ConvergenceError(
            f"zero-Doppler time did not settle after {_ROUNDS} rounds: worst step {worst:.1e} s >"
            f" {_TOLERANCE_S:.0e} s; point outside the orbit arc?"
        )
    shape = points.shape[:-1]
    return time.reshape(shape), slant.reshape(shape)


@compiled
def _place(rows, u, out):  # type: ignore[no-untyped-def]
    """Polynomials of three axes at `u`, and nothing else, in place."""
    out[:] = 0.0
    for k in range(rows.shape[0] - 1, -1, -1):
        for a in range(3):
            out[a] = out[a] * u + rows[k, a]


@compiled
def _solve(points, places, speeds, centre, half, time, slant):  # type: ignore[no-untyped-def]
    """Solve every point by itself; returns the largest last step, in seconds."""
    worst = 0.0
    position, velocity, slope = np.empty(3), np.empty(3), np.empty(3)
    for i in range(points.shape[0]):
        t, step = centre, 0.0
        for _ in range(_ROUNDS):
            u = (t - centre) / half
            _place(places, u, position)
            velocity[:] = 0.0
            slope[:] = 0.0
            for k in range(speeds.shape[0] - 1, -1, -1):
                for a in range(3):
                    slope[a] = slope[a] * u + velocity[a]
                    velocity[a] = velocity[a] * u + speeds[k, a]
            value = 0.0
            rate = 0.0
            for a in range(3):
                sight = points[i, a] - position[a]
                value += sight * velocity[a]
                rate += sight * slope[a] / half - velocity[a] * velocity[a]
            step = value / rate
            t -= step
            if abs(step) < _TOLERANCE_S:
                break
            # One arc beyond either end is far outside the image, yet still inside the polynomial's
            # neighbourhood; without the bound a far point would run away.
            t = min(max(t, centre - 3 * half), centre + 3 * half)
        if not abs(step) <= worst:
            worst = abs(step)  # also where it is not a number
        _place(places, (t - centre) / half, position)
        time[i] = t
        total = 0.0
        for a in range(3):
            total += (points[i, a] - position[a]) ** 2
        slant[i] = np.sqrt(total)
    return worst
