"""Boxes and footprints in degrees, also across the antimeridian."""

from __future__ import annotations

from collections.abc import Iterable

from shapely import make_valid, union_all
from shapely.affinity import translate
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from cube.grid import BBox

__all__ = ["area", "coverage", "meets"]

_TURNS = (0, 360, -360)


def area(bbox: BBox) -> BaseGeometry:
    """Box as a geometry; one across the antimeridian goes beyond 180 degrees east."""
    west, south, east, north = bbox
    return box(west, south, east if east > west else east + 360, north)


def meets(footprint: BaseGeometry, bbox: BBox) -> bool:
    """Whether a footprint lies over a box, either written an earth's turn apart."""
    wanted = area(bbox)
    return any(translate(footprint, turn).intersects(wanted) for turn in _TURNS)


def coverage(footprints: Iterable[BaseGeometry], bbox: BBox) -> float:
    """Share of a box, in degrees as if they were a plane, that footprints cover together.

    Examples
    --------
    >>> coverage([box(0, 0, 1, 1), box(-181, 0, -180, 1)], (0.5, 0, 1.5, 1))
    0.5
    """
    wanted = area(bbox)
    seen = union_all([translate(make_valid(one), turn) for one in footprints for turn in _TURNS])
    return float(seen.intersection(wanted).area / wanted.area)
