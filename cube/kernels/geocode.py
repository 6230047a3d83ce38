"""Where the pixels of a map tile lie in a radar image, and at which angle it saw them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cube.kernels.compiled import compiled
from cube.kernels.delay import path_delay
from cube.kernels.doppler import zero_doppler
from cube.kernels.ellipsoid import normals, to_ecef
from cube.kernels.groundrange import GroundRangeImage, slant_limits, to_image
from cube.kernels.orbit import Orbit
from cube.kernels.proxy import NODES, evaluate3, fit3, nodes
from cube.kernels.resample import to_centres

__all__ = ["image_coordinates", "local_incidence", "range_doppler", "sight_lattice"]


def image_coordinates(
    orbit: Orbit,
    image: GroundRangeImage,
    lon: NDArray[np.float64],
    lat: NDArray[np.float64],
    height: NDArray[np.float32],
    *,
    delay: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Line and sample of every pixel of a tile.

    The range-Doppler equations are solved exactly at Chebyshev nodes of the tile and of its
    range of heights, and evaluated as a tensor polynomial (see `cube.kernels.proxy`).

    A pixel is an area: what lies on the outer half of the image's outermost pixels is brought to
    their centres, so that slices which follow each other line by line join without a gap.

    Parameters
    ----------
    orbit : Orbit
    image : GroundRangeImage
    lon, lat : float64, shape (8, 8)
        Degrees at the tile's Chebyshev nodes (y, x).
    height : float32, shape (y, x)
        Metres above the ellipsoid at the pixel centres; NaN where unknown.
    delay : bool
        Whether echoes come late by a standard troposphere (see `cube.kernels.delay`).

    Returns
    -------
    (line, sample) : float64, shape (y, x), or None
        NaN where the height is unknown; they may lie outside the image. None where no pixel of
        the tile lies inside, or the tile lies on the left of the track.

    Raises
    ------
    ConvergenceError
        The tile is far outside what the orbit arc sees.
    """
    found = range_doppler(
        orbit, lon, lat, height, lambda time, slant: _misses(image, time, slant), delay=delay
    )
    if found is None:
        return None
    line, sample = found
    to_image(image, line, sample)
    to_centres(line, image.shape[0])
    to_centres(sample, image.shape[1])
    return line, sample


