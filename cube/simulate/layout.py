"""Plan of the made-up landscape: where the river runs, where lakes, towns and hills lie.

Everything is in local metres, the first axis away from the hills and the second to the north.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["HILL_EDGE_M", "ORIGIN", "Lake", "Layout", "layout_of"]

Reals = NDArray[np.floating[Any]]

ORIGIN = (68.2, 27.5)
"""Longitude and latitude that the landscape is laid out around; it is nowhere in truth."""
HILL_EDGE_M = -3600.0
"""Hills rise beyond this on the first axis."""


@dataclass(frozen=True, slots=True)
class Lake:
    """Ellipse of still water, in local metres."""

    east_m: float
    north_m: float
    long_m: float
    short_m: float
    turn_deg: float

    def inside(self, east: Reals, north: Reals) -> Reals:
        """Below 1 inside the shore, 1 on it, growing outwards."""
        turn = math.radians(self.turn_deg)
        x, y = east - self.east_m, north - self.north_m
        along = (x * math.cos(turn) + y * math.sin(turn)) / self.long_m
        across = (-x * math.sin(turn) + y * math.cos(turn)) / self.short_m
        return np.asarray(along**2 + across**2)


LAKES = (
    Lake(4200.0, 3100.0, 620.0, 330.0, 30.0),
    Lake(-1900.0, -3300.0, 480.0, 260.0, -20.0),
    Lake(5200.0, -2900.0, 350.0, 280.0, 70.0),
    Lake(3000.0, -600.0, 260.0, 160.0, 10.0),
    Lake(-600.0, 1500.0, 200.0, 130.0, 45.0),
)
TOWNS = (
    (1900.0, 2500.0, 750.0),
    (-2300.0, 400.0, 600.0),
    (4700.0, 600.0, 520.0),
    (-900.0, -4300.0, 480.0),
)


@dataclass(frozen=True, slots=True)
class Layout:
    """One plan; the default is that of seed 0."""

    side: float = 1.0
    """1 with the hills in the west, -1 in the east."""
    phases: tuple[float, float] = (0.4, 1.3)
    """Of the long and the short meanders, radians."""
    sway_m: tuple[float, float] = (900.0, 260.0)
    """Amplitude of the meanders."""
    lakes: tuple[Lake, ...] = LAKES
    towns: tuple[tuple[float, float, float], ...] = TOWNS
    """Position and radius, in metres."""

    def local(self, lon: Reals, lat: Reals) -> tuple[Reals, Reals]:
        """Metres away from the hills and north of `ORIGIN`, on a plain equirectangular map."""
        scale = 111_195.0
        east = (lon - ORIGIN[0]) * (scale * math.cos(math.radians(ORIGIN[1])) * self.side)
        return east, (lat - ORIGIN[1]) * scale

    def river(self, east: Reals, north: Reals) -> tuple[Reals, Reals]:
        """Distance from the river's middle line, and the half width there, in metres.

        The river runs from north to south in two superposed meanders; the distance is that to
        the tangent, which is exact enough for a few kilometres.
        """
        long, short = 2 * math.pi / 5600.0, 2 * math.pi / 2500.0
        first, second = long * north + self.phases[0], short * north + self.phases[1]
        middle = self.sway_m[0] * np.sin(first) + self.sway_m[1] * np.sin(second) + 0.06 * north
        slope = self.sway_m[0] * long * np.cos(first) + 0.06
        slope = slope + self.sway_m[1] * short * np.cos(second)
        half_width = 120.0 + 30.0 * np.sin(long * north * 1.7)
        return np.abs(east - middle) / np.sqrt(1 + slope**2), half_width


def layout_of(seed: int) -> Layout:
    """Plan of a seed: 0 is the plan above, others move river, lakes and towns about.

    Without that, a classifier trained on several seeds would learn one river by heart.
    """
    if seed == 0:
        return Layout()
    draw = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(103,)))
    phases = draw.uniform(0, 2 * math.pi, 2)
    return Layout(
        float(draw.choice([-1.0, 1.0])),
        (float(phases[0]), float(phases[1])),
        (float(draw.uniform(500, 1000)), float(draw.uniform(120, 280))),
        tuple(
            replace(
                lake,
                east_m=lake.east_m + float(draw.normal(0, 500)),
                north_m=lake.north_m + float(draw.normal(0, 900)),
                turn_deg=float(draw.uniform(0, 180)),
            )
            for lake in LAKES
        ),
        tuple(
            (x + float(draw.normal(0, 500)), y + float(draw.normal(0, 900)), radius)
            for x, y, radius in TOWNS
        ),
    )
