"""What hand-drawn labels would give: ceilings for a model that never saw any.

``python tests/benchmarks/test_chip_ceiling.py DATA`` prints two; nothing of them is shipped or
used.

*The chip's own labels*: a small network of single pixels with means and unevenness of 3 to 63
pixels around learns from three quarters of each chip, in blocks of 128 pixels, and tells the rest
of the same chip: how much of a label can be told from one image of two polarisations, by somebody
who knows that very image and that very analyst.

*Labels of other places*: the default model goes on learning from all other chips but Pakistan's,
and tells the one that it has not seen: what real labels would add to simulation, as far as these
few can say.

Probabilities are cut at one half.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pytest
import test_chips
import torch
from scipy.ndimage import uniform_filter
from torch import nn

from cube.catalog import load_model
from cube.infer.channels import channels
from cube.infer.training import Batches, Recipe, fit
from cube.infer.weights import open_networks
from cube.kernels import scores
from cube.kernels.expectation import class_probabilities

BLOCK, FOLDS, STEPS = 128, 4, 600
CROP, RATE, MORE = 192, 3e-4, 200
"""Rows and columns to go on learning from, a tenth of the rate of simulation, and the steps."""
ASIDE = "Pakistan"
"""Half of the water that its label shows looks like land: it would teach that land is water."""


def features(chip: test_chips.Chip) -> np.ndarray:
    """Decibels of pixels and surroundings, and their coefficients of variation (y, x, feature)."""
    valid = np.isfinite(chip.vv) & np.isfinite(chip.vh)
    out = []
    for band in (chip.vv, chip.vh):
        power = np.where(valid, band, 0).astype("float64")
        out.append(test_chips.decibel(power))
        for width in (3, 7, 15, 31, 63):
            share = np.maximum(uniform_filter(valid.astype("float64"), width), 1e-9)
            mean = uniform_filter(power, width) / share
            spread = np.maximum(uniform_filter(power**2, width) / share - mean**2, 0)
            out += [test_chips.decibel(mean), np.sqrt(spread) / np.maximum(mean, 1e-9)]
    return np.stack(out, axis=-1).astype("float32")


def learnt(given: np.ndarray, water: np.ndarray) -> nn.Module:
    """A network of pixels (pixel, feature) and what they are."""
    torch.manual_seed(0)
    x, y = torch.from_numpy(given), torch.from_numpy(water.astype("float32"))
    sizes = (given.shape[1], 64), (64, 64), (64, 1)
    layers = [part for size in sizes for part in (nn.Linear(*size), nn.ReLU())][:-1]
    network = nn.Sequential(*layers)
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for _ in range(STEPS):
        some = torch.randint(len(x), (4096,))
        loss = nn.functional.binary_cross_entropy_with_logits(network(x[some])[:, 0], y[some])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return network


def chances(chip: test_chips.Chip) -> np.ndarray:
    """Probability of water, of every block by a network that learnt from others; NaN elsewhere."""
    known = (chip.label != test_chips.NO_DATA) & np.isfinite(chip.vv) & np.isfinite(chip.vh)
    water, given = chip.label == 1, features(chip)
    given = (given - given[known].mean(axis=0)) / (given[known].std(axis=0) + 1e-6)
    rows, cols = np.indices(known.shape) // BLOCK
    fold = (rows + cols) % FOLDS
    out = np.full(known.shape, np.nan, "float32")
    for number in range(FOLDS):
        others, these = known & (fold != number), known & (fold == number)
        if not water[others].any():  # nothing to learn: all is dry
            out[these] = 0
            continue
        network = learnt(given[others], water[others])
        with torch.inference_mode():
            out[these] = torch.sigmoid(network(torch.from_numpy(given[these]))[:, 0]).numpy()
    return out


@dataclass(frozen=True)
class Crop:
    """Part of a chip, as training takes it."""

    bands: dict[str, np.ndarray]
    classes: np.ndarray
    hidden: np.ndarray


class Crops:
    """Parts of chips by number, each chip as often as the others."""

    def __init__(self, chips: list[test_chips.Chip]) -> None:
        self.chips = chips

    def __getitem__(self, number: int) -> Crop:
        rng = np.random.default_rng(number)
        chip = self.chips[rng.integers(len(self.chips))]
        top, left = (rng.integers(size - CROP + 1) for size in chip.label.shape)
        part = slice(top, top + CROP), slice(left, left + CROP)
        known = np.isfinite(chip.vv) & np.isfinite(chip.vh)
        label = np.where(known, chip.label, test_chips.NO_DATA)[part].astype("uint8")
        return Crop({"vv": chip.vv[part], "vh": chip.vh[part]}, label, np.zeros_like(label, bool))


def transferred(chip: test_chips.Chip, others: list[test_chips.Chip], steps: int) -> np.ndarray:
    """Probability of water by the default model that went on learning from other chips."""
    model = load_model("default")
    number = [one.name for one in model.card.branches].index("single")
    branch, normaliser = model.card.branches[number], model.normalisers[number]
    networks = open_networks("default", model.card.sha256, "cpu", "float32")
    network = deepcopy(networks["single"]).requires_grad_(True)
    torch.manual_seed(0)
    batches = Batches(Crops(others), branch, 8, 0, steps)
    recipe = Recipe(steps, rate=RATE, average=0.99)
    network = fit(network, batches.made_by(0), recipe)
    bands = np.stack([chip.vv, chip.vh])
    with torch.inference_mode():
        out = network(torch.from_numpy(channels(bands, branch.parsed, normaliser))[None])
    mean, scale = out[0].numpy().reshape(2, len(branch.classes), -1)
    chance, _ = class_probabilities(mean, scale, branch.temperature)
    return np.where(np.isfinite(bands).all(axis=0), chance[1].reshape(chip.vv.shape), np.nan)


def of_other_places(chip: test_chips.Chip, everything: list[test_chips.Chip]) -> np.ndarray:
    """`transferred` from all chips but this one."""
    others = [one for one in everything if one.name != chip.name]
    return transferred(chip, [one for one in others if not one.name.startswith(ASIDE)], MORE)


def ceiling(
    data_dir: Path, without: str = "Pakistan", told_by: Callable[..., np.ndarray] | None = None
) -> tuple[scores.Counts, scores.Reliability]:
    """Scores over all chips but those whose names begin so, by a function of chip and all chips."""
    counts, reliability = scores.Counts(), scores.Reliability()
    everything = [one for one in test_chips.chips(data_dir) if np.isfinite(one.vv).any()]
    for chip in everything:
        if chip.name.startswith(without):
            continue
        chance = chances(chip) if told_by is None else told_by(chip, everything)
        found = np.where(np.isnan(chance), test_chips.NO_DATA, chance > 0.5).astype("uint8")
        counts += scores.count(found, chip.label)
        reliability += scores.reliability(chance, chip.label)
    return counts, reliability


def test_what_is_learnt_from_other_chips_changes_what_is_told_of_one(data_dir):
    everything = [one for one in test_chips.chips(data_dir) if np.isfinite(one.vv).any()]
    chip = next(one for one in everything if one.name.startswith("India"))
    first, second = (transferred(chip, everything[:2], steps) for steps in (1, 3))
    np.testing.assert_array_equal(np.isnan(first), np.isnan(chip.vv) | np.isnan(chip.vh))
    assert np.nanmin(first) >= 0
    assert np.nanmax(first) <= 1
    assert not np.array_equal(first, second, equal_nan=True)


@pytest.mark.slow
def test_the_default_model_is_near_what_the_labels_themselves_would_give(data_dir):
    counts, reliability = ceiling(data_dir)
    model = test_chips.pooled_model(test_chips.model_table(data_dir, "default"), "Pakistan")
    print(f"ceiling: IoU {counts.iou:.3f}, NLL {reliability.nll:.3f}")
    print(f"default: IoU {model.found.iou:.3f}, NLL {model.reliability.nll:.3f}")
    # 0.05: what labels alone mean on one chip
    assert counts.iou - 0.06 < model.found.iou < counts.iou + 0.05
    assert model.reliability.nll < reliability.nll + 0.03


if __name__ == "__main__":
    for kind, told_by in (("own labels", None), ("labels of other places", of_other_places)):
        for name in ("Pakistan", "nothing"):
            found, told = ceiling(Path(sys.argv[1]), name, told_by)
            sys.stdout.write(
                f"{kind}, without {name}: IoU {found.iou:.3f}, NLL {told.nll:.3f}, "
                f"ECE {told.ece:.3f}\n"
            )
