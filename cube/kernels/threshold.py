"""What a histogram holds: a threshold, two modes, or shares of known densities.

Histograms are counts over equal bins, darkest first; a threshold is the value halfway between the
last dark bin and the first bright one. Nothing here knows what the values mean.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter

__all__ = [
    "Modes",
    "best_threshold",
    "fit_shares",
    "kittler_illingworth",
    "modes",
    "otsu",
    "separate",
    "tiled_threshold",
]

Float64 = NDArray[np.float64]

ASHMAN = 2.0
"""Least separation of two modes, in their common spread (Ashman et al. 1994; Chini et al. 2017)."""

SMALLER_SHARE = 0.1
"""Least share of the smaller mode for its histogram to be trusted (Chini et al. 2017)."""

BHATTACHARYYA = 0.98
"""Least agreement of a histogram with its two fitted modes. Chini et al. (2017) ask 0.99; one
hundredth is left for land of more than one cover."""

ROUNDS = 60
"""Iterations of a fit: moments are settled to a few per cent, all that a test for modes needs."""


class Modes(NamedTuple):
    """Two normal modes fitted to each histogram, dark one first; all float64, shape (…)."""

    share: Float64
    """Share of the dark mode, 0..1."""
    dark: Float64
    bright: Float64
    dark_spread: Float64
    bright_spread: Float64
    ashman: Float64
    """Separation D of the two modes; NaN where nothing could be fitted."""
    agreement: Float64
    """Bhattacharyya coefficient of histogram and fit; what counting alone takes from it, (occupied
    bins) / (8 counts), is given back."""


def _checked(histogram: ArrayLike, centres: ArrayLike) -> tuple[Float64, Float64]:
    counts = np.asarray(histogram, dtype=np.float64)
    values = np.asarray(centres, dtype=np.float64)
    if values.ndim != 1 or values.size < 2 or counts.shape[-1:] != values.shape:
        raise ValueError(
            f"histogram of shape {counts.shape} over centres of shape {values.shape};"
            " the last axis must hold one count for each of at least two centres"
        )
    if not np.all(counts >= 0):
        raise ValueError("histogram has negative or NaN counts")
    return counts, values


def _splits(counts: Float64, values: Float64) -> tuple[Float64, Float64, Float64, Float64]:
    """Share and sums of value and squared value below each inner edge; and the edges."""
    share = counts / max(counts.sum(), 1.0)
    below = np.cumsum(share)[:-1]
    first = np.cumsum(share * values)[:-1]
    second = np.cumsum(share * values**2)[:-1]
    return below, first, second, (values[:-1] + values[1:]) / 2


def _middle(score: Float64, edges: Float64) -> float:
    """Edge of the largest score; the middle one where an empty gap scores alike."""
    if not np.any(np.isfinite(score)):
        return float("nan")
    top = np.nanmax(score)
    ties = np.flatnonzero(score >= top - 1e-12 * abs(top))
    return float((edges[ties[0]] + edges[ties[-1]]) / 2)


def otsu(histogram: ArrayLike, centres: ArrayLike) -> float:
    """Threshold of the largest variance between two classes (Otsu 1979, eq. 18).

    Parameters
    ----------
    histogram : shape (bin,)
        Counts.
    centres : shape (bin,)
        Value at the centre of each bin, ascending.

    Returns
    -------
    float
        In the unit of `centres`; NaN where fewer than two bins are occupied.

    Raises
    ------
    ValueError
        The shapes do not fit, or a count is negative.

    Examples
    --------
    >>> otsu([5, 5, 0, 0, 5, 5], [0, 1, 2, 3, 4, 5])
    2.5
    """
    counts, values = _checked(histogram, centres)
    below, first, _, edges = _splits(counts, values)
    mean = float((counts * values).sum() / max(counts.sum(), 1.0))
    spread = below * (1 - below)
    usable = spread > 1e-12
    between = np.full(edges.shape, np.nan)
    between[usable] = (mean * below[usable] - first[usable]) ** 2 / spread[usable]
    return _middle(between, edges)


def kittler_illingworth(histogram: ArrayLike, centres: ArrayLike) -> float:
    """Threshold of least error between two normal classes (Kittler & Illingworth 1986, eq. 15).

    Parameters and errors as `otsu`.

    Returns
    -------
    float
        NaN where the criterion has no inner minimum: the histogram has one mode.

    Examples
    --------
    >>> kittler_illingworth([1, 4, 1, 0, 0, 2, 8, 2], range(8))
    3.5
    """
    counts, values = _checked(histogram, centres)
    below, first, second, edges = _splits(counts, values)
    total = counts / max(counts.sum(), 1.0)
    above = 1 - below
    usable = (below > 1e-9) & (above > 1e-9)
    step = float(values[1] - values[0])
    criterion = np.full(edges.shape, np.inf)
    lower, upper = below[usable], above[usable]
    mean, square = float((total * values).sum()), float((total * values**2).sum())
    # Sheppard: a bin spreads what it holds, so no class is narrower than one bin.
    grain = step**2 / 12
    dark = second[usable] / lower - (first[usable] / lower) ** 2 + grain
    bright = (square - second[usable]) / upper - ((mean - first[usable]) / upper) ** 2 + grain
    criterion[usable] = (
        1
        + lower * np.log(np.maximum(dark, grain))
        + upper * np.log(np.maximum(bright, grain))
        - 2 * (lower * np.log(lower) + upper * np.log(upper))
    )
    best = int(np.argmin(criterion))
    finite = np.flatnonzero(np.isfinite(criterion))
    if finite.size == 0 or best in (finite[0], finite[-1]):
        return float("nan")
    return _middle(-criterion, edges)


def modes(histograms: ArrayLike, centres: ArrayLike, least_spread: float = 0.0) -> Modes:
    """Fit two normal modes to each histogram by expectation and maximisation, from Otsu's split.

    Splitting at a threshold and taking moments would cut the tails and make any single mode look
    like two narrow ones; a fit of the mixture does not.

    Parameters
    ----------
    histograms : shape (…, bin)
        Counts of one or more histograms.
    centres : shape (bin,)
        Value at the centre of each bin, ascending.
    least_spread : float
        What one surface varies by anyhow, in the unit of `centres`: modes narrower than this are
        not told apart for being narrow. Enters `Modes.ashman` only.

    Returns
    -------
    Modes
        Fields of shape (…).

    Raises
    ------
    ValueError
        The shapes do not fit, or a count is negative.
    """
    counts, values = _checked(histograms, centres)
    flat = counts.reshape(-1, values.size)
    share = flat / np.maximum(flat.sum(axis=1, keepdims=True), 1)
    cut = np.array([otsu(row, values) for row in flat])[:, None]
    dark = np.where(values < cut, 1.0, 0.0)  # responsibility of the dark mode; NaN cut: none
    grain = float(values[1] - values[0]) ** 2 / 12
    tiny = 1e-12
    for _ in range(ROUNDS):
        weight = np.stack([share * dark, share * (1 - dark)])
        mass = np.maximum(weight.sum(axis=2), tiny)
        mean = (weight * values).sum(axis=2) / mass
        offset = values - mean[..., None]
        spread = np.sqrt((weight * offset**2).sum(axis=2) / mass + grain)
        density = mass[..., None] / spread[..., None]
        density = density * np.exp(-0.5 * (offset / spread[..., None]) ** 2)
        dark = density[0] / np.maximum(density.sum(axis=0), 1e-300)
    fit = density.sum(axis=0)
    fit = fit / np.maximum(fit.sum(axis=1, keepdims=True), 1e-300)
    common = np.maximum(spread, max(least_spread, 1e-9))
    separation = np.sqrt(2.0) * (mean[1] - mean[0]) / np.hypot(common[0], common[1])
    separation = np.where(np.isnan(cut[:, 0]), np.nan, separation)
    shape = counts.shape[:-1]
    chance = (flat > 0).sum(axis=1) / np.maximum(8 * flat.sum(axis=1), 1)
    agreement = np.sqrt(share * fit).sum(axis=1) + chance
    fields = (mass[0], *mean, *spread, separation, agreement)
    return Modes(*(np.asarray(field).reshape(shape) for field in fields))


def separate(fitted: Modes) -> NDArray[np.bool_]:
    """Which fits are of two separate modes.

    Ashman's D exceeds 2 (two equal normal modes then show a valley), the smaller holds a tenth,
    and the pair explains its histogram: the three conditions of Chini et al. (2017, III-A).
    Martinis et al. (2009) choose tiles for the same purpose by their mean and spread alone.

    Returns
    -------
    bool, shape (…)

    Examples
    --------
    >>> tiles = [[0, 9, 99, 9, 0, 0, 0, 9, 99, 9], [1, 3, 9, 27, 60, 60, 27, 9, 3, 1]]
    >>> separate(modes(tiles, range(10)))
    array([ True, False])
    """
    smaller = np.minimum(fitted.share, 1 - fitted.share)
    found = (
        (fitted.ashman > ASHMAN) & (smaller >= SMALLER_SHARE) & (fitted.agreement > BHATTACHARYYA)
    )
    return np.asarray(found, dtype=np.bool_)


def tiled_threshold(
    tiles: ArrayLike, centres: ArrayLike, least_spread: float = 0.0
) -> tuple[float, float, float]:
    """Threshold of the tiles that hold two separate modes (after Martinis et al. 2009, 2015).

    Parameters
    ----------
    tiles : shape (tile, bin)
        Counts.
    centres : shape (bin,)
        Value at the centre of each bin, ascending.
    least_spread : float
        As in `modes`.

    Returns
    -------
    threshold : float
        Median of the Kittler-Illingworth thresholds of these tiles; NaN when there is none.
    slope : float
        Log-odds of the dark mode per unit: two normal modes of one spread s and distance d give
        -d / s^2.
    ashman : float
        Separation of the two modes of all these tiles together.

    Raises
    ------
    ValueError
        The shapes do not fit, or a count is negative.
    """
    counts, values = _checked(tiles, centres)
    chosen = counts[separate(modes(counts, values, least_spread))]
    cuts = np.array([kittler_illingworth(row, values) for row in chosen])
    cuts = cuts[~np.isnan(cuts)]
    if cuts.size == 0:
        return float("nan"), float("nan"), float("nan")
    fitted = modes(chosen.sum(axis=0), values, least_spread)
    variance = float(fitted.dark_spread**2 + fitted.bright_spread**2) / 2
    slope = -float(fitted.bright - fitted.dark) / variance
    return float(np.median(cuts)), slope, float(fitted.ashman)


def fit_shares(
    histogram: ArrayLike, densities: Float64, prior: Float64, confidence: float
) -> tuple[Float64, float]:
    """Shares of known densities in a histogram, and what they leave unexplained.

    Expectation and maximisation of the shares alone. With densities held fixed the likelihood is
    concave: one optimum, whatever the start.

    Parameters
    ----------
    histogram : shape (…)
        Counts; at least one.
    densities : float64, shape (density, …)
        Probability of each bin.
    prior : float64, shape (density,)
        Usual shares; they sum to one.
    confidence : float
        Weight of `prior` (Dirichlet) against a weight of one of the histogram.

    Returns
    -------
    shares : float64, shape (density,)
    misfit : float
        Kullback-Leibler divergence of the histogram from its fit, nats, both blurred by four bins:
        data may well be more uniform than what is known of them.

    Examples
    --------
    >>> fit_shares([9, 1], np.eye(2), np.array([0.5, 0.5]), 0.0)[0]
    array([0.9, 0.1])
    """
    counts = np.asarray(histogram, dtype=np.float64)
    seen = (counts / counts.sum()).ravel()
    density = densities.reshape(len(prior), -1)
    share = np.asarray(prior, dtype=np.float64)
    for _ in range(500):
        before = share
        joint = share[:, None] * density
        fresh = (seen / np.maximum(joint.sum(axis=0), 1e-300) * joint).sum(axis=1)
        share = (fresh / max(float(fresh.sum()), 1e-300) + confidence * prior) / (1 + confidence)
        if float(np.abs(share - before).max()) < 1e-6:
            break
    fit = np.maximum(share @ density, 1e-300).reshape(counts.shape)
    pair = [gaussian_filter(grid, 4, mode="nearest") for grid in (seen.reshape(fit.shape), fit)]
    first, second = (np.maximum(grid, 1e-300) for grid in pair)
    second = second / second.sum()
    return share, float((first * np.log(first / second)).sum())


def best_threshold(values: ArrayLike, labels: ArrayLike) -> tuple[float, float]:
    """Find the threshold that a label-seeing judge would take, and its IoU with the label.

    A diagnosis, never a method: no rule of one threshold can do better on these values.

    Parameters
    ----------
    values : float, shape (…)
        NaN marks missing.
    labels : bool, shape (…)
        Where the low class really is.

    Returns
    -------
    threshold, iou : float
        Values at or below the threshold are taken; NaN both when no valid sample is labelled.

    Raises
    ------
    ValueError
        The shapes differ.

    Examples
    --------
    >>> best_threshold([-25.0, -24.0, -12.0, -23.0], [True, True, False, False])
    (-24.0, 1.0)
    """
    data, truth = np.asarray(values, dtype=np.float64), np.asarray(labels, dtype=bool)
    if data.shape != truth.shape:
        raise ValueError(f"values of shape {data.shape}, labels of shape {truth.shape}")
    data, truth = data[~np.isnan(data)], truth[~np.isnan(data)]
    total = int(truth.sum())
    if total == 0:
        return float("nan"), float("nan")
    order = np.argsort(data, kind="stable")
    hits = np.cumsum(truth[order])
    taken = np.arange(1, data.size + 1)
    score = hits / (total + taken - hits)
    last = np.append(np.diff(data[order]) > 0, True)  # equal values cannot be told apart
    best = int(np.argmax(np.where(last, score, -1.0)))
    return float(data[order][best]), float(score[best])
