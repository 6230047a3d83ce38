"""Heights of the grid, and what follows from them per track: incidence angle and mask."""

from __future__ import annotations

from dataclasses import dataclass

import dask.array as da
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from cube.chunks import pull_blocks, tiles
from cube.grid import crs_of, pixel_to_map, shape_of, to_lonlat
from cube.kernels.doppler import ConvergenceError
from cube.kernels.ellipsoid import to_ecef
from cube.kernels.geocode import local_incidence, sight_lattice
from cube.kernels.proxy import NODES, evaluate2, fit2, nodes
from cube.kernels.resample import bilinear, to_centres
from cube.kernels.terrain import steeper
from cube.readers.dem import Dem
from cube.readers.raster import Raster, read_window
from cube.readers.scene import Files, open_annotation
from cube.schema import NO_DATA, Flag

__all__ = ["Exclusion", "Surface", "heights", "node_lonlat", "surface_layers"]

_LATTICE_STEP = 32  # pixels; the line of sight turns by 0.001 degree over 320 m


@dataclass(frozen=True)
class Exclusion:
    """Limits above which land does not flood over areas that a pixel sees."""

    max_slope: float
    max_hand: float


@dataclass(frozen=True)
class Surface:
    """What the surface layers of a cube are made from.

    Attributes
    ----------
    grid : GeoBox
    dem : Dem
    hand, permanent_water : Raster or None
    tracks : tuple of (relative orbit, files of the track's slices)
    exclusion : Exclusion
    sighted : bool
        Whether slices have annotations: without, there is no incidence angle, and what a track
        never imaged is not known.
    """

    grid: GeoBox
    dem: Dem
    hand: Raster | None
    permanent_water: Raster | None
    tracks: tuple[tuple[int, tuple[Files, ...]], ...]
    exclusion: Exclusion
    sighted: bool = True


