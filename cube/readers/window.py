"""A rectangle of an image, and what can read one."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cube.kernels.resample import inside_bounds

__all__ = ["Window", "WindowReader"]


class Window(NamedTuple):
    """Lines and samples of an image, start inclusive and stop exclusive."""

    line: int
    sample: int
    line_stop: int
    sample_stop: int

    @property
    def shape(self) -> tuple[int, int]:
        """Lines and samples."""
        return self.line_stop - self.line, self.sample_stop - self.sample

    @classmethod
    def around(
        cls, row: NDArray[np.float64], col: NDArray[np.float64], shape: tuple[int, int]
    ) -> Window | None:
        """Smallest window that holds all bilinear neighbours of coordinates inside an image.

        Returns None where no coordinate lies inside ``0 .. shape - 1``. NaN is left out.
        """
        row_low, row_high, col_low, col_high = inside_bounds(row, col, *shape)
        if row_low > row_high:
            return None
        return cls(
            int(row_low),
            int(col_low),
            min(int(row_high) + 2, shape[0]),
            min(int(col_high) + 2, shape[1]),
        )


class WindowReader(Protocol):
    """Random access to one raster; thread-safe and picklable, opens on first read."""

    @property
    def shape(self) -> tuple[int, int]:
        """Lines and samples of the whole image."""
        ...

    def read(self, window: Window) -> NDArray[Any]:
        """Return the samples of `window`, shape ``window.shape``."""
        ...
