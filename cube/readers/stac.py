"""Finding scenes: STAC APIs, static catalogs, and plain folders of SAFE products."""

from __future__ import annotations

import difflib
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urljoin

import numpy as np
import pystac
from pystac_client import Client
from shapely.geometry import box, mapping

from cube.errors import SearchError, SourceError, TrustError
from cube.grid import BBox
from cube.readers.access import PUBLIC, Access, plain
from cube.readers.api import FAILED, MALFORMED, Connection, listed_in, open_api, problem
from cube.readers.assets import Record, line, short, shown
from cube.readers.footprint import meets
from cube.readers.items import other_product, scene_from_item
from cube.readers.safe import NAME, find_products, open_safe
from cube.readers.scene import Scene

__all__ = ["ApiSource", "CatalogSource", "FolderSource", "Source"]

_PAGE = 250
_IDS = 100
_STALE = 20
"""Pages in a row that bring nothing new, after which a search is given up."""


class Source(Protocol):
    """Where scenes are found.

    Attributes
    ----------
    notes : list of str
        What the last search left out, one line each.
    """

    notes: list[str]

    def search(
        self, bbox: BBox, dates: tuple[date, date], tracks: tuple[int, ...] = ()
    ) -> list[Scene]:
        """Scenes over `bbox` on the days `dates`, both inclusive, on `tracks` (all if empty)."""
        ...

    def fetch(self, ids: Iterable[str]) -> list[Scene]:
        """Scenes by id, in that order; SearchError for one that is gone."""
        ...

    def summary(self) -> str:
        """What is there at all, in a few words for an error message."""
        ...


def _within(scene: Scene, dates: tuple[date, date]) -> bool:
    day = scene.start.astype("datetime64[D]")
    return bool(np.datetime64(dates[0]) <= day <= np.datetime64(dates[1]))


def _wanted(
    scenes: list[Scene], bbox: BBox, dates: tuple[date, date], tracks: tuple[int, ...]
) -> list[Scene]:
    return [
        scene
        for scene in scenes
        if _within(scene, dates)
        and (not tracks or scene.relative_orbit in tracks)
        and meets(scene.footprint, bbox)
    ]


def _usable(
    items: Iterable[Record], convert: Callable[[Record], Scene], product: str, notes: list[str]
) -> list[Scene]:
    """Scenes of the Items that can be read as one; a note for each other.

    Products of another kind are only counted: collections that hold them too are common.

    Raises
    ------
    SourceError
        None of the Items can be used: what is wrong with the first.
    TrustError
        One leads to where its endpoint may not.
    """
    scenes: dict[str, Scene] = {}
    others: Counter[str] = Counter()
    first: SourceError | None = None
    for item in items:
        try:
            scene = convert(item)
        except TrustError:
            raise
        except SourceError as error:
            first = first or error
            if kind := other_product(item, product):
                others[kind] += 1
            else:
                notes.append(f"left out {error}")
        else:
            scenes[scene.id] = scene
    if first is not None and not scenes:
        raise first
    notes += [f"left out {count} {kind} products" for kind, count in sorted(others.items())]
    return list(scenes.values())


@dataclass
class _Listed:
    """A source that can list everything it has."""

    scenes: list[Scene]
    name: str
    notes: list[str] = field(default_factory=list)

    def search(
        self, bbox: BBox, dates: tuple[date, date], tracks: tuple[int, ...] = ()
    ) -> list[Scene]:
        return _wanted(self.scenes, bbox, dates, tracks)

    def fetch(self, ids: Iterable[str]) -> list[Scene]:
        known = {scene.id: scene for scene in self.scenes}
        wanted = list(ids)
        for name in wanted:
            if name not in known:
                raise SearchError(f"{self.name}: no longer holds {name}, which the cube needs")
        return [known[name] for name in wanted]

    def summary(self) -> str:
        if not self.scenes:
            return "it holds no products"
        days = sorted(scene.start.astype("datetime64[D]") for scene in self.scenes)
        boxes = np.array([scene.footprint.bounds for scene in self.scenes])
        west, south = boxes[:, :2].min(axis=0)
        east, north = boxes[:, 2:].max(axis=0)
        tracks = sorted({scene.relative_orbit for scene in self.scenes})
        return (
            f"it holds {len(self.scenes)} products of {days[0]} to {days[-1]} over"
            f" {west:.2f},{south:.2f},{east:.2f},{north:.2f}, relative orbits"
            f" {', '.join(map(str, tracks))}"
        )


class FolderSource(_Listed):
    """A folder of SAFE products (folders or zips), or one of them."""

    def __init__(self, folder: Path, scratch: Path, product: str = "grd") -> None:
        products = find_products(folder)
        if not products:
            raise SearchError(
                f"{folder}: holds neither catalog.json nor Sentinel-1 products (NAME.SAFE or"
                " NAME.zip)"
            )
        kinds = {product: NAME.match(product.name) for product in products}
        wanted = product.upper()
        products = [path for path, kind in kinds.items() if not kind or kind["product"] == wanted]
        if not products:
            raise SearchError(
                f"{folder}: holds {len(kinds)} Sentinel-1 products, none of them {wanted}; give a"
                f" folder of {wanted} products"
            )
        super().__init__([open_safe(product, scratch) for product in products], str(folder))


class CatalogSource(_Listed):
    """A static STAC catalog on disk."""

    def __init__(self, catalog: Path, collection: str, product: str = "grd") -> None:
        try:
            items = [
                _as_record(item)
                for item in pystac.Catalog.from_file(str(catalog)).get_items(recursive=True)
                if item.collection_id in (collection, None)
            ]
        except MALFORMED as error:
            raise SearchError(
                f"{catalog}: not a readable STAC catalog ({short(error)}); write it again"
            ) from error
        notes: list[str] = []
        access = Access(local=True)
        scenes = _usable(
            items, lambda item: scene_from_item(item, access, product=product), product, notes
        )
        super().__init__(scenes, str(catalog), notes)


