"""What a plan costs on this machine: block, workers, memory, bytes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from cube.chunks import block_counts
from cube.errors import PlanError
from cube.grid import crs_of, shape_of, target_grid
from cube.readers.access import is_remote
from cube.readers.passes import Pass
from cube.readers.remote import CACHE_BYTES
from cube.schema import CHUNK, cube_variables
from cube.steps.relief import MOST_HALO, STEP, reach_of, read_relief
from pipelines.layers import Tiled
from pipelines.request import Request, Resolved

__all__ = [
    "BASE_BYTES",
    "BLOCK",
    "block_within",
    "network_memory",
    "parse_size",
    "peak_memory",
    "run_of",
]

_SCHEDULER = re.compile(r"^(threads|processes|((tcp|tls|wss?|ucx)://)?[^/\s]+:\d+)$")
BLOCK = 2048
SAMPLE_M = 10.0
"""Pixel spacing of IW GRDH."""
BASE_BYTES = 560 * 2**20
"""Resident size of a process with the libraries imported, the kernels loaded, annotations and
tables parsed and an allocator's slack."""
_FETCHED = {"grd": 1.6, "rtc": 5.5, "slc": 12.0}
"""Bytes over the network for each pixel, pass and polarisation, measured on compressed tiles of 512
pixels: amplitudes of 16 bit take 1.3 to 1.5 with what blocks at the edge fetch in vain, power of 32
bit takes 3.5 for each of up to 25 tiles that a block of 16 touches; complex samples take 4 for each
of two or three samples of a pixel, and are not compressed."""
WIDE_BYTES, INNER_BYTES = 40, 25
"""Peak of the surface stage, per pixel of a block with its halo and of the block itself: heights,
the radar plane, cells, rays and what is lit; layers of two tracks. Measured with halos of 96 to 768
pixels over ground that hides other ground."""
TRACK_BYTES = 8
"""Layers of one more track, per pixel of a block."""
PLACE_BYTES, SINGLE_LOOK_BYTES = 64, 36
"""Peak of complex images per pixel of a block: places in the radar image of the pass and of the one
that cuts the bursts, and samples of the window around it of 10 m pixels, on disk 4 bytes each.
Measured on a whole scene: 1.30 GB met where 1.53 are foretold (10 m), 1.23 of 1.89 (40 m)."""
MODE_ANGLES = {"IW": (29.0, 46.5), "EW": (18.0, 47.5)}
"""Incidence angles of the modes (Sentinel-1 Product Definition, S1-RS-MDA-52-7440, section 3.2);
the stripmap beams together have 18 to 47 degrees."""
_ANY_ANGLE = (17.0, 48.0)
BYTES_PER_PIXEL = 80
"""Peak per pixel of a compute block and thread, by the stage that needs most: flood classes, which
hold VV and VH of a pass and of its reference and the water model's means of both (60), with what
the allocator keeps of earlier blocks (12) and a tenth to spare. The median of ten passes takes 54,
image coordinates with their window of radar samples 38. Measured on a whole scene; a small area
stays a third below.
"""

NETWORK_BYTES = 850 * 2**20
"""Resident size of a process with torch, and what one network holds of a tile of 1024 pixels: 706
MB without the store, met in blocks of 512 to 2048."""
TORCH_BYTES = 250 * 2**20
"""What torch adds to the process of the other stages."""
NETWORK_BYTES_PER_PIXEL, NETWORK_HALO = 150, 112
"""Peak per pixel of a block with its halo and thread: bands of a pass and its reference, their
channels, logits and layers. 119 to 131 were met with two dates; the halo is the default model's."""


def run_of(
    request: Request,
    resolved: Resolved,
    polarisations: tuple[str, ...],
    layers: tuple[str, ...],
    passes: tuple[Pass, ...],
) -> dict[str, Any]:
    """How a plan is run on this machine, and what it costs.

    Parameters
    ----------
    request : Request
    resolved : Resolved
    polarisations, layers : tuple of str
        What is planned for every pass.
    passes : tuple of Pass

    Raises
    ------
    PlanError
        Workers, scheduler or memory that cannot be.
    """
    workers = request.workers if request.workers is not None else os.cpu_count() or 1
    if workers < 1:
        raise PlanError(f"--workers {workers}; give at least 1")
    if not _SCHEDULER.match(request.scheduler):
        raise PlanError(
            f"--scheduler {request.scheduler!r}: choose threads, processes or HOST:PORT"
        )
    threads = 1 if request.scheduler != "threads" else workers
    limit = parse_size(request.memory_limit) if request.memory_limit else 3 * 10**9
    scenes = [scene for one in passes for scene in one.scenes]
    remote = any(is_remote(files.measurement) for scene in scenes for _, files in scene.files)
    # a block of coarse pixels looks at many radar samples; of a product on the map, at an overview
    spacing = SAMPLE_M if resolved.product == "rtc" else _spacing(resolved.grid)
    extra = TRACK_BYTES * max(len({one.track for one in passes}) - 2, 0)
    halo_of = _halo_of(resolved, {scene.mode for scene in scenes})
    block, peak = block_within(
        shape_of(resolved.grid),
        limit,
        lambda block: max(
            peak_memory(
                block,
                threads,
                spacing,
                CACHE_BYTES if remote else 0,
                halo_of(block),
                extra,
                len(polarisations) if resolved.product == "slc" else 0,
            )
            + (TORCH_BYTES if resolved.network else 0),
            network_memory(block, threads) if resolved.network else 0,
        ),
    )
    pixels = int(np.prod(resolved.grid.shape))
    variables = cube_variables(polarisations, resolved.backscatter, frozenset(layers))
    sizes = {"time": len(passes), "track": len({one.track for one in passes})}
    written = sum(
        np.dtype(variable.dtype).itemsize
        * pixels
        * int(np.prod([sizes.get(dim, 1) for dim in variable.dims]))
        for variable in variables
    )
    archives = [scene for scene in scenes if scene.archive is not None]
    return {
        "source": resolved.source,
        "out": str(resolved.out),
        "scheduler": request.scheduler,
        "workers": workers,
        "block": block,
        "blocks": list(block_counts(shape_of(resolved.grid), block)),
        "bytes_source": sum(scene.size for scene in scenes),
        "bytes_fetched": int(_FETCHED[resolved.product] * pixels * len(polarisations) * len(passes))
        if remote
        else 0,
        "bytes_unpacked": sum(scene.size for scene in archives),
        "bytes_written": int(written),
        "peak_memory_per_worker": peak,
        "memory_limit": limit,
        "other_areas": _other_areas(request, resolved),
    }


