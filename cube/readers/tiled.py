"""Layers that an endpoint holds in tiles (a DEM, water occurrence), gathered into one raster."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.merge import merge

from cube.errors import SearchError, SourceError
from cube.grid import BBox
from cube.readers.access import Access, plain
from cube.readers.assets import asset_href
from cube.readers.footprint import meets
from cube.readers.items import footprint_of
from cube.readers.remote import blocks_within, open_raster, problem
from cube.readers.stac import ApiSource

__all__ = ["Tile", "find_tiles", "gather", "water_from_occurrence"]

PERMANENT_PERCENT = 75
"""Share of valid observations under water from which water counts as permanent (1984 to 2021)."""
_MEMORY_MB = 64
_TILED = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"}


@dataclass(frozen=True)
class Tile:
    """One file of a layer."""

    id: str
    href: str


def find_tiles(source: ApiSource, asset: str, bbox: BBox) -> tuple[Tile, ...]:
    """Tiles of a layer over a box, sorted by id.

    Parameters
    ----------
    source : ApiSource
        Of the layer's collection.
    asset : str
        Key of the asset that holds it.
    bbox : west, south, east, north
        Degrees; ``west > east`` crosses the antimeridian.

    Raises
    ------
    SearchError
        The API failed, or has no tile there.
    SourceError
        A tile lacks the asset.
    """
    found = {
        str(item["id"]): Tile(str(item["id"]), asset_href(item, asset, source.access))
        for item in source.over(bbox)
        if meets(footprint_of(item), bbox)
    }
    if not found:
        box = ",".join(f"{value:g}" for value in bbox)
        raise SearchError(f"no tile of {source.collection} over {box}: {source.summary()}")
    return tuple(found[name] for name in sorted(found))


Change = Callable[[NDArray[Any]], NDArray[Any]]


def gather(
    tiles: Sequence[Tile],
    access: Access,
    bounds: BBox,
    target: Path,
    *,
    dtype: str,
    nodata: float,
    change: Change | None = None,
) -> None:
    """Write the part of tiles within `bounds` as one GeoTIFF, which appears by one rename.

    The grid is that of the tile with the finest pixels, continued over the bounds: tiles on that
    grid are copied bit for bit; coarser ones (Copernicus DEM widens its pixels towards the poles)
    are resampled bilinearly. What no tile holds is `nodata`.

    Parameters
    ----------
    tiles : sequence of Tile
    access : Access
    bounds : west, south, east, north
        Degrees; east may exceed 180.
    target : Path
    dtype : str
    nodata : float
        Of the result.
    change : callable, optional
        Applied to the values of each window.

    Raises
    ------
    SourceError
        A tile cannot be read, or is not in degrees.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_suffix(".partial.tif")
    try:
        with contextlib.ExitStack() as stack:
            opened = [stack.enter_context(_part(tile, access, bounds)) for tile in tiles]
            finest = min(opened, key=lambda raster: float(raster.transform.a))
            merge(
                [finest, *(raster for raster in opened if raster is not finest)],
                bounds=_snapped(bounds, finest),
                res=(finest.transform.a, -finest.transform.e),
                nodata=nodata,
                dtype=dtype,
                resampling=Resampling.bilinear,
                dst_path=aside,
                dst_kwds={"driver": "GTiff", **_TILED},
                mem_limit=_MEMORY_MB,
            )
    except RasterioError as error:
        names = ", ".join(tile.id for tile in tiles[:3])
        raise SourceError(f"{names}: cannot be read ({problem(error)})") from error
    if change is not None:
        _rewrite(aside, change)
    aside.replace(target)


@contextlib.contextmanager
def _part(tile: Tile, access: Access, bounds: BBox) -> Iterator[Any]:
    """A tile opened, of which what lies within bounds can be read."""
    with open_raster(tile.href, access) as raster:
        if raster.crs is None or not raster.crs.is_geographic:
            raise SourceError(f"{plain(tile.href)}: is not in degrees but {raster.crs}")
        own, size, shape = raster.transform, raster.block_shapes[0], raster.shape
    west, south, east, north = bounds
    top, bottom = (north - own.f) / own.e, (south - own.f) / own.e
    left, right = (west - own.c) / own.a, (east - own.c) / own.a
    # two pixels more, for what resampling looks at
    blocks = blocks_within(size, shape, top - 2, bottom + 2, left - 2, right + 2)
    with open_raster(tile.href, access, sorted(blocks)) as raster:
        yield raster


def _snapped(bounds: BBox, raster: Any) -> BBox:
    """Bounds grown to whole pixels of a raster's grid."""
    west, south, east, north = bounds
    a, e, c, f = raster.transform.a, raster.transform.e, raster.transform.c, raster.transform.f
    return (
        c + math.floor((west - c) / a) * a,
        f + math.ceil((south - f) / e) * e,
        c + math.ceil((east - c) / a) * a,
        f + math.floor((north - f) / e) * e,
    )


def _rewrite(path: Path, change: Change) -> None:
    with rasterio.open(path, "r+") as file:
        for _, window in file.block_windows(1):
            file.write(change(file.read(1, window=window)), 1, window=window)


def water_from_occurrence(percent: NDArray[Any]) -> NDArray[np.uint8]:
    """Permanent water (0, 1, 255) from the occurrence of water in percent (255 = no data).

    Occurrence: Pekel et al. 2016, Nature 540, 418-422 (JRC Global Surface Water).

    Examples
    --------
    >>> water_from_occurrence(np.array([0, 74, 75, 100, 255], "uint8")).tolist()
    [0, 0, 1, 1, 255]
    """
    known = np.where(percent >= PERMANENT_PERCENT, 1, 0)
    return np.where(percent > 100, 255, known).astype("uint8")
