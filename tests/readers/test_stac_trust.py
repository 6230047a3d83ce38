"""Where a STAC API may lead: to public places and within itself, never into this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from loopback import Fault, Loopback
from small_api import SmallApi, failure, item, names

from cube.errors import TrustError
from cube.readers.access import Access
from cube.readers.stac import ApiSource


@pytest.fixture
def elsewhere() -> Iterator[SmallApi]:
    """Another server on this machine, which a public one must not lead to."""
    with SmallApi() as served:
        served.items = [item("x"), item("y"), item("secret")]
        yield served


def stays_away(api: SmallApi, source: ApiSource, other: Loopback, says: str) -> None:
    line = failure(source, TrustError)
    assert line.startswith(f"{api.url}: leads ")
    assert says in line
    assert other.requests == []


@pytest.mark.parametrize("path", ["^/$", "^/search$"])
def test_a_redirect_into_this_machine_is_not_followed(api, source, elsewhere, path):
    api.faults = [Fault(path=path, redirect=f"{elsewhere.url}{{path}}", status=307, times=None)]
    stays_away(api, source, elsewhere, "which only endpoints with trust = 'local' may do")


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_a_redirect_to_no_web_address_is_not_followed(api, source, elsewhere, place):
    api.faults = [Fault(path="^/$", redirect=place, times=None)]
    stays_away(api, source, elsewhere, f"leads to {place.partition(':')[0]}:, refused")


def test_a_redirect_within_the_server_is_followed(api, source):
    api.items = [item()]
    api.faults = [Fault(path="^/$", redirect=f"{api.url}/")]
    assert names(source) == ["S1A_1"]


def test_redirects_that_go_round_are_one_line(api, source):
    api.faults = [Fault(path="^/$", redirect="{path}", times=None)]
    assert "Exceeded 30 redirects" in failure(source)


def test_a_next_page_elsewhere_is_not_fetched(api, source, elsewhere):
    api.items = [item(name) for name in "abc"]
    api.following = lambda link: {**link, "href": f"{elsewhere.url}/search"}
    stays_away(api, source, elsewhere, "trust = 'local'")
    trusted = ApiSource(api.url, "sentinel-1-grd", access=Access(local=True))
    assert names(trusted) == ["a", "b", "secret"]


@pytest.mark.parametrize("place", ["file:///etc/passwd", "file:search", "data:,{}", "ftp://a/b"])
def test_a_next_page_that_is_no_web_address_is_not_opened(api, source, elsewhere, place):
    api.items = [item(name) for name in "abc"]
    api.following = lambda link: {"rel": "next", "href": place}
    stays_away(api, source, elsewhere, "no web address")


def test_a_next_page_is_only_ever_asked_for(api, source):
    api.items = [item(name) for name in "abc"]
    api.following = lambda link: {**link, "method": "DELETE"}
    assert "a page is to be asked for by DELETE" in failure(source)
    assert {one.method for one in api.requests} == {"GET", "POST"}


def test_a_next_page_may_be_named_from_its_own(api, source):
    api.items = [item(name) for name in "abc"]
    api.following = lambda link: {**link, "href": "./search"}
    assert names(source) == ["a", "b", "c"]


def test_the_search_itself_may_not_be_elsewhere(api, source, elsewhere):
    api.search = f"{elsewhere.url}/search"
    stays_away(api, source, elsewhere, "trust = 'local'")


def test_a_file_is_not_read_as_a_list_of_collections(api, tmp_path):
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps({"collections": [{"id": "hush"}]}))
    api.data = secret.as_uri()
    with pytest.raises(TrustError, match="no web address") as caught:
        ApiSource(api.url, "sentinel1").summary()
    assert "hush" not in str(caught.value)
    api.data = str(secret)  # a path: of the server
    assert "hush" not in ApiSource(api.url, "sentinel1").summary()
    assert api.requests[-1].path == str(secret)


def test_an_untrusted_href_is_an_error_though_other_items_are_fine(api, source):
    api.items = [item("a"), item("b"), item("c")]
    api.items[2]["assets"]["vv"]["href"] = "file:///etc/passwd"
    assert failure(source, TrustError) == (
        "c: asset 'vv' points into this machine or network (file:///etc/passwd), which only"
        " endpoints with trust = 'local' may do"
    )
