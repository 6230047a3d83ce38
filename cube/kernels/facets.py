"""Facets of the ground added up in the cells of the radar plane, and cells looked up again.

What is added, and where, is told by `cube.kernels.flatten`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cube.kernels.compiled import compiled, inlined
from cube.kernels.flatten import plane_bounds

__all__ = ["Cells", "Seen", "accumulate", "gather"]

LEAST_SHARE = 0.05
"""Cells with less than this share of level ground's area hold no signal to be corrected: shadow."""
_MOST_PARTS = 64  # of a facet along one axis: a cliff of 75 cells


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


@inlined
def _corners(values, i, j):  # type: ignore[no-untyped-def]
    """Of a facet; no view is made, which would take as long as the facet."""
    return values[i, j], values[i, j + 1], values[i + 1, j], values[i + 1, j + 1]


@compiled
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


@compiled
def _fold(folded, first_t, first_s, along, across, i, j):  # type: ignore[no-untyped-def]
    """Mark every cell between a facet's corners."""
    t00, t01, t10, t11 = _corners(along, i, j)
    s00, s01, s10, s11 = _corners(across, i, j)
    low_t, high_t = min(min(t00, t01), min(t10, t11)), max(max(t00, t01), max(t10, t11))
    low_s, high_s = min(min(s00, s01), min(s10, s11)), max(max(s00, s01), max(s10, s11))
    for k in range(int(np.rint(low_t)) - first_t, int(np.rint(high_t)) - first_t + 1):
        for m in range(int(np.rint(low_s)) - first_s, int(np.rint(high_s)) - first_s + 1):
            folded[k, m] = True


@compiled
def _accumulate(  # type: ignore[no-untyped-def]
    along, across, height, lit, lattice, step, far_t, far_s, first_t, first_s, area, folded
):
    """Add facets row by row: first what each is, on vectors, then where it goes."""
    rows, cols = height.shape
    table = _along_columns(lattice[:, :, :3], step, 0.5, cols - 1)
    orientation = lattice[0, 0, 4]
    cells, wide = area.ravel(), area.shape[1]
    terms, at = np.empty((3, cols - 1)), np.empty((2, cols - 1))
    turn, value = np.empty(cols - 1), np.empty(cols - 1)
    down, broad = np.empty(cols - 1), np.empty(cols - 1)
    for i in range(rows - 1):
        _between(table, (i + 0.5) / step, terms)
        _middle(along[i], along[i + 1], at[0])
        _middle(across[i], across[i + 1], at[1])
        _facet_areas(height[i], height[i + 1], lit[i], lit[i + 1], terms, value)
        sides = along[i], along[i + 1], 1 / far_t, across[i], across[i + 1], 1 / far_s
        _parts_down(*sides, down)
        _parts_across(*sides, broad)
        _turned(along[i], along[i + 1], across[i], across[i + 1], orientation, turn)
        for j in range(cols - 1):
            if value[j] != value[j]:
                continue
            if down[j] + broad[j] > 2:
                a, b, c = terms[0, j], terms[1, j], terms[2, j]
                seen = _in_parts(
                    along, across, height, i, j, a, b, c, down[j], broad[j],
                    cells, wide, first_t, first_s,
                )  # fmt: skip
            else:
                seen = value[j] > 0
                if seen:
                    _spread(cells, wide, first_t, first_s, at[0, j], at[1, j], np.float32(value[j]))
            if seen and turn[j] < 0:
                _fold(folded, first_t, first_s, along, across, i, j)