def _other_areas(request: Request, resolved: Resolved) -> dict[str, list[int]]:
    """Grid sizes of the event's other areas, so that a plan shows the whole."""
    if resolved.event is None:
        return {}
    resolution = request.resolution or resolved.preset.resolution
    return {
        aoi.name: list(
            shape_of(target_grid(aoi.bbox, request.crs or resolved.preset.crs, resolution))
        )
        for aoi in resolved.event.aois
        if aoi.bbox is not None and aoi.bbox != resolved.bbox
    }


def peak_memory(
    block: int,
    threads: int,
    spacing: float,
    cache: int = 0,
    halo: int = 96,
    extra: int = 0,
    single_look: int = 0,
) -> int:
    """Predicted peak resident bytes of a worker process.

    Parameters
    ----------
    block, threads : int
    spacing : float
        Metres between pixels: coarse ones look at several radar samples.
    cache : int
        Bytes of remote files that are kept.
    halo : int
        Pixels of ground around a block that the surface stage looks at.
    extra : int
        Bytes of layers per pixel, beyond those of two tracks.
    single_look : int
        Polarisations of complex images, which take the place of detected ones.
    """
    samples = max((spacing / SAMPLE_M) ** 2, 1)
    per_pixel = BYTES_PER_PIXEL + 15 * (samples - 1)
    if single_look:
        per_pixel = PLACE_BYTES + 8 * single_look + SINGLE_LOOK_BYTES * samples
    wide = block + 2 * halo + STEP
    surface = WIDE_BYTES * wide * wide + (INNER_BYTES + extra) * block * block
    return int(BASE_BYTES + cache + threads * max(block * block * per_pixel, surface))


def network_memory(block: int, threads: int) -> int:
    """Predicted peak resident bytes of a worker process that applies a network of the catalog."""
    wide = block + 2 * NETWORK_HALO
    return NETWORK_BYTES + threads * NETWORK_BYTES_PER_PIXEL * wide * wide


def _halo_of(resolved: Resolved, modes: set[str]) -> Callable[[int], int]:
    """Largest halo of a layout, by its block.

    A DEM that is still in an endpoint's tiles is not read for a plan: any relief is then assumed.
    """
    if resolved.product == "rtc":
        return lambda block: 1
    if isinstance(resolved.dem, Tiled):
        return lambda block: MOST_HALO
    relief = read_relief(resolved.grid, resolved.dem)
    angles = [MODE_ANGLES.get(mode, _ANY_ANGLE) for mode in modes]
    limits = min(low for low, _ in angles), max(high for _, high in angles)
    return lambda block: max(map(max, reach_of(relief, resolved.grid, block, limits).halos))


def _spacing(grid: GeoBox) -> float:
    """Larger side of a grid's pixels in metres, roughly: degrees count as fine."""
    if crs_of(grid).geographic:
        return SAMPLE_M
    return float(max(abs(grid.affine.a), abs(grid.affine.e)))


def block_within(
    shape: tuple[int, int], limit: int, peak_of: Callable[[int], int]
) -> tuple[int, int]:
    """Largest block whose peak, as `peak_of` foretells it, stays below the limit, and that peak.

    Raises
    ------
    PlanError
        The smallest does not.
    """
    needed = -(-max(shape) // CHUNK) * CHUNK
    for size in (BLOCK, 1536, 1024, CHUNK):
        block = min(size, needed)
        peak = peak_of(block)
        if peak <= limit:
            return block, peak
    raise PlanError(
        f"--memory-limit {limit / 1e9:.2f} GB is less than the {peak / 1e9:.2f} GB that a worker"
        " needs for its smallest block; give more, or fewer --workers"
    )


def parse_size(content: str) -> int:
    """Bytes of a size such as ``2GB``, ``1.5 GiB`` or ``800MB``.

    Examples
    --------
    >>> parse_size("2GB"), parse_size("1 KiB")
    (2000000000, 1024)
    """
    from dask.utils import parse_bytes

    try:
        return int(parse_bytes(content))
    except ValueError as error:
        raise PlanError(f"{content!r} is not a size; give for example 2GB") from error
