"""``cube infer --heights``: flood told by the DEM as well, the same through stops and blocks."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import cube
from cube.catalog import load_model
from pipelines import heights as stage
from pipelines.cost import network_memory
from pipelines.infer import infer_cube
from pipelines.verify import verify


@pytest.fixture(scope="session")
def weighed(built, tmp_path_factory) -> Path:
    path = Path(shutil.copytree(built, tmp_path_factory.mktemp("weighed") / "cube.zarr"))
    infer_cube(path, heights=True)
    return path


def test_the_layer_is_by_height_of_the_probability_that_stands_beside_it(weighed):
    ds = cube.open_cube(weighed)
    expected = cube.by_height(ds.water_probability, ds.dem)
    np.testing.assert_allclose(ds.water_by_height, expected, atol=1e-6)
    assert float(abs(ds.water_by_height - ds.water_probability).max()) > 0.1
    assert ds.water_by_height.attrs["units"] == "1"


def test_flood_is_what_is_likely_by_height(weighed):
    ds = cube.open_cube(weighed).isel(time=-1)
    threshold, _ = load_model("default").card.water_thresholds
    wet = (ds.water_by_height > threshold).values
    flood = ds.flood.values
    known = flood != 255
    assert (flood == 2).any()
    assert not (flood[known & ~wet] == 2).any()
    assert (flood[known & wet & (ds.permanent_water == 1).values] == 1).all()


def test_heights_make_the_simulated_flood_better(weighed, own_cube, small_event):
    """By a DEM without errors, as that of simulated events is."""
    infer_cube(own_cube)
    with_heights, without = (verify(one, small_event / "truth.tif") for one in (weighed, own_cube))
    assert with_heights.flood.iou > 0.82  # .859; the demo, which is larger, has .854
    assert with_heights.flood.iou > without.flood.iou + 0.01
    assert with_heights.water.iou > without.water.iou + 0.01


def test_stopped_at_the_heights_it_goes_on_to_the_same_bytes(own_cube, weighed, tree, interrupt_at):
    interrupt_at(stage, "write_stage", 2)
    with pytest.raises(KeyboardInterrupt):
        infer_cube(own_cube, heights=True)
    assert cube.open_cube(own_cube).sizes["time"] == 1
    infer_cube(own_cube, heights=True)
    assert tree(own_cube) == tree(weighed)


def test_blocks_change_no_more_than_last_bits(own_cube, weighed):
    infer_cube(own_cube, heights=True, workers=1, memory_limit=f"{network_memory(512, 1) + 1}B")
    one, other = cube.open_cube(own_cube), cube.open_cube(weighed)
    # the network's own last bits, through a logarithm of the odds
    np.testing.assert_allclose(one.water_by_height, other.water_by_height, atol=1e-5)


def test_processes_write_what_threads_do(own_cube, weighed):
    infer_cube(own_cube, heights=True, scheduler="processes", workers=2)
    one, other = cube.open_cube(own_cube), cube.open_cube(weighed)
    np.testing.assert_allclose(one.water_by_height, other.water_by_height, atol=1e-5)
    assert float((one.flood != other.flood).mean()) < 1e-3


def test_it_can_be_taken_back(cube_command, own_cube, weighed):
    path = Path(shutil.copytree(weighed, own_cube.parent / "other.zarr"))
    assert "nothing to do" in cube_command("infer", path, "--heights").fine().err
    cube_command("infer", path).fine()
    assert "water_by_height" not in cube.open_cube(path)


def test_a_grid_in_degrees_is_refused(cube_command, build, small_event, tmp_path):
    path = tmp_path / "degrees.zarr"
    build(small_event, path, "--crs", "EPSG:4326", "--resolution", "0.0005").fine()
    assert "a grid in metres" in cube_command("infer", path, "--heights").error
