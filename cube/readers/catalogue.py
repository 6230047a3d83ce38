"""Kuro Siwo's catalogue: a GeoPackage with one polygon per patch and acquisition.

Columns as in ``catalogue/catalogue.py`` of github.com/Orion-AI-Lab/KuroSiwo: ``actid`` is the
activation, ``aoiid`` its area, null where patches carry no label. The file is read by row, so its
size does not matter. GeoPackage: OGC 12-128r18; geometry blobs: section 2.1.3.

This module knows no events: it gives the extent of each area and what was left out.
"""

from __future__ import annotations

import math
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError

from cube.errors import SourceError
from cube.grid import BBox

__all__ = ["Area", "Contents", "find_catalogues", "read_catalogue"]

_COLUMNS = ("actid", "aoiid")
_UNLABELLED = (0, 999_999)
"""Codes of patches without label beside null, as the catalogue's own reader writes them."""
_ENVELOPES = {1: 4, 2: 6, 3: 6, 4: 8}  # doubles by envelope code, table 5 of the standard
_BATCH = 20_000
_DIGITS = 6  # of a degree: 0.1 m

Key = tuple[int, int]


@dataclass
class Area:
    """Extent of the patches of one area in degrees, and their number.

    West and east are kept by hemisphere, so that an area across the antimeridian stays narrow.
    """

    patches: int = 0
    south: float = math.inf
    north: float = -math.inf
    halves: dict[bool, tuple[float, float]] = field(default_factory=dict)

    def add(self, west: float, south: float, east: float, north: float) -> None:
        """Take in one patch; `east` may exceed 180."""
        low, high = self.halves.get(west < 0, (math.inf, -math.inf))
        self.halves[west < 0] = min(low, west), max(high, east)
        self.south, self.north = min(self.south, south), max(self.north, north)
        self.patches += 1

    def merge(self, other: Area) -> None:
        """Take in the patches of another file."""
        for half, (west, east) in other.halves.items():
            low, high = self.halves.get(half, (math.inf, -math.inf))
            self.halves[half] = min(low, west), max(high, east)
        self.south, self.north = min(self.south, other.south), max(self.north, other.north)
        self.patches += other.patches

    @property
    def box(self) -> BBox:
        """West, south, east, north, rounded outwards; west > east across the antimeridian."""
        west, east = min(self.halves.values()), max(self.halves.values(), key=lambda one: one[1])
        low, high = west[0], east[1]
        if len(self.halves) == 2 and high - low > 180:
            low, high = self.halves[False][0], self.halves[True][1]
        if high > 180:
            high -= 360
        scale = 10**_DIGITS
        return (
            math.floor(low * scale) / scale,
            math.floor(self.south * scale) / scale,
            math.ceil(high * scale) / scale,
            math.ceil(self.north * scale) / scale,
        )


@dataclass
class Contents:
    """What catalogues hold: areas by (actid, aoiid), and what was left out."""

    areas: dict[Key, Area] = field(default_factory=dict)
    unlabelled: int = 0
    without_geometry: int = 0

    def merge(self, other: Contents) -> None:
        """Take in another file."""
        for key, area in other.areas.items():
            self.areas.setdefault(key, Area()).merge(area)
        self.unlabelled += other.unlabelled
        self.without_geometry += other.without_geometry


def find_catalogues(path: Path) -> list[Path]:
    """Catalogues at a path: the file itself, or those of a folder and of its folders.

    The data set has one per activation, named ``catalogue.gkpg``, and one of the whole,
    ``catalogue.gpkg``.

    Raises
    ------
    SourceError
        Nothing there.
    """
    if not path.exists():
        raise SourceError(f"{path}: no such file")
    if path.is_file():
        return [path]
    names = ("catalogue.gpkg", "catalogue.gkpg")
    found = [file for name in names for file in (path / name, *path.glob(f"*/{name}"))]
    found = sorted(file for file in found if file.is_file())
    if not found:
        raise SourceError(f"{path}: holds no catalogue.gpkg, nor do its folders; give the file")
    return found


def read_catalogue(path: Path) -> Contents:
    """Extents of the areas of a catalogue.

    Raises
    ------
    SourceError
        Not a GeoPackage, or not one with patches; the message says which.
    """
    uri = f"{path.resolve().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as file:
            file.execute("PRAGMA trusted_schema = OFF")
            table, geometry, crs = _layer(file, path)
            return _contents(_rows(file, table, geometry), crs, path)
    except sqlite3.DatabaseError as error:
        raise SourceError(f"{path}: not a GeoPackage that can be read ({error})") from error


