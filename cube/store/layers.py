"""Layers of a cube as window readers, with a halo where asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cube.readers.window import Window
from cube.store.write import stored_array

__all__ = ["StoredLayer"]


@dataclass(frozen=True)
class StoredLayer:
    """One (y, x) layer of a cube on disk.

    Attributes
    ----------
    path : str
    variable : str
    index : int or None
        Along time or track.
    """

    path: str
    variable: str
    index: int | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        found = stored_array(self.path, self.variable).shape
        return int(found[-2]), int(found[-1])

    def read(self, window: Window) -> NDArray[Any]:
        """Values of a window; beyond the grid they are the array's fill value."""
        array = stored_array(self.path, self.variable)
        height, width = self.shape
        rows = slice(max(window.line, 0), min(window.line_stop, height))
        cols = slice(max(window.sample, 0), min(window.sample_stop, width))
        place = (rows, cols) if self.index is None else (self.index, rows, cols)
        inside = np.asarray(array[place])
        if inside.shape == window.shape:
            return inside
        out = np.full(window.shape, array.fill_value, inside.dtype)
        out[
            rows.start - window.line : rows.stop - window.line,
            cols.start - window.sample : cols.stop - window.sample,
        ] = inside
        return out
