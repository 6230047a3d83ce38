"""Terrain-corrected products on a map grid, read onto another one.

What a file is, it says itself: its own CRS, transform and no-data value are believed, not what an
Item says of them (``proj:epsg``, ``proj:code``, ``proj:shape``, geometries in metres).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from pyproj.exceptions import ProjError
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import CRSError, RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterWindow

from cube.errors import SourceError
from cube.readers.access import plain
from cube.readers.remote import Pool, open_raster, prefetch_tiles
from cube.readers.scene import Files
from cube.schema import CHUNK

__all__ = ["ProjectedReader", "check_projected"]

_ALIGNED = 1e-3
"""Share of a pixel by which two grids may lie apart and count as one."""
_TOLERANCE = 0.01
"""Pixels of the file by which GDAL's transformer may miss where it does not call PROJ."""
_LATTICE = 5
"""Points along a tile's edge that tell where it lies in a file."""
_MARGIN = 2
"""File pixels around them: half a kernel, and what the lattice misses between its points."""
_FAILED = (RasterioError, CRSError, ProjError)

_Part = tuple[slice, slice]


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
    said = str(error).splitlines() or [type(error).__name__]
    return SourceError(f"{href}: {what} ({said[0][:120]})")


@dataclass(frozen=True)
class _Fitted:
    """An open file, or an overview of it, and how it lies under a grid.

    Attributes
    ----------
    raster : rasterio dataset
    failures : list of SourceError
    offset : (row, column) or None
        Of the file at the grid's first pixel, where the grid continues the file's own.
    to_file : Transformer
        From map coordinates of the grid to those of the file.
    size : (x, y)
        Size of the grid's pixels in pixels of the file, at the grid's centre.
    """

    raster: Any
    failures: list[SourceError]
    offset: tuple[int, int] | None
    to_file: Transformer
    size: tuple[float, float]


