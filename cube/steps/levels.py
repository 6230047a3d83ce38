"""What is bright in the images of a pass: one number for each, before any block is filtered."""

from __future__ import annotations

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.delayed import delayed
from odc.geo.geobox import GeoBox

from cube.grid import pixel_to_map, shape_of, to_lonlat
from cube.kernels.doppler import ConvergenceError, zero_doppler
from cube.kernels.ellipsoid import to_ecef
from cube.kernels.groundrange import to_image
from cube.readers.scene import Files, open_annotation, open_calibrated
from cube.readers.window import Window
from cube.steps.speckle import scene_z98

__all__ = ["bright_levels", "image_part"]


def image_part(grid: GeoBox, files: Files) -> Window | None:
    """Part of an image that lies over a grid, at height 0; None where there is none."""
    annotation = open_annotation(files)
    height, width = shape_of(grid)
    col, row = np.meshgrid(np.linspace(0, width, 33), np.linspace(0, height, 33))
    lon, lat = to_lonlat(grid)(*pixel_to_map(grid, col, row))
    try:
        line, sample = zero_doppler(annotation.orbit, to_ecef(lon, lat, 0.0))
    except ConvergenceError:
        return None
    to_image(annotation.image, line, sample)
    lines, samples = annotation.image.shape
    first = max(int(np.floor(line.min())), 0), max(int(np.floor(sample.min())), 0)
    stop = min(int(np.ceil(line.max())) + 1, lines), min(int(np.ceil(sample.max())) + 1, samples)
    if first[0] >= stop[0] or first[1] >= stop[1]:
        return None
    return Window(*first, *stop)


def bright_levels(
    grid: GeoBox, slices: tuple[tuple[Files, ...], ...], backscatter: str
) -> list[da.Array]:
    """Lazy 98th percentiles of the images over a grid, slice by slice and band by band.

    SNAP takes the percentile of the tile at work, so that its result depends on the tiling. Here
    it is that of the image's part over the whole grid: every block is filtered alike.

    Returns
    -------
    list of dask arrays, float64, shape ()
        Infinite where an image has nothing over the grid: then nothing is bright.
    """
    return [
        da.from_delayed(
            delayed(_level, name=f"level-{tokenize(grid, files, backscatter)}")(
                grid, files, backscatter
            ),
            (),
            np.float64,
        )
        for members in slices
        for files in members
    ]


def _level(grid: GeoBox, files: Files, backscatter: str) -> np.float64:
    part = image_part(grid, files)
    if part is None:
        return np.float64(np.inf)
    level = scene_z98(open_calibrated(files, backscatter), part)
    return np.float64(level if np.isfinite(level) else np.inf)
