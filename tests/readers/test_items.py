"""Items as providers wrote them, recorded word for word, against values read from them by hand."""

from __future__ import annotations

import json
import re
import zipfile
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyproj import Transformer

from cube.errors import SourceError, TrustError
from cube.readers.access import Access
from cube.readers.items import scene_from_item
from cube.readers.scene import Scene

PUBLIC = Access()
LOCAL = Access(local=True)
BLOB = "https://sentinel1euwest.blob.core.windows.net/s1-grd/GRD/2024/3/25/IW/DV"
PLANETARY = f"{BLOB}/S1A_IW_GRDH_1SDV_20240325T055038_20240325T055103_053134_066FC4_F9DE"
EARTH = (
    "s3://sentinel-s1-l1c/GRD/2024/3/25/EW/DH"
    "/S1A_EW_GRDM_1SDH_20240325T094655_20240325T094811_053136_066FDB_411C"
)
RAW = "/tmp/tmpsskmzq08/S1A_IW_GRDH_1SDV_20230628T210705_20230628T210730_049191_05EA4D_21D1"
CDSE = "https://example.com/collections/sentinel-1/items"
ANTARCTIC = "s1a-ew-grd-hh-20181103t235855-20181103t235955-024430-02ad5d-001"


@pytest.fixture
def recorded(data_dir: Path):
    """A recorded Item by the name of its file."""
    return lambda name: json.loads((data_dir / "stac" / f"{name}.json").read_text())


def named(scene: Scene) -> tuple[object, ...]:
    """Everything of a scene that is a name or number."""
    return (
        scene.platform,
        scene.datatake,
        scene.relative_orbit,
        scene.orbit_direction,
        scene.mode,
        scene.product,
        scene.polarisations,
        str(scene.start),
        str(scene.stop),
        None if scene.processed is None else str(scene.processed),
    )


GRD = {
    "planetary_computer/mspc-s1-grd": (
        ("sentinel-1a", 421828, 37, "descending", "IW", "GRD", ("vv", "vh")),
        ("2024-03-25T05:50:38.146465", "2024-03-25T05:51:03.145498", None),
        (3.719923, 50.70784, 7.919515, 52.613338),
    ),
    "planetary_computer/sentinel-1-grd-item-raw": (
        ("sentinel-1a", 387661, 119, "descending", "IW", "GRD", ("vv", "vh")),
        ("2023-06-28T21:07:05.989235", "2023-06-28T21:07:30.988556", None),
        (124.573364, -20.116745, 127.354973, -18.052515),
    ),
    "earth_search/earthsearch-s1-grd": (
        ("sentinel-1a", 421851, 39, "descending", "EW", "GRD", ("hh", "hv")),
        ("2024-03-25T09:46:55.852211", "2024-03-25T09:48:11.472734", "2024-03-25T11:02:44.000000"),
        (-167.6563448, -79.9340661, -143.2860338, -75.7045685),
    ),
    # Nothing of orbits in its properties: 0x02ad5d, (24430 - 73) mod 175 + 1 from its files' names
    "cdse/sentinel-1-grd-ew": (
        ("sentinel-1a", 175453, 33, "unknown", "EW", "GRD", ("hh",)),
        ("2018-11-03T23:58:55.121559", "2018-11-03T23:59:55.112875", None),
        (-70.275032, -64.72924, -65.087479, -51.105831),
    ),
}
FILES = {
    "planetary_computer/mspc-s1-grd": {
        pol: (
            f"{PLANETARY}/measurement/iw-{pol}.tiff",
            f"{PLANETARY}/annotation/iw-{pol}.xml",  # listed is annotation/rfi/rfi-iw-vv.xml
            f"{PLANETARY}/annotation/calibration/calibration-iw-{pol}.xml",
            f"{PLANETARY}/annotation/calibration/noise-iw-{pol}.xml",
        )
        for pol in ("vv", "vh")
    },
    "planetary_computer/sentinel-1-grd-item-raw": {
        pol: (
            f"{RAW}/measurement/iw-{pol}.tiff",
            f"{RAW}/annotation/iw-{pol}.xml",  # listed are rfi-iw-vh.xml, annotation/rfi/rfi-iw-vv
            f"{RAW}/annotation/calibration/calibration-iw-{pol}.xml",
            f"{RAW}/annotation/calibration/noise-iw-{pol}.xml",
        )
        for pol in ("vv", "vh")
    },
    "earth_search/earthsearch-s1-grd": {
        pol: (
            f"{EARTH}/measurement/ew-{pol}.tiff",
            f"{EARTH}/annotation/ew-{pol}.xml",
            f"{EARTH}/annotation/calibration/calibration-ew-{pol}.xml",
            f"{EARTH}/annotation/calibration/noise-ew-{pol}.xml",
        )
        for pol in ("hh", "hv")
    },
    # Its assets are named products, calibrations, noises and measurement
    "cdse/sentinel-1-grd-ew": {
        "hh": (
            f"{CDSE}/measurement/{ANTARCTIC}.tiff",
            f"{CDSE}/annotation/{ANTARCTIC}.xml",
            f"{CDSE}/annotation/calibration/calibration-{ANTARCTIC}.xml",
            f"{CDSE}/annotation/calibration/noise-{ANTARCTIC}.xml",
        )
    },
}


