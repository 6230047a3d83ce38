"""Radar images and DEMs that lack something: a documented result, or one clear line.

All products are simulated.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from grounds import write_dem
from pyproj import Transformer
from rasterio.warp import transform_bounds
from references import look_up, read_tables
from scipy.ndimage import binary_dilation, binary_erosion, distance_transform_cdt

from cube.schema import Flag
from cube.simulate import simulate_product
from tests.pipelines.conftest import AROUND, BOX, IMAGE, LAT, LEVEL_M, LON, add_product, gentle

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
WINDOWS = ("--before", "2022-07-01/2022-08-29")


def opened(path: Path) -> xr.Dataset:
    with xr.open_zarr(path) as ds:
        return ds.load()


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.rglob(pattern)
    return found


def rewrite(path: Path, old: str, new: str) -> None:
    changed, count = re.subn(old, new, path.read_text(), flags=re.DOTALL)
    assert count, f"{path} does not hold {old}"
    path.write_text(changed)


def repaint(path: Path, change) -> np.ndarray:
    """Change the digital numbers of a measurement in place."""
    with rasterio.open(path, "r+") as file:
        values = file.read(1)
        change(values)
        file.write(values, 1)
    return values


# --- DEMs


@pytest.mark.parametrize("nodata", [None, -32768.0], ids=["NaN", "declared"])
def test_voids_are_unknown_with_four_pixels_around_and_spoil_nothing_else(
    radar, radar_cube, radar_build, tmp_path, nodata
):
    rng = np.random.default_rng(8)
    places = rng.uniform(-0.014, 0.014, (25, 2))

    def holed(lat, lon):
        height = gentle(lat, lon)
        for east, north in places:
            near = (np.abs(lon - LON - east) < 0.0007) & (np.abs(lat - LAT - north) < 0.0005)
            height = np.where(near, np.nan, height)
        return height

    dem = write_dem(tmp_path / "dem.tif", holed, AROUND, 1 / 3600, nodata=nodata)
    radar_build(radar, tmp_path / "cube.zarr", "--dem", dem).fine()
    ds, whole = opened(tmp_path / "cube.zarr"), opened(radar_cube)
    away = distance_transform_cdt(np.isfinite(ds.dem.values), metric="chessboard")
    assert 0.01 < (away == 0).mean() < 0.1
    for name in ("rtc_anf", "vv", "vh"):
        np.testing.assert_array_equal(np.isnan(ds[name].values[0]), away <= 4)
    assert not (ds["mask"].values[0] & (Flag.SHADOW | Flag.LAYOVER)).any()
    # farther cells hold all facets but for what the void may fold over them
    error = np.abs(10 * np.log10(ds.rtc_anf.values[0] / whole.rtc_anf.values[0]))
    assert error[away >= 5].max() < 0.01


def test_without_flattening_only_voids_are_unknown(radar, radar_build, tmp_path):
    def holed(lat, lon):
        return np.where(np.hypot(lat - LAT, lon - LON) < 0.002, np.nan, gentle(lat, lon))

    dem = write_dem(tmp_path / "dem.tif", holed, AROUND, 1 / 3600)
    out = tmp_path / "cube.zarr"
    radar_build(radar, out, "--dem", dem, "--backscatter", "gamma0").fine()
    ds = opened(out)
    assert "rtc_anf" not in ds
    np.testing.assert_array_equal(np.isnan(ds.vv.values[0]), np.isnan(ds.dem.values))
    assert 500 < np.isnan(ds.dem.values).sum() < 5000


METRES = {"UTM": ("EPSG:32642", 30.0), "web mercator": ("EPSG:3857", 34.0)}


@pytest.mark.parametrize(("crs", "step"), METRES.values(), ids=METRES.keys())
def test_a_dem_in_metres_gives_the_cube_of_one_in_degrees(
    radar, radar_cube, radar_build, tmp_path, crs, step
):
    left, bottom, right, top = transform_bounds("EPSG:4326", crs, *AROUND)
    size = round((right - left) / step), round((top - bottom) / step)
    bounds = (left, bottom, left + size[0] * step, bottom + size[1] * step)
    dem = write_dem(tmp_path / "dem.tif", gentle, bounds, step, crs)
    radar_build(radar, tmp_path / "cube.zarr", "--dem", dem).fine()
    ds, other = opened(tmp_path / "cube.zarr"), opened(radar_cube)
    # two samplings, each bilinear between 30 m: 40 m / (282 m)^2 x (30 m)^2 / 8 is 0.06 m an axis
    np.testing.assert_allclose(ds.dem, other.dem, rtol=0, atol=0.25)
    anf = 10 * np.log10(ds.rtc_anf.values / other.rtc_anf.values)
    assert anf.std() < 0.05  # slopes differ by 0.06 m in 30 m: 0.1 degree
    assert np.isfinite(ds.vv.values).all()


def test_heights_above_a_geoid_are_turned_ellipsoidal(radar, radar_build, data_dir, tmp_path):
    """Against NGA's own grid, read here; the DEM states its datum in its CRS, in metres."""
    with rasterio.open(data_dir / "geoid" / "egm96_15.gtx") as file:
        (above,) = next(iter(file.sample([(LON, LAT)])))
    assert abs(above) > 20

    def orthometric(lat, lon):
        return np.full(np.shape(lat), LEVEL_M - above)

    bounds = (410_000, 3_045_000, 430_000, 3_062_000)
    dem = write_dem(tmp_path / "dem.tif", orthometric, bounds, 50.0, "EPSG:32642+5773")
    out = tmp_path / "cube.zarr"
    radar_build(radar, out, "--dem", dem, "--dem-datum", "egm96").fine()
    ds = opened(out)
    # the geoid rises by a metre in 25 km there; the box reaches 2 km, and a node of the grid 13
    np.testing.assert_allclose(ds.dem, LEVEL_M, rtol=0, atol=0.8)


