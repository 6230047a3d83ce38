"""Architectures, each with how far a pixel of its output looks and what its grid is aligned to."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

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

    def fuse(self) -> None:
        """Fold normalisation into the convolutions: the same function, two passes less."""
        for place in (0, 3):
            convolution, normalisation = self[place], self[place + 1]
            if isinstance(convolution, nn.Conv2d) and isinstance(normalisation, nn.BatchNorm2d):
                self[place] = fuse_conv_bn_eval(convolution, normalisation)
                self[place + 1] = nn.Identity()


class UNet(nn.Module):
    """U-Net with padding, nearest upsampling and skips that add.

    The form of Ronneberger et al. 2015 (arXiv 1505.04597); skips add as in LinkNet (Chaurasia and
    Culurciello 2017, arXiv 1707.03718), which halves the cost of the finest level, and the finest
    level may work on patches of pixels (Shi et al. 2016, arXiv 1609.05158): Sentinel-1 resolves 20
    m where its pixels are 10 m.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    widths : sequence of int
        Channels of each level; each is half as fine as the one before.
    patch : int
        Rows and columns of pixels that are one cell of the finest level.
    dropout : float
        Share of channels left out below the finest level, in training and where it is asked for
        when predicting (Gal and Ghahramani 2016, arXiv 1506.02142).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        widths: Sequence[int],
        patch: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if len(widths) < 1 or min(inputs, outputs, patch, *widths) < 1:
            raise ValueError(
                f"widths {list(widths)}, patch {patch}, {inputs} to {outputs}; give 1 or more"
            )
        self.inputs, self.patch = inputs, patch
        before = [inputs * patch**2, *widths[:-1]]
        self.down = nn.ModuleList(_Pair(a, b) for a, b in zip(before, widths, strict=True))
        finer = list(reversed(list(pairwise(widths))))
        self.across = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in finer)
        self.up = nn.ModuleList(_Pair(fine, fine) for fine, _ in finer)
        self.drop = nn.Dropout2d(dropout)
        self.head = nn.Conv2d(widths[0], outputs * patch**2, 1)
        self.stride = int(patch * 2 ** (len(widths) - 1))
        """Rows and columns are multiples of it, counted from one origin."""

    @property
    def reach(self) -> int:
        """Pixels around one of the output that it depends on.

        At level i a pair of convolutions looks 2 cells of 2^i far, on the way down and (but for
        the coarsest) up; what is pooled or repeated belongs to a cell of the coarsest level.
        """
        levels = range(len(self.down))
        down = sum(2 * 2**level for level in levels)
        up = sum(2 * 2**level for level in list(levels)[:-1])
        return int(self.patch * (down + up) + self.stride - 1)

    def fuse(self) -> UNet:
        """Itself, for prediction only: normalisation folded into the convolutions."""
        self.eval()
        for pair in (*self.down, *self.up):
            pair.fuse()
        return self

    def leave_out(self, seed: tuple[int, ...] | None) -> None:
        """Leave channels out at random from here on, by the noise of a seed; None leaves none out.

        The generator is that of the process: one thread at a time.
        """
        if seed is not None:
            mixed = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
            torch.manual_seed(int(mixed >> np.uint64(1)))
        self.drop.train(seed is not None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs (batch, outputs, y, x) of inputs (batch, inputs, y, x)."""
        if self.patch > 1:
            x = nn.functional.pixel_unshuffle(x, self.patch)
        kept = []
        for level, pair in enumerate(self.down):
            x = pair(x if level == 0 else nn.functional.max_pool2d(x, 2))
            x = x if level == 0 else self.drop(x)
            kept.append(x)
        kept.pop()
        for across, pair in zip(self.across, self.up, strict=True):
            x = nn.functional.interpolate(across(x), scale_factor=2, mode="nearest")
            x = pair(x + kept.pop())
        out: torch.Tensor = self.head(x)
        return nn.functional.pixel_shuffle(out, self.patch) if self.patch > 1 else out


def build(
    name: str,
    inputs: int,
    outputs: int,
    widths: Sequence[int],
    patch: int = 1,
    dropout: float = 0.0,
) -> UNet:
    """Architecture by its name on a card.

    Raises
    ------
    ValueError
        An unknown name, or widths that are none.
    """
    if name != "unet":
        raise ValueError(f"unknown architecture {name!r}; known: unet")
    return UNet(inputs, outputs, widths, patch, dropout)
