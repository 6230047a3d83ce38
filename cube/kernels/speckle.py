"""Speckle filters on linear power by name, and the boxcar, Lee and multi-temporal ones themselves.

NaN marks missing samples: they stay missing, and windows use what is there. Zero and negative power
is what noise removal leaves, and is valid. The samples of a window are added in a fixed order, for
all pixels of a row at once: a block with the filter's halo has the bits of the whole image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cube.kernels.compiled import compiled
from cube.kernels.lee_sigma import lee_sigma, sigma_range, target_window, z98
from cube.kernels.local_statistics import (
    TILE_LINES,
    TILE_SAMPLES,
    box_sums,
    estimate,
    fill_tile,
    odd_window,
    positive_looks,
)
from cube.kernels.multilook import as_image
from cube.kernels.refined_lee import REFINED_WINDOW, refined_lee

__all__ = [
    "FILTERS",
    "Filter",
    "boxcar",
    "halo",
    "lee",
    "lee_sigma",
    "quegan",
    "refined_lee",
    "z98",
]

Float32 = NDArray[np.float32]


@compiled
def _means(value, total, count, out):  # type: ignore[no-untyped-def]
    for j in range(len(out)):
        out[j] = np.float32(total[j] / count[j]) if value[j] == value[j] else np.float32(np.nan)


@compiled
def _estimates(value, total, squares, count, noise, out):  # type: ignore[no-untyped-def]
    for j in range(len(out)):
        found = estimate(np.float64(value[j]), total[j], squares[j], count[j], noise, 1.0)
        out[j] = found if value[j] == value[j] else np.nan


@compiled
def _local(image, window, noise, smooth):  # type: ignore[no-untyped-def]
    """Box means where `smooth`, else estimates from box statistics."""
    lines, samples = image.shape
    out = np.empty_like(image)
    half = window // 2
    wide = TILE_SAMPLES + 2 * half
    tile = np.empty((TILE_LINES + 2 * half, wide), np.float32)
    down = (np.empty(wide), np.empty(wide), np.empty(wide))
    total, squares, count = np.empty(TILE_SAMPLES), np.empty(TILE_SAMPLES), np.empty(TILE_SAMPLES)
    for left in range(0, samples, TILE_SAMPLES):
        stop = min(left + TILE_SAMPLES, samples)
        for top in range(0, lines, TILE_LINES):
            fill_tile(image, top, left, half, tile)
            for i in range(min(TILE_LINES, lines - top)):
                box_sums(tile, i, window, down, total, squares, count)
                value, row = tile[i + half, half:], out[top + i, left:stop]
                if smooth:
                    _means(value, total, count, row)
                else:
                    _estimates(value, total, squares, count, noise, row)
    return out


def boxcar(image: NDArray[np.floating], window: int = 7) -> Float32:
    """Mean of the valid samples of a square window, at every valid sample.

    Parameters
    ----------
    image : float, shape (y, x)
        Linear power; NaN marks missing. Computed as float32, summed as float64.
    window : int
        Side of the window in samples; odd. A block needs a halo of ``window // 2``.

    Returns
    -------
    float32, shape (y, x)
        NaN where the image is NaN; at the border the window is cut.

    Raises
    ------
    ValueError
        `image` is not an image, or the window has no centre.

    Examples
    --------
    >>> boxcar(np.array([[1.0, 2.0, np.nan, 6.0]]), 3)
    array([[1.5, 1.5, nan, 6. ]], dtype=float32)
    """
    result: Float32 = _local(as_image(image, "image"), odd_window(window), 1.0, True)
    return result


def lee(image: NDArray[np.floating], window: int = 7, looks: float = 1) -> Float32:
    """Filter of local statistics (Lee 1980): between the local mean and the sample itself.

    ``z + b (v - z)`` with the mean z and variance s (divided by n - 1) of the window's valid
    samples, noise e² = 1 / looks, and ``b = max(0, (s - z² e²) / (1 + e²)) / s``: the linear
    estimate of least mean square error under multiplicative noise.

    Parameters
    ----------
    image : float, shape (y, x)
        Linear power; NaN marks missing. Computed as float32, summed as float64.
    window : int
        Side of the window in samples; odd. A block needs a halo of ``window // 2``.
    looks : float
        Equivalent number of looks of the image.

    Returns
    -------
    float32, shape (y, x)
        NaN where the image is NaN.

    Raises
    ------
    ValueError
        `image` is not an image, the window has no centre, or `looks` is not above 0.

    References
    ----------
    Lee (1980), Digital image enhancement and noise filtering by use of local statistics,
    doi:10.1109/TPAMI.1980.4766994.

    Examples
    --------
    What varies less than speckle is averaged, what stands out is kept:

    >>> lee(np.array([[1.0, 2.0, 3.0]]), 3, looks=1)
    array([[1.5, 2. , 2.5]], dtype=float32)
    >>> lee(np.array([[1.0, 2.0, 3.0]]), 3, looks=1e9)
    array([[1., 2., 3.]], dtype=float32)
    """
    side, noise = odd_window(window), 1.0 / positive_looks(looks)
    result: Float32 = _local(as_image(image, "image"), side, noise, False)
    return result


@compiled
def _add_ratios(value, total, count, local, ratios, dates):  # type: ignore[no-untyped-def]
    """Local means of a row, and its part of the mean ratio over dates."""
    for j in range(len(local)):
        mean = total[j] / count[j] if value[j] == value[j] else np.nan
        local[j] = mean
        ratio = value[j] / mean
        ratios[j] += ratio if mean > 0.0 else 0.0
        dates[j] += 1.0 if mean > 0.0 else 0.0


@compiled
def _quegan(stack, window):  # type: ignore[no-untyped-def]
    times, lines, samples = stack.shape
    out = np.empty_like(stack)
    half = window // 2
    wide = TILE_SAMPLES + 2 * half
    tile = np.empty((TILE_LINES + 2 * half, wide), np.float32)
    down = (np.empty(wide), np.empty(wide), np.empty(wide))
    total, squares, count = np.empty(TILE_SAMPLES), np.empty(TILE_SAMPLES), np.empty(TILE_SAMPLES)
    ratios = np.empty((TILE_LINES, TILE_SAMPLES))
    dates = np.empty((TILE_LINES, TILE_SAMPLES))
    for left in range(0, samples, TILE_SAMPLES):
        stop = min(left + TILE_SAMPLES, samples)
        for top in range(0, lines, TILE_LINES):
            height = min(TILE_LINES, lines - top)
            ratios[:] = 0.0
            dates[:] = 0.0
            for time in range(times):
                fill_tile(stack[time], top, left, half, tile)
                for i in range(height):
                    box_sums(tile, i, window, down, total, squares, count)
                    value, local = tile[i + half, half:], out[time, top + i, left:stop]
                    _add_ratios(value, total, count, local, ratios[i], dates[i])
            for time in range(times):
                for i in range(height):
                    local = out[time, top + i, left:stop]
                    for j in range(len(local)):
                        local[j] *= ratios[i, j] / dates[i, j] if dates[i, j] > 0.0 else 1.0
    return out


def quegan(stack: NDArray[np.floating], window: int = 7) -> Float32:
    """Multi-temporal filter of uncorrelated images (Quegan and Yu 2001).

    ``J_k = E_k / N * sum_i(I_i / E_i)`` with the box mean E_i of date i and the N dates that are
    valid at the pixel: every date keeps its own local mean and takes its texture from all dates.

    Parameters
    ----------
    stack : float, shape (time, y, x)
        Linear power; NaN marks missing. Computed as float32, summed as float64.
    window : int
        Side of the window in samples; odd. A block needs a halo of ``window // 2`` in y and x, and
        all dates.

    Returns
    -------
    float32, shape (time, y, x)
        NaN where the date is NaN.

    Raises
    ------
    ValueError
        `stack` does not have three axes, or the window has no centre.

    Notes
    -----
    Dates whose local mean is not positive have no ratio and are left out of sum and N; where no
    date has one the result is the local mean. A ratio is at most ``window**2`` where no power is
    negative. Where noise removal left negative power a local mean can come close to zero and its
    ratio outweigh all dates: raise such power to a floor before.

    References
    ----------
    Quegan and Yu (2001), Filtering of multichannel SAR images, doi:10.1109/36.964973.

    Examples
    --------
    Where one date is bright, both become so, each around its own mean:

    >>> quegan(np.array([[[2.0, 2.0, 2.0]], [[1.0, 4.0, 1.0]]]), 3)
    array([[[1.4 , 3.  , 1.4 ]],
    <BLANKLINE>
           [[1.75, 3.  , 1.75]]], dtype=float32)
    """
    power = np.ascontiguousarray(stack, dtype=np.float32)
    if power.ndim != 3:
        raise ValueError(f"stack has shape {power.shape}; expected three axes (time, y, x)")
    result: Float32 = _quegan(power, odd_window(window))
    return result


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter as it is asked for by name.

    Attributes
    ----------
    apply : callable
        Takes (y, x), or (time, y, x) where `needs_time`, then options by name.
    defaults : tuple of (str, float)
        Options and what they are when they are not given.
    needs_z98 : bool
        `apply` takes the image's `z98` besides.
    needs_time : bool
    """

    apply: Callable[..., Float32]
    defaults: tuple[tuple[str, float], ...]
    needs_z98: bool = False
    needs_time: bool = False

    def options(self, given: Mapping[str, float]) -> dict[str, float]:
        """All options with the given ones in place of defaults.

        Raises
        ------
        ValueError
            An option is not known or its value not allowed.
        """
        found = dict(self.defaults)
        if unknown := sorted(set(given) - set(found)):
            raise ValueError(f"no option {', '.join(unknown)}; known are {', '.join(found)}")
        found |= given
        if "window" in found:
            odd_window(found["window"])
        if "target" in found:
            target_window(found["target"])
        if "sigma" in found:
            sigma_range(found["looks"], found["sigma"])
        elif "looks" in found:
            positive_looks(found["looks"])
        return found

    def halo(self, given: Mapping[str, float]) -> int:
        """Samples that the filter looks beyond each side of a block."""
        found = self.options(given)
        window, target = int(found.get("window", REFINED_WINDOW)), int(found.get("target", 1))
        return max(window // 2, 2 * (target // 2))


FILTERS = {
    "boxcar": Filter(boxcar, (("window", 7),)),
    "lee": Filter(lee, (("looks", 1), ("window", 7))),
    "refined-lee": Filter(refined_lee, (("looks", 1),)),
    "lee-sigma": Filter(
        lee_sigma, (("looks", 1), ("sigma", 0.9), ("target", 3), ("window", 7)), needs_z98=True
    ),
    "quegan": Filter(quegan, (("window", 7),), needs_time=True),
}
"""Every filter by its name."""


def halo(name: str, **options: float) -> int:
    """Samples that a filter looks beyond each side of a block.

    Raises
    ------
    ValueError
        No filter has that name, or an option is wrong.

    Examples
    --------
    >>> halo("lee-sigma"), halo("boxcar", window=31), halo("lee-sigma", window=5, target=5)
    (3, 15, 4)
    """
    if name not in FILTERS:
        raise ValueError(f"no speckle filter {name!r}; known are {', '.join(FILTERS)}")
    return FILTERS[name].halo(options)
