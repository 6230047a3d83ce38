"""Annotations of a made-up SLC product, in ESA's schema (S1-RS-MDA-52-7441)."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from cube.simulate.annotation import AZIMUTH_BANDWIDTH_HZ, BANDWIDTH_HZ, product_xml
from cube.simulate.annotation_general import STEERING_DEG_S, ads_header
from cube.simulate.luts import (
    NESZ_DB,
    AzimuthVector,
    CalibrationTable,
    NoiseTable,
    calibration_xml,
    noise_xml,
)
from cube.simulate.slc_layout import BURST_PERIOD_S, LINE_STEP_S, REAL_LINES, Layout
from cube.simulate.xmltree import (
    Value,
    counted,
    double,
    double_vector,
    integers,
    leaf,
    node,
    single,
    vector,
)

__all__ = ["documents"]

Floats = NDArray[np.float64]

PIXEL_STEP = 40
GRID_SAMPLES = 21


def documents(layout: Layout, polarisation: str, number: str) -> dict[str, ET.Element]:
    """Product, calibration and noise annotation of one image."""
    spec = layout.spec
    header = ads_header(spec, polarisation)
    roots = {
        "product": _product(layout, polarisation),
        "noise": noise_xml(spec, header, _noise(layout, polarisation)),
        "calibration": calibration_xml(spec, header, _calibration(layout)),
    }
    words = {"productType": "SLC", "swath": layout.name, "imageNumber": number}
    for root in roots.values():
        _put(root, {f"adsHeader/{name}": value for name, value in words.items()})
    for kind in ("noise", "calibration"):
        # Written for even lines; those of bursts overlap.
        for item in roots[kind].iter():
            if item.tag in {"noiseRangeVector", "calibrationVector"}:
                line = int(item.findtext("line", "0"))
                time = spec.geometry.first_line_s + line * LINE_STEP_S
                _put(item, {"line": layout.line(time)})
    return roots


def _put(root: ET.Element, values: dict[str, Value]) -> None:
    """Give elements another text, each at every place that a path leads to."""
    for path, value in values.items():
        found = root.findall(path)
        if not found:
            raise ValueError(f"{root.tag} has no {path}")
        for item in found:
            item.text = leaf(item.tag, value).text


def _put_list(root: ET.Element, path: str, items: Sequence[ET.Element]) -> None:
    """Replace the items of a counted list."""
    parent = root.find(path)
    if parent is None:
        raise ValueError(f"{root.tag} has no {path}")
    parent[:] = items
    parent.set("count", str(len(items)))


def _product(layout: Layout, polarisation: str) -> ET.Element:
    """Annotation of a detected product, put right for a complex one."""
    spec, name = layout.spec, layout.name
    bursts, samples = len(layout.start_s), spec.geometry.samples
    line = np.append(np.arange(bursts), bursts) * float(layout.lines)
    line[-1] -= 1
    sample = np.unique(np.round(np.linspace(0, samples - 1, GRID_SAMPLES)))
    grid = layout.points(*np.meshgrid(line, sample, indexing="ij"))
    root = product_xml(spec, polarisation, np.zeros((1, 1), "uint16"), grid)
    middle = layout.points(np.array([spec.geometry.lines / 2]), np.array([samples / 2]), lift=False)
    image = "imageAnnotation/imageInformation"
    process = "imageAnnotation/processingInformation"
    along, across = (
        f"{process}/swathProcParamsList/swathProcParams/{axis}Processing"
        for axis in ("azimuth", "range")
    )
    product = "generalAnnotation/productInformation"
    changes: dict[str, Value] = {
        f"{product}/projection": "Slant Range",
        f"{product}/azimuthSteeringRate": STEERING_DEG_S[name],
        f"{image}/pixelValue": "Complex",
        f"{image}/outputPixels": "16 bit Signed Integer",
        f"{image}/rangePixelSpacing": single([2.329562]),
        f"{image}/azimuthPixelSpacing": single([13.95]),
        f"{image}/incidenceAngleMidSwath": float(middle.incidence_deg[0]),
        f"{process}/srgrConversionApplied": False,
        f"{process}/detectionPerformed": False,
        f"{across}/windowCoefficient": 0.75,
        f"{across}/lookBandwidth": BANDWIDTH_HZ[name],
        f"{across}/numberOfLooks": 1,
        f"{across}/lookOverlap": 0.0,
        f"{along}/windowCoefficient": 0.70,
        f"{along}/lookBandwidth": AZIMUTH_BANDWIDTH_HZ[name],
        "swathTiming/linesPerBurst": layout.lines,
        "swathTiming/samplesPerBurst": samples,
    }
    _put(root, changes)
    _put_list(root, "coordinateConversion/coordinateConversionList", [])
    _put_list(root, "swathMerging/swathMergeList", [])
    _put_list(root, "generalAnnotation/azimuthFmRateList", _fm_rates(layout))
    _put_list(root, "dopplerCentroid/dcEstimateList", _centroids(layout))
    _put_list(root, "swathTiming/burstList", [_burst(layout, at) for at in range(bursts)])
    return root


def _record_times(layout: Layout, offset_s: float) -> list[float]:
    """Times of one record a burst and one more: off the middle of a burst by an offset."""
    scale = layout.lines / REAL_LINES
    period = BURST_PERIOD_S * scale
    middle = layout.start_s[0] + layout.lines / 2 * LINE_STEP_S
    first = middle - period + offset_s * scale
    return [first + at * period for at in range(len(layout.start_s) + 2)]


def _fm_rates(layout: Layout) -> list[ET.Element]:
    t0 = float(layout.two_way(np.array(0.0))) - 1.3e-6
    return [
        node(
            "azimuthFmRate",
            [double_vector("azimuthFmRatePolynomial", layout.fm_rate(time, t0))],
            azimuthTime=layout.spec.time(time),
            t0=t0,
        )
        for time in _record_times(layout, 0.0137)
    ]


def _centroids(layout: Layout) -> list[ET.Element]:
    """Doppler centroids of some hertz that change with time and range, none of them at rest."""
    estimates = []
    near = float(layout.two_way(np.array(0.0)))
    for at, time in enumerate(_record_times(layout, 0.98)):
        moment = layout.spec.time(time)
        # Real lists have two values of it, neither of which is the time of sample 0.
        t0 = near + (3.7277e-6 if at < 2 else 2.6620e-6)
        shape = [-9.0 + 5.0 * np.sin(2.0 * at), 1.8e4 + 9e3 * np.cos(at), -2.1e7]
        estimates.append(
            node(
                "dcEstimate",
                [
                    vector("geometryDcPolynomial", [2.2, -520.0, 9e4]),
                    vector("dataDcPolynomial", shape),
                    leaf("dataDcRmsError", 5.2),
                    leaf("dataDcRmsErrorAboveThreshold", False),
                    leaf("fineDceAzimuthStartTime", moment),
                    leaf("fineDceAzimuthStopTime", moment),
                    counted("fineDceList", []),
                ],
                azimuthTime=moment,
                t0=t0,
            )
        )
    return estimates


def _burst(layout: Layout, at: int) -> ET.Element:
    spec, start = layout.spec, layout.start_s[at]
    line = np.arange(layout.lines)
    inside = (line >= layout.valid_lines[0]) & (line <= layout.valid_lines[1])
    after = (spec.time(start) - spec.node_time) / np.timedelta64(1, "s")
    burst = node(
        "burst",
        azimuthTime=spec.time(start),
        azimuthAnxTime=double(float(after)),
        sensingTime=spec.time(layout.sensing_s(at)),
        byteOffset=0,
    )
    for name, value in zip(("first", "last"), layout.valid_samples, strict=True):
        burst.append(integers(f"{name}ValidSample", np.where(inside, value, -1)))
    relative, absolute = layout.first_number
    burst.append(leaf("burstId", relative + at, absolute=str(absolute + at)))
    return burst


def _vector_lines(layout: Layout, before: int) -> NDArray[np.int64]:
    """Lines a second apart, even in time, from some before the image until past it."""
    second = round(1 / LINE_STEP_S)
    last = layout.start_s[-1] + layout.lines * LINE_STEP_S - layout.start_s[0]
    return np.arange(-before, round(last / LINE_STEP_S) + second, second)


def _angles(layout: Layout, line: NDArray[np.int64], pixel: NDArray[np.int64]) -> Floats:
    """Incidence angles (line, pixel) in radians on the level of the middle, at even lines."""
    sample = pixel.astype("float64")
    rows = [
        layout.points(np.full(sample.shape, float(layout.line(at))), sample, lift=False)
        for at in layout.start_s[0] + line * LINE_STEP_S
    ]
    return np.radians([row.incidence_deg for row in rows])


def _pixels(layout: Layout) -> NDArray[np.int64]:
    samples = layout.spec.geometry.samples
    return np.unique(np.append(np.arange(0, samples, PIXEL_STEP), samples - 1))


def _calibration(layout: Layout) -> CalibrationTable:
    """Vectors a second apart (ESA-EOPG-CSCOP-TN-0002, as in `cube.simulate.luts`)."""
    line, pixel = _vector_lines(layout, 418), _pixels(layout)
    angle = _angles(layout, line, pixel)
    return CalibrationTable(
        line,
        pixel,
        layout.spec.beta_gain / np.sqrt(np.sin(angle)),
        np.full(angle.shape, layout.spec.beta_gain),
        layout.spec.beta_gain / np.sqrt(np.tan(angle)),
    )


def _noise(layout: Layout, polarisation: str) -> NoiseTable:
    """Thermal noise behind the elevation beam; the pixels themselves have none."""
    line, pixel = _vector_lines(layout, 0), _pixels(layout)
    angle = _angles(layout, line, pixel)
    floor_db, rise = NESZ_DB[layout.name]
    beam = 2 * pixel / (layout.spec.geometry.samples - 1) - 1
    power = 10 ** ((floor_db + rise * beam**2) / 10) * layout.spec.beta_gain**2 / np.sin(angle)
    count = layout.spec.geometry.lines
    every = np.unique(np.append(np.arange(0, count, 10), count - 1))
    phase = (every % layout.lines) / layout.lines * 2 - 1
    factor = AzimuthVector(
        layout.name, 0, layout.spec.geometry.samples - 1, every, 1 + 0.17 * phase**2
    )
    return NoiseTable(line, pixel, power, (factor,))
