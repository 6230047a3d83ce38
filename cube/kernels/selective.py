"""Whether uncertainty tells where errors are, from sums that add: of chunks, cubes or events.

Pixels are counted in fine bins of their uncertainty, since 400 million cannot be sorted; those of
one bin are taken in random order, so that errors grow evenly within it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma

from cube.kernels.scores import FLOOR, NO_DATA

__all__ = ["BINS", "FRACTIONS", "Selective", "selective"]

Float64 = NDArray[np.float64]

BINS = 4096
"""Equal bins of uncertainty between 0 and its upper end."""
FRACTIONS = np.linspace(0, 1, 10)[:-1]
"""Shares of pixels that the discard test leaves out: tenths less the last, which keeps nothing."""


def _zeros() -> Float64:
    return np.zeros(BINS)


@dataclass(frozen=True, slots=True, eq=False)
class Selective:
    """Sums by bin of uncertainty.

    Attributes
    ----------
    number, errors, losses : float64, shape (bin,)
        Pixels, wrong ones among them, and their negative log likelihoods (nats).
    uncertainty_right, uncertainty_wrong : float
        Sums of uncertainty over right and over wrong pixels.
    """

    number: Float64 = field(default_factory=_zeros)
    errors: Float64 = field(default_factory=_zeros)
    losses: Float64 = field(default_factory=_zeros)
    uncertainty_right: float = 0.0
    uncertainty_wrong: float = 0.0

    def __add__(self, other: Selective) -> Selective:
        """Sum of two parts."""
        return Selective(
            self.number + other.number,
            self.errors + other.errors,
            self.losses + other.losses,
            self.uncertainty_right + other.uncertainty_right,
            self.uncertainty_wrong + other.uncertainty_wrong,
        )

    @property
    def aurc(self) -> float:
        """Area under the curve of error rate over coverage (Geifman et al. 2019, arXiv 1805.08206).

        The mean over all coverages k / N of the share of errors among the k surest pixels; 0 is
        perfect. NaN without pixels.
        """
        total = self.number.sum()
        if total == 0:
            return math.nan
        after = self.number.cumsum()
        before = after - self.number
        used = self.number > 0
        n0, n1 = before[used], after[used]
        slope = self.errors[used] / self.number[used]
        offset = self.errors.cumsum()[used] - slope * n1  # errors(k) = offset + slope * k
        harmonic = digamma(n1 + 1) - digamma(n0 + 1)  # sum of 1 / k over the bin
        return float((offset * harmonic + slope * (n1 - n0)).sum() / total)

    def discard(self, sums: Float64 | None = None) -> Float64:
        """Error rate of the pixels kept, as more and more of the most uncertain are left out.

        The discard test of Haynes et al. 2023 (Artif. Intell. Earth Syst. 2, 220061).

        Parameters
        ----------
        sums : float64, shape (bin,), optional
            `errors` by default; `losses` gives the mean loss.

        Returns
        -------
        float64, shape (9,)
            At ``FRACTIONS``; NaN without pixels.
        """
        total = self.number.sum()
        if total == 0:
            return np.full(len(FRACTIONS), math.nan)
        kept = (1 - FRACTIONS) * total
        counts = np.concatenate([[0.0], self.number.cumsum()])
        wrong = np.concatenate([[0.0], (self.errors if sums is None else sums).cumsum()])
        return np.asarray(np.interp(kept, counts, wrong) / kept)

    @property
    def monotonicity(self) -> float:
        """MF: share of the steps of `discard` that lower the error; 1 is best."""
        steps = np.diff(self.discard())
        return math.nan if np.isnan(steps).any() else float((steps < 0).mean())

    @property
    def improvement(self) -> float:
        """DI: mean fall of the error from step to step."""
        return float(-np.diff(self.discard()).mean())

    @property
    def mean_right(self) -> float:
        """Mean uncertainty of right pixels; NaN without any."""
        right = float((self.number - self.errors).sum())
        return self.uncertainty_right / right if right > 0 else math.nan

    @property
    def mean_wrong(self) -> float:
        """Mean uncertainty of wrong pixels; NaN without any."""
        wrong = float(self.errors.sum())
        return self.uncertainty_wrong / wrong if wrong > 0 else math.nan


def selective(
    uncertainty: ArrayLike, probability: ArrayLike, truth: ArrayLike, top: float
) -> Selective:
    """Sum up errors by uncertainty.

    Parameters
    ----------
    uncertainty : float, shape (…)
        NaN marks missing.
    probability : float, same shape
        Of the class; more than one half says that it is there. NaN marks missing.
    truth : bool, or uint8 with 0, 1 and 255 (no data); same shape
    top : float
        Largest uncertainty that can be: ln 2 for the entropy of two classes, 1/4 for variances.

    Returns
    -------
    Selective

    Raises
    ------
    ValueError
        Shapes differ, or values are outside of 0 to `top` or 0 to 1.

    Examples
    --------
    >>> found = selective([0.1, 0.2, 0.6, 0.7], [0.9, 0.1, 0.6, 0.4], [1, 0, 0, 0], 0.7)
    >>> float(found.errors.sum()), round(found.aurc, 4)  # (0 + 0 + 1/3 + 1/4) / 4
    (1.0, 0.1458)
    """
    doubt, chance = np.asarray(uncertainty, np.float64), np.asarray(probability, np.float64)
    real = np.asarray(truth)
    if not doubt.shape == chance.shape == real.shape:
        raise ValueError(
            f"uncertainty has shape {doubt.shape}, probability {chance.shape}, truth {real.shape};"
            " they must agree"
        )
    use = ~(np.isnan(doubt) | np.isnan(chance))
    if real.dtype != np.bool_:
        use &= real != NO_DATA
    u, p, t = doubt[use], chance[use], real[use].astype(bool)
    slack = 1e-5 * top  # of float32
    for name, values, end in (("uncertainty", u, top + slack), ("probability", p, 1.0)):
        if values.size and not (values.min() >= 0 and values.max() <= end):
            raise ValueError(
                f"{name} from {values.min():g} to {values.max():g}; expected 0 to {end:g}"
            )
    cell = np.minimum((u * (BINS / top)).astype(np.int64), BINS - 1)
    wrong = (p > 0.5) != t
    losses = -np.log(np.maximum(np.where(t, p, 1 - p), FLOOR))
    return Selective(
        np.bincount(cell, minlength=BINS).astype(np.float64),
        np.bincount(cell[wrong], minlength=BINS).astype(np.float64),
        np.bincount(cell, weights=losses, minlength=BINS).astype(np.float64),
        float(u[~wrong].sum()),
        float(u[wrong].sum()),
    )
