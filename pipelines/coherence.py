"""``cube coherence``: coherence of pairs of passes, added to a cube of complex images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from cube.errors import PlanError, StoreError
from cube.kernels.coherence_statistics import expected_magnitude
from cube.schema import pair_coordinates as schema_coordinates
from cube.schema import pair_variables
from cube.steps.coherence import check_window, looks_of
from cube.steps.pair_layers import PairSource, pair_change, pair_coherence
from cube.steps.pairs import (
    CONSECUTIVE,
    change_of_pairs,
    choose_pairs,
    images_in,
    pair_coordinates,
    with_images,
)
from cube.store.additions import COHERENCE, add_layers, finish, read_addition, remove_layers
from cube.store.layers import StoredLayer
from cube.store.lock import BuildLock
from cube.store.opening import open_cube
from cube.store.template import read_plan
from cube.store.write import (
    Journal,
    Target,
    close_journals,
    remove_partial,
    set_flag,
    stored_array,
)
from pipelines.cost import BASE_BYTES, BLOCK, block_within, parse_size
from pipelines.runner import Progress, Runner
from pipelines.writing import write_stage

__all__ = ["Coherence", "add_coherence", "coherence_lines"]

BYTES_PER_PIXEL = 60
"""Peak of a block and thread: both images, the complex coherence and its magnitude (28), chunks
that are being decoded, and the result of one polarisation while the next is worked on. Of 38 Mpix
in two polarisations 0.76 GB were met where 1.09 are reckoned."""
Pair = tuple[int, int]


@dataclass(frozen=True)
class Coherence:
    """What was added to a cube.

    Attributes
    ----------
    path : Path
    window : (int, int)
    looks : float or None
        Independent samples of a window, where the cube says how it samples the images.
    pairs : int
    changes : int
        Passes with a change of coherence.
    built : bool
        False where everything was there.
    """

    path: Path
    window: tuple[int, int]
    looks: float | None
    pairs: int
    changes: int
    built: bool


@dataclass(frozen=True)
class _Work:
    """Pairs and passes as indices along ``time`` on disk."""

    path: Path
    names: tuple[str, ...]
    pairs: tuple[Pair, ...]
    changes: dict[int, tuple[Pair, list[Pair]]]
    window: tuple[int, int]
    looks: float | None
    asked: dict[str, Any]
    coordinates: dict[str, Any]
    shape: tuple[int, int]

    @property
    def polarisations(self) -> tuple[str, ...]:
        return tuple(name.removeprefix("slc_") for name in self.names)

    def result(self, *, built: bool) -> Coherence:
        return Coherence(
            self.path, self.window, self.looks, len(self.pairs), len(self.changes), built
        )


def add_coherence(
    cube: str | Path,
    *,
    pairs: str = CONSECUTIVE,
    window: tuple[int, int] = (11, 11),
    scheduler: str = "threads",
    workers: int | None = None,
    memory_limit: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Coherence:
    """Add coherence of pairs to a cube, or go on where that was stopped.

    Parameters
    ----------
    cube : str or Path
        Cube of complex images (``--product slc``).
    pairs : str
        See `cube.steps.pairs.choose_pairs`.
    window : (rows, columns)
        Odd.
    scheduler, workers, memory_limit
        As of `pipelines.request.Request`.
    overwrite : bool
        Replace coherence of other pairs or another window.
    progress : Progress or None

    Raises
    ------
    CubeError
        No such cube, no complex images in it, no such pairs, or other pairs are there already.
    """
    path, progress = Path(cube), progress or Progress()
    work = _work(path, pairs, window)
    kept = read_addition(path, COHERENCE)
    if kept == {**work.asked, "finished": True}:
        progress.say(f"coherence of {path} is complete: nothing to do")
        return work.result(built=False)
    count = workers if workers is not None else os.cpu_count() or 1
    threads = count if scheduler == "threads" else 1
    limit = parse_size(memory_limit) if memory_limit else 3 * 10**9
    block, _ = block_within(
        work.shape, limit, lambda size: BASE_BYTES + threads * BYTES_PER_PIXEL * size * size
    )
    with BuildLock(path):
        _prepare(work, overwrite, progress)
        with Runner(scheduler, count, limit) as runner:
            _run(work, min(block, BLOCK), runner, progress)
        finish(path, COHERENCE)
        close_journals(path)
    return work.result(built=True)


def _work(path: Path, pairs: str, window: tuple[int, int]) -> _Work:
    """Decide everything, from what the cube holds."""
    if read_plan(path) is None:
        raise StoreError(f"{path}: no such cube; build one with cube build --product slc")
    ds = with_images(open_cube(path))
    names = tuple(images_in(ds))
    rows, cols = check_window(window, 0.5)
    height, width = ds.sizes["y"], ds.sizes["x"]
    if rows > height or cols > width:
        raise PlanError(f"window of {rows} by {cols} pixels; the cube has {height} by {width}")
    if not ds.sizes["time"]:
        raise PlanError(f"{path}: no pass is complete; run the build again to go on with it")
    chosen = choose_pairs(ds["time"].values, ds["relative_orbit"].values, pairs)
    changes = _changes(ds, chosen)
    on_disk = xr.open_zarr(str(path), chunks=None, consolidated=True)["time"].values
    place = [int(np.flatnonzero(on_disk == time)[0]) for time in ds["time"].values]

    def at(pair: Pair) -> Pair:
        return place[pair[0]], place[pair[1]]

    looks = looks_of(ds[names[0]], (rows, cols))
    return _Work(
        path,
        names,
        tuple(map(at, chosen)),
        {place[one]: (at(now), list(map(at, before))) for one, (now, before) in changes.items()},
        (rows, cols),
        looks,
        {"pairs": pairs, "window": [rows, cols], "passes": [list(map(int, at(p))) for p in chosen]},
        {name: np.asarray(values[1]) for name, values in pair_coordinates(ds, chosen).items()},
        (height, width),
    )


def _changes(ds: xr.Dataset, chosen: Sequence[Pair]) -> dict[int, tuple[Pair, list[Pair]]]:
    """Passes whose change of coherence follows from the pairs chosen."""
    try:
        found = change_of_pairs(ds["time"].values, ds["relative_orbit"].values, ds["role"].values)
    except PlanError:  # no event, or too few passes before it: there is coherence all the same
        return {}
    there = set(chosen)
    return {one: (now, before) for one, (now, before) in found.items() if {now, *before} <= there}


def _prepare(work: _Work, overwrite: bool, progress: Progress) -> None:
    """Create the arrays, or find those of an interrupted run."""
    kept = read_addition(work.path, COHERENCE)
    if kept is not None:
        same = {key: value for key, value in kept.items() if key != "finished"} == work.asked
        if same and not kept.get("finished"):
            remove_partial(work.path)
            progress.say(f"resuming coherence of {work.path}")
            return
        if not overwrite:
            rows, cols = kept["window"]
            raise StoreError(
                f"{work.path}: holds coherence of {len(kept['passes'])} pairs ({kept['pairs']},"
                f" window {rows},{cols}); give --overwrite to replace it"
            )
        remove_layers(work.path, COHERENCE, "pair", "coherence_")
    attrs: dict[str, Any] = {"window": list(work.window)}
    if work.looks is not None:
        attrs["looks"] = work.looks
    variables = pair_variables(work.polarisations, attrs, change=bool(work.changes))
    micros = {
        name: values.astype("datetime64[us]").astype("int64")
        for name, values in work.coordinates.items()
        if values.dtype.kind == "M"
    }
    add_layers(
        work.path,
        COHERENCE,
        work.asked,
        (*schema_coordinates(), *variables),
        {**work.coordinates, **micros},
    )


def _run(work: _Work, block: int, runner: Runner, progress: Progress) -> None:
    path = str(work.path)

    def stage(name: str, title: str, stack: Any, targets: list[Target]) -> None:
        journal = Journal(path, name, work.shape, block)
        write_stage(journal, title, stack, targets, runner, progress)

    times = np.asarray(stored_array(path, "time")[...]).astype("datetime64[us]")
    for number, (first, second) in enumerate(work.pairs):
        if bool(stored_array(path, "coherence_complete")[number]):
            continue
        layers = tuple(
            (StoredLayer(path, name, first), StoredLayer(path, name, second)) for name in work.names
        )
        days = f"{str(times[first])[:10]} and {str(times[second])[:10]}"
        stage(
            f"coherence_{number}",
            f"coherence of {days}",
            pair_coherence(PairSource(layers, work.window), work.shape, block),
            [Target(f"coherence_{name}", number) for name in work.polarisations],
        )
        set_flag(work.path, "coherence_complete", number)
    for one, (now, before) in work.changes.items():
        stage(
            f"coherence_change_{one}",
            f"change of coherence {str(times[one])[:10]}",
            pair_change(
                _layers(work, now), tuple(_layers(work, pair) for pair in before), work.shape, block
            ),
            [Target(f"coherence_change_{name}", one) for name in work.polarisations],
        )


def _layers(work: _Work, pair: Pair) -> tuple[StoredLayer, ...]:
    number = work.pairs.index(pair)
    return tuple(
        StoredLayer(str(work.path), f"coherence_{name}", number) for name in work.polarisations
    )


def coherence_lines(found: Coherence) -> list[str]:
    """Lines of ``cube coherence``."""
    ds = open_cube(found.path)
    lines = [
        f"  {str(one.primary_time.values)[:10]} {str(one.secondary_time.values)[:10]} orbit"
        f" {int(one.pair_orbit):3} {float(one.temporal_baseline):5.0f} days"
        f" {round(float(one.perpendicular_baseline), 1) + 0.0:7.1f} m"  # no -0.0
        for one in (ds.isel(pair=number) for number in range(found.pairs))
    ]
    rows, cols = found.window
    text = f"window {rows} x {cols}"
    if found.looks is not None and found.looks >= 1:
        floor = expected_magnitude(0.0, min(found.looks, 500))
        text += f" ({found.looks:g} looks: where nothing is coherent it shows {floor:.2f})"
    change = f", change for {found.changes} passes" if found.changes else ""
    return [
        *lines,
        f"{found.path}: coherence of {found.pairs} pairs{change}, {text}; open it with"
        f" cube.open_cube({str(found.path)!r})",
    ]
