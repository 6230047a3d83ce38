"""Searches of a real STAC API, answered well and badly."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import pystac_client
import pytest
from real_api import RealApi
from servers import Fault, FaultProxy

from cube.errors import SearchError
from cube.readers.stac import ApiSource

MANY = 650  # three pages of 250
BBOX = (68.1, 27.4, 68.3, 27.6)
DATES = (date(2022, 8, 1), date(2022, 9, 30))
PLAIN = [[68, 27], [69, 27], [69, 28], [68, 28], [68, 27]]
HREF = "https://example.com/grd"


def item(
    name: str,
    collection: str = "plain",
    *,
    start: str = "2022-09-18T01:25:20.500000",
    stop: str | None = None,
    geometry: dict[str, Any] | None = None,
    **properties: Any,
) -> dict[str, Any]:
    """An Item as the Planetary Computer writes it, cut to what counts."""
    shape = geometry or {"type": "Polygon", "coordinates": [PLAIN]}
    assets = {
        "vv": "measurement/iw-vv.tiff",
        "schema-product-vv": "annotation/rfi/rfi-iw-vv.xml",
        "schema-calibration-vv": "annotation/calibration/calibration-iw-vv.xml",
        "schema-noise-vv": "annotation/calibration/noise-iw-vv.xml",
    }
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": collection,
        "geometry": shape,
        "bbox": bounds(shape),
        "properties": {
            "datetime": f"{start}Z",
            "start_datetime": f"{start.replace('T', ' ')}+00:00",
            "end_datetime": f"{(stop or start).replace('T', ' ')}+00:00",
            "platform": "SENTINEL-1A",
            "s1:datatake_id": "123456",
            "sat:relative_orbit": 78,
            "sat:orbit_state": "descending",
            "sar:instrument_mode": "IW",
            "sar:product_type": "GRD",
            **properties,
        },
        "links": [],
        "assets": {key: {"href": f"{HREF}/{name}/{path}"} for key, path in assets.items()},
    }


def rectangle(west: float, south: float, east: float, north: float) -> list[list[list[float]]]:
    return [[[west, south], [east, south], [east, north], [west, north], [west, south]]]


def polygon(*box: float) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": rectangle(*box)}


def bounds(shape: dict[str, Any]) -> list[float]:
    parts = shape["coordinates"] if shape["type"] == "MultiPolygon" else [shape["coordinates"]]
    points = [point for part in parts for ring in part for point in ring]
    lon, lat = [point[0] for point in points], [point[1] for point in points]
    return [min(lon), min(lat), max(lon), max(lat)]


def collection(name: str) -> dict[str, Any]:
    extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
    return {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": name,
        "description": name,
        "license": "CC0-1.0",
        "extent": extent,
        "links": [],
    }


def several(number: int) -> dict[str, Any]:
    """One of many Items; ten share each moment, so that a page may end between equals."""
    day, hour = divmod(number // 10, 24)
    start = f"2022-09-{10 + day:02d}T{hour:02d}:25:20.500000"
    return item(f"S1A_{number:04d}", "many", start=start, **{"sat:relative_orbit": number % 5 + 1})


# Footprints around 180 degrees: written in two parts, around the globe, on either side, elsewhere
AROUND = {
    "parts": {
        "type": "MultiPolygon",
        "coordinates": [rectangle(179, -19, 180, -16), rectangle(-180, -19, -178, -16)],
    },
    "globe": polygon(179.5, -19, -178, -16),
    "east": polygon(177, -19, 179.5, -16),
    "west": polygon(-179.5, -19, -177, -16),
    "greenwich": polygon(-1, -19, 1, -16),
    "north": polygon(179.2, -15, 179.8, -14),
}
TIMES = {
    "first": ("2022-08-01T00:00:00.000000", "2022-08-01T00:00:25.000000"),
    "last": ("2022-09-30T23:59:59.999999", "2022-10-01T00:00:24.000000"),
    "early": ("2022-07-31T23:59:20.000000", "2022-07-31T23:59:45.000000"),
    "midnight": ("2022-07-31T23:59:50.000000", "2022-08-01T00:00:15.000000"),
    "late": ("2022-10-01T00:00:00.000000", "2022-10-01T00:00:25.000000"),
}
PLACES = {
    "over": {"type": "Polygon", "coordinates": [PLAIN]},
    "touching": polygon(68.25, 27.55, 69, 28),
    "beside": polygon(68.4, 27.4, 69, 27.6),
    # its box meets the area, itself it does not
    "slanted": {"type": "Polygon", "coordinates": [[[69, 27], [69, 28], [68.05, 28], [69, 27]]]},
}


@pytest.fixture(scope="module")
def api(stac_api: RealApi) -> RealApi:
    """The API with a collection for each kind of question."""
    items = [several(number) for number in range(MANY)]
    items += [item(name, "around", geometry=shape) for name, shape in AROUND.items()]
    items += [item(name, "times", start=start, stop=stop) for name, (start, stop) in TIMES.items()]
    items += [item(name, "places", geometry=shape) for name, shape in PLACES.items()]
    names = ("many", "around", "times", "places")
    stac_api.load([collection(name) for name in names], items)
    return stac_api


@pytest.fixture
def proxy(api: RealApi) -> Iterator[FaultProxy]:
    """The API behind a proxy that fails on demand."""
    with FaultProxy(api.url) as proxy:
        yield proxy


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What retries would have waited, in seconds; they do not."""
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    return slept


def found(api: RealApi | FaultProxy, collection: str, bbox=BBOX, dates=DATES) -> list[str]:
    return sorted(scene.id for scene in ApiSource(api.url, collection).search(bbox, dates))


EVERY = [f"S1A_{number:04d}" for number in range(MANY)]


