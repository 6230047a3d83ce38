"""Pairs of passes of a stack of complex images: which, their baselines, their coherence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from cube.errors import PlanError
from cube.kernels.ellipsoid import to_ecef
from cube.steps.coherence import WINDOW, coherence

__all__ = [
    "CONSECUTIVE",
    "change_of_pairs",
    "choose_pairs",
    "coherence_change",
    "coherence_pairs",
    "images_in",
    "pair_coordinates",
    "perpendicular_baseline",
    "with_images",
]

CONSECUTIVE = "consecutive"
_DAY = np.timedelta64(1, "D") / np.timedelta64(1, "us")
_SLACK = 1 / 24  # days: a cycle of 12 days is some seconds more or less
Pair = tuple[int, int]


def choose_pairs(times: ArrayLike, tracks: ArrayLike, strategy: str = CONSECUTIVE) -> list[Pair]:
    """Pairs of passes of one track, the earlier first, in order of their times.

    Parameters
    ----------
    times : datetime64, shape (passes,)
    tracks : int, shape (passes,)
        Relative orbits: passes of two tracks see the ground from two sides and do not interfere.
    strategy : str
        ``consecutive``: each pass and the next of its track; ``within:DAYS``: all pairs at most so
        many days apart; ``reference:TIME``: every pass with the one of that day or time.

    Raises
    ------
    PlanError
        An unknown strategy, a reference that is none of the passes, or no pair at all.

    Examples
    --------
    >>> days = np.array(["2023-09-04", "2023-09-16", "2023-09-28"], "datetime64[us]")
    >>> choose_pairs(days, [52, 52, 52]), choose_pairs(days, [52, 52, 52], "within:30")
    ([(0, 1), (1, 2)], [(0, 1), (0, 2), (1, 2)])
    """
    when, track = np.asarray(times, "datetime64[us]"), np.asarray(tracks)
    order = [int(at) for at in np.argsort(when, kind="stable")]
    kind, _, value = strategy.partition(":")
    if kind == CONSECUTIVE and not value:
        found = [
            pair
            for one in np.unique(track)
            for pair in _next([at for at in order if track[at] == one])
        ]
    elif kind == "within":
        limit = _days(value)
        found = [
            (first, later)
            for number, first in enumerate(order)
            for later in order[number + 1 :]
            if track[first] == track[later]
            and (when[later] - when[first]) / np.timedelta64(1, "us") <= (limit + _SLACK) * _DAY
        ]
    elif kind == "reference":
        found = _with_reference(order, when, track, value)
    else:
        raise PlanError(
            f"unknown pairs {strategy!r}; choose consecutive, within:DAYS or reference:TIME"
        )
    if not found:
        counted = ", ".join(
            f"{int((track == one).sum())} on orbit {one}" for one in np.unique(track)
        )
        raise PlanError(f"no pairs {strategy!r} among the passes ({counted or 'none'})")
    return sorted(found, key=lambda pair: (when[pair[0]], when[pair[1]]))


def _next(members: list[int]) -> list[Pair]:
    return list(pairwise(members))


def _days(value: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", value):
        raise PlanError(f"pairs within:{value}: give days, for example within:24")
    return float(value)


def _with_reference(
    order: list[int], when: NDArray[np.datetime64], track: NDArray[Any], value: str
) -> list[Pair]:
    texts = np.datetime_as_string(when)
    asked = value.removesuffix("Z")
    chosen = [at for at in order if asked and texts[at].startswith(asked)]
    if len(chosen) != 1:
        shown = ", ".join(texts[at][:19] for at in order[:6])
        raise PlanError(
            f"pairs reference:{value}: {len(chosen)} passes are of that time; the passes are of"
            f" {shown}{' …' if len(order) > 6 else ''}"
        )
    one = chosen[0]
    others = [at for at in order if at != one and track[at] == track[one]]
    return [(min(one, at, key=order.index), max(one, at, key=order.index)) for at in others]


def perpendicular_baseline(
    primary: ArrayLike, secondary: ArrayLike, point: ArrayLike
) -> NDArray[np.float64]:
    """Baseline of two passes across the line of sight, above 0 where the secondary is higher.

    Higher means away from the ground along the perpendicular in the zero-Doppler plane, which for a
    shift to the side is the side that is looked to (Hanssen 2001, Radar Interferometry, section
    2.4.2).

    Parameters
    ----------
    primary, secondary : float, shape (..., 3)
        Places of the satellite at the zero-Doppler times of one point, Earth-fixed metres.
    point : float, shape (3,)

    Returns
    -------
    float64, shape (...)
        Metres.

    Examples
    --------
    >>> above = [7.0e6, 0.0, 0.0]
    >>> float(perpendicular_baseline(above, [7.0e6, 100.0, 0.0], [6.4e6, 1.0, 0.0]).round(1))
    100.0
    """
    one, other, ground = (np.asarray(value, "float64") for value in (primary, secondary, point))
    sight = ground - one
    sight = sight / np.linalg.norm(sight, axis=-1, keepdims=True)
    up = one - (one * sight).sum(-1, keepdims=True) * sight
    up = up / np.linalg.norm(up, axis=-1, keepdims=True)
    return np.asarray(((other - one) * up).sum(-1))


def coherence_pairs(
    ds: xr.Dataset,
    pairs: str | Sequence[Pair] = CONSECUTIVE,
    window: tuple[int, int] = WINDOW,
    *,
    least: float = 0.5,
) -> xr.Dataset:
    """Coherence of pairs of passes of a cube of complex images.

    Parameters
    ----------
    ds : Dataset
        With ``slc_vv``, ``slc_vh`` … (time, y, x); lazy or not.
    pairs : str or sequence of (int, int)
        See `choose_pairs`; or indices along ``time`` (of passes with complex images), the primary
        first.
    window : (rows, columns)
        Odd.
    least : float
        Share of a window's pixels that must be there at both dates.

    Returns
    -------
    Dataset
        ``coherence_vv`` … float32 (pair, y, x), lazy where `ds` is, with ``primary_time``,
        ``secondary_time``, ``temporal_baseline`` (days), ``perpendicular_baseline`` (metres, see
        `perpendicular_baseline`) and ``pair_orbit`` over ``pair``. The attribute ``looks`` says
        how many independent samples a window holds, where the images say how they are sampled; see
        `cube.kernels.coherence_statistics` for the bias that follows from it.

    Raises
    ------
    PlanError
        No complex images, no such pairs, or a pair of two tracks.
    """
    images = images_in(ds)
    ds = with_images(ds)
    if isinstance(pairs, str):
        chosen = choose_pairs(ds["time"].values, _tracks(ds), pairs)
    else:
        chosen = [(int(first), int(second)) for first, second in pairs]
        _check_pairs(chosen, ds.sizes["time"])
    layers = {}
    for name in images:
        parts = [
            coherence(ds[name].isel(time=first), ds[name].isel(time=second), window, least=least)
            for first, second in chosen
        ]
        layer = _stacked(parts, "pair").assign_attrs(parts[0].attrs)
        layers[name.replace("slc", "coherence")] = layer
    return xr.Dataset(layers).assign_coords(pair_coordinates(ds, chosen))


def _stacked(parts: list[xr.DataArray], dimension: str) -> xr.DataArray:
    """Layers of a map along a new dimension, without what each says of its own dates."""
    bare = [part.drop_vars(set(part.coords) - {"y", "x", "spatial_ref"}) for part in parts]
    return xr.concat(bare, dimension)


def _check_pairs(pairs: list[Pair], passes: int) -> None:
    wrong = [pair for pair in pairs if pair[0] == pair[1] or not all(0 <= p < passes for p in pair)]
    if wrong or not pairs:
        named = f"pair {wrong[0]}" if wrong else "no pair"
        raise PlanError(f"{named}: give pairs of two passes, counted 0 to {passes - 1}")


def images_in(ds: xr.Dataset) -> list[str]:
    """Names of the complex images of a cube.

    Raises
    ------
    PlanError
        There are none.
    """
    found = [str(name) for name in ds.data_vars if str(name).startswith("slc_")]
    if not found:
        raise PlanError(
            "the cube holds no complex images (slc_vv, …); build one with --product slc"
        )
    return found


def with_images(ds: xr.Dataset) -> xr.Dataset:
    """Only passes that have complex images, of a cube that has detected ones of others too."""
    if "slc_complete" not in ds.coords:
        return ds
    return ds.isel(time=np.flatnonzero(ds["slc_complete"].values))


def _tracks(ds: xr.Dataset) -> NDArray[Any]:
    if "relative_orbit" in ds.coords:
        return np.asarray(ds["relative_orbit"].values)
    return np.zeros(ds.sizes["time"], "int16")


def pair_coordinates(ds: xr.Dataset, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Times, baselines and track of pairs, as coordinates over ``pair``."""
    first, second = (np.array([pair[at] for pair in pairs]) for at in (0, 1))
    when = ds["time"].values.astype("datetime64[us]")
    days = (when[second] - when[first]) / np.timedelta64(1, "us") / _DAY
    found: dict[str, Any] = {
        "primary_time": ("pair", when[first].astype("datetime64[ns]")),
        "secondary_time": ("pair", when[second].astype("datetime64[ns]")),
        "temporal_baseline": ("pair", days),
    }
    if "sensor_position" in ds.coords:
        places = np.asarray(ds["sensor_position"].values)
        across = perpendicular_baseline(places[first], places[second], _middle(ds))
        found["perpendicular_baseline"] = ("pair", across, {"units": "m"})
    if "relative_orbit" in ds.coords:
        found["pair_orbit"] = ("pair", np.asarray(ds["relative_orbit"].values)[first])
    return found


