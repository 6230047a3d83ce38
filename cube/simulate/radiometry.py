"""Backscatter of the made-up landscape: water by wind, land by class, flooded stems, slopes.

Everything is linear power except the tables, which are in decibels as the papers give them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cube.simulate.geometry import look_vectors
from cube.simulate.orbit import Orbit
from cube.simulate.smooth import on_grid
from cube.simulate.world import PARCELS, Cover, World, lonlat_nodes

__all__ = ["GroundState", "TrackView", "area_ratio", "land_db", "scene_sigma0", "view", "water_db"]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

LAND_DB = {
    "VV": {
        Cover.BARE: -13.0,
        Cover.CROP: -10.8,
        Cover.SHRUB: -9.3,
        Cover.FOREST: -8.2,
        Cover.URBAN: -4.5,
        Cover.SMOOTH: -17.5,
        Cover.WATER: -24.0,
    },
    "VH": {
        Cover.BARE: -20.5,
        Cover.CROP: -17.3,
        Cover.SHRUB: -15.8,
        Cover.FOREST: -14.0,
        Cover.URBAN: -12.0,
        Cover.SMOOTH: -25.0,
        Cover.WATER: -30.0,
    },
}
"""Class means at 38 degrees, within the C-band ranges of Ulaby and Dobson 1989."""
PARCEL_DB = {
    Cover.BARE: 1.6,
    Cover.CROP: 1.5,
    Cover.SHRUB: 1.0,
    Cover.FOREST: 0.6,
    Cover.URBAN: 2.5,
    Cover.SMOOTH: 1.0,
    Cover.WATER: 0.0,
}
"""Standard deviation between the parcels of a class."""
LAND_DB_PER_DEG = -0.13
REFERENCE_DEG = 38.0
CROSS_TALK = 10**-3.2
"""Co-polarised power that leaks into the other channel: better than -30 dB (Torres et al. 2012)."""
HEIGHT_M = {
    Cover.BARE: 0.05,
    Cover.CROP: 0.7,
    Cover.SHRUB: 1.5,
    Cover.FOREST: 9.0,
    Cover.URBAN: 4.0,
    Cover.SMOOTH: 0.03,
    Cover.WATER: 0.01,
}
"""Height of what stands on the ground, which the water has to rise over."""
BOUNCE_DB = {
    "VV": {Cover.CROP: 1.5, Cover.SHRUB: 2.5, Cover.FOREST: 3.5, Cover.URBAN: 2.0},
    "VH": {Cover.CROP: 0.3, Cover.SHRUB: 0.5, Cover.FOREST: 0.7, Cover.URBAN: 0.4},
}
"""Rise of the echo of stems and walls that stand in water: double bounce (Richards et al. 1987)."""
SHORE_M = 0.1
"""Depth over which a 10 m pixel turns from mostly dry to all wet."""


def water_db(polarisation: str, wind_m_s: float, incidence_deg: float) -> float:
    """Sigma nought of open water in dB, before cross talk.

    Straight lines in wind and angle, of the size of the model functions for moderate winds:
    CMOD5.N (Hersbach 2010) in VV, and in VH the linear one of Vachon and Wolfe 2011.

    Examples
    --------
    >>> round(water_db("VV", 4.0, 38.0), 2), round(water_db("VH", 4.0, 38.0), 2)
    (-19.9, -28.68)
    """
    offset = incidence_deg - REFERENCE_DEG
    if polarisation == "VV":
        return -24.5 + 1.15 * wind_m_s - 0.35 * offset
    return -31.0 + 0.58 * wind_m_s - 0.15 * offset


def land_db(polarisation: str, cover: Cover, incidence_deg: float) -> float:
    """Mean sigma nought of a class in dB.

    Examples
    --------
    >>> land_db("VV", Cover.CROP, 38.0)
    -10.8
    """
    return LAND_DB[polarisation][cover] + LAND_DB_PER_DEG * (incidence_deg - REFERENCE_DEG)


def area_ratio(slope_east: Singles, slope_north: Singles, look: Floats, normal: Floats) -> Singles:
    """Scattering area of a slope against that of level ground in the same pixel.

    Area in the plane across the line of sight for one slant range cell, ``(n.l) / (n.p)``, over
    its value on the level (Small 2011, IEEE TGRS 49, 3081-3093); 1 on level ground.

    Parameters
    ----------
    slope_east, slope_north : float32, shape (rows, cols)
        Rise per metre.
    look, normal : float, shape (3, rows, cols)
        Unit vectors to the satellite and across the slant range plane; east, north, up.

    Returns
    -------
    float32, shape (rows, cols)
    """
    # The length of the surface normal (-east, -north, 1) cancels.
    towards = look[2] - slope_east * look[0] - slope_north * look[1]
    across = normal[2] - slope_east * normal[0] - slope_north * normal[1]
    ratio = (towards / across) / (look[2] / normal[2])
    # Layover and shadow have no place in this world; keep the number finite all the same.
    return np.asarray(np.clip(ratio, 0.02, 20.0), dtype="float32")


@dataclass(frozen=True, slots=True)
class TrackView:
    """What one track sees of the world, pass after pass; float32 rasters of the world's shape."""

    incidence_deg: Singles
    area: Singles
    """Terrain factor."""
    land: dict[str, Singles]
    """Sigma nought of dry land, linear, terrain factor included."""


