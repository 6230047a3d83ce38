"""The events as a whole: what of them is not verified, and how a catalogue fills them in."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from cube.catalog import Aoi, Event, events
from cube.errors import CatalogError
from cube.readers.catalogue import Area, Contents, find_catalogues, read_catalogue

__all__ = ["Check", "Imported", "Overlap", "check_events", "import_catalogue"]

_HEADER = (
    "# Boxes of areas: written by cube events import from Kuro Siwo's catalogue.\n"
    "# Run it again to refresh them; what else is changed here is kept.\n\n"
)


@dataclass(frozen=True)
class Overlap:
    """A flood that another data set holds too.

    Attributes
    ----------
    event, split : str
        Our record; the split is Kuro Siwo's, None for an event of another origin.
    data, activation, other_split : str
        The other data set, its code and its split where known.
    """

    event: str
    split: str | None
    data: str
    activation: str
    other_split: str | None

    @property
    def conflict(self) -> bool:
        """Whether the two data sets put the flood into different splits."""
        return None not in (self.split, self.other_split) and self.split != self.other_split


@dataclass(frozen=True)
class Check:
    """Outcome of ``cube events check``.

    Attributes
    ----------
    events : int
    default_boxes, unknown_boxes, unverified_boxes : dict
        Names of areas by event: box drawn around a centre; no box; box read by third parties.
    overlaps : tuple of Overlap
    problems : tuple of str
        What contradicts itself across files.
    """

    events: int
    default_boxes: dict[str, tuple[str, ...]]
    unknown_boxes: dict[str, tuple[str, ...]]
    unverified_boxes: dict[str, tuple[str, ...]]
    overlaps: tuple[Overlap, ...]
    problems: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Everything, for ``--json``."""
        return {
            "events": self.events,
            "default_boxes": self.default_boxes,
            "unknown_boxes": self.unknown_boxes,
            "unverified_boxes": self.unverified_boxes,
            "overlaps": [{**vars(one), "conflict": one.conflict} for one in self.overlaps],
            "problems": self.problems,
        }


def check_events(folder: str | None = None) -> Check:
    """Look through all events of the catalog.

    Raises
    ------
    CatalogError
        A file is malformed.
    """
    found = events(folder)

    def areas(wanted: Any) -> dict[str, tuple[str, ...]]:
        names = {
            key: tuple(aoi.name for aoi in event.aois if wanted(aoi))
            for key, event in found.items()
        }
        return {key: value for key, value in names.items() if value}

    return Check(
        len(found),
        areas(lambda aoi: aoi.default_box),
        areas(lambda aoi: aoi.bbox is None),
        areas(lambda aoi: aoi.bbox is not None and not aoi.verified and not aoi.default_box),
        tuple(
            Overlap(
                key,
                event.kurosiwo.split if event.kurosiwo is not None else None,
                other.data,
                other.activation or event.activation or key,
                other.split,
            )
            for key, event in found.items()
            for other in event.also_in
        ),
        tuple(_problems(found)),
    )


def _problems(found: dict[str, Event]) -> list[str]:
    problems = [
        f"{key}: same_as names {event.same_as}, which is no event"
        for key, event in found.items()
        if event.same_as is not None and event.same_as not in found
    ]
    of_kurosiwo = [event for event in found.values() if event.kurosiwo is not None]
    codes = Counter(event.activation for event in of_kurosiwo if event.activation is not None)
    problems += [f"{code}: {count} events" for code, count in codes.items() if count > 1]
    for event in of_kurosiwo:
        numbers = Counter(aoi.number for aoi in event.aois if aoi.number is not None)
        problems += [
            f"{event.id}: {count} areas of number {number}"
            for number, count in numbers.items()
            if count > 1
        ]
    return problems


@dataclass(frozen=True)
class Imported:
    """Outcome of ``cube events import``.

    Attributes
    ----------
    folder : Path
        Where the events were written.
    areas : dict
        Areas filled in, by event.
    still_unknown : dict
        Areas without a box, by event written.
    unlabelled, without_geometry : int
        Patches left out.
    unknown : dict
        Labelled patches by actid that is not in the catalog.
    """

    folder: Path
    areas: dict[str, tuple[str, ...]]
    still_unknown: dict[str, tuple[str, ...]]
    unlabelled: int
    without_geometry: int
    unknown: dict[int, int]

    def as_json(self) -> dict[str, Any]:
        """Everything, for ``--json``."""
        return {**vars(self), "folder": str(self.folder)}


