"""Coherence of two complex images over sliding windows, in one pass.

What a window holds is summed anew for each pixel, though at a cost that hardly grows with the
window, in an order that only its place on the grid tells: no running sum drifts, and a block with
half a window around it gives the bits of the whole image. Lines are added by the scheme of van Herk
(1992, Pattern Recognition Letters 13) and Gil & Werman (1993, IEEE PAMI 15), columns as sums of
sums. Only missing samples are counted, by running sums, which are exact in whole numbers: lines and
windows that miss none are spared the masks, and have the same bits with them and without.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cube.kernels.compiled import compiled

__all__ = ["coherence"]

_STRIP_BYTES = 2**19
"""What a strip's sums may take, to stay in the second cache: it says how many columns are one."""
_TERMS = 4  # real and imaginary part of the product, and both powers: side by side in one row

Complex64 = NDArray[np.complex64]
Float32 = NDArray[np.float32]


def coherence(
    primary: Complex64,
    secondary: Complex64,
    window: tuple[int, int],
    first_row: int = 0,
    least: float = 0.5,
) -> Complex64:
    """Complex coherence ``sum(a b*) / sqrt(sum(|a|^2) sum(|b|^2))`` (Touzi et al. 1999, eq. 2).

    Parameters
    ----------
    primary, secondary : complex64, shape (y, x)
        Coregistered samples; NaN and exact zero are missing, and so is what is too small for its
        power to be a float32 (1e-23).
    window : (rows, columns)
        Odd.
    first_row : int
        Row of the grid that the first row is: sums are formed alike wherever a block begins.
    least : float
        Share of a window's samples that must be there in both images.

    Returns
    -------
    complex64, shape (y, x)
        Magnitude in [0, 1] up to rounding, 1 exactly where the images are equal; NaN where the
        sample itself is missing or too few are there. Windows are cut at the image's edges.

    Raises
    ------
    ValueError
        Images of two shapes, a window without a centre, or a share that is none.

    Examples
    --------
    >>> a = np.full((5, 5), 1 + 1j, "complex64")
    >>> complex(coherence(a, 2j * a, (3, 3))[2, 2])
    -1j
    """
    if primary.ndim != 2 or primary.shape != secondary.shape:
        raise ValueError(f"images of shapes {primary.shape} and {secondary.shape}; give one")
    if any(size < 1 or size % 2 == 0 for size in window):
        raise ValueError(f"window of {window[0]} by {window[1]} samples; give odd sizes")
    if not 0 < least <= 1:
        raise ValueError(f"least share {least:g}; give more than 0 and at most 1")
    out = np.empty(primary.shape, "complex64")
    _coherence(
        np.ascontiguousarray(primary, "complex64"), np.ascontiguousarray(secondary, "complex64"),
        window[0], window[1], first_row % window[0], np.float32(least * window[0] * window[1]),
        out.view("float32"),
    )  # fmt: skip
    return out