class ProjectedReader:
    """One file, read onto windows of one grid; thread-safe.

    On a grid that continues the file's own, or that of one of its overviews, pixels are copied: no
    resampling, no loss. Otherwise GDAL warps bilinearly, from the overview (a mean of power) whose
    pixels are the largest that do not exceed the grid's. No value depends on the window: GDAL is
    given one tile of the grid at a time, whatever is asked for, and one kernel width for all.

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
        self._handles = Pool(self._best, lambda fitted: fitted.raster.close())

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
        values = np.full((rows.stop - rows.start, cols.stop - cols.start), np.nan, "float32")
        failures: list[SourceError] = []
        try:
            with self._handles.borrow() as fitted:
                failures = fitted.failures
                if fitted.offset is not None:
                    self._copy(fitted, fitted.offset, rows, cols, values)
                else:
                    self._warp(fitted, rows, cols, values)
        except _FAILED as error:
            what = f"cannot read rows {rows.start}..{rows.stop}"
            raise _cause(failures, plain(self.files.measurement), what, error) from error
        values[values == 0] = np.nan
        return values

    def _best(self) -> _Fitted:
        """The file, or the overview of it that suits the grid, opened once more."""
        found = self._fit(*_opened(self.files))
        factors = found.raster.overviews(1) if found.offset is None else []
        fitting = [level for level, size in enumerate(factors) if size <= min(found.size)]
        if fitting:
            found.raster.close()
            found = self._fit(*_opened(self.files, overview_level=fitting[-1]))
        return found

    def _fit(self, raster: Any, failures: list[SourceError]) -> _Fitted:
        to_file = Transformer.from_crs(self.crs, raster.crs.to_wkt(), always_xy=True)
        row, col = self.shape[0] / 2, self.shape[1] / 2
        cols, rows = np.array([col, col + 1, col]), np.array([row, row, row + 1])
        x, y = self._in_file(raster, to_file, cols, rows)
        size = math.hypot(x[1] - x[0], y[1] - y[0]), math.hypot(x[2] - x[0], y[2] - y[0])
        if not np.isfinite(size).all():
            size = 1.0, 1.0
        # A hair larger, so that ten metres from another projection count as ten
        size = size[0] + 1e-3, size[1] + 1e-3
        return _Fitted(raster, failures, _offset(raster, self.crs, self.transform), to_file, size)

    def _in_file(
        self, raster: Any, to_file: Transformer, cols: NDArray[Any], rows: NDArray[Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Column and row in the file of pixel coordinates of the grid; infinite where unknown."""
        t, own = self.transform, ~raster.transform
        x, y = to_file.transform(t.a * cols + t.b * rows + t.c, t.d * cols + t.e * rows + t.f)
        return own.a * x + own.b * y + own.c, own.d * x + own.e * y + own.f

    def _copy(
        self,
        fitted: _Fitted,
        offset: tuple[int, int],
        rows: slice,
        cols: slice,
        out: NDArray[np.float32],
    ) -> None:
        raster = fitted.raster
        (row0, col0) = offset
        top, left = max(rows.start + row0, 0), max(cols.start + col0, 0)
        bottom = min(rows.stop + row0, raster.height)
        right = min(cols.stop + col0, raster.width)
        if top >= bottom or left >= right:
            return
        blocks = _blocks(raster, top, bottom, left, right)
        prefetch_tiles(raster, self.files.measurement, self.files.access, sorted(blocks))
        part = out[
            top - row0 - rows.start : bottom - row0 - rows.start,
            left - col0 - cols.start : right - col0 - cols.start,
        ]
        window = RasterWindow(left, top, right - left, bottom - top)
        part[:] = raster.read(1, window=window, out_dtype="float32")
        if raster.nodata is not None:
            part[part == np.float32(raster.nodata)] = np.nan

    def _warp(self, fitted: _Fitted, rows: slice, cols: slice, out: NDArray[np.float32]) -> None:
        raster = fitted.raster
        tiles = list(self._tiles(fitted, rows, cols))
        wanted = set().union(*(blocks for _, blocks in tiles))
        prefetch_tiles(raster, self.files.measurement, self.files.access, sorted(wanted))
        # Beyond a pixel of the file the kernel grows with the grid's; below it stays as it is.
        # GDAL would else guess from the window, and widen it on every grid that is turned
        kernel = {
            f"{axis}SCALE": 1.0 if size < 1.05 else 1 / size
            for axis, size in zip("XY", fitted.size, strict=True)
        }
        for (tile_rows, tile_cols), _ in tiles:
            height, width = _shape(tile_rows, tile_cols)
            # not rasterio.warp.reproject, whose threads switch warnings on for one another
            with WarpedVRT(
                raster,
                crs=self.crs,
                transform=self.transform * Affine.translation(tile_cols.start, tile_rows.start),
                width=width,
                height=height,
                resampling=Resampling.bilinear,
                nodata=np.nan,
                src_nodata=raster.nodata if raster.nodata is not None else 0,
                dtype="float32",
                tolerance=_TOLERANCE,
                **kernel,
            ) as warped:
                tile = warped.read(1)
            top, bottom = max(tile_rows.start, rows.start), min(tile_rows.stop, rows.stop)
            left, right = max(tile_cols.start, cols.start), min(tile_cols.stop, cols.stop)
            out[top - rows.start : bottom - rows.start, left - cols.start : right - cols.start] = (
                tile[
                    top - tile_rows.start : bottom - tile_rows.start,
                    left - tile_cols.start : right - tile_cols.start,
                ]
            )

    def _tiles(
        self, fitted: _Fitted, rows: slice, cols: slice
    ) -> Iterator[tuple[_Part, set[tuple[int, int]]]]:
        """Tiles of the grid that a part touches and that meet the file; the file's own for each."""
        raster = fitted.raster
        margin = _MARGIN + math.ceil(max(fitted.size))
        along = np.linspace(0, 1, _LATTICE)
        for row in range(rows.start // CHUNK * CHUNK, rows.stop, CHUNK):
            for col in range(cols.start // CHUNK * CHUNK, cols.stop, CHUNK):
                part = (
                    slice(row, min(row + CHUNK, self.shape[0])),
                    slice(col, min(col + CHUNK, self.shape[1])),
                )
                height, width = _shape(*part)
                x, y = self._in_file(
                    raster,
                    fitted.to_file,
                    *np.broadcast_arrays(col + width * along, (row + height * along)[:, None]),
                )
                known = np.isfinite(x) & np.isfinite(y)
                if not known.any():
                    continue
                top, bottom = y[known].min() - margin, y[known].max() + margin
                left, right = x[known].min() - margin, x[known].max() + margin
                blocks = _blocks(raster, top, bottom, left, right)
                if blocks:
                    yield part, blocks


def _shape(rows: slice, cols: slice) -> tuple[int, int]:
    return rows.stop - rows.start, cols.stop - cols.start


def _blocks(
    raster: Any, top: float, bottom: float, left: float, right: float
) -> set[tuple[int, int]]:
    """Blocks of a file, row and column, that hold a part of it; none outside."""
    height, width = raster.block_shapes[0]
    top, bottom = max(math.floor(top), 0), min(math.ceil(bottom), raster.height)
    left, right = max(math.floor(left), 0), min(math.ceil(right), raster.width)
    if top >= bottom or left >= right:
        return set()
    return {
        (row, col)
        for row in range(int(top) // height, -(-int(bottom) // height))
        for col in range(int(left) // width, -(-int(right) // width))
    }


def _offset(raster: Any, crs: str, transform: Affine) -> tuple[int, int] | None:
    """Row and column of the file at the grid's first pixel, if the grid continues the file's."""
    if raster.crs != CRS.from_user_input(crs):
        return None
    own = raster.transform
    if (
        own.b
        or own.d
        or transform.b
        or transform.d
        or not np.allclose((own.a, own.e), (transform.a, transform.e), rtol=1e-9, atol=0)
    ):
        return None
    col = (transform.c - own.c) / own.a
    row = (transform.f - own.f) / own.e
    if abs(col - round(col)) > _ALIGNED or abs(row - round(row)) > _ALIGNED:
        return None
    return round(row), round(col)
