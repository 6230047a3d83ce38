"""Complex samples of a TOPS burst at places of the map, flattened in phase.

Taps are turned to the Doppler frequency of the place they are summed for, which is what deramping
the burst, interpolating it and ramping it again comes to, in one pass and without phases of
thousands of turns (the law: `cube.kernels.tops`). The phase of range, ``-4 pi R / lambda``, is
taken out of the result, as OPERA's coregistered single-look products do (JPL D-108758, section 4),
so that what is left of two dates' product is height error, motion and atmosphere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cube.kernels.compiled import compiled, inlined
from cube.kernels.ellipsoid import SPEED_OF_LIGHT
from cube.kernels.taps import FRACTIONS, TAPS
from cube.kernels.tops import LAW_STEP, Burst, doppler_law

__all__ = ["burst_bounds", "sample_burst", "sample_polar"]

_BEFORE = TAPS // 2 - 1
Float64 = NDArray[np.float64]


def sample_burst(
    burst: Burst,
    values: NDArray[np.complex64],
    origin: tuple[int, int],
    taps: tuple[NDArray[np.float32], NDArray[np.float32]],
    time: Float64,
    slant: Float64,
    chosen: NDArray[np.bool_],
    scale: float,
    out: NDArray[np.complex64],
) -> None:
    """Fill `out` where `chosen` with the burst's samples, interpolated and flattened.

    Parameters
    ----------
    burst : Burst
    values : complex64, shape (lines, samples)
        Window of the burst.
    origin : (line, sample)
        Of the burst, that ``values[0, 0]`` is.
    taps : (float32, float32), shape (FRACTIONS + 1, TAPS)
        Weights along lines and along samples (`cube.kernels.taps.least_squares_taps`).
    time, slant : float64, shape (y, x)
        Zero-Doppler time (s) and slant range (m). Range must not be held in float32: its phase
        would be noise.
    chosen : bool, shape (y, x)
    scale : float
        What samples are multiplied by.
    out : complex64, shape (y, x), contiguous
        Left as it is where not every tap is a valid sample of the burst and in the window.
    """
    step = burst.line_step_s
    law = step, burst.lines / 2 * step, 2 / burst.wavelength_m, doppler_law(burst)
    _sample(
        values.view("float32"), origin, _limits(burst), taps, _sampling(burst), law,
        np.float32(scale), (time, slant), chosen, out.view("float32"),
    )  # fmt: skip


def sample_polar(
    burst: Burst,
    values: NDArray[np.complex64],
    origin: tuple[int, int],
    time: Float64,
    slant: Float64,
    chosen: NDArray[np.bool_],
    out: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    """Fill phase and amplitude where `chosen`, each sampled bilinearly as a number of its own.

    What comes of interpolating a phase across its jumps from pi to -pi is close to noise: this is
    how the single-look patches of Kuro Siwo were made (Bountos et al. 2024; BandMaths, then
    Terrain-Correction with BILINEAR resampling in its configs/slc_preprocessing.xml), nothing more.

    Parameters
    ----------
    burst, values, origin, time, slant, chosen
        As in `sample_burst`.
    out : (float32, float32), shape (y, x)
        Radians and digital numbers; left as they are where a neighbour is not valid.
    """
    polar = np.angle(values).astype("float32"), np.abs(values)
    _polar(*polar, origin, _limits(burst, 2), _sampling(burst), (time, slant), chosen, *out)


@inlined
def _place(time, slant, sampling):  # type: ignore[no-untyped-def]
    """Line and sample in a burst of a zero-Doppler time and slant range; see `_sampling`."""
    start, per_line, first_sample, rate, reference = sampling
    delay = 2 / SPEED_OF_LIGHT * slant
    return (time - 0.5 * (delay - reference) - start) * per_line, (delay - first_sample) * rate


@compiled
def _polar(phase, amplitude, origin, limits, sampling, place, chosen, out_phase, out_amplitude):  # type: ignore[no-untyped-def]
    time, slant = place
    height, width = phase.shape
    for i in range(time.shape[0]):
        for j in range(time.shape[1]):
            if not chosen[i, j]:
                continue
            line, sample = _place(time[i, j], slant[i, j], sampling)
            if not (line >= 0) or not (sample >= 0):
                continue
            l0, s0 = int(line), int(sample)
            if l0 >= limits.shape[0] or s0 < limits[l0, 0] or s0 + 1 > limits[l0, 1]:
                continue
            r, c = l0 - origin[0], s0 - origin[1]
            if r < 0 or c < 0 or r + 2 > height or c + 2 > width:
                continue
            wy, wx = np.float32(line - l0), np.float32(sample - s0)
            vy, vx = np.float32(1) - wy, np.float32(1) - wx
            out_phase[i, j] = vy * (vx * phase[r, c] + wx * phase[r, c + 1]) + wy * (
                vx * phase[r + 1, c] + wx * phase[r + 1, c + 1]
            )
            out_amplitude[i, j] = vy * (vx * amplitude[r, c] + wx * amplitude[r, c + 1]) + wy * (
                vx * amplitude[r + 1, c] + wx * amplitude[r + 1, c + 1]
            )


def _sampling(burst: Burst) -> tuple[float, float, float, float, float]:
    """What turns zero-Doppler time and slant range to line and sample."""
    return (
        burst.start_s,
        1 / burst.line_step_s,
        burst.first_sample_s,
        burst.sampling_rate_hz,
        burst.bistatic_reference_s,
    )


def _limits(burst: Burst, taps: int = TAPS) -> NDArray[np.int64]:
    """First and last sample that `taps` lines from each on all hold, shape (lines, 2)."""
    none = np.int64(2**40)
    first = np.where(burst.first_valid < 0, none, burst.first_valid)
    last = np.where(burst.first_valid < 0, -none, burst.last_valid)
    beyond = np.full(taps - 1, none)
    first = np.concatenate([first, beyond])
    last = np.concatenate([last, -beyond])
    view = np.lib.stride_tricks.sliding_window_view
    limits = [view(first, taps).max(-1), view(last, taps).min(-1)]
    return np.ascontiguousarray(np.stack(limits, axis=-1))


def burst_bounds(
    burst: Burst, time: Float64, slant: Float64, chosen: NDArray[np.bool_]
) -> tuple[float, float, float, float]:
    """Lowest and highest line, lowest and highest sample of a burst among chosen places.

    Low exceeds high where none is chosen.
    """
    found: tuple[float, float, float, float] = _bounds(time, slant, chosen, _sampling(burst))
    return found


@compiled
def _bounds(time, slant, chosen, sampling):  # type: ignore[no-untyped-def]
    low_line, high_line, low_sample, high_sample = np.inf, -np.inf, np.inf, -np.inf
    for i in range(time.shape[0]):
        for j in range(time.shape[1]):
            if chosen[i, j]:
                line, sample = _place(time[i, j], slant[i, j], sampling)
                low_line, high_line = min(low_line, line), max(high_line, line)
                low_sample, high_sample = min(low_sample, sample), max(high_sample, sample)
    return low_line, high_line, low_sample, high_sample


@inlined
def _turned(turns):  # type: ignore[no-untyped-def]
    """Cosine and sine of an angle in turns, to 2e-7."""
    x = np.float32(turns - np.floor(turns + 0.5)) * np.float32(3.14159265358979)
    y = x * x
    s = np.float32(-2.5052108e-8) * y + np.float32(2.7557319e-6)
    s = s * y - np.float32(1.9841270e-4)
    s = s * y + np.float32(8.3333333e-3)
    s = s * y - np.float32(1.6666667e-1)
    s = x * (s * y + np.float32(1))
    c = np.float32(2.0876757e-9) * y - np.float32(2.7557319e-7)
    c = c * y + np.float32(2.4801587e-5)
    c = c * y - np.float32(1.3888889e-3)
    c = c * y + np.float32(4.1666667e-2)
    c = c * y - np.float32(0.5)
    c = c * y + np.float32(1)
    # of half the angle: doubled, the series needs to reach a quarter turn only
    return np.float32(1) - np.float32(2) * s * s, np.float32(2) * s * c


@compiled
def _sample(window, origin, limits, taps, sampling, law, scale, place, chosen, out):  # type: ignore[no-untyped-def]
    step, middle, per_metre, terms = law
    time, slant = place
    line0, sample0 = origin
    down, across = taps
    height, width = window.shape[0], window.shape[1] // 2
    for i in range(time.shape[0]):
        for j in range(time.shape[1]):
            if not chosen[i, j]:
                continue
            line, sample = _place(time[i, j], slant[i, j], sampling)
            if not (line >= 0) or not (sample >= 0):
                continue
            whole_line, whole_sample = np.floor(line), np.floor(sample)
            l0, s0 = int(whole_line) - _BEFORE, int(whole_sample) - _BEFORE
            if l0 < 0 or l0 >= limits.shape[0]:
                continue
            if s0 < limits[l0, 0] or s0 + TAPS - 1 > limits[l0, 1]:
                continue
            r, c = l0 - line0, s0 - sample0
            if r < 0 or c < 0 or r + TAPS > height or c + TAPS > width:
                continue
            wl = down[int((line - whole_line) * FRACTIONS + 0.5)]
            ws = across[int((sample - whole_sample) * FRACTIONS + 0.5)]
            at = sample / LAW_STEP
            q = int(at)
            w = at - q
            k_t = terms[q, 0] + w * (terms[q + 1, 0] - terms[q, 0])
            f_dc = terms[q, 1] + w * (terms[q + 1, 1] - terms[q, 1])
            eta_ref = terms[q, 2] + w * (terms[q + 1, 2] - terms[q, 2])
            f = f_dc + k_t * (line * step - middle - eta_ref)
            d0 = (l0 - line) * step
            # turns of tap k: -(f d + k_t d^2 / 2), d = d0 + k step; range is what all share
            zr, zi = _turned(slant[i, j] * per_metre - d0 * (f + 0.5 * k_t * d0))
            ar, ai = _turned(-step * (f + k_t * (d0 + 0.5 * step)))
            br, bi = _turned(-step * step * k_t)
            total_r, total_i = np.float32(0), np.float32(0)
            for k in range(TAPS):
                row = window[r + k]
                re, im = np.float32(0), np.float32(0)
                for m in range(TAPS):
                    re += row[2 * (c + m)] * ws[m]
                    im += row[2 * (c + m) + 1] * ws[m]
                total_r += wl[k] * (re * zr - im * zi)
                total_i += wl[k] * (re * zi + im * zr)
                zr, zi = zr * ar - zi * ai, zr * ai + zi * ar
                ar, ai = ar * br - ai * bi, ar * bi + ai * br
            out[i, 2 * j] = total_r * scale
            out[i, 2 * j + 1] = total_i * scale
