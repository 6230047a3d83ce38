"""How far beyond a block the ground matters to it: what may share its radar cells, or hide it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy.ndimage import maximum_filter, minimum_filter

from cube.chunks import block_counts
from cube.grid import crs_of, lonlat_bounds, shape_of
from cube.readers.access import file_state
from cube.readers.dem import Dem
from cube.readers.raster import read_window
from cube.steps.heights import pixel_metres

__all__ = ["MOST_HALO", "STEP", "Reach", "Relief", "level_reach", "reach_of", "read_relief"]

STEP = 32
"""Pixels between points of the lattice that lines of sight are interpolated on; windows begin and
end on it. The line of sight turns by 0.001 degree over 320 m. A power of two, so that fractions of
it are exact wherever a block begins."""
MOST_HALO = 768
"""Pixels: 4 km of relief within 7.7 km at 10 m. Ground farther away is not looked at."""
_BIN = 128  # pixels of the grid
_REST = 64  # pixels: a DEM cell's own size, and the cells beside a pixel's
_CELL = 16  # samples of the DEM whose heights are summed up as lowest and highest, at most
_LEAST_HALO = 64  # pixels, whatever the relief
_STRIP = 256  # rows of the DEM read at once


@dataclass(frozen=True)
class Relief:
    """Lowest and highest ground in bins of 128 pixels, on the grid and around it.

    Attributes
    ----------
    low, high : float32, shape (rows, cols)
        Metres; infinite where nothing is known.
    rings : int
        Bins in front of the grid's first one.
    """

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    rings: int


def read_relief(grid: GeoBox, dem: Dem) -> Relief:
    """Sum a DEM up, as far as blocks of the grid may want to know it.

    Reads the DEM once a process and state of the file, in strips; heights above the geoid do,
    since it rises by centimetres a kilometre.
    """
    return _read_relief(grid, dem, file_state(dem.raster.path))


@lru_cache(maxsize=2)
def _read_relief(grid: GeoBox, dem: Dem, state: tuple[int, int] | None) -> Relief:
    rings = MOST_HALO // _BIN + 1
    shape = tuple(-(-size // _BIN) + 2 * rings for size in shape_of(grid))
    low, high = np.full(shape, np.inf, "float32"), np.full(shape, -np.inf, "float32")
    raster = dem.raster
    rows, cols = _part(grid, dem)
    spacing = _spacing(grid, dem)  # pixels of the grid
    cell = int(np.clip(_BIN / 2 / spacing, 1, _CELL))
    to_grid = raster.transformer_to(crs_of(grid).to_wkt())
    inverse = ~grid.affine
    for first in range(rows.start, rows.stop, _STRIP):
        strip = slice(first, min(first + _STRIP, rows.stop))
        values = read_window(raster, strip, cols).astype("float32")
        if raster.nodata is not None:
            values[values == np.float32(raster.nodata)] = np.nan
        least, most = _extremes(values, cell)
        at_row = strip.start + cell * np.arange(least.shape[0]) + cell / 2
        at_col = cols.start + cell * np.arange(least.shape[1]) + cell / 2
        a, _, c, _, e, f = raster.transform
        x, y = to_grid.transform(*np.meshgrid(c + a * at_col, f + e * at_row))
        col, row = inverse * (np.asarray(x), np.asarray(y))
        keep = np.isfinite(least) & np.isfinite(col) & np.isfinite(row)
        bins = [
            np.floor(np.where(keep, at, -1e9) / _BIN).astype("int64") + rings for at in (row, col)
        ]
        for axis in (0, 1):
            keep &= (bins[axis] >= 0) & (bins[axis] < shape[axis])
        place = bins[0][keep], bins[1][keep]
        np.minimum.at(low, place, least[keep])
        np.maximum.at(high, place, most[keep])
    if spacing > _BIN / 2:  # bins between the samples of a coarse DEM hold what is around them
        wide = 2 * int(np.ceil(spacing / _BIN)) + 1
        low, high = minimum_filter(low, wide), maximum_filter(high, wide)
    return Relief(low, high, rings)


def _spacing(grid: GeoBox, dem: Dem) -> float:
    """Spacing of a DEM in pixels of the grid, roughly: a degree is 111 km."""
    size = max(dem.raster.spacing) * (111_000.0 if dem.raster.geographic else 1.0)
    return float(size / min(pixel_metres(grid)))


def _part(grid: GeoBox, dem: Dem) -> tuple[slice, slice]:
    """Rows and columns of the DEM on the grid and around it."""
    margin = MOST_HALO * max(pixel_metres(grid)) / 111_000.0
    west, south, east, north = lonlat_bounds(grid)
    wide = margin / max(np.cos(np.radians(max(abs(south), abs(north)))), 0.02)
    lon, lat = np.meshgrid(
        np.linspace(west - wide, east + wide, 17),
        np.linspace(max(south - margin, -90.0), min(north + margin, 90.0), 17),
    )
    x, y = dem.raster.transformer("EPSG:4326").transform(lon, lat)
    row, col = dem.raster.pixel_of_map(np.asarray(x), np.asarray(y))
    known = np.isfinite(row) & np.isfinite(col)
    height, width = dem.raster.shape
    if not known.any():
        return slice(0, height), slice(0, width)
    return (
        slice(max(int(row[known].min()) - 1, 0), min(int(row[known].max()) + 2, height)),
        slice(max(int(col[known].min()) - 1, 0), min(int(col[known].max()) + 2, width)),
    )


def _extremes(
    values: NDArray[np.float32], cell: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Lowest and highest of square cells of samples; infinite where none is known."""
    height, width = (-(-size // cell) * cell for size in values.shape)
    wide = np.full((height, width), np.nan, "float32")
    wide[: values.shape[0], : values.shape[1]] = values
    cells = wide.reshape(height // cell, cell, width // cell, cell)
    known = np.isfinite(cells)
    least = np.where(known, cells, np.float32(np.inf)).min(axis=(1, 3))
    most = np.where(known, cells, np.float32(-np.inf)).max(axis=(1, 3))
    return least, most


@dataclass(frozen=True)
class Reach:
    """Halo of every block of a layout, in pixels.

    Attributes
    ----------
    block : int
        Edge of a block.
    halos : tuple of tuples of int
        By the block's number along y and x.
    """

    block: int
    halos: tuple[tuple[int, ...], ...]

    def of(self, rows: slice, cols: slice) -> int:
        """Halo of the block that begins at these rows and columns."""
        return int(self.halos[rows.start // self.block][cols.start // self.block])

    def window(self, rows: slice, cols: slice) -> tuple[slice, slice]:
        """Block with its halo, from multiples of `STEP` to one pixel past such multiples."""
        halo = self.of(rows, cols)
        tall, wide = (
            slice((part.start - halo) // STEP * STEP, -(-(part.stop + halo) // STEP) * STEP + 1)
            for part in (rows, cols)
        )
        return tall, wide


def level_reach(shape: tuple[int, int], block: int, halo: int = 1) -> Reach:
    """Layout with one halo everywhere, for level ground and for what looks at no neighbours."""
    down, across = block_counts(shape, block)
    return Reach(block, ((halo,) * across,) * down)


def reach_of(relief: Relief, grid: GeoBox, block: int, incidence_deg: tuple[float, float]) -> Reach:
    """How far around every block the ground shares its radar cells or hides it.

    Ground that differs by H in height lies in the same cell within ``H cot(incidence)`` and hides
    ground within ``H tan(incidence)``.

    Parameters
    ----------
    relief : Relief
    grid : GeoBox
    block : int
    incidence_deg : (least, largest)
        Over the images.

    Returns
    -------
    Reach
        At most `MOST_HALO`.
    """
    least, most = np.radians(incidence_deg)
    steep = max(1 / np.tan(least), np.tan(most)) / min(pixel_metres(grid))  # pixels a metre
    down, across = block_counts(shape_of(grid), block)
    return Reach(
        block,
        tuple(
            tuple(_halo(relief, shape_of(grid), (y, x), block, float(steep)) for x in range(across))
            for y in range(down)
        ),
    )


def _halo(
    relief: Relief, shape: tuple[int, int], at: tuple[int, int], block: int, steep: float
) -> int:
    spans = []
    for number, size in zip(at, shape, strict=True):
        first, last = number * block // _BIN, (min((number + 1) * block, size) - 1) // _BIN
        spans.append((first + relief.rings, last + relief.rings))
    (top, bottom), (left, right) = spans
    own = slice(top, bottom + 1), slice(left, right + 1)
    low, high = float(relief.low[own].min()), float(relief.high[own].max())
    found = _LEAST_HALO
    for ring in range(1, relief.rings + 1):
        wide = (
            slice(max(top - ring, 0), bottom + ring + 1),
            slice(max(left - ring, 0), right + ring + 1),
        )
        lowest, highest = float(relief.low[wide].min()), float(relief.high[wide].max())
        needed = max(highest - low, high - lowest) * steep + _REST
        if needed > (ring - 1) * _BIN:
            found = max(found, ring * _BIN if needed > ring * _BIN else int(needed))
    return min(MOST_HALO, -(-int(found) // STEP) * STEP)
