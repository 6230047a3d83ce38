"""The made-up river plain as a DEM: heights above the geoid, and the geoid."""

from __future__ import annotations

import importlib.resources
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine, from_origin
from scipy.ndimage import map_coordinates

from cube.grid import BBox
from cube.simulate.layout import HILL_EDGE_M, Layout
from cube.simulate.smooth import fractal

__all__ = ["Terrain", "bank_height_m", "build_terrain", "write_dem"]

Floats = NDArray[np.float64]
Reals = NDArray[np.floating[Any]]
Singles = NDArray[np.float32]

ARC_SECOND = 1 / 3600
DEM_CRS = "EPSG:4326+5773"
"""WGS 84 with heights above EGM96."""
BANK_M = 45.0
"""Height of the river bank above EGM96 in the middle of the area."""
VALLEY_SLOPE = 1.2e-4
PLAIN_SLOPE = 8.5e-4
"""Rise of the plain away from the river."""


@dataclass(frozen=True, slots=True)
class Terrain:
    """Heights on a grid of whole arc-seconds.

    Pixels are centred on multiples of an arc-second; the first row is the northernmost.
    """

    west: float
    """Longitude of the centre of the first column, degrees."""
    north: float
    """Latitude of the centre of the first row, degrees."""
    orthometric_m: Singles
    """Heights above EGM96, float32 (rows, cols)."""
    undulation_m: Singles
    """EGM96 above the ellipsoid, of the same shape."""

    def sample(self, grid_m: Singles, lon: Reals, lat: Reals) -> Floats:
        """Bilinear value of one of the grids at degrees; the edge value outside."""
        row = (self.north - lat) / ARC_SECOND
        col = (lon - self.west) / ARC_SECOND
        return np.asarray(map_coordinates(grid_m, [row, col], order=1, mode="nearest"))

    def ellipsoidal(self, lon: Floats, lat: Floats) -> Floats:
        """Height above the ellipsoid (m) at degrees, any one shape."""
        return self.sample(self.orthometric_m, lon, lat) + self.sample(self.undulation_m, lon, lat)


def bank_height_m(north: Reals | float) -> Reals:
    """Height of the bank above EGM96, falling to the south; `north` in metres of the layout."""
    return np.asarray(BANK_M + VALLEY_SLOPE * north)


def build_terrain(
    bbox: BBox, margin_deg: float, layout: Layout, generator: np.random.Generator
) -> Terrain:
    """Heights of a plain with a river, lakes and hills on one side, over a box with a margin."""
    west, south, east, north = bbox
    first_col = math.floor((west - margin_deg) / ARC_SECOND)
    first_row = math.ceil((north + margin_deg) / ARC_SECOND)
    cols = math.ceil((east + margin_deg) / ARC_SECOND) - first_col + 1
    rows = first_row - math.floor((south - margin_deg) / ARC_SECOND) + 1
    lon = (first_col + np.arange(cols)) * ARC_SECOND
    lat = (first_row - np.arange(rows)) * ARC_SECOND
    x, y = layout.local(lon[None, :], lat[:, None])
    x, y = np.broadcast_arrays(x.astype("float32"), y.astype("float32"))
    distance, half_width = layout.river(x, y)
    relief = fractal((rows, cols), 29.0, (90.0, 3000.0), generator, slope=2.6)
    height = bank_height_m(y) + 0.4 * relief
    away = np.clip(distance - half_width, 0, None)
    # The plain flattens out after 6 km; a low levee stands at the bank.
    height += PLAIN_SLOPE * 6000 * (1 - np.exp(-away / 6000)) + 0.3 * np.exp(-away / 90)
    height = height + _hills(x, y, generator)
    for lake in layout.lakes:
        inside = lake.inside(x, y)
        level = float(bank_height_m(lake.north_m)) + 0.2
        part = np.clip((1.6 - inside) / 0.5, 0, 1)
        height = height * (1 - part) + level * part
    height = np.where(away == 0, bank_height_m(y) - 1.5, height)
    return Terrain(
        first_col * ARC_SECOND,
        first_row * ARC_SECOND,
        np.asarray(height, dtype="float32"),
        _undulation(lon, lat),
    )


def _hills(east: Reals, north: Reals, generator: np.random.Generator) -> Singles:
    """Hills of some 200 m with slopes up to 25 degrees, from smooth ridges."""
    ridges = fractal((east.shape[0], east.shape[1]), 29.0, (700.0, 4000.0), generator, slope=3.2)
    edge = HILL_EDGE_M + 450 * np.sin(north / 900.0) + 250 * np.sin(north / 370.0 + 1.0)
    ramp = np.clip((edge - east) / 3000.0, 0, 1)
    ramp = ramp * ramp * (3 - 2 * ramp)
    return np.asarray(ramp * (95.0 + 58.0 * np.tanh(ridges * 0.8)), dtype="float32")


def _undulation(lon: Reals, lat: Reals) -> Singles:
    """EGM96 on a grid of longitudes and latitudes, bilinear between 15 arc-minutes (NGA 1996)."""
    resource = importlib.resources.files("catalogs") / "geoid" / "egm96_15.tif"
    with importlib.resources.as_file(resource) as path, rasterio.open(path) as file:
        scale, transform = file.scales[0], file.transform
        values = file.read(1).astype("float64") * scale
    row = (lat - transform.f) / transform.e - 0.5
    col = (lon - transform.c) / transform.a - 0.5
    grid = np.meshgrid(row, col, indexing="ij")
    return np.asarray(map_coordinates(values, grid, order=1, mode="grid-wrap"), dtype="float32")


def write_dem(path: Path, terrain: Terrain) -> None:
    """Write the heights above EGM96 as a GeoTIFF with a compound CRS."""
    half = ARC_SECOND / 2
    transform: Affine = from_origin(
        terrain.west - half, terrain.north + half, ARC_SECOND, ARC_SECOND
    )
    height = terrain.orthometric_m
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype="float32",
        count=1,
        height=height.shape[0],
        width=height.shape[1],
        crs=DEM_CRS,
        transform=transform,
        tiled=True,
        blockxsize=512,
        blockysize=512,
    ) as file:
        file.write(height, 1)
        file.update_tags(AREA_OR_POINT="Area", simulated="yes")
        file.set_band_description(1, "simulated height above EGM96, metres")