# --- what is found


def test_every_page_is_read_and_no_item_comes_twice(proxy):
    assert found(proxy, "many") == EVERY
    pages = [one for one in proxy.requests if one.path == "/search"]
    assert len(pages) >= 3
    assert len({one.body + one.query.encode() for one in pages}) == len(pages)


def test_the_server_itself_repeats_nothing(api):
    client = pystac_client.Client.open(api.url)
    names = [one.id for one in client.search(collections=["many"], limit=60).items()]
    assert sorted(names) == EVERY


def test_days_are_inclusive(api):
    assert found(api, "times") == ["first", "last"]


def test_one_day_is_a_search(api):
    assert found(api, "times", dates=(date(2022, 9, 30),) * 2) == ["last"]


def test_footprints_count_not_their_boxes(api):
    assert found(api, "places") == ["over", "touching"]


def test_an_area_across_the_antimeridian_is_found_on_both_sides(api):
    names = found(api, "around", (179.0, -18.0, -179.0, -17.0))
    assert names == ["east", "globe", "parts", "west"]


def test_a_footprint_written_around_the_globe_is_not_everywhere(api):
    assert found(api, "around", (-0.5, -18.0, 0.5, -17.0)) == ["greenwich"]


def test_nothing_there_is_no_error(api):
    assert found(api, "many", (10.0, 50.0, 10.1, 50.1)) == []


def test_more_scenes_than_a_page_are_fetched_by_id_in_order(api):
    wanted = EVERY[::-2]
    scenes = ApiSource(api.url, "many").fetch(wanted)
    assert [scene.id for scene in scenes] == wanted
    assert dict(scenes[0].files)["vv"].annotation == f"{HREF}/{wanted[0]}/annotation/iw-vv.xml"


def test_a_scene_that_is_gone_is_named(api):
    with pytest.raises(SearchError, match="no longer holds S1A_9999"):
        ApiSource(api.url, "many").fetch([*EVERY[:3], "S1A_9999"])


def test_a_scene_of_another_collection_is_not_fetched(api):
    with pytest.raises(SearchError, match="no longer holds S1A_0001"):
        ApiSource(api.url, "places").fetch(["S1A_0001"])


def test_the_summary_names_the_place(api):
    source = ApiSource(api.url, "many")
    assert "many" in source.summary()
    assert api.url in source.summary()


# --- that the server is a real one: small ones accept filters and order and ignore them


def test_the_server_filters(api):
    client = pystac_client.Client.open(api.url)
    assert client.conforms_to("FILTER")
    wanted = {
        "op": "and",
        "args": [
            {"op": "=", "args": [{"property": "sat:relative_orbit"}, 3]},
            {"op": ">=", "args": [{"property": "datetime"}, {"timestamp": "2022-09-11T00:00:00Z"}]},
        ],
    }
    search = client.search(collections=["many"], filter=wanted, filter_lang="cql2-json")
    assert sorted(one.id for one in search.items()) == EVERY[242::5]


@pytest.mark.filterwarnings("ignore:Server does not conform to SORT")  # pystac-client: only 1.0
def test_the_server_sorts(api):
    client = pystac_client.Client.open(api.url)
    assert any(one.endswith("/item-search#sort") for one in client.get_conforms_to())
    order = ["-properties.datetime", "+id"]
    search = client.search(collections=["many"], sortby=order, limit=100)
    names = [one.id for one in search.items()]
    assert names == [name for ten in range(MANY - 10, -1, -10) for name in EVERY[ten : ten + 10]]


# --- bad days


def test_too_many_requests_are_made_after_the_time_that_the_server_asks(proxy, naps):
    proxy.faults = [Fault("/search", status=429, times=2, headers={"Retry-After": "3"})]
    assert found(proxy, "many") == EVERY
    assert sum(nap >= 3 for nap in naps) == 2


@pytest.mark.parametrize("after", [0, 2])
def test_one_failure_is_asked_again(proxy, naps, after):
    proxy.faults = [Fault("/search", status=500, after=after)]
    assert found(proxy, "many") == EVERY
    assert [one.status for one in proxy.requests].count(500) == 1


def test_a_slow_server_is_waited_for(proxy):
    proxy.faults = [Fault("/search", delay=0.3, times=2)]
    assert found(proxy, "many") == EVERY


BAD: dict[str, dict[str, Any]] = {
    "a web page": {"html": True},
    "down": {"status": 503},
    "gone": {"drop": True},
    "cut off": {"cut": 1000},
    "refused": {"status": 403},
}


@pytest.mark.parametrize("after", [0, 2], ids=["first page", "third page"])
@pytest.mark.parametrize("case", BAD)
def test_a_search_that_fails_on_any_page_is_one_line(proxy, naps, case, after):
    proxy.faults = [Fault("/search", after=after, times=None, **BAD[case])]
    with pytest.raises(SearchError, match="search failed") as caught:
        found(proxy, "many")
    assert "\n" not in str(caught.value)
    assert proxy.url in str(caught.value)
    assert len(proxy.requests) > after + 1, "the page was asked for"


@pytest.mark.parametrize("case", BAD)
def test_scenes_are_not_fetched_in_part(proxy, naps, case):
    proxy.faults = [Fault("/search", after=1, times=None, **BAD[case])]
    with pytest.raises(SearchError, match="search failed"):
        ApiSource(proxy.url, "many").fetch(EVERY[:400])


def test_a_server_that_is_not_there_is_one_line(api, naps):
    with FaultProxy(api.url) as proxy:
        url = proxy.url
    with pytest.raises(SearchError, match="search failed") as caught:
        ApiSource(url, "many").search(BBOX, DATES)
    assert "\n" not in str(caught.value)
