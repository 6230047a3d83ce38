"""What is published has the form of the real thing and the content of the simulated one."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree

import numpy as np
import planetary_computer
import pystac_client
import pytest
import rasterio
import requests
from planetary_computer.settings import Settings
from publish import STORES, Publication, publish
from publish_rtc import NO_DATA, publish_rtc
from servers import AssetServer, asset_server  # noqa: F401  # a fixture

from cube.readers.stac import ApiSource
from cube.simulate import SCENARIOS

BBOX = (68.163, 27.482, 68.213, 27.518)
DATES = (date(2022, 6, 1), date(2022, 9, 20))
PRODUCTS = 5


@pytest.fixture(scope="session")
def published(
    small_event: Path, data_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Publication:
    made = publish(small_event, tmp_path_factory.mktemp("store") / "blobs", data_dir / "stac")
    publish_rtc(made, SCENARIOS["small"])
    return made


def local(published: Publication, href: str) -> Path:
    return published.root / urlsplit(href).path.lstrip("/")


def test_every_file_that_an_item_names_is_there_and_its_host_the_real_one(published):
    assert len(published.of("sentinel-1-grd")) == PRODUCTS
    for item in published.items:
        for key, asset in item["assets"].items():
            assert key == "thumbnail" or local(published, asset["href"]).is_file()
            account, container = STORES[item["collection"]]
            place = f"http://{account}.blob.core.windows.net/{container}/"
            assert asset["href"].startswith(place)


def test_everything_says_that_it_is_simulated(published):
    assert all(item["properties"]["simulated"] is True for item in published.items)
    for path in published.root.rglob("*.tif*"):
        with rasterio.open(path) as file:
            assert "simulated" in file.tags()["TIFFTAG_IMAGEDESCRIPTION"], path.name
    for path in published.root.rglob("manifest.safe"):
        assert "Simulated flood" in path.read_text()


def test_items_have_the_keys_of_the_recorded_one(published, data_dir):
    real = json.loads((data_dir / "stac/planetary_computer/mspc-s1-grd.json").read_text())
    for item in published.of("sentinel-1-grd"):
        assert set(item) == set(real)
        assert set(item["properties"]) == {*real["properties"], "simulated"}
        assert set(real["assets"]) - set(item["assets"]) == {"tilejson", "rendered_preview"}
        assert "20240325" not in json.dumps(item)
        assert item["properties"]["start_datetime"][10:11] == " "
        assert item["properties"]["platform"] == "SENTINEL-1A"
        folder = item["assets"]["vv"]["href"].split("/")[-3]
        assert folder.rsplit("_", 1)[0] == item["id"]


def test_a_product_schema_is_the_rfi_file_and_the_annotation_lies_above(published, small_event):
    for item in published.of("sentinel-1-grd"):
        rfi = local(published, item["assets"]["schema-product-vv"]["href"])
        assert ElementTree.parse(rfi).getroot().tag == "rfi"
        annotation = rfi.parent.parent / "iw-vv.xml"
        (safe,) = (small_event / "safe").glob(f"{item['id']}_*")
        (whole,) = (safe / "annotation").glob("*-vv-*.xml")
        assert annotation.read_bytes() == whole.read_bytes()


def test_measurements_are_the_same_pixels_in_blocks_with_overviews(published, small_event):
    for item in published.of("sentinel-1-grd"):
        (safe,) = (small_event / "safe").glob(f"{item['id']}_*")
        for pol in ("vv", "vh"):
            (source,) = (safe / "measurement").glob(f"*-{pol}-*.tiff")
            with (
                rasterio.open(local(published, item["assets"][pol]["href"])) as cog,
                rasterio.open(source) as plain,
            ):
                np.testing.assert_array_equal(cog.read(1), plain.read(1))
                assert len(cog.gcps[0]) == len(plain.gcps[0]) > 0
                assert cog.block_shapes == [(512, 512)]
                assert cog.overviews(1)
                assert cog.compression == rasterio.enums.Compression.deflate
                assert item["properties"]["proj:shape"] == list(cog.shape)


def test_the_dem_lies_in_whole_tiles_of_copernicus(published, small_event):
    (item,) = published.of("cop-dem-glo-30")
    assert item["id"] == "Copernicus_DSM_COG_10_N27_00_E068_00_DEM"
    with (
        rasterio.open(local(published, item["assets"]["data"]["href"])) as tile,
        rasterio.open(small_event / "dem.tif") as dem,
    ):
        assert tile.shape == (3600, 3600)
        assert tile.transform.c == pytest.approx(68 - 0.5 / 3600)
        assert tile.transform.f == pytest.approx(28 + 0.5 / 3600)
        window = rasterio.windows.from_bounds(*dem.bounds, transform=tile.transform)
        inside = tile.read(1, window=window.round_offsets().round_lengths())
        np.testing.assert_array_equal(inside, dem.read(1))
        assert np.isfinite(tile.read(1)).all()


def test_occurrence_is_a_share_of_permanent_water(published, small_event):
    (item,) = published.of("jrc-gsw")
    with (
        rasterio.open(local(published, item["assets"]["occurrence"]["href"])) as file,
        rasterio.open(small_event / "permanent_water.tif") as water,
    ):
        share, size = file.read(1), abs(file.transform.a * file.transform.e)
        known = share != 255
        assert share[known].max() == 100
        assert share[known].min() == 0
        metres = 111_195.0**2 * np.cos(np.radians(27.5))
        area = share[known].sum() / 100 * size * metres
        assert area == pytest.approx((water.read(1) == 1).sum() * 100, rel=0.02)


def test_terrain_corrected_products_are_gamma_nought_on_the_grid(published, small_event):
    found = published.of("sentinel-1-rtc")
    assert [one["id"] for one in found] == [
        f"{one['id']}_rtc" for one in published.of("sentinel-1-grd")
    ]
    for item in found:
        with rasterio.open(local(published, item["assets"]["vv"]["href"])) as file:
            assert (file.nodata, file.dtypes, file.res) == (NO_DATA, ("float32",), (10, 10))
            assert item["properties"]["proj:epsg"] == file.crs.to_epsg() == 32642
            assert item["properties"]["proj:transform"] == list(file.transform)[:9]
            assert item["properties"]["proj:shape"] == list(file.shape)
            assert file.transform.c % 10 == file.transform.f % 10 == 0
            values = file.read(1)
        assert 0.3 < (values != NO_DATA).mean() < 1
        assert 0.005 < np.median(values[values != NO_DATA]) < 0.5


def test_the_flood_is_dark_in_terrain_corrected_products(published, small_event):
    """In the last pass, against the first, on the truth's grid."""
    items = published.of("sentinel-1-rtc")
    with rasterio.open(small_event / "truth.tif") as file:
        truth, box = file.read(1), file.bounds
    levels = []
    for item in (items[0], items[-1]):
        with rasterio.open(local(published, item["assets"]["vv"]["href"])) as file:
            window = rasterio.windows.from_bounds(*box, transform=file.transform).round_offsets()
            levels.append(file.read(1, window=window.round_lengths()))
    before, after = levels
    assert before.shape == truth.shape
    known = (before != NO_DATA) & (after != NO_DATA)
    for kind, low, high in ((0, 0.8, 1.6), (1, 0.8, 1.6), (2, 0.0, 0.8)):
        here = known & (truth == kind)
        assert low < np.median(after[here]) / np.median(before[here]) < high, kind