def import_catalogue(catalogue: Path, out: Path | None) -> Imported:
    """Fill the areas of Kuro Siwo's events in from its catalogue.

    Parameters
    ----------
    catalogue : Path
        GeoPackage, or a folder of them.
    out : Path or None
        Catalog folder to write to; ``$CUBE_CATALOG`` by default. Its own events are kept: only
        boxes are replaced.

    Raises
    ------
    CubeError
        No folder to write to, or nothing in the catalogue that can be used.
    """
    out = _folder(out)
    contents = Contents()
    for file in find_catalogues(catalogue):
        contents.merge(read_catalogue(file))
    known = {
        event.kurosiwo.actid: event
        for event in events(str(out) if out.is_dir() else None).values()
        if event.kurosiwo is not None and event.id == f"ks{event.kurosiwo.actid}"
    }
    by_event: dict[int, dict[int, Area]] = {}
    for (actid, aoiid), area in sorted(contents.areas.items()):
        by_event.setdefault(actid, {})[aoiid] = area
    filled = {
        actid: _filled(known[actid], areas) for actid, areas in by_event.items() if actid in known
    }
    unknown = {
        actid: sum(area.patches for area in areas.values())
        for actid, areas in by_event.items()
        if actid not in known
    }
    if not filled:
        raise CatalogError(_nothing(catalogue, contents, unknown))
    for event in filled.values():
        _write(out / "events" / f"{event.id}.toml", event)
    return Imported(
        out,
        {
            event.id: tuple(aoi.name for aoi in event.aois if aoi.number in by_event[actid])
            for actid, event in filled.items()
        },
        {
            event.id: names
            for event in filled.values()
            if (names := tuple(aoi.name for aoi in event.aois if aoi.bbox is None))
        },
        contents.unlabelled,
        contents.without_geometry,
        unknown,
    )


def _folder(out: Path | None) -> Path:
    if out is None:
        chosen = os.environ.get("CUBE_CATALOG")
        if not chosen:
            raise CatalogError(
                "no folder to write events to; give --out DIR, or set CUBE_CATALOG to it"
            )
        out = Path(chosen)
    if out.exists() and not out.is_dir():
        raise CatalogError(f"{out}: not a folder")
    return out


def _nothing(catalogue: Path, contents: Contents, unknown: dict[int, int]) -> str:
    if unknown:
        ids = ", ".join(map(str, unknown))
        return f"{catalogue}: none of its activations is in the catalog: {ids}"
    return (
        f"{catalogue}: no labelled patch: {contents.unlabelled} without an area,"
        f" {contents.without_geometry} without geometry"
    )


def _filled(event: Event, areas: dict[int, Area]) -> Event:
    """Event with the boxes of the areas; the default box goes, new areas come."""
    kept = [
        _with_box(aoi, areas[aoi.number]) if aoi.number in areas else aoi
        for aoi in event.aois
        if not aoi.default_box
    ]
    numbers = {aoi.number for aoi in kept}
    kept += [
        _with_box(Aoi(name=f"aoi{number:02d}", number=number), area)
        for number, area in areas.items()
        if number not in numbers
    ]
    return event.model_copy(update={"aois": tuple(kept)})


def _with_box(aoi: Aoi, area: Area) -> Aoi:
    source = f"catalogue.gpkg of Kuro Siwo, extent of {area.patches} patch polygons"
    changed = {"bbox": area.box, "default_box": False, "verified": True, "source": source}
    try:
        return Aoi.model_validate({**aoi.model_dump(), **changed})
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise CatalogError(f"area {aoi.name} of the catalogue: {reason}") from error


def _write(path: Path, event: Event) -> None:
    """Write an event file, whole or not at all."""
    values = event.model_dump(mode="python", exclude_defaults=True)
    text = _HEADER + tomli_w.dumps(_plain(values), multiline_strings=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise CatalogError(f"{path}: cannot be written ({error.strerror})") from error
    draft = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(0o644)
        draft.replace(path)
    except OSError as error:
        raise CatalogError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        draft.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    """Lists for tuples: what TOML knows."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value
