"""Calibrated, geocoded backscatter of one pass."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import dask.array as da
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from cube.chunks import pull_blocks, tiles
from cube.grid import shape_of
from cube.kernels.doppler import ConvergenceError
from cube.kernels.geocode import image_coordinates
from cube.kernels.radiometry import FLOOR
from cube.kernels.resample import bilinear, raise_to_floor
from cube.readers.dem import Dem
from cube.readers.scene import Files, open_annotation, open_calibrated
from cube.readers.window import Window, WindowReader
from cube.steps.heights import heights, node_lonlat

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
    """

    grid: GeoBox
    dem: Dem | WindowReader
    slices: tuple[tuple[Files, ...], ...]
    backscatter: str
    ratio: WindowReader | None = None


def _image_coordinates(
    source: PassSource,
    files: Files,
    rows: slice,
    cols: slice,
    surface: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Line and sample of a block's pixels, tile by tile of the grid."""
    annotation = open_annotation(files)
    line, sample = np.empty(surface.shape), np.empty(surface.shape)
    for tile_rows, tile_cols in tiles(rows, cols, shape_of(source.grid)):
        part = (
            slice(tile_rows.start - rows.start, tile_rows.stop - rows.start),
            slice(tile_cols.start - cols.start, tile_cols.stop - cols.start),
        )
        found = None
        if np.isfinite(surface[part]).any():
            lon, lat = node_lonlat(source.grid, tile_rows, tile_cols)
            # ConvergenceError: the tile lies far outside what this slice's orbit arc sees
            with contextlib.suppress(ConvergenceError):
                found = image_coordinates(
                    annotation.orbit, annotation.image, lon, lat, surface[part]
                )
        line[part], sample[part] = (np.nan, np.nan) if found is None else found
    return line, sample


def _block(rows: slice, cols: slice, source: PassSource) -> NDArray[np.float32]:
    if isinstance(source.dem, Dem):
        surface = heights(source.grid, rows, cols, source.dem)
    else:
        surface = source.dem.read(Window(rows.start, cols.start, rows.stop, cols.stop))
    out = np.full((len(source.slices[0]), *surface.shape), np.nan, "float32")
    for files in source.slices:
        line, sample = _image_coordinates(source, files[0], rows, cols, surface)
        window, shape = None, None
        for band, one in zip(out, files, strict=True):
            image = open_calibrated(one, source.backscatter)
            if image.shape != shape:
                shape = image.shape
                window = Window.around(line, sample, shape)
            if window is not None:
                # where slices overlap, the earlier one is kept if it is valid
                bilinear(image.read(window, (line, sample)), window[:2], line, sample, band)
    if source.ratio is not None:
        out /= source.ratio.read(Window(rows.start, cols.start, rows.stop, cols.stop))
    raise_to_floor(out, FLOOR)
    return out


def backscatter(source: PassSource, block: int) -> da.Array:
    """Lazy backscatter of one pass, one task per block.

    Every block solves its own geometry, reads one window of radar samples per slice and
    polarisation, calibrates it and samples it bilinearly. Border noise, samples without data
    and pixels without height are NaN; what noise removal left at or below zero is raised to
    1e-5 (-50 dB) after sampling, so that interpolation stays unbiased.

    Returns
    -------
    dask array, float32, shape (polarisation, y, x)
        Linear power. No value depends on the block layout.
    """
    return pull_blocks(
        _block,
        shape_of(source.grid),
        block,
        len(source.slices[0]),
        "backscatter",
        source=source,
    )
