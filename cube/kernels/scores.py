"""Scores as sums that add: of two chunks, two chips or two events; the division comes last.

A score about which nothing can be said is NaN, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Counts", "Reliability", "count", "reliability"]

NO_DATA = 255
BINS = 15
"""Equal bins of probability of the calibration error (Guo et al. 2017, section 2)."""

FLOOR = 1e-6
"""Probabilities are kept this far from 0 and 1 in the logarithm: one certain error is 13.8 nats,
not infinity."""


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")


@dataclass(frozen=True, slots=True)
class Counts:
    """Confusion of one class with the rest, in pixels.

    Examples
    --------
    >>> both = Counts(hit=3, false=1) + Counts(miss=2, correct_dry=4)
    >>> both.iou, both.precision, both.recall
    (0.5, 0.75, 0.6)
    >>> Counts(correct_dry=9).iou
    nan
    """

    hit: int = 0
    false: int = 0
    miss: int = 0
    correct_dry: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Sum of two parts."""
        return Counts(
            self.hit + other.hit,
            self.false + other.false,
            self.miss + other.miss,
            self.correct_dry + other.correct_dry,
        )

    @property
    def total(self) -> int:
        """Pixels that were compared."""
        return self.hit + self.false + self.miss + self.correct_dry

    @property
    def iou(self) -> float:
        """Intersection over union; NaN when neither side holds the class."""
        return _ratio(self.hit, self.hit + self.false + self.miss)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; NaN when neither side holds the class."""
        return _ratio(2 * self.hit, 2 * self.hit + self.false + self.miss)

    @property
    def precision(self) -> float:
        """Share of the found that is right; NaN when nothing was found."""
        return _ratio(self.hit, self.hit + self.false)

    @property
    def recall(self) -> float:
        """Share of the real that was found; NaN when there was nothing to find."""
        return _ratio(self.hit, self.hit + self.miss)

    @property
    def false_share(self) -> float:
        """Share of the dry that was called otherwise; NaN when nothing is dry."""
        return _ratio(self.false, self.false + self.correct_dry)

    @property
    def accuracy(self) -> float:
        """Share of all pixels that is right."""
        return _ratio(self.hit + self.correct_dry, self.total)


def _same_shape(first: NDArray[np.generic], second: NDArray[np.generic], name: str) -> None:
    if first.shape != second.shape:
        raise ValueError(f"{name} has shape {first.shape}, truth {second.shape}; they must agree")


def count(found: ArrayLike, truth: ArrayLike, valid: ArrayLike | None = None) -> Counts:
    """Compare two masks where both are known.

    Parameters
    ----------
    found, truth : bool, or uint8 with 0, 1 and 255 (no data); same shape
        Where the class is.
    valid : bool, same shape, optional
        Pixels outside are left out, besides those of 255.

    Returns
    -------
    Counts

    Raises
    ------
    ValueError
        The shapes differ.

    Examples
    --------
    >>> count([1, 1, 0, 255], [1, 0, 0, 1])
    Counts(hit=1, false=1, miss=0, correct_dry=1)
    """
    mine, real = np.asarray(found), np.asarray(truth)
    _same_shape(mine, real, "found")
    use = np.ones(mine.shape, bool) if valid is None else np.asarray(valid, dtype=bool)
    _same_shape(use, real, "valid")
    if mine.dtype != np.bool_:
        use = use & (mine != NO_DATA)
    if real.dtype != np.bool_:
        use = use & (real != NO_DATA)
    a, b = mine[use].astype(bool), real[use].astype(bool)
    hit = int((a & b).sum())
    false, miss = int(a.sum()) - hit, int(b.sum()) - hit
    return Counts(hit, false, miss, a.size - hit - false - miss)


def _zeros() -> NDArray[np.float64]:
    return np.zeros(BINS)


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Sums behind calibration scores of a probability.

    Attributes
    ----------
    number, probability, truth : float64, shape (bin,)
        Pixels, sum of probabilities and sum of truths by bin of probability.
    log_loss, square : float
        Sums of -log(probability of what is true), nats, and of the squared error.
    """

    number: NDArray[np.float64] = field(default_factory=_zeros)
    probability: NDArray[np.float64] = field(default_factory=_zeros)
    truth: NDArray[np.float64] = field(default_factory=_zeros)
    log_loss: float = 0.0
    square: float = 0.0

    def __add__(self, other: Reliability) -> Reliability:
        """Sum of two parts."""
        return Reliability(
            self.number + other.number,
            self.probability + other.probability,
            self.truth + other.truth,
            self.log_loss + other.log_loss,
            self.square + other.square,
        )

    @property
    def nll(self) -> float:
        """Mean negative log likelihood, nats."""
        return _ratio(self.log_loss, float(self.number.sum()))

    @property
    def brier(self) -> float:
        """Mean squared error of the probability (Brier 1950)."""
        return _ratio(self.square, float(self.number.sum()))

    @property
    def ece(self) -> float:
        """Expected calibration error: mean distance of probability and frequency over the bins."""
        apart = float(np.abs(self.probability - self.truth).sum())
        return _ratio(apart, float(self.number.sum()))


def reliability(probability: ArrayLike, truth: ArrayLike) -> Reliability:
    """Sum up how well a probability agrees with what was true.

    Parameters
    ----------
    probability : float, shape (…)
        NaN marks missing.
    truth : bool, or uint8 with 0, 1 and 255 (no data); same shape

    Returns
    -------
    Reliability

    Raises
    ------
    ValueError
        The shapes differ, or a probability lies outside 0..1.

    Examples
    --------
    >>> round(reliability([0.5, 0.5, 0.9], [1, 0, 1]).ece, 4)
    0.0333
    """
    chance, real = np.asarray(probability, dtype=np.float64), np.asarray(truth)
    _same_shape(chance, real, "probability")
    use = ~np.isnan(chance)
    if real.dtype != np.bool_:
        use &= real != NO_DATA
    p, t = chance[use], real[use].astype(np.float64)
    if p.size and not (p.min() >= 0 and p.max() <= 1):
        raise ValueError(f"probabilities from {p.min():g} to {p.max():g}; expected 0 to 1")
    cell = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    sure = np.clip(np.where(t > 0, p, 1 - p), FLOOR, 1.0)
    return Reliability(
        np.bincount(cell, minlength=BINS).astype(np.float64),
        np.bincount(cell, weights=p, minlength=BINS).astype(np.float64),
        np.bincount(cell, weights=t, minlength=BINS).astype(np.float64),
        float(-np.log(sure).sum()),
        float(((p - t) ** 2).sum()),
    )
