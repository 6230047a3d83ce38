"""Terrain-corrected products on a map grid, read onto another one.

What a file is, it says itself: its own CRS, transform and no-data value are believed, not what an
Item says of them (``proj:epsg``, ``proj:code``, ``proj:shape``, geometries in metres).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
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
from cube.kernels.mosaic import blank
from cube.readers.access import file_state, plain
from cube.readers.remote import Block, blocks_within, open_raster, problem
from cube.readers.scene import Files
from cube.schema import CHUNK

__all__ = ["ProjectedReader", "check_projected"]

_ALIGNED = 1e-3
"""Share of a pixel by which two grids may lie apart and count as one."""
_TOLERANCE = 0.01
"""Pixels of the file by which GDAL's transformer may miss where it does not call PROJ."""
_LATTICE = 5
"""Points along a tile's edge that tell where it lies in a file."""
_MARGIN = 4
"""File pixels around them that GDAL may look at, beside the kernel's."""
_FAILED = (RasterioError, CRSError, ProjError)

_Part = tuple[slice, slice]


def check_projected(files: Files) -> None:
    """Open a product and see that it can be read onto a grid, without reading its pixels.

    Raises
    ------
    SourceError
        Missing, refused, not a raster, more than one band, or without CRS.
    """
    _describe(files)


@dataclass(frozen=True)
class _Image:
    """What a file, or an overview of it, says of itself.

    Attributes
    ----------
    level : int or None
        Of the overview.
    crs : str
        WKT.
    transform : Affine
    shape, block : (rows, columns)
    nodata : float or None
    factors : tuple of int
        By which its overviews are smaller.
    """

    level: int | None
    crs: str
    transform: Affine
    shape: tuple[int, int]
    block: tuple[int, int]
    nodata: float | None
    factors: tuple[int, ...]

    def blocks(self, top: float, bottom: float, left: float, right: float) -> set[Block]:
        """Blocks of the file that hold a part of it; none outside."""
        return blocks_within(self.block, self.shape, top, bottom, left, right)


def _describe(files: Files, level: int | None = None) -> _Image:
    href = plain(files.measurement)
    try:
        with open_raster(files.measurement, files.access, level=level) as raster:
            if raster.count != 1 or raster.crs is None:
                what = f"{raster.count} bands" if raster.count != 1 else "no CRS"
                raise SourceError(f"{href}: has {what}; expected one band on a map grid")
            return _Image(
                level,
                raster.crs.to_wkt(),
                raster.transform,
                raster.shape,
                raster.block_shapes[0],
                raster.nodata,
                tuple(raster.overviews(1)),
            )
    except RasterioError as error:
        raise SourceError(f"{href}: not a readable raster ({problem(error)})") from error


@dataclass(frozen=True)
class _Fit:
    """How an image lies under a grid.

    Attributes
    ----------
    image : _Image
    offset : (row, column) or None
        Of the image at the grid's first pixel, where the grid continues the image's own.
    size : (x, y)
        Size of the grid's pixels in pixels of the image, at the grid's centre.
    """

    image: _Image
    offset: tuple[int, int] | None
    size: tuple[float, float]


