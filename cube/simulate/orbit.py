"""A circular Sentinel-1 orbit in closed form, Earth-fixed, placed so that it sees a given point.

The position is that of a two-body circle seen from the rotating Earth, so velocity and
acceleration are its exact derivatives: whoever interpolates the state vectors can be checked
against the orbit itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import fsolve

from cube.simulate.ellipsoid import east_north_up, ecef_from_geodetic

__all__ = ["Direction", "Orbit", "State", "orbit_over"]

Direction = Literal["ascending", "descending"]
Floats = NDArray[np.float64]

GRAVITY_M3_S2 = 3.986004418e14  # WGS 84, NIMA TR8350.2
ROTATION_RAD_S = 7.292115e-5  # WGS 84, NIMA TR8350.2
ORBIT_RADIUS_M = 7.0711e6  # 693 km above the equator (Torres et al. 2012, RSE 120)
INCLINATION_RAD = math.radians(98.18)  # Torres et al. 2012


class State(NamedTuple):
    """Earth-fixed position (m), velocity (m/s) and acceleration (m/s2), each (..., 3)."""

    position: Floats
    velocity: Floats
    acceleration: Floats


@dataclass(frozen=True, slots=True)
class Orbit:
    """Circular orbit whose node and argument of latitude are given at `epoch`.

    Times are float seconds after `epoch`, since 1 ns of a datetime would be 7 um of track but
    1 us is 7 mm.
    """

    epoch: np.datetime64
    node_longitude_rad: float
    """Longitude of the ascending node on the Earth at the epoch."""
    latitude_argument_rad: float
    """Angle from the ascending node to the satellite at the epoch, 0..2 pi."""
    radius_m: float = ORBIT_RADIUS_M
    inclination_rad: float = INCLINATION_RAD

    @property
    def rate_rad_s(self) -> float:
        """Mean motion."""
        return math.sqrt(GRAVITY_M3_S2 / self.radius_m**3)

    @property
    def node_time_s(self) -> float:
        """Time of the last ascending node before the epoch, in seconds (negative)."""
        return -(self.latitude_argument_rad % (2 * math.pi)) / self.rate_rad_s

    def state(self, time_s: Floats | float) -> State:
        """Position, velocity and acceleration at `time_s` after the epoch.

        Parameters
        ----------
        time_s : float64, any shape

        Returns
        -------
        State of float64 arrays, shape (*time_s.shape, 3)
        """
        time = np.asarray(time_s, dtype="float64")
        rate = self.rate_rad_s
        u = self.latitude_argument_rad + rate * time
        node = self.node_longitude_rad - ROTATION_RAD_S * time
        along, across = np.cos(u), np.sin(u)
        flat, up = across * math.cos(self.inclination_rad), across * math.sin(self.inclination_rad)
        flat1, up1 = (
            along * math.cos(self.inclination_rad) * rate,
            along * math.sin(self.inclination_rad) * rate,
        )
        # In the turning node frame: p = (cos u, sin u cos i), its derivatives, then rotation.
        p = along + 1j * flat
        p1 = -across * rate + 1j * flat1
        p2 = -(rate**2) * p
        turn = np.exp(1j * node)
        spin = -1j * ROTATION_RAD_S
        xy = p * turn
        xy1 = (p1 + spin * p) * turn
        xy2 = (p2 + 2 * spin * p1 + spin**2 * p) * turn
        return State(
            self.radius_m * np.stack([xy.real, xy.imag, up], axis=-1),
            self.radius_m * np.stack([xy1.real, xy1.imag, up1], axis=-1),
            self.radius_m * np.stack([xy2.real, xy2.imag, -(rate**2) * up], axis=-1),
        )


def orbit_over(
    lon: float,
    lat: float,
    *,
    time: np.datetime64,
    direction: Direction,
    incidence_deg: float,
    height_m: float = 0.0,
) -> Orbit:
    """Orbit that sees a ground point to its right at `time`, broadside, at an incidence angle.

    Parameters
    ----------
    lon, lat : float
        Degrees, WGS 84.
    time : numpy.datetime64
        Zero-Doppler time of the point, which becomes the epoch of the orbit.
    direction : {"ascending", "descending"}
    incidence_deg : float
        Angle between the ellipsoid normal and the direction to the satellite.
    height_m : float
        Ellipsoidal height of the point.

    Raises
    ------
    ValueError
        The orbit cannot see the point: too near a pole, or an angle outside 15..60 degrees.
    """
    if not 15 <= incidence_deg <= 60:
        raise ValueError(f"incidence {incidence_deg} deg is outside 15..60: no SAR mode sees that")
    ground = ecef_from_geodetic(np.asarray(lat), np.asarray(lon), np.asarray(height_m))
    up = east_north_up(np.asarray(lat), np.asarray(lon))[2]
    wanted = math.cos(math.radians(incidence_deg))

    def misfit(unknown: Floats) -> list[float]:
        orbit = Orbit(time, float(unknown[0]), float(unknown[1]))
        state = orbit.state(0.0)
        look = state.position - ground
        return [
            float(look @ state.velocity) / 7.5e3 / 1e5,
            float(look @ up) / float(np.linalg.norm(look)) - wanted,
        ]

    start = _first_guess(lon, lat, direction, incidence_deg)
    solution, info, found, message = fsolve(misfit, start, xtol=1e-14, full_output=True)
    if found != 1 and max(abs(value) for value in info["fvec"]) > 1e-9:
        raise ValueError(f"no orbit sees {lon}, {lat} {direction} at {incidence_deg}: {message}")
    return Orbit(time, float(solution[0]) % (2 * math.pi), float(solution[1]) % (2 * math.pi))


def _first_guess(lon: float, lat: float, direction: Direction, incidence_deg: float) -> Floats:
    """Node longitude and argument of latitude of a track beside the point, in radians."""
    reach = math.sin(math.radians(lat)) / math.sin(INCLINATION_RAD)
    if abs(reach) > 0.985:
        raise ValueError(f"latitude {lat} is too near the end of the orbit at 81.8 degrees")
    u = math.asin(reach) if direction == "ascending" else math.pi - math.asin(reach)
    # Ground distance of the nadir track: 250 km at 20 degrees, 500 km at 37, 650 km at 44.
    off_nadir = math.asin(6.371e6 / ORBIT_RADIUS_M * math.sin(math.radians(incidence_deg)))
    distance_rad = math.radians(incidence_deg) - off_nadir
    # Right of an ascending pass is east, so that the track lies to the west of the point.
    side = -1 if direction == "ascending" else 1
    track_lon = math.radians(lon) + side * distance_rad / math.cos(math.radians(lat))
    in_plane = math.atan2(math.cos(INCLINATION_RAD) * math.sin(u), math.cos(u))
    return np.array([track_lon - in_plane, u])
