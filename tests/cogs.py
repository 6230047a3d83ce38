"""Cloud-optimised GeoTIFFs of known values, as providers of terrain-corrected products write them.

Their truth is a plane over map coordinates or the samples themselves, never the code under test.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from pyproj.exceptions import CRSError

from cube.readers.scene import Files

__all__ = [
    "LAEA",
    "NODATA",
    "UTM42",
    "centres",
    "files_of",
    "in_crs",
    "plane",
    "speckle",
    "write_cog",
]

UTM42 = "EPSG:32642"
NODATA = -32768.0
"""No-data value of the Planetary Computer's files."""
LOOKS = 4.4
"""Of IW GRDH (S1-RS-MDA-52-7441): relative deviation of speckle is one over its root."""


LAEA = (
    'PROJCS["own equal area",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,'
    '298.257223563]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],'
    'PROJECTION["Lambert_Azimuthal_Equal_Area"],PARAMETER["latitude_of_center",27.5],'
    'PARAMETER["longitude_of_center",68.1],PARAMETER["false_easting",5000],'
    'PARAMETER["false_northing",7000],UNIT["metre",1]]'
)
"""A CRS that has no code."""


def write_cog(
    path: Path,
    values: NDArray[Any],
    transform: Affine,
    crs: str | None = UTM42,
    nodata: float | None = NODATA,
    **options: Any,
) -> Path:
    """Write samples, shape (y, x) or (band, y, x), with overviews of means."""
    bands = values if values.ndim == 3 else values[None]
    settings = {
        "compress": "deflate",
        "predictor": 3,
        "blocksize": 256,
        "overview_resampling": "average",
        **options,
    }
    with rasterio.open(
        path, "w", driver="COG", count=len(bands), height=bands.shape[1], width=bands.shape[2],
        dtype="float32", crs=crs, nodata=nodata, transform=transform, **settings,
    ) as file:  # fmt: skip
        file.write(bands.astype("float32"))
    return path


def files_of(*paths: Path | str, **access: Any) -> tuple[Files, ...]:
    """Polarisations of one slice."""
    return tuple(Files(str(path), **access) for path in paths)


def centres(transform: Affine, shape: tuple[int, int]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Map coordinates of the centres of pixels."""
    col, row = np.meshgrid(np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5)
    x, y = transform @ (col, row) if hasattr(Affine, "__matmul__") else transform * (col, row)
    return x, y


def in_crs(
    x: NDArray[Any], y: NDArray[Any], source: str, target: str
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Coordinates of one CRS in another, by PROJ."""
    try:
        change = Transformer.from_crs(source, target, always_xy=True)
    except CRSError as error:
        raise AssertionError(f"{source} or {target}") from error
    return change.transform(x, y)


def plane(x: NDArray[Any], y: NDArray[Any], origin: tuple[float, float]) -> NDArray[np.float64]:
    """Power that grows by 1e-5 a metre eastwards and falls by 2e-5 northwards from 0.1."""
    return 0.1 + 1e-5 * (x - origin[0]) - 2e-5 * (y - origin[1])


def speckle(shape: tuple[int, ...], seed: int = 0, power: float = 0.1) -> NDArray[np.float32]:
    """Homogeneous ground."""
    draws = np.random.default_rng(seed).gamma(LOOKS, power / LOOKS, shape)
    return draws.astype("float32")
