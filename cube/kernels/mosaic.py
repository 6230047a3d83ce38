"""Slices of a pass freed of what is no data and laid under one another, each in one sweep."""

from __future__ import annotations

from cube.kernels.compiled import compiled

__all__ = ["blank", "lay_under", "settle"]


@compiled
def blank(values, nodata):  # type: ignore[no-untyped-def]
    """Make NaN of zero and of `nodata`, which may be NaN itself, in place.

    Examples
    --------
    >>> import numpy as np
    >>> power = np.array([0.5, 0.0, -9.0, -0.5, np.nan], "float32")
    >>> blank(power, np.float32(-9))
    >>> power.tolist()
    [0.5, nan, nan, -0.5, nan]
    """
    flat = values.ravel()
    for k in range(flat.size):
        if flat[k] == 0 or flat[k] == nodata:
            flat[k] = float("nan")


@compiled
def settle(values, floor):  # type: ignore[no-untyped-def]
    """Make no data of zero and `floor` of what lies below it, in place.

    Parameters
    ----------
    values : float32, contiguous
        Linear power; NaN or zero is no data.
    floor : float32

    Returns
    -------
    int
        How many are without data.

    Examples
    --------
    >>> import numpy as np
    >>> power = np.array([0.5, 0.0, -0.5, np.nan], "float32")
    >>> settle(power, np.float32(1e-5)), power.tolist()[:2], bool(power[2] == np.float32(1e-5))
    (2, [0.5, nan], True)
    """
    flat = values.ravel()
    missing = 0
    for k in range(flat.size):
        value = flat[k]
        if value > 0:
            continue
        if value < 0:
            flat[k] = floor
        else:
            flat[k] = float("nan")
            missing += 1
    return missing


@compiled
def lay_under(values, later, floor):  # type: ignore[no-untyped-def]
    """Fill what is NaN in `values` from `later`, as `settle` would make it, in place.

    Returns
    -------
    int
        How many are still without data.
    """
    flat, below = values.ravel(), later.ravel()
    missing = 0
    for k in range(flat.size):
        if flat[k] == flat[k]:
            continue
        value = below[k]
        if value > 0:
            flat[k] = value
        elif value < 0:
            flat[k] = floor
        else:
            missing += 1
    return missing
