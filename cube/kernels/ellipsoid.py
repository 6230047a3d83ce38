"""WGS 84: geodetic coordinates to Earth-centred Earth-fixed ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

SEMI_MAJOR_M = 6_378_137.0  # WGS 84 (NIMA TR8350.2, table 3.1)
FLATTENING = 1 / 298.257223563  # WGS 84 (NIMA TR8350.2, table 3.1)
ECCENTRICITY_SQUARED = FLATTENING * (2 - FLATTENING)
SPEED_OF_LIGHT = 299_792_458.0  # m/s, exact (SI)


def to_ecef(lon: ArrayLike, lat: ArrayLike, height: ArrayLike) -> NDArray[np.float64]:
    """Earth-fixed position of geodetic coordinates.

    Parameters
    ----------
    lon, lat : array_like
        Degrees on WGS 84.
    height : array_like
        Metres above the ellipsoid; broadcast against `lon` and `lat`.

    Returns
    -------
    float64, shape (..., 3)
        Metres.

    Examples
    --------
    >>> to_ecef(0.0, 0.0, 10.0)
    array([6378147.,       0.,       0.])
    """
    lon_rad, lat_rad = np.radians(lon), np.radians(lat)
    up = np.asarray(height, "float64")
    sin_lat, cos_lat = np.sin(lat_rad), np.cos(lat_rad)
    normal = SEMI_MAJOR_M / np.sqrt(1 - ECCENTRICITY_SQUARED * sin_lat**2)
    x = (normal + up) * cos_lat * np.cos(lon_rad)
    y = (normal + up) * cos_lat * np.sin(lon_rad)
    z = (normal * (1 - ECCENTRICITY_SQUARED) + up) * sin_lat
    return np.stack(np.broadcast_arrays(x, y, z), axis=-1)


def normals(lon: ArrayLike, lat: ArrayLike) -> NDArray[np.float64]:
    """Unit vectors upwards at geodetic coordinates in degrees, Earth-fixed, shape (..., 3).

    Examples
    --------
    >>> normals(90.0, 0.0).round(12)
    array([0., 1., 0.])
    """
    lon_rad, lat_rad = np.radians(lon), np.radians(lat)
    x, y = np.cos(lat_rad) * np.cos(lon_rad), np.cos(lat_rad) * np.sin(lon_rad)
    return np.stack(np.broadcast_arrays(x, y, np.sin(lat_rad)), axis=-1)
