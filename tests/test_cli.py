"""The command line: what it prints, what it refuses, and how light it is."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from matplotlib.image import imread

import cube

COMMANDS = (
    (),
    ("build",),
    ("plan",),
    ("info",),
    ("quicklook",),
    ("verify",),
    ("simulate",),
    ("events",),
    ("events", "list"),
    ("events", "show"),
    ("events", "check"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(cube_command, command):
    assert "Usage" in cube_command(*command, "--help").fine().out


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("build", "--nonsense"),
        ("build", "--event", "demo", "--workers", "many"),
        ("build", "--bbox", "1,2,3", "--during", "2022-01-01/2022-01-02"),
        ("build", "--bbox", "a,b,c,d", "--during", "2022-01-01/2022-01-02"),
        ("build", "--event", "demo", "--resolution", "1,2,3"),
        ("info",),
        ("verify", "cube.zarr"),
    ],
    ids=" ".join,
)
def test_bad_usage_exits_with_two(cube_command, words):
    assert cube_command(*words).code == 2


def test_dry_run_writes_nothing(cube_command, asked, own_event, tmp_path, tree):
    before = tree(tmp_path)
    words = asked(own_event, tmp_path / "cube.zarr", "--scratch", tmp_path / "scratch")
    cube_command("build", *words, "--dry-run").fine()
    assert tree(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["event"]


def test_dry_run_prints_the_passes(cube_command, asked, small_event, tmp_path):
    words = asked(small_event, tmp_path / "cube.zarr")
    printed = cube_command("build", *words, "--dry-run").fine().out
    assert printed.count("sentinel-1a orbit  78 descending") == 4


def test_plan_as_json_has_identity_passes_and_run(cube_command, asked, small_event, tmp_path):
    found = json.loads(cube_command("plan", *asked(small_event, tmp_path / "c"), "--json").out)
    assert {"identity", "passes", "layers", "run", "notes"} <= set(found)


def test_plan_counts_the_bytes_of_the_measurements(cube_command, asked, small_event, tmp_path):
    found = json.loads(cube_command("plan", *asked(small_event, tmp_path / "c"), "--json").out)
    size = sum(path.stat().st_size for path in small_event.rglob("measurement/*.tiff"))
    assert found["run"]["bytes_source"] == size


def test_slices_of_one_datatake_make_one_pass(cube_command, asked, small_event, tmp_path):
    found = json.loads(cube_command("plan", *asked(small_event, tmp_path / "c"), "--json").out)
    assert [len(one["scenes"]) for one in found["passes"]] == [1, 1, 2, 1]


def test_events_list_as_json_names_the_shipped_events(cube_command):
    found = json.loads(cube_command("events", "list", "--json").fine().out)
    assert {"demo", "pakistan2022"} <= set(found)


def test_events_show_gives_the_sources_of_its_numbers(cube_command):
    printed = cube_command("events", "show", "pakistan2022").fine().out
    assert "EMSR629" in printed
    assert "during  2022-08-10 to 2022-09-23" in printed


def test_shipped_events_are_well_formed(cube_command):
    assert "events are well-formed" in cube_command("events", "check").fine().out


def test_info_as_json_lists_passes_and_areas(cube_command, built):
    found = json.loads(cube_command("info", built, "--json").fine().out)
    assert found["finished"]
    assert [one["role"] for one in found["passes"]] == ["before", "before", "before", "during"]
    assert sum(found["extent_km2"].values()) == pytest.approx(20.1, abs=0.2)


def test_info_of_nothing_is_one_line(cube_command, tmp_path):
    assert "no such cube" in cube_command("info", tmp_path / "none.zarr").error


def test_quicklook_shows_several_colours(cube_command, built, tmp_path):
    picture = tmp_path / "cube.png"
    cube_command("quicklook", built, picture).fine()
    colours = np.unique((imread(picture)[..., :3] * 255).astype(int).reshape(-1, 3), axis=0)
    saturated = colours[colours.max(axis=1) - colours.min(axis=1) > 60]
    assert len(colours) > 50
    assert {"red", "blue"} <= {
        "red" if red > blue else "blue" for red, _, blue in saturated.tolist()
    }


def test_quicklook_where_nothing_can_be_written_is_one_line(cube_command, built, tmp_path):
    (tmp_path / "file").write_text("")
    assert "file" in cube_command("quicklook", built, tmp_path / "file" / "cube.png").error


def test_verify_scores_against_simulated_truth(cube_command, built, small_event):
    words = ("verify", built, "--truth", small_event / "truth.tif", "--json")
    found = json.loads(cube_command(*words).fine().out)
    assert found["simulated"]
    assert 0.3 < found["flood"]["iou"] <= 1


def test_verify_without_flood_gives_null_ratios(cube_command, built, small_event, tmp_path):
    dry = tmp_path / "dry.tif"
    with rasterio.open(small_event / "truth.tif") as file:
        profile, shape = file.profile, file.shape
    with rasterio.open(dry, "w", **profile) as file:
        file.write(np.full(shape, 255, "uint8"), 1)
    found = json.loads(cube_command("verify", built, "--truth", dry, "--json").fine().out)
    assert found["flood"]["iou"] is None


def test_verify_at_no_time_is_one_line(cube_command, built, small_event):
    words = ("verify", built, "--truth", small_event / "truth.tif", "--time", "yesterday")
    assert "'yesterday' is not a time" in cube_command(*words).error


def test_verify_on_another_grid_is_one_line(cube_command, built, small_event, tmp_path):
    words = ("verify", built, "--truth")
    assert (
        "is in WGS 84, the cube in EPSG:32642"
        in cube_command(*words, small_event / "dem.tif").error
    )
    with rasterio.open(small_event / "truth.tif") as file:
        profile, classes = file.profile, file.read()
    a, b, c, d, e, f, *_ = profile["transform"]
    others = {
        "the cube in EPSG:32642; warp": {"crs": "EPSG:32643"},  # the same numbers, 600 km away
        "is not on the cube's grid": {"transform": rasterio.Affine(a, b, c + 3, d, e, f)},
    }
    for number, (told, change) in enumerate(others.items()):
        path = tmp_path / f"truth{number}.tif"
        with rasterio.open(path, "w", **{**profile, **change}) as file:
            file.write(classes)
        assert told in cube_command(*words, path).error


def test_simulate_into_an_existing_folder_is_refused(cube_command, own_event, tree):
    before = tree(own_event)
    assert "exists already" in cube_command("simulate", "--small", own_event).error
    assert tree(own_event) == before


def test_verbose_shows_the_traceback(run_cube):
    found = run_cube("-v", "build", "--event", "nowhere")
    assert found.returncode == 1
    assert "Traceback" in found.stderr


def test_import_is_light():
    script = (
        "import sys, cube, cube.cli; "
        "print([m for m in ('torch', 'dask', 'xarray', 'numba', 'zarr') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.stdout.strip() == "[]", found.stderr


def test_help_needs_no_heavy_library():
    script = (
        "import sys; sys.argv = ['cube', '--help']\n"
        "from cube.cli import main\n"
        "try:\n    main()\nfinally:\n"
        "    print('HEAVY', [m for m in ('torch', 'dask', 'xarray') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "HEAVY []" in found.stdout, found.stderr


def test_building_needs_no_torch(run_cube, built):
    script = "import sys, cube, cube.readers.stac, pipelines.build\nprint('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.stdout.strip() == "False", found.stderr


@pytest.mark.parametrize("name", cube.__all__)
def test_every_public_name_resolves(name):
    assert getattr(cube, name) is not None


def test_an_unknown_name_of_the_package_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        cube.nonsense  # noqa: B018


@pytest.mark.parametrize("module", ["cube", "cube.errors", "pipelines.api"])
def test_exported_names_exist(module):
    loaded = importlib.import_module(module)
    assert [name for name in loaded.__all__ if not hasattr(loaded, name)] == []


def test_python_door_builds_what_the_command_builds(built, small_event, tmp_path, tree):
    ds = cube.build(
        event=str(small_event / "event.toml"),
        source=str(small_event),
        hand="none",
        out=str(tmp_path / "cube.zarr"),
    )
    assert ds.sizes["time"] == 4
    assert tree(tmp_path / "cube.zarr") == tree(built)


def test_python_door_writes_nothing_when_it_plans(small_event, tmp_path):
    plan = cube.plan(
        event=str(small_event / "event.toml"),
        source=str(small_event),
        out=str(tmp_path / "cube.zarr"),
    )
    assert len(plan.passes) == 4
    assert list(tmp_path.iterdir()) == []


def test_errors_are_one_tree():
    errors = importlib.import_module("cube.errors")
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), errors.CubeError)


def test_paths_may_hold_spaces_and_accents(build, small_event, tmp_path):
    out = Path(tmp_path / "für München" / "cube 1.zarr")
    build(small_event, out, "--resolution", 40, "--model", "none").fine()
    assert (out / "zarr.json").is_file()
