"""Calibrated, geocoded backscatter of one pass."""

from __future__ import annotations

from dataclasses import dataclass

import dask.array as da
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from cube.chunks import pull_blocks
from cube.grid import shape_of
from cube.kernels.geocode import image_coordinates
from cube.kernels.radiometry import FLOOR
from cube.kernels.resample import bilinear, raise_to_floor
from cube.readers.dem import Dem
from cube.readers.scene import Calibrated, Files, open_annotation, open_calibrated
from cube.readers.window import Window, WindowReader
from cube.schema import Flag
from cube.steps.heights import by_tile, heights
from cube.steps.speckle import Filtered, Speckle

__all__ = ["PassSource", "backscatter"]


@dataclass(frozen=True)
class PassSource:
    """What the backscatter of one pass is made from.

    Attributes
    ----------
    grid : GeoBox
    dem : Dem or WindowReader
        Heights are sampled from a DEM, or read where they are on the grid already.
    slices : tuple of tuple of Files
        Slices in order of time, each with the files of every polarisation in the order asked.
    backscatter : str
        ``gamma0``, ``sigma0`` or ``beta0``, on the ellipsoid, or ``gamma0_rtc``.
    ratio : WindowReader or None
        Ratio of areas of the pass's track that beta nought is divided by, for ``gamma0_rtc``.
    sea : WindowReader or None
        Mask of the track; where it says sea there is no backscatter.
    delay : bool
        Whether echoes come late by a standard troposphere.
    speckle : Speckle or None
        What filters the image before it is sampled.
    noise : bool
        Whether the noise-equivalent sigma nought is wanted too.
    """

    grid: GeoBox
    dem: Dem | WindowReader
    slices: tuple[tuple[Files, ...], ...]
    backscatter: str
    ratio: WindowReader | None = None
    sea: WindowReader | None = None
    delay: bool = False
    speckle: Speckle | None = None
    noise: bool = False

    @property
    def bands(self) -> int:
        """Bands of `backscatter`."""
        return len(self.slices[0]) * (2 if self.noise else 1)


def _image_coordinates(
    source: PassSource,
    files: Files,
    rows: slice,
    cols: slice,
    surface: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Line and sample of a block's pixels; None where the image shows none of them."""
    annotation = open_annotation(files)

    def solve(
        lon: NDArray[np.float64], lat: NDArray[np.float64], height: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        return image_coordinates(
            annotation.orbit, annotation.image, lon, lat, height, delay=source.delay
        )

    return by_tile(source.grid, rows, cols, surface, solve)


def _block(rows: slice, cols: slice, source: PassSource) -> NDArray[np.float32]:
    inner = Window(rows.start, cols.start, rows.stop, cols.stop)
    surface = heights(source.grid, rows, cols, source.dem)
    count = len(source.slices[0])
    out = np.full((source.bands, *surface.shape), np.nan, "float32")
    for number, files in enumerate(source.slices):
        place = _image_coordinates(source, files[0], rows, cols, surface)
        if place is None:
            continue
        window, shape = None, None
        for band, one in enumerate(files):
            image = _image(source, number, band)
            if image.shape != shape:
                shape = image.shape
                window = Window.around(*place, shape)
            if window is not None:
                # where slices overlap, the earlier one is kept if it is valid
                bilinear(image.read(window, place), window[:2], *place, out[band])
                if source.noise:
                    field = open_calibrated(one, "sigma0").noise_equivalent(window)
                    bilinear(field, window[:2], *place, out[count + band])
    if source.ratio is not None:
        out[:count] /= source.ratio.read(inner)
    raise_to_floor(out[:count], FLOOR)
    if source.sea is not None:
        out[:count, (source.sea.read(inner) & Flag.SEA) != 0] = np.nan
    return out


def _image(source: PassSource, number: int, band: int) -> Calibrated | Filtered:
    """Image of a slice and polarisation, filtered where that is wanted."""
    image = open_calibrated(source.slices[number][band], source.backscatter)
    if source.speckle is None:
        return image
    level = source.speckle.levels[number][band] if source.speckle.levels else None
    return Filtered(image, source.speckle.name, z98=level, **dict(source.speckle.options))


def backscatter(source: PassSource, block: int) -> da.Array:
    """Lazy backscatter of one pass, one task per block.

    Every block solves its own geometry, reads one window of radar samples per slice and
    polarisation, calibrates it and samples it bilinearly. Border noise, samples without data
    and pixels without height are NaN; what noise removal left at or below zero is raised to
    1e-5 (-50 dB) after sampling, so that interpolation stays unbiased. Saturated samples (65,535)
    keep their power, which is a lower bound.

    Returns
    -------
    dask array, float32, shape (band, y, x)
        Linear power of the polarisations, then, where they are wanted, the noise-equivalent sigma
        nought of each. No value depends on the block layout.
    """
    return pull_blocks(
        _block, shape_of(source.grid), block, source.bands, "backscatter", source=source
    )
