"""Complex images added to a cube of backscatter: what joins what, stopped, refused.

All products are simulated.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import cube
from cube.simulate import simulate_event
from pipelines import images as pipeline
from pipelines.build import build as run
from pipelines.request import Request
from pipelines.runner import Progress


@pytest.fixture(scope="session")
def both(tmp_path_factory) -> Path:
    """Folder of an event with products of both kinds; read only by agreement."""
    folder = tmp_path_factory.mktemp("both") / "event"
    return simulate_event(folder, small=True, products=("grd", "slc")).directory


@pytest.fixture(scope="session")
def build(cube_command, scratch):
    def with_options(event: Path, out: Path, *more: object):
        return cube_command(
            "build", "--event", event / "event.toml", "--source", event, "--hand", "none",
            "--scratch", scratch, "--out", out, *more,
        )  # fmt: skip

    return with_options


@pytest.fixture(scope="session")
def detected(both, build, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("detected") / "cube.zarr"
    build(both, out).fine()
    return out


@pytest.fixture
def own(detected, tmp_path) -> Path:
    return Path(shutil.copytree(detected, tmp_path / "cube.zarr"))


def tree(path: Path) -> dict[str, bytes]:
    files = sorted(one for one in path.rglob("*") if one.is_file())
    return {str(one.relative_to(path)): one.read_bytes() for one in files}


def test_images_join_the_passes_of_their_data_takes(both, build, own, tmp_path):
    before = cube.open_cube(own).load()
    build(both, own, "--product", "slc").fine()
    ds = cube.open_cube(own)
    assert ds.sizes["time"] == 4
    assert ds.slc_complete.values.tolist() == [False, True, True, True]
    assert np.isnan(ds.slc_vv.isel(time=0)).all()
    assert np.isfinite(ds.slc_vv.isel(time=[1, 2, 3])).all()
    for name in before.data_vars:
        np.testing.assert_array_equal(before[name], ds[name])
    build(both, tmp_path / "alone.zarr", "--product", "slc").fine()
    alone = cube.open_cube(tmp_path / "alone.zarr")
    for name in ("x", "y"):
        np.testing.assert_array_equal(ds[name], alone[name])
    joined = ds.slc_vv.isel(time=[1, 2, 3]).values
    assert joined.tobytes() == alone.slc_vv.values.tobytes()
    np.testing.assert_array_equal(ds.sensor_position.values[1:], alone.sensor_position.values)
    # what one product shows of the power, the other does: speckle apart, which is another one
    power = (abs(ds.slc_vv.isel(time=3)) ** 2 / ds.rtc_anf.isel(track=0)).coarsen(
        y=24, x=24, boundary="trim"
    )
    likeness = xr.corr(
        np.log(power.mean()), np.log(ds.vv.isel(time=3).coarsen(y=24, x=24, boundary="trim").mean())
    )
    assert float(likeness) > 0.9


def test_coherence_lies_beside_backscatter(both, build, own, cube_command):
    build(both, own, "--product", "slc").fine()
    said = cube_command("coherence", own).fine().out
    assert "coherence of 2 pairs, change for 1 passes" in said
    ds = cube.open_cube(own)
    flooded = (ds.flood.isel(time=3) == 2).values
    change = ds.coherence_change_vv.isel(time=3).values
    assert np.nanmean(change[flooded]) < np.nanmean(change[~flooded]) - 0.15
    assert cube.coherence_pairs(ds).sizes["pair"] == 2
    assert {"flood", "coherence_vv"} <= set(
        json.loads(cube_command("info", own, "--json").fine().out)["variables"]
    )


def test_what_is_there_is_not_added_again(both, build, own):
    build(both, own, "--product", "slc").fine()
    before = tree(own)
    assert "nothing to do" in build(both, own, "--product", "slc").fine().err
    assert tree(own) == before
    assert "nothing to do" in build(both, own).fine().err
    assert tree(own) == before


def test_a_stopped_addition_goes_on_and_ends_with_the_same_bytes(
    both, build, own, tmp_path, monkeypatch
):
    whole = Path(shutil.copytree(own, tmp_path / "whole.zarr"))
    build(both, whole, "--product", "slc").fine()
    flag = pipeline.set_flag

    def stop(path, name, index, value=True):
        flag(path, name, index, value)
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "set_flag", stop)
    request = Request(
        event=str(both / "event.toml"), source=str(both), product="slc", out=str(own),
        scratch=str(tmp_path / "scratch"),
    )  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        run(request, Progress(quiet=True))
    monkeypatch.undo()
    assert cube.open_cube(own).slc_complete.values.tolist() == [False, True, False, False]
    assert "resuming complex images" in build(both, own, "--product", "slc").fine().err
    assert tree(own) == tree(whole)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--resolution", "20"), "its transform is"),
        (("--crs", "EPSG:3857"), "its crs is"),
        (("--preset", "kurosiwo-slc"), "its crs is"),
        (("--preset", "kurosiwo-slc", "--crs", "utm"), "preset kurosiwo-slc@1 goes into a cube of"),
    ],
)
def test_images_that_do_not_fit_are_one_line(both, build, own, words, says):
    before = tree(own)
    assert says in build(both, own, "--product", "slc", *words).error
    assert tree(own) == before


def test_images_of_other_passes_are_one_line(both, build, own, tmp_path):
    other = Path(shutil.copytree(both, tmp_path / "other"))
    for path in (other / "sentinel-1-slc").rglob("*.json"):
        text = path.read_text()
        path.write_text(text.replace('"s1:datatake_id": "', '"s1:datatake_id": "9'))
    error = build(other, own, "--product", "slc").error
    assert "none of its 4 passes is of a data take of the 3 passes with complex images" in error


def test_an_unfinished_cube_takes_no_images(both, build, own):
    import zarr

    zarr.open_array(f"{own}/complete", mode="r+")[1] = False
    error = build(both, own, "--product", "slc").error
    assert "is not finished; run the build of its backscatter again first" in error
