"""Probabilities of logits that are uncertain themselves, as training needs them: differentiable.

The nodes are those of `cube.kernels.expectation`, which predicts: what is trained is what is used.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch

from cube.kernels.expectation import line_nodes

__all__ = ["log_probabilities", "nodes"]

FLOOR = 1e-7
"""Below it a probability has no logarithm; weights of many classes may be negative, too."""


def log_probabilities(
    mean: torch.Tensor, scale: torch.Tensor | None, temperature: float = 1.0
) -> torch.Tensor:
    """Log of the mean probability of each class.

    Parameters
    ----------
    mean, scale : Tensor, shape (batch, class, y, x)
        Of the logits; the sign of `scale` does not count. Without a scale this is log softmax.
    temperature : float
        Logits are divided by it.
    """
    if scale is None:
        return torch.log_softmax(mean / temperature, dim=1)
    if mean.shape[1] == 2:
        return _of_two(mean, scale, temperature)
    return _of_more(mean, scale, temperature)


def _of_two(mean: torch.Tensor, scale: torch.Tensor, temperature: float) -> torch.Tensor:
    middle = (mean[:, 1] - mean[:, 0]) / temperature
    width = torch.sqrt((scale**2).sum(dim=1) + 1e-12) / temperature
    chance = torch.zeros_like(middle)
    for point, weight in zip(*line_nodes(), strict=True):
        chance = chance + float(weight) * torch.sigmoid(middle + float(point) * width)
    return torch.log(torch.stack([1 - chance, chance], dim=1).clamp(FLOOR, 1))


def _of_more(mean: torch.Tensor, scale: torch.Tensor, temperature: float) -> torch.Tensor:
    """Three exponentials a class, as at every node a class is moved by -1, 0 or 1 step."""
    middle = torch.exp((mean - mean.amax(dim=1, keepdim=True)) / temperature)
    factor = torch.exp((scale.abs() * (math.sqrt(3) / temperature)).clamp(max=20))
    powers = {-1: middle / factor, 0: middle, 1: middle * factor}
    chance = torch.zeros_like(middle)
    for moved, weight in nodes(mean.shape[1]):
        columns = [powers[moved.get(one, 0)][:, one] for one in range(mean.shape[1])]
        total = torch.stack(columns, dim=1)
        chance = chance + weight * total / total.sum(dim=1, keepdim=True)
    return torch.log(chance.clamp(FLOOR, 1))


def nodes(classes: int) -> Iterator[tuple[dict[int, int], float]]:
    """Classes that a node moves, with the step, and its weight."""
    yield {}, 1 + (classes * classes - 7 * classes) / 18
    for one, sign in itertools.product(range(classes), (-1, 1)):
        yield {one: sign}, (4 - classes) / 18
    for pair in itertools.combinations(range(classes), 2):
        for signs in itertools.product((-1, 1), repeat=2):
            yield dict(zip(pair, signs, strict=True)), 1 / 36
