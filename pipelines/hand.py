"""Height above nearest drainage for a cube: made once from the DEM, kept in the scratch folder."""

from __future__ import annotations

import math
from hashlib import sha256
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from cube.grid import lonlat_bounds
from cube.readers.dem import Dem
from cube.steps.hand import CHANNEL_KM2, hand
from pipelines.request import Resolved
from pipelines.runner import Progress

__all__ = ["make_hand"]

_MARGIN_DEGREES = 0.2
_STRIP_CELLS = 1_000_000
_MAX_CELLS = 5_000_000  # pyflwdir needs about 60 bytes and 2 microseconds a cell


def make_hand(resolved: Resolved, dem: Dem, progress: Progress) -> Path:
    """Path of a raster of HAND over the grid: the user's file, or one made from the DEM.

    The DEM around the area is taken with 0.2 degrees of margin, as far as it goes, and averaged
    by a whole factor where it has more cells than fit in memory.
    """
    if resolved.hand is not None:
        return Path(resolved.hand)
    rows, cols = _part(resolved, dem)
    factor = math.ceil(math.sqrt((rows.stop - rows.start) * (cols.stop - cols.start) / _MAX_CELLS))
    key = f"{dem.raster.path} {rows} {cols} {factor} {CHANNEL_KM2} 1"
    state = Path(dem.raster.path).stat()
    name = sha256(f"{key} {state.st_size} {state.st_mtime_ns}".encode()).hexdigest()[:16]
    target = resolved.scratch / "hand" / f"{name}.tif"
    if not target.is_file():
        with progress.stage("height above nearest drainage", 1) as advance:
            _write(dem, rows, cols, factor, target)
            advance()
    return target


def _part(resolved: Resolved, dem: Dem) -> tuple[slice, slice]:
    """Rows and columns of the DEM around the grid."""
    west, south, east, north = lonlat_bounds(resolved.grid, _MARGIN_DEGREES)
    lon, lat = np.meshgrid(np.linspace(west, east, 9), np.linspace(south, north, 9))
    raster = dem.raster
    x, y = raster.transformer("EPSG:4326").transform(lon, lat)
    row, col = raster.pixel_of_map(np.asarray(x), np.asarray(y))
    height, width = raster.shape
    return (
        slice(max(int(row.min()), 0), min(int(row.max()) + 2, height)),
        slice(max(int(col.min()), 0), min(int(col.max()) + 2, width)),
    )


def _averaged(
    dem: Dem, rows: slice, cols: slice, factor: int
) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """Means of `factor` by `factor` cells, whole ones only, and the first (row, column).

    Read in strips: a scene's DEM has 90 million cells, and a geoid takes 60 bytes for each.
    """
    strips, origins = [], []
    step = max(_STRIP_CELLS // (cols.stop - cols.start) // factor, 1) * factor
    for first in range(rows.start, rows.stop, step):
        part, origin = dem.window(slice(first, min(first + step, rows.stop)), cols)
        height, width = (size // factor for size in part.shape)
        cells = part[: height * factor, : width * factor].reshape(height, factor, width, factor)
        strips.append(cells.mean(axis=(1, 3)) if factor > 1 else part)
        origins.append(origin)
    return np.concatenate(strips), origins[0]


def _write(dem: Dem, rows: slice, cols: slice, factor: int, target: Path) -> None:
    values, (row0, col0) = _averaged(dem, rows, cols, factor)
    a, b, c, d, e, f = dem.raster.transform
    transform = Affine(a * factor, b, c + a * col0, d, e * factor, f + e * row0)
    above = hand(values, transform, dem.raster.geographic)
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_suffix(".partial.tif")
    with rasterio.open(
        aside,
        "w",
        driver="GTiff",
        height=above.shape[0],
        width=above.shape[1],
        count=1,
        dtype="float32",
        crs=dem.raster.crs_wkt,
        transform=transform,
        nodata=float("nan"),
        tiled=True,
        compress="deflate",
    ) as file:
        file.write(above, 1)
    aside.replace(target)
