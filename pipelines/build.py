"""``cube build``: from a request to a finished flood cube, resumable at any block."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cube.errors import StoreError
from cube.readers.passes import Pass
from cube.readers.scene import Scene
from cube.readers.stac import Source
from cube.readers.tiled import Tile
from cube.schema import Role, cube_variables
from cube.store.additions import IMAGES, read_addition
from cube.store.lock import BuildLock
from cube.store.template import create, read_plan, remove
from cube.store.write import close_journals, has_summary, remove_partial, stored_array
from pipelines.cost import run_of
from pipelines.images import holds_backscatter, image_variables, images_into
from pipelines.inputs import maps_of, ready
from pipelines.layers import Maps
from pipelines.orbits import with_named_orbits
from pipelines.plan import PassRecord, Plan, identity_of, plan_cube
from pipelines.request import Request, Resolved
from pipelines.resolve import open_source, resolve
from pipelines.runner import Progress, Runner
from pipelines.single_look import (
    sensor_positions,
)
from pipelines.stages import Stages

__all__ = ["Result", "build"]


@dataclass(frozen=True)
class Result:
    """A finished cube.

    Attributes
    ----------
    path : Path
    plan : Plan
    truth : Path or None
        Known flood classes, where the event was simulated.
    built : bool
        False where the cube was finished already.
    """

    path: Path
    plan: Plan
    truth: Path | None
    built: bool


def build(request: Request, progress: Progress | None = None) -> Result:
    """Build a cube, or go on with one, or find it finished.

    An existing store is continued by the plan that it keeps; nothing is searched again.

    Raises
    ------
    CubeError
        One line that says what was found, what was allowed and what to do. What was on disk
        stays.
    """
    progress = progress or Progress()
    resolved = resolve(request)
    if resolved.product == "slc" and not request.overwrite and holds_backscatter(resolved.out):
        return _join(request, resolved, progress)
    finished = _finished_plan(request, resolved)
    if finished is not None and not (resolved.out / "progress").exists():
        progress.say(f"{resolved.out} is complete: nothing to do")
        return Result(resolved.out, finished, resolved.truth, built=False)
    with BuildLock(resolved.out):
        # looked at again under the lock: another build may have finished it in the meantime
        plan = _finished_plan(request, resolved) or _build(request, resolved, progress)
        close_journals(resolved.out)
    return Result(resolved.out, plan, resolved.truth, built=True)


def _join(request: Request, resolved: Resolved, progress: Progress) -> Result:
    """Add complex images to a cube of detected ones."""
    kept = read_addition(resolved.out, IMAGES)
    if kept is not None and not (resolved.out / "progress").exists():
        plan = Plan.from_stored(kept)
        flags = np.asarray(stored_array(str(resolved.out), "slc_complete")[...])
        if flags.sum() == len(plan.passes):
            progress.say(f"complex images of {resolved.out} are complete: nothing to do")
            return Result(resolved.out, plan, resolved.truth, built=False)
    with BuildLock(resolved.out):
        source = open_source(resolved, request)
        plan = images_into(
            request,
            resolved,
            source,
            lambda plan: _fetch(plan, source, resolved.orbit),
            lambda passes, plan: ready(passes, plan, resolved, progress),
            progress,
        )
    return Result(resolved.out, plan, resolved.truth, built=True)


def _finished_plan(request: Request, resolved: Resolved) -> Plan | None:
    """Plan of the cube on disk where it is the one asked for and nothing of it is missing."""
    stored = _stored(request, resolved)
    if stored is None:
        return None
    plan = Plan.from_stored(stored)
    complete = np.asarray(stored_array(str(resolved.out), "complete")[...])
    summarised = "water" not in plan.layers or has_summary(resolved.out)
    return plan if complete.all() and summarised else None


def _stored(request: Request, resolved: Resolved) -> dict[str, Any] | None:
    """What a cube on disk that is to be continued keeps of its plan."""
    if request.overwrite:
        read_plan(resolved.out, any_format=True)  # refuses what is not a cube
        return None
    stored = read_plan(resolved.out)
    if stored is not None:
        _same(resolved, stored)
    return stored


def _build(request: Request, resolved: Resolved, progress: Progress) -> Plan:
    """Everything up to the last block, under the lock."""
    stored = _stored(request, resolved)
    source = open_source(resolved, request)
    tiles: dict[str, tuple[Tile, ...]] = {}
    if stored is None:
        plan, passes, tiles = plan_cube(request, resolved, source)
    else:
        plan = Plan.from_stored(stored)
        passes = _fetch(plan, source, resolved.orbit)
        run = run_of(request, resolved, plan.polarisations, plan.layers, passes)
        plan = replace(plan, run=run)
    for note in plan.notes:
        progress.say(f"note: {note}")
    passes = ready(passes, plan, resolved, progress)
    maps = maps_of(resolved, plan, tiles, progress)
    if stored is None:
        if request.overwrite:
            remove(resolved.out)
        _create(resolved, plan, passes)
    else:
        remove_partial(resolved.out)
        progress.say(f"resuming {resolved.out}")
    _stages(resolved, plan, passes, maps, progress)
    return plan


def _stages(
    resolved: Resolved,
    plan: Plan,
    passes: tuple[Pass, ...],
    maps: Maps,
    progress: Progress,
) -> None:
    run = plan.run
    with Runner(run["scheduler"], run["workers"], run["memory_limit"]) as runner:
        if runner.dashboard:
            progress.say(f"dashboard: {runner.dashboard}")
        Stages(resolved, plan, passes, maps, run["block"], runner, progress).run()


def _same(resolved: Resolved, stored: dict[str, Any]) -> None:
    """Refuse a store of another plan, naming what differs."""
    kept, asked = stored["identity"], identity_of(resolved)
    different = [
        key
        for key, value in asked.items()
        if kept.get(key) != value and key != "simulated"  # known only after a search
    ]
    if different:
        says = "; ".join(
            f"{key} is {json.dumps(kept.get(key))}, asked for {json.dumps(asked[key])}"
            for key in different[:3]
        )
        raise StoreError(
            f"{resolved.out}: is a cube of another plan ({says}); choose another --out, or"
            " --overwrite to replace it"
        )


def _fetch(plan: Plan, source: Source, orbits: Path | None) -> tuple[Pass, ...]:
    """Passes of a stored plan with their files, by id, and the orbit files that it names."""
    wanted = [name for record in plan.passes for name in record.scenes]
    scenes = dict(zip(wanted, source.fetch(wanted), strict=True))
    return tuple(
        with_named_orbits(_pass(record, scenes), record.orbits, orbits) for record in plan.passes
    )


def _pass(record: PassRecord, scenes: dict[str, Scene]) -> Pass:
    role: Role = record.role  # type: ignore[assignment]  # written by us
    return Pass(
        record.platform,
        record.datatake,
        record.track,
        record.direction,
        np.datetime64(record.time, "us"),
        role,
        tuple(scenes[name] for name in record.scenes),
    )


def _create(resolved: Resolved, plan: Plan, found: tuple[Pass, ...]) -> None:
    text = np.dtypes.StringDType()
    passes = plan.passes
    coordinates = {
        "time": np.array([one.time for one in passes], "datetime64[us]").astype("int64"),
        "relative_orbit": np.array([one.track for one in passes], "int16"),
        "orbit_direction": np.array([one.direction for one in passes], text),
        "platform": np.array([one.platform for one in passes], text),
        "scene_ids": np.array([" ".join(one.scenes) for one in passes], text),
        "role": np.array([one.role for one in passes], text),
        "track": np.array(plan.tracks, "int16"),
    }
    variables = cube_variables(plan.polarisations, resolved.backscatter, frozenset(plan.layers))
    detected = plan.polarisations
    if resolved.product == "slc":
        positions = sensor_positions(found, plan.polarisations, resolved.grid)
        coordinates["sensor_position"] = positions
        detected = ()
    if "slc" in plan.layers:
        sampled = {one.name: one for one in image_variables(plan, found, resolved)}
        variables = tuple(sampled.get(one.name, one) for one in variables)
    create(resolved.out, plan.stored(), resolved.grid, variables, coordinates, detected)