@compiled
def _coherence(a, b, tall, wide, phase, least, out):  # type: ignore[no-untyped-def]
    cols = a.shape[1]
    rows_held = tall + 8  # and those of what is scratch
    # half a window on either side is worked on twice: let it be the smaller part
    strip = max(_STRIP_BYTES // (4 * _TERMS * rows_held), 2 * wide, 512)
    for first in range(0, cols, strip):
        stop = min(first + strip, cols)
        _strip(a, b, tall, wide, phase, least, first, stop, out)


@compiled
def _strip(a, b, tall, wide, phase, least, first, stop, out):  # type: ignore[no-untyped-def]
    """Columns from `first` to `stop`, and half a window on either side."""
    rows, cols, half_y, half_x = a.shape[0], a.shape[1], tall // 2, wide // 2
    size, count = stop - first + 2 * half_x, stop - first
    left, right = max(first - half_x, 0), min(stop + half_x, cols)
    off = left - first + half_x  # what is before it lies beyond the image
    # sums from a row to the end of its group; after the last row of a group there is nothing
    tails = np.zeros((tall + 1, _TERMS * size), np.float32)
    head = np.zeros(_TERMS * size, np.float32)  # sum from the first row of a group on
    whole = np.zeros(_TERMS * size, np.float32)
    spare = np.zeros((2, _TERMS * size), np.float32)
    gone = np.zeros((tall, size), np.float32)  # 1 where a sample is missing
    some = np.zeros(tall, np.bool_)  # rows that miss any; of others `gone` is not looked at
    lost = np.zeros(size, np.float32)  # how many are missing in a window's rows
    spare_lost = np.zeros((2, size), np.float32)
    width, known = np.zeros(count, np.float32), np.zeros(count, np.float32)
    for x in range(first, stop):
        width[x - first] = min(x + half_x + 1, cols) - max(x - half_x, 0)
    for row in range(rows + half_y):  # the last row of a window; groups are `tall` rows of the grid
        k = (row + phase) % tall
        if k == 0:
            head[:] = 0.0
        new = tails[k]  # nothing above this row is looked at any more
        if some[k]:
            _decrease(lost, gone[k])
        some[k] = False
        if row < rows:
            some[k] = _terms(a[row, left:right], b[row, left:right], off, new, gone[k])
            if some[k]:
                _increase(lost, gone[k])
        else:
            new[:] = 0.0
        _advance(head, new, tails[k + 1], whole)
        if row >= half_y:
            at = row - half_y
            _multiply(width, np.float32(min(row + 1, rows) - max(at - half_y, 0)), known)
            if some.any():
                _decrease(known, _across(lost, spare_lost, wide))
                centre = (at + phase) % tall
                if some[centre]:
                    _forget(known, gone[centre, half_x:])
            sums = _across(whole, spare, wide)
            _divide(
                sums, sums[size:], sums[2 * size :], sums[3 * size :],
                known, least, out[at, 2 * first : 2 * stop],
            )  # fmt: skip
        if k == tall - 1:
            for q in range(tall - 2, -1, -1):
                _increase(tails[q], tails[q + 1])


@compiled
def _terms(a, b, off, out, gone):  # type: ignore[no-untyped-def]
    """Terms of a row's samples, from column `off` on, and whether any is missing.

    Of those that are missing the terms are zero, and `gone`, filled only if there are any, is 1.
    """
    size, count = len(gone), len(a)
    re, im = out[off : off + count], out[size + off : size + off + count]
    one = out[2 * size + off : 2 * size + off + count]
    two = out[3 * size + off : 3 * size + off + count]
    _products(a, b, re, im, one, two)
    if _present(one, two) == count:
        return False
    missing = gone[off : off + count]
    _find(one, two, missing)
    _clear(missing, re)
    _clear(missing, im)
    _clear(missing, one)
    _clear(missing, two)
    return True


# Each of these is one loop over whole arrays without a stride: the compiler takes eight or sixteen
# samples at a time of these, and none where it cannot tell that what is written is not read.


@compiled
def _products(a, b, re, im, one, two):  # type: ignore[no-untyped-def]
    for x in range(len(re)):
        ar, ai, br, bi = a[x].real, a[x].imag, b[x].real, b[x].imag
        re[x] = ar * br + ai * bi
        im[x] = ai * br - ar * bi
        one[x] = ar * ar + ai * ai
        two[x] = br * br + bi * bi


@compiled
def _present(one, two):  # type: ignore[no-untyped-def]
    """How many samples are in both images: NaN compares as false, and zero is nothing."""
    none, found = np.float32(0), 0
    for x in range(len(one)):
        found += (one[x] > none) & (two[x] > none)
    return found


@compiled
def _find(one, two, missing):  # type: ignore[no-untyped-def]
    none = np.float32(0)
    for x in range(len(missing)):
        missing[x] = np.float32(1) - np.float32((one[x] > none) & (two[x] > none))


@compiled
def _clear(missing, out):  # type: ignore[no-untyped-def]
    none = np.float32(0)
    for x in range(len(missing)):
        out[x] = out[x] if missing[x] == none else none


@compiled
def _forget(known, missing):  # type: ignore[no-untyped-def]
    none, never = np.float32(0), np.float32(-1)
    for x in range(len(known)):
        known[x] = known[x] if missing[x] == none else never


@compiled
def _increase(out, more):  # type: ignore[no-untyped-def]
    for x in range(len(out)):
        out[x] += more[x]


@compiled
def _decrease(out, less):  # type: ignore[no-untyped-def]
    for x in range(len(out)):
        out[x] -= less[x]


@compiled
def _multiply(values, factor, out):  # type: ignore[no-untyped-def]
    for x in range(len(out)):
        out[x] = values[x] * factor


@compiled
def _advance(head, new, tail, out):  # type: ignore[no-untyped-def]
    for x in range(len(out)):
        so_far = head[x] + new[x]
        head[x] = so_far
        out[x] = so_far + tail[x]


@compiled
def _add(one, other, out):  # type: ignore[no-untyped-def]
    for x in range(len(out)):
        out[x] = one[x] + other[x]


@compiled
def _add_to(one, other, out):  # type: ignore[no-untyped-def]
    for x in range(len(out)):
        out[x] += one[x] + other[x]


@compiled
def _across(sums, spare, wide):  # type: ignore[no-untyped-def]
    """Sums of `wide` columns from each on: `sums` itself or a row of `spare`.

    They are put together of sums of few columns, about the root of `wide`, and of what is left. At
    the end of each term `wide` - 1 values run into the next term, and mean nothing.
    """
    if wide == 1:
        return sums
    few = 1
    while few * few < wide:
        few += 1
    few = few if wide > 5 else wide  # so few are sooner added one by one
    few_sums = spare[0]
    _add(sums, sums[1:], few_sums[: len(sums) - few + 1])
    _more(sums, 1, 2, few, few_sums[: len(sums) - few + 1])
    if few == wide:
        return few_sums
    many, out = wide // few, spare[1, : len(sums) - wide + 1]
    _add(few_sums, few_sums[few:], out)
    _more(few_sums, few, 2, many, out)
    _more(sums, 1, many * few, wide, out)
    return spare[1]


@compiled
def _more(sums, step, first, stop, out):  # type: ignore[no-untyped-def]
    """Add what is `first` to `stop` (exclusive) steps to the right of each column."""
    while first + 1 < stop:
        _add_to(sums[first * step :], sums[(first + 1) * step :], out)
        first += 2
    if first < stop:
        _increase(out, sums[first * step :])


@compiled
def _divide(re, im, one, two, known, least, out):  # type: ignore[no-untyped-def]
    nan = np.float32(np.nan)
    for x in range(len(known)):
        # of equal images both sums are equal, and the root of their product is the sum exactly
        scale = np.sqrt(one[x] * two[x])
        scale = scale if known[x] >= least else nan
        out[2 * x] = re[x] / scale
        out[2 * x + 1] = im[x] / scale
