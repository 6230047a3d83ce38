"""Models applied to cubes chunk by chunk, with the values that they have on the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from dask.base import annotate

from cube.cards import Card, Input
from cube.catalog import Model, load_model
from cube.errors import PlanError
from cube.infer.blocks import DROPOUT_TILE, Predictor, Reference
from cube.infer.channels import reach
from cube.infer.classes import flood_classes
from cube.infer.engine import Layout, map_chunks
from cube.infer.weights import Precision, open_networks
from cube.kernels.flood import NO_DATA
from cube.schema import flood_attrs, model_attrs

__all__ = ["device_of", "infer", "predictor"]

ModelName = str | Path


def infer(
    ds: xr.Dataset,
    model: ModelName | Sequence[ModelName] = "default",
    *,
    device: str = "auto",
    precision: Precision = "float32",
    passes: int = 0,
    seed: int = 0,
    resources: Mapping[str, float] | None = None,
) -> xr.Dataset:
    """Probabilities of a model's classes at every pixel, and how uncertain they are.

    Parameters
    ----------
    ds : Dataset
        With the bands that the model's card names, linear power, dimensions y and x and any others
        (such as time); lazy or not, with or without coordinates. Two or three rows of lazy chunks
        are held at a time, for what they look at of one another. ``reference_vv`` … may lie over
        ``track`` as in a cube (then ``relative_orbit`` says which is whose), or over y and x.
    model : str, Path or sequence of them
        Id in the catalog or folder of a model; several are an ensemble and must give the same.
    device : str
        ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ``cuda:1`` … A GPU takes chunks
        of up to 4096 pixels at once; of small ones it works on as much halo as on pixels.
    precision : str
        ``float32`` (on a GPU too: no TF32), or ``bfloat16`` where it agrees with float32 on the
        device.
    passes : int
        Passes with channels left out at random, for models with dropout; noise belongs to tiles of
        512 by 512 pixels of the array, so it does not depend on the chunks.
    seed : int
        Of `passes`.
    resources : mapping of str to float, optional
        What a worker of a cluster must have for a block, such as ``{"GPU": 1}``, as it was started
        with ``dask worker --resources GPU=1``.

    Returns
    -------
    Dataset
        `ds` with the layers of the card (``water_probability`` …), ``entropy``, ``aleatoric`` of
        heteroscedastic models, ``epistemic`` and ``mutual_information`` of several networks or
        passes: float32, lazy where `ds` is, NaN where an input is missing. Where the model tells
        flood, also ``flood``: 0 dry, 1 permanent water, 2 flood, 255 no data, by
        `cube.kernels.flood.classify` with the ``permanent_water`` and ``mask`` of `ds`.

    Raises
    ------
    CatalogError
        No such model, or weights that are not its.
    PlanError
        Bands missing or not linear power, models that do not fit together, no such device.
    """
    names = [model] if isinstance(model, str | Path) else list(model)
    function, layout = predictor(
        names,
        device=device,
        precision=precision,
        passes=passes,
        seed=seed,
        held=frozenset(map(str, ds.variables)),
    )
    bands = _bands(ds, function.inputs)
    with annotate(resources=dict(resources)) if resources else nullcontext():
        found = xr.apply_ufunc(
            partial(map_chunks, function=function, layout=layout),
            bands,
            input_core_dims=[["band"]],
            output_core_dims=[["layer"]],
            dask="allowed",
            keep_attrs=False,
        )
    card = function.cards[0]
    added = {
        name: found.isel(layer=number, drop=True).assign_attrs(_attrs(name, function))
        for number, name in enumerate(function.layers)
    }
    if {"water_probability", "flood_probability"} <= added.keys():
        added["flood"] = _flood(ds, added, card)
    return ds.assign(added)


def predictor(
    models: Sequence[ModelName],
    *,
    device: str = "auto",
    precision: Precision = "float32",
    passes: int = 0,
    seed: int = 0,
    held: frozenset[str] | None = None,
    catalog: str | None = None,
) -> tuple[Predictor, Layout]:
    """Function of blocks of some models, and the layout that it needs.

    Parameters
    ----------
    models, device, precision, passes, seed
        See `infer`.
    held : frozenset of str, optional
        Variables that there are: branches that need others are left out.
    catalog : str, optional
        Folder of the user's models.

    Raises
    ------
    CatalogError, PlanError
        See `infer`.
    """
    if not models:
        raise PlanError("no model given; give one or more ids or folders")
    if passes < 0:
        raise PlanError(f"{passes} passes; give 0 or more")
    chosen = device_of(device)
    opened = [load_model(str(one), catalog) for one in models]
    cards = _fitting([_usable(one, held) for one in opened])
    references = tuple(Reference(one.where, one.card.sha256) for one in opened)
    # opened here: what is wrong is refused now, not in a worker
    ready = [open_networks(one.where, one.sha256, chosen, precision) for one in references]
    if passes and not all(branch.network.dropout for card in cards for branch in card.branches):
        raise PlanError(f"model {cards[0].name} has no dropout; give several models, or no passes")
    normalisers = tuple(opened[0].normaliser(branch.name) for branch in cards[0].branches)
    used = [
        (networks[branch.name], reach(normaliser))
        for networks in ready
        for branch, normaliser in zip(cards[0].branches, normalisers, strict=True)
    ]
    stride = int(np.lcm.reduce([network.stride for network, _ in used]))
    far = max(network.reach + further for network, further in used)
    halo = -(-far // stride) * stride
    layers = (*cards[0].layers, *cards[0].uncertainty(len(cards) * max(passes, 1)))
    function = Predictor(
        members=references,
        cards=tuple(cards),
        normalisers=normalisers,
        inputs=cards[0].inputs,
        layers=layers,
        halo=halo,
        stride=stride,
        device=chosen,
        precision=precision,
        passes=passes,
        seed=seed,
    )
    align = DROPOUT_TILE if passes else stride
    return function, Layout(align, -(-halo // align) * align, len(layers))


def _usable(model: Model, held: frozenset[str] | None) -> Card:
    """Card with the branches whose inputs there are."""
    if held is None:
        return model.card
    try:
        return model.card.having(held)
    except ValueError as error:
        raise PlanError(str(error)) from error


def _fitting(cards: list[Card]) -> list[Card]:
    """The same cards, of which all have the branches and classes of the first."""

    def kind(card: Card) -> list[object]:
        own = {"network", "temperature", "water_threshold"}  # members may differ in these
        return [branch.model_dump(exclude=own) for branch in card.branches]

    for card in cards[1:]:
        if kind(card) != kind(cards[0]):
            raise PlanError(
                f"models {cards[0].name} and {card.name} differ in branches, inputs, classes,"
                " heads or normalisers; members of an ensemble must agree in them"
            )
    return cards


def device_of(name: str) -> str:
    """Device that a name means here; ``auto`` is a GPU where there is one.

    Raises
    ------
    PlanError
        No device, or none that is here.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(name)
    except RuntimeError as error:
        raise PlanError(f"device {name!r}: unknown; give auto, cpu or cuda") from error
    if kind.type not in ("cpu", "cuda"):
        raise PlanError(f"device {name!r}: models run on cpu or cuda; give one, or auto")
    if kind.type == "cuda" and not (
        torch.cuda.is_available() and (kind.index or 0) < torch.cuda.device_count()
    ):
        raise PlanError(
            f"device {name}: this torch sees {torch.cuda.device_count()} GPUs; give auto or cpu"
        )
    return name


