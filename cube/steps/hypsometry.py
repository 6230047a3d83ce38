"""Water told by heights as well as by radar, on lazy arrays of any chunks."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.delayed import delayed

from cube.errors import PlanError
from cube.kernels import hypsometry

__all__ = ["REACH_M", "by_height"]

REACH_M = 4000.0
"""A flood of a plain has one level that far; a slope of the water is followed."""


def by_height(
    probability: xr.DataArray, dem: xr.DataArray, reach_m: float = REACH_M
) -> xr.DataArray:
    """Probability of water with what the heights of the surroundings say of it.

    What plants and walls hide from the radar becomes likely water where ground as high is flooded
    all around; see `cube.kernels.hypsometry`. A DEM too rough for the flood changes nothing.

    Parameters
    ----------
    probability : DataArray
        Of water, over y, x and any others, each plane by itself; lazy or not. It is read four
        times: give layers of a cube rather than a network that has still to run.
    dem : DataArray
        Heights in metres over y, x of the same grid, above any datum.
    reach_m : float
        Standard deviation of the surroundings that count, metres.

    Returns
    -------
    DataArray
        float32 of the shape of `probability`; as it was where no height is known, or no water
        around.

    Raises
    ------
    PlanError
        Another grid, or one without coordinates in metres.
    """
    if {"y", "x"} - set(probability.dims) or set(dem.dims) != {"y", "x"}:
        raise PlanError(
            f"probability lies over {', '.join(map(str, probability.dims))}, heights over"
            f" {', '.join(map(str, dem.dims))}; needs y and x, and of heights no others"
        )
    if dem.sizes["y"] != probability.sizes["y"] or dem.sizes["x"] != probability.sizes["x"]:
        raise PlanError(
            f"heights have {dict(dem.sizes)}, the probability {dict(probability.sizes)}"
        )
    reach = reach_m / _spacing(probability) / hypsometry.CELL
    moved = probability.transpose(..., "y", "x").astype("float32")
    heights = dem.transpose("y", "x").astype("float32").data
    lead, shape = moved.shape[:-2], moved.shape[-2:]
    planes = moved.data.reshape(-1, *shape)
    if isinstance(planes, np.ndarray):
        heights = np.asarray(heights)
        whole = [_in_memory(plane, heights, reach) for plane in planes]
        data: Any = np.stack(whole).reshape(moved.shape)
    else:
        heights = da.asarray(heights).rechunk(planes.chunks[1:])
        stacked = da.stack([_lazily(plane, heights, reach) for plane in planes])
        data = stacked.reshape((*lead, *shape))
    out = moved.copy(data=data).transpose(*probability.dims)
    return out.assign_attrs(probability.attrs | {"heights": f"weighed within {reach_m:g} m"})


def _spacing(array: xr.DataArray) -> float:
    """Metres between pixels."""
    if "x" not in array.coords or array.sizes["x"] < 2:
        raise PlanError("no coordinate x to tell metres from; give it")
    if str(array["x"].attrs.get("units", "metre")).startswith("degree"):
        raise PlanError("pixels are in degrees; heights are weighed on a grid in metres")
    return float(abs(array["x"][1] - array["x"][0]))


def _in_memory(chance: Any, height: Any, reach: float) -> Any:
    known = hypsometry.learnt(lambda function, *more: function(chance, height, 0, 0, *more), reach)
    return hypsometry.posterior(chance, height, known, 0, 0)


def _lazily(chance: Any, height: Any, reach: float) -> Any:
    tops, lefts = (np.cumsum([0, *sizes[:-1]]).tolist() for sizes in chance.chunks)
    corners = list(itertools.product(tops, lefts))
    blocks = [one.to_delayed().ravel().tolist() for one in (chance, height)]

    def summed(function: Callable[..., Any], *more: Any) -> Any:
        parts = [
            delayed(function)(one, other, *corner, *more)
            for one, other, corner in zip(*blocks, corners, strict=True)
        ]
        return delayed(hypsometry.put_together)(parts, corners, chance.shape)

    known = hypsometry.learnt(summed, reach, delayed)
    return da.map_blocks(_posterior, chance, height, known=known, dtype="float32")


def _posterior(chance: Any, height: Any, known: Any, block_info: Any = None) -> Any:
    (top, _), (left, _) = block_info[0]["array-location"]
    return hypsometry.posterior(chance, height, known, top, left)
