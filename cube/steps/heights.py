"""Rasters on the grid: heights of a DEM and values of other maps at pixel centres.

Where the grid's pixels lie in a raster is a polynomial per stored tile, so that no value depends
on the block that asks for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy.ndimage import minimum_filter

from cube.chunks import tiles, whole_tiles
from cube.grid import crs_of, pixel_to_map, shape_of, to_lonlat
from cube.kernels.doppler import ConvergenceError
from cube.kernels.ellipsoid import to_ecef
from cube.kernels.proxy import NODES, evaluate2, fit2, nodes
from cube.kernels.resample import bilinear, to_centres
from cube.readers.dem import Dem
from cube.readers.raster import Raster, read_window
from cube.readers.window import Window, WindowReader

__all__ = [
    "by_tile",
    "heights",
    "node_lonlat",
    "node_map",
    "overlap",
    "pixel_metres",
    "sample",
    "sea",
]


def node_map(
    grid: GeoBox, rows: slice, cols: slice
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Map coordinates of a tile's Chebyshev nodes, shape (8, 8) each.

    Pixel centres run over -1..1 as (2 i + 1) / n - 1, so the nodes span the tile's outer edges.
    """
    half_y, half_x = (rows.stop - rows.start) / 2, (cols.stop - cols.start) / 2
    col, row = np.meshgrid(
        cols.start + half_x * (1 + nodes(NODES[1])), rows.start + half_y * (1 + nodes(NODES[0]))
    )
    return pixel_to_map(grid, col, row)


