"""What lies on disk: fill values, metadata, and how other software opens it."""

from __future__ import annotations

import getpass
import json
import re
import socket
from pathlib import Path

import dask
import numpy as np
import odc.geo.xr  # noqa: F401  # the accessor `odc`
import pytest
import rioxarray  # noqa: F401  # the accessor `rio`
import xarray as xr
import zarr

from cube.errors import StoreError
from cube.readers.window import Window
from cube.schema import FORMAT_VERSION
from cube.store.layers import StoredLayer
from cube.store.opening import open_cube
from cube.store.write import set_flag
from pipelines.build import _create
from pipelines.plan import plan_cube
from pipelines.request import Request
from pipelines.resolve import open_source, resolve

CLASSES = ("flood", "flood_extent", "permanent_water", "mask")


@pytest.fixture(scope="session")
def template(small_event: Path, scratch: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unwritten cube, as the pipeline creates it."""
    request = Request(
        event=str(small_event / "event.toml"),
        source=str(small_event),
        hand="none",
        scratch=str(scratch),
        out=str(tmp_path_factory.mktemp("template") / "cube.zarr"),
    )
    resolved = resolve(request)
    plan, passes, _ = plan_cube(request, resolved, open_source(resolved, request))
    _create(resolved, plan, passes)
    return resolved.out


# --- unwritten


@pytest.mark.parametrize(
    "name",
    ["dem", "incidence_angle", "vv", "vh", "reference_vv", "water_probability", "flood_duration"],
)
def test_an_unwritten_measure_reads_nan(template, name):
    layer = xr.open_zarr(template)[name]
    assert layer.dtype == "float32"
    assert np.isnan(layer.values).all()


@pytest.mark.parametrize(
    ("name", "fill"), [("flood", 255), ("flood_extent", 255), ("permanent_water", 255), ("mask", 0)]
)
def test_an_unwritten_class_reads_unknown(template, name, fill):
    layer = xr.open_zarr(template)[name]
    assert layer.dtype == "uint8"
    assert (layer.values == fill).all()


def test_an_unwritten_first_flood_reads_nat(template):
    assert np.isnat(xr.open_zarr(template)["flood_first"].values).all()


@pytest.mark.parametrize("name", ["complete", "backscatter_complete"])
def test_unwritten_passes_are_not_complete(template, name):
    flags = xr.open_zarr(template)[name]
    assert flags.dtype == bool
    assert not flags.values.any()


@pytest.mark.parametrize("name", CLASSES)
def test_classes_carry_no_fill_attribute(template, name):
    attrs = json.loads((template / name / "zarr.json").read_text())["attributes"]
    assert "_FillValue" not in attrs


def test_times_decode_to_the_plan(template):
    ds = xr.open_zarr(template)
    planned = ds.attrs["floodcube"]["passes"]
    np.testing.assert_array_equal(
        ds["time"].values, np.array([one["time"] for one in planned], "datetime64[ns]")
    )


def test_an_unwritten_cube_shows_no_pass(template):
    assert open_cube(template).sizes["time"] == 0


def test_an_unwritten_cube_shows_its_passes_on_request(template):
    assert open_cube(template, incomplete=True).sizes["time"] == 4


def test_an_unwritten_cube_has_no_summary(template):
    assert "flood_extent" not in open_cube(template)


# --- finished


def test_plain_xarray_opens_it_without_a_warning(built):
    ds = xr.open_zarr(built)
    assert set(ds.sizes) == {"time", "track", "y", "x"}


def test_the_line_of_the_readme_gives_what_open_cube_gives(built):
    ds = xr.open_zarr(built)
    plain = ds.sel(time=ds.complete).sortby("time")
    shown = open_cube(built)
    xr.testing.assert_equal(plain["flood"], shown["flood"])


def test_track_layers_are_picked_by_pass(built):
    ds = open_cube(built)
    assert ds.incidence_angle.sel(track=ds.relative_orbit).dims == ("time", "y", "x")


def test_rioxarray_sees_crs_and_transform(built):
    ds = open_cube(built)
    planned = ds.attrs["floodcube"]["identity"]
    assert ds["vv"].rio.crs.to_epsg() == 32642
    np.testing.assert_allclose(tuple(ds["vv"].rio.transform())[:6], planned["transform"])


def test_odc_geo_sees_the_grid(built):
    box = open_cube(built)["vv"].odc.geobox
    assert box.crs.epsg == 32642
    assert box.resolution.x == 10


def test_metadata_describe_the_arrays_and_nothing_else(built):
    root = json.loads((built / "zarr.json").read_text())
    listed = root["consolidated_metadata"]["metadata"]
    found = {
        path.parent.relative_to(built).as_posix(): json.loads(path.read_text())
        for path in built.rglob("zarr.json")
        if path.parent != built
    }
    assert set(listed) == set(found)
    for name, metadata in found.items():
        assert listed[name]["attributes"] == metadata["attributes"], name


def test_a_finished_cube_has_no_journal(built):
    assert not (built / "progress").exists()


def test_summary_names_its_passes(built):
    ds = open_cube(built)
    assert len(ds.attrs["summary_of"]) == ds.sizes["time"] == 4


def test_a_summary_of_other_passes_is_not_shown(own_cube):
    set_flag(own_cube, "complete", 1, value=False)
    ds = open_cube(own_cube)
    assert ds.sizes["time"] == 3
    assert not {"flood_extent", "flood_first", "flood_duration"} & set(ds)


def test_passes_are_shown_in_order_of_time(own_cube):
    times = zarr.open_array(own_cube / "time", mode="r+")
    times[:] = times[:][::-1]
    shown = open_cube(own_cube)["time"].values
    assert (np.diff(shown) > np.timedelta64(0)).all()


def test_opening_computes_no_pixels(built):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("computed while only opened")

    with dask.config.set(scheduler=refuse):
        assert open_cube(built)["vv"].chunks is not None


def test_power_is_linear_and_positive(built):
    power = open_cube(built)["vv"].values
    assert np.nanmin(power) > 0
    assert 0.01 < np.nanmedian(power) < 1


def test_every_variable_has_a_name_and_units_or_flags(built):
    for name, variable in xr.open_zarr(built).data_vars.items():
        described = {"long_name", "standard_name"} & set(variable.attrs)
        measured = {"units", "flag_values", "flag_masks"} & set(variable.attrs)
        decoded = {"units"} & set(variable.encoding)
        assert described, name
        assert measured or decoded, name


def test_the_store_tells_nothing_of_where_it_was_made(built, small_event, scratch):
    words = [socket.gethostname(), getpass.getuser()]
    places = [str(built.parent), str(small_event), str(scratch), str(Path.cwd())]
    secret = re.compile("|".join([*map(re.escape, places), *(rf"\b{w}\b" for w in words), "://"]))
    texts = [*built.rglob("zarr.json"), *built.glob("scene_ids/c/*"), *built.glob("platform/c/*")]
    assert len(texts) > 20
    for path in texts:
        assert secret.search(path.read_bytes().decode("latin-1")) is None, path


def test_the_store_holds_no_time_of_the_build(built):
    year = np.datetime64("now").astype("datetime64[Y]").astype(str)
    for path in built.rglob("zarr.json"):
        assert f"{year}-" not in path.read_text()


def test_the_plan_names_the_dem_without_its_place(built):
    dem = open_cube(built).attrs["floodcube"]["identity"]["dem"]
    assert set(dem) == {"name", "sha256", "datum", "geoid", "geoid_grid"}
    assert dem["name"] == "dem.tif"


def test_the_format_is_the_one_of_the_schema(built):
    assert open_cube(built).attrs["floodcube"]["format"] == FORMAT_VERSION


def test_opening_nothing_says_how_to_build(tmp_path):
    with pytest.raises(StoreError, match="no such cube; build one"):
        open_cube(tmp_path / "none.zarr")


def test_a_layer_beyond_the_grid_is_its_fill(built):
    layer = StoredLayer(str(built), "flood", 3)
    width = layer.shape[1]
    read = layer.read(Window(-2, width - 2, 3, width + 2))
    assert (read[:2] == 255).all()
    assert (read[:, 2:] == 255).all()
    assert (read[2:, :2] != 255).all()
