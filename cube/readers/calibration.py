"""Calibration and noise vectors of a Sentinel-1 product.

Fields: Sentinel-1 Product Specification (S1-RS-MDA-52-7441), sections 6.3.2 and 6.3.3.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element

from cube.errors import SourceError
from cube.kernels.radiometry import AzimuthNoise, Lut, Radiometry
from cube.readers import xml
from cube.readers.access import ON_DISK, Access
from cube.readers.annotation import numbers

__all__ = ["GAINS", "read_radiometry"]

GAINS = {
    "sigma0": "sigmaNought",
    "beta0": "betaNought",
    "gamma0": "gamma",
    "gamma0_rtc": "betaNought",
}
"""Calibration vector field for each kind of backscatter; flattening begins with beta nought."""


def read_radiometry(
    calibration: str, noise: str, backscatter: str, access: Access = ON_DISK
) -> Radiometry:
    """Read both files of one polarisation.

    Parameters
    ----------
    calibration, noise : str
        Paths or hrefs of the calibration and noise annotation.
    backscatter : str
        A key of `GAINS`.
    access : Access
        How remote files are asked for.

    Raises
    ------
    SourceError
        Missing or malformed file, or no vector in it.
    """
    root = xml.parse(calibration, "calibration", access)
    vectors = root.findall("calibrationVectorList/calibrationVector")
    gain = _lut(vectors, GAINS[backscatter], calibration)
    root = xml.parse(noise, "noise", access)
    # IPF 2.90 (March 2018) replaced one list of vectors by a range and an azimuth list
    old = root.findall("noiseVectorList/noiseVector")
    if old:
        return Radiometry(gain, _lut(old, "noiseLut", noise))
    ranges = root.findall("noiseRangeVectorList/noiseRangeVector")
    azimuth = root.findall("noiseAzimuthVectorList/noiseAzimuthVector")
    return Radiometry(
        gain,
        _lut(ranges, "noiseRangeLut", noise),
        tuple(_azimuth(vector, noise) for vector in azimuth),
    )


def _lut(vectors: list[Element], field: str, href: str) -> Lut:
    try:
        return Lut.from_vectors(
            [int(xml.number(vector, "line", href)) for vector in vectors],
            [numbers(xml.text(vector, "pixel", href), href) for vector in vectors],
            [numbers(xml.text(vector, field, href), href) for vector in vectors],
        )
    except ValueError as error:
        raise SourceError(f"{href}: {field}: {error}") from error


def _azimuth(vector: Element, href: str) -> AzimuthNoise:
    lines = numbers(xml.text(vector, "line", href), href)
    values = numbers(xml.text(vector, "noiseAzimuthLut", href), href)
    if len(lines) != len(values):
        raise SourceError(
            f"{href}: noiseAzimuthVector with {len(lines)} lines, {len(values)} values"
        )
    return AzimuthNoise(
        first_line=int(xml.number(vector, "firstAzimuthLine", href)),
        last_line=int(xml.number(vector, "lastAzimuthLine", href)),
        first_sample=int(xml.number(vector, "firstRangeSample", href)),
        last_sample=int(xml.number(vector, "lastRangeSample", href)),
        lines=lines,
        values=values,
    )
