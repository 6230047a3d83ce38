"""``cube verify``: a cube against known flood classes."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from pyproj import CRS

from cube.errors import PlanError, SourceError, StoreError
from cube.kernels.scores import Counts, count
from cube.readers.raster import Raster, describe, read_window
from cube.schema import FloodClass
from cube.store.opening import open_cube
from pipelines.cubes import grid_of

__all__ = ["Verdict", "chosen_pass", "truth_on", "verify"]


@dataclass(frozen=True)
class Verdict:
    """How well one pass agrees with truth.

    Attributes
    ----------
    time : str
    water, flood : Counts
        Any water (classes 1 and 2), and flood alone.
    simulated : bool
        Whether the truth belongs to a simulated event.
    pixels : int
        Compared pixels: known in both.
    """

    time: str
    water: Counts
    flood: Counts
    simulated: bool
    pixels: int

    def as_json(self) -> dict[str, Any]:
        """Counts and ratios."""

        def scores(counts: Counts) -> dict[str, Any]:
            ratios = {name: getattr(counts, name) for name in ("iou", "f1", "precision", "recall")}
            # JSON has no NaN: a ratio of nothing is null
            told = {name: None if math.isnan(value) else value for name, value in ratios.items()}
            return {**asdict(counts), **told}

        return {
            "time": self.time,
            "simulated": self.simulated,
            "pixels": self.pixels,
            "water": scores(self.water),
            "flood": scores(self.flood),
        }


def verify(cube: str | Path, truth: str | Path, time: str | None = None) -> Verdict:
    """Compare the flood classes of one pass with a raster of classes.

    Parameters
    ----------
    cube : str or Path
    truth : str or Path
        uint8 raster on the cube's own grid: 0 dry, 1 permanent water, 2 flood, 255 unknown.
    time : str, optional
        Pass to compare (nearest to it); the last one without.

    Raises
    ------
    CubeError
        No flood layer, or a truth on another grid.
    """
    ds = open_cube(cube)
    if "flood" not in ds or ds.sizes["time"] == 0:
        raise StoreError(f"{cube}: has no finished flood layer to verify")
    chosen = chosen_pass(ds, time)
    known = truth_on(truth, ds)
    found = chosen["flood"].values
    valid = (known != FloodClass.UNKNOWN) & (found != FloodClass.UNKNOWN)
    identity = ds.attrs["floodcube"]["identity"]
    return Verdict(
        time=str(chosen["time"].values.astype("datetime64[s]")),
        water=count(np.isin(found, (1, 2)), np.isin(known, (1, 2)), valid),
        flood=count(found == FloodClass.FLOOD, known == FloodClass.FLOOD, valid),
        simulated=bool(identity.get("simulated")),
        pixels=int(valid.sum()),
    )


def chosen_pass(ds: xr.Dataset, time: str | None) -> xr.Dataset:
    """The pass nearest to a time; the last one without.

    Raises
    ------
    PlanError
        `time` is none.
    """
    return ds.isel(time=-1) if time is None else ds.sel(time=_moment(time), method="nearest")


def truth_on(truth: str | Path, ds: xr.Dataset) -> Any:
    """Classes of a raster on a cube's grid, shape (y, x).

    Raises
    ------
    SourceError
        It cannot be read, or lies on another grid.
    """
    raster, _ = describe(str(truth))
    return _on_grid(raster, grid_of(ds), str(truth))


def _moment(content: str) -> np.datetime64:
    try:
        return np.datetime64(content, "ns")
    except ValueError as error:
        raise PlanError(f"--time {content!r} is not a time; give for example 2022-08-30") from error


def _on_grid(raster: Raster, grid: GeoBox, name: str) -> Any:
    """Pixels of a raster that must lie on the grid, or hold it at whole pixels."""
    found = CRS.from_wkt(raster.crs_wkt)
    if not found.equals(CRS.from_user_input(grid.crs), ignore_axis_order=True):
        raise SourceError(
            f"{name}: is in {found.name}, the cube in {grid.crs}; warp it to the cube's grid first"
        )
    a, _, c, _, e, f = raster.transform
    affine = grid.affine
    col, row = (affine.c - c) / a, (affine.f - f) / e
    same = (
        abs(a - affine.a) < 1e-9
        and abs(e - affine.e) < 1e-9
        and abs(col - round(col)) < 1e-3
        and abs(row - round(row)) < 1e-3
    )
    rows = slice(round(row), round(row) + grid.shape[0])
    cols = slice(round(col), round(col) + grid.shape[1])
    inside = (
        rows.start >= 0
        and cols.start >= 0
        and rows.stop <= raster.shape[0]
        and cols.stop <= raster.shape[1]
    )
    if not (same and inside):
        raise SourceError(
            f"{name}: is not on the cube's grid ({grid.crs}, {grid.shape[0]} x {grid.shape[1]},"
            f" corner {affine.c:.1f},{affine.f:.1f}); warp it there first"
        )
    return read_window(raster, rows, cols)
