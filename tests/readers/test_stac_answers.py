"""What a STAC API may answer, however odd: scenes, or one line that says what is wrong."""

from __future__ import annotations

from typing import Any

import pystac.stac_io
import pytest
from loopback import Fault
from small_api import BBOX, DATES, FILTER, failure, item, names

from cube.errors import SearchError, SourceError
from cube.readers import api as api_module
from cube.readers.access import Access
from cube.readers.stac import ApiSource

KEYED = Access(credentials=("PC_SDK_SUBSCRIPTION_KEY",))


# --- what a server conforms to


def test_a_server_without_filters_is_not_asked_to_filter(api, source):
    api.items = [item("here"), item("other", **{"sat:relative_orbit": 5})]
    assert names(source, 78) == ["here"]
    assert "filter" not in api.asked[0]


def test_a_server_with_filters_is_asked_for_tracks_and_checked(api, source):
    api.conforms = [*(api.conforms or ()), FILTER]
    api.items = [item("here"), item("other", **{"sat:relative_orbit": 5})]
    assert names(source, 78, 42) == ["here"]
    assert api.asked[0]["filter-lang"] == "cql2-json"
    on_track = {"op": "in", "args": [{"property": "sat:relative_orbit"}, [78, 42]]}
    assert api.asked[0]["filter"] == on_track
    names(source)
    assert "filter" not in api.asked[1], "no tracks are wanted"


@pytest.mark.parametrize("conforms", [None, [], ["https://api.stacspec.org/v1.0.0/core"], [7], 7])
def test_a_server_without_item_search_is_one_line(api, source, conforms, recwarn):
    api.conforms = conforms
    assert failure(source).startswith(f"{api.url}: search failed (")
    assert api.asked == []
    with pytest.raises(SearchError):
        names(source, 78)
    assert not recwarn.list, "a warning would be a second line"
    if conforms in (None, []):
        assert "(it offers no item search)" in failure(source)


def test_a_server_that_does_not_say_where_to_search_is_asked_at_the_usual_place(
    api, source, recwarn
):
    api.items, api.search = [item()], None
    assert names(source) == ["S1A_1"]
    assert not recwarn.list


# --- collections


@pytest.mark.parametrize("status", [400, 404])
def test_a_collection_that_a_server_refuses_is_answered_by_those_there_are(api, status):
    api.collections = ["sentinel-1-grd", "sentinel-1-rtc", "naip"]
    api.always = (status, '{"code": "NotFound"}')
    assert failure(ApiSource(api.url, "sentinel1grd")) == (
        f"{api.url} has no collection 'sentinel1grd'; it has sentinel-1-grd, sentinel-1-rtc; name"
        " one with --collection"
    )


def test_a_collection_that_is_simply_empty_is_answered_so_too(api):
    api.collections = ["sentinel-1-grd", "cop-dem-glo-30"]
    wrong = ApiSource(api.url, "xyz")
    assert wrong.search(BBOX, DATES) == []
    assert wrong.summary() == (
        f"{api.url} has no collection 'xyz'; it has sentinel-1-grd, cop-dem-glo-30; name one with"
        " --collection"
    )


def test_a_collection_that_exists_is_not_said_to_be_wrong(api, source):
    api.always = (404, "gone")
    assert "HTTP 404: gone" in failure(source)
    assert source.summary() == f"collection sentinel-1-grd of {api.url} was asked"


@pytest.mark.parametrize("fault", [{"status": 500}, {"html": True}, {"drop": True}])
def test_collections_that_cannot_be_listed_are_no_second_problem(api, fault):
    api.faults = [Fault(path="^/collections", times=None, **fault)]
    api.always = (404, "gone")
    assert "HTTP 404: gone" in failure(ApiSource(api.url, "xyz"))


# --- Items, good and bad


def without(name: str, key: str) -> dict[str, Any]:
    record = item(name)
    del record["assets"][key]
    return record