def view(world: World, orbit: Orbit, seed: int) -> TrackView:
    """Angles and dry backscatter of the world seen from an orbit."""
    lon, lat = lonlat_nodes(world.grid)
    height = float(np.median(world.height_m))
    look, normal, incidence = look_vectors(orbit, lat, lon, height)
    shape = (int(world.grid.shape[0]), int(world.grid.shape[1]))
    nodes = np.concatenate([np.moveaxis(look, -1, 0), np.moveaxis(normal, -1, 0), incidence[None]])
    smooth = on_grid(nodes, shape).astype("float32")
    angle = smooth[6]
    slope_east = np.asarray(np.gradient(world.height_m, 10.0, axis=1))
    slope_south = np.asarray(np.gradient(world.height_m, 10.0, axis=0))
    area = area_ratio(slope_east, -slope_south, smooth[:3], smooth[3:6])
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(101,)))
    deviate = generator.standard_normal(PARCELS)
    land = {}
    for name in ("VV", "VH"):
        mean = np.array([LAND_DB[name][item] for item in Cover], dtype="float32")
        spread = np.array([PARCEL_DB[item] for item in Cover], dtype="float32")
        table = mean[:, None] + spread[:, None] * deviate[None, :].astype("float32")
        level = table[world.cover, world.parcel]
        level += np.float32(LAND_DB_PER_DEG) * (angle - REFERENCE_DEG) + 0.5 * world.texture
        land[name] = _linear(level) * area
    return TrackView(angle, area, land)


def _linear(decibel: Singles) -> Singles:
    return np.asarray(np.exp(decibel * np.float32(np.log(10) / 10)))


@dataclass(frozen=True, slots=True)
class GroundState:
    """What changes from pass to pass."""

    depth_m: Singles
    """Flood water above the ground, 0 where dry."""
    wind_m_s: float
    soil_db: float
    """Change of all land with moisture."""
    growth_seed: int
    """Of the change from field to field."""


def wet_fraction(depth_m: Singles) -> Singles:
    """Part of a pixel under water: it fills over `SHORE_M` of depth."""
    return np.asarray(np.clip(depth_m / SHORE_M, 0, 1), dtype="float32")


def scene_sigma0(world: World, seen: TrackView, state: GroundState) -> dict[str, Singles]:
    """Sigma nought of the whole world at one pass, linear.

    A flooded pixel is open water as far as its vegetation is under, and stems with double bounce
    for the rest; powers add.

    Returns
    -------
    {"VV", "VH"}: float32, shape of the world
    """
    wet = wet_fraction(state.depth_m)
    wet[world.permanent] = 1.0
    flooded = np.flatnonzero(wet)
    cover = world.cover.ravel()[flooded]
    heights = np.array([HEIGHT_M[item] for item in Cover], dtype="float32")
    depth = state.depth_m.ravel()[flooded]
    under = np.clip(depth / heights[cover], 0, 1)
    under[world.permanent.ravel()[flooded]] = 1.0
    part = wet.ravel()[flooded]
    angle = seen.incidence_deg.ravel()[flooded] - np.float32(REFERENCE_DEG)
    gusts = _linear(0.6 * world.texture.ravel()[flooded])
    generator = np.random.default_rng(np.random.SeedSequence(state.growth_seed, spawn_key=(102,)))
    growth = _linear((state.soil_db + 0.6 * generator.standard_normal(PARCELS)).astype("float32"))
    change = growth[world.parcel]
    scene = {}
    for name, fall in (("VV", -0.35), ("VH", -0.15)):
        power = seen.land[name] * change
        water = _linear(fall * angle) * gusts
        water *= np.float32(10 ** (water_db(name, state.wind_m_s, REFERENCE_DEG) / 10))
        bounce = np.array([10 ** (BOUNCE_DB[name].get(item, 0.0) / 10) for item in Cover])
        stems = power.ravel()[flooded] * (1 + part * (bounce.astype("float32")[cover] - 1))
        open_water = part * under
        power.ravel()[flooded] = open_water * water + (1 - open_water) * stems
        scene[name] = power
    scene["VH"] += np.float32(CROSS_TALK) * scene["VV"]
    return scene
