"""Improved sigma filter (Lee et al. 2009): SNAP's "Lee Sigma", made free of tiles and of order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cube.kernels.compiled import compiled
from cube.kernels.local_statistics import (
    TILE_LINES,
    TILE_SAMPLES,
    estimate,
    fill_tile,
    odd_window,
)
from cube.kernels.multilook import as_image

__all__ = ["SIGMA_RANGES", "lee_sigma", "z98"]

SIGMA_RANGES: dict[tuple[float, float], tuple[float, float, float]] = {
    (1, 0.5): (0.436, 1.920, 0.4057),
    (1, 0.6): (0.343, 2.210, 0.4954),
    (1, 0.7): (0.254, 2.582, 0.5911),
    (1, 0.8): (0.168, 3.094, 0.6966),
    (1, 0.9): (0.084, 3.941, 0.8191),
    (2, 0.5): (0.582, 1.584, 0.2763),
    (2, 0.6): (0.501, 1.755, 0.3388),
    (2, 0.7): (0.418, 1.972, 0.4062),
    (2, 0.8): (0.327, 2.260, 0.4810),
    (2, 0.9): (0.221, 2.744, 0.5699),
    (3, 0.5): (0.652, 1.458, 0.2222),
    (3, 0.6): (0.580, 1.586, 0.2736),
    (3, 0.7): (0.505, 1.751, 0.3280),
    (3, 0.8): (0.419, 1.965, 0.3892),
    (3, 0.9): (0.313, 2.320, 0.4624),
    (4, 0.5): (0.694, 1.385, 0.1921),
    (4, 0.6): (0.630, 1.495, 0.2348),
    (4, 0.7): (0.560, 1.627, 0.2825),
    (4, 0.8): (0.480, 1.804, 0.3354),
    (4, 0.9): (0.378, 2.094, 0.3991),
}
"""(looks, sigma) -> (lower, upper, spread) for intensity, as Lee et al. (2009) tabulate them.

The range around a mean of 1 that holds a share `sigma` of gamma-distributed speckle and whose own
mean is 1, and the standard deviation within it.
"""

POINT_TARGET = 5
"""A bright sample with more than this many in the target window is the centre of a point target."""

Float32 = NDArray[np.float32]


def sigma_range(looks: float, sigma: float) -> tuple[float, float, float]:
    """Entry of `SIGMA_RANGES`.

    Raises
    ------
    ValueError
        There is none for these looks and this sigma.
    """
    found = SIGMA_RANGES.get((looks, sigma))
    if found is None:
        known = [
            ", ".join(f"{one:g}" for one in sorted(set(axis)))
            for axis in zip(*SIGMA_RANGES, strict=True)
        ]
        raise ValueError(
            f"no sigma range for {looks:g} looks and sigma {sigma:g};"
            f" known are looks {known[0]} with sigma {known[1]}"
        )
    return found


def target_window(target: float) -> int:
    """Side of the window in which point targets are looked for.

    Raises
    ------
    ValueError
        It is neither 3 nor 5.
    """
    if target not in (3, 5):
        raise ValueError(f"target window of {target:g} samples; give 3 or 5")
    return int(target)


@compiled
def _add_within(row, size, low, high, total, squares, count):  # type: ignore[no-untyped-def]
    """Add the `size` samples from each column on that lie within the column's range; not NaN."""
    zero = np.float32(0)
    for j in range(len(total)):
        lower, upper = low[j], high[j]
        s, q, n = total[j], squares[j], count[j]
        for k in range(size):
            value = row[j + k]
            inside = np.float32((value >= lower) & (value <= upper))
            taken = value if inside > zero else zero
            s += taken
            q += taken * taken
            n += inside
        total[j], squares[j], count[j] = s, q, n