def range_doppler(
    orbit: Orbit,
    lon: NDArray[np.float64],
    lat: NDArray[np.float64],
    height: NDArray[np.float32],
    beyond: Callable[[NDArray[np.float64], NDArray[np.float64]], bool],
    *,
    delay: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Zero-Doppler time and slant range of every pixel of a tile.

    Parameters
    ----------
    orbit, lon, lat, height, delay
        See `image_coordinates`.
    beyond : callable
        Whether times and ranges at the tile's nodes show that no pixel of it is wanted.

    Returns
    -------
    (time, slant) : float64, shape (y, x), or None
        Seconds after the epoch and metres; NaN where the height is unknown. None where no pixel is
        wanted, or the tile lies on the left of the track.

    Raises
    ------
    ConvergenceError
        The tile is far outside what the orbit arc sees.
    """
    low, high = float(np.nanmin(height)) - 1.0, float(np.nanmax(height)) + 1.0
    middle, half = (low + high) / 2, (high - low) / 2
    levels = middle + nodes(NODES[2]) * half
    points = to_ecef(lon[..., None], lat[..., None], levels)
    time, slant = zero_doppler(orbit, points)
    if delay:
        up = normals(lon, lat)[..., None, :]
        slant = slant + path_delay(points, up, orbit.state(time)[0], levels)
    if beyond(time, slant) or _on_the_left(orbit, points[0, 0, 0], time[0, 0, 0]):
        return None
    rows, cols = height.shape
    height = np.ascontiguousarray(height)  # part of a block is not; so it runs on vectors
    found = np.empty((rows, cols)), np.empty((rows, cols))
    for values, out in zip((time, slant), found, strict=True):
        evaluate3(fit3(values), rows, cols, 0, 0, height, middle, half, out)
    return found


def _misses(image: GroundRangeImage, time: NDArray[np.float64], slant: NDArray[np.float64]) -> bool:
    """Whether all points lie beyond the same edge of the image, with a margin for those between."""
    near, far = slant_limits(image)
    spread_s, spread_m = 0.05 * np.ptp(time) + 0.01, 0.05 * np.ptp(slant) + 50.0
    last = image.first_line_s + image.shape[0] * image.line_step_s
    return bool(
        time.max() < image.first_line_s - spread_s
        or time.min() > last + spread_s
        or slant.max() < near - spread_m
        or slant.min() > far + spread_m
    )


def _on_the_left(orbit: Orbit, point: NDArray[np.float64], time: np.float64) -> bool:
    """Whether a point lies on the left of the track, where time and range look as on the right.

    Sentinel-1 looks to the right (ESA, Sentinel-1 SAR User Guide); an image's own tiles lie some
    500 km beside the track, so one point speaks for its tile.
    """
    position, velocity, _ = orbit.state(np.asarray(time))
    return bool(np.dot(point - position, np.cross(velocity, position)) < 0)


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
        Sight vector along x, y and up, then line and sample (NaN on the left of the track).
    """
    time, slant = zero_doppler(orbit, points)
    position = orbit.state(time)[0]
    sight = (position - points) / slant[..., None]
    line, sample = time.copy(), slant.copy()
    to_image(image, line, sample)
    if _on_the_left(orbit, points[0, 0], time[0, 0]):
        line[:], sample[:] = np.nan, np.nan
    parts = [(sight * axis).sum(-1) for axis in (axis_x, axis_y, up)]
    return np.stack([*parts, line, sample], axis=-1)


@compiled
def _arccos(x):  # type: ignore[no-untyped-def]
    """Arc cosine to 2e-8 radian (Abramowitz & Stegun 1964, eq. 4.4.46); NaN stays NaN."""
    u = abs(x)
    u = 1.0 if u > 1.0 else u
    p = -0.0012624911
    p = p * u + 0.0066700901
    p = p * u - 0.0170881256
    p = p * u + 0.0308918810
    p = p * u - 0.0501743046
    p = p * u + 0.0889789874
    p = p * u - 0.2145988016
    p = p * u + 1.5707963050
    angle = p * np.sqrt(1 - u)
    return np.pi - angle if x < 0 else angle


@compiled
def _lattice_row(lattice, row, step, start, rise):  # type: ignore[no-untyped-def]
    """A lattice's fields at a row of pixels: at its columns, and by how much they grow a pixel."""
    r = min(row // step, lattice.shape[0] - 2)
    f = row / step - r
    for c in range(start.shape[1]):
        for k in range(start.shape[0]):
            start[k, c] = lattice[r, c, k] * (1 - f) + lattice[r + 1, c, k] * f
    for k in range(start.shape[0]):
        for c in range(start.shape[1] - 1):
            rise[k, c] = (start[k, c + 1] - start[k, c]) / step


@compiled
def _horn(north, here, south, east, up):  # type: ignore[no-untyped-def]
    """Horn's weighted differences of a row of heights with a pixel of halo; row 0 is north."""
    two = np.float32(2)
    for j in range(len(east)):
        east[j] = (
            (north[j + 2] - north[j]) + two * (here[j + 2] - here[j]) + south[j + 2] - south[j]
        )
        up[j] = (
            (north[j] - south[j])
            + two * (north[j + 1] - south[j + 1])
            + north[j + 2]
            - south[j + 2]
        )


@compiled
def _local_incidence(height, lattice, step, size_x, size_y, lines, samples, out):  # type: ignore[no-untyped-def]
    rows, cols = out.shape
    count = lattice.shape[1]
    rad = 180.0 / np.pi
    s, d = np.empty((7, count)), np.empty((7, count))
    east, up = np.empty(cols, np.float32), np.empty(cols, np.float32)
    cosine, inside = np.empty(cols), np.empty(cols, np.bool_)
    for i in range(rows):
        _lattice_row(lattice, i, step, s, d)
        _horn(height[i], height[i + 1], height[i + 2], east, up)
        for c in range(count - 1):
            first = c * step
            last = min(first + step, cols) if c < count - 2 else cols
            x0, x1, x2, x5, x6 = s[0, c], s[1, c], s[2, c], s[5, c], s[6, c]
            d0, d1, d2, d5, d6 = d[0, c], d[1, c], d[2, c], d[5, c], d[6, c]
            for j in range(first, last):  # without branches, so that it runs on vectors
                f = float(j - first)
                dx = east[j] / (8 * size_x * (x5 + d5 * f))
                dy = up[j] / (8 * size_y * (x6 + d6 * f))
                sx, sy, sz = x0 + d0 * f, x1 + d1 * f, x2 + d2 * f
                norm = np.sqrt((1 + dx * dx + dy * dy) * (sx * sx + sy * sy + sz * sz))
                cosine[j] = (sz - dx * sx - dy * sy) / norm
            x3, x4, d3, d4 = s[3, c], s[4, c], d[3, c], d[4, c]
            for j in range(first, last):
                line, sample = x3 + d3 * (j - first), x4 + d4 * (j - first)
                within = (line >= -0.5) & (line <= lines - 0.5)
                inside[j] = within & (sample >= -0.5) & (sample <= samples - 0.5)
        place = out[i]
        for j in range(cols):
            angle = np.float32(_arccos(cosine[j]) * rad)
            place[j] = angle if inside[j] & (place[j] != place[j]) else place[j]


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
        Metres, with one pixel of halo. A pixel next to a missing height has no slope and no angle.
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
