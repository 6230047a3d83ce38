"""Probabilities of logits that are uncertain themselves, as training needs them: differentiable.

The nodes are those of `cube.kernels.expectation`, which predicts: what is trained is what is used.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch

from cube.kernels.expectation import line_nodes

__all__ = ["log_likelihood", "nodes"]

FLOOR = 1e-7
"""Below it a probability has no logarithm; weights of many classes may be negative, too."""


def log_likelihood(
    mean: torch.Tensor, scale: torch.Tensor | None, classes: torch.Tensor
) -> torch.Tensor:
    """Log of the mean probability of the class that is true.

    Parameters
    ----------
    mean, scale : Tensor, shape (batch, class, y, x)
        Of the logits; the sign of `scale` does not count. Without a scale this is log softmax.
    classes : int64 Tensor, shape (batch, y, x)
        True ones.

    Returns
    -------
    Tensor, shape (batch, y, x)
    """
    if scale is None:
        return torch.log_softmax(mean, dim=1).gather(1, classes[:, None])[:, 0]
    chance = _of_two(mean, scale, classes) if mean.shape[1] == 2 else _of_more(mean, scale, classes)
    return torch.log(chance.clamp(FLOOR, 1))


def _of_two(mean: torch.Tensor, scale: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    middle = (mean[:, 1] - mean[:, 0]) * (2 * classes - 1)
    width = torch.sqrt((scale**2).sum(dim=1) + 1e-12)
    chance = torch.zeros_like(middle)
    for point, weight in zip(*line_nodes(), strict=True):
        chance = chance + float(weight) * torch.sigmoid(middle + float(point) * width)
    return chance


def _of_more(mean: torch.Tensor, scale: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Three exponentials a class, as at every node a class is moved by -1, 0 or 1 step.

    The true class comes first: nodes are the same in any order of classes, and of its share only
    the sums below it differ from node to node.
    """
    many = mean.shape[1]
    order = (classes[:, None] + torch.arange(many, device=mean.device)[:, None, None]) % many
    middle = torch.exp(mean - mean.detach().amax(dim=1, keepdim=True)).gather(1, order)
    factor = torch.exp((scale.abs() * math.sqrt(3)).clamp(max=20)).gather(1, order)
    moved = {0: middle.unbind(1), 1: (middle * factor).unbind(1), -1: (middle / factor).unbind(1)}
    others: dict[tuple[int, ...], torch.Tensor] = {}
    shares: dict[int, torch.Tensor] = {}
    for node, weight in nodes(many):
        first, *rest = (node.get(one, 0) for one in range(many))
        key = tuple(rest)
        if key not in others:
            parts = [moved[step][one] for one, step in enumerate(rest, 1)]
            others[key] = torch.stack(parts).sum(dim=0) if many > 3 else parts[0] + parts[1]
        share = weight / (moved[first][0] + others[key])
        shares[first] = shares[first] + share if first in shares else share
    return sum((moved[first][0] * share for first, share in shares.items()), torch.zeros(()))


def nodes(classes: int) -> Iterator[tuple[dict[int, int], float]]:
    """Classes that a node moves, with the step, and its weight."""
    yield {}, 1 + (classes * classes - 7 * classes) / 18
    for one, sign in itertools.product(range(classes), (-1, 1)):
        yield {one: sign}, (4 - classes) / 18
    for pair in itertools.combinations(range(classes), 2):
        for signs in itertools.product((-1, 1), repeat=2):
            yield dict(zip(pair, signs, strict=True)), 1 / 36
