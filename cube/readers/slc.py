"""Single-look complex images of IW: bursts with their phase law, samples, and calibration.

Fields: Sentinel-1 Product Specification (S1-RS-MDA-52-7441), section 6.3.1. A product holds one
image for each sub-swath and polarisation; products of single bursts (ASF's, made by burst2safe) are
of the same format.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from cube.errors import SourceError
from cube.kernels.ellipsoid import SPEED_OF_LIGHT
from cube.kernels.orbit import Orbit
from cube.kernels.slantrange import SlantRangeImage, line_times
from cube.kernels.taps import least_squares_taps
from cube.kernels.tops import Burst
from cube.readers import xml
from cube.readers.access import Access, file_state
from cube.readers.annotation import find, grid_of, moment, numbers, orbit_of, seconds
from cube.readers.measurement import Samples
from cube.readers.scene import Files
from cube.readers.window import Window

__all__ = ["SlcImage", "amplitude_gain", "open_samples", "open_slc", "slant_image"]

_BEAM_CYCLE_S, _PREAMBLE_S, _ORBIT_S = 2.758273, 2.299849, 12 * 86400 / 175
"""Sentinel-1 Level 1 Detailed Algorithm Definition (SEN-TN-52-7445), section 9.25."""
_CYCLE = {"S1A": 73, "S1B": 27}
"""Relative orbit = (absolute - this) mod 175 + 1."""
_LARGEST_SPREAD = 1e-4
_MOST_SAMPLES = 2**31


@dataclass(frozen=True, slots=True)
class SlcImage:
    """One sub-swath in one polarisation.

    Attributes
    ----------
    swath, polarisation : str
        For example ``IW1`` and ``vv``.
    epoch : datetime64[ns]
        Zero of all times: the time of the first line.
    orbit : Orbit
    orbit_source : str
        See `cube.readers.annotation.Annotation`.
    bursts : tuple of Burst
        In order of time; burst i is lines ``i * lines`` and on of the image.
    shape : (lines, samples)
    spectrum : ((float, float), (float, float))
        Bandwidth over sampling rate and window coefficient, in azimuth and in range.
    """

    swath: str
    polarisation: str
    epoch: np.datetime64
    orbit: Orbit
    orbit_source: str
    bursts: tuple[Burst, ...]
    shape: tuple[int, int]
    spectrum: tuple[tuple[float, float], tuple[float, float]]

    def since(self, epoch: np.datetime64) -> SlcImage:
        """Return the same image with its times counted from another epoch."""
        if epoch == self.epoch:
            return self
        offset = float((self.epoch - epoch) / np.timedelta64(1, "ns")) * 1e-9
        return replace(
            self,
            epoch=epoch,
            orbit=replace(self.orbit, centre_s=self.orbit.centre_s + offset),
            bursts=tuple(replace(one, start_s=one.start_s + offset) for one in self.bursts),
        )

    @property
    def taps(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weights of interpolation along lines and along samples."""
        azimuth, across = self.spectrum
        return least_squares_taps(*azimuth), least_squares_taps(*across)


def open_slc(files: Files, middle: Files | None) -> SlcImage:
    """Annotation of one image; parsed once per process and state of the files.

    Parameters
    ----------
    files : Files
    middle : Files or None
        Of the same product's IW2, whose middle is the reference of the bistatic correction; without
        it, the geolocation grid says what it is.

    Raises
    ------
    SourceError
        A file is missing or malformed, lacks what the phase law needs, or is no IW SLC image; the
        message names the burst where it is one burst that is to blame.
    """
    hrefs = (files.annotation, files.orbit, "" if middle is None else middle.annotation)
    states = tuple(file_state(href) if href else None for href in hrefs)
    return _open(files, middle, states)


@lru_cache(maxsize=256)
def _open(files: Files, middle: Files | None, states: tuple[object, ...]) -> SlcImage:
    root = xml.parse(files.annotation, "product", files.access)
    reference = None if middle is None else _middle(middle.annotation, middle.access, states[-1])
    return _image(root, files.annotation, files.orbit, reference)


