"""What is fitted after training, on examples that it did not see: temperature and threshold."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from cube.kernels.expectation import class_probabilities
from cube.kernels.scores import NO_DATA

__all__ = ["fit_temperature", "fit_threshold"]

_LEAST = 1e-6


def fit_temperature(
    mean: NDArray[np.floating], scale: NDArray[np.floating] | None, classes: NDArray[np.integer]
) -> float:
    """Temperature of logits with the least negative log likelihood (Guo et al. 2017, section 4.2).

    Parameters
    ----------
    mean, scale : float, shape (class, …)
        Logits, see `cube.kernels.expectation.class_probabilities`.
    classes : integer, shape (…)
        255 is left out.

    Returns
    -------
    float
        Between 0.1 and 10.

    Raises
    ------
    ValueError
        No class is known.

    Examples
    --------
    >>> logits = np.log(np.array([[0.25], [0.75]])).repeat(4, 1) * 2
    >>> round(fit_temperature(logits, None, np.array([0, 1, 1, 1])), 2)
    2.0
    """
    known = np.asarray(classes) != NO_DATA
    if not known.any():
        raise ValueError("all classes are 255; temperatures need some that are known")
    target = np.asarray(classes)[known].astype(np.intp)
    middle = np.asarray(mean)[:, known]
    spread = None if scale is None else np.asarray(scale)[:, known]

    def loss(exponent: float) -> float:
        chance, _ = class_probabilities(middle, spread, math.exp(exponent))
        true = np.take_along_axis(chance, target[None], axis=0)
        return float(-np.log(np.maximum(true, _LEAST)).mean())

    span = math.log(10)
    found = minimize_scalar(loss, bounds=(-span, span), method="bounded", options={"xatol": 1e-3})
    return float(math.exp(found.x))


def fit_threshold(probability: NDArray[np.floating], truth: NDArray[np.bool_]) -> float:
    """Probability above which the intersection over union is largest, in steps of 0.01.

    Parameters
    ----------
    probability : float, shape (…)
    truth : bool, same shape

    Raises
    ------
    ValueError
        Nothing is true.

    Examples
    --------
    >>> fit_threshold(np.array([0.1, 0.3, 0.35, 0.8]), np.array([False, False, True, True]))
    0.33
    """
    chance, real = np.asarray(probability).ravel(), np.asarray(truth, bool).ravel()
    if not real.any():
        raise ValueError("nothing is true; a threshold needs some that is")
    cell = np.minimum((chance * 100).astype(np.intp), 99)
    hits = np.bincount(cell[real], minlength=100)[::-1].cumsum()[::-1]
    found = np.bincount(cell, minlength=100)[::-1].cumsum()[::-1]
    iou = hits / np.maximum(found + real.sum() - hits, 1)
    best = np.flatnonzero(iou == iou.max())
    return float(best[len(best) // 2] / 100)
