"""WGS 84: geodetic and Earth-fixed coordinates, to the nanometre, in plain numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["east_north_up", "ecef_from_geodetic", "geodetic_from_ecef"]

Floats = NDArray[np.float64]

SEMI_MAJOR_M = 6378137.0  # WGS 84, NIMA TR8350.2
FLATTENING = 1 / 298.257223563
SEMI_MINOR_M = SEMI_MAJOR_M * (1 - FLATTENING)
ECCENTRICITY2 = FLATTENING * (2 - FLATTENING)


def ecef_from_geodetic(lat: Floats, lon: Floats, height_m: Floats) -> Floats:
    """Earth-fixed position (m), float64 (..., 3), of latitude, longitude (degrees) and height."""
    phi, lam = np.radians(lat), np.radians(lon)
    sin_phi, cos_phi = np.sin(phi), np.cos(phi)
    prime = SEMI_MAJOR_M / np.sqrt(1 - ECCENTRICITY2 * sin_phi**2)
    x = (prime + height_m) * cos_phi * np.cos(lam)
    y = (prime + height_m) * cos_phi * np.sin(lam)
    z = (prime * (1 - ECCENTRICITY2) + height_m) * sin_phi
    return np.stack(np.broadcast_arrays(x, y, z), axis=-1)


def geodetic_from_ecef(position: Floats) -> tuple[Floats, Floats, Floats]:
    """Latitude, longitude (degrees) and ellipsoidal height (m) of Earth-fixed positions.

    Bowring's method (1985, Survey Review 28) with two rounds of the reduced latitude: below
    1e-12 degrees for heights under 1000 km.

    Parameters
    ----------
    position : float64, shape (..., 3)
    """
    x, y, z = position[..., 0], position[..., 1], position[..., 2]
    axis = np.hypot(x, y)
    second = ECCENTRICITY2 / (1 - ECCENTRICITY2)
    reduced = np.arctan2(z * SEMI_MAJOR_M, axis * SEMI_MINOR_M)
    phi = reduced
    for _ in range(2):
        phi = np.arctan2(
            z + second * SEMI_MINOR_M * np.sin(reduced) ** 3,
            axis - ECCENTRICITY2 * SEMI_MAJOR_M * np.cos(reduced) ** 3,
        )
        reduced = np.arctan2((1 - FLATTENING) * np.sin(phi), np.cos(phi))
    sin_phi = np.sin(phi)
    # This form of the height has no division by cos(phi), which would fail at the poles.
    height = (
        axis * np.cos(phi) + z * sin_phi - SEMI_MAJOR_M * np.sqrt(1 - ECCENTRICITY2 * sin_phi**2)
    )
    return np.degrees(phi), np.degrees(np.arctan2(y, x)), height


def east_north_up(lat: Floats, lon: Floats) -> tuple[Floats, Floats, Floats]:
    """Unit vectors east, north and up (ellipsoid normal), float64 (..., 3), Earth-fixed."""
    phi, lam = np.radians(lat), np.radians(lon)
    zero = np.zeros_like(phi * lam)
    east = np.stack(np.broadcast_arrays(-np.sin(lam), np.cos(lam), zero), axis=-1)
    north = np.stack(
        np.broadcast_arrays(-np.sin(phi) * np.cos(lam), -np.sin(phi) * np.sin(lam), np.cos(phi)),
        axis=-1,
    )
    up = np.stack(
        np.broadcast_arrays(np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)),
        axis=-1,
    )
    return east, north, up
