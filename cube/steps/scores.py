"""Scores of lazy arrays: each block gives its sums, and sums add."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import xarray as xr
from dask.delayed import Delayed, delayed

from cube.kernels.scores import reliability
from cube.kernels.selective import selective

__all__ = ["lazy_reliability", "lazy_selective"]

_FAN = 16
"""Sums that one task adds: 16 of 100 kB at a time, however many blocks there are."""


def lazy_reliability(probability: xr.DataArray, truth: xr.DataArray) -> Delayed:
    """`cube.kernels.scores.reliability` of lazy arrays of one shape; ``compute`` gives the sums.

    Parameters
    ----------
    probability, truth : DataArray
        The same dimensions in the same order, of any chunks.

    Raises
    ------
    ValueError
        Dimensions or shapes differ.
    """
    return _summed(reliability, (probability, truth))


def lazy_selective(
    uncertainty: xr.DataArray, probability: xr.DataArray, truth: xr.DataArray, top: float
) -> Delayed:
    """`cube.kernels.selective.selective` of lazy arrays; ``compute`` gives the sums.

    Parameters
    ----------
    uncertainty, probability, truth : DataArray
        The same dimensions in the same order, of any chunks.
    top : float
        Largest uncertainty that can be.

    Raises
    ------
    ValueError
        Dimensions or shapes differ.
    """
    return _summed(functools.partial(selective, top=top), (uncertainty, probability, truth))


def _summed(function: Callable[..., Any], arrays: tuple[xr.DataArray, ...]) -> Delayed:
    first = arrays[0]
    for other in arrays[1:]:
        if other.dims != first.dims or other.shape != first.shape:
            raise ValueError(
                f"arrays of {dict(first.sizes)} and {dict(other.sizes)}; they must agree in"
                " dimensions and their order"
            )
    # chunks of the first for all: a block of each is one task
    given = [first.chunk() if first.chunks is None else first]
    given += [other.chunk(given[0].chunksizes) for other in arrays[1:]]
    blocks = [one.data.to_delayed().ravel() for one in given]
    # pure: keys are told by what goes in, so that equal graphs are one
    score, add = delayed(function, pure=True), delayed(_add, pure=True)
    parts = [score(*group) for group in zip(*blocks, strict=True)]
    while len(parts) > 1:
        parts = [add(parts[start : start + _FAN]) for start in range(0, len(parts), _FAN)]
    whole: Delayed = parts[0]
    return whole


def _add(parts: list[Any]) -> Any:
    return functools.reduce(operator.add, parts)
