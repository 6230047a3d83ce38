"""What a network sees of backscatter: a pixel, the mean around it, and how uneven that is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cube.kernels.compiled import compiled

__all__ = ["CHANNELS", "HALO", "backscatter_context"]

Float32 = NDArray[np.float32]

CHANNELS = 3
"""Channels of one band."""
HALO = 3
"""Samples that the surroundings reach beyond a pixel: boxes are 7 by 7."""
LEAST_CV = 0.02
"""Coefficients of variation are kept above it before the logarithm: 2500 looks."""


@compiled
def _columns(  # type: ignore[no-untyped-def]
    power: Float32, first: int, stop: int, total, square, number
) -> None:
    total[:] = 0
    square[:] = 0
    number[:] = 0
    width = power.shape[1]
    for line in range(first, stop):
        for sample in range(width):
            value = power[line, sample]
            valid = value == value
            kept = value if valid else np.float32(0)
            total[sample + HALO] += kept
            square[sample + HALO] += kept * kept
            number[sample + HALO] += np.float32(1) if valid else np.float32(0)


@compiled
def _boxes(sums: Float32, out: Float32) -> None:
    """Sums of seven neighbours, formed anew for each: the same bits in any block."""
    for sample in range(out.size):
        total = sums[sample]
        for step in range(1, 2 * HALO + 1):
            total += sums[sample + step]
        out[sample] = total


@compiled
def _context(power: Float32, low: float, high: float, out: Float32) -> None:
    lines, samples = power.shape
    columns = np.zeros((3, samples + 2 * HALO), np.float32)
    boxes = np.zeros((3, samples), np.float32)
    least, most = np.float32(low), np.float32(high)
    for line in range(lines):
        first, stop = max(line - HALO, 0), min(line + HALO + 1, lines)
        _columns(power, first, stop, columns[0], columns[1], columns[2])
        for part in range(3):
            _boxes(columns[part], boxes[part])
        for sample in range(samples):
            value = power[line, sample]
            if value != value:
                for channel in range(CHANNELS):
                    out[channel, line, sample] = np.nan
                continue
            number = boxes[2, sample]
            mean = boxes[0, sample] / number
            spread = boxes[1, sample] / number - mean * mean
            variation = np.sqrt(max(spread, np.float32(0))) / max(mean, least)
            kept = min(max(value, least), most)
            around = min(max(mean, least), most)
            out[0, line, sample] = np.float32(10) * np.log10(kept)
            out[1, line, sample] = np.float32(10) * np.log10(around)
            out[2, line, sample] = np.log(max(variation, np.float32(LEAST_CV)))


def backscatter_context(power: NDArray[Any], low: float, high: float) -> Float32:
    """Decibels of each sample and of the mean around it, and how uneven the surroundings are.

    The mean is one of linear power. Where samples are missing it is that of the others.

    Parameters
    ----------
    power : float, shape (y, x)
        Linear power; NaN marks missing.
    low, high : float
        Power is kept between them before the logarithm.

    Returns
    -------
    float32, shape (3, y, x)
        Decibels; decibels of the mean of 7 by 7 samples; natural logarithm of their coefficient of
        variation, not below ``LEAST_CV``. NaN where the sample is. With a halo of ``HALO`` samples
        a block gives the bits of the whole image.

    Raises
    ------
    ValueError
        `power` is not an image, or the limits are not positive and ascending.

    Examples
    --------
    >>> backscatter_context(np.full((1, 2), 0.1), 1e-5, 1e2).round(2)[:2, 0, 0]
    array([-10., -10.], dtype=float32)
    """
    image = np.ascontiguousarray(power, dtype=np.float32)
    if image.ndim != 2:
        raise ValueError(f"power has shape {image.shape}; expected two axes (y, x)")
    if not 0 < low < high:
        raise ValueError(f"limits {low:g} and {high:g}; give positive, ascending ones")
    out = np.empty((CHANNELS, *image.shape), np.float32)
    _context(image, low, high, out)
    return out
