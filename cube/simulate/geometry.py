"""Where a ground point lies in a GRD image, solved exactly, and back.

Conventions of the Sentinel-1 Level-1 products (S1-RS-MDA-52-7441, Product Specification, and
S1-TN-MDA-52-7445, Level 1 Detailed Algorithm Definition):

* azimuth is the zero-Doppler time of the point, ``(P - S(t)) . V(t) = 0`` with Earth-fixed ``V``;
* image lines carry that time less ``0.5 (tau - tau_mid)``, the bistatic residual, ``tau`` being
  the two-way time of the pixel and ``tau_mid`` that of the middle of all sub-swaths together;
* samples are even in ground range, which a degree-8 polynomial turns into slant range; one pair
  of polynomials is given a second, and a line uses the pair nearest in time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import NDArray

from cube.simulate.ellipsoid import east_north_up, ecef_from_geodetic, geodetic_from_ecef
from cube.simulate.orbit import Orbit

__all__ = [
    "SPEED_OF_LIGHT",
    "ImageGeometry",
    "SrgrRecord",
    "ground_point",
    "image_over",
    "look_vectors",
    "srgr_record",
    "zero_doppler",
]

Floats = NDArray[np.float64]

SPEED_OF_LIGHT = 299_792_458.0  # m/s, exact (SI)
DEGREE = 8
"""Degree of the ground range polynomials, as in the products."""
FIT_LENGTH_M = 60e3
"""Least ground range that a polynomial is fitted to, so that it does not swing just outside."""


def zero_doppler(orbit: Orbit, points: Floats, guess_s: float = 0.0) -> tuple[Floats, Floats]:
    """Zero-Doppler time and slant range of Earth-fixed points, by Newton's method.

    Parameters
    ----------
    orbit : Orbit
    points : float64, shape (..., 3)
        Metres.
    guess_s : float
        Start of the iteration, seconds after the epoch of the orbit.

    Returns
    -------
    time_s, range_m : float64, shape (...)

    Raises
    ------
    ValueError
        The iteration did not settle: the points are not beside the arc.
    """
    time = np.full(points.shape[:-1], guess_s)
    for _ in range(12):
        state = orbit.state(time)
        look = points - state.position
        value = np.einsum("...i,...i", look, state.velocity)
        slope = np.einsum("...i,...i", look, state.acceleration) - np.einsum(
            "...i,...i", state.velocity, state.velocity
        )
        step = value / slope
        time = time - step
        if np.abs(step).max(initial=0.0) < 1e-11:
            look = points - orbit.state(time).position
            return time, np.linalg.norm(look, axis=-1)
    worst = float(np.abs(step).max())
    raise ValueError(f"zero-Doppler time did not settle: worst step {worst:.1e} s")


def ground_point(
    orbit: Orbit, time_s: Floats, range_m: Floats, height_m: Floats | float
) -> tuple[Floats, Floats]:
    """Latitude and longitude (degrees) seen to the right at a time, range and height.

    The point runs on the circle of that range in the plane normal to the velocity; Newton's
    method turns it until its ellipsoidal height is the wanted one.

    Parameters
    ----------
    time_s, range_m, height_m : float64, shapes that broadcast

    Raises
    ------
    ValueError
        The range does not reach the surface, or runs past the horizon.
    """
    time, distance, height = np.broadcast_arrays(
        np.asarray(time_s, "float64"), np.asarray(range_m, "float64"), height_m
    )
    state = orbit.state(time)
    ahead = state.velocity / np.linalg.norm(state.velocity, axis=-1, keepdims=True)
    down = -state.position
    down = down - np.einsum("...i,...i", down, ahead)[..., None] * ahead
    down = down / np.linalg.norm(down, axis=-1, keepdims=True)
    right = np.cross(down, ahead)
    radius = np.linalg.norm(state.position, axis=-1)
    # Start on the sphere of the mean radius below the satellite.
    cosine = (radius**2 + distance**2 - (6.3710e6 + height) ** 2) / (2 * radius * distance)
    angle = np.arccos(np.clip(cosine, -0.99, 0.999999))
    for _ in range(20):
        offset = np.cos(angle)[..., None] * down + np.sin(angle)[..., None] * right
        lat, lon, found = geodetic_from_ecef(state.position + distance[..., None] * offset)
        turn = np.cos(angle)[..., None] * right - np.sin(angle)[..., None] * down
        up = east_north_up(lat, lon)[2]
        step = (found - height) / (distance * np.einsum("...i,...i", turn, up))
        angle = angle - np.clip(step, -0.05, 0.05)
        if np.abs(step).max(initial=0.0) < 1e-13:
            return lat, lon
    worst = float(np.nanmax(np.abs(step)) * distance.max())
    raise ValueError(f"no ground at this range and height: still {worst:.1e} m off")


def look_vectors(
    orbit: Orbit, lat: Floats, lon: Floats, height_m: Floats | float
) -> tuple[Floats, Floats, Floats]:
    """Directions at a ground point, in its east, north, up frame.

    Returns
    -------
    look, normal : float64, shape (..., 3)
        Unit vectors to the satellite, and normal to the slant range plane, upward.
    incidence_deg : float64, shape (...)
        Angle between `look` and the ellipsoid normal.
    """
    points = ecef_from_geodetic(lat, lon, np.asarray(height_m, "float64"))
    time, _ = zero_doppler(orbit, points)
    state = orbit.state(time)
    look = state.position - points
    look = look / np.linalg.norm(look, axis=-1, keepdims=True)
    ahead = state.velocity / np.linalg.norm(state.velocity, axis=-1, keepdims=True)
    frame = np.stack(east_north_up(lat, lon), axis=-2)
    look = np.einsum("...ij,...j", frame, look)
    ahead = np.einsum("...ij,...j", frame, ahead)
    normal = np.cross(look, ahead)
    normal = normal * np.sign(normal[..., 2:])
    return look, normal, np.degrees(np.arccos(look[..., 2]))


@dataclass(frozen=True, slots=True)
class SrgrRecord:
    """One coordinate conversion: slant range from ground range and back, at one time."""

    time_s: float
    near_range_m: float
    srgr: tuple[float, ...]
    """Ground range in powers of slant range less `near_range_m`; metres."""
    grsr: tuple[float, ...]
    """Slant range in powers of ground range; metres."""


def srgr_record(
    orbit: Orbit, time_s: float, near_range_m: float, length_m: float, height_m: float
) -> SrgrRecord:
    """Fit the polynomials to the ground arc at `height_m` above the ellipsoid.

    The ground range of a slant range is the length of the arc that the zero-Doppler plane cuts
    from the surface of that height, counted from near range.
    """
    length = max(length_m, FIT_LENGTH_M) * 1.05
    far = near_range_m + 0.75 * length
    before = 0.02 * length
    slant = np.concatenate(
        [
            np.linspace(near_range_m - 0.6 * before, near_range_m, 50, endpoint=False),
            np.linspace(near_range_m, far, 2000),
        ]
    )
    lat, lon = ground_point(orbit, np.full(slant.shape, time_s), slant, height_m)
    point = ecef_from_geodetic(lat, lon, np.full(slant.shape, height_m))
    # Chords of 100 m fall short of the arc by 1e-9 m.
    steps = np.linalg.norm(np.diff(point, axis=0), axis=-1)
    ground = np.concatenate([[0.0], np.cumsum(steps)])
    ground = ground - ground[50]
    keep = ground <= length
    ground, slant = ground[keep], slant[keep]
    forward = Polynomial.fit(ground, slant, DEGREE).convert(domain=[-1, 1], window=[-1, 1])
    offset = slant - near_range_m
    back = Polynomial.fit(offset, ground, DEGREE).convert(domain=[-1, 1], window=[-1, 1])
    return SrgrRecord(
        time_s,
        near_range_m,
        tuple(float(c) for c in back.coef),
        tuple(float(c) for c in forward.coef),
    )


@dataclass(frozen=True, slots=True)
class ImageGeometry:
    """One GRD image: its lines, samples, orbit and ground range polynomials."""

    orbit: Orbit
    first_line_s: float
    """Time of line 0 after the epoch of the orbit, a whole number of microseconds."""
    line_step_s: float
    lines: int
    samples: int
    near_range_m: float
    mid_time_s: float
    """Two-way time of the middle of the whole swath, for which the residual is zero."""
    terrain_height_m: float
    """Height above the ellipsoid for which the ground range polynomials hold."""
    records: tuple[SrgrRecord, ...]
    range_step_m: float = 10.0

    def with_lines(self, first: int, lines: int) -> ImageGeometry:
        """Part of the image: the same orbit and polynomials, other lines."""
        start = round(self.first_line_s + first * self.line_step_s, 6)
        return replace(self, first_line_s=start, lines=lines)

    def nearest_record(self, time_s: Floats) -> NDArray[np.intp]:
        """Index of the record nearest to a zero-Doppler time."""
        times = np.array([record.time_s for record in self.records])
        return np.searchsorted((times[1:] + times[:-1]) / 2, time_s)

    def slant(self, line: Floats, col: Floats) -> tuple[Floats, Floats]:
        """Zero-Doppler time (s) and slant range (m) of image positions (line, sample)."""
        line, col = np.broadcast_arrays(np.asarray(line, "float64"), np.asarray(col, "float64"))
        line_time = self.first_line_s + line * self.line_step_s
        time = line_time
        for _ in range(2):
            distance = self.slant_range(self.nearest_record(time), col)
            time = line_time + 0.5 * (2 * distance / SPEED_OF_LIGHT - self.mid_time_s)
        return time, distance

    def slant_range(self, record: NDArray[np.intp], col: Floats) -> Floats:
        """Slant range (m) of a sample under given records."""
        table = np.array([item.grsr for item in self.records])
        ground = col * self.range_step_m
        distance = np.zeros(np.broadcast_shapes(record.shape, col.shape))
        for power in reversed(range(table.shape[1])):
            distance = distance * ground + table[record, power]
        return distance

    def position(self, time_s: Floats, range_m: Floats) -> tuple[Floats, Floats]:
        """Image position (line, sample) of a zero-Doppler time and slant range."""
        time, distance = np.broadcast_arrays(
            np.asarray(time_s, "float64"), np.asarray(range_m, "float64")
        )
        residual = 0.5 * (2 * distance / SPEED_OF_LIGHT - self.mid_time_s)
        line = (time - residual - self.first_line_s) / self.line_step_s
        record = self.nearest_record(time)
        table = np.array([item.srgr for item in self.records])
        ground = np.zeros(distance.shape)
        for power in reversed(range(table.shape[1])):
            ground = ground * (distance - self.near_range_m) + table[record, power]
        # The slant range of a sample is defined by the other polynomial: settle on that one.
        forward = np.array([item.grsr for item in self.records])
        slopes = forward[:, 1:] * np.arange(1, forward.shape[1])
        for _ in range(2):
            value, slope = np.zeros(distance.shape), np.zeros(distance.shape)
            for power in reversed(range(forward.shape[1])):
                value = value * ground + forward[record, power]
            for power in reversed(range(slopes.shape[1])):
                slope = slope * ground + slopes[record, power]
            ground = ground - (value - distance) / slope
        return line, ground / self.range_step_m

    def image_position(
        self, lat: Floats, lon: Floats, height_m: Floats | float
    ) -> tuple[Floats, Floats]:
        """Image position (line, sample) of ground points (degrees, ellipsoidal metres)."""
        points = ecef_from_geodetic(
            np.asarray(lat, "float64"), np.asarray(lon, "float64"), np.asarray(height_m, "float64")
        )
        return self.position(*zero_doppler(self.orbit, points))

    def ground_position(
        self, line: Floats, col: Floats, height_m: Floats | float
    ) -> tuple[Floats, Floats]:
        """Latitude and longitude (degrees) of image positions at ellipsoidal heights."""
        time, distance = self.slant(line, col)
        return ground_point(self.orbit, time, distance, height_m)


def image_over(
    orbit: Orbit,
    lat: Floats,
    lon: Floats,
    height_m: Floats,
    *,
    margin_m: float,
    mid_time_s: float,
    size: tuple[int, int] | None = None,
) -> ImageGeometry:
    """Image that holds given ground points with a margin.

    Parameters
    ----------
    orbit : Orbit
    lat, lon, height_m : float64, shape (n,)
        Points to hold; degrees, ellipsoidal metres. The mean height is that of the ground range.
    margin_m : float
        Ground left free on all sides.
    mid_time_s : float
        Two-way time of the middle of the whole swath.
    size : (lines, samples), optional
        Fixed size; the image is then centred on the points.
    """
    time, distance = zero_doppler(orbit, ecef_from_geodetic(lat, lon, height_m))
    height = float(np.mean(height_m))
    middle, centre = (time.min() + time.max()) / 2, (distance.min() + distance.max()) / 2
    speed = _ground_speed(orbit, middle, centre, height)
    line_step = 10.0 / speed
    slope = _ground_per_slant(orbit, middle, centre, height)
    margin_s, margin_slant = margin_m / speed, margin_m / slope
    first, near = time.min() - margin_s, distance.min() - margin_slant
    lines = math.ceil((time.max() + margin_s - first) / line_step)
    samples = math.ceil((distance.max() + margin_slant - near) * slope / 10.0)
    if size is not None:
        lines, samples = size
        first = middle - lines * line_step / 2
        near = _half_swath_before(orbit, middle, centre, samples * 5.0, height)
    first = round(float(first), 6)
    last = first + lines * line_step
    # Records a second apart, from before the first line until past the last, none at a line time.
    times = np.arange(math.floor(first) - 2, math.ceil(last) + 2) + 0.0908
    records = tuple(srgr_record(orbit, float(t), near, samples * 10.0, height) for t in times)
    return ImageGeometry(orbit, first, line_step, lines, samples, near, mid_time_s, height, records)


def _ground_speed(orbit: Orbit, time_s: float, range_m: float, height_m: float) -> float:
    """Speed of the footprint over the ground, m/s."""
    lat, lon = ground_point(orbit, np.array([-0.5, 0.5]) + time_s, np.full(2, range_m), height_m)
    points = ecef_from_geodetic(lat, lon, np.full(2, height_m))
    return float(np.linalg.norm(points[1] - points[0]))


def _ground_per_slant(orbit: Orbit, time_s: float, range_m: float, height_m: float) -> float:
    """Metres on the ground a metre of slant range."""
    lat, lon = ground_point(orbit, np.full(2, time_s), np.array([-50, 50]) + range_m, height_m)
    points = ecef_from_geodetic(lat, lon, np.full(2, height_m))
    return float(np.linalg.norm(points[1] - points[0])) / 100


def _half_swath_before(
    orbit: Orbit, time_s: float, range_m: float, ground_m: float, height_m: float
) -> float:
    """Slant range of the point `ground_m` nearer than `range_m`, on the ground."""
    near = range_m
    for _ in range(6):
        slope = _ground_per_slant(orbit, time_s, (near + range_m) / 2, height_m)
        near = range_m - ground_m / slope
    return near