@pytest.mark.parametrize("name", GRD)
def test_a_recorded_grd_item_is_a_scene(recorded, name):
    item = recorded(name)
    scene = scene_from_item(item, LOCAL if "raw" in name else PUBLIC)
    about, times, bounds = GRD[name]
    assert scene.id == item["id"]
    assert named(scene) == (*about, *times)
    assert scene.footprint.bounds == pytest.approx(bounds, abs=1e-9)
    found = {
        pol: (files.measurement, files.annotation, files.calibration, files.noise)
        for pol, files in scene.files
    }
    assert found == FILES[name]


REFUSED = {
    # COGs of a stripmap product without their annotation
    "cdse/sentinel-1-grd-s4": (
        "S1A_S4_GRDH_1SDV_20240531T073124_20240531T073144_054112_06947D_072C: no asset"
        " 'schema-calibration-vv' nor others of its kind, which only terrain-corrected products do"
        " without (--product rtc); assets: vh, vv, thumbnail"
    ),
    "cdse/sentinel-1-slc-iw": (
        "S1A_IW_SLC__1SDV_20240618T173936_20240618T174003_054381_069DC0_C1A4.SAFE: is an SLC"
        " product, not GRD"
    ),
    "planetary_computer/jrc-gsw-item": (
        "0000360000-0000480000: no vv, vh, hh or hv asset; assets: seasonality, occurrence, change,"
        " recurrence, transitions, extent"
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_grd_product_is_one_line(recorded, name):
    with pytest.raises(SourceError) as caught:
        scene_from_item(recorded(name), PUBLIC)
    assert str(caught.value) == REFUSED[name]


def outcome(item: dict[str, Any], product: str) -> Scene | SourceError:
    try:
        return scene_from_item(item, LOCAL, product=product)
    except SourceError as error:
        return error


def test_every_recorded_item_is_a_scene_or_a_line(data_dir):
    paths = sorted((data_dir / "stac").glob("[!c]*/*.json")) + sorted(
        (data_dir / "stac/cdse").glob("*.json")
    )
    assert len(paths) >= 13
    scenes = 0
    for path in paths:
        item = json.loads(path.read_text())
        for product in ("grd", "rtc", "slc"):
            found = outcome(item, product)
            scenes += isinstance(found, Scene)
            if isinstance(found, SourceError):
                assert str(found).startswith(f"{item['id']}: ")
                assert str(found).isprintable()
    assert scenes >= 4 + 6


def test_an_slc_is_no_terrain_corrected_product(recorded):
    with pytest.raises(SourceError, match="is an SLC product, not RTC"):
        scene_from_item(recorded("cdse/sentinel-1-slc-iw"), PUBLIC, product="rtc")


def test_local_paths_are_for_local_catalogs_only(recorded):
    item = recorded("planetary_computer/sentinel-1-grd-item-raw")
    says = r"asset 'vv' points into this machine or network \(/tmp/tmpsskmzq08/S1A"
    with pytest.raises(TrustError, match=says):
        scene_from_item(item, PUBLIC)


# --- terrain-corrected

STARTS = ("20191215T003835", "20191215T004249", "20191215T004314", "20191215T004339")


@pytest.mark.parametrize("start", STARTS)
def test_metres_become_the_degrees_that_proj_gives(data_dir, start):
    path = next((data_dir / "stac/planetary_computer").glob(f"S1A_IW_GRDH_1SDV_{start}_*.json"))
    item = json.loads(path.read_text())
    scene = scene_from_item(item, PUBLIC, product="rtc")
    change = Transformer.from_crs(item["properties"]["proj:epsg"], 4326, always_xy=True)
    ring = np.array(item["geometry"]["coordinates"][0])
    assert np.abs(ring).max() > 1e5, "metres"
    lon, lat = change.transform(ring[:, 0], ring[:, 1])
    found = np.array(scene.footprint.exterior.coords)
    np.testing.assert_allclose(found, np.stack([lon, lat], axis=1), atol=1e-12)
    assert -110 < lon.min() < lon.max() < -85, "North America, as track 5 of that evening is"
    assert named(scene)[:7] == (
        *("sentinel-1a", 0x378DC, (30352 - 73) % 175 + 1, "ascending", "IW", "RTC"),
        ("vv", "vh"),
    )


# --- orbits


def orbits(product: Path) -> tuple[int, int]:
    """Absolute and relative orbit, from the text of a manifest."""
    if product.suffix == ".zip":
        with zipfile.ZipFile(product) as file:
            name = next(one for one in file.namelist() if one.endswith("manifest.safe"))
            text = file.read(name).decode()
    else:
        text = (product / "manifest.safe").read_text()
    tags = ("orbitNumber", "relativeOrbitNumber")
    found = [re.findall(rf':{tag} type="start">(\d+)<', text) for tag in tags]
    return int(found[0][0]), int(found[1][0])


@pytest.mark.parametrize(
    ("product", "absolute", "relative"),
    [
        ("S1A_IW_GRDH_1SDV_20150203T043109", 4454, 7),
        ("S1A_IW_GRDH_1SDV_20210809T173953", 39156, 59),
        ("S1A_IW_SLC__1SDV_20220104T170557", 41314, 117),
        ("S1A_IW_SLC__1SDV_20230904T063730", 50174, 52),
        ("S1B_IW_GRDH_1SDV_20211223T051122", 30148, 22),
    ],
)
def test_relative_orbits_follow_from_absolute_ones(data_dir, recorded, product, absolute, relative):
    assert orbits(next((data_dir / "safe").glob(f"{product}*"))) == (absolute, relative)
    item = recorded("planetary_computer/mspc-s1-grd")
    item["properties"]["platform"] = f"sentinel-1{product[2].lower()}"
    item["properties"]["sat:absolute_orbit"] = absolute
    item["properties"]["sat:relative_orbit"] = None
    assert scene_from_item(item, PUBLIC).relative_orbit == relative


def test_orbits_of_other_satellites_are_not_guessed(recorded):
    item = recorded("planetary_computer/mspc-s1-grd")
    item["properties"]["platform"] = "sentinel-1c"
    del item["properties"]["sat:relative_orbit"]
    with pytest.raises(SourceError, match="sat:relative_orbit is None, not a whole number of 1"):
        scene_from_item(item, PUBLIC)


# --- what an Item leaves out


def changed(recorded: Any, properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The Planetary Computer's Item, changed; None takes a property out."""
    item = deepcopy(recorded("planetary_computer/mspc-s1-grd")) | more
    item["properties"] |= properties
    gone = [key for key, value in properties.items() if value is None]
    for key in gone:
        del item["properties"][key]
    return item


def test_names_say_what_properties_leave_out(recorded):
    left_out = (
        *("platform", "s1:datatake_id", "sat:relative_orbit", "sat:absolute_orbit"),
        *("sar:instrument_mode", "sar:product_type"),
    )
    whole = scene_from_item(recorded("planetary_computer/mspc-s1-grd"), PUBLIC)
    bare = scene_from_item(changed(recorded, dict.fromkeys(left_out)), PUBLIC)
    assert named(bare) == named(whole)


@pytest.mark.parametrize("suffix", [".tiff", "-cog.tiff"])
def test_names_of_cogs_say_it_too(recorded, suffix):
    item = recorded("cdse/sentinel-1-grd-ew")
    asset = item["assets"]["measurement"]
    asset["href"] = asset["href"].replace(".tiff", suffix).upper().replace("HTTPS", "https")
    del item["properties"]["platform"], item["properties"]["product:type"]
    for key in ("products", "calibrations", "noises"):
        item["assets"][key] = item["assets"].pop(key)  # the measurement is asked first
    assert named(scene_from_item(item, PUBLIC))[:3] == ("sentinel-1a", 175453, 33)


@pytest.mark.parametrize(
    ("times", "made"),
    [
        ({"processing:datetime": "2024-03-26T01:00:00Z", "updated": "2024-05-01"}, "2024-03-26T01"),
        ({"updated": "2024-05-01T00:00:00.5Z", "created": "2024-04-01"}, "2024-05-01T00:00:00.5"),
        ({"created": "2024-04-01T02:00:00+02:00"}, "2024-04-01"),
        ({"processing:datetime": "soon", "created": "2024-04-01"}, "2024-04-01"),
        ({"processing:datetime": 20240401}, "NaT"),
        ({}, "NaT"),
    ],
)
def test_when_a_product_was_made(recorded, times, made):
    found = scene_from_item(changed(recorded, times), PUBLIC).processed
    assert found == np.datetime64(made) if made != "NaT" else found is None


@pytest.mark.parametrize(
    ("properties", "says"),
    [
        ({"start_datetime": "now"}, "start_datetime 'now' is not a time"),
        ({"start_datetime": 20240325}, "start_datetime 20240325 is not a time"),
        ({"end_datetime": "2024-03-25T05:50:00Z"}, "ends at 2024-03-25T05:50:00.000000, before"),
        ({"sat:relative_orbit": 176}, "sat:relative_orbit is 176, not a whole number of 1 to 175"),
        ({"sat:relative_orbit": 37.5}, "is 37.5, not a whole number"),
        ({"sat:relative_orbit": True}, "is True, not a whole number"),
        ({"sat:relative_orbit": float("nan")}, "is nan, not a whole number"),
        ({"sat:relative_orbit": 1e300}, r"is 1e\+300, not a whole number"),
        ({"s1:datatake_id": "-3"}, "s1:datatake_id is '-3', not a whole number"),
        ({"s1:datatake_id": "9" * 5000}, "s1:datatake_id is '9+…, not a whole number"),
        ({"s1:datatake_id": 10**5000}, "malformed Item \\(Exceeds the limit"),
        ({"sar:product_type": "OCN"}, "is an OCN product, not GRD"),
    ],
)
def test_properties_that_make_no_sense_are_named(recorded, properties, says):
    with pytest.raises(SourceError, match=says) as caught:
        scene_from_item(changed(recorded, properties), PUBLIC)
    assert str(caught.value).startswith("S1A_IW_GRDH_1SDV_20240325T055038_")


def test_an_item_that_says_nothing_of_its_product_is_refused(recorded):
    item = recorded("cdse/sentinel-1-grd-ew")
    for asset in item["assets"].values():
        asset["href"] = asset["href"].replace("s1a-", "").replace("-grd-", "-")
    item["properties"] |= {"s1:datatake_id": 1, "sat:relative_orbit": 2}
    assert scene_from_item(item, PUBLIC).product == "GRD"
    del item["properties"]["product:type"]
    with pytest.raises(SourceError, match="sentinel-1-example: sar:product_type is None"):
        scene_from_item(item, PUBLIC)
    item["properties"] |= {"product:type": "GRD", "platform": "sentinel-2a"}
    with pytest.raises(SourceError, match="platform is 'sentinel-2a', not a Sentinel-1"):
        scene_from_item(item, PUBLIC)


@pytest.mark.parametrize("name", [None, 7, "", "a b", "a\nb", "a\x1b[2J", ["a"], "x" * 300])
def test_an_id_that_is_no_name_is_refused(recorded, name):
    with pytest.raises(SourceError, match=r"an Item without a proper id$") as caught:
        scene_from_item(changed(recorded, {}, id=name), PUBLIC)
    assert str(caught.value).isprintable()


def ring_with(lon: float, lat: float) -> dict[str, Any]:
    """A triangle with that corner."""
    return {"type": "Polygon", "coordinates": [[[0, 0], [lon, lat], [1, 1], [0, 0]]]}


@pytest.mark.parametrize(
    ("geometry", "says"),
    [
        (None, "Item without geometry"),
        ({"type": "Point", "coordinates": [5, 51]}, "geometry is an empty Point, not an area"),
        ({"type": "Polygon", "coordinates": []}, "geometry is an empty Polygon, not an area"),
        (ring_with(float("nan"), 51), "geometry is an empty Polygon, not an area"),
        (ring_with(5, float("nan")), "geometry is an empty Polygon, not an area"),
        ({"type": "Polygon"}, "geometry is not GeoJSON"),
        ({"type": "Heptagon", "coordinates": [1]}, "geometry is not GeoJSON"),
        ("POLYGON ((0 0, 1 0, 1 1, 0 0))", "geometry is not GeoJSON"),
        ([], "geometry is not GeoJSON"),
    ],
)
def test_a_geometry_that_is_none_is_named(recorded, geometry, says):
    with pytest.raises(SourceError, match=says):
        scene_from_item(changed(recorded, {}, geometry=geometry), PUBLIC)


def test_a_ring_that_crosses_itself_is_still_an_area(recorded):
    ring = [[4, 51], [5, 52], [5, 51], [4, 52], [4, 51]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    footprint = scene_from_item(changed(recorded, {}, geometry=geometry), PUBLIC).footprint
    assert footprint.is_valid
    assert footprint.area == pytest.approx(0.5)


@pytest.mark.parametrize("code", ["EPSG:0", "+proj=utm", "@file.txt", 4326, [1], {"a": 1}])
def test_metres_in_a_projection_that_is_none_are_refused(data_dir, code):
    path = next((data_dir / "stac/planetary_computer").glob("*20191215T004249*.json"))
    item = json.loads(path.read_text())
    item["properties"]["proj:code"] = code
    with pytest.raises(SourceError, match=r"_rtc: geometry 282795,\S+ is not in degrees"):
        scene_from_item(item, PUBLIC, product="rtc")
