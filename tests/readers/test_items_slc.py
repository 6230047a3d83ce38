"""STAC Items of single-look products, which have an image for each sub-swath and polarisation."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest

from cube.errors import SourceError, TrustError
from cube.readers.access import Access
from cube.readers.items import scene_from_item
from cube.readers.scene import Scene
from cube.readers.stac import CatalogSource

PUBLIC, LOCAL = Access(), Access(local=True)
ID = "S1A_IW_SLC__1SDV_20230904T063730_20230904T063757_050174_0609E3_DAA1"
GRD = "S1A_IW_GRDH_1SDV_20230904T063731_20230904T063756_050174_0609E3_1234"
TIMES = {
    "iw1": "20230904t063731-20230904t063756",
    "iw2": "20230904t063732-20230904t063757",
    "iw3": "20230904t063730-20230904t063755",
}
IMAGES = [(swath, pol) for swath in TIMES for pol in ("vv", "vh")]
BASE = f"https://example.com/slc/{ID}.SAFE"
EVERYWHERE = (-180.0, -90.0, 180.0, 90.0)


def stem(swath: str, pol: str) -> str:
    """Name of an image's files, as ESA numbers them: vh first."""
    number = int(swath[2]) + 3 * (pol == "vv")
    return f"s1a-{swath}-slc-{pol}-{TIMES[swath]}-050174-0609e3-{number:03d}"


def paths(swath: str, pol: str) -> tuple[str, ...]:
    """Measurement, annotation, calibration and noise inside the product."""
    name, tables = stem(swath, pol), "annotation/calibration"
    return (
        f"measurement/{name}.tiff",
        f"annotation/{name}.xml",
        f"{tables}/calibration-{name}.xml",
        f"{tables}/noise-{name}.xml",
    )


KEYS = ("{}", "schema-product-{}", "schema-calibration-{}", "schema-noise-{}")


def slc_item(base: str = BASE) -> dict[str, Any]:
    """An Item whose assets are named as stactools' sentinel1-slc names them."""
    assets: dict[str, Any] = {
        "safe-manifest": {"href": f"{base}/manifest.safe", "type": "application/xml"},
        "thumbnail": {"href": f"{base}/preview/quick-look.png", "roles": ["thumbnail"]},
    }
    for swath, pol in IMAGES:
        for key, path in zip(KEYS, paths(swath, pol), strict=True):
            kind = "image/tiff; application=geotiff" if path.endswith("tiff") else "application/xml"
            assets[key.format(f"{swath}-{pol}")] = {"href": f"{base}/{path}", "type": kind}
    ring = [[-10.9, 30.6], [-8.2, 30.2], [-7.8, 31.8], [-10.5, 32.2], [-10.9, 30.6]]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": ID,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [-10.9, 30.2, -7.8, 32.2],
        "properties": {
            "platform": "sentinel-1a",
            "datetime": "2023-09-04T06:37:43.5Z",
            "start_datetime": "2023-09-04T06:37:30.000000Z",
            "end_datetime": "2023-09-04T06:37:57.000000Z",
            "sar:instrument_mode": "IW",
            "sar:product_type": "SLC",
            "sar:polarizations": ["VV", "VH"],
            "sat:absolute_orbit": 50174,
            "sat:relative_orbit": 52,
            "sat:orbit_state": "descending",
            "s1:datatake_id": "395747",
        },
        "links": [],
        "assets": assets,
    }


def check_files(scene: Scene, base: str = BASE) -> None:
    found = {
        (files.swath, name): (files.measurement, files.annotation, files.calibration, files.noise)
        for name, files in scene.files
    }
    assert found == {
        (swath, pol): tuple(f"{base}/{path}" for path in paths(swath, pol)) for swath, pol in IMAGES
    }


def test_an_item_is_a_scene_with_files_of_each_swath_and_polarisation():
    scene = scene_from_item(slc_item(), PUBLIC, product="slc")
    assert (scene.id, scene.platform, scene.mode, scene.product) == (ID, "sentinel-1a", "IW", "SLC")
    assert (scene.relative_orbit, scene.orbit_direction) == (52, "descending")
    assert scene.datatake == 0x609E3
    assert scene.start == np.datetime64("2023-09-04T06:37:30")
    assert scene.polarisations == ("vv", "vh")
    check_files(scene)
    for one in scene.swaths(("vv", "vh")):
        assert {files.swath for files in one} <= set(TIMES)
        assert ["-vv-" in one[0].noise, "-vh-" in one[1].noise] == [True, True]
    assert [one[0].swath for one in scene.swaths(("vh",))] == ["iw1", "iw2", "iw3"]


