"""Digital numbers of an image: ground, resolution, speckle, thermal noise, calibration.

``DN^2 = (A_sigma^2 sigma0 + noise) speckle``: thermal noise is received with the echo and
speckles with it (ESA-EOPG-CSCOP-TN-0002, Radiometric Calibration of S-1 Level-1 Products).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d
from scipy.special import gammaincinv, ndtr

__all__ = ["Border", "Target", "add_border", "form_image", "speckle"]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

LOOKS = 4.4
"""Equivalent number of looks of IW GRDH (S1-RS-MDA-52-7440, Product Definition)."""
RESOLUTION_PX = (2.2, 2.0)
"""Width at half power in lines and samples: 22 m and 20 m (the same)."""
TABLE = 1 << 15
REACH = 6.5
"""Normal deviates beyond this are clipped; one in 1e10."""


class Target(NamedTuple):
    """Point target: position in the image, and the digital number at its peak."""

    line: float
    col: float
    amplitude: float


@dataclass(frozen=True, slots=True)
class Border:
    """Strips of border noise at near and far range, as before IPF 2.90.

    Next to the edge the image is 0, then small numbers that are no backscatter, in steps along
    the lines (Ali et al. 2018, doi:10.1109/JSTARS.2017.2787650).
    """

    near: int = 230
    far: int = 120


def speckle(shape: tuple[int, int], generator: np.random.Generator) -> Singles:
    """Unit-mean gamma intensity of `LOOKS` looks, correlated over the resolution cell.

    A filtered normal field is turned into a gamma field by its quantiles, so that the marginal
    distribution is exact.

    Parameters
    ----------
    shape : (lines, samples)
    generator : numpy.random.Generator

    Returns
    -------
    float32, shape (lines, samples)
    """
    field = generator.standard_normal(shape, dtype="float32")
    for axis, width in enumerate(RESOLUTION_PX):
        kernel = _kernel(width)
        field = correlate1d(field, kernel / np.sqrt((kernel**2).sum()), axis=axis, mode="wrap")
    deviate = (np.arange(TABLE) + 0.5) / TABLE * 2 * REACH - REACH
    table = (gammaincinv(LOOKS, ndtr(deviate)) / LOOKS).astype("float32")
    index = ((field + REACH) * (TABLE / (2 * REACH))).astype("int32")
    return np.asarray(table[np.clip(index, 0, TABLE - 1)])


def _kernel(width_px: float) -> Singles:
    """Gaussian of a width at half height, normalised to unit sum."""
    sigma = width_px / np.sqrt(8 * np.log(2))
    reach = int(np.ceil(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.asarray(kernel / kernel.sum(), dtype="float32")


def resolve(power: Singles) -> Singles:
    """Power seen through the resolution cell of the instrument."""
    for axis, width in enumerate(RESOLUTION_PX):
        power = correlate1d(power, _kernel(width), axis=axis, mode="nearest")
    return power


def form_image(
    sigma0: Singles,
    gain: Singles,
    noise: Singles | None,
    *,
    generator: np.random.Generator | None,
    targets: Iterable[Target] = (),
) -> NDArray[np.uint16]:
    """Digital numbers of one polarisation.

    Parameters
    ----------
    sigma0 : float32 (lines, samples)
        Linear backscatter of the ground in each pixel, terrain effects included.
    gain : float32 (lines, samples)
        Digital number of unit sigma nought.
    noise : float32 (lines, samples) or None
        Squared digital number of the thermal noise; None for none.
    generator : numpy.random.Generator or None
        Source of the speckle; None for none.
    targets : iterable of Target
        Added after the speckle, as their echo is coherent.

    Returns
    -------
    uint16 (lines, samples)
        At least 1, since 0 means no data.
    """
    power = resolve(sigma0) * gain**2
    if noise is not None:
        power += noise
    if generator is not None:
        power *= speckle((power.shape[0], power.shape[1]), generator)
    for target in targets:
        _add_target(power, target)
    return np.asarray(np.clip(np.rint(np.sqrt(power)), 1, 65535), dtype="uint16")


def _add_target(power: Singles, target: Target) -> None:
    """Add the response of a point, a Gaussian of the resolution, in place."""
    sigma = [width / np.sqrt(8 * np.log(2)) for width in RESOLUTION_PX]
    reach = 8
    row, col = round(target.line), round(target.col)
    rows = np.arange(max(row - reach, 0), min(row + reach + 1, power.shape[0]))
    cols = np.arange(max(col - reach, 0), min(col + reach + 1, power.shape[1]))
    if rows.size == 0 or cols.size == 0:
        return
    response = np.outer(
        np.exp(-0.5 * ((rows - target.line) / sigma[0]) ** 2),
        np.exp(-0.5 * ((cols - target.col) / sigma[1]) ** 2),
    )
    power[np.ix_(rows, cols)] += (target.amplitude**2 * response).astype("float32")


def add_border(image: NDArray[np.uint16], border: Border, seed: np.random.SeedSequence) -> None:
    """Overwrite the strips of border noise, in place.

    Both polarisations of a product get the same edges, hence the seed and no generator.
    """
    generator = np.random.default_rng(seed)
    lines, samples = image.shape
    # The edge moves in steps where the radar's window start moved, every 200 lines or so.
    steps = generator.integers(-12, 13, size=(2, lines // 200 + 2))
    step = np.arange(lines) // 200
    col = np.arange(samples)
    for side, width in enumerate((border.near, border.far)):
        edge = (width + steps[side, step])[:, None]
        from_edge = col[None, :] if side == 0 else (samples - 1 - col)[None, :]
        strip = from_edge < edge
        # From nothing to a few units: the skirt of the pulse compression.
        level = np.clip((from_edge - edge * 0.4) / (edge * 0.6), 0, 1) * 14.0
        noise = np.abs(generator.standard_normal(image.shape, dtype="float32")) * level
        image[strip] = noise[strip].astype("uint16")
