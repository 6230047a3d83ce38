"""A scene: one product's identity, footprint and files; and the image that its files make."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from cube.kernels.radiometry import (
    BORDER_RUN,
    BORDER_SAMPLES,
    Limits,
    Radiometry,
    calibrate,
    first_imaged,
    noise_power,
)
from cube.readers.access import ON_DISK, Access, file_state
from cube.readers.annotation import Annotation, read_annotation
from cube.readers.calibration import read_radiometry
from cube.readers.measurement import Measurement, Near
from cube.readers.window import Window

__all__ = ["Calibrated", "Files", "Scene", "open_annotation", "open_calibrated"]


@dataclass(frozen=True, slots=True)
class Files:
    """Paths or hrefs of one polarisation, and how they may be asked for.

    A product on a map grid has a measurement only. `orbit` is the path of an orbit file whose
    state vectors replace those of the annotation. `swath`, such as ``iw1``, is named where a
    polarisation has one image for each.
    """

    measurement: str
    annotation: str = ""
    calibration: str = ""
    noise: str = ""
    access: Access = ON_DISK
    orbit: str = ""
    swath: str = ""


@dataclass(frozen=True)
class Scene:
    """One product as a search found it.

    Attributes
    ----------
    id : str
        Product name without extension.
    platform : str
        For example ``sentinel-1a``.
    datatake, relative_orbit : int
    orbit_direction : str
        ``ascending`` or ``descending``.
    mode, product : str
        For example ``IW`` and ``GRD``.
    start, stop : datetime64[us]
        Sensing times.
    footprint : shapely geometry
        Degrees.
    files : tuple of (polarisation, Files)
        Polarisations in lower case, sorted co-polarised first; of single-look products each comes
        once for every sub-swath.
    archive : str or None
        Zip that must be unpacked before the files exist.
    size : int
        Bytes of the measurement files.
    processed : datetime64[us] or None
        When the product was made, where the source says: a later one replaces an earlier.
    simulated : bool
        Its source says that it is no observation.
    """

    id: str
    platform: str
    datatake: int
    relative_orbit: int
    orbit_direction: str
    mode: str
    product: str
    start: np.datetime64
    stop: np.datetime64
    footprint: BaseGeometry
    files: tuple[tuple[str, Files], ...]
    archive: str | None = None
    size: int = 0
    processed: np.datetime64 | None = None
    simulated: bool = False

    @property
    def polarisations(self) -> tuple[str, ...]:
        """Names of the polarisations."""
        return tuple(dict.fromkeys(name for name, _ in self.files))

    def of(self, polarisations: tuple[str, ...]) -> tuple[Files, ...]:
        """Files of the polarisations, in that order."""
        known = dict(self.files)
        return tuple(known[name] for name in polarisations)

    def swaths(self, polarisations: tuple[str, ...]) -> tuple[tuple[Files, ...], ...]:
        """Files of each sub-swath that has all the polarisations, in that order."""
        known = {(files.swath, name): files for name, files in self.files}
        return tuple(
            tuple(known[swath, name] for name in polarisations)
            for swath in sorted({swath for swath, _ in known})
            if all((swath, name) in known for name in polarisations)
        )


class Calibrated:
    """Calibrated power of one polarisation, read window by window.

    Border noise and samples without data are NaN; values at or below zero are kept.
    """

    def __init__(self, raw: Measurement, radiometry: Radiometry) -> None:
        self.raw = raw
        self.radiometry = radiometry
        self.shape = raw.shape

    def read(self, window: Window, near: Near | None = None) -> NDArray[np.float32]:
        """Linear power, float32, shape ``window.shape``; see `Measurement.read`."""
        numbers = self.raw.read(window) if near is None else self.raw.read(window, near)
        limits = self._limits(window)
        return calibrate(numbers, window.line, window.sample, self.radiometry, limits)

    def noise_equivalent(self, window: Window) -> NDArray[np.float32]:
        """Power that the thermal noise taken from the samples of `window` had, likewise."""
        gain = Radiometry(self.radiometry.gain, self.radiometry.gain)
        factor = noise_power(window.line, window.sample, window.shape, gain)
        found = noise_power(window.line, window.sample, window.shape, self.radiometry)
        found /= factor * factor
        return found

    def _limits(self, window: Window) -> Limits:
        """Valid extent of the window's lines and samples; looks at the image's edges only.

        A line's limits depend on that line alone (and a column's on that column), so every
        window that holds it finds the same ones.
        """
        lines, samples = self.shape
        reach = BORDER_SAMPLES + BORDER_RUN
        huge = np.int64(2**62)
        first_sample = np.full(window.shape[0], -huge)
        last_sample = np.full(window.shape[0], huge)
        first_line = np.full(window.shape[1], -huge)
        last_line = np.full(window.shape[1], huge)
        if window.sample < BORDER_SAMPLES:
            strip = window._replace(sample=0, sample_stop=min(reach, samples))
            first_sample = self._inwards(strip, lambda block: block)
        if window.sample_stop > samples - BORDER_SAMPLES:
            strip = window._replace(sample=max(0, samples - reach), sample_stop=samples)
            last_sample = samples - 1 - self._inwards(strip, lambda block: block[:, ::-1])
        if window.line < BORDER_SAMPLES:
            strip = window._replace(line=0, line_stop=min(reach, lines))
            first_line = self._inwards(strip, lambda block: block.T)
        if window.line_stop > lines - BORDER_SAMPLES:
            strip = window._replace(line=max(0, lines - reach), line_stop=lines)
            last_line = lines - 1 - self._inwards(strip, lambda block: block.T[:, ::-1])
        return Limits(first_sample, last_sample, first_line, last_line)

    def _inwards(self, strip: Window, turn) -> NDArray[np.int64]:  # type: ignore[no-untyped-def]
        """Columns to leave out per row of a strip that `turn` brings edge first."""
        noise = noise_power(strip.line, strip.sample, strip.shape, self.radiometry)
        numbers = turn(self.raw.read(strip))
        return first_imaged(np.ascontiguousarray(numbers), np.ascontiguousarray(turn(noise)))


def open_annotation(files: Files) -> Annotation:
    """Annotation of one polarisation; parsed once per process and state of the file.

    Raises
    ------
    SourceError
        The file is missing, malformed, or not an annotation, or its orbit file does not fit.
    """
    states = file_state(files.annotation), file_state(files.orbit) if files.orbit else None
    product = "SLC" if files.swath else "GRD"
    return _annotation(files.annotation, files.access, files.orbit, product, states)


@lru_cache(maxsize=256)
def _annotation(
    href: str,
    access: Access,
    orbit: str,
    product: str,
    states: tuple[tuple[int, int] | None, ...],
) -> Annotation:
    return read_annotation(href, access, orbit, product=product)


def open_calibrated(files: Files, backscatter: str) -> Calibrated:
    """Image of one polarisation; its tables are parsed once per process and state of the files.

    Raises
    ------
    SourceError
        A file is missing, malformed or does not match the others.
    """
    states = tuple(map(file_state, (files.measurement, files.calibration, files.noise)))
    return _calibrated(files, backscatter, open_annotation(files).image.shape, states)


@lru_cache(maxsize=64)
def _calibrated(
    files: Files, backscatter: str, shape: tuple[int, int], states: tuple[object, ...]
) -> Calibrated:
    radiometry = read_radiometry(files.calibration, files.noise, backscatter, files.access)
    return Calibrated(Measurement(files.measurement, shape, files.access), radiometry)
