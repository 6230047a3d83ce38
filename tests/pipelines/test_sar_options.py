"""Options of radar images: speckle filters, sea, noise-equivalent power, preset kurosiwo.

All products are simulated.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from grounds import image_geometry, write_dem
from pyproj import Transformer
from references import look_up, noise_power, read_tables
from stopping import stop, wait_for

from cube.schema import Flag
from tests.pipelines.conftest import AROUND, IMAGE, LAT, LON, gentle

KUROSIWO = ("--preset", "kurosiwo", "--model", "none")


def opened(path: Path) -> xr.Dataset:
    with xr.open_zarr(path) as ds:
        return ds.load()


def identity(path: Path) -> dict:
    return json.loads((path / "zarr.json").read_text())["attributes"]["floodcube"]["identity"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--speckle", "frost"], "unknown speckle filter 'frost'; choose none, boxcar, lee, ref"),
        (["--speckle", "quegan"], "'quegan' (of all dates together: see cube.speckle_filter); ch"),
        (
            ["--product", "rtc", "--speckle", "lee"],
            "--speckle lee: filters work on detected radar images",
        ),
        (
            ["--product", "rtc", "--noise-equivalent"],
            "only detected radar images have their noise taken out",
        ),
        (["--product", "rtc", "--backscatter", "sigma0"], "products hold gamma0_rtc; leave the"),
        (["--product", "rtc", "--preset", "kurosiwo"], "preset kurosiwo is for product grd; give"),
        (["--backscatter", "gamma"], "'gamma'; choose gamma0_rtc, gamma0, sigma0 or beta0"),
        (["--sea", "atlantic.tif"], "atlantic.tif: no such file; check the path"),
        (["--sea", "."], ".: cannot be read (Is a directory); check the path"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_option_that_cannot_be_met_is_refused(
    radar, radar_build, tmp_path, monkeypatch, options, says
):
    monkeypatch.chdir(tmp_path)
    assert says in radar_build(radar, tmp_path / "cube.zarr", *options).error
    assert list(tmp_path.iterdir()) == []


# --- noise


def test_noise_equivalent_is_the_vectors_noise_over_the_gain(radar, radar_build, tmp_path):
    """Whatever the backscatter; places in the image are those of the simulator."""
    geometry, _ = image_geometry(LON, LAT, float(gentle(LAT, LON)), **IMAGE)
    for kind in ("gamma0_rtc", "beta0"):
        out = tmp_path / f"{kind}.zarr"
        radar_build(radar, out, "--noise-equivalent", "--backscatter", kind).fine()
        ds = opened(out)
        to_degrees = Transformer.from_crs(ds.spatial_ref.crs_wkt, "EPSG:4326", always_xy=True)
        rng = np.random.default_rng(17)
        for name in ("vv", "vh"):
            tables = read_tables(
                *(
                    next(radar.glob(f"*.SAFE/annotation/calibration/{table}-*-{name}-*.xml"))
                    for table in ("calibration", "noise")
                )
            )
            found = ds[f"nesz_{name}"]
            assert found.attrs["polarisation"] == name.upper()
            for row, col in zip(
                rng.integers(0, ds.sizes["y"], 12), rng.integers(0, ds.sizes["x"], 12), strict=True
            ):
                lon, lat = to_degrees.transform(float(ds.x[col]), float(ds.y[row]))
                line, sample = geometry.image_position(lat, lon, float(ds.dem[row, col]))
                y, x = int(line), int(sample)
                fy, fx = float(line) - y, float(sample) - x
                expected = sum(
                    weight
                    * noise_power(tables, y + i, x + j)
                    / look_up(tables.gain, y + i, x + j) ** 2
                    for i, j, weight in (
                        (0, 0, (1 - fy) * (1 - fx)),
                        (0, 1, (1 - fy) * fx),
                        (1, 0, fy * (1 - fx)),
                        (1, 1, fy * fx),
                    )
                )
                assert float(found[0, row, col]) == pytest.approx(expected, rel=1e-4)
        # the noise of the beams there: -24 to -27 dB
        assert -28 < 10 * np.log10(float(ds.nesz_vv.mean())) < -23


# --- speckle


def looks(values: np.ndarray) -> float:
    return float(values.mean() ** 2 / values.var())


@pytest.mark.parametrize("name", ["boxcar", "lee", "refined-lee", "lee-sigma"])
def test_a_filter_smooths_and_keeps_the_mean(radar, radar_cube, radar_build, tmp_path, name):
    out = tmp_path / "cube.zarr"
    radar_build(radar, out, "--speckle", name, "--backscatter", "sigma0").fine()
    radar_build(radar, tmp_path / "plain.zarr", "--backscatter", "sigma0").fine()
    filtered, plain = opened(out), opened(tmp_path / "plain.zarr")
    assert identity(out)["speckle"] == name
    assert identity(radar_cube)["speckle"] == "none"
    for pol in ("vv", "vh"):
        before, after = (ds[pol].values[0].astype("float64") for ds in (plain, filtered))
        assert np.isfinite(after).all()
        assert looks(after) > 2.5 * looks(before)
        # filters other than the mean lean towards dark pixels; Lee Sigma's ranges allow for it
        assert after.mean() == pytest.approx(before.mean(), rel=0.04)


# --- sea


def coast(lat, lon):
    """Metres above the geoid: land in the east, sea in the west, void in its south."""
    land = np.maximum(2.5 + (lon - LON) * 2000, 2.5)
    sea = np.where(lat < LAT - 0.008, np.nan, 0.0)
    island = np.hypot((lon - LON + 0.01) * 0.89, lat - LAT - 0.006) < 0.002
    return np.where((lon > LON) | island, land, sea)


@pytest.fixture(scope="session")
def shore(tmp_path_factory) -> Path:
    """DEM of a coast; the image is that of the hills, which does not matter."""
    path = tmp_path_factory.mktemp("shore") / "dem.tif"
    return write_dem(path, coast, AROUND, 1 / 3600, nodata=-32768)


def sea_truth(ds: xr.Dataset, lowest: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """What is void or not above `lowest`, and what lies within four samples of its shore."""
    to_degrees = Transformer.from_crs(ds.spatial_ref.crs_wkt, "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(*np.meshgrid(ds.x.values, ds.y.values))
    at = [(lat + dy / 3600, lon + dx / 3600) for dy in (-4, 0, 4) for dx in (-4, 0, 4)]
    around = np.array([~(coast(*place) > lowest) for place in at])
    return around[4], around.any(axis=0) & ~around.all(axis=0)


@pytest.mark.parametrize("datum", ["egm96", "egm2008", "ellipsoid"])
def test_the_sea_of_a_dem_has_no_backscatter(radar, radar_build, shore, tmp_path, datum):
    out = tmp_path / "cube.zarr"
    words = ("--dem", shore, "--dem-datum", datum, "--sea", "dem", "--backscatter", "gamma0")
    radar_build(radar, out, *words).fine()
    ds = opened(out)
    # heights above the ellipsoid are nowhere 0 at sea: there only voids are
    sea, near = sea_truth(ds, -1.0 if datum == "ellipsoid" else 0.0)
    assert 0.05 < sea.mean() < 0.6
    flagged = (ds["mask"].values[0] & Flag.SEA) != 0
    np.testing.assert_array_equal(flagged[~near], sea[~near])
    for name in ("vv", "vh"):
        assert np.isnan(ds[name].values[0][flagged]).all()
        assert np.isfinite(ds[name].values[0][~flagged & ~np.isnan(ds.dem.values)]).all()


def test_the_sea_of_a_raster_has_no_backscatter(radar, radar_build, tmp_path):
    west = write_dem(
        tmp_path / "sea.tif", lambda lat, lon: np.where(lon < LON, 1.0, 0.0), AROUND, 1 / 4000
    )
    out = tmp_path / "cube.zarr"
    radar_build(radar, out, "--sea", west).fine()
    ds = opened(out)
    to_degrees = Transformer.from_crs(ds.spatial_ref.crs_wkt, "EPSG:4326", always_xy=True)
    lon, _ = to_degrees.transform(*np.meshgrid(ds.x.values, ds.y.values))
    clear = np.abs(lon - LON) > 1 / 4000
    flagged = (ds["mask"].values[0] & Flag.SEA) != 0
    np.testing.assert_array_equal(flagged[clear], (lon < LON)[clear])
    np.testing.assert_array_equal(np.isnan(ds.vv.values[0]), flagged)
    assert identity(out)["sea"]["name"] == "sea.tif"
    assert str(tmp_path) not in (out / "zarr.json").read_text()


# --- as Kuro Siwo was made


@pytest.fixture(scope="session")
def kurosiwo(radar, radar_build, shore, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("kurosiwo") / "cube.zarr"
    radar_build(radar, out, *KUROSIWO, "--dem", shore, "--dem-datum", "egm2008").fine()
    return out


def test_preset_kurosiwo_is_the_sum_of_its_options(radar, radar_build, shore, kurosiwo, tmp_path):
    ds = opened(kurosiwo)
    assert ds.vv.attrs["backscatter"] == "sigma0"
    assert "rtc_anf" not in ds
    assert ds.spatial_ref.attrs["crs_wkt"].startswith('PROJCRS["WGS 84 / Pseudo-Mercator"')
    np.testing.assert_array_equal(np.diff(ds.x), 10.0)
    for edge in (ds.x.values - 5, ds.y.values - 5):
        np.testing.assert_array_equal(np.remainder(edge, 10.0), 0.0)
    sea, near = sea_truth(ds)
    np.testing.assert_array_equal(np.isnan(ds.vv.values[0])[~near], sea[~near])
    out = tmp_path / "options.zarr"
    radar_build(
        radar, out, "--dem", shore, "--dem-datum", "egm2008", "--backscatter", "sigma0",
        "--speckle", "lee-sigma", "--sea", "dem", "--crs", "EPSG:3857", "--resolution", 10,
    ).fine()  # fmt: skip
    xr.testing.assert_identical(ds.drop_attrs(), opened(out).drop_attrs())
    assert identity(kurosiwo)["preset"] == "kurosiwo@1"
    plain = tmp_path / "plain.zarr"
    words = (*KUROSIWO, "--dem", shore, "--dem-datum", "egm2008", "--speckle", "none")
    radar_build(radar, plain, *words).fine()
    before, after = (one.vv.values[0][~np.isnan(one.vv.values[0])].astype("float64")
                     for one in (opened(plain), ds))  # fmt: skip
    assert before.shape == after.shape
    assert looks(after) > 4 * looks(before)
    assert after.mean() == pytest.approx(before.mean(), rel=0.03)


FINE = ("--resolution", 5, "--workers", 1)


def fine_words(shore: Path) -> tuple[object, ...]:
    return (*KUROSIWO, "--dem", shore, "--dem-datum", "egm2008", *FINE)


@pytest.fixture(scope="session")
def fine(radar, radar_build, shore, tmp_path_factory) -> Path:
    """The same at 5 m: two by two stored chunks, in one block."""
    out = tmp_path_factory.mktemp("fine") / "cube.zarr"
    radar_build(radar, out, *fine_words(shore)).fine()
    return out


@pytest.fixture(scope="session")
def narrow(cube_command, radar, radar_words, shore) -> tuple[object, ...]:
    """Memory for blocks of one chunk only."""
    words = radar_words(radar, Path("never.zarr"), *fine_words(shore), "--json")
    run = json.loads(cube_command("plan", *words).fine().out)["run"]
    assert run["block"] == 1024
    return "--memory-limit", f"{run['peak_memory_per_worker'] - 1}B"


def test_filtered_blocks_never_change_a_byte(
    radar, radar_build, shore, fine, narrow, tmp_path, tree
):
    out = tmp_path / "cube.zarr"
    radar_build(radar, out, *fine_words(shore), *narrow).fine()
    assert len([name for name in tree(fine) if name.startswith("vv/c/0/")]) == 4
    assert tree(out) == tree(fine)


def test_filtered_in_processes_it_has_the_same_bytes(
    run_cube, radar, radar_words, shore, fine, narrow, tmp_path, tree
):
    out = tmp_path / "cube.zarr"
    words = radar_words(radar, out, *fine_words(shore), *narrow, "--scheduler", "processes")
    done = run_cube("build", *words)
    assert done.returncode == 0, done.stderr
    assert tree(out) == tree(fine)


@pytest.mark.parametrize("stage", ["surface_512", "backscatter_0_512"])
def test_stopped_it_goes_on_to_the_same_bytes(
    start_cube, radar, radar_words, radar_build, shore, fine, narrow, tmp_path, tree, stage
):
    out = tmp_path / "cube.zarr"
    process = start_cube("build", *radar_words(radar, out, *fine_words(shore), *narrow))
    wait_for(process, (out / "progress" / stage).exists)
    stop(process, signal.SIGKILL)
    if not (out / "progress").exists():
        pytest.fail("the build ended before it could be stopped")
    assert "resuming" in radar_build(radar, out, *fine_words(shore), *narrow).fine().err
    assert tree(out) == tree(fine)
