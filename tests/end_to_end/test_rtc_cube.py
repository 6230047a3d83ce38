"""From a catalog of terrain-corrected products to a flood cube. The ground and its flood are
simulated: gamma nought of land and water with speckle, as files of the Planetary Computer hold it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
import xarray as xr
from affine import Affine
from cogs import NODATA, UTM42, in_crs, speckle, write_cog
from shapely.geometry import box, mapping

from cube.schema import FloodClass

SHAPE = (520, 560)
ORIGIN = (422_000.0, 3_044_000.0)
OWN = Affine(10, 0, ORIGIN[0], 0, -10, ORIGIN[1])
LAND, WATER = {"vv": 0.1, "vh": 0.02}, {"vv": 0.006, "vh": 0.0012}
DAYS = ("2022-07-30", "2022-08-11", "2022-08-23", "2022-09-16")
COLLECTION = "sentinel-1-rtc"
RAW = (421_000, 425_000, 3_040_000, 3_043_000)
"""Of the Items whose geometry is in metres."""


def flooded() -> tuple[np.ndarray, np.ndarray]:
    """River, and what is under water besides during the event."""
    row, col = np.mgrid[: SHAPE[0], : SHAPE[1]]
    river = np.abs(col - 150 - 30 * np.sin(row / 60)) < 14
    flood = (((row - 260) / 140) ** 2 + ((col - 330) / 110) ** 2 < 1) & ~river
    return river, flood


def power(day: int, name: str) -> np.ndarray:
    """Speckled gamma nought of a day; the last one is the flood."""
    river, flood = flooded()
    water = river | flood if day == len(DAYS) - 1 else river
    mean = np.where(water, WATER[name], LAND[name])
    seed = 10 * day + (name == "vh")
    return (mean * speckle(SHAPE, seed, 1.0)).astype("float32")


def item(name: str, start: datetime, bounds: tuple[float, ...], number: int) -> pystac.Item:
    """Item with the properties of the Planetary Computer's."""
    west, south, east, north = bounds
    lon, lat = in_crs(
        np.array([west, west, east, east]), np.array([south, north, south, north]), UTM42,
        "EPSG:4326",
    )  # fmt: skip
    footprint = box(lon.min(), lat.min(), lon.max(), lat.max())
    stop = start + timedelta(seconds=25)
    height, width = round((north - south) / 10), round((east - west) / 10)
    return pystac.Item(
        id=name,
        geometry=mapping(footprint),
        bbox=list(footprint.bounds),
        datetime=start,
        properties={
            "start_datetime": start.strftime("%Y-%m-%d %H:%M:%S.%f+00:00"),
            "end_datetime": stop.strftime("%Y-%m-%d %H:%M:%S.%f+00:00"),
            "platform": "SENTINEL-1A",
            "constellation": "Sentinel-1",
            "proj:epsg": 32642,
            "proj:bbox": list(bounds),
            "proj:shape": [width, height],  # columns and rows, as in Items of 2019
            "proj:transform": [10.0, 0.0, west, 0.0, -10.0, north, 0.0, 0.0, 1.0],
            "s1:datatake_id": str(300_000 + number),
            "sar:instrument_mode": "IW",
            "sar:product_type": "GRD",
            "sar:polarizations": ["VV", "VH"],
            "sat:orbit_state": "descending",
            "sat:relative_orbit": 78,
            "sat:absolute_orbit": 44_000 + 175 * number,
        },
    )


def product(folder: Path, day: int, rows: slice, later: int) -> pystac.Item:
    """Files of a part of a pass, and its Item."""
    start = datetime.fromisoformat(f"{DAYS[day]}T01:25:20").replace(tzinfo=UTC)
    start += timedelta(seconds=25 * later)
    name = f"S1A_IW_GRDH_1SDV_{start:%Y%m%dT%H%M%S}_rtc"
    here = OWN @ Affine.translation(0, rows.start)
    west, north = here.c, here.f
    bounds = (west, north - 10 * (rows.stop - rows.start), west + 10 * SHAPE[1], north)
    made = item(name, start, bounds, day)
    for pol in ("vv", "vh"):
        values = power(day, pol)[rows].copy()
        values[:, -4:] = NODATA
        path = folder / name / "measurement" / f"iw-{pol}.rtc.tiff"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_cog(path, values, here)
        made.add_asset(
            pol, pystac.Asset(str(path), media_type=pystac.MediaType.COG, roles=["data"])
        )
    return made


def save(folder: Path, items: list[pystac.Item]) -> Path:
    """Static catalog of one collection."""
    catalog = pystac.Catalog("rtc", "simulated")
    extent = pystac.Extent(
        pystac.SpatialExtent([[-180, -90, 180, 90]]), pystac.TemporalExtent([[None, None]])
    )
    collection = pystac.Collection(COLLECTION, "simulated", extent)
    catalog.add_child(collection)
    collection.add_items(items)
    catalog.normalize_hrefs(str(folder))
    catalog.make_all_asset_hrefs_relative()
    catalog.save(catalog_type=pystac.CatalogType.SELF_CONTAINED)
    return folder


