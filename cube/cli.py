"""The ``cube`` command: parses, calls one pipeline, prints. Nothing is decided here."""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from cube.errors import CubeError

if TYPE_CHECKING:
    from pipelines.plan import Plan
    from pipelines.request import Request

__all__ = ["app", "main"]

_SIGINT_STATUS = 130

app = typer.Typer(
    help="Analysis-ready Sentinel-1 flood cubes: plan, build, look, verify.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
events_app = typer.Typer(help="The events in the catalog.", no_args_is_help=True)
app.add_typer(events_app, name="events")
benchmark_app = typer.Typer(help="How exact and how fast it is.", no_args_is_help=True)
app.add_typer(benchmark_app, name="benchmark")


@app.callback()
def _common(
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show tracebacks.")] = False,
) -> None:
    del verbose  # `main` has read it: it must know before any command fails


def _pair(value: str | None) -> tuple[float, float] | None:
    """Parse ``10`` or ``Y,X``."""
    if value is None:
        return None
    parts = _numbers(value, "--resolution")
    if len(parts) > 2:
        raise typer.BadParameter(f"{value!r}: give metres or Y,X")
    return parts[0], parts[-1]


def _box(value: str | None) -> tuple[float, float, float, float] | None:
    if value is None:
        return None
    parts = _numbers(value, "--bbox")
    if len(parts) != 4:
        raise typer.BadParameter(f"{value!r}: give west,south,east,north in degrees")
    return parts[0], parts[1], parts[2], parts[3]


def _numbers(value: str, option: str) -> list[float]:
    try:
        return [float(part) for part in value.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"{option} {value!r}: not numbers") from error


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


def _request(options: dict[str, Any]) -> Request:
    from pipelines.request import Request

    options["bbox"] = _box(options["bbox"])
    options["resolution"] = _pair(options["resolution"])
    return Request(**options)


def _with_options_of(
    other: Callable[..., None], without: tuple[str, ...]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command, before its own options, those of another one: they are written down once."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        shared = inspect.signature(other, eval_str=True).parameters.values()
        own = inspect.signature(command, eval_str=True).parameters.values()
        parameters = [
            *(one for one in shared if one.name not in without),
            *(one for one in own if one.kind is not one.VAR_KEYWORD),
        ]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        return command

    return decorate


@app.command()
def build(
    event: Event = None,
    aoi: Aoi = None,
    bbox: Bbox = None,
    during: During = None,
    before: Before = None,
    source: Source = None,
    collection: Collection = None,
    product: Product = "grd",
    preset: PresetName = None,
    engine: Engine = "stackstac",
    backscatter: Backscatter = None,
    speckle: SpeckleName = None,
    sea: Sea = None,
    noise_equivalent: NoiseEquivalent = False,
    resolution: Resolution = None,
    crs: Crs = None,
    dem: DemFile = None,
    dem_datum: DemDatum = None,
    geoid: Geoid = None,
    orbit: OrbitPlace = None,
    path_delay: PathDelay = "none",
    permanent_water: Permanent = None,
    hand: Hand = None,
    reference: Reference = "recent",
    model: Model = None,
    out: Out = None,
    scheduler: Scheduler = "threads",
    workers: Workers = None,
    memory_limit: Memory = None,
    scratch: Scratch = None,
    catalog: CatalogDir = None,
    overwrite: Overwrite = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
) -> None:
    """Build a flood cube from an event, or go on where a build was stopped."""
    options = {key: value for key, value in locals().items() if key != "dry_run"}
    request = _request(options)
    if dry_run:
        _print_plan(_make_plan(request))
        return
    from pipelines.build import build as run

    result = run(request)
    for line in _closing(result.path, result.plan, result.truth):
        typer.echo(line)


@app.command()
@_with_options_of(build, without=("overwrite", "dry_run"))
def plan(as_json: Json = False, **options: Any) -> None:
    """Print what a build would read, write and need, and stop."""
    found = _make_plan(_request(options))
    if as_json:
        _print_json(found.as_json())
    else:
        _print_plan(found)


def _make_plan(request: Request) -> Plan:
    from pipelines.plan import make_plan

    return make_plan(request)


def _print_plan(found: Plan) -> None:
    from pipelines.report import plan_lines

    for line in plan_lines(found):
        typer.echo(line)


def _closing(path: Path, found: Plan, truth: Path | None) -> list[str]:
    from pipelines.report import closing_lines

    return closing_lines(path, found, truth)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, allow_nan=False, default=str))


@app.command()
def coherence(
    cube: Cube,
    pairs: Annotated[
        str, typer.Option(help="consecutive, within:DAYS, or reference:TIME of one pass.")
    ] = "consecutive",
    window: Annotated[str, typer.Option(help="Rows,columns of the window, odd.")] = "11,11",
    scheduler: Scheduler = "threads",
    workers: Workers = None,
    memory_limit: Memory = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace other coherence in the cube.")
    ] = False,
) -> None:
    """Add the coherence of pairs of passes to a cube of complex images."""
    from pipelines.coherence import add_coherence, coherence_lines

    size = _numbers(window, "--window")
    if len(size) > 2 or any(value != int(value) for value in size):
        raise typer.BadParameter(f"--window {window!r}: give rows,columns")
    found = add_coherence(
        cube,
        pairs=pairs,
        window=(int(size[0]), int(size[-1])),
        scheduler=scheduler,
        workers=workers,
        memory_limit=memory_limit,
        overwrite=overwrite,
    )
    for line in coherence_lines(found):
        typer.echo(line)


@app.command()
def info(cube: Cube, as_json: Json = False) -> None:
    """Say what a cube holds."""
    from pipelines.cubes import info as look
    from pipelines.report import info_lines

    found = look(cube)
    if as_json:
        _print_json(found)
    else:
        for line in info_lines(found):
            typer.echo(line)


