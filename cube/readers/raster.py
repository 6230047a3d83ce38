"""Single-band rasters on the map: what they are, and windows of them in geographic bounds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

from cube.errors import SourceError
from cube.grid import transformer_of

__all__ = ["Raster", "describe", "identity", "lonlat_extent", "read_window"]


@dataclass(frozen=True)
class Raster:
    """A raster's grid: path, CRS (2-D), affine transform, shape and no-data value."""

    path: str
    crs_wkt: str
    transform: tuple[float, ...]
    shape: tuple[int, int]
    nodata: float | None
    geographic: bool

    @property
    def affine(self) -> Affine:
        """Pixel to map transform."""
        return Affine(*self.transform)

    @property
    def spacing(self) -> tuple[float, float]:
        """Pixel size (y, x) in units of the CRS, positive."""
        return abs(self.transform[4]), abs(self.transform[0])

    def pixel_of_map(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixel coordinates (row, column) in which whole numbers are pixel centres."""
        a, _, c, _, e, f = self.transform
        if self.geographic:
            # longitudes may be asked beyond 180 where a grid crosses the antimeridian
            centre = c + a * self.shape[1] / 2
            x = centre + np.remainder(x - centre + 180.0, 360.0) - 180.0
        return (y - f) / e - 0.5, (x - c) / a - 0.5

    def transformer(self, crs: str) -> Transformer:
        """Return a transformer from `crs` to this raster's CRS, horizontal only."""
        return transformer_of(crs, self.crs_wkt)

    def transformer_to(self, crs: str) -> Transformer:
        """Return a transformer from this raster's CRS to `crs`, horizontal only."""
        return transformer_of(self.crs_wkt, crs)


def describe(path: str) -> tuple[Raster, str]:
    """Grid of a raster and the WKT of its CRS as written (which may be compound).

    Raises
    ------
    SourceError
        Missing, unreadable, more than one band, rotated or without CRS.
    """
    try:
        state = Path(path).stat()
    except OSError as error:
        raise SourceError(f"{path}: no such file; check the path") from error
    return _described(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=64)
def _described(path: str, size: int, changed: int) -> tuple[Raster, str]:
    """The same for a file as it is now: a notebook may write it anew."""
    try:
        with rasterio.open(path) as raster:
            crs, transform, bands = raster.crs, raster.transform, raster.count
            shape, nodata = raster.shape, raster.nodata
    except RasterioError as error:
        raise SourceError(
            f"{path}: not a readable raster ({str(error).splitlines()[0][:120]})"
        ) from error
    if crs is None:
        raise SourceError(f"{path}: has no CRS; add one, for example with gdal_edit -a_srs")
    if bands != 1:
        raise SourceError(f"{path}: has {bands} bands, expected one")
    if transform.b or transform.d or transform.e > 0:
        raise SourceError(f"{path}: is rotated or south-up; warp it to a north-up grid first")
    try:
        written = CRS.from_wkt(crs.to_wkt())
        flat = written.to_2d()
        if flat.is_compound:
            flat = CRS(flat.sub_crs_list[0])
    except CRSError as error:
        raise SourceError(f"{path}: its CRS is not understood ({error})") from error
    grid = tuple(float(value) for value in tuple(transform)[:6])
    described = Raster(path, flat.to_wkt(), grid, shape, nodata, flat.is_geographic)
    return described, written.to_wkt()


def read_window(raster: Raster, rows: slice, cols: slice) -> NDArray[Any]:
    """Pixels of a window, clipped to the raster by the caller.

    Raises
    ------
    SourceError
        The file is damaged or truncated.
    """
    window = RasterWindow(cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start)
    try:
        with rasterio.open(raster.path) as file:
            return np.asarray(file.read(1, window=window))
    except RasterioError as error:
        raise SourceError(
            f"{raster.path}: cannot read rows {rows.start}..{rows.stop}"
            f" ({str(error).splitlines()[0][:120]}); the file is damaged"
        ) from error


@lru_cache(maxsize=16)
def _digest(path: str, size: int, modified: int) -> str:
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def identity(path: str) -> dict[str, str]:
    """Name and sha256 of a file: who it is, without where it lies.

    Raises
    ------
    SourceError
        The file does not exist, or cannot be read.
    """
    try:
        state = Path(path).stat()
    except OSError as error:
        raise SourceError(f"{path}: no such file; check the path") from error
    try:
        return {"name": Path(path).name, "sha256": _digest(path, state.st_size, state.st_mtime_ns)}
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}); check the path") from error


def lonlat_extent(raster: Raster) -> tuple[float, float, float, float]:
    """Bounds of a raster in degrees: west, south, east, north; east may be beyond 180."""
    a, _, c, _, e, f = raster.transform
    height, width = raster.shape
    along = np.linspace(0, 1, 21)
    x = np.concatenate([c + a * width * along] * 2 + [np.full(21, c), np.full(21, c + a * width)])
    y = np.concatenate([np.full(21, f), np.full(21, f + e * height)] + [f + e * height * along] * 2)
    lon, lat = Transformer.from_crs(
        CRS.from_wkt(raster.crs_wkt), "EPSG:4326", always_xy=True
    ).transform(x, y)
    if not raster.geographic and np.ptp(lon) > 180:
        lon = np.where(lon < 0, lon + 360, lon)
    return float(np.min(lon)), float(np.min(lat)), float(np.max(lon)), float(np.max(lat))
