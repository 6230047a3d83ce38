"""Finding scenes: STAC APIs, static catalogs, and plain folders of SAFE products."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlparse

import numpy as np
import pystac
import requests
from pystac_client import Client
from pystac_client.errors import ClientTypeError
from pystac_client.exceptions import APIError, ParametersError
from pystac_client.stac_api_io import StacApiIO
from shapely import transform
from shapely.affinity import translate
from shapely.errors import ShapelyError
from shapely.geometry import box, shape
from shapely.geometry.base import BaseGeometry
from urllib3.util.retry import Retry

from cube.errors import SearchError, SourceError
from cube.grid import BBox
from cube.readers.safe import NAME, find_products, open_safe, order_polarisations
from cube.readers.scene import Files, Scene

__all__ = ["ApiSource", "CatalogSource", "FolderSource", "Source", "area", "scene_from_item"]

_RETRIES = 4
_TIMEOUT_S = 60.0
_REMOTE = ("http", "https", "s3", "gs", "az", "abfs")
_MALFORMED = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    NotImplementedError,  # a server without item search
    pystac.STACError,
    pystac.STACTypeError,
)
"""What pystac and pystac-client raise on JSON that is not the STAC they expect."""
_REFUSED = (APIError, ClientTypeError, ParametersError)
_POLARISATIONS = ("vv", "vh", "hh", "hv")


class Source(Protocol):
    """Where scenes are found."""

    def search(self, bbox: BBox, dates: tuple[date, date]) -> list[Scene]:
        """Scenes over `bbox` on the days `dates`, both inclusive."""
        ...

    def fetch(self, ids: Iterable[str]) -> list[Scene]:
        """Scenes by id, in that order; SearchError for one that is gone."""
        ...

    def summary(self) -> str:
        """What is there at all, in a few words for an error message."""
        ...


def area(bbox: BBox) -> BaseGeometry:
    """Box as a geometry; one across the antimeridian goes beyond 180 degrees east."""
    west, south, east, north = bbox
    return box(west, south, east if east > west else east + 360, north)


def _meets(footprint: BaseGeometry, wanted: BaseGeometry) -> bool:
    """Intersect with either written an earth's turn apart."""
    return any(translate(footprint, turn).intersects(wanted) for turn in (0, 360, -360))


def _within(scene: Scene, dates: tuple[date, date]) -> bool:
    day = scene.start.astype("datetime64[D]")
    return bool(np.datetime64(dates[0]) <= day <= np.datetime64(dates[1]))


@dataclass
class _Listed:
    """A source that can list everything it has."""

    scenes: list[Scene]
    name: str

    def search(self, bbox: BBox, dates: tuple[date, date]) -> list[Scene]:
        wanted = area(bbox)
        return [
            scene
            for scene in self.scenes
            if _within(scene, dates) and _meets(scene.footprint, wanted)
        ]

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

    def __init__(self, folder: Path, scratch: Path) -> None:
        products = find_products(folder)
        if not products:
            raise SearchError(
                f"{folder}: holds neither catalog.json nor Sentinel-1 products (NAME.SAFE or"
                " NAME.zip)"
            )
        kinds = {product: NAME.match(product.name) for product in products}
        products = [path for path, kind in kinds.items() if not kind or kind["product"] == "GRD"]
        if not products:
            raise SearchError(
                f"{folder}: holds {len(kinds)} Sentinel-1 products, none of them GRD; give a"
                " folder of GRD products"
            )
        super().__init__([open_safe(product, scratch) for product in products], str(folder))


class CatalogSource(_Listed):
    """A static STAC catalog on disk."""

    def __init__(self, catalog: Path, collection: str) -> None:
        try:
            items = list(pystac.Catalog.from_file(str(catalog)).get_items(recursive=True))
        except _MALFORMED as error:
            raise SearchError(
                f"{catalog}: not a readable STAC catalog ({_short(error)}); write it again"
            ) from error
        scenes = [
            scene_from_item(item, local=True)
            for item in items
            if item.collection_id in (collection, None)
        ]
        super().__init__(scenes, str(catalog))


@dataclass
class ApiSource:
    """A STAC API, searched through pystac-client with paging, retry and backoff."""

    url: str
    collection: str
    local: bool = False

    def _client(self) -> Client:
        retry = Retry(
            total=_RETRIES,
            backoff_factor=0.5,
            status_forcelist=(429, 500, 502, 503, 504),
            allowed_methods=None,  # searches are POST, and safe to repeat
            respect_retry_after_header=True,
        )
        return Client.open(self.url, stac_io=StacApiIO(max_retries=retry, timeout=_TIMEOUT_S))

    def _items(self, **query: Any) -> list[pystac.Item]:
        try:
            search = self._client().search(collections=[self.collection], limit=100, **query)
            return list(search.items())
        except (*_REFUSED, requests.RequestException, *_MALFORMED) as error:
            raise SearchError(
                f"{self.url}: search failed ({_short(error)}); check the address and the network,"
                " or use --source FOLDER"
            ) from error

    def search(self, bbox: BBox, dates: tuple[date, date]) -> list[Scene]:
        """See `Source.search`."""
        west, south, east, north = bbox
        boxes = [bbox] if east > west else [(west, south, 180, north), (-180, south, east, north)]
        when = f"{dates[0].isoformat()}T00:00:00Z/{dates[1].isoformat()}T23:59:59.999999Z"
        found = {item.id: item for part in boxes for item in self._items(bbox=part, datetime=when)}
        scenes = [scene_from_item(item, local=self.local) for item in found.values()]
        # What a server answers is checked again: some ignore what they do not know
        wanted = area(bbox)
        return [
            scene for scene in scenes if _within(scene, dates) and _meets(scene.footprint, wanted)
        ]

    def fetch(self, ids: Iterable[str]) -> list[Scene]:
        """See `Source.fetch`."""
        wanted = list(ids)
        found = {
            scene.id: scene
            for scene in (
                scene_from_item(item, local=self.local) for item in self._items(ids=wanted)
            )
        }
        for name in wanted:
            if name not in found:
                raise SearchError(f"{self.url}: no longer holds {name}, which the cube needs")
        return [found[name] for name in wanted]

    def summary(self) -> str:
        """See `Source.summary`."""
        return f"collection {self.collection} of {self.url} was asked"


