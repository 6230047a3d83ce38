"""What ground each pixel of an image shows: exact solutions on a few nodes, smooth in between.

Over one image the ground position of (line, sample, height) is as smooth as orbit and ellipsoid:
a Chebyshev series through exact solutions is within a millimetre of them, and on a regular grid
of pixels it is two small matrix products.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from cube.simulate.geometry import SPEED_OF_LIGHT, ImageGeometry, ground_point

__all__ = ["GroundMap", "Plane", "ground_map", "solve_terrain"]

Floats = NDArray[np.float64]
Plane = Callable[[Floats, Floats], tuple[Floats, Floats]]
"""Smooth map coordinates (u, v) of latitude and longitude in degrees."""

NODES = 8
"""Chebyshev nodes an axis; images of IW size need no more than that for a millimetre."""
COARSE = 8
"""Pixels between the nodes of the first terrain solution."""


@dataclass(frozen=True, slots=True)
class _Block:
    """Series of one stretch of lines that use the same ground range record."""

    record: int
    first: int
    stop: int
    series: Floats
    """Chebyshev coefficients, shape (2 coordinates, 3 powers of height, NODES, NODES)."""


@dataclass(frozen=True, slots=True)
class GroundMap:
    """Map coordinates of (line, sample, height), for all pixels of one image."""

    geometry: ImageGeometry
    base_height_m: float
    height_step_m: float
    blocks: tuple[_Block, ...]

    def coefficients(self, lines: NDArray[np.intp], cols: NDArray[np.intp]) -> Floats:
        """Powers of the scaled height in u and v, float64 (2, 3, lines, cols).

        Both axes are ascending subsets of the image's lines and samples.
        """
        out = np.empty((2, 3, lines.size, cols.size))
        for block in self.blocks:
            low, high = np.searchsorted(lines, [block.first, block.stop])
            if low == high:
                continue
            values = self._evaluate(block, lines[low:high], cols)
            for row in range(low, high):
                mask = self._mixed(int(lines[row]), cols, block.record)
                if mask is not None:
                    values[:, :, row - low, ~mask] = out[:, :, row, ~mask]
            out[:, :, low:high] = values
        return out

    def _evaluate(self, block: _Block, lines: NDArray[np.intp], cols: NDArray[np.intp]) -> Floats:
        geometry = self.geometry
        rows = chebyshev.chebvander(_scaled(lines, geometry.lines), NODES - 1)
        columns = chebyshev.chebvander(_scaled(cols, geometry.samples), NODES - 1)
        return np.asarray(rows @ block.series @ columns.T)

    def _mixed(self, line: int, cols: NDArray[np.intp], record: int) -> NDArray[np.bool_] | None:
        """Samples of a line that use `record`; None where all do."""
        sharing = [b for b in self.blocks if b.first <= line < b.stop]
        if len(sharing) == 1:
            return None
        time, _ = self.geometry.slant(np.array(float(line)), cols.astype(float))
        return np.asarray(self.geometry.nearest_record(time) == record)

    def locate(self, coefficients: Floats, height_m: Floats) -> tuple[Floats, Floats]:
        """Map coordinates at given heights, from `coefficients` of the same pixels."""
        scaled = (height_m - self.base_height_m) / self.height_step_m
        u, v = (c[0] + scaled * (c[1] + scaled * c[2]) for c in coefficients)
        return u, v


def _scaled(index: NDArray[np.intp], size: int) -> Floats:
    return 2 * index / max(size - 1, 1) - 1.0


def ground_map(geometry: ImageGeometry, plane: Plane, heights_m: tuple[float, float]) -> GroundMap:
    """Fit the series for heights between two bounds.

    Parameters
    ----------
    geometry : ImageGeometry
    plane : Plane
        Smooth coordinates to map to, for example those of a projection.
    heights_m : (low, high)
        Ellipsoidal heights that occur; a parabola between them errs by under a millimetre for
        500 m of relief.
    """
    low, high = heights_m
    step = max((high - low) / 2, 1.0)
    nodes = np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES)
    line = (nodes + 1) / 2 * max(geometry.lines - 1, 1)
    col = (nodes + 1) / 2 * max(geometry.samples - 1, 1)
    corners = np.meshgrid([0.0, geometry.lines - 1.0], [0.0, geometry.samples - 1.0])
    used = geometry.nearest_record(geometry.slant(*corners)[0])
    blocks = []
    inverse = np.linalg.inv(chebyshev.chebvander(nodes, NODES - 1))
    for record in range(int(used.min()), int(used.max()) + 1):
        first, stop = _lines_of(geometry, record)
        distance = geometry.slant_range(np.full(col.shape, record), col)
        residual = 0.5 * (2 * distance / SPEED_OF_LIGHT - geometry.mid_time_s)
        time = geometry.first_line_s + line[:, None] * geometry.line_step_s + residual
        levels = []
        for level in range(3):
            lat, lon = ground_point(geometry.orbit, time, distance, low + level * step)
            levels.append(np.stack(plane(lat, lon)))
        zero, one, two = levels
        powers = np.stack([zero, 2 * one - 1.5 * zero - 0.5 * two, (zero + two) / 2 - one], axis=1)
        blocks.append(_Block(record, first, stop, inverse @ powers @ inverse.T))
    return GroundMap(geometry, low, step, tuple(blocks))


def _lines_of(geometry: ImageGeometry, record: int) -> tuple[int, int]:
    """Lines in which any sample uses a record."""
    line = np.arange(geometry.lines, dtype=float)[:, None]
    time, _ = geometry.slant(line, np.array([0.0, geometry.samples - 1.0]))
    uses = (geometry.nearest_record(time) == record).any(axis=1)
    index = np.flatnonzero(uses)
    return (int(index[0]), int(index[-1]) + 1) if index.size else (0, 0)


def solve_terrain(
    ground: GroundMap, height: Callable[[Floats, Floats], Floats]
) -> tuple[Floats, Floats, Floats]:
    """Height and map coordinates of the terrain point in each pixel.

    The height is the fixed point of ``height(u, v)`` along the circle of the pixel; without
    layover there is just one. A coarse grid is iterated to its end and gives the start and the
    slope of two Newton steps at all pixels.

    Parameters
    ----------
    ground : GroundMap
    height : callable (u, v) -> ellipsoidal height in metres

    Returns
    -------
    height_m, u, v : float64, shape (lines, samples)

    Raises
    ------
    ValueError
        The coarse iteration did not settle: the terrain lies over itself.
    """
    geometry = ground.geometry
    lines, cols = _coarse(geometry.lines), _coarse(geometry.samples)
    coefficients = ground.coefficients(lines, cols)

    def misfit(level: Floats) -> Floats:
        return np.asarray(height(*ground.locate(coefficients, level)), "float64") - level

    start = np.full((lines.size, cols.size), ground.base_height_m + ground.height_step_m)
    before, level = start, start + misfit(start)
    value = misfit(before)
    for _ in range(40):
        fresh = misfit(level)
        if np.abs(fresh).max() < 1e-3:
            break
        change = fresh - value
        slope = np.where(np.abs(change) > 1e-9, (level - before) / np.where(change, change, 1), -1)
        before, value = level, fresh
        level = level - np.clip(slope, -3.0, -0.3) * fresh
    else:
        raise ValueError(f"terrain did not settle: {np.abs(fresh).max():.2f} m off; layover?")
    slope = np.clip(misfit(level + 1.0) - misfit(level), -3.0, -0.3)
    all_lines, all_cols = np.arange(geometry.lines), np.arange(geometry.samples)
    full = _resample(level, lines, cols, all_lines, all_cols)
    fine_slope = _resample(slope, lines, cols, all_lines, all_cols)
    coefficients = ground.coefficients(all_lines, all_cols)
    for _ in range(2):
        u, v = ground.locate(coefficients, full)
        full -= (np.asarray(height(u, v)) - full) / fine_slope
    u, v = ground.locate(coefficients, full)
    return full, u, v


def _coarse(size: int) -> NDArray[np.intp]:
    return np.unique(np.append(np.arange(0, size, COARSE), size - 1))


def _resample(
    values: Floats,
    lines: NDArray[np.intp],
    cols: NDArray[np.intp],
    all_lines: NDArray[np.intp],
    all_cols: NDArray[np.intp],
) -> Floats:
    """Bilinear interpolation between regular grids."""
    rows = np.stack([np.interp(all_cols, cols, row) for row in values])
    at = np.interp(all_lines, lines, np.arange(lines.size))
    low = np.minimum(at.astype(int), lines.size - 2) if lines.size > 1 else np.zeros(at.size, int)
    part = (at - low)[:, None]
    high = np.minimum(low + 1, lines.size - 1)
    return np.asarray(rows[low] * (1 - part) + rows[high] * part)
