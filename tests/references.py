"""Plain-Python references, one point at a time: nothing here imports what it judges."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree as ET

LIGHT = 299_792_458.0  # m/s, exact (SI)
SEMI_MAJOR, FLATTENING = 6_378_137.0, 1 / 298.257223563  # WGS 84 (NIMA TR8350.2)

Vector = tuple[float, float, float]
State = Callable[[float], tuple[Vector, Vector]]


def dot(a: Sequence[float], b: Sequence[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def minus(a: Sequence[float], b: Sequence[float]) -> Vector:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


def ecef(lon: float, lat: float, height: float) -> Vector:
    """Earth-fixed metres of geodetic degrees."""
    lam, phi = math.radians(lon), math.radians(lat)
    e2 = FLATTENING * (2 - FLATTENING)
    normal = SEMI_MAJOR / math.sqrt(1 - e2 * math.sin(phi) ** 2)
    across = (normal + height) * math.cos(phi)
    return (
        across * math.cos(lam),
        across * math.sin(lam),
        (normal * (1 - e2) + height) * math.sin(phi),
    )


def circular_orbit(
    radius: float = 7_070_000.0, inclination_deg: float = 98.18, turn: float = 7.292115e-5
) -> State:
    """Earth-fixed state of a circular orbit over a turning Earth; it crosses 0, 0 at time 0."""
    rate = math.sqrt(3.986004418e14 / radius**3)
    inclination = math.radians(inclination_deg)

    def state(time: float) -> tuple[Vector, Vector]:
        angle, spin = rate * time, turn * time
        x, y = radius * math.cos(angle), radius * math.sin(angle) * math.cos(inclination)
        z = radius * math.sin(angle) * math.sin(inclination)
        vx, vy = -rate * radius * math.sin(angle), rate * radius * math.cos(angle)
        vz, vy = vy * math.sin(inclination), vy * math.cos(inclination)
        c, s = math.cos(spin), math.sin(spin)
        px, py = c * x + s * y, -s * x + c * y
        return (px, py, z), (c * vx + s * vy + turn * py, -s * vx + c * vy - turn * px, vz)

    return state


def zero_doppler(state: State, point: Vector, start: float, stop: float) -> tuple[float, float]:
    """Time and distance at which a point is broadside, by bisection on (P - S) . V."""
    for _ in range(100):
        middle = (start + stop) / 2
        position, velocity = state(middle)
        if dot(minus(point, position), velocity) > 0:
            start = middle  # the point is still ahead
        else:
            stop = middle
    position, _ = state((start + stop) / 2)
    return (start + stop) / 2, math.dist(point, position)


def horner(coefficients: Sequence[float], x: float) -> float:
    """Polynomial of ascending coefficients."""
    total = 0.0
    for value in reversed(coefficients):
        total = total * x + value
    return total


def ground_range(
    coefficients: Sequence[float], origin: float, slant: float, low: float, high: float
) -> float:
    """Ground range between `low` and `high` whose slant range is given, by bisection."""
    for _ in range(100):
        middle = (low + high) / 2
        if horner(coefficients, middle - origin) < slant:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def nearest(times: Sequence[float], time: float) -> int:
    return min(range(len(times)), key=lambda k: abs(times[k] - time))


def interpolate(nodes: Sequence[float], values: Sequence[float], at: float) -> float:
    """Linear between nodes, constant beyond them."""
    if at <= nodes[0]:
        return values[0]
    if at >= nodes[-1]:
        return values[-1]
    k = bisect.bisect_right(nodes, at) - 1
    share = (at - nodes[k]) / (nodes[k + 1] - nodes[k])
    return values[k] * (1 - share) + values[k + 1] * share


def seconds(content: str, epoch: str) -> float:
    form = datetime.fromisoformat
    return (form(content.strip()) - form(epoch.strip())).total_seconds()


@dataclass
class GridPoint:
    line: float
    pixel: float
    time: float
    slant_time: float
    lon: float
    lat: float
    height: float
    incidence: float


@dataclass
class Product:
    """Fields of an annotation (S1-RS-MDA-52-7441); times in seconds after the first line."""

    lines: int
    samples: int
    line_step: float
    sample_step: float
    orbit: list[tuple[float, Vector, Vector]]
    grid: list[GridPoint]
    records: list[tuple[float, float, list[float]]]
    orbit_source: str


def read_product(content: bytes) -> Product:
    root = ET.fromstring(content)
    epoch = root.findtext(".//productFirstLineUtcTime", "")

    def value(element: ET.Element, path: str) -> float:
        return float(element.findtext(path, "nan"))

    def vector(element: ET.Element, name: str) -> Vector:
        x, y, z = (value(element, f"{name}/{axis}") for axis in "xyz")
        return x, y, z

    return Product(
        int(value(root, ".//numberOfLines")),
        int(value(root, ".//numberOfSamples")),
        value(root, ".//azimuthTimeInterval"),
        value(root, ".//rangePixelSpacing"),
        [
            (seconds(one.findtext("time", ""), epoch), vector(one, "position"),
             vector(one, "velocity"))
            for one in root.iter("orbit")
            if one.find("position") is not None
        ],
        [
            GridPoint(
                value(one, "line"), value(one, "pixel"),
                seconds(one.findtext("azimuthTime", ""), epoch), value(one, "slantRangeTime"),
                value(one, "longitude"), value(one, "latitude"), value(one, "height"),
                value(one, "incidenceAngle"),
            )
            for one in root.iter("geolocationGridPoint")
        ],
        [
            (seconds(one.findtext("azimuthTime", ""), epoch), value(one, "gr0"),
             [float(item) for item in one.findtext("grsrCoefficients", "").split()])
            for one in root.iter("coordinateConversion")
            if one.find("grsrCoefficients") is not None
        ],
        root.findtext(".//orbitSource", ""),
    )  # fmt: skip


Row = tuple[float, list[float], list[float]]


@dataclass
class Tables:
    """Vectors of a calibration and a noise annotation: (line, samples, values) each."""

    gain: list[Row]
    noise: list[Row]
    azimuth: list[tuple[tuple[int, int, int, int], list[float], list[float]]]


def read_tables(calibration: Path, noise: Path, field: str = "sigmaNought") -> Tables:
    def floats(element: ET.Element, name: str) -> list[float]:
        return [float(item) for item in element.findtext(name, "").split()]

    def rows(root: ET.Element, vector: str, name: str) -> list[Row]:
        return [
            (float(one.findtext("line", "nan")), floats(one, "pixel"), floats(one, name))
            for one in root.iter(vector)
        ]

    gains, noises = ET.parse(calibration).getroot(), ET.parse(noise).getroot()
    corners = ("firstAzimuthLine", "lastAzimuthLine", "firstRangeSample", "lastRangeSample")
    azimuth = []
    for one in noises.iter("noiseAzimuthVector"):
        first, last, near, far = (int(one.findtext(name, "")) for name in corners)
        at, factor = floats(one, "line"), floats(one, "noiseAzimuthLut")
        azimuth.append(((first, last, near, far), at, factor))
    return Tables(
        rows(gains, "calibrationVector", field),
        rows(noises, "noiseVector", "noiseLut")
        or rows(noises, "noiseRangeVector", "noiseRangeLut"),
        azimuth,
    )


def look_up(rows: list[Row], line: float, sample: float) -> float:
    """Bilinear value of vectors that may have nodes of their own."""
    ordered = sorted(rows, key=lambda row: row[0])
    along = [interpolate(at, values, sample) for _, at, values in ordered]
    return interpolate([row[0] for row in ordered], along, line)


def noise_power(tables: Tables, line: int, sample: int) -> float:
    """Range noise times the azimuth factor of the sub-swath (ESA, MPC-0392)."""
    power = look_up(tables.noise, line, sample)
    for (first, last, near, far), at, factor in tables.azimuth:
        if first <= line <= last and near <= sample <= far:
            power *= interpolate(at, factor, line)
    return power


def calibrated(tables: Tables, number: int, line: int, sample: int) -> float:
    if number == 0:
        return math.nan
    gain = look_up(tables.gain, line, sample)
    return (number**2 - noise_power(tables, line, sample)) / gain**2
