"""A patch of ground seen from a circular orbit, and what vectors alone say of how it is seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cube.kernels import facets, flatten
from cube.kernels.flatten import View
from cube.kernels.orbit import fit_orbit
from tests.references import FLATTENING, SEMI_MAJOR, circular_orbit

STEP = 32
LON, LAT = 5.3, 1.0
STATE = circular_orbit()


def ecef(lon, lat, height):
    lam, phi = np.radians(lon), np.radians(lat)
    e2 = FLATTENING * (2 - FLATTENING)
    normal = SEMI_MAJOR / np.sqrt(1 - e2 * np.sin(phi) ** 2)
    across = (normal + height) * np.cos(phi)
    z = (normal * (1 - e2) + height) * np.sin(phi)
    return np.stack([across * np.cos(lam), across * np.sin(lam), z], axis=-1)


def orbit():
    time = np.arange(-80.0, 81.0, 10.0)
    position, velocity = zip(*(STATE(float(t)) for t in time), strict=True)
    return fit_orbit(time, position, velocity)


@dataclass
class Ground:
    """Pixels of `pixel` metres on a sphere-like local map, turned by `turn` degrees.

    Rows run against, columns along the map's axes; with `turn` equal to `range_turn()` the columns
    run away from the satellite.
    """

    size: tuple[int, int]
    pixel: float
    turn: float
    height: np.ndarray
    points: np.ndarray
    view: View
    plane: tuple[np.ndarray, np.ndarray]
    lattice: np.ndarray
    up: np.ndarray

    def seen(self, lit=None):
        """Ratio and layover by the kernels."""
        lit = np.ones(self.size, "bool") if lit is None else lit
        cells = facets.accumulate(self.plane, self.height, lit, self.lattice, STEP, self.reach())
        found = facets.Seen.nothing(np.isfinite(self.height))
        limits = -np.inf, np.inf
        facets.gather(cells, self.plane, lit, self.lattice, STEP, (0, 0), limits, found)
        assert not found.wanted.any()
        return cells, found.ratio, found.layover

    def reach(self):
        """Cells that a facet may reach."""
        return flatten.facet_reach(self.view, place(self, np.zeros(2), np.arange(2.0), 0.0))


def place(ground, row, col, height):
    """Earth-fixed metres of pixel centres."""
    rows, cols = ground.size
    u = (col - cols / 2) * ground.pixel
    v = -(row - rows / 2) * ground.pixel
    c, s = np.cos(np.radians(ground.turn)), np.sin(np.radians(ground.turn))
    east, north = c * u - s * v, s * u + c * v
    lon = LON + np.degrees(east / (SEMI_MAJOR * np.cos(np.radians(LAT))))
    lat = LAT + np.degrees(north / (SEMI_MAJOR * (1 - 0.00669438)))
    return ecef(lon, lat, height + 0.0 * (row + col))


def ground(height, size=(257, 257), pixel=10.0, turn=0.0):
    """Ground of ``height(x, y)``: metres from its middle along columns and along rows."""
    made = Ground(size, pixel, turn, *[None] * 6)
    row, col = np.mgrid[: size[0], : size[1]].astype(float)
    z = np.asarray(height((col - size[1] / 2) * pixel, (row - size[0] / 2) * pixel)) + 0 * row
    made.height = z.astype("float32")
    known = np.isfinite(made.height)
    made.points = place(made, row, col, np.where(known, made.height, 0.0).astype(float))
    middle = place(made, np.array(size[0] / 2), np.array(size[1] / 2), 0.0)
    first, right, down = (place(made, *np.array(at), 0.0) for at in ((0, 0), (0, 1), (1, 0)))
    made.view = flatten.view_of(orbit(), middle, right - first, down - first)
    plane = flatten.plane_coordinates(made.view, made.points)
    made.plane = np.where(known, plane[0], np.nan), np.where(known, plane[1], np.nan)
    made.up = middle / np.linalg.norm(middle)
    at = [np.arange((n - 1) // STEP + 2) * STEP for n in size]
    row, col = (grid.astype(float) for grid in np.meshgrid(*at, indexing="ij"))
    near = np.ix_(*[np.minimum(a, n - 1) for a, n in zip(at, size, strict=True)])
    z = np.where(known, made.height, 0.0)[near].astype(float)

    def axis(down, right):
        return (
            place(made, row + down, col + right, z) - place(made, row - down, col - right, z)
        ) / 2

    points = place(made, row, col, z)
    up = place(made, row, col, z + 1.0) - points
    made.lattice = flatten.sight_terms(made.view, points, z, axis(0, 1), axis(1, 0), up)
    return made


def range_turn():
    """Turn at which columns run away from the satellite, degrees."""
    made = ground(lambda x, y: 0.0, size=(3, 3))
    time, _ = flatten.plane_coordinates(made.view, made.points)
    t_x, t_y = time[1, 2] - time[1, 1], time[2, 1] - time[1, 1]
    turn = float(np.degrees(np.arctan2(t_x, t_y)))
    away = np.diff(ground(lambda x, y: 0.0, size=(3, 3), turn=turn).plane[1][1])[0] > 0
    return turn if away else turn + 180.0


def closest(points):
    """Time at which points are broadside, by bisection on plain states, and the state then."""
    low, high = np.full(points.shape[:-1], -70.0), np.full(points.shape[:-1], 70.0)
    arc = orbit()
    for _ in range(60):
        middle = (low + high) / 2
        position, velocity, _ = arc.state(middle)
        ahead = ((points - position) * velocity).sum(-1) > 0
        low, high = np.where(ahead, middle, low), np.where(ahead, high, middle)
    position, velocity, _ = arc.state(low)
    return low, position, velocity


def vector_ratio(points, normal):
    """A_gamma / A_beta of a plane by vectors: (n . s) / |n . w| with w = s x v / |v|.

    s points to the satellite and v along the track: the plane's cell between two ranges and two
    times has an area dR dt v / |n . w|, of which n . s is seen, and dR dt v is the slant area.
    """
    _, position, velocity = closest(points)
    s = position - points
    s /= np.linalg.norm(s, axis=-1)[..., None]
    w = np.cross(s, velocity / np.linalg.norm(velocity, axis=-1)[..., None])
    n = normal / np.linalg.norm(normal, axis=-1)[..., None]
    return (n * s).sum(-1) / np.abs((n * w).sum(-1))


def normals(points):
    """Upward normals of a surface of points, central differences; edges are wrong."""
    right, down = np.gradient(points, axis=1), np.gradient(points, axis=0)
    n = np.cross(right, down)
    return n * np.sign((n * points).sum(-1))[..., None]
