"""Terrain flattening: how much ground, seen from the satellite, shines into each radar cell.

Small 2011, "Flattening Gamma: Radiometric Terrain Correction for SAR Imagery"
(doi:10.1109/TGRS.2011.2120616): the area of every facet of the surface, projected on the plane
perpendicular to the line of sight, is added to the radar cell that the facet falls in. Several
facets may fall in one cell (layover, foreshortening) and one facet in several cells. Gamma nought
is then beta nought times the cell's slant area over that sum.

The radar plane of this module has its own cells, about one map pixel each, whatever the spacing of
the image: T along the track and S across it, where S is the range as ground range over a sphere.
On level ground pixels and cells are then equally dense at any incidence angle, so that their grids
do not beat; a facet is spread bilinearly along T and by a cubic B-spline along S, which keeps what
is left of the beat below 0.03 dB (`facet_reach`). Coordinates are absolute and facets are added in
the order of rows and columns: a cell that has all its facets is the same to the bit, whatever block
it is computed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cube.kernels.doppler import zero_doppler
from cube.kernels.orbit import Orbit

__all__ = [
    "Cells",
    "Seen",
    "View",
    "accumulate",
    "facet_reach",
    "gather",
    "plane_bounds",
    "plane_coordinates",
    "sight_terms",
    "view_of",
]

LEAST_SHARE = 0.05
"""Cells with less than this share of level ground's area hold no signal to be corrected: shadow."""
_MOST_PARTS = 64  # of a facet along one axis: a cliff of 75 cells


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


def facet_reach(view: View, points: NDArray[np.float64]) -> tuple[float, float]:
    """How far a facet may reach in the plane, in cells, before it is taken in parts.

    What is left of the beat between facets and cells is the transform of the two splines, sinc^2
    along T and sinc^4 along S, at the frequencies of the facets' lattice. One part is enough where
    the map's axes lie within 20 degrees of the track's; in between they meet diagonally.

    Parameters
    ----------
    view : View
    points : float64, shape (2, 3)
        A point of the map and its neighbour along the rows or columns, Earth-fixed metres.

    Returns
    -------
    (T, S) : float
    """
    along, across = plane_coordinates(view, points)
    turn = np.arctan2(abs(along[1] - along[0]), abs(across[1] - across[0]))
    return (0.6, 0.6) if 20.0 < np.degrees(turn) < 70.0 else (1.05, 1.2)


