"""Block layout: how a grid is cut into compute blocks, and what a block costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cube.schema import CHUNK

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["block_counts", "block_sizes", "pull_blocks", "tiles", "whole_tiles"]


def block_sizes(length: int, block: int) -> tuple[int, ...]:
    """Sizes of the blocks along an axis.

    Examples
    --------
    >>> block_sizes(5000, 2048)
    (2048, 2048, 904)
    """
    whole, rest = divmod(length, block)
    return (block,) * whole + ((rest,) if rest else ())


def block_counts(shape: tuple[int, int], block: int) -> tuple[int, int]:
    """Blocks along y and x."""
    return -(-shape[0] // block), -(-shape[1] // block)


def tiles(rows: slice, cols: slice, shape: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    """Stored tiles of the grid that a part of it touches, as whole tiles, row by row.

    Tiles are those of the grid, whatever part is asked for: what is computed per tile does not
    depend on the block that computes it. A part that reaches beyond the grid (a halo) touches the
    outermost tiles.
    """
    last_y, last_x = (shape[0] - 1) // CHUNK, (shape[1] - 1) // CHUNK
    first = max(rows.start, 0) // CHUNK, max(cols.start, 0) // CHUNK
    for y in range(first[0], min((rows.stop - 1) // CHUNK, last_y) + 1):
        for x in range(first[1], min((cols.stop - 1) // CHUNK, last_x) + 1):
            yield (
                slice(y * CHUNK, min((y + 1) * CHUNK, shape[0])),
                slice(x * CHUNK, min((x + 1) * CHUNK, shape[1])),
            )


def whole_tiles(rows: slice, cols: slice) -> Iterator[tuple[slice, slice]]:
    """Stored tiles that a part of the plane touches, whole also where they reach beyond the grid.

    Examples
    --------
    >>> [part for part, _ in whole_tiles(slice(-1, 3), slice(0, 9))]
    [slice(-512, 0, None), slice(0, 512, None)]
    """
    for y in range(rows.start // CHUNK, (rows.stop - 1) // CHUNK + 1):
        for x in range(cols.start // CHUNK, (cols.stop - 1) // CHUNK + 1):
            yield (
                slice(y * CHUNK, (y + 1) * CHUNK),
                slice(x * CHUNK, (x + 1) * CHUNK),
            )


def _pull(function: Any, bands: int, block_info: Any = None, **kwargs: Any) -> NDArray[Any]:
    (_, _), (y0, y1), (x0, x1) = block_info[None]["array-location"]
    out: NDArray[Any] = function(slice(y0, y1), slice(x0, x1), **kwargs)
    if out.shape != (bands, y1 - y0, x1 - x0):
        raise ValueError(f"{function.__name__} returned {out.shape} for {bands} bands")
    return out


def pull_blocks(
    function: Any,
    shape: tuple[int, int],
    block: int,
    bands: int,
    name: str,
    dtype: str = "float32",
    **kwargs: Any,
) -> da.Array:
    """Lazy (band, y, x) array, float32 unless told, whose every block pulls what it needs.

    One task per block: `function` gets the block's rows and columns as slices and `kwargs`, and
    returns (bands, rows, columns). The graph holds references to data only, never pixels.
    """
    import dask.array as da  # takes 45 MB, which a plan that builds no graph does without
    from dask.base import tokenize

    lazy: da.Array = da.map_blocks(
        _pull,
        function=function,
        bands=bands,
        chunks=((bands,), block_sizes(shape[0], block), block_sizes(shape[1], block)),
        dtype=dtype,
        meta=np.empty((0, 0, 0), dtype),
        name=f"{name}-{tokenize(function, shape, block, kwargs)}",
        **kwargs,
    )
    return lazy
