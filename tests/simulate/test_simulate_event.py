from __future__ import annotations

import hashlib
import itertools
import json
import re
import tomllib
from datetime import date

import numpy as np
import pystac
import pytest
import rasterio

from cube.catalog import load_event
from cube.grid import target_grid
from cube.simulate import event as module
from cube.simulate import simulate_event
from cube.simulate.layout import Layout, layout_of
from cube.simulate.scenarios import DEMO, INDUS, SCENARIOS, SMALL
from cube.simulate.world import build_world, flood_depth

PASSES = DEMO.passes


def pixels(folder) -> dict[str, str]:
    found = {}
    for path in sorted((folder / "safe").glob("*/measurement/*.tiff")):
        with rasterio.open(path) as file:
            found[path.name] = hashlib.sha256(file.read(1).tobytes()).hexdigest()
    return found


def test_event_file_reads_as_toml(event):
    content = tomllib.loads(event.event.read_text())
    assert content["simulated"] is True
    assert content["aois"] == [{"name": "plain", "bbox": list(SMALL.bbox)}]
    for window in ("before", "during"):
        assert all(type(day) is date for day in content[window])
    assert content["before"][1] < content["during"][0]
    for key in ("dem", "permanent_water"):
        assert (event.directory / content[key]).is_file()


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=list(SCENARIOS))
def test_passes_lie_in_their_windows_and_on_their_tracks(scenario):
    windows = {False: scenario.before, True: scenario.during}
    for item in scenario.passes:
        first, last = windows[item.stage_m > 0]
        assert first <= date.fromisoformat(item.time[:10]) <= last
        assert (item.absolute_orbit - 73) % 175 + 1 == item.track.relative_orbit
    times = [item.time for item in scenario.passes]
    assert times == sorted(times)
    assert scenario.title.startswith("Simulated")


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=list(SCENARIOS))
def test_a_track_is_flown_every_twelve_days(scenario):
    """175 orbits in 12 days, which is what Sentinel-1 repeats after, to a few seconds."""
    tracks = {item.track for item in scenario.passes}
    for track in tracks:
        flown = [item for item in scenario.passes if item.track == track]
        for first, second in itertools.pairwise(flown):
            turns, rest = divmod(second.absolute_orbit - first.absolute_orbit, 175)
            gap = np.datetime64(second.time) - np.datetime64(first.time)
            assert rest == 0
            assert abs(gap / np.timedelta64(1, "s") - turns * 12 * 86400) < 5


def test_the_indus_scenario_rehearses_the_event_of_the_catalogue():
    event = load_event("pakistan2022")
    assert INDUS.bbox == event.aois[0].bbox
    assert (INDUS.before, INDUS.during) == (event.before, event.during)
    flown = {(item.time[:10], item.absolute_orbit) for item in INDUS.passes}
    # Orbits and days of products that exist: 27 August and 8 September 2022 on 42, 30 August on 78
    assert {("2022-08-27", 44739), ("2022-09-08", 44914), ("2022-08-30", 44775)} <= flown
    for track in (78, 42):
        assert track in event.tracks
        own = [item.stage_m > 0 for item in INDUS.passes if item.track.relative_orbit == track]
        assert own.count(True) >= 2
        assert own.count(False) >= 2


def test_the_demo_ends_with_the_largest_flood():
    assert max(PASSES, key=lambda item: item.stage_m) is PASSES[-1]
    tracks = [(item.track.relative_orbit, item.stage_m > 0) for item in PASSES]
    assert [tracks.count(key) for key in ((78, False), (78, True), (42, False), (42, True))] == [
        4,
        3,
        3,
        1,
    ]


def test_truth_lies_on_the_target_grid(event):
    grid = target_grid(event.bbox)
    with rasterio.open(event.truth) as file:
        assert file.shape == tuple(grid.shape)
        assert file.transform == grid.affine
        assert file.crs.to_epsg() == grid.crs.to_epsg()
        assert file.dtypes == ("uint8",)
        classes, counts = np.unique(file.read(1), return_counts=True)
    assert set(classes) == {0, 1, 2}
    assert counts.min() > 0.005 * counts.sum()


def test_truth_and_permanent_water_agree(event):
    with rasterio.open(event.truth) as file, rasterio.open(event.permanent_water) as water:
        window = rasterio.windows.from_bounds(*file.bounds, transform=water.transform)
        inside = water.read(1, window=window.round_offsets().round_lengths())
        np.testing.assert_array_equal(file.read(1) == 1, inside == 1)


