"""Facets of the ground added up in the cells of the radar plane, and cells looked up again.

What is added, and where, is told by `cube.kernels.flatten`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cube.kernels.flatten import plane_bounds

__all__ = ["Cells", "Seen", "accumulate", "gather"]

LEAST_SHARE = 0.05
"""Cells with less than this share of level ground's area hold no signal to be corrected: shadow."""
_MOST_PARTS = 64  # of a facet along one axis: a cliff of 75 cells
_MANY, _BACK = np.uint8(1), np.uint8(2)  # taken in parts; range shrinks along the ground


@dataclass(frozen=True, slots=True)
class Cells:
    """Part of the radar plane.

    Attributes
    ----------
    origin : (T, S)
        Cell that ``area[0, 0]`` is.
    area : float32, shape (T, S)
        Sum of the facets' areas over a cell's slant area: ``A_gamma / A_beta``.
    folded : bool, shape (T, S)
        Cells that a facet falls in whose range shrinks along the ground: there the ground lies
        over itself.
    """

    origin: tuple[int, int]
    area: NDArray[np.float32]
    folded: NDArray[np.bool_]


def accumulate(
    plane: tuple[NDArray[np.float64], NDArray[np.float64]],
    height: NDArray[np.float32],
    lit: NDArray[np.bool_],
    lattice: NDArray[np.float64],
    step: int,
    reach: tuple[float, float],
) -> Cells:
    """Add up the facets between the pixel centres of a block.

    Parameters
    ----------
    plane : (T, S) : float64, shape (y, x)
        Of the pixel centres; NaN where the height is missing.
    height : float32, shape (y, x)
        Metres.
    lit : bool, shape (y, x)
        False in shadow. A facet of which more than one corner lies in shadow is left out.
    lattice : float64, shape (rows, cols, 5)
        Of `sight_terms` at every `step` pixels from the first pixel centre, to the last one or
        beyond it.
    step : int
    reach : (T, S)
        Of `facet_reach`.

    Returns
    -------
    Cells
        Facets with a missing corner add nothing: cells next to them hold too little.
    """
    along, across = plane
    t0, t1, s0, s1 = plane_bounds(along, across)
    if not t0 <= t1:
        return Cells((0, 0), np.zeros((2, 2), "float32"), np.zeros((2, 2), "bool"))
    first, last = (int(t0) - 2, int(s0) - 2), (int(t1) + 3, int(s1) + 3)
    shape = last[0] - first[0] + 1, last[1] - first[1] + 1
    area, folded = np.zeros(shape, "float32"), np.zeros(shape, "bool")
    _accumulate(along, across, height, lit, lattice, step, *reach, *first, area, folded)
    return Cells(first, area, folded)


@njit(nogil=True, cache=True)
def _interpolate_row(lattice, at, out):  # type: ignore[no-untyped-def]
    """Fill ``out[c, k]`` with a lattice's first terms at a fractional row."""
    r = min(int(at), lattice.shape[0] - 2)
    f = at - r
    for c in range(out.shape[0]):
        for k in range(out.shape[1]):
            out[c, k] = lattice[r, c, k] * (1 - f) + lattice[r + 1, c, k] * f


@njit(nogil=True, cache=True)
def _count(reach_t, far_t, reach_s, far_s):  # type: ignore[no-untyped-def]
    """Parts of a facet along one axis, from how far it reaches in the plane."""
    need = max(reach_s / far_s, reach_t / far_t)
    return min(max(int(np.ceil(need)), 1), _MOST_PARTS)


@njit(nogil=True, cache=True)
def _spread(cells, wide, first_t, first_s, t, s, value):  # type: ignore[no-untyped-def]
    """Add a value at an absolute place: bilinear along T, cubic B-spline along S."""
    t0 = np.floor(t)
    s0 = np.floor(s)
    below = np.float32(t - t0) * value
    above = value - below
    d = np.float32(s - s0)
    sixth = np.float32(1 / 6)
    d2 = d * d
    d3 = d2 * d * sixth
    w3 = d3
    w2 = sixth + np.float32(0.5) * (d + d2) - np.float32(3) * d3
    w1 = np.float32(4 / 6) - d2 + np.float32(3) * d3
    w0 = np.float32(1) - w1 - w2 - w3
    one, two = np.uint64(1), np.uint64(2)
    # unsigned: no look at negative indices
    here = np.uint64((np.int64(t0) - first_t) * wide + (np.int64(s0) - first_s))
    cells[here - one] += w0 * above
    cells[here] += w1 * above
    cells[here + one] += w2 * above
    cells[here + two] += w3 * above
    here += np.uint64(wide)
    cells[here - one] += w0 * below
    cells[here] += w1 * below
    cells[here + one] += w2 * below
    cells[here + two] += w3 * below


@njit(nogil=True, cache=True)
def _fold(folded, first_t, first_s, t, s):  # type: ignore[no-untyped-def]
    """Mark every cell between a facet's corners."""
    low_t, high_t = min(min(t[0, 0], t[0, 1]), min(t[1, 0], t[1, 1])), t.max()
    low_s, high_s = min(min(s[0, 0], s[0, 1]), min(s[1, 0], s[1, 1])), s.max()
    for i in range(int(np.rint(low_t)) - first_t, int(np.rint(high_t)) - first_t + 1):
        for j in range(int(np.rint(low_s)) - first_s, int(np.rint(high_s)) - first_s + 1):
            folded[i, j] = True