def _layer(file: sqlite3.Connection, path: Path) -> tuple[str, str, CRS]:
    """Table with patches, its geometry column and its CRS."""
    tables = {name for (name,) in file.execute("SELECT name FROM sqlite_master")}
    needed = ("gpkg_contents", "gpkg_geometry_columns", "gpkg_spatial_ref_sys")
    missing = [name for name in needed if name not in tables]
    if missing:
        raise SourceError(f"{path}: SQLite, but no GeoPackage: has no table {missing[0]}")
    layers = file.execute("SELECT table_name, column_name, srs_id FROM gpkg_geometry_columns")
    seen = []
    for table, geometry, srs in layers.fetchall():
        columns = {row[1] for row in file.execute(f"PRAGMA table_info({_quoted(table)})")}
        if {*_COLUMNS, geometry} <= columns:
            return table, geometry, _crs(file, srs, path)
        seen.append(f"{table} ({', '.join(sorted(columns))})")
    raise SourceError(
        f"{path}: no layer with columns {' and '.join(_COLUMNS)}; it has"
        f" {'; '.join(seen) or 'no layers'}"
    )


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _crs(file: sqlite3.Connection, srs: int, path: Path) -> CRS:
    row = file.execute(
        "SELECT organization, organization_coordsys_id, definition FROM gpkg_spatial_ref_sys"
        " WHERE srs_id = ?",
        (srs,),
    ).fetchone()
    if row is None:
        raise SourceError(f"{path}: its patches are in CRS {srs}, which it does not define")
    organization, code, definition = row
    for text in (f"{organization}:{code}", definition):
        try:
            return CRS.from_user_input(text)
        except CRSError:
            continue
    raise SourceError(f"{path}: its patches are in an unknown CRS ({organization}:{code})")


def _rows(
    file: sqlite3.Connection, table: str, geometry: str
) -> Iterator[list[tuple[object, object, object]]]:
    columns = ", ".join(map(_quoted, (*_COLUMNS, geometry)))
    cursor = file.execute(f"SELECT {columns} FROM {_quoted(table)}")
    while batch := cursor.fetchmany(_BATCH):
        yield batch


def _contents(
    batches: Iterator[list[tuple[object, object, object]]], crs: CRS, path: Path
) -> Contents:
    found, rows = Contents(), 0
    to_degrees = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    for batch in batches:
        keys: list[Key] = []
        extents: list[tuple[float, ...]] = []
        for row, (actid, aoiid, blob) in enumerate(batch, start=rows + 1):
            key = _whole(actid), _whole(aoiid)
            if key[0] is None or key[1] is None or key[1] in _UNLABELLED:
                found.unlabelled += 1
                continue
            extent = _extent(blob, f"{path}: row {row}")
            if extent is None:
                found.without_geometry += 1
                continue
            keys.append((key[0], key[1]))
            extents.append(extent)
        rows += len(batch)
        for key, box in zip(keys, _degrees(extents, to_degrees, path), strict=True):
            found.areas.setdefault(key, Area()).add(*box)
    if not rows:
        raise SourceError(f"{path}: holds no patches")
    return found


def _whole(value: object) -> int | None:
    """Whole number, which a file may hold as a float; None for anything else."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return int(number) if number.is_integer() and number >= 0 else None


def _extent(blob: object, where: str) -> tuple[float, float, float, float] | None:
    """Extent (min x, min y, max x, max y) of a GeoPackage geometry; None for an empty one.

    The envelope in its header is taken where there is one.

    Raises
    ------
    SourceError
        Not a geometry.
    """
    if blob is None:
        return None
    damaged = SourceError(f"{where}: damaged geometry; fetch the file again")
    if not isinstance(blob, bytes) or len(blob) < 8 or blob[:2] != b"GP":
        raise damaged
    flags = blob[3]
    order, code = "<" if flags & 1 else ">", flags >> 1 & 7
    if flags >> 4 & 1:
        return None
    if code not in (0, *_ENVELOPES) or flags >> 5 & 1:
        raise damaged
    if code:
        try:
            envelope = struct.unpack_from(f"{order}4d", blob, 8)
        except struct.error as error:
            raise damaged from error
        extent = envelope[0], envelope[2], envelope[1], envelope[3]
    else:
        try:
            extent = tuple(shapely.from_wkb(blob[8:]).bounds)
        except shapely.errors.ShapelyError as error:
            raise damaged from error
    if not (all(map(math.isfinite, extent)) and extent[0] <= extent[2] and extent[1] <= extent[3]):
        raise damaged
    return extent


def _degrees(
    extents: list[tuple[float, ...]], to_degrees: Transformer, path: Path
) -> list[tuple[float, float, float, float]]:
    """West, south, east, north of patches, from their corners; east may exceed 180."""
    if not extents:
        return []
    left, bottom, right, top = np.array(extents, "float64").T
    x: NDArray[np.float64] = np.array([left, right, right, left])
    y: NDArray[np.float64] = np.array([bottom, bottom, top, top])
    try:
        lon, lat = to_degrees.transform(x, y, errcheck=True)
    except ProjError as error:
        raise SourceError(f"{path}: coordinates outside its CRS ({error})") from error
    lon = np.where(lon < lon[0] - 180, lon + 360, lon)
    lon = np.where(lon > lon[0] + 180, lon - 360, lon)
    west, east, south, north = lon.min(0), lon.max(0), lat.min(0), lat.max(0)
    shift = np.where(west < -180, 360, 0)
    boxes = np.stack([west + shift, south, east + shift, north], axis=1)
    if not np.isfinite(boxes).all():
        raise SourceError(f"{path}: coordinates outside its CRS")
    return [(box[0], box[1], box[2], box[3]) for box in boxes.tolist()]
