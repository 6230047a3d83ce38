"""Annotation of a Sentinel-1 image: orbit, sampling, slant to ground range.

Fields are those of the Sentinel-1 Product Specification (S1-RS-MDA-52-7441), section 6.3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from cube.errors import SourceError
from cube.kernels.ellipsoid import SPEED_OF_LIGHT
from cube.kernels.groundrange import GroundRangeImage
from cube.kernels.orbit import Orbit, fit_orbit
from cube.readers import xml
from cube.readers.access import ON_DISK, Access
from cube.readers.orbit import orbit_around

__all__ = [
    "Annotation",
    "GridPoints",
    "annotation_of",
    "find",
    "flight_of",
    "grid_of",
    "moment",
    "orbit_of",
    "read_annotation",
    "read_grid",
    "seconds",
]


@dataclass(frozen=True, slots=True)
class Annotation:
    """What one polarisation's annotation says about geometry.

    Attributes
    ----------
    polarisation : str
        Lower case.
    epoch : datetime64[ns]
        Zero of all times: the time of the first line.
    orbit : Orbit
    image : GroundRangeImage
    orbit_source : str
        ``Auxiliary`` (orbit file) or ``Downlink`` where it is the annotation's own; ``POEORB`` or
        ``RESORB`` where a file was given.
    """

    polarisation: str
    epoch: np.datetime64
    orbit: Orbit
    image: GroundRangeImage
    orbit_source: str


@dataclass(frozen=True, slots=True)
class GridPoints:
    """Geolocation grid: image coordinates and the ground seen there, each of shape (points,)."""

    line: NDArray[np.float64]
    sample: NDArray[np.float64]
    time_s: NDArray[np.float64]
    slant_range_time_s: NDArray[np.float64]
    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    height: NDArray[np.float64]


def read_annotation(
    href: str, access: Access = ON_DISK, orbit: str = "", *, product: str = "GRD"
) -> Annotation:
    """Read the annotation of an image.

    Parameters
    ----------
    href : str
    access : Access
    orbit : str
        Path of an orbit file whose state vectors replace those of the annotation.
    product : {"GRD", "SLC"}
        What it must be. The bursts of a sub-swath are taken as one image whose ground range is
        slant range: what it covers, not what its samples are (`cube.readers.slc`).

    Raises
    ------
    SourceError
        Missing or malformed file, fields absent, another product, or an orbit file that does not
        belong to it.
    """
    return annotation_of(xml.parse(href, "product", access), href, orbit, product=product)


def annotation_of(root: Element, href: str, orbit: str = "", *, product: str = "GRD") -> Annotation:
    """Annotation of a document that was read from `href`; see `read_annotation`."""
    info = find(root, "imageAnnotation/imageInformation", href)
    kind = xml.text(root, "adsHeader/productType", href)
    if kind != product:
        raise SourceError(f"{href}: product type {kind}; this reader takes {product}")
    epoch = moment(xml.text(info, "productFirstLineUtcTime", href), href)
    try:
        path, source = orbit_of(root, epoch, href, orbit)
        image = (_image if product == "GRD" else _laid_together)(root, info, epoch, href)
    except ValueError as error:
        raise SourceError(f"{href}: {error}") from error
    return Annotation(
        polarisation=xml.text(root, "adsHeader/polarisation", href).lower(),
        epoch=epoch,
        orbit=path,
        image=image,
        orbit_source=source,
    )


def read_grid(href: str) -> GridPoints:
    """Read the geolocation grid (``geolocationGrid/geolocationGridPointList``)."""
    return grid_of(xml.parse(href, "product"), href)


def grid_of(root: Element, href: str) -> GridPoints:
    """Geolocation grid of a document that was read from `href`."""
    epoch = moment(xml.text(root, ".//productFirstLineUtcTime", href), href)
    points = root.findall("geolocationGrid/geolocationGridPointList/geolocationGridPoint")
    if not points:
        raise SourceError(f"{href}: no geolocationGridPoint; the file is incomplete")

    def column(tag: str) -> NDArray[np.float64]:
        return np.array([xml.number(point, tag, href) for point in points])

    times = [seconds(xml.text(point, "azimuthTime", href), epoch, href) for point in points]
    return GridPoints(
        line=column("line"),
        sample=column("pixel"),
        time_s=np.array(times),
        slant_range_time_s=column("slantRangeTime"),
        lon=column("longitude"),
        lat=column("latitude"),
        height=column("height"),
    )


def orbit_of(root: Element, epoch: np.datetime64, href: str, file: str = "") -> tuple[Orbit, str]:
    """Orbit of a product, from its annotation or from an orbit file, and what it comes from."""
    if not file:
        source = root.findtext(".//processingInformation/orbitSource") or "unknown"
        return _annotated_orbit(root, epoch, href), source
    platform, start, stop = flight_of(root, href)
    orbit, header = orbit_around(Path(file), platform, epoch, start, stop)
    return orbit, header.kind


def flight_of(root: Element, href: str) -> tuple[str, np.datetime64, np.datetime64]:
    """Satellite, such as ``sentinel-1a``, and times of the first and the last line."""
    first, last = (
        moment(xml.text(root, f".//imageInformation/product{end}LineUtcTime", href), href)
        for end in ("First", "Last")
    )
    mission = xml.text(root, "adsHeader/missionId", href)
    return mission.lower().replace("s1", "sentinel-1"), first, last


def _annotated_orbit(root: Element, epoch: np.datetime64, href: str) -> Orbit:
    vectors = root.findall("generalAnnotation/orbitList/orbit")
    if not vectors:
        raise SourceError(f"{href}: no orbit state vectors; the file is incomplete")
    times, places, speeds = [], [], []
    for vector in vectors:
        frame = vector.findtext("frame") or ""
        if frame.strip() != "Earth Fixed":
            raise SourceError(f"{href}: orbit frame {frame!r}, expected 'Earth Fixed'")
        times.append(seconds(xml.text(vector, "time", href), epoch, href))
        places.append([xml.number(vector, f"position/{axis}", href) for axis in "xyz"])
        speeds.append([xml.number(vector, f"velocity/{axis}", href) for axis in "xyz"])
    return fit_orbit(times, places, speeds)


def _image(root: Element, info: Element, epoch: np.datetime64, href: str) -> GroundRangeImage:
    records = root.findall("coordinateConversion/coordinateConversionList/coordinateConversion")
    if not records:
        raise SourceError(f"{href}: no coordinateConversion records; not a ground range product?")
    times = [seconds(xml.text(record, "azimuthTime", href), epoch, href) for record in records]
    origins = [xml.number(record, "gr0", href) for record in records]
    rows = [numbers(xml.text(record, "grsrCoefficients", href), href) for record in records]
    widths = {len(row) for row in rows}
    if len(widths) != 1:
        raise SourceError(f"{href}: grsrCoefficients of different lengths {sorted(widths)}")
    lines = xml.whole(info, "numberOfLines", href)
    samples = xml.whole(info, "numberOfSamples", href)
    conversion = np.stack(rows)
    return GroundRangeImage(
        first_line_s=0.0,
        line_step_s=xml.number(info, "azimuthTimeInterval", href),
        sample_step_m=xml.number(info, "rangePixelSpacing", href),
        bistatic_reference_s=_bistatic_reference(
            root, samples, xml.number(info, "rangePixelSpacing", href), conversion, origins
        ),
        record_time_s=np.array(times),
        ground_origin_m=np.array(origins),
        slant_coefficients=conversion,
        shape=(lines, samples),
    )


def _laid_together(
    root: Element, info: Element, epoch: np.datetime64, href: str
) -> GroundRangeImage:
    """Valid part of a sub-swath, from the first line of its first burst to the last of its last."""
    step = xml.number(info, "azimuthTimeInterval", href)
    rate = xml.number(root, "generalAnnotation/productInformation/rangeSamplingRate", href)
    first, last, near, far = [], [], [], []
    for burst in root.findall("swathTiming/burstList/burst"):
        start = seconds(xml.text(burst, "azimuthTime", href), epoch, href)
        begin, end = (
            numbers(xml.text(burst, f"{which}ValidSample", href), href)
            for which in ("first", "last")
        )
        valid = np.flatnonzero(begin >= 0)
        if len(valid):
            first.append(start + valid[0] * step)
            last.append(start + valid[-1] * step)
            near.append(begin[valid].max())
            far.append(end[valid].min())
    if not first:
        raise SourceError(f"{href}: no burst with valid samples; the file is incomplete")
    metres = SPEED_OF_LIGHT / 2 / rate
    at_zero = SPEED_OF_LIGHT / 2 * xml.number(info, "slantRangeTime", href)
    return GroundRangeImage(
        first_line_s=min(first),
        line_step_s=step,
        sample_step_m=metres,
        bistatic_reference_s=2 / SPEED_OF_LIGHT * (at_zero + (max(near) + min(far)) / 2 * metres),
        record_time_s=np.array([min(first)]),
        ground_origin_m=np.zeros(1),
        slant_coefficients=np.array([[at_zero + max(near) * metres, 1.0]]),
        shape=(round((max(last) - min(first)) / step) + 1, int(min(far) - max(near)) + 1),
    )


def _bistatic_reference(
    root: Element,
    samples: int,
    step_m: float,
    conversion: NDArray[np.float64],
    origins: list[float],
) -> float:
    """Two-way time in the middle of the imaged slant range, over all sub-swaths.

    The antenna pattern records list the two-way times of each sub-swath; the middle between the
    nearest and the farthest agrees with the geolocation grids of IW and stripmap products to
    0.4 microseconds, which is 0.00015 line. Without them the middle of the image stands in.
    """
    near, far = [], []
    for pattern in root.findall("antennaPattern/antennaPatternList/antennaPattern"):
        times = (pattern.findtext("slantRangeTime") or "").split()
        if times:
            near.append(float(times[0]))
            far.append(float(times[-1]))
    if near:
        return (min(near) + max(far)) / 2
    edges = np.array([0.0, (samples - 1) * step_m]) - origins[len(origins) // 2]
    slant = np.polynomial.polynomial.polyval(edges, conversion[len(conversion) // 2])
    return float(slant.sum() / SPEED_OF_LIGHT)


def numbers(content: str, href: str) -> NDArray[np.float64]:
    """Whitespace-separated finite numbers.

    Raises
    ------
    SourceError
        One of them is none.
    """
    try:
        found = np.array(content.split(), dtype="float64")
    except ValueError as error:
        raise SourceError(f"{href}: a list of numbers holds text ({error})") from error
    if not np.isfinite(found).all():
        raise SourceError(f"{href}: a list of numbers holds {found[~np.isfinite(found)][0]}")
    return found


def find(root: Element, path: str, href: str) -> Element:
    """Find an element that must be there.

    Raises
    ------
    SourceError
        There is none.
    """
    found = root.find(path)
    if found is None:
        raise SourceError(f"{href}: lacks {path}; the file is incomplete")
    return found


def moment(content: str, href: str) -> np.datetime64:
    """Time of an annotation, to the nanosecond.

    Raises
    ------
    SourceError
        It is none.
    """
    try:
        return np.datetime64(content.strip().rstrip("Z"), "ns")
    except ValueError as error:
        raise SourceError(f"{href}: {content!r} is not a time") from error


def seconds(content: str, epoch: np.datetime64, href: str) -> float:
    """Time of an annotation, in seconds after `epoch`."""
    return float((moment(content, href) - epoch) / np.timedelta64(1, "ns")) * 1e-9
