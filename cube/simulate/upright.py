"""What stands upright or slopes, as a radar that looks to one side sees it.

What stands h above its surroundings is seen ``h / tan(incidence)`` nearer to the radar than it
stands, over the echo of the ground there, and the ground ``h * tan(incidence)`` behind it is in
its shadow (Ulaby, Moore and Fung 1982, Microwave Remote Sensing II, 7-6 and 7-7). One or two pixels
of 10 m: as much as a ditch or the shore of a river between trees.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cube.simulate.landscapes import Landscape
from cube.simulate.world import Cover

__all__ = ["lay_over", "terrain_db", "walls_db"]

Singles = NDArray[np.float32]

FURTHEST = 2
"""Pixels that anything is displaced by, at most."""


def lay_over(
    powers: tuple[Singles, ...], height_m: Singles, side: int, incidence_deg: float, pixel_m: float
) -> tuple[tuple[Singles, ...], Singles]:
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
    images : tuple of float32, shape (y, x)
    covered : float32, shape (y, x)
        Share of a pixel that lies under what stands elsewhere.

    Examples
    --------
    A wall of 10 m, seen from the left at 45 degrees, is one pixel nearer and hides one behind it:

    >>> height = np.array([[0, 0, 10, 0, 0]], "float32")
    >>> power = np.array([[1, 1, 5, 1, 1]], "float32")
    >>> (image,), covered = lay_over((power,), height, 1, 45.0, 10.0)
    >>> image.round(3), covered.round(3)
    (array([[1., 6., 5., 0., 1.]], dtype=float32), array([[0., 1., 0., 0., 0.]], dtype=float32))
    """
    slope = math.tan(math.radians(incidence_deg))
    out = tuple(power.copy() for power in powers)
    lit, covered = np.ones(height_m.shape, "float32"), np.zeros(height_m.shape, "float32")
    for step in range(1, FURTHEST + 1):
        behind, before = _moved(height_m, side * step), _moved(height_m, -side * step)
        near = np.clip((behind - height_m) / np.float32(slope * pixel_m) - (step - 1), 0, 1)
        far = np.clip((before - height_m) * np.float32(slope / pixel_m) - (step - 1), 0, 1)
        lit *= 1 - far
        np.maximum(covered, near, out=covered)
        for power, seen in zip(powers, out, strict=True):
            seen += near * _moved(power, side * step)
    return tuple(seen * lit for seen in out), covered


def _moved(values: Singles, columns: int) -> Singles:
    """What is this many columns further, that of the edge beyond it."""
    count = values.shape[1]
    return values[:, np.clip(np.arange(count) + columns, 0, count - 1)]


def walls_db(land: Landscape, generator: np.random.Generator) -> Singles:
    """Houses and farms, which reflect by their corners: very bright, pixel by pixel.

    Decibels to be added to VV, float32 (y, x), drawn anew with every call; corners along the track
    turn little of it to VH, others much.
    """
    shape = land.cover.shape
    town = land.cover == Cover.URBAN
    rough = gaussian_filter(generator.standard_normal(shape, dtype="float32"), 0.6)
    rough *= np.float32(generator.uniform(2, 5) / 0.47)  # 0.47: what the filter leaves of 1
    farms = np.zeros(shape, "float32")
    count = int(generator.exponential(1.5e-4) * farms.size)
    farms.ravel()[generator.integers(farms.size, size=count)] = generator.uniform(50, 1500, count)
    bright = 10 * np.log10(1 + gaussian_filter(farms, generator.uniform(0.5, 1.2)))
    lift = np.float32(generator.uniform(0, 7))
    return np.asarray(np.where(town, rough + lift, bright), "float32")


def terrain_db(
    land: Landscape, incidence: float, side: int, generator: np.random.Generator
) -> Singles:
    """Slopes towards the radar are bright, away from it dark, black in its shadow.

    Decibels to be added, float32 (y, x); `side` as in `lay_over`. How strong they are is drawn anew
    with every call, since terrain correction takes away more or less of it.
    """
    slope = np.float32(side) * land.slope[0]
    relative = slope / np.float32(math.tan(math.radians(incidence)))
    flattened = generator.random() < 0.5  # what terrain correction leaves
    gain = np.float32(generator.uniform(0.5, 2.0) if flattened else generator.uniform(4, 10))
    out = np.clip(gain * relative, -6, 6)
    away = -slope * np.float32(math.tan(math.radians(incidence)))
    return np.where(away > 1, np.float32(-14), out).astype("float32")
