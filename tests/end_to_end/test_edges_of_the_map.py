"""Cubes across the antimeridian, near both poles and on a grid of degrees, of simulated products.

The image is simulated; where its targets stand on the map is told by PROJ alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from grounds import centre_of_power, write_dem
from pyproj import Transformer

from cube.schema import Flag
from cube.simulate import simulate_product

PEAK = 30_000  # digital number of a target: 40 dB above the field
PIXEL = 0.1  # the promise: pixels on both axes
LEVEL_M = 120.0


@dataclass(frozen=True)
class Place:
    """A product, its DEM, the targets on it as (lon, lat), and the box to be built."""

    folder: Path
    dem: Path
    targets: tuple[tuple[float, float], ...]
    box: str

    def with_dem(self, dem: Path) -> Place:
        return replace(self, dem=dem)


@pytest.fixture(scope="session")
def geocoded(cube_command, scratch) -> Callable[..., xr.Dataset]:
    """``cube build`` of a place."""

    def run(place: Place, out: Path, *more: object, hand: bool = False) -> xr.Dataset:
        cube_command(
            "build", "--bbox", place.box, "--during", "2022-08-30/2022-08-30",
            "--source", place.folder, "--dem", place.dem, "--dem-datum", "ellipsoid",
            *(() if hand else ("--hand", "none")), "--model", "none", "--scratch", scratch,
            "--out", out, *more,
        ).fine()  # fmt: skip
        return xr.open_zarr(out).load()

    return run


def check_targets(ds: xr.Dataset, place: Place) -> None:
    """Every target within a tenth of a pixel of where PROJ puts it."""
    to_map = Transformer.from_crs("EPSG:4326", ds.spatial_ref.crs_wkt, always_xy=True)
    size_x, size_y = float(ds.x[1] - ds.x[0]), float(ds.y[0] - ds.y[1])
    for lon, lat in place.targets:
        x, y = to_map.transform(lon, lat)
        if ds.x.max() > 180 and x < 0:
            x += 360  # a grid of degrees that goes on beyond 180
        found_x, found_y = centre_of_power(ds, x, y)
        assert abs(found_x - x) < PIXEL * size_x, "east-west"
        assert abs(found_y - y) < PIXEL * size_y, "north-south"


# --- the antimeridian

DATE_LINE_BOX = "179.98,-17.016,-179.98,-16.984"


def island(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Hills on both sides of 180 degrees, slopes up to 13 degrees; any longitude."""
    east = np.remainder(lon, 360.0) - 180.0
    return 300 + 70 * np.sin(east * 350) * np.cos((lat + 17) * 300)


@pytest.fixture(scope="session")
def date_line(tmp_path_factory) -> Place:
    folder = tmp_path_factory.mktemp("line")
    targets = ((179.99, -17.004), (-179.99, -16.996), (179.9999, -17.0))
    simulate_product(
        folder, lon=180.0, lat=-17.0, size=(700, 700), dem=island,
        targets=[(lon, lat, float(island(lat, lon)), PEAK) for lon, lat in targets],
    )  # fmt: skip
    return Place(folder, folder / "dem.tif", targets, DATE_LINE_BOX)


DEMS = {
    "degrees from 179 to 181": ((179.94, -17.06, 180.06, -16.94), 1 / 3600, "EPSG:4326"),
    "degrees from -181 to -179": ((-180.06, -17.06, -179.94, -16.94), 1 / 3600, "EPSG:4326"),
    "metres": ((3_333_000, -1_916_000, 3_346_000, -1_902_000), 30.0, "EPSG:3832"),
}
GRIDS = {
    "utm": (),
    "mercator of the Pacific": ("--crs", "EPSG:3832"),
    "degrees": ("--crs", "EPSG:4326", "--resolution", "0.0001,0.0001"),
}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
@pytest.mark.parametrize("dem", DEMS.values(), ids=DEMS.keys())
def test_an_island_on_the_antimeridian_is_one_picture(date_line, geocoded, tmp_path, dem, grid):
    place = date_line.with_dem(write_dem(tmp_path / "dem.tif", island, *dem))
    ds = geocoded(place, tmp_path / "cube.zarr", *grid)
    check_targets(ds, place)
    for name in ("vv", "vh", "rtc_anf", "incidence_angle", "dem"):
        assert np.isfinite(ds[name].values).all(), f"{name} has a seam"
    assert not (ds["mask"].values & ~np.uint8(Flag.SLOPE)).any()
    to_degrees = Transformer.from_crs(ds.spatial_ref.crs_wkt, "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(*np.meshgrid(ds.x.values, ds.y.values))
    # bilinear between samples of 31 m: curvature 70 m / (302 m)^2 times (31 m)^2 / 8, on two axes
    np.testing.assert_allclose(ds.dem.values, island(lat, lon), rtol=0, atol=0.2)


def test_drainage_is_found_on_both_sides_of_the_antimeridian(date_line, geocoded, tmp_path):
    found = []
    for number, name in enumerate(list(DEMS)[:2]):
        dem = write_dem(tmp_path / f"{number}.tif", island, *DEMS[name])
        out = tmp_path / f"{number}.zarr"
        ds = geocoded(date_line.with_dem(dem), out, hand=True)
        found.append(ds.hand.values)
    east = ds.x.values > ds.x.values.mean()
    assert np.isfinite(found[0][:, east]).mean() > 0.5
    assert np.isfinite(found[0][:, ~east]).mean() > 0.5
    # the same heights, but for the rounding of longitudes
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-4)