def test_a_base_address_takes_the_place_of_the_hosts(small_event, data_dir, tmp_path):
    made = publish(small_event, tmp_path / "blobs", data_dir / "stac", "http://127.0.0.1:8080/")
    href = made.items[0]["assets"]["safe-manifest"]["href"]
    assert href.startswith("http://127.0.0.1:8080/s1-grd/GRD/2022/7/8/IW/DV/S1A_IW_GRDH_1SDV_")
    assert local(made, href).is_file()


def test_a_real_api_gives_it_out_and_its_hrefs_can_be_signed(
    published,
    stac_api,
    asset_server,  # noqa: F811
    monkeypatch,
):
    stac_api.load(published.collections, published.items)
    scenes = ApiSource(stac_api.url, "sentinel-1-grd").search(BBOX, DATES)
    assert {scene.id for scene in scenes} == {one["id"] for one in published.of("sentinel-1-grd")}

    store: AssetServer = asset_server(published.root)
    store.signed = True
    monkeypatch.setenv("http_proxy", store.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(Settings.get(), "sas_url", f"{store.url}/sas/token")
    monkeypatch.setattr("planetary_computer.sas.TOKEN_CACHE", {})
    client = pystac_client.Client.open(stac_api.url, modifier=planetary_computer.sign_inplace)
    for collection, key in (("cop-dem-glo-30", "data"), ("jrc-gsw", "occurrence")):
        (item,) = client.search(collections=[collection], bbox=BBOX).items()
        found = requests.get(item.assets[key].href)
        assert found.content == local(published, item.assets[key].href).read_bytes()
    assert {one.status for one in store.requests} == {200}
