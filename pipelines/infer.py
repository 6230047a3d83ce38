"""``cube infer``: water, flood and their uncertainty of a finished cube, told anew by models."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cube.catalog import load_model
from cube.errors import PlanError, StoreError
from cube.infer.blocks import DROPOUT_TILE
from cube.infer.cubes import PassSource, pass_layers
from cube.infer.predict import predictor
from cube.infer.weights import Precision
from cube.schema import Variable, cube_variables, model_variables
from cube.store.additions import MODEL, add_layers, finish, read_addition
from cube.store.layers import StoredLayer
from cube.store.lock import BuildLock
from cube.store.template import read_plan, replace_plan
from cube.store.write import (
    Journal,
    Target,
    close_journals,
    remove_partial,
    set_flag,
    set_summary,
    stored_array,
)
from pipelines.cost import BLOCK, block_within, network_memory, parse_size
from pipelines.heights import BY_HEIGHT, check_heights, weigh_heights
from pipelines.plan import Plan
from pipelines.runner import Progress, Runner
from pipelines.summary import write_summary
from pipelines.writing import write_stage

__all__ = ["Inferred", "infer_cube", "pass_source", "targets_of_pass"]


@dataclass(frozen=True)
class Inferred:
    """What models said of a cube.

    Attributes
    ----------
    path : Path
    plan : Plan
    models : str
        With versions.
    layers : tuple of str
    built : bool
        False where everything was there.
    """

    path: Path
    plan: Plan
    models: str
    layers: tuple[str, ...]
    built: bool


@dataclass(frozen=True)
class _Options:
    """What is asked, by the names of `infer_cube`."""

    models: tuple[str, ...]
    device: str
    precision: Precision
    passes: int
    seed: int
    catalog: str | None
    heights: bool

    @property
    def of_predictor(self) -> dict[str, Any]:
        """Arguments of `predictor`."""
        return {name: value for name, value in asdict(self).items() if name != "heights"}


def infer_cube(
    cube: str | Path,
    models: Sequence[str] = ("default",),
    *,
    device: str = "auto",
    precision: Precision = "float32",
    passes: int = 0,
    seed: int = 0,
    heights: bool = False,
    scheduler: str = "threads",
    workers: int | None = None,
    memory_limit: str | None = None,
    catalog: str | None = None,
    progress: Progress | None = None,
) -> Inferred:
    """Tell water and flood of a cube anew, or go on where that was stopped.

    Passes go out of sight until they are told, so nobody reads half of each.

    Parameters
    ----------
    cube : str or Path
        Finished cube of detected images.
    models : sequence of str
        Ids or folders; several are an ensemble.
    device, precision, passes, seed
        See `cube.infer.predict.infer`.
    heights : bool
        Tell flood by heights as well; see `cube.steps.hypsometry.by_height`.
    scheduler, workers, memory_limit, catalog
        As of `pipelines.request.Request`.
    progress : Progress or None

    Raises
    ------
    CubeError
        No such cube or model, or a cube without what the model needs.
    """
    path, progress = Path(cube), progress or Progress()
    options = _Options(tuple(models), device, precision, passes, seed, catalog, heights)
    plan, wanted, asked = _decide(path, options)
    result = Inferred(path, wanted, asked["models"], tuple(asked["layers"]), built=True)
    kept = read_addition(path, MODEL)
    whole = bool(np.asarray(stored_array(str(path), "complete")[...]).all())
    if kept == {**asked, "finished": True} and whole:
        progress.say(f"{path} is told by {asked['models']}: nothing to do")
        return replace(result, built=False)
    shape = int(plan.identity["shape"][0]), int(plan.identity["shape"][1])
    count = workers if workers is not None else os.cpu_count() or 1
    threads = count if scheduler == "threads" else 1
    limit = parse_size(memory_limit) if memory_limit else 3 * 10**9
    block, _ = block_within(shape, limit, lambda size: network_memory(size, threads))
    with BuildLock(path):
        _prepare(path, plan, wanted, asked, whole, progress)
        with Runner(scheduler, count, limit) as runner:
            for index in range(len(wanted.passes)):
                _pass(path, wanted, index, options, shape, min(block, BLOCK), runner, progress)
            write_summary(str(path), wanted, shape, min(block, BLOCK), runner, progress)
        finish(path, MODEL)
        close_journals(path)
    return result


def _decide(path: Path, options: _Options) -> tuple[Plan, Plan, dict[str, Any]]:
    """Plan of the cube as it is, as it will be, and what is kept of the models."""
    stored = read_plan(path)
    if stored is None:
        raise StoreError(f"{path}: no such cube; build one with cube build")
    plan = Plan.from_stored(stored)
    if plan.identity["product"] == "slc":
        raise PlanError(
            f"{path}: is a cube of complex images; models take detected ones, of --product grd"
        )
    if options.heights:
        check_heights(plan)
    prints = [load_model(one, options.catalog).card.fingerprint for one in options.models]
    names, sums = "", list[str]()
    found: tuple[str, ...] = ()
    for track in plan.tracks:
        function, _ = predictor(**options.of_predictor, held=_held(plan, track))
        names = " ".join(card.name for card in function.cards)
        found = tuple(dict.fromkeys((*found, *function.layers)))
        sums = [one.sha256 for one in function.members]
    if "water_probability" not in found:
        raise PlanError(f"model {names} gives {', '.join(found)}; a flood cube needs water")
    if options.heights:
        found = (*found, BY_HEIGHT)
    asked = {
        "models": names,
        "sha256": sums,
        "fingerprint": prints,
        "layers": list(found),
        "precision": options.precision,
        "dropout_passes": options.passes,
        "seed": options.seed if options.passes else None,
    }
    earlier = {one.name for one in model_variables(plan.layers)} | {"water_probability"}
    others = [name for name in plan.layers if name not in earlier]
    layers = tuple(dict.fromkeys((*others, "water", "flood", *found)))
    identity = {**plan.identity, "model": names, "model_sha256": sums, "model_fingerprint": prints}
    return plan, Plan(identity, plan.passes, layers, tiles=plan.tiles), asked


def _held(plan: Plan, track: int) -> frozenset[str]:
    """Variables that a pass of a track has."""
    held = set(plan.polarisations)
    if plan.referenced(track):
        held |= {f"reference_{name}" for name in plan.polarisations}
    return frozenset(held | {"dem"} | ({"hand", "incidence_angle"} & set(plan.layers)))


def _index(name: str, index: int, track: int) -> int | None:
    """Where a variable holds what belongs to a pass, by the numbers of the pass and its track."""
    if name in ("dem", "hand"):
        return None
    return track if name.startswith(("reference_", "incidence_angle")) else index


def _variables(plan: Plan, asked: dict[str, Any]) -> list[Variable]:
    layers = frozenset({"water", "flood", *asked["layers"]})
    names = {"flood", "flood_extent", "flood_first", "flood_duration", *asked["layers"]}
    return [
        one
        for one in cube_variables(plan.polarisations, plan.identity["backscatter"], layers)
        if one.name in names
    ]


def _prepare(
    path: Path, plan: Plan, wanted: Plan, asked: dict[str, Any], whole: bool, progress: Progress
) -> None:
    """Take the passes out of sight and make the arrays anew, unless that was done before."""
    kept = read_addition(path, MODEL)
    if kept == asked:
        remove_partial(path)
        progress.say(f"resuming {asked['models']} on {path}")
        return
    if not whole and kept is None:
        raise StoreError(f"{path}: is not finished; run its cube build again first")
    for index in range(len(wanted.passes)):
        set_flag(path, "complete", index, False)
    set_summary(path, [])
    close_journals(path)
    stale = {one.name for one in model_variables(plan.layers)} - set(asked["layers"])
    add_layers(path, MODEL, asked, _variables(wanted, asked), {}, stale)
    replace_plan(path, wanted.stored())


def targets_of_pass(source: PassSource, index: int) -> list[Target]:
    """Where the layers of `cube.infer.cubes.pass_layers` go."""
    return [Target(name, index) for name in (*source.predictor.layers, "flood")]


def pass_source(path: str, plan: Plan, index: int, **options: Any) -> PassSource:
    """What models need of a pass of a cube on disk; options are those of `predictor`."""
    track = plan.passes[index].track
    number = plan.tracks.index(track)
    held = _held(plan, track)
    function, _ = predictor(**options, held=held)
    bands = tuple(StoredLayer(path, name, _index(name, index, number)) for name in function.inputs)
    permanent = "permanent_water" in plan.layers
    return PassSource(
        function,
        bands,
        StoredLayer(path, "permanent_water") if permanent else None,
        StoredLayer(path, "mask", number),
        classes=permanent or "flood_probability" in function.layers,
    )


def _pass(
    path: Path,
    plan: Plan,
    index: int,
    options: _Options,
    shape: tuple[int, int],
    block: int,
    runner: Runner,
    progress: Progress,
) -> None:
    if bool(stored_array(str(path), "complete")[index]):
        return
    source = pass_source(str(path), plan, index, **options.of_predictor)
    if options.passes and block % DROPOUT_TILE:
        raise PlanError(f"blocks of {block} pixels; raise --memory-limit for dropout")
    write_stage(
        Journal(str(path), f"model_{index}", shape, block),
        f"water and flood {plan.passes[index].time[:16]} by {options.models[0]}",
        pass_layers(source, shape, block),
        targets_of_pass(source, index),
        runner,
        progress,
    )
    if options.heights:
        thresholds = source.predictor.cards[0].water_thresholds
        weigh_heights(path, plan, index, thresholds, shape, block, runner, progress)
    set_flag(path, "complete", index)
