"""Annotations of a template changed: fewer bursts, other lines, another orbit, another day.

What is not mentioned in a function stays as it was, byte for byte where texts are concerned.
"""

from __future__ import annotations

import re
from typing import cast
from xml.etree import ElementTree as ET

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import NDArray

from cube.simulate.ellipsoid import east_north_up, geodetic_from_ecef
from cube.simulate.geometry import SPEED_OF_LIGHT, ground_point
from cube.simulate.orbit import Orbit
from cube.simulate.slc_annotation import read_image, seconds, text_of
from cube.simulate.xmltree import double, time_text

__all__ = [
    "keep_bursts",
    "keep_lines",
    "other_day",
    "place_bursts",
    "shift_lines",
    "shift_orbit",
    "state_header",
    "state_period",
]

CYCLE_DAYS, CYCLE_ORBITS = 12, 175  # Torres et al. 2012, RSE 120
CYCLE_BURSTS = 375887
"""Absolute burst numbers 12 days apart, in real annotations."""
CYCLE_DATATAKES = 1514
"""Identifiers of data takes 12 days apart, in two real products; no law."""

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+")
_NAME = re.compile(r"(\d{8})(?=[tT]\d{6})")


def other_day(text: str, days: int) -> str:
    """Text of a file, or its name, as a pass so many days later would have it.

    All times move by whole days, and so do the dates in names; the numbers of orbit, data take,
    cycle and absolute burst count on. Positions stay: the track repeats exactly.

    Raises
    ------
    ValueError
        The days are no whole number of repeat cycles of 12 days.
    """
    if days % CYCLE_DAYS:
        raise ValueError(f"{days} days are no whole number of repeat cycles of {CYCLE_DAYS} days")
    cycles, step = days // CYCLE_DAYS, np.timedelta64(days, "D")

    def later(found: re.Match[str]) -> str:
        return str(np.datetime64(found[0]) + step)

    def later_name(found: re.Match[str]) -> str:
        day = found[1]
        date = np.datetime64(f"{day[:4]}-{day[4:6]}-{day[6:]}") + step
        return str(date).replace("-", "")

    def count(pattern: str, more: int, value: str) -> str:
        return re.sub(pattern, lambda m: m[1] + str(int(m[2]) + more), value)

    def identifiers(found: re.Match[str]) -> str:
        orbit, datatake = int(found[3]) + orbits, int(found[5], 16) + takes
        code = f"{datatake:0{len(found[5])}x}"
        code = code.upper() if found[5] == found[5].upper() else code
        return f"{found[1]}{found[2]}{orbit:06d}{found[4]}{code}"

    orbits, takes = cycles * CYCLE_ORBITS, cycles * CYCLE_DATATAKES
    # Names carry the orbit and the data take after their two times, with or without separators.
    text = re.sub(
        r"(\d{8}[tT]\d{6})([-_]?)(\d{6})([-_]?)([0-9a-fA-F]{6})",
        identifiers,
        text,
    )
    text = _NAME.sub(later_name, _TIME.sub(later, text))
    text = count(r"(<absoluteOrbitNumber>|<safe:orbitNumber type=\"\w+\">)(\d+)", orbits, text)
    text = count(r"(<missionDataTakeId>|<s1sarl1:missionDataTakeID>)(\d+)", takes, text)
    text = count(r"(<safe:cycleNumber>)(\d+)", cycles, text)
    return count(r"(<burstId absolute=\")(\d+)", cycles * CYCLE_BURSTS, text)


def _set(element: ET.Element, path: str, value: str) -> None:
    found = element.find(path)
    if found is None:
        raise ValueError(f"annotation has no {path}")
    found.text = value


def _list(root: ET.Element, path: str) -> ET.Element:
    found = root.find(path)
    if found is None:
        raise ValueError(f"annotation has no {path}")
    return found


def _keep(parent: ET.Element, wanted: list[ET.Element]) -> None:
    parent[:] = wanted
    parent.set("count", str(len(wanted)))


def state_period(root: ET.Element) -> tuple[np.datetime64, np.datetime64]:
    """Bring the times of the whole image in line with its bursts, and return them."""
    lines = int(text_of(root, "swathTiming/linesPerBurst"))
    step = float(text_of(root, "imageAnnotation/imageInformation/azimuthTimeInterval"))
    bursts = root.findall("swathTiming/burstList/burst")
    times = [np.datetime64(text_of(burst, "azimuthTime"), "us") for burst in bursts]
    first = times[0]
    last = times[-1] + np.timedelta64(round((lines - 1) * step * 1e6), "us")
    _set(root, "imageAnnotation/imageInformation/productFirstLineUtcTime", time_text(first))
    _set(root, "imageAnnotation/imageInformation/productLastLineUtcTime", time_text(last))
    _set(root, "imageAnnotation/imageInformation/numberOfLines", str(lines * len(bursts)))
    state_header(root, first, last)
    return first, last


def state_header(root: ET.Element, first: np.datetime64, last: np.datetime64) -> None:
    """Times of the image in the header that all annotations have."""
    _set(root, "adsHeader/startTime", time_text(first))
    _set(root, "adsHeader/stopTime", time_text(last))


