"""How a track sees a part of the grid: illuminated area, layover and shadow, block by block."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy.ndimage import binary_dilation

from cube.chunks import whole_tiles
from cube.grid import pixel_to_map, shape_of, to_lonlat
from cube.kernels.doppler import ConvergenceError
from cube.kernels.ellipsoid import to_ecef
from cube.kernels.facets import Seen, accumulate, gather
from cube.kernels.flatten import View, facet_reach, plane_coordinates, sight_terms, view_of
from cube.kernels.groundrange import slant_limits
from cube.kernels.proxy import NODES, evaluate3, fit3, nodes
from cube.kernels.shadow import in_shadow, may_hide
from cube.readers.annotation import Annotation
from cube.readers.scene import Files, open_annotation
from cube.steps.heights import node_lonlat, overlap, pixel_metres
from cube.steps.relief import STEP

__all__ = ["incidence_limits", "look", "map_axes"]

_LOWEST_M, _HIGHEST_M = -1000.0, 9500.0
_BESIDE_VOID = 4  # pixels; cells of these lack facets of the void: splines reach 3, slopes shift

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


def look(
    grid: GeoBox,
    window: tuple[slice, slice],
    inner: tuple[slice, slice],
    height: Float32,
    slices: tuple[Files, ...],
    imaged: NDArray[np.bool_],
) -> Seen:
    """What a track sees of a block of the grid.

    Tracks repeat within a tube of 100 m, which turns the line of sight by 0.01 degree: one
    geometry serves all passes of a track (so do the static layers of OPERA's RTC products). It is
    that of the first slice whose orbit reaches a pixel.

    Parameters
    ----------
    grid : GeoBox
    window : (rows, cols)
        What `height` covers, from multiples of `STEP` to one past such multiples.
    inner : (rows, cols)
        The block, with all that it may share radar cells with, or be hidden by, in the window.
    height : float32, shape of the window
    slices : tuple of Files
        Of the track, in order of time.
    imaged : bool, shape of the block
        Pixels outside every image are left unseen.

    Returns
    -------
    Seen
        Its ratio is NaN also within four pixels of a missing height, whose area is not known.
    """
    part = _inside(window, inner)
    whole = Seen.nothing(imaged & ~np.isnan(height[part]))
    if not whole.wanted.any():
        return whole
    window, height, part, seen = _narrow(window, height, part, whole)
    missing = np.isnan(height)
    size_y, size_x = pixel_metres(grid)
    points, place = _lattice(grid, window, height)
    for annotation, view in _views(grid, slices):
        plane = _plane(grid, window, view, height)
        terms = sight_terms(view, points, *place)
        if may_hide(height, size_y, size_x, incidence_limits(annotation)[1]):
            lit = ~in_shadow(view, plane, height, terms, STEP)
        else:
            lit = np.ones(height.shape, "bool")
        cells = accumulate(plane, height, lit, terms, STEP, _reach(grid, view))
        orbit, pace = annotation.orbit, view.speed_m_s / view.cell_m[0]
        limits = pace * (orbit.centre_s - orbit.half_s), pace * (orbit.centre_s + orbit.half_s)
        offset = part[0].start, part[1].start
        gather(cells, plane, lit, terms, STEP, offset, limits, seen)
        if not seen.wanted.any():
            break
    if missing.any():
        square = np.ones((2 * _BESIDE_VOID + 1,) * 2, "bool")
        beside = binary_dilation(missing, square)[part]
        seen.ratio[beside] = np.nan
        seen.shadow[beside] = False
    return whole


def _narrow(
    window: tuple[slice, slice], height: Float32, part: tuple[slice, slice], whole: Seen
) -> tuple[tuple[slice, slice], Float32, tuple[slice, slice], Seen]:
    """Leave out what lies beyond the halo of the pixels wanted: a block may be at a swath's edge.

    Returns
    -------
    window, height, part, seen
        As given, but for less; `seen` are views of `whole`.
    """
    cuts, inner = [], []
    for axis, (outer, own) in enumerate(zip(window, part, strict=True)):
        at = np.flatnonzero(whole.wanted.any(axis=1 - axis))
        first, stop = int(at[0]), int(at[-1]) + 1
        halo = own.start, outer.stop - outer.start - own.stop
        begin = (own.start + first - halo[0]) // STEP * STEP
        end = -(-(own.start + stop + halo[1] - 1) // STEP) * STEP + 1
        cuts.append(slice(begin, min(end, outer.stop - outer.start)))
        inner.append(slice(first, stop))
    rows, cols = cuts
    narrow = tuple(
        slice(outer.start + cut.start, outer.start + cut.stop)
        for outer, cut in zip(window, cuts, strict=True)
    )
    seen = whole.part(inner[0], inner[1])
    offset = [
        own.start + one.start - cut.start for own, one, cut in zip(part, inner, cuts, strict=True)
    ]
    shape = seen.wanted.shape
    place = slice(offset[0], offset[0] + shape[0]), slice(offset[1], offset[1] + shape[1])
    return (narrow[0], narrow[1]), np.ascontiguousarray(height[rows, cols]), place, seen


def incidence_limits(annotation: Annotation) -> tuple[float, float]:
    """Incidence angles at the near and far edge of an image on a sphere, degrees."""
    position = annotation.orbit.state(np.asarray(annotation.orbit.centre_s))[0]
    satellite, earth = float(np.linalg.norm(position)), 6_371_000.0
    slant = np.array(slant_limits(annotation.image))
    cosine = (satellite**2 - earth**2 - slant**2) / (2 * earth * slant)
    near, far = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    return float(near), float(far)


def _views(grid: GeoBox, slices: tuple[Files, ...]) -> Iterator[tuple[Annotation, View]]:
    """Geometry of each slice over the grid, but for those whose orbit is far away."""
    row, col = (np.array([size // 2]) for size in shape_of(grid))
    point, along_x, along_y, _ = (at[0, 0] for at in map_axes(grid, row, col, np.zeros((1, 1))))
    for files in slices:
        annotation = open_annotation(files)
        try:
            yield annotation, view_of(annotation.orbit, point, along_x, along_y)
        except ConvergenceError:
            continue


def _reach(grid: GeoBox, view: View) -> tuple[float, float]:
    """Reach of facets, from the middle of the grid: the same for every block."""
    height, width = shape_of(grid)
    col, row = width / 2 + np.array([0.0, 1.0]), np.full(2, height / 2)
    lon, lat = to_lonlat(grid)(*pixel_to_map(grid, col, row))
    return facet_reach(view, to_ecef(lon, lat, 0.0))


def _inside(window: tuple[slice, slice], inner: tuple[slice, slice]) -> tuple[slice, slice]:
    rows, cols = (
        slice(part.start - whole.start, part.stop - whole.start)
        for whole, part in zip(window, inner, strict=True)
    )
    return rows, cols


def _plane(
    grid: GeoBox, window: tuple[slice, slice], view: View, height: Float32
) -> tuple[Float64, Float64]:
    """Radar plane coordinates of a window's pixels, a polynomial for each stored tile.

    All tiles share one range of heights: what a tile's polynomial is must not depend on how much
    of the tile a block looks at. Over 10 km of height it is good to 1e-5 cells.
    """
    along, across = np.empty(height.shape), np.empty(height.shape)
    middle, half = (_HIGHEST_M + _LOWEST_M) / 2, (_HIGHEST_M - _LOWEST_M) / 2
    levels = middle + half * nodes(NODES[2])
    for tile in whole_tiles(*window):
        mine = overlap(window[0], tile[0]), overlap(window[1], tile[1])
        here = _inside(window, mine)
        lon, lat = node_lonlat(grid, *tile)
        if not np.isfinite(lon).all():
            along[here], across[here] = np.nan, np.nan
            continue
        points = to_ecef(lon[..., None], lat[..., None], levels)
        size = tile[0].stop - tile[0].start, tile[1].stop - tile[1].start
        begin = mine[0].start - tile[0].start, mine[1].start - tile[1].start
        try:
            found = plane_coordinates(view, points)
        except ConvergenceError:
            along[here], across[here] = np.nan, np.nan
            continue
        surface = np.ascontiguousarray(height[here])  # as is the result: it runs on vectors
        values = np.empty(surface.shape)
        for at_nodes, out in zip(found, (along, across), strict=True):
            evaluate3(fit3(at_nodes), *size, *begin, surface, middle, half, values)
            out[here] = values
    return along, across


def _lattice(
    grid: GeoBox, window: tuple[slice, slice], height: Float32
) -> tuple[Float64, tuple[Float64, ...]]:
    """Points every `STEP` pixels of a window, then their heights, steps of the axes and normals."""
    at_y = np.arange(window[0].start, window[0].stop, STEP)
    at_x = np.arange(window[1].start, window[1].stop, STEP)
    known = height[::STEP, ::STEP].astype("float64")
    z = np.where(np.isfinite(known), known, 0.0)
    points, along_x, along_y, up = map_axes(grid, at_y, at_x, z)
    return points, (z, along_x, along_y, up)


def map_axes(
    grid: GeoBox, rows: NDArray[np.intp], cols: NDArray[np.intp], height: Float64
) -> tuple[Float64, Float64, Float64, Float64]:
    """Points of the surface, metres of one pixel's step along x and y, and normals, Earth-fixed.

    Parameters
    ----------
    grid : GeoBox
    rows, cols : shape (rows,) and (cols,)
        Pixels; what is given is about their centres.
    height : float64, shape (rows, cols)

    Returns
    -------
    points, along_x, along_y, up : float64, shape (rows, cols, 3)
        `along_y` goes with the rows, southwards on a map whose north is up.
    """
    col, row = np.meshgrid(cols + 0.5, rows + 0.5)
    to_degrees = to_lonlat(grid)

    def place(col: Float64, row: Float64) -> Float64:
        lon, lat = to_degrees(*pixel_to_map(grid, col, row))
        return to_ecef(lon, lat, height)

    lon, lat = (np.radians(v) for v in to_degrees(*pixel_to_map(grid, col, row)))
    up = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)
    along_x = (place(col + 1, row) - place(col - 1, row)) / 2
    along_y = (place(col, row + 1) - place(col, row - 1)) / 2
    return to_ecef(np.degrees(lon), np.degrees(lat), height), along_x, along_y, up
