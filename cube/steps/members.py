"""Members of an ensemble, votes and sieves on lazy arrays of any chunks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from cube.errors import PlanError
from cube.kernels.coherence_evidence import MOST_ERROR, SPREAD, flood_evidence
from cube.kernels.flood import NO_DATA, classify
from cube.kernels.sieve import sieve as sieve_block
from cube.kernels.vote import vote as vote_block
from cube.schema import flood_attrs
from cube.steps.pairs import change_of_pairs

__all__ = ["coherence_evidence", "sieve", "vote"]


def vote(
    members: Mapping[str, xr.DataArray],
    permanent_water: xr.DataArray | None = None,
    mask: xr.DataArray | None = None,
) -> xr.Dataset:
    """Consensus of several opinions about water, as the Global Flood Monitoring service reports it.

    Parameters
    ----------
    members : mapping of name to DataArray
        Probability of water of each, of one shape and dimensions, lazy or not; NaN abstains.
    permanent_water, mask : DataArray, optional
        Layers of a cube that broadcast to the members: permanent water keeps its class, and
        exclusions hold, as in `cube.kernels.flood.classify`.

    Returns
    -------
    Dataset
        ``likelihood`` (mean probability), ``agreement`` (share of the members that ran which sides
        with the consensus), ``members`` (how many ran), ``water`` (0, 1, 255), and with permanent
        water or a mask ``flood`` (0 dry, 1 permanent water, 2 flood, 255 no data).

    Raises
    ------
    PlanError
        No members, or of several shapes.
    """
    if not members:
        raise PlanError("no members to vote; give one or more probabilities of water")
    first = next(iter(members.values()))
    for name, one in members.items():
        if one.dims != first.dims or one.shape != first.shape:
            raise PlanError(
                f"member {name} has {dict(one.sizes)}, others {dict(first.sizes)}; they must agree"
            )
    bare = [one.drop_vars(one.coords) for one in members.values()]
    stack = xr.concat(bare, "member", coords="minimal", compat="override")
    stack = stack.chunk(member=-1) if stack.chunks is not None else stack
    found = xr.apply_ufunc(
        lambda values: vote_block(np.moveaxis(values, -1, 0)),
        stack,
        input_core_dims=[["member"]],
        output_core_dims=[[], [], [], []],
        dask="parallelized",
        output_dtypes=[np.float32, np.float32, np.uint8, np.uint8],
    )
    names = "likelihood", "agreement", "water", "members"
    texts = (
        "mean probability of water of the members",
        "share of the members that sides with the consensus",
        "consensus of the members",
        "members that ran",
    )
    ds = xr.Dataset({name: (first.dims, one.data) for name, one in zip(names, found, strict=True)})
    ds = ds.assign_coords(first.coords)
    for name, text in zip(names, texts, strict=True):
        ds[name].attrs = {"long_name": text, "units": "1", "ensemble": " ".join(members)}
    ds["water"].attrs |= {
        "flag_values": np.array([0, 1, NO_DATA], "uint8"),
        "flag_meanings": "dry water no_data",
    }
    if permanent_water is not None or mask is not None:
        ds["flood"] = _flood(ds["water"], permanent_water, mask)
    return ds


def _flood(
    water: xr.DataArray, permanent: xr.DataArray | None, mask: xr.DataArray | None
) -> xr.DataArray:
    none = xr.DataArray(np.uint8(NO_DATA)) if permanent is None else permanent
    free = xr.DataArray(np.uint8(0)) if mask is None else mask
    out: xr.DataArray = xr.apply_ufunc(
        _classes,
        water,
        none.drop_vars(none.coords),
        free.drop_vars(free.coords),
        dask="parallelized",
        output_dtypes=[np.uint8],
        keep_attrs=False,
    )
    return out.transpose(*water.dims).assign_attrs(flood_attrs())


def _classes(water: Any, permanent: Any, mask: Any) -> Any:
    chance = np.where(water == NO_DATA, np.nan, water).astype("float32")
    shape = chance.shape
    return classify(
        chance, np.broadcast_to(permanent, shape), None, None, np.broadcast_to(mask, shape)
    )


def sieve(flood: xr.DataArray, least: int, connectivity: int = 8) -> xr.DataArray:
    """Flood classes without patches of flood of fewer than `least` pixels, which become dry.

    Permanent water, dry ground and no data stay; each pass is sieved by itself.

    Parameters
    ----------
    flood : DataArray
        0 dry, 1 permanent water, 2 flood, 255 no data over (…, y, x); lazy or not.
    least : int
        Pixels; 1 changes nothing.
    connectivity : int
        4, or 8 where corners connect.

    Raises
    ------
    PlanError
        `least` or `connectivity` cannot be, or there are no y and x.
    """
    if least < 1 or connectivity not in (4, 8):
        raise PlanError(
            f"patches of at least {least} pixels, connectivity {connectivity}; give 1 or more, and"
            " 4 or 8"
        )
    if {"y", "x"} - set(flood.dims):
        raise PlanError(f"flood has dimensions {', '.join(map(str, flood.dims))}; needs y, x")
    ordered = flood.transpose(..., "y", "x")
    function = partial(_sieved, least=least, connectivity=connectivity)
    data = ordered.data
    if isinstance(data, da.Array):
        depth = {data.ndim - 2: least - 1, data.ndim - 1: least - 1}
        data = da.map_overlap(
            function, data, depth=depth, boundary="none", dtype=data.dtype, meta=data._meta
        )
    else:
        data = function(data)
    return ordered.copy(data=data).transpose(*flood.dims)


def _sieved(classes: Any, least: int, connectivity: int) -> Any:
    flat = classes.reshape(-1, *classes.shape[-2:])
    out = [sieve_block(one, least, connectivity=connectivity) for one in flat]
    return np.stack(out).reshape(classes.shape) if out else classes


def coherence_evidence(
    ds: xr.Dataset,
    polarisation: str = "vv",
    *,
    prior: float = 0.5,
    spread: float = SPREAD,
    most_error: float = MOST_ERROR,
) -> xr.DataArray:
    """Probability of water of every pass from its loss of coherence, as a member of a vote.

    Parameters
    ----------
    ds : Dataset
        Cube with ``coherence_VV`` over pairs, and ``role``, ``relative_orbit`` over time.
    polarisation : str
    prior, spread, most_error : float
        See `cube.kernels.coherence_evidence.flood_evidence`.

    Returns
    -------
    DataArray, float32, (time, y, x)
        NaN for passes without a pair from before the event, and where coherence cannot tell.

    Raises
    ------
    PlanError
        No such coherence, or pairs that do not span the event.
    """
    name = f"coherence_{polarisation}"
    if name not in ds:
        raise PlanError(f"the cube has no {name}; add it with cube coherence")
    looks = ds[name].attrs.get("looks")
    if looks is None:
        raise PlanError(f"{name} does not say how many looks it has; make it with cube coherence")
    found = change_of_pairs(ds["time"].values, ds["relative_orbit"].values, ds["role"].values)
    first, second, times = (
        ds[key].values.astype("datetime64[us]").astype("int64").tolist()
        for key in ("primary_time", "secondary_time", "time")
    )
    place = {pair: number for number, pair in enumerate(zip(first, second, strict=True))}
    empty = xr.full_like(ds[name].isel(pair=0, drop=True), np.nan, dtype="float32")
    layers = []
    for index in range(len(times)):
        pairs = found.get(index)
        numbers = (
            []
            if pairs is None
            else [place.get((times[a], times[b]), -1) for a, b in (pairs[0], *pairs[1])]
        )
        if not numbers or min(numbers) < 0:
            layers.append(empty)
            continue
        now, *earlier = (ds[name].isel(pair=number, drop=True) for number in numbers)
        before = sum(earlier[1:], earlier[0]) / len(earlier)
        layers.append(
            xr.apply_ufunc(
                partial(
                    flood_evidence,
                    looks=min(float(looks), 500.0),
                    prior=prior,
                    spread=spread,
                    most_error=most_error,
                ),
                now.drop_vars(now.coords),
                before.drop_vars(before.coords),
                dask="parallelized",
                output_dtypes=[np.float32],
            )
        )
    bare = [one.drop_vars(one.coords) for one in layers]
    stacked = xr.concat(bare, "time", coords="minimal", compat="override")
    out = stacked.assign_coords({key: ds[key] for key in ("time", "y", "x") if key in ds.coords})
    return out.rename("coherence_evidence").assign_attrs(
        long_name="probability of water by the loss of coherence", units="1", prior=prior
    )
