"""Architectures, each with how far a pixel of its output looks and what its grid is aligned to."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

__all__ = ["UNet", "build"]


class _Pair(nn.Sequential):
    """Two convolutions of 3 by 3 with normalisation."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class UNet(nn.Module):
    """U-Net (Ronneberger et al. 2015, arXiv 1505.04597) with padding and nearest upsampling.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    widths : sequence of int
        Channels of each level; each is half as fine as the one before.
    """

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        if len(widths) < 1 or min(inputs, outputs, *widths) < 1:
            raise ValueError(f"widths {list(widths)}, {inputs} to {outputs}; give 1 or more")
        before = [inputs, *widths[:-1]]
        self.down = nn.ModuleList(_Pair(a, b) for a, b in zip(before, widths, strict=True))
        self.up = nn.ModuleList(
            _Pair(coarse + fine, fine) for fine, coarse in reversed(list(pairwise(widths)))
        )
        self.head = nn.Conv2d(widths[0], outputs, 1)
        self.stride = int(2 ** (len(widths) - 1))
        """Rows and columns are multiples of it, counted from one origin."""

    @property
    def reach(self) -> int:
        """Pixels around one of the output that it depends on.

        At level i a pair of convolutions looks 2 pixels of 2^i far, on the way down and (but for
        the coarsest) up; what is pooled or repeated belongs to a cell of the coarsest level.
        """
        levels = range(len(self.down))
        down = sum(2 * 2**level for level in levels)
        up = sum(2 * 2**level for level in list(levels)[:-1])
        return int(down + up + self.stride - 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (batch, outputs, y, x) of inputs (batch, inputs, y, x)."""
        kept = []
        for level, pair in enumerate(self.down):
            x = pair(x if level == 0 else nn.functional.max_pool2d(x, 2))
            kept.append(x)
        kept.pop()
        for pair in self.up:
            x = nn.functional.interpolate(x, scale_factor=2, mode="nearest")
            x = pair(torch.cat([x, kept.pop()], dim=1))
        out: torch.Tensor = self.head(x)
        return out


def build(name: str, inputs: int, outputs: int, widths: Sequence[int]) -> UNet:
    """Architecture by its name on a card.

    Raises
    ------
    ValueError
        An unknown name, or widths that are none.
    """
    if name != "unet":
        raise ValueError(f"unknown architecture {name!r}; known: unet")
    return UNet(inputs, outputs, widths)
