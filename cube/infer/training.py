"""Training of a network on labelled examples, the same weights for the same seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, Dataset

from cube.cards import Branch
from cube.catalog import load_normaliser
from cube.infer.channels import channels
from cube.infer.heads import log_likelihood
from cube.infer.weights import has_bfloat16
from cube.kernels.scores import NO_DATA

__all__ = ["Batch", "Batches", "Labelled", "Numbered", "Recipe", "fit"]

_Network = TypeVar("_Network", bound=nn.Module)


@dataclass(frozen=True)
class Batch:
    """Examples of one shape.

    Attributes
    ----------
    channels : float32, shape (example, channel, y, x)
    classes : uint8, shape (example, y, x)
        255 is not learnt from.
    """

    channels: NDArray[np.float32]
    classes: NDArray[np.uint8]


class Labelled(Protocol):
    """An example: linear power by the names of inputs, and classes 0, 1, 2 or 255.

    What is hidden can be told from two dates (stems that stand in water become brighter), not from
    one.
    """

    @property
    def bands(self) -> Mapping[str, NDArray[np.float32]]: ...  # noqa: D102

    @property
    def classes(self) -> NDArray[np.uint8]: ...  # noqa: D102

    @property
    def hidden(self) -> NDArray[np.bool_]: ...  # noqa: D102


class Numbered(Protocol):
    """Examples by number, the same in any order and process."""

    def __getitem__(self, number: int, /) -> Labelled: ...


class Batches(Dataset[Batch]):
    """Batches by number: examples as channels of a branch, turned and mirrored at random.

    Parameters
    ----------
    examples : by number
        Their classes are 0 dry, 1 permanent water, 2 flood: where the branch has only water, both
        are. A branch of one date learns nothing of what is hidden.
    branch : Branch
    count : int
        Examples of a batch.
    seed : int
        Of the turns.
    length : int
        How many batches there are.
    """

    def __init__(
        self, examples: Numbered, branch: Branch, count: int, seed: int, length: int
    ) -> None:
        self._examples, self._branch, self._count = examples, branch, count
        self._seed, self._length = seed, length
        self._normaliser = load_normaliser(branch.normaliser)
        self._code = _codes(branch)
        self._dates = any(one.reference or one.earlier for one in branch.parsed)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, number: int) -> Batch:
        if not 0 <= number < self._length:
            raise IndexError(f"batch {number} of {self._length}")
        generator = np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(number,)))
        given, known = [], []
        for place in range(number * self._count, (number + 1) * self._count):
            one = self._examples[place]
            bands = np.stack([one.bands[name] for name in self._branch.inputs])
            prepared = channels(bands, self._branch.parsed, self._normaliser)
            turn, mirror = int(generator.integers(4)), 1 - 2 * int(generator.integers(2))
            given.append(np.rot90(prepared, turn, (1, 2))[:, ::mirror])
            classes = self._code[one.classes]
            if not self._dates:
                classes[one.hidden] = NO_DATA
            known.append(np.rot90(classes, turn)[::mirror])
        return Batch(np.ascontiguousarray(np.stack(given)), np.ascontiguousarray(np.stack(known)))

    def made_by(self, workers: int) -> Iterator[Batch]:
        """All of them in order, made ahead by processes; by this one if there are none."""
        if not workers:
            yield from (self[number] for number in range(len(self)))
            return
        loader = DataLoader(
            self,
            batch_size=None,
            num_workers=workers,
            prefetch_factor=4,
            collate_fn=_tensors,
            multiprocessing_context="spawn",  # a process that uses a GPU must not fork
        )
        for given, known in loader:
            yield Batch(given.numpy(), known.numpy())


def _tensors(batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """What processes hand over without copying."""
    return torch.from_numpy(batch.channels), torch.from_numpy(batch.classes)


def _codes(branch: Branch) -> NDArray[np.uint8]:
    """Number of a branch's class for each class of an example; 255 stays."""
    table = np.full(256, NO_DATA, np.uint8)
    for code, name in enumerate(("dry", "permanent_water", "flood")):
        known = name if name in branch.classes else "water"
        table[code] = branch.classes.index(known)
    return table


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes
    ----------
    steps, batch : int
        Steps, and examples in each.
    rate : float
        Highest learning rate of AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101); it rises over
        the first part of the steps and falls as a cosine.
    decay : float
        Weight decay.
    average : float
        Weights are averaged over the last steps with this factor (Polyak and Juditsky 1992).
    warm : float
        First part of the steps, in which the rate rises.
    scale : bool
        Whether the second half of the outputs are scales of the logits.
    unseen : int
        Batches to calibrate and score on that are not learnt from.
    """

    steps: int
    batch: int = 8
    rate: float = 3e-3
    decay: float = 1e-3
    average: float = 0.998
    warm: float = 0.03
    scale: bool = True
    unseen: int = 40


def fit(
    network: _Network,
    batches: Iterator[Batch],
    recipe: Recipe,
    device: torch.device | str = "cpu",
    told: Callable[[int, float], None] | None = None,
) -> _Network:
    """Train a network; returns the average of its last weights.

    Convolutions run in bfloat16 where the processor or GPU has it, the loss in float32.

    Parameters
    ----------
    network : Module
        Of outputs (batch, class, y, x), or twice as many with scales.
    batches : iterator of Batch
        At least as many as steps.
    recipe : Recipe
    device : torch.device or str
    told : callable, optional
        Given the step and the mean loss since it was last called, every 100 steps.

    Raises
    ------
    FloatingPointError
        The loss, or a weight or statistic, is not finite.
    """
    network = network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    average = deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, recipe))
    kind = torch.device(device).type
    half = has_bfloat16(kind)
    total, since = 0.0, 0
    for step in range(recipe.steps):
        batch = next(batches)
        x = torch.from_numpy(batch.channels).to(device).to(memory_format=torch.channels_last)
        y = torch.from_numpy(batch.classes).to(device)
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=half):
            out = network(x)
        loss = _loss(out.float(), y, recipe.scale)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        _follow(average, network, min(recipe.average, (1 + step) / (10 + step)))
        total, since = total + float(loss.detach()), since + 1
        if not math.isfinite(total):
            raise FloatingPointError(f"the loss is {total} at step {step}; lower the rate")
        if (step + 1) % 100 == 0:
            _check(average, step)
            if told is not None:
                told(step + 1, total / since)
            total, since = 0.0, 0
    return average.eval()


def _check(network: nn.Module, step: int) -> None:
    """Refuse weights or statistics that are not finite: losses hide those of normalisation."""
    for key, value in network.state_dict().items():
        if not bool(torch.isfinite(value).all()):
            raise FloatingPointError(f"{key} is not finite at step {step}; lower the rate")


def _rate(step: int, recipe: Recipe) -> float:
    warm = max(recipe.warm * recipe.steps, 1)
    if step < warm:
        return (step + 1) / warm
    part = (step - warm) / max(recipe.steps - warm, 1)
    return 0.5 * (1 + math.cos(math.pi * min(part, 1))) + 1e-3


def _loss(out: torch.Tensor, classes: torch.Tensor, scale: bool) -> torch.Tensor:
    """Mean negative log likelihood of the known pixels."""
    mean, spread = out.chunk(2, dim=1) if scale else (out, None)
    known = classes != NO_DATA
    target = torch.where(known, classes, torch.zeros_like(classes)).long()
    losses = -log_likelihood(mean, spread, target)
    return (losses * known).sum() / known.sum().clamp(min=1)


@torch.no_grad()
def _follow(average: nn.Module, network: nn.Module, keep: float) -> None:
    for mine, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if mine.dtype.is_floating_point:
            mine.lerp_(new, 1 - keep)
        else:
            mine.copy_(new)
