"""What identifies one GRD product: geometry, times, orbit numbers, names, swaths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cube.simulate.geometry import SPEED_OF_LIGHT, ImageGeometry, ground_point, look_vectors
from cube.simulate.orbit import Direction, Orbit

__all__ = ["ProductSpec", "SliceTimes", "Swath", "interferometric_swaths", "mid_swath_time"]

Floats = NDArray[np.float64]

ANTENNA_INCIDENCE_DEG = {"IW1": (30.4, 36.8), "IW2": (36.2, 41.95), "IW3": (41.5, 46.0)}
"""Incidence angles in the antenna patterns of real annotations of 2021, rounded."""
MERGE_INCIDENCE_DEG = (36.5, 41.7)
"""Where the merged image changes from IW1 to IW2 and from IW2 to IW3, likewise."""


@dataclass(frozen=True, slots=True)
class Swath:
    """One sub-swath: what its beam covers, and the samples that it gives to the merged image."""

    name: str
    near_time_s: float
    far_time_s: float
    merge_near_time_s: float
    merge_far_time_s: float

    def columns(self, geometry: ImageGeometry) -> tuple[int, int] | None:
        """First and last sample of the merged image, or None where there are none."""
        middle = np.array(geometry.lines / 2)
        _, distance = geometry.slant(middle, np.arange(geometry.samples, dtype=float))
        edges = [self.merge_near_time_s, self.merge_far_time_s]
        first, stop = np.searchsorted(2 * distance / SPEED_OF_LIGHT, edges)
        return (int(first), int(stop) - 1) if first < stop else None


def _range_at_incidence(orbit: Orbit, angles_deg: Floats, height_m: float) -> Floats:
    """Slant range (m) at which the ellipsoid is met at given angles, at the epoch."""
    distance = np.linspace(740e3, 1.02e6, 4001)
    lat, lon = ground_point(orbit, np.zeros_like(distance), distance, height_m)
    _, _, incidence = look_vectors(orbit, lat[::40], lon[::40], height_m)
    fine = np.interp(distance, distance[::40], incidence)
    return np.interp(angles_deg, fine, distance)


def interferometric_swaths(orbit: Orbit, height_m: float) -> tuple[Swath, ...]:
    """IW1, IW2 and IW3 of an orbit over the point seen at its epoch."""
    names = list(ANTENNA_INCIDENCE_DEG)
    angles = np.array([ANTENNA_INCIDENCE_DEG[name] for name in names])
    beams = 2 / SPEED_OF_LIGHT * _range_at_incidence(orbit, angles.ravel(), height_m)
    beams = beams.reshape(-1, 2)
    inner = 2 / SPEED_OF_LIGHT * _range_at_incidence(orbit, np.array(MERGE_INCIDENCE_DEG), height_m)
    edges = [0.0, *inner.tolist(), 1.0]
    return tuple(
        Swath(name, float(beam[0]), float(beam[1]), edges[i], edges[i + 1])
        for i, (name, beam) in enumerate(zip(names, beams, strict=True))
    )


def mid_swath_time(swaths: tuple[Swath, ...]) -> float:
    """Two-way time of the middle of all sub-swaths together, in seconds.

    The geolocation grids of two real IW GRD products of 2021 put it there to 0.4 us; the middle
    of IW2 alone, where single-look products have it, is 23 us nearer.
    """
    return (min(s.near_time_s for s in swaths) + max(s.far_time_s for s in swaths)) / 2


@dataclass(frozen=True, slots=True)
class SliceTimes:
    """Sensing time of one slice of a data take, after the epoch of the orbit."""

    start_s: float
    stop_s: float


@dataclass(frozen=True, slots=True)
class ProductSpec:
    """One GRD product before its pixels."""

    geometry: ImageGeometry
    direction: Direction
    swaths: tuple[Swath, ...]
    height: Callable[[Floats, Floats], Floats]
    """Ellipsoidal height (m) of latitude and longitude (degrees), for the geolocation grid."""
    polarisations: tuple[str, ...] = ("VV", "VH")
    mission: str = "S1A"
    absolute_orbit: int = 44775
    datatake: int = 350000
    slice_number: int = 1
    slices: tuple[SliceTimes, ...] = ()
    ipf: str = "003.40"
    noise_form: Literal["range and azimuth", "range"] = "range and azimuth"
    """The second is the form of products before IPF 2.90: one list of range vectors."""
    beta_gain: float = 474.0
    """Digital number of unit beta nought."""
    noise_scale: float = 1.0
    """Factor on the noise; 0 for a product without."""
    label: str = "simulated"

    def part(
        self, geometry: ImageGeometry, number: int, slices: tuple[SliceTimes, ...]
    ) -> ProductSpec:
        """One slice of this product's data take."""
        return replace(self, geometry=geometry, slice_number=number, slices=slices)

    def time(self, seconds: float) -> np.datetime64:
        """UTC of a time after the epoch of the orbit, to the microsecond."""
        epoch: np.datetime64 = self.geometry.orbit.epoch.astype("datetime64[us]")
        return epoch + np.timedelta64(round(seconds * 1e6), "us")

    @property
    def first_line_time(self) -> np.datetime64:
        """UTC of line 0."""
        return self.time(self.geometry.first_line_s)

    @property
    def last_line_time(self) -> np.datetime64:
        """UTC of the last line."""
        geometry = self.geometry
        return self.time(geometry.first_line_s + (geometry.lines - 1) * geometry.line_step_s)

    @property
    def node_time(self) -> np.datetime64:
        """UTC of the ascending node before the epoch."""
        return self.time(self.geometry.orbit.node_time_s)

    @property
    def relative_orbit(self) -> int:
        """Number of the ground track, 1..175."""
        offset = {"S1A": 73, "S1B": 27}.get(self.mission)
        if offset is None:
            raise ValueError(f"no relative orbit is known for {self.mission}: use S1A or S1B")
        return (self.absolute_orbit - offset) % 175 + 1

    @property
    def all_slices(self) -> tuple[SliceTimes, ...]:
        """Slices of the data take; the image alone where none are given."""
        geometry = self.geometry
        stop = geometry.first_line_s + (geometry.lines - 1) * geometry.line_step_s
        return self.slices or (SliceTimes(geometry.first_line_s, stop),)

    @property
    def polarisation_code(self) -> str:
        """SV, SH, DV or DH."""
        return ("D" if len(self.polarisations) > 1 else "S") + self.polarisations[0][0]

    @property
    def stem(self) -> str:
        """Product name without the trailing checksum."""
        times = [
            str(time.astype("datetime64[s]")).replace("-", "").replace(":", "")
            for time in (self.first_line_time, self.last_line_time)
        ]
        return (
            f"{self.mission}_IW_GRDH_1S{self.polarisation_code}_{times[0]}_{times[1]}"
            f"_{self.absolute_orbit:06d}_{self.datatake:06X}"
        )

    def file_stem(self, polarisation: str) -> str:
        """Name of annotation and measurement, without folder and extension."""
        parts = self.stem.lower().split("_")
        number = self.polarisations.index(polarisation) + 1
        return "-".join([parts[0], "iw", "grd", polarisation.lower(), *parts[4:], f"{number:03d}"])

    def grid(self) -> GridPoints:
        """Geolocation grid: 21 samples on some 10 lines, on the terrain."""
        geometry = self.geometry
        rows = min(10, max(3, geometry.lines // 60))
        line = np.unique(np.round(np.linspace(0, geometry.lines - 1, rows)))
        col = np.unique(np.round(np.linspace(0, geometry.samples - 1, 21)))
        line, col = np.meshgrid(line, col, indexing="ij")
        height = np.full(line.shape, geometry.terrain_height_m)
        for _ in range(40):
            lat, lon = geometry.ground_position(line, col, height)
            found = np.asarray(self.height(lat, lon), "float64")
            change = np.abs(found - height).max()
            height = height + 0.7 * (found - height)
            if change < 1e-4:
                break
        lat, lon = geometry.ground_position(line, col, height)
        time, distance = geometry.slant(line, col)
        incidence = look_vectors(geometry.orbit, lat, lon, height)[2]
        return GridPoints(line, col, time, distance, lat, lon, height, incidence)

    def elevation_deg(self, distance_m: Floats, incidence_deg: Floats) -> Floats:
        """Angle at the satellite between nadir and the look direction (law of sines)."""
        radius = self.geometry.orbit.radius_m
        angle = np.radians(incidence_deg)
        ground = np.sqrt(radius**2 - (distance_m * np.sin(angle)) ** 2) - distance_m * np.cos(angle)
        return np.degrees(np.arcsin(ground / radius * np.sin(angle)))


@dataclass(frozen=True, slots=True)
class GridPoints:
    """Geolocation grid, all float64 of one shape (lines, samples)."""

    line: Floats
    col: Floats
    time_s: Floats
    range_m: Floats
    lat: Floats
    lon: Floats
    height_m: Floats
    incidence_deg: Floats


def ellipsoid_incidence(geometry: ImageGeometry, line: Floats, col: Floats) -> Floats:
    """Incidence angle (degrees) on the ellipsoid raised to the mean terrain height."""
    lat, lon = geometry.ground_position(line, col, geometry.terrain_height_m)
    return look_vectors(geometry.orbit, lat, lon, geometry.terrain_height_m)[2]
