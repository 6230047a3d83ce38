"""Coherence of pairs and its change, block by block, from layers that are read when needed."""

from __future__ import annotations

from dataclasses import dataclass

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from cube.chunks import pull_blocks
from cube.kernels import coherence as kernel
from cube.readers.window import Window, WindowReader
from cube.steps.coherence import check_window

__all__ = ["PairSource", "pair_change", "pair_coherence"]


@dataclass(frozen=True)
class PairSource:
    """Layers of a pair: of every polarisation the primary and the secondary image."""

    layers: tuple[tuple[WindowReader, WindowReader], ...]
    window: tuple[int, int]
    least: float = 0.5


def _block(rows: slice, cols: slice, source: PairSource) -> NDArray[np.float32]:
    """Coherence of a block, whose images are read with half a window around it."""
    height, width = source.layers[0][0].shape
    half = source.window[0] // 2, source.window[1] // 2
    wide = Window(
        max(rows.start - half[0], 0),
        max(cols.start - half[1], 0),
        min(rows.stop + half[0], height),
        min(cols.stop + half[1], width),
    )
    inner = (
        slice(rows.start - wide.line, rows.stop - wide.line),
        slice(cols.start - wide.sample, cols.stop - wide.sample),
    )
    return np.stack(
        [
            np.abs(
                kernel.coherence(
                    primary.read(wide),
                    secondary.read(wide),
                    source.window,
                    wide.line,
                    source.least,
                )[inner]
            )
            for primary, secondary in source.layers
        ]
    )


def pair_coherence(source: PairSource, shape: tuple[int, int], block: int) -> da.Array:
    """Lazy coherence of a pair, one task per block, float32, shape (polarisation, y, x).

    Raises
    ------
    PlanError
        A window without a centre.
    """
    check_window(source.window, source.least)
    return pull_blocks(_block, shape, block, len(source.layers), "coherence", source=source)


def _change_block(
    rows: slice,
    cols: slice,
    now: tuple[WindowReader, ...],
    before: tuple[tuple[WindowReader, ...], ...],
) -> NDArray[np.float32]:
    window = Window(rows.start, cols.start, rows.stop, cols.stop)
    found = []
    for band, layer in enumerate(now):
        quiet = [layers[band].read(window) for layers in before]
        found.append(layer.read(window) - np.mean(quiet, axis=0, dtype="float32"))
    return np.stack(found)


def pair_change(
    now: tuple[WindowReader, ...],
    before: tuple[tuple[WindowReader, ...], ...],
    shape: tuple[int, int],
    block: int,
) -> da.Array:
    """Lazy change of coherence, one task per block, float32, shape (polarisation, y, x).

    Parameters
    ----------
    now : tuple of WindowReader
        Coherence of the pass with the one before, of every polarisation.
    before : tuple of the same
        Of each pair before the event.
    shape, block
        Of the grid, and edge of its blocks.
    """
    return pull_blocks(
        _change_block, shape, block, len(now), "coherence-change", now=now, before=before
    )
