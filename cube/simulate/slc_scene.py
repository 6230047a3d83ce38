"""Ground that scatters: the same places on all dates, speckle as coherent as is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil, radians

import numpy as np
from numpy.typing import NDArray

from cube.simulate.ellipsoid import (
    ECCENTRICITY2,
    SEMI_MAJOR_M,
    east_north_up,
    ecef_from_geodetic,
)

__all__ = ["Field", "Patch", "SlcScene", "patches", "speckle"]

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Field = Callable[[Floats, Floats], Floats] | float
"""Function of longitude and latitude in degrees, or a constant."""

TILE = 512
"""Scatterers on a side of a tile, the unit of random numbers and of memory."""
POLARISATIONS = ("VV", "VH", "HH", "HV")


@dataclass(frozen=True)
class SlcScene:
    """Ground with scatterers, the same for all dates.

    The scatterers stand at random places of the cells of an even grid, so that speckle is
    circular Gaussian with an almost constant variance. They hide nothing: there is layover, but
    no shadow. Slopes change the power as they change the ground that one pixel covers.
    """

    bounds: tuple[float, float, float, float]
    """West, south, east, north, degrees."""
    height: Field = 0.0
    """Ellipsoidal height, metres."""
    coherence: Field = 1.0
    """Coherence 0..1 between any two dates."""
    beta0: Field | Mapping[str, Field] = 0.2
    """Expected ``|DN|^2 / A_beta^2`` on level ground, linear; or that for each polarisation."""
    phase: Callable[[Floats, Floats, int], Floats] | None = None
    """Phase in radians of longitude, latitude and date, added to ground and targets."""
    targets: tuple[tuple[float, float, float, float], ...] = ()
    """Points (lon, lat, ellipsoidal height, digital number at the peak), on all dates."""
    image_targets: tuple[
        tuple[str, float, float, float] | tuple[str, int, float, float, float], ...
    ] = ()
    """Points (swath, line, sample, digital number) or (swath, burst, line in burst, sample,
    digital number), placed on the grid of the template or of its shifted lines. Bursts and
    lines are those of the template before it is cut. Unlike real ones they are in one burst
    only, and their phase is that of the two-way path alone."""
    seed: int = 0
    density: float = 0.055
    """Scatterers on a square metre: 3.2 in a pixel of IW1, 2.6 in one of IW3. At 0 there are
    points alone."""


@dataclass(frozen=True, slots=True)
class Patch:
    """One tile of the even grid."""

    scene: SlcScene
    key: tuple[int, int]
    lon_edges: tuple[float, float]
    sine_edges: tuple[float, float]
    """Sines of the latitudes at the edges: even steps of them are even areas on a sphere."""
    shape: tuple[int, int]

    def probe(self) -> tuple[Floats, Floats]:
        """Longitude and latitude of 7 by 7 points from edge to edge."""
        u, v = np.meshgrid(np.linspace(0, 1, 7), np.linspace(0, 1, 7))
        return self._place(u.ravel(), v.ravel())

    def places(self) -> tuple[Floats, Floats]:
        """Longitude and latitude of the scatterers, in the order of the cells."""
        random = np.random.default_rng(np.random.SeedSequence(self.scene.seed, spawn_key=self.key))
        v, u = np.indices(self.shape) + random.random((2, *self.shape))
        return self._place(u.ravel() / self.shape[1], v.ravel() / self.shape[0])

    def _place(self, u: Floats, v: Floats) -> tuple[Floats, Floats]:
        lon = self.lon_edges[0] + u * (self.lon_edges[1] - self.lon_edges[0])
        sine = self.sine_edges[0] + v * (self.sine_edges[1] - self.sine_edges[0])
        return lon, np.degrees(np.arcsin(sine))

    def share_m2(self, lat: Floats, height_m: Floats) -> Floats:
        """Level ground of one scatterer at latitudes and heights."""
        sine2 = np.sin(np.radians(lat)) ** 2
        prime = SEMI_MAJOR_M / np.sqrt(1 - ECCENTRICITY2 * sine2)
        meridian = prime * (1 - ECCENTRICITY2) / (1 - ECCENTRICITY2 * sine2)
        lon_step = radians(self.lon_edges[1] - self.lon_edges[0]) / self.shape[1]
        sine_step = (self.sine_edges[1] - self.sine_edges[0]) / self.shape[0]
        return np.asarray((prime + height_m) * (meridian + height_m) * lon_step * sine_step)


def value_of(field: Field, lon: Floats, lat: Floats) -> Floats:
    """Values of a field at points."""
    value = field(lon, lat) if callable(field) else field
    return np.broadcast_to(np.asarray(value, "float64"), lon.shape)


def ground(scene: SlcScene, lon: Floats, lat: Floats) -> tuple[Floats, Floats, Floats]:
    """Height, Earth-fixed position and ellipsoid normal of the ground at points."""
    height = value_of(scene.height, lon, lat)
    return height, ecef_from_geodetic(lat, lon, height), east_north_up(lat, lon)[2]


def patches(scene: SlcScene) -> Iterator[Patch]:
    """Tiles of a scene, row by row from the south-west.

    Raises
    ------
    ValueError
        The bounds hold no ground.
    """
    west, south, east, north = scene.bounds
    if not (west < east and south < north):
        raise ValueError(f"bounds {scene.bounds} are not west, south, east, north")
    if scene.density <= 0:
        return
    step = scene.density**-0.5
    sines = np.sin(np.radians([south, north]))
    middle = radians((south + north) / 2)
    shape = (
        max(1, ceil(radians(north - south) * 6.371e6 / step)),
        max(1, ceil(radians(east - west) * 6.371e6 * np.cos(middle) / step)),
    )
    lon, sine = np.array([west, east]), sines
    for row in range(0, shape[0], TILE):
        rows = np.array([row, min(row + TILE, shape[0])])
        for col in range(0, shape[1], TILE):
            cols = np.array([col, min(col + TILE, shape[1])])
            x = lon[0] + (lon[1] - lon[0]) * cols / shape[1]
            y = sine[0] + (sine[1] - sine[0]) * rows / shape[0]
            yield Patch(
                scene,
                (row // TILE, col // TILE),
                (float(x[0]), float(x[1])),
                (float(y[0]), float(y[1])),
                (int(np.ptp(rows)), int(np.ptp(cols))),
            )


def speckle(patch: Patch, polarisation: str, date: int, coherence: Floats) -> Complexes:
    """Complex reflectivity of unit variance, circular Gaussian.

    A common part and one of each date: ``sqrt(g) common + sqrt(1 - g) own`` has coherence ``g``
    between any two dates. Nothing but seed, tile, polarisation and date goes into them.
    """
    number = POLARISATIONS.index(polarisation)

    def draw(*key: int) -> Complexes:
        sequence = np.random.SeedSequence(patch.scene.seed, spawn_key=(*patch.key, number, *key))
        parts = np.random.default_rng(sequence).standard_normal((2, coherence.size))
        return np.asarray((parts[0] + 1j * parts[1]) * np.sqrt(0.5))

    if (coherence == 1).all():
        return draw(0)
    return np.asarray(np.sqrt(coherence) * draw(0) + np.sqrt(1 - coherence) * draw(1, date))
