"""Areas of classes on the ellipsoid."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from cube.chunks import block_sizes, tiles
from cube.grid import cell_area, shape_of
from cube.kernels.area import class_area
from cube.readers.window import Window, WindowReader

__all__ = ["class_areas"]


def _block(
    layer: WindowReader, grid: GeoBox, values: tuple[int, ...], edge: int, block_info: Any = None
) -> NDArray[np.float64]:
    _, y, x = block_info[None]["chunk-location"]
    height, width = grid.shape
    rows = slice(y * edge, min((y + 1) * edge, height))
    cols = slice(x * edge, min((x + 1) * edge, width))
    total = np.zeros(len(values))
    for part_y, part_x in tiles(rows, cols, shape_of(grid)):
        classes = layer.read(Window(part_y.start, part_x.start, part_y.stop, part_x.stop))
        total += class_area(classes, cell_area(grid, part_y, part_x), values)
    return total[:, None, None]


def class_areas(layer: WindowReader, grid: GeoBox, values: tuple[int, ...], block: int) -> da.Array:
    """Lazy area of every class in square metres on the WGS 84 ellipsoid.

    Parameters
    ----------
    layer : WindowReader
        uint8 classes on `grid`.
    grid : GeoBox
    values : tuple of int
    block : int

    Returns
    -------
    dask array, float64, shape (values, block_y, block_x)
        Sums per block; their sum over the last axes is the area.
    """
    counts = [len(block_sizes(length, block)) for length in grid.shape]
    sums: da.Array = da.map_blocks(
        _block,
        layer=layer,
        grid=grid,
        values=values,
        edge=block,
        chunks=((len(values),), *((1,) * n for n in counts)),
        dtype="float64",
        meta=np.empty((0, 0, 0)),
    )
    return sums
