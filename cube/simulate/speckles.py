"""Speckle of detected images, made once and drawn from: correlated as their resolution is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

__all__ = ["Speckles"]

Singles = NDArray[np.float32]


class Speckles:
    """Store of speckle of unit mean: correlated as 20 m resolution on 10 m pixels is.

    IW products of high resolution resolve 20 m by 22 m with 4.4 looks (Sentinel-1 Product
    Definition, S1-RS-MDA-52-7440). A Gaussian response of that width correlates neighbours of 10 m
    by 0.5; interpolation to a map grid adds to it, and pixels in degrees are narrower than high.

    Parameters
    ----------
    generator : numpy.random.Generator
    count, size : int
        Fields, and their rows and columns.
    """

    def __init__(self, generator: np.random.Generator, count: int = 48, size: int = 512) -> None:
        fields = []
        for number in range(count):
            spread = generator.uniform(0.7, 1.3) * generator.uniform(0.85, 1.15, 2)
            total = np.zeros((size, size), "float32")
            for _ in range(2 * (3 + number % 4)):  # three to six looks, real and imaginary parts
                part = generator.standard_normal((size, size), dtype="float32")
                total += gaussian_filter(part, spread, mode="wrap") ** 2
            fields.append(total / total.mean())
        self._fields = fields
        self._size = size

    def draw(self, shape: tuple[int, int], dates: int, generator: np.random.Generator) -> Singles:
        """Speckle of the mean of some dates; all of them from one processing."""
        looks = int(generator.integers(4))
        alike = self._fields[looks::4]
        total = np.zeros(shape, "float32")
        for _ in range(dates):
            field = alike[generator.integers(len(alike))]
            row, col = generator.integers(self._size - np.array(shape) + 1)
            part = field[row : row + shape[0], col : col + shape[1]]
            total += part[
                :: 1 - 2 * int(generator.integers(2)), :: 1 - 2 * int(generator.integers(2))
            ]
        return np.asarray(total / np.float32(dates), "float32")