def test_dem_states_its_vertical_datum_and_covers_the_images(event):
    with rasterio.open(event.dem) as file:
        assert "EGM96" in file.crs.to_wkt()
        assert file.res == pytest.approx((1 / 3600, 1 / 3600))
        west, _, _, north = event.bbox
        assert file.bounds.left < west - 0.05
        assert file.bounds.top > north + 0.05
        # Centres of the pixels lie on whole arc-seconds.
        assert (file.transform.c * 3600 + 0.5) % 1 == pytest.approx(0, abs=1e-4) or (
            file.transform.c * 3600 + 0.5
        ) % 1 == pytest.approx(1, abs=1e-4)
        assert file.dtypes == ("float32",)
        height = file.read(1)
    assert 30 < np.median(height) < 60
    assert np.isfinite(height).all()


def test_full_world_has_hills_slopes_and_every_class():
    world = build_world(DEMO.bbox, 0)
    window = world.target_window()
    south, east = np.gradient(world.height_m, 10.0)
    slope = np.degrees(np.arctan(np.hypot(south, east)))
    assert 15 < np.percentile(slope[window], 99.9) < 26
    assert slope.max() < 32
    assert np.median(slope[:, -800:]) < 1
    shares = np.bincount(world.cover[window].ravel(), minlength=7) / world.cover[window].size
    assert shares.min() > 0.01
    assert world.terrain.orthometric_m.shape[0] > (0.1 + 0.4) * 3600


@pytest.mark.parametrize("item", PASSES[:2], ids=["descending", "ascending"])
def test_every_pixel_of_an_image_shows_a_part_of_the_world(item):
    world = build_world(DEMO.bbox, 0, dem_margin_deg=0.06)
    simulator = module.PassSimulator(world, DEMO, None, item, 0, 0)
    row, col = simulator._ground(simulator._spec().geometry)
    assert row.min() > 1
    assert col.min() > 1
    assert row.max() < world.grid.shape[0] - 2
    assert col.max() < world.grid.shape[1] - 2


def test_seeds_have_rivers_of_their_own():
    north = np.linspace(-5000, 5000, 200)
    courses = [layout_of(seed).river(0 * north, north)[0] for seed in range(4)]
    for first, second in itertools.combinations(courses, 2):
        assert np.abs(first - second).max() > 300
    assert layout_of(0) == Layout()
    assert layout_of(3) == layout_of(3)


def test_flood_grows_from_the_river_and_stays_connected():
    world = build_world(SMALL.bbox, 0, dem_margin_deg=0.05)
    stages = [item.stage_m for item in PASSES if item.stage_m > 0]
    areas = [int((flood_depth(world, stage) > 0).sum()) for stage in sorted(stages)]
    assert all(np.diff(areas) > 0)
    assert flood_depth(world, 0.0).max() == 0
    depth = flood_depth(world, stages[-1])
    dry_but_low = (depth == 0) & (world.hand_m < stages[-1]) & ~world.permanent
    assert dry_but_low.any()


def test_catalog_opens_with_every_asset_in_its_place(event):
    catalog = pystac.Catalog.from_file(str(event.catalog))
    assert {child.id for child in catalog.get_children()} == {
        "sentinel-1-grd",
        "dem",
        "permanent-water",
    }
    items = list(catalog.get_child("sentinel-1-grd").get_items())
    assert {item.id for item in items} == {path.stem.rsplit("_", 1)[0] for path in event.products}
    for item in catalog.get_items(recursive=True):
        for asset in item.get_assets().values():
            assert not asset.href.startswith("/")
            assert event.directory.resolve() in item_path(item, asset).parents
            assert item_path(item, asset).is_file()


def item_path(item: pystac.Item, asset: pystac.Asset):
    from pathlib import Path

    return (Path(item.get_self_href()).parent / asset.href).resolve()