@lru_cache(maxsize=64)
def _middle(href: str, access: Access, state: object) -> float:
    """Two-way time in the middle of a sub-swath, which all images of its product ask for."""
    root = xml.parse(href, "product", access)
    epoch = moment(xml.text(root, ".//productFirstLineUtcTime", href), href)
    return slant_image(root, epoch, href).bistatic_reference_s


def _image(root: Element, href: str, orbit: str, reference: float | None) -> SlcImage:
    kind, mode = (xml.text(root, f"adsHeader/{tag}", href) for tag in ("productType", "mode"))
    if kind != "SLC" or mode != "IW":
        raise SourceError(f"{href}: product {mode} {kind}; this reader takes IW SLC")
    swath = xml.text(root, "adsHeader/swath", href)
    epoch = moment(xml.text(root, ".//productFirstLineUtcTime", href), href)
    image = slant_image(root, epoch, href)
    if reference is None:
        grid = grid_of(root, href)
        shown = line_times(image, grid.line)[1]
        reference = float((grid.slant_range_time_s - 2 * (grid.time_s - shown)).mean())
    image = replace(image, bistatic_reference_s=reference)
    try:
        path, source = orbit_of(root, epoch, href, orbit)
    except ValueError as error:
        raise SourceError(f"{href}: {error}") from error
    law = _Law(root, epoch, href)
    elements = root.findall("swathTiming/burstList/burst")
    if not elements:
        raise SourceError(f"{href}: no bursts in swathTiming/burstList; the file is incomplete")
    bursts = tuple(
        _burst(element, number, image, law, path, swath) for number, element in enumerate(elements)
    )
    return SlcImage(
        swath,
        xml.text(root, "adsHeader/polarisation", href).lower(),
        epoch,
        path,
        source,
        bursts,
        image.shape,
        law.spectrum(image),
    )


class _Law:
    """What all bursts of an image share, and the records that each takes the nearest of."""

    def __init__(self, root: Element, epoch: np.datetime64, href: str) -> None:
        self.root, self.epoch, self.href = root, epoch, href
        info = find(root, "generalAnnotation/productInformation", href)
        self.steering = np.radians(xml.number(info, "azimuthSteeringRate", href))
        frequency = xml.number(info, "radarFrequency", href)
        if not (self.steering > 0 and frequency > 0):
            raise SourceError(
                f"{href}: azimuthSteeringRate {np.degrees(self.steering):g}, radarFrequency"
                f" {frequency:g}; of a TOPS image both are above 0"
            )
        self.wavelength = SPEED_OF_LIGHT / frequency
        rates = root.findall("generalAnnotation/azimuthFmRateList/azimuthFmRate")
        centroids = root.findall("dopplerCentroid/dcEstimateList/dcEstimate")
        self._rates = [self._record(one, self._rate_terms(one)) for one in rates]
        self._centroids = [
            self._record(one, xml.text(one, "dataDcPolynomial", href)) for one in centroids
        ]
        for found, name in ((rates, "azimuthFmRate"), (centroids, "dcEstimate")):
            if not found:
                raise SourceError(f"{href}: no {name} records; the phase law of bursts needs them")

    def _rate_terms(self, record: Element) -> str:
        """Coefficients of a record, which before IPF 2.50 were three elements."""
        if record.find("c0") is not None:
            return " ".join(xml.text(record, name, self.href) for name in ("c0", "c1", "c2"))
        return xml.text(record, "azimuthFmRatePolynomial", self.href)

    def _record(self, record: Element, terms: str) -> tuple[float, float, tuple[float, ...]]:
        time = seconds(xml.text(record, "azimuthTime", self.href), self.epoch, self.href)
        return time, xml.number(record, "t0", self.href), tuple(numbers(terms, self.href).tolist())

    def at(
        self, middle_s: float
    ) -> tuple[tuple[float, tuple[float, ...]], tuple[float, tuple[float, ...]]]:
        """FM rate and Doppler centroid of the records nearest to a time."""
        nearest = [
            min(records, key=lambda record: abs(record[0] - middle_s))[1:]
            for records in (self._rates, self._centroids)
        ]
        return nearest[0], nearest[1]

    def spectrum(self, image: SlantRangeImage) -> tuple[tuple[float, float], tuple[float, float]]:
        """See `SlcImage`."""
        path = "imageAnnotation/processingInformation/swathProcParamsList/swathProcParams"
        params = find(self.root, path, self.href)
        sampling = {"azimuth": 1 / image.line_step_s, "range": image.sampling_rate_hz}
        found = []
        for axis, rate in sampling.items():
            band = xml.number(params, f"{axis}Processing/processingBandwidth", self.href) / rate
            window = 1.0
            if xml.text(params, f"{axis}Processing/windowType", self.href).lower() != "none":
                window = xml.number(params, f"{axis}Processing/windowCoefficient", self.href)
            if not (0 < band < 1 and 0.5 <= window <= 1):
                raise SourceError(
                    f"{self.href}: {axis}Processing of {band:.3f} sampling rates, window"
                    f" {window:g}; expected less than 1, and 0.5 to 1"
                )
            found.append((band, window))
        return found[0], found[1]


