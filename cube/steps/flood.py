"""From backscatter on disk to water, reference, permanent water, flood classes and summary.

Every block pulls the windows that it needs, with the halo of the water model, from readers that
the caller gives: one task per block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from cube.chunks import pull_blocks
from cube.kernels import flood as kernel
from cube.kernels.water import HALO, WaterModel, probability
from cube.readers.window import Window, WindowReader

__all__ = [
    "FloodSource",
    "Polarised",
    "WaterSource",
    "flood_classes",
    "permanent_water",
    "reference",
    "summary",
]

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Polarised:
    """VV and, where there is one, VH of one pass or reference."""

    vv: WindowReader
    vh: WindowReader | None

    def read(self, window: Window) -> tuple[Float32, Float32 | None]:
        """Linear power of both."""
        return self.vv.read(window), None if self.vh is None else self.vh.read(window)


@dataclass(frozen=True)
class WaterSource:
    """One image and the water model fitted to it."""

    image: Polarised
    model: WaterModel

    def probability(self, window: Window) -> Float32:
        """Probability of water in a window that includes the model's halo; halo trimmed."""
        return _trim(probability(*self.image.read(window), self.model))


@dataclass(frozen=True)
class FloodSource:
    """What water and flood of one pass are made from.

    Attributes
    ----------
    now : WaterSource
    before : WaterSource or None
        Reference of the same track.
    permanent, mask : WindowReader or None
        uint8 layers of the cube.
    classes : bool
        Whether flood can be told at all: else its class is 255 everywhere.
    """

    now: WaterSource
    before: WaterSource | None
    permanent: WindowReader | None
    mask: WindowReader
    classes: bool


def _wide(rows: slice, cols: slice) -> Window:
    return Window(rows.start - HALO, cols.start - HALO, rows.stop + HALO, cols.stop + HALO)


def _trim(values: Float32) -> Float32:
    return values[HALO:-HALO, HALO:-HALO]


def _darker(now: Polarised, before: Polarised, window: Window) -> Float32:
    """Larger of the drops in VV and VH, in decibels, halo trimmed."""
    drops = [
        _trim(kernel.drop(one, other))
        for one, other in zip(now.read(window), before.read(window), strict=True)
        if one is not None and other is not None
    ]
    return drops[0] if len(drops) == 1 else np.fmax(*drops)


def _flood_block(rows: slice, cols: slice, source: FloodSource) -> Float32:
    inner = Window(rows.start, cols.start, rows.stop, cols.stop)
    wide = _wide(rows, cols)
    chance = source.now.probability(wide)
    out = np.empty((2, *inner.shape), "float32")
    out[0] = chance
    if not source.classes:
        out[1] = kernel.NO_DATA
        return out
    earlier = None if source.before is None else source.before.probability(wide)
    dropped = (
        None if source.before is None else _darker(source.now.image, source.before.image, wide)
    )
    permanent = None if source.permanent is None else source.permanent.read(inner)
    out[1] = kernel.classify(chance, permanent, earlier, dropped, source.mask.read(inner))
    return out


def flood_classes(source: FloodSource, shape: tuple[int, int], block: int) -> da.Array:
    """Lazy water probability and flood classes of one pass.

    Returns
    -------
    dask array, float32, shape (2, y, x)
        Probability of open water, then the class (0, 1, 2 or 255).
    """
    return pull_blocks(_flood_block, shape, block, 2, "flood", source=source)


def _stack(layers: Iterator[NDArray[Any]], count: int) -> NDArray[Any]:
    """Layers of one shape and type as one array, in memory only once."""
    first = next(layers)
    out = np.empty((count, *first.shape), first.dtype)
    out[0] = first
    del first
    for place, layer in zip(out[1:], layers, strict=True):
        place[:] = layer
    return out


def _reference_block(
    rows: slice, cols: slice, polarisations: tuple[tuple[WindowReader, ...], ...]
) -> Float32:
    inner = Window(rows.start, cols.start, rows.stop, cols.stop)
    return np.stack(
        [
            kernel.reference(_stack((layer.read(inner) for layer in layers), len(layers)))
            for layers in polarisations
        ]
    )


def reference(
    polarisations: tuple[tuple[WindowReader, ...], ...], shape: tuple[int, int], block: int
) -> da.Array:
    """Lazy median over passes, for every polarisation.

    Parameters
    ----------
    polarisations : tuple of tuples of WindowReader
        Layers of the passes, for each polarisation.
    shape : (y, x)
    block : int

    Returns
    -------
    dask array, float32, shape (polarisation, y, x)
    """
    return pull_blocks(
        _reference_block,
        shape,
        block,
        len(polarisations),
        "reference",
        polarisations=polarisations,
    )


def _permanent_block(rows: slice, cols: slice, passes: tuple[WaterSource, ...]) -> Float32:
    wide = _wide(rows, cols)
    shape = rows.stop - rows.start, cols.stop - cols.start
    valid, water = np.zeros(shape, "uint16"), np.zeros(shape, "uint16")
    for one in passes:  # counted one by one: only one probability is in memory
        chance = one.probability(wide)
        valid += ~np.isnan(chance)
        water += chance > 0.5
    return kernel.by_votes(valid, water).astype("float32")[None]


def permanent_water(
    passes: tuple[WaterSource, ...], shape: tuple[int, int], block: int
) -> da.Array:
    """Lazy permanent water of the passes before the event.

    Returns
    -------
    dask array, float32, shape (1, y, x)
        0, 1 or 255.
    """
    return pull_blocks(_permanent_block, shape, block, 1, "permanent", passes=passes)


def _summary_block(
    rows: slice, cols: slice, passes: tuple[WindowReader, ...], days: tuple[float, ...]
) -> Float32:
    inner = Window(rows.start, cols.start, rows.stop, cols.stop)
    classes = _stack((one.read(inner) for one in passes), len(passes))
    return np.stack(
        [
            kernel.extent(classes).astype("float32"),
            kernel.first(classes).astype("float32"),
            kernel.duration(classes, np.asarray(days)),
        ]
    )


def summary(
    passes: tuple[WindowReader, ...], days: tuple[float, ...], shape: tuple[int, int], block: int
) -> da.Array:
    """Lazy summary over passes: extent, index of the first flooded pass (-1 none), days of flood.

    Parameters
    ----------
    passes : tuple of WindowReader
        Flood classes, sorted by time.
    days : tuple of float
        Time of each pass in days.
    shape : (y, x)
    block : int

    Returns
    -------
    dask array, float32, shape (3, y, x)
    """
    return pull_blocks(_summary_block, shape, block, 3, "summary", passes=passes, days=days)
