"""Bands in linear power as the channels that a network was trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cube.cards import Input, Normaliser
from cube.kernels.context import HALO, backscatter_context

__all__ = ["channels", "reach"]

Float32 = NDArray[np.float32]


def reach(normaliser: Normaliser) -> int:
    """Pixels around one that its channels depend on."""
    return HALO if normaliser.scale == "context" else 0


def channels(values: Float32, inputs: Sequence[Input], normaliser: Normaliser) -> Float32:
    """Channels of bands, band after band.

    Parameters
    ----------
    values : float32, shape (band, y, x)
        Linear power, NaN where missing.
    inputs : sequence of Input
        What each band is.
    normaliser : Normaliser

    Returns
    -------
    float32, shape (band * channels of one, y, x)
        Missing values are 0, the mean, or what the upper limit becomes.
    """
    many = normaliser.channels
    out = np.empty((len(inputs) * many, *values.shape[1:]), np.float32)
    for number, (band, one) in enumerate(zip(values, inputs, strict=True)):
        part = out[number * many : (number + 1) * many]
        low, high = normaliser.limits.get(one.band, (-np.inf, np.inf))
        if normaliser.scale == "context":
            part[:] = backscatter_context(band, low, high)
        elif normaliser.missing == "high" and np.isfinite(high):
            part[0] = np.clip(np.where(np.isnan(band), high, band), low, high)
        else:
            part[0] = np.clip(band, low, high)
        if normaliser.scale == "decibel":
            part[0] = 10 * np.log10(part[0])
        for channel, mean, deviation in zip(
            part, normaliser.mean[one.band], normaliser.deviation[one.band], strict=True
        ):
            channel -= np.float32(mean)
            channel *= np.float32(1 / deviation)
            np.nan_to_num(channel, copy=False, nan=0.0)
    return out