def scene_from_item(item: pystac.Item, *, local: bool) -> Scene:
    """Read a Sentinel-1 Item as Planetary Computer, Earth Search and simulated catalogs write it.

    Parameters
    ----------
    item : pystac.Item
    local : bool
        Whether the endpoint may point to files of this machine.

    Raises
    ------
    SourceError
        The Item lacks geometry, times, orbit or assets, or points where it may not.
    """
    found = item.properties
    footprint = _geometry(item)
    files, size = [], 0
    for name in order_polarisations([key for key in _POLARISATIONS if key in item.assets]):
        hrefs = {
            "measurement": _href(item, name, local),
            "annotation": _href(item, f"schema-product-{name}", local),
            "calibration": _href(item, f"schema-calibration-{name}", local),
            "noise": _href(item, f"schema-noise-{name}", local),
        }
        # Planetary Computer and Earth Search list the RFI file of products since 2022 as product
        hrefs["annotation"] = hrefs["annotation"].replace("/rfi/rfi-", "/")
        files.append((name, Files(**hrefs)))
        size += _size(hrefs["measurement"])
    if not files:
        raise SourceError(f"{item.id}: no vv, vh, hh or hv asset; assets: {', '.join(item.assets)}")
    return Scene(
        id=item.id,
        platform=str(found.get("platform", "")).lower(),
        datatake=_number(item, "s1:datatake_id"),
        relative_orbit=_number(item, "sat:relative_orbit"),
        orbit_direction=str(found.get("sat:orbit_state", "")).lower(),
        mode=str(found.get("sar:instrument_mode", "")),
        product=str(found.get("sar:product_type", "")),
        start=_moment(item, "start_datetime"),
        stop=_moment(item, "end_datetime"),
        footprint=footprint,
        files=tuple(files),
        size=size,
    )


def _geometry(item: pystac.Item) -> BaseGeometry:
    if item.geometry is None:
        raise SourceError(f"{item.id}: Item without geometry")
    try:
        footprint = shape(item.geometry)
    except (ShapelyError, *_MALFORMED) as error:
        raise SourceError(f"{item.id}: geometry is not GeoJSON ({_short(error)})") from error
    west, south, east, north = footprint.bounds
    if not (-360 <= west <= east <= 540 and -90.01 <= south <= north <= 90.01):
        raise SourceError(
            f"{item.id}: geometry {west:.0f},{south:.0f},{east:.0f},{north:.0f} is not in degrees"
        )
    if east - west > 180:  # written around the globe: across the antimeridian
        footprint = transform(
            footprint, lambda xy: xy + np.where(xy[:, :1] < 0, [360.0, 0.0], [0.0, 0.0])
        )
    return footprint


def _href(item: pystac.Item, key: str, local: bool) -> str:
    if key not in item.assets:
        raise SourceError(f"{item.id}: no asset {key!r}; assets: {', '.join(item.assets)}")
    href = item.assets[key].get_absolute_href() or item.assets[key].href
    parts = urlparse(href)
    if parts.scheme in _REMOTE and not is_loopback(parts.hostname or ""):
        return href
    if not local:
        raise SourceError(
            f"{item.id}: asset {key!r} points into this machine or network ({href[:60]}), which"
            " only endpoints with trust = 'local' may do"
        )
    return unquote(parts.path) if parts.scheme == "file" else href


def is_loopback(host: str) -> bool:
    """Whether a host name is this machine or a private network, as far as its text says."""
    host = host.rstrip(".")
    if host in ("", "localhost") or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            # 127.1, 0x7f000001 and 2130706433 are addresses too
            address = ipaddress.ip_address(socket.inet_aton(host))
        except OSError:
            return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_private or address.is_link_local


def _size(href: str) -> int:
    path = Path(href)
    return path.stat().st_size if path.is_file() else 0


def _number(item: pystac.Item, key: str) -> int:
    value = item.properties.get(key)
    try:
        return int(value)  # type: ignore[arg-type]  # None is caught below
    except (TypeError, ValueError) as error:
        raise SourceError(f"{item.id}: {key} is {value!r}, not a whole number") from error


def _moment(item: pystac.Item, key: str) -> np.datetime64:
    value = item.properties.get(key) or item.properties.get("datetime")
    try:
        text = str(value).replace(" ", "T").removesuffix("+00:00").removesuffix("Z")
        return np.datetime64(text, "us")
    except ValueError as error:
        raise SourceError(f"{item.id}: {key} {value!r} is not a time") from error


def _short(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__
