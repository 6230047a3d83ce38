"""Simulated SLC products as the tests make them, and plain formulas to measure them by."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from cube.simulate.slc import SlcScene, make_slc_template

LON, LAT = 11.2, 44.6
LINES, SAMPLES, A_BETA = 300, 800, 237.0
C = 299_792_458.0
VV: Any = {"swaths": ("IW2",), "polarisations": ("VV",)}
REAL: Any = {"swaths": ("IW1",), "polarisations": ("VV",), "bursts": range(2, 4)}
EMPTY = SlcScene((0, 0, 1, 1), density=0)


def small_template(folder: Path) -> Path:
    """A made-up product of three swaths of three bursts of 300 lines by 800 samples."""
    return make_slc_template(
        folder, lon=LON, lat=LAT, lines_per_burst=LINES, samples_per_burst=SAMPLES, height=50.0
    )


def real_pair(data_dir: Path) -> tuple[Path, Path]:
    """Real products of two dates, one track."""
    found = sorted((data_dir / "safe").glob("S1A_IW_SLC__1SDV_2023*.zip"))
    assert len(found) == 2
    return found[0], found[1]


def box(lon: float, lat: float, east_km: float, north_km: float) -> Any:
    x, y = east_km / 222.6 / np.cos(np.radians(lat)), north_km / 222.6
    return (lon - x, lat - y, lon + x, lat + y)


def annotation(safe: Path, swath: str = "iw2", pol: str = "vv") -> ET.Element:
    return ET.parse(next((safe / "annotation").glob(f"*-{swath}-slc-{pol}-*.xml"))).getroot()


def pixels(safe: Path, swath: str = "iw2", pol: str = "vv") -> np.ndarray:
    with rasterio.open(next((safe / "measurement").glob(f"*-{swath}-slc-{pol}-*.tiff"))) as file:
        assert file.dtypes == ("complex_int16",)
        return file.read(1)


def value(root: ET.Element, path: str) -> float:
    return float(root.findtext(f".//{path}"))


def time(text: str) -> np.datetime64:
    return np.datetime64(text, "us")


def span(later: np.datetime64, earlier: np.datetime64) -> float:
    return float((later - earlier) / np.timedelta64(1, "us")) / 1e6


def starts(root: ET.Element) -> list[np.datetime64]:
    return [time(burst.findtext("azimuthTime")) for burst in root.iter("burst")]


def nearest(root: ET.Element, tag: str, middle: np.datetime64) -> ET.Element:
    return min(root.iter(tag), key=lambda r: abs(time(r.findtext("azimuthTime")) - middle))


def polynomial(record: ET.Element, tag: str, tau: Any) -> Any:
    coefficients = [float(text) for text in record.findtext(tag).split()]
    return sum(c * (tau - value(record, "t0")) ** n for n, c in enumerate(coefficients))


def deramp(root: ET.Element, burst: int, tau: Any) -> dict[str, Any]:
    """Terms of the deramping function at two-way times (COPE-GSEG-EOPG-TN-14-0025)."""
    step, lines = value(root, "azimuthTimeInterval"), int(value(root, "linesPerBurst"))
    middle = starts(root)[burst] + np.timedelta64(round(lines * step / 2 * 1e6), "us")
    vector = min(root.iter("orbit"), key=lambda o: abs(time(o.findtext("time")) - middle))
    speed = np.linalg.norm([value(vector, f"velocity/{x}") for x in "xyz"])
    k_s = 2 * speed * np.radians(value(root, "azimuthSteeringRate"))
    k_s *= value(root, "radarFrequency") / C
    rate, centroid = nearest(root, "azimuthFmRate", middle), nearest(root, "dcEstimate", middle)
    mid = value(root, "imageInformation/slantRangeTime")
    mid += value(root, "numberOfSamples") / value(root, "rangeSamplingRate") / 2
    found = {
        f"{name}{end}": polynomial(record, tag, at)
        for name, record, tag in (
            ("k_a", rate, "azimuthFmRatePolynomial"),
            ("f_dc", centroid, "dataDcPolynomial"),
        )
        for end, at in (("", tau), ("_mid", mid))
    }
    return {**found, "k_s": k_s, "k_t": found["k_a"] * k_s / (found["k_a"] - k_s)}


def summit(values: np.ndarray) -> float:
    """Place of the peak of a sampled complex response, by 64-fold interpolation."""
    slope = np.angle((values[1:] * values[:-1].conj()).sum())
    n = len(values)
    spectrum = np.fft.fft(values * np.exp(-1j * slope * np.arange(n)))
    padded = np.zeros(64 * n, complex)
    padded[: n // 2], padded[-(n // 2) :] = spectrum[: n // 2], spectrum[-(n // 2) :]
    power = np.abs(np.fft.ifft(padded))
    at = int(power.argmax())
    a, b, c = power[at - 1 : at + 2]
    return (at + 0.5 * (a - c) / (a - 2 * b + c)) / 64


def peak(image: np.ndarray, line: int, sample: int, reach: int = 6) -> tuple[float, float, float]:
    """Line and sample of the peak nearby, and the highest pixel."""
    power = np.abs(image[line - reach :, sample - reach :][: 2 * reach + 1, : 2 * reach + 1])
    v, u = np.unravel_index(power.argmax(), power.shape)
    line, sample = line - reach + int(v), sample - reach + int(u)
    return (
        line - 16 + summit(image[line - 16 : line + 16, sample]),
        sample - 16 + summit(image[line, sample - 16 : sample + 16]),
        float(power.max()),
    )
