"""A function of blocks and their surroundings over arrays of any chunking.

Each chunk is grown by as far as the function looks, in whole cells of its grid counted from the
array's origin, and the function fills what was not grown: what a pixel gets does not depend on the
chunks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

__all__ = ["Layout", "Place", "map_chunks"]


@dataclass(frozen=True)
class Layout:
    """What a function of blocks needs.

    Attributes
    ----------
    align : int
        Rows and columns of a cell; blocks begin at multiples of it.
    halo : int
        Rows and columns that it looks beyond a block; a multiple of `align`.
    layers : int
        Values it gives for each pixel.
    cell : int
        Rows and columns of pixels that share one set of values: 1 for maps, the size of a tile for
        classes or embeddings of tiles. Divides `align`; what is left over at the end gives none.
    """

    align: int
    halo: int
    layers: int
    cell: int = 1


@dataclass(frozen=True)
class Place:
    """Where in a block the pixels lie that are asked for, and where these lie in the array."""

    rows: slice
    cols: slice
    top: int
    left: int


Function = Callable[[NDArray[Any], Place], NDArray[np.float32]]


def map_chunks(values: Any, function: Function, layout: Layout) -> Any:
    """Apply a function to blocks of an array.

    Parameters
    ----------
    values : array or dask array, shape (…, y, x, band)
    function : callable
        Of a block (…, y, x, band) with its surroundings and the `Place` in it that is asked for;
        gives (…, y, x, layer) of that place.
    layout : Layout

    Returns
    -------
    float32 array or dask array, shape (…, y // cell, x // cell, layer)
    """
    if not isinstance(values, da.Array):
        height, width = values.shape[-3:-1]
        return function(values, Place(slice(0, height), slice(0, width), 0, 0))
    axes = values.ndim - 3, values.ndim - 2
    chunks = {axis: (1,) * size for axis, size in enumerate(values.shape[:-3])}
    for axis in axes:
        chunks[axis] = _aligned(values.chunks[axis], layout)
    values = values.rechunk({**chunks, values.ndim - 1: -1})
    depth = {axis: layout.halo if values.numblocks[axis] > 1 else 0 for axis in axes}
    wide = (
        da.overlap.overlap(values, depth=depth, boundary="none") if any(depth.values()) else values
    )
    sizes = [values.chunks[axis] for axis in axes]
    out = tuple(tuple(size // layout.cell for size in part) for part in sizes)
    return da.map_blocks(
        _block,
        wide,
        dtype=np.float32,
        chunks=(*wide.chunks[:-3], *out, (layout.layers,)),
        meta=np.empty((0,) * values.ndim, np.float32),
        function=function,
        halo=layout.halo,
        edges=[np.cumsum([0, *part]).tolist() for part in sizes],
    )


def _block(
    values: NDArray[Any],
    *,
    function: Function,
    halo: int,
    edges: list[list[int]],
    block_id: tuple[int, ...] = (),
) -> NDArray[np.float32]:
    """One chunk, grown on every side that has a neighbour."""
    inner, first = [], []
    for number, part in zip(block_id[-3:-1], edges, strict=True):
        before = halo if number > 0 else 0
        inner.append(slice(before, before + part[number + 1] - part[number]))
        first.append(part[number])
    return function(values, Place(inner[0], inner[1], first[0], first[1]))


def _aligned(sizes: tuple[int, ...], layout: Layout) -> tuple[int, ...]:
    """Chunks whose edges are whole cells and none of which is smaller than the halo."""
    length, least = sum(sizes), max(layout.halo, 1)
    edges = [0]
    for edge in np.cumsum(sizes)[:-1]:
        edge = round(int(edge) / layout.align) * layout.align
        if edge - edges[-1] >= least and length - edge >= least:
            edges.append(edge)
    return tuple(np.diff([*edges, length]).tolist())