def _burst(
    element: Element, at: int, image: SlantRangeImage, law: _Law, orbit: Orbit, swath: str
) -> Burst:
    name = f"{law.href}: burst {at + 1} of {len(image.burst_start_s)} ({swath})"
    lines, samples = image.lines_per_burst, image.shape[1]
    first, last = (_samples(element, f"{end}ValidSample", name) for end in ("first", "last"))
    if len(first) != lines or len(last) != lines:
        raise SourceError(
            f"{name}: valid samples of {len(first)} and {len(last)} lines, the burst has {lines}"
        )
    none = (first < 0) | (last < first)
    if none.all():
        raise SourceError(f"{name} has no valid sample; leave the product out")
    if last.max() >= samples:
        raise SourceError(f"{name}: last valid sample {last.max()}, the image has {samples}")
    middle = float(image.burst_start_s[at] + lines / 2 * image.line_step_s)
    fm_rate, doppler = law.at(middle)
    _check_rate(fm_rate, image, name)
    return Burst(
        swath=swath,
        number=_number(element, middle - float(image.burst_start_s[at]), law, name),
        start_s=float(image.burst_start_s[at]),
        line_step_s=image.line_step_s,
        first_sample_s=image.first_sample_s,
        sampling_rate_hz=image.sampling_rate_hz,
        bistatic_reference_s=image.bistatic_reference_s,
        first_valid=np.where(none, -1, first),
        last_valid=np.where(none, -1, last),
        samples=samples,
        steering_rad_s=float(law.steering),
        fm_rate=fm_rate,
        doppler=doppler,
        speed_m_s=float(np.linalg.norm(orbit.state(np.array(middle))[1])),
        wavelength_m=law.wavelength,
    )


def _samples(element: Element, tag: str, name: str) -> NDArray[np.int64]:
    found = numbers(xml.text(element, tag, name), name)
    if not ((found == np.rint(found)) & (np.abs(found) < _MOST_SAMPLES)).all():
        raise SourceError(f"{name}: {tag} holds what is no number of a sample")
    return found.astype("int64")


def _check_rate(
    fm_rate: tuple[float, tuple[float, ...]], image: SlantRangeImage, name: str
) -> None:
    """Refuse an FM rate that is not below 0 all over the swath: the beam would run backwards."""
    origin, terms = fm_rate
    edges = image.first_sample_s + np.array([0, image.shape[1] / 2, image.shape[1]]) / (
        image.sampling_rate_hz
    )
    rates = np.polynomial.polynomial.polyval(edges - origin, np.array(terms))
    if not (rates < 0).all():
        raise SourceError(
            f"{name}: azimuthFmRate of {rates.min():g} to {rates.max():g} Hz/s; it is below 0"
        )


