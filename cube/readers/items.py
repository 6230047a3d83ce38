"""STAC Items of Sentinel-1 products as their providers write them, read as scenes.

Where an Item leaves out platform, mode, orbit or datatake, the names of its product or files say
them (Sentinel-1 Product Specification, S1-RS-MDA-52-7441, section 4.2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import shapely
from pyproj import Transformer
from pyproj.exceptions import CRSError
from shapely.errors import ShapelyError
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from cube.errors import SourceError
from cube.readers.access import Access
from cube.readers.assets import (
    Record,
    files_of,
    keys_of,
    line,
    listed,
    name_of,
    short,
    shown,
)
from cube.readers.safe import NAME
from cube.readers.scene import Scene

__all__ = ["footprint_of", "other_product", "scene_from_item"]

_PRODUCTS = ("GRD", "SLC", "OCN", "RAW")
_FILE = re.compile(
    r"(?P<platform>s1[a-z])-(?P<mode>iw|ew|wv|s[1-6])\d?-(?P<product>[a-z]{3})-[hv]{2}"
    r"-\d{8}t\d{6}-\d{8}t\d{6}-(?P<orbit>\d{6})-(?P<datatake>[0-9a-f]{6})-\d{3}"
)
_PLATFORM = re.compile(r"sentinel-1[a-z]")
_CRS = re.compile(r"[A-Z]+:\d{1,6}")
_CYCLE = {"sentinel-1a": 73, "sentinel-1b": 27}
"""Relative orbit = (absolute - this) mod 175 + 1."""
_TRACKS = range(1, 176)
_DATATAKES = range(2**32)
_MALFORMED = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    OSError,
    ShapelyError,
)


def scene_from_item(item: Record, access: Access, *, product: str = "grd") -> Scene:
    """Read an Item of a GRD or SLC product, or of a terrain-corrected one on a map grid.

    Parameters
    ----------
    item : mapping
        GeoJSON of the Item.
    access : Access
        What the endpoint's hrefs may reach.
    product : {"grd", "slc", "rtc"}
        What is wanted. One on a map grid (rtc) has neither annotation nor calibration.

    Raises
    ------
    SourceError
        The Item lacks geometry, times, orbit or assets, is malformed, or of another product;
        TrustError where it points to what its endpoint may not.
    """
    try:
        return _scene(item, access, product)
    except _MALFORMED as error:
        raise SourceError(f"{name_of(item)}: malformed Item ({short(error)})") from error


def _scene(item: Record, access: Access, wanted: str) -> Scene:
    found, name = item.get("properties"), name_of(item)
    if not name or name != item.get("id") or " " in name:
        raise SourceError(f"{name}: an Item without a proper id")
    if not isinstance(found, Mapping):
        raise SourceError(f"{name}: Item without properties")
    if kind := other_product(item, wanted):
        article = "a" if kind == "GRD" else "an"
        raise SourceError(f"{name}: is {article} {kind} product, not {wanted.upper()}")
    files, size = files_of(item, access, wanted)
    if not files:
        each = " for any sub-swath" if wanted == "slc" else ""
        raise SourceError(f"{name}: no vv, vh, hh or hv asset{each}; assets: {keys_of(item)}")
    facts = _facts(item)
    platform = _platform(item, facts)
    product = "RTC" if wanted == "rtc" else _product(item, facts)
    if not product:
        raise SourceError(f"{name}: sar:product_type is {shown(found.get('sar:product_type'))}")
    start, stop = _moment(item, "start_datetime"), _moment(item, "end_datetime")
    if stop < start:
        raise SourceError(f"{name}: ends at {stop}, before it starts at {start}")
    direction = str(found.get("sat:orbit_state")).lower()
    return Scene(
        id=name,
        platform=platform,
        datatake=_datatake(item, facts),
        relative_orbit=_relative_orbit(item, platform, facts),
        orbit_direction=direction if direction in ("ascending", "descending") else "unknown",
        mode=str(found.get("sar:instrument_mode") or facts.get("mode", "")),
        product=product,
        start=start,
        stop=stop,
        footprint=footprint_of(item),
        files=files,
        size=size,
        processed=_processed(found),
        simulated=found.get("simulated") is True,
    )


def other_product(item: Record, wanted: str = "grd") -> str:
    """Kind of a product that is known not to be the one wanted; empty for all others.

    A terrain-corrected one is made from a GRD, or may be named after the SLC it was made from.
    """
    kind = _product(item, {} if wanted == "rtc" else _facts(item))
    allowed = {"grd": "GRD", "rtc": "GRD", "slc": "SLC"}[wanted]
    return "" if kind == allowed else kind


# --- footprint


def footprint_of(item: Record) -> BaseGeometry:
    """Footprint in degrees; one across the antimeridian goes beyond 180 degrees east.

    A geometry in the units of the Item's own ``proj:epsg`` is brought to degrees.

    Raises
    ------
    SourceError
        None, malformed, or in units that the Item does not name.
    """
    name = name_of(item)
    if item.get("geometry") is None:
        raise SourceError(f"{name}: Item without geometry")
    try:
        with np.errstate(invalid="ignore"):  # a NaN is refused below, in our own words
            found = shape(item["geometry"])
        known = [*shapely.get_coordinates(found).flat, *found.bounds]  # an empty one has no bounds
        if shapely.get_dimensions(found) < 2 or not np.isfinite(known).all():
            raise SourceError(f"{name}: geometry is an empty {line(found.geom_type)}, not an area")
        if not _degrees(found):
            found = _to_degrees(item, found)
        west, _, east, _ = found.bounds
        if east - west > 180:  # written around the globe: across the antimeridian
            found = shapely.transform(
                found, lambda xy: xy + np.where(xy[:, :1] < 0, [360.0, 0.0], [0.0, 0.0])
            )
        return found if found.is_valid else shapely.make_valid(found)
    except _MALFORMED as error:
        raise SourceError(f"{name}: geometry is not GeoJSON ({short(error)})") from error


def _degrees(geometry: BaseGeometry) -> bool:
    west, south, east, north = geometry.bounds
    return bool(-360 <= west <= east <= 540 and -90.01 <= south <= north <= 90.01)


def _to_degrees(item: Record, geometry: BaseGeometry) -> BaseGeometry:
    found = item.get("properties") or {}
    code = str(found.get("proj:code") or f"EPSG:{found.get('proj:epsg')}")
    if _CRS.fullmatch(code):
        try:
            change = Transformer.from_crs(code, "EPSG:4326", always_xy=True)
            repaired = shapely.transform(
                geometry, lambda xy: np.stack(change.transform(xy[:, 0], xy[:, 1]), axis=-1)
            )
        except CRSError:
            repaired = geometry
        if np.isfinite(repaired.bounds).all() and _degrees(repaired):
            return repaired
    west, south, east, north = geometry.bounds
    raise SourceError(
        f"{name_of(item)}: geometry {west:.6g},{south:.6g},{east:.6g},{north:.6g} is not in degrees"
    )


# --- numbers and names


def _facts(item: Record) -> dict[str, str]:
    """What names hold: of the Item, of the product it was made from, or of its files."""
    found = item.get("properties")
    found = found if isinstance(found, Mapping) else {}
    made_from = found.get("sentinel:product_ids")  # tiles of Indigo on AWS
    names = [item.get("id"), found.get("s1:product_identifier")]
    for name in [*names, *(made_from if isinstance(made_from, list) else ())]:
        match = NAME.match(str(name))
        if match is not None:
            return match.groupdict()
    for asset in listed(item).values():
        match = _FILE.search(asset["href"].lower())
        if match is not None:
            return {key: value.upper() for key, value in match.groupdict().items()}
    return {}


def _product(item: Record, facts: dict[str, str]) -> str:
    """Kind of product; empty where nothing says it."""
    found = item.get("properties")
    found = found if isinstance(found, Mapping) else {}
    for named in (found.get("sar:product_type"), found.get("product:type"), facts.get("product")):
        kind = next((kind for kind in _PRODUCTS if kind in str(named).upper()), "")
        if kind:
            return kind
    return ""


def _platform(item: Record, facts: dict[str, str]) -> str:
    stated = item["properties"].get("platform")
    platform = str(stated).lower()
    if not _PLATFORM.fullmatch(platform) and "platform" in facts:
        platform = f"sentinel-1{facts['platform'][-1].lower()}"
    if not _PLATFORM.fullmatch(platform):
        raise SourceError(f"{name_of(item)}: platform is {shown(stated)}, not a Sentinel-1")
    return platform


def _datatake(item: Record, facts: dict[str, str]) -> int:
    stated = item["properties"].get("s1:datatake_id")
    if stated is None and "datatake" in facts:
        return int(facts["datatake"], 16)
    return _number(item, "s1:datatake_id", stated, _DATATAKES)


def _relative_orbit(item: Record, platform: str, facts: dict[str, str]) -> int:
    stated = item["properties"].get("sat:relative_orbit")
    absolute = item["properties"].get("sat:absolute_orbit")
    if absolute is None:
        absolute = facts.get("orbit")
    if stated is not None or platform not in _CYCLE or absolute is None:
        return _number(item, "sat:relative_orbit", stated, _TRACKS)
    number = _number(item, "sat:absolute_orbit", absolute, _DATATAKES)
    return (number - _CYCLE[platform]) % len(_TRACKS) + 1


def _number(item: Record, key: str, value: Any, allowed: range) -> int:
    """Whole number, which some write as text."""
    if isinstance(value, str):
        whole = value.isascii() and value.isdigit() and len(value) < 12
    else:
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    number = int(value) if whole else -1
    if number not in allowed or isinstance(value, bool):
        bounds = f" of 1 to {allowed[-1]}" if allowed is _TRACKS else ""
        raise SourceError(f"{name_of(item)}: {key} is {shown(value)}, not a whole number{bounds}")
    return number


def _processed(properties: Mapping[str, Any]) -> np.datetime64 | None:
    """When the product was made, or failing that when its Item was."""
    times = (_time(properties.get(key)) for key in ("processing:datetime", "updated", "created"))
    return next((time for time in times if time is not None), None)


def _moment(item: Record, key: str) -> np.datetime64:
    value = item["properties"].get(key) or item["properties"].get("datetime")
    found = _time(value)
    if found is None:
        raise SourceError(f"{name_of(item)}: {key} {shown(value)} is not a time")
    return found


def _time(value: Any) -> np.datetime64 | None:
    """Moment in UTC; text without a zone is UTC."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value.upper())
        if found.tzinfo is not None:
            found = found.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None
    return np.datetime64(found, "us")
