"""Complex images of a cube's passes: their files, what is checked of them, and where they lay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from cube.errors import PlanError
from cube.grid import pixel_to_map, shape_of, to_lonlat
from cube.kernels.doppler import zero_doppler
from cube.kernels.ellipsoid import SPEED_OF_LIGHT, to_ecef
from cube.readers.passes import Pass
from cube.readers.scene import Files
from cube.readers.slc import amplitude_gain, open_samples
from cube.steps.slc import SlcSource, Slice, bursts_over, images_of
from cube.store.layers import StoredLayer
from cube.store.write import Target
from pipelines.plan import Plan

__all__ = [
    "check_product",
    "check_tracks",
    "references_of",
    "sampling_of",
    "sensor_positions",
    "single_look_source",
    "slices_of",
    "targets_of",
]


def slices_of(one: Pass, polarisations: tuple[str, ...]) -> tuple[Slice, ...]:
    """Products of a pass, each as its sub-swaths' files.

    Raises
    ------
    PlanError
        A product has no sub-swath with all the polarisations.
    """
    found = []
    for scene in one.scenes:
        swaths = scene.swaths(polarisations)
        if not swaths:
            raise PlanError(
                f"{scene.id}: no sub-swath with {', '.join(polarisations)}; leave the product out"
            )
        found.append(swaths)
    return tuple(found)


def check_product(product: Slice) -> None:
    """Read every annotation and open every measurement of a product once.

    Raises
    ------
    SourceError
        One is missing, malformed, or lacks what it is needed for.
    """
    for files, images in zip(product, images_of(product), strict=True):
        first = images[0]
        for one, image in zip(files, images, strict=True):
            amplitude_gain(one)
            open_samples(one, image).check()
            if [burst.number for burst in image.bursts] != [burst.number for burst in first.bursts]:
                raise PlanError(
                    f"{one.annotation}: bursts {_numbers(image.bursts)}, {first.polarisation} of"
                    f" {first.swath} has {_numbers(first.bursts)}; download the product again"
                )


def _numbers(bursts: Sequence[object]) -> str:
    return ", ".join(str(getattr(burst, "number", "")) for burst in bursts)


def check_tracks(
    passes: tuple[Pass, ...], polarisations: tuple[str, ...], grid: GeoBox
) -> list[str]:
    """Compare the bursts of every pass with those of its track's reference; a line for what lacks.

    Raises
    ------
    PlanError
        A pass has none of the bursts that show the grid.
    """
    notes = []
    cut = {
        track: bursts_over(grid, slices_of(passes[at], polarisations))
        for track, at in references_of(passes, polarisations, grid).items()
    }
    for one in passes:
        slices = slices_of(one, polarisations)
        wanted = cut[one.track]
        held = {
            (burst.swath, burst.number)
            for product in slices
            for images in images_of(product)
            for burst in images[0].bursts
        }
        missing = [key for key in wanted if key not in held]
        name = f"{str(one.time)[:19]} {one.platform} orbit {one.track}"
        if not missing:
            continue
        lacks = ", ".join(f"{number} of {swath}" for swath, number in missing)
        if len(missing) == len(wanted):
            raise PlanError(
                f"pass {name}: lacks every burst that shows the grid ({lacks}); leave"
                f" {one.scenes[0].id} out"
            )
        notes.append(f"pass {name} lacks burst {lacks}: it has no data there")
    return notes


def references_of(
    passes: tuple[Pass, ...], polarisations: tuple[str, ...], grid: GeoBox
) -> dict[int, int]:
    """Index of the pass of each track whose seams all its passes are cut at.

    It is the first of those that show the grid with the most bursts: what it lacks, no pass shows.
    """
    counted = [len(bursts_over(grid, slices_of(one, polarisations))) for one in passes]
    return {
        track: max(
            (at for at, one in enumerate(passes) if one.track == track),
            key=lambda at: (counted[at], -at),
        )
        for track in sorted({one.track for one in passes})
    }


def single_look_source(
    plan: Plan,
    passes: tuple[Pass, ...],
    index: int,
    reference: int,
    grid: GeoBox,
    path: str,
    *,
    delay: bool,
) -> SlcSource:
    """What the complex images of a pass are made from, cut at the seams of another of its track."""
    return SlcSource(
        grid,
        StoredLayer(path, "dem"),
        slices_of(passes[index], plan.polarisations),
        slices_of(passes[reference], plan.polarisations),
        delay=delay,
        polar="phase_amplitude" in plan.layers,
    )


def targets_of(plan: Plan, index: int) -> list[Target]:
    """Variables of a pass, in the order of the bands of `cube.steps.slc.geocoded_slc`."""
    if "phase_amplitude" in plan.layers:
        return [
            Target(f"{kind}_{name.upper()}", index)
            for name in plan.polarisations
            for kind in ("Phase", "Ampl")
        ]
    return [Target(f"slc_{name}", index) for name in plan.polarisations]


def sampling_of(one: Pass, polarisations: tuple[str, ...], grid: GeoBox) -> dict[str, Any]:
    """Attributes that say how a grid samples complex images, in its middle.

    Returns
    -------
    dict
        ``pixel_steps``, lines that one pixel down and one to the right are, then samples; and
        ``spectrum``, bandwidth over sampling rate and window coefficient along lines and samples.
        What a window's independent looks are follows from both.
    """
    slices = slices_of(one, polarisations)
    height, width = shape_of(grid)
    corner = height / 2, width / 2
    row, col = corner[0] + np.array([0.0, 1.0, 0.0]), corner[1] + np.array([0.0, 0.0, 1.0])
    lon, lat = to_lonlat(grid)(*pixel_to_map(grid, col, row))
    points = to_ecef(lon, lat, 0.0)
    shown = bursts_over(grid, slices)
    swath = shown[len(shown) // 2][0] if shown else ""
    images = [image for image, *_ in images_of(slices[0])]
    image = next((image for image in images if image.swath == swath), images[0])
    time, slant = zero_doppler(image.orbit, points)
    delay = 2 / SPEED_OF_LIGHT * slant
    burst = image.bursts[0]
    line, sample = (time - 0.5 * delay) / burst.line_step_s, delay * burst.sampling_rate_hz
    steps = [[float(axis[1] - axis[0]), float(axis[2] - axis[0])] for axis in (line, sample)]
    return {"pixel_steps": steps, "spectrum": [list(one) for one in image.spectrum]}


def sensor_positions(
    passes: tuple[Pass, ...], polarisations: tuple[str, ...], grid: GeoBox
) -> NDArray[np.float64]:
    """Place of the satellite as it saw the middle of the grid, shape (passes, 3), metres.

    The middle is taken at height 0: 1 km of height moves a place by some metres along the track,
    and a baseline not at all.
    """
    height, width = shape_of(grid)
    x, y = pixel_to_map(grid, np.array([width / 2]), np.array([height / 2]))
    lon, lat = to_lonlat(grid)(x, y)
    point = to_ecef(lon, lat, 0.0)
    places = []
    for one in passes:
        files: Files = slices_of(one, polarisations)[0][0][0]
        orbit = images_of(((files,),))[0][0].orbit
        time, _ = zero_doppler(orbit, point)
        places.append(orbit.state(time)[0][0])
    return np.array(places)
