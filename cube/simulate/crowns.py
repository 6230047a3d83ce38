"""Layover and shadow of trees and houses, which a radar that looks to one side sees out of place.

What stands h above its surroundings is seen ``h / tan(incidence)`` nearer to the radar than it
stands, over the echo of the ground there, and the ground ``h * tan(incidence)`` behind it is in
its shadow (Ulaby, Moore and Fung 1982, Microwave Remote Sensing II, 7-6 and 7-7). One or two pixels
of 10 m: as much as a ditch or the shore of a river between trees.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["lay_over"]

Singles = NDArray[np.float32]

FURTHEST = 2
"""Pixels that anything is displaced by, at most."""


def lay_over(
    powers: tuple[Singles, ...], height_m: Singles, side: int, incidence_deg: float, pixel_m: float
) -> tuple[Singles, ...]:
    """Images with what stands on the ground where the radar sees it.

    Parameters
    ----------
    powers : tuple of float32, shape (y, x)
        Linear power as if everything was flat.
    height_m : float32, shape (y, x)
        Of what stands on the ground or out of the water.
    side : int
        1 if the radar is at columns before the first, -1 if after the last.
    incidence_deg, pixel_m : float

    Returns
    -------
    tuple of float32, shape (y, x)

    Examples
    --------
    A wall of 10 m, seen from the left at 45 degrees, is one pixel nearer and hides one behind it:

    >>> height = np.array([[0, 0, 10, 0, 0]], "float32")
    >>> power = np.array([[1, 1, 5, 1, 1]], "float32")
    >>> lay_over((power,), height, 1, 45.0, 10.0)[0].round(3)
    array([[1., 6., 5., 0., 1.]], dtype=float32)
    """
    slope = math.tan(math.radians(incidence_deg))
    out = tuple(power.copy() for power in powers)
    lit = np.ones(height_m.shape, "float32")
    for step in range(1, FURTHEST + 1):
        behind, before = _moved(height_m, side * step), _moved(height_m, -side * step)
        near = np.clip((behind - height_m) / np.float32(slope * pixel_m) - (step - 1), 0, 1)
        far = np.clip((before - height_m) * np.float32(slope / pixel_m) - (step - 1), 0, 1)
        lit *= 1 - far
        for power, seen in zip(powers, out, strict=True):
            seen += near * _moved(power, side * step)
    return tuple(seen * lit for seen in out)


def _moved(values: Singles, columns: int) -> Singles:
    """What is this many columns further, that of the edge beyond it."""
    count = values.shape[1]
    return values[:, np.clip(np.arange(count) + columns, 0, count - 1)]
