"""Coherence of two dates of a stack of complex images, lazy where they are."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cube.errors import PlanError
from cube.kernels import coherence as kernel
from cube.kernels.coherence_statistics import effective_looks

__all__ = [
    "WINDOW",
    "about",
    "check_pair",
    "check_share",
    "check_window",
    "coherence",
    "looks_of",
]

WINDOW = 11, 11
_KEPT = ("grid_mapping", "polarisation")


def coherence(
    primary: xr.DataArray,
    secondary: xr.DataArray,
    window: tuple[int, int] = WINDOW,
    *,
    least: float = 0.5,
    magnitude: bool = True,
) -> xr.DataArray:
    """Coherence of coregistered complex images over a sliding window.

    Parameters
    ----------
    primary, secondary : DataArray, complex, dimensions y and x
        On one grid, flattened in phase; NaN or exactly 0 where missing. For two dates of a stack:
        ``coherence(ds.slc.isel(time=0), ds.slc.isel(time=1))``.
    window : (int, int)
        Rows and columns, odd.
    least : float
        Share of the window's pixels that must be there in both.
    magnitude : bool
        Whether to give the magnitude; else the complex coherence, whose phase is the primary's less
        the secondary's.

    Returns
    -------
    DataArray, float32 or complex64, named ``coherence``, dimensions (y, x)
        Chunks are those of `primary`, but for ones smaller than half a window, which are joined. No
        value depends on them. The attribute ``window`` holds the rows and columns, ``looks`` how
        many independent samples they are worth, where the images say how they are sampled.

    Raises
    ------
    PlanError
        Images that are not complex, of other dimensions, not on one grid, of two tracks or two
        polarisations; a window without a centre, or a share that is none.

    Notes
    -----
    Estimates of low coherence are too high: see `cube.kernels.coherence_statistics`.
    """
    first, second = check_pair(primary, secondary)
    rows, cols = check_window(window, least)
    data = _coherence(first.data, second.data, (rows, cols), least, magnitude)
    kept = {
        name: value
        for name, value in first.coords.items()
        if set(value.dims) <= {"y", "x"} and (value.dims or name == "spatial_ref")
    }
    attributes = about(first, (rows, cols))
    looks = looks_of(first, (rows, cols))
    if looks is not None:
        attributes["looks"] = looks
    return xr.DataArray(data, kept, ("y", "x"), "coherence", attributes)


def about(image: xr.DataArray, window: tuple[int, int]) -> dict[str, Any]:
    """Attributes of the coherence of an image with another."""
    return {
        "long_name": "interferometric coherence",
        "units": "1",
        "window": list(window),
        **{key: image.attrs[key] for key in _KEPT if key in image.attrs},
    }


def looks_of(image: xr.DataArray, window: tuple[int, int]) -> float | None:
    """Independent samples of a window, to a tenth; None where it is not said how it is sampled."""
    if "pixel_steps" not in image.attrs or "spectrum" not in image.attrs:
        return None
    return round(effective_looks(window, image.attrs["pixel_steps"], image.attrs["spectrum"]), 1)


def check_pair(primary: xr.DataArray, secondary: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Both images with dimensions (y, x).

    Raises
    ------
    PlanError
        They are no pair: see `coherence`.
    """
    for image, name in ((primary, "primary"), (secondary, "secondary")):
        if set(image.dims) != {"y", "x"}:
            given = ", ".join(map(str, image.dims)) or "none"
            raise PlanError(f"{name} has dimensions {given}; give one image, with y and x")
        if image.dtype.kind != "c":
            raise PlanError(f"{name} is {image.dtype}; coherence needs complex samples with phase")
    first, second = (image.transpose("y", "x") for image in (primary, secondary))
    _same_grid(first, second)
    _one_sight(first, second)
    return first, second


def check_window(window: tuple[int, int], least: float) -> tuple[int, int]:
    """Rows and columns of a window.

    Raises
    ------
    PlanError
        It has no centre, or the share that must be there is none.
    """
    rows, cols = int(window[0]), int(window[1])
    if rows < 1 or cols < 1 or not rows % 2 or not cols % 2:
        raise PlanError(f"window of {window[0]} by {window[1]} pixels; give odd numbers")
    check_share(least)
    return rows, cols


def check_share(least: float) -> None:
    """Refuse a share of samples that is none.

    Raises
    ------
    PlanError
        Not above 0 and at most 1.
    """
    if not 0 < least <= 1:
        raise PlanError(f"least share {least:g}; give more than 0 and at most 1")


def _one_sight(first: xr.DataArray, second: xr.DataArray) -> None:
    """Refuse images that cannot interfere, where they say what they are of."""
    for name, what in (("relative_orbit", "relative orbit"), ("swath", "sub-swath")):
        if name in first.coords and name in second.coords:
            one, other = first[name].values, second[name].values
            if one.shape == other.shape == () and one != other:
                raise PlanError(
                    f"primary is of {what} {one}, secondary of {other}; give two dates of one track"
                )
    names = [image.attrs.get("polarisation") for image in (first, second)]
    if None not in names and names[0] != names[1]:
        raise PlanError(f"primary is {names[0]}, secondary {names[1]}; give one polarisation")


def _same_grid(first: xr.DataArray, second: xr.DataArray) -> None:
    if first.shape != second.shape:
        raise PlanError(f"images of {first.shape} and {second.shape} pixels; give one grid")
    for name in ("y", "x"):
        if name in first.coords and name in second.coords:
            one, other = first[name].values, second[name].values
            if not np.array_equal(one, other):
                raise PlanError(f"images whose coordinates along {name} differ; give one grid")


def _coherence(one: Any, other: Any, window: tuple[int, int], least: float, magnitude: bool) -> Any:
    options: dict[str, Any] = {"window": window, "least": least, "magnitude": magnitude}
    if not isinstance(one, da.Array) and not isinstance(other, da.Array):
        return _block(np.asarray(one), np.asarray(other), **options)
    half = window[0] // 2, window[1] // 2
    lazy = da.asarray(one)
    # dask cannot give a chunk more of its neighbour than there is
    joined = {
        axis: -1
        for axis in (0, 1)
        if lazy.numblocks[axis] > 1 and min(lazy.chunks[axis]) < half[axis]
    }
    lazy = lazy.rechunk(joined) if joined else lazy
    depth = {axis: half[axis] if lazy.numblocks[axis] > 1 else 0 for axis in (0, 1)}
    starts = np.cumsum((0, *lazy.chunks[0][:-1]))
    tops = tuple(int(max(start - depth[0], 0)) for start in starts)
    wide = [
        da.overlap.overlap(array, depth=depth, boundary="none")
        for array in (lazy, da.asarray(other).rechunk(lazy.chunks))
    ]
    found = da.map_blocks(
        _block,
        *wide,
        dtype=np.float32 if magnitude else np.complex64,
        meta=np.empty((0, 0), np.float32 if magnitude else np.complex64),
        tops=tops,
        **options,
    )
    return da.overlap.trim_internal(found, depth, boundary="none")


def _block(
    one: NDArray[Any],
    other: NDArray[Any],
    *,
    window: tuple[int, int],
    least: float,
    magnitude: bool,
    tops: tuple[int, ...] = (0,),
    block_info: Any = None,
) -> NDArray[Any]:
    """Coherence of a block with its halo, as of the grid's row it begins at."""
    top = tops[block_info[None]["chunk-location"][0]] if block_info else 0
    found = kernel.coherence(
        one.astype(np.complex64, copy=False),
        other.astype(np.complex64, copy=False),
        window,
        top,
        least,
    )
    return np.abs(found) if magnitude else found