def test_a_dem_that_ends_with_the_area_is_enough(radar, radar_cube, radar_build, tmp_path):
    step = 1 / 4000
    west, south, east, north = box = tuple(map(float, BOX.split(",")))
    dem = write_dem(tmp_path / "dem.tif", gentle, box, step)
    radar_build(radar, tmp_path / "cube.zarr", "--dem", dem).fine()
    ds, whole = opened(tmp_path / "cube.zarr"), opened(radar_cube)
    # what lies beyond the grid is missing too
    wide = [np.pad(at.values, 9, "linear_ramp", end_values=end) for at, end in (
        (ds.x, (float(ds.x[0]) - 90, float(ds.x[-1]) + 90)),
        (ds.y, (float(ds.y[0]) + 90, float(ds.y[-1]) - 90)),
    )]  # fmt: skip
    to_degrees = Transformer.from_crs(ds.spatial_ref.crs_wkt, "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(*np.meshgrid(*wide))
    covered = (west < lon) & (lon < east) & (south < lat) & (lat < north)
    away = distance_transform_cdt(covered, metric="chessboard")[9:-9, 9:-9]
    np.testing.assert_array_equal(np.isnan(ds.dem), away == 0)
    np.testing.assert_array_equal(np.isnan(ds.vv.values[0]), away <= 4)
    assert 0 < (away == 0).mean() < 0.06  # the grid is a box of another projection
    ratio = 10 * np.log10(ds.rtc_anf.values[0] / whole.rtc_anf.values[0])[away > 8]
    assert np.abs(ratio).max() < 0.2  # another sampling of the hills


# --- polarisations


def test_hh_and_hv_are_flattened_without_flood(radar, radar_build, tmp_path):
    add_product(tmp_path, polarisations=("HH", "HV"))
    out = tmp_path / "cube.zarr"
    done = radar_build(tmp_path, out, "--dem", radar / "dem.tif", "--model", "bayes").fine()
    assert "no water or flood layers: model bayes needs vv, found hh, hv" in done.err
    assert "1 passes, no flood layers" in done.out
    ds = opened(out)
    assert not {"vv", "flood", "water_probability"} & set(ds)
    for name, level in (("hh", 10**-1.0), ("hv", 10**-1.7)):
        assert ds[name].attrs["backscatter"] == "gamma0_rtc"
        assert np.isfinite(ds[name].values).all()
        # sigma0 is even here, whatever the slope: gamma0 is that over cos(38 degrees) in the mean
        mean = float(ds[name].mean()) * np.cos(np.radians(38.0))
        assert mean == pytest.approx(level, rel=0.03)


def test_a_product_without_the_polarisation_of_the_others_is_left_out(radar, radar_build, tmp_path):
    for day in ("2022-08-06", "2022-08-18"):
        add_product(tmp_path, day)
    odd = add_product(tmp_path, "2022-08-30", polarisations=("VV",))
    other = add_product(tmp_path, "2022-08-31")
    out = tmp_path / "cube.zarr"
    words = ("--dem", radar / "dem.tif", "--during", "2022-08-30/2022-08-31", *WINDOWS)
    done = radar_build(tmp_path, out, *words).fine()
    assert f"left out {odd.stem}: has vv, most scenes have vv, vh" in done.err
    ds = opened(out)
    assert ds.sizes["time"] == 3
    assert other.stem in ds.scene_ids.values
    assert np.isfinite(ds.vh.values).all()


# --- noise, numbers and edges


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            r'(<noiseRangeLut) count="\d+">[^<]*<',
            r'\1 count="0"><',
            "<noiseRangeVector> lacks noiseRangeLut; the file is incomplete",
        ),
        (
            r"<noiseRangeVector>.*</noiseRangeVector>",
            "",
            "noiseRangeLut: look-up table without vectors",
        ),
    ],
    ids=["empty vectors", "no vector"],
)
def test_noise_without_values_is_one_line(own_radar, radar_build, tmp_path, old, new, says):
    rewrite(only(own_radar, "noise-*-vv-*.xml"), old, new)
    error = radar_build(own_radar, tmp_path / "cube.zarr").error
    assert re.search(rf"noise-s1a-iw-grd-vv-\S+\.xml: {says}", error), error
    assert not (tmp_path / "cube.zarr").exists()


