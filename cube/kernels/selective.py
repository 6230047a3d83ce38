"""Whether uncertainty tells where errors are, from sums that add: of chunks, cubes or events.

Pixels are counted in fine bins of their uncertainty, since 400 million cannot be sorted; those of
one bin are taken in random order, so that errors grow evenly within it. Of the k surest pixels the
error rate is thus wrong by m / 4k at most, where the bin of the last of them holds m pixels; where
none but a few are as uncertain as each other, by less than 1e-4 of the rate of all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma

from cube.kernels.scores import FLOOR, NO_DATA

__all__ = ["BINS", "FRACTIONS", "Risk", "Selective", "selective"]

Float64 = NDArray[np.float64]

BINS = 8192
"""Bins of uncertainty from 0 to its upper end, equal in its fourth root: variances, and entropies
of sure maps, crowd near 0, where one of equal bins would hold a tenth of the pixels."""
FRACTIONS = np.linspace(0, 1, 10)[:-1]
"""Shares of pixels that the discard test leaves out: ninths less the last, which keeps nothing."""
_ROUNDING = 1e-9
"""Falls of the error below this share of it are rounding: the curve is flat."""


def _zeros() -> Float64:
    return np.zeros(BINS)


@dataclass(frozen=True, slots=True, eq=False)
class Risk:
    """Mean cost of the surest pixels, whatever an error costs.

    Attributes
    ----------
    number, cost : float64, shape (bin,)
        Pixels, and the sum of their costs, from the surest bin to the least sure.

    Examples
    --------
    >>> round(Risk(np.array([2, 1, 1]), np.array([0, 1, 0])).aurc, 4)  # (0 + 0 + 1/3 + 1/4) / 4
    0.1458
    """

    number: Float64
    cost: Float64

    @property
    def aurc(self) -> float:
        """Area under the curve of risk over coverage (Geifman et al. 2019, arXiv 1805.08206).

        The mean over all coverages k / N of the mean cost of the k surest pixels; 0 is perfect.
        NaN without pixels.
        """
        total = self.number.sum()
        if total == 0:
            return math.nan
        after = self.number.cumsum()
        before = after - self.number
        used = self.number > 0
        n0, n1 = before[used], after[used]
        slope = self.cost[used] / self.number[used]
        offset = self.cost.cumsum()[used] - slope * n1  # cost(k) = offset + slope * k
        harmonic = digamma(n1 + 1) - digamma(n0 + 1)  # sum of 1 / k over the bin
        return float((offset * harmonic + slope * (n1 - n0)).sum() / total)

    def discard(self) -> Float64:
        """Mean cost of the pixels kept, as more and more of the most uncertain are left out.

        The discard test of Haynes et al. 2023 (Artif. Intell. Earth Syst. 2, 220061).

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
        costs = np.concatenate([[0.0], self.cost.cumsum()])
        return np.asarray(np.interp(kept, counts, costs) / kept)

    @property
    def monotonicity(self) -> float:
        """MF: share of the steps of `discard` that lower the cost; 1 is best.

        A step that changes nothing does not lower it: where all errors are gone before the last
        step, not even an oracle of right and wrong reaches 1.
        """
        curve = self.discard()
        if np.isnan(curve).any():
            return math.nan
        return float((np.diff(curve) < -_ROUNDING * curve[0]).mean())

    @property
    def improvement(self) -> float:
        """DI: mean fall of the cost from step to step; NaN without pixels."""
        return float(-np.diff(self.discard()).mean())


@dataclass(frozen=True, slots=True, eq=False)
class Selective:
    """Sums by bin of uncertainty.

    Attributes
    ----------
    number, errors, losses : float64, shape (bin,)
        Pixels, wrong ones among them, and their negative log likelihoods (nats).
    uncertainty_right, uncertainty_wrong : float
        Sums of uncertainty over right and over wrong pixels.
    top : float
        Upper end of the bins; NaN of sums of nothing, which add to any.
    """

    number: Float64 = field(default_factory=_zeros)
    errors: Float64 = field(default_factory=_zeros)
    losses: Float64 = field(default_factory=_zeros)
    uncertainty_right: float = 0.0
    uncertainty_wrong: float = 0.0
    top: float = math.nan

    def __add__(self, other: Selective) -> Selective:
        """Sum of two parts; ValueError where their bins are not the same."""
        tops = {one.top for one in (self, other) if not math.isnan(one.top)}
        if len(tops) > 1:
            raise ValueError(
                f"sums of bins up to {self.top:g} and up to {other.top:g} do not add;"
                " sum both up with the same top"
            )
        return Selective(
            self.number + other.number,
            self.errors + other.errors,
            self.losses + other.losses,
            self.uncertainty_right + other.uncertainty_right,
            self.uncertainty_wrong + other.uncertainty_wrong,
            tops.pop() if tops else math.nan,
        )

    @property
    def pixels(self) -> int:
        """Pixels that were summed up."""
        return int(self.number.sum())

    @property
    def by_error(self) -> Risk:
        """Scores where a wrong pixel costs 1, a right one nothing."""
        return Risk(self.number, self.errors)

    @property
    def by_loss(self) -> Risk:
        """Scores where a pixel costs its negative log likelihood, nats."""
        return Risk(self.number, self.losses)

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
        Shapes differ, `top` is not above 0, or values are outside of 0 to `top` or 0 to 1.

    Examples
    --------
    >>> found = selective([0.1, 0.2, 0.6, 0.7], [0.9, 0.1, 0.6, 0.4], [1, 0, 0, 0], 0.7)
    >>> float(found.errors.sum()), round(found.by_error.aurc, 4)  # (0 + 0 + 1/3 + 1/4) / 4
    (1.0, 0.1458)
    """
    if not 0 < top < math.inf:
        raise ValueError(f"top {top:g} of uncertainty; expected a number above 0")
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
    cell = np.minimum((np.sqrt(np.sqrt(u / top)) * BINS).astype(np.int64), BINS - 1)
    wrong = (p > 0.5) != t
    losses = -np.log(np.maximum(np.where(t, p, 1 - p), FLOOR))
    return Selective(
        np.bincount(cell, minlength=BINS).astype(np.float64),
        np.bincount(cell[wrong], minlength=BINS).astype(np.float64),
        np.bincount(cell, weights=losses, minlength=BINS).astype(np.float64),
        float(u[~wrong].sum()),
        float(u[wrong].sum()),
        float(top),
    )
