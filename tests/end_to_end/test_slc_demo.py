"""A cube of complex images from nothing but the command line: SIMULATED, so that truth is known."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from scipy.integrate import quad
from scipy.ndimage import maximum_filter, minimum_filter
from scipy.special import hyp2f1
from seam_places import near_seams, seams_of

import cube
from cube.simulate.event import simulators
from cube.simulate.radiometry import scene_sigma0
from cube.simulate.scenarios import SMALL
from cube.simulate.world import Cover, build_world

EDGE = 6
"""Pixels between a place and the next of another class: half a window and a response."""
BETWEEN = 0.03


@pytest.fixture(scope="module")
def event(tmp_path_factory, cube_command):
    folder = tmp_path_factory.mktemp("slc") / "event"
    cube_command("simulate", folder, "--small", "--product", "slc").fine()
    return folder


@pytest.fixture(scope="module")
def built(event, tmp_path_factory, cube_command, scratch):
    path = tmp_path_factory.mktemp("built") / "slc.zarr"
    words = ["--event", event / "event.toml", "--source", event, "--product", "slc"]
    done = cube_command("build", *words, "--scratch", scratch, "--out", path).fine()
    assert "SIMULATED" in done.out
    said = cube_command("coherence", path).fine().out
    assert "2022-08-01 2022-09-18 orbit  78" in said
    return path


@pytest.fixture(scope="module")
def ds(built):
    return cube.open_cube(built).load()


@pytest.fixture(scope="module")
def truth(event):
    """True coherence of both pairs."""
    with rasterio.open(event / "coherence.tif") as file:
        return file.read()


@pytest.fixture(scope="module")
def world():
    return build_world(SMALL.bbox, 0, dem_margin_deg=SMALL.dem_margin_deg)


def inside(values, edge=EDGE):
    """Where all pixels around have one value."""
    size = 2 * edge + 1
    return (minimum_filter(values, size) == values) & (maximum_filter(values, size) == values)


def expected(truth, looks):
    """Mean magnitude of a coherence estimate (Touzi et al. 1999, eq. 8), by its density."""

    def density(r):
        rest = 1 - r * r
        return (
            2 * (looks - 1) * (1 - truth**2) ** looks * r * rest ** (looks - 2)
            * hyp2f1(looks, looks, 1, (truth * r) ** 2)
        )  # fmt: skip

    whole = quad(density, 0, 1, limit=300)[0]
    return quad(lambda r: r * density(r), 0, 1, limit=300)[0] / whole


def test_every_pixel_of_every_pass_has_data(ds):
    assert ds.sizes["time"] == 3
    assert ds.role.values.tolist() == ["before", "before", "during"]
    image = ds.slc_vv.values
    assert np.isfinite(image).all()
    assert (image != 0).all()
    # windows at the corners, of which less than half lies on the grid
    assert np.isnan(ds.coherence_vv.values).sum() == 2 * 48


@pytest.mark.parametrize("zone", ["burst seam", "swath seam"])
def test_seams_cross_the_area_and_do_not_show(event, ds, truth, world, zone):
    safe = next((event / "safe").glob("*_20220720T*"))
    where = near_seams(seams_of(safe, world.target, world.terrain.ellipsoidal))[zone]
    assert where.any(axis=0).mean() > 0.4 or where.any(axis=1).mean() > 0.9
    looks = ds.coherence_vv.attrs["looks"]
    there = where & inside(truth[0]) & np.isfinite(ds.coherence_vv.values[0])
    assert there.sum() > 300
    values, at = np.unique(truth[0][there], return_inverse=True)
    foretold = np.array([expected(float(value), looks) for value in values])[at]
    rest = ds.coherence_vv.values[0][there] - foretold
    # a few independent windows: three of their spreads
    assert abs(rest.mean()) < 3 * rest.std() / np.sqrt(there.sum() / 121)
    assert rest.std() < 0.12


@pytest.mark.parametrize("pair", [0, 1])
def test_coherence_is_that_of_the_ground(ds, truth, pair):
    looks = ds.coherence_vv.attrs["looks"]
    assert 50 < looks < 70
    known, found = truth[pair], ds.coherence_vv.values[pair]
    away, checked = inside(known) & np.isfinite(found), []
    for value in np.unique(known[away]):
        there = away & (known == value)
        if there.sum() < 5 * 121:  # fewer windows than that tell nothing
            continue
        mean = expected(float(value), looks)
        assert found[there].mean() == pytest.approx(mean, abs=BETWEEN), value
        checked.append(round(float(value), 2))
    assert {0.0, 0.5, 0.7, 0.85} <= set(checked)


def test_flooded_town_loses_coherence_and_dry_town_keeps_it(ds, truth, world):
    town = world.cover[world.target_window()] == Cover.URBAN
    wet = truth[1] < truth[0]
    change = ds.coherence_change_vv.isel(time=-1).values
    flooded, dry = (inside((town & part).astype("uint8"), 2) & town & part for part in (wet, ~wet))
    assert flooded.sum() > 400
    assert change[flooded].mean() < -0.3
    assert (change[flooded] < 0).mean() > 0.95
    away = inside(wet.astype("uint8")) & dry
    assert away.sum() > 5000
    assert abs(change[away].mean()) < 0.02
    assert np.isnan(ds.coherence_change_vv.isel(time=[0, 1]).values).all()


def test_baselines_are_those_of_the_orbits(ds):
    across = np.abs(ds.perpendicular_baseline.values)
    assert ((across > 5) & (across < 120)).all()
    assert ds.temporal_baseline.values == pytest.approx([12, 48], abs=0.001)


def test_power_is_that_of_the_ground(ds, world):
    """Of single-look products it is beta nought; detected ones of the pass show the same ground."""
    window = world.target_window()
    cover = np.where(inside(world.cover[window], 3), world.cover[window], 255)
    chosen = simulators(world, SMALL, 0, [1, 2, 3])
    for simulator, image in zip(chosen, ds.slc_vv.values, strict=True):
        sine = np.sin(np.radians(simulator.view.incidence_deg))
        beta = (scene_sigma0(world, simulator.view, simulator.state())["VV"] / sine)[window]
        power = np.abs(image) ** 2
        for kind in (Cover.CROP, Cover.BARE, Cover.URBAN, Cover.SHRUB):
            there = (cover == kind) & (np.abs(ds.incidence_angle.values[0] - 36.7) < 2)
            # half a look a pixel
            spread = 1 / np.sqrt(0.5 * there.sum())
            assert there.sum() > 2000
            assert power[there].mean() == pytest.approx(beta[there].mean(), rel=0.03 + 3 * spread)


def test_complex_images_join_the_detected_ones_of_their_passes(
    event, small_event, tmp_path, cube_command, build, scratch, ds
):
    """Products of both kinds of one simulated event name one data take."""
    path = tmp_path / "joined.zarr"
    build(small_event, path).fine()
    words = ["--event", event / "event.toml", "--source", event, "--product", "slc"]
    cube_command("build", *words, "--scratch", scratch, "--out", path).fine()
    joined = cube.open_cube(path)
    assert joined.slc_complete.values.tolist() == [False, True, True, True]
    assert joined.slc_vv.values[1:].tobytes() == ds.slc_vv.values.tobytes()


def test_the_demo_simulates_what_was_asked_for_in_a_folder_of_its_own(
    event, small_event, tmp_path, cube_command, monkeypatch
):
    asked = []

    def simulate(folder, *, products):
        asked.append(products)
        shutil.copytree(event if products == ("slc",) else small_event, folder)

    monkeypatch.setattr("cube.simulate.simulate_event", simulate)
    words = ["build", "--event", "demo", "--dry-run", "--hand", "none", "--scratch", tmp_path]
    for product, passes in (("slc", 3), ("grd", 4), ("slc", 3)):
        said = cube_command(*words, "--product", product, "--out", tmp_path / product).fine().out
        assert f"passes {passes} on relative orbits 78" in " ".join(said.split())
    assert asked == [("slc",), ("grd",)]
    assert {path.name for path in tmp_path.iterdir()} == {
        "simulated-demo-slc-1",
        "simulated-demo-1",
    }


def test_permanent_water_beside_complex_images_is_refused(event, tmp_path, cube_command):
    words = ["--event", event / "event.toml", "--source", event, "--product", "slc"]
    water = event / "permanent_water.tif"
    said = cube_command("build", *words, "--permanent-water", water, "--out", tmp_path / "x").error
    assert "--permanent-water" in said
    assert "build --product grd" in said
    assert not (tmp_path / "x").exists()


def test_the_readmes_lines_on_coherence_run(built, tmp_path, monkeypatch):
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    lines = next(one for one in re.findall(r"```python\n(.*?)```", text, re.S) if "slc" in one)
    (tmp_path / "demo-slc.zarr").symlink_to(built)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(lines, names)
    assert names["ds"].sizes["time"] == 3
