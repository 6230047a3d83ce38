"""What heights say about water: ground as high as what is flooded around is likely flooded too.

Plants and walls hide water from the radar, not from the terrain. Around every place the
probability of water is tallied by height above the level of the water there; where it falls with
height, as it does over even a poor DEM, a pixel is told by its height as well. Nothing is assumed
of the DEM: if it is too rough for the flood, the tallies are flat and change nothing. That the
surface of a flood is found from its outline and a DEM is the idea of Matgen et al. 2007 (Hydrol.
Earth Syst. Sci. 11) and Cohen et al. 2018 (FwDET, J. Am. Water Resour. Assoc. 54); the tallies are
empirical Bayes: given the class, height and backscatter are taken as independent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

__all__ = ["CELL", "Curves", "learnt", "posterior", "put_together"]

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

CELL = 64
"""Rows and columns of pixels of a cell."""
LOWEST_M, STEP_M, BINS = -8.0, 0.25, 80
"""Heights above the water level that are told apart: from 8 m below to 12 m above."""
BLUR_BINS = 1.2
"""Tallies are smoothed over 0.3 m: relative errors of a good DEM."""
FEW = 0.001 * CELL * CELL
"""Pixels of a cell and bin that weigh as much as what is known without heights."""
_LEAST = 1e-4
_WET = 1e-3
"""Share of water around a place below which it has no level."""


@dataclass(frozen=True)
class Curves:
    """What heights say at each cell.

    Attributes
    ----------
    level_m : float32, shape (cell_y, cell_x)
        Level of the water around.
    evidence : float32, shape (BINS, cell_y, cell_x)
        Logarithm of the odds of water at a height against those without it.
    """

    level_m: Float32
    evidence: Float32


def _cells(shape: tuple[int, int], top: int, left: int) -> tuple[NDArray[np.intp], int, int]:
    """Number of the cell of each pixel of a block, counted from the block's first; their shape."""
    row = (np.arange(shape[0]) + top) // CELL - top // CELL
    col = (np.arange(shape[1]) + left) // CELL - left // CELL
    wide = int(col[-1]) + 1
    return row[:, None] * wide + col[None], int(row[-1]) + 1, wide


def level_sums(chance: Float32, height: Float32, top: int, left: int) -> Float64:
    """Sums over the cells of a block: pixels, water, water times height.

    Parameters
    ----------
    chance, height : float32, shape (y, x)
        Probability of water, and metres above anything; NaN is not counted.
    top, left : int
        Place of the block, from which cells are counted.

    Returns
    -------
    float64, shape (3, cell_y, cell_x)
        From the cell that the first pixel lies in.
    """
    place, rows, cols = _cells((chance.shape[0], chance.shape[1]), top, left)
    known = np.isfinite(chance) & np.isfinite(height)
    where, water = place[known], chance[known].astype("float64")
    weights = None, water, water * height[known]
    sums = [np.bincount(where, one, rows * cols).reshape(rows, cols) for one in weights]
    return np.stack(sums)


