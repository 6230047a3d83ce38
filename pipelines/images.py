"""Complex images added to a cube of detected ones: those of the passes that it has already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cube.errors import PlanError, StoreError
from cube.readers.passes import Pass
from cube.readers.stac import Source
from cube.schema import SENSOR_POSITION, SLC_COMPLETE, Variable, cube_variables
from cube.steps.slc import geocoded_slc
from cube.store.additions import IMAGES, add_layers, read_addition
from cube.store.template import read_plan
from cube.store.write import (
    Journal,
    close_journals,
    remove_partial,
    set_flag,
    stored_array,
)
from pipelines.cost import run_of
from pipelines.plan import PassRecord, Plan, plan_cube
from pipelines.request import Request, Resolved
from pipelines.runner import Progress, Runner
from pipelines.single_look import (
    references_of,
    sampling_of,
    sensor_positions,
    single_look_source,
    targets_of,
)
from pipelines.writing import write_stage

__all__ = ["holds_backscatter", "image_variables", "images_into"]

_SAME = ("crs", "transform", "shape")
Ready = Callable[[tuple[Pass, ...], Plan], tuple[Pass, ...]]
Fetch = Callable[[Plan], tuple[Pass, ...]]


def holds_backscatter(path: Path) -> bool:
    """Whether there is a cube of detected images, which complex ones can join."""
    try:
        stored = read_plan(path)
    except StoreError:  # of another format, or no cube: whoever writes there says so
        return False
    return stored is not None and stored["identity"].get("product") == "grd"


def images_into(
    request: Request,
    resolved: Resolved,
    source: Source,
    fetch: Fetch,
    ready: Ready,
    progress: Progress,
) -> Plan:
    """Add complex images to the cube at ``resolved.out``, or go on with it; under its lock.

    An image joins the pass of its satellite and data take.

    Parameters
    ----------
    request, resolved, source, progress
        As of a build.
    fetch : callable
        Passes of a stored plan, with their files.
    ready : callable
        Unpacks and checks the products of passes.

    Raises
    ------
    StoreError
        The cube lies on another grid, has unfinished passes, or other images already.
    PlanError
        No image is of any of its passes.
    """
    path = resolved.out
    cube = read_plan(path)
    assert cube is not None  # `holds_backscatter` saw it
    if not np.asarray(stored_array(str(path), "complete")[...]).all():
        raise StoreError(f"{path}: is not finished; run the build of its backscatter again first")
    kept = read_addition(path, IMAGES)
    if kept is None:
        plan, passes, _ = plan_cube(request, resolved, source)
        _same_grid(path, cube, plan)
        plan, passes = _of_the_cube(path, cube, plan, passes, progress)
        run = plan.run
    else:
        plan = Plan.from_stored(kept)
        if plan.identity["path_delay"] != ("standard" if resolved.path_delay else "none"):
            raise StoreError(f"{path}: holds complex images already, of another path delay")
        passes = fetch(plan)
        run = run_of(request, resolved, plan.polarisations, plan.layers, passes)
        remove_partial(path)
        progress.say(f"resuming complex images of {path}")
    passes = ready(passes, plan)
    at = _places(cube, plan)
    if kept is None:
        positions = np.full((len(cube["passes"]), 3), np.nan)
        positions[at] = sensor_positions(passes, plan.polarisations, resolved.grid)
        variables = image_variables(plan, passes, resolved)
        add_layers(
            path,
            IMAGES,
            plan.stored(),
            (SENSOR_POSITION, SLC_COMPLETE, *variables),
            {SENSOR_POSITION.name: positions},
        )
    _write(resolved, plan, passes, at, run, progress)
    close_journals(path)
    return replace(plan, run=run)


def image_variables(
    plan: Plan, passes: tuple[Pass, ...], resolved: Resolved
) -> tuple[Variable, ...]:
    """Variables of complex images, which say how the grid samples them."""
    sampled = sampling_of(passes[0], plan.polarisations, resolved.grid)
    return tuple(
        replace(one, attrs={**one.attrs, **sampled})
        for one in cube_variables(plan.polarisations, resolved.backscatter, frozenset(plan.layers))
        if one.name.startswith("slc_")
    )


def _same_grid(path: Path, cube: dict[str, Any], plan: Plan) -> None:
    for key in _SAME:
        here, asked = cube["identity"][key], plan.identity[key]
        if here != asked:
            raise StoreError(
                f"{path}: its {key} is {here}, that of the images would be {asked}; ask for the"
                " same area, --crs and --resolution, or another --out"
            )
    if "slc" not in plan.layers:
        raise StoreError(
            f"{path}: holds backscatter; preset {plan.identity['preset']} goes into a cube of its"
            " own, give another --out"
        )


def _of_the_cube(
    path: Path, cube: dict[str, Any], plan: Plan, passes: tuple[Pass, ...], progress: Progress
) -> tuple[Plan, tuple[Pass, ...]]:
    """Plan and passes without those that the cube does not have."""
    held = {(one["platform"], one["datatake"]) for one in cube["passes"]}
    joined = [
        (record, one)
        for record, one in zip(plan.passes, passes, strict=True)
        if (one.platform, one.datatake) in held
    ]
    left = [one for one in plan.passes if (one.platform, one.datatake) not in held]
    if not joined:
        raise PlanError(
            f"{path}: none of its {len(held)} passes is of a data take of the {len(passes)} passes"
            " with complex images; give another --out"
        )
    for one in left:
        progress.say(f"note: left out the pass of {one.time[:19]}, which {path} does not have")
    records = tuple(record for record, _ in joined)
    layers = tuple(layer for layer in plan.layers if layer == "slc")
    return replace(plan, passes=records, layers=layers), tuple(one for _, one in joined)


def _places(cube: dict[str, Any], plan: Plan) -> list[int]:
    """Index along ``time`` on disk of every pass."""
    known = {(one["platform"], one["datatake"]): at for at, one in enumerate(cube["passes"])}

    def place(one: PassRecord) -> int:
        return known[one.platform, one.datatake]

    return [place(one) for one in plan.passes]


def _write(
    resolved: Resolved,
    plan: Plan,
    passes: tuple[Pass, ...],
    at: list[int],
    run: dict[str, Any],
    progress: Progress,
) -> None:
    path, block = str(resolved.out), run["block"]
    shape = int(resolved.grid.shape[0]), int(resolved.grid.shape[1])
    references = references_of(passes, plan.polarisations, resolved.grid)
    with Runner(run["scheduler"], run["workers"], run["memory_limit"]) as runner:
        for index, place in enumerate(at):
            if bool(stored_array(path, "slc_complete")[place]):
                continue
            cut = references[passes[index].track]
            delay = resolved.path_delay
            source = single_look_source(plan, passes, index, cut, resolved.grid, path, delay=delay)
            write_stage(
                Journal(path, f"slc_{place}", shape, block),
                f"complex images {plan.passes[index].time[:16].replace('T', ' ')}",
                geocoded_slc(source, block),
                targets_of(plan, place),
                runner,
                progress,
            )
            set_flag(resolved.out, "slc_complete", place)