@app.command()
def quicklook(cube: Cube, png: Annotated[Path, typer.Argument(help="Picture to write.")]) -> None:
    """Draw a cube: before, after, and flood over backscatter."""
    from pipelines.quicklook import quicklook as draw

    typer.echo(str(draw(cube, png)))


@app.command()
def verify(
    cube: Cube,
    truth: Annotated[Path, typer.Option(help="Raster of flood classes on the cube's grid.")],
    time: Annotated[str | None, typer.Option(help="Pass; the last by default.")] = None,
    as_json: Json = False,
) -> None:
    """Score a cube against known flood classes."""
    from pipelines.report import verdict_lines
    from pipelines.verify import verify as compare

    found = compare(cube, truth, time)
    if as_json:
        _print_json(found.as_json())
    else:
        for line in verdict_lines(found):
            typer.echo(line)


@app.command()
def simulate(
    folder: Annotated[Path, typer.Argument(help="New folder.")],
    seed: Annotated[int, typer.Option(help="Same seed, same pixels.")] = 0,
    small: Annotated[bool, typer.Option("--small", help="5 x 4 km and four passes.")] = False,
    scenario: Annotated[
        str | None,
        typer.Option(help="demo (if none is given), small, or indus: 36 x 27 km, eight passes."),
    ] = None,
    product: Annotated[
        str, typer.Option(help="grd, slc (complex, some passes of one track), or both.")
    ] = "grd",
) -> None:
    """Simulate a flood: products in SAFE format, STAC catalog, DEM and truth."""
    from pipelines.simulate import simulate as run

    typer.echo(str(run(folder, seed=seed, small=small, scenario=scenario, product=product)))


@events_app.command("list")
def events_list(catalog: CatalogDir = None, as_json: Json = False) -> None:
    """List the events of the catalog."""
    from cube.catalog import events

    found = events(catalog)
    if as_json:
        _print_json({key: event.model_dump(mode="json") for key, event in found.items()})
        return
    from pipelines.event_report import event_list_lines

    for line in event_list_lines(found.values()):
        typer.echo(line)


@events_app.command("show")
def events_show(
    event: Annotated[str, typer.Argument(help="Event id or TOML file.")],
    catalog: CatalogDir = None,
    as_json: Json = False,
) -> None:
    """Show one event with the sources of its numbers."""
    from cube.catalog import load_event
    from pipelines.event_report import event_lines

    found = load_event(event, catalog)
    if as_json:
        _print_json(found.model_dump(mode="json"))
    else:
        for line in event_lines(found):
            typer.echo(line)


@events_app.command("check")
def events_check(catalog: CatalogDir = None, as_json: Json = False) -> None:
    """Check every event file; list what is not verified, and what other data sets hold too."""
    from pipelines.event_report import check_lines
    from pipelines.events import check_events

    found = check_events(catalog)
    if as_json:
        _print_json(found.as_json())
    else:
        for line in check_lines(found):
            typer.echo(line)


@events_app.command("import")
def events_import(
    catalogue: Annotated[
        Path, typer.Option(help="Kuro Siwo's catalogue.gpkg, or a folder of them.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Catalog folder to write; $CUBE_CATALOG by default.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fill the areas of Kuro Siwo's events in from its catalogue."""
    from pipelines.event_report import import_lines
    from pipelines.events import import_catalogue

    found = import_catalogue(catalogue, out)
    if as_json:
        _print_json(found.as_json())
    else:
        for line in import_lines(found):
            typer.echo(line)


@benchmark_app.command("sar")
def benchmark_sar(
    products: Annotated[
        list[Path], typer.Argument(metavar="SAFE...", help="SAFE folders or zips, GRD or SLC.")
    ],
    orbit: OrbitPlace = None,
    speed: Annotated[
        bool | None,
        typer.Option("--speed/--no-speed", help="Time the kernels too; where a GRD is given."),
    ] = None,
    peers: Annotated[
        bool | None,
        typer.Option(
            "--peers/--no-peers",
            help="Time xarray-sentinel and sarsen too, in minutes; where they are installed.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare our geometry with the products' own geolocation grids, and our speed with peers'."""
    from pipelines.benchmark_sar import benchmark, benchmark_lines
    from pipelines.runner import Progress

    orbits = None if orbit is None else Path(orbit)
    found = benchmark(products, orbits, speed=speed, peers=peers, say=Progress().say)
    if as_json:
        _print_json(found)
    else:
        for line in benchmark_lines(found):
            typer.echo(line)


def _fail(line: str) -> NoReturn:
    print(f"cube: {' '.join(line.split())}", file=sys.stderr)
    raise SystemExit(1)


def _interrupted() -> NoReturn:
    """Say so and leave at once.

    Threads that are still at work are not waited for: half-written chunks do not count, and their
    complaints about an interpreter that shuts down would bury the line.
    """
    with suppress(SystemExit):
        _fail("interrupted; finished blocks are kept: run the same command again to go on")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def main() -> None:
    """Run the command line: exit 0 done, 1 a CubeError in one line, 2 bad usage."""
    verbose = any(word in ("-v", "--verbose") for word in sys.argv[1:2])
    try:
        app()
    except CubeError as error:
        if verbose:
            raise
        _fail(str(error))
    except KeyboardInterrupt:
        _interrupted()
    except SystemExit as stop:
        if stop.code == _SIGINT_STATUS:  # how typer passes Ctrl-C on
            _interrupted()
        raise
    except OSError as error:
        if verbose:
            raise
        _fail(f"{error}; check the place and its free space, or run with -v to see where")
