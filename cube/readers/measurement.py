"""Digital numbers of a measurement TIFF.

Read directly where it lies uncompressed on a disk; by GDAL where it is compressed; and where it is
remote by GDAL too, from the tiles that are needed alone.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

from cube.errors import SourceError
from cube.kernels.resample import touched_tiles
from cube.readers.access import ON_DISK, Access, is_remote, plain
from cube.readers.remote import Block, open_raster, problem
from cube.readers.window import Window

__all__ = ["Measurement", "Near", "Samples"]

Near = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Lines and samples about to be sampled, each of shape (y, x)."""


class Measurement:
    """One polarisation's image, read window by window.

    Thread-safe and picklable: what travels is the path, what is open stays in the process.

    Parameters
    ----------
    href : str
        Path or href of a single-band TIFF.
    shape : (lines, samples)
        Size that the annotation promises.
    access : Access
        How a remote file is asked for.

    Raises
    ------
    SourceError
        On the first read: missing, refused, truncated or of another size.
    """

    def __init__(self, href: str, shape: tuple[int, int], access: Access = ON_DISK) -> None:
        self.href = href
        self.shape = shape
        self.access = access

    def read(self, window: Window, near: Near | None = None) -> NDArray[np.uint16]:
        """Digital numbers of `window`; uint16, shape ``window.shape``.

        With `near`, samples that are no neighbour of any of those coordinates may be left zero: a
        block of the map is a rhomb in the image, and the tiles in the corners of the window around
        it need not be fetched.
        """
        return self._source().read(window, near)

    def check(self) -> None:
        """Open the file and compare it with the annotation, without reading its pixels."""
        self._source()

    def _source(self) -> _Plain | _Blocks:
        return _open(self.href, self.shape, self.access, ("uint16",))


class Samples(Measurement):
    """One image of complex samples, read window by window.

    On disk they are pairs of int16; what others have written again as complex64 is read too.
    """

    def read(self, window: Window, near: Near | None = None) -> NDArray[Any]:
        """Samples of `window`; complex64, shape ``window.shape``."""
        found = self._source().read(window, near)
        if found.dtype == np.complex64:
            return found
        pairs = found.view("<i2").astype("float32")
        return np.asarray(pairs.view("complex64"))

    def _source(self) -> _Plain | _Blocks:
        return _open(self.href, self.shape, self.access, ("complex_int16", "complex64"))


_PIXELS = {"uint16": "<u2", "complex_int16": "<u4", "complex64": "<c8"}
"""Types of pixels as rasterio names them, and what holds one of them."""


class _Plain:
    """Uncompressed pixels in order: each line of a window is one positioned read.

    Not memory-mapped: mapped pages count as resident, and a scene has 1.7 GB of them.
    """

    def __init__(self, path: Path, offset: int, width: int, dtype: str) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._file)  # when the cache of open files lets go
        self._offset = offset
        self._width = width
        self._dtype = np.dtype(_PIXELS[dtype])

    def read(self, window: Window, near: Near | None = None) -> NDArray[Any]:
        out = np.empty(window.shape, self._dtype)
        pixel = self._dtype.itemsize
        size = pixel * window.shape[1]
        at = self._offset + pixel * (window.line * self._width + window.sample)
        for row in out:
            if os.preadv(self._file, [row.data], at) != size:
                raise SourceError(
                    f"{self._path}: ends within lines {window.line}..{window.line_stop};"
                    " the file is truncated, download it again"
                )
            at += pixel * self._width
        return out


class _Blocks:
    """Tiles or strips that GDAL decodes: only those that are needed, fetched side by side."""

    def __init__(
        self,
        href: str,
        access: Access,
        shape: tuple[int, int],
        tile: tuple[int, int],
        dtype: str,
    ) -> None:
        self._href, self._access, self._shape, self._tile = href, access, shape, tile
        self._dtype = "complex64" if dtype == "complex_int16" else dtype  # as rasterio reads it

    def read(self, window: Window, near: Near | None = None) -> NDArray[Any]:
        tiles = _touched(window, near, self._shape, self._tile)
        try:
            with open_raster(self._href, self._access, tiles) as raster:
                return self._read(raster, tiles, window)
        except RasterioError as error:
            raise SourceError(
                f"{plain(self._href)}: cannot read lines {window.line}..{window.line_stop}"
                f" ({problem(error)}); the file is damaged or truncated, download it again"
            ) from error

    def _read(self, raster: Any, tiles: list[Block], window: Window) -> NDArray[Any]:
        lines, samples = self._tile
        out = np.zeros(window.shape, self._dtype)
        for line, first, stop in _rows_of(tiles):
            part = Window(
                max(line * lines, window.line),
                max(first * samples, window.sample),
                min((line + 1) * lines, window.line_stop),
                min(stop * samples, window.sample_stop),
            )
            read = RasterWindow(part.sample, part.line, part.shape[1], part.shape[0])
            out[
                part.line - window.line : part.line_stop - window.line,
                part.sample - window.sample : part.sample_stop - window.sample,
            ] = raster.read(1, window=read)
        return out