def test_names_of_files_say_what_keys_do_not():
    item = slc_item()
    item["assets"] = {f"asset {n}": one for n, one in enumerate(item["assets"].values())}
    check_files(scene_from_item(item, PUBLIC, product="slc"))


def test_names_of_files_are_believed_over_keys():
    """Keys of two swaths are exchanged: files know better what they are."""
    item = slc_item()
    swapped = {"iw1": "iw3", "iw3": "iw1", "iw2": "iw2"}
    item["assets"] = {
        (key.replace(key[-6:-3], swapped[key[-6:-3]]) if key[-6:-3] in swapped else key): asset
        for key, asset in item["assets"].items()
    }
    assert item["assets"]["iw3-vv"]["href"].endswith(paths("iw1", "vv")[0])
    check_files(scene_from_item(item, PUBLIC, product="slc"))


def test_a_file_whose_name_says_it_is_taken_before_one_whose_key_does():
    item = slc_item()
    said = item["assets"].pop("iw1-vv")
    for first in (True, False):
        two = [("measurement", said), ("iw1-vv", {"href": f"{BASE}/measurement/1.tiff"})]
        item["assets"] |= dict(two if first else two[::-1])
        check_files(scene_from_item(item, PUBLIC, product="slc"))
        for key, _ in two:
            del item["assets"][key]


def test_keys_say_what_names_of_files_do_not():
    item = slc_item()
    hrefs = {}
    for number, (key, asset) in enumerate(item["assets"].items()):
        hrefs[key] = asset["href"] = f"{BASE}/{number}"
    scene = scene_from_item(item, PUBLIC, product="slc")
    for pol, files in scene.files:
        found = files.measurement, files.annotation, files.calibration, files.noise
        wanted = tuple(hrefs[key.format(f"{files.swath}-{pol}")] for key in KEYS)
        assert found == wanted
    assert len(scene.files) == 6


def test_short_names_are_enough():
    """Planetary Computer shortens names of GRD to iw-vv.tiff; these are iw1-vv.tiff likewise."""
    item = slc_item()
    for swath, pol in IMAGES:
        for key in KEYS:
            asset = item["assets"][key.format(f"{swath}-{pol}")]
            asset["href"] = asset["href"].replace(stem(swath, pol), f"{swath}-{pol}")
    scene = scene_from_item(item, PUBLIC, product="slc")
    found = {(files.swath, pol): files.calibration for pol, files in scene.files}
    assert found["iw2", "vh"] == f"{BASE}/annotation/calibration/calibration-iw2-vh.xml"
    assert len(found) == 6


def test_swaths_and_polarisations_that_are_not_there_are_left_out():
    item = slc_item()
    for key in [key for key in item["assets"] if key.endswith("vh") or "iw3" in key]:
        del item["assets"][key]
    scene = scene_from_item(item, PUBLIC, product="slc")
    assert [(name, files.swath) for name, files in scene.files] == [("vv", "iw1"), ("vv", "iw2")]


@pytest.mark.parametrize("key", ["schema-product-iw1-vv", "schema-noise-iw2-vh"])
def test_an_asset_that_is_missing_is_named(key):
    item = slc_item()
    del item["assets"][key]
    with pytest.raises(SourceError, match=f"^{ID}: no asset '{key}'; assets: safe-manifest") as one:
        scene_from_item(item, PUBLIC, product="slc")
    assert "\n" not in str(one.value)


def test_a_calibration_that_is_missing_is_named():
    item = slc_item()
    del item["assets"]["schema-calibration-iw3-vv"]
    with pytest.raises(SourceError, match=f"^{ID}: no asset 'schema-calibration-iw3-vv'"):
        scene_from_item(item, PUBLIC, product="slc")


def test_an_annotation_beside_its_calibration_is_found_where_rfi_is_listed_instead():
    item = slc_item()
    for swath, pol in IMAGES:
        asset = item["assets"][f"schema-product-{swath}-{pol}"]
        asset["href"] = f"{BASE}/annotation/rfi/rfi-{stem(swath, pol)}.xml"
    check_files(scene_from_item(item, PUBLIC, product="slc"))


def test_the_size_is_that_of_all_measurements():
    item = slc_item()
    for number, (swath, pol) in enumerate(IMAGES):
        item["assets"][f"{swath}-{pol}"]["file:size"] = 10**number
    assert scene_from_item(item, PUBLIC, product="slc").size == 111_111


# --- what is refused