def node_lonlat(
    grid: GeoBox, rows: slice, cols: slice
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude and latitude of a tile's Chebyshev nodes, shape (8, 8) each, degrees."""
    lon, lat = to_lonlat(grid)(*node_map(grid, rows, cols))
    return np.asarray(lon), np.asarray(lat)


def by_tile(
    grid: GeoBox,
    rows: slice,
    cols: slice,
    surface: NDArray[np.float32],
    solve: Callable[..., tuple[NDArray[np.float64], NDArray[np.float64]] | None],
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Two coordinates of a block's pixels, solved tile by tile of the grid.

    Parameters
    ----------
    grid, rows, cols
        The block.
    surface : float32, shape of the block
        Heights; a tile without any is not solved.
    solve : callable
        Of longitude and latitude at a tile's nodes and of its heights; None where there is nothing,
        ConvergenceError where it is far outside what an orbit arc sees.

    Returns
    -------
    two float64, shape of the block, or None
        NaN in tiles without; None where no tile has any.
    """
    found = np.empty(surface.shape), np.empty(surface.shape)
    any_there = False
    for tile_rows, tile_cols in tiles(rows, cols, shape_of(grid)):
        part = (
            slice(tile_rows.start - rows.start, tile_rows.stop - rows.start),
            slice(tile_cols.start - cols.start, tile_cols.stop - cols.start),
        )
        solved = None
        if np.isfinite(surface[part]).any():
            with contextlib.suppress(ConvergenceError):
                solved = solve(*node_lonlat(grid, tile_rows, tile_cols), surface[part])
        found[0][part], found[1][part] = (np.nan, np.nan) if solved is None else solved
        any_there |= solved is not None
    return found if any_there else None


def _raster_pixels(
    grid: GeoBox, raster: Raster, rows: slice, cols: slice
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixel coordinates (row, column) in `raster` of the grid's pixel centres.

    One polynomial per tile of the grid; whole numbers are centres of the raster's pixels.
    """
    shape = rows.stop - rows.start, cols.stop - cols.start
    row, col = np.empty(shape), np.empty(shape)
    transformer = raster.transformer(crs_of(grid).to_wkt())
    for tile_rows, tile_cols in whole_tiles(rows, cols):
        x, y = transformer.transform(*node_map(grid, tile_rows, tile_cols))
        at_row, at_col = raster.pixel_of_map(np.asarray(x), np.asarray(y))
        part = overlap(rows, tile_rows), overlap(cols, tile_cols)
        inner = (
            slice(part[0].start - rows.start, part[0].stop - rows.start),
            slice(part[1].start - cols.start, part[1].stop - cols.start),
        )
        size = tile_rows.stop - tile_rows.start, tile_cols.stop - tile_cols.start
        begin = part[0].start - tile_rows.start, part[1].start - tile_cols.start
        found = np.empty((part[0].stop - part[0].start, part[1].stop - part[1].start))
        for nodes_at, out in ((at_row, row), (at_col, col)):
            evaluate2(fit2(nodes_at), *size, *begin, found)
            out[inner] = found  # part of it is not contiguous: filled at once it would take longer
    return row, col


def pixel_metres(grid: GeoBox) -> tuple[float, float]:
    """Size in metres (y, x) of the pixel in the middle of the grid, on the ellipsoid.

    What is scaled by it is the same for every block: UTM varies by 1e-3 over a zone, which moves a
    slope limit of 10 degrees by 0.01 degree.
    """
    height, width = grid.shape
    col = width / 2 + np.array([-1.0, 1.0, 0.0, 0.0])
    row = height / 2 + np.array([0.0, 0.0, -1.0, 1.0])
    lon, lat = to_lonlat(grid)(*pixel_to_map(grid, col, row))
    place = to_ecef(lon, lat, 0.0)
    return (
        float(np.linalg.norm(place[3] - place[2]) / 2),
        float(np.linalg.norm(place[1] - place[0]) / 2),
    )


def overlap(part: slice, tile: slice) -> slice:
    """Rows (or columns) that a part and a tile share."""
    return slice(max(part.start, tile.start), min(part.stop, tile.stop))


def _bounds(values: NDArray[np.float64], margin: int) -> slice:
    return slice(int(np.floor(values.min())) - margin, int(np.ceil(values.max())) + 1 + margin)


def heights(grid: GeoBox, rows: slice, cols: slice, dem: Dem | WindowReader) -> NDArray[np.float32]:
    """Heights above the ellipsoid at pixel centres, bilinear in the DEM.

    Parameters
    ----------
    grid : GeoBox
    rows, cols : slice
        Part of the grid; it may reach beyond it.
    dem : Dem or WindowReader
        A reader of heights that are on the grid already gives them as they are.

    Returns
    -------
    float32, shape (rows, cols)
        Metres; NaN outside the DEM (its outermost half pixels are inside) and in its voids.
    """
    if not isinstance(dem, Dem):
        found: NDArray[np.float32] = dem.read(Window(rows.start, cols.start, rows.stop, cols.stop))
        return found
    row, col = _raster_pixels(grid, dem.raster, rows, cols)
    to_centres(row, dem.raster.shape[0])
    to_centres(col, dem.raster.shape[1])
    out = np.full(row.shape, np.nan, "float32")
    values, origin = dem.window(_bounds(row, 1), _bounds(col, 1))
    bilinear(values, origin, row, col, out)
    return out


def sample(
    grid: GeoBox, rows: slice, cols: slice, raster: Raster, nearest: bool
) -> NDArray[np.float32]:
    """Values of a raster at pixel centres, float32, NaN outside and where it has no data."""
    row, col = _raster_pixels(grid, raster, rows, cols)
    if nearest:
        np.rint(row, row)
        np.rint(col, col)
    out = np.full(row.shape, np.nan, "float32")
    height, width = raster.shape
    part_y, part_x = _bounds(row, 1), _bounds(col, 1)
    part_y = slice(max(part_y.start, 0), min(part_y.stop, height))
    part_x = slice(max(part_x.start, 0), min(part_x.stop, width))
    if part_y.start >= part_y.stop or part_x.start >= part_x.stop:
        return out
    values = read_window(raster, part_y, part_x).astype("float32")
    if raster.nodata is not None:
        values[values == np.float32(raster.nodata)] = np.nan
    bilinear(values, (part_y.start, part_x.start), row, col, out)
    return out


def sea(grid: GeoBox, rows: slice, cols: slice, dem: Dem) -> NDArray[np.bool_]:
    """Where a DEM shows the sea: nothing, or level ground of height 0.

    DEMs are void over the sea, or edited there to a height above the geoid of 0 exactly (SRTM;
    Copernicus DEM Product Handbook, section 3). Low land may have samples of 0 too, at whole metres
    even many, so a sample is sea only with its neighbours of 5 by 5.

    Returns
    -------
    bool, shape (rows, cols)
        By the nearest sample; true outside the DEM. Heights above the ellipsoid are nowhere 0: of
        such a DEM only voids are sea.
    """
    row, col = _raster_pixels(grid, dem.raster, rows, cols)
    height, width = dem.raster.shape
    part = []
    for at, size in ((row, height), (col, width)):
        wide = _bounds(at, 3)
        part.append(slice(max(wide.start, 0), min(wide.stop, size)))
    out = np.ones(row.shape, "bool")
    if any(one.start >= one.stop for one in part):
        return out
    values = read_window(dem.raster, *part).astype("float32")
    void = np.isnan(values)
    if dem.raster.nodata is not None:
        void |= values == np.float32(dem.raster.nodata)
    level = void if dem.datum == "ellipsoid" else void | (values == 0)
    level = minimum_filter(level, 5, mode="nearest") | void
    at_row = np.rint(row).astype("int64") - part[0].start
    at_col = np.rint(col).astype("int64") - part[1].start
    inside = (at_row >= 0) & (at_row < level.shape[0]) & (at_col >= 0) & (at_col < level.shape[1])
    out[inside] = level[at_row[inside], at_col[inside]]
    return out
