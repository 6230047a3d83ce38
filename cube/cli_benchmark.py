"""``cube benchmark``: parses, calls one pipeline, prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cube.options import Cube, Json, OrbitPlace, print_json

__all__ = ["benchmark_app"]

benchmark_app = typer.Typer(help="How exact and how fast it is.", no_args_is_help=True)


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
        print_json(found)
    else:
        for line in benchmark_lines(found):
            typer.echo(line)


@benchmark_app.command("uncertainty")
def benchmark_uncertainty(
    cube: Cube,
    truth: Annotated[Path, typer.Option(help="Raster of flood classes on the cube's grid.")],
    time: Annotated[str | None, typer.Option(help="Pass; the last by default.")] = None,
    layer: Annotated[
        list[str] | None, typer.Option(help="Layer of uncertainty; repeatable, all by default.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Score the water probability of a cube, and whether its uncertainty tells errors."""
    from pipelines.benchmark_uncertainty import benchmark_uncertainty as run
    from pipelines.benchmark_uncertainty import uncertainty_lines

    found = run(cube, truth, time, layer or ())
    if as_json:
        print_json(found.as_json())
    else:
        for line in uncertainty_lines(found):
            typer.echo(line)
