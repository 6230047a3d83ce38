"""What a user asks for, and what it turns out to be once everything is looked up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from odc.geo.geobox import GeoBox

from cube.catalog import Event, Model, Preset
from cube.grid import BBox
from cube.readers.dem import Dem
from cube.readers.passes import Windows
from pipelines.layers import Tiled

__all__ = ["Request", "Resolved"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """Options of ``cube build`` and ``cube plan``, as given.

    Dates are ``A/B`` in ISO days, both inclusive; `bbox` is west, south, east, north in degrees.
    """

    event: str | None = None
    aoi: str | None = None
    bbox: BBox | None = None
    during: str | None = None
    before: str | None = None
    source: str | None = None
    collection: str | None = None
    product: str = "grd"
    preset: str | None = None
    engine: str = "stackstac"
    backscatter: str | None = None
    speckle: str | None = None
    sea: str | None = None
    noise_equivalent: bool = False
    resolution: tuple[float, float] | None = None
    crs: str | None = None
    dem: str | None = None
    dem_datum: str | None = None
    geoid: str | None = None
    orbit: str | None = None
    path_delay: str = "none"
    permanent_water: str | None = None
    hand: str | None = None
    reference: str = "recent"
    model: str | None = None
    out: str | None = None
    scheduler: str = "threads"
    workers: int | None = None
    memory_limit: str | None = None
    scratch: str | None = None
    catalog: str | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class Resolved:
    """A request with everything looked up but nothing searched.

    Attributes
    ----------
    event : Event or None
    preset : Preset
    bbox : west, south, east, north
    windows : Windows
    tracks : tuple of int
        Relative orbits wanted; empty is all.
    grid : GeoBox
    backscatter, model : str
    network : Model or None
        Of the catalog, where the model is none of those without.
    dem : Dem or Tiled
    permanent_water : str, Tiled or None
        Path, or an endpoint's tiles.
    hand : str or None
        Path; None means it is made from the DEM, ``none`` that it is left out.
    reference_passes : int
        At most so many passes before the event make a track's reference.
    product, engine : str
    speckle : str
        Filter of the radar images, or ``none``.
    sea : str
        ``none``, ``dem``, or the path of a raster: what tells the sea that is masked.
    noise_equivalent : bool
        Whether the noise-equivalent sigma nought is kept.
    orbit : Path or None
        Orbit file, or folder of them; None is the orbit of each annotation.
    path_delay : bool
        Whether ranges are those of a standard troposphere.
    source : str
        Folder, URL or endpoint id.
    out, scratch : Path
    truth : Path or None
        Known flood classes of a simulated event.
    """

    event: Event | None
    preset: Preset
    bbox: BBox
    windows: Windows
    tracks: tuple[int, ...]
    grid: GeoBox
    backscatter: str
    model: str
    network: Model | None
    dem: Dem | Tiled
    permanent_water: str | Tiled | None
    hand: str | None
    reference_passes: int
    product: str
    engine: str
    speckle: str
    sea: str
    noise_equivalent: bool
    orbit: Path | None
    path_delay: bool
    source: str
    out: Path
    scratch: Path
    truth: Path | None
