"""The summary of a cube: extent, first flood and duration over its passes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cube.steps.flood import summary
from cube.store.layers import StoredLayer
from cube.store.write import Journal, Target, set_summary
from pipelines.plan import Plan
from pipelines.runner import Progress, Runner
from pipelines.writing import write_stage

__all__ = ["write_summary"]


def write_summary(
    path: str,
    plan: Plan,
    shape: tuple[int, int],
    block: int,
    runner: Runner,
    progress: Progress,
) -> None:
    """Extent, first flood and duration over the passes during and after the event.

    Without a reference or permanent water flood cannot be told: the layers stay as unwritten.
    """
    passes = plan.passes
    members = [index for index, one in enumerate(passes) if one.role != "before"]
    if members and ("reference" in plan.layers or "permanent_water" in plan.layers):
        times = np.array([passes[index].time for index in members], "datetime64[us]")
        micros = times.astype("int64")
        days = tuple((micros - micros[0]) / 86_400e6)
        layers = tuple(StoredLayer(path, "flood", index) for index in members)
        targets = [
            Target("flood_extent"),
            Target("flood_first", None, tuple(int(value) for value in micros)),
            Target("flood_duration"),
        ]
        write_stage(
            Journal(path, "summary", shape, block),
            f"summary of {len(members)} passes",
            summary(layers, days, shape, block),
            targets,
            runner,
            progress,
        )
    set_summary(Path(path), sorted(f"{one.platform} {one.time}" for one in passes))