def _node_map(
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
    lon, lat = to_lonlat(grid)(*_node_map(grid, rows, cols))
    return np.asarray(lon), np.asarray(lat)


def _raster_pixels(
    grid: GeoBox, raster: Raster, rows: slice, cols: slice
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixel coordinates (row, column) in `raster` of the grid's pixel centres.

    One polynomial per tile of the grid; whole numbers are centres of the raster's pixels.
    """
    shape = rows.stop - rows.start, cols.stop - cols.start
    row, col = np.empty(shape), np.empty(shape)
    transformer = raster.transformer(crs_of(grid).to_wkt())
    for tile_rows, tile_cols in tiles(rows, cols, shape_of(grid)):
        x, y = transformer.transform(*_node_map(grid, tile_rows, tile_cols))
        at_row, at_col = raster.pixel_of_map(np.asarray(x), np.asarray(y))
        part = _overlap(rows, cols, tile_rows, tile_cols, shape_of(grid))
        inner = (
            slice(part[0].start - rows.start, part[0].stop - rows.start),
            slice(part[1].start - cols.start, part[1].stop - cols.start),
        )
        size = tile_rows.stop - tile_rows.start, tile_cols.stop - tile_cols.start
        begin = part[0].start - tile_rows.start, part[1].start - tile_cols.start
        for nodes_at, out in ((at_row, row), (at_col, col)):
            evaluate2(fit2(nodes_at), *size, *begin, out[inner])
    return row, col


def _overlap(
    rows: slice, cols: slice, tile_rows: slice, tile_cols: slice, shape: tuple[int, int]
) -> tuple[slice, slice]:
    """Part of (rows, cols) that a tile serves; outermost tiles serve the halo beyond the grid."""

    def along(part: slice, tile: slice, length: int) -> slice:
        start = part.start if tile.start == 0 else max(part.start, tile.start)
        stop = part.stop if tile.stop == length else min(part.stop, tile.stop)
        return slice(start, stop)

    return along(rows, tile_rows, shape[0]), along(cols, tile_cols, shape[1])


def _bounds(values: NDArray[np.float64], margin: int) -> slice:
    return slice(int(np.floor(values.min())) - margin, int(np.ceil(values.max())) + 1 + margin)


def heights(grid: GeoBox, rows: slice, cols: slice, dem: Dem) -> NDArray[np.float32]:
    """Heights above the ellipsoid at pixel centres, bilinear in the DEM.

    Parameters
    ----------
    grid : GeoBox
    rows, cols : slice
        Part of the grid; it may reach a pixel beyond it.
    dem : Dem

    Returns
    -------
    float32, shape (rows, cols)
        Metres; NaN outside the DEM (its outermost half pixels are inside) and in its voids.
    """
    row, col = _raster_pixels(grid, dem.raster, rows, cols)
    to_centres(row, dem.raster.shape[0])
    to_centres(col, dem.raster.shape[1])
    out = np.full(row.shape, np.nan, "float32")
    values, origin = dem.window(_bounds(row, 1), _bounds(col, 1))
    bilinear(values, origin, row, col, out)
    return out


def _sample(
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


def _lattice(
    grid: GeoBox, rows: slice, cols: slice, surface: NDArray[np.float32]
) -> tuple[NDArray[np.float64], ...]:
    """Points, map axes, normals and metres per map unit every `_LATTICE_STEP` pixels of a tile."""
    step = _LATTICE_STEP
    count_y = (rows.stop - rows.start - 1) // step + 2
    count_x = (cols.stop - cols.start - 1) // step + 2
    at_y, at_x = np.arange(count_y) * step, np.arange(count_x) * step
    known = np.where(np.isfinite(surface), surface, np.float32(0))
    z = known[np.minimum(at_y, surface.shape[0] - 1)][:, np.minimum(at_x, surface.shape[1] - 1)]
    col, row = np.meshgrid(cols.start + at_x + 0.5, rows.start + at_y + 0.5)
    to_degrees = to_lonlat(grid)

    def place(col: NDArray[np.float64], row: NDArray[np.float64]) -> NDArray[np.float64]:
        lon, lat = to_degrees(*pixel_to_map(grid, col, row))
        return to_ecef(lon, lat, z)

    lon, lat = (np.radians(v) for v in to_degrees(*pixel_to_map(grid, col, row)))
    up = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)
    along_x = (place(col + 1, row) - place(col - 1, row)) / (2 * abs(grid.affine.a))
    along_y = (place(col, row - 1) - place(col, row + 1)) / (2 * abs(grid.affine.e))
    scale_x, scale_y = np.linalg.norm(along_x, axis=-1), np.linalg.norm(along_y, axis=-1)
    axis_x, axis_y = along_x / scale_x[..., None], along_y / scale_y[..., None]
    return place(col, row), axis_x, axis_y, up, np.stack([scale_x, scale_y], axis=-1)


def _beyond(place: NDArray[np.float64], shape: tuple[int, int]) -> bool:
    """Whether all (line, sample) of a lattice lie beyond one edge of an image."""
    low, high = place.min(axis=(0, 1)), place.max(axis=(0, 1))
    return bool((high < -0.5).any() or (low > np.array(shape) - 0.5).any())


def _incidence(
    grid: GeoBox,
    rows: slice,
    cols: slice,
    surface: NDArray[np.float32],
    slices: tuple[Files, ...],
) -> NDArray[np.float32]:
    """Local incidence angle of a track over a block, NaN where none of its slices looks."""
    out = np.full((rows.stop - rows.start, cols.stop - cols.start), np.nan, "float32")
    pixel = abs(grid.affine.e), abs(grid.affine.a)
    for tile_rows, tile_cols in tiles(rows, cols, shape_of(grid)):
        y, x = tile_rows.start - rows.start, tile_cols.start - cols.start
        size = tile_rows.stop - tile_rows.start, tile_cols.stop - tile_cols.start
        part = surface[y : y + size[0] + 2, x : x + size[1] + 2]
        inner = out[y : y + size[0], x : x + size[1]]
        points, axis_x, axis_y, up, scale = _lattice(grid, tile_rows, tile_cols, part[1:-1, 1:-1])
        for files in slices:
            annotation = open_annotation(files)
            try:
                sight = sight_lattice(
                    annotation.orbit, annotation.image, points, axis_x, axis_y, up
                )
            except ConvergenceError:
                continue  # far outside this slice: another one may see the tile
            if _beyond(sight[..., 3:], annotation.image.shape):
                continue
            lattice = np.concatenate([sight, scale], axis=-1)
            local_incidence(part, lattice, _LATTICE_STEP, pixel, annotation.image.shape, inner)
            if not np.isnan(inner).any():
                break
    return out


def _block(rows: slice, cols: slice, surface: Surface) -> NDArray[np.float32]:
    grid = surface.grid
    halo = slice(rows.start - 1, rows.stop + 1), slice(cols.start - 1, cols.stop + 1)
    wide = heights(grid, *halo, surface.dem)
    bands = surface_bands(surface)
    out = np.empty((len(bands), rows.stop - rows.start, cols.stop - cols.start), "float32")
    layers = iter(out)
    next(layers)[:] = wide[1:-1, 1:-1]
    common = steeper(wide, *_metres(grid), surface.exclusion.max_slope) * np.uint8(Flag.SLOPE)
    if surface.hand is not None:
        hand = next(layers)
        hand[:] = _sample(grid, rows, cols, surface.hand, nearest=False)
        common |= (hand > surface.exclusion.max_hand) * np.uint8(Flag.HAND)
    if surface.permanent_water is not None:
        water = _sample(grid, rows, cols, surface.permanent_water, nearest=True)
        next(layers)[:] = np.where(np.isin(water, (0, 1)), water, np.float32(NO_DATA))
    if not surface.sighted:
        for mask in layers:
            mask[:] = common
        return out
    for (_, slices), angle, mask in zip(surface.tracks, layers, layers, strict=True):
        angle[:] = _incidence(grid, rows, cols, wide, slices)
        mask[:] = common | (np.isnan(angle) * np.uint8(Flag.NEVER_IMAGED))
    return out


def _metres(grid: GeoBox) -> tuple[float, float]:
    """Size in metres (y, x) of the pixel in the middle of the grid.

    The middle of the grid, not of the block: the slope of a pixel must not depend on its block.
    UTM varies by 1e-3 over a zone, which moves a slope limit of 10 degrees by 0.01 degree.
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


def surface_layers(surface: Surface, block: int) -> da.Array:
    """Lazy surface layers of a cube, one task per block.

    Returns
    -------
    dask array, float32, shape (band, y, x)
        Bands in the order of `surface_bands`: dem, [hand], [permanent_water], then incidence
        angle and mask of every track.
    """
    return pull_blocks(
        _block,
        shape_of(surface.grid),
        block,
        len(surface_bands(surface)),
        "surface",
        surface=surface,
    )


def surface_bands(surface: Surface) -> list[tuple[str, int | None]]:
    """Variable and index along ``track`` (or None) of every band of `surface_layers`."""
    bands: list[tuple[str, int | None]] = [("dem", None)]
    if surface.hand is not None:
        bands.append(("hand", None))
    if surface.permanent_water is not None:
        bands.append(("permanent_water", None))
    for index in range(len(surface.tracks)):
        if surface.sighted:
            bands.append(("incidence_angle", index))
        bands.append(("mask", index))
    return bands