def _number(element: Element, half_s: float, law: _Law, name: str) -> int:
    """ESA's relative burst id; computed where the annotation is older than IPF 3.40."""
    if element.find("burstId") is not None:
        return xml.whole(element, "burstId", name)
    mission = xml.text(law.root, "adsHeader/missionId", name)
    if mission not in _CYCLE:
        raise SourceError(f"{name}: no burstId, which only S1A and S1B of before 2022 do without")
    absolute = xml.whole(law.root, "adsHeader/absoluteOrbitNumber", name)
    track = (absolute - _CYCLE[mission]) % 175 + 1
    since_node = xml.number(element, "azimuthAnxTime", name) + half_s
    return 1 + int((since_node + (track - 1) * _ORBIT_S - _PREAMBLE_S) // _BEAM_CYCLE_S)


def slant_image(root: Element, epoch: np.datetime64, href: str) -> SlantRangeImage:
    """Sampling of a single-look image; its bistatic reference is the middle of its own swath."""
    info = find(root, "imageAnnotation/imageInformation", href)
    starts = [
        seconds(xml.text(burst, "azimuthTime", href), epoch, href)
        for burst in root.findall("swathTiming/burstList/burst")
    ]
    lines, samples = (xml.whole(info, f"numberOf{axis}", href) for axis in ("Lines", "Samples"))
    per_burst = xml.whole(root, "swathTiming/linesPerBurst", href) if starts else lines
    if per_burst < 1 or (starts and per_burst * len(starts) != lines):
        raise SourceError(
            f"{href}: {len(starts)} bursts of {per_burst} lines, the image has {lines}; the file is"
            " incomplete"
        )
    rate = xml.number(root, "generalAnnotation/productInformation/rangeSamplingRate", href)
    first = xml.number(info, "slantRangeTime", href)
    step = xml.number(info, "azimuthTimeInterval", href)
    if not (rate > 0 and step > 0):
        raise SourceError(f"{href}: rangeSamplingRate {rate} and azimuthTimeInterval {step}")
    return SlantRangeImage(
        burst_start_s=np.array(starts or [0.0]),
        lines_per_burst=per_burst,
        line_step_s=step,
        first_sample_s=first,
        sampling_rate_hz=rate,
        bistatic_reference_s=first + samples / (2 * rate),
        shape=(lines, samples),
    )


def amplitude_gain(files: Files) -> float:
    """Digital number of unit beta nought, which is the same all over a single-look image.

    Raises
    ------
    SourceError
        The calibration file is missing, malformed or not constant.
    """
    return _gain(files.calibration, files.access, file_state(files.calibration))


@lru_cache(maxsize=256)
def _gain(href: str, access: Access, state: object) -> float:
    root = xml.parse(href, "calibration", access)
    vectors = root.findall("calibrationVectorList/calibrationVector")
    values = [numbers(xml.text(vector, "betaNought", href), href) for vector in vectors]
    if not values:
        raise SourceError(f"{href}: no calibrationVector; the file is incomplete")
    low, high = min(row.min() for row in values), max(row.max() for row in values)
    if not (low > 0 and high - low <= _LARGEST_SPREAD * high):
        raise SourceError(
            f"{href}: betaNought of {low:g} to {high:g}; that of a single-look image is one number"
        )
    return float((low + high) / 2)


def open_samples(files: Files, image: SlcImage) -> Samples:
    """Complex samples of an image."""
    return Samples(files.measurement, image.shape, files.access)


def burst_window(image: SlcImage, at: int, window: Window) -> Window:
    """Window of the image that is `window` of its burst `at`."""
    first = at * image.bursts[at].lines
    return window._replace(line=window.line + first, line_stop=window.line_stop + first)
