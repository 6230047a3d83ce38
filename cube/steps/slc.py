"""Geocoded single-look complex images of one pass: bursts deramped, sampled and flattened.

All passes of a track are cut where one of them, the reference, is: a pixel is taken from the same
burst at every date, or from none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from cube.chunks import pull_blocks
from cube.grid import pixel_to_map, shape_of, to_lonlat
from cube.kernels.burst_sampling import burst_bounds, sample_burst, sample_polar
from cube.kernels.doppler import ConvergenceError, zero_doppler
from cube.kernels.ellipsoid import SPEED_OF_LIGHT, to_ecef
from cube.kernels.geocode import range_doppler
from cube.kernels.orbit import Orbit
from cube.kernels.taps import TAPS
from cube.kernels.tops import Burst, Seams, burst_of, seams_of
from cube.readers.dem import Dem
from cube.readers.scene import Files
from cube.readers.slc import SlcImage, amplitude_gain, burst_window, open_samples, open_slc
from cube.readers.window import Window, WindowReader
from cube.steps.heights import by_tile, heights

__all__ = ["SlcSource", "Slice", "bursts_over", "geocoded_slc", "images_of"]

Slice = tuple[tuple[Files, ...], ...]
"""Files of one product: sub-swaths, each with the polarisations in the order asked."""
Float64 = NDArray[np.float64]
Place = tuple[Float64, Float64]
"""Zero-Doppler time and slant range of the pixels of a block."""
_MARGIN_S, _MARGIN_M = 0.05, 100.0
_LOOKED_AT = 65


@dataclass(frozen=True)
class SlcSource:
    """What the complex images of one pass are made from.

    Attributes
    ----------
    grid : GeoBox
    dem : Dem or WindowReader
        Heights are sampled from a DEM, or read where they are on the grid already.
    slices : tuple of Slice
        Products of the pass in order of time.
    reference : tuple of Slice
        Of the pass of its track whose bursts say where every pass is cut.
    delay : bool
        Whether echoes come late by a standard troposphere.
    polar : bool
        Whether phase and amplitude are sampled, as of Kuro Siwo, instead of complex samples.
    """

    grid: GeoBox
    dem: Dem | WindowReader
    slices: tuple[Slice, ...]
    reference: tuple[Slice, ...]
    delay: bool = False
    polar: bool = False

    @property
    def bands(self) -> int:
        """Polarisations; phase and amplitude of each where those are sampled."""
        return len(self.slices[0][0]) * (2 if self.polar else 1)


def images_of(product: Slice) -> list[tuple[SlcImage, ...]]:
    """Annotations of a product, sub-swath by sub-swath, in the order of its files.

    All times count from one epoch, that of the first.
    """
    middle = next((files[0] for files in product if files[0].swath == "iw2"), None)
    epoch = open_slc(product[0][0], middle).epoch
    return [tuple(open_slc(one, middle).since(epoch) for one in files) for files in product]


def _seams(slices: tuple[Slice, ...]) -> list[tuple[Orbit, Seams]]:
    """Orbit of each product, and which part of its bursts is its own, in its own time.

    Bursts of neighbouring products are cut like those of one; of a burst that two of them hold the
    first is taken.
    """
    products = [[image for image, *_ in images_of(product)] for product in slices]
    epoch = products[0][0].epoch
    offsets = [float((one[0].epoch - epoch) / np.timedelta64(1, "ns")) * 1e-9 for one in products]
    owner: dict[tuple[str, int], int] = {}
    bursts: list[Burst] = []
    for number, product in enumerate(products):
        for image in product:
            bursts += [
                replace(burst, start_s=burst.start_s + offsets[number])
                for burst in image.bursts
                if owner.setdefault((burst.swath, burst.number), number) == number
            ]
    whole = seams_of(bursts)
    found = []
    for number, product in enumerate(products):
        image = product[0]
        rows = [at for at, key in enumerate(whole.keys) if owner[key] == number]
        bounds = whole.bounds[rows]
        bounds[:, :2] -= offsets[number]
        found.append((image.orbit, Seams(tuple(whole.keys[at] for at in rows), bounds)))
    return found


def bursts_over(grid: GeoBox, slices: tuple[Slice, ...]) -> list[tuple[str, int]]:
    """Sub-swath and number of the bursts of a pass that show part of a grid, taken at height 0."""
    height, width = shape_of(grid)
    col, row = np.meshgrid(np.linspace(0, width, _LOOKED_AT), np.linspace(0, height, _LOOKED_AT))
    lon, lat = to_lonlat(grid)(*pixel_to_map(grid, col, row))
    found: dict[tuple[str, int], None] = {}
    for orbit, seams in _seams(slices):
        with contextlib.suppress(ConvergenceError):
            index = np.full(col.shape, -1, "int16")
            burst_of(*zero_doppler(orbit, to_ecef(lon, lat, 0.0)), seams.bounds, index)
            found |= dict.fromkeys(seams.keys[at] for at in np.unique(index[index >= 0]))
    return list(found)


def _beyond(bounds: Float64) -> Callable[[Float64, Float64], bool]:
    """Whether all nodes of a tile lie beyond the same edge of what bursts show."""
    first, last = bounds[:, 0].min(), bounds[:, 1].max()
    near, far = bounds[:, 2].min(), bounds[:, 3].max()
    reference = bounds[0, 4]

    def misses(time: Float64, slant: Float64) -> bool:
        delay = 2 / SPEED_OF_LIGHT * slant
        line = time - 0.5 * (delay - reference)
        spread_s = 0.05 * np.ptp(line) + _MARGIN_S
        spread = 2 / SPEED_OF_LIGHT * (0.05 * np.ptp(slant) + _MARGIN_M)
        return bool(
            line.max() < first - spread_s
            or line.min() > last + spread_s
            or delay.max() < near - spread
            or delay.min() > far + spread
        )

    return misses


def _solved(
    source: SlcSource,
    slices: tuple[Slice, ...],
    rows: slice,
    cols: slice,
    surface: NDArray[np.float32],
) -> Iterator[tuple[Seams, Place | None]]:
    """Seams of each product of a pass, and zero-Doppler time and slant range of a block.

    NaN in tiles that none of its own bursts shows; None where it shows nothing at all.
    """
    for orbit, seams in _seams(slices):
        if not seams.keys:  # an earlier product holds all of its bursts
            yield seams, None
            continue
        solve = partial(_tile, orbit, _beyond(seams.bounds), source.delay)
        yield seams, by_tile(source.grid, rows, cols, surface, solve)


def _tile(
    orbit: Orbit,
    misses: Callable[[Float64, Float64], bool],
    delay: bool,
    lon: Float64,
    lat: Float64,
    height: NDArray[np.float32],
) -> Place | None:
    return range_doppler(orbit, lon, lat, height, misses, delay=delay)


def _block(rows: slice, cols: slice, source: SlcSource) -> NDArray[Any]:
    surface = heights(source.grid, rows, cols, source.dem)
    empty = (np.nan, "float32") if source.polar else (complex(np.nan, np.nan), "complex64")
    out: NDArray[Any] = np.full((source.bands, *surface.shape), *empty)
    cut: Iterable[tuple[Seams, Place | None]]
    own: Iterable[tuple[Seams, Place | None]]
    cut = _solved(source, source.reference, rows, cols, surface)
    if source.slices == source.reference:
        cut = own = list(cut)  # the pass cuts itself: what is solved serves twice
    else:
        own = _solved(source, source.slices, rows, cols, surface)
    index, shown = _burst_index(cut, surface.shape)
    for product, (_, place) in zip(source.slices, own, strict=True):
        if place is None:
            continue
        for files, images in zip(product, images_of(product), strict=True):
            for at, burst in enumerate(images[0].bursts):
                key = burst.swath, burst.number
                if key in shown:  # else nowhere in the block, or filled from an earlier product
                    _fill(files, images, at, place, index == shown.pop(key), out)
    return out


def _burst_index(
    cut: Iterable[tuple[Seams, Place | None]], shape: tuple[int, ...]
) -> tuple[NDArray[np.int16], dict[tuple[str, int], int]]:
    """Number of the burst that shows each pixel, negative for none, and numbers by burst."""
    keys: list[tuple[str, int]] = []
    index = np.full(shape, -1, "int16")
    for seams, place in cut:
        if place is not None:
            here = np.full(shape, -1, "int16")
            burst_of(*place, seams.bounds, here)
            index = np.where((index < 0) & (here >= 0), here + len(keys), index).astype("int16")
            keys += seams.keys
    return index, {keys[at]: at for at in np.unique(index[index >= 0])}


def _fill(
    files: tuple[Files, ...],
    images: tuple[SlcImage, ...],
    at: int,
    place: Place,
    chosen: NDArray[np.bool_],
    out: NDArray[Any],
) -> None:
    """Samples of one burst, in every polarisation."""
    polar = out.dtype == np.float32
    for number, (one, image) in enumerate(zip(files, images, strict=True)):
        burst = image.bursts[at]
        window = _window(burst, place, chosen)
        if window is None:
            return
        values = open_samples(one, image).read(burst_window(image, at, window))
        if polar:
            pair = out[2 * number], out[2 * number + 1]
            sample_polar(burst, values, window[:2], *place, chosen, pair)
        else:
            gain = 1 / amplitude_gain(one)
            sample_burst(burst, values, window[:2], image.taps, *place, chosen, gain, out[number])


def _window(burst: Burst, place: Place, chosen: NDArray[np.bool_]) -> Window | None:
    """Part of a burst that holds every tap of the chosen pixels."""
    low_line, high_line, low_sample, high_sample = burst_bounds(burst, *place, chosen)
    if not (low_line <= high_line and low_sample <= high_sample):
        return None
    window = Window(
        max(int(low_line) - TAPS, 0),
        max(int(low_sample) - TAPS, 0),
        min(int(high_line) + TAPS + 1, burst.lines),
        min(int(high_sample) + TAPS + 1, burst.samples),
    )
    return window if min(window.shape) >= TAPS else None


def geocoded_slc(source: SlcSource, block: int) -> da.Array:
    """Lazy complex images of one pass on the grid, one task per block.

    Every block solves the geometry of the pass and of its track's reference, reads one window for
    each burst that shows part of it, and samples it with `cube.kernels.burst_sampling`. Amplitudes
    are roots of beta nought. The phase of range is taken out, so that
    ``one * other.conj()`` of two passes is an interferogram flattened on the DEM. Thermal noise is
    part of complex samples and stays.

    Returns
    -------
    dask array, complex64, shape (polarisation, y, x)
        Or float32 phase and amplitude of each (see `SlcSource.polar`). NaN where no burst shows the
        pixel, the height is unknown, or the burst that does is not part of the pass. No value
        depends on the block layout.
    """
    return pull_blocks(
        _block,
        shape_of(source.grid),
        block,
        source.bands,
        "slc",
        "float32" if source.polar else "complex64",
        source=source,
    )
