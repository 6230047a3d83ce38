"""Statistics of a block of backscatter per stored tile: sums that do not depend on the layout."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cube.chunks import tiles
from cube.kernels.radiometry import FLOOR
from cube.kernels.water import histogram
from cube.schema import CHUNK

__all__ = ["floored_counts", "tile_histograms"]


def tile_histograms(block: NDArray[np.float32], vv: int, vh: int | None) -> NDArray[np.uint16]:
    """Joint histogram of multilooked VV and VH of every tile of a block.

    Parameters
    ----------
    block : float32, shape (band, y, x)
        Linear power.
    vv, vh : int
        Bands; `vh` is None for single polarisation.

    Returns
    -------
    uint16, shape (tile_y, tile_x, vv_bin, vh_bin)
        A tile holds at most 128 x 128 cells of 4 x 4 pixels.
    """
    shape = block.shape[1:]
    rows = []
    for part_y, part_x in tiles(slice(0, shape[0]), slice(0, shape[1]), shape):
        cross = None if vh is None else block[vh, part_y, part_x]
        rows.append(((part_y.start, part_x.start), histogram(block[vv, part_y, part_x], cross)))
    starts = sorted({at[0] for at, _ in rows})
    across = len(rows) // len(starts)
    stacked = np.stack([counts for _, counts in rows]).astype("uint16")
    return stacked.reshape(len(starts), across, *stacked.shape[1:])


def floored_counts(block: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Valid samples, and those left without power by noise removal, per tile and band.

    Returns
    -------
    uint32, shape (tile_y, tile_x, band, 2)
        Valid samples, then those at the floor.
    """
    shape = block.shape[1:]
    found = []
    for part_y, part_x in tiles(slice(0, shape[0]), slice(0, shape[1]), shape):
        part = block[:, part_y, part_x]
        valid = np.isfinite(part).sum(axis=(1, 2))
        found.append(np.stack([valid, (part == FLOOR).sum(axis=(1, 2))], axis=-1))
    across = -(-shape[1] // CHUNK)
    return np.stack(found).astype("uint32").reshape(-1, across, len(block), 2)