def accumulate(
    plane: tuple[NDArray[np.float64], NDArray[np.float64]],
    height: NDArray[np.float32],
    lit: NDArray[np.bool_],
    lattice: NDArray[np.float64],
    step: int,
    reach: tuple[float, float],
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
    reach : (T, S)
        Of `facet_reach`.

    Returns
    -------
    Cells
        Facets with a missing corner add nothing: cells next to them hold too little.
    """
    along, across = plane
    t0, t1, s0, s1 = plane_bounds(along, across)
    if not t0 <= t1:
        return Cells((0, 0), np.zeros((2, 2), "float32"), np.zeros((2, 2), "bool"))
    first, last = (int(t0) - 2, int(s0) - 2), (int(t1) + 3, int(s1) + 3)
    shape = last[0] - first[0] + 1, last[1] - first[1] + 1
    area, folded = np.zeros(shape, "float32"), np.zeros(shape, "bool")
    _accumulate(along, across, height, lit, lattice, step, *reach, *first, area, folded)
    return Cells(first, area, folded)


@njit(nogil=True, cache=True)
def plane_bounds(along, across):  # type: ignore[no-untyped-def]
    """Lowest and highest T, then S, as whole numbers below; infinite where none is known."""
    t0, t1, s0, s1 = np.inf, -np.inf, np.inf, -np.inf
    for i in range(along.shape[0]):
        for j in range(along.shape[1]):
            t, s = along[i, j], across[i, j]
            # NaN compares as false, and leaves a bound as it is
            t0, t1 = (t if t < t0 else t0), (t if t > t1 else t1)
            s0, s1 = (s if s < s0 else s0), (s if s > s1 else s1)
    return np.floor(t0), np.floor(t1), np.floor(s0), np.floor(s1)


@njit(nogil=True, cache=True)
def _interpolate_row(lattice, at, out):  # type: ignore[no-untyped-def]
    """Fill ``out[c, k]`` with a lattice's first terms at a fractional row."""
    r = min(int(at), lattice.shape[0] - 2)
    f = at - r
    for c in range(out.shape[0]):
        for k in range(out.shape[1]):
            out[c, k] = lattice[r, c, k] * (1 - f) + lattice[r + 1, c, k] * f


@njit(nogil=True, cache=True)
def _count(reach_t, far_t, reach_s, far_s):  # type: ignore[no-untyped-def]
    """Parts of a facet along one axis, from how far it reaches in the plane."""
    if reach_s <= far_s and reach_t <= far_t:
        return 1
    return min(int(np.ceil(max(reach_s / far_s, reach_t / far_t))), _MOST_PARTS)


@njit(nogil=True, cache=True)
def _spread(cells, wide, at, t, s, value):  # type: ignore[no-untyped-def]
    """Add a value at cell `at` plus fractions: bilinear along T, cubic B-spline along S."""
    t0 = np.floor(t)
    s0 = np.floor(s)
    below = np.float32(t - t0) * value
    above = value - below
    d = np.float32(s - s0)
    sixth = np.float32(1 / 6)
    d2 = d * d
    d3 = d2 * d * sixth
    w3 = d3
    w2 = sixth + np.float32(0.5) * (d + d2) - np.float32(3) * d3
    w1 = np.float32(4 / 6) - d2 + np.float32(3) * d3
    w0 = np.float32(1) - w1 - w2 - w3
    one, two = np.uint64(1), np.uint64(2)
    here = np.uint64(at + np.int64(t0) * wide + np.int64(s0))  # unsigned: no negative indices
    cells[here - one] += w0 * above
    cells[here] += w1 * above
    cells[here + one] += w2 * above
    cells[here + two] += w3 * above
    here += np.uint64(wide)
    cells[here - one] += w0 * below
    cells[here] += w1 * below
    cells[here + one] += w2 * below
    cells[here + two] += w3 * below


@njit(nogil=True, cache=True)
def _fold(folded, first_t, first_s, t0, t1, s0, s1):  # type: ignore[no-untyped-def]
    for i in range(int(np.rint(t0)) - first_t, int(np.rint(t1)) - first_t + 1):
        for j in range(int(np.rint(s0)) - first_s, int(np.rint(s1)) - first_s + 1):
            folded[i, j] = True


@njit(nogil=True, cache=True)
def _accumulate(  # type: ignore[no-untyped-def]
    along, across, height, lit, lattice, step, far_t, far_s, first_t, first_s, area, folded
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
            t01, t11 = along[i, base], along[i + 1, base]
            s01, s11 = across[i, base], across[i + 1, base]
            h01, h11 = height[i, base], height[i + 1, base]
            lit1 = np.int64(lit[i, base]) + np.int64(lit[i + 1, base])
            for j in range(base, last):
                t00, t10, s00, s10, h00, h10, lit0 = t01, t11, s01, s11, h01, h11, lit1
                t01, t11 = along[i, j + 1], along[i + 1, j + 1]
                s01, s11 = across[i, j + 1], across[i + 1, j + 1]
                h01, h11 = height[i, j + 1], height[i + 1, j + 1]
                lit1 = np.int64(lit[i, j + 1]) + np.int64(lit[i + 1, j + 1])
                total = s00 + s01 + s10 + s11
                if total != total or lit0 + lit1 < 3:
                    continue
                f = j - base + 0.5
                fa, fb, fc = a0 + da * f, b0 + db * f, c0 + dc * f
                dx0, dx1, dy0, dy1 = s01 - s00, s11 - s10, s10 - s00, s11 - s01
                nx = _count(
                    max(abs(t01 - t00), abs(t11 - t10)), far_t, max(abs(dx0), abs(dx1)), far_s
                )
                ny = _count(
                    max(abs(t10 - t00), abs(t11 - t01)), far_t, max(abs(dy0), abs(dy1)), far_s
                )
                # places relative to the cell of the first corner: rounded alike in any block
                t_cell, s_cell = np.floor(t00), np.floor(s00)
                at = (np.int64(t_cell) - first_t) * wide + np.int64(s_cell) - first_s
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
                        folded, first_t, first_s,
                        min(t00, t01, t10, t11), max(t00, t01, t10, t11),
                        min(s00, s01, s10, s11), max(s00, s01, s10, s11),
                    )  # fmt: skip


class Seen(NamedTuple):
    """What is seen of pixels; filled by `gather`.

    Attributes
    ----------
    ratio : float32, shape (y, x)
        ``A_gamma / A_beta``: divide beta nought by it. On level ground it is the cotangent of the
        incidence angle. NaN in shadow and where nothing is known.
    layover, shadow : bool, shape (y, x)
    wanted : bool, shape (y, x)
        Pixels that are still to be filled.
    """

    ratio: NDArray[np.float32]
    layover: NDArray[np.bool_]
    shadow: NDArray[np.bool_]
    wanted: NDArray[np.bool_]

    @classmethod
    def nothing(cls, wanted: NDArray[np.bool_]) -> Seen:
        """Everything that is wanted, and nothing seen yet."""
        shape = wanted.shape
        dark, folded = np.zeros(shape, "bool"), np.zeros(shape, "bool")
        return cls(np.full(shape, np.nan, "float32"), folded, dark, wanted)


def gather(
    cells: Cells,
    plane: tuple[NDArray[np.float64], NDArray[np.float64]],
    lit: NDArray[np.bool_],
    lattice: NDArray[np.float64],
    step: int,
    offset: tuple[int, int],
    limits: tuple[float, float],
    seen: Seen,
) -> None:
    """Look up what is seen of the pixels that are wanted, and cross them off.

    A pixel that is lit, but whose cell holds less than `LEAST_SHARE` of the area of level ground,
    counts as shadow: dividing by so little would only blow up noise.

    Parameters
    ----------
    cells : Cells
    plane : (T, S) : float64, shape (rows, cols)
        Of a block with its halo.
    lit : bool, shape (rows, cols)
    lattice, step
        As for `accumulate`.
    offset : (row, col)
        Of the first pixel of `seen` in the plane.
    limits : (first, last)
        T that the orbit reaches; pixels beyond are left for another.
    seen : Seen
        Filled in place.
    """
    _gather(
        cells.area, cells.folded, *cells.origin, *plane, lit, lattice, step, *offset, *limits, *seen
    )


@njit(nogil=True, cache=True)
def _gather(  # type: ignore[no-untyped-def]
    area, folded, first_t, first_s, along, across, lit, lattice, step, row0, col0, low, high,
    ratio, layover, shadow, wanted,
):  # fmt: skip
    rows, cols = ratio.shape
    level = np.empty((lattice.shape[1], 1))
    one = np.float32(1)
    for i in range(rows):
        _interpolate_row(lattice, (row0 + i) / step, level)
        for j in range(cols):
            t, s = along[row0 + i, col0 + j], across[row0 + i, col0 + j]
            if not (wanted[i, j] and low <= t <= high):
                continue
            wanted[i, j] = False
            if not lit[row0 + i, col0 + j]:
                shadow[i, j] = True
                continue
            t0, s0 = np.floor(t), np.floor(s)
            k, m = int(t0) - first_t, int(s0) - first_s
            ft, fs = np.float32(t - t0), np.float32(s - s0)
            top = area[k, m] * (one - fs) + area[k, m + 1] * fs
            bottom = area[k + 1, m] * (one - fs) + area[k + 1, m + 1] * fs
            value = top * (one - ft) + bottom * ft
            c = min((col0 + j) // step, level.shape[0] - 2)
            f = (col0 + j) / step - c
            if value >= LEAST_SHARE * (level[c, 0] * (1 - f) + level[c + 1, 0] * f):
                ratio[i, j] = value
                layover[i, j] = folded[int(np.rint(t)) - first_t, int(np.rint(s)) - first_s]
            else:
                shadow[i, j] = True