@dataclass(frozen=True)
class Made:
    """A catalog and a flat DEM."""

    folder: Path
    dem: Path
    bbox: str
    river: np.ndarray
    flood: np.ndarray


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    folder = tmp_path_factory.mktemp("rtc")
    whole = slice(0, SHAPE[0])
    items = [product(folder, day, whole, 0) for day in range(len(DAYS) - 1)]
    # The flood in two slices that overlap by 20 lines
    items += [product(folder, 3, slice(0, 300), 0), product(folder, 3, slice(280, SHAPE[0]), 1)]
    save(folder, items)
    dem = folder / "dem.tif"
    with rasterio.open(
        dem, "w", driver="GTiff", height=60, width=60, count=1, dtype="float32", crs="EPSG:4326",
        transform=Affine(0.002, 0, 68.15, 0, -0.002, 27.56),
    ) as file:  # fmt: skip
        file.write(np.full((60, 60), 30, "float32"), 1)
    x, y = ORIGIN[0] + np.array([400, 5200]), ORIGIN[1] - np.array([4800, 400])
    lon, lat = in_crs(x, y, UTM42, "EPSG:4326")
    bbox = f"{lon[0]:.5f},{lat[0]:.5f},{lon[1]:.5f},{lat[1]:.5f}"
    return Made(folder, dem, bbox, *flooded())


Run = Callable[..., Any]


@pytest.fixture
def rtc(cube_command, made, tmp_path) -> Run:
    """``cube build --product rtc`` of a folder."""

    def run(*more: object, source: Path | None = None, out: str = "cube.zarr") -> Any:
        return cube_command(
            "build", "--product", "rtc", "--bbox", made.bbox, "--source", source or made.folder,
            "--during", "2022-09-01/2022-09-30", "--before", "2022-07-01/2022-08-31",
            "--dem", made.dem, "--dem-datum", "ellipsoid", "--hand", "none",
            "--scratch", tmp_path / "scratch", "--out", tmp_path / out, *more,
        )  # fmt: skip

    return run


def truth(made: Made, ds: xr.Dataset) -> tuple[np.ndarray, np.ndarray, tuple[slice, slice]]:
    """River and flood on the pixels of a cube on the files' own grid, and which pixels they are."""
    col = round((float(ds.x[0]) - 5 - ORIGIN[0]) / 10)
    row = round((ORIGIN[1] - float(ds.y[0]) - 5) / 10)
    part = slice(row, row + ds.sizes["y"]), slice(col, col + ds.sizes["x"])
    return made.river[part], made.flood[part], part


@pytest.mark.parametrize("engine", ["stackstac", "odc-stac"])
def test_a_catalog_becomes_a_flood_cube(made, rtc, tree, tmp_path, engine):
    rtc("--engine", engine).fine()
    ds = xr.open_zarr(tmp_path / "cube.zarr")
    assert ds.vv.attrs["backscatter"] == "gamma0_rtc"
    assert "incidence_angle" not in ds
    assert list(ds.role.values) == ["before"] * 3 + ["during"]
    assert ds.complete.all()
    river, flood, part = truth(made, ds)
    # On the files' own grid nothing is resampled: to the bit what was written
    for day in range(4):
        for name in ("vv", "vh"):
            np.testing.assert_array_equal(ds[name][day], power(day, name)[part])
    found = ds.flood.isel(time=-1).values
    is_flood = found == FloodClass.FLOOD
    overlap = (is_flood & flood).sum() / (is_flood | flood).sum()
    assert overlap > 0.9
    still = found == FloodClass.PERMANENT
    assert (still & river).sum() / (still | river).sum() > 0.8
    assert not (ds.flood.isel(time=0) == FloodClass.FLOOD).mean() > 0.01
    rtc("--engine", engine, out="again.zarr").fine()
    assert tree(tmp_path / "again.zarr") == tree(tmp_path / "cube.zarr")


def test_a_turned_grid_finds_the_same_flood(made, rtc, tmp_path):
    areas = {}
    for engine in ("stackstac", "odc-stac"):
        out = f"{engine}.zarr"
        rtc("--engine", engine, "--crs", "EPSG:32643", "--resolution", "20", out=out).fine()
        ds = xr.open_zarr(tmp_path / out)
        areas[engine] = 4e-4 * int((ds.flood.isel(time=-1) == FloodClass.FLOOD).sum())
    true = 1e-4 * made.flood.sum()
    # The map is careful at shores: a rim of one pixel in the mean, 9 % of this flood at 20 m
    assert 0.88 * true < areas["stackstac"] < 1.01 * true
    assert areas["odc-stac"] == pytest.approx(areas["stackstac"], rel=0.02)


