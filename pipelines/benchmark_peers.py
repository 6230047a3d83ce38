"""The same work by other people's software, in processes of their own: CPU-seconds and memory.

``python -m pipelines.benchmark_peers JOB JSON`` does one job and prints what it cost.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from cube.errors import PlanError, SourceError
from cube.readers.window import Window
from pipelines.benchmark_scene import Kept, MadeScene, hills, make_scene
from pipelines.benchmark_speed import cpu_model, seconds

__all__ = ["compare"]

_PEERS = {
    "calibration": "xarray_sentinel",
    "geometric_correction": "sarsen",
    "flattened": "sarsen",
}
_SIZES = (512, 2048)
"""Sides of two maps: sarsen's cost is their difference, without what opening a product takes."""
_CALIBRATED = 3072, 21_504  # a seventh of a scene: the peer expands its tables to the window
_ROUNDS = 3
_LIMIT_S = 1800


def compare(product: Path) -> dict[str, Any]:
    """Give both the same numbers, tables and heights, and measure.

    Parameters
    ----------
    product : Path
        GRD with its tables; its pixels are not looked at.

    Returns
    -------
    dict
        For each job what ours and the peer took: ``mpix_per_cpu_s``, ``cpu_s``, ``pixels``,
        ``mean`` of what came out, ``peak_bytes`` of the process and ``grown_bytes`` beyond what it
        held before the work; and the ratios.

    Raises
    ------
    PlanError
        The peers are not installed.
    """
    missing = [
        name for name in dict.fromkeys(_PEERS.values()) if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise PlanError(
            f"--peers needs {', '.join(missing).replace('_', '-')}; pip install 'floodcube[peers]'"
        )
    with tempfile.TemporaryDirectory(prefix="floodcube-") as folder:
        scene = make_scene(product, Path(folder))
        jobs = {
            name: _compared(
                {who: _cost(name, scene, Path(folder), who) for who in ("ours", peer)}, peer
            )
            for name, peer in _PEERS.items()
        }
    return {"cpu": cpu_model(), **jobs}


def _compared(found: dict[str, dict[str, float]], peer: str) -> dict[str, Any]:
    ours, theirs = found["ours"], found[peer]
    return {
        "peer": peer.replace("_", "-"),
        "ours": ours,
        "theirs": theirs,
        "cpu_ratio": ours["mpix_per_cpu_s"] / theirs["mpix_per_cpu_s"],
        "memory_ratio": theirs["grown_bytes"] / max(ours["grown_bytes"], 1.0),
    }


def _cost(job: str, scene: MadeScene, folder: Path, who: str) -> dict[str, float]:
    """What a job costs.

    Calibration is sigma nought of a window; ours removes noise besides, which the peer does not.
    Correction is beta nought, and flattened gamma nought, on a map, sampled bilinearly by ours and
    at the nearest pixel by the peer: each as it comes. Ours makes masks and angles besides.
    """
    if job == "calibration":
        done = _run(job, scene, folder, who, 0)
        return {**done, "mpix_per_cpu_s": done["pixels"] / 1e6 / done["cpu_s"]}
    large = _run(job, scene, folder, who, _SIZES[1])
    if who == "ours":
        return {**large, "mpix_per_cpu_s": large["pixels"] / 1e6 / large["cpu_s"]}
    small = _run(job, scene, folder, who, _SIZES[0])
    rate = (large["pixels"] - small["pixels"]) / 1e6 / (large["cpu_s"] - small["cpu_s"])
    return {**large, "small_cpu_s": small["cpu_s"], "mpix_per_cpu_s": rate}


def _run(job: str, scene: MadeScene, folder: Path, who: str, size: int) -> dict[str, float]:
    """One job in a process of its own."""
    what = {"safe": str(scene.safe), "folder": str(folder), "who": who, "size": size}
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.benchmark_peers", job, json.dumps(what)],
        capture_output=True,
        text=True,
        check=False,
        timeout=_LIMIT_S,
        env={**os.environ, "PROJ_NETWORK": "OFF"},
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise SourceError(f"{job} by {who} failed: {last[:300]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


# --- in the process of its own


def _main(job: str, what: dict[str, Any]) -> dict[str, float]:
    warnings.simplefilter("ignore")
    work = _WORK[job, what["who"]](what)
    held, began = _memory("VmRSS"), time.process_time()
    values = work()
    cpu, peak = time.process_time() - began, _memory("VmHWM")
    if what["who"] != "sarsen":  # short enough to be repeated, so that compiling does not count
        cpu = median(seconds(work, _ROUNDS))
    return {
        "cpu_s": cpu,
        "pixels": float(values.size),
        "mean": float(np.nanmean(values, dtype="float64")),
        "peak_bytes": float(peak),
        "grown_bytes": float(peak - held),
    }


def _memory(name: str) -> int:
    # not ru_maxrss, which a process takes over from the one that started it
    with Path("/proc/self/status").open() as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith(name))


def _scene(what: dict[str, Any]) -> MadeScene:
    from pipelines.benchmark_scene import open_scene

    return open_scene(Path(what["safe"]))


def _our_calibration(what: dict[str, Any]) -> Callable[[], Any]:
    from cube.kernels.radiometry import calibrate
    from cube.readers.calibration import read_radiometry

    scene = _scene(what)
    tables = read_radiometry(scene.files.calibration, scene.files.noise, "sigma0")
    line, sample, numbers = scene.numbers(*_CALIBRATED)
    calibrate(numbers[:8, :8].copy(), line, sample, tables)
    return lambda: calibrate(numbers, line, sample, tables)


def _their_calibration(what: dict[str, Any]) -> Callable[[], Any]:
    import xarray as xr
    import xarray_sentinel

    scene = _scene(what)
    line, sample, numbers = scene.numbers(*_CALIBRATED)
    name = f"{scene.safe.name.split('_')[1]}/{scene.polarisation.upper()}"
    product = xr.open_dataset(scene.safe, engine="sentinel-1", group=name)
    table = xr.open_dataset(scene.safe, engine="sentinel-1", group=f"{name}/calibration")
    window = product.measurement.isel(
        azimuth_time=slice(line, line + numbers.shape[0]),
        ground_range=slice(sample, sample + numbers.shape[1]),
    ).copy(data=numbers)
    gain = table.sigmaNought.load()
    return lambda: xarray_sentinel.calibrate_intensity(window, gain).values


def _our_correction(what: dict[str, Any]) -> Callable[[], Any]:
    from cube.steps.backscatter import PassSource, backscatter

    scene, size = _scene(what), what["size"]
    height = Kept(hills(Window(0, 0, size, size)))
    source = PassSource(scene.grid(size), height, ((scene.files,),), "beta0")
    lazy = backscatter(source, size)
    return lambda: lazy.compute(scheduler="synchronous")


def _our_flattening(what: dict[str, Any]) -> Callable[[], Any]:
    from pipelines.benchmark_speed import flattening

    return flattening(_scene(what), what["size"])


def _their_flattening(what: dict[str, Any]) -> Callable[[], Any]:
    return _their_correction(what, correct_radiometry="gamma_nearest")


def _their_correction(what: dict[str, Any], **options: Any) -> Callable[[], Any]:
    import rasterio
    import sarsen

    scene, size = _scene(what), what["size"]
    grid = scene.grid(size)
    dem, out = (Path(what["folder"]) / f"{name}-{size}.tif" for name in ("dem", "gtc"))
    with rasterio.open(
        dem, "w", driver="GTiff", dtype="float32", count=1, height=size, width=size,
        crs=str(grid.crs), transform=grid.affine,
    ) as file:  # fmt: skip
        file.write(hills(Window(0, 0, size, size)), 1)
    name = f"{scene.safe.name.split('_')[1]}/{scene.polarisation.upper()}"

    def work() -> Any:
        product = sarsen.Sentinel1SarProduct(str(scene.safe), name)
        sarsen.terrain_correction(product, dem_urlpath=str(dem), output_urlpath=str(out), **options)
        with rasterio.open(out) as file:
            return file.read(1)

    return work


_WORK: dict[tuple[str, str], Callable[[dict[str, Any]], Callable[[], Any]]] = {
    ("calibration", "ours"): _our_calibration,
    ("calibration", "xarray_sentinel"): _their_calibration,
    ("geometric_correction", "ours"): _our_correction,
    ("geometric_correction", "sarsen"): _their_correction,
    ("flattened", "ours"): _our_flattening,
    ("flattened", "sarsen"): _their_flattening,
}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(_main(sys.argv[1], json.loads(sys.argv[2]))) + "\n")
