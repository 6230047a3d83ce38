"""Models over the passes of a cube on disk: every block pulls what it needs, one task each."""

from __future__ import annotations

from dataclasses import dataclass

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from cube.chunks import pull_blocks
from cube.infer.blocks import Predictor
from cube.infer.classes import flood_classes
from cube.infer.engine import Place
from cube.kernels.flood import NO_DATA
from cube.readers.window import Window, WindowReader

__all__ = ["PassSource", "pass_layers"]

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class PassSource:
    """What a model needs of one pass.

    Attributes
    ----------
    predictor : Predictor
    bands : tuple of WindowReader
        Of its inputs, in order.
    permanent, mask : WindowReader or None
        uint8 layers of the cube.
    classes : bool
        Whether flood can be told at all: else its class is 255 everywhere.
    """

    predictor: Predictor
    bands: tuple[WindowReader, ...]
    permanent: WindowReader | None
    mask: WindowReader | None
    classes: bool


def _block(rows: slice, cols: slice, source: PassSource, grid: tuple[int, int]) -> Float32:
    predictor, halo = source.predictor, source.predictor.halo
    wide = Window(
        max(rows.start - halo, 0),
        max(cols.start - halo, 0),
        min(rows.stop + halo, grid[0]),
        min(cols.stop + halo, grid[1]),
    )
    inner = Window(rows.start, cols.start, rows.stop, cols.stop)
    bands = np.empty((len(source.bands), *wide.shape), "float32")
    for out, reader in zip(bands, source.bands, strict=True):
        out[:] = reader.read(wide)
    place = Place(
        slice(rows.start - wide.line, rows.stop - wide.line),
        slice(cols.start - wide.sample, cols.stop - wide.sample),
        rows.start,
        cols.start,
    )
    layers = np.empty((len(predictor.layers) + 1, *inner.shape), "float32")
    predictor.fill(bands, place, layers[:-1])
    if not source.classes:
        layers[-1] = NO_DATA
        return layers
    found = dict(zip(predictor.layers, layers[:-1], strict=True))
    water = found["water_probability"]
    layers[-1] = flood_classes(
        water,
        found.get("flood_probability", np.full_like(water, np.nan)),
        np.uint8(NO_DATA) if source.permanent is None else source.permanent.read(inner),
        np.uint8(0) if source.mask is None else source.mask.read(inner),
        thresholds=predictor.cards[0].water_thresholds,
    )
    return layers


def pass_layers(source: PassSource, shape: tuple[int, int], block: int) -> da.Array:
    """Lazy layers of one pass: those of the predictor, then the flood class.

    Parameters
    ----------
    source : PassSource
    shape : (y, x)
        Of the grid.
    block : int
        Rows and columns of a block, a multiple of the predictor's cells.

    Returns
    -------
    dask array, float32, shape (layer, y, x)

    Raises
    ------
    ValueError
        Blocks that do not begin at cells of the predictor.
    """
    if block % source.predictor.stride:
        raise ValueError(f"blocks of {block} pixels; need multiples of {source.predictor.stride}")
    bands = len(source.predictor.layers) + 1
    return pull_blocks(_block, shape, block, bands, "model", source=source, grid=shape)
