"""Catalogues of patches, as GDAL writes them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pyogrio.raw
import shapely

PATCH = 2240.0  # metres of Web Mercator


def write_catalogue(
    path: Path, rows, *, crs="EPSG:3857", size=PATCH, layer="catalogue", **options
) -> Path:
    """A catalogue as GDAL writes it; rows are (actid, aoiid or NaN, left, bottom)."""
    corners = [(left, bottom, left + size, bottom + size) for _, _, left, bottom in rows]
    pyogrio.raw.write(
        path,
        geometry=np.array([shapely.to_wkb(shapely.box(*one)) for one in corners], dtype=object),
        field_data=[
            np.array([row[0] for row in rows], "int64"),
            np.array([row[1] for row in rows], "float64"),
        ],
        fields=np.array(["actid", "aoiid"], dtype=object),
        geometry_type="Polygon",
        crs=crs,
        driver="GPKG",
        layer=layer,
        **options,
    )
    return path


def change(path: Path, statement: str, *values: object) -> Path:
    """Run one statement on a GeoPackage."""
    with closing(sqlite3.connect(path)) as file:
        for (trigger,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
            file.execute(f'DROP TRIGGER "{trigger}"')  # they need functions of GDAL
        file.execute(statement, values)
        file.commit()
    return path