def test_noise_of_zeros_takes_nothing_away(radar, own_radar, radar_build, tmp_path):
    for path in own_radar.rglob("noise-*.xml"):
        text = re.sub(
            r"(<noiseRangeLut[^>]*>)([^<]*)<",
            lambda found: f"{found[1]}{' '.join('0.0' for _ in found[2].split())}<",
            path.read_text(),
        )
        path.write_text(text)
    out = tmp_path / "cube.zarr"
    words = ("--backscatter", "sigma0", "--noise-equivalent")
    radar_build(own_radar, out, *words).fine()
    radar_build(radar, tmp_path / "noisy.zarr", *words).fine()
    ds, noisy = opened(out), opened(tmp_path / "noisy.zarr")
    assert (ds.nesz_vv.values == 0).all()
    assert np.isfinite(ds.vv.values).all()
    found = float((ds.vv - noisy.vv).mean() / noisy.nesz_vv.mean())
    assert found == pytest.approx(1.0, rel=0.01)  # but for what was raised to the floor


def test_a_measurement_of_zeros_is_a_cube_of_nothing(own_radar, radar_build, tmp_path):
    for path in own_radar.rglob("*.tiff"):
        repaint(path, lambda values: values.fill(0))
    dry = write_dem(tmp_path / "dry.tif", lambda *_: np.array(0.0), AROUND, 0.01)
    out = tmp_path / "cube.zarr"
    words = ("--model", "bayes", "--permanent-water", dry, "--noise-equivalent")
    done = radar_build(own_radar, out, *words).fine()
    assert done.out.startswith(f"{out}: 1 passes, 0.00 km2 flooded on 2022-08-30")
    ds = opened(out)
    assert np.isnan(ds.vv.values).all()
    assert np.isnan(ds.water_probability.values).all()
    assert (ds.flood.values == 255).all()
    assert np.isfinite(ds.rtc_anf.values).all()


