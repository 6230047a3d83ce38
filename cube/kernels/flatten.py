"""Terrain flattening: how much ground, seen from the satellite, shines into each radar cell.

Small 2011, "Flattening Gamma: Radiometric Terrain Correction for SAR Imagery"
(doi:10.1109/TGRS.2011.2120616): the area of every facet of the surface, projected on the plane
perpendicular to the line of sight, is added to the radar cell that the facet falls in. Several
facets may fall in one cell (layover, foreshortening) and one facet in several cells. Gamma nought
is then beta nought times the cell's slant area over that sum.

The radar plane of this module has its own cells, of the map's pixels' size and shape, whatever the
spacing of the image: T along the track and S across it, where S is ground range over a sphere.
On level ground pixels and cells are then equally dense at any incidence angle, so that their grids
do not beat; a facet is spread bilinearly along T and by a cubic B-spline along S, which keeps what
is left of the beat below 0.03 dB (`facet_reach`). Coordinates are absolute and facets are added in
the order of rows and columns: a cell that has all its facets is the same to the bit, whatever block
it is computed in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cube.kernels.compiled import compiled
from cube.kernels.doppler import zero_doppler
from cube.kernels.orbit import Orbit

__all__ = [
    "View",
    "facet_reach",
    "plane_bounds",
    "plane_coordinates",
    "sight_terms",
    "view_of",
]


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
        Along the ground, nominal: T is ``time * speed_m_s / cell_m[0]``.
    cell_m : (along, across)
        Sides of a cell on the ground.
    """

    orbit: Orbit
    satellite_m: float
    earth_m: float
    speed_m_s: float
    cell_m: tuple[float, float]


def view_of(
    orbit: Orbit,
    point: NDArray[np.float64],
    along_x: NDArray[np.float64],
    along_y: NDArray[np.float64],
) -> View:
    """View of an orbit on the surroundings of a point.

    Parameters
    ----------
    orbit : Orbit
    point : float64, shape (3,)
        Earth-fixed metres, on the ellipsoid.
    along_x, along_y : float64, shape (3,)
        Steps of one pixel along the map's columns and rows, metres. A cell is as long as the one
        that goes with the track and as wide as the other.

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
    size_x, size_y = float(np.linalg.norm(along_x)), float(np.linalg.norm(along_y))
    upright = abs(level @ along_y) * size_x >= abs(level @ along_x) * size_y
    return View(
        orbit,
        float(np.linalg.norm(position)),
        float(np.linalg.norm(point)),
        float(1 / np.linalg.norm(level)),
        (size_y, size_x) if upright else (size_x, size_y),
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
    return time * (view.speed_m_s / view.cell_m[0]), _ground(view, slant) / view.cell_m[1]


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
    cell = view.cell_m[0] * view.cell_m[1] / view.speed_m_s * range_rate * speed  # A_beta in m2
    terms = [dot(s, normal), dot(s, np.cross(up, along_y)), dot(s, np.cross(along_x, up))]
    level = _ground(view, slant + height * dot(s, up)) / view.cell_m[1]
    return np.stack([*(term * sign / cell for term in terms), level, np.sign(turn)], axis=-1)


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
    step = abs(along[1] - along[0]) * view.cell_m[0], abs(across[1] - across[0]) * view.cell_m[1]
    turn = np.arctan2(*step)
    return (0.6, 0.6) if 20.0 < np.degrees(turn) < 70.0 else (1.05, 1.2)


@compiled
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
