"""Bilinear sampling at absolute coordinates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cube.kernels.compiled import compiled


@compiled
def _bilinear(values, row0, col0, row, col, out):  # type: ignore[no-untyped-def]
    height, width = np.uint64(values.shape[0]), np.uint64(values.shape[1])
    for i in range(row.shape[0]):
        for j in range(row.shape[1]):
            y, x = row[i, j], col[i, j]
            if not (y == y and x == x) or out[i, j] == out[i, j]:
                continue
            # floor of the absolute coordinate: the same sample whatever window holds it
            fy, fx = np.floor(y), np.floor(x)
            # unsigned: what lies before the window is beyond it, and no index is counted backwards
            r, c = np.uint64(int(fy) - row0), np.uint64(int(fx) - col0)
            wy, wx = np.float32(y - fy), np.float32(x - fx)
            if r >= height or c >= width:
                continue
            # a neighbour of weight zero may lie outside, or be missing
            r1 = r + np.uint64(wy > 0)
            c1 = c + np.uint64(wx > 0)
            if r1 >= height or c1 >= width:
                continue
            top = values[r, c] * (np.float32(1) - wx) + values[r, c1] * wx
            bottom = values[r1, c] * (np.float32(1) - wx) + values[r1, c1] * wx
            out[i, j] = top * (np.float32(1) - wy) + bottom * wy


def bilinear(
    values: NDArray[np.float32],
    origin: tuple[int, int],
    row: NDArray[np.float64],
    col: NDArray[np.float64],
    out: NDArray[np.float32],
) -> None:
    """Sample a window bilinearly where `out` is still NaN.

    Parameters
    ----------
    values : float32, shape (lines, samples)
        Window of an image; NaN makes its neighbours NaN.
    origin : (line, sample)
        Image coordinates of ``values[0, 0]``.
    row, col : float64, shape (y, x)
        Image coordinates to sample; NaN is left alone.
    out : float32, shape (y, x)
        Filled in place where it is NaN, so that an earlier slice keeps precedence.

    Examples
    --------
    >>> out = np.full((1, 1), np.nan, "float32")
    >>> window = np.array([[0, 1], [2, 3]], "float32")
    >>> bilinear(window, (10, 20), np.array([[10.5]]), np.array([[20.5]]), out)
    >>> float(out[0, 0])
    1.5
    """
    _bilinear(values, origin[0], origin[1], row, col, out)


@compiled
def raise_to_floor(values, floor):  # type: ignore[no-untyped-def]
    """Raise values at or below zero to `floor`, in place; NaN stays."""
    flat = values.ravel()
    for k in range(flat.size):
        flat[k] = floor if flat[k] <= 0 else flat[k]


@compiled
def inside_bounds(row, col, lines, samples):  # type: ignore[no-untyped-def]
    """Lowest and highest row and column among the coordinates inside an image.

    The lowest exceeds the highest where there is none; NaN is outside.
    """
    low_row, high_row, low_col, high_col = np.inf, -np.inf, np.inf, -np.inf
    for i in range(row.shape[0]):
        for j in range(row.shape[1]):
            y, x = row[i, j], col[i, j]
            if 0 <= y <= lines - 1 and 0 <= x <= samples - 1:
                low_row, high_row = min(low_row, y), max(high_row, y)
                low_col, high_col = min(low_col, x), max(high_col, x)
    return low_row, high_row, low_col, high_col


@compiled
def touched_tiles(row, col, lines, samples, tile_lines, tile_samples):  # type: ignore[no-untyped-def]
    """Tiles of an image that hold a bilinear neighbour of any coordinate inside it.

    Returns a boolean array of shape (tiles down, tiles across).
    """
    down = (lines + tile_lines - 1) // tile_lines
    across = (samples + tile_samples - 1) // tile_samples
    touched = np.zeros((down, across), np.bool_)
    for i in range(row.shape[0]):
        for j in range(row.shape[1]):
            y, x = row[i, j], col[i, j]
            if 0 <= y <= lines - 1 and 0 <= x <= samples - 1:
                r, c = int(y), int(x)
                r1, c1 = (
                    min(r + 1, lines - 1) // tile_lines,
                    min(c + 1, samples - 1) // tile_samples,
                )
                touched[r // tile_lines, c // tile_samples] = True
                touched[r1, c // tile_samples] = True
                touched[r // tile_lines, c1] = True
                touched[r1, c1] = True
    return touched


@compiled
def to_centres(at, count):  # type: ignore[no-untyped-def]
    """Bring coordinates on the outer half of the outermost pixels to their centres, in place."""
    flat = at.ravel()
    for k in range(flat.size):
        v = flat[k]
        v = 0.0 if (v >= -0.5) & (v < 0.0) else v
        flat[k] = count - 1.0 if (v > count - 1.0) & (v <= count - 0.5) else v
