"""How high cells lie above the channel that they drain to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cube.kernels.compiled import compiled


@compiled
def _above(drain, downstream, sequence, height):  # type: ignore[no-untyped-def]
    out = np.full(len(drain), np.nan)
    for cell in sequence:  # from the mouth upwards
        if drain[cell]:
            out[cell] = 0.0
        else:  # a mouth that is no channel flows to itself, which is not known
            out[cell] = out[downstream[cell]] + (height[cell] - height[downstream[cell]])
    return out


def height_above_channel(
    drain: NDArray[np.bool_],
    downstream: NDArray[np.int64],
    sequence: NDArray[np.int64],
    height: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Height of cells above the first channel on their flow path.

    Parameters
    ----------
    drain : bool, shape (cells,)
        Channels.
    downstream : integer, shape (cells,)
        Index of the next cell; a mouth points to itself.
    sequence : integer, shape (cells,)
        Cells ordered from mouths to sources.
    height : float32, shape (cells,)
        Metres.

    Returns
    -------
    float64, shape (cells,)
        Metres, the sum of the drops along the path; NaN where it leaves the DEM before it meets a
        channel.

    Examples
    --------
    >>> downstream = np.array([0, 0, 1, 3])
    >>> height = np.array([1, 3, 4, 9], "float32")
    >>> drain = np.array([True, False, False, False])
    >>> height_above_channel(drain, downstream, np.array([0, 1, 2, 3]), height)
    array([ 0.,  2.,  3., nan])
    """
    return np.asarray(_above(drain, downstream, sequence, height))
