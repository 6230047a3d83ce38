"""Terrain-corrected products on a map grid, read onto another one.

What a file is, it says itself: its own CRS, transform and no-data value are believed, not what an
Item says of them (``proj:epsg``, ``proj:code``, geometries in metres).
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import CRSError, RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform as transform_points
from rasterio.windows import Window as RasterWindow

from cube.errors import SourceError
from cube.readers.access import plain
from cube.readers.remote import open_raster, prefetch_tiles
from cube.readers.scene import Files

__all__ = ["ProjectedReader", "check_projected"]

_ALIGNED = 1e-3
"""Share of a pixel by which two grids may lie apart and count as one."""
_WARP_MEMORY_MB = 64


def check_projected(files: Files) -> None:
    """Open a product and see that it can be read onto a grid, without reading its pixels.

    Raises
    ------
    SourceError
        Missing, refused, not a raster, more than one band, or without CRS.
    """
    raster, _ = _opened(files)
    raster.close()


def _opened(files: Files, **options: Any) -> tuple[Any, list[SourceError]]:
    href = plain(files.measurement)
    failures: list[SourceError] = []
    try:
        raster, failures = open_raster(files.measurement, files.access, **options)
    except RasterioError as error:
        raise _cause(failures, href, "not a readable raster", error) from error
    if raster.count != 1 or raster.crs is None:
        what = f"{raster.count} bands" if raster.count != 1 else "no CRS"
        raster.close()
        raise SourceError(f"{href}: has {what}; expected one band on a map grid")
    return raster, failures


def _cause(failures: list[SourceError], href: str, what: str, error: Exception) -> SourceError:
    if failures:
        return failures.pop()
    return SourceError(f"{href}: {what} ({str(error).splitlines()[0][:120]})")


class ProjectedReader:
    """One file, read onto windows of one grid; thread-safe, what is open stays in its thread.

    On a grid that continues the file's own, pixels are copied: no resampling, no loss. Otherwise
    GDAL warps bilinearly, from the overview (a mean of power) whose pixels are the largest that do
    not exceed the grid's, its kernel held at one source pixel so that values do not change with
    the window (GDAL would else widen it by what the window's ends suggest).

    Parameters
    ----------
    files : Files
    crs : str
        Of the grid: WKT, or anything that PROJ understands.
    transform : Affine
        Of the whole grid.
    shape : (rows, columns)
    """

    def __init__(self, files: Files, crs: str, transform: Affine, shape: tuple[int, int]) -> None:
        self.files, self.crs, self.transform, self.shape = files, crs, transform, shape
        self._local = threading.local()

    def __getstate__(self) -> tuple[Files, str, Affine, tuple[int, int]]:
        return self.files, self.crs, self.transform, self.shape

    def __setstate__(self, state: tuple[Files, str, Affine, tuple[int, int]]) -> None:
        self.__init__(*state)  # type: ignore[misc]  # the same as when it was made

    def read(self, rows: slice, cols: slice) -> NDArray[np.float32]:
        """Power on a part of the grid, float32; NaN outside the file and where it has no data.

        Zero counts as no data: speckled power is never zero, and borders without a no-data tag are.

        Raises
        ------
        SourceError
            The file is missing, refused, damaged or of a CRS that has no way to the grid.
        """
        if not hasattr(self._local, "raster"):
            self._open()
        raster, failures = self._local.raster, self._local.failures
        try:
            if self._local.offset is not None:
                values = self._copied(raster, rows, cols)
            else:
                values = self._warped(raster, rows, cols)
        except (RasterioError, CRSError) as error:
            what = f"cannot read rows {rows.start}..{rows.stop}"
            raise _cause(failures, plain(self.files.measurement), what, error) from error
        values[values == 0] = np.nan
        return values

    def _open(self) -> None:
        raster, failures = _opened(self.files)
        offset = _offset(raster, self.crs, self.transform)
        if offset is None:
            level = _overview(raster, self.crs, self.transform, self.shape)
            if level is not None:
                raster.close()
                raster, failures = _opened(self.files, overview_level=level)
        self._local.raster, self._local.failures, self._local.offset = raster, failures, offset

    def _copied(self, raster: Any, rows: slice, cols: slice) -> NDArray[np.float32]:
        out = np.full((rows.stop - rows.start, cols.stop - cols.start), np.nan, "float32")
        row0, col0 = self._local.offset
        top, left = max(rows.start + row0, 0), max(cols.start + col0, 0)
        bottom = min(rows.stop + row0, raster.height)
        right = min(cols.stop + col0, raster.width)
        if top >= bottom or left >= right:
            return out
        height, width = raster.block_shapes[0]
        tiles = [
            (row, col)
            for row in range(top // height, -(-bottom // height))
            for col in range(left // width, -(-right // width))
        ]
        prefetch_tiles(raster, self.files.measurement, self.files.access, tiles)
        part = out[
            top - row0 - rows.start : bottom - row0 - rows.start,
            left - col0 - cols.start : right - col0 - cols.start,
        ]
        found = raster.read(
            1, window=RasterWindow(left, top, right - left, bottom - top), out_dtype="float32"
        )
        if raster.nodata is not None:
            found[found == np.float32(raster.nodata)] = np.nan
        part[:] = found
        return out

    def _warped(self, raster: Any, rows: slice, cols: slice) -> NDArray[np.float32]:
        height, width = rows.stop - rows.start, cols.stop - cols.start
        with WarpedVRT(
            raster,
            crs=self.crs,
            transform=self.transform * Affine.translation(cols.start, rows.start),
            width=width,
            height=height,
            resampling=Resampling.bilinear,
            nodata=np.nan,
            src_nodata=raster.nodata if raster.nodata is not None else 0,
            dtype="float32",
            warp_mem_limit=_WARP_MEMORY_MB,
            XSCALE=1,
            YSCALE=1,
        ) as warped:
            return np.asarray(warped.read(1))


def _offset(raster: Any, crs: str, transform: Affine) -> tuple[int, int] | None:
    """Row and column of the file at the grid's first pixel, if the grid continues the file's."""
    if raster.crs != CRS.from_user_input(crs):
        return None
    own = raster.transform
    if (
        own.b
        or own.d
        or not np.allclose((own.a, own.e), (transform.a, transform.e), rtol=1e-9, atol=0)
    ):
        return None
    col = (transform.c - own.c) / own.a
    row = (transform.f - own.f) / own.e
    if abs(col - round(col)) > _ALIGNED or abs(row - round(row)) > _ALIGNED:
        return None
    return round(row), round(col)


def _overview(raster: Any, crs: str, transform: Affine, shape: tuple[int, int]) -> int | None:
    """Index of the overview to read from: the coarsest whose pixels fit in the grid's."""
    factors = raster.overviews(1)
    if not factors:
        return None
    row, col = shape[0] / 2, shape[1] / 2
    corners = [transform * at for at in ((col, row), (col + 1, row), (col, row + 1))]
    xs, ys = zip(*corners, strict=True)
    x, y = transform_points(CRS.from_user_input(crs), raster.crs, xs, ys)
    if not np.isfinite([*x, *y]).all():
        return None
    across = math.hypot(x[1] - x[0], y[1] - y[0])
    down = math.hypot(x[2] - x[0], y[2] - y[0])
    ratio = min(across / abs(raster.transform.a), down / abs(raster.transform.e)) + 1e-3
    fitting = [index for index, factor in enumerate(factors) if factor <= ratio]
    return fitting[-1] if fitting else None
