"""How many pixels a kernel does in a second of one core."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from cube.grid import shape_of
from cube.kernels.geocode import image_coordinates
from cube.kernels.lee_sigma import lee_sigma, z98
from cube.kernels.radiometry import calibrate
from cube.readers.annotation import read_annotation
from cube.readers.calibration import read_radiometry
from cube.steps.backscatter import PassSource, backscatter
from cube.steps.heights import node_lonlat
from pipelines.benchmark_scene import Hills, MadeScene, make_scene

__all__ = ["JOBS", "measure"]

_ROUNDS = 5
_LEAST_S = 0.05  # a round is so long at least, or the clock's steps would show

Job = tuple[Callable[[], object], int]
"""What is done, and how many pixels it makes."""


def _calibration(scene: MadeScene) -> Job:
    """Numbers to sigma nought without noise, a window of the image in memory."""
    tables = read_radiometry(scene.files.calibration, scene.files.noise, "sigma0")
    line, sample, numbers = scene.numbers(2048)
    return lambda: calibrate(numbers, line, sample, tables), numbers.size


def _geometry(scene: MadeScene) -> Job:
    """Line and sample of a tile of the map."""
    annotation = read_annotation(scene.files.annotation)
    grid = scene.grid(512)
    lon, lat = node_lonlat(grid, slice(0, 512), slice(0, 512))
    height = np.random.default_rng(0).uniform(0, 1500, (512, 512)).astype("float32")
    return (
        lambda: image_coordinates(annotation.orbit, annotation.image, lon, lat, height),
        height.size,
    )


def _geometric_correction(scene: MadeScene) -> Job:
    """File of numbers to a block of the map, as a build does it, with heights at hand."""
    grid = scene.grid(2048)
    source = PassSource(grid, Hills(shape_of(grid)), ((scene.files,),), "sigma0")
    lazy = backscatter(source, 2048)
    return lambda: lazy.compute(scheduler="synchronous"), 2048 * 2048


def _lee_sigma(scene: MadeScene) -> Job:
    """Speckle filter of an image in memory."""
    image = np.random.default_rng(0).gamma(4.4, 0.1 / 4.4, (2048, 2048)).astype("float32")
    bright = z98(image)
    return lambda: lee_sigma(image, bright), image.size


JOBS: dict[str, Callable[[MadeScene], Job]] = {
    "calibration": _calibration,
    "geometry": _geometry,
    "geometric_correction": _geometric_correction,
    "lee_sigma": _lee_sigma,
}
"""What is measured; each is given a scene whose pixels are there around the middle."""


def measure(product: Path, rounds: int = _ROUNDS) -> dict[str, Any]:
    """Measure every job on a product's annotation and tables.

    Parameters
    ----------
    product : Path
        GRD, with its calibration and noise tables; its pixels are not looked at.
    rounds : int

    Returns
    -------
    dict
        ``cpu``, ``rounds``, and ``mpix_per_cpu_s`` for each job: medians, one core, without what
        compilation takes.
    """
    with tempfile.TemporaryDirectory(prefix="floodcube-") as folder:
        scene = make_scene(product, Path(folder))
        rates = {name: _rate(*prepare(scene), rounds) for name, prepare in JOBS.items()}
    return {"cpu": cpu_model(), "rounds": rounds, "mpix_per_cpu_s": rates}


def _rate(work: Callable[[], object], pixels: int, rounds: int) -> float:
    """Megapixels per CPU-second, the median of some rounds."""
    return pixels / 1e6 / median(seconds(work, rounds))


def seconds(work: Callable[[], object], rounds: int) -> list[float]:
    """CPU-seconds that some work takes, in rounds long enough to be measured."""
    work()  # compiled, tables parsed, files in the page cache
    began = time.process_time()
    work()
    repeat = max(1, int(_LEAST_S / max(time.process_time() - began, 1e-6)))
    found = []
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(repeat):
            work()
        found.append((time.process_time() - began) / repeat)
    return found


def cpu_model() -> str:
    """Name of the processor, as Linux knows it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return "unknown"
