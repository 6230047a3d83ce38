"""Interpolation weights of a sampled signal whose spectrum is known, by least squares.

A sinc cut off at a few samples, or divided by its sum, is wrong for a signal that fills less than
its sampling rate: power goes up by half a decibel and ripples with the fraction. Weights that make
the mean squared error least for the spectrum there is do neither (Oppenheim & Schafer, Discrete-
Time Signal Processing, ch. 7; for SAR: Hanssen & Bamler 1999, IEEE Trans. Geosci. Remote Sens. 37).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["FRACTIONS", "TAPS", "least_squares_taps"]

TAPS = 8
"""Samples that a value is interpolated from: four on either side."""
FRACTIONS = 1024
"""Steps between two samples for which there are weights."""
_NOISE = 1e-4  # share of power outside the spectrum: without it weights would grow for a better fit
_FREQUENCIES = 2001


@lru_cache(maxsize=64)
def least_squares_taps(bandwidth: float, window: float) -> NDArray[np.float32]:
    """Weights of the nearest `TAPS` samples at every fraction between two.

    Parameters
    ----------
    bandwidth : float
        Width of the spectrum over the sampling rate, above 0 and below 1
        (``processingBandwidth`` of Sentinel-1 Product Specification, S1-RS-MDA-52-7441).
    window : float
        Coefficient w of the generalised Hamming window ``w + (1 - w) cos(2 pi f / bandwidth)`` that
        the spectrum was weighted with (``windowCoefficient``), 0.5 to 1.

    Returns
    -------
    float32, shape (FRACTIONS + 1, TAPS)
        Row i holds the weights for the place i / FRACTIONS past the fourth sample.

    Raises
    ------
    ValueError
        A bandwidth or a coefficient outside these ranges.

    Examples
    --------
    >>> (least_squares_taps(0.7, 0.7)[512] * 1000).round().astype(int).tolist()
    [-16, 59, -164, 619, 619, -164, 59, -16]
    """
    if not 0 < bandwidth < 1:
        raise ValueError(
            f"bandwidth of {bandwidth:g} sampling rates; give more than 0, less than 1"
        )
    if not 0.5 <= window <= 1:
        raise ValueError(f"window coefficient {window:g}; give 0.5 to 1")
    frequency = np.linspace(-bandwidth / 2, bandwidth / 2, _FREQUENCIES)
    power = (window + (1 - window) * np.cos(2 * np.pi * frequency / bandwidth)) ** 2
    power /= power.sum()
    at = np.arange(TAPS) - (TAPS // 2 - 1)
    lags = at[:, None] - at
    between = np.tensordot(power, np.cos(2 * np.pi * frequency[:, None, None] * lags), 1)
    place = np.arange(FRACTIONS + 1) / FRACTIONS
    wanted = np.stack([power @ np.cos(2 * np.pi * np.outer(frequency, place - one)) for one in at])
    weights = np.linalg.solve(between + _NOISE * np.eye(TAPS), wanted)
    return np.ascontiguousarray(weights.T, "float32")
