"""Slices grouped into passes: one satellite, one datatake."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from cube.readers.scene import Scene
from cube.schema import Role

__all__ = ["Pass", "Windows", "group_passes"]


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

    Re-processed products of one slice count once: the last by name stays. Scenes that lack the
    polarisations most scenes have are left out, and so are those of other tracks than `tracks`
    (all, where none is named).

    Returns
    -------
    passes : list of Pass
    polarisations : tuple of str
    notes : list of str
        One line for everything left out.
    """
    notes = []
    unique: dict[tuple[str, int, np.datetime64], Scene] = {}
    for scene in sorted(scenes, key=lambda scene: scene.id):
        if tracks and scene.relative_orbit not in tracks:
            continue
        earlier = unique.get((scene.platform, scene.datatake, scene.start))
        if earlier is not None:
            notes.append(f"left out {earlier.id}: processed again as {scene.id}")
        unique[scene.platform, scene.datatake, scene.start] = scene
    kept = list(unique.values())
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
        role = windows.role(members[0].start)
        if role is None:
            continue
        first = members[0]
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
