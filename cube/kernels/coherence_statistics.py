"""What the magnitude of a coherence estimate is expected to be, and the truth behind one."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import quad
from scipy.special import hyp2f1

__all__ = ["effective_looks", "expected_magnitude", "unbiased"]

_STEPS = 256
_MOST_LOOKS = 500  # with more, terms of the series exceed what a float holds


def expected_magnitude(truth: float, looks: float) -> float:
    """Mean of the magnitude of an estimate from independent samples, circular and Gaussian.

    The estimate is biased: of two images that share nothing it is not 0 but about
    ``sqrt(pi / (4 looks))``.

    Parameters
    ----------
    truth : float
        Magnitude of the coherence, 0 to 1.
    looks : float
        Independent samples, 1 to 500; fewer than a window has pixels where the images are sampled
        finer than they resolve.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        Values outside these ranges.

    References
    ----------
    Touzi, Lopes, Bruniquel & Vachon 1999, Coherence estimation for SAR imagery, IEEE Trans. Geosci.
    Remote Sens. 37, eqs. 8 and 11.

    Examples
    --------
    >>> round(expected_magnitude(0.0, 4), 4)
    0.4571
    """
    if not 0 <= truth <= 1:
        raise ValueError(f"coherence {truth:g}; give 0 to 1")
    if not 1 <= looks <= _MOST_LOOKS:
        raise ValueError(f"{looks:g} looks; give 1 to {_MOST_LOOKS}")
    if truth == 1 or looks == 1:
        return 1.0

    lost = (1 - truth) * (1 + truth)

    def moment(s: float) -> float:
        """Density times r, over s of ``r = 1 - s^4``: below two looks there is a pole at 1."""
        d = s**4
        r, rest = 1 - d, d * (2 - d)  # rest is 1 - r^2
        powers = (
            looks * np.log(lost) + (looks - 2) * np.log(rest)
            + (1 - 2 * looks) * np.log(lost + truth**2 * rest)
        )  # fmt: skip
        # Euler's transformation: what is left of the series is a polynomial for whole looks
        series = hyp2f1(1 - looks, 1 - looks, 1, (truth * r) ** 2)
        return float(2 * (looks - 1) * r * r * np.exp(powers) * series * 4 * s**3)

    peak = (1 - truth) ** 0.25
    return float(quad(moment, 0, 1, points=[peak], limit=500, epsabs=1e-10)[0])


def effective_looks(
    window: tuple[int, int],
    steps: tuple[tuple[float, float], tuple[float, float]],
    spectrum: tuple[tuple[float, float], tuple[float, float]],
) -> float:
    """Independent samples that a window of correlated ones is worth.

    Images sampled finer than they resolve repeat themselves: ``N^2 / sum |rho_ij|^2`` over all
    pairs of the window's N samples, rho their correlation, which is the transform of the spectrum's
    power.

    Parameters
    ----------
    window : (rows, columns)
    steps : ((float, float), (float, float))
        Lines that one pixel down and one to the right are, then samples.
    spectrum : ((float, float), (float, float))
        Bandwidth over sampling rate and coefficient of the generalised Hamming window along lines,
        then along samples.

    Returns
    -------
    float
        1 to rows times columns.

    Examples
    --------
    >>> far_apart = ((40.0, 0.0), (0.0, 40.0))
    >>> round(effective_looks((3, 5), far_apart, ((0.7, 0.7), (0.8, 0.75))), 1)
    15.0
    """
    down = np.arange(1 - window[0], window[0])
    right = np.arange(1 - window[1], window[1])
    shared = np.outer(window[0] - abs(down), window[1] - abs(right))
    correlation = np.ones(shared.shape)
    for (per_row, per_col), (bandwidth, weight) in zip(steps, spectrum, strict=True):
        lag = per_row * down[:, None] + per_col * right
        frequency = np.linspace(-bandwidth / 2, bandwidth / 2, 257)
        power = (weight + (1 - weight) * np.cos(2 * np.pi * frequency / bandwidth)) ** 2
        correlation *= np.tensordot(np.cos(2 * np.pi * lag[..., None] * frequency), power, 1)
        correlation /= power.sum()
    return float((window[0] * window[1]) ** 2 / (shared * correlation**2).sum())


@lru_cache(maxsize=32)
def _table(looks: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    truths = np.sin(np.linspace(0, np.pi / 2, _STEPS + 1))  # denser towards 1
    return np.array([expected_magnitude(float(min(t, 1.0)), looks) for t in truths]), truths


def unbiased(magnitude: ArrayLike, looks: float) -> NDArray[np.float64]:
    """Coherence whose estimates have this mean magnitude; 0 where all have a higher one.

    Meant for means over places of one kind: of a single estimate the bias is less than its scatter.

    Parameters
    ----------
    magnitude : float, any shape
    looks : float

    Returns
    -------
    float64, same shape
        NaN stays.

    Examples
    --------
    >>> float(unbiased(expected_magnitude(0.3, 20), 20).round(3))
    0.3
    """
    means, truths = _table(float(looks))
    return np.asarray(np.interp(np.asarray(magnitude, "float64"), means, truths))
