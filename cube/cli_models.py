"""``cube models``, ``infer`` and ``train``: parses, calls one pipeline, prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cube.options import CatalogDir, Cube, Json, Memory, Scheduler, Workers, print_json

__all__ = ["infer", "models_app", "train"]

models_app = typer.Typer(help="The models in the catalog.", no_args_is_help=True)


def infer(
    cube: Cube,
    model: Annotated[
        list[str], typer.Option(help="Id or folder; repeated, the models are an ensemble.")
    ] = ["default"],  # noqa: B006 - typer copies it
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    precision: Annotated[
        str, typer.Option(help="float32, or bfloat16 where it agrees with float32.")
    ] = "float32",
    passes: Annotated[
        int, typer.Option(help="Passes with dropout, for epistemic uncertainty.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Of the dropout.")] = 0,
    heights: Annotated[
        bool, typer.Option("--heights", help="Tell flood by the heights of the DEM as well.")
    ] = False,
    scheduler: Scheduler = "threads",
    workers: Workers = None,
    memory_limit: Memory = None,
    catalog: CatalogDir = None,
) -> None:
    """Tell water, flood and their uncertainty of a finished cube anew, by a model."""
    from pipelines.infer import infer_cube
    from pipelines.model_report import inferred_lines

    if precision not in ("float32", "bfloat16"):
        raise typer.BadParameter(f"--precision {precision!r}: give float32 or bfloat16")
    found = infer_cube(
        cube,
        tuple(model),
        device=device,
        precision="bfloat16" if precision == "bfloat16" else "float32",
        passes=passes,
        seed=seed,
        heights=heights,
        scheduler=scheduler,
        workers=workers,
        memory_limit=memory_limit,
        catalog=catalog,
    )
    for line in inferred_lines(found):
        typer.echo(line)


def train(
    out: Annotated[Path, typer.Option(help="New folder; its name is the id of the model.")],
    on: Annotated[str, typer.Option(help="What to learn from: simulation.")] = "simulation",
    seed: Annotated[int, typer.Option(help="Same seed, same model.")] = 0,
    steps: Annotated[
        int | None, typer.Option(help="Of each branch; those of the default model without.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ... or auto.")] = "cpu",
) -> None:
    """Train a model on simulated landscapes; an hour on two cores."""
    from pipelines.model_report import card_lines
    from pipelines.train import train as run

    if on != "simulation":
        raise typer.BadParameter(f"--on {on!r}: give simulation")
    for line in card_lines(run(out, seed=seed, steps=steps, device=device), out):
        typer.echo(line)


@models_app.command("list")
def models_list(catalog: CatalogDir = None, as_json: Json = False) -> None:
    """List the models of the catalog."""
    from cube.catalog import models

    found = models(catalog)
    if as_json:
        print_json({key: one.card.model_dump(mode="json") for key, one in found.items()})
        return
    from pipelines.model_report import list_lines

    for line in list_lines(found.values()):
        typer.echo(line)


@models_app.command("show")
def models_show(
    model: Annotated[str, typer.Argument(help="Id, or folder of a model.")],
    catalog: CatalogDir = None,
    as_json: Json = False,
) -> None:
    """Show the card of a model, and whether its weights are those of the card."""
    from cube.catalog import load_model
    from pipelines.model_report import card_lines
    from pipelines.models import check_weights

    found = load_model(model, catalog)
    check_weights(found)
    if as_json:
        print_json(found.card.model_dump(mode="json"))
        return
    for line in card_lines(found.card, found.where):
        typer.echo(line)


@models_app.command("convert")
def models_convert(
    checkpoint: Annotated[Path, typer.Argument(help="File of torch.save, or safetensors.")],
    card: Annotated[Path, typer.Option(help="Card of the model, without sha256.")],
    out: Annotated[Path, typer.Option(help="New folder; its name is the id of the model.")],
    strip: Annotated[str, typer.Option(help="Prefix to take off the keys.")] = "",
    trust_pickle: Annotated[
        bool,
        typer.Option("--trust-pickle", help="Run the code in the file: only if you trust it."),
    ] = False,
) -> None:
    """Make a model of a checkpoint: weights as safetensors, and the card that names them."""
    from pipelines.model_report import card_lines
    from pipelines.models import convert

    found = convert(checkpoint, card, out, strip=strip, trust_pickle=trust_pickle)
    for line in card_lines(found, out):
        typer.echo(line)
