"""From zero-Doppler time and slant range to line and sample of a ground range image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cube.kernels.compiled import compiled
from cube.kernels.ellipsoid import SPEED_OF_LIGHT
from cube.kernels.proxy import nodes, projection

_FIT_NODES = 10
_FIT_TERMS = 7


@dataclass(frozen=True, slots=True)
class GroundRangeImage:
    """Sampling of a detected ground range image.

    Attributes
    ----------
    first_line_s, line_step_s : float
        Time of line 0 after the epoch of the orbit, and between lines.
    sample_step_m : float
        Ground range pixel spacing.
    bistatic_reference_s : float
        Two-way time whose echo needs no bistatic correction (see `to_image`).
    record_time_s : float64, shape (records,)
        Azimuth times of the slant to ground range records.
    ground_origin_m : float64, shape (records,)
        ``gr0`` of each record.
    slant_coefficients : float64, shape (records, degree + 1)
        ``grsrCoefficients``: slant range in metres from ground range minus gr0.
    shape : (lines, samples)
    """

    first_line_s: float
    line_step_s: float
    sample_step_m: float
    bistatic_reference_s: float
    record_time_s: NDArray[np.float64]
    ground_origin_m: NDArray[np.float64]
    slant_coefficients: NDArray[np.float64]
    shape: tuple[int, int]


def ground_polynomials(
    image: GroundRangeImage, records: slice, near_m: float, far_m: float
) -> NDArray[np.float64]:
    """Ground range as a polynomial of slant range, for some records and one range interval.

    ESA gives ground to slant range as a polynomial; its inverse over the interval of one tile is
    refitted here (7 terms, better than 1e-6 pixel over 20 km) so that a pixel costs no iteration.

    Returns
    -------
    float64, shape (records, 7)
        Ascending powers of ``(2 R - near - far) / (far - near)``; metres.

    Raises
    ------
    ValueError
        The record's polynomial is not increasing around the interval.
    """
    slant = (near_m + far_m) / 2 + nodes(_FIT_NODES) * (far_m - near_m) / 2
    ground = np.empty((records.stop - records.start, _FIT_NODES))
    start = image.shape[1] * image.sample_step_m / 2
    if not _invert(image.slant_coefficients[records], slant, start, ground):
        raise ValueError("ground to slant range polynomial does not increase")
    ground += image.ground_origin_m[records, None]
    # einsum without BLAS: the same bits whatever number of threads BLAS would use
    found = np.einsum("ij,kj->ki", projection(_FIT_NODES, _FIT_TERMS), ground, optimize=False)
    return np.ascontiguousarray(found)


@compiled
def _invert(rows, slant, start, ground):  # type: ignore[no-untyped-def]
    """Ground range of slant ranges by Newton's iteration; whether the polynomials increase."""
    degree = rows.shape[1] - 1
    for k in range(rows.shape[0]):
        for i in range(len(slant)):
            at = start
            for _ in range(40):
                value, rate = rows[k, degree], 0.0
                for a in range(degree - 1, -1, -1):
                    rate = rate * at + value
                    value = value * at + rows[k, a]
                if not rate > 0.01:
                    return False
                step = (value - slant[i]) / rate
                # Outside its image a degree-8 polynomial may turn: walk in bounded steps
                at -= min(max(step, -20_000.0), 20_000.0)
                if abs(step) < 1e-6:
                    break
            ground[k, i] = at
    return True


def slant_limits(image: GroundRangeImage) -> tuple[float, float]:
    """Nearest and farthest slant range of the image over all its records, metres."""
    edges = np.array([0.0, image.shape[1] * image.sample_step_m])
    ground = edges - image.ground_origin_m[:, None]
    coefficients = image.slant_coefficients.T[:, :, None]
    slant = np.polynomial.polynomial.polyval(ground, coefficients, tensor=False)
    return float(np.min(slant)), float(np.max(slant))


def nearest_records(image: GroundRangeImage, first_s: float, last_s: float) -> slice:
    """Records that are nearest to some time between `first_s` and `last_s`."""
    middles = (image.record_time_s[1:] + image.record_time_s[:-1]) / 2
    low = int(np.searchsorted(middles, first_s, side="right"))
    high = int(np.searchsorted(middles, last_s, side="right"))
    return slice(low, high + 1)


