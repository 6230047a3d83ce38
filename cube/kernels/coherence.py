"""Coherence of two complex images over sliding windows, in one pass.

What a window holds is summed anew for each pixel, though at a cost that does not grow with the
window, in an order that only its place on the grid tells: no running sum drifts, and a block with
half a window around it gives the bits of the whole image. Lines are added by the scheme of van Herk
(1992, Pattern Recognition Letters 13) and Gil & Werman (1993, IEEE PAMI 15), columns by doubling.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cube.kernels.compiled import compiled

__all__ = ["coherence"]

_STRIP_BYTES = 2**18
"""What a window's lines may take, to stay in the cache: it says how many columns are one strip."""
_TERMS = 5  # real and imaginary part of the product, both powers, and how many samples there are

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
        Coregistered samples; NaN and exact zero are missing.
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
    strip = max(_STRIP_BYTES // (4 * _TERMS * tall), 256)
    for first in range(0, cols, strip):
        stop = min(first + strip, cols)
        _strip(a, b, tall, wide, phase, least, first, stop, out)


@compiled
def _strip(a, b, tall, wide, phase, least, first, stop, out):  # type: ignore[no-untyped-def]
    """Columns from `first` to `stop`, and half a window on either side."""
    rows, cols, half_y, half_x = a.shape[0], a.shape[1], tall // 2, wide // 2
    size = stop - first + 2 * half_x
    left, right = max(first - half_x, 0), min(stop + half_x, cols)
    off = left - first + half_x  # what is before it lies beyond the image
    tails = np.zeros((tall, _TERMS, size), np.float32)  # sums from a row to the end of its group
    head = np.zeros((_TERMS, size), np.float32)  # sum from the first row of a group on
    parts = np.zeros((4, right - left), np.float32)
    whole, doubled, spare = (
        np.zeros((_TERMS, size), np.float32), np.zeros(size, np.float32), np.zeros(size, np.float32)
    )  # fmt: skip
    scale = np.zeros(stop - first, np.float32)
    for row in range(rows + half_y):  # the last row of a window; groups are `tall` rows of the grid
        k = (row + phase) % tall
        if k == 0:
            head[:] = 0.0
        new = tails[k]  # nothing above this row is looked at any more
        if row < rows:
            _products(
                a[row, left:right], b[row, left:right], parts, new[:, off : off + right - left]
            )
        else:
            new[:] = 0.0
        for t in range(_TERMS):
            _increase(head[t], new[t])
        if row >= half_y:
            for t in range(_TERMS):
                if k + 1 < tall:
                    _add(head[t], tails[k + 1, t], doubled)
                else:
                    doubled[:] = head[t]
                _across(doubled, spare, wide, whole[t])
            at = row - half_y
            _divide(
                a[at, first:stop],
                b[at, first:stop],
                whole,
                least,
                scale,
                out[at, 2 * first : 2 * stop],
            )
        if k == tall - 1:
            for q in range(tall - 2, -1, -1):
                for t in range(_TERMS):
                    _increase(tails[q, t], tails[q + 1, t])


# Each of these fills one array from one or two: the compiler can tell that they do not overlap.


@compiled
def _increase(out, more):  # type: ignore[no-untyped-def]
    for x in range(len(out)):
        out[x] += more[x]


@compiled
def _add(one, other, out):  # type: ignore[no-untyped-def]
    for x in range(len(out)):
        out[x] = one[x] + other[x]


@compiled
def _split(values, real, imaginary):  # type: ignore[no-untyped-def]
    for x in range(len(real)):
        z = values[x]
        real[x] = z.real
        imaginary[x] = z.imag


@compiled
def _dot(a, b, c, d, out):  # type: ignore[no-untyped-def]
    for x in range(len(a)):
        out[x] = a[x] * b[x] + c[x] * d[x]


@compiled
def _cross(a, b, c, d, out):  # type: ignore[no-untyped-def]
    for x in range(len(a)):
        out[x] = a[x] * b[x] - c[x] * d[x]


@compiled
def _both(one, other, out):  # type: ignore[no-untyped-def]
    """1 where both powers are there: NaN compares as false, and zero is nothing."""
    none = np.float32(0)
    for x in range(len(one)):
        out[x] = np.float32((one[x] > none) & (other[x] > none))


@compiled
def _keep(known, out):  # type: ignore[no-untyped-def]
    none = np.float32(0)
    for x in range(len(known)):
        out[x] = out[x] if known[x] > none else none


@compiled
def _products(a, b, parts, out):  # type: ignore[no-untyped-def]
    """Terms of a row's samples; all zero where one of both is missing."""
    ar, ai, br, bi = parts
    _split(a, ar, ai)
    _split(b, br, bi)
    _dot(ar, ar, ai, ai, out[2])
    _dot(br, br, bi, bi, out[3])
    _both(out[2], out[3], out[4])
    _dot(ar, br, ai, bi, out[0])
    _cross(ai, br, ar, bi, out[1])
    for t in range(4):
        _keep(out[4], out[t])


@compiled
def _across(sums, spare, wide, out):  # type: ignore[no-untyped-def]
    """Sums of `wide` columns from each on, by sums of 1, 2, 4 ... of them; spoils both arrays."""
    out[:] = 0.0
    last = len(out) - wide + 1
    offset, length = 0, 1
    here, there = sums, spare
    while True:
        if wide & length:
            _increase(out[:last], here[offset : offset + last])
            offset += length
        if 2 * length > wide:
            break
        count = len(out) - 2 * length + 1
        _add(here[:count], here[length : length + count], there[:count])
        here, there, length = there, here, 2 * length


@compiled
def _divide(a, b, whole, least, scale, out):  # type: ignore[no-untyped-def]
    """Coherence of a row; `scale` is scratch."""
    nan, none = np.float32(np.nan), np.float32(0)
    for x in range(len(scale)):
        # of equal images both sums are equal, and the root of their product is the sum exactly
        scale[x] = np.sqrt(whole[2, x] * whole[3, x])
    for x in range(len(scale)):
        scale[x] = scale[x] if whole[4, x] >= least else nan
    for x in range(len(scale)):
        known = (abs(a[x].real) + abs(a[x].imag) > none) & (abs(b[x].real) + abs(b[x].imag) > none)
        scale[x] = scale[x] if known else nan
    for x in range(len(scale)):
        out[2 * x] = whole[0, x] / scale[x]
        out[2 * x + 1] = whole[1, x] / scale[x]
