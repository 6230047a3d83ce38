"""Graphs: nothing is computed while they are built, equal inputs make equal keys, and they are
small."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest

from cube.kernels.water import fit
from cube.steps.area import class_areas
from cube.steps.backscatter import PassSource, backscatter
from cube.steps.flood import (
    FloodSource,
    Polarised,
    WaterSource,
    flood_classes,
    permanent_water,
    reference,
    summary,
)
from cube.steps.relief import level_reach
from cube.steps.statistics import floored_counts, tile_histograms
from cube.steps.terrain import Exclusion, Surface, surface_bands, surface_layers
from cube.store.layers import StoredLayer
from cube.store.write import Journal, Target, stored_array, write_blocks
from pipelines.plan import plan_cube
from pipelines.request import Request, Resolved
from pipelines.resolve import open_source, resolve
from pipelines.runner import task_graph

BLOCK = 128  # four by four blocks of the 403 x 497 grid
BLOCKS = 16


@contextmanager
def no_compute() -> Iterator[None]:
    """A scheduler that refuses."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("computed while only a graph was asked for")

    with dask.config.set(scheduler=refuse):
        yield


class Case:
    """What the steps of the small event are made from."""

    def __init__(self, event: Path, built: Path, scratch: Path) -> None:
        request = Request(
            event=str(event / "event.toml"),
            source=str(event),
            hand="none",
            scratch=str(scratch),
            out=str(built),
        )
        self.resolved: Resolved = resolve(request)
        self.plan, passes, _ = plan_cube(
            request, self.resolved, open_source(self.resolved, request)
        )
        self.path = str(built)
        self.shape = (int(self.resolved.grid.shape[0]), int(self.resolved.grid.shape[1]))
        files = [tuple(scene.of(self.plan.polarisations) for scene in one.scenes) for one in passes]
        self.passes = [
            PassSource(self.resolved.grid, self.resolved.dem, slices, "gamma0") for slices in files
        ]
        self.surface = Surface(
            grid=self.resolved.grid,
            dem=self.resolved.dem,
            hand=None,
            permanent_water=None,
            tracks=((78, tuple(slices[0][0] for slices in files)),),
            exclusion=Exclusion(10.0, 15.0),
        )
        self.water = [self._water("", "histogram", index) for index in range(4)]
        self.flood = FloodSource(
            now=self.water[3],
            before=self._water("reference_", "reference_histogram", 0),
            permanent=StoredLayer(self.path, "permanent_water"),
            mask=StoredLayer(self.path, "mask", 0),
            classes=True,
        )

    def _water(self, prefix: str, kind: str, index: int) -> WaterSource:
        counts = np.asarray(stored_array(self.path, f"statistics/{kind}")[index])
        tiles = counts.reshape(-1, *counts.shape[2:]).astype("int64")
        image = Polarised(self.layer(f"{prefix}vv", index), self.layer(f"{prefix}vh", index))
        return WaterSource(image, fit(tiles.sum(axis=0), tiles))

    def layer(self, name: str, index: int | None = None) -> StoredLayer:
        """A layer on disk."""
        return StoredLayer(self.path, name, index)


@pytest.fixture(scope="session")
def case(small_event: Path, built: Path, scratch: Path) -> Case:
    return Case(small_event, built, scratch)


def surface_graph(case: Case, change: bool) -> da.Array:
    exclusion = Exclusion(20.0 if change else 10.0, 15.0)
    surface = replace(case.surface, exclusion=exclusion)
    return surface_layers(surface, level_reach(case.shape, BLOCK, halo=64))


def backscatter_graph(case: Case, change: bool) -> da.Array:
    return backscatter(case.passes[1 if change else 0], BLOCK)


def reference_graph(case: Case, change: bool) -> da.Array:
    members = (0, 1) if change else (0, 1, 2)
    layers = tuple(tuple(case.layer(name, k) for k in members) for name in ("vv", "vh"))
    return reference(layers, case.shape, BLOCK)


def permanent_graph(case: Case, change: bool) -> da.Array:
    return permanent_water(tuple(case.water[: 2 if change else 3]), case.shape, BLOCK)