def test_a_recorded_item_with_measurements_only_is_one_line(data_dir):
    item = json.loads((data_dir / "stac/cdse/sentinel-1-slc-iw.json").read_text())
    with pytest.raises(SourceError) as caught:
        scene_from_item(item, PUBLIC, product="slc")
    assert str(caught.value).startswith(f"{item['id']}: no asset 'schema-calibration-iw1-vv' nor o")
    assert "iw3-vh" in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_recorded_item_of_grd_is_no_slc(data_dir):
    item = json.loads((data_dir / "stac/planetary_computer/mspc-s1-grd.json").read_text())
    with pytest.raises(SourceError, match=r": is a GRD product, not SLC$"):
        scene_from_item(item, PUBLIC, product="slc")


@pytest.mark.parametrize("product", ["grd", "rtc"])
def test_an_slc_item_is_nothing_else(product):
    with pytest.raises(SourceError, match=f"^{ID}: is an SLC product, not {product.upper()}$"):
        scene_from_item(slc_item(), PUBLIC, product=product)


def test_an_item_whose_images_have_no_swath_is_one_line():
    item = slc_item()
    item["assets"] = {"vv": {"href": f"{BASE}/vv.tiff"}, "vh": {"href": f"{BASE}/vh.tiff"}}
    says = "no vv, vh, hh or hv asset for any sub-swath; assets: vv, vh$"
    with pytest.raises(SourceError, match=says):
        scene_from_item(item, PUBLIC, product="slc")


def test_local_files_are_for_local_catalogs_only():
    item = slc_item(f"/data/{ID}.SAFE")
    with pytest.raises(TrustError, match="asset 'iw1-vv' points into this machine or network"):
        scene_from_item(item, PUBLIC, product="slc")
    check_files(scene_from_item(item, LOCAL, product="slc"), f"/data/{ID}.SAFE")


# --- catalogs


def grd_item() -> dict[str, Any]:
    """The same pass as a ground range product."""
    item = slc_item()
    times = "20230904t063731-20230904t063756-050174-0609e3"
    item |= {"id": GRD, "assets": {}}
    item["properties"]["sar:product_type"] = "GRD"
    for number, pol in enumerate(("vv", "vh"), start=1):
        name = f"s1a-iw-grd-{pol}-{times}-{number:03d}"
        for key, path in {
            pol: f"measurement/{name}.tiff",
            f"schema-product-{pol}": f"annotation/{name}.xml",
            f"schema-calibration-{pol}": f"annotation/calibration/calibration-{name}.xml",
            f"schema-noise-{pol}": f"annotation/calibration/noise-{name}.xml",
        }.items():
            item["assets"][key] = {"href": f"https://example.com/grd/{GRD}.SAFE/{path}"}
    return item


def write_catalog(folder: Path, *items: dict[str, Any]) -> Path:
    catalog = pystac.Catalog("both", "Two kinds of products")
    catalog.add_items([pystac.Item.from_dict(deepcopy(item)) for item in items])
    catalog.normalize_and_save(str(folder), pystac.CatalogType.SELF_CONTAINED)
    return folder / "catalog.json"


def test_a_catalog_of_both_kinds_gives_each_its_own(tmp_path):
    catalog = write_catalog(tmp_path, grd_item(), slc_item())
    days = date(2023, 9, 4), date(2023, 9, 4)
    for product, name, other in (("slc", ID, "GRD"), ("grd", GRD, "SLC")):
        source = CatalogSource(catalog, "any", product=product)
        (scene,) = source.search(EVERYWHERE, days)
        assert (scene.id, scene.product) == (name, product.upper())
        assert source.notes == [f"left out 1 {other} products"]
    (scene,) = CatalogSource(catalog, "any", product="slc").scenes
    check_files(scene)


def test_assets_of_a_catalog_may_be_relative(tmp_path):
    item = slc_item(f"./{ID}.SAFE")
    (scene,) = CatalogSource(write_catalog(tmp_path, item), "any", product="slc").scenes
    check_files(scene, str(tmp_path / ID / f"{ID}.SAFE"))


def test_a_catalog_without_the_kind_is_one_line(tmp_path):
    catalog = write_catalog(tmp_path, grd_item())
    with pytest.raises(SourceError, match=f"^{GRD}: is a GRD product, not SLC$"):
        CatalogSource(catalog, "any", product="slc")


def test_an_item_that_lacks_a_file_is_left_out_with_a_note(tmp_path):
    broken = slc_item()
    broken["id"] = ID.replace("DAA1", "DAA2")
    del broken["assets"]["schema-noise-iw1-vv"]
    source = CatalogSource(write_catalog(tmp_path, slc_item(), broken), "any", product="slc")
    assert [scene.id for scene in source.scenes] == [ID]
    (note,) = source.notes
    assert note.startswith(f"left out {broken['id']}: no asset 'schema-noise-iw1-vv'")
