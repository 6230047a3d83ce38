"""Reach, stride and folding of architectures."""

from __future__ import annotations

import pytest
import torch
from small_models import random_weights

from cube.infer.networks import UNet, build


@pytest.mark.parametrize("patch", [1, 2, 3])
@pytest.mark.parametrize("widths", [(3,), (3, 4), (3, 4, 5)])
def test_the_reach_is_exact(widths, patch):
    """Where all weights are above 0, a row that outshines the others changes all in its reach.

    Not by gradients: of four cells that are pooled only the largest has one.
    """
    network = UNet(2, 1, widths, patch).eval().double()
    with torch.no_grad():
        for weight in network.parameters():
            weight.abs_().add_(0.1)
    size = (2 * -(-network.reach // network.stride) + 4) * network.stride
    image = torch.rand(1, 2, size, size, dtype=torch.float64)
    middle, farthest = size // 2 // network.stride * network.stride, 0
    with torch.inference_mode():
        before = network(image)[0, 0]
        for row in range(middle, middle + network.stride):
            bright = image.clone()
            bright[..., row, :] += 1e6
            change = (network(bright)[0, 0] - before).abs().amax(1)
            at = (change > 1e-9 * change.max()).nonzero()[:, 0]
            farthest = max(farthest, row - int(at.min()), int(at.max()) - row)
    assert farthest == network.reach


def test_folding_normalisation_changes_nothing_but_rounding():
    network = UNet(2, 2, (4, 6, 8))
    network.load_state_dict(random_weights())
    image = torch.rand(1, 2, 32, 32)
    with torch.inference_mode():
        before = network.eval()(image)
        after = network.fuse()(image)
        again = network.fuse()(image)
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(again, after, atol=0, rtol=0)
    assert not any(isinstance(one, torch.nn.BatchNorm2d) for one in network.modules())


def test_sizes_that_are_none_are_refused():
    with pytest.raises(ValueError, match="give 1 or more"):
        UNet(2, 1, (4, 0))
    with pytest.raises(ValueError, match="known: unet"):
        build("resnet", 2, 1, (4,))