def _touched(
    window: Window, near: Near | None, shape: tuple[int, int], tile: tuple[int, int]
) -> list[Block]:
    """Tiles (row, column) of a window in order, without those that no coordinate is near."""
    rows = slice(window.line // tile[0], -(-window.line_stop // tile[0]))
    cols = slice(window.sample // tile[1], -(-window.sample_stop // tile[1]))
    if near is None:
        return [
            (row, col)
            for row in range(rows.start, rows.stop)
            for col in range(cols.start, cols.stop)
        ]
    touched = touched_tiles(*near, *shape, *tile)[rows, cols]
    return [(int(row) + rows.start, int(col) + cols.start) for row, col in np.argwhere(touched)]


def _rows_of(tiles: list[Block]) -> Iterator[tuple[int, int, int]]:
    """Runs of neighbouring tiles in one row: row, first column, stop."""
    at = 0
    for next_at in range(1, len(tiles) + 1):
        row, col = tiles[next_at - 1]
        if next_at == len(tiles) or tiles[next_at] != (row, col + 1):
            yield row, tiles[at][1], col + 1
            at = next_at


def _open(
    href: str, shape: tuple[int, int], access: Access, dtypes: tuple[str, ...]
) -> _Plain | _Blocks:
    if is_remote(href):
        return _open_state(href, shape, access, dtypes, None)
    try:
        found = Path(href).stat()
    except OSError as error:
        raise SourceError(
            f"{href}: measurement file is missing; is the product complete?"
        ) from error
    if found.st_size == 0:
        raise SourceError(f"{href}: measurement file is empty; download the product again")
    return _open_state(href, shape, access, dtypes, (found.st_size, found.st_mtime_ns))


@lru_cache(maxsize=64)
def _open_state(
    href: str,
    shape: tuple[int, int],
    access: Access,
    dtypes: tuple[str, ...],
    state: tuple[int, int] | None,
) -> _Plain | _Blocks:
    """Open a file in the state it is in; one replaced in place is opened anew."""
    try:
        with open_raster(href, access) as raster:
            dtype = _checked(raster, plain(href), shape, dtypes)
            offset = None if state is None else _contiguous(raster, Path(href), dtype)
            tile = raster.block_shapes[0]
    except RasterioError as error:
        raise SourceError(
            f"{plain(href)}: not a readable TIFF ({problem(error)}); download the product again"
        ) from error
    if offset is None:
        return _Blocks(href, access, shape, tile, dtype)
    return _Plain(Path(href), offset, shape[1], dtype)


def _checked(raster: Any, href: str, shape: tuple[int, int], dtypes: tuple[str, ...]) -> str:
    """Type of the pixels, of a raster of one band of the size that is expected."""
    found, dtype, bands = raster.shape, str(raster.dtypes[0]), raster.count
    if found != shape or dtype not in dtypes or bands != 1:
        raise SourceError(
            f"{href}: holds {bands} x {found[0]} x {found[1]} {dtype}, the annotation says"
            f" 1 x {shape[0]} x {shape[1]} {dtypes[0]}"
        )
    return dtype


def _contiguous(raster: Any, path: Path, dtype: str) -> int | None:
    """Offset of the pixels where they lie uncompressed, in order and little-endian, else None.

    Raises
    ------
    SourceError
        The file ends before its last strip.
    """
    if raster.compression is not None or raster.profile.get("tiled"):
        return None
    with path.open("rb") as file:
        if file.read(2) != b"II":
            return None
    rows = raster.block_shapes[0][0]
    strips = -(-raster.height // rows)
    size = raster.width * np.dtype(_PIXELS[dtype]).itemsize

    def place(strip: int) -> int | None:
        found = raster.get_tag_item(f"BLOCK_OFFSET_0_{strip}", "TIFF", bidx=1)
        return None if found is None else int(found)

    first = place(0)
    # Every strip is compared: one that was moved would give wrong pixels without a word
    for strip in range(strips):
        at = place(strip)
        if first is None or at is None or at != first + strip * rows * size:
            return None
    end = int(first or 0) + raster.height * size
    if path.stat().st_size < end:
        raise SourceError(
            f"{path}: truncated at {path.stat().st_size:,} of {end:,} bytes;"
            " download the product again"
        )
    return first
