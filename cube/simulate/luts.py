"""Calibration and noise vectors of a product, and their value at every pixel.

The tables are computed once, rounded to the digits of the XML file, and these rounded numbers
both go into the file and make the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from cube.simulate.geometry import SPEED_OF_LIGHT
from cube.simulate.product import ProductSpec, ellipsoid_incidence
from cube.simulate.xmltree import counted, integers, node, vector

__all__ = [
    "CalibrationTable",
    "NoiseTable",
    "calibration_table",
    "calibration_xml",
    "noise_power",
    "noise_table",
    "noise_xml",
    "sigma_gain",
]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]

PIXEL_STEP = 40
AZIMUTH_STEP = 10
BURST_S = 2.758
"""Time from burst to burst of a sub-swath, as annotated in IW products."""
NESZ_DB = {"IW1": (-24.8, 2.2), "IW2": (-26.8, 3.0), "IW3": (-27.4, 2.6)}
"""Noise-equivalent sigma nought at a beam's centre, and its rise to the beam's edges, in dB.

Noise over calibration vectors of the IW product of Sentinel-1A of 2021-08-09, in VV."""
CROSS_NESZ_DB = 0.5
"""More of it in cross-polarisation."""
SCALLOPING_DB = 0.4


@dataclass(frozen=True, slots=True)
class CalibrationTable:
    """Vectors at lines; every array float64 (line, pixel), rounded to the digits of the file."""

    line: Integers
    pixel: Integers
    sigma: Floats
    beta: Floats
    gamma: Floats


@dataclass(frozen=True, slots=True)
class AzimuthVector:
    """Noise factor along the lines of one sub-swath."""

    swath: str
    first_pixel: int
    last_pixel: int
    line: Integers
    factor: Floats


@dataclass(frozen=True, slots=True)
class NoiseTable:
    """Noise power in squared digital numbers, float64 (line, pixel), and factors in azimuth."""

    line: Integers
    pixel: Integers
    power: Floats
    azimuth: tuple[AzimuthVector, ...]


def _rounded(values: Floats) -> Floats:
    """Values with the seven digits that the file keeps."""
    return np.array([float(f"{value:.6e}") for value in values.ravel()]).reshape(values.shape)


def _pixels(samples: int) -> Integers:
    return np.unique(np.append(np.arange(0, samples, PIXEL_STEP), samples - 1))


def calibration_table(spec: ProductSpec) -> CalibrationTable:
    """Vectors a second apart, the last one past the image, as in the products.

    ``A_sigma = A_beta / sqrt(sin i)`` and ``A_gamma = A_beta / sqrt(tan i)``, ``i`` the incidence
    on the ellipsoid (ESA-EOPG-CSCOP-TN-0002, Radiometric Calibration of S-1 Level-1 Products).
    """
    geometry = spec.geometry
    second = round(1 / geometry.line_step_s)
    line = np.arange(0, geometry.lines + second, second)
    pixel = _pixels(geometry.samples)
    grid = np.meshgrid(line.astype(float), pixel.astype(float), indexing="ij")
    angle = np.radians(ellipsoid_incidence(geometry, *grid))
    return CalibrationTable(
        line,
        pixel,
        _rounded(spec.beta_gain / np.sqrt(np.sin(angle))),
        np.full(angle.shape, spec.beta_gain),
        _rounded(spec.beta_gain / np.sqrt(np.tan(angle))),
    )


def noise_table(spec: ProductSpec, polarisation: str) -> NoiseTable:
    """Noise of the receiver behind the elevation beams, with scalloping in azimuth.

    In the older form of the product there is no azimuth vector: the scalloping is left out, as
    the processor of that time did.
    """
    geometry = spec.geometry
    second = round(1 / geometry.line_step_s)
    line = np.unique(np.append(np.arange(0, geometry.lines, second), geometry.lines - 1))
    pixel = _pixels(geometry.samples)
    grid = np.meshgrid(line.astype(float), pixel.astype(float), indexing="ij")
    angle = np.radians(ellipsoid_incidence(geometry, *grid))
    _, distance = geometry.slant(*grid)
    two_way = 2 * distance / SPEED_OF_LIGHT
    more = CROSS_NESZ_DB if polarisation in {"VH", "HV"} else 0.0
    nesz_db = np.full(angle.shape, np.nan)
    azimuth = []
    for number, swath in enumerate(spec.swaths):
        columns = swath.columns(geometry)
        if columns is None:
            continue
        floor, rise = NESZ_DB[swath.name]
        beam = (two_way - swath.near_time_s) / (swath.far_time_s - swath.near_time_s)
        inside = (grid[1] >= columns[0]) & (grid[1] <= columns[1])
        nesz_db[inside] = (floor + more + rise * (2 * beam - 1) ** 2)[inside]
        azimuth.append(_azimuth_vector(spec, swath.name, columns, number))
    power = 10 ** (nesz_db / 10) * spec.beta_gain**2 / np.sin(angle) * spec.noise_scale
    return NoiseTable(
        line,
        pixel,
        _rounded(power),
        tuple(azimuth) if spec.noise_form == "range and azimuth" else (),
    )


def _azimuth_vector(
    spec: ProductSpec, swath: str, columns: tuple[int, int], number: int
) -> AzimuthVector:
    """Factor that rises to both ends of each burst, the bursts of the swaths being staggered."""
    geometry = spec.geometry
    line = np.unique(np.append(np.arange(0, geometry.lines, AZIMUTH_STEP), geometry.lines - 1))
    time = geometry.first_line_s + line * geometry.line_step_s
    phase = (time / BURST_S - number / 3) % 1 - 0.5
    factor = 10 ** (SCALLOPING_DB * (2 * phase) ** 2 / 10)
    return AzimuthVector(swath, columns[0], columns[1], line, _rounded(factor))


def _weights(at: Integers, count: int) -> Singles:
    """Linear interpolation between lines as a matrix, float32 (count, at.size)."""
    unit = np.eye(at.size)
    position = np.arange(count)
    return np.stack([np.interp(position, at, row) for row in unit], axis=1).astype("float32")


def _bilinear(line: Integers, pixel: Integers, values: Floats, shape: tuple[int, int]) -> Singles:
    rows = np.stack([np.interp(np.arange(shape[1]), pixel, row) for row in values])
    return np.asarray(_weights(line, shape[0]) @ rows.astype("float32"))


def sigma_gain(spec: ProductSpec, table: CalibrationTable) -> Singles:
    """Digital number of unit sigma nought at each pixel, float32 (lines, samples)."""
    shape = (spec.geometry.lines, spec.geometry.samples)
    return _bilinear(table.line, table.pixel, table.sigma, shape)


def noise_power(spec: ProductSpec, table: NoiseTable) -> Singles:
    """Noise in squared digital numbers at each pixel, float32 (lines, samples)."""
    shape = (spec.geometry.lines, spec.geometry.samples)
    power = _bilinear(table.line, table.pixel, table.power, shape)
    for item in table.azimuth:
        factor = np.interp(np.arange(shape[0]), item.line, item.factor).astype("float32")
        power[:, item.first_pixel : item.last_pixel + 1] *= factor[:, None]
    return power


def calibration_xml(spec: ProductSpec, header: ET.Element, table: CalibrationTable) -> ET.Element:
    """Calibration annotation data set."""
    vectors = []
    for row, line in enumerate(table.line):
        item = node(
            "calibrationVector",
            azimuthTime=_line_time(spec, int(line)),
            line=int(line),
        )
        item.append(integers("pixel", table.pixel))
        item.append(vector("sigmaNought", table.sigma[row]))
        item.append(vector("betaNought", table.beta[row]))
        item.append(vector("gamma", table.gamma[row]))
        item.append(vector("dn", table.beta[row]))
        vectors.append(item)
    constant = ET.Element("calibrationInformation")
    ET.SubElement(constant, "absoluteCalibrationConstant").text = "1.000000e+00"
    return node("calibration", [header, constant, counted("calibrationVectorList", vectors)])


def noise_xml(spec: ProductSpec, header: ET.Element, table: NoiseTable) -> ET.Element:
    """Noise annotation data set, in the form that the product asks for."""
    new = spec.noise_form == "range and azimuth"
    name, lut = ("noiseRangeVector", "noiseRangeLut") if new else ("noiseVector", "noiseLut")
    vectors = []
    for row, line in enumerate(table.line):
        item = node(name, azimuthTime=_line_time(spec, int(line)), line=int(line))
        item.append(integers("pixel", table.pixel))
        item.append(vector(lut, table.power[row]))
        vectors.append(item)
    lists = [counted(f"{name}List", vectors)]
    if new:
        lists.append(
            counted("noiseAzimuthVectorList", [_azimuth_xml(spec, v) for v in table.azimuth])
        )
    return node("noise", [header, *lists])


def _azimuth_xml(spec: ProductSpec, item: AzimuthVector) -> ET.Element:
    element = node(
        "noiseAzimuthVector",
        swath=item.swath,
        firstAzimuthLine=0,
        firstRangeSample=item.first_pixel,
        lastAzimuthLine=spec.geometry.lines - 1,
        lastRangeSample=item.last_pixel,
    )
    element.append(integers("line", item.line))
    element.append(vector("noiseAzimuthLut", item.factor))
    return element


def _line_time(spec: ProductSpec, line: int) -> np.datetime64:
    return spec.time(spec.geometry.first_line_s + line * spec.geometry.line_step_s)
