"""What coherence says of flood: water has none, and ground keeps about what it had.

Two hypotheses are weighed by the density of the coherence estimate (Touzi et al. 1999, IEEE Trans.
Geosci. Remote Sens. 37, eq. 8): water now, whose true coherence is 0; or ground as before, whose
true coherence is that of the pairs before the event, give or take what baselines, soil and plants
change.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import hyp2f1

from cube.kernels.coherence_statistics import unbiased
from cube.kernels.compiled import compiled

__all__ = ["MOST_ERROR", "SPREAD", "flood_evidence", "magnitude_density"]

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

SPREAD = 0.1
"""Standard deviation of true coherence from pair to pair of one track on ground that stays.

An assumption: a cube with several pairs before the event can tell its own."""
MOST_ERROR = 0.2
"""Share of wrong decisions, at even odds, above which a pixel cannot tell."""
_NODES = 129


def magnitude_density(magnitude: Float64, truth: float, looks: float) -> Float64:
    """Density of the magnitude of a coherence estimate.

    Parameters
    ----------
    magnitude : float, shape (n,)
        0 to 1.
    truth : float
        0 to below 1.
    looks : float
        Independent samples, above 1.

    Returns
    -------
    float64, shape (n,)

    Examples
    --------
    >>> r = np.linspace(0, 1, 2001)
    >>> round(float(np.trapezoid(magnitude_density(r, 0.4, 12.0), r)), 6)
    1.0
    """
    r = np.minimum(np.asarray(magnitude, np.float64), 1 - 1e-12)
    lost, rest = 1 - truth**2, 1 - r**2
    powers = (
        looks * np.log(lost)
        + (looks - 2) * np.log(rest)
        + (1 - 2 * looks) * np.log(1 - (truth * r) ** 2)
    )
    # Euler's transformation: what is left of the series is a polynomial for whole looks
    series = hyp2f1(1 - looks, 1 - looks, 1, (truth * r) ** 2)
    return np.asarray(2 * (looks - 1) * r * np.exp(powers) * series)


@lru_cache(maxsize=8)
def _table(looks: float, prior: float, spread: float, most_error: float) -> Float32:
    """Probability of water by (true coherence before, magnitude now); NaN where it cannot tell."""
    now = np.linspace(0, 1, _NODES)
    points, weights = np.polynomial.hermite_e.hermegauss(9)
    weights = weights / weights.sum()
    wet = magnitude_density(now, 0.0, looks)
    out = np.empty((_NODES, _NODES), np.float32)
    for row, before in enumerate(np.linspace(0, 1, _NODES)):
        dry = np.zeros(_NODES)
        for point, weight in zip(points, weights, strict=True):
            truth = float(np.clip(before + spread * point, 0, 0.98))
            dry += weight * magnitude_density(now, truth, looks)
        error = 0.5 * np.trapezoid(np.minimum(wet, dry), now)
        total = prior * wet + (1 - prior) * dry
        chance = np.divide(prior * wet, total, out=np.zeros(_NODES), where=total > 0)
        chance[0] = chance[1]  # both densities vanish at 0
        out[row] = np.nan if error > most_error else chance
    return out


@compiled
def _look_up(table: Float32, before: Float32, now: Float32, out: Float32) -> None:
    last = table.shape[0] - 1
    for pixel in range(out.size):
        first, second = before[pixel] * last, now[pixel] * last
        if not (first == first and second == second):
            out[pixel] = np.nan
            continue
        row, col = min(int(first), last - 1), min(int(second), last - 1)
        down, right = first - row, second - col
        upper = table[row, col] * (1 - right) + table[row, col + 1] * right
        lower = table[row + 1, col] * (1 - right) + table[row + 1, col + 1] * right
        out[pixel] = upper * (1 - down) + lower * down


def flood_evidence(
    now: NDArray[np.floating],
    before: NDArray[np.floating],
    looks: float,
    prior: float = 0.5,
    spread: float = SPREAD,
    most_error: float = MOST_ERROR,
) -> Float32:
    """Probability that ground is under water, from coherence across and before the event.

    Parameters
    ----------
    now : float, shape (…)
        Coherence of the pair with the pass; NaN marks missing.
    before : float, same shape
        Mean coherence of the pairs before the event, as estimated.
    looks : float
        Independent samples of an estimate, 2 to 500.
    prior : float
        Probability of water before looking.
    spread : float
        See ``SPREAD``.
    most_error : float
        See ``MOST_ERROR``.

    Returns
    -------
    float32, shape (…)
        NaN where something is missing, and where coherence was too low before to tell: open water,
        forest, and whatever had changed anyway.

    Raises
    ------
    ValueError
        Shapes differ, or a parameter cannot be.

    Examples
    --------
    >>> flood_evidence(np.array([0.15, 0.6, 0.15]), np.array([0.6, 0.6, 0.2]), 40).round(2)
    array([ 1.,  0., nan], dtype=float32)
    """
    current, earlier = np.asarray(now), np.asarray(before)
    if current.shape != earlier.shape:
        raise ValueError(f"now has shape {current.shape}, before {earlier.shape}; they must agree")
    if not (2 <= looks <= 500 and 0 < prior < 1 and 0 <= spread < 0.5 and 0 < most_error <= 0.5):
        raise ValueError(
            f"{looks:g} looks, prior {prior:g}, spread {spread:g}, error {most_error:g}; give 2 to"
            " 500, 0 to 1, 0 to 0.5 and 0 to 0.5"
        )
    for name, values in (("now", current), ("before", earlier)):
        low, high = np.nanmin(values, initial=0.0), np.nanmax(values, initial=1.0)
        if low < 0 or high > 1 + 1e-6:
            raise ValueError(f"coherence {name} from {low:g} to {high:g}; expected 0 to 1")
    table = _table(float(looks), float(prior), float(spread), float(most_error))
    true = np.ascontiguousarray(unbiased(earlier, looks), np.float32).ravel()
    seen = np.minimum(np.ascontiguousarray(current, np.float32).ravel(), np.float32(1))
    out = np.empty(true.size, np.float32)
    _look_up(table, true, seen, out)
    return out.reshape(current.shape)
