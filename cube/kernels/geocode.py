"""Where the pixels of a map tile lie in a radar image, and at which angle it saw them."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cube.kernels.doppler import zero_doppler
from cube.kernels.ellipsoid import to_ecef
from cube.kernels.groundrange import GroundRangeImage, to_image
from cube.kernels.orbit import Orbit
from cube.kernels.proxy import NODES, evaluate3, fit3, nodes

__all__ = ["image_coordinates", "local_incidence", "sight_lattice"]


def image_coordinates(
    orbit: Orbit,
    image: GroundRangeImage,
    lon: NDArray[np.float64],
    lat: NDArray[np.float64],
    height: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Line and sample of every pixel of a tile.

    The range-Doppler equations are solved exactly at Chebyshev nodes of the tile and of its
    range of heights, and evaluated as a tensor polynomial (see `cube.kernels.proxy`).

    Parameters
    ----------
    orbit : Orbit
    image : GroundRangeImage
    lon, lat : float64, shape (8, 8)
        Degrees at the tile's Chebyshev nodes (y, x).
    height : float32, shape (y, x)
        Metres above the ellipsoid at the pixel centres; NaN where unknown.

    Returns
    -------
    line, sample : float64, shape (y, x)
        NaN where the height is unknown. They may lie outside the image.

    Raises
    ------
    ConvergenceError
        The tile is far outside what the orbit arc sees.
    """
    line = np.full(height.shape, np.nan)
    sample = np.full(height.shape, np.nan)
    if not np.isfinite(height).any():
        return line, sample
    low, high = float(np.nanmin(height)) - 1.0, float(np.nanmax(height)) + 1.0
    middle, half = (low + high) / 2, (high - low) / 2
    levels = middle + nodes(NODES[2]) * half
    points = to_ecef(lon[..., None], lat[..., None], levels)
    time, slant = zero_doppler(orbit, points)
    evaluate3(fit3(time), height, middle, half, line)
    evaluate3(fit3(slant), height, middle, half, sample)
    to_image(image, line, sample)
    return line, sample


def sight_lattice(
    orbit: Orbit,
    image: GroundRangeImage,
    points: NDArray[np.float64],
    axis_x: NDArray[np.float64],
    axis_y: NDArray[np.float64],
    up: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Direction to the satellite and image coordinates at points of a lattice.

    Parameters
    ----------
    orbit : Orbit
    image : GroundRangeImage
    points : float64, shape (rows, cols, 3)
        Earth-fixed metres on the surface.
    axis_x, axis_y, up : float64, shape (rows, cols, 3)
        Unit vectors of the map axes and of the ellipsoid's normal, Earth-fixed.

    Returns
    -------
    float64, shape (rows, cols, 5)
        Sight vector along x, y and up, then line and sample.
    """
    time, slant = zero_doppler(orbit, points)
    position = orbit.state(time)[0]
    sight = (position - points) / slant[..., None]
    # one row per point: the slant range interval of the inversion stays narrow
    line, sample = time.reshape(-1, 1).copy(), slant.reshape(-1, 1).copy()
    to_image(image, line, sample)
    parts = [(sight * axis).sum(-1) for axis in (axis_x, axis_y, up)]
    parts += [line.reshape(time.shape), sample.reshape(time.shape)]
    return np.stack(parts, axis=-1)


@njit(nogil=True, cache=True)
def _local_incidence(height, lattice, step, size_x, size_y, lines, samples, out):  # type: ignore[no-untyped-def]
    rows, cols = out.shape
    rad = 180.0 / np.pi
    last_r, last_c = lattice.shape[0] - 2, lattice.shape[1] - 2
    v = np.empty(7)
    for i in range(rows):
        r = min(i // step, last_r)
        fy = i / step - r
        for j in range(cols):
            if out[i, j] == out[i, j]:
                continue
            c = min(j // step, last_c)
            fx = j / step - c
            for k in range(7):
                top = lattice[r, c, k] * (1 - fx) + lattice[r, c + 1, k] * fx
                low = lattice[r + 1, c, k] * (1 - fx) + lattice[r + 1, c + 1, k] * fx
                v[k] = top * (1 - fy) + low * fy
            if not (0 <= v[3] <= lines - 1 and 0 <= v[4] <= samples - 1):
                continue
            # Horn's slopes on the height with one pixel of halo; row 0 is north
            z = height
            dx = (
                z[i, j + 2] + 2 * z[i + 1, j + 2] + z[i + 2, j + 2]
                - z[i, j] - 2 * z[i + 1, j] - z[i + 2, j]
            ) / (8 * size_x * v[5])  # fmt: skip
            dy = (
                z[i, j] + 2 * z[i, j + 1] + z[i, j + 2]
                - z[i + 2, j] - 2 * z[i + 2, j + 1] - z[i + 2, j + 2]
            ) / (8 * size_y * v[6])  # fmt: skip
            cosine = (v[2] - dx * v[0] - dy * v[1]) / np.sqrt(1 + dx * dx + dy * dy)
            norm = np.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2])
            out[i, j] = np.arccos(min(1.0, max(-1.0, cosine / norm))) * rad


def local_incidence(
    height: NDArray[np.float32],
    lattice: NDArray[np.float64],
    step: int,
    pixel: tuple[float, float],
    image_shape: tuple[int, int],
    out: NDArray[np.float32],
) -> None:
    """Angle between the surface normal and the direction to the satellite, where still NaN.

    Parameters
    ----------
    height : float32, shape (y + 2, x + 2)
        Metres, with one pixel of halo.
    lattice : float64, shape (rows, cols, 7)
        Of `sight_lattice` at every `step` pixels from the first pixel centre, then metres per
        map unit along x and y; interpolated bilinearly.
    step : int
        Pixels between lattice points.
    pixel : (y, x)
        Pixel size in map units.
    image_shape : (lines, samples)
        Pixels seen outside the image are left NaN.
    out : float32, shape (y, x)
        Degrees, filled in place.
    """
    _local_incidence(height, lattice, step, pixel[1], pixel[0], *image_shape, out)