def _as_record(item: pystac.Item) -> Record:
    item.make_asset_hrefs_absolute()
    return item.to_dict(include_self_link=False, transform_hrefs=False)


@dataclass
class ApiSource:
    """A STAC API, searched through pystac-client with paging, retry and backoff.

    Attributes
    ----------
    url, collection : str
    access : Access
        What its hrefs may reach.
    product : str
        ``grd``, ``slc`` or ``rtc``.
    """

    url: str
    collection: str
    access: Access = PUBLIC
    product: str = "grd"
    notes: list[str] = field(default_factory=list)

    @cached_property
    def _client(self) -> Client:
        return open_api(self.url, self.access)

    @property
    def _connection(self) -> Connection:
        found = self._client._stac_io
        assert isinstance(found, Connection)  # `open_api` gave it
        return found

    def over(self, bbox: BBox) -> Iterator[Record]:
        """Items over a box; see `records`."""
        return self.records(**_place(bbox))

    def records(self, *, tracks: tuple[int, ...] = (), **query: Any) -> Iterator[Record]:
        """Items of the collection that match, page by page; on `tracks`, if the API can say so.

        Raises
        ------
        SearchError
            The API cannot be reached, refuses, or answers with something else.
        """
        try:
            for page in self._pages({**query, **self._narrowed(tracks)}):
                yield from page
        except FAILED as error:
            status = getattr(error, "status_code", None)
            if status in (400, 404) and (unknown := self._unknown()):
                raise SearchError(unknown) from error
            raise SearchError(
                f"{plain(self.url)}: search failed ({problem(error, self.access)}); check the"
                " address and the network, or use --source FOLDER"
            ) from error

    def _pages(self, query: dict[str, Any]) -> Iterator[list[Record]]:
        """Items of each page that no page before had."""
        with warnings.catch_warnings(action="ignore"):  # of what the server does not conform to
            search = self._client.search(collections=[self.collection], limit=_PAGE, **query)
        known: set[str] = set()
        stale = 0
        pages = self._connection.get_pages(search.url, search.method, search.get_parameters())
        for page in pages:
            fresh: list[Record] = []
            for item in listed_in(page, "features"):
                if not isinstance(item, Mapping) or not isinstance(item.get("id"), str):
                    raise TypeError(f"an Item without id: {shown(item)}")
                if item["id"] not in known:
                    known.add(item["id"])
                    fresh.append(item)
            yield fresh
            stale = 0 if fresh else stale + 1
            if stale == _STALE:
                raise ValueError(f"{_STALE} pages in a row held nothing new")

    def search(
        self, bbox: BBox, dates: tuple[date, date], tracks: tuple[int, ...] = ()
    ) -> list[Scene]:
        """See `Source.search`."""
        when = f"{dates[0].isoformat()}T00:00:00Z/{dates[1].isoformat()}T23:59:59.999999Z"
        found = self.records(tracks=tracks, **_place(bbox), datetime=when)
        self.notes.clear()
        scenes = _usable(found, self._scene, self.product, self.notes)
        # What a server answers is checked again: some ignore what they do not know
        return _wanted(scenes, bbox, dates, tracks)

    def _scene(self, item: Record) -> Scene:
        return scene_from_item(item, self.access, product=self.product)

    def _narrowed(self, tracks: tuple[int, ...]) -> dict[str, Any]:
        """Filter on tracks, only for a server that says that it knows filters."""
        if not tracks or not self._client.conforms_to("FILTER"):
            return {}
        on_track = {"op": "in", "args": [{"property": "sat:relative_orbit"}, list(tracks)]}
        return {"filter": on_track, "filter_lang": "cql2-json"}

    def fetch(self, ids: Iterable[str]) -> list[Scene]:
        """See `Source.fetch`."""
        wanted = list(ids)
        found: dict[str, Scene] = {}
        for first in range(0, len(wanted), _IDS):
            for item in self.records(ids=wanted[first : first + _IDS]):
                if item["id"] not in wanted:
                    continue  # a server that does not know ids
                scene = self._scene(item)
                found[scene.id] = scene
        for name in wanted:
            if name not in found:
                raise SearchError(
                    f"{plain(self.url)}: no longer holds {name}, which the cube needs"
                )
        return [found[name] for name in wanted]

    def summary(self) -> str:
        """See `Source.summary`."""
        asked = f"collection {self.collection} of {plain(self.url)} was asked"
        return self._unknown() or asked

    def _unknown(self) -> str:
        """The collections that there are, where ours is known not to be one; else nothing."""
        try:
            link = self._client.get_single_link("data")
            href = link.href if link is not None else "collections"
            known = [
                str(one["id"])
                for page in self._connection.get_pages(urljoin(f"{self.url.rstrip('/')}/", href))
                for one in listed_in(page, "collections")
            ]
        except FAILED:
            return ""
        if not known or self.collection in known:
            return ""
        near = difflib.get_close_matches(self.collection, known, n=3, cutoff=0.3) or known[:10]
        return (
            f"{plain(self.url)} has no collection {self.collection!r}; it has"
            f" {line(', '.join(near), 300)}; name one with --collection"
        )


def _place(bbox: BBox) -> dict[str, Any]:
    """Where, as a search asks it: a box, or two where it crosses the antimeridian."""
    west, south, east, north = bbox
    if east > west:
        return {"bbox": bbox}
    halves = box(west, south, 180, north).union(box(-180, south, east, north))
    return {"intersects": mapping(halves)}