def test_items_look_like_those_of_the_planetary_computer(event):
    catalog = pystac.Catalog.from_file(str(event.catalog))
    items = sorted(catalog.get_child("sentinel-1-grd").get_items(), key=lambda item: item.datetime)
    keys = {"vv", "vh", "safe-manifest"} | {
        f"schema-{kind}-{p}" for kind in ("product", "calibration", "noise") for p in ("vv", "vh")
    }
    for item in items:
        assert set(item.assets) == keys
        found = item.properties
        assert found["sat:relative_orbit"] == 78
        assert found["sat:orbit_state"] == "descending"
        assert found["sar:polarizations"] == ["VV", "VH"]
        assert found["simulated"] is True
        assert re.fullmatch(r"2022-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", found["start_datetime"])
        assert found["start_datetime"] < found["end_datetime"]
        west, south, east, north = item.bbox
        assert west < east
        assert south < north
    slices = [i for i in items if i.properties["s1:total_slices"] == "2"]
    assert [i.properties["s1:slice_number"] for i in slices] == ["1", "2"]
    assert len({i.properties["s1:datatake_id"] for i in slices}) == 1


def test_images_cover_the_area_with_a_margin(event):
    west, south, east, north = event.bbox
    catalog = pystac.Catalog.from_file(str(event.catalog))
    for item in catalog.get_child("sentinel-1-grd").get_items():
        if item.properties["s1:total_slices"] == "1":
            box = item.bbox
            assert box[0] < west - 0.015
            assert box[1] < south - 0.013
            assert box[2] > east + 0.015
            assert box[3] > north + 0.013


def test_same_seed_gives_the_same_pixels_and_another_seed_does_not(event, tmp_path):
    again = simulate_event(tmp_path / "again", small=True)
    assert pixels(again.directory) == pixels(event.directory)
    assert [path.name for path in again.products] == [path.name for path in event.products]
    assert again.truth.read_bytes() == event.truth.read_bytes()
    assert again.catalog.read_bytes() == event.catalog.read_bytes()
    other = simulate_event(tmp_path / "other", seed=1, small=True)
    assert not set(pixels(other.directory).values()) & set(pixels(event.directory).values())


def test_a_run_that_breaks_off_leaves_nothing(tmp_path, monkeypatch):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_catalog", stop)
    with pytest.raises(KeyboardInterrupt):
        simulate_event(tmp_path / "event", small=True)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_not_touched(event):
    before = sorted(event.directory.rglob("*"))
    with pytest.raises(FileExistsError, match="already there"):
        simulate_event(event.directory, small=True)
    assert sorted(event.directory.rglob("*")) == before


def test_catalog_moves_with_its_folder(event):
    for path in event.directory.rglob("*.json"):
        text = json.dumps(json.loads(path.read_text()))
        assert str(event.directory) not in text
        assert ".event." not in text


def test_flood_darkens_open_ground_and_brightens_standing_vegetation(event):
    """First and last pass on the same track, by the truth and the land cover, in image space."""
    world = build_world(SMALL.bbox, 0, dem_margin_deg=0.06)
    depth = flood_depth(world, PASSES[-1].stage_m)
    view = module.view(world, module._orbit(PASSES[-1].track, PASSES[-1].time, SMALL.bbox), 0)
    dry, wet = (
        module.scene_sigma0(world, view, module.GroundState(water, 4.0, 0.0, 1))
        for water in (np.zeros_like(depth), depth)
    )
    change = 10 * np.log10(wet["VV"] / dry["VV"])
    open_ground = (depth > 0.3) & (world.cover == 1)
    forest = (depth > 0.3) & (world.cover == 4)
    assert np.median(change[open_ground]) < -4
    assert np.median(change[forest]) > 2
    partly = (depth > 0.15) & (depth < 0.5) & (world.cover == 2)
    assert np.median(change[open_ground]) < np.median(change[partly]) < 1
    untouched = (depth == 0) & ~world.permanent
    assert np.abs(change[untouched]).max() < 1e-3


def test_every_manifest_says_that_it_is_simulated(event):
    for product in event.products:
        assert f"({SMALL.title}, seed 0)" in (product / "manifest.safe").read_text()


def test_a_scenario_is_chosen_by_name(cube_command, tmp_path, tree, small_event):
    cube_command("simulate", "--scenario", "small", tmp_path / "event").fine()
    assert tree(tmp_path / "event") == tree(small_event)


@pytest.mark.parametrize("words", [("--scenario", "large"), ("--small", "--scenario", "indus")])
def test_a_scenario_that_cannot_be_is_refused(cube_command, tmp_path, words):
    assert words[-1] in cube_command("simulate", *words, tmp_path / "event").error
    assert list(tmp_path.iterdir()) == []
