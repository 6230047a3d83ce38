"""``cube build --product slc`` and ``cube coherence``: whole cubes, and stopped ones.

Pixels are simulated on real annotations.
"""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import xarray as xr
import zarr
from matplotlib import pyplot as plt
from three_dates import BOX, DAYS, tree

import cube
from cube.errors import PlanError


def test_a_cube_of_complex_images(images):
    ds = cube.open_cube(images)
    assert {"slc_vv", "slc_vh", "dem", "mask", "incidence_angle", "rtc_anf"} == set(ds.data_vars)
    assert ds.slc_vv.dtype == np.complex64
    assert ds.slc_vv.dims == ("time", "y", "x")
    assert list(ds.role.values) == ["before", "before", "during"]
    assert np.isfinite(ds.slc_vv.values).all()
    assert not (ds.mask.values & 4).any()
    places = ds.sensor_position.values
    assert np.linalg.norm(places[1] - places[0]) == pytest.approx(40, abs=1)
    assert np.linalg.norm(places[2] - places[0]) == pytest.approx(80, abs=1)
    plain = xr.open_zarr(images)
    assert np.isnan(zarr.open_array(f"{images}/slc_vv").fill_value)
    assert plain.slc_vv.attrs["polarisation"] == "VV"


def test_coherence_between_any_two_dates_is_one_call(images):
    ds = cube.open_cube(images)
    east = ds.x > float(ds.x.mean()) + 100
    first, last = ds.slc_vv.isel(time=0), ds.slc_vv.isel(time=2)
    found = cube.coherence(first, last)
    assert found.chunks is not None
    assert 55 < found.attrs["looks"] < 70
    # 80 m of baseline, 12 looks and an orbit that drifts: near 1 where nothing changed
    assert float(found.where(east).mean()) > 0.95
    assert float(found.where(ds.x < float(ds.x.mean()) - 100).mean()) < 0.16


def test_coherence_is_added_to_the_cube(own_images, cube_command):
    said = cube_command("coherence", own_images).fine().out
    assert "coherence of 2 pairs, change for 1 passes, window 11 x 11" in said
    ds = cube.open_cube(own_images)
    assert ds.coherence_vv.dims == ("pair", "y", "x")
    lazy = cube.coherence_pairs(cube.open_cube(own_images))
    np.testing.assert_array_equal(ds.coherence_vv.values, lazy.coherence_vv.values)
    for name in ("temporal_baseline", "perpendicular_baseline", "primary_time", "pair_orbit"):
        np.testing.assert_array_equal(ds[name].values, lazy[name].values)
    np.testing.assert_allclose(ds.temporal_baseline, 12, atol=1e-4)
    np.testing.assert_allclose(ds.perpendicular_baseline, 40 * np.cos(np.radians(29)), atol=2)
    change = cube.coherence_change(cube.open_cube(own_images))
    stored = ds.coherence_change_vv.isel(time=[2]).values
    np.testing.assert_allclose(stored, change.coherence_change_vv.values, atol=1e-6)
    assert np.isnan(ds.coherence_change_vv.isel(time=[0, 1])).all()
    west = ds.x < float(ds.x.mean()) - 100
    assert float(ds.coherence_change_vv.isel(time=2).where(west).mean()) < -0.7


def test_coherence_that_is_there_is_not_made_again(own_images, cube_command):
    cube_command("coherence", own_images).fine()
    before = tree(own_images)
    assert "nothing to do" in cube_command("coherence", own_images).fine().err
    assert tree(own_images) == before
    error = cube_command("coherence", own_images, "--window", "5,5").error
    assert "holds coherence of 2 pairs (consecutive, window 11,11)" in error
    assert tree(own_images) == before
    cube_command("coherence", own_images, "--window", "5,5", "--overwrite").fine()
    assert cube.open_cube(own_images).coherence_vv.attrs["window"] == [5, 5]
    cube_command("coherence", own_images, "--overwrite").fine()
    assert tree(own_images) == before


def test_stopped_coherence_goes_on_and_ends_with_the_same_bytes(
    own_images, cube_command, monkeypatch
):
    import pipelines.coherence as pipeline

    whole = own_images.with_name("whole.zarr")
    shutil.copytree(own_images, whole)
    cube_command("coherence", whole, "--pairs", "within:24").fine()
    flag = pipeline.set_flag

    def stop(path, name, index, value=True):
        flag(path, name, index, value)
        if index == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "set_flag", stop)
    with pytest.raises(KeyboardInterrupt):
        pipeline.add_coherence(own_images, pairs="within:24")
    monkeypatch.undo()
    ds = cube.open_cube(own_images)
    assert ds.sizes["pair"] == 2
    assert "coherence_change_vv" not in ds
    assert "resuming" in cube_command("coherence", own_images, "--pairs", "within:24").fine().err
    assert tree(own_images) == tree(whole)


