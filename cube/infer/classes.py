"""Flood classes from what a model says of water and of flood."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cube.kernels.flood import classify

__all__ = ["flood_classes"]


def flood_classes(
    water: NDArray[np.floating],
    flood: NDArray[np.floating],
    permanent: ArrayLike,
    mask: ArrayLike,
    *,
    thresholds: tuple[float, float],
) -> NDArray[np.uint8]:
    """Classes of a pass; water is new where more than half of its probability is flood.

    Parameters
    ----------
    water, flood : float, shape (…, y, x)
        Probabilities; NaN is unknown.
    permanent, mask : integer
        Of a shape that broadcasts to that; see `cube.kernels.flood.classify`.
    thresholds : (float, float)
        What is more probable is water: where `flood` is known, and where it is not; see
        `cube.cards.Card.water_thresholds`.

    Returns
    -------
    uint8, shape (…, y, x)
        0 dry, 1 permanent water, 2 flood, 255 no data.

    Examples
    --------
    >>> water, flood = np.array([0.9, 0.9, 0.2, 0.2]), np.array([0.8, 0.1, 0.1, np.nan])
    >>> flood_classes(water, flood, [255, 255, 0, 0], 0, thresholds=(0.5, 0.1))
    array([2, 1, 0, 2], dtype=uint8)
    """
    chance: NDArray[Any] = np.asarray(water, "float32")
    some = chance > 0
    old = 1 - np.divide(flood, chance, out=np.ones_like(chance), where=some)
    layers = (
        chance,
        np.broadcast_to(np.asarray(permanent, "uint8"), chance.shape),
        old,
        None,
        np.broadcast_to(np.asarray(mask, "uint8"), chance.shape),
    )
    told, untold = (classify(*layers, water=one) for one in thresholds)
    return np.where(np.isnan(flood), untold, told)
