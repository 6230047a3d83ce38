"""Slope of the ground from heights on a grid in metres."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cube.kernels.compiled import compiled

__all__ = ["HALO", "slope", "steeper"]

HALO = 1
"""Samples that `slope` looks beyond each side of a block."""

Float32 = NDArray[np.float32]


@compiled
def _difference(before: float, here: float, after: float) -> float:
    """Height gained per sample: central, one-sided beside a gap, NaN where neither is possible."""
    if np.isnan(before):
        return after - here
    if np.isnan(after):
        return here - before
    return 0.5 * (after - before)


@compiled
def _slope(height: Float32, size_y: float, size_x: float) -> Float32:
    lines, samples = height.shape
    out = np.empty_like(height)
    near = np.empty((3, 3))
    for line in range(lines):
        for sample in range(samples):
            if np.isnan(height[line, sample]):
                out[line, sample] = np.nan
                continue
            for i in range(3):
                for j in range(3):
                    row, column = line + i - 1, sample + j - 1
                    inside = 0 <= row < lines and 0 <= column < samples
                    near[i, j] = height[row, column] if inside else np.nan
            rise_x, rise_y, weight_x, weight_y = 0.0, 0.0, 0.0, 0.0
            for k in range(3):
                weight = 2.0 if k == 1 else 1.0
                along = _difference(near[k, 0], near[k, 1], near[k, 2])
                down = _difference(near[0, k], near[1, k], near[2, k])
                if not np.isnan(along):
                    rise_x += weight * along
                    weight_x += weight
                if not np.isnan(down):
                    rise_y += weight * down
                    weight_y += weight
            if weight_x == 0.0 or weight_y == 0.0:
                out[line, sample] = np.nan
                continue
            gradient = np.hypot(rise_x / (weight_x * size_x), rise_y / (weight_y * size_y))
            out[line, sample] = np.degrees(np.arctan(gradient))
    return out


def slope(height: NDArray[np.floating], size_y: float, size_x: float) -> Float32:
    """Steepest slope of the ground (Horn 1981, eq. 3 and 4: weights 1, 2, 1).

    Beside a gap or the border the difference is one-sided, so a plane has its slope everywhere.

    Parameters
    ----------
    height : float, shape (y, x)
        Metres; NaN marks missing. Computed as float32.
    size_y, size_x : float
        Size of a sample in metres; only the magnitude matters.

    Returns
    -------
    float32, shape (y, x)
        Degrees, 0 to 90. NaN where the height is missing, or has no neighbour along one axis.
        With a halo of `HALO` samples a block gives the bits of the whole.

    Raises
    ------
    ValueError
        `height` is not an image, or a size is zero or not finite.

    Examples
    --------
    >>> slope(np.outer(np.arange(3.0), np.ones(3)) * 10, 10.0, 10.0)[1]
    array([45., 45., 45.], dtype=float32)
    """
    if not (np.isfinite(size_y) and np.isfinite(size_x) and size_y != 0 and size_x != 0):
        raise ValueError(f"samples of {size_y:g} x {size_x:g} m; give finite sizes other than 0")
    image = np.ascontiguousarray(height, dtype=np.float32)
    if image.ndim != 2:
        raise ValueError(f"height has shape {image.shape}; expected two axes (y, x)")
    result: Float32 = _slope(image, abs(float(size_y)), abs(float(size_x)))
    return result


@compiled
def _steeper(height: Float32, size_y: float, size_x: float, limit: float) -> NDArray[np.bool_]:
    lines, samples = height.shape
    out = np.empty((lines - 2, samples - 2), np.bool_)
    by_y, by_x = 0.125 / size_y, 0.125 / size_x
    for i in range(lines - 2):
        for j in range(samples - 2):
            z00, z01, z02 = height[i, j], height[i, j + 1], height[i, j + 2]
            z10, z12 = height[i + 1, j], height[i + 1, j + 2]
            z20, z21, z22 = height[i + 2, j], height[i + 2, j + 1], height[i + 2, j + 2]
            dx = (z02 - z00 + 2 * (z12 - z10) + z22 - z20) * by_x
            dy = (z20 - z00 + 2 * (z21 - z01) + z22 - z02) * by_y
            out[i, j] = dx * dx + dy * dy > limit
    return out


def steeper(
    height: NDArray[np.float32], size_y: float, size_x: float, degrees: float
) -> NDArray[np.bool_]:
    """Whether the ground is steeper than a limit (Horn 1981), without the angle itself.

    Parameters
    ----------
    height : float32, shape (y + 2, x + 2)
        Metres, with a halo of one sample.
    size_y, size_x : float
        Size of a sample in metres.
    degrees : float

    Returns
    -------
    bool, shape (y, x)
        False beside missing heights, where the slope is not known.

    Examples
    --------
    >>> steeper(np.outer(np.arange(3.0), np.ones(3)).astype("float32") * 10, 10.0, 10.0, 44.0)
    array([[ True]])
    """
    limit = np.tan(np.radians(degrees)) ** 2
    result: NDArray[np.bool_] = _steeper(height, float(size_y), float(size_x), float(limit))
    return result
