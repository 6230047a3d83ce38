"""Many small made-up landscapes to learn from: heights, waters, fields, towns and roads.

Unlike the one river plain of the simulated events, whose radar images are made through products,
these are drawn at random to be unlike one another, straight on a map grid. Nothing is shared with
that plain but the classes of land cover, so that it stays unseen in training.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cube.simulate.smooth import fractal
from cube.simulate.world import PARCELS, Cover

__all__ = ["PIXEL_M", "Landscape", "landscape"]

Singles = NDArray[np.float32]
Bools = NDArray[np.bool_]

PIXEL_M = 10.0
FIELDS = 3


@dataclass(frozen=True, slots=True)
class Landscape:
    """What lies on the ground; arrays of one shape (rows, cols)."""

    above_m: Singles
    """Height above the water level without a flood, without the relief finer than 40 m."""
    standing_m: Singles
    """Distance from the shore of permanent water, negative inside; rivers, lakes, sea and ponds."""
    cover: NDArray[np.uint8]
    parcel: NDArray[np.int32]
    fields: Singles
    """(FIELDS, rows, cols): unit-variance fields of long, middle and short waves."""
    slope: Singles
    """(2, rows, cols): rise to the east and to the south."""
    bars: Bools
    """Bars of sand in rivers."""

    def part(self, rows: slice, cols: slice) -> Landscape:
        """A window of it."""
        return Landscape(
            self.above_m[rows, cols],
            self.standing_m[rows, cols],
            self.cover[rows, cols],
            self.parcel[rows, cols],
            self.fields[:, rows, cols],
            self.slope[:, rows, cols],
            self.bars[rows, cols],
        )


def landscape(
    size: int, generator: np.random.Generator, barred: float, streams: float
) -> Landscape:
    """A landscape of `size` by `size` pixels of 10 m, unlike the one drawn before.

    `barred` is the chance that its rivers have bars of sand, `streams` that it has streams.
    """
    shape = (size, size)
    axis = (np.arange(size, dtype="float32") - size / 2) * np.float32(PIXEL_M)
    east, south = (part.astype("float32") for part in np.meshgrid(axis, axis))
    relief = fractal(
        shape, PIXEL_M, (40.0, generator.uniform(800, 4000)), generator, generator.uniform(2.2, 3.2)
    )
    river, bars = _barred(_rivers(east, south, generator), generator, barred)
    others = _bodies(east, south, generator)
    away = np.clip(np.minimum(river, others), 0, None)
    rise = generator.uniform(0.5, 6.0) * (1 - np.exp(-away / generator.uniform(300, 3000)))
    hills: Any = 0.0
    if generator.random() < 0.4:
        hills = generator.uniform(10, 120) * np.clip(relief, 0, None) ** 1.5
        hills *= 1 - np.exp(-away / generator.uniform(300, 1500))
    above = rise + generator.uniform(0.2, 2.0) * relief + hills
    parcel, border = _parcels(east, south, generator)
    if generator.random() < 0.4:  # fields with dykes, each at a level of its own
        above = above + generator.normal(0, generator.uniform(0.1, 1.0), PARCELS)[parcel]
        above = above + generator.uniform(0.3, 1.5) * border
    flowing = np.minimum(river, _streams(east, south, generator, streams))
    cover = _cover(above, river, parcel, border, generator)
    _line_banks(cover, flowing, generator)
    cover[bars] = generator.choice([Cover.SMOOTH, Cover.BARE, Cover.SHRUB], p=[0.3, 0.5, 0.2])
    parcel[bars] = 0
    fields = np.stack(
        [
            fractal(shape, PIXEL_M, waves, generator, 2.4)
            for waves in ((300.0, 3000.0), (80.0, 800.0), (25.0, 250.0))
        ]
    )
    ponds = _ponds(fields[1], np.asarray(above, "float32"), generator)
    slope = np.stack([np.gradient(above, PIXEL_M, axis=1), np.gradient(above, PIXEL_M, axis=0)])
    standing = np.minimum(np.minimum(flowing, others), ponds)
    return Landscape(
        np.asarray(above, "float32"),
        np.asarray(standing, "float32"),
        cover,
        parcel,
        fields,
        np.asarray(slope, "float32"),
        bars,
    )


def _along(east: Singles, south: Singles, generator: np.random.Generator) -> tuple[Any, Any]:
    """Coordinates along and across a line of random place and direction, metres."""
    angle = generator.uniform(0, math.pi)
    reach = float(east.max()) * 0.8
    x, y = east - generator.uniform(-reach, reach), south - generator.uniform(-reach, reach)
    along = x * np.float32(math.cos(angle)) + y * np.float32(math.sin(angle))
    return along, y * np.float32(math.cos(angle)) - x * np.float32(math.sin(angle))


def _rivers(east: Singles, south: Singles, generator: np.random.Generator) -> Singles:
    """Distance from the banks of up to four meandering channels; far where there is none."""
    nearest = np.full(east.shape, 1e5, "float32")
    for _ in range(generator.choice([0, 1, 2, 4], p=[0.15, 0.45, 0.25, 0.15])):
        along, across = _along(east, south, generator)
        for _ in range(2):
            wave = generator.uniform(300, 2500)
            swing = generator.uniform(0.02, 0.16) * wave
            across = across + swing * np.sin(along * (2 * math.pi / wave) + generator.uniform(0, 7))
        half = math.exp(generator.normal(3.6, 0.8))  # a median of 73 m from bank to bank
        nearest = np.minimum(nearest, np.abs(across) - half)
    return np.asarray(nearest, "float32")


def _streams(
    east: Singles, south: Singles, generator: np.random.Generator, share: float
) -> Singles:
    """Distance from the banks of streams, ditches and canals of 8 to 50 m; far where there is none.

    They lie at any height and carry water without a flood.
    """
    nearest = np.full(east.shape, 1e5, "float32")
    if generator.random() > share:
        return nearest
    for _ in range(generator.integers(1, 7)):
        along, across = _along(east, south, generator)
        bends = 0 if generator.random() < 0.3 else 3
        for _ in range(bends):
            wave = math.exp(generator.uniform(math.log(80), math.log(1500)))
            swing = generator.uniform(0.02, 0.12) * wave
            across = across + swing * np.sin(along * (2 * math.pi / wave) + generator.uniform(0, 7))
        half = math.exp(generator.uniform(math.log(4), math.log(25)))
        nearest = np.minimum(nearest, np.abs(across) - half)
    return np.asarray(nearest, "float32")


def _line_banks(cover: NDArray[np.uint8], water_m: Singles, generator: np.random.Generator) -> None:
    """Trees and shrubs along rivers and streams, as most have them, in place."""
    if generator.random() > 0.6:
        return
    kind = generator.choice([Cover.SHRUB, Cover.FOREST])
    # up to the water's middle: what stands in it counts for nothing
    cover[(water_m < generator.uniform(8, 60)) & (cover != Cover.URBAN)] = kind


def _barred(river: Singles, generator: np.random.Generator, share: float) -> tuple[Singles, Bools]:
    """Distance from the water of rivers with bars of sand in them and along them, and the bars.

    Rivers of flood plains braid; what they leave bare is flat, fine and as dark as rough water.
    """
    if generator.random() > share:
        return river, np.zeros(river.shape, bool)
    river = river - np.float32(math.exp(generator.uniform(math.log(60), math.log(800))))
    field = fractal(river.shape, PIXEL_M, (80.0, generator.uniform(500, 2500)), generator, 3.2)
    # water stays along the field's zeros, which are connected
    high = (np.abs(field) - np.float32(generator.uniform(0.2, 1.6))) * np.float32(150.0)
    bars = (high > 0) & (river < generator.uniform(0, 400))
    return np.where(bars, np.maximum(river, high), river), bars


def _bodies(east: Singles, south: Singles, generator: np.random.Generator) -> Singles:
    """Distance from the shore of a sea or reservoir, or of lakes; far where there is none."""
    far = np.full(east.shape, 1e5, "float32")
    drawn = generator.random()
    if drawn < 0.16:  # a sea, up to all of it
        _, across = _along(east, south, generator)
        shore = fractal(east.shape, PIXEL_M, (60.0, 2500.0), generator, 3.0)
        return np.asarray(across + generator.uniform(30, 300) * shore, "float32")
    if drawn < 0.4:
        blobs = fractal(east.shape, PIXEL_M, (200.0, 2500.0), generator, 3.2)
        level = generator.uniform(1.3, 2.6)
        return np.asarray((level - blobs) * 250.0, "float32")
    return far


def _ponds(field: Singles, above: Singles, generator: np.random.Generator) -> Singles:
    """Distance from the shore of ponds, which lie on even ground; far where there is none."""
    if generator.random() > 0.35:
        return np.full(field.shape, 1e5, "float32")
    level = generator.uniform(1.6, 3.0)
    even = np.hypot(*np.gradient(above, PIXEL_M)) < 0.03
    return np.where(even, (level - field) * 60.0, np.float32(1e5)).astype("float32")


def _parcels(
    east: Singles, south: Singles, generator: np.random.Generator
) -> tuple[NDArray[np.int32], Bools]:
    """Number of the field at each point, and where a road or hedge runs between fields."""
    bend = fractal(east.shape, PIXEL_M, (200.0, 3000.0), generator, 3.0)
    along, across = _along(east, south, generator)
    along = along + generator.uniform(0, 60) * bend
    across = across + generator.uniform(0, 60) * bend[::-1]
    width = math.exp(generator.uniform(math.log(30), math.log(500)))
    length = width * generator.uniform(1, 3)
    row = np.floor(across / width).astype("int32")
    shift = (row * 7919 % 1000).astype("float32") * np.float32(length / 1000)
    col = np.floor((along + shift) / length).astype("int32")
    edge = (across - row * width < 12) & (row % generator.integers(1, 6) == 0)
    return (row * 40503 ^ col * 30011) & (PARCELS - 1), np.asarray(edge)


def _cover(
    above: Any,
    river: Singles,
    parcel: NDArray[np.int32],
    border: Bools,
    generator: np.random.Generator,
) -> NDArray[np.uint8]:
    """Land cover: fields by parcel, woods, a town, roads, an airfield, bars of sand."""
    shape = (above.shape[0], above.shape[1])
    share = generator.dirichlet([1.2, 2.0, 0.8, 0.3])
    kinds = [Cover.BARE, Cover.CROP, Cover.SHRUB, Cover.FOREST]
    cover = generator.choice(kinds, PARCELS, p=share).astype("uint8")[parcel]
    woods = fractal(shape, PIXEL_M, (80.0, 1800.0), generator, 2.8)
    cover[woods > generator.uniform(0.3, 2.6)] = Cover.FOREST
    if generator.random() < 0.6:
        houses = fractal(shape, PIXEL_M, (60.0, 1200.0), generator, 2.6)
        cover[(houses > generator.uniform(1.2, 2.6)) & (river > 30)] = Cover.URBAN
    if generator.random() < 0.5:
        cover[border] = Cover.SMOOTH if generator.random() < 0.5 else Cover.SHRUB
    if generator.random() < 0.3:  # dry and as smooth as water
        dry = generator.random(PARCELS) < generator.uniform(0.01, 0.2)
        cover[dry[parcel] & (cover != Cover.FOREST)] = Cover.SMOOTH
    if generator.random() < 0.15:
        cover[(river < generator.uniform(20, 150)) & (woods < 0)] = Cover.SMOOTH
    return cover
