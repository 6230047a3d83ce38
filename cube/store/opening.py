"""Opening a cube as an ordinary lazy Dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from cube.errors import StoreError
from cube.schema import CHUNK
from cube.store.additions import COHERENCE
from cube.store.template import read_plan

__all__ = ["open_cube"]

_CHANGE = "coherence_change_"
_SUMMARY = ("flood_extent", "flood_first", "flood_duration")


def open_cube(url: str | Path, *, incomplete: bool = False) -> xr.Dataset:
    """Open a cube: its complete passes, sorted by time, as a lazy Dataset.

    Parameters
    ----------
    url : str or Path
        Zarr store.
    incomplete : bool
        Show every pass, also those still being built.

    Returns
    -------
    xarray.Dataset
        Chunked by dask, 2048 x 2048 pixels. Summary layers are left out unless they were made
        from exactly the passes that are shown; pairs whose coherence is not whole are not shown.

    Raises
    ------
    StoreError
        There is no cube at this place.
    """
    path = str(url)
    if "://" not in path and read_plan(Path(path)) is None:
        raise StoreError(f"{path}: no such cube; build one with cube build --out {path}")
    chunks = {"y": 4 * CHUNK, "x": 4 * CHUNK}
    ds: xr.Dataset = xr.open_zarr(path, chunks=chunks, consolidated=True)
    # A few values per pass are read at once, and not by dask: lazy ones would only be in the way
    plain = xr.open_zarr(path, chunks=None, consolidated=True)
    small = [name for name, one in ds.coords.items() if one.chunks is not None]
    ds = ds.assign_coords({name: plain[name].variable.load() for name in small})
    if not incomplete:
        ds = ds.isel(time=np.flatnonzero(ds["complete"].values))
    ds = ds.sortby("time")
    if "pair" in ds.dims and not incomplete:
        ds = ds.isel(pair=np.flatnonzero(ds["coherence_complete"].values))
        if not ds.attrs[COHERENCE].get("finished"):
            ds = ds.drop_vars([name for name in ds.data_vars if str(name).startswith(_CHANGE)])
    shown = sorted(pass_names(ds))
    if ds.attrs.get("summary_of") is None or sorted(ds.attrs["summary_of"]) != shown:
        ds = ds.drop_vars([name for name in _SUMMARY if name in ds])
    return ds


def pass_names(ds: xr.Dataset) -> list[str]:
    """Name of every pass: platform and start time, which together are unique."""
    times = np.datetime_as_string(ds["time"].values.astype("datetime64[us]"))
    platforms = ds["platform"].values
    return [f"{platform} {time}" for platform, time in zip(platforms, times, strict=True)]
