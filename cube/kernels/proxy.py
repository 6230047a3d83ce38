"""A smooth function over one tile of the map as a tensor polynomial in (x, y[, height]).

Zero-Doppler time, slant range and DEM coordinates are so smooth over a few kilometres that a
polynomial of degree 5 in x and y and 3 in height, fitted at Chebyshev nodes, is exact to
nanometres (Trefethen 2013, Approximation Theory and Approximation Practice, ch. 4 and 8). One
evaluation costs some thirty multiplications instead of a Newton solve, and its gradient is the
line of sight.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from cube.kernels.compiled import compiled

NODES = (8, 8, 6)
"""Nodes in y, x and height; two more than coefficients, so that the fit smooths nothing away."""
TERMS = (6, 6, 4)
"""Coefficients in y, x and height."""


@cache
def nodes(count: int) -> NDArray[np.float64]:
    """Chebyshev nodes of the first kind on -1..1, shape (count,), ascending."""
    return -np.cos(np.pi * (np.arange(count) + 0.5) / count)


@cache
def projection(count: int, terms: int) -> NDArray[np.float64]:
    """Matrix (terms, count) from values at the nodes to ascending power coefficients.

    At Chebyshev nodes the polynomials are orthogonal, so the least-squares fit is this product.
    """
    basis = chebyshev.chebvander(nodes(count), terms - 1).T * (2 / count)
    basis[0] /= 2
    to_powers = np.zeros((terms, terms))
    for order in range(terms):
        powers = chebyshev.cheb2poly(np.eye(terms)[order])
        to_powers[: len(powers), order] = powers
    return np.asarray(np.einsum("ij,jk->ik", to_powers, basis))


def fit3(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Power coefficients, shape `TERMS`, of values at the nodes, shape `NODES` (y, x, height)."""
    py, px, ph = (projection(n, k) for n, k in zip(NODES, TERMS, strict=True))
    # one axis after the other, and without BLAS: the same bits whatever number of threads it uses
    found = np.einsum("ck,ijk->ijc", ph, values, optimize=False)
    found = np.einsum("bj,ijc->ibc", px, found, optimize=False)
    return np.ascontiguousarray(np.einsum("ai,ibc->abc", py, found, optimize=False))


def fit2(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Power coefficients, shape `TERMS[:2]`, of values at the nodes, shape `NODES[:2]` (y, x)."""
    py, px = (projection(n, k) for n, k in zip(NODES[:2], TERMS[:2], strict=True))
    found = np.einsum("bj,ij->ib", px, values, optimize=False)
    return np.ascontiguousarray(np.einsum("ai,ib->ab", py, found, optimize=False))


@compiled
def _places(size, first, count):  # type: ignore[no-untyped-def]
    """Where pixel centres lie on a tile's -1..1: whole numbers would not be turned on vectors."""
    out = np.empty(count)
    for j in range(count):
        out[j] = (2 * (first + j) + 1) / size - 1
    return out


@compiled
def evaluate3(c, rows, cols, row0, col0, height, middle, half, out):  # type: ignore[no-untyped-def]
    """Fill ``out[y, x]`` with the polynomial `c` at part of a tile's pixel centres and heights.

    Parameters
    ----------
    c : float64, shape (6, 6, 4)
        From `fit3` over a tile; pixel centres run over -1..1 as ``(2 i + 1) / n - 1``.
    rows, cols : int
        Size of the tile.
    row0, col0 : int
        Pixel of the tile that ``out[0, 0]`` is.
    height : float32, shape (y, x)
        Metres; scaled by ``(height - middle) / half``. NaN gives NaN.
    middle, half : float
        Centre and half width of the fitted height range.
    out : float64, shape (y, x)
    """
    row_terms = np.empty((6, 4))
    places = _places(cols, col0, out.shape[1])
    for i in range(out.shape[0]):
        v = (2 * (row0 + i) + 1) / rows - 1
        for b in range(6):
            for k in range(4):
                s = c[5, b, k]
                for a in range(4, -1, -1):
                    s = s * v + c[a, b, k]
                row_terms[b, k] = s
        a00, a01, a02, a03 = row_terms[0]
        a10, a11, a12, a13 = row_terms[1]
        a20, a21, a22, a23 = row_terms[2]
        a30, a31, a32, a33 = row_terms[3]
        a40, a41, a42, a43 = row_terms[4]
        a50, a51, a52, a53 = row_terms[5]
        for j in range(out.shape[1]):
            u = places[j]
            w = (height[i, j] - middle) / half
            s0 = ((((a50 * u + a40) * u + a30) * u + a20) * u + a10) * u + a00
            s1 = ((((a51 * u + a41) * u + a31) * u + a21) * u + a11) * u + a01
            s2 = ((((a52 * u + a42) * u + a32) * u + a22) * u + a12) * u + a02
            s3 = ((((a53 * u + a43) * u + a33) * u + a23) * u + a13) * u + a03
            out[i, j] = ((s3 * w + s2) * w + s1) * w + s0


@compiled
def evaluate2(c, rows, cols, row0, col0, out):  # type: ignore[no-untyped-def]
    """Fill `out` with the polynomial `c`, shape (6, 6), at part of a tile's pixel centres.

    Parameters
    ----------
    c : float64, shape (6, 6)
        From `fit2` over a tile of `rows` by `cols` pixels.
    rows, cols : int
        Size of the tile.
    row0, col0 : int
        Pixel of the tile that ``out[0, 0]`` is; one beyond the tile's edge is fine.
    out : float64, shape (y, x)
    """
    places = _places(cols, col0, out.shape[1])
    t = np.empty(6)
    for i in range(out.shape[0]):
        v = (2 * (row0 + i) + 1) / rows - 1
        for b in range(6):
            s = c[5, b]
            for a in range(4, -1, -1):
                s = s * v + c[a, b]
            t[b] = s
        t0, t1, t2, t3, t4, t5 = t
        for j in range(out.shape[1]):
            u = places[j]
            out[i, j] = ((((t5 * u + t4) * u + t3) * u + t2) * u + t1) * u + t0
