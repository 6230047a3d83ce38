"""Height above nearest drainage of a DEM, by pyflwdir."""

from __future__ import annotations

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from cube.kernels.drainage import height_above_channel

__all__ = ["CHANNEL_KM2", "hand"]

CHANNEL_KM2 = 1.0
"""Upstream area where a channel begins; Nobre et al. 2011 (J. Hydrology 404) and MERIT Hydro
(Yamazaki et al. 2019) use 0.5 to 5 km2."""


def hand(height: NDArray[np.float32], transform: Affine, geographic: bool) -> NDArray[np.float32]:
    """Height of every cell above the channel that it drains to (Nobre et al. 2011).

    Depressions are filled (Wang & Liu 2006) and water flows to the lowest of eight neighbours.

    Parameters
    ----------
    height : float32, shape (y, x)
        Metres; NaN is no data. Relative to any datum: only differences along a flow path count.
    transform : Affine
        Grid of the DEM, north-up.
    geographic : bool
        Whether the grid is in degrees.

    Returns
    -------
    float32, shape (y, x)
        Metres, at least 0; NaN where there is no height or where the flow path leaves the DEM
        before it meets a channel, so that the nearest drainage is not known.
    """
    if np.isfinite(height).sum() < 2:  # pyflwdir wants something that can flow
        return np.full(height.shape, np.nan, "float32")
    import pyflwdir  # a second of imports, needed by one stage only

    nodata = np.float32(-9999)
    filled = np.where(np.isfinite(height), height, nodata)
    flow = pyflwdir.from_dem(
        filled, nodata=float(nodata), transform=transform, latlon=geographic, outlets="edge"
    )
    drain = flow.upstream_area(unit="km2") >= CHANNEL_KM2
    # pyflwdir's own hand() is a loop in Python: 13 seconds for the DEM of a scene
    above = height_above_channel(
        drain.ravel(), np.asarray(flow.idxs_ds), np.asarray(flow.idxs_seq), filled.ravel()
    ).reshape(height.shape)
    above[~np.isfinite(height)] = np.nan
    return np.maximum(above, 0).astype("float32")
