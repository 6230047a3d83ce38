"""Probabilities from logits that are uncertain themselves, and how uncertain that leaves them.

A network may give for every class the mean and the scale of a Gaussian logit; the probability is
the mean of the softmax over it (Kendall and Gal 2017, arXiv 1703.04977, eq. 12; Collier et al.
2020, arXiv 2003.06778). Instead of random samples the mean is taken over fixed nodes, so that it
has no noise and the same value in every chunk: for two classes, where only the difference of logits
counts, those of Gauss and Hermite; for more the 2 n^2 + 1 nodes of degree five of McNamee and
Stenger (1967, Numer. Math. 10, 327-344), which lie at -sqrt(3), 0 and sqrt(3) on one or two axes:
three exponentials a class are enough for all of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cube.kernels.compiled import compiled

__all__ = ["LINE_NODES", "class_probabilities", "entropy", "line_nodes"]

Float32 = NDArray[np.float32]

LINE_NODES = 7
"""Nodes for two classes."""
ROOT3 = 1.7320508075688772
MOST = 300.0
"""Nodes of more than two classes lie no farther off: the exponential of more has no float64."""
BATCH = 256
"""Pixels worked on together: their powers stay in the nearest cache."""


def line_nodes() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes and weights for the mean over one standard normal deviate.

    Examples
    --------
    >>> points, weights = line_nodes()
    >>> round(float(weights @ points**4), 9)
    3.0
    """
    points, weights = np.polynomial.hermite_e.hermegauss(LINE_NODES)
    return points, weights / weights.sum()


@compiled
def _softmax(mean: Float32, temperature: float, out: Float32) -> None:
    classes, pixels = mean.shape
    for pixel in range(pixels):
        most = mean[0, pixel]
        for one in range(1, classes):
            most = max(most, mean[one, pixel])
        total = 0.0
        for one in range(classes):
            value = np.exp((mean[one, pixel] - most) / temperature)
            out[one, pixel] = value
            total += value
        for one in range(classes):
            out[one, pixel] /= total
            out[classes + one, pixel] = 0.0


@compiled
def _of_two(  # type: ignore[no-untyped-def]
    mean: Float32, scale: Float32, temperature: float, points, weights, out: Float32
) -> None:
    for pixel in range(mean.shape[1]):
        middle = (mean[1, pixel] - mean[0, pixel]) / temperature
        width = np.sqrt(scale[0, pixel] ** 2 + scale[1, pixel] ** 2) / temperature
        first = second = 0.0
        for node in range(points.size):
            chance = 1 / (1 + np.exp(-(middle + width * points[node])))
            first += weights[node] * chance
            second += weights[node] * chance * chance
        out[0, pixel], out[1, pixel] = 1 - first, first
        out[2, pixel] = out[3, pixel] = max(second - first * first, 0.0)


@compiled
def _add(  # type: ignore[no-untyped-def]
    powers, one, step, other, turn, weight, total, sums
) -> None:
    """One node: class `one` is moved by `step`, class `other` by `turn` (-1, 0 or 1).

    Pixel by pixel along the last axis, eight at a time.
    """
    classes, _, width = powers.shape
    total[:] = 0
    for number in range(classes):
        moved = step if number == one else (turn if number == other else 0)
        values = powers[number, moved + 1]
        for pixel in range(width):
            total[pixel] += values[pixel]
    for pixel in range(width):
        total[pixel] = 1 / total[pixel]
    for number in range(classes):
        moved = step if number == one else (turn if number == other else 0)
        values, first, second = powers[number, moved + 1], sums[0, number], sums[1, number]
        for pixel in range(width):
            chance = values[pixel] * total[pixel]
            first[pixel] += weight * chance
            second[pixel] += weight * chance * chance


@compiled
def _exponentials(  # type: ignore[no-untyped-def]
    mean, scale, start, temperature, powers
) -> None:
    classes, _, width = powers.shape
    for pixel in range(width):
        place = min(start + pixel, mean.shape[1] - 1)
        most = mean[0, place]
        for one in range(1, classes):
            most = max(most, mean[one, place])
        for one in range(classes):
            middle = np.exp((mean[one, place] - most) / temperature)
            factor = np.exp(min(abs(scale[one, place]) * ROOT3 / temperature, MOST))
            powers[one, 0, pixel] = middle / factor
            powers[one, 1, pixel] = middle
            powers[one, 2, pixel] = middle * factor


