"""Blocks on a GPU: bands go up, finished layers come down, and all between stays there.

Channels and heads are those of `cube.infer.channels` and `cube.kernels.expectation` on tensors.
Sums of boxes are added up in the order of the kernel, so they have its bits, and with them the
variance, which is a difference; what is left are the last bits of logarithms and exponentials, and
heads that reckon in float32.

The functions work on tensors of any device, and are tested on those of a processor.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel

from cube.cards import Branch, Input, Normaliser
from cube.infer.heads import nodes
from cube.infer.lanes import Lane, lane
from cube.infer.weights import arithmetic, memory_format, open_networks
from cube.kernels.context import HALO, LEAST_CV
from cube.kernels.expectation import MOST, line_nodes

if TYPE_CHECKING:
    from cube.infer.blocks import Predictor
    from cube.infer.engine import Place

__all__ = ["TILE", "channels", "entropy", "fill", "fits", "probabilities"]

Float32 = NDArray[np.float32]

TILE = 4096
"""Rows and columns that a GPU takes at once: about 4 GB of layers of the default model."""
_REPEATS = 4
"""Tiles of one shape after which cuDNN may try all of its algorithms on it."""
_KNOWN: dict[type[BaseModel], set[str]] = {
    Branch: {
        "name", "inputs", "classes", "gives", "head", "temperature", "normaliser", "network",
        "water_threshold",
    },
    Normaliser: {
        "id", "version", "title", "scale", "limits", "missing", "mean", "deviation", "sources"
    },
    Input: {"band", "earlier", "reference"},
}  # fmt: skip
"""What this module takes into account of cards and normalisers."""

log = logging.getLogger(__name__)
_seen: Counter[tuple[Any, ...]] = Counter()


def fits(branches: Sequence[Branch], normalisers: Sequence[Normaliser]) -> bool:
    """Whether all that these say is reckoned here; else channels and heads are for the CPU."""
    records: list[BaseModel] = [*branches, *normalisers]
    for branch in branches:
        records += branch.parsed
    for record in records:
        known = _KNOWN[type(record)]
        for name, field in type(record).model_fields.items():
            default = field.get_default(call_default_factory=True)
            if name not in known and getattr(record, name) != default:
                return False
    return (
        all(one.power for branch in branches for one in branch.parsed)
        and {branch.head for branch in branches} <= {"softmax", "sigmoid", "heteroscedastic"}
        and {one.scale for one in normalisers} <= {"linear", "decibel", "context"}
        and {one.missing for one in normalisers} <= {"mean", "high"}
    )


def channels(
    values: Sequence[torch.Tensor],
    known: torch.Tensor,
    inputs: Sequence[Input],
    normaliser: Normaliser,
) -> torch.Tensor:
    """Channels of bands, band after band, as `cube.infer.channels.channels` gives them.

    Parameters
    ----------
    values : sequence of float32 tensors, shape (y, x)
        Linear power of each band.
    known : bool tensor, shape (y, x)
        Where all bands count; elsewhere they may hold anything.
    inputs : sequence of Input
    normaliser : Normaliser
        One that `fits`.

    Returns
    -------
    float32 tensor, shape (band * channels of one, y, x)
    """
    many = normaliser.channels
    shape = len(inputs) * many, *known.shape
    out = torch.empty(shape, dtype=torch.float32, device=known.device)
    number = _boxes(known.float()[None])[0] if normaliser.scale == "context" else None
    missing = ~known
    for place, (band, one) in enumerate(zip(values, inputs, strict=True)):
        part = out[place * many : (place + 1) * many]
        low, high = normaliser.limits.get(one.band, (-math.inf, math.inf))
        filled = normaliser.missing == "high" and math.isfinite(high)
        if number is not None:
            _context(torch.where(known, band, 0.0), number, low, high, part)
        else:
            torch.clamp(torch.where(known, band, high if filled else 0.0), low, high, out=part[0])
            if normaliser.scale == "decibel":
                part[0].log10_().mul_(10)
        for channel, mean, deviation in zip(
            part, normaliser.mean[one.band], normaliser.deviation[one.band], strict=True
        ):
            # numbers, not tensors: making one would wait for all that is queued
            channel.sub_(mean).mul_(float(np.float32(1 / deviation)))
            if number is None:  # of context nothing is infinite, and what is missing is covered
                torch.nan_to_num(channel, nan=0.0, out=channel)
            if number is not None or not filled:
                channel.masked_fill_(missing, 0.0)
    return out


def _boxes(values: torch.Tensor) -> torch.Tensor:
    """Sums (image, y, x) of 7 by 7, lines first, in the order of `cube.kernels.context`."""
    edge = 2 * HALO + 1
    pool = torch.nn.functional.avg_pool2d
    lines = pool(values[None], (edge, 1), 1, (HALO, 0), divisor_override=1)
    return pool(lines, (1, edge), 1, (0, HALO), divisor_override=1)[0]


def _context(
    power: torch.Tensor, number: torch.Tensor, low: float, high: float, out: torch.Tensor
) -> None:
    """Three channels (3, y, x) of power (y, x) that is 0 where missing."""
    mean, spread = _boxes(torch.stack([power, power * power])).div_(number).unbind()
    spread.sub_(mean * mean)
    torch.clamp(power, low, high, out=out[0]).log10_().mul_(10)
    torch.clamp(mean, low, high, out=out[1]).log10_().mul_(10)
    spread.clamp_(min=0).sqrt_().div_(mean.clamp_(min=low))
    torch.clamp(spread, min=LEAST_CV, out=out[2]).log_()


def probabilities(branch: Branch, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Probability of each class and its variance over the logits.

    Parameters
    ----------
    branch : Branch
    logits : float32 tensor, shape (output, y, x)

    Returns
    -------
    probability, variance : float32 tensors, shape (class, y, x)
    """
    many = len(branch.classes)
    mean = logits[:many] / branch.temperature
    if branch.head == "sigmoid":
        return torch.sigmoid(mean), torch.zeros_like(mean)
    if branch.head == "softmax":
        return torch.softmax(mean, 0), torch.zeros_like(mean)
    scale = logits[many:].abs() / branch.temperature
    return _of_two(mean, scale) if many == 2 else _of_more(mean, scale)


