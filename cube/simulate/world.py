"""The made-up landscape on a metric grid: land cover, permanent water, and how it floods."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from scipy.ndimage import label

from cube.grid import BBox, target_grid
from cube.simulate.layout import HILL_EDGE_M, Layout, layout_of
from cube.simulate.smooth import chebyshev_nodes, fractal, on_grid
from cube.simulate.terrain import Terrain, bank_height_m, build_terrain

__all__ = ["Cover", "World", "build_world", "flood_depth"]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Reals = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]

NODES = 8
PARCELS = 4096


class Cover(IntEnum):
    """Land cover classes."""

    WATER = 0
    BARE = 1
    CROP = 2
    SHRUB = 3
    FOREST = 4
    URBAN = 5
    SMOOTH = 6


@dataclass(frozen=True, slots=True)
class World:
    """Everything about the ground that does not change from pass to pass.

    All rasters have the shape of `grid`.
    """

    grid: GeoBox
    target: GeoBox
    margin_px: int
    """Pixels of the world beyond the target grid, on each side."""
    terrain: Terrain
    height_m: Singles
    """Ellipsoidal height, bilinear in the DEM, as the radar sees it."""
    cover: NDArray[np.uint8]
    parcel: NDArray[np.int32]
    """Number of the field, 0..4095."""
    permanent: Bools
    hand_m: Singles
    """Height above the bank of the river beside, with relief finer than the DEM."""
    texture: Singles
    """Unit-variance field for the wind on water and the mottle of land."""

    def target_window(self) -> tuple[slice, slice]:
        """Rows and columns of the world that are the target grid."""
        rows, cols = self.target.shape
        margin = self.margin_px
        return slice(margin, margin + rows), slice(margin, margin + cols)


def world_margin(target: GeoBox) -> int:
    """Pixels to add on each side so that an image turned by 13 degrees stays inside.

    The image has 1.5 km to spare around the target grid; its corners reach further by a quarter
    of the grid's size.
    """
    return 180 + math.ceil(0.27 * max(target.shape))


def lonlat_nodes(grid: GeoBox) -> tuple[Floats, Floats]:
    """Longitude and latitude at the Chebyshev nodes of a grid, float64 (NODES, NODES)."""
    rows, cols = grid.shape
    col, row = np.meshgrid(chebyshev_nodes(cols, NODES), chebyshev_nodes(rows, NODES))
    x, y = grid.affine.c + grid.affine.a * (col + 0.5), grid.affine.f + grid.affine.e * (row + 0.5)
    lon, lat = Transformer.from_crs(str(grid.crs), "EPSG:4326", always_xy=True).transform(x, y)
    return np.asarray(lon), np.asarray(lat)


def build_world(bbox: BBox, seed: int, dem_margin_deg: float = 0.21) -> World:
    """Build the landscape of a seed.

    Parameters
    ----------
    bbox : west, south, east, north
        Area of interest, degrees.
    seed : int
    dem_margin_deg : float
        DEM beyond the area.
    """
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(5)]
    layout = layout_of(seed)
    terrain = build_terrain(bbox, dem_margin_deg, layout, streams[0])
    target = target_grid(bbox)
    margin = world_margin(target)
    grid = target.pad(margin)
    shape = (int(grid.shape[0]), int(grid.shape[1]))
    lon, lat = on_grid(np.stack(lonlat_nodes(grid)), shape)
    east, north = (axis.astype("float32") for axis in layout.local(lon, lat))
    height = terrain.ellipsoidal(lon, lat).astype("float32")
    ground = terrain.sample(terrain.orthometric_m, lon, lat).astype("float32")
    micro = fractal(shape, 10.0, (25.0, 400.0), streams[1], slope=2.2)
    hand = ground + 0.14 * micro - bank_height_m(north).astype("float32")
    distance, half_width = layout.river(east, north)
    permanent = distance < half_width
    for lake in layout.lakes:
        permanent |= lake.inside(east, north) < 1.0
    texture = fractal(shape, 10.0, (60.0, 1500.0), streams[2], slope=2.4)
    parcel, turned = _parcels(east, north)
    cover = _land_cover(layout, east, north, hand, texture, parcel, streams[3])
    cover[_sand(distance - half_width, turned)] = Cover.SMOOTH
    cover[permanent] = Cover.WATER
    return World(grid, target, margin, terrain, height, cover, parcel, permanent, hand, texture)


def _parcels(east: Singles, north: Singles) -> tuple[NDArray[np.int32], Singles]:
    """Number of the field at each point, and a coordinate along the rows of fields.

    Fields are 280 by 150 m, turned by 17 degrees, each row of fields shifted against the next.
    """
    turn = math.radians(17.0)
    along = east * np.float32(math.cos(turn)) + north * np.float32(math.sin(turn))
    across = north * np.float32(math.cos(turn)) - east * np.float32(math.sin(turn))
    row = np.floor(across / 150.0).astype("int32")
    shift = (row * 7919 % 280).astype("float32")
    col = np.floor((along + shift) / 280.0).astype("int32")
    # Two large odd factors spread neighbours over the table.
    return (row * 40503 ^ col * 30011) & (PARCELS - 1), along


def _land_cover(
    layout: Layout,
    east: Singles,
    north: Singles,
    hand_m: Singles,
    texture: Singles,
    parcel: NDArray[np.int32],
    generator: np.random.Generator,
) -> NDArray[np.uint8]:
    """Fields on the plain, scrub and forest on the hills, towns, an airfield and salt flats."""
    draw = generator.random(PARCELS)
    by_parcel = np.where(draw < 0.68, Cover.CROP, np.where(draw < 0.9, Cover.BARE, Cover.SHRUB))
    cover = by_parcel.astype("uint8")[parcel]
    hills = (east < HILL_EDGE_M + 700) & (hand_m > 9)
    cover[hills] = Cover.SHRUB
    woods = fractal((east.shape[0], east.shape[1]), 10.0, (120.0, 1800.0), generator, slope=2.8)
    cover[woods > np.where(hills, 0.2, 1.45)] = Cover.FOREST
    for x, y, radius in layout.towns:
        edge = np.hypot(east - x, north - y) - radius * (1 + 0.25 * texture)
        cover[edge < 0] = Cover.URBAN
    runway = (np.abs(east - 4300) < 80) & (np.abs(north + 1500) < 1150)
    apron = (np.abs(east - 4520) < 140) & (np.abs(north + 1300) < 260)
    salt = ((east + 2600) / 620) ** 2 + ((north - 3400) / 420) ** 2 < 1 + 0.35 * texture
    cover[runway | apron | salt] = Cover.SMOOTH
    return cover


def _sand(from_bank_m: Reals, along: Singles) -> Bools:
    """Bars of dry sand beside the river, in some of its bends."""
    return np.asarray((from_bank_m < 130) & (np.sin(along / 700.0) > 0.75))


def flood_depth(world: World, stage_m: float) -> Singles:
    """Depth of the water that has come over the bank, connected to the river, in metres.

    Filling by height above the nearest drainage (Nobre et al. 2011, J. Hydrol. 404): ground below
    the stage is under water where water can get there.

    Parameters
    ----------
    world : World
    stage_m : float
        Level of the river above its bank; negative before the flood.

    Returns
    -------
    float32, shape of the world; positive under flood, 0 elsewhere, permanent water included
    """
    if stage_m <= 0:
        return np.zeros_like(world.hand_m)
    below = (world.hand_m < stage_m) | (world.permanent & (world.hand_m < stage_m + 1))
    parts, _ = label(below)
    wanted = np.zeros(parts.max() + 1, dtype=bool)
    wanted[parts[_river(world) & below]] = True
    wanted[0] = False
    reached = wanted[parts]
    depth = np.where(reached & ~world.permanent, stage_m - world.hand_m, 0.0)
    return np.asarray(np.clip(depth, 0, None), dtype="float32")


def _river(world: World) -> Bools:
    """Permanent water less the lakes: the largest connected body."""
    parts, count = label(world.permanent)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    return np.asarray(parts == sizes.argmax())
