"""What networks say about one block: probabilities of classes and how uncertain they are."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cube.cards import Branch, Card, Input, Normaliser
from cube.errors import PlanError
from cube.infer.channels import channels
from cube.infer.engine import Place
from cube.infer.networks import UNet
from cube.infer.on_device import TILE, fill, fits
from cube.infer.weights import Precision, arithmetic, open_networks
from cube.kernels.expectation import class_probabilities, entropy

__all__ = ["DROPOUT_TILE", "Predictor", "Reference"]

Float32 = NDArray[np.float32]

DROPOUT_TILE = 512
"""Rows and columns that share the channels left out of one pass."""
_TILE = 1024
_LEAST_TILE = 64

log = logging.getLogger(__name__)
_turn = threading.Lock()
_told: dict[str, int] = {}
"""Devices that had no memory for larger tiles than these."""
_slow: set[str] = set()
"""Models that were told not to be reckoned on the device as a whole."""


@dataclass(frozen=True)
class Reference:
    """A model by where it lies and what its weights are: all of it that a graph holds."""

    where: str
    sha256: str


@dataclass(frozen=True)
class Predictor:
    """A function of blocks, for `cube.infer.engine.map_chunks`.

    One network runs at a time in a process, on all threads that the process may use: what layers
    hold is needed once, however many threads dask has.

    Attributes
    ----------
    members : tuple of Reference
        Models whose probabilities are averaged.
    cards : tuple of Card
    normalisers : tuple of Normaliser
        Of the branches, in order; members agree in them.
    inputs : tuple of str
        Bands of the block, in order.
    layers : tuple of str
        What is given, in order.
    halo : int
    stride : int
    device : str
    precision : str
    passes : int
        Passes with channels left out, for each member; 0 for one with all of them.
    seed : int
    """

    members: tuple[Reference, ...]
    cards: tuple[Card, ...]
    normalisers: tuple[Normaliser, ...]
    inputs: tuple[str, ...]
    layers: tuple[str, ...]
    halo: int
    stride: int
    device: str
    precision: Precision
    passes: int = 0
    seed: int = 0

    def __call__(self, values: NDArray[Any], place: Place) -> Float32:
        """Layers (…, y, x, layer) of a place in values (…, y, x, band)."""
        lead = values.shape[:-3]
        flat = values.reshape(-1, *values.shape[-3:])
        rows, cols = place.rows.stop - place.rows.start, place.cols.stop - place.cols.start
        out = np.empty((len(flat), len(self.layers), rows, cols), "float32")
        for one, layers in zip(flat, out, strict=True):
            self.fill(np.moveaxis(one, -1, 0), place, layers)
        return np.moveaxis(out, 1, -1).reshape(*lead, rows, cols, len(self.layers))

    def _on_device(self) -> bool:
        """Whether channels and heads are reckoned on a GPU, with the network."""
        if torch.device(self.device).type != "cuda":
            return False
        able = fits(self.cards[0].branches, self.normalisers)
        if not able and self.cards[0].name not in _slow:
            _slow.add(self.cards[0].name)
            log.warning(
                "model %s: channels and heads are reckoned on the CPU, there are none like these"
                " on %s",
                self.cards[0].name,
                self.device,
            )
        return able

    def fill(self, values: NDArray[Any], place: Place, out: Float32) -> None:
        """Write layers (layer, y, x) of a place in bands (band, y, x), NaN where there are none."""
        if self._on_device():
            fill(self, np.moveaxis(values, 0, -1), place, out)
            return
        out[:] = np.nan
        bands = np.ascontiguousarray(values, dtype=np.float32)
        finite: NDArray[np.bool_] = np.isfinite(bands)
        self.refuse(
            [
                float(np.min(band, where=known, initial=np.inf))
                for band, known in zip(bands, finite, strict=True)
            ]
        )
        open_to = np.ones(out.shape[1:], bool)
        branches = zip(self.cards[0].branches, self.normalisers, strict=True)
        for number, (branch, normaliser) in enumerate(branches):
            order = [self.inputs.index(name) for name in branch.inputs]
            known = np.asarray(finite[order].all(axis=0))
            wanted = known[place.rows, place.cols] & open_to
            if not wanted.any():
                continue
            given = np.where(known, bands[order], np.float32(np.nan))
            prepared = channels(given, branch.parsed, normaliser)
            tiles = list(self.tiles(place))
            while tiles:
                part = tiles.pop(0)
                inner = (
                    slice(part[0].start - place.rows.start, part[0].stop - place.rows.start),
                    slice(part[1].start - place.cols.start, part[1].stop - place.cols.start),
                )
                if not wanted[inner].any():
                    continue
                at = place.top + inner[0].start, place.left + inner[1].start
                try:
                    found = self._tile(number, prepared, part, at)
                except torch.OutOfMemoryError:
                    tiles[:0] = self.smaller(part)
                    continue
                target, where = out[:, inner[0], inner[1]], wanted[inner]
                for layer, values in zip(self.layers, target, strict=True):
                    if layer in found:
                        values[where] = found[layer][where]
            open_to &= ~wanted

    def refuse(self, least: Sequence[float]) -> None:
        """Refuse bands whose least finite values are not those of linear power."""
        for name, value in zip(self.inputs, least, strict=True):
            if Input.parse(name).power and value < 0:
                raise PlanError(
                    f"model {self.cards[0].name} takes linear power, found {value:g} in"
                    f" {name}; are the bands in decibels?"
                )

    def tiles(self, place: Place) -> Iterator[tuple[slice, slice]]:
        """Parts of a place that a network takes at once: what its layers hold grows with them."""
        most = TILE if torch.device(self.device).type == "cuda" else _TILE
        edge = DROPOUT_TILE if self.passes else max(most // self.stride, 1) * self.stride
        return _pieces(place.rows, place.cols, min(edge, _told.get(self.device, edge)))

    def smaller(self, part: tuple[slice, slice]) -> list[tuple[slice, slice]]:
        """Quarters of a tile that the device has no memory for; raises as it was if it is small."""
        edge = max(max(one.stop - one.start for one in part) // 2, 1)
        edge = -(-edge // self.stride) * self.stride
        if edge < _LEAST_TILE or self.passes:
            raise
        if _told.get(self.device, edge + 1) > edge:
            _told[self.device] = edge
            log.warning("%s: out of memory; tiles of %d pixels from here on", self.device, edge)
        return list(_pieces(part[0], part[1], edge))

    def _tile(
        self, number: int, prepared: Float32, part: tuple[slice, slice], at: tuple[int, int]
    ) -> dict[str, Float32]:
        """Layers of a tile by the branch of that number."""
        wide, inner = [], []
        for one, size in zip(part, prepared.shape[1:], strict=True):
            first = max(one.start - self.halo, 0)
            wide.append(slice(first, min(one.stop + self.halo, size)))
            inner.append(slice(one.start - first, one.stop - first))
        given = prepared[:, wide[0], wide[1]]
        ends = [(0, -size % self.stride) for size in given.shape[1:]]
        padded = np.pad(given, ((0, 0), *ends)) if any(end for _, end in ends) else given
        sums, branch = _Sums(), self.cards[0].branches[number]
        for reference, card in zip(self.members, self.cards, strict=True):
            ready = open_networks(reference.where, reference.sha256, self.device, self.precision)
            network = ready[card.branches[number].name]
            for turn in range(max(self.passes, 1)):
                seed = (self.seed, *at, number, turn) if self.passes else None
                logits = _logits(network, padded, self.device, seed)[:, inner[0], inner[1]]
                chance, variance = _head(card.branches[number], logits)
                sums.add(chance, variance, _entropy(branch, chance))
        return sums.layers(branch)


def _pieces(rows: slice, cols: slice, edge: int) -> Iterator[tuple[slice, slice]]:
    for top in range(rows.start, rows.stop, edge):
        for left in range(cols.start, cols.stop, edge):
            yield (
                slice(top, min(top + edge, rows.stop)),
                slice(left, min(left + edge, cols.stop)),
            )


@dataclass
class _Sums:
    """Sums over members and passes."""

    count: int = 0
    chance: Any = 0.0
    square: Any = 0.0
    variance: Any = 0.0
    spent: Any = 0.0

    def add(self, chance: Float32, variance: Float32, spent: Float32) -> None:
        self.count += 1
        self.chance = self.chance + chance
        self.square = self.square + chance * chance
        self.variance = self.variance + variance
        self.spent = self.spent + spent

    def layers(self, branch: Branch) -> dict[str, Float32]:
        mean = self.chance / self.count
        best = mean.argmax(axis=0)[None]
        out = {
            name: mean[[branch.classes.index(one) for one in parts]].sum(axis=0)
            for name, parts in branch.given.items()
        }
        out["entropy"] = _entropy(branch, mean)
        if branch.head == "heteroscedastic":
            out["aleatoric"] = np.take_along_axis(self.variance / self.count, best, 0)[0]
        if self.count > 1:
            spread = np.maximum(self.square / self.count - mean * mean, 0)
            out["epistemic"] = np.take_along_axis(spread, best, 0)[0]
            out["mutual_information"] = np.maximum(out["entropy"] - self.spent / self.count, 0)
        return out


def _head(branch: Branch, logits: Float32) -> tuple[Float32, Float32]:
    """Probability of each class and its variance over the logits."""
    if branch.head == "sigmoid":
        chance = 1 / (1 + np.exp(-logits / np.float32(branch.temperature)))
        return chance, np.zeros_like(chance)
    many = len(branch.classes)
    scale = logits[many:] if branch.head == "heteroscedastic" else None
    return class_probabilities(logits[:many], scale, branch.temperature)


def _entropy(branch: Branch, chance: Float32) -> Float32:
    """Entropy of classes, of which one is true; or of each by itself."""
    if branch.head != "sigmoid":
        return entropy(chance)
    each = [entropy(np.stack([one, 1 - one])) for one in chance]
    return np.asarray(np.sum(each, axis=0), "float32")


def _logits(network: UNet, given: Float32, device: str, seed: tuple[int, ...] | None) -> Float32:
    """Outputs of a network, which has the process to itself meanwhile; `seed` of its dropout."""
    kind = next(network.parameters()).dtype
    with _turn, torch.inference_mode():
        torch.set_num_threads(_threads())
        network.leave_out(seed)
        tensor = torch.from_numpy(given)[None].to(device=device, dtype=kind)
        tensor = tensor.contiguous(memory_format=torch.channels_last)
        with arithmetic(device):
            out: Float32 = network(tensor)[0].float().cpu().numpy()
        return out


def _threads() -> int:
    """Threads of this process: those of the dask worker that it is, else all that it may use."""
    try:
        from distributed import get_worker

        return max(int(get_worker().state.nthreads), 1)
    except (ImportError, ValueError):
        return len(os.sched_getaffinity(0))
