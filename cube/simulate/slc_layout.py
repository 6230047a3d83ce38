"""Where the swaths and bursts of a made-up SLC product lie in time and range.

Numbers are those of real IW products (S1-RS-MDA-52-7441) of 2023, or scaled down with the burst,
so that tests have small files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import floor

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import NDArray

from cube.simulate.annotation_general import RADAR_FREQUENCY_HZ, SAMPLING_HZ, STEERING_DEG_S
from cube.simulate.ellipsoid import ecef_from_geodetic
from cube.simulate.geometry import (
    SPEED_OF_LIGHT,
    ground_point,
    look_vectors,
    srgr_record,
    zero_doppler,
)
from cube.simulate.product import GridPoints, ProductSpec, Swath

__all__ = ["LINE_STEP_S", "REAL_LINES", "Layout", "burst_number", "lay_out"]

Floats = NDArray[np.float64]

LINE_STEP_S = 2.055556299999998e-03
REAL_LINES = 1507
"""Lines of a burst of IW1, to which the times below belong."""
BURST_PERIOD_S = 2.758277
STAGGER = {"IW1": -0.344, "IW2": 0.0, "IW3": 0.344}
"""Zero-Doppler time of the bursts of one cycle after that of IW2, in periods."""
REAL_SAMPLES = {"IW1": (23055, 171, 20635), "IW2": (26818, 157, 24610), "IW3": (25769, 140, 23825)}
"""Samples of a burst, first and last valid one."""
OVERLAP_SAMPLES = 520
"""Valid samples that neighbouring swaths share: 2 km on the ground."""
ORBIT_S = 12 * 86400 / 175
PREAMBLE_S, CYCLE_S = 2.299849, 2.758273
"""Of the burst identifiers of Sentinel-1: time before the first cycle, and length of one."""


def burst_number(mid_sensing_s: float, orbit: int) -> int:
    """Burst identifier of a whole cycle, by the time of its burst in IW2.

    Real annotations give the bursts of IW1 and IW3 of a cycle the number of that in IW2; half a
    burst of lines after the annotated sensing time, IW1 is 0.83 s earlier and IW3 1.08 s later.

    Parameters
    ----------
    mid_sensing_s : float
        Sensing time of the middle of the burst of IW2, seconds after the ascending node.
    orbit : int
        Relative orbit, for the number in a repeat cycle, or another count of orbits.
    """
    return 1 + floor((mid_sensing_s + (orbit - 1) * ORBIT_S - PREAMBLE_S) / CYCLE_S)


@dataclass(frozen=True, slots=True)
class Layout:
    """One swath."""

    spec: ProductSpec
    """What it has in common with a detected product: orbit, near range, names."""
    name: str
    start_s: tuple[float, ...]
    """Zero-Doppler time of line 0 of each burst after the epoch, whole microseconds."""
    lines: int
    """Of a burst."""
    valid_lines: tuple[int, int]
    valid_samples: tuple[int, int]
    first_number: tuple[int, int]
    """Relative and absolute identifier of the first burst."""

    def time(self, line: Floats) -> Floats:
        """Time of concatenated lines."""
        burst = np.clip(line // self.lines, 0, len(self.start_s) - 1).astype(int)
        return np.asarray(np.array(self.start_s)[burst] + (line - burst * self.lines) * LINE_STEP_S)

    def line(self, time_s: float) -> int:
        """Concatenated line of a time, in the last burst that begins before."""
        burst = max(0, int(np.searchsorted(self.start_s, time_s + 1e-7, side="right")) - 1)
        return burst * self.lines + round((time_s - self.start_s[burst]) / LINE_STEP_S)

    def two_way(self, sample: Floats) -> Floats:
        """Two-way time of samples."""
        near = 2 * self.spec.geometry.near_range_m / SPEED_OF_LIGHT
        return np.asarray(near + sample / SAMPLING_HZ)

    def points(self, line: Floats, sample: Floats, lift: bool = True) -> GridPoints:
        """Ground at lines and samples, of one shape; `lift` puts it on the terrain.

        Times are rounded to microseconds, as they will be annotated.
        """
        geometry = self.spec.geometry
        two_way = self.two_way(sample)
        delay = 0.5 * (two_way - geometry.mid_time_s)
        time = np.round(self.time(line) + delay, 6)
        distance = two_way * SPEED_OF_LIGHT / 2
        height = np.full(line.shape, geometry.terrain_height_m)
        lat, lon = ground_point(geometry.orbit, time, distance, height)
        for _ in range(30 if lift else 0):
            change = np.asarray(self.spec.height(lat, lon)) - height
            height = height + 0.7 * change
            lat, lon = ground_point(geometry.orbit, time, distance, height)
            if np.abs(change).max() < 1e-4:
                break
        angle = look_vectors(geometry.orbit, lat, lon, height)[2]
        return GridPoints(line, sample, time, distance, lat, lon, height, angle)

    def fm_rate(self, time_s: float, t0_s: float) -> list[float]:
        """Azimuth FM rate of level ground in powers of two-way time less `t0_s`.

        The second derivative of the range at zero Doppler, times -2 / wavelength: it follows
        from the orbit, so that nothing has to be assumed of an effective velocity.
        """
        geometry = self.spec.geometry
        sample = np.linspace(0, geometry.samples, 30)
        two_way = self.two_way(sample)
        distance = two_way * SPEED_OF_LIGHT / 2
        moment = np.full(sample.shape, time_s)
        height = geometry.terrain_height_m
        lat, lon = ground_point(geometry.orbit, moment, distance, height)
        state = geometry.orbit.state(moment)
        look = ecef_from_geodetic(lat, lon, np.full(lat.shape, height)) - state.position
        bend = np.sum(state.velocity**2, axis=-1) - np.sum(look * state.acceleration, axis=-1)
        rate = -2 * RADAR_FREQUENCY_HZ / SPEED_OF_LIGHT * bend / distance
        fit = Polynomial.fit(two_way - t0_s, rate, 2).convert()
        return [float(value) for value in fit.coef]

    def steering_hz_s(self, time_s: float) -> float:
        """Rate at which the steered beam sweeps the Doppler frequency."""
        speed = float(np.linalg.norm(self.spec.geometry.orbit.state(time_s).velocity))
        steering = np.radians(STEERING_DEG_S[self.name])
        return float(2 * speed * steering * RADAR_FREQUENCY_HZ / SPEED_OF_LIGHT)

    def sensing_s(self, burst: int) -> float:
        """Time at which the beam saw line 0 of a burst, of no Doppler centroid, at mid swath."""
        eta = -self.lines / 2 * LINE_STEP_S
        middle = self.start_s[burst] - eta
        rate = self.fm_rate(middle, float(self.two_way(np.array(self.spec.geometry.samples / 2))))
        return middle + rate[0] * eta / (rate[0] - self.steering_hz_s(middle))


def _samples(name: str, samples: int | None) -> tuple[int, int, int]:
    """Samples of a burst, first and last valid one."""
    if samples is None:
        return REAL_SAMPLES[name]
    return samples, max(4, samples // 100), samples - max(6, samples // 20)


def _near_times(middle: str, two_way_s: float, samples: int | None) -> dict[str, float]:
    """Two-way times of sample 0 of the three swaths; `middle` is centred on a given time."""
    sizes = {name: _samples(name, samples) for name in REAL_SAMPLES}
    at, first = {}, 0.0
    for name, (_, low, high) in sizes.items():
        # Counted in samples from the first valid one of IW1.
        at[name] = first - low
        first += (high - low) - min(OVERLAP_SAMPLES, (high - low) // 5)
    low, high = sizes[middle][1:]
    shift = two_way_s * SAMPLING_HZ - (at[middle] + (low + high) / 2)
    return {name: (value + shift) / SAMPLING_HZ for name, value in at.items()}


def lay_out(
    spec: ProductSpec,
    place: tuple[float, float],
    swaths: Sequence[str],
    *,
    bursts: int,
    lines: int,
    samples: int | None,
) -> list[Layout]:
    """Swaths whose middle one has its middle burst centred on a place.

    Parameters
    ----------
    spec : ProductSpec
        Of which image and swaths are still to come; the epoch of its orbit is the zero-Doppler
        time of the place.
    place : (lon, lat)
    swaths : sequence of str
    bursts, lines, samples : int
        Bursts of a swath, lines of a burst; samples of a burst or None for the real ones.
    """
    orbit, height = spec.geometry.orbit, spec.geometry.terrain_height_m
    names = sorted(swaths)
    middle = names[len(names) // 2]
    point = ecef_from_geodetic(np.array(place[1]), np.array(place[0]), np.array(height))
    two_way = 2 * float(zero_doppler(orbit, point)[1]) / SPEED_OF_LIGHT
    near = _near_times(middle, two_way, samples)
    mid_time = near["IW2"] + _samples("IW2", samples)[0] / (2 * SAMPLING_HZ)
    period = BURST_PERIOD_S * lines / REAL_LINES
    centre = -0.5 * (two_way - mid_time) - bursts // 2 * period - lines / 2 * LINE_STEP_S
    # Bursts begin on lines of one grid, some lines off the even period.
    grid = [round((n * period + 0.003 * np.sin(2.0 * n)) / LINE_STEP_S) for n in range(bursts)]
    found = {}
    for name in {*names, "IW2"}:
        origin = round(centre + (STAGGER[name] - STAGGER[middle]) * period, 6)
        starts = tuple(round(origin + at * LINE_STEP_S, 6) for at in grid)
        found[name] = _layout(spec, name, starts, lines, near[name], mid_time, samples)
    numbers = _numbers(found["IW2"])
    return [replace(found[name], first_number=numbers) for name in names]


def _layout(
    spec: ProductSpec,
    name: str,
    start_s: tuple[float, ...],
    lines: int,
    near_s: float,
    mid_time_s: float,
    samples: int | None,
) -> Layout:
    """One swath, its bursts not yet numbered."""
    size, low, high = _samples(name, samples)
    distance, height = near_s * SPEED_OF_LIGHT / 2, spec.geometry.terrain_height_m
    record = srgr_record(spec.geometry.orbit, start_s[0], distance, size * 5.0, height)
    geometry = replace(
        spec.geometry,
        first_line_s=start_s[0],
        lines=lines * len(start_s),
        samples=size,
        near_range_m=distance,
        mid_time_s=mid_time_s,
        records=(record,),
    )
    swath = Swath(name, near_s, near_s + size / SAMPLING_HZ, 0.0, 1.0)
    edge = max(2, round(21 * lines / REAL_LINES))
    spec = replace(spec, geometry=geometry, swaths=(swath,))
    return Layout(spec, name, start_s, lines, (edge, lines - 1 - edge), (low, high), (0, 0))


def _numbers(middle: Layout) -> tuple[int, int]:
    """Relative and absolute identifier of the first burst of IW2, and of its neighbours."""
    spec = middle.spec
    sensed = middle.sensing_s(0) + middle.lines / 2 * LINE_STEP_S
    after = sensed - spec.geometry.orbit.node_time_s
    return burst_number(after, spec.relative_orbit), burst_number(after, spec.absolute_orbit)
