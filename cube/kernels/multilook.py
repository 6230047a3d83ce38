"""Means of linear power, and what is counted or looked up from them; missing samples are left out.

Averages are taken in linear power, never in decibels: the mean of exponentially distributed
speckle is unbiased, the mean of its logarithm is 2.5 dB too low for one look.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cube.kernels.compiled import compiled, inlined

__all__ = ["box_lookup", "box_mean", "cell_histogram", "cell_mean"]

DARKEST = 1e-10
"""Power (-100 dB) that stands for all below it, zero and noise residues under zero included."""

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int32 = NDArray[np.int32]


def as_image(power: NDArray[np.floating], name: str = "power") -> Float32:
    """`power` as C-contiguous float32, or a ValueError when it is not an image (y, x)."""
    image = np.ascontiguousarray(power, dtype=np.float32)
    if image.ndim != 2:
        raise ValueError(f"{name} has shape {image.shape}; expected two axes (y, x)")
    return image


@inlined
def _across(total, number, size, out):  # type: ignore[no-untyped-def]
    """Mean of `size` columns from each on."""
    for column in range(len(out)):
        held, count = 0.0, 0.0
        for shift in range(size):
            held += total[column + shift]
            count += number[column + shift]
        out[column] = held / count


@compiled
def _columns(power: Float32, first: int, stop: int, total: Float64, number: Float64) -> None:
    """Sums and counts of columns over some lines, any number of them."""
    total[:] = 0.0
    number[:] = 0.0
    for row in range(first, stop):
        for column in range(len(total)):
            value = power[row, column]
            total[column] += value if value == value else 0.0
        for column in range(len(number)):
            value = power[row, column]
            number[column] += 1.0 if value == value else 0.0


@compiled
def _columns_of_five(  # type: ignore[no-untyped-def]
    a, b, c, d, e, total, number
):
    """The same sums, bit for bit, of five lines: kept in registers it takes a sixth of the time."""
    none = np.float32(0)
    for k in range(len(total)):
        held = np.float64(a[k] if a[k] == a[k] else none)  # the sum is in double precision
        held += b[k] if b[k] == b[k] else none
        held += c[k] if c[k] == c[k] else none
        held += d[k] if d[k] == d[k] else none
        held += e[k] if e[k] == e[k] else none
        total[k] = held
    for k in range(len(number)):
        known = 0.0 + (a[k] == a[k]) + (b[k] == b[k]) + (c[k] == c[k])
        number[k] = known + (d[k] == d[k]) + (e[k] == e[k])


@compiled
def _box_row(power: Float32, line: int, half: int, sums: Float64, out: Float64) -> None:
    """Box means of one line, NaN where the centre is; without branches: it runs on vectors.

    `sums`, shape (2, samples + 2 half), is scratch with `half` zeros on either side: sums and
    counts of columns.
    """
    lines, samples = power.shape
    total, number = sums[0], sums[1]
    inner = total[half : half + samples], number[half : half + samples]
    if half == 2 and 2 <= line < lines - 2:
        _columns_of_five(
            power[line - 2], power[line - 1], power[line], power[line + 1], power[line + 2],
            inner[0], inner[1],
        )  # fmt: skip
    else:
        first, stop = max(0, line - half), min(lines, line + half + 1)
        _columns(power, first, stop, inner[0], inner[1])
    if half == 2:  # a size known to the compiler stays in registers too
        _across(total, number, 5, out)
    else:
        _across(total, number, 2 * half + 1, out)
    for column in range(samples):
        out[column] = out[column] if power[line, column] == power[line, column] else np.nan


@compiled
def _box_mean(power: Float32, half: int) -> Float32:
    lines, samples = power.shape
    out = np.empty_like(power)
    sums, mean = np.zeros((2, samples + 2 * half)), np.empty(samples)
    for line in range(lines):
        _box_row(power, line, half, sums, mean)
        out[line] = mean
    return out


def box_mean(power: NDArray[np.floating], size: int = 5) -> Float32:
    """Mean of the valid samples of a square box, at every valid sample.

    The sum of each box is formed anew, column by column and then across, always in the same
    order. Running sums would be cheaper for large boxes, but their rounding depends on where they
    started; these depend on the box alone, so a block with a halo of ``size // 2`` gives the bits
    of the whole image.

    Parameters
    ----------
    power : float, shape (y, x)
        Linear power; NaN marks missing. Computed as float32.
    size : int
        Side of the box in samples; odd.

    Returns
    -------
    float32, shape (y, x)
        NaN where the centre is NaN; at the border the box is cut.

    Raises
    ------
    ValueError
        `size` is even or below 1, or `power` is not an image.

    Examples
    --------
    >>> box_mean(np.array([[1.0, 2.0, np.nan, 6.0]]), 3)
    array([[1.5, 1.5, nan, 6. ]], dtype=float32)
    """
    if size < 1 or size % 2 == 0:
        raise ValueError(f"box of {size} samples has no centre; give an odd size of at least 1")
    result: Float32 = _box_mean(as_image(power), size // 2)
    return result


@compiled
def _cell_mean(power: Float32, size: int, least: int) -> Float32:
    rows, columns = power.shape[0] // size, power.shape[1] // size
    out = np.empty((rows, columns), np.float32)
    for row in range(rows):
        for column in range(columns):
            total = 0.0
            number = 0
            for line in range(row * size, row * size + size):
                for sample in range(column * size, column * size + size):
                    value = power[line, sample]
                    if not np.isnan(value):
                        total += value
                        number += 1
            out[row, column] = total / number if number >= least else np.nan
    return out


def cell_mean(power: NDArray[np.floating], size: int = 4) -> Float32:
    """Mean of the valid samples of each cell of ``size x size``, counted from the first sample.

    Parameters
    ----------
    power : float, shape (y, x)
        Linear power; NaN marks missing. Computed as float32.
    size : int
        Side of a cell in samples. Rows and columns left over at the end are not used: let blocks
        begin and end on multiples of `size` and their cells are those of the whole image.

    Returns
    -------
    float32, shape (y // size, x // size)
        NaN where fewer than half of a cell's samples are valid.

    Raises
    ------
    ValueError
        `size` is below 1, or `power` is not an image.

    Examples
    --------
    >>> cell_mean(np.array([[1.0, 3.0, np.nan], [np.nan, 5.0, 7.0]]), 2)
    array([[3.]], dtype=float32)
    """
    if size < 1:
        raise ValueError(f"cell of {size} samples; give a size of at least 1")
    result: Float32 = _cell_mean(as_image(power), size, (size * size + 1) // 2)
    return result


def cell_histogram(
    first: NDArray[np.floating],
    second: NDArray[np.floating] | None,
    first_edges: NDArray[np.float64],
    second_edges: NDArray[np.float64],
    size: int = 4,
) -> NDArray[np.uint32]:
    """Count aligned cell means of one or two images over fixed bins of power.

    Means are compared with the edges in linear power, so no logarithm decides between two bins.

    Parameters
    ----------
    first, second : float, shape (y, x)
        Linear power; NaN marks missing. Without `second` its axis has one bin.
    first_edges, second_edges : float64, shape (n - 1,)
        Inner edges of n bins, ascending; the outer bins are open.
    size : int
        Side of a cell in samples.

    Returns
    -------
    uint32, shape (n_first, n_second)

    Raises
    ------
    ValueError
        The inputs are not images of one shape, or `size` is below 1.

    Examples
    --------
    >>> cell_histogram(np.array([[1.0, 3.0]]), None, np.array([2.0]), np.array([]), size=1)
    array([[1],
           [1]], dtype=uint32)
    """
    if second is not None and np.shape(first) != np.shape(second):
        raise ValueError(f"images of shapes {np.shape(first)} and {np.shape(second)}; give one")
    means = cell_mean(first, size)
    valid: NDArray[np.bool_] = ~np.isnan(means)
    width = 1
    other = means
    if second is not None:
        other = cell_mean(second, size)
        valid &= ~np.isnan(other)
        width = len(second_edges) + 1
    cell = np.searchsorted(first_edges, means[valid], side="right") * width
    if second is not None:
        cell += np.searchsorted(second_edges, other[valid], side="right")
    counts = np.bincount(cell, minlength=(len(first_edges) + 1) * width)
    return counts.reshape(-1, width).astype(np.uint32)


@compiled
def _nodes(
    power: Float32, low: float, step: float, last: int, node: Int32, beyond: Float64
) -> None:
    """Nodes at or below the decibels of powers, and the distance beyond them; clipped to the table.

    The logarithm is that of the mantissa by the series of the inverse hyperbolic tangent, to 2e-11
    (Abramowitz & Stegun 1964, eq. 4.1.27): unlike the library's it runs on vectors. Scratch is
    what is filled. Where the power is NaN, so is the distance.
    """
    bits = power.view(np.int32)
    mantissa = node.view(np.float32)
    least = np.float32(DARKEST)
    for k in range(len(power)):
        power[k] = least if power[k] < least else power[k]
    for k in range(len(power)):
        beyond[k] = (bits[k] >> np.int32(23)) - np.int32(127)
    for k in range(len(power)):
        node[k] = (bits[k] & np.int32(0x7FFFFF)) | np.int32(0x3F800000)
    scale, end = 10.0 * np.log10(np.e), float(last)
    for k in range(len(power)):
        m = np.float64(mantissa[k])
        large = m > 1.4142135623730951
        m = 0.5 * m if large else m
        e = beyond[k] + 1.0 if large else beyond[k]
        s = (m - 1.0) / (m + 1.0)
        q = s * s
        series = 1.0 + q * (1 / 3 + q * (1 / 5 + q * (1 / 7 + q * (1 / 9 + q * (1 / 11)))))
        place = (scale * (e * np.log(2.0) + 2.0 * s * series) - low) / step
        place = 0.0 if place < 0.0 else place
        beyond[k] = end if place > end else place
    for k in range(len(power)):
        at = np.int32(beyond[k])
        node[k] = last - 1 if at > last - 1 else at
    for k in range(len(power)):
        beyond[k] = beyond[k] - node[k]


@compiled
def _box_lookup(
    first: Float32,
    second: Float32,
    table: Float32,
    half: int,
    low: tuple[float, float],
    step: float,
    dual: bool,
) -> Float32:
    lines, samples = first.shape
    out = np.empty_like(first)
    sums, exact = np.zeros((2, samples + 2 * half)), np.empty(samples)
    mean = np.empty((2, samples), np.float32)
    node, beyond = np.zeros((2, samples), np.int32), np.zeros((2, samples))
    last = table.shape[0] - 1, table.shape[1] - 1
    for line in range(lines):
        _box_row(first, line, half, sums, exact)
        mean[0] = exact
        _nodes(mean[0], low[0], step, last[0], node[0], beyond[0])
        if dual:
            _box_row(second, line, half, sums, exact)
            mean[1] = exact
            _nodes(mean[1], low[1], step, last[1], node[1], beyond[1])
        for column in range(samples):
            if np.isnan(mean[0, column]) or (dual and np.isnan(mean[1, column])):
                out[line, column] = np.nan
                continue
            i, u = np.uint64(node[0, column]), beyond[0, column]
            i1 = i + np.uint64(1)
            if not dual:
                out[line, column] = (1 - u) * table[i, 0] + u * table[i1, 0]
                continue
            j, v = np.uint64(node[1, column]), beyond[1, column]
            j1 = j + np.uint64(1)
            left = (1 - v) * table[i, j] + v * table[i, j1]
            right = (1 - v) * table[i1, j] + v * table[i1, j1]
            out[line, column] = (1 - u) * left + u * right
    return out


def box_lookup(
    first: NDArray[np.floating],
    second: NDArray[np.floating] | None,
    table: Float32,
    low: tuple[float, float],
    step: float,
    size: int = 5,
) -> Float32:
    """Bilinear value of a table at the decibels of the box means of one or two images.

    One pass over the images: no image of means or of decibels is stored.

    Parameters
    ----------
    first, second : float, shape (y, x)
        Linear power; NaN marks missing.
    table : float32, shape (n_first, n_second), or (n_first, 1) without `second`
        Values at nodes `step` dB apart; beyond its ends the outermost counts.
    low : (float, float)
        Decibels of node (0, 0).
    step : float
        Decibels between two nodes.
    size : int
        Side of the box in samples; odd. A block needs a halo of ``size // 2``.

    Returns
    -------
    float32, shape (y, x)
        NaN where either centre is NaN.

    Raises
    ------
    ValueError
        The inputs are not images of one shape, the table does not fit, or the box has no centre.

    Examples
    --------
    >>> table = np.array([[0.0], [1.0]], np.float32)
    >>> box_lookup(np.array([[0.1, 1.0]]), None, table, (-20.0, 0.0), 20.0, size=1)
    array([[0.5, 1. ]], dtype=float32)
    """
    if size < 1 or size % 2 == 0:
        raise ValueError(f"box of {size} samples has no centre; give an odd size of at least 1")
    a = as_image(first)
    b = a if second is None else as_image(second)
    if a.shape != b.shape:
        raise ValueError(f"images of shapes {a.shape} and {b.shape}; give one")
    least = (2, 1) if second is None else (2, 2)
    if table.ndim != 2 or table.shape < least or (second is None) != (table.shape[1] == 1):
        raise ValueError(f"table of shape {table.shape} does not fit the number of images")
    levels = (float(low[0]), float(low[1]))
    nodes = np.ascontiguousarray(table, dtype=np.float32)
    result: Float32 = _box_lookup(a, b, nodes, size // 2, levels, step, second is not None)
    return result
