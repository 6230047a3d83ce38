"""Everything that a cube is made from: on this disk, opened once, before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cube.readers.dem import open_dem
from cube.readers.passes import Pass
from cube.readers.projected import check_projected
from cube.readers.raster import describe
from cube.readers.safe import extract
from cube.readers.scene import Files, open_calibrated
from cube.readers.tiled import Tile
from pipelines.hand import make_hand
from pipelines.layers import Maps, Tiled, gathered
from pipelines.plan import Plan
from pipelines.request import Resolved
from pipelines.runner import Progress
from pipelines.single_look import check_product, check_tracks, slices_of

__all__ = ["maps_of", "ready"]

_CHECKS = 8
"""Products looked at side by side."""


def maps_of(
    resolved: Resolved, plan: Plan, tiles: dict[str, tuple[Tile, ...]], progress: Progress
) -> Maps:
    """Maps of the cube on this disk, readable, before anything is written."""

    def on_disk(layer: Tiled) -> str:
        ids, known = plan.tiles[layer.layer], tiles.get(layer.layer)
        return str(gathered(layer, resolved.grid, resolved.scratch, ids, known, progress))

    dem, water = resolved.dem, resolved.permanent_water
    if isinstance(dem, Tiled):
        dem = open_dem(on_disk(dem), dem.datum, dem.geoid)
    if isinstance(water, Tiled):
        water = on_disk(water)
    hand = make_hand(resolved, dem, progress) if "hand" in plan.layers else None
    sea = None if resolved.sea in ("none", "dem") else resolved.sea
    for layer in (hand, water, sea):
        if layer is not None:
            describe(str(layer))
    return Maps(dem, water, hand)


def ready(
    passes: tuple[Pass, ...], plan: Plan, resolved: Resolved, progress: Progress
) -> tuple[Pass, ...]:
    """Unpack zips and open every file once: a bad one is named before anything is written."""
    scenes = [scene for one in passes for scene in one.scenes]
    for scene in scenes:
        if scene.archive is not None:
            progress.say(f"unpacking {scene.id}")
            extract(Path(scene.archive), resolved.scratch / "safe")
    wanted: list[Any] = [files for scene in scenes for files in scene.of(plan.polarisations)]
    check: Callable[[Any], None] = _check_calibrated(resolved)
    if resolved.product == "rtc":
        check = check_projected
    elif resolved.product == "slc":
        wanted = [part for one in passes for part in slices_of(one, plan.polarisations)]
        check = check_product
    with progress.stage("checking products", len(wanted)) as advance:
        # Side by side: remote tables of a pass come from eight files, each a wait for the network
        pool = ThreadPoolExecutor(_CHECKS)
        try:
            for _ in pool.map(check, wanted):
                advance()
        finally:
            pool.shutdown(cancel_futures=True)
    if resolved.product == "slc":
        for note in check_tracks(passes, plan.polarisations, resolved.grid):
            progress.say(f"note: {note}")
    return passes


def _check_calibrated(resolved: Resolved) -> Callable[[Files], None]:
    def check(files: Files) -> None:
        open_calibrated(files, resolved.backscatter).raw.check()

    return check
