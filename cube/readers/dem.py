"""Heights above the ellipsoid from a DEM whose vertical datum is known."""

from __future__ import annotations

import importlib.resources
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.datadir import get_data_dir, get_user_data_dir  # type: ignore[attr-defined]

from cube.errors import DemError
from cube.kernels.resample import bilinear, to_centres
from cube.readers.raster import Raster, describe, read_window

__all__ = ["DATUMS", "Dem", "chosen_geoid", "open_dem"]

DATUMS = ("egm2008", "egm96", "ellipsoid")
_VERTICAL = {"EGM2008": "egm2008", "EGM96": "egm96"}


@dataclass(frozen=True)
class Dem:
    """A DEM and what its heights refer to.

    Attributes
    ----------
    raster : Raster
    datum : str
        One of `DATUMS`.
    geoid : str
        Undulation that turns its heights into ellipsoidal ones: ``none``, ``egm96`` (the shipped
        15 arc-minute grid), the name of another grid, or ``egm96 for egm2008`` where the shipped
        grid stands in for EGM2008, from which it differs by up to about a metre.
    grid : Raster or None
        Grid of undulations in metres, where it is not the shipped one.
    """

    raster: Raster
    datum: str
    geoid: str
    grid: Raster | None = None

    def covers(self, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> bool:
        """Whether all points lie within the outer edges of its outermost pixels."""
        row, col = self._pixel(lon, lat)
        height, width = self.raster.shape
        edge = 0.5 + 1e-6  # rounding of a box that was cut along the same edges
        return bool(
            (row >= -edge).all()
            and (col >= -edge).all()
            and (row <= height - 1 + edge).all()
            and (col <= width - 1 + edge).all()
        )

    def _pixel(
        self, lon: NDArray[np.float64], lat: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        x, y = self.raster.transformer("EPSG:4326").transform(lon, lat)
        return self.raster.pixel_of_map(np.asarray(x), np.asarray(y))

    def window(self, rows: slice, cols: slice) -> tuple[NDArray[np.float32], tuple[int, int]]:
        """Ellipsoidal heights of a part of the DEM, clipped to it, and its first (row, column).

        Voids are NaN.
        """
        height, width = self.raster.shape
        rows = slice(max(rows.start, 0), min(rows.stop, height))
        cols = slice(max(cols.start, 0), min(cols.stop, width))
        if rows.start >= rows.stop or cols.start >= cols.stop:
            return np.full((1, 1), np.nan, "float32"), (0, 0)
        values = read_window(self.raster, rows, cols).astype("float32")
        if self.raster.nodata is not None:
            values[values == np.float32(self.raster.nodata)] = np.nan
        if self.geoid != "none":
            values += self._undulation(rows, cols)
        return values, (rows.start, cols.start)

    def _undulation(self, rows: slice, cols: slice) -> NDArray[np.float32]:
        a, _, c, _, e, f = self.raster.transform
        col, row = np.meshgrid(
            np.arange(cols.start, cols.stop) + 0.5, np.arange(rows.start, rows.stop) + 0.5
        )
        x, y = c + a * col, f + e * row
        if not self.raster.geographic:
            to_lonlat = Transformer.from_crs(
                CRS.from_wkt(self.raster.crs_wkt), "EPSG:4326", always_xy=True
            )
            x, y = to_lonlat.transform(x, y)
        if self.grid is None:
            return undulation(np.asarray(x), np.asarray(y))
        return _sampled(self.grid, np.asarray(x), np.asarray(y))


def undulation(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float32]:
    """EGM96 geoid above WGS 84 in metres, bilinear on its 15 arc-minute grid.

    The grid (NGA, public domain) is kept in centimetres.

    Parameters
    ----------
    lon, lat : float64, shape (y, x)
        Degrees; any longitude.

    Examples
    --------
    >>> rome = undulation(np.array([[12.5]]), np.array([[41.9]]))
    >>> bool(abs(rome[0, 0] - 48.5) < 1)
    True
    """
    grid = _egm96()
    # column 0 is centred on -180; the last column is repeated so that 180 interpolates
    col = np.remainder(lon + 180.0, 360.0) / 0.25
    row = (90.0 - lat) / 0.25
    out = np.full(lon.shape, np.nan, "float32")
    bilinear(grid, (0, 0), row, col, out)
    return out


@lru_cache(maxsize=1)
def _egm96() -> NDArray[np.float32]:
    resource = importlib.resources.files("catalogs") / "geoid" / "egm96_15.tif"
    with importlib.resources.as_file(resource) as path:
        raster, _ = describe(str(path))
        values = read_window(raster, slice(0, raster.shape[0]), slice(0, raster.shape[1]))
    metres = values.astype("float32") * np.float32(0.01)
    return np.concatenate([metres, metres[:, :1]], axis=1)


def _sampled(
    raster: Raster, lon: NDArray[np.float64], lat: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Bilinear values of a geographic raster; NaN outside it."""
    row, col = raster.pixel_of_map(lon, lat)
    to_centres(row, raster.shape[0])
    to_centres(col, raster.shape[1])
    rows = slice(max(int(row.min()) - 1, 0), min(int(row.max()) + 3, raster.shape[0]))
    cols = slice(max(int(col.min()) - 1, 0), min(int(col.max()) + 3, raster.shape[1]))
    out = np.full(lon.shape, np.nan, "float32")
    if rows.start < rows.stop and cols.start < cols.stop:
        values = read_window(raster, rows, cols).astype("float32")
        bilinear(values, (rows.start, cols.start), row, col, out)
    return out


def _proj_grid() -> str | None:
    """PROJ's own EGM2008 grid, where the user has installed it (``projsync``)."""
    for folder in (*get_data_dir().split(os.pathsep), get_user_data_dir()):
        path = Path(folder) / "us_nga_egm08_25.tif"
        if path.is_file():
            return str(path)
    return None


def open_dem(path: str, datum: str | None = None, geoid: str | None = None) -> Dem:
    """Open a DEM.

    Parameters
    ----------
    path : str
        Single-band raster.
    datum : str, optional
        One of `DATUMS`; needed where the file's CRS does not say what heights refer to.
    geoid : str, optional
        Raster of geoid undulations in metres, in degrees on WGS 84, that belongs to the DEM's
        datum. Without one, EGM2008 is taken from PROJ's data where it is installed.

    Raises
    ------
    DemError
        The datum is unknown, not stated, or contradicts the file's compound CRS.
    SourceError
        The file cannot be read.
    """
    raster, written = describe(path)
    stated = _stated_datum(written, path)
    if datum is not None and datum not in DATUMS:
        raise DemError(f"DEM datum {datum!r} is unknown; give one of {', '.join(DATUMS)}")
    if stated is not None and datum is not None and stated != datum:
        raise DemError(
            f"{path}: its CRS says heights above {stated}, --dem-datum says {datum}; drop the flag"
            " or correct the file"
        )
    found = stated or datum
    if found is None:
        raise DemError(
            f"{path}: does not say what its heights refer to; give --dem-datum"
            f" {'|'.join(DATUMS)} (Copernicus DEM: egm2008, SRTM: egm96)"
        )
    if geoid is not None and found == "ellipsoid":
        raise DemError(f"{path}: heights above the ellipsoid need no --geoid; drop the flag")
    name, chosen = chosen_geoid(found, geoid)
    if chosen is None:
        return Dem(raster, found, name)
    grid = describe(chosen)[0]
    if not grid.geographic:
        raise DemError(f"{chosen}: a geoid grid must be in degrees; warp it to EPSG:4326")
    return Dem(raster, found, name, grid)


def chosen_geoid(datum: str, geoid: str | None = None) -> tuple[str, str | None]:
    """Name of the geoid that turns heights above `datum` ellipsoidal, and its file if not ours.

    Examples
    --------
    >>> chosen_geoid("egm96")
    ('egm96', None)
    """
    chosen = geoid or (_proj_grid() if datum == "egm2008" else None)
    if chosen is not None:
        return Path(chosen).name, chosen
    return {"ellipsoid": "none", "egm96": "egm96"}.get(datum, "egm96 for egm2008"), None


def _stated_datum(wkt: str, path: str) -> str | None:
    """Vertical datum that a compound or three-dimensional CRS states, or None."""
    crs = CRS.from_wkt(wkt)
    if crs.is_compound:
        vertical = crs.sub_crs_list[-1]
        name = f"{vertical.name} {vertical.datum.name if vertical.datum else ''}"
        for key, datum in _VERTICAL.items():
            if key in name.upper().replace(" ", ""):
                return datum
        raise DemError(
            f"{path}: heights above {vertical.name!r}, known are {', '.join(DATUMS)};"
            " convert it first"
        )
    if len(crs.axis_info) == 3 and crs.is_geographic:
        return "ellipsoid"
    return None
