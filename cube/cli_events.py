"""``cube events``: parses, calls one pipeline, prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cube.options import CatalogDir, Json, print_json

__all__ = ["events_app"]

events_app = typer.Typer(help="The events in the catalog.", no_args_is_help=True)


@events_app.command("list")
def events_list(catalog: CatalogDir = None, as_json: Json = False) -> None:
    """List the events of the catalog."""
    from cube.catalog import events

    found = events(catalog)
    if as_json:
        print_json({key: event.model_dump(mode="json") for key, event in found.items()})
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
        print_json(found.model_dump(mode="json"))
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
        print_json(found.as_json())
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
        print_json(found.as_json())
    else:
        for line in import_lines(found):
            typer.echo(line)
