"""The ``cube`` command: parses, calls one pipeline, prints. Nothing is decided here."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from cube.cli_benchmark import benchmark_app
from cube.cli_events import events_app
from cube.cli_models import infer, models_app, train
from cube.errors import CubeError
from cube.options import (
    Aoi,
    Backscatter,
    Bbox,
    Before,
    CatalogDir,
    Collection,
    Crs,
    Cube,
    DemDatum,
    DemFile,
    During,
    Engine,
    Event,
    Geoid,
    Hand,
    Json,
    Memory,
    Model,
    NoiseEquivalent,
    OrbitPlace,
    Out,
    Overwrite,
    PathDelay,
    Permanent,
    PresetName,
    Product,
    Reference,
    Resolution,
    Scheduler,
    Scratch,
    Sea,
    Source,
    SpeckleName,
    Workers,
    print_json,
)

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
app.add_typer(events_app, name="events")
app.add_typer(models_app, name="models")
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
        print_json(found.as_json())
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
        print_json(found)
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
        print_json(found.as_json())
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


app.command()(infer)
app.command()(train)


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
