"""Sentinel-1 IW SLC products with simulated pixels, from annotations that are real or made up."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from cube.simulate.ellipsoid import east_north_up, ecef_from_geodetic
from cube.simulate.geometry import SPEED_OF_LIGHT
from cube.simulate.slc_annotation import (
    Gain,
    SlcBurst,
    SlcImage,
    read_gain,
    read_image,
    two_way_mid,
)
from cube.simulate.slc_echoes import HALF, Canvas, Seen, image_place, response_energy, see
from cube.simulate.slc_files import (
    MANIFEST,
    SparseTiff,
    Template,
    document,
    edit_manifest,
    ground_control,
    publish,
    read_template,
)
from cube.simulate.slc_rewrite import (
    keep_bursts,
    keep_lines,
    other_day,
    place_bursts,
    shift_lines,
    shift_orbit,
    state_header,
    state_period,
)
from cube.simulate.slc_scene import Patch, SlcScene, ground, patches, speckle, value_of
from cube.simulate.slc_template import make_slc_template

__all__ = ["SlcScene", "make_slc_template", "simulate_slc"]

Floats = NDArray[np.float64]
Window = tuple[int, int, NDArray[np.int16]]

RELIEF_SAMPLES = 800
"""Samples by which ground between the probes of a tile may stray: 1.9 km of slant range."""


def simulate_slc(
    directory: Path,
    template: Path,
    scene: SlcScene,
    *,
    date: int = 0,
    swaths: Sequence[str] | None = None,
    polarisations: Sequence[str] | None = None,
    bursts: range | Sequence[int] | None = None,
    line_shift: float = 0.0,
    orbit_shift_m: float = 0.0,
    time_shift_days: int = 0,
) -> Path:
    """Write one product as ``directory/NAME.SAFE`` and return that folder.

    Parameters
    ----------
    directory : Path
        Existing folder.
    template : Path
        SAFE folder or zip archive of an IW SLC product; its pixels are not read.
    scene : SlcScene
        Ground.
    date : int
        Number of the date: which speckle is its own, and which phase the scene has.
    swaths, polarisations : sequence of str, optional
        Images to write, such as ``("IW1",)`` and ``("VV",)``; all where left out.
    bursts : range or sequence of int, optional
        Consecutive bursts to keep, counted from 0 in each swath.
    line_shift : float
        Lines by which the grid of lines is later than the template's, to whole microseconds.
        The pixels are those of the annotated times.
    orbit_shift_m : float
        Metres by which the orbit lies to the right of the template's, horizontally.
    time_shift_days : int
        Days by which all times are later, a multiple of the repeat cycle of 12. The name of the
        product changes with them.

    The geolocation grid follows both shifts at its heights; its angles stay as they were. The
    closing checksum in the name of the product is the template's.

    Raises
    ------
    ValueError
        The template lacks an image that is asked for, or the shifts are impossible.
    FileExistsError
        The product is already there.
    """
    source = read_template(template)
    # The bistatic correction belongs to the whole product, however it is cut.
    mid_time = _mid_time(source)
    if time_shift_days:
        source = _later(source, time_shift_days)
    target = directory / source.name
    if target.exists():
        raise FileExistsError(f"{target} is already there; remove it or write elsewhere")
    wanted = _wanted(source, swaths, polarisations)
    change = _Change(bursts, line_shift, orbit_shift_m)
    part = Path(tempfile.mkdtemp(prefix=".slc.", dir=directory))
    try:
        _fill(
            part, source, [_prepare(source, key, change, mid_time) for key in wanted], scene, date
        )
        return publish(part, target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _later(source: Template, days: int) -> Template:
    """The same template on another day."""
    texts = {other_day(path, days): other_day(text, days) for path, text in source.texts.items()}
    return Template(other_day(source.name, days), texts)


def _mid_time(source: Template) -> float:
    """Two-way time of the middle of IW2, or what the grids of the other swaths say of it."""
    found = {}
    for (swath, _), paths in source.images().items():
        if swath not in found and "product" in paths:
            root = ET.fromstring(source.texts[paths["product"]])
            found[swath] = two_way_mid(root, read_image(root))
    if not found:
        raise ValueError(f"{source.name} has no annotation of an IW SLC image")
    return found.get("IW2", float(np.mean(list(found.values()))))


def _wanted(
    source: Template, swaths: Sequence[str] | None, polarisations: Sequence[str] | None
) -> list[tuple[str, str]]:
    """Images to write, of those that the template has."""
    there = [
        key for key, paths in source.images().items() if {"product", "calibration"} <= set(paths)
    ]
    names = sorted({swath for swath, _ in there}) if swaths is None else swaths
    kinds = sorted({kind for _, kind in there}) if polarisations is None else polarisations
    wanted = [(swath, kind) for swath in names for kind in kinds]
    missing = set(wanted) - set(there)
    if missing or not wanted:
        raise ValueError(f"{source.name} has no annotation and calibration of {sorted(missing)}")
    return wanted


@dataclass(frozen=True)
class _Change:
    """What becomes of the annotations of the template."""

    bursts: range | Sequence[int] | None
    line_shift: float
    orbit_shift_m: float

    @property
    def kept(self) -> range | None:
        """Bursts to keep; None for all."""
        if self.bursts is None:
            return None
        if not self.bursts or list(self.bursts) != list(range(self.bursts[0], self.bursts[-1] + 1)):
            raise ValueError(f"bursts {list(self.bursts)} are not consecutive")
        return range(self.bursts[0], self.bursts[-1] + 1)


@dataclass(frozen=True)
class _Prepared:
    """One image before its pixels."""

    image: SlcImage
    polarisation: str
    gain: Gain
    mid_time_s: float
    first_burst: int
    tiff: SparseTiff
    period: tuple[np.datetime64, np.datetime64]
    documents: dict[str, bytes]
    """Annotations by their paths inside the folder, the product first."""

    @property
    def measurement(self) -> str:
        """Path of the pixels inside the folder."""
        return f"measurement/{Path(next(iter(self.documents))).stem}.tiff"


def _prepare(
    source: Template, key: tuple[str, str], change: _Change, mid_time_s: float
) -> _Prepared:
    """Change the annotations of one image."""
    paths = source.images()[key]
    roots = {kind: ET.fromstring(source.texts[path]) for kind, path in paths.items()}
    root, kept = roots.pop("product"), change.kept
    if kept is not None:
        keep_bursts(root, kept)
    if change.line_shift:
        shift_lines(root, change.line_shift)
    if change.orbit_shift_m:
        shift_orbit(root, change.orbit_shift_m)
    period = state_period(root)
    image = read_image(root)
    lines = image.lines_per_burst * len(image.bursts)
    first = 0 if kept is None else kept.start
    for other in roots.values():
        state_header(other, *period)
        if kept is not None:
            keep_lines(other, first * image.lines_per_burst, lines)
    tiff = SparseTiff(lines, image.samples, ground_control(root))
    place_bursts(root, tiff.first_byte)
    documents = {paths["product"]: document(root)}
    documents |= {paths[kind]: document(other) for kind, other in roots.items()}
    gain = read_gain(roots["calibration"], image.epoch)
    return _Prepared(image, key[1], gain, mid_time_s, first, tiff, period, documents)


def _fill(
    part: Path, source: Template, images: Sequence[_Prepared], scene: SlcScene, date: int
) -> None:
    """Write all files of a product."""
    for folder in ("annotation/calibration", "measurement"):
        (part / folder).mkdir(parents=True)
    files = {}
    for item in images:
        for path, content in item.documents.items():
            (part / path).write_bytes(content)
            digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
            files[path] = (len(content), digest)
        path = item.measurement
        files[path] = item.tiff.write(part / path, _windows(item, scene, date))
    names = [(item.image.swath, item.polarisation) for item in images]
    period = (min(item.period[0] for item in images), max(item.period[1] for item in images))
    (part / MANIFEST).write_bytes(edit_manifest(source.texts[MANIFEST], files, names, period))


def _windows(item: _Prepared, scene: SlcScene, date: int) -> Iterator[Window]:
    """Simulate burst after burst, each in the window that the scene reaches."""
    image = item.image
    probes = [(patch, _probe(item, patch)) for patch in patches(scene)]
    points = _points(item, scene, date)
    for number, (burst, point) in enumerate(zip(image.bursts, points, strict=True)):
        valid = _valid_box(burst)
        line, sample, amplitude = point
        boxes = [
            np.floor([[v - HALF for v in at], [v + HALF + 2 for v in at]])
            for at in zip(line, sample, strict=True)
        ]
        near = []
        for patch, seen in probes:
            place = image_place(image, burst, seen.line_time(item.mid_time_s), seen.range_m)
            box = _box(place)
            if (box[0] < valid[1]).all() and (box[1] > valid[0]).all():
                near.append(patch)
                boxes.append(box)
        # Boxes that are not near would widen the window for nothing.
        boxes = [np.clip(box, valid[0], valid[1]) for box in boxes]
        boxes = [box for box in boxes if (box[0] < box[1]).all()]
        if not boxes:
            continue
        start = np.min([box[0] for box in boxes], axis=0).astype(int)
        stop = np.max([box[1] for box in boxes], axis=0).astype(int)
        canvas = Canvas(image, burst, range(start[0], stop[0]), range(start[1], stop[1]))
        for patch in near:
            _scatter(canvas, item, patch, date)
        inside = canvas.holds(line, sample)
        canvas.add(line[inside], sample[inside], amplitude[inside])
        yield number * image.lines_per_burst + int(start[0]), int(start[1]), canvas.pixels()


def _valid_box(burst: SlcBurst) -> Floats:
    """First and past-last valid (line, sample) of a burst, equal where there are none."""
    lines = np.flatnonzero(burst.first_valid >= 0)
    if not lines.size:
        return np.zeros((2, 2))
    first, last = burst.first_valid[lines].min(), burst.last_valid[lines].max()
    return np.array([[lines[0], first], [lines[-1] + 1, last + 1]], "float64")


def _probe(item: _Prepared, patch: Patch) -> Seen:
    """Where the edge and some of the inside of a tile are seen."""
    _, position, up = ground(patch.scene, *patch.probe())
    return see(item.image.orbit, position, up)


def _box(place: Floats) -> Floats:
    """First and past-last (line, sample) of a tile, with room for its relief."""
    low, high = place.min(axis=1), place.max(axis=1)
    # Relief shears lines by the bistatic term only: 0.1 line for 1 km.
    margin = np.array([4.0, RELIEF_SAMPLES]) + HALF
    return np.floor([low - margin, high + margin + 1])


def _scatter(canvas: Canvas, item: _Prepared, patch: Patch, date: int) -> None:
    """Add the scatterers of one tile to one burst."""
    image, scene = item.image, patch.scene
    lon, lat = patch.places()
    height, position, up = ground(scene, lon, lat)
    seen = see(image.orbit, position, up)
    line_time = seen.line_time(item.mid_time_s)
    line, sample = image_place(image, canvas.burst, line_time, seen.range_m)
    keep = canvas.holds(line, sample)
    if not keep.any():
        return
    beta = scene.beta0 if not isinstance(scene.beta0, Mapping) else scene.beta0[item.polarisation]
    amplitude = speckle(patch, item.polarisation, date, value_of(scene.coherence, lon, lat))
    gain = item.gain.at(line_time, sample)
    pixel = image.line_step_s * SPEED_OF_LIGHT / (2 * image.sampling_hz)
    number = seen.area_m2_s * pixel / patch.share_m2(lat, height)
    energy = response_energy(image.azimuth_band) * response_energy(image.range_band)
    amplitude *= gain * np.sqrt(value_of(beta, lon, lat) / (number * energy))
    if scene.phase is not None:
        amplitude *= np.exp(1j * np.asarray(scene.phase(lon, lat, date)))
    canvas.add(line[keep], sample[keep], amplitude[keep])


def _points(
    item: _Prepared, scene: SlcScene, date: int
) -> list[tuple[Floats, Floats, NDArray[np.complex128]]]:
    """Line, sample and amplitude of the point targets in each burst."""
    image = item.image
    lon, lat, height, number = np.array(scene.targets, "float64").reshape(-1, 4).T
    amplitude = number.astype("complex128")
    if scene.phase is not None and number.size:
        amplitude *= np.exp(1j * np.asarray(scene.phase(lon, lat, date)))
    seen = see(image.orbit, ecef_from_geodetic(lat, lon, height), east_north_up(lat, lon)[2])
    line_time = seen.line_time(item.mid_time_s)
    found = []
    for at, burst in enumerate(image.bursts):
        line, sample = image_place(image, burst, line_time, seen.range_m)
        placed = [point[1:] for point in _placed(scene, image) if point[0] == at + item.first_burst]
        extra = np.array(placed, "float64").reshape(-1, 3)
        found.append(
            (
                np.append(line, extra[:, 0]),
                np.append(sample, extra[:, 1]),
                np.append(amplitude, extra[:, 2]),
            )
        )
    return found


def _placed(scene: SlcScene, image: SlcImage) -> Iterable[tuple[float, ...]]:
    """Targets of this swath: burst of the template, line in it, sample, digital number."""
    for swath, *place in scene.image_targets:
        if swath != image.swath:
            continue
        if len(place) == 3:
            burst = int(place[0] // image.lines_per_burst)
            place = [burst, place[0] - burst * image.lines_per_burst, *place[1:]]
        yield tuple(float(value) for value in place)
