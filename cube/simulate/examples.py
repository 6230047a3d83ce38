"""Radar images of made-up landscapes before and during a flood, with the water that is in them.

Every draw has its own wind, soil, plants, noise and speckle, wider than one satellite would see in
a year, since what a network learns here has to hold on images of the real world. The label says
where water is, not where it can be seen: under plants too.

Tables are in decibels as the papers give them; powers add as linear ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter

from cube.simulate.landscapes import PIXEL_M, Landscape, landscape
from cube.simulate.radiometry import BOUNCE_DB, HEIGHT_M, LAND_DB, LAND_DB_PER_DEG, REFERENCE_DEG
from cube.simulate.seasons import Change, draw_change
from cube.simulate.speckles import Speckles
from cube.simulate.upright import lay_over, terrain_db, walls_db
from cube.simulate.world import PARCELS, Cover

__all__ = ["DRY", "FLOOD", "PERMANENT", "Example", "Examples", "example"]

Singles = NDArray[np.float32]
Bools = NDArray[np.bool_]

DRY, PERMANENT, FLOOD = 0, 1, 2
SAND_DB = 1.0, 5.0
"""How much less of VH bars of sand return than fields, whose stubble and clods turn polarisation.

Bare surfaces return 10 to 18 dB less in VH than in VV at C band (Oh, Sarabandi and Ulaby 1992, IEEE
TGRS 30, 370-381, equation 3).
"""
FLOOR = 1e-5
"""Least power, as the cube keeps it where noise removal left none."""
_NEPER = np.float32(math.log(10) / 10)
_CLASSES = len(Cover)


@dataclass(frozen=True, slots=True)
class Example:
    """One landscape as a radar sees it, before and during a flood; arrays of one shape."""

    vv: Singles
    """Linear power during the flood."""
    vh: Singles
    reference_vv: Singles
    """Mean power of some dates before it, as the same track sees it."""
    reference_vh: Singles
    classes: NDArray[np.uint8]
    """0 dry, 1 water in both, 2 water only during the flood; under plants and in towns too."""
    hidden: Bools
    """Water that plants and walls hide from one date, and analysts differ about."""

    @property
    def bands(self) -> dict[str, Singles]:
        """Images by the names that a cube gives them."""
        names = "vv", "vh", "reference_vv", "reference_vh"
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class _Ground:
    """What is drawn once for a landscape: tables by (polarisation, class) and the sensor."""

    wide: bool
    incidence_deg: float
    side: int
    """1 if the radar is on the left, -1 if on the right."""
    land_db: NDArray[np.float64]
    spread_db: NDArray[np.float64]
    deviate: NDArray[np.float64]
    """(polarisation, parcel)."""
    height_m: NDArray[np.float64]
    bounce_db: NDArray[np.float64]
    relief_db: tuple[Singles, Singles]
    """Terrain, mottle and the single bright walls of towns and farms, by polarisation and pixel."""
    noise_db: float
    removed: float
    floor_db: float
    blur: float
    filtered: bool
    shore_m: float
    """Depth over which a pixel turns wet."""
    micro_m: float
    emergent: Singles | None
    """Share of plants that stand out of water, by pixel."""
    emergent_db: tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Weather:
    """What is drawn for every date."""

    wind_m_s: float
    shelter: float
    """Part of the wind that reaches flood water between plants and hedges."""
    water_db: tuple[float, float]
    """Departure of the water of the date from what the wind says."""
    gusts_db: float
    soil_db: float
    change: Change | None
    """Of what grows on land, since the date of the flood."""
    submerged_vh: float


def example(
    land: Landscape,
    speckles: Speckles,
    generator: np.random.Generator,
    wide_share: float = 0.6,
    worked: float = 0.0,
) -> Example:
    """Draw images of a landscape.

    Parameters
    ----------
    land : Landscape
    speckles : Speckles
    generator : numpy.random.Generator
    wide_share : float
        Share of draws from the wide distributions; the others are near to textbook means.
    worked : float
        Share of wide draws in which fields change between the dates as well, see `draw_change`.
    """
    ground = _draw_ground(land, generator, generator.random() < wide_share)
    stage = _stage(land, generator)
    earlier = min(stage, _low_stage(land, generator)) if generator.random() < 0.8 else -99.0
    dates = int(generator.choice([1, 2, 4, 8]))
    now, before = _draw_weather(ground.wide, generator), _draw_weather(ground.wide, generator)
    common = generator.normal(0, generator.uniform(0.3, 1.5), PARCELS)
    # draws of its own: what one date shows does not depend on what is drawn for another
    own = generator.spawn(1)[0]
    change = draw_change(land, common, ground.wide and own.random() < worked, own)
    # the earlier date: other soil, other plants on every parcel, the same plants over water
    before = replace(before, change=change, submerged_vh=now.submerged_vh)
    standing = _edge(-land.standing_m)
    images, waters = [], []
    unseen = np.zeros(land.cover.shape, bool)
    for weather, level, count in ((now, stage, 1), (before, earlier, dates)):
        flooded = _wet(land, ground, level)
        depth = np.clip(level - land.above_m, 0, None)
        power, under, covered = _power(land, ground, weather, standing, flooded, depth)
        unseen |= (flooded > standing) & (flooded > 0.3) & (under < 0.3)
        unseen |= (np.maximum(flooded, standing) > 0.3) & (covered > 0.5)
        images.append(_sensed(power, ground, speckles, count, generator))
        waters.append(_labelled(np.maximum(standing, flooded), ground, generator))
    (vv, vh), (reference_vv, reference_vh) = images
    classes = np.where(waters[0], np.where(waters[1], PERMANENT, FLOOD), DRY).astype("uint8")
    town = (land.cover == Cover.URBAN) & (classes != DRY) & (land.standing_m > 0)
    return Example(vv, vh, reference_vv, reference_vh, classes, town | unseen)


class Examples:
    """Examples without end, by number: parts of some landscapes, each with images of its own.

    One of a number is the same whatever was asked for before, and in any process.

    Parameters
    ----------
    seed : int
        The same seed gives the same examples.
    size : int
        Rows and columns of an example.
    landscapes : int
        How many there are; each is twice as large as an example, and made when it is needed.
    wide_share : float
        See `example`.
    barred, streams : float
        Shares of landscapes whose rivers have bars of sand, and of those with streams.
    worked : float
        See `example`.
    """

    def __init__(
        self,
        seed: int,
        size: int = 192,
        landscapes: int = 400,
        wide_share: float = 0.6,
        barred: float = 0.4,
        streams: float = 0.5,
        worked: float = 0.0,
    ) -> None:
        self._seed, self._size = seed, size
        self._barred, self._streams = barred, streams
        self._wide_share, self._worked = wide_share, worked
        self._lands: list[Landscape | None] = [None] * landscapes
        self._speckles: Speckles | None = None

    def __getitem__(self, number: int) -> Example:
        generator = self._generator(2, number)
        land = self._land(int(generator.integers(len(self._lands))))
        top, left = (int(edge) for edge in generator.integers(self._size + 1, size=2))
        part = land.part(slice(top, top + self._size), slice(left, left + self._size))
        if self._speckles is None:
            self._speckles = Speckles(self._generator(0, 0))
        return example(part, self._speckles, generator, self._wide_share, self._worked)

    def _land(self, number: int) -> Landscape:
        land = self._lands[number]
        if land is None:
            generator = self._generator(1, number)
            land = landscape(2 * self._size, generator, self._barred, self._streams)
            self._lands[number] = land
        return land

    def _generator(self, kind: int, number: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(kind, number)))


def _stage(land: Landscape, generator: np.random.Generator) -> float:
    """Level of the flood; below everything where there is none."""
    if generator.random() > 0.7:
        return -99.0
    return float(np.quantile(land.above_m, generator.beta(0.7, 1.8)))


def _low_stage(land: Landscape, generator: np.random.Generator) -> float:
    """Level before it, mostly within the banks."""
    return float(np.quantile(land.above_m, generator.beta(0.5, 6.0)))


def _edge(inside_m: Singles) -> Singles:
    """Share of a pixel within a shore at this distance."""
    share = inside_m / np.float32(PIXEL_M) + np.float32(0.5)
    return np.asarray(np.clip(share, 0, 1), "float32")


def _table(values: dict[Cover, float]) -> NDArray[np.float64]:
    return np.array([values.get(item, 0.0) for item in Cover])


def _draw_ground(land: Landscape, generator: np.random.Generator, wide: bool) -> _Ground:
    incidence, side = generator.uniform(29, 46), int(generator.choice([-1, 1]))
    means = np.stack([_table(LAND_DB[name]) for name in ("VV", "VH")])
    if generator.random() < 0.2:  # arid
        means[:, [Cover.BARE, Cover.CROP]] = np.array([[-13.5], [-21.5]])
    means += generator.normal(0, 0.8 if wide else 0.4, _CLASSES)
    means += generator.normal(0, 1.3 if wide else 0.7)
    means[1] += generator.normal(0, 0.9 if wide else 0.5)
    means += LAND_DB_PER_DEG * (incidence - REFERENCE_DEG)
    spread = np.array([0.0, 2.4, 1.8, 1.2, 0.8, 2.5, 1.2])
    first = generator.standard_normal(PARCELS)
    second = 0.8 * first + 0.6 * generator.standard_normal(PARCELS)
    relief = np.float32(generator.uniform(0.2, 0.8)) * land.fields[1]
    relief += np.float32(generator.uniform(0, 1.0)) * land.fields[0]
    if generator.random() < 0.4:
        relief += terrain_db(land, incidence, side, generator)
    walls, turned = walls_db(land, generator), generator.uniform(0.2, 1.0)
    sand = np.float32(0)
    if land.bars.any():
        sand = np.float32(-generator.uniform(*SAND_DB)) * (land.bars & (land.cover == Cover.BARE))
    heights = _table(HEIGHT_M) * np.exp(generator.normal(0, 0.4, _CLASSES))
    bounce = np.stack([_table(BOUNCE_DB["VV"]), _table(BOUNCE_DB["VH"])])
    emergent = None
    if wide and generator.random() < 0.5:
        share, width = generator.uniform(0.05, 0.95), generator.uniform(0.2, 1.0)
        field = land.fields[int(generator.integers(3))]
        middle = np.quantile(field, 1 - share)
        emergent = np.clip((field - np.float32(middle)) / np.float32(width), 0, 1)
        emergent *= np.float32(generator.uniform(0.5, 1.0))
    vv = generator.normal(-9.5, 1.8)
    return _Ground(
        wide,
        incidence,
        side,
        means,
        spread,
        np.stack([first, second]),
        heights,
        bounce * generator.uniform(0, 1.6),
        (relief + walls, relief + np.float32(turned) * walls + sand),
        generator.uniform(-28, -22),
        generator.uniform(0.6, 1.0),
        generator.uniform(-45, -28) if wide else -40.0,
        generator.uniform(0.5, 1.1),
        generator.random() < 0.2,
        math.exp(generator.uniform(math.log(0.02), math.log(1.5 if wide else 0.3))),
        math.exp(generator.uniform(math.log(0.01), math.log(0.6 if wide else 0.2))),
        emergent,
        (vv, vv - generator.uniform(5.5, 10.5)),
    )


def _draw_weather(wide: bool, generator: np.random.Generator) -> _Weather:
    wind = min(generator.gamma(1.6, 2.6), 14.0) if wide else min(generator.gamma(2, 1.6), 11.0)
    return _Weather(
        wind,
        generator.uniform(0.4, 1.0) if wide else 1.0,
        (generator.normal(0, 1.2 if wide else 0.6), generator.normal(0, 1.0 if wide else 0.5)),
        generator.uniform(0, 1.8 if wide else 0.6),
        generator.normal(0, 1.0),
        None,
        generator.uniform(0.5, 1.0),
    )


def _wet(land: Landscape, ground: _Ground, stage: float) -> Singles:
    """Share of a pixel that flood covers: it fills over the depth of its hollows."""
    if stage <= -99:
        return np.zeros(land.above_m.shape, "float32")
    depth = np.float32(stage) - land.above_m + np.float32(ground.micro_m) * land.fields[2]
    share = np.float32(0.5) + depth / np.float32(ground.shore_m)
    return np.asarray(np.clip(share, 0, 1), "float32")


def _linear(decibel: NDArray[np.floating]) -> Singles:
    return np.exp(np.asarray(decibel, "float32") * _NEPER)


def _water_db(ground: _Ground, weather: _Weather, wind: float) -> tuple[float, float]:
    """Open water without cross talk; see `cube.simulate.radiometry.water_db`."""
    offset = ground.incidence_deg - REFERENCE_DEG
    if ground.wide:
        vv, vh = -24.5 + 1.15 * wind, -31.0 + 0.58 * wind
    else:
        vv, vh = -23.5 + 0.95 * wind, -30.0 + 0.42 * wind
    return (
        vv - 0.35 * offset + weather.water_db[0],
        vh - 0.15 * offset + weather.water_db[1],
    )


def _power(
    land: Landscape,
    ground: _Ground,
    weather: _Weather,
    standing: Singles,
    flooded: Singles,
    depth: Singles,
) -> tuple[tuple[Singles, Singles], Singles, Singles]:
    """Sigma nought without noise and speckle, VV and VH; and what can be seen of it.

    The share of flood that plants do not cover, and that of each pixel under what is laid over.
    """
    wet = np.maximum(standing, flooded)
    heights = ground.height_m.astype("float32")[land.cover]
    under = np.where(standing >= flooded, np.float32(1), np.clip(depth / heights, 0, 1))
    under = under.astype("float32")
    if ground.emergent is not None:
        under = under * (1 - ground.emergent)
    gusts = _linear(np.float32(weather.gusts_db) * land.fields[0])
    still = _water_db(ground, weather, weather.wind_m_s * weather.shelter)
    windy = _water_db(ground, weather, weather.wind_m_s)
    open_water = land.standing_m < 0
    out = []
    talk = np.float32(10 ** (-(12 + 10 * (weather.submerged_vh * 2 - 1)) / 10))
    for number in range(2):
        table = ground.land_db[number][:, None] + ground.spread_db[:, None] * ground.deviate[number]
        table, relief = table + weather.soil_db, ground.relief_db[number]
        if weather.change is not None:
            table = table + weather.change.parcels[number]
            relief = relief + weather.change.patches[number]
        dry = _linear(table.astype("float32")[land.cover, land.parcel] + relief)
        bounce = _linear(ground.bounce_db[number])[land.cover]
        stems = dry * (1 + wet * (bounce - 1))
        if number == 1:
            stems *= 1 - wet * np.float32(1 - weather.submerged_vh) * (under > 0)
        if ground.emergent is not None:
            plants = np.float32(10 ** (ground.emergent_db[number] / 10))
            share = ground.emergent * wet
            stems = stems * (1 - share) + plants * share
        levels = _linear(np.array([still[number], windy[number]]))
        water = np.where(open_water, levels[1], levels[0]) * gusts
        if number == 1 and ground.wide:
            leak = _linear(np.array([still[0], windy[0]]))
            water = water + talk * np.where(open_water, leak[1], leak[0])
        part = wet * under
        out.append(part * water + (1 - part) * stems)
    upright = np.where(standing > 0.5, np.float32(0), np.clip(heights - depth, 0, None))
    (vv, vh), covered = lay_over(
        (out[0], out[1]), upright, ground.side, ground.incidence_deg, PIXEL_M
    )
    return (vv, vh), under, covered


def _sensed(
    power: tuple[Singles, Singles],
    ground: _Ground,
    speckles: Speckles,
    dates: int,
    generator: np.random.Generator,
) -> tuple[Singles, Singles]:
    """What the product gives: blurred, with noise and speckle, noise mostly removed."""
    noise = np.float32(10 ** (ground.noise_db / 10))
    floor = np.float32(max(10 ** (ground.floor_db / 10), FLOOR))
    out = []
    for one in power:
        seen = gaussian_filter(one, ground.blur, mode="nearest") + noise
        seen *= speckles.draw((seen.shape[0], seen.shape[1]), dates, generator)
        seen -= noise * np.float32(ground.removed)
        if ground.filtered:
            seen = uniform_filter(seen, 3, mode="nearest")
        out.append(np.maximum(seen, floor))
    return out[0], out[1]


def _labelled(wet: Singles, ground: _Ground, generator: np.random.Generator) -> Bools:
    """Water as an analyst draws it: more than half of a pixel, outlines perhaps generalised.

    Not so far that streams of three pixels are lost, which analysts draw.
    """
    if ground.wide and generator.random() < 0.5:
        wet = gaussian_filter(wet, generator.uniform(0.5, 1.5), mode="nearest")
    return np.asarray(wet > 0.5)
