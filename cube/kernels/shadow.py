"""Where the ground hides from the radar behind other ground.

Along a ray (one azimuth time, from near to far) the angle off nadir at which the satellite sees
the ground grows, unless something nearer stands in the way: a pixel lies in shadow where anything
nearer is seen at a larger angle (Kropatsch & Strobl 1990, doi:10.1109/36.45752). Rays are bins of
half a cell along the track and one cell along the ground, in absolute coordinates; what is kept of
a bin is its largest angle. Neither the order of pixels nor the block they come in matters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cube.kernels.compiled import compiled
from cube.kernels.flatten import View, plane_bounds

__all__ = ["in_shadow", "may_hide"]

_RAYS = 2
"""Rays a cell: within one, a slope along the track hides nothing of itself."""
_CLEAR = 2
"""Bins in front of a pixel that do not count: nearer than one cell only rounding would hide it.
A slope that faces away has no illuminated area, which is how the cells behind a crest are told."""


def in_shadow(
    view: View,
    plane: tuple[NDArray[np.float64], NDArray[np.float64]],
    height: NDArray[np.float32],
    lattice: NDArray[np.float64],
    step: int,
) -> NDArray[np.bool_]:
    """Pixels that something nearer hides.

    Parameters
    ----------
    view : View
    plane : (T, S) : float64, shape (y, x)
        Of the pixel centres, from `cube.kernels.flatten.plane_coordinates`; NaN where missing.
    height : float32, shape (y, x)
        Metres above the ellipsoid.
    lattice : float64, shape (rows, cols, 5)
        Of `cube.kernels.flatten.sight_terms` at every `step` pixels from the first pixel centre, to
        the last one or beyond it.
    step : int

    Returns
    -------
    bool, shape (y, x)
        False where the height is missing: what it hides is not known.
    """
    along, across = plane
    out = np.zeros(height.shape, "bool")
    t0, t1, _, _ = plane_bounds(along, across)
    if not t0 <= t1:
        return out
    first = _RAYS * int(t0), int(np.floor(lattice[..., 3].min())) - 1
    last = _RAYS * (int(t1) + 1), int(np.ceil(lattice[..., 3].max())) + 1
    highest = np.full((last[0] - first[0] + 1, last[1] - first[1] + 1), -2.0, "float32")
    angle = np.empty(height.shape, "float32")
    shape = view.satellite_m, view.earth_m, view.cell_m[1]
    _collect(along, across, height, lattice, step, *shape, *first, highest, angle)
    _spread_far(highest)
    _compare(along, angle, lattice, step, *first, highest, out)
    return out


@compiled
def _steepest(height, size_y, size_x):  # type: ignore[no-untyped-def]
    rows, cols = height.shape
    by_y, by_x = np.float32(1 / size_y**2), np.float32(1 / size_x**2)
    most = np.float32(0)
    for i in range(rows - 1):
        for j in range(cols - 1):
            right, down = height[i, j + 1] - height[i, j], height[i + 1, j] - height[i, j]
            slope = right * right * by_x + down * down * by_y
            most = max(most, slope)  # a missing height leaves it as it is
    return most


def may_hide(height: NDArray[np.float32], size_y: float, size_x: float, angle_deg: float) -> bool:
    """Whether ground is steep enough anywhere to hide other ground, or to seem to.

    Ground hides ground only where it faces away from the radar: where it falls more steeply than
    90 degrees less the incidence angle. Rays have a width, so ground that is a fifth less steep
    is looked at too; below that `in_shadow` finds nothing, and need not be asked.

    Parameters
    ----------
    height : float32, shape (y, x)
        Metres.
    size_y, size_x : float
        Of a pixel, metres.
    angle_deg : float
        Largest incidence angle of the image.

    Examples
    --------
    >>> hill = np.float32([[0, 0, 0], [0, 5, 0], [0, 0, 0]])
    >>> may_hide(hill, 10.0, 10.0, 45.0), may_hide(4 * hill, 10.0, 10.0, 45.0)
    (False, True)
    """
    limit = 0.8 / np.tan(np.radians(angle_deg))
    return bool(_steepest(height, size_y, size_x) > limit**2)


@compiled
def _off_nadir(s, height, near, far, pixel):  # type: ignore[no-untyped-def]
    """Negative cosine of the angle off nadir: it grows with the angle."""
    g2 = (s * pixel / far) ** 2
    cosine = 1 - g2 * (0.5 - g2 * (1 / 24 - g2 / 720))  # of up to 0.2: 1e-10
    r2 = near * near + far * far - 2 * near * far * cosine
    place = far + height
    return np.float32(-(near * near - place * place + r2) / (2 * near * np.sqrt(r2)))


@compiled
def _levels(lattice, at, out):  # type: ignore[no-untyped-def]
    r = min(int(at), lattice.shape[0] - 2)
    f = at - r
    for c in range(len(out)):
        out[c] = lattice[r, c, 3] * (1 - f) + lattice[r + 1, c, 3] * f


@compiled
def _collect(along, across, height, lattice, step, near, far, pixel, ray0, bin0, highest, angle):  # type: ignore[no-untyped-def]
    rows, cols = height.shape
    level = np.empty(lattice.shape[1])
    for i in range(rows):
        _levels(lattice, i / step, level)
        for c in range(len(level) - 1):
            start, rise = level[c], (level[c + 1] - level[c]) / step
            for j in range(c * step, min((c + 1) * step, cols)):
                s = across[i, j]
                if s == s:
                    ray = int(np.floor(_RAYS * along[i, j])) - ray0
                    place = int(np.floor(start + rise * (j - c * step))) - bin0
                    angle[i, j] = _off_nadir(s, height[i, j], near, far, pixel)
                    highest[ray, place] = max(highest[ray, place], angle[i, j])


@compiled
def _spread_far(highest):  # type: ignore[no-untyped-def]
    """Replace each bin by the largest angle of the bins in front of it, but for the nearest."""
    rays, bins = highest.shape
    before = np.empty(_CLEAR, np.float32)
    for k in range(rays):
        before[:] = np.float32(-2)
        most = np.float32(-2)
        for m in range(bins):
            own = highest[k, m]
            most = max(most, before[m % _CLEAR])
            before[m % _CLEAR] = own
            highest[k, m] = most


@compiled
def _compare(along, angle, lattice, step, ray0, bin0, highest, out):  # type: ignore[no-untyped-def]
    rows, cols = angle.shape
    level = np.empty(lattice.shape[1])
    for i in range(rows):
        _levels(lattice, i / step, level)
        for c in range(len(level) - 1):
            start, rise = level[c], (level[c + 1] - level[c]) / step
            for j in range(c * step, min((c + 1) * step, cols)):
                if along[i, j] == along[i, j]:
                    ray = int(np.floor(_RAYS * along[i, j])) - ray0
                    place = int(np.floor(start + rise * (j - c * step))) - bin0
                    out[i, j] = angle[i, j] < highest[ray, place]
