"""What changes on land from one date to another without any water: crops, soil and their patches.

Crops alone move C band by several decibels within a season, and its two polarisations by unlike
amounts (Veloso et al. 2017, Remote Sensing of Environment 199, 415-426). What one polarisation
gains while the other loses is no proof of stems that stand in water.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cube.simulate.landscapes import Landscape
from cube.simulate.world import PARCELS, Cover

__all__ = ["Change", "draw_change"]

Singles = NDArray[np.float32]

MANAGED = {Cover.BARE: 1.0, Cover.CROP: 1.0, Cover.SHRUB: 0.5, Cover.SMOOTH: 0.5}
"""How much of what is done to a field a class of land cover shows; woods and towns nothing."""
ALIKE = -0.3, 0.9
"""Correlation of what working a field does to VV and VH.

Wet or rougher soil moves both; stems that grow in cereals damp VV more than VH (Veloso et al.
2017).
"""


@dataclass(frozen=True, slots=True)
class Change:
    """Departures from another date in decibels, VV and VH.

    Attributes
    ----------
    parcels : float, shape (polarisation, class, parcel)
    patches : float32, shape (polarisation, y, x)
    """

    parcels: NDArray[np.float64]
    patches: Singles


def draw_change(
    land: Landscape, common_db: NDArray[np.float64], worked: bool, generator: np.random.Generator
) -> Change:
    """Draw how an earlier date was unlike a later one.

    Parameters
    ----------
    land : Landscape
    common_db : float, shape (parcel,)
        Change of all parcels in both polarisations.
    worked : bool
        Whether fields are worked as well, soils are wet in patches, and VH goes ways of its own.
    generator : numpy.random.Generator
    """
    parcels = np.broadcast_to(common_db, (2, len(Cover), PARCELS))
    if not worked:
        return Change(parcels, np.zeros((2, 1, 1), "float32"))
    parcels = parcels + generator.normal(0, 0.5, (2, 1, 1))
    parcels[1] += generator.normal(0, generator.uniform(0.2, 1.0), PARCELS)
    chosen = generator.random(PARCELS) < generator.uniform(0, 0.7)
    first = generator.standard_normal(PARCELS)
    alike = generator.uniform(*ALIKE)
    second = alike * first + math.sqrt(1 - alike**2) * generator.standard_normal(PARCELS)
    most = generator.uniform(0.5, 3.5)
    fields = np.stack([first, generator.uniform(0.8, 1.5) * second]) * most * chosen
    shown = np.array([MANAGED.get(item, 0.0) for item in Cover])
    parcels += shown[:, None] * fields[:, None]
    # of the same waves as the landscape's, but elsewhere
    wave = land.fields[int(generator.integers(2)), ::-1, ::-1]
    strength = generator.normal(0, 0.7, (2, 1, 1)).astype("float32")
    return Change(parcels, strength * wave)
