"""How many pixels a kernel does in a second of one core."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cube.grid import shape_of
from cube.kernels.geocode import image_coordinates
from cube.kernels.lee_sigma import lee_sigma, z98
from cube.kernels.radiometry import calibrate
from cube.readers.annotation import read_annotation
from cube.readers.calibration import read_radiometry
from cube.readers.dem import open_dem
from cube.readers.scene import open_annotation
from cube.readers.window import Window
from cube.steps.backscatter import PassSource, backscatter
from cube.steps.heights import node_lonlat
from cube.steps.relief import reach_of, read_relief
from cube.steps.sight import incidence_limits
from cube.steps.terrain import Exclusion, Surface, surface_bands, surface_layers
from pipelines.benchmark_scene import Hills, MadeScene, make_scene, write_hills

__all__ = ["JOBS", "cpu_model", "flattening", "measure", "seconds"]

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


def _flattened(scene: MadeScene) -> Job:
    """File of numbers to a terrain-flattened block with its masks, halo included.

    Heights from a DEM of 30 m, illuminated area, layover, shadow, incidence angle and slopes, then
    beta nought as in a build. The stages hand the ratio of areas over in memory, not on disk.
    """
    work = flattening(scene, 2048)
    return work, 2048 * 2048


def flattening(scene: MadeScene, size: int) -> Callable[[], NDArray[np.float32]]:
    """What gives a terrain-flattened block of that size over hills, with all around it."""
    grid = scene.grid(3 * size)
    dem = open_dem(str(write_hills(scene, size, scene.safe.parent / "hills.tif")), "ellipsoid")
    surface = Surface(
        grid, dem, None, None, ((1, (scene.files,)),), Exclusion(10.0, 15.0), flattened=True
    )
    limits = incidence_limits(open_annotation(scene.files))
    reach = reach_of(read_relief(grid, dem), grid, size, limits)
    layers = surface_layers(surface, reach).blocks[:, 1, 1]
    at = [name for name, _ in surface_bands(surface)].index("rtc_anf")
    middle = slice(size, 2 * size)

    def work() -> NDArray[np.float32]:
        found = layers.compute(scheduler="synchronous")
        inner = grid[middle, middle]
        kept = _Kept(found[0]), _Kept(found[at])
        source = PassSource(inner, kept[0], ((scene.files,),), "gamma0_rtc", ratio=kept[1])
        flat: NDArray[np.float32] = backscatter(source, size).compute(scheduler="synchronous")
        return flat

    return work


class _Kept:
    """A layer in memory, read like one that is stored."""

    def __init__(self, values: NDArray[np.float32]) -> None:
        self._values = values
        self.shape = values.shape

    def read(self, window: Window) -> NDArray[np.float32]:
        """Part of the layer."""
        return self._values[window.line : window.line_stop, window.sample : window.sample_stop]


def _lee_sigma(scene: MadeScene) -> Job:
    """Speckle filter of an image in memory."""
    image = np.random.default_rng(0).gamma(4.4, 0.1 / 4.4, (2048, 2048)).astype("float32")
    bright = z98(image)
    return lambda: lee_sigma(image, bright), image.size


JOBS: dict[str, Callable[[MadeScene], Job]] = {
    "calibration": _calibration,
    "geometry": _geometry,
    "geometric_correction": _geometric_correction,
    "flattened": _flattened,
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
