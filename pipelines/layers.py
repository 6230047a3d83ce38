"""DEM and permanent water of a cube: the user's files, or tiles of an endpoint, gathered once."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from odc.geo.geobox import GeoBox

from cube.catalog import Endpoint
from cube.errors import DemError, SourceError
from cube.grid import BBox, lonlat_bounds
from cube.readers.access import Access
from cube.readers.dem import Dem
from cube.readers.tiled import Tile, find_tiles, gather, water_from_occurrence
from pipelines.runner import Progress
from pipelines.sources import layer_source

__all__ = ["Maps", "Tiled", "gathered"]

MARGIN_DEGREES = 0.25
"""Around the grid: drainage is looked at beyond its edges."""


@dataclass(frozen=True)
class Tiled:
    """A layer that is still in an endpoint's tiles.

    Attributes
    ----------
    endpoint : Endpoint
    layer : str
        ``dem`` or ``permanent_water``.
    datum : str or None
        Of heights.
    geoid : str or None
        The user's geoid grid.
    """

    endpoint: Endpoint
    layer: str
    datum: str | None = None
    geoid: str | None = None

    @property
    def identity(self) -> dict[str, str]:
        """Who it is: names, no addresses."""
        return {
            "name": self.endpoint.collections[self.layer],
            "endpoint": self.endpoint.id,
            "asset": self.endpoint.assets[self.layer],
        }

    def tiles(self, grid: GeoBox) -> tuple[Tile, ...]:
        """Tiles around a grid; asks the endpoint."""
        source, asset = layer_source(self.endpoint, self.layer)
        return find_tiles(source, asset, _around(grid))


@dataclass(frozen=True)
class Maps:
    """Maps that a cube is made with, on this disk."""

    dem: Dem
    permanent_water: str | None
    hand: Path | None = None


def _around(grid: GeoBox) -> BBox:
    west, south, east, north = lonlat_bounds(grid, MARGIN_DEGREES)
    if west < -180 or east > 180:
        raise DemError(
            "the area with its margin crosses the antimeridian, where tiles of an endpoint are not"
            " joined; give --dem FILE and --permanent-water FILE"
        )
    return west, south, east, north


def gathered(
    layer: Tiled,
    grid: GeoBox,
    scratch: Path,
    ids: list[str],
    tiles: tuple[Tile, ...] | None,
    progress: Progress,
) -> Path:
    """File of a layer around a grid, gathered from its tiles once.

    Parameters
    ----------
    layer : Tiled
    grid : GeoBox
    scratch : Path
    ids : list of str
        Tiles, as the plan keeps them.
    tiles : tuple of Tile or None
        The same with their addresses, where they were just looked up: a build that is resumed
        finds the file in the scratch folder, and asks the endpoint again only without it.
    progress : Progress

    Raises
    ------
    SourceError
        A tile is gone or cannot be read.
    """
    bounds = _around(grid)
    key = sha256(repr((layer.identity, layer.endpoint.url, ids, bounds)).encode()).hexdigest()[:16]
    target = scratch / "tiles" / f"{layer.layer}-{key}.tif"
    if target.is_file():
        return target
    by_id = {tile.id: tile for tile in tiles or layer.tiles(grid)}
    missing = [name for name in ids if name not in by_id]
    if missing:
        raise SourceError(
            f"{layer.endpoint.id}: no longer holds {missing[0]}, which the cube's {layer.layer} is"
            " made of; choose another --out"
        )
    water = layer.layer == "permanent_water"
    with progress.stage(f"{layer.layer.replace('_', ' ')} of {layer.endpoint.id}", 1) as advance:
        gather(
            [by_id[name] for name in ids],
            Access.of(layer.endpoint),
            bounds,
            target,
            dtype="uint8" if water else "float32",
            nodata=255 if water else float("nan"),
            change=water_from_occurrence if water else None,
        )
        advance()
    return target