def _bands(ds: xr.Dataset, inputs: Sequence[str]) -> xr.DataArray:
    """Inputs in order as the last dimension, y and x before it."""
    arrays = [_input(ds, Input.parse(name)) for name in inputs]
    arrays = list(xr.broadcast(*arrays))
    stacked = xr.concat(arrays, "band", coords="minimal", compat="override")
    return stacked.transpose(..., "y", "x", "band")


def _input(ds: xr.Dataset, one: Input) -> xr.DataArray:
    array = ds[one.variable]
    if str(array.attrs.get("units", "1")).lower() in ("db", "decibel", "decibels"):
        raise PlanError(
            f"{one.variable} is in decibels, models take linear power: give"
            f" 10 ** ({one.variable} / 10)"
        )
    if {"y", "x"} - set(array.dims):
        raise PlanError(
            f"{one.variable} has dimensions {', '.join(map(str, array.dims))}; needs y, x"
        )
    if "track" in array.dims:
        array = _of_passes(ds, array)
    if one.earlier:
        array = _earlier(ds, array, one.earlier)
    return array.drop_vars(array.coords)


def _of_passes(ds: xr.Dataset, array: xr.DataArray) -> xr.DataArray:
    """What belongs to a track, for every pass."""
    if "relative_orbit" not in ds.variables or "track" not in array.coords:
        raise PlanError(
            f"{array.name} lies over track, and relative_orbit does not say whose it is; give it"
            " over y, x, or with both coordinates"
        )
    tracks = array["track"].values.tolist()
    numbers = np.atleast_1d(ds["relative_orbit"].values).tolist()
    missing = sorted(set(numbers) - set(tracks))
    if missing:
        raise PlanError(f"{array.name} has no track {missing[0]}; it has {tracks}")
    places = xr.DataArray(
        [tracks.index(one) for one in numbers], dims=ds["relative_orbit"].dims or "time"
    )
    return array.isel(track=places if ds["relative_orbit"].ndim else int(places[0]))


