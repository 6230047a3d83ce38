"""Options that commands share, and how they print: written down once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

Event = Annotated[str | None, typer.Option(help="Event id, or the path of its TOML file.")]
Aoi = Annotated[str | None, typer.Option(help="Area of the event; its first by default.")]
Bbox = Annotated[str | None, typer.Option(help="W,S,E,N in degrees, instead of an event.")]
During = Annotated[str | None, typer.Option(help="Days of the flood, A/B.")]
Before = Annotated[str | None, typer.Option(help="Days before the flood, A/B.")]
Source = Annotated[
    str | None, typer.Option(help="Folder of products or catalog, STAC API URL, or endpoint id.")
]
Collection = Annotated[
    str | None, typer.Option(help="STAC collection; that of the endpoint by default.")
]
Product = Annotated[
    str, typer.Option(help="grd (radar geometry), rtc (terrain-corrected) or slc (complex).")
]
PresetName = Annotated[
    str | None, typer.Option("--preset", help="Recipe of presets.toml; the product's by default.")
]
Engine = Annotated[str, typer.Option(help="What reads rtc products: stackstac or odc-stac.")]
Backscatter = Annotated[
    str | None,
    typer.Option(help="gamma0_rtc (terrain-flattened), gamma0, sigma0 or beta0; rtc has its own."),
]
SpeckleName = Annotated[
    str | None,
    typer.Option(
        "--speckle",
        help="none, boxcar, lee, refined-lee or lee-sigma, on the radar image.",
    ),
]
Sea = Annotated[
    str | None,
    typer.Option(help="Sea to mask: none, dem (void or level 0), or a raster where it is 1."),
]
NoiseEquivalent = Annotated[
    bool, typer.Option("--noise-equivalent", help="Keep the noise-equivalent sigma nought too.")
]
Resolution = Annotated[str | None, typer.Option(help="Metres, or Y,X in units of the CRS.")]
Crs = Annotated[str | None, typer.Option(help="utm or EPSG:N.")]
DemFile = Annotated[
    str | None, typer.Option("--dem", help="DEM: file or endpoint id; the source's by default.")
]
Geoid = Annotated[
    str | None, typer.Option(help="Raster of geoid undulations for the DEM; EGM96 is shipped.")
]
DemDatum = Annotated[str | None, typer.Option(help="egm2008, egm96 or ellipsoid.")]
OrbitPlace = Annotated[
    str | None,
    typer.Option(
        "--orbit", help="Orbit file (.EOF), or folder of them; the annotations' by default."
    ),
]
PathDelay = Annotated[
    str, typer.Option(help="none, or standard: ranges through a standard troposphere.")
]
Permanent = Annotated[
    str | None, typer.Option("--permanent-water", help="Raster of 0/1/255, endpoint id, or none.")
]
Hand = Annotated[
    str | None,
    typer.Option(help="Height above nearest drainage: file, or none; else from the DEM."),
]
Reference = Annotated[
    str,
    typer.Option(help="recent (10 passes), kurosiwo (2), a window of the event, or days A/B."),
]
Model = Annotated[str | None, typer.Option(help="Water model: bayes or none.")]
Out = Annotated[str | None, typer.Option(help="Cube to write; EVENT.zarr by default.")]
Scheduler = Annotated[str, typer.Option(help="threads, processes, or HOST:PORT of a cluster.")]
Workers = Annotated[int | None, typer.Option(help="Threads or processes; all cores by default.")]
Memory = Annotated[str | None, typer.Option("--memory-limit", help="Per worker; 3GB by default.")]
Scratch = Annotated[str | None, typer.Option(help="Folder for what can be made again.")]
CatalogDir = Annotated[str | None, typer.Option("--catalog", help="Folder with events, presets.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing cube.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Cube = Annotated[Path, typer.Argument(help="Cube (Zarr store).")]


def print_json(value: Any) -> None:
    """Print a value as JSON, without NaN."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False, default=str))