def test_a_stopped_build_goes_on_and_ends_with_the_same_bytes(
    dates, images, build_images, tmp_path, monkeypatch
):
    from pipelines import stages
    from pipelines.build import build as pipeline
    from pipelines.request import Request
    from pipelines.runner import Progress

    flag = stages.set_flag

    def stop(path, name, index, value=True):
        flag(path, name, index, value)
        raise KeyboardInterrupt

    out = tmp_path / "cube.zarr"
    request = Request(
        bbox=tuple(map(float, BOX.split(","))), before=DAYS[1], during=DAYS[3], product="slc",
        source=str(dates), dem=str(dates / "dem.tif"), out=str(out), scratch=str(tmp_path / "s"),
    )  # fmt: skip
    monkeypatch.setattr(stages, "set_flag", stop)
    with pytest.raises(KeyboardInterrupt):
        pipeline(request, Progress(quiet=True))
    monkeypatch.undo()
    assert cube.open_cube(out).sizes["time"] == 1
    assert "resuming" in build_images(dates, out).fine().err
    assert tree(out) == tree(images)


def test_blocks_and_processes_change_no_byte(dates, images, build_images, tmp_path):
    out = tmp_path / "cube.zarr"
    build_images(dates, out, "--scheduler", "processes", "--workers", 2).fine()
    assert tree(out) == tree(images)


def test_kuro_siwos_layers_are_phase_and_amplitude_of_numbers(dates, build_images, tmp_path):
    out = tmp_path / "cube.zarr"
    build_images(dates, out, "--preset", "kurosiwo-slc").fine()
    ds = cube.open_cube(out)
    names = ["Phase_VV", "Ampl_VH", "Ampl_VV", "Phase_VH"]
    assert set(names) <= set(ds.data_vars)
    assert ds.attrs["floodcube"]["identity"]["crs"] == "EPSG:3857"
    for name in names:
        assert ds[name].dtype == np.float32
        assert np.isfinite(ds[name].values).all()
    # digital numbers of beta nought 0.2 by a gain of 237: root mean square 106, its mean less by
    # the root of pi / 4, and by what bilinear interpolation takes from single looks
    assert 60 < float(ds.Ampl_VV.mean()) < 106
    phase = ds.Phase_VV.values
    assert np.abs(phase).max() <= np.pi
    # uniform phases have pi / sqrt(3) = 1.81 rad; means of four of them have less
    assert 0.8 < phase.std() < 1.81


def test_a_picture_shows_power_and_coherence(own_images, cube_command, tmp_path):
    cube_command("quicklook", own_images, tmp_path / "power.png").fine()
    cube_command("coherence", own_images).fine()
    cube_command("quicklook", own_images, tmp_path / "pair.png").fine()
    shapes = [plt.imread(tmp_path / name).shape for name in ("power.png", "pair.png")]
    assert shapes[1][1] == pytest.approx(1.5 * shapes[0][1], rel=0.05)  # three panels, not two


def test_a_lazy_stack_is_the_cube_that_would_be_built(dates, images, tmp_path):
    lazy = cube.stack(
        bbox=tuple(map(float, BOX.split(","))), before=DAYS[1], during=DAYS[3],
        source=str(dates), dem=str(dates / "dem.tif"), scratch=str(tmp_path),
    )  # fmt: skip
    stored = cube.open_cube(images)
    assert lazy.slc_vv.chunks is not None
    for name in ("x", "y", "time", "relative_orbit", "sensor_position"):
        np.testing.assert_array_equal(lazy[name].values, stored[name].values)
    assert [str(role) for role in lazy.role.values] == ["before", "before", "during"]
    assert lazy.slc_vv.attrs == stored.slc_vv.attrs
    one = lazy.slc_vh.isel(time=1).compute()
    assert one.values.tobytes() == stored.slc_vh.isel(time=1).values.tobytes()
    pair = cube.coherence_pairs(lazy, "reference:2023-09-28")
    np.testing.assert_array_equal(
        pair.coherence_vv.isel(pair=0).values,
        cube.coherence(stored.slc_vv.isel(time=0), stored.slc_vv.isel(time=2)).values,
    )
    with pytest.raises(PlanError, match="product 'grd' has no lazy stack"):
        cube.stack(product="grd", event="demo")
