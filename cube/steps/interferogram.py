"""Multilooked interferograms of two dates of a stack of complex images, lazy where they are."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cube.errors import PlanError
from cube.kernels.interferogram import multilook
from cube.steps.coherence import about, check_pair, check_share

__all__ = ["interferogram"]


def interferogram(
    primary: xr.DataArray,
    secondary: xr.DataArray,
    looks: tuple[int, int] = (4, 4),
    *,
    least: float = 0.5,
) -> xr.Dataset:
    """Interferogram and coherence of coregistered complex images, over boxes of pixels.

    Parameters
    ----------
    primary, secondary : DataArray, complex, dimensions y and x
        As of `cube.coherence`; flattened in phase, as those of a cube are.
    looks : (int, int)
        Rows and columns of a box, which becomes one pixel.
    least : float
        Share of a box's pixels that must be there in both.

    Returns
    -------
    Dataset
        ``interferogram`` complex64, the mean of primary times conjugate secondary, and
        ``coherence`` float32, on a grid coarser by `looks`; pixels at the end that fill no box are
        left out. Lazy where an image is; no value depends on the chunks.

    Raises
    ------
    PlanError
        What is no pair, see `cube.coherence`; boxes that are none or larger than the images.
    """
    first, second = check_pair(primary, secondary)
    rows, cols = int(looks[0]), int(looks[1])
    height, width = first.shape
    if not (1 <= rows <= height and 1 <= cols <= width):
        raise PlanError(
            f"boxes of {looks[0]} by {looks[1]} pixels; give 1 to {height} by 1 to {width}"
        )
    check_share(least)
    cross, coherence = _boxes(first.data, second.data, (rows, cols), least)
    of_both = about(first, (rows, cols))
    of_cross = {key: of_both[key] for key in of_both if key not in ("long_name", "window")}
    named = xr.Dataset(
        {
            "interferogram": (("y", "x"), cross, of_cross),
            "coherence": (("y", "x"), coherence, of_both),
        }
    )
    for name, size in (("y", rows), ("x", cols)):
        if name in first.coords:
            centres = first[name].values.astype("float64")[: named.sizes[name] * size]
            named[name] = (name, centres.reshape(-1, size).mean(axis=1), first[name].attrs)
    return named.assign_coords(
        {key: value for key, value in first.coords.items() if key == "spatial_ref"}
    )


def _boxes(one: Any, other: Any, looks: tuple[int, int], least: float) -> tuple[Any, Any]:
    if not isinstance(one, da.Array) and not isinstance(other, da.Array):
        cross, coherence = multilook(_complex(one), _complex(other), looks, least)
        return cross, coherence
    lazy = da.asarray(one)
    used = tuple(size // step * step for size, step in zip(lazy.shape, looks, strict=True))
    chunks = tuple(
        _whole_boxes(sizes, size, step)
        for sizes, size, step in zip(lazy.chunks, used, looks, strict=True)
    )
    parts = [da.asarray(image)[: used[0], : used[1]].rechunk(chunks) for image in (one, other)]
    both = da.map_blocks(
        _block,
        *parts,
        looks=looks,
        least=least,
        dtype=np.complex64,
        new_axis=0,
        chunks=(
            (2,),
            *(
                tuple(size // step for size in axis)
                for axis, step in zip(chunks, looks, strict=True)
            ),
        ),
        meta=np.empty((0, 0, 0), np.complex64),
    )
    return both[0], both[1].real


def _whole_boxes(sizes: tuple[int, ...], length: int, step: int) -> tuple[int, ...]:
    """Chunks of whole boxes whose edges are the next after the chunks'."""
    edges = {min(-(-int(edge) // step) * step, length) for edge in np.cumsum(sizes)}
    return tuple(np.diff([0, *sorted(edges | {length})]).tolist())


def _complex(values: Any) -> NDArray[np.complex64]:
    return np.asarray(values).astype(np.complex64, copy=False)


def _block(
    one: NDArray[Any], other: NDArray[Any], *, looks: tuple[int, int], least: float
) -> NDArray[np.complex64]:
    cross, coherence = multilook(_complex(one), _complex(other), looks, least)
    return np.stack([cross, coherence.astype(np.complex64)])
