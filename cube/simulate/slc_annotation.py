"""What the simulator needs of the annotation of one IW SLC image, read with plain code.

Field names are those of the Sentinel-1 Product Specification (S1-RS-MDA-52-7441). Times are
float seconds after the whole second before the first state vector, which is the same however the
image is cut: so are all roundings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

import numpy as np
from numpy.polynomial import Chebyshev
from numpy.typing import NDArray

from cube.simulate.geometry import SPEED_OF_LIGHT
from cube.simulate.orbit import State

__all__ = [
    "Band",
    "Gain",
    "SlcBurst",
    "SlcImage",
    "SlcOrbit",
    "fit_orbit",
    "read_gain",
    "read_image",
    "seconds",
    "two_way_mid",
]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

ORBIT_DEGREE = 11
"""Of the polynomial through the state vectors: an arc of 150 s needs 8 for a nanometre."""


def seconds(text: str, epoch: np.datetime64) -> float:
    """Seconds of an annotated time after an epoch; both have whole microseconds."""
    return float((np.datetime64(text, "us") - epoch) / np.timedelta64(1, "us")) / 1e6


def text_of(element: ET.Element, path: str) -> str:
    """Text of a child that must be there.

    Raises
    ------
    ValueError
        It is not.
    """
    text = element.findtext(path)
    if text is None:
        raise ValueError(f"annotation has no {path}")
    return text.strip()


def number(element: ET.Element, path: str) -> float:
    """Number in a child that must be there."""
    return float(text_of(element, path))


def numbers(element: ET.Element, path: str) -> Floats:
    """Numbers in a child that must be there."""
    return np.array(text_of(element, path).split(), dtype="float64")


@dataclass(frozen=True, slots=True)
class SlcOrbit:
    """Polynomials through Earth-fixed state vectors, positions and velocities together."""

    centre_s: float
    half_s: float
    coefficients: tuple[Floats, Floats, Floats]
    """Of position, velocity and acceleration, powers of the scaled time in -1..1, (3, n)."""

    def state(self, time_s: Floats | float) -> State:
        """Position, velocity and acceleration at seconds after the epoch, each (..., 3)."""
        scaled = (np.asarray(time_s, "float64") - self.centre_s) / self.half_s
        values = []
        for table in self.coefficients:
            total = np.zeros((*scaled.shape, 3))
            for power in reversed(range(table.shape[1])):
                total = total * scaled[..., None] + table[:, power]
            values.append(total)
        return State(*values)


def fit_orbit(time_s: Floats, position: Floats, velocity: Floats) -> SlcOrbit:
    """Least squares polynomial of the positions whose derivative also fits the velocities.

    Parameters
    ----------
    time_s : float64, shape (n,)
    position, velocity : float64, shape (n, 3)
    """
    centre, half = float(time_s[0] + time_s[-1]) / 2, float(time_s[-1] - time_s[0]) / 2
    scaled = (time_s - centre) / half
    degree = min(ORBIT_DEGREE, 2 * len(time_s) - 1)
    basis = [Chebyshev.basis(k) for k in range(degree + 1)]
    value = np.stack([item(scaled) for item in basis], axis=-1)
    slope = np.stack([item.deriv()(scaled) if k else 0 * scaled for k, item in enumerate(basis)], 1)
    # A velocity times the half arc has the unit and about the weight of a position.
    solution = np.linalg.lstsq(
        np.concatenate([value, slope]), np.concatenate([position, velocity * half]), rcond=None
    )[0]
    tables: tuple[list[Floats], list[Floats], list[Floats]] = ([], [], [])
    for axis in range(3):
        series = Chebyshev(solution[:, axis])
        for order, table in enumerate(tables):
            part = (series.deriv(order) if order else series).convert(kind=np.polynomial.Polynomial)
            table.append(np.asarray(part.coef, "float64") / half**order)
    return SlcOrbit(centre, half, (np.array(tables[0]), np.array(tables[1]), np.array(tables[2])))


@dataclass(frozen=True, slots=True)
class Band:
    """Hamming-weighted band of one direction, in cycles a pixel."""

    width: float
    """Processed bandwidth over sampling rate."""
    weight: float
    """Coefficient w of ``w + (1 - w) cos(2 pi f / B)``."""


@dataclass(frozen=True, slots=True)
class SlcBurst:
    """One burst: its lines, and the laws of its Doppler frequency."""

    start_s: float
    """Zero-Doppler time of line 0, as annotated."""
    first_valid: Integers
    last_valid: Integers
    fm_rate: Floats
    """Azimuth FM rate in powers of (tau - fm_time); Hz/s, negative."""
    fm_time_s: float
    doppler: Floats
    """Doppler centroid in powers of (tau - doppler_time); Hz."""
    doppler_time_s: float
    steering_hz_s: float
    """Rate at which the steered beam sweeps the Doppler frequency, k_s, positive."""


@dataclass(frozen=True, slots=True)
class SlcImage:
    """One swath and polarisation."""

    swath: str
    epoch: np.datetime64
    orbit: SlcOrbit
    bursts: tuple[SlcBurst, ...]
    lines_per_burst: int
    samples: int
    line_step_s: float
    near_time_s: float
    """Two-way time of sample 0."""
    sampling_hz: float
    wavelength_m: float
    range_band: Band
    azimuth_band: Band

    @property
    def mid_time_s(self) -> float:
        """Two-way time of the middle of the swath."""
        return self.near_time_s + self.samples / (2 * self.sampling_hz)


def _read_orbit(root: ET.Element, epoch: np.datetime64) -> SlcOrbit:
    vectors = root.findall("generalAnnotation/orbitList/orbit")
    time = np.array([seconds(text_of(item, "time"), epoch) for item in vectors])
    parts = [
        np.array([[number(item, f"{kind}/{axis}") for axis in "xyz"] for item in vectors])
        for kind in ("position", "velocity")
    ]
    return fit_orbit(time, parts[0], parts[1])


def _nearest(records: Sequence[ET.Element], epoch: np.datetime64, time_s: float) -> ET.Element:
    return min(records, key=lambda item: abs(seconds(text_of(item, "azimuthTime"), epoch) - time_s))


def _fm_polynomial(record: ET.Element) -> Floats:
    """The list of coefficients, or the three elements of processors before IPF 2.43."""
    if record.find("azimuthFmRatePolynomial") is not None:
        return numbers(record, "azimuthFmRatePolynomial")
    return np.array([number(record, name) for name in ("c0", "c1", "c2")])


def _band(parameters: ET.Element, kind: str, sampling_hz: float) -> Band:
    return Band(
        number(parameters, f"{kind}/processingBandwidth") / sampling_hz,
        number(parameters, f"{kind}/windowCoefficient"),
    )


def _integers(element: ET.Element, path: str) -> Integers:
    return np.array(text_of(element, path).split(), dtype="int64")


def read_image(root: ET.Element) -> SlcImage:
    """Read a product annotation.

    Raises
    ------
    ValueError
        A field is missing, or it is no annotation of a TOPS image.
    """
    information = root.find("imageAnnotation/imageInformation")
    bursts = root.findall("swathTiming/burstList/burst")
    parameters = root.find(".//swathProcParams")
    if information is None or parameters is None or not bursts:
        raise ValueError("this is no annotation of an IW SLC image")
    first = text_of(root, "generalAnnotation/orbitList/orbit/time")
    epoch = np.datetime64(first, "s").astype("datetime64[us]")
    orbit = _read_orbit(root, epoch)
    product = "generalAnnotation/productInformation"
    wavelength = SPEED_OF_LIGHT / number(root, f"{product}/radarFrequency")
    steering = np.radians(number(root, f"{product}/azimuthSteeringRate"))
    sampling = number(root, f"{product}/rangeSamplingRate")
    step = number(information, "azimuthTimeInterval")
    lines = int(text_of(root, "swathTiming/linesPerBurst"))
    rates, centroids = list(root.iter("azimuthFmRate")), list(root.iter("dcEstimate"))
    found = []
    for burst in bursts:
        start = seconds(text_of(burst, "azimuthTime"), epoch)
        middle = start + lines * step / 2
        rate, centroid = _nearest(rates, epoch, middle), _nearest(centroids, epoch, middle)
        speed = float(np.linalg.norm(orbit.state(middle).velocity))
        found.append(
            SlcBurst(
                start,
                _integers(burst, "firstValidSample"),
                _integers(burst, "lastValidSample"),
                _fm_polynomial(rate),
                number(rate, "t0"),
                numbers(centroid, "dataDcPolynomial"),
                number(centroid, "t0"),
                float(2 * speed * steering / wavelength),
            )
        )
    return SlcImage(
        swath=text_of(root, "adsHeader/swath"),
        epoch=epoch,
        orbit=orbit,
        bursts=tuple(found),
        lines_per_burst=lines,
        samples=int(text_of(root, "swathTiming/samplesPerBurst")),
        line_step_s=step,
        near_time_s=number(information, "slantRangeTime"),
        sampling_hz=sampling,
        wavelength_m=wavelength,
        range_band=_band(parameters, "rangeProcessing", sampling),
        azimuth_band=_band(parameters, "azimuthProcessing", 1 / step),
    )


def two_way_mid(root: ET.Element, image: SlcImage) -> float:
    """Two-way time for which lines carry the zero-Doppler time itself.

    The bulk correction of the bistatic delay is exact in the middle of IW2; where that swath is
    not at hand, the geolocation grid of another one tells, whose azimuth times are corrected and
    whose lines are not.
    """
    if image.swath == "IW2":
        return image.mid_time_s
    found = []
    for point in root.iter("geolocationGridPoint"):
        line = int(text_of(point, "line"))
        burst = min(line // image.lines_per_burst, len(image.bursts) - 1)
        offset = line - burst * image.lines_per_burst
        line_time = image.bursts[burst].start_s + offset * image.line_step_s
        time = seconds(text_of(point, "azimuthTime"), image.epoch)
        found.append(number(point, "slantRangeTime") - 2 * (time - line_time))
    return float(np.mean(found))


@dataclass(frozen=True, slots=True)
class Gain:
    """Calibration of one image: digital number of unit beta nought."""

    time_s: Floats
    pixel: Floats
    beta: Floats
    """(time, pixel)"""

    def at(self, time_s: Floats, sample: Floats) -> Floats:
        """Bilinear in line time and sample, constant outside.

        The vectors have line numbers too, but those jump where bursts overlap.
        """
        if np.ptp(self.beta) == 0:
            return np.full(np.shape(sample), self.beta[0, 0])
        row, v = _cell(self.time_s, time_s)
        col, u = _cell(self.pixel, sample)
        near = (1 - u) * self.beta[row, col] + u * self.beta[row, col + 1]
        far = (1 - u) * self.beta[row + 1, col] + u * self.beta[row + 1, col + 1]
        return np.asarray((1 - v) * near + v * far)


def _cell(axis: Floats, value: Floats) -> tuple[NDArray[np.intp], Floats]:
    at = np.clip(np.searchsorted(axis, value) - 1, 0, len(axis) - 2)
    return at, np.clip((value - axis[at]) / (axis[at + 1] - axis[at]), 0, 1)


def read_gain(root: ET.Element, epoch: np.datetime64) -> Gain:
    """Read a calibration annotation; its vectors must share their samples.

    Raises
    ------
    ValueError
        They do not, or there are fewer than two.
    """
    vectors = root.findall("calibrationVectorList/calibrationVector")
    pixels = [numbers(item, "pixel") for item in vectors]
    if len(vectors) < 2 or any(not np.array_equal(pixels[0], item) for item in pixels):
        raise ValueError("calibration vectors are not on one grid of samples")
    return Gain(
        np.array([seconds(text_of(item, "azimuthTime"), epoch) for item in vectors]),
        pixels[0],
        np.array([numbers(item, "betaNought") for item in vectors]),
    )
