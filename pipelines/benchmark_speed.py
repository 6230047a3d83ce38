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
from odc.geo.geobox import GeoBox

from cube.kernels.geocode import image_coordinates
from cube.kernels.lee_sigma import lee_sigma, z98
from cube.kernels.radiometry import calibrate
from cube.readers.annotation import read_annotation
from cube.readers.calibration import read_radiometry
from cube.readers.dem import Dem, open_dem
from cube.readers.scene import open_annotation
from cube.readers.window import Window
from cube.steps.backscatter import PassSource, backscatter
from cube.steps.heights import node_lonlat
from cube.steps.relief import Reach, reach_of, read_relief
from cube.steps.sight import incidence_limits, look
from cube.steps.terrain import Exclusion, Surface, surface_layers
from pipelines.benchmark_scene import Kept, MadeScene, hills, make_scene, write_hills

__all__ = ["JOBS", "cpu_model", "flattening", "measure", "seconds"]

_ROUNDS = 5
_LEAST_S = 0.05  # a round is so long at least, or the clock's steps would show

Job = tuple[Callable[[], object], int]
"""What is done, and how many pixels it makes."""


def _calibration(scene: MadeScene) -> Job:
    """Numbers to sigma nought, thermal noise removed, a window of the image in memory."""
    tables = read_radiometry(scene.files.calibration, scene.files.noise, "sigma0")
    line, sample, numbers = scene.numbers(2048, 2048)
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
    height = Kept(hills(Window(0, 0, 2048, 2048)))
    source = PassSource(grid, height, ((scene.files,),), "sigma0")
    lazy = backscatter(source, 2048)
    return lambda: lazy.compute(scheduler="synchronous"), 2048 * 2048


def _copy(scene: MadeScene) -> Job:
    """Numbers to float32 and nothing else: what a pass over memory takes, the limit of all."""
    _, _, numbers = scene.numbers(2048, 2048)
    return lambda: numbers.astype("float32"), numbers.size


def _flattened(scene: MadeScene) -> Job:
    """File of numbers to a terrain-flattened block with its masks, with heights at hand.

    Illuminated area, layover and shadow of the block with its halo, then beta nought as in a build.
    The stages hand the ratio of areas over in memory, not on disk.
    """
    work = flattening(scene, 2048)
    return work, 2048 * 2048


def flattening(scene: MadeScene, size: int) -> Callable[[], NDArray[np.float32]]:
    """What gives a terrain-flattened block of that size over hills, with all around it."""
    grid, _, reach = _hilly(scene, size)
    block = slice(size, 2 * size), slice(size, 2 * size)
    rows, cols = reach.window(*block)
    around = Window(rows.start - size, cols.start - size, rows.stop - size, cols.stop - size)
    height = hills(around)
    own = Kept(hills(Window(0, 0, size, size)))
    imaged = np.ones((size, size), "bool")

    def work() -> NDArray[np.float32]:
        seen = look(grid, (rows, cols), block, height, (scene.files,), imaged)
        ratio = Kept(seen.ratio)
        source = PassSource(grid[block], own, ((scene.files,),), "gamma0_rtc", ratio=ratio)
        flat: NDArray[np.float32] = backscatter(source, size).compute(scheduler="synchronous")
        return flat

    return work


def _surface(scene: MadeScene) -> Job:
    """A block of the layers that all passes of a track share, from a DEM of 10 m on disk.

    Heights, slopes, incidence angles, masks and the ratio of areas; once for all passes.
    """
    size = 2048
    grid, dem, reach = _hilly(scene, size)
    tracks = ((1, (scene.files,)),)
    surface = Surface(grid, dem, None, None, tracks, Exclusion(10.0, 15.0), flattened=True)
    layers = surface_layers(surface, reach).blocks[:, 1, 1]
    return lambda: layers.compute(scheduler="synchronous"), size * size


def _hilly(scene: MadeScene, size: int) -> tuple[GeoBox, Dem, Reach]:
    """Map of three by three blocks over hills, their DEM and the blocks' halos."""
    grid = scene.grid(3 * size)
    dem = open_dem(str(write_hills(scene, size, scene.safe.parent / "hills.tif")), "ellipsoid")
    limits = incidence_limits(open_annotation(scene.files))
    return grid, dem, reach_of(read_relief(grid, dem), grid, size, limits)


def _lee_sigma(scene: MadeScene) -> Job:
    """Speckle filter of an image in memory."""
    image = np.random.default_rng(0).gamma(4.4, 0.1 / 4.4, (2048, 2048)).astype("float32")
    bright = z98(image)
    return lambda: lee_sigma(image, bright), image.size


JOBS: dict[str, Callable[[MadeScene], Job]] = {
    "copy": _copy,
    "calibration": _calibration,
    "geometry": _geometry,
    "geometric_correction": _geometric_correction,
    "flattened": _flattened,
    "surface": _surface,
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
