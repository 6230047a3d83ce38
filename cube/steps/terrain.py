"""Heights of the grid, and what follows from them per track: incidence angle and mask."""

from __future__ import annotations

from dataclasses import dataclass

import dask.array as da
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from cube.chunks import pull_blocks, tiles
from cube.grid import shape_of
from cube.kernels.doppler import ConvergenceError
from cube.kernels.geocode import local_incidence, sight_lattice
from cube.kernels.terrain import steeper
from cube.readers.dem import Dem
from cube.readers.raster import Raster
from cube.readers.scene import Files, open_annotation
from cube.schema import NO_DATA, Flag
from cube.steps.heights import heights, pixel_metres, sample, sea
from cube.steps.relief import STEP, Reach
from cube.steps.sight import look, map_axes

__all__ = ["Exclusion", "Surface", "surface_bands", "surface_layers"]


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
    flattened : bool
        Whether the ratio of areas is kept that turns beta nought into terrain-flattened gamma.
    sea : Raster or None
        Where it is 1 there is sea.
    sea_of_dem : bool
        Whether the DEM says where the sea is (see `cube.steps.heights.sea`).
    """

    grid: GeoBox
    dem: Dem
    hand: Raster | None
    permanent_water: Raster | None
    tracks: tuple[tuple[int, tuple[Files, ...]], ...]
    exclusion: Exclusion
    sighted: bool = True
    flattened: bool = False
    sea: Raster | None = None
    sea_of_dem: bool = False


def _lattice(
    grid: GeoBox, rows: slice, cols: slice, surface: NDArray[np.float32]
) -> tuple[NDArray[np.float64], ...]:
    """Points, map axes, normals and metres per map unit every `STEP` pixels of a block.

    Its heights have a pixel of halo; the lattice may end beyond it, on the grid's edge.
    """
    at_y = np.arange((rows.stop - rows.start - 1) // STEP + 2) * STEP
    at_x = np.arange((cols.stop - cols.start - 1) // STEP + 2) * STEP
    last = surface.shape[0] - 1, surface.shape[1] - 1
    known = surface[np.ix_(np.minimum(at_y + 1, last[0]), np.minimum(at_x + 1, last[1]))]
    z = np.where(np.isfinite(known), known, np.float32(0)).astype("float64")
    points, along_x, along_y, up = map_axes(grid, rows.start + at_y, cols.start + at_x, z)
    size_x, size_y = (np.linalg.norm(along, axis=-1) for along in (along_x, along_y))
    axis_x, axis_y = along_x / size_x[..., None], -along_y / size_y[..., None]
    scale = np.stack([size_x / abs(grid.affine.a), size_y / abs(grid.affine.e)], axis=-1)
    return points, axis_x, axis_y, up, scale


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
    whole = _lattice(grid, rows, cols, surface)
    for tile_rows, tile_cols in tiles(rows, cols, shape_of(grid)):
        y, x = tile_rows.start - rows.start, tile_cols.start - cols.start
        size = tile_rows.stop - tile_rows.start, tile_cols.stop - tile_cols.start
        part = np.ascontiguousarray(surface[y : y + size[0] + 2, x : x + size[1] + 2])
        inner = out[y : y + size[0], x : x + size[1]]
        angle = np.full(size, np.nan, "float32")  # contiguous, as is the height: it runs on vectors
        at = tuple(
            slice(first // STEP, (first + count - 1) // STEP + 2)
            for first, count in zip((y, x), size, strict=True)
        )
        points, axis_x, axis_y, up, scale = (field[at] for field in whole)
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
            local_incidence(part, lattice, STEP, pixel, annotation.image.shape, angle)
            if not np.isnan(angle).any():
                break
        inner[:] = angle
    return out


def _block(rows: slice, cols: slice, surface: Surface, reach: Reach) -> NDArray[np.float32]:
    grid = surface.grid
    window = reach.window(rows, cols)
    height = heights(grid, *window, surface.dem)
    first = rows.start - window[0].start, cols.start - window[1].start
    shape = rows.stop - rows.start, cols.stop - cols.start
    wide = height[first[0] - 1 : first[0] + shape[0] + 1, first[1] - 1 : first[1] + shape[1] + 1]
    bands = surface_bands(surface)
    out = np.empty((len(bands), *shape), "float32")
    layers = iter(out)
    next(layers)[:] = wide[1:-1, 1:-1]
    common = steeper(wide, *pixel_metres(grid), surface.exclusion.max_slope) * np.uint8(Flag.SLOPE)
    if surface.hand is not None:
        hand = next(layers)
        hand[:] = sample(grid, rows, cols, surface.hand, nearest=False)
        common |= (hand > surface.exclusion.max_hand) * np.uint8(Flag.HAND)
    if surface.permanent_water is not None:
        water = sample(grid, rows, cols, surface.permanent_water, nearest=True)
        next(layers)[:] = np.where(np.isin(water, (0, 1)), water, np.float32(NO_DATA))
    if surface.sea is not None:
        common |= (sample(grid, rows, cols, surface.sea, nearest=True) == 1) * np.uint8(Flag.SEA)
    elif surface.sea_of_dem:
        common |= sea(grid, rows, cols, surface.dem) * np.uint8(Flag.SEA)
    if not surface.sighted:
        for mask in layers:
            mask[:] = common
        return out
    for _, slices in surface.tracks:
        angle, mask = next(layers), next(layers)
        angle[:] = _incidence(grid, rows, cols, wide, slices)
        imaged = ~np.isnan(angle)
        sight = look(grid, window, (rows, cols), height, slices, imaged)
        mask[:] = (
            common
            | ~imaged * np.uint8(Flag.NEVER_IMAGED)
            | sight.layover * np.uint8(Flag.LAYOVER)
            | sight.shadow * np.uint8(Flag.SHADOW)
        )
        if surface.flattened:
            next(layers)[:] = sight.ratio
    return out


def surface_layers(surface: Surface, reach: Reach) -> da.Array:
    """Lazy surface layers of a cube, one task per block.

    Parameters
    ----------
    surface : Surface
    reach : Reach
        Layout and halo of the blocks, of `cube.steps.relief.reach_of`.

    Returns
    -------
    dask array, float32, shape (band, y, x)
        Bands in the order of `surface_bands`.
    """
    return pull_blocks(
        _block,
        shape_of(surface.grid),
        reach.block,
        len(surface_bands(surface)),
        "surface",
        surface=surface,
        reach=reach,
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
        if surface.sighted and surface.flattened:
            bands.append(("rtc_anf", index))
    return bands