def test_a_dem_that_ends_at_the_antimeridian_is_refused(date_line, geocoded, tmp_path):
    dem = write_dem(tmp_path / "dem.tif", island, (179.94, -17.06, 180.0, -16.94), 1 / 3600)
    with pytest.raises(AssertionError, match=r"dem\.tif: covers 179\.9400,-17\.0600,180\.0000,"):
        geocoded(date_line.with_dem(dem), tmp_path / "cube.zarr")


def test_web_mercator_ends_at_the_antimeridian_and_says_so(date_line, geocoded, tmp_path):
    dem = write_dem(tmp_path / "dem.tif", island, *DEMS["metres"])
    with pytest.raises(AssertionError, match="EPSG:3857 is cut at the antimeridian"):
        geocoded(date_line.with_dem(dem), tmp_path / "cube.zarr", "--preset", "kurosiwo")


# --- polar grids, and a grid of degrees

TEN_METRES = ("--crs", "EPSG:4326", "--resolution")
ELSEWHERE = {
    "76 north": (15.0, 76.5, "ascending", ("--crs", "EPSG:3413")),
    "76 north, where the day begins": (180.0, 76.5, "descending", ("--crs", "EPSG:3413")),
    "75 south": (-60.0, -75.0, "descending", ("--crs", "EPSG:3031")),
    "degrees": (68.2, 27.6, "descending", (*TEN_METRES, "0.0001,0.0001")),
    "degrees, twice as high as wide": (10.3, 60.1, "ascending", (*TEN_METRES, "0.0001,0.0001")),
    "degrees, of another step each": (10.3, 60.1, "ascending", (*TEN_METRES, "0.0001,0.00016")),
    "metres, twice as wide as high": (68.2, 27.6, "descending", ("--resolution", "8,16")),
}


@pytest.mark.parametrize("where", ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_level_ground_is_what_it_is_without_flattening(where, geocoded, tmp_path):
    lon, lat, direction, grid = where
    wide = 0.012 / np.cos(np.radians(lat))
    targets = ((lon, lat), (lon + wide / 2, lat + 0.006), (lon - wide / 2, lat - 0.006))
    simulate_product(
        tmp_path, lon=lon, lat=lat, size=(600, 600), orbit_direction=direction, dem=LEVEL_M,
        targets=[(*place, LEVEL_M, PEAK) for place in targets], noise=False, speckle=False,
    )  # fmt: skip
    around = (lon - 6 * wide, lat - 0.06, lon + 6 * wide, lat + 0.06)
    dem = write_dem(tmp_path / "dem.tif", lambda *_: np.array(LEVEL_M), around, 0.001)
    east = (lon + wide + 180) % 360 - 180
    place = Place(tmp_path, dem, targets, f"{lon - wide},{lat - 0.012},{east},{lat + 0.012}")
    flat = geocoded(place, tmp_path / "gamma0.zarr", "--backscatter", "gamma0", *grid)
    flattened = geocoded(place, tmp_path / "gamma0_rtc.zarr", *grid)
    check_targets(flat, place)
    check_targets(flattened, place)
    assert not flattened["mask"].values.any(), "no layover, no shadow, all of it imaged"
    difference = 10 * np.log10(flattened.vv.values / flat.vv.values)
    assert np.abs(difference).max() < 0.05
    assert difference.std() < 0.025, "stripes, where cells have not the pixels' shape"
