"""STAC Items of Sentinel-1 products as their providers write them, read as scenes.

An asset is what its file is, not what its key says: Planetary Computer and Earth Search list, under
``schema-product-vv``, the RFI annotation of products since 2022; others name assets ``products`` or
``gamma0_vv``. File names say what a file is (Sentinel-1 Product Specification, S1-RS-MDA-52-7441,
section 4.2); keys are believed where the name says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import numpy as np
from pyproj import Transformer
from pyproj.exceptions import CRSError
from shapely import transform
from shapely.errors import ShapelyError
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from cube.errors import SourceError, TrustError
from cube.readers.access import REMOTE, Access, is_loopback
from cube.readers.safe import NAME, order_polarisations
from cube.readers.scene import Files, Scene

__all__ = ["Record", "asset_href", "footprint_of", "scene_from_item"]

Record = Mapping[str, Any]
"""An Item as JSON gives it."""
_POLARISATIONS = ("vv", "vh", "hh", "hv")
_FILE = re.compile(
    r"^(?P<kind>calibration-|noise-|rfi-)?(?P<stem>(?:.*[-_])?(?P<pol>vv|vh|hh|hv)(?:[-_.].*)?)"
    r"\.(?P<type>xml|tiff?)$"
)
_KEYS = {"product": "annotation", "calibration": "calibration", "noise": "noise"}
_ORBIT = re.compile(r"-(?P<orbit>\d{6})-(?P<datatake>[0-9a-f]{6})-\d{3}\.")
_CYCLE = {"sentinel-1a": 73, "sentinel-1b": 27}
"""Relative orbit = (absolute - this) mod 175 + 1."""
_MALFORMED = (ValueError, LookupError, TypeError, AttributeError, ShapelyError)


def scene_from_item(item: Record, access: Access, *, projected: bool = False) -> Scene:
    """Read an Item of a GRD product, or of a terrain-corrected one on a map grid.

    Parameters
    ----------
    item : mapping
        GeoJSON of the Item.
    access : Access
        What the endpoint's hrefs may reach.
    projected : bool
        The product is on a map grid: it has neither annotation nor calibration.

    Raises
    ------
    SourceError
        The Item lacks geometry, times, orbit or assets; TrustError where it points to what its
        endpoint may not.
    """
    name = str(item.get("id"))
    found = item.get("properties") or {}
    assets = _assets(item)
    files = []
    size = 0
    given = [pol for pol in _POLARISATIONS if ("measurement", pol) in assets]
    for pol in order_polarisations(given):
        key = assets["measurement", pol]
        measurement = asset_href(item, key, access)
        rest = {} if projected else _metadata(item, assets, pol, access)
        files.append((pol, Files(measurement=measurement, access=access, **rest)))
        size += _size(item["assets"][key], measurement)
    if not files:
        raise SourceError(
            f"{name}: no vv, vh, hh or hv asset; assets: {', '.join(item.get('assets') or {})}"
        )
    stem = _product_name(item)
    platform = str(found.get("platform", "")).lower()
    return Scene(
        id=name,
        platform=platform,
        datatake=_datatake(item, stem),
        relative_orbit=_relative_orbit(item, platform, stem),
        orbit_direction=str(found.get("sat:orbit_state") or "unknown").lower(),
        mode=str(found.get("sar:instrument_mode", "")),
        product="RTC" if projected else _product_type(found),
        start=_moment(item, "start_datetime"),
        stop=_moment(item, "end_datetime"),
        footprint=footprint_of(item),
        files=tuple(files),
        size=size,
        processed=_processed(found),
        simulated=found.get("simulated") is True,
    )


def _assets(item: Record) -> dict[tuple[str, str], str]:
    """Keys of the assets by what their files are: kind and polarisation."""
    named: dict[tuple[str, str], str] = {}
    keyed: dict[tuple[str, str], str] = {}
    for key, asset in (item.get("assets") or {}).items():
        path = urlsplit(str(asset.get("href", ""))).path
        match = _FILE.match(PurePosixPath(path).name.lower())
        if match is not None:
            if match["type"] != "xml":
                kind = "measurement"
            else:
                kind = (match["kind"] or "annotation-").removesuffix("-")
            named.setdefault((kind, match["pol"]), key)
        else:
            schema, _, pol = key.removeprefix("schema-").partition("-")
            if schema in _KEYS and pol in _POLARISATIONS:
                keyed[_KEYS[schema], pol] = key
            elif key in _POLARISATIONS:
                keyed["measurement", key] = key
    return keyed | named


def _metadata(
    item: Record, assets: dict[tuple[str, str], str], pol: str, access: Access
) -> dict[str, str]:
    """Hrefs of annotation, calibration and noise of a polarisation."""
    found = {
        kind: asset_href(item, assets[kind, pol], access)
        for kind in ("calibration", "noise", "annotation")
        if (kind, pol) in assets
    }
    for kind in ("calibration", "noise"):
        if kind not in found:
            raise SourceError(
                f"{item['id']}: no asset 'schema-{kind}-{pol}'; assets: {', '.join(item['assets'])}"
            )
    if "annotation" not in found and ("rfi", pol) in assets:
        # annotation/calibration/calibration-iw-vv.xml lies beside annotation/iw-vv.xml
        head, _, file = found["calibration"].rpartition("/")
        found["annotation"] = f"{head.rpartition('/')[0]}/{file.removeprefix('calibration-')}"
    if "annotation" not in found:
        raise SourceError(
            f"{item['id']}: no asset 'schema-product-{pol}'; assets: {', '.join(item['assets'])}"
        )
    return found


def asset_href(item: Record, key: str, access: Access) -> str:
    """Absolute href of an asset, or path of a local file.

    Raises
    ------
    SourceError
        There is no such asset.
    TrustError
        It leads to where the endpoint may not.
    """
    asset = (item.get("assets") or {}).get(key)
    if asset is None or not asset.get("href"):
        raise SourceError(
            f"{item.get('id')}: no asset {key!r}; assets: {', '.join(item.get('assets') or {})}"
        )
    own = [link["href"] for link in item.get("links") or () if link.get("rel") == "self"]
    href = urljoin(own[0], asset["href"]) if own else str(asset["href"])
    parts = urlsplit(href)
    if parts.scheme in REMOTE and not is_loopback(parts.hostname or ""):
        return href
    if not access.local:
        raise TrustError(
            f"{item.get('id')}: asset {key!r} points into this machine or network ({href[:60]}),"
            " which only endpoints with trust = 'local' may do"
        )
    return unquote(parts.path) if parts.scheme == "file" else href


def footprint_of(item: Record) -> BaseGeometry:
    """Footprint in degrees; one across the antimeridian goes beyond 180 degrees east.

    A geometry in the units of the Item's own ``proj:epsg`` is brought to degrees.

    Raises
    ------
    SourceError
        None, malformed, or in units that the Item does not name.
    """
    name = item.get("id")
    if item.get("geometry") is None:
        raise SourceError(f"{name}: Item without geometry")
    try:
        found = shape(item["geometry"])
        if not _degrees(found):
            found = _to_degrees(item, found)
    except _MALFORMED as error:
        raise SourceError(f"{name}: geometry is not GeoJSON ({_short(error)})") from error
    west, _, east, _ = found.bounds
    if east - west > 180:  # written around the globe: across the antimeridian
        found = transform(found, lambda xy: xy + np.where(xy[:, :1] < 0, [360.0, 0.0], [0.0, 0.0]))
    return found


def _degrees(geometry: BaseGeometry) -> bool:
    west, south, east, north = geometry.bounds
    return bool(-360 <= west <= east <= 540 and -90.01 <= south <= north <= 90.01)


def _to_degrees(item: Record, geometry: BaseGeometry) -> BaseGeometry:
    found = item.get("properties") or {}
    code = found.get("proj:code") or (
        f"EPSG:{found['proj:epsg']}" if "proj:epsg" in found else None
    )
    if code is not None:
        try:
            change = Transformer.from_crs(code, "EPSG:4326", always_xy=True)
            repaired = transform(
                geometry, lambda xy: np.stack(change.transform(xy[:, 0], xy[:, 1]), axis=-1)
            )
        except CRSError:
            repaired = geometry
        if np.isfinite(repaired.bounds).all() and _degrees(repaired):
            return repaired
    west, south, east, north = geometry.bounds
    raise SourceError(
        f"{item.get('id')}: geometry {west:.0f},{south:.0f},{east:.0f},{north:.0f} is not in"
        " degrees"
    )


def _product_name(item: Record) -> dict[str, str]:
    """Orbit and datatake as names hold them: of the Item, of its product or of its files."""
    found = item.get("properties") or {}
    names = [item.get("id"), found.get("s1:product_identifier"), *_listed(found)]
    for name in names:
        match = NAME.match(str(name))
        if match is not None:
            return {"orbit": match["orbit"], "datatake": match["datatake"]}
    for asset in (item.get("assets") or {}).values():
        match = _ORBIT.search(str(asset.get("href", "")))
        if match is not None:
            return match.groupdict()
    return {}


def _listed(properties: Mapping[str, Any]) -> list[str]:
    """Products that a tile was made from (Sentinel-1 RTC of Indigo on AWS)."""
    listed = properties.get("sentinel:product_ids")
    return list(listed) if isinstance(listed, list) else []


def _datatake(item: Record, stem: dict[str, str]) -> int:
    if "s1:datatake_id" not in item["properties"] and "datatake" in stem:
        return int(stem["datatake"], 16)
    return _number(item, "s1:datatake_id")


def _relative_orbit(item: Record, platform: str, stem: dict[str, str]) -> int:
    found = item["properties"]
    absolute = found.get("sat:absolute_orbit", stem.get("orbit"))
    if "sat:relative_orbit" in found or platform not in _CYCLE or absolute is None:
        return _number(item, "sat:relative_orbit")
    return (int(absolute) - _CYCLE[platform]) % 175 + 1


def _product_type(properties: Mapping[str, Any]) -> str:
    named = str(properties.get("sar:product_type") or properties.get("product:type") or "")
    return next((kind for kind in ("GRD", "SLC", "OCN", "RAW") if kind in named), named)


def _processed(properties: Mapping[str, Any]) -> np.datetime64 | None:
    for key in ("processing:datetime", "updated", "created"):
        if key in properties:
            return _time(properties[key])
    return None


def _size(asset: Mapping[str, Any], href: str) -> int:
    stated = asset.get("file:size")
    if isinstance(stated, int):
        return stated
    path = Path(href)
    return path.stat().st_size if path.is_file() else 0


def _number(item: Record, key: str) -> int:
    value = item["properties"].get(key)
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise SourceError(f"{item['id']}: {key} is {value!r}, not a whole number") from error


def _moment(item: Record, key: str) -> np.datetime64:
    value = item["properties"].get(key) or item["properties"].get("datetime")
    found = _time(value)
    if found is None:
        raise SourceError(f"{item['id']}: {key} {value!r} is not a time")
    return found


def _time(value: Any) -> np.datetime64 | None:
    try:
        text = str(value).replace(" ", "T").removesuffix("+00:00").removesuffix("Z")
        found = np.datetime64(text, "us")
    except ValueError:
        return None
    return None if np.isnat(found) else found


def _short(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__