def _of_two(mean: torch.Tensor, scale: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    middle, width = mean[1] - mean[0], torch.hypot(scale[0], scale[1])
    first, second = torch.zeros_like(middle), torch.zeros_like(middle)
    for point, weight in zip(*line_nodes(), strict=True):
        chance = torch.add(middle, width, alpha=float(point)).sigmoid_()
        first.add_(chance, alpha=float(weight))
        second.addcmul_(chance, chance, value=float(weight))
    variance = second.sub_(first * first).clamp_(min=0)
    return torch.stack([1 - first, first]), variance.expand(2, *variance.shape)


def _of_more(mean: torch.Tensor, scale: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    step = (scale * math.sqrt(3)).clamp_(max=MOST)
    first, second = torch.zeros_like(mean), torch.zeros_like(mean)
    moved = mean.clone()
    for signs, weight in nodes(len(mean)):
        for one, sign in signs.items():
            torch.add(mean[one], step[one], alpha=sign, out=moved[one])
        # of logits, not of products of powers: those would leave the range of float32
        chance = torch.softmax(moved, 0)
        first.add_(chance, alpha=weight)
        second.addcmul_(chance, chance, value=weight)
        for one in signs:
            moved[one] = mean[one]
    return first, second.sub_(first * first).clamp_(min=0)


def entropy(branch: Branch, chance: torch.Tensor) -> torch.Tensor:
    """Entropy in nats (y, x) of classes (class, y, x), of which one is true; or of each by itself.

    NaN where a probability is.
    """
    found: torch.Tensor = torch.special.entr(chance.clamp(min=0)).sum(0)
    if branch.head == "sigmoid":
        found = found + torch.special.entr((1 - chance).clamp(min=0)).sum(0)
    return found


@dataclass
class _Sums:
    """Sums over `networks` members and passes, of which one alone needs but the probabilities."""

    networks: int
    chance: Any = 0.0
    square: Any = 0.0
    variance: Any = 0.0
    spent: Any = 0.0

    def add(self, branch: Branch, logits: torch.Tensor) -> None:
        chance, variance = probabilities(branch, logits)
        self.chance, self.variance = self.chance + chance, self.variance + variance
        if self.networks > 1:
            self.square = self.square + chance * chance
            self.spent = self.spent + entropy(branch, chance)

    def layers(self, branch: Branch) -> dict[str, torch.Tensor]:
        mean = self.chance / self.networks
        best = mean.argmax(0, keepdim=True)
        out = {
            name: reduce(torch.add, [mean[branch.classes.index(one)] for one in parts])
            for name, parts in branch.given.items()
        }
        out["entropy"] = entropy(branch, mean)
        if branch.head == "heteroscedastic":
            out["aleatoric"] = (self.variance / self.networks).gather(0, best)[0]
        if self.networks > 1:
            spread = (self.square / self.networks - mean * mean).clamp_(min=0)
            out["epistemic"] = spread.gather(0, best)[0]
            told = out["entropy"] - self.spent / self.networks
            out["mutual_information"] = told.clamp_(min=0)
        return out


def fill(function: Predictor, values: NDArray[Any], place: Place, out: Float32) -> None:
    """Write layers (layer, y, x) of a place in values (y, x, band), NaN where there are none.

    Raises
    ------
    PlanError
        Values are not linear power.
    torch.OutOfMemoryError
        Even small tiles are too large for the device.
    """
    tiles = list(function.tiles(place))
    while tiles:
        part = tiles.pop(0)
        try:
            with torch.inference_mode():
                _tile(function, values, place, part, out)
            continue
        except torch.OutOfMemoryError:
            tiles[:0] = function.smaller(part)
        # out of the handler: the error holds what was on the device
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _tile(
    function: Predictor,
    values: NDArray[Any],
    place: Place,
    part: tuple[slice, slice],
    out: Float32,
) -> None:
    wide, inner, target = [], [], []
    whole = place.rows, place.cols
    for one, size, asked in zip(part, values.shape[:2], whole, strict=True):
        first = max(one.start - function.halo, 0)
        wide.append(slice(first, min(one.stop + function.halo, size)))
        inner.append(slice(one.start - first, one.stop - first))
        target.append(slice(one.start - asked.start, one.stop - asked.start))
    at = place.top + target[0].start, place.left + target[1].start
    rows, cols = inner
    branches = function.cards[0].branches
    with lane(torch.device(function.device)) as way:
        bands = way.up(values[wide[0], wide[1]]).movedim(-1, 0).unbind()
        finite = [torch.isfinite(band) for band in bands]
        known = [
            reduce(torch.logical_and, [finite[function.inputs.index(name)] for name in one.inputs])
            for one in branches
        ]
        wanted, open_to = [], torch.ones_like(known[0][rows, cols])
        for there in known:
            wanted.append(there[rows, cols] & open_to)
            open_to = open_to & ~wanted[-1]
        used = _facts(function, way, bands, finite, wanted)
        layers = torch.full(
            (len(function.layers), *open_to.shape),
            math.nan,
            dtype=torch.float32,
            device=open_to.device,
        )
        if any(used):
            with way.turn():
                for number, branch in enumerate(branches):
                    if not used[number]:
                        continue
                    given = [bands[function.inputs.index(name)] for name in branch.inputs]
                    found = _branch(function, number, given, known[number], (rows, cols), at)
                    for layer, name in zip(layers, function.layers, strict=True):
                        if name in found:
                            torch.where(wanted[number], found[name], layer, out=layer)
        way.down(layers, out[:, target[0], target[1]])


def _facts(
    function: Predictor,
    way: Lane,
    bands: Sequence[torch.Tensor],
    finite: Sequence[torch.Tensor],
    wanted: Sequence[torch.Tensor],
) -> list[bool]:
    """Whether each branch is used at any pixel; refuses bands that are no linear power."""
    least = [
        torch.where(there, band, math.inf).amin() for band, there in zip(bands, finite, strict=True)
    ]
    found = way.facts(torch.stack([*least, *(one.any().float() for one in wanted)]))
    function.refuse(found[: len(bands)])
    return [value > 0 for value in found[len(bands) :]]


def _branch(
    function: Predictor,
    number: int,
    bands: Sequence[torch.Tensor],
    known: torch.Tensor,
    inner: tuple[slice, slice],
    at: tuple[int, int],
) -> dict[str, torch.Tensor]:
    """Layers (y, x) of the inner part of a tile by the branch of that number."""
    branch = function.cards[0].branches[number]
    given = channels(bands, known, branch.parsed, function.normalisers[number])
    ends = [-size % function.stride for size in known.shape]
    if any(ends):
        given = torch.nn.functional.pad(given, (0, ends[1], 0, ends[0]))
    order = memory_format(function.device, function.precision)
    sums = _Sums(len(function.members) * max(function.passes, 1))
    for reference, card in zip(function.members, function.cards, strict=True):
        ready = open_networks(
            reference.where, reference.sha256, function.device, function.precision
        )
        network = ready[card.branches[number].name]
        kind = next(network.parameters()).dtype
        tensor = given[None].to(dtype=kind, memory_format=order)
        shape = (tensor.device, tensor.dtype, *tensor.shape)
        _seen[shape] += 1
        with arithmetic(function.device, repeated=_seen[shape] > _REPEATS):
            for turn in range(max(function.passes, 1)):
                network.leave_out((function.seed, *at, number, turn) if function.passes else None)
                logits = network(tensor)[0][:, inner[0], inner[1]]
                sums.add(card.branches[number], logits.float().contiguous())
    return sums.layers(branch)
