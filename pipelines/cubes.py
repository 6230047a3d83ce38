"""Facts about an existing cube: its grid, its passes, how much is flooded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from dask.base import compute
from odc.geo.geobox import GeoBox

from cube.schema import FloodClass
from cube.steps.area import class_areas
from cube.store.layers import StoredLayer
from cube.store.opening import open_cube
from cube.store.template import read_plan
from pipelines.cost import BLOCK

__all__ = ["flooded_km2", "grid_of", "info"]


def grid_of(ds: xr.Dataset) -> GeoBox:
    """Pixel grid of a cube, as its plan states it."""
    identity = ds.attrs["floodcube"]["identity"]
    return GeoBox((ds.sizes["y"], ds.sizes["x"]), Affine(*identity["transform"]), identity["crs"])


def flooded_km2(path: str | Path, ds: xr.Dataset) -> dict[str, dict[str, float]]:
    """Area of each class per pass and for the summary, km2 on the WGS 84 ellipsoid.

    Returns
    -------
    dict of pass time (and ``extent``) to dict of class to km2
    """
    if "flood" not in ds:
        return {}
    grid = grid_of(ds)
    on_disk = xr.open_zarr(str(path), chunks=None, consolidated=True)["time"].values
    values = (FloodClass.DRY, FloodClass.PERMANENT, FloodClass.FLOOD, FloodClass.UNKNOWN)
    layers = {
        str(time.astype("datetime64[us]")): StoredLayer(
            str(path), "flood", int(np.flatnonzero(on_disk == time)[0])
        )
        for time in ds["time"].values
    }
    if "flood_extent" in ds:
        layers["extent"] = StoredLayer(str(path), "flood_extent")
    lazy = [class_areas(layer, grid, values, BLOCK) for layer in layers.values()]
    sums = compute(*lazy, scheduler="threads")
    names = ("dry", "permanent", "flood", "unknown")
    return {
        key: dict(zip(names, (part.sum(axis=(1, 2)) / 1e6).tolist(), strict=True))
        for key, part in zip(layers, sums, strict=True)
    }


def info(path: str | Path) -> dict[str, Any]:
    """What a cube holds: plan, passes, areas, and whether it is finished."""
    stored = read_plan(Path(path))
    shown = open_cube(path)
    everything = open_cube(path, incomplete=True)
    areas = flooded_km2(path, shown)
    passes = [
        {
            "time": str(time.astype("datetime64[us]")),
            "platform": str(one["platform"].values),
            "relative_orbit": int(one["relative_orbit"]),
            "orbit_direction": str(one["orbit_direction"].values),
            "role": str(one["role"].values),
            "complete": bool(one["complete"]),
            "scenes": str(one["scene_ids"].values).split(),
            "km2": areas.get(str(time.astype("datetime64[us]"))),
        }
        for time, one in ((time, everything.sel(time=time)) for time in everything["time"].values)
    ]
    return {
        "path": str(path),
        "finished": bool(everything["complete"].all()) and not (Path(path) / "progress").exists(),
        "shape": [everything.sizes["y"], everything.sizes["x"]],
        "variables": sorted(str(name) for name in everything.data_vars),
        "passes": passes,
        "extent_km2": areas.get("extent"),
        "plan": stored,
    }
