"""Smooth functions on regular grids, by Chebyshev series through exact values at few nodes."""

from __future__ import annotations

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from scipy import fft

__all__ = ["chebyshev_nodes", "fractal", "on_grid"]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


def chebyshev_nodes(size: int, count: int) -> Floats:
    """Positions of `count` nodes on an axis of pixels ``0 .. size - 1``."""
    nodes = np.cos(np.pi * (np.arange(count) + 0.5) / count)
    return np.asarray((nodes + 1) / 2 * (size - 1))


def on_grid(values: Floats, shape: tuple[int, int]) -> Floats:
    """Series through `values`, float64 (..., n, n) at the nodes, on all pixels (..., *shape)."""
    count = values.shape[-1]
    nodes = np.cos(np.pi * (np.arange(count) + 0.5) / count)
    inverse = np.linalg.inv(chebyshev.chebvander(nodes, count - 1))
    series = inverse @ values @ inverse.T
    rows, cols = (chebyshev.chebvander(np.linspace(-1, 1, size), count - 1) for size in shape)
    return np.asarray((rows @ series) @ cols.T)


def fractal(
    shape: tuple[int, int],
    pixel_m: float,
    waves_m: tuple[float, float],
    generator: np.random.Generator,
    slope: float = 3.0,
) -> Singles:
    """Unit-variance random field with a power-law spectrum between two wavelengths.

    Parameters
    ----------
    shape : (rows, cols)
    pixel_m : float
        Pixel size.
    waves_m : (shortest, longest)
        Wavelengths outside fade out.
    generator : numpy.random.Generator
    slope : float
        Power falls with this power of the wave number; land surfaces have about 3
        (Turcotte 1987, J. Geophys. Res. 92).

    Returns
    -------
    float32, shape (rows, cols)
    """
    padded = [fft.next_fast_len(size, real=True) for size in shape]
    white = generator.standard_normal(padded, dtype="float32")
    spectrum = fft.rfft2(white)
    row = fft.fftfreq(padded[0], pixel_m).astype("float32")
    col = fft.rfftfreq(padded[1], pixel_m).astype("float32")
    number = np.sqrt(row[:, None] ** 2 + col[None, :] ** 2)
    number[0, 0] = np.inf
    low, high = np.float32(1 / waves_m[1]), np.float32(1 / waves_m[0])
    # Below the longest wave the spectrum is flat to nothing; past the shortest it is cut softly.
    weight = np.exp(-((number / high) ** 2) - (low / number) ** 2) * number ** (-slope / 2)
    weight[0, 0] = 0.0
    field = fft.irfft2(spectrum * weight, s=padded)[: shape[0], : shape[1]]
    field -= field.mean()
    return np.asarray(field / field.std(), dtype="float32")