@njit(nogil=True, cache=True)
def _accumulate(  # type: ignore[no-untyped-def]
    along, across, height, lit, lattice, step, far_t, far_s, first_t, first_s, area, folded
):
    """Add facets row by row: first what each is, on vectors, then where it goes."""
    rows, cols = height.shape
    terms = np.empty((lattice.shape[1], 3))
    orientation = lattice[0, 0, 4]
    cells, wide = area.ravel(), area.shape[1]
    at_t, at_s = np.empty(cols - 1), np.empty(cols - 1)
    value, kind = np.empty(cols - 1, np.float32), np.empty(cols - 1, np.uint8)
    for i in range(rows - 1):
        _interpolate_row(lattice, (i + 0.5) / step, terms)
        t, s, h, light = along[i : i + 2], across[i : i + 2], height[i : i + 2], lit[i : i + 2]
        _describe(t, s, h, light, terms, step, far_t, far_s, orientation, at_t, at_s, value, kind)
        for j in range(cols - 1):
            if kind[j] & _MANY:
                corners = t[:, j : j + 2], s[:, j : j + 2], h[:, j : j + 2]
                seen = _in_parts(
                    *corners, terms, step, j, far_t, far_s, cells, wide, first_t, first_s
                )
            else:
                seen = value[j] > 0
                if seen:
                    _spread(cells, wide, first_t, first_s, at_t[j], at_s[j], value[j])
            if seen and kind[j] & _BACK:
                _fold(folded, first_t, first_s, t[:, j : j + 2], s[:, j : j + 2])


@njit(nogil=True, cache=True)
def _describe(  # type: ignore[no-untyped-def]
    t, s, h, lit, terms, step, far_t, far_s, orientation, at_t, at_s, value, kind
):
    """Middle, area and kind of each facet of a row; an area of 0 where there is none."""
    cols = len(value)
    none = np.float32(0)
    for c in range(terms.shape[0] - 1):
        base = c * step
        a0, b0, c0 = terms[c, 0], terms[c, 1], terms[c, 2]
        da = (terms[c + 1, 0] - a0) / step
        db = (terms[c + 1, 1] - b0) / step
        dc = (terms[c + 1, 2] - c0) / step
        for j in range(base, min(base + step, cols)):  # without branches: it runs on vectors
            t00, t01, t10, t11 = t[0, j], t[0, j + 1], t[1, j], t[1, j + 1]
            s00, s01, s10, s11 = s[0, j], s[0, j + 1], s[1, j], s[1, j + 1]
            tx0, tx1, ty0, ty1 = t01 - t00, t11 - t10, t10 - t00, t11 - t01
            sx0, sx1, sy0, sy1 = s01 - s00, s11 - s10, s10 - s00, s11 - s01
            f = (j - base) + 0.5
            h00, h01, h10, h11 = h[0, j], h[0, j + 1], h[1, j], h[1, j + 1]
            rise_x = 0.5 * ((h01 - h00) + (h11 - h10))
            rise_y = 0.5 * ((h10 - h00) + (h11 - h01))
            seen = (a0 + da * f) + (b0 + db * f) * rise_x + (c0 + dc * f) * rise_y
            # NaN compares as false: a facet with a corner missing is none
            many = (abs(sx0) > far_s) | (abs(sx1) > far_s) | (abs(sy0) > far_s) | (abs(sy1) > far_s)
            many |= (
                (abs(tx0) > far_t) | (abs(tx1) > far_t) | (abs(ty0) > far_t) | (abs(ty1) > far_t)
            )
            back = ((tx0 + tx1) * (sy0 + sy1) - (ty0 + ty1) * (sx0 + sx1)) * orientation < 0
            dark = np.uint8(lit[0, j]) + np.uint8(lit[0, j + 1])
            dark += np.uint8(lit[1, j]) + np.uint8(lit[1, j + 1])
            known = (seen == seen) & (dark >= 3)
            at_t[j] = 0.25 * ((t00 + t01) + (t10 + t11))
            at_s[j] = 0.25 * ((s00 + s01) + (s10 + s11))
            value[j] = np.float32(seen) if known & (seen > 0) else none
            kind[j] = (_MANY if many & known else 0) | (_BACK if back & known else 0)