def test_a_cube_of_one_engine_is_not_continued_by_the_other(rtc):
    rtc("--model", "none").fine()
    error = rtc("--model", "none", "--engine", "odc-stac").error
    assert 'engine is "stackstac", asked for "odc-stac"' in error


# --- what cannot be built


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--engine", "gdal"], "unknown engine 'gdal'; choose stackstac or odc-stac"),
        (["--preset", "flood"], "preset flood is for product grd; give --product grd"),
        (["--backscatter", "sigma0"], "terrain-corrected products hold gamma0_rtc; leave the"),
        (["--collection", "sentinel-1-slc"], "no Sentinel-1 RTC scene over"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_option_that_cannot_be_met_is_refused(rtc, tmp_path, options, says):
    assert says in rtc(*options).error
    assert not (tmp_path / "cube.zarr").exists()


def changed(made: Made, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The catalog with every Item changed; files stay where they are."""
    items = []
    for path in sorted(made.folder.rglob("*_rtc.json")):
        one = pystac.Item.from_file(str(path))
        one.make_asset_hrefs_absolute()
        record = one.to_dict(include_self_link=False, transform_hrefs=False)
        record["links"] = []
        change(record)
        items.append(pystac.Item.from_dict(record))
    assert len(items) == 5
    return save(folder / "changed", items)


def no_images(record: dict[str, Any]) -> None:
    record["assets"] = {"preview": record["assets"]["vv"] | {"href": "/preview.png"}}


def metres(record: dict[str, Any]) -> None:
    west, east, south, north = RAW
    record["geometry"] = mapping(box(west, south, east, north))
    record["bbox"] = [west, south, east, north]
    for key in [key for key in record["properties"] if key.startswith("proj:")]:
        del record["properties"][key]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (no_images, "no vv, vh, hh or hv asset; assets: preview"),
        (metres, "_rtc: geometry 421000,"),
    ],
)
def test_items_that_are_none_are_named(made, rtc, tmp_path, change, says):
    error = rtc(source=changed(made, tmp_path, change)).error
    assert says in error
    assert "_rtc: " in error


def test_metres_with_their_projection_are_repaired(made, rtc, tmp_path):
    def raw(record: dict[str, Any]) -> None:
        kept = record["properties"]["proj:bbox"]
        record["geometry"], record["bbox"] = mapping(box(*kept)), kept

    rtc("--dry-run", source=changed(made, tmp_path, raw)).fine()


@pytest.mark.parametrize("pol", ["vv", "vh"])
def test_an_item_without_one_image_is_left_out(made, rtc, tmp_path, pol):
    def first_only(record: dict[str, Any]) -> None:
        if "20220730" in record["id"]:
            del record["assets"][pol]

    found = rtc("--model", "none", source=changed(made, tmp_path, first_only)).fine()
    other = {"vv": "vh", "vh": "vv"}[pol]
    assert f"left out S1A_IW_GRDH_1SDV_20220730T012520_rtc: has {other}, most" in found.err
    assert xr.open_zarr(tmp_path / "cube.zarr").sizes["time"] == 3


def test_a_damaged_file_is_named_before_anything_is_written(made, rtc, tmp_path):
    bad = tmp_path / "iw-vv.rtc.tiff"
    bad.write_bytes(b"II*\0" + bytes(100))

    def point(record: dict[str, Any]) -> None:
        if "20220811" in record["id"]:
            record["assets"]["vv"]["href"] = str(bad)

    error = rtc(source=changed(made, tmp_path, point)).error
    assert error.startswith(f"{bad}: not a readable raster")
    assert not (tmp_path / "cube.zarr").exists()


def test_a_folder_of_safe_products_is_no_catalog(rtc, small_event):
    error = rtc(source=small_event / "safe").error
    assert "no catalog.json; terrain-corrected products need a STAC catalog" in error


def test_coarse_pixels_cost_no_more_memory_than_fine_ones(rtc, tmp_path):
    # radar images are sampled where a coarse block looks; products on the map have overviews
    rtc("--resolution", 500, "--hand", "none").fine()
    ds = xr.open_zarr(tmp_path / "cube.zarr")
    assert bool(ds.complete.all())
    assert float(np.isfinite(ds.vv).mean()) > 0.5


def test_a_plan_says_what_it_would_take(made, cube_command):
    words = ("--product", "rtc", "--bbox", made.bbox, "--source", made.folder, "--dem", made.dem)
    days = ("--during", "2022-09-01/2022-09-30", "--before", "2022-07-01/2022-08-31")
    found = cube_command("plan", *words, "--dem-datum", "ellipsoid", *days, "--json").fine()
    plan = json.loads(found.out)
    assert plan["identity"]["backscatter"] == "gamma0_rtc"
    assert "incidence_angle" not in plan["layers"]
    assert [len(one["scenes"]) for one in plan["passes"]] == [1, 1, 1, 2]
    files = [path.stat().st_size for path in made.folder.rglob("*.tiff")]
    assert plan["run"]["bytes_source"] == sum(files)
