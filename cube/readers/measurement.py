"""Digital numbers of a measurement TIFF: read directly where it is uncompressed, else by GDAL."""

from __future__ import annotations

import os
import threading
import warnings
import weakref
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as RasterWindow

from cube.errors import SourceError
from cube.readers.window import Window

__all__ = ["Measurement"]


class Measurement:
    """One polarisation's image, read window by window.

    Thread-safe and picklable: what travels is the path, what is open stays in the process.

    Parameters
    ----------
    href : str
        Path of a single-band TIFF.
    shape : (lines, samples)
        Size that the annotation promises.

    Raises
    ------
    SourceError
        On the first read: missing, truncated or of another size.
    """

    def __init__(self, href: str, shape: tuple[int, int]) -> None:
        self.href = href
        self.shape = shape

    def read(self, window: Window) -> NDArray[np.uint16]:
        """Digital numbers of `window`; uint16, shape ``window.shape``."""
        source = _open(self.href, self.shape)
        return source.read(window)

    def check(self) -> None:
        """Open the file and compare it with the annotation, without reading its pixels."""
        _open(self.href, self.shape)


class _Plain:
    """Uncompressed pixels in order: each line of a window is one positioned read.

    Not memory-mapped: mapped pages count as resident, and a scene has 1.7 GB of them.
    """

    def __init__(self, path: Path, offset: int, width: int) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._file)  # when the cache of open files lets go
        self._offset = offset
        self._width = width

    def read(self, window: Window) -> NDArray[np.uint16]:
        out = np.empty(window.shape, "<u2")
        size = 2 * window.shape[1]
        at = self._offset + 2 * (window.line * self._width + window.sample)
        for row in out:
            if os.preadv(self._file, [row.data], at) != size:
                raise SourceError(
                    f"{self._path}: ends within lines {window.line}..{window.line_stop};"
                    " the file is truncated, download it again"
                )
            at += 2 * self._width
        return out


class _Gdal:
    def __init__(self, href: str) -> None:
        self._href = href
        self._local = threading.local()  # GDAL handles are not shared between threads

    def read(self, window: Window) -> NDArray[np.uint16]:
        try:
            if not hasattr(self._local, "handle"):
                self._local.handle = _open_raster(self._href)
            part = RasterWindow(window.sample, window.line, window.shape[1], window.shape[0])
            return np.asarray(self._local.handle.read(1, window=part))
        except RasterioError as error:
            raise SourceError(
                f"{self._href}: cannot read lines {window.line}..{window.line_stop}"
                f" ({_short(error)}); the file is damaged or truncated, download it again"
            ) from error


def _open_raster(href: str) -> Any:
    with warnings.catch_warnings():
        # Radar geometry has ground control points or nothing: that is expected here
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(href)


@lru_cache(maxsize=64)
def _open(href: str, shape: tuple[int, int]) -> _Plain | _Gdal:
    path = Path(href)
    if not path.exists():
        raise SourceError(f"{href}: measurement file is missing; is the product complete?")
    if path.stat().st_size == 0:
        raise SourceError(f"{href}: measurement file is empty; download the product again")
    try:
        with _open_raster(href) as raster:
            found, dtype, bands = raster.shape, raster.dtypes[0], raster.count
            offset = _contiguous(raster, path)
    except RasterioError as error:
        raise SourceError(
            f"{href}: not a readable TIFF ({_short(error)}); download the product again"
        ) from error
    if found != shape or dtype != "uint16" or bands != 1:
        raise SourceError(
            f"{href}: holds {bands} x {found[0]} x {found[1]} {dtype}, the annotation says"
            f" 1 x {shape[0]} x {shape[1]} uint16"
        )
    if offset is None:
        return _Gdal(href)
    return _Plain(path, offset, shape[1])


def _contiguous(raster: Any, path: Path) -> int | None:
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
    size = raster.width * 2

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


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:160]
