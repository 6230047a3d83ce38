"""What water and land look like at C band, as published: normal densities of (VV, VH) in dB."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "LAND",
    "MOST_SHALLOW",
    "OPEN",
    "WATER",
    "Surface",
    "densities",
    "land_densities",
    "shares",
]

Float64 = NDArray[np.float64]


class Surface(NamedTuple):
    """One kind of surface: its usual share within its class, and its density in dB."""

    share: float
    vv: float
    vh: float
    vv_spread: float
    vh_spread: float
    correlation: float


def _power_mean(share: float, first: float, second: float) -> float:
    """Decibels of a linear mixture of two surfaces, `share` of it the first."""
    return float(10 * np.log10(share * 10 ** (first / 10) + (1 - share) * 10 ** (second / 10)))


def _wind(speed: float, share: float, noise: float = -32.0) -> Surface:
    """Open water under a 10 m wind of `speed` m/s at about 38 degrees of incidence.

    VH rises by 0.580 dB per m/s (Vachon & Wolfe 2011: VH = 0.580 U - 35.652). VV rises from calm
    (-24.5 dB) by 1.15 dB per m/s to -13 dB at 10 m/s, as CMOD5 does (Hersbach et al. 2007).
    Sentinel-1 does not see the calm end: `noise` is added in power to both. It is -28 to -22 dB
    where a product still holds it; where it was subtracted, clipping at zero leaves a fifth.
    Spread within a scene: local shelter (1.3), the step between two winds (0.7), 20-30 looks of
    speckle (0.9); VH is steadier (0.8) but closer to the noise (1.0).
    """
    levels = (-24.5 + 1.15 * speed, 0.580 * speed - 35.652)
    vv, vh = (float(10 * np.log10(10 ** (level / 10) + 10 ** (noise / 10))) for level in levels)
    return Surface(share, vv, vh, 1.8, 1.6, 0.3)


def _shallow(share: float) -> Surface:
    """Water of which a quarter is something else: banks, stems, hedges, roofs, clods.

    Linear mixture of water under 3 m/s with crops; the spread spans a tenth to a half. Most of a
    flood over land looks like this.
    """
    water = _wind(3.0, 1.0)
    vv, vh = _power_mean(0.75, water.vv, -10.8), _power_mean(0.75, water.vh, -17.3)
    return Surface(share, vv, vh, 2.4, 2.4, 0.7)


WINDS = ((1.0, 0.25), (3.0, 0.36), (5.0, 0.23), (7.0, 0.11), (9.5, 0.05))
"""Speeds in m/s and their shares over land: Rayleigh about 3.3 m/s (Archer & Jacobson 2005)."""

WATER = (
    *(_wind(speed, 0.4 * share) for speed, share in WINDS),
    *(_wind(speed, 0.4 * share, noise=-25.0) for speed, share in WINDS),
    _shallow(0.2),
)
"""Open water with its noise removed, with its noise left in, and shallow water. Products of either
kind are about; a fifth is shore: the 50 m box of a water body 500 m across touches land on
1 - (450 / 500)^2 of it."""

OPEN = len(WINDS)
"""Number of those that are open water beyond doubt: no land is so dark in VH."""

MOST_SHALLOW = 0.5
"""Largest share of shallow that a scene may choose: water that is nowhere open is bare ground."""

LAND = (
    Surface(0.28, -8.2, -14.0, 1.6, 1.6, 0.7),  # forest
    Surface(0.22, -9.5, -16.0, 2.0, 2.0, 0.7),  # shrub, grass
    Surface(0.20, -10.8, -17.3, 2.1, 2.1, 0.7),  # crops
    Surface(0.25, -13.2, -20.7, 2.4, 2.4, 0.7),  # bare: soil, stubble, arid ground
    Surface(0.05, -4.5, -12.0, 4.0, 4.0, 0.7),  # built up
)
"""Means at 30-45 degrees within the ranges of Ulaby & Dobson (1989) for C band.

Shares are those of the land surface (Friedl et al. 2010), rounded. Spread within a scene: moisture
and roughness between fields (1.3 to 2.1), speckle (0.9); common causes move VV and VH together.
"""

BARE = 3
"""Index of bare ground in `LAND`."""

SMOOTH = Surface(0.1, -17.5, -24.5, 2.0, 2.0, 0.7)
"""Smooth dry ground (playa, sand sheet), as a share of bare ground and nowhere else."""


def densities(
    surfaces: tuple[Surface, ...], vv: Float64, vh: Float64 | None, scene_spread: float = 0.0
) -> Float64:
    """Density of each surface at each (vv, vh) in dB: shape (surface, vv, vh or 1), 1/dB^2."""
    out = []
    for surface in surfaces:
        vv_spread = np.hypot(surface.vv_spread, scene_spread)
        a = ((vv - surface.vv) / vv_spread)[:, None]
        if vh is None:
            out.append(np.exp(-0.5 * a**2) / np.sqrt(2 * np.pi) / vv_spread)
            continue
        vh_spread = np.hypot(surface.vh_spread, scene_spread)
        scale = 2 * np.pi * vv_spread * vh_spread
        b = ((vh - surface.vh) / vh_spread)[None, :]
        rest = 1 - surface.correlation**2
        form = (a**2 - 2 * surface.correlation * a * b + b**2) / rest
        out.append(np.exp(-0.5 * form) / (scale * np.sqrt(rest)))
    return np.array(out)


def shares(surfaces: tuple[Surface, ...]) -> Float64:
    """Usual shares of surfaces within their class; they sum to one."""
    total = sum(surface.share for surface in surfaces)
    return np.array([surface.share / total for surface in surfaces])


def land_densities(vv: Float64, vh: Float64 | None, with_smooth: bool) -> Float64:
    """Density of land under each cover, smooth ground within bare; as `densities`."""
    density = densities(LAND, vv, vh)
    if not with_smooth:
        return density
    smooth = densities((SMOOTH,), vv, vh)[0]
    density[BARE] = (1 - SMOOTH.share) * density[BARE] + SMOOTH.share * smooth
    return density
