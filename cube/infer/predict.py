"""A network applied to a cube chunk by chunk, with the values that it has on the whole.

Each chunk is grown by as far as the network looks, in whole cells of its coarsest level counted
from the grid's origin, and trimmed afterwards: what a pixel gets does not depend on the chunks but
for the last bit or two of float32, as convolutions add up in another order at other sizes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from cube.errors import PlanError
from cube.infer.models import Card, Normaliser, open_network, read_card
from cube.infer.networks import UNet

__all__ = ["infer"]

_TILE = 1024


def infer(ds: xr.Dataset, model: str | Path) -> xr.Dataset:
    """Probability of each class of a model at every pixel.

    Parameters
    ----------
    ds : Dataset
        With the bands that the model's card names, linear power, dimensions y and x and any others
        (such as time); lazy or not, with or without coordinates.
    model : str or Path
        Folder of a model: ``card.toml`` and ``model.safetensors``.

    Returns
    -------
    Dataset
        `ds` with ``NAME_probability``, float32, for every class of the card: lazy where `ds` is,
        NaN where a band is.

    Raises
    ------
    CatalogError
        No such model, or weights that are not its.
    PlanError
        Bands missing, or not linear power.
    """
    folder = Path(model).absolute()
    card = read_card(folder)
    bands = _bands(ds, card)
    network = open_network(str(folder), card.sha256)
    options = {
        "folder": str(folder),
        "card": card,
        "stride": network.stride,
        "halo": -(-network.reach // network.stride) * network.stride,
    }
    found = xr.apply_ufunc(
        _probabilities,
        bands,
        input_core_dims=[["band"]],
        output_core_dims=[["class"]],
        kwargs=options,
        dask="allowed",
        keep_attrs=False,
    )
    added = {}
    for number, name in enumerate(card.classes):
        layer = found.isel({"class": number}, drop=True)
        attrs = {"long_name": f"probability of {name.replace('_', ' ')}", "units": "1"}
        attrs["model"] = f"{card.id}@{card.version}"
        added[f"{name}_probability"] = layer.assign_attrs(attrs)
    return ds.assign(added)


def _bands(ds: xr.Dataset, card: Card) -> xr.DataArray:
    """Bands in the card's order, y and x last but for the band."""
    missing = [name for name in card.bands if name not in ds]
    if missing:
        held = ", ".join(map(str, ds.data_vars)) or "nothing"
        raise PlanError(f"model {card.id} needs {', '.join(missing)}; the Dataset holds {held}")
    for name in card.bands:
        if str(ds[name].attrs.get("units", "1")).lower() in ("db", "decibel", "decibels"):
            raise PlanError(
                f"{name} is in decibels, model {card.id} takes linear power: give"
                f" 10 ** ({name} / 10)"
            )
        if {"y", "x"} - set(ds[name].dims):
            raise PlanError(
                f"{name} has dimensions {', '.join(map(str, ds[name].dims))}; needs y, x"
            )
    stacked = xr.concat([ds[name].drop_vars(ds[name].coords) for name in card.bands], "band")
    return stacked.transpose(..., "y", "x", "band")


def _probabilities(values: Any, **options: Any) -> Any:
    """Probabilities (..., y, x, class) of values (..., y, x, band)."""
    if not isinstance(values, da.Array):
        return _block(values, **options)
    stride, halo = options["stride"], options["halo"]
    axes = values.ndim - 3, values.ndim - 2
    chunks = {
        axis: (1,) * size if axis not in axes else _aligned(values.chunks[axis], stride, halo)
        for axis, size in enumerate(values.shape[:-1])
    }
    values = values.rechunk({**chunks, values.ndim - 1: -1})
    depth = {axis: halo if values.numblocks[axis] > 1 else 0 for axis in axes}
    wide = da.overlap.overlap(values, depth=depth, boundary="none")
    classes = len(options["card"].classes)
    found = da.map_blocks(
        _block,
        wide,
        dtype=np.float32,
        chunks=(*wide.chunks[:-1], (classes,)),
        meta=np.empty((0,) * values.ndim, np.float32),
        **options,
    )
    return da.overlap.trim_internal(found, depth, boundary="none")


def _aligned(sizes: tuple[int, ...], stride: int, halo: int) -> tuple[int, ...]:
    """Chunks whose edges are multiples of the stride and none of which is smaller than the halo."""
    length = sum(sizes)
    edges = [0]
    for edge in np.cumsum(sizes)[:-1]:
        edge = round(int(edge) / stride) * stride
        if edge - edges[-1] >= max(halo, 1) and length - edge >= max(halo, 1):
            edges.append(edge)
    return tuple(np.diff([*edges, length]).tolist())


def _block(
    values: NDArray[Any], *, folder: str, card: Card, stride: int, halo: int
) -> NDArray[np.float32]:
    """Probabilities of one block, whose first row and column are multiples of the stride."""
    height, width = values.shape[-3:-1]
    flat = values.reshape(-1, height, width, values.shape[-1]).astype("float32", copy=False)
    out = np.full((len(flat), height, width, len(card.classes)), np.nan, "float32")
    network = open_network(folder, card.sha256)
    for one, probability in zip(flat, out, strict=True):
        known = np.isfinite(one).all(axis=-1)
        if not known.any():
            continue
        if one[known].min() < 0:
            raise PlanError(
                f"model {card.id} takes linear power, found {one[known].min():g}; are the bands in"
                " decibels?"
            )
        channels = _normalised(one, known, card.normaliser)
        for rows, cols in _tiles(height, width, stride):
            _tile(network, channels, (rows, cols), halo, probability)
        probability[~known] = np.nan
    return out.reshape(*values.shape[:-1], len(card.classes))


def _tiles(height: int, width: int, stride: int) -> Iterator[tuple[slice, slice]]:
    """Parts of a block that a network takes at once: what its layers hold grows with them."""
    edge = max(_TILE // stride, 1) * stride
    for top in range(0, height, edge):
        for left in range(0, width, edge):
            yield slice(top, min(top + edge, height)), slice(left, min(left + edge, width))


def _tile(
    network: UNet,
    channels: NDArray[np.float32],
    tile: tuple[slice, slice],
    halo: int,
    out: NDArray[np.float32],
) -> None:
    """Fill a tile of `out` (y, x, class), from the tile and as far around it as is looked."""
    wide, inner = [], []
    for part, size in zip(tile, channels.shape[1:], strict=True):
        first = max(part.start - halo, 0)
        wide.append(slice(first, min(part.stop + halo, size)))
        inner.append(slice(part.start - first, part.stop - first))
    given = channels[:, wide[0], wide[1]]
    ends = [(0, -size % network.stride) for size in given.shape[1:]]
    padded = torch.from_numpy(np.pad(given, ((0, 0), *ends)))
    with torch.inference_mode():
        logits = network(padded[None])[0, :, inner[0], inner[1]]
        out[tile] = torch.sigmoid(logits).permute(1, 2, 0).numpy()


def _normalised(
    values: NDArray[np.float32], known: NDArray[np.bool_], normaliser: Normaliser
) -> NDArray[np.float32]:
    """Channels (band, y, x) of values (y, x, band); unknown pixels are an average one."""
    clamped = np.clip(values, normaliser.low, normaliser.high)
    if normaliser.scale == "decibel":
        clamped = 10 * np.log10(clamped)
    mean, deviation = (
        np.asarray(part, "float32") for part in (normaliser.mean, normaliser.deviation)
    )
    scaled = (clamped - mean) / deviation
    scaled[~known] = 0
    return np.ascontiguousarray(scaled.transpose(2, 0, 1), "float32")