def test_a_broken_item_among_good_ones_is_left_out_with_a_note(api, source):
    api.items = [item("a"), item("b", geometry=None), item("c"), without("d", "schema-noise-vv")]
    assert names(source) == ["a", "c"]
    assert source.notes[0] == "left out b: Item without geometry"
    assert source.notes[1].startswith("left out d: no asset 'schema-noise-vv'; assets: vv, ")
    assert len(source.notes) == 2
    names(source)
    assert len(source.notes) == 2, "notes are of the last search"


def test_of_items_that_are_all_broken_the_first_is_named(api, source):
    api.items = [item("a", geometry=None), without("b", "vv")]
    assert failure(source, SourceError) == "a: Item without geometry"


def test_products_of_other_kinds_are_counted(api, source):
    slc = [item(f"slc{number}", **{"sar:product_type": "SLC"}) for number in range(5)]
    api.items = [item("a"), *slc, item("ocn", **{"sar:product_type": "OCN"})]
    assert names(source) == ["a"]
    assert source.notes == ["left out 1 OCN products", "left out 5 SLC products"]
    api.items = slc
    assert failure(source, SourceError) == "slc0: is an SLC product, not GRD"


def test_an_item_on_two_pages_counts_once(api, source):
    bad = item("bad", geometry=None)
    api.items = [item("a"), bad, item("a"), bad, item("b")]
    assert names(source) == ["a", "b"]
    assert source.notes == ["left out bad: Item without geometry"]


def test_ids_of_any_script_are_kept(api, source):
    api.items = [item("S1A_सिन्धु_洪水")]
    assert names(source) == ["S1A_सिन्धु_洪水"]


def test_a_server_that_ignores_ids_is_checked(api, source):
    api.pages = lambda _: {
        "type": "FeatureCollection",
        "features": [item("x", geometry=None), item("a"), item("b")],
        "links": [],
    }
    assert [scene.id for scene in source.fetch(["b"])] == ["b"]


# --- paging that finds no end


def test_a_next_link_that_comes_round_is_one_line(api, source):
    link = api.next_link({"token": "1"})
    api.pages = lambda count: {"features": [item(f"n{count}")], "links": [link]}
    assert "its pages repeat from the 2. on" in failure(source)
    assert len(api.asked) == 2


def test_pages_with_new_tokens_and_nothing_else_are_one_line(api, source):
    api.pages = lambda count: {
        "features": [item("a")] if count % 2 else [],
        "links": [api.next_link({"token": str(count)})],
    }
    assert "20 pages in a row held nothing new" in failure(source)
    assert len(api.asked) == 21


def test_pages_without_end_are_one_line(api, source, monkeypatch):
    monkeypatch.setattr(api_module, "_PAGES", 30)
    api.pages = lambda count: {
        "features": [item(f"n{count}")],
        "links": [api.next_link({"token": str(count)})],
    }
    assert "more than 30 pages; ask for a smaller area or fewer days" in failure(source)


def test_an_empty_page_in_between_ends_nothing(api, source):
    api.pages = lambda count: {
        "features": [item(f"n{count}")] if count != 2 else [],
        "links": [api.next_link({"token": str(count)})] if count < 3 else [],
    }
    assert names(source) == ["n1", "n3"]


# --- refusals, silence, and noise


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("path", ["^/$", "^/search$"])
def test_a_refusal_names_the_variables(api, monkeypatch, status, path):
    api.faults = [Fault(path=path, status=status, times=None)]
    source = ApiSource(api.url, "sentinel-1-grd", access=KEYED)
    monkeypatch.delenv("PC_SDK_SUBSCRIPTION_KEY", raising=False)
    assert (
        f"(refused, HTTP {status}; credentials come from PC_SDK_SUBSCRIPTION_KEY"
        " (PC_SDK_SUBSCRIPTION_KEY not set))" in failure(source)
    )
    monkeypatch.setenv("PC_SDK_SUBSCRIPTION_KEY", "hush")
    line = failure(source)
    assert "all set, perhaps wrongly" in line
    assert "hush" not in line


@pytest.mark.parametrize("path", ["^/$", "^/search$"])
def test_a_server_that_hangs_is_given_up(api, source, monkeypatch, path):
    monkeypatch.setattr(api_module, "TIMEOUT_S", (0.1, 0.1))
    api.faults = [Fault(path=path, delay=30, times=None)]
    assert "timed out" in failure(source)


