"""Slices grouped into passes: one satellite, one datatake."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from cube.grid import BBox
from cube.readers.footprint import coverage
from cube.readers.scene import Scene
from cube.schema import Role

__all__ = ["Pass", "Triplet", "Windows", "group_passes", "latest_products", "triplets"]


@dataclass(frozen=True)
class Windows:
    """Days of each role, both inclusive; whoever falls in none is not part of the cube."""

    before: tuple[date, date] | None
    during: tuple[date, date]
    after: tuple[date, date] | None = None

    @property
    def span(self) -> tuple[date, date]:
        """First and last day of all windows."""
        given = [window for window in (self.before, self.during, self.after) if window]
        return min(window[0] for window in given), max(window[1] for window in given)

    def role(self, time: np.datetime64) -> Role | None:
        """Role of a moment, or None."""
        day = time.astype("datetime64[D]")
        named: tuple[tuple[Role, tuple[date, date] | None], ...] = (
            ("before", self.before),
            ("during", self.during),
            ("after", self.after),
        )
        for name, window in named:
            if window and np.datetime64(window[0]) <= day <= np.datetime64(window[1]):
                return name
        return None


@dataclass(frozen=True)
class Pass:
    """One pass over the grid.

    Attributes
    ----------
    platform : str
    datatake, track : int
    direction : str
    time : datetime64[us]
        Earliest sensing start of its slices over the grid.
    role : str
    scenes : tuple of Scene
        Slices in order of time.
    """

    platform: str
    datatake: int
    track: int
    direction: str
    time: np.datetime64
    role: Role
    scenes: tuple[Scene, ...]


def group_passes(
    scenes: Sequence[Scene], windows: Windows, tracks: Sequence[int] = ()
) -> tuple[list[Pass], tuple[str, ...], list[str]]:
    """Group scenes into passes, sorted by time.

    A slice that was processed again counts once: the product made last stays. Scenes that lack the
    polarisations most scenes have are left out, and so are those of other tracks than `tracks`
    (all, where none is named) and those of days that have no role.

    Returns
    -------
    passes : list of Pass
    polarisations : tuple of str
    notes : list of str
        One line for everything left out.
    """
    wanted = [
        scene
        for scene in scenes
        if (not tracks or scene.relative_orbit in tracks) and windows.role(scene.start) is not None
    ]
    kept, notes = latest_products(wanted)
    if not kept:
        return [], (), notes
    counted = Counter(scene.polarisations for scene in kept)
    common = max(counted, key=lambda names: (counted[names], len(names), names))
    grouped: dict[tuple[str, int], list[Scene]] = {}
    for scene in kept:
        if not set(common) <= set(scene.polarisations):
            notes.append(
                f"left out {scene.id}: has {', '.join(scene.polarisations)}, most scenes have"
                f" {', '.join(common)}"
            )
            continue
        grouped.setdefault((scene.platform, scene.datatake), []).append(scene)
    passes = []
    for (platform, datatake), members in grouped.items():
        members.sort(key=lambda scene: (scene.start, scene.id))
        first = members[0]
        role = windows.role(first.start)
        if role is None:
            continue
        passes.append(
            Pass(
                platform,
                datatake,
                first.relative_orbit,
                first.orbit_direction,
                first.start,
                role,
                tuple(members),
            )
        )
    return sorted(passes, key=lambda one: (one.time, one.platform)), common, notes


def latest_products(scenes: Iterable[Scene]) -> tuple[list[Scene], list[str]]:
    """Scenes without those that were processed again, and a line for each left out.

    Two products are of one slice where they are of one datatake, sense the same for more than half
    the shorter one's time, and see the same for more than half the smaller one's area: a processor
    starts a slice some milliseconds earlier or later, neighbouring slices share at most a tenth,
    and tiles of one pass on a map have one time but other places. The product made last stays;
    where its source does not say when it was made, the last by name.
    """
    by_datatake: dict[tuple[str, int, str], list[Scene]] = {}
    for scene in scenes:
        by_datatake.setdefault((scene.platform, scene.datatake, scene.product), []).append(scene)
    kept, notes = [], []
    for members in by_datatake.values():
        # The newest first: whoever then senses the same as one that is kept is an earlier version
        members.sort(key=_made, reverse=True)
        chosen: list[Scene] = []
        for scene in members:
            again = next((other for other in chosen if _same_slice(scene, other)), None)
            if again is None:
                chosen.append(scene)
            else:
                notes.append(f"left out {scene.id}: processed again as {again.id}")
        kept += chosen
    return sorted(kept, key=lambda scene: (scene.start, scene.id)), notes


def _made(scene: Scene) -> tuple[np.datetime64, str]:
    known = scene.processed if scene.processed is not None else np.datetime64(0, "us")
    return known, scene.id


def _same_slice(one: Scene, other: Scene) -> bool:
    if one.start != other.start:
        shared = min(one.stop, other.stop) - max(one.start, other.start)
        if shared <= min(one.stop - one.start, other.stop - other.start) / 2:
            return False
    here, there = one.footprint.convex_hull, other.footprint.convex_hull  # valid in any case
    return bool(here.intersection(there).area > min(here.area, there.area) / 2)


@dataclass(frozen=True)
class Triplet:
    """What Kuro Siwo shows a network: the two latest passes before a day and the first after it.

    Attributes
    ----------
    track : int
    earlier, later : Pass
        ``pre2`` and ``pre1`` of the data set; real times keep them apart (others count them the
        other way round).
    after : Pass
    """

    track: int
    earlier: Pass
    later: Pass
    after: Pass


def triplets(
    scenes: Sequence[Scene], day: date, bbox: BBox, least_cover: float = 0.9
) -> list[Triplet]:
    """Triplets over an area, one for every track that has one, the soonest after the day first.

    Rule (Bountos et al. 2024, Kuro Siwo): after = first acquisition from the event's day on that
    covers the area; before = the two latest ones before the day, of the same relative orbit (and
    so of the same direction).

    Parameters
    ----------
    scenes : sequence of Scene
        As a search found them, with days before and after.
    day : date
        Of the event, UTC; a pass on that day is after it.
    bbox : west, south, east, north
        Degrees.
    least_cover : float
        Share of the area that the slices of a pass must cover together.
    """
    first, last = date.min, date.max
    windows = Windows((first, day - timedelta(days=1)), (day, last))
    passes = [
        one
        for one in group_passes(scenes, windows)[0]
        if coverage([scene.footprint for scene in one.scenes], bbox) >= least_cover
    ]
    found = []
    for track in sorted({one.track for one in passes}):
        before = [one for one in passes if one.track == track and one.role == "before"]
        after = [one for one in passes if one.track == track and one.role == "during"]
        if len(before) >= 2 and after:
            found.append(Triplet(track, before[-2], before[-1], after[0]))
    return sorted(found, key=lambda triplet: triplet.after.time)
