"""From water to flood: what is new, what was there before, what cannot be known.

Classes: 0 dry, 1 permanent water, 2 flood, 255 no data. Everything but `drop` looks at one pixel
at a time, so blocks need no halo.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cube.kernels.compiled import compiled
from cube.kernels.multilook import box_mean

__all__ = [
    "DRY",
    "FLOOD",
    "HALO",
    "LEAST_DROP",
    "NO_DATA",
    "PERMANENT",
    "classify",
    "drop",
    "duration",
    "extent",
    "first",
    "permanent",
    "reference",
]

Float32 = NDArray[np.float32]
UInt8 = NDArray[np.uint8]

DRY, PERMANENT, FLOOD, NO_DATA = 0, 1, 2, 255

UNSEEN = 1 | 2 | 4 | 8
"""Mask bits of what a track cannot tell: layover, shadow, never imaged; and sea, not asked for."""

UNLIKELY = 16 | 32
"""Mask bits of where water cannot stand or rise to: steep ground, high above the drainage."""

HALO = 2
"""Samples that `drop` looks beyond each side of a block."""

LEAST_DROP = 3.0
"""Decibels by which new water must be darker than the reference, in VV or VH: half the power.

Ground and crops lie 6 dB and more above water (means of `cube.kernels.water`). Between passes dry
ground varies less than 3 dB by drying soil (Ulaby et al. 1986) and, in 5x5 means of 20-30 looks,
by 1.3 dB of speckle (one sigma of a difference)."""


def drop(
    now: NDArray[np.floating], reference: NDArray[np.floating], size: int = 2 * HALO + 1
) -> Float32:
    """How much darker 5x5 means are than those of the reference of the same track.

    Only the same track compares like with like: incidence, shadow and layover repeat.

    Parameters
    ----------
    now, reference : float, shape (y, x)
        Linear power of one polarisation; NaN marks missing. The larger of the drops in VV and VH
        (``np.fmax``) is what `classify` wants.
    size : int
        Side of the box in samples; odd.

    Returns
    -------
    float32, shape (y, x)
        Decibels, positive where it became darker; NaN where either is missing or not positive.

    Raises
    ------
    ValueError
        The inputs are not images of one shape.

    Examples
    --------
    >>> drop(np.full((1, 1), 0.01), np.full((1, 1), 0.1))
    array([[10.]], dtype=float32)
    """
    if np.shape(now) != np.shape(reference):
        raise ValueError(f"now has shape {np.shape(now)}, reference {np.shape(reference)}")
    before, after = box_mean(reference, size), box_mean(now, size)
    usable = (before > 0) & (after > 0)
    ratio = np.divide(before, after, out=np.full_like(after, np.nan), where=usable)
    return np.asarray(10 * np.log10(ratio), dtype=np.float32)


@compiled
def _class_of(
    chance: float,
    permanent: int,
    before: float,
    dropped: float,
    mask: int,
    least: float,
    water: float,
) -> int:
    if np.isnan(chance) or mask & UNSEEN:
        return NO_DATA
    if permanent == 1:
        return PERMANENT
    if not chance > water:
        return DRY
    known = not (np.isnan(before) or np.isnan(dropped))
    if not known and permanent == NO_DATA:
        return NO_DATA
    if known and before > 0.5:
        return PERMANENT if permanent == NO_DATA else DRY
    if mask & UNLIKELY or (known and dropped < least):
        return DRY
    return FLOOD


@compiled
def _classify(
    probability: Float32,
    permanent: UInt8,
    reference_probability: Float32,
    dropped: Float32,
    mask: UInt8,
    least: float,
    water: float,
    out: UInt8,
) -> None:
    for i in range(out.size):
        before = reference_probability[i]
        out[i] = _class_of(probability[i], permanent[i], before, dropped[i], mask[i], least, water)


def _layer(
    values: ArrayLike | None, shape: tuple[int, ...], fill: float, dtype: str, name: str
) -> NDArray[Any]:
    """Flat layer, or one value for all pixels where there is none."""
    if values is None:
        return np.full(int(np.prod(shape)), fill, dtype)
    array = np.asarray(values)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, probability {shape}; they must agree")
    return np.ascontiguousarray(array, dtype=dtype).reshape(-1)


def classify(
    probability: NDArray[np.floating],
    permanent: NDArray[np.integer] | None = None,
    reference_probability: NDArray[np.floating] | None = None,
    dropped: NDArray[np.floating] | None = None,
    mask: NDArray[np.integer] | None = None,
    least_drop: float = LEAST_DROP,
    water: float = 0.5,
) -> UInt8:
    """Flood class of each pixel of a pass.

    Flood is water now that is not permanent and, where a reference exists, was not water in it and
    became darker by `least_drop`: sand, asphalt and airfields are as dark in the reference.

    Permanent water keeps its class in every pass that sees it, even where wind or waves make it
    look dry: the class says what the ground is (as the reference water of GFM and the labels of
    Kuro Siwo do). Where permanent water is unknown, what was water in the reference too takes its
    place; without a reference either, new water cannot be told from old: no data.

    Parameters
    ----------
    probability : float, shape (y, x)
        Of water in this pass; NaN marks missing.
    permanent : integer, shape (y, x), optional
        0 no, 1 permanent water, 255 (or no layer) unknown.
    reference_probability : float, shape (y, x), optional
        Of water in the reference of the same track; NaN where there is none.
    dropped : float, shape (y, x), optional
        Larger of `drop` in VV and VH, dB, to compare with `least_drop`; NaN is as no reference.
    mask : integer, shape (y, x), optional
        Bits 1 layover, 2 shadow, 4 never imaged, 8 sea: no data. 16 slope, 32 height above
        drainage: never flood.
    water : float
        What is more probable than this is water in this pass.

    Returns
    -------
    uint8, shape (y, x)
        0 dry (or water that is not new), 1 permanent water, 2 flood, 255 no data.

    Raises
    ------
    ValueError
        A layer is not of the shape of `probability`.

    Examples
    --------
    >>> chance = np.array([[0.9, 0.9, 0.2, np.nan]])
    >>> classify(chance, np.array([[0, 255, 1, 0]]))
    array([[  2, 255,   1, 255]], dtype=uint8)
    """
    shape = np.shape(probability)
    layers = (
        _layer(probability, shape, np.nan, "float32", "probability"),
        _layer(permanent, shape, NO_DATA, "uint8", "permanent"),
        _layer(reference_probability, shape, np.nan, "float32", "reference_probability"),
        _layer(dropped, shape, np.inf, "float32", "dropped"),
        _layer(mask, shape, 0, "uint8", "mask"),
    )
    out = np.empty(int(np.prod(shape)), np.uint8)
    _classify(*layers, float(least_drop), float(water), out)
    return out.reshape(shape)


def _stack(values: NDArray[Any], dtype: str, name: str) -> NDArray[Any]:
    array = np.ascontiguousarray(values, dtype=dtype)
    if array.ndim != 3:
        raise ValueError(f"{name} has shape {array.shape}; expected three axes (time, y, x)")
    return array


@compiled
def _median(stack: Float32, least: int) -> Float32:
    times, lines, samples = stack.shape
    out = np.empty((lines, samples), np.float32)
    kept = np.empty(max(times, 1), np.float32)
    for line in range(lines):
        for sample in range(samples):
            number = 0
            for time in range(times):
                value = stack[time, line, sample]
                if np.isnan(value):
                    continue
                place = number
                while place > 0 and kept[place - 1] > value:
                    kept[place] = kept[place - 1]
                    place -= 1
                kept[place] = value
                number += 1
            if number < least:
                out[line, sample] = np.nan
            elif number % 2:
                out[line, sample] = kept[number // 2]
            else:
                middle = np.float64(kept[number // 2 - 1]) + np.float64(kept[number // 2])
                out[line, sample] = 0.5 * middle
    return out


def reference(stack: NDArray[np.floating]) -> Float32:
    """Median over time of linear power: what a track looks like without a flood.

    Parameters
    ----------
    stack : float, shape (time, y, x)
        Linear power of the passes of one track before the event; NaN marks missing. Sorted by
        insertion, which is meant for about ten passes.

    Returns
    -------
    float32, shape (y, x)
        NaN where fewer than two passes are valid: one alone could be a flood itself.

    Raises
    ------
    ValueError
        `stack` has not three axes.

    Examples
    --------
    >>> reference(np.array([[[3.0, 1.0]], [[1.0, np.nan]], [[2.0, np.nan]]]))
    array([[ 2., nan]], dtype=float32)
    """
    result: Float32 = _median(_stack(stack, "float32", "stack"), 2)
    return result


def permanent(probabilities: NDArray[np.floating]) -> UInt8:
    """Permanent water by the passes before the event: water in two thirds of at least three.

    Parameters
    ----------
    probabilities : float, shape (time, y, x)
        Of water; NaN marks missing.

    Returns
    -------
    uint8, shape (y, x)
        1 permanent, 0 not, 255 where fewer than three passes are valid.

    Raises
    ------
    ValueError
        `probabilities` has not three axes.

    Examples
    --------
    >>> permanent(np.array([[[0.9, 0.9]], [[0.8, 0.9]], [[0.1, np.nan]]]))
    array([[  1, 255]], dtype=uint8)
    """
    chance = _stack(probabilities, "float32", "probabilities")
    return by_votes((~np.isnan(chance)).sum(axis=0), (chance > 0.5).sum(axis=0))


def by_votes(valid: NDArray[np.integer], water: NDArray[np.integer]) -> UInt8:
    """`permanent` from the numbers of valid passes and of those with water, shape (y, x)."""
    wet = 3 * water.astype("int32") >= 2 * valid.astype("int32")
    return np.where(valid < 3, NO_DATA, wet).astype(np.uint8)


def extent(flood: NDArray[np.integer]) -> UInt8:
    """Class over all passes: 2 if ever flooded, else 1 if ever permanent, else 0 if ever seen.

    ValueError unless `flood` has three axes.

    Parameters
    ----------
    flood : integer, shape (time, y, x)
        Classes of `classify`.

    Returns
    -------
    uint8, shape (y, x)
        255 where no pass saw the pixel.

    Examples
    --------
    >>> extent(np.array([[[0, 255, 1]], [[2, 255, 0]]]))
    array([[  2, 255,   1]], dtype=uint8)
    """
    classes = _stack(flood, "uint8", "flood")
    out = np.full(classes.shape[1:], NO_DATA, np.uint8)
    for value in (DRY, PERMANENT, FLOOD):
        out[(classes == value).any(axis=0)] = value
    return out


def first(flood: NDArray[np.integer]) -> NDArray[np.int32]:
    """Index of the first pass that shows a flood; -1 where none does.

    Parameters and errors as `extent`; int32, shape (y, x).

    Examples
    --------
    >>> first(np.array([[[0, 0]], [[2, 0]]]))
    array([[ 1, -1]], dtype=int32)
    """
    flooded = _stack(flood, "uint8", "flood") == FLOOD
    if flooded.shape[0] == 0:
        return np.full(flooded.shape[1:], -1, np.int32)
    return np.where(flooded.any(axis=0), flooded.argmax(axis=0), -1).astype(np.int32)


@compiled
def _duration(flood: UInt8, days: NDArray[np.float64]) -> Float32:
    times, lines, samples = flood.shape
    out = np.empty((lines, samples), np.float32)
    for line in range(lines):
        for sample in range(samples):
            total, seen, last, ever = 0.0, 0, -1, False
            for time in range(times):
                value = flood[time, line, sample]
                if value == NO_DATA:
                    continue
                ever = ever or value == FLOOD
                if seen > 0:
                    wet = int(value == FLOOD) + int(flood[last, line, sample] == FLOOD)
                    total += 0.5 * wet * (days[time] - days[last])
                seen, last = seen + 1, time
            out[line, sample] = np.nan if seen == 0 or (seen == 1 and ever) else total
    return out


def duration(flood: NDArray[np.integer], times: ArrayLike) -> Float32:
    """Days under flood: each flooded pass stands for half the time to the passes either side.

    Passes that did not see the pixel are passed over. Before the first and after the last pass
    that saw it nothing is known and nothing is counted, so this is the area under the line through
    flooded (1) and not flooded (0).

    Parameters
    ----------
    flood : integer, shape (time, y, x)
        Classes of `classify`.
    times : datetime64 or float days, shape (time,)
        Ascending.

    Returns
    -------
    float32, shape (y, x)
        Days; 0 where it was seen and never flooded, NaN where it was never seen, or seen only
        once, in flood: that says nothing about how long.

    Raises
    ------
    ValueError
        The shapes do not fit, or times do not ascend.

    Examples
    --------
    >>> duration(np.array([[[0]], [[2]], [[255]], [[0]]]), [0.0, 6.0, 9.0, 18.0])
    array([[9.]], dtype=float32)
    """
    classes = _stack(flood, "uint8", "flood")
    moments = np.asarray(times)
    if np.issubdtype(moments.dtype, np.datetime64):
        moments = (moments - moments[:1]) / np.timedelta64(1, "D")
    days = np.ascontiguousarray(moments, dtype=np.float64)
    if days.shape != classes.shape[:1]:
        raise ValueError(f"{classes.shape[0]} passes, times of shape {days.shape}; they must agree")
    if not np.all(np.diff(days) >= 0):
        raise ValueError("times do not ascend; sort flood and times first")
    result: Float32 = _duration(classes, days)
    return result