@dataclass(frozen=True)
class ProjectedReader:
    """One file, read onto windows of one grid, by any number of threads.

    On a grid that continues the file's own, or that of one of its overviews, pixels are copied: no
    resampling, no loss. Otherwise GDAL warps bilinearly, from the overview (a mean of power) whose
    pixels are the largest that do not exceed the grid's. No value depends on the window: GDAL is
    given one tile of the grid at a time, whatever is asked for, and one kernel width for all.

    The file is open while a window is read and no longer: GDAL keeps what it decodes of an open
    file, up to a share of the machine's memory.

    Attributes
    ----------
    files : Files
    crs : str
        Of the grid: WKT, or anything that PROJ understands.
    transform : Affine
        Of the whole grid.
    shape : (rows, columns)
    """

    files: Files
    crs: str
    transform: Affine
    shape: tuple[int, int]

    def read(self, rows: slice, cols: slice) -> NDArray[np.float32]:
        """Power on a part of the grid, float32; NaN outside the file and where it has no data.

        Zero counts as no data: speckled power is never zero, and borders without a no-data tag are.

        Raises
        ------
        SourceError
            The file is missing, refused, damaged or of a CRS that has no way to the grid.
        """
        try:
            fit = _fit(self, file_state(self.files.measurement))
            if fit.offset is not None:
                values = self._copy(fit.image, _window(fit.offset, rows, cols))
            else:
                values = self._warp(fit, rows, cols)
        except _FAILED as error:
            raise SourceError(
                f"{plain(self.files.measurement)}: cannot be read at rows {rows.start}.."
                f"{rows.stop} of the grid ({problem(error)}); is it damaged or truncated?"
            ) from error
        nodata = fit.image.nodata
        blank(values, np.float32(0 if nodata is None else nodata))
        return values

    def meets(self, rows: slice, cols: slice) -> bool:
        """Whether the file lies over a part of the grid; what it holds there is not read.

        Raises
        ------
        SourceError
            See `read`.
        """
        fit = _fit(self, file_state(self.files.measurement))
        if fit.offset is not None:
            return bool(fit.image.blocks(*_window(fit.offset, rows, cols)))
        return next(self._tiles(fit, rows, cols), None) is not None

    def _open(self, image: _Image, blocks: set[Block]) -> Any:
        return open_raster(
            self.files.measurement, self.files.access, sorted(blocks), level=image.level
        )

    def _copy(self, image: _Image, window: tuple[int, int, int, int]) -> NDArray[np.float32]:
        first, last, begin, end = window
        top, bottom = max(first, 0), min(last, image.shape[0])
        left, right = max(begin, 0), min(end, image.shape[1])
        blocks = image.blocks(top, bottom, left, right)
        found = np.empty((0, 0), "float32")
        if blocks:
            with self._open(image, blocks) as raster:
                inside = RasterWindow(left, top, right - left, bottom - top)
                found = raster.read(1, window=inside, out_dtype="float32")
        if found.shape == (last - first, end - begin):
            return found
        out = np.full((last - first, end - begin), np.nan, "float32")
        if blocks:
            out[top - first : bottom - first, left - begin : right - begin] = found
        return out

    def _warp(self, fit: _Fit, rows: slice, cols: slice) -> NDArray[np.float32]:
        image = fit.image
        out = np.full(_shape(rows, cols), np.nan, "float32")
        tiles = list(self._tiles(fit, rows, cols))
        if not tiles:
            return out
        # Beyond a pixel of the file the kernel grows with the grid's; below it stays as it is.
        # GDAL would else guess from the window, and widen it on every grid that is turned
        kernel = {
            f"{axis}SCALE": 1.0 if size < 1.05 else 1 / size
            for axis, size in zip("XY", fit.size, strict=True)
        }
        with self._open(image, set().union(*(blocks for _, blocks in tiles))) as raster:
            for (tile_rows, tile_cols), _ in tiles:
                height, width = _shape(tile_rows, tile_cols)
                corner = Affine.translation(tile_cols.start, tile_rows.start)
                # not rasterio.warp.reproject, whose threads switch warnings on for one another
                with WarpedVRT(
                    raster,
                    crs=self.crs,
                    transform=self.transform * corner,
                    width=width,
                    height=height,
                    resampling=Resampling.bilinear,
                    nodata=np.nan,
                    src_nodata=image.nodata if image.nodata is not None else 0,
                    dtype="float32",
                    tolerance=_TOLERANCE,
                    **kernel,
                ) as warped:
                    _paste(warped.read(1), (tile_rows, tile_cols), out, (rows, cols))
        return out

    def _tiles(self, fit: _Fit, rows: slice, cols: slice) -> Iterator[tuple[_Part, set[Block]]]:
        """Tiles of the grid that a part touches and that meet the file; the file's own for each."""
        margin = _MARGIN + 2 * math.ceil(max(fit.size))
        along = np.linspace(0, 1, _LATTICE)
        to_file = _to_file(self, fit.image)
        for row in range(rows.start // CHUNK * CHUNK, rows.stop, CHUNK):
            for col in range(cols.start // CHUNK * CHUNK, cols.stop, CHUNK):
                part = (
                    slice(row, min(row + CHUNK, self.shape[0])),
                    slice(col, min(col + CHUNK, self.shape[1])),
                )
                height, width = _shape(*part)
                lattice = np.meshgrid(col + width * along, row + height * along)
                x, y = _in_file(self, fit.image, to_file, *lattice)
                known = np.isfinite(x) & np.isfinite(y)
                if not known.any():
                    continue
                blocks = fit.image.blocks(
                    *_looked_at(y[known], margin, fit.image.shape[0]),
                    *_looked_at(x[known], margin, fit.image.shape[1]),
                )
                if blocks:
                    yield part, blocks


def _shape(rows: slice, cols: slice) -> tuple[int, int]:
    return rows.stop - rows.start, cols.stop - cols.start


def _looked_at(at: NDArray[np.float64], margin: int, size: int) -> tuple[float, float]:
    """First and last of an axis of the file that GDAL looks at for places along it.

    Of an axis that it needs nine tenths of (or 95 %; this is on the safe side) it reads all.
    """
    low, high = max(at.min() - margin, 0.0), min(at.max() + margin, float(size))
    return (0.0, float(size)) if high - low > 0.85 * size else (low, high)


def _window(offset: tuple[int, int], rows: slice, cols: slice) -> tuple[int, int, int, int]:
    """First row and the one past the last, and so for columns, of a part of the grid in a file."""
    row, col = offset
    return rows.start + row, rows.stop + row, cols.start + col, cols.stop + col


def _paste(
    tile: NDArray[np.float32], where: _Part, out: NDArray[np.float32], window: _Part
) -> None:
    """Put what a tile and a window share into the window."""
    place, piece = [], []
    for own, wanted in zip(where, window, strict=True):
        first, stop = max(own.start, wanted.start), min(own.stop, wanted.stop)
        place.append(slice(first - wanted.start, stop - wanted.start))
        piece.append(slice(first - own.start, stop - own.start))
    out[tuple(place)] = tile[tuple(piece)]


@lru_cache(maxsize=4096)
def _fit(reader: ProjectedReader, state: tuple[int, int] | None) -> _Fit:
    """How a file, or that overview of it which suits the grid, lies under the grid."""
    del state  # another file at the same place is another one
    whole = _fitted(reader, _describe(reader.files))
    if whole.offset is not None:
        return whole
    factors = whole.image.factors
    fitting = [level for level, factor in enumerate(factors) if factor <= min(whole.size)]
    return _fitted(reader, _describe(reader.files, fitting[-1])) if fitting else whole


def _fitted(reader: ProjectedReader, image: _Image) -> _Fit:
    row, col = reader.shape[0] / 2, reader.shape[1] / 2
    cols, rows = np.array([col, col + 1, col]), np.array([row, row, row + 1])
    x, y = _in_file(reader, image, _to_file(reader, image), cols, rows)
    size = math.hypot(x[1] - x[0], y[1] - y[0]), math.hypot(x[2] - x[0], y[2] - y[0])
    if not np.isfinite(size).all():
        size = 1.0, 1.0
    # A hair larger, so that ten metres from another projection count as ten
    size = size[0] + 1e-3, size[1] + 1e-3
    return _Fit(image, _offset(image, reader.crs, reader.transform), size)


def _to_file(reader: ProjectedReader, image: _Image) -> Transformer:
    """From map coordinates of the grid to those of the file; not for two threads at once."""
    return Transformer.from_crs(reader.crs, image.crs, always_xy=True)


def _in_file(
    reader: ProjectedReader,
    image: _Image,
    to_file: Transformer,
    cols: NDArray[np.float64],
    rows: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Column and row in the file of pixel coordinates of the grid; infinite where unknown."""
    grid, own = reader.transform, ~image.transform
    x, y = to_file.transform(
        grid.a * cols + grid.b * rows + grid.c, grid.d * cols + grid.e * rows + grid.f
    )
    return own.a * x + own.b * y + own.c, own.d * x + own.e * y + own.f


def _offset(image: _Image, crs: str, transform: Affine) -> tuple[int, int] | None:
    """Row and column of the image at the grid's first pixel, if the grid continues the image's."""
    if CRS.from_wkt(image.crs) != CRS.from_user_input(crs):
        return None
    own = image.transform
    turned = own.b or own.d or transform.b or transform.d
    if turned or not np.allclose((own.a, own.e), (transform.a, transform.e), rtol=1e-9, atol=0):
        return None
    col = (transform.c - own.c) / own.a
    row = (transform.f - own.f) / own.e
    if abs(col - round(col)) > _ALIGNED or abs(row - round(row)) > _ALIGNED:
        return None
    return round(row), round(col)
