"""Speckle filters on readers and on lazy arrays: halos and graphs, no arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import is_dask_collection
from numpy.typing import NDArray

from cube.errors import PlanError
from cube.kernels.lee_sigma import z98
from cube.kernels.speckle import FILTERS, Filter
from cube.readers.measurement import Near
from cube.readers.window import Window, WindowReader

__all__ = ["Filtered", "Speckle", "scene_z98", "speckle_filter"]

ENOUGH = 2**21
"""Samples that one percentile is taken from, at most: 8 MB, and 0.01 % of probability."""

PART = (512, 4096)
"""Lines and samples read at a time for a percentile: 13 MB of numbers and power; whole tiles."""


@dataclass(frozen=True)
class Speckle:
    """What filters the images of a pass.

    Attributes
    ----------
    name : str
        A filter of single images.
    options : tuple of (str, float)
        Its options that differ from their defaults.
    levels : tuple of tuples of float
        Of every slice and polarisation what ``lee-sigma`` takes for bright; empty for the others.
    """

    name: str
    options: tuple[tuple[str, float], ...] = ()
    levels: tuple[tuple[float, ...], ...] = ()


def _choose(name: str, given: Mapping[str, float]) -> tuple[Filter, dict[str, float], int]:
    """Filter of a name, all its options, and its halo."""
    if name not in FILTERS:
        raise PlanError(f"no speckle filter {name!r}; choose one of {', '.join(FILTERS)}")
    chosen = FILTERS[name]
    try:
        return chosen, chosen.options(given), chosen.halo(given)
    except ValueError as error:
        raise PlanError(f"speckle filter {name!r}: {error}") from error


def _stride(shape: tuple[int, int]) -> int:
    """Step in both axes that leaves at most `ENOUGH` samples of a part of an image."""
    step = 1
    while -(-shape[0] // step) * -(-shape[1] // step) > ENOUGH:
        step += 1
    return step


class Filtered:
    """An image without its speckle, read window by window; itself a reader.

    Every window is read with the filter's halo, so that what is read does not depend on it.

    Parameters
    ----------
    inner : WindowReader
        Linear power, NaN where missing; for example `cube.readers.scene.Calibrated`.
    name : str
        A filter of single images: ``boxcar``, ``lee``, ``refined-lee`` or ``lee-sigma``.
    z98 : float, optional
        What ``lee-sigma`` takes for bright, from `scene_z98`.
    **options : float
        Of the filter, for example ``looks`` and ``window``.

    Raises
    ------
    PlanError
        There is no such filter of single images, or its options are wrong or missing.
    """

    def __init__(
        self, inner: WindowReader, name: str, *, z98: float | None = None, **options: float
    ) -> None:
        chosen, settled, self.halo = _choose(name, options)
        if chosen.needs_time:
            raise PlanError(f"speckle filter {name!r} takes all dates together, not one image")
        if chosen.needs_z98 and z98 is None:
            raise PlanError(f"speckle filter {name!r} needs the image's z98; see scene_z98")
        if not chosen.needs_z98 and z98 is not None:
            raise PlanError(f"speckle filter {name!r} takes no z98; leave it out")
        self.inner = inner
        self.name = name
        self.shape = inner.shape
        self._arguments = settled if z98 is None else {**settled, "z98": float(z98)}

    def read(self, window: Window, near: Near | None = None) -> NDArray[np.float32]:
        """Filtered power of `window`; float32, shape ``window.shape``.

        `near` is what readers of measurements may be told to save work. It is not used here: a
        filter needs whole neighbourhoods.
        """
        lines, samples = self.shape
        wide = Window(
            max(window.line - self.halo, 0),
            max(window.sample - self.halo, 0),
            min(window.line_stop + self.halo, lines),
            min(window.sample_stop + self.halo, samples),
        )
        found = FILTERS[self.name].apply(self.inner.read(wide), **self._arguments)
        line, sample = window.line - wide.line, window.sample - wide.sample
        part = found[line : line + window.shape[0], sample : sample + window.shape[1]]
        return np.ascontiguousarray(part)


def scene_z98(reader: WindowReader, window: Window) -> float:
    """98th percentile of a part of an image, for ``lee-sigma``; see `cube.kernels.lee_sigma.z98`.

    Parameters
    ----------
    reader : WindowReader
        Linear power, NaN where missing.
    window : Window
        The part. Up to two million samples all count; of more, those on lines and samples of the
        image that a step divides. It is read in pieces, with less than 50 MB in memory.

    Returns
    -------
    float
        NaN where no sample is valid.
    """
    step = _stride(window.shape)
    found = [np.empty(0, np.float32)]
    for line in range(window.line // PART[0] * PART[0], window.line_stop, PART[0]):
        for sample in range(window.sample // PART[1] * PART[1], window.sample_stop, PART[1]):
            part = Window(
                max(line, window.line),
                max(sample, window.sample),
                min(line + PART[0], window.line_stop),
                min(sample + PART[1], window.sample_stop),
            )
            power = reader.read(part)[-part.line % step :: step, -part.sample % step :: step]
            found.append(power[~np.isnan(power)])
    return z98(np.concatenate(found))


def speckle_filter(
    image: xr.DataArray, name: str, *, z98: Any = None, **options: float
) -> xr.DataArray:
    """Filter the speckle of images; lazy where they are.

    Parameters
    ----------
    image : DataArray, dimensions y and x last or anywhere, and any others
        Linear power, NaN where missing. Every (y, x) image is filtered for itself, but by
        ``quegan``, which takes the dates of the dimension ``time`` together.
    name : str
        ``boxcar``, ``lee``, ``refined-lee``, ``lee-sigma`` or ``quegan``.
    z98 : float, DataArray or dask value, optional
        For ``lee-sigma``: what is bright, one number for all images or one for each. By default it
        is taken from each image, lazily where that is lazy: then no block can be filtered before
        all of its image is there, so give the number of `scene_z98` where images are large.
    **options : float
        ``looks`` (1), ``window`` (7), for ``lee-sigma`` also ``sigma`` (0.9) and ``target`` (3);
        what a filter does not know is refused.

    Returns
    -------
    DataArray, float32
        Name, dimensions, coordinates and attributes of `image`, and the attribute
        ``speckle_filter``. Chunks are those of `image`, but for ``quegan``, which joins all dates,
        and chunks smaller than the filter's halo, which are joined. No value depends on them.

    Raises
    ------
    PlanError
        There is no such filter, an option is wrong, a dimension is missing, or `image` is in
        decibels.
    """
    chosen, settled, reach = _choose(name, options)
    core = ("time", "y", "x") if chosen.needs_time else ("y", "x")
    _refuse(image, name, core)
    if z98 is not None and not chosen.needs_z98:
        raise PlanError(f"speckle filter {name!r} takes no z98; leave it out")
    ordered = image.transpose(..., *core)
    data = ordered.data
    arguments = [data]
    if chosen.needs_z98:
        arguments.append(_levels(data) if z98 is None else _given_levels(z98, ordered))
    filtered: Any
    if isinstance(data, da.Array):
        filtered = _lazy(arguments, len(core), reach, name, settled)
    else:
        filtered = _filter_block(*arguments, chosen=name, options=settled)
    text = f"{name} ({', '.join(f'{key} {value:g}' for key, value in settled.items())})"
    result = ordered.copy(data=filtered).transpose(*image.dims)
    return result.assign_attrs(speckle_filter=text)


def _refuse(image: xr.DataArray, name: str, core: tuple[str, ...]) -> None:
    if missing := [dim for dim in core if dim not in image.dims]:
        raise PlanError(
            f"speckle filter {name!r} needs the dimension {missing[0]!r}; the image has"
            f" {', '.join(map(str, image.dims))}"
        )
    units = str(image.attrs.get("units", ""))
    if units.strip().lower() == "db":
        raise PlanError("image is in dB; filter linear power, 10 ** (image / 10)")
    if image.dtype.kind not in "fiu":
        raise PlanError(f"image is {image.dtype}; filter real linear power")


def _filter_block(
    block: NDArray[Any],
    level: NDArray[np.float64] | None = None,
    *,
    chosen: str,
    options: Mapping[str, float],
) -> NDArray[np.float32]:
    """Filter every image, or stack of dates, of a block."""
    known = FILTERS[chosen]
    out = np.empty(block.shape, np.float32)
    for index in np.ndindex(block.shape[: -3 if known.needs_time else -2]):
        bright = {} if level is None else {"z98": float(level[index].item())}
        out[index] = known.apply(block[index], **bright, **options)
    return out


def _lazy(
    arguments: list[da.Array], core: int, reach: int, name: str, options: Mapping[str, float]
) -> da.Array:
    """Filter block by block, each with its halo."""
    data, *levels = arguments
    axes = data.ndim - 2, data.ndim - 1
    # what is no longer than the halo must be one block; what is one block needs no halo
    joined = [axis for axis in axes if data.shape[axis] <= reach]
    if core == 3:
        joined.append(data.ndim - 3)
    data = data.rechunk(dict.fromkeys(joined, -1)).astype(np.float32)
    depth = {
        axis: reach if axis in axes and data.numblocks[axis] > 1 else 0 for axis in range(data.ndim)
    }
    chunks = data.chunks[:-2]
    levels = [level.rechunk((*chunks, (1,), (1,))) for level in levels]
    filtered: da.Array = da.map_overlap(
        _filter_block,
        data,
        *levels,
        depth=[depth, *({axis: 0 for axis in depth} for _ in levels)],
        boundary=[dict.fromkeys(depth, np.nan), *(dict.fromkeys(depth, "none") for _ in levels)],
        dtype=np.float32,
        meta=np.empty((0,) * data.ndim, np.float32),
        chosen=name,
        options=options,
    )
    return filtered


def _level_block(block: NDArray[Any]) -> NDArray[np.float64]:
    """Percentile of every image of a block."""
    out = np.empty((*block.shape[:-2], 1, 1))
    for index in np.ndindex(block.shape[:-2]):
        out[index] = z98(block[index])
    return out


def _levels(data: Any) -> Any:
    """Percentile of every image; shape (..., 1, 1)."""
    step = _stride(data.shape[-2:])
    sample = data[..., ::step, ::step]
    if not isinstance(sample, da.Array):
        return _level_block(sample)
    sample = sample.rechunk({sample.ndim - 2: -1, sample.ndim - 1: -1})
    chunks = (*sample.chunks[:-2], (1,), (1,))
    meta = np.empty((0,) * sample.ndim)
    return da.map_blocks(_level_block, sample, chunks=chunks, dtype=np.float64, meta=meta)


def _given_levels(level: Any, image: xr.DataArray) -> Any:
    """Given percentiles in the shape (..., 1, 1) of an image's leading dimensions."""
    leading = dict(zip(image.dims[:-2], image.shape[:-2], strict=True))
    lazy = isinstance(image.data, da.Array)
    if is_dask_collection(level) and not lazy:
        raise PlanError("z98 is lazy and the image is not; give a number")
    if isinstance(level, xr.DataArray):
        given = xr.DataArray(level.variable)  # its coordinates need not be the image's
    elif is_dask_collection(level) and not isinstance(level, da.Array):
        given = xr.DataArray(da.from_delayed(level, (), np.float64))
    else:
        given = xr.DataArray(level)
    if any(leading.get(dim) != size for dim, size in given.sizes.items()):
        raise PlanError(f"z98 has {dict(given.sizes)}; the images are {leading}")
    missing = {dim: size for dim, size in leading.items() if dim not in given.dims}
    data = given.expand_dims(missing).transpose(*leading).data[..., None, None]
    return da.asarray(data) if lazy else data