@njit(nogil=True, cache=True)
def _in_parts(t, s, h, terms, step, j, far_t, far_s, cells, wide, first_t, first_s):  # type: ignore[no-untyped-def]
    """Add a facet that reaches over several cells in parts; whether any of it is seen."""
    c = min(j // step, terms.shape[0] - 2)
    f = (j - c * step + 0.5) / step
    a, b, d = terms[c] * (1 - f) + terms[c + 1] * f
    t00, t01, t10, t11 = t[0, 0], t[0, 1], t[1, 0], t[1, 1]
    s00, s01, s10, s11 = s[0, 0], s[0, 1], s[1, 0], s[1, 1]
    h00, h01, h10, h11 = h[0, 0], h[0, 1], h[1, 0], h[1, 1]
    nx = _count(
        max(abs(t01 - t00), abs(t11 - t10)), far_t, max(abs(s01 - s00), abs(s11 - s10)), far_s
    )
    ny = _count(
        max(abs(t10 - t00), abs(t11 - t01)), far_t, max(abs(s10 - s00), abs(s11 - s01)), far_s
    )
    seen = False
    for p in range(ny):
        v = (p + 0.5) / ny
        tl, sl = t00 + (t10 - t00) * v, s00 + (s10 - s00) * v
        td, sd = t01 + (t11 - t01) * v - tl, s01 + (s11 - s01) * v - sl
        here = a + b * ((h01 - h00) * (1 - v) + (h11 - h10) * v)
        for q in range(nx):
            u = (q + 0.5) / nx
            value = (here + d * ((h10 - h00) * (1 - u) + (h11 - h01) * u)) / (nx * ny)
            if value > 0:
                seen = True
                place = tl + td * u, sl + sd * u
                _spread(cells, wide, first_t, first_s, *place, np.float32(value))
    return seen


class Seen(NamedTuple):
    """What is seen of pixels; filled by `gather`.

    Attributes
    ----------
    ratio : float32, shape (y, x)
        ``A_gamma / A_beta``: divide beta nought by it. On level ground it is the cotangent of the
        incidence angle. NaN in shadow and where nothing is known.
    layover, shadow : bool, shape (y, x)
    wanted : bool, shape (y, x)
        Pixels that are still to be filled.
    """

    ratio: NDArray[np.float32]
    layover: NDArray[np.bool_]
    shadow: NDArray[np.bool_]
    wanted: NDArray[np.bool_]

    @classmethod
    def nothing(cls, wanted: NDArray[np.bool_]) -> Seen:
        """Everything that is wanted, and nothing seen yet."""
        shape = wanted.shape
        dark, folded = np.zeros(shape, "bool"), np.zeros(shape, "bool")
        return cls(np.full(shape, np.nan, "float32"), folded, dark, wanted)

    def part(self, rows: slice, cols: slice) -> Seen:
        """Views of a part; what is filled there is filled here."""
        return Seen(
            self.ratio[rows, cols],
            self.layover[rows, cols],
            self.shadow[rows, cols],
            self.wanted[rows, cols],
        )


def gather(
    cells: Cells,
    plane: tuple[NDArray[np.float64], NDArray[np.float64]],
    lit: NDArray[np.bool_],
    lattice: NDArray[np.float64],
    step: int,
    offset: tuple[int, int],
    limits: tuple[float, float],
    seen: Seen,
) -> None:
    """Look up what is seen of the pixels that are wanted, and cross them off.

    A pixel that is lit, but whose cell holds less than `LEAST_SHARE` of the area of level ground,
    counts as shadow: dividing by so little would only blow up noise.

    Parameters
    ----------
    cells : Cells
    plane : (T, S) : float64, shape (rows, cols)
        Of a block with its halo.
    lit : bool, shape (rows, cols)
    lattice, step
        As for `accumulate`.
    offset : (row, col)
        Of the first pixel of `seen` in the plane.
    limits : (first, last)
        T that the orbit reaches; pixels beyond are left for another.
    seen : Seen
        Filled in place.
    """
    _gather(
        cells.area, cells.folded, *cells.origin, *plane, lit, lattice, step, *offset, *limits, *seen
    )


@njit(nogil=True, cache=True)
def _gather(  # type: ignore[no-untyped-def]
    area, folded, first_t, first_s, along, across, lit, lattice, step, row0, col0, low, high,
    ratio, layover, shadow, wanted,
):  # fmt: skip
    rows, cols = ratio.shape
    level = np.empty((lattice.shape[1], 1))
    one = np.float32(1)
    for i in range(rows):
        _interpolate_row(lattice, (row0 + i) / step, level)
        for j in range(cols):
            t, s = along[row0 + i, col0 + j], across[row0 + i, col0 + j]
            if not (wanted[i, j] and low <= t <= high):
                continue
            wanted[i, j] = False
            if not lit[row0 + i, col0 + j]:
                shadow[i, j] = True
                continue
            t0, s0 = np.floor(t), np.floor(s)
            k, m = int(t0) - first_t, int(s0) - first_s
            ft, fs = np.float32(t - t0), np.float32(s - s0)
            top = area[k, m] * (one - fs) + area[k, m + 1] * fs
            bottom = area[k + 1, m] * (one - fs) + area[k + 1, m + 1] * fs
            value = top * (one - ft) + bottom * ft
            c = min((col0 + j) // step, level.shape[0] - 2)
            f = (col0 + j) / step - c
            if value >= LEAST_SHARE * (level[c, 0] * (1 - f) + level[c + 1, 0] * f):
                ratio[i, j] = value
                layover[i, j] = folded[int(np.rint(t)) - first_t, int(np.rint(s)) - first_s]
            else:
                shadow[i, j] = True
