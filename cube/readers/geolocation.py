"""Geometry of a product's images beside ESA's own geolocation grid, of GRD and SLC.

Fields: Sentinel-1 Product Specification (S1-RS-MDA-52-7441), section 6.3.1. Annotations are read
where they lie, in a folder or a zip; measurements are not looked at.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree.ElementTree import Element

from cube.errors import SourceError
from cube.kernels.groundrange import GroundRangeImage
from cube.kernels.orbit import Orbit
from cube.kernels.slantrange import SlantRangeImage, line_times
from cube.readers import xml
from cube.readers.annotation import (
    GridPoints,
    annotation_of,
    find,
    flight_of,
    grid_of,
    moment,
    orbit_of,
)
from cube.readers.orbit import find_orbit
from cube.readers.safe import DAMAGED, NAME, order_polarisations
from cube.readers.slc import slant_image

__all__ = ["SwathGeometry", "read_geometry"]

_ANNOTATION = re.compile(
    r"^(?:[^/]+\.SAFE/)?annotation/"
    r"s1[a-z]-(?P<swath>[a-z0-9]+)-[a-z]{3}-(?P<polarisation>[hv]{2})-[^/]*\.xml$"
)
_MAX_BYTES = 64 * 2**20  # the largest annotation holds under 10 MB
_MODES = ("IW", "EW", "SM", "S1", "S2", "S3", "S4", "S5", "S6")


@dataclass(frozen=True, slots=True)
class SwathGeometry:
    """Geometry of one image, and the grid points that ESA's processor gave it.

    Attributes
    ----------
    swath, polarisation, kind, mode : str
        For example ``IW1``, ``vv``, ``SLC`` and ``IW``.
    orbit : Orbit
    orbit_source : str
        See `cube.readers.annotation.Annotation`.
    orbit_file : str or None
        Name of the orbit file, where one was given.
    image : GroundRangeImage or SlantRangeImage
    bistatic : str
        Where the image's bistatic reference comes from.
    grid : GridPoints
    """

    swath: str
    polarisation: str
    kind: str
    mode: str
    orbit: Orbit
    orbit_source: str
    orbit_file: str | None
    image: GroundRangeImage | SlantRangeImage
    bistatic: str
    grid: GridPoints


def read_geometry(product: Path, orbits: Path | None = None) -> list[SwathGeometry]:
    """Geometry of every swath of a product, in its co-polarised channel where there is one.

    Parameters
    ----------
    product : Path
        SAFE folder or zip, GRD or SLC.
    orbits : Path or None
        Orbit file or folder of them, instead of the annotations' orbits.

    Raises
    ------
    SourceError
        No such product, an annotation missing or malformed, or no orbit file for it.
    """
    found = [
        _swath(xml.parse_bytes(content, href, "product"), href, orbits)
        for href, content in _annotations(product)
    ]
    kinds = {(one.kind, one.mode) for one in found}
    if len(kinds) > 1:
        raise SourceError(f"{product}: annotations of {sorted(kinds)}; not one product")
    return _with_middle_swath(found)


def _annotations(product: Path) -> list[tuple[str, bytes]]:
    """Path and content of one annotation for each swath, sorted."""
    names, read = _members(product)
    swaths: dict[str, dict[str, str]] = {}
    for name in names:
        match = _ANNOTATION.match(name)
        if match is not None:
            swaths.setdefault(match["swath"], {})[match["polarisation"]] = name
    kind = NAME.match(product.name)
    if kind is not None and kind["product"] not in ("GRD", "SLC"):
        raise SourceError(f"{product}: product type {kind['product']}; give GRD or SLC")
    if not swaths:
        raise SourceError(
            f"{product}: no annotation/*.xml; give a Sentinel-1 product (SAFE folder or zip) of GRD"
            " or SLC"
        )
    chosen = [
        swaths[swath][order_polarisations(list(swaths[swath]))[0]] for swath in sorted(swaths)
    ]
    return [(f"{product}/{name.partition('.SAFE/')[2] or name}", read(name)) for name in chosen]


def _members(product: Path) -> tuple[list[str], Callable[[str], bytes]]:
    """Files of a folder or zip, and how one is read."""
    if product.is_dir():
        names = [f"annotation/{path.name}" for path in (product / "annotation").glob("*.xml")]
        return sorted(names), lambda name: _bounded(product, (product / name).read_bytes())
    if not product.exists():
        raise SourceError(f"{product}: no such product; give a SAFE folder or zip")

    def read(name: str) -> bytes:
        try:
            with zipfile.ZipFile(product) as archive, archive.open(name) as file:
                return _bounded(product, file.read(_MAX_BYTES + 1))
        except (*DAMAGED, OSError, RuntimeError) as error:
            raise _not_a_zip(product, error) from error

    try:
        with zipfile.ZipFile(product) as archive:
            return sorted(archive.namelist()), read
    except (*DAMAGED, OSError, RuntimeError) as error:
        raise _not_a_zip(product, error) from error


def _not_a_zip(product: Path, error: Exception) -> SourceError:
    return SourceError(f"{product}: neither a SAFE folder nor a readable zip ({error})")


def _bounded(product: Path, content: bytes) -> bytes:
    if len(content) > _MAX_BYTES:
        raise SourceError(f"{product}: an annotation of more than {_MAX_BYTES:,} bytes is refused")
    return content


def _swath(root: Element, href: str, orbits: Path | None) -> SwathGeometry:
    header = find(root, "adsHeader", href)
    kind, mode = xml.text(header, "productType", href), xml.text(header, "mode", href)
    if kind not in ("GRD", "SLC") or mode not in _MODES:
        raise SourceError(f"{href}: product {mode} {kind}; give GRD or SLC of IW, EW or stripmap")
    file = None
    if orbits is not None:
        file = find_orbit(orbits, *flight_of(root, href))
    grid, path = grid_of(root, href), "" if file is None else str(file.path)
    bistatic = "antenna patterns of all sub-swaths"
    image: GroundRangeImage | SlantRangeImage
    if kind == "GRD":
        annotation = annotation_of(root, href, path)
        orbit, source, image = annotation.orbit, annotation.orbit_source, annotation.image
    else:
        epoch = moment(xml.text(root, ".//productFirstLineUtcTime", href), href)
        image = slant_image(root, epoch, href)
        try:
            orbit, source = orbit_of(root, epoch, href, path)
        except ValueError as error:
            raise SourceError(f"{href}: {error}") from error
        bistatic = "middle of the swath" if mode not in ("IW", "EW") else ""
    return SwathGeometry(
        swath=xml.text(header, "swath", href),
        polarisation=xml.text(header, "polarisation", href).lower(),
        kind=kind,
        mode=mode,
        orbit=orbit,
        orbit_source=source,
        orbit_file=None if file is None else file.name,
        image=image,
        bistatic=bistatic,
        grid=grid,
    )


def _with_middle_swath(found: list[SwathGeometry]) -> list[SwathGeometry]:
    """Geometry with the bistatic reference that all swaths of a burst mode share.

    It is the middle of IW2. Where that swath is not there (and for EW, where no product was at hand
    to show it), the grid's own times say it.
    """
    middle = [
        one.image.bistatic_reference_s
        for one in found
        if one.swath == "IW2" and isinstance(one.image, SlantRangeImage)
    ]
    done = []
    for one in found:
        if one.bistatic or not isinstance(one.image, SlantRangeImage):
            done.append(one)
            continue
        shown = line_times(one.image, one.grid.line)[1]
        fitted = one.grid.slant_range_time_s - 2 * (one.grid.time_s - shown)
        reference = middle[0] if middle else float(fitted.mean())
        image = replace(one.image, bistatic_reference_s=reference)
        name = "middle of IW2" if middle else "fitted to the geolocation grid"
        done.append(replace(one, image=image, bistatic=name))
    return done
