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
    threshold: float,
) -> NDArray[np.uint8]:
    """Classes of a pass; water is new where more than half of its probability is flood.

    Parameters
    ----------
    water, flood : float, shape (…, y, x)
        Probabilities; NaN is unknown.
    permanent, mask : integer
        Of a shape that broadcasts to that; see `cube.kernels.flood.classify`.
    threshold : float
        What is more probable is water.

    Returns
    -------
    uint8, shape (…, y, x)
        0 dry, 1 permanent water, 2 flood, 255 no data.

    Examples
    --------
    >>> flood_classes(np.array([0.9, 0.9, 0.2]), np.array([0.8, 0.1, 0.1]), 255, 0, threshold=0.5)
    array([2, 1, 0], dtype=uint8)
    """
    chance: NDArray[Any] = np.asarray(water, "float32")
    some = chance > 0
    old = 1 - np.divide(flood, chance, out=np.ones_like(chance), where=some)
    shape = chance.shape
    return classify(
        chance,
        np.broadcast_to(np.asarray(permanent, "uint8"), shape),
        old,
        None,
        np.broadcast_to(np.asarray(mask, "uint8"), shape),
        water=threshold,
    )
