"""Path delay of a standard troposphere: what a radar's range is too long by."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["path_delay", "zenith_delay"]

_PRESSURE_HPA, _LAPSE, _EXPONENT = 1013.25, 2.25577e-5, 5.25588
"""Pressure at sea level and its decrease (ICAO, Manual of the Standard Atmosphere, Doc 7488/3)."""
_HYDROSTATIC = 0.0022768  # m/hPa (Davis et al. 1985, doi:10.1029/RS020i006p01593, eq. A11)
_GRAVITY_DECREASE = 0.28e-6  # 1/m (the same, eq. A12)
_WET_M = 0.1355
_WET_LAPSE, _WET_EXPONENT = 1.9707e-5, 20.857
"""Mean wet delay at 45 degrees latitude and its decrease: RTCA DO-229D, A.4.2.4, with its yearly
means there of 11.66 hPa of vapour, 283.15 K, and lapse rates of 5.58e-3 K/m and 2.57."""


def zenith_delay(height_m: ArrayLike) -> NDArray[np.float64]:
    """One-way delay of the zenith path through a standard troposphere.

    Hydrostatic delay of Saastamoinen as Davis et al. (1985) give it, for 45 degrees latitude, with
    the pressure of the ICAO standard atmosphere, and a mean wet delay. Weather changes it by some
    centimetres (pressure) to two decimetres (vapour), latitude by 6 mm, and heights above the
    ellipsoid instead of the geoid by up to 3 cm. The ionosphere is not in it.

    Parameters
    ----------
    height_m : array_like
        Metres, -500 to 11,000; NaN stays NaN.

    Returns
    -------
    float64
        Metres.

    Examples
    --------
    >>> zenith_delay([0.0, 1000.0, 4000.0]).round(3)
    array([2.442, 2.136, 1.429])
    """
    height = np.asarray(height_m, "float64")
    pressure = _PRESSURE_HPA * (1 - _LAPSE * height) ** _EXPONENT
    dry = _HYDROSTATIC * pressure / (1 - _GRAVITY_DECREASE * height)
    return np.asarray(dry + _WET_M * (1 - _WET_LAPSE * height) ** _WET_EXPONENT)


def path_delay(
    points: NDArray[np.float64],
    up: NDArray[np.float64],
    position: NDArray[np.float64],
    height_m: NDArray[np.float64],
) -> NDArray[np.float64]:
    """One-way delay along the line of sight: that of the zenith over the cosine of incidence.

    The layers are taken as flat, which makes it 1 cm too long at 46 degrees.

    Parameters
    ----------
    points : float64, shape (..., 3)
        Earth-fixed metres.
    up : float64, shape (..., 3)
        Normals of the ellipsoid.
    position : float64, shape (..., 3)
        The satellite.
    height_m : float64, broadcast against the points
        Metres.

    Returns
    -------
    float64, shape (...)
        Metres.
    """
    sight = position - points
    cosine = (sight * up).sum(-1) / np.sqrt((sight * sight).sum(-1))
    return np.asarray(zenith_delay(height_m) / cosine)