def _earlier(ds: xr.Dataset, array: xr.DataArray, back: int) -> xr.DataArray:
    """The band `back` passes before, on the same track; NaN where there is none."""
    if "time" not in array.dims:
        raise PlanError(f"{array.name}[-{back}] is asked for, and {array.name} has no time")
    tracks = (
        ds["relative_orbit"].values
        if "relative_orbit" in ds.variables
        else np.zeros(array.sizes["time"], int)
    )
    order = (
        np.argsort(ds["time"].values, kind="stable")
        if "time" in ds.coords
        else np.arange(len(tracks))
    )
    source = np.full(len(tracks), -1)
    for track in np.unique(tracks):
        members = [index for index in order if tracks[index] == track]
        source[members[back:]] = members[: len(members) - back] if back < len(members) else []
    moved = array.isel(time=np.maximum(source, 0))
    there = xr.DataArray(source >= 0, dims="time")
    return moved.drop_vars("time", errors="ignore").where(there)


def _attrs(name: str, function: Predictor) -> Mapping[str, Any]:
    members = " ".join(card.name for card in function.cards)
    attrs: dict[str, Any] = {**model_attrs(name), "model": members}
    if function.passes:
        attrs |= {"dropout_passes": function.passes, "seed": function.seed}
    return attrs


def _flood(ds: xr.Dataset, found: Mapping[str, xr.DataArray], card: Card) -> xr.DataArray:
    permanent = (
        ds["permanent_water"] if "permanent_water" in ds else xr.DataArray(np.uint8(NO_DATA))
    )
    mask = ds["mask"] if "mask" in ds else xr.DataArray(np.uint8(0))
    if "track" in mask.dims:
        mask = _of_passes(ds, mask)
    layers = [found["water_probability"], found["flood_probability"]]
    given = [*layers, permanent.drop_vars(permanent.coords), mask.drop_vars(mask.coords)]
    out: xr.DataArray = xr.apply_ufunc(
        flood_classes,
        *given,
        kwargs={"thresholds": card.water_thresholds},
        dask="parallelized",
        output_dtypes=[np.uint8],
        keep_attrs=False,
    )
    return out.transpose(*layers[0].dims).assign_attrs(flood_attrs(), model=card.name)
