"""Terrain flattening: how much ground, seen from the satellite, shines into each radar cell.

Small 2011, "Flattening Gamma: Radiometric Terrain Correction for SAR Imagery"
(doi:10.1109/TGRS.2011.2120616): the area of every facet of the surface, projected on the plane
perpendicular to the line of sight, is added to the radar cell that the facet falls in. Several
facets may fall in one cell (layover, foreshortening) and one facet in several cells. Gamma nought
is then beta nought times the cell's slant area over that sum.

The radar plane of this module has its own cells, about one map pixel each, whatever the spacing of
the image: T along the track and S across it, where S is the range as ground range over a sphere.
On level ground pixels and cells are then equally dense at any incidence angle, so that their grids
do not beat; a facet is spread bilinearly along T and by a quadratic spline along S, which keeps
what is left of the beat below 0.02 dB. Coordinates are absolute and facets are added in the order
of rows and columns: a cell that has all its facets is the same to the bit, whatever block it is
computed in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cube.kernels.doppler import zero_doppler
from cube.kernels.orbit import Orbit

__all__ = [
    "Cells",
    "View",
    "accumulate",
    "gather",
    "part_sizes",
    "plane_coordinates",
    "sight_terms",
    "view_of",
]

LEAST_SHARE = 0.05
"""Cells with less than this share of level ground's area hold no signal to be corrected: shadow."""
_MOST_PARTS = 64  # of a facet along one axis: a cliff of 60 cells


@dataclass(frozen=True, slots=True)
class View:
    """What turns zero-Doppler time and slant range into the plane of (T, S).

    Attributes
    ----------
    orbit : Orbit
    satellite_m, earth_m : float
        Distance of the satellite and of the ellipsoid from the Earth's centre where the track
        passes the area.
    speed_m_s : float
        Along the ground, nominal: T is ``time * speed_m_s / pixel_m``.
    pixel_m : float
        Side of a cell on the ground.
    """

    orbit: Orbit
    satellite_m: float
    earth_m: float
    speed_m_s: float
    pixel_m: float


def view_of(orbit: Orbit, point: NDArray[np.float64], pixel_m: float) -> View:
    """View of an orbit on the surroundings of a point.

    Parameters
    ----------
    orbit : Orbit
    point : float64, shape (3,)
        Earth-fixed metres, on the ellipsoid.
    pixel_m : float

    Raises
    ------
    ConvergenceError
        The point lies far outside what the orbit arc sees.
    """
    time, _ = zero_doppler(orbit, point)
    position, velocity, acceleration = orbit.state(time)
    sight = point - position
    rate = velocity / (velocity @ velocity - sight @ acceleration)
    # the ground speed is 1 / |gradient of time along the ground|
    up = point / np.linalg.norm(point)
    level = rate - (rate @ up) * up
    return View(
        orbit,
        float(np.linalg.norm(position)),
        float(np.linalg.norm(point)),
        float(1 / np.linalg.norm(level)),
        float(pixel_m),
    )