def test_a_slow_answer_is_awaited(api, source):
    api.items = [item()]
    api.faults = [Fault(path="^/search$", delay=0.3)]
    assert names(source) == ["S1A_1"]


def test_nobody_there_is_said_without_addresses(api):
    line = failure(ApiSource("http://me:secret@127.0.0.1:9/?sig=abc", "sentinel-1-grd"))
    assert line.startswith("http://127.0.0.1:9/: search failed (")
    assert "Connection refused" in line
    assert "secret" not in line
    assert "sig=" not in line
    assert "object at 0x" not in line


@pytest.mark.parametrize("address", ["ftp://example.com/stac", "s3://bucket/stac", "http://", "x:"])
def test_an_address_that_is_none_is_one_line(address):
    assert "search failed (" in failure(ApiSource(address, "sentinel-1-grd"))


@pytest.mark.parametrize("path", ["^/$", "^/search$"])
@pytest.mark.parametrize("status", [200, 500])
def test_a_web_page_is_called_one(api, source, path, status):
    api.faults = [Fault(path=path, html=True, status=status, times=None)]
    assert "a web page came instead of JSON" in failure(source)


def test_compressed_answers_are_read(api, source):
    api.items, api.gzip = [item()], True
    assert names(source) == ["S1A_1"]


def test_damaged_compression_is_one_line(api, source):
    api.faults = [
        Fault(path="^/search$", html=True, headers={"Content-Encoding": "gzip"}, times=None)
    ]
    assert "search failed (" in failure(source)


@pytest.mark.parametrize("fault", [{"drop": True}, {"cut": 10}])
def test_a_connection_that_breaks_off_is_one_line(api, source, fault):
    api.faults = [Fault(path="^/search$", times=None, **fault)]
    assert "search failed (" in failure(source)


DEEP = "[" * 100_000
ODD = [
    "[]",
    "7",
    '"text"',
    "null",
    "{}",
    "{",
    "\x00",
    DEEP,
    '{"features": null}',
    '{"features": {"a": 1}}',
    '{"features": "text"}',
    '{"features": [[]]}',
    '{"features": [{"id": 7, "properties": {}}]}',
    '{"features": [{"id": "a\\nb"}, 1]}',
    '{"features": [], "links": [7]}',
    '{"features": [], "links": {"rel": "next"}}',
    '{"features": [], "links": [{"rel": "next"}]}',
    '{"features": [], "links": [{"rel": "next", "href": 7}]}',
    '{"features": [], "links": [{"rel": "next", "href": "http://["}]}',
    '{"features": [], "links": [{"rel": "next", "href": "/search", "method": 7}]}',
]


@pytest.mark.parametrize("fast", [True, False], ids=["orjson", "json"])
@pytest.mark.parametrize("body", ODD, ids=[body[:40] for body in ODD])
def test_json_that_is_no_page_is_one_line(api, source, monkeypatch, body, fast):
    if not fast:  # pystac reads with orjson where there is one
        monkeypatch.setattr(pystac.stac_io, "orjson", None)
    api.always = (200, body)
    assert failure(source).startswith(f"{api.url}: search failed (")


@pytest.mark.parametrize("body", ['{"features": []}', '{"features": [], "links": null}'])
def test_a_page_without_items_is_none_found(api, source, body):
    api.always = (200, body)
    assert names(source) == []


LANDINGS: list[Any] = [
    [],
    7,
    "x",
    {"type": "Catalog", "id": 7},
    {"type": "Collection", "id": "a", "stac_version": "1.0.0", "description": ""},
    {"type": "Feature", "id": "a", "stac_version": "1.0.0"},
    {"type": "Catalog", "id": "a", "stac_version": "99", "description": "", "links": [7]},
    {"type": "Catalog", "id": "a", "stac_version": [], "description": "", "links": []},
    {"detail": "Not Found"},
]


@pytest.mark.parametrize("landing", LANDINGS, ids=lambda one: str(one)[:50])
def test_a_landing_page_that_is_none_is_one_line(api, source, landing):
    api.landing = landing
    assert failure(source).startswith(f"{api.url}: search failed (")