@compiled
def _to_image(time, slant, middles, polynomials, near, far, origin, step, size, bistatic):  # type: ignore[no-untyped-def]
    rows, cols = time.shape
    count = polynomials.shape[0]
    scale = 2.0 / (far - near)
    half_delay = 1.0 / SPEED_OF_LIGHT
    k = 0
    for i in range(rows):
        line, sample = time[i], slant[i]
        low = middles[k - 1] if k > 0 else -np.inf
        high = middles[k] if k < count - 1 else np.inf
        other = False  # whether any pixel of the row wants another record than the last row's
        for j in range(cols):  # without branches, so that it runs on vectors
            t = line[j] - (sample[j] * half_delay - 0.5 * bistatic)
            line[j] = t
            other |= (t < low) | (t >= high)
        if other:
            k = _sample_by_record(line, sample, k, middles, polynomials, near, scale, size)
        else:
            p0, p1, p2, p3, p4, p5, p6 = _terms(polynomials, k)
            for j in range(cols):
                u = (sample[j] - near) * scale - 1.0
                g = ((((((p6 * u + p5) * u + p4) * u + p3) * u + p2) * u) + p1) * u + p0
                sample[j] = g / size
        for j in range(cols):
            line[j] = (line[j] - origin) / step


@compiled
def _terms(polynomials, k):  # type: ignore[no-untyped-def]
    p = polynomials[k]
    return p[0], p[1], p[2], p[3], p[4], p[5], p[6]


@compiled
def _sample_by_record(line, sample, k, middles, polynomials, near, scale, size):  # type: ignore[no-untyped-def]
    """Samples of one row, each by the record nearest to its time; returns the last record."""
    count = polynomials.shape[0]
    for j in range(len(line)):
        t = line[j]
        if t == t:
            while k < count - 1 and t >= middles[k]:
                k += 1
            while k > 0 and t < middles[k - 1]:
                k -= 1
        u = (sample[j] - near) * scale - 1.0
        p0, p1, p2, p3, p4, p5, p6 = _terms(polynomials, k)
        g = ((((((p6 * u + p5) * u + p4) * u + p3) * u + p2) * u) + p1) * u + p0
        sample[j] = g / size
    return k


def to_image(
    image: GroundRangeImage, time: NDArray[np.float64], slant: NDArray[np.float64]
) -> None:
    """Turn zero-Doppler time into line and slant range into sample, in place.

    The line is that of ``t - (tau - tau_ref) / 2``: ESA's focusing refers echoes to the time in
    the middle of the pulse's flight for the mid-swath two-way time tau_ref only, as the
    annotation's own geolocation grid shows. The sample uses the record nearest in time, as
    that grid does.

    Parameters
    ----------
    image : GroundRangeImage
    time : float64, shape (y, x)
        Seconds after the epoch; becomes the line. NaN stays NaN.
    slant : float64, shape (y, x)
        Metres; becomes the sample. One polynomial inverts the range between the nearest and the
        farthest: give one tile at a time (see `ground_polynomials`).
    """
    if not np.isfinite(slant).any():
        return
    near, far = float(np.nanmin(slant)), float(np.nanmax(slant))
    far = max(far, near + 1.0)
    shift = (near + far) / 2 / SPEED_OF_LIGHT - image.bistatic_reference_s / 2
    margin = (far - near) / SPEED_OF_LIGHT + 1e-3
    records = nearest_records(
        image,
        float(np.nanmin(time)) - shift - margin,
        float(np.nanmax(time)) - shift + margin,
    )
    polynomials = ground_polynomials(image, records, near, far)
    middles = (image.record_time_s[1:] + image.record_time_s[:-1]) / 2
    _to_image(
        time,
        slant,
        middles[records.start : max(records.stop - 1, records.start)],
        polynomials,
        near,
        far,
        image.first_line_s,
        image.line_step_s,
        image.sample_step_m,
        image.bistatic_reference_s,
    )