def plane_coordinates(
    view: View, points: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates in the radar plane of points on the ground, exactly.

    Parameters
    ----------
    view : View
    points : float64, shape (..., 3)
        Earth-fixed metres.

    Returns
    -------
    (T, S) : float64, shape (...)
        In cells. Points of equal S are equally far away: S is the ground range, over a sphere
        and at height 0, of the point's slant range.
    """
    time, slant = zero_doppler(view.orbit, points)
    return time * (view.speed_m_s / view.pixel_m), _ground(view, slant) / view.pixel_m


def _ground(view: View, slant: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ground range in metres over a sphere, by the law of cosines."""
    near, far = view.satellite_m, view.earth_m
    cosine = (near**2 + far**2 - slant**2) / (2 * near * far)
    return np.asarray(far * np.arccos(np.clip(cosine, -1.0, 1.0)))


def sight_terms(
    view: View,
    points: NDArray[np.float64],
    height: NDArray[np.float64],
    along_x: NDArray[np.float64],
    along_y: NDArray[np.float64],
    up: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Terms of a facet's area as seen from the satellite, and its place along the ground.

    A facet spanned by the map's axes and rising `h_x` and `h_y` metres a pixel along them has
    ``A_gamma = |T_x x T_y . s| = a + b h_x + c h_y`` (Small 2011, eq. 9: its area projected on the
    plane perpendicular to the unit vector s to the satellite). This holds for any map projection.

    Parameters
    ----------
    view : View
    points : float64, shape (rows, cols, 3)
        Earth-fixed metres on the surface.
    height : float64, shape (rows, cols)
        Of the points, metres above the ellipsoid.
    along_x, along_y : float64, shape (rows, cols, 3)
        Metres that a pixel's step along the map's columns and rows makes, Earth-fixed.
    up : float64, shape (rows, cols, 3)
        Unit normal of the ellipsoid.

    Returns
    -------
    float64, shape (rows, cols, 5)
        a, b and c over the slant area ``A_beta`` of a cell (dimensionless, and per metre); S of the
        map place itself, at height 0; and the orientation of (T, S) against (x, y), 1 or -1.
    """
    time, slant = zero_doppler(view.orbit, points)
    position, velocity, acceleration = view.orbit.state(time)
    away = points - position
    s = -away / slant[..., None]

    def dot(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((one * other).sum(-1))

    rate = velocity / (dot(velocity, velocity) - dot(away, acceleration))[..., None]
    t_x, t_y = dot(rate, along_x), dot(rate, along_y)
    r_x, r_y = -dot(s, along_x), -dot(s, along_y)
    turn = t_x * r_y - t_y * r_x
    # along the ground at one range: the speed of the footprint
    step = along_x * r_y[..., None] - along_y * r_x[..., None]
    speed = np.linalg.norm(step, axis=-1) / np.abs(turn)
    normal = np.cross(along_x, along_y)
    sign = np.sign(dot(normal, up))
    ground = _ground(view, slant)
    range_rate = view.satellite_m * np.sin(ground / view.earth_m) / slant  # dR / d ground
    cell = view.pixel_m**2 / view.speed_m_s * range_rate * speed  # A_beta in m2
    terms = [dot(s, normal), dot(s, np.cross(up, along_y)), dot(s, np.cross(along_x, up))]
    level = _ground(view, slant + height * dot(s, up)) / view.pixel_m
    return np.stack([*(term * sign / cell for term in terms), level, np.sign(turn)], axis=-1)


@dataclass(frozen=True, slots=True)
class Cells:
    """Part of the radar plane.

    Attributes
    ----------
    origin : (T, S)
        Cell that ``area[0, 0]`` is.
    area : float32, shape (T, S)
        Sum of the facets' areas over a cell's slant area: ``A_gamma / A_beta``.
    folded : bool, shape (T, S)
        Cells that a facet falls in whose range shrinks along the ground: there the ground lies
        over itself.
    """

    origin: tuple[int, int]
    area: NDArray[np.float32]
    folded: NDArray[np.bool_]


def part_sizes(across_x: float, across_y: float) -> tuple[float, float]:
    """How far along S a part of a facet may reach, for the map's x and y axes.

    The spline along S wants two parts a pixel from the axes that run across the track; along the
    other one neighbours differ in T, where one part a cell is exact.

    Parameters
    ----------
    across_x, across_y : float
        Change of S over one pixel of level ground.

    Examples
    --------
    >>> part_sizes(1.0, -0.2)
    (0.52, 1.5)
    """
    size_x, size_y = (0.52 * abs(step) if abs(step) > 0.3 else 1.5 for step in (across_x, across_y))
    return size_x, size_y


def accumulate(
    plane: tuple[NDArray[np.float64], NDArray[np.float64]],
    height: NDArray[np.float32],
    lit: NDArray[np.bool_],
    lattice: NDArray[np.float64],
    step: int,
    sizes: tuple[float, float],
) -> Cells:
    """Add up the facets between the pixel centres of a block.

    Parameters
    ----------
    plane : (T, S) : float64, shape (y, x)
        Of the pixel centres; NaN where the height is missing.
    height : float32, shape (y, x)
        Metres.
    lit : bool, shape (y, x)
        False in shadow. A facet of which more than one corner lies in shadow is left out.
    lattice : float64, shape (rows, cols, 5)
        Of `sight_terms` at every `step` pixels from the first pixel centre, to the last one or
        beyond it.
    step : int
    sizes : (x, y)
        Of `part_sizes`.

    Returns
    -------
    Cells
        Facets with a missing corner add nothing: cells next to them hold too little.
    """
    along, across = plane
    known = across[np.isfinite(across)]
    if known.size == 0:
        return Cells((0, 0), np.zeros((2, 2), "float32"), np.zeros((2, 2), "bool"))
    first = int(np.floor(np.nanmin(along))) - 2, int(np.floor(known.min())) - 2
    last = int(np.ceil(np.nanmax(along))) + 2, int(np.ceil(known.max())) + 2
    shape = last[0] - first[0] + 1, last[1] - first[1] + 1
    area, folded = np.zeros(shape, "float32"), np.zeros(shape, "bool")
    _accumulate(along, across, height, lit, lattice, step, *sizes, *first, area, folded)
    return Cells(first, area, folded)


@njit(nogil=True, cache=True)
def _interpolate_row(lattice, at, out):  # type: ignore[no-untyped-def]
    """Fill ``out[c, k]`` with a lattice's first terms at a fractional row."""
    r = min(int(at), lattice.shape[0] - 2)
    f = at - r
    for c in range(out.shape[0]):
        for k in range(out.shape[1]):
            out[c, k] = lattice[r, c, k] * (1 - f) + lattice[r + 1, c, k] * f


@njit(nogil=True, cache=True)
def _count(reach_s, size, reach_t):  # type: ignore[no-untyped-def]
    """Parts of a facet along one axis, from how far it reaches in the plane."""
    if reach_s <= size and reach_t <= 1.05:
        return 1
    return min(int(np.ceil(max(reach_s / size, reach_t / 1.05))), _MOST_PARTS)


@njit(nogil=True, cache=True)
def _spread(cells, wide, at, t, s, value):  # type: ignore[no-untyped-def]
    """Add a value at cell `at` plus fractions: bilinear along T, quadratic B-spline along S."""
    t0 = np.floor(t)
    s0 = np.floor(s + 0.5)
    share = np.float32(t - t0) * value
    rest = value - share
    d = np.float32(s - s0)
    here = np.uint64(at + np.int64(t0) * wide + np.int64(s0))  # unsigned: no negative indices
    one = np.uint64(1)
    below = here + np.uint64(wide)
    w0 = np.float32(0.5) * (np.float32(0.5) - d) * (np.float32(0.5) - d)
    w1 = np.float32(0.75) - d * d
    w2 = w0 + d
    cells[here - one] += w0 * rest
    cells[here] += w1 * rest
    cells[here + one] += w2 * rest
    cells[below - one] += w0 * share
    cells[below] += w1 * share
    cells[below + one] += w2 * share


@njit(nogil=True, cache=True)
def _fold(folded, t0, t1, s0, s1):  # type: ignore[no-untyped-def]
    for i in range(int(np.rint(t0)), int(np.rint(t1)) + 1):
        for j in range(int(np.rint(s0)), int(np.rint(s1)) + 1):
            folded[i, j] = True


@njit(nogil=True, cache=True)
def _accumulate(  # type: ignore[no-untyped-def]
    along, across, height, lit, lattice, step, size_x, size_y, first_t, first_s, area, folded
):
    rows, cols = height.shape
    count = lattice.shape[1]
    terms = np.empty((count, 3))
    orientation = lattice[0, 0, 4]
    cells, wide = area.ravel(), area.shape[1]
    inverse = np.empty(_MOST_PARTS + 1)
    for k in range(1, _MOST_PARTS + 1):
        inverse[k] = 1.0 / k
    for i in range(rows - 1):
        _interpolate_row(lattice, (i + 0.5) / step, terms)
        for c in range(count - 1):
            base = c * step
            last = min(base + step, cols - 1)
            if base >= last:
                break
            a0, b0, c0 = terms[c, 0], terms[c, 1], terms[c, 2]
            da = (terms[c + 1, 0] - a0) / step
            db = (terms[c + 1, 1] - b0) / step
            dc = (terms[c + 1, 2] - c0) / step
            t01, t11 = along[i, base] - first_t, along[i + 1, base] - first_t
            s01, s11 = across[i, base] - first_s, across[i + 1, base] - first_s
            h01, h11 = height[i, base], height[i + 1, base]
            lit1 = np.int64(lit[i, base]) + np.int64(lit[i + 1, base])
            for j in range(base, last):
                t00, t10, s00, s10, h00, h10, lit0 = t01, t11, s01, s11, h01, h11, lit1
                t01, t11 = along[i, j + 1] - first_t, along[i + 1, j + 1] - first_t
                s01, s11 = across[i, j + 1] - first_s, across[i + 1, j + 1] - first_s
                h01, h11 = height[i, j + 1], height[i + 1, j + 1]
                lit1 = np.int64(lit[i, j + 1]) + np.int64(lit[i + 1, j + 1])
                total = s00 + s01 + s10 + s11
                if total != total or lit0 + lit1 < 3:
                    continue
                f = j - base + 0.5
                fa, fb, fc = a0 + da * f, b0 + db * f, c0 + dc * f
                dx0, dx1, dy0, dy1 = s01 - s00, s11 - s10, s10 - s00, s11 - s01
                nx = _count(max(abs(dx0), abs(dx1)), size_x, max(abs(t01 - t00), abs(t11 - t10)))
                ny = _count(max(abs(dy0), abs(dy1)), size_y, max(abs(t10 - t00), abs(t11 - t01)))
                # places relative to the cell of the first corner: rounded alike in any block
                t_cell, s_cell = np.floor(t00), np.floor(s00)
                at = np.int64(t_cell) * wide + np.int64(s_cell)
                t_rest, s_rest = t00 - t_cell, s00 - s_cell
                share = inverse[nx] * inverse[ny]
                seen = False
                for p in range(ny):
                    v = (p + 0.5) * inverse[ny]
                    td = (t01 - t00) + ((t11 - t10) - (t01 - t00)) * v
                    sd = dx0 + (dx1 - dx0) * v
                    tl, sl = t_rest + (t10 - t00) * v, s_rest + dy0 * v
                    here = fa + fb * ((h01 - h00) + ((h11 - h10) - (h01 - h00)) * v)
                    for q in range(nx):
                        u = (q + 0.5) * inverse[nx]
                        value = here + fc * ((h10 - h00) + ((h11 - h01) - (h10 - h00)) * u)
                        if value > 0:
                            seen = True
                            _spread(
                                cells, wide, at, tl + td * u, sl + sd * u, np.float32(value * share)
                            )
                turn = (t01 - t00 + t11 - t10) * (dy0 + dy1) - (t10 - t00 + t11 - t01) * (dx0 + dx1)
                if seen and turn * orientation < 0:
                    _fold(
                        folded,
                        min(t00, t01, t10, t11), max(t00, t01, t10, t11),
                        min(s00, s01, s10, s11), max(s00, s01, s10, s11),
                    )  # fmt: skip


def gather(
    cells: Cells,
    plane: tuple[NDArray[np.float64], NDArray[np.float64]],
    lattice: NDArray[np.float64],
    step: int,
    offset: tuple[int, int],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Ratio of areas that corrects each pixel, and whether it lies in layover.

    Parameters
    ----------
    cells : Cells
    plane : (T, S) : float64, shape (y, x)
        Of the pixels wanted.
    lattice, step
        As for `accumulate`.
    offset : (row, col)
        Of the first pixel wanted after the lattice's first point.

    Returns
    -------
    ratio : float32, shape (y, x)
        ``A_gamma / A_beta``: divide beta nought by it. On level ground it is the cotangent of the
        incidence angle. NaN where the height is missing, and where less than `LEAST_SHARE` of the
        level value is seen, so that noise is not blown up in shadow.
    layover : bool, shape (y, x)
    """
    along, across = plane
    ratio = np.empty(along.shape, "float32")
    layover = np.empty(along.shape, "bool")
    _gather(
        cells.area, cells.folded, *cells.origin, along, across, lattice, step, *offset,
        ratio, layover,
    )  # fmt: skip
    return ratio, layover


@njit(nogil=True, cache=True)
def _gather(  # type: ignore[no-untyped-def]
    area, folded, first_t, first_s, along, across, lattice, step, row0, col0, ratio, layover
):
    rows, cols = ratio.shape
    level = np.empty((lattice.shape[1], 1))
    high, wide = area.shape
    for i in range(rows):
        _interpolate_row(lattice, (row0 + i) / step, level)
        for j in range(cols):
            ratio[i, j] = np.float32(np.nan)
            layover[i, j] = False
            t, s = along[i, j], across[i, j]
            if not (t == t and s == s):
                continue
            t0, s0 = np.floor(t), np.floor(s)
            k, m = int(t0) - first_t, int(s0) - first_s
            if k < 0 or m < 0 or k + 1 >= high or m + 1 >= wide:
                continue
            ft, fs = np.float32(t - t0), np.float32(s - s0)
            one = np.float32(1)
            top = area[k, m] * (one - fs) + area[k, m + 1] * fs
            bottom = area[k + 1, m] * (one - fs) + area[k + 1, m + 1] * fs
            value = top * (one - ft) + bottom * ft
            c = min((col0 + j) // step, level.shape[0] - 2)
            f = (col0 + j) / step - c
            flat = level[c, 0] * (1 - f) + level[c + 1, 0] * f
            layover[i, j] = folded[int(np.rint(t)) - first_t, int(np.rint(s)) - first_s]
            if value >= LEAST_SHARE * flat:
                ratio[i, j] = value