@compiled
def _gather(tile, line, first, size, low, high, total, squares, count):  # type: ignore[no-untyped-def]
    """Sums over windows of `size` lines and columns that begin at (line, first + column)."""
    total[:] = 0
    squares[:] = 0
    count[:] = 0
    for k in range(line, line + size):
        row = tile[k, first:]
        # a size known to the compiler keeps the sums in registers; the order is the same
        if size == 7:
            _add_within(row, 7, low, high, total, squares, count)
        elif size == 5:
            _add_within(row, 5, low, high, total, squares, count)
        elif size == 3:
            _add_within(row, 3, low, high, total, squares, count)
        else:
            for shift in range(size):
                _add_within(row[shift:], 1, low, high, total, squares, count)


@compiled
def _mark_targets(tile, limit, reach, margin, bright, centre, marked):  # type: ignore[no-untyped-def]
    """Mark the point targets of a tile: bright, and beside or at the centre of a cluster."""
    skip, size = margin - 2 * reach, 2 * reach + 1
    found = 0
    for i in range(bright.shape[0]):
        for j in range(bright.shape[1]):
            bright[i, j] = tile[i + skip, j + skip] > limit
            found += bright[i, j]
    marked[:] = 0
    if found <= POINT_TARGET:
        return
    centre[:] = 0
    for i in range(centre.shape[0]):
        row = centre[i]
        for k in range(size * size):
            near = bright[i + k // size, k % size :]
            for j in range(len(row)):
                row[j] += near[j]
        here = bright[i + reach, reach:]
        for j in range(len(row)):
            row[j] = (row[j] > POINT_TARGET) & (here[j] > 0)
    for i in range(marked.shape[0]):
        row = marked[i]
        for k in range(size * size):
            near = centre[i + k // size, k % size :]
            for j in range(len(row)):
                row[j] |= near[j]
        here = bright[i + 2 * reach, 2 * reach :]
        for j in range(len(row)):
            row[j] &= here[j]


@compiled
def _prior_range(value, noise, bounds, low, high, total, squares, count):  # type: ignore[no-untyped-def]
    """Turn sums over target windows into the ranges that speckle explains."""
    lower, upper = bounds
    one = np.float32(1)
    for j in range(len(total)):
        mean = estimate(value[j], total[j], squares[j], count[j], noise, one)
        low[j] = lower * mean
        high[j] = upper * mean


@compiled
def _finish(value, marked, noise, total, squares, count, out):  # type: ignore[no-untyped-def]
    """Estimate a row from the samples within range; targets and lonely samples are kept."""
    one, zero = np.float32(1), np.float32(0)
    for j in range(len(out)):
        found = estimate(value[j], total[j], squares[j], count[j], noise, one)
        out[j] = value[j] if (marked[j] > 0) | (count[j] == zero) else found


@compiled
def _filter(image, limit, window, target, noises, bounds):  # type: ignore[no-untyped-def]
    lines, samples = image.shape
    out = np.empty_like(image)
    half, reach = window // 2, target // 2
    margin = max(half, 2 * reach)
    tile = np.empty((TILE_LINES + 2 * margin, TILE_SAMPLES + 2 * margin), np.float32)
    bright = np.empty((TILE_LINES + 4 * reach, TILE_SAMPLES + 4 * reach), np.uint8)
    centre = np.empty((TILE_LINES + 2 * reach, TILE_SAMPLES + 2 * reach), np.uint8)
    marked = np.empty((TILE_LINES, TILE_SAMPLES), np.uint8)
    low, high = np.empty(TILE_SAMPLES, np.float32), np.empty(TILE_SAMPLES, np.float32)
    total, squares = np.empty(TILE_SAMPLES, np.float32), np.empty(TILE_SAMPLES, np.float32)
    count = np.empty(TILE_SAMPLES, np.float32)
    for left in range(0, samples, TILE_SAMPLES):
        stop = min(left + TILE_SAMPLES, samples)
        for top in range(0, lines, TILE_LINES):
            fill_tile(image, top, left, margin, tile)
            _mark_targets(tile, limit, reach, margin, bright, centre, marked)
            for i in range(min(TILE_LINES, lines - top)):
                value = tile[i + margin, margin:]
                low[:] = -np.inf
                high[:] = np.inf
                at = margin - reach
                _gather(tile, i + at, at, target, low, high, total, squares, count)
                _prior_range(value, noises[0], bounds, low, high, total, squares, count)
                at = margin - half
                _gather(tile, i + at, at, window, low, high, total, squares, count)
                row = out[top + i, left:stop]
                _finish(value, marked[i], noises[1], total, squares, count, row)
    return out


def lee_sigma(
    image: NDArray[np.floating],
    z98: float,
    *,
    looks: float = 1,
    sigma: float = 0.9,
    window: int = 7,
    target: int = 3,
) -> Float32:
    """Improved sigma filter: mean of the samples that speckle explains, point targets untouched.

    Per pixel v: (1) a point target is kept. A sample above `z98` with more than five such samples
    in the target window around it is a centre, and every sample above `z98` in the target window
    around a centre is a target. (2) The prior mean m is the estimate from the target window with
    the noise of `looks`. (3) The samples of the window within [I1 m, I2 m] make the result, with
    the spread of that range as the noise; where there is none, v is kept. An estimate from samples
    of mean z and variance s (divided by n - 1) is z + b (v - z), b = max(0, (s - z² e²) / (1 + e²))
    / s, with e² = 1 / looks in (2) and the square of the table's spread in (3).

    It differs from SNAP in three ways, so that no value depends on tiles or on their order. SNAP
    takes the percentile of each tile with its zeros; here one is given for the image. SNAP marks
    targets while it goes and does not test what is marked; this set holds SNAP's. And where the
    window leaves SNAP's tile it takes the plain estimate of (2) from the whole window; here windows
    use what is there.

    Parameters
    ----------
    image : float, shape (y, x)
        Linear power (intensity); NaN marks missing, zero and negative values are valid. Computed
        as float32.
    z98 : float
        98th percentile of the image's power, see the function `z98`; NaN marks no targets.
    looks, sigma : float
        A key of `SIGMA_RANGES`.
    window, target : int
        Sides of the filter's window, odd, and of the target window, 3 or 5. A block needs a halo of
        ``max(window // 2, 2 * (target // 2))``.

    Returns
    -------
    float32, shape (y, x)
        NaN where the image is NaN. Where the prior mean is not positive the range is empty, or
        holds zeros alone, and the sample is kept.

    Raises
    ------
    ValueError
        `image` is not an image, there is no range for `looks` and `sigma`, or a window has no
        centre.

    References
    ----------
    Lee et al. (2009), Improved sigma filter for speckle filtering of SAR imagery,
    doi:10.1109/TGRS.2008.2002881.

    Examples
    --------
    Six bright samples in a block are a point target:

    >>> image = np.ones((7, 7))
    >>> image[2:4, 2:5] = 100.0
    >>> lee_sigma(image, 50.0)[2]
    array([  1.,   1., 100., 100., 100.,   1.,   1.], dtype=float32)
    """
    lower, upper, spread = map(np.float32, sigma_range(looks, sigma))
    sides = odd_window(window), target_window(target)
    noises = np.float32(1 / looks), spread * spread
    power = as_image(image, "image")
    result: Float32 = _filter(power, np.float32(z98), *sides, noises, (lower, upper))
    return result


def z98(values: NDArray[np.floating]) -> float:
    """98th percentile as SNAP takes it: the sorted value at index ``int(0.98 n) - 1``.

    Parameters
    ----------
    values : float, any shape
        Linear power; NaN is left out of the n values.

    Returns
    -------
    float
        NaN where there are none; the smallest where there are too few for an index.

    Examples
    --------
    >>> z98(np.append(np.arange(100.0), np.nan))
    97.0
    """
    flat = np.asarray(values).ravel()
    valid = flat[~np.isnan(flat)]
    if valid.size == 0:
        return float("nan")
    rank = max(int(0.98 * valid.size) - 1, 0)
    valid.partition(rank)
    return float(valid[rank])