def _middle(ds: xr.Dataset) -> NDArray[np.float64]:
    """Middle of the grid at height 0, Earth-fixed."""
    from pyproj import CRS, Transformer

    crs = CRS.from_cf(dict(ds["spatial_ref"].attrs))
    x, y = (float(ds[axis].values[[0, -1]].mean()) for axis in ("x", "y"))
    lon, lat = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)
    return to_ecef(lon, lat, 0.0)


def coherence_change(
    ds: xr.Dataset, window: tuple[int, int] = WINDOW, *, least: float = 0.5
) -> xr.Dataset:
    """Coherence that passes have lost (below 0) since before the event.

    For each pass during or after the event: its coherence with the pass of its track just before,
    less the mean coherence of consecutive pairs before the event. Water under plants and between
    houses changes what the radar sees little in strength and much in phase, so coherence falls
    where backscatter does not (Chini et al. 2019, Remote Sensing 11(2), 107). The published
    systems have no such layer: this is an addition to them.

    Parameters
    ----------
    ds : Dataset
        With complex images and the coordinates ``role`` and ``relative_orbit`` over ``time``.
    window, least
        See `coherence_pairs`.

    Returns
    -------
    Dataset
        ``coherence_change_vv`` … float32 (time, y, x), -1 to 1, of the passes that have a pass
        before and two or more passes of their track before the event.

    Raises
    ------
    PlanError
        There is no such pass, or no complex images.
    """
    ds = with_images(ds)
    plan = change_of_pairs(ds["time"].values, _tracks(ds), ds["role"].values)
    wanted = sorted({pair for now, before in plan.values() for pair in (now, *before)})
    found = coherence_pairs(ds, wanted, window, least=least)
    layers = {}
    for name, values in found.data_vars.items():
        parts = [
            values.isel(pair=wanted.index(now))
            - values.isel(pair=[wanted.index(pair) for pair in before]).mean("pair", skipna=False)
            for now, before in plan.values()
        ]
        layer = _stacked(parts, "time").astype("float32")
        attrs = {"long_name": "change of coherence since before the event", "units": "1"}
        layers[str(name).replace("coherence", "coherence_change")] = layer.assign_attrs(attrs)
    return xr.Dataset(layers).assign_coords(time=ds["time"].isel(time=list(plan)))


def change_of_pairs(
    times: ArrayLike, tracks: ArrayLike, roles: ArrayLike
) -> dict[int, tuple[Pair, list[Pair]]]:
    """Pair of each pass with the one before, and the pairs before the event that it is held to.

    Raises
    ------
    PlanError
        No pass has both.
    """
    when, track = np.asarray(times, "datetime64[us]"), np.asarray(tracks)
    role = [str(one) for one in np.asarray(roles)]
    found: dict[int, tuple[Pair, list[Pair]]] = {}
    for one in np.unique(track):
        members = [int(at) for at in np.argsort(when, kind="stable") if track[at] == one]
        quiet = [pair for pair in _next(members) if role[pair[0]] == role[pair[1]] == "before"]
        for pair in _next(members):
            if role[pair[1]] != "before" and quiet:
                found[pair[1]] = pair, quiet
    if not found:
        raise PlanError(
            "no change of coherence: it takes two passes of one track before the event and one"
            " during or after it"
        )
    return dict(sorted(found.items(), key=lambda item: when[item[0]]))
