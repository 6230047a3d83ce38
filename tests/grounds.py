"""Ground as a DEM file in any CRS, the geometry of simulated images of it, and targets in cubes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
import xarray as xr
from affine import Affine
from pyproj import Transformer

from cube.simulate.geometry import ImageGeometry, image_over
from cube.simulate.orbit import Direction, orbit_over
from cube.simulate.product import Swath, interferometric_swaths, mid_swath_time

Height = Callable[[np.ndarray, np.ndarray], np.ndarray]


def write_dem(
    path: Path,
    height: Height,
    bounds: tuple[float, float, float, float],
    step: float,
    crs: str = "EPSG:4326",
    nodata: float | None = None,
) -> Path:
    """Samples of ``height(lat, lon)`` every `step` within `bounds`: left, bottom, right, top."""
    left, bottom, right, top = bounds
    size = round((top - bottom) / step), round((right - left) / step)
    x, y = np.meshgrid(
        left + (np.arange(size[1]) + 0.5) * step, top - (np.arange(size[0]) + 0.5) * step
    )
    lon, lat = x, y
    flat = crs.split("+")[0]
    if flat != "EPSG:4326":
        lon, lat = Transformer.from_crs(flat, "EPSG:4326", always_xy=True).transform(x, y)
    values = np.broadcast_to(height(lat, lon), size).astype("float32")
    if nodata is not None:
        values = np.where(np.isnan(values), np.float32(nodata), values)
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=size[0], width=size[1], dtype="float32",
        crs=crs, nodata=nodata, transform=Affine(step, 0, left, 0, -step, top),
    ) as file:  # fmt: skip
        file.write(values, 1)
    return path


def image_geometry(
    lon: float,
    lat: float,
    height_m: float,
    *,
    size: tuple[int, int],
    start: str,
    orbit_direction: Direction,
    incidence: float,
) -> tuple[ImageGeometry, tuple[Swath, ...]]:
    """Geometry of the image that `cube.simulate.simulate_product` makes of a place."""
    orbit = orbit_over(
        lon, lat, time=np.datetime64(start, "us"), direction=orbit_direction,
        incidence_deg=incidence, height_m=height_m,
    )  # fmt: skip
    swaths = interferometric_swaths(orbit, height_m)
    geometry = image_over(
        orbit, np.array([lat]), np.array([lon]), np.array([height_m]), margin_m=0.0,
        mid_time_s=mid_swath_time(swaths), size=size,
    )  # fmt: skip
    return geometry, swaths


def centre_of_power(ds: xr.Dataset, x: float, y: float, name: str = "vv") -> tuple[float, float]:
    """Map coordinates of the bright spot within six pixels of a place."""
    power = ds[name].isel(time=0).values.astype("float64")
    row = int(np.abs(ds.y.values - y).argmin())
    col = int(np.abs(ds.x.values - x).argmin())
    part = (slice(row - 6, row + 7), slice(col - 6, col + 7))
    assert power[part].shape == (13, 13), "the target is too near an edge"
    spot = power[part] - np.median(power[part])
    spot = np.where(spot > 0.02 * spot.max(), spot, 0.0)
    y_at, x_at = np.meshgrid(ds.y.values[part[0]], ds.x.values[part[1]], indexing="ij")
    return float((spot * x_at).sum() / spot.sum()), float((spot * y_at).sum() / spot.sum())
