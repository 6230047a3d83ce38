"""Which cells drain to a channel inside the DEM."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cube.kernels.compiled import compiled


@compiled
def _reaches(drain, downstream, sequence):  # type: ignore[no-untyped-def]
    out = drain.copy()
    for cell in sequence:  # from the mouth upwards
        if not out[cell]:
            out[cell] = out[downstream[cell]]
    return out


def reaches_channel(
    drain: NDArray[np.bool_], downstream: NDArray[np.int64], sequence: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Cells whose flow path meets a channel before it leaves the DEM.

    Parameters
    ----------
    drain : bool, shape (cells,)
    downstream : integer, shape (cells,)
        Index of the next cell; a mouth points to itself.
    sequence : integer, shape (cells,)
        Cells ordered from mouths to sources.

    Examples
    --------
    >>> downstream = np.array([0, 0, 1, 3])
    >>> reaches_channel(np.array([True, False, False, False]), downstream, np.array([0, 1, 2, 3]))
    array([ True,  True,  True, False])
    """
    return np.asarray(_reaches(drain, downstream, sequence))