@compiled
def _of_more(mean: Float32, scale: Float32, temperature: float, out: Float32) -> None:
    classes, pixels = mean.shape
    powers, total = np.empty((classes, 3, BATCH)), np.empty(BATCH)
    sums = np.empty((2, classes, BATCH))
    centre = 1 + (classes * classes - 7 * classes) / 18
    axis, corner = (4 - classes) / 18, 1 / 36
    for start in range(0, pixels, BATCH):
        _exponentials(mean, scale, start, temperature, powers)
        sums[:] = 0.0
        _add(powers, -1, 0, -1, 0, centre, total, sums)
        for one in range(classes):
            for step in (-1, 1):
                _add(powers, one, step, -1, 0, axis, total, sums)
                for other in range(one + 1, classes):
                    for turn in (-1, 1):
                        _add(powers, one, step, other, turn, corner, total, sums)
        for pixel in range(min(BATCH, pixels - start)):
            for one in range(classes):
                first = sums[0, one, pixel]
                out[one, start + pixel] = first
                out[classes + one, start + pixel] = max(sums[1, one, pixel] - first**2, 0.0)


def class_probabilities(
    mean: NDArray[np.floating], scale: NDArray[np.floating] | None, temperature: float = 1.0
) -> tuple[Float32, Float32]:
    """Mean and variance of the softmax of Gaussian logits.

    Parameters
    ----------
    mean : float, shape (class, …)
        Of the logits.
    scale : float, shape (class, …), optional
        Standard deviations; the sign does not count. Without, the logits are certain.
    temperature : float
        Logits are divided by it (Guo et al. 2017, arXiv 1706.04599).

    Returns
    -------
    probability, variance : float32, shape (class, …)

    Raises
    ------
    ValueError
        Shapes differ, fewer than two classes, or a temperature that is not positive.

    Examples
    --------
    >>> chance, variance = class_probabilities(np.zeros((2, 1)), np.ones((2, 1)))
    >>> chance[1].round(3), variance[1].round(3)
    (array([0.5], dtype=float32), array([0.068], dtype=float32))
    """
    middle = np.ascontiguousarray(mean, np.float32)
    if middle.ndim < 1 or middle.shape[0] < 2:
        raise ValueError(f"logits of shape {middle.shape}; expected two classes or more first")
    if not temperature > 0:
        raise ValueError(f"temperature {temperature:g}; give a positive one")
    classes = middle.shape[0]
    flat = middle.reshape(classes, -1)
    out = np.empty((2 * classes, flat.shape[1]), np.float32)
    if scale is None:
        _softmax(flat, float(temperature), out)
    else:
        spread = np.ascontiguousarray(scale, np.float32)
        if spread.shape != middle.shape:
            raise ValueError(
                f"scale has shape {spread.shape}, mean {middle.shape}; they must agree"
            )
        wide = spread.reshape(classes, -1)
        if classes == 2:
            _of_two(flat, wide, float(temperature), *line_nodes(), out)
        else:
            _of_more(flat, wide, float(temperature), out)
    return out[:classes].reshape(middle.shape), out[classes:].reshape(middle.shape)


@compiled
def _entropy(probability: Float32, out: Float32) -> None:
    for pixel in range(probability.shape[1]):
        total = 0.0
        for one in range(probability.shape[0]):
            value = probability[one, pixel]
            if value > 0:
                total -= value * np.log(value)
            elif value != value:
                total = np.nan
        out[pixel] = total


def entropy(probability: NDArray[np.floating]) -> Float32:
    """Entropy of classes in nats.

    Parameters
    ----------
    probability : float, shape (class, …)

    Returns
    -------
    float32, shape (…)
        NaN where a probability is.

    Examples
    --------
    >>> entropy(np.array([[0.5, 1.0], [0.5, 0.0]])).round(4)
    array([0.6931, 0.    ], dtype=float32)
    """
    chance = np.ascontiguousarray(probability, np.float32)
    out = np.empty(int(np.prod(chance.shape[1:])), np.float32)
    _entropy(chance.reshape(chance.shape[0], -1), out)
    return out.reshape(chance.shape[1:])
