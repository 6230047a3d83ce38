"""Models with random weights."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
import small_models
import torch

from cube.infer import blocks
from cube.infer.networks import UNet


@pytest.fixture(autouse=True)
def _seed(request) -> None:
    """Torch draws the same for a test in any order, others for each."""
    torch.manual_seed(zlib.crc32(request.node.nodeid.encode()))


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    return small_models.single_model(tmp_path_factory.mktemp("single") / "random")


@pytest.fixture(scope="session")
def two_branches(tmp_path_factory) -> Path:
    return small_models.two_branch_model(tmp_path_factory.mktemp("two") / "random")


@pytest.fixture
def scarce_memory(monkeypatch) -> None:
    """A device that has no memory for tiles of more than 140 by 140, and has not said so yet."""
    forward = UNet.forward

    def scarce(self: UNet, x: torch.Tensor) -> torch.Tensor:
        if x.shape[-1] * x.shape[-2] > 140 * 140:
            raise torch.OutOfMemoryError("no memory")
        return forward(self, x)

    monkeypatch.setattr(UNet, "forward", scarce)
    monkeypatch.setattr(blocks, "_told", {})
