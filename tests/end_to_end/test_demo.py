"""The main job: the README's first block, and what a user may conclude from its cube."""

from __future__ import annotations

import re

import numpy as np
import rasterio
import xarray as xr

import cube
from cube.kernels.scores import count


def test_demo_ends_with_simulated_score_area_and_how_to_open(demo):
    *_, water, flood, last = demo.out.splitlines()
    assert "SIMULATED truth" in demo.out
    assert water.startswith("water")
    assert flood.startswith("flood")
    assert re.search(r"11 passes, \d+\.\d\d km2 flooded on 2022-09-\d\d, .* at least once", last)
    assert "cube.open_cube" in last


def test_flood_classes_are_precise_and_find_the_open_water(demo):
    """Against truth that imports nothing of the processor.

    Truth counts flood under plants and between houses, of which C band sees little: recall has a
    ceiling, precision has none. Every second flooded pixel is open water in this event.
    """
    ds = cube.open_cube(demo.cube)
    with rasterio.open(demo.truth) as file:
        truth = file.read(1)
    found = ds.flood.isel(time=-1).values
    counts = count(found == 2, truth == 2)
    assert counts.precision > 0.95
    assert counts.recall > 0.3
    assert ((found == 1) == (truth == 1)).mean() > 0.999


def test_flood_grows_and_before_is_dry(demo):
    ds = cube.open_cube(demo.cube)
    share = (ds.flood == 2).mean(dim=("y", "x")).values
    before = (ds.role == "before").values
    assert share[before].max() < 0.01
    assert share[-1] > 0.05
    assert share[-1] == share.max()


def test_areas_are_those_of_the_ellipsoid(demo):
    """UTM cells near the central meridian's side are 0.04 to 0.1 % off their nominal 100 m2."""
    ds = cube.open_cube(demo.cube)
    info = cube.info(demo.cube)
    nominal = float((ds.flood.isel(time=-1) == 2).sum()) * 1e-4
    stated = info["passes"][-1]["km2"]["flood"]
    assert 1e-5 < abs(stated / nominal - 1) < 2e-3


def test_summary_agrees_with_the_passes(demo):
    ds = cube.open_cube(demo.cube)
    during = ds.sel(time=ds.role != "before")
    ever = (during.flood == 2).any("time").values
    assert np.array_equal(ds.flood_extent.values == 2, ever)
    first = ds.flood_first.values
    assert np.isnat(first[~ever]).all()
    assert np.isin(first[ever], during.time.values).all()
    assert float(ds.flood_duration.where(ever).max()) <= 25


def test_plain_xarray_sees_the_same(demo):
    plain = xr.open_zarr(demo.cube)
    plain = plain.sel(time=plain.complete).sortby("time")
    assert np.array_equal(plain.time, cube.open_cube(demo.cube).time)
    assert plain.vv.dtype == "float32"
    assert plain.flood.dtype == "uint8"


def test_two_tracks_and_a_pass_of_two_slices(demo):
    ds = cube.open_cube(demo.cube)
    assert sorted(set(ds.relative_orbit.values.tolist())) == [42, 78]
    slices = [len(ids.split()) for ids in ds.scene_ids.values]
    assert sorted(slices)[-1] == 2
    joined = ds.isel(time=int(np.argmax(slices)))
    assert bool(np.isfinite(joined.vv).all()), "no seam between slices"
