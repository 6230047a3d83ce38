"""Small patches of a class taken out of a map."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import generate_binary_structure, label

__all__ = ["sieve"]


def sieve(
    classes: NDArray[np.integer],
    least: int,
    value: int = 2,
    into: int = 0,
    connectivity: int = 8,
) -> NDArray[Any]:
    """Give patches of a class that are smaller than `least` pixels another class.

    Unlike GDAL's sieve filter, which gives small patches to their largest neighbour whatever it is,
    only one class is sieved and no other pixel changes.

    A block with ``least - 1`` samples around it gives the values of the whole: a patch that reaches
    further from any of its pixels has as many.

    Parameters
    ----------
    classes : integer, shape (y, x)
    least : int
        Pixels that a patch needs to stay.
    value, into : int
        The class, and what takes its place.
    connectivity : int
        4, or 8 where corners connect.

    Returns
    -------
    array of the type and shape of `classes`

    Raises
    ------
    ValueError
        `least` is below 1, `connectivity` is neither, or `classes` is no map.

    Examples
    --------
    >>> sieve(np.array([[2, 0, 2], [0, 0, 2]], "uint8"), 2)
    array([[0, 0, 2],
           [0, 0, 2]], dtype=uint8)
    """
    image = np.asarray(classes)
    if image.ndim != 2:
        raise ValueError(f"classes have shape {image.shape}; expected two axes (y, x)")
    if least < 1:
        raise ValueError(f"patches of at least {least} pixels; give 1 or more")
    if connectivity not in (4, 8):
        raise ValueError(f"connectivity {connectivity}; give 4 or 8")
    out = image.copy()
    if least == 1:
        return out
    parts, _ = label(image == value, generate_binary_structure(2, 1 if connectivity == 4 else 2))
    small = np.bincount(parts.ravel()) < least
    small[0] = False
    out[small[parts]] = into
    return out
