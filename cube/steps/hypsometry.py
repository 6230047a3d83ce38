"""Water told by heights as well as by radar, on lazy arrays of any chunks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.delayed import delayed
from numpy.typing import NDArray

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
    level = hypsometry.levels(hypsometry.level_sums(chance, height, 0, 0), reach)
    counted = hypsometry.tallies(chance, height, level, 0, 0)
    known = hypsometry.curves(level, counted, reach)
    again = hypsometry.tallies(chance, height, level, 0, 0, known)
    known = hypsometry.curves(level, counted, reach, again)
    return hypsometry.posterior(chance, height, known, 0, 0)


def _lazily(chance: Any, height: Any, reach: float) -> Any:
    level = delayed(hypsometry.levels)(_summed(hypsometry.level_sums, chance, height), reach)
    counted = _summed(hypsometry.tallies, chance, height, level)
    known = delayed(hypsometry.curves)(level, counted, reach)
    again = _summed(_tallied_again, chance, height, level, known)
    known = delayed(hypsometry.curves)(level, counted, reach, again)
    return da.map_blocks(_posterior, chance, height, known=known, dtype="float32")


def _tallied_again(
    chance: Any, height: Any, level: Any, known: Any, top: int, left: int
) -> NDArray[Any]:
    return hypsometry.tallies(chance, height, level, top, left, known)


def _posterior(chance: Any, height: Any, known: Any, block_info: Any = None) -> Any:
    (top, _), (left, _) = block_info[0]["array-location"]
    return hypsometry.posterior(chance, height, known, top, left)


def _summed(function: Callable[..., NDArray[Any]], chance: Any, height: Any, *more: Any) -> Any:
    """Sums over the cells of the whole, of those of its blocks; a delayed array."""
    cells = tuple(-(-size // hypsometry.CELL) for size in chance.shape)
    tops, lefts = (np.cumsum([0, *sizes[:-1]]) for sizes in chance.chunks)
    parts = []
    blocks = zip(chance.to_delayed(), height.to_delayed(), strict=True)
    for top, (ours, others) in zip(tops, blocks, strict=True):
        for left, one, other in zip(lefts, ours, others, strict=True):
            found = delayed(function)(one, other, *more, int(top), int(left))
            parts.append((found, int(top) // hypsometry.CELL, int(left) // hypsometry.CELL))
    return delayed(_put_together)(parts, cells)


def _put_together(parts: Any, cells: tuple[int, int]) -> NDArray[Any]:
    out = np.zeros((*parts[0][0].shape[:-2], *cells))
    for values, row, col in parts:
        out[..., row : row + values.shape[-2], col : col + values.shape[-1]] += values
    return out
