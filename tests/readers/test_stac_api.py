"""STAC APIs, driven through a small one on this machine, and Items as they are found outside."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from shapely.geometry import shape
from small_api import BBOX, DATES, item

from cube.errors import SearchError, SourceError
from cube.readers.access import Access, is_loopback
from cube.readers.items import scene_from_item
from cube.readers.scene import Scene
from cube.readers.stac import ApiSource


def test_all_pages_are_collected(api, source):
    api.items = [item(f"S1A_{number}") for number in range(7)]
    assert sorted(scene.id for scene in source.search(BBOX, DATES)) == [
        f"S1A_{number}" for number in range(7)
    ]


def test_the_search_names_collection_area_and_days(api, source):
    source.search(BBOX, DATES)
    asked = api.asked[0]
    assert asked["collections"] == ["sentinel-1-grd"]
    assert asked["bbox"] == list(BBOX)
    assert asked["datetime"].startswith("2022-08-01T00:00:00Z/2022-09-30T23:59:59")


def test_an_area_across_the_antimeridian_is_asked_as_its_two_parts(api, source):
    source.search((179.0, -18.0, -179.0, -17.0), DATES)
    (asked,) = api.asked
    assert "bbox" not in asked
    parts = sorted(part.bounds for part in shape(asked["intersects"]).geoms)
    assert parts == [(-180, -18, -179, -17), (179, -18, 180, -17)]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(api, source, status):
    api.items, api.fail = [item()], [(status, "busy")]
    assert len(source.search(BBOX, DATES)) == 1


def test_what_a_server_did_not_filter_is_left_out(api, source):
    far = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
    api.items = [item("near"), item("far", geometry=far), item("late", day="2023-01-01")]
    assert [scene.id for scene in source.search(BBOX, DATES)] == ["near"]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, "always"),
        (403, "forbidden"),
        (404, "no such page"),
        (200, "<html>maintenance</html>"),
        (200, ""),
        (200, "[]"),
        (200, "null"),
        (200, '{"type": "FeatureCollection", "features": [{"type": "Feature"}]}'),
        (200, '{"type": "FeatureCollection", "features": [null]}'),
    ],
)
def test_a_failed_search_is_one_error(api, source, status, body):
    api.always = (status, body)
    with pytest.raises(SearchError, match=r"search failed \(.*\); check the address"):
        source.search(BBOX, DATES)


@pytest.mark.parametrize("landing", [{}, [], {"type": "Catalog"}, {"hello": "world"}])
def test_a_place_that_is_no_api_is_one_error(api, source, landing):
    api.landing = landing
    with pytest.raises(SearchError, match="search failed"):
        source.search(BBOX, DATES)


def test_nobody_there_is_one_error(source):
    nobody = ApiSource("http://127.0.0.1:9", "sentinel-1-grd")
    with pytest.raises(SearchError, match="search failed"):
        nobody.search(BBOX, DATES)


def test_scenes_are_fetched_by_id_in_order(api, source):
    api.items = [item(name) for name in "abc"]
    assert [scene.id for scene in source.fetch(["c", "a"])] == ["c", "a"]


def test_a_scene_that_is_gone_is_named(api, source):
    api.items = [item("a")]
    with pytest.raises(SearchError, match="no longer holds b, which the cube needs"):
        source.fetch(["a", "b"])


def test_a_plan_from_an_api_lists_its_passes(api, cube_command, small_event):
    api.items = [item("a", day="2022-08-25"), item("b", day="2022-09-18")]
    for one, datatake in zip(api.items, (1, 2), strict=True):
        one["properties"]["s1:datatake_id"] = datatake
    words = ("--event", small_event / "event.toml", "--source", api.url, "--json")
    found = json.loads(cube_command("plan", *words).fine().out)
    assert [one["scenes"] for one in found["passes"]] == [["a"], ["b"]]


# --- Items


def convert(record: dict[str, Any], *, local: bool = False, product: str = "grd") -> Scene:
    return scene_from_item(deepcopy(record), Access(local=local), product=product)


def without(record: dict[str, Any], section: str, key: str) -> dict[str, Any]:
    del record[section][key]
    return record


def placed(href: str) -> dict[str, Any]:
    record = item()
    record["assets"]["vv"]["href"] = href
    return record


@pytest.mark.parametrize(
    "href",
    [
        "file:///etc/passwd",
        "/etc/passwd",
        "vv.tiff",
        "http://127.0.0.1/vv.tiff",
        "http://localhost:8000/vv.tiff",
        "http://localhost./vv.tiff",
        "http://a.localhost/vv.tiff",
        "http://[::1]/vv.tiff",
        "http://[::ffff:127.0.0.1]/vv.tiff",
        "http://127.1/vv.tiff",
        "http://2130706433/vv.tiff",
        "http://0x7f000001/vv.tiff",
        "http://0.0.0.0/vv.tiff",
        "http://10.0.0.1/vv.tiff",
        "http://192.168.1.1/vv.tiff",
        "http://169.254.169.254/latest/meta-data",
        "ftp://example.com/vv.tiff",
        "javascript:alert(1)",
    ],
)
def test_a_public_item_may_not_point_into_this_machine(href):
    with pytest.raises(SourceError, match="which only endpoints with trust = 'local' may do"):
        convert(placed(href))


def test_a_local_item_may_point_to_a_file():
    assert dict(convert(placed("file:///data/a%20b.tiff"), local=True).files)["vv"].measurement == (
        "/data/a b.tiff"
    )


@pytest.mark.parametrize("host", ["example.com", "8.8.8.8", "2001:4860:4860::8888", "localhos.t"])
def test_other_hosts_are_not_this_machine(host):
    assert not is_loopback(host)


BAD: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "no geometry": (lambda: without_geometry(), "Item without geometry"),
    "geometry": (lambda: item(geometry={"type": "Polygon"}), "geometry is not GeoJSON"),
    "metres": (lambda: in_metres(), "is not in degrees"),
    "no measurement": (lambda: without(item(), "assets", "vv"), "no vv, vh, hh or hv asset"),
    "no annotation": (
        lambda: without(item(), "assets", "schema-product-vv"),
        "no asset 'schema-product-vv'; assets: vv, ",
    ),
    "no noise": (lambda: without(item(), "assets", "schema-noise-vv"), "no asset 'schema-noise-vv"),
    "no orbit": (
        lambda: without(item(), "properties", "sat:relative_orbit"),
        "sat:relative_orbit is None, not a whole number",
    ),
    "no datatake": (
        lambda: without(item(), "properties", "s1:datatake_id"),
        "s1:datatake_id is None, not a whole number",
    ),
    "time": (lambda: item(start_datetime="noon"), "start_datetime 'noon' is not a time"),
}


def without_geometry() -> dict[str, Any]:
    return {**without({**item()}, "assets", "vv"), "geometry": None, "assets": item()["assets"]}


def in_metres() -> dict[str, Any]:
    ring = [[4e5, 3e6], [5e5, 3e6], [5e5, 4e6], [4e5, 3e6]]
    return item(geometry={"type": "Polygon", "coordinates": [ring]}, bbox=[4e5, 3e6, 5e5, 4e6])


@pytest.mark.parametrize("case", BAD, ids=list(BAD))
def test_an_item_that_cannot_be_used_is_named(case):
    make, says = BAD[case]
    with pytest.raises(SourceError, match=says) as caught:
        convert(make())
    assert str(caught.value).startswith("S1A_1: ")


@pytest.mark.parametrize("case", BAD, ids=list(BAD))
def test_a_search_that_meets_such_an_item_is_one_error(api, source, case):
    api.items = [BAD[case][0]()]
    with pytest.raises(SourceError, match="S1A_1"):
        source.search(BBOX, DATES)


def test_a_footprint_across_the_antimeridian_stays_in_one_piece():
    ring = [[179, -18], [-179, -18], [-179, -17], [179, -17], [179, -18]]
    west, _, east, _ = convert(
        item(geometry={"type": "Polygon", "coordinates": [ring]})
    ).footprint.bounds
    assert (west, east) == (179, 181)
