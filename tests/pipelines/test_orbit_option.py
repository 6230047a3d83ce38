"""Builds with orbit files: the same as without where they say the same, and never with others."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from orbit_files import annotated, write_orbit
from stopping import stop, wait_for

COARSE = ("--resolution", 40, "--model", "none")


@pytest.fixture(scope="session")
def own_orbits(small_event: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of orbit files made from the products' own state vectors."""
    folder = tmp_path_factory.mktemp("orbits")
    for path in sorted(small_event.glob("safe/*.SAFE/annotation/*-vv-*.xml")):
        write_orbit(folder, annotated(path.read_bytes()))
    assert len(list(folder.iterdir())) >= 4
    return folder


def kept(cube: Path) -> dict:
    return json.loads((cube / "zarr.json").read_text())["attributes"]["floodcube"]


def test_orbit_files_of_the_annotations_give_the_same_cube(
    build, small_event, built, own_orbits, tmp_path
):
    out = tmp_path / "cube.zarr"
    build(small_event, out, "--orbit", own_orbits).fine()
    ours, theirs = (zarr.open_group(path, mode="r") for path in (out, built))
    for name in ("vv", "vh", "incidence_angle"):
        # fewer vectors of one path: micrometres; next to nothing is left by noise removal
        np.testing.assert_allclose(ours[name][...], theirs[name][...], rtol=1e-4, atol=1e-7)
    assert (ours["flood"][...] == theirs["flood"][...]).mean() > 0.9999
    plan = kept(out)
    assert plan["identity"]["orbit"] == "files"
    assert kept(built)["identity"]["orbit"] == "annotation"
    names = {path.stem for path in own_orbits.iterdir()}
    for one in plan["passes"]:
        assert len(one["orbits"]) == len(one["scenes"])
        assert set(one["orbits"]) <= names
    assert str(own_orbits) not in (out / "zarr.json").read_text()


def test_an_orbit_beside_moves_the_picture(build, small_event, built, own_orbits, tmp_path, tree):
    for path in sorted(small_event.glob("safe/*.SAFE/annotation/*-vv-*.xml")):
        write_orbit(tmp_path, annotated(path.read_bytes()).beside(200.0))
    out = tmp_path / "cube.zarr"
    build(small_event, out, "--orbit", tmp_path).fine()
    ours, theirs = tree(out), tree(built)
    assert ours["vv/c/0/0/0"] != theirs["vv/c/0/0/0"]


def test_a_plan_names_the_files_and_not_their_place(
    cube_command, asked, small_event, own_orbits, tmp_path
):
    words = asked(small_event, tmp_path / "cube.zarr", "--json", "--orbit", own_orbits)
    found = json.loads(cube_command("plan", *words).fine().out)
    assert all(name.startswith("S1A_OPER_AUX_POEORB") for one in found["passes"]
               for name in one["orbits"])  # fmt: skip
    assert str(own_orbits) not in json.dumps(found)
    words = asked(small_event, tmp_path / "cube.zarr", "--orbit", own_orbits)
    lines = cube_command("plan", *words, "--path-delay", "standard").fine().out
    assert "orbits    4 files: S1A_OPER_AUX_POEORB" in lines
    assert "delay     ranges through a standard troposphere" in lines


def test_a_cube_goes_on_with_the_orbits_it_was_begun_with(
    start_cube, build, asked, small_event, own_orbits, tmp_path, tree
):
    orbits, out = tmp_path / "orbits", tmp_path / "cube.zarr"
    shutil.copytree(own_orbits, orbits)
    words = (*COARSE, "--orbit", orbits)
    process = start_cube("build", *asked(small_event, out, *words))
    wait_for(process, (out / "progress" / "surface_512").exists)
    stop(process, signal.SIGKILL)
    if not (out / "progress").exists():
        pytest.fail("the build ended before it could be stopped")
    # later files that a search would prefer, and one that was used is gone
    for path in sorted(small_event.glob("safe/*.SAFE/annotation/*-vv-*.xml")):
        write_orbit(orbits, annotated(path.read_bytes()).beside(500.0), created="2025-01-01T00:00")
    gone = orbits / f"{kept(out)['passes'][1]['orbits'][0]}.EOF"
    gone.rename(tmp_path / "gone")
    error = build(small_event, out, *words).error
    assert f"no longer holds {gone.name}, which the cube was begun with; put it back" in error
    (tmp_path / "gone").rename(gone)
    build(small_event, out, *words).fine()
    whole = tmp_path / "whole.zarr"
    build(small_event, whole, *COARSE, "--orbit", own_orbits).fine()
    assert tree(out) == tree(whole)


def test_a_cube_without_orbit_files_is_not_gone_on_with_them(
    build, small_event, own_cube, own_orbits, tree
):
    before = tree(own_cube)
    error = build(small_event, own_cube, "--orbit", own_orbits).error
    assert 'orbit is "annotation", asked for "files"' in error
    error = build(small_event, own_cube, "--path-delay", "standard").error
    assert 'path_delay is "none", asked for "standard"' in error
    assert tree(own_cube) == before


@pytest.mark.parametrize("wrong", ["day", "satellite"])
def test_orbits_that_do_not_belong_are_one_line(build, small_event, tmp_path, wrong):
    folder, out = tmp_path / "orbits", tmp_path / "cube.zarr"
    folder.mkdir()
    annotation = sorted(small_event.glob("safe/*.SAFE/annotation/*-vv-*.xml"))[0]
    vectors = annotated(annotation.read_bytes())
    vectors = vectors.later(24) if wrong == "day" else replace(vectors, mission="Sentinel-1C")
    write_orbit(folder, vectors)
    error = build(small_event, out, "--orbit", folder).error
    assert f"{folder}: no orbit of sentinel-1a from 2022-" in error
    assert f"it holds POEORB of sentinel-1{'a' if wrong == 'day' else 'c'}, 2022-" in error
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--orbit", "nowhere"], "--orbit nowhere: no such file or folder; check the path"),
        (["--orbit", "x" * 5000], "no such file or folder; check the path"),
        (["--orbit", "."], "none of its 0 files .EOF holds a precise or restituted orbit"),
        (["--path-delay", "wet"], "unknown path delay 'wet'; choose none or standard"),
        (["--product", "rtc", "--orbit", "."], "--orbit .: terrain-corrected products lie on"),
        (["--product", "rtc", "--path-delay", "standard"], "--path-delay standard: terrain-corr"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_an_option_that_cannot_be_met_is_refused(
    build, small_event, tmp_path, monkeypatch, options, says
):
    monkeypatch.chdir(tmp_path)
    assert says in build(small_event, tmp_path / "cube.zarr", *options).error
    assert list(tmp_path.iterdir()) == []
