"""Areas of classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def class_area(
    classes: NDArray[np.uint8], cell_area: NDArray[np.float64], values: tuple[int, ...]
) -> NDArray[np.float64]:
    """Total cell area of every class value, in the units of `cell_area`; shape (values,).

    Examples
    --------
    >>> class_area(np.array([[0, 2, 2]], "uint8"), np.array([[1.0, 2.0, 3.0]]), (0, 2))
    array([1., 5.])
    """
    return np.array([cell_area[classes == value].sum() for value in values])