@compiled
def _along_columns(lattice, step, first, cols):  # type: ignore[no-untyped-def]
    """Terms of a lattice's rows at the columns from `first` on, shape (rows, terms, cols)."""
    out = np.empty((lattice.shape[0], lattice.shape[2], cols))
    for r in range(out.shape[0]):
        for k in range(out.shape[1]):
            for j in range(cols):
                c = min(int(first + j) // step, lattice.shape[1] - 2)
                f = (first + j) / step - c
                out[r, k, j] = lattice[r, c, k] * (1 - f) + lattice[r, c + 1, k] * f
    return out


# Each of these fills one array from few others: with more, the compiler gives up proving that
# they do not overlap, and leaves the loop to one facet at a time. Hence no branches either.


@compiled
def _between(table, at, out):  # type: ignore[no-untyped-def]
    """Terms at a fractional row."""
    r = min(int(at), table.shape[0] - 2)
    f = at - r
    for k in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[k, j] = table[r, k, j] * (1 - f) + table[r + 1, k, j] * f


@compiled
def _middle(top, bottom, out):  # type: ignore[no-untyped-def]
    """Mean of the corners."""
    for j in range(len(out)):
        out[j] = 0.25 * ((top[j] + top[j + 1]) + (bottom[j] + bottom[j + 1]))


@compiled
def _facet_areas(top, bottom, lit_top, lit_bottom, terms, out):  # type: ignore[no-untyped-def]
    """Area that is seen, below 0 where it faces away; NaN where a corner is missing or two dark."""
    a, b, c = terms
    for j in range(len(out)):
        h00, h01, h10, h11 = top[j], top[j + 1], bottom[j], bottom[j + 1]
        rise_x = 0.5 * ((h01 - h00) + (h11 - h10))
        rise_y = 0.5 * ((h10 - h00) + (h11 - h01))
        out[j] = a[j] + b[j] * rise_x + c[j] * rise_y
    for j in range(len(out)):
        light = np.uint8(lit_top[j]) + np.uint8(lit_top[j + 1])
        light += np.uint8(lit_bottom[j]) + np.uint8(lit_bottom[j + 1])
        out[j] = out[j] if light >= 3 else np.nan


@compiled
def _parts_across(t_top, t_bottom, per_t, s_top, s_bottom, per_s, out):  # type: ignore[no-untyped-def]
    """Parts of facets along the columns, from how far their upper and lower sides reach."""
    for j in range(len(out)):
        t = max(abs(t_top[j + 1] - t_top[j]), abs(t_bottom[j + 1] - t_bottom[j]))
        s = max(abs(s_top[j + 1] - s_top[j]), abs(s_bottom[j + 1] - s_bottom[j]))
        out[j] = min(max(np.ceil(max(t * per_t, s * per_s)), 1.0), _MOST_PARTS)


@compiled
def _parts_down(t_top, t_bottom, per_t, s_top, s_bottom, per_s, out):  # type: ignore[no-untyped-def]
    """Parts of facets along the rows, from how far their left and right sides reach."""
    for j in range(len(out)):
        t = max(abs(t_bottom[j] - t_top[j]), abs(t_bottom[j + 1] - t_top[j + 1]))
        s = max(abs(s_bottom[j] - s_top[j]), abs(s_bottom[j + 1] - s_top[j + 1]))
        out[j] = min(max(np.ceil(max(t * per_t, s * per_s)), 1.0), _MOST_PARTS)


@compiled
def _turned(t_top, t_bottom, s_top, s_bottom, orientation, out):  # type: ignore[no-untyped-def]
    """Below 0 where range shrinks along the ground."""
    for j in range(len(out)):
        t00, t01, t10, t11 = t_top[j], t_top[j + 1], t_bottom[j], t_bottom[j + 1]
        s00, s01, s10, s11 = s_top[j], s_top[j + 1], s_bottom[j], s_bottom[j + 1]
        t_x, t_y = (t01 - t00) + (t11 - t10), (t10 - t00) + (t11 - t01)
        s_x, s_y = (s01 - s00) + (s11 - s10), (s10 - s00) + (s11 - s01)
        out[j] = (t_x * s_y - t_y * s_x) * orientation


@inlined
def _in_parts(  # type: ignore[no-untyped-def]
    along, across, height, i, j, a, b, d, down, broad, cells, wide, first_t, first_s
):
    """Add a facet that reaches over several cells in parts; whether any of it is seen."""
    t00, t01, t10, t11 = _corners(along, i, j)
    s00, s01, s10, s11 = _corners(across, i, j)
    h00, h01, h10, h11 = _corners(height, i, j)
    per_v, per_u = 1 / down, 1 / broad
    share = per_v * per_u
    seen = False
    for p in range(int(down)):
        v = (p + 0.5) * per_v
        tl, sl = t00 + (t10 - t00) * v, s00 + (s10 - s00) * v
        td, sd = t01 + (t11 - t01) * v - tl, s01 + (s11 - s01) * v - sl
        here = a + b * ((h01 - h00) * (1 - v) + (h11 - h10) * v)
        for q in range(int(broad)):
            u = (q + 0.5) * per_u
            value = (here + d * ((h10 - h00) * (1 - u) + (h11 - h01) * u)) * share
            if value > 0:
                seen = True
                t, s = tl + td * u, sl + sd * u
                _spread(cells, wide, first_t, first_s, t, s, np.float32(value))
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


@compiled
def _gather(  # type: ignore[no-untyped-def]
    area, folded, first_t, first_s, along, across, lit, lattice, step, row0, col0, low, high,
    ratio, layover, shadow, wanted,
):  # fmt: skip
    rows, cols = ratio.shape
    table = _along_columns(lattice[:, :, :1], step, col0, cols)
    level = np.empty((1, cols))
    one, next_ = np.float32(1), np.uint64(1)
    for i in range(rows):
        _between(table, (row0 + i) / step, level)
        for j in range(cols):
            t, s = along[row0 + i, col0 + j], across[row0 + i, col0 + j]
            if not (wanted[i, j] and low <= t <= high):
                continue
            wanted[i, j] = False
            if not lit[row0 + i, col0 + j]:
                shadow[i, j] = True
                continue
            t0, s0 = np.floor(t), np.floor(s)
            k, m = np.uint64(int(t0) - first_t), np.uint64(int(s0) - first_s)
            ft, fs = np.float32(t - t0), np.float32(s - s0)
            top = area[k, m] * (one - fs) + area[k, m + next_] * fs
            bottom = area[k + next_, m] * (one - fs) + area[k + next_, m + next_] * fs
            value = top * (one - ft) + bottom * ft
            if value >= LEAST_SHARE * level[0, j]:
                ratio[i, j] = value
                layover[i, j] = folded[int(np.rint(t)) - first_t, int(np.rint(s)) - first_s]
            else:
                shadow[i, j] = True
