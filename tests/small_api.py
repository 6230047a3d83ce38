"""A small STAC API on this machine that answers as a test wants it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from loopback import Loopback, Request, Response

from cube.errors import CubeError, SearchError
from cube.readers.stac import ApiSource

__all__ = ["BBOX", "DATES", "FILTER", "SmallApi", "failure", "item", "names"]

BBOX = (68.1, 27.4, 68.3, 27.6)
DATES = (date(2022, 8, 1), date(2022, 9, 30))

SEARCH = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/collections",
    "https://api.stacspec.org/v1.0.0/item-search",
]
FILTER = "https://api.stacspec.org/v1.0.0/item-search#filter"


def item(name: str = "S1A_1", day: str = "2022-09-18", **changes: Any) -> dict[str, Any]:
    """An Item as the Planetary Computer writes it, cut to what counts."""
    base = "https://example.com/grd"
    ring = [[68, 27], [69, 27], [69, 28], [68, 28], [68, 27]]
    assets = {
        "vv": f"{base}/measurement/iw-vv.tiff",
        "schema-product-vv": f"{base}/annotation/rfi/rfi-iw-vv.xml",
        "schema-calibration-vv": f"{base}/annotation/calibration/calibration-iw-vv.xml",
        "schema-noise-vv": f"{base}/annotation/calibration/noise-iw-vv.xml",
    }
    record: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": "sentinel-1-grd",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [68, 27, 69, 28],
        "properties": {
            "datetime": f"{day}T01:25:20Z",
            "start_datetime": f"{day} 01:25:20.5+00:00",
            "end_datetime": f"{day}T01:25:45Z",
            "platform": "SENTINEL-1A",
            "s1:datatake_id": "123456",
            "sat:relative_orbit": 78,
            "sat:orbit_state": "descending",
            "sar:instrument_mode": "IW",
            "sar:product_type": "GRD",
        },
        "links": [],
        "assets": {key: {"href": href} for key, href in assets.items()},
    }
    record.update({key: value for key, value in changes.items() if key in record})
    properties = {key: value for key, value in changes.items() if key not in record}
    record["properties"] |= properties
    return record


class SmallApi(Loopback):
    """Landing page, collections and item search, with paging by tokens.

    Attributes
    ----------
    items : list of dict
    collections : list of str
    strict : bool
        Answer 404 to a search of a collection that is not among them.
    conforms : list of str or None
    fail : list of (status, body)
        What searches answer first, once each.
    always : (status, body) or None
    landing : object
        Instead of the landing page; None for the right one.
    data, search : str
        Where collections are listed and items searched, as the landing page says; None for
        nothing said of a search.
    following : callable or None
        Makes another next link of the right one.
    pages : callable or None
        Answers a search instead of the items, by the number of searches so far.
    gzip : bool
    asked : list of dict
        Bodies of the searches.
    """

    def __init__(self) -> None:
        super().__init__()
        self.items: list[dict[str, Any]] = []
        self.collections = ["sentinel-1-grd"]
        self.strict = False
        self.conforms: list[str] | None = list(SEARCH)
        self.fail: list[tuple[int, str]] = []
        self.always: tuple[int, str] | None = None
        self.landing: Any = None
        self.data = f"{self.url}/collections"
        self.search: str | None = f"{self.url}/search"
        self.following: Callable[[dict[str, Any]], Any] | None = None
        self.pages: Callable[[int], Any] | None = None
        self.gzip = False
        self.page = 2
        self.asked: list[dict[str, Any]] = []

    def answer(self, request: Request, *, whole: bool) -> Response:
        if request.path == "/":
            return self._reply(200, self.landing if self.landing is not None else self._root())
        if request.path == "/collections":
            return self._reply(200, {"collections": [{"id": name} for name in self.collections]})
        if request.path != "/search":
            return self._reply(404, {"code": "NotFound"})
        query = json.loads(request.body or b"{}")
        self.asked.append(query)
        if self.always or self.fail:
            return self._reply(*(self.always or self.fail.pop(0)))
        if self.strict and not set(query["collections"]) <= set(self.collections):
            return self._reply(404, {"code": "NotFound", "description": "no such collection"})
        if self.pages:
            return self._reply(200, self.pages(len(self.asked)))
        return self._reply(200, self._found(query))

    def _found(self, query: dict[str, Any]) -> dict[str, Any]:
        wanted = query.get("ids")
        found = [one for one in self.items if not wanted or one["id"] in wanted]
        start = int(query.get("token", 0))
        links = []
        if start + self.page < len(found):
            link = self.next_link({**query, "token": str(start + self.page)})
            links.append(self.following(link) if self.following else link)
        part = found[start : start + self.page]
        return {"type": "FeatureCollection", "features": part, "links": links}

    def next_link(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"rel": "next", "href": f"{self.url}/search", "method": "POST", "body": body}

    def _reply(self, status: int, content: Any) -> Response:
        body = content if isinstance(content, str) else json.dumps(content)
        said = {"Content-Type": "application/json"}
        if not self.gzip:
            return Response(status, said, body.encode())
        return Response(status, said | {"Content-Encoding": "gzip"}, gzip.compress(body.encode()))

    def _root(self) -> dict[str, Any]:
        search = {"rel": "search", "href": self.search, "type": "application/geo+json"}
        found = {
            "type": "Catalog",
            "id": "small",
            "stac_version": "1.0.0",
            "description": "a small API",
            "conformsTo": self.conforms,
            "links": [
                {"rel": "root", "href": f"{self.url}/"},
                {"rel": "data", "href": self.data},
                *({**search, "method": method} for method in ("GET", "POST") if self.search),
            ],
        }
        if self.conforms is None:
            del found["conformsTo"]
        return found


def names(source: ApiSource, *tracks: int) -> list[str]:
    """Ids of what a search finds."""
    return sorted(scene.id for scene in source.search(BBOX, DATES, tracks))


def failure(source: ApiSource, kind: type[CubeError] = SearchError) -> str:
    """The line of a search that fails."""
    with pytest.raises(kind) as caught:
        source.search(BBOX, DATES)
    assert type(caught.value) is kind
    assert str(caught.value).isprintable()
    return str(caught.value)
