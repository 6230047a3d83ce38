"""Ground that several tests of the simulator share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LON, LAT = 68.2, 27.5
HILL_M = 120.0


def hill(lat: NDArray[np.float64], lon: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ellipsoidal height of a smooth hill on a tilted plain: slopes up to 10 degrees."""
    bump = ((lat - LAT) / 0.006) ** 2 + ((lon - LON) / 0.007) ** 2
    return 30.0 + 400.0 * (lat - LAT) + HILL_M * np.exp(-bump)
