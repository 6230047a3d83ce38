"""From zero-Doppler time and slant range to line and sample of a single-look image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cube.kernels.ellipsoid import SPEED_OF_LIGHT

__all__ = ["SlantRangeImage", "line_times", "to_slant_image"]


@dataclass(frozen=True, slots=True)
class SlantRangeImage:
    """Sampling of a slant range image, of bursts one after the other or all in one piece.

    Attributes
    ----------
    burst_start_s : float64, shape (bursts,)
        Time of the first line of each burst after the epoch of the orbit; one for stripmap.
    lines_per_burst : int
    line_step_s : float
    first_sample_s : float
        Two-way time of sample 0.
    sampling_rate_hz : float
    bistatic_reference_s : float
        Two-way time whose echo needs no bistatic correction (see `cube.kernels.groundrange`).
    shape : (lines, samples)
    """

    burst_start_s: NDArray[np.float64]
    lines_per_burst: int
    line_step_s: float
    first_sample_s: float
    sampling_rate_hz: float
    bistatic_reference_s: float
    shape: tuple[int, int]


def line_times(
    image: SlantRangeImage, line: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Burst that holds each line of the image, and the line's time in seconds."""
    burst = np.clip(line // image.lines_per_burst, 0, len(image.burst_start_s) - 1).astype("intp")
    within = line - burst * image.lines_per_burst
    return burst, image.burst_start_s[burst] + within * image.line_step_s


def to_slant_image(
    image: SlantRangeImage,
    burst: NDArray[np.intp],
    time: NDArray[np.float64],
    slant: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Line of the image and sample of points as given bursts see them.

    Parameters
    ----------
    image : SlantRangeImage
    burst : int, shape (...)
        Bursts overlap: which one is meant.
    time : float64, shape (...)
        Zero-Doppler time, seconds after the epoch.
    slant : float64, shape (...)
        Metres.

    Returns
    -------
    line, sample : float64, shape (...)
    """
    delay = 2 * slant / SPEED_OF_LIGHT
    shown = time - (delay - image.bistatic_reference_s) / 2
    line = burst * image.lines_per_burst + (shown - image.burst_start_s[burst]) / image.line_step_s
    return line, (delay - image.first_sample_s) * image.sampling_rate_hz
