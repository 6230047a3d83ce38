"""Sums over windows, tile by tile and row by row, and the estimate that is made from them.

Images are worked on in small tiles that stay in the cache. The samples of a window are added in a
fixed order, for all pixels of a row at once: the loops vectorise, and a pixel's bits depend on its
neighbourhood alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cube.kernels.compiled import compiled

__all__ = [
    "TILE_LINES",
    "TILE_SAMPLES",
    "box_sums",
    "estimate",
    "fill_tile",
    "odd_window",
    "positive_looks",
]

TILE_LINES, TILE_SAMPLES = 64, 512
"""Size of a tile without its margin: 150 KB of float32 with it, half of a small L2 cache."""

Float32 = NDArray[np.float32]


def odd_window(window: float) -> int:
    """Side of a window with a centre.

    Raises
    ------
    ValueError
        It is even, below 3 or no whole number.
    """
    if window != int(window) or window < 3 or int(window) % 2 == 0:
        raise ValueError(f"window of {window:g} samples; give an odd size of at least 3")
    return int(window)


def positive_looks(looks: float) -> float:
    """Equivalent number of looks.

    Raises
    ------
    ValueError
        It is not above zero.
    """
    if not 0 < looks < np.inf:
        raise ValueError(f"{looks:g} looks; give a number above 0")
    return float(looks)


@compiled
def fill_tile(image: Float32, top: int, left: int, margin: int, tile: Float32) -> None:
    """Copy a tile that begins at (top, left) with its margin; NaN beyond the image."""
    lines, samples = image.shape
    first = max(0, margin - left)
    stop = min(tile.shape[1], samples - left + margin)
    shift = left - margin
    for i in range(tile.shape[0]):
        line = top - margin + i
        if line < 0 or line >= lines:
            tile[i] = np.nan
        else:
            tile[i, :first] = np.nan
            tile[i, first:stop] = image[line, first + shift : stop + shift]
            tile[i, stop:] = np.nan


@compiled
def estimate(value, total, squares, count, noise, one):  # type: ignore[no-untyped-def]
    """Minimum mean square error estimate from sums over a window; `noise` is 1 / looks.

    All arguments are of one type, in which it computes; `one` is that type's 1.
    """
    zero = one - one
    mean = total / count
    variance = (squares - mean * total) / (count - one) if count > one else zero
    signal = variance - mean * mean * noise
    gain = signal / (variance * (one + noise)) if signal > zero else zero
    return mean + gain * (value - mean)


@compiled
def _add_lines(tile, first, size, total, squares, count):  # type: ignore[no-untyped-def]
    """Add `size` lines of a tile to the sums of its columns."""
    for j in range(len(total)):
        s, q, n = total[j], squares[j], count[j]
        for k in range(first, first + size):
            value = tile[k, j]
            valid = np.float64(value == value)
            taken = np.float64(value) if valid > 0.0 else 0.0
            s += taken
            q += taken * taken
            n += valid
        total[j], squares[j], count[j] = s, q, n


@compiled
def _add_columns(sums, size, out):  # type: ignore[no-untyped-def]
    """Add `size` columns from each one on."""
    for j in range(len(out)):
        total = out[j]
        for k in range(size):
            total += sums[j + k]
        out[j] = total


@compiled
def _across(sums, size, out):  # type: ignore[no-untyped-def]
    out[:] = 0.0
    # a size known to the compiler keeps the sum in a register; the order is the same
    if size == 3:
        _add_columns(sums, 3, out)
    elif size == 5:
        _add_columns(sums, 5, out)
    elif size == 7:
        _add_columns(sums, 7, out)
    else:
        for k in range(size):
            _add_columns(sums[k:], 1, out)


@compiled
def box_sums(tile, line, size, down, total, squares, count):  # type: ignore[no-untyped-def]
    """Sums over the windows of `size` lines from `line` and columns from each one on.

    Down the columns first, then across; `down` holds three scratch rows as wide as the tile.
    """
    down_total, down_squares, down_count = down
    down_total[:] = 0.0
    down_squares[:] = 0.0
    down_count[:] = 0.0
    if size == 3:
        _add_lines(tile, line, 3, down_total, down_squares, down_count)
    elif size == 5:
        _add_lines(tile, line, 5, down_total, down_squares, down_count)
    elif size == 7:
        _add_lines(tile, line, 7, down_total, down_squares, down_count)
    else:
        for k in range(line, line + size):
            _add_lines(tile, k, 1, down_total, down_squares, down_count)
    _across(down_total, size, total)
    _across(down_squares, size, squares)
    _across(down_count, size, count)
