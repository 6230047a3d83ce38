"""Interferogram and coherence of two complex images over boxes side by side: multilooking."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cube.kernels.compiled import compiled

__all__ = ["multilook"]

Complex64 = NDArray[np.complex64]
Float32 = NDArray[np.float32]


def multilook(
    primary: Complex64, secondary: Complex64, looks: tuple[int, int], least: float = 0.5
) -> tuple[Complex64, Float32]:
    """Mean of ``a b*`` over boxes, and ``|sum(a b*)| / sqrt(sum(|a|^2) sum(|b|^2))``.

    Parameters
    ----------
    primary, secondary : complex64, shape (y, x)
        Coregistered samples; NaN and exact zero are missing.
    looks : (rows, columns)
        Size of a box. Rows and columns that do not fill a box at the end are left out.
    least : float
        Share of a box's samples that must be there in both images.

    Returns
    -------
    interferogram : complex64, shape (y // rows, x // columns)
    coherence : float32, the same
        NaN where too few samples are there.

    Raises
    ------
    ValueError
        Images of two shapes, a box without samples, or a share that is none.

    Examples
    --------
    >>> a = np.full((4, 6), 1 + 1j, "complex64")
    >>> cross, coherence = multilook(a, 2j * a, (2, 3))
    >>> complex(cross[0, 0]), coherence.shape, float(coherence[0, 0])
    (-4j, (2, 2), 1.0)
    """
    if primary.ndim != 2 or primary.shape != secondary.shape:
        raise ValueError(f"images of shapes {primary.shape} and {secondary.shape}; give one")
    if min(looks) < 1:
        raise ValueError(f"boxes of {looks[0]} by {looks[1]} samples; give 1 or more")
    if not 0 < least <= 1:
        raise ValueError(f"least share {least:g}; give more than 0 and at most 1")
    shape = primary.shape[0] // looks[0], primary.shape[1] // looks[1]
    cross, coherence = np.empty(shape, "complex64"), np.empty(shape, "float32")
    _boxes(
        np.ascontiguousarray(primary, "complex64"), np.ascontiguousarray(secondary, "complex64"),
        looks[0], looks[1], least * looks[0] * looks[1], cross, coherence,
    )  # fmt: skip
    return cross, coherence


@compiled
def _boxes(a, b, tall, wide, least, cross, coherence):  # type: ignore[no-untyped-def]
    rows, cols = cross.shape
    used = cols * wide
    re, im = np.zeros(used, np.float32), np.zeros(used, np.float32)
    one, two = np.zeros(used, np.float32), np.zeros(used, np.float32)
    there = np.zeros(used, np.float32)
    for i in range(rows):
        re[:], im[:], one[:], two[:], there[:] = 0.0, 0.0, 0.0, 0.0, 0.0
        for row in range(i * tall, (i + 1) * tall):
            _add_row(a[row, :used], b[row, :used], re, im, one, two, there)
        for j in range(cols):
            box = slice(j * wide, (j + 1) * wide)
            count = there[box].sum()
            if count < least:
                cross[i, j] = complex(np.nan, np.nan)
                coherence[i, j] = np.nan
                continue
            real, imaginary = re[box].sum(), im[box].sum()
            cross[i, j] = complex(real / count, imaginary / count)
            power = np.sqrt(one[box].sum() * two[box].sum())
            coherence[i, j] = np.sqrt(real * real + imaginary * imaginary) / power


@compiled
def _add_row(a, b, re, im, one, two, there):  # type: ignore[no-untyped-def]
    """Add the terms of a row of samples; those that are missing add nothing."""
    none, full = np.float32(0), np.float32(1)
    for x in range(len(re)):
        ar, ai, br, bi = a[x].real, a[x].imag, b[x].real, b[x].imag
        p, q = ar * ar + ai * ai, br * br + bi * bi
        known = (p > none) & (q > none)  # NaN compares as false
        re[x] += ar * br + ai * bi if known else none
        im[x] += ai * br - ar * bi if known else none
        one[x] += p if known else none
        two[x] += q if known else none
        there[x] += full if known else none
