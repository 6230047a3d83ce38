"""What the chips' own labels would give: a ceiling for models that never saw any.

``python tests/benchmarks/test_chip_ceiling.py DATA`` prints it. A small network of single pixels
with means and unevenness of 3 to 63 pixels around learns from three quarters of each chip, in
blocks of 128 pixels, and tells the rest of the same chip; its probabilities are cut at one half.
Nothing of it is shipped or used: it says how much of a label can be told from one image of two
polarisations, by somebody who knows that very image and that very analyst.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pytest
import test_chips
import torch
from scipy.ndimage import uniform_filter
from torch import nn

from cube.kernels import scores

BLOCK, FOLDS, STEPS = 128, 4, 600


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


def ceiling(data_dir: Path, without: str = "Pakistan") -> tuple[scores.Counts, scores.Reliability]:
    """Scores over all chips but those whose names begin so."""
    counts, reliability = scores.Counts(), scores.Reliability()
    for chip in test_chips.chips(data_dir):
        if chip.name.startswith(without) or not np.isfinite(chip.vv).any():
            continue
        chance = chances(chip)
        found = np.where(np.isnan(chance), test_chips.NO_DATA, chance > 0.5).astype("uint8")
        counts += scores.count(found, chip.label)
        reliability += scores.reliability(chance, chip.label)
    return counts, reliability


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
    for name in ("Pakistan", "nothing"):
        found, told = ceiling(Path(sys.argv[1]), name)
        sys.stdout.write(
            f"without {name}: IoU {found.iou:.3f}, NLL {told.nll:.3f}, ECE {told.ece:.3f}\n"
        )
