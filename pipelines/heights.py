"""The stage of ``cube infer --heights``: water of a pass told by heights as well."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from dask.delayed import delayed
from numpy.typing import NDArray
from odc.geo.crs import CRS

from cube.chunks import block_sizes, pull_blocks
from cube.errors import PlanError
from cube.infer.classes import flood_classes
from cube.kernels import hypsometry
from cube.kernels.flood import NO_DATA
from cube.readers.window import Window, WindowReader
from cube.steps.hypsometry import REACH_M
from cube.store.layers import StoredLayer
from cube.store.write import Journal, Target
from pipelines.plan import Plan
from pipelines.runner import Progress, Runner
from pipelines.writing import write_stage

__all__ = ["BY_HEIGHT", "check_heights", "weigh_heights"]

BY_HEIGHT = "water_by_height"
"""Layer that is written."""

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class _Source:
    """What the stage reads of a pass; a float or uint8 layer that is None is not there."""

    chance: WindowReader
    height: WindowReader
    flood: WindowReader | None
    permanent: WindowReader | None
    mask: WindowReader
    thresholds: tuple[float, float]
    classes: bool

    def pair(self, window: Window) -> tuple[Float32, Float32]:
        """Probability and height of a window."""
        return self.chance.read(window), self.height.read(window)


def check_heights(plan: Plan) -> None:
    """Refuse a grid whose pixels are not of one size in metres."""
    if CRS(plan.identity["crs"]).geographic:
        raise PlanError(
            f"heights are weighed on a grid in metres, the cube is in {plan.identity['crs']};"
            " build it in a projected CRS, or leave --heights out"
        )


def weigh_heights(
    path: Path,
    plan: Plan,
    index: int,
    thresholds: tuple[float, float],
    shape: tuple[int, int],
    block: int,
    runner: Runner,
    progress: Progress,
) -> None:
    """Write ``water_by_height`` of a pass and its flood classes by it.

    The probabilities of the pass are on disk; they are read four times and do not change, so a
    stage that was stopped goes on with the same tallies.
    """
    source = _source(str(path), plan, index, thresholds)
    told = f"heights {plan.passes[index].time[:16]}"
    reach = REACH_M / abs(float(plan.identity["transform"][0])) / hypsometry.CELL

    windows = list(_windows(shape, block))

    def summed(function: Callable[..., NDArray[Any]], *more: Any) -> NDArray[Any]:
        # nodes of their own in the graph: megabytes for a scene, not to be sent per block
        shared = [delayed(one, traverse=False) for one in more]
        tasks = [delayed(_sums)(source, window, function, *shared) for window in windows]
        with progress.stage(f"{told}: tallies", len(tasks)) as advance:
            parts = runner.run(tasks, advance)
        corners = [(window.line, window.sample) for window in windows]
        return hypsometry.put_together(parts, corners, shape)

    known = delayed(hypsometry.learnt(summed, reach), traverse=False)
    write_stage(
        Journal(str(path), f"heights_{index}", shape, block),
        told,
        pull_blocks(_block, shape, block, 2, "heights", source=source, known=known),
        [Target(BY_HEIGHT, index), Target("flood", index)],
        runner,
        progress,
    )


def _source(path: str, plan: Plan, index: int, thresholds: tuple[float, float]) -> _Source:
    flood, permanent = "flood_probability" in plan.layers, "permanent_water" in plan.layers
    return _Source(
        StoredLayer(path, "water_probability", index),
        StoredLayer(path, "dem"),
        StoredLayer(path, "flood_probability", index) if flood else None,
        StoredLayer(path, "permanent_water") if permanent else None,
        StoredLayer(path, "mask", plan.tracks.index(plan.passes[index].track)),
        thresholds,
        flood or permanent,
    )


def _windows(shape: tuple[int, int], block: int) -> Iterator[Window]:
    top = 0
    for height in block_sizes(shape[0], block):
        left = 0
        for width in block_sizes(shape[1], block):
            yield Window(top, left, top + height, left + width)
            left += width
        top += height


def _sums(source: _Source, window: Window, function: Any, *more: Any) -> NDArray[Any]:
    out: NDArray[Any] = function(*source.pair(window), window.line, window.sample, *more)
    return out


def _block(rows: slice, cols: slice, source: _Source, known: hypsometry.Curves) -> Float32:
    window = Window(rows.start, cols.start, rows.stop, cols.stop)
    chance, height = source.pair(window)
    told = hypsometry.posterior(chance, height, known, window.line, window.sample)
    if not source.classes:
        return np.stack([told, np.full_like(told, NO_DATA)])
    part = np.full_like(told, np.nan)
    if source.flood is not None:  # heights say nothing of what of the water is new
        share = np.ones_like(told)
        np.divide(told, chance, out=share, where=chance > 0)
        part = source.flood.read(window) * share
    classes = flood_classes(
        told,
        part,
        np.uint8(NO_DATA) if source.permanent is None else source.permanent.read(window),
        source.mask.read(window),
        thresholds=source.thresholds,
    )
    return np.stack([told, classes.astype("float32")])
