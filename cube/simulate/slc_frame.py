"""The smallest single-look product of two sub-swaths that shows a given area."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cube.grid import BBox
from cube.simulate.annotation_general import SAMPLING_HZ
from cube.simulate.ellipsoid import ecef_from_geodetic
from cube.simulate.geometry import SPEED_OF_LIGHT, ground_point, look_vectors, zero_doppler
from cube.simulate.orbit import Orbit
from cube.simulate.slc_layout import (
    BURST_PERIOD_S,
    LINE_STEP_S,
    OVERLAP_SAMPLES,
    REAL_LINES,
    STAGGER,
)

__all__ = ["SWATHS", "Frame", "frame_over"]

Floats = NDArray[np.float64]

SWATHS = ("IW1", "IW2")
SPARE_LINES, SPARE_SAMPLES = 8, 60
"""For grids of lines that are not aligned, and for 100 m by which orbits differ: 25 samples."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What `cube.simulate.slc_template.make_slc_template` is told."""

    lon: float
    lat: float
    start_s: float
    """Zero-Doppler time of that place after the epoch of the orbit."""
    incidence: float
    bursts: int
    lines: int
    samples: int


def frame_over(
    orbit: Orbit,
    bbox: BBox,
    heights: tuple[float, float],
    height: Callable[[Floats, Floats], Floats],
) -> Frame:
    """Bursts and samples that cover an area seen from an orbit, seams near its middle.

    Parameters
    ----------
    orbit : Orbit
    bbox : west, south, east, north
        Degrees.
    heights : (least, largest)
        Ellipsoidal heights of the ground there, metres.
    height : callable (lon, lat)
        Ellipsoidal height of a place.
    """
    west, south, east, north = bbox
    corners = np.meshgrid([west, east], [south, north], heights)
    lon, lat, level = (axis.ravel() for axis in corners)
    time, distance = zero_doppler(orbit, ecef_from_geodetic(lat, lon, level))
    bursts, lines, ahead = _bursts(float(np.ptp(time)))
    samples, across = _samples(float(np.ptp(distance)))
    start = float(time.min() + time.max()) / 2 + ahead
    middle = float(distance.min() + distance.max()) / 2 + across
    up = np.array([np.mean(heights)])
    # On its ground the template solves for the orbit again, and finds this one.
    for _ in range(20):
        place = ground_point(orbit, np.array([start]), np.array([middle]), up)
        up = np.asarray(height(place[1], place[0]))
    angle = float(look_vectors(orbit, *place, up)[2][0])
    return Frame(float(place[1][0]), float(place[0][0]), start, angle, bursts, lines, samples)


def _bursts(span_s: float) -> tuple[int, int, float]:
    """Bursts, their lines, and how much later than the area's the middle of the template is.

    That middle is the one of burst ``bursts // 2`` of the later swath; what all swaths show ends
    where the first to end does.
    """
    bursts = 2
    while True:
        for lines in range(64, REAL_LINES + 1, 4):
            period = BURST_PERIOD_S * lines / REAL_LINES
            valid = (lines - SPARE_LINES - lines // 35) * LINE_STEP_S
            lag = (STAGGER[SWATHS[1]] - STAGGER[SWATHS[0]]) * period
            first = -(bursts // 2) * period - valid / 2
            last = (bursts - 1 - bursts // 2) * period + valid / 2 - lag
            if last - first >= span_s:
                return bursts, lines, -(first + last) / 2
        bursts += 1


def _samples(span_m: float) -> tuple[int, float]:
    """Samples of a burst, and slant range from the middle of the area to that of the far swath."""
    needed = span_m * 2 / SPEED_OF_LIGHT * SAMPLING_HZ + SPARE_SAMPLES
    samples, both, shared = 64, 0, 0
    while both < needed:
        samples += 16
        # As many are valid, and shared by two swaths, as `cube.simulate.slc_layout` makes them.
        valid = samples - max(6, samples // 20) - max(4, samples // 100)
        shared = min(OVERLAP_SAMPLES, valid // 5)
        both = 2 * valid - shared
    return samples, (both / 2 - valid / 2) * SPEED_OF_LIGHT / (2 * SAMPLING_HZ)
