"""Orbit files of Sentinel-1: precise (POEORB) and restituted (RESORB) state vectors.

Earth Explorer files as the Copernicus POD Service delivers them (GMES Sentinels POD Service File
Format Specification, GMES-GSEG-EOPG-FS-10-0075). The header says what a file is; its name is not
asked.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from cube.errors import SourceError
from cube.kernels.orbit import Orbit, fit_orbit
from cube.readers import xml
from cube.readers.access import file_state

__all__ = ["MARGIN", "OrbitFile", "find_orbit", "named_orbit", "orbit_around", "read_header"]

MARGIN = np.timedelta64(60, "s")
"""Flight before and after the sensing time that a polynomial needs to be held at its ends."""

_KINDS = {"AUX_POEORB": "POEORB", "AUX_RESORB": "RESORB"}  # the better first
_HEADER_END = b"</Earth_Explorer_Header>"
_HEADER_BYTES = 64 * 2**10  # real ones hold 1.2 kB
_MAX_BYTES = 64 * 2**20  # a precise file of 26 hours holds 4.5 MB
_SHOWN = 3
_GAP_S = 30.0  # vectors are 10 s apart
_LARGEST_RESIDUAL_M = 1.0
_UNITS = {**dict.fromkeys(("X", "Y", "Z"), "m"), **dict.fromkeys(("VX", "VY", "VZ"), "m/s")}


@dataclass(frozen=True, slots=True)
class OrbitFile:
    """What the header of an orbit file says.

    Attributes
    ----------
    path : Path
    name : str
        ``File_Name`` of the header: the same wherever the file lies.
    platform : str
        For example ``sentinel-1a``.
    kind : str
        ``POEORB`` or ``RESORB``.
    start, stop : datetime64[us]
        Validity.
    created : datetime64[us]
    """

    path: Path
    name: str
    platform: str
    kind: str
    start: np.datetime64
    stop: np.datetime64
    created: np.datetime64

    def covers(self, start: np.datetime64, stop: np.datetime64) -> bool:
        """Whether the validity holds these times with `MARGIN` on both sides."""
        return bool(self.start <= start - MARGIN and self.stop >= stop + MARGIN)

    def __str__(self) -> str:
        return f"{self.kind} of {self.platform}, {_second(self.start)} to {_second(self.stop)}"


@dataclass(frozen=True, slots=True)
class _Vectors:
    """State vectors of a file: times (n,), then positions in m and velocities in m/s (n, 3)."""

    times: NDArray[np.datetime64]
    positions: NDArray[np.float64]
    velocities: NDArray[np.float64]
    nominal: NDArray[np.bool_]


class _OtherFileError(SourceError):
    """An Earth Explorer file, but not of an orbit that was determined from measurements."""


def read_header(path: Path) -> OrbitFile:
    """Read what a file is, without its state vectors.

    Raises
    ------
    SourceError
        Missing, malformed, predicted, or no Sentinel-1 orbit file.
    """
    content, ended, _ = _bytes(path, _HEADER_BYTES).partition(_HEADER_END)
    if not ended:
        raise SourceError(
            f"{path}: no Earth Explorer header; give an orbit file (AUX_POEORB or AUX_RESORB, .EOF)"
        )
    root = xml.parse_bytes(
        content + _HEADER_END + b"</Earth_Explorer_File>", str(path), "Earth_Explorer_File"
    )
    return _header(root, path)


def _header(root: Element, path: Path) -> OrbitFile:
    href = str(path)
    fixed, variable = (f"Earth_Explorer_Header/{part}_Header" for part in ("Fixed", "Variable"))
    kind = xml.text(root, f"{fixed}/File_Type", href)
    if kind not in _KINDS:
        what = "a predicted orbit" if kind == "AUX_PREORB" else "no orbit"
        raise _OtherFileError(
            f"{path}: File_Type {kind}, {what}; give AUX_POEORB (precise) or AUX_RESORB"
        )
    mission = xml.text(root, f"{fixed}/Mission", href)
    if not re.fullmatch(r"Sentinel-1[A-Z]", mission):
        raise SourceError(f"{path}: Mission {mission!r}, expected for example 'Sentinel-1A'")
    for tag, expected in (("Ref_Frame", "EARTH_FIXED"), ("Time_Reference", "UTC")):
        found = xml.text(root, f"{variable}/{tag}", href)
        if found != expected:
            raise SourceError(f"{path}: {tag} {found!r}; only {expected} is read")

    def moment(tag: str) -> np.datetime64:
        return _moment(xml.text(root, f"{fixed}/{tag}", href), href)

    start, stop = moment("Validity_Period/Validity_Start"), moment("Validity_Period/Validity_Stop")
    if start >= stop:
        raise SourceError(f"{path}: validity ends at {stop}, before it begins at {start}")
    return OrbitFile(
        path,
        xml.text(root, f"{fixed}/File_Name", href).removesuffix(".EOF"),
        mission.lower(),
        _KINDS[kind],
        start,
        stop,
        moment("Source/Creation_Date"),
    )


def find_orbit(place: Path, platform: str, start: np.datetime64, stop: np.datetime64) -> OrbitFile:
    """Best orbit file for a scene: precise before restituted, then the one made last.

    Parameters
    ----------
    place : Path
        A file, or a folder of files ``*.EOF`` or ``*.EOF.zip``.
    platform : str
        For example ``sentinel-1a``.
    start, stop : datetime64
        Sensing times of the scene.

    Raises
    ------
    SourceError
        None is of the satellite and covers the times with `MARGIN`, or a file is damaged.
    """
    found = _headers(place)
    fit = [one for one in found if one.platform == platform and one.covers(start, stop)]
    if fit:
        return min(fit, key=_preference)
    shown = "; ".join(map(str, found[:_SHOWN]))
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    raise SourceError(
        f"{place}: no orbit of {platform} from {_second(start)} to {_second(stop)} with"
        f" {MARGIN.astype(int)} s on both sides; it holds {shown}{more}; give the file of that"
        " satellite and day, or leave --orbit out"
    )


def _preference(one: OrbitFile) -> tuple[int, int, str]:
    latest = -int(one.created.astype("datetime64[us]").astype("int64"))
    return list(_KINDS.values()).index(one.kind), latest, one.name


def named_orbit(place: Path, name: str) -> OrbitFile:
    """Orbit file of a name that was noted before.

    Raises
    ------
    SourceError
        It is no longer there.
    """
    for one in _headers(place):
        if one.name == name:
            return one
    raise SourceError(
        f"{place}: no longer holds {name}.EOF, which the cube was begun with; put it back, or"
        " --overwrite the cube"
    )


def _headers(place: Path) -> tuple[OrbitFile, ...]:
    """Headers of a file, or of all files of a folder that hold orbits, sorted by name."""
    try:
        if place.is_file():
            return (_known_header(place, file_state(str(place))),)
        paths = sorted(
            path for path in place.iterdir() if path.name.upper().endswith((".EOF", ".EOF.ZIP"))
        )
    except OSError as error:
        raise SourceError(
            f"{place}: cannot be read ({error.strerror}); give an orbit file (.EOF) or a folder"
        ) from error
    found: list[OrbitFile] = []
    for path in paths:
        with suppress(_OtherFileError):  # predicted orbits and attitudes come by the same suffix
            found.append(_known_header(path, file_state(str(path))))
    if not found:
        raise SourceError(
            f"{place}: none of its {len(paths)} files .EOF holds a precise or restituted orbit;"
            " give AUX_POEORB or AUX_RESORB files"
        )
    return tuple(found)


@lru_cache(maxsize=4096)
def _known_header(path: Path, state: tuple[int, int] | None) -> OrbitFile:
    return read_header(path)


def orbit_around(
    path: Path, platform: str, epoch: np.datetime64, start: np.datetime64, stop: np.datetime64
) -> tuple[Orbit, OrbitFile]:
    """Orbit polynomial through the state vectors around some times.

    Parameters
    ----------
    path : Path
        Orbit file.
    platform : str
        Satellite that it must be of.
    epoch : datetime64
        Zero of the orbit's times.
    start, stop : datetime64
        Sensing times; `MARGIN` is added on both sides.

    Raises
    ------
    SourceError
        Of another satellite, state vectors missing, malformed or contradicting each other.
    """
    header, vectors = _read(path, file_state(str(path)))
    if header.platform != platform:
        raise SourceError(f"{path}: orbit of {header.platform}, the product is of {platform}")
    first = int(np.searchsorted(vectors.times, start - MARGIN, side="right")) - 1
    last = int(np.searchsorted(vectors.times, stop + MARGIN, side="left"))
    if first < 0 or last >= len(vectors.times):
        promised = (
            f"although it promises {_second(header.start)} to {_second(header.stop)}; the file is"
            " cut short, download it again"
            if header.covers(start, stop)
            else "give the file of that day"
        )
        raise SourceError(
            f"{path}: state vectors from {_second(vectors.times[0])} to"
            f" {_second(vectors.times[-1])}, needed are {_second(start - MARGIN)} to"
            f" {_second(stop + MARGIN)}, {promised}"
        )
    part = slice(first, last + 1)
    seconds = (vectors.times[part] - epoch) / np.timedelta64(1, "ns") * 1e-9
    if float(np.diff(seconds).max()) > _GAP_S:
        raise SourceError(
            f"{path}: state vectors {np.diff(seconds).max():.0f} s apart, expected 10; the file is"
            " incomplete, download it again"
        )
    if not vectors.nominal[part].all():
        raise SourceError(
            f"{path}: state vectors near {_second(start)} are marked as not NOMINAL (a manoeuvre?);"
            " give another orbit file, or leave --orbit out"
        )
    try:
        orbit = fit_orbit(seconds, vectors.positions[part], vectors.velocities[part])
    except ValueError as error:
        raise SourceError(f"{path}: {error}") from error
    residual = float(np.abs(orbit.state(seconds)[0] - vectors.positions[part]).max())
    if not residual < _LARGEST_RESIDUAL_M:
        raise SourceError(
            f"{path}: state vectors near {_second(start)} lie {residual:.1f} m beside any smooth"
            " path; the file is damaged, download it again"
        )
    return orbit, header


@lru_cache(maxsize=16)
def _read(path: Path, state: tuple[int, int] | None) -> tuple[OrbitFile, _Vectors]:
    """Header and all state vectors: slices and polarisations of a day share one file."""
    href = str(path)
    root = xml.parse_bytes(_bytes(path, _MAX_BYTES + 1), href, "Earth_Explorer_File")
    header = _header(root, path)
    block = root.find("Data_Block/List_of_OSVs")
    if block is None:
        raise SourceError(f"{path}: no Data_Block/List_of_OSVs; the file is incomplete")
    rows = block.findall("OSV")
    if block.get("count") != str(len(rows)) or len(rows) < 4:
        raise SourceError(
            f"{path}: {len(rows)} state vectors where {block.get('count')} are announced, at least"
            " 4 are needed; download it again"
        )
    times = np.array([_moment(xml.text(row, "UTC", href), href) for row in rows])
    if not (np.diff(times) > np.timedelta64(0)).all():
        raise SourceError(f"{path}: times of the state vectors do not increase; download it again")
    values = np.array([[_number(row, tag, href) for tag in _UNITS] for row in rows])
    nominal = np.array([(row.findtext("Quality") or "").strip() == "NOMINAL" for row in rows])
    return header, _Vectors(times, values[:, :3], values[:, 3:], nominal)


def _number(row: Element, tag: str, href: str) -> float:
    element = row.find(tag)
    if element is not None and element.get("unit") != _UNITS[tag]:
        raise SourceError(
            f"{href}: unit of {tag} is {element.get('unit')!r}, expected {_UNITS[tag]!r}"
        )
    return xml.number(row, tag, href)


def _moment(content: str, href: str) -> np.datetime64:
    match = re.fullmatch(r"UTC=(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?)", content)
    try:
        return np.datetime64(match[1] if match is not None else content, "us")
    except ValueError as error:
        raise SourceError(
            f"{href}: {content!r} is not a time such as UTC=2018-11-12T22:59:42"
        ) from error


def _second(time: np.datetime64) -> str:
    return str(time.astype("datetime64[s]"))


def _bytes(path: Path, limit: int) -> bytes:
    """First bytes of a file, or of the only member of a zip; the whole of one that is shorter."""
    try:
        if path.suffix.lower() != ".zip":
            with path.open("rb") as file:
                content = file.read(limit)
        else:
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if name.upper().endswith(".EOF")]
                if len(names) != 1:
                    raise SourceError(f"{path}: holds {len(names)} orbit files, expected one")
                with archive.open(names[0]) as file:
                    content = file.read(limit)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise SourceError(f"{path}: not a readable zip ({error}); download it again") from error
    except OSError as error:
        raise SourceError(f"{path}: cannot read ({error.strerror})") from error
    if len(content) > _MAX_BYTES:
        raise SourceError(f"{path}: more than {_MAX_BYTES:,} bytes; orbit files hold about 4.5 MB")
    return content
