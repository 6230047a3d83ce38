"""Refined Lee filter: local statistics on a pixel's own side of an edge (Lee 1981)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cube.kernels.compiled import compiled
from cube.kernels.local_statistics import (
    TILE_LINES,
    TILE_SAMPLES,
    box_sums,
    estimate,
    fill_tile,
    positive_looks,
)
from cube.kernels.multilook import as_image

__all__ = ["REFINED_WINDOW", "refined_lee"]

REFINED_WINDOW = 7
"""Lee (1981) defines sub-windows and edges for this window alone."""

Float32 = NDArray[np.float32]


def _half_windows() -> NDArray[np.int32]:
    """Which of the eight half windows hold a sample of the 7 x 7 window, one bit for each.

    Left, right, upper, lower, upper left, lower right, upper right, lower left; the line between
    two halves belongs to both.
    """
    y, x = np.mgrid[-3:4, -3:4]
    sides = [x <= 0, x >= 0, y <= 0, y >= 0, y + x <= 0, y + x >= 0, x >= y, x <= y]
    bits = np.zeros(y.shape, np.int32)
    for number, side in enumerate(sides):
        bits[side] |= 1 << number
    return bits


HALF_WINDOWS = _half_windows()


@compiled
def _known(mean: float, centre: float) -> float:
    """A sub-window without valid samples shows no edge."""
    return mean if mean == mean else centre


@compiled
def _choose_sides(means, line, side):  # type: ignore[no-untyped-def]
    """Bit of the half window on a pixel's side of the strongest edge, for a row of pixels."""
    above, here, below = means[line], means[line + 2], means[line + 4]
    for j in range(len(side)):
        c = here[j + 2]
        nw, n, ne = _known(above[j], c), _known(above[j + 2], c), _known(above[j + 4], c)
        w, e = _known(here[j], c), _known(here[j + 4], c)
        sw, s, se = _known(below[j], c), _known(below[j + 2], c), _known(below[j + 4], c)
        strongest = abs((nw + w + sw) - (ne + e + se))
        bit = np.int32(1) if abs(w - c) <= abs(e - c) else np.int32(2)
        edge = abs((nw + n + ne) - (sw + s + se))
        other = np.int32(4) if abs(n - c) <= abs(s - c) else np.int32(8)
        bit, strongest = (other, edge) if edge > strongest else (bit, strongest)
        edge = abs((nw + n + w) - (se + s + e))
        other = np.int32(16) if abs(nw - c) <= abs(se - c) else np.int32(32)
        bit, strongest = (other, edge) if edge > strongest else (bit, strongest)
        edge = abs((ne + n + e) - (sw + s + w))
        other = np.int32(64) if abs(ne - c) <= abs(sw - c) else np.int32(128)
        side[j] = other if edge > strongest else bit


@compiled
def _add_side(row, bits, side, total, squares, count):  # type: ignore[no-untyped-def]
    """Add the valid samples of one line of the window that lie in each pixel's half window."""
    zero = np.float32(0)
    for j in range(len(total)):
        s, q, n = total[j], squares[j], count[j]
        for k in range(REFINED_WINDOW):
            value = row[j + k]
            inside = np.float32((value == value) & ((bits[k] & side[j]) != 0))
            taken = value if inside > zero else zero
            s += taken
            q += taken * taken
            n += inside
        total[j], squares[j], count[j] = s, q, n


@compiled
def _finish(value, total, squares, count, noise, out):  # type: ignore[no-untyped-def]
    one, missing = np.float32(1), np.float32(np.nan)
    for j in range(len(out)):
        found = estimate(value[j], total[j], squares[j], count[j], noise, one)
        out[j] = found if value[j] == value[j] else missing


@compiled
def _refined(image, noise):  # type: ignore[no-untyped-def]
    lines, samples = image.shape
    out = np.empty_like(image)
    half = REFINED_WINDOW // 2
    wide = TILE_SAMPLES + 2 * half
    tile = np.empty((TILE_LINES + 2 * half, wide), np.float32)
    down = (np.empty(wide), np.empty(wide), np.empty(wide))
    means = np.empty((TILE_LINES + 2 * half - 2, wide - 2))  # of 3 x 3 samples
    sub_total, sub_squares, sub_count = np.empty(wide - 2), np.empty(wide - 2), np.empty(wide - 2)
    side = np.empty(TILE_SAMPLES, np.int32)
    total, squares = np.empty(TILE_SAMPLES, np.float32), np.empty(TILE_SAMPLES, np.float32)
    count = np.empty(TILE_SAMPLES, np.float32)
    for left in range(0, samples, TILE_SAMPLES):
        stop = min(left + TILE_SAMPLES, samples)
        for top in range(0, lines, TILE_LINES):
            fill_tile(image, top, left, half, tile)
            for i in range(means.shape[0]):
                box_sums(tile, i, 3, down, sub_total, sub_squares, sub_count)
                means[i] = sub_total / sub_count
            for i in range(min(TILE_LINES, lines - top)):
                _choose_sides(means, i, side)
                total[:] = 0
                squares[:] = 0
                count[:] = 0
                for k in range(REFINED_WINDOW):
                    _add_side(tile[i + k], HALF_WINDOWS[k], side, total, squares, count)
                value, row = tile[i + half, half:], out[top + i, left:stop]
                _finish(value, total, squares, count, noise, row)
    return out


def refined_lee(image: NDArray[np.floating], looks: float = 1) -> Float32:
    """Filter of local statistics in the half window on a pixel's side of the edge (Lee 1981).

    In the 7 x 7 window around a pixel the means of nine sub-windows of 3 x 3 samples, two samples
    apart, show the direction of the strongest edge: the largest difference between three of them
    and the opposite three, over four directions. The half window (28 samples, the edge's line
    through the pixel included) whose middle sub-window is closer to the central one gives mean and
    variance of the estimate of `lee`. In equal cases the order is left, right, upper, lower,
    upper left, lower right, upper right, lower left.

    Parameters
    ----------
    image : float, shape (y, x)
        Linear power; NaN marks missing. Computed as float32: the estimate is good to about 1e-6 of
        the local mean. A sub-window without valid samples counts as the central one.
    looks : float
        Equivalent number of looks of the image.

    Returns
    -------
    float32, shape (y, x)
        NaN where the image is NaN. A block needs a halo of 3.

    Raises
    ------
    ValueError
        `image` is not an image, or `looks` is not above 0.

    References
    ----------
    Lee (1981), Refined filtering of image noise using local statistics,
    doi:10.1016/S0146-664X(81)80018-4.

    Examples
    --------
    A step of any height stays where it is:

    >>> step = np.where(np.arange(9) < 5, 1.0, 2.0) * np.ones((9, 1))
    >>> refined_lee(step)[4]
    array([1., 1., 1., 1., 1., 2., 2., 2., 2.], dtype=float32)
    """
    noise = np.float32(1 / positive_looks(looks))
    result: Float32 = _refined(as_image(image, "image"), noise)
    return result