def levels(sums: Float64, reach: float) -> Float32:
    """Level of the water around each cell, metres; NaN where there is none.

    Parameters
    ----------
    sums : float64, shape (3, cell_y, cell_x)
        Those of `level_sums`.
    reach : float
        Standard deviation in cells of the surroundings that count.
    """
    pixels, water, weighted = (gaussian_filter(one, reach, mode="constant") for one in sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(water > _WET * pixels, weighted / water, np.nan)
    return found.astype("float32")


def _relative(
    height: Float32, level: Float32, top: int, left: int
) -> tuple[Float32, tuple[Float32, Float32]]:
    """Bin of each pixel, a fraction; and its place among the cells."""
    row = ((np.arange(height.shape[0], dtype="float32") + top + 0.5) / CELL - 0.5)[:, None]
    col = ((np.arange(height.shape[1], dtype="float32") + left + 0.5) / CELL - 0.5)[None]
    where = tuple(np.broadcast_arrays(row, col))
    surface = map_coordinates(level, where, order=1, mode="nearest")
    found = (height - surface - np.float32(LOWEST_M)) / np.float32(STEP_M)
    return found.astype("float32"), (where[0], where[1])


def tallies(
    chance: Float32,
    height: Float32,
    top: int,
    left: int,
    level: Float32,
    known: Curves | None = None,
) -> Float64:
    """Pixels and water of a block by cell and height above the level.

    Parameters
    ----------
    chance, height : float32, shape (y, x)
    top, left : int
        As for `level_sums`.
    level : float32, shape (cell_y, cell_x)
    known : Curves, optional
        What heights were found to say: water is then counted by both.

    Returns
    -------
    float64, shape (2, BINS, cell_y, cell_x)
        From the cell that the first pixel lies in; what is higher or lower is not counted.
    """
    place, rows, cols = _cells((chance.shape[0], chance.shape[1]), top, left)
    chance = chance if known is None else posterior(chance, height, known, top, left)
    bins, _ = _relative(height, level, top, left)
    number = np.rint(bins)
    near = np.isfinite(chance) & (number >= 0) & (number < BINS)
    where = number[near].astype("intp") * (rows * cols) + place[near]
    weights = None, chance[near].astype("float64")
    sums = [np.bincount(where, one, BINS * rows * cols) for one in weights]
    return np.stack([one.reshape(BINS, rows, cols) for one in sums])  # counts become float64


def curves(level: Float32, counted: Float64, reach: float, again: Float64 | None = None) -> Curves:
    """Curves from the tallies of all cells.

    Parameters
    ----------
    level : float32, shape (cell_y, cell_x)
    counted : float64, shape (2, BINS, cell_y, cell_x)
        Those of `tallies`.
    reach : float
        As for `levels`.
    again : float64, shape (2, BINS, cell_y, cell_x), optional
        Tallies by radar and first curves. These are steps of expectation and maximisation (Dempster
        et al. 1977, J. R. Stat. Soc. B 39): hidden water counts as dry at first.
    """
    sigma = BLUR_BINS, reach, reach

    def around(one: Float64) -> Float64:
        return np.asarray(gaussian_filter(one, sigma, mode="constant", truncate=3))

    pixels, first = around(counted[0]), around(counted[1])
    water = first if again is None else around(again[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        before = first.sum(axis=0) / pixels.sum(axis=0)
        at_height = (water + FEW * before) / (pixels + FEW)
        told = _logit(at_height) - _logit(before)
    told = np.where(np.isfinite(told) & np.isfinite(level), told, 0)
    return Curves(level, told.astype("float32"))


def learnt(
    summed: Callable[..., Any], reach: float, call: Callable[[Any], Any] = lambda function: function
) -> Any:
    """Curves of a plane, by passes over its blocks.

    Parameters
    ----------
    summed : callable
        Given one of `level_sums` and `tallies` and what it takes beyond a block, the `put_together`
        results of all blocks.
    reach : float
        As for `levels`.
    call : callable, optional
        What makes functions lazy, where `summed` is.

    Returns
    -------
    Curves
    """
    level = call(levels)(summed(level_sums), reach)
    counted = summed(tallies, level)
    again = summed(tallies, level, call(curves)(level, counted, reach))
    return call(curves)(level, counted, reach, again)


def put_together(
    parts: Sequence[NDArray[Any]], corners: Sequence[tuple[int, int]], shape: tuple[int, int]
) -> Float64:
    """Cells of a plane of that shape from those of its blocks, by their first row and column."""
    cells = tuple(-(-size // CELL) for size in shape)
    out = np.zeros((*parts[0].shape[:-2], *cells))
    for part, (top, left) in zip(parts, corners, strict=True):
        row, col = top // CELL, left // CELL
        # added, since a cell may lie in several blocks
        out[..., row : row + part.shape[-2], col : col + part.shape[-1]] += part
    return out


def _logit(chance: Float64) -> Float64:
    kept = np.clip(chance, _LEAST, 1 - _LEAST)
    return np.asarray(np.log(kept / (1 - kept)))


def posterior(chance: Float32, height: Float32, known: Curves, top: int, left: int) -> Float32:
    """Probability of water with what the heights around say.

    Parameters
    ----------
    chance, height : float32, shape (y, x)
    known : Curves
    top, left : int
        As for `level_sums`.

    Returns
    -------
    float32, shape (y, x)
        `chance` where there is no height, no water around, or ground far from its level.
    """
    bins, where = _relative(height, known.level_m, top, left)
    inside = np.isfinite(chance) & (bins >= 0) & (bins <= BINS - 1)
    out = chance.copy()
    if inside.any():
        place = (bins[inside], where[0][inside], where[1][inside])
        told = map_coordinates(known.evidence, place, order=1, mode="nearest")
        odds = _logit(chance[inside].astype("float64")) + told
        out[inside] = 1 / (1 + np.exp(-odds))
    return out
