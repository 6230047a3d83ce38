"""Which orbit file serves which scene: chosen once, noted in the plan, taken again on resuming."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cube.readers.orbit import OrbitFile, find_orbit, named_orbit
from cube.readers.passes import Pass
from cube.readers.scene import Scene

__all__ = ["with_named_orbits", "with_orbits"]


def with_orbits(passes: list[Pass], place: Path | None) -> tuple[list[Pass], list[tuple[str, ...]]]:
    """Passes whose files know their orbit file, and its name for each scene of each pass.

    Raises
    ------
    SourceError
        A scene has no orbit file in `place`.
    """
    if place is None:
        return passes, [()] * len(passes)
    found = [
        [find_orbit(place, scene.platform, scene.start, scene.stop) for scene in one.scenes]
        for one in passes
    ]
    return (
        [_given(one, files) for one, files in zip(passes, found, strict=True)],
        [tuple(file.name for file in files) for files in found],
    )


def with_named_orbits(one: Pass, names: tuple[str, ...], place: Path | None) -> Pass:
    """Pass whose files know the orbit files that were noted for it.

    Raises
    ------
    SourceError
        One of them is gone.
    """
    if place is None:
        return one
    return _given(one, [named_orbit(place, name) for name in names])


def _given(one: Pass, files: list[OrbitFile]) -> Pass:
    scenes = zip(one.scenes, files, strict=True)
    return replace(one, scenes=tuple(_with_orbit(scene, str(file.path)) for scene, file in scenes))


def _with_orbit(scene: Scene, path: str) -> Scene:
    return replace(
        scene, files=tuple((name, replace(files, orbit=path)) for name, files in scene.files)
    )