def flood_graph(case: Case, change: bool) -> da.Array:
    source = replace(case.flood, now=case.water[2]) if change else case.flood
    return flood_classes(source, case.shape, BLOCK)


def summary_graph(case: Case, change: bool) -> da.Array:
    days = (0.0, 13.0) if change else (0.0, 12.0)
    return summary((case.layer("flood", 2), case.layer("flood", 3)), days, case.shape, BLOCK)


Graph = Callable[[Case, bool], da.Array]
GRAPHS: dict[str, Graph] = {
    "surface": surface_graph,
    "backscatter": backscatter_graph,
    "reference": reference_graph,
    "permanent": permanent_graph,
    "flood": flood_graph,
    "summary": summary_graph,
}
EVERY = pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)


@EVERY
def test_building_a_graph_computes_nothing(case, graph):
    with no_compute():
        lazy = graph(case, False)
    assert lazy.shape[1:] == case.shape
    assert lazy.dtype == "float32"


@EVERY
def test_equal_inputs_make_equal_keys(case, graph, small_event, built, scratch):
    again = Case(small_event, built, scratch)
    assert graph(case, False).name == graph(again, False).name


@EVERY
def test_other_inputs_make_other_keys(case, graph):
    assert graph(case, False).name != graph(case, True).name


def writes(case: Case, graph: Graph) -> list[da.Array]:
    """Lazy writes of every block of a graph, with the statistics of a pass."""
    lazy = graph(case, False)
    journal = Journal(case.path, "unwritten", case.shape, BLOCK)
    targets = [Target("vv", 0)] * lazy.shape[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "done", lambda _: np.zeros((4, 4), bool))
        statistics = {"statistics/floored": (0, floored_counts)}
        return write_blocks(lazy, case.path, targets, journal, statistics)


@EVERY
def test_a_block_costs_one_task(case, graph):
    tasks, keys = task_graph(writes(case, graph))
    assert len(keys) == BLOCKS
    assert len(tasks) == BLOCKS


@EVERY
def test_tasks_hold_no_pixels(case, graph):
    tasks, _ = task_graph(writes(case, graph))
    assert max(len(pickle.dumps(task)) for task in tasks.values()) < 20_000


def test_building_writes_computes_nothing(case):
    with no_compute():
        assert len(writes(case, backscatter_graph)) == BLOCKS


def test_areas_are_lazy_and_independent_of_blocks(case):
    layer = case.layer("flood", 3)
    with no_compute():
        wide, narrow = (
            class_areas(layer, case.resolved.grid, (0, 1, 2, 255), block) for block in (512, 1024)
        )
    whole = wide.compute(scheduler="sync").sum(axis=(1, 2))
    np.testing.assert_allclose(narrow.compute(scheduler="sync").sum(axis=(1, 2)), whole, rtol=1e-12)


@pytest.mark.parametrize("name", ["surface", "backscatter", "reference", "summary"])
def test_blocks_of_whole_tiles_never_change_a_bit(case, name):
    graph = GRAPHS[name]
    with pytest.MonkeyPatch.context() as patch:
        parts = []
        for block in (512, 1024):
            patch.setattr(f"{__name__}.BLOCK", block)
            parts.append(graph(case, False).compute(scheduler="sync"))
    np.testing.assert_array_equal(*parts)


def test_bands_of_the_surface_are_in_order(case):
    assert surface_bands(case.surface) == [
        ("dem", None),
        ("incidence_angle", 0),
        ("mask", 0),
    ]


def test_statistics_add_up_over_tiles():
    block = np.random.default_rng(3).gamma(4, 0.02, (2, 700, 600)).astype("float32")
    counts = tile_histograms(block, 0, 1)
    assert counts.shape[:2] == (2, 2)
    assert counts.sum() == (700 // 4) * (600 // 4)


def test_floored_samples_are_counted_per_tile_and_band():
    block = np.full((2, 600, 520), 0.1, "float32")
    block[0, 0, :7] = np.float32(1e-5)
    block[1, 599, 519] = np.nan
    counts = floored_counts(block)
    assert counts[0, 0, 0].tolist() == [512 * 512, 7]
    assert counts[1, 1, 1].tolist() == [88 * 8 - 1, 0]