def test_zeros_are_a_gap_as_filters_see_them_too(own_radar, radar_build, tmp_path):
    gap = slice(300, 330), slice(280, 320)
    for path in own_radar.rglob("*.tiff"):
        repaint(path, lambda values: values.__setitem__(gap, 0))
    filtered, plain = tmp_path / "filtered.zarr", tmp_path / "plain.zarr"
    radar_build(own_radar, filtered, "--speckle", "lee-sigma").fine()
    radar_build(own_radar, plain).fine()
    one, other = opened(filtered).vv.values[0], opened(plain).vv.values[0]
    assert 900 < np.isnan(other).sum() < 2000
    np.testing.assert_array_equal(np.isnan(one), np.isnan(other))


def test_the_edge_of_an_image_may_lie_anywhere_in_a_block(radar, radar_build, tmp_path):
    """A smaller image in the same box: nothing beyond its edges, the same within, any block."""
    small = simulate_product(
        tmp_path, lon=LON + 0.008, lat=LAT - 0.007, dem=gentle, seed=7,
        **{**IMAGE, "size": (301, 283)},
    )  # fmt: skip
    assert small.is_dir()
    cubes = {}
    for name, limit in (("wide", ()), ("narrow", ("--memory-limit", "630MB", "--workers", 1))):
        out = tmp_path / f"{name}.zarr"
        words = ("--dem", radar / "dem.tif", "--resolution", 4, *limit)
        radar_build(tmp_path, out, *words).fine()
        cubes[name] = opened(out)
    wide, narrow = cubes["wide"], cubes["narrow"]
    seen = np.isfinite(wide.vv.values[0])
    assert 0.2 < seen.mean() < 0.8
    never = (wide["mask"].values[0] & Flag.NEVER_IMAGED) != 0
    # what is imaged is interpolated over 32 pixels: right to a pixel on hills
    edge = binary_dilation(seen) & ~binary_erosion(seen)
    np.testing.assert_array_equal(seen[~edge], ~never[~edge])
    assert (seen <= ~never).all()
    np.testing.assert_array_equal(np.isfinite(wide.rtc_anf.values[0]), ~never)
    xr.testing.assert_identical(wide.drop_attrs(), narrow.drop_attrs())


def test_saturated_numbers_keep_their_power(own_radar, radar_build, tmp_path):
    spot = slice(318, 324), slice(315, 322)
    path = only(own_radar, "*-vv-*.tiff")
    repaint(path, lambda values: values.__setitem__(spot, 65535))
    out = tmp_path / "cube.zarr"
    radar_build(own_radar, out, "--backscatter", "sigma0").fine()
    tables = read_tables(
        only(own_radar, "calibration-*-vv-*.xml"), only(own_radar, "noise-*-vv-*.xml")
    )
    power = 65535.0**2 / look_up(tables.gain, 321, 318) ** 2
    found = opened(out).vv.values[0]
    assert found.max() == pytest.approx(power, rel=1e-3)  # noise is a millionth of it
    assert 20 < (found > 0.9 * power).sum() < 60


@pytest.mark.parametrize("unit", ["C", "D"])
def test_later_satellites_build_as_the_first(radar, radar_cube, radar_build, tmp_path, unit):
    folder = tmp_path / "radar"
    shutil.copytree(radar, folder)
    safe = only(folder, "*.SAFE")
    manifest = safe / "manifest.safe"
    rewrite(manifest, r"(<safe:number>)A(</safe:number>)", rf"\1{unit}\2")
    for path in sorted(safe.rglob("*s1a-*")):
        path.rename(path.with_name(path.name.replace("s1a-", f"s1{unit.lower()}-")))
    safe.rename(safe.with_name(safe.name.replace("S1A_", f"S1{unit}_")))
    out = tmp_path / "cube.zarr"
    radar_build(folder, out).fine()
    ds, first = opened(out), opened(radar_cube)
    assert ds.platform.values.tolist() == [f"sentinel-1{unit.lower()}"]
    for name in ("vv", "vh", "rtc_anf", "incidence_angle", "mask"):
        np.testing.assert_array_equal(ds[name], first[name])
    kept = json.loads((out / "zarr.json").read_text())["attributes"]["floodcube"]
    assert kept["passes"][0]["scenes"][0].startswith(f"S1{unit}_")