def keep_bursts(root: ET.Element, bursts: range) -> None:
    """Cut a product annotation to consecutive bursts.

    Polynomials, orbit and the other lists stay whole: readers pick what is nearest in time.

    Raises
    ------
    ValueError
        There are no such bursts.
    """
    parent = _list(root, "swathTiming/burstList")
    items = list(parent)
    if not bursts or bursts.step != 1 or bursts.start < 0 or bursts.stop > len(items):
        raise ValueError(f"{bursts} are no consecutive bursts of {len(items)}")
    image = read_image(root)
    lines, step = image.lines_per_burst, image.line_step_s
    first, stop = bursts.start * lines, bursts.stop * lines
    grid = _list(root, "geolocationGrid/geolocationGridPointList")
    points = []
    for point in grid:
        line = int(text_of(point, "line"))
        if first <= line < stop:
            _set(point, "line", str(line - first))
        elif line == stop and bursts.stop < len(items):
            # The first line of the next burst is a line of the last one kept, too.
            ahead = image.bursts[bursts.stop].start_s - image.bursts[bursts.stop - 1].start_s
            _set(point, "line", str(line - first - lines + round(ahead / step)))
        else:
            continue
        points.append(point)
    _keep(grid, points)
    _keep(parent, items[bursts.start : bursts.stop])
    state_period(root)


def keep_lines(root: ET.Element, first: int, lines: int) -> None:
    """Cut a calibration or noise annotation to an image that begins at line `first`.

    Vectors outside stay, as real products have some; the azimuth noise is cut to the image.
    """
    for name in ("calibrationVector", "noiseRangeVector", "noiseVector"):
        for item in root.iter(name):
            _set(item, "line", str(int(text_of(item, "line")) - first))
    for item in root.iter("noiseAzimuthVector"):
        line = np.array(text_of(item, "line").split(), dtype=int) - first
        factor = text_of(item, "noiseAzimuthLut").split()
        inside = (line >= 0) & (line < lines)
        _set(item, "firstAzimuthLine", "0")
        _set(item, "lastAzimuthLine", str(lines - 1))
        _set(item, "line", " ".join(map(str, line[inside])))
        kept = [text for text, keep in zip(factor, inside, strict=True) if keep]
        _set(item, "noiseAzimuthLut", " ".join(kept))
        for name in ("line", "noiseAzimuthLut"):
            _list(item, name).set("count", str(len(kept)))


def shift_lines(root: ET.Element, lines: float) -> None:
    """Delay the grid of lines: bursts, image and geolocation grid, to whole microseconds."""
    step = float(text_of(root, "imageAnnotation/imageInformation/azimuthTimeInterval"))
    shift = np.timedelta64(round(lines * step * 1e6), "us")
    for burst in root.iter("burst"):
        anx = float(text_of(burst, "azimuthAnxTime")) + shift / np.timedelta64(1, "s")
        _set(burst, "azimuthAnxTime", double(float(anx)))
        for name in ("azimuthTime", "sensingTime"):
            _set(burst, name, time_text(np.datetime64(text_of(burst, name), "us") + shift))
    for point in root.iter("geolocationGridPoint"):
        time = np.datetime64(text_of(point, "azimuthTime"), "us") + shift
        _set(point, "azimuthTime", time_text(time))
    state_period(root)
    _solve_grid(root)


def shift_orbit(root: ET.Element, metres: float) -> None:
    """Move all state vectors to the right of the flight, horizontally.

    The velocities turn with the orbit: they get the derivative of the shift.
    """
    vectors = list(root.iter("orbit"))
    epoch = np.datetime64(text_of(vectors[0], "time"), "us")
    time = np.array([seconds(text_of(item, "time"), epoch) for item in vectors])
    position, velocity = (
        np.array([[float(text_of(v, f"{kind}/{axis}")) for axis in "xyz"] for v in vectors])
        for kind in ("position", "velocity")
    )
    lat, lon, _ = geodetic_from_ecef(position)
    right = np.cross(velocity, east_north_up(lat, lon)[2])
    shift = metres * right / np.linalg.norm(right, axis=-1, keepdims=True)
    for axis, name in enumerate("xyz"):
        smooth = Polynomial.fit(time, shift[:, axis], min(9, len(time) - 1))
        for item, at, place, speed in zip(
            vectors, time, position[:, axis], velocity[:, axis], strict=True
        ):
            _set(item, f"position/{name}", double(float(place + smooth(at))))
            _set(item, f"velocity/{name}", double(float(speed + smooth.deriv()(at))))
    _solve_grid(root)


def _solve_grid(root: ET.Element) -> None:
    """Geolocation grid at the annotated times, ranges and heights, by the annotated orbit.

    The angles stay as they were.
    """
    image = read_image(root)
    points = list(root.iter("geolocationGridPoint"))
    time = np.array([seconds(text_of(item, "azimuthTime"), image.epoch) for item in points])
    two_way, height = (
        np.array([float(text_of(item, name)) for item in points])
        for name in ("slantRangeTime", "height")
    )
    # The solver asks for nothing but states.
    orbit = cast(Orbit, image.orbit)
    lat, lon = ground_point(orbit, time, two_way * SPEED_OF_LIGHT / 2, height)
    for point, phi, lam in zip(points, lat, lon, strict=True):
        _set(point, "latitude", double(float(phi)))
        _set(point, "longitude", double(float(lam)))


def place_bursts(root: ET.Element, first_byte: int) -> NDArray[np.int64]:
    """State where each burst begins in its measurement file."""
    size = 4 * int(text_of(root, "swathTiming/linesPerBurst"))
    size *= int(text_of(root, "swathTiming/samplesPerBurst"))
    bursts = root.findall("swathTiming/burstList/burst")
    offsets = first_byte + size * np.arange(len(bursts))
    for burst, offset in zip(bursts, offsets, strict=True):
        _set(burst, "byteOffset", str(offset))
    return offsets
