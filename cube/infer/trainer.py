"""One branch of a model from labelled examples to weights, temperature and scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cube.cards import Branch
from cube.catalog import load_normaliser
from cube.infer.calibration import fit_temperature, fit_threshold
from cube.infer.networks import UNet
from cube.infer.training import Batch, Batches, Numbered, Recipe, fit
from cube.infer.weights import network_of, save
from cube.kernels.expectation import class_probabilities
from cube.kernels.scores import NO_DATA, count, reliability

__all__ = ["Trained", "train_branch"]

_APART = 1_000_003
"""Added to the seed of what is not learnt from."""


@dataclass(frozen=True)
class Trained:
    """What training a branch gave.

    Attributes
    ----------
    branch : Branch
        With the temperature and threshold that were fitted.
    weights : Path
        safetensors file with the keys of the branch.
    iou : dict of class to float
        Of the likeliest class there; of ``water`` by the threshold.
    nll, ece : float
        Of the probability of water there.
    """

    branch: Branch
    weights: Path
    iou: dict[str, float]
    nll: float
    ece: float


def train_branch(
    branch: Branch,
    examples: Callable[[int], Numbered],
    recipe: Recipe,
    seed: int,
    weights: Path,
    told: Callable[[int, float], None] | None = None,
    device: str = "cpu",
    workers: int = 0,
) -> Trained:
    """Train, calibrate and score the network of a branch.

    Parameters
    ----------
    branch : Branch
    examples : callable
        Examples of a seed, by number.
    recipe : Recipe
    seed : int
    weights : Path
        File to write.
    told : callable, optional
        See `cube.infer.training.fit`.
    device : str
    workers : int
        Processes that make examples ahead; none of their own without.
    """
    if device == "cpu":
        torch.set_num_threads(1)  # the same order of sums on every machine
    torch.manual_seed(seed)
    network = network_of(branch, load_normaliser(branch.normaliser))
    learnt = Batches(examples(seed), branch, recipe.batch, seed, recipe.steps)
    trained = fit(network, learnt.made_by(workers), recipe, device, told)
    save({branch.name: trained}, weights)
    unseen = Batches(examples(seed + _APART), branch, recipe.batch, seed, recipe.unseen)
    mean, scale, classes = _predicted(trained.fuse().to("cpu"), branch, unseen.made_by(workers))
    temperature = fit_temperature(mean, scale, classes)
    chance, _ = class_probabilities(mean, scale, temperature)
    return _scored(branch.model_copy(update={"temperature": temperature}), weights, chance, classes)


def _predicted(
    network: UNet, branch: Branch, given: Iterator[Batch]
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None, NDArray[np.uint8]]:
    """Logits (class, pixel), their scales and the classes of some batches."""
    logits, classes = [], []
    with torch.inference_mode():
        for batch in given:
            out = network(torch.from_numpy(batch.channels))
            logits.append(out.movedim(1, 0).flatten(1).numpy())
            classes.append(batch.classes.ravel())
    joined, many = np.concatenate(logits, axis=1), len(branch.classes)
    scale = joined[many:] if branch.head == "heteroscedastic" else None
    return joined[:many], scale, np.concatenate(classes)


def _scored(
    branch: Branch, weights: Path, chance: NDArray[np.float32], classes: NDArray[np.uint8]
) -> Trained:
    known = classes != NO_DATA
    best = chance.argmax(axis=0)
    iou = {
        name: count(best == number, classes == number, known).iou
        for number, name in enumerate(branch.classes)
    }
    parts = [branch.classes.index(name) for name in branch.given["water_probability"]]
    water, true = chance[parts].sum(axis=0), np.isin(classes, parts)
    threshold = fit_threshold(water[known], true[known])
    told = reliability(water[known].clip(0, 1), true[known])
    by_threshold = count(water > threshold, true, known)
    return Trained(
        branch.model_copy(update={"water_threshold": round(threshold, 2)}),
        weights,
        {**iou, "water": by_threshold.iou},
        told.nll,
        told.ece,
    )
