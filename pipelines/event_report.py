"""What the commands about events print."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cube.events import CLIMATE_ZONES, Aoi, Event, KuroSiwo, Shared

if TYPE_CHECKING:
    from pipelines.events import Check, Imported, Overlap

__all__ = ["check_lines", "event_lines", "event_list_lines", "import_lines"]


def _days(window: Any) -> str:
    return "not given" if window is None else f"{window[0]} to {window[1]}"


def event_list_lines(found: Iterable[Event]) -> list[str]:
    """Lines of ``cube events list``: id, day, split, areas of known box, title."""
    return [
        f"{event.id:12} {event.reference_date or event.during[0]:%Y-%m-%d}"
        f"  {event.kurosiwo.split if event.kurosiwo is not None else '-':5}"
        f"  {sum(aoi.bbox is not None for aoi in event.aois)}/{len(event.aois)} areas"
        f"  {event.title}"
        for event in found
    ]


def event_lines(event: Event) -> list[str]:
    """Lines of ``cube events show``."""
    lines = [f"{event.id}: {event.title}" + (" (simulated)" if event.simulated else "")]
    if event.activation is not None:
        when = f", {event.activated:%Y-%m-%d %H:%M} UTC" if event.activated is not None else ""
        lines.append(f"activation {event.activation}{when}")
    if event.reference_date is not None:
        lines.append(f"reference date {event.reference_date:%Y-%m-%d %H:%M} UTC")
    lines += [
        f"before  {_days(event.before)}",
        f"during  {_days(event.during)}",
        f"after   {_days(event.after)}",
    ]
    if event.tracks:
        lines.append(f"relative orbits {', '.join(map(str, event.tracks))}")
    if event.kurosiwo is not None:
        lines += _kurosiwo_lines(event.kurosiwo)
    lines += [_aoi_line(aoi) for aoi in event.aois]
    lines += [f"reference {name}: {_days(window)}" for name, window in event.references.items()]
    lines += [_also_line(other) for other in event.also_in]
    if event.same_as is not None:
        lines.append(f"same flood: {event.same_as}")
    lines += [f"source: {source}" for source in event.sources]
    return [*lines, event.notes] if event.notes else lines


def _kurosiwo_lines(record: KuroSiwo) -> list[str]:
    index = "in the SLC index" if record.in_slc_index else "not in the SLC index"
    lines = [f"Kuro Siwo {record.actid}: {record.split}, {index}"]
    for name, days in (("before", record.before), ("after", record.after)):
        if days:
            lines.append(f"Kuro Siwo's images {name}: {', '.join(map(str, days))}")
    if record.centre is not None:
        lat, lon = record.centre
        lines.append(f"centre lat {lat:g}, lon {lon:g} [{record.centre_source}]")
    return lines


def _aoi_line(aoi: Aoi) -> str:
    box = "box not known" if aoi.bbox is None else ",".join(f"{value:.10g}" for value in aoi.bbox)
    if aoi.default_box:
        box += " (default box)"
    elif not aoi.verified:
        box += " (not verified)"
    facts = [aoi.title] if aoi.title else []
    if aoi.climate_zone is not None:
        facts.append(CLIMATE_ZONES[aoi.climate_zone])
    if aoi.patches is not None:
        facts.append(f"{aoi.patches[0]} x {aoi.patches[1]} patches")
    return f"aoi {aoi.name}: {box}  {', '.join(facts)} [{aoi.source}]"


def _also_line(other: Shared) -> str:
    name = f"{other.data} {other.activation}" if other.activation is not None else other.data
    return f"also in {name}" + (f" ({other.split})" if other.split is not None else "")


def check_lines(check: Check) -> list[str]:
    """Lines of ``cube events check``."""
    lines = [f"{check.events} events are well-formed"]
    lines += [f"problem: {problem}" for problem in check.problems]
    for title, areas in (
        ("default boxes, drawn around a centre: they may miss the area", check.default_boxes),
        ("boxes not known: cube events import fills them in", check.unknown_boxes),
        (
            "boxes read by third parties, not verified: cube events import replaces them",
            check.unverified_boxes,
        ),
    ):
        if areas:
            lines.append(f"{title}:")
            lines += [f"  {key:12} {', '.join(names)}" for key, names in areas.items()]
    if check.overlaps:
        lines.append("floods that other data sets hold too:")
        lines += [_overlap_line(one) for one in check.overlaps]
    return lines


def _overlap_line(one: Overlap) -> str:
    split = f" {one.other_split}" if one.other_split is not None else ""
    line = f"  {one.event:12} {one.data} {one.activation}{split}"
    if one.conflict:
        line += f" - WARNING: Kuro Siwo {one.split}; never score on both"
    return line


def import_lines(found: Imported) -> list[str]:
    """Lines of ``cube events import``."""
    lines = [f"{key:12} {', '.join(names)}" for key, names in found.areas.items()]
    lines += [
        f"{key}: box still not known: {', '.join(names)}"
        for key, names in found.still_unknown.items()
    ]
    if found.unlabelled:
        lines.append(f"left out: {found.unlabelled:,} patches without label")
    if found.without_geometry:
        lines.append(f"left out: {found.without_geometry:,} labelled patches without geometry")
    lines += [
        f"left out: {count:,} patches of activation {actid}, which is not in the catalog"
        for actid, count in found.unknown.items()
    ]
    count = len(found.areas)
    written = f"{count} event{'s' if count > 1 else ''} written to {found.folder / 'events'}"
    return [*lines, f"{written}; use them with --catalog {found.folder}"]
