"""Small models with random weights, written as folders."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors.torch import save_file

from cube.infer.networks import UNet

WIDTHS = (4, 6, 8)

SINGLE = """
[[branches]]
name = "single"
inputs = ["vv", "vh"]
classes = ["dry", "water"]
head = "softmax"
normaliser = "copernicusfm-db@1"
[branches.gives]
water_probability = ["water"]
[branches.network]
name = "unet"
widths = [4, 6, 8]
"""

CHANGE = """
[[branches]]
name = "change"
inputs = ["vv", "vh", "reference_vv", "reference_vh"]
classes = ["dry", "permanent_water", "flood"]
head = "heteroscedastic"
normaliser = "floodcube-context@1"
[branches.gives]
water_probability = ["permanent_water", "flood"]
flood_probability = ["flood"]
[branches.network]
name = "unet"
widths = [4, 6, 8]
dropout = 0.2
"""

SINGLE_TOO = (
    SINGLE.replace("copernicusfm-db@1", "floodcube-context@1")
    .replace('head = "softmax"', 'head = "heteroscedastic"')
    .replace("widths = [4, 6, 8]", "widths = [4, 6, 8]\ndropout = 0.2")
)

HEAD = """
id = "random"
version = 1
title = "Random weights, for tests"
units = "linear power"
licence = "none"
training = "none"
sources = ["tests"]
sha256 = "{sha256}"
"""


def random_weights(
    inputs: int = 2, outputs: int = 2, seed: int = 0, widths: tuple[int, ...] = WIDTHS
) -> dict[str, torch.Tensor]:
    """Weights of a network that is not quite new: its statistics have moved."""
    torch.manual_seed(seed)
    network = UNet(inputs, outputs, widths)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data.mul_(2.5)  # else the biases outweigh what is seen
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 2)
    return network.state_dict()


def named(branch: str, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights with the name of their branch before each key."""
    return {f"{branch}.{key}": value for key, value in weights.items()}


def write_model(folder: Path, weights: dict[str, torch.Tensor], card: str) -> Path:
    """Folder with weights and the card that names their sha256."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "model.safetensors")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    (folder / "card.toml").write_text(card.replace("{sha256}", digest))
    return folder


def single_model(folder: Path, seed: int = 0) -> Path:
    """One branch, softmax, one date."""
    return write_model(folder, named("single", random_weights(seed=seed)), HEAD + SINGLE)


def two_branch_model(folder: Path, seed: int = 0) -> Path:
    """Before and during, and one date alone; heteroscedastic, with dropout."""
    change = random_weights(12, 6, seed)
    change["head.bias"][2] += 1.5  # some pixels are flood
    weights = named("change", change)
    weights |= named("single", random_weights(6, 4, seed + 100))
    return write_model(folder, weights, HEAD + CHANGE + SINGLE_TOO)
