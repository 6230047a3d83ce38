"""Interpolation weights against signals of the spectrum they are for, and against a cut sinc."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cube.kernels.taps import FRACTIONS, TAPS, least_squares_taps

AT = np.arange(TAPS) - 3
RANGE, AZIMUTH = (0.878, 0.75), (0.672, 0.70)  # of IW


def amplitude(frequency, bandwidth, window):
    """Generalised Hamming window over the band."""
    return window + (1 - window) * np.cos(2 * np.pi * frequency / bandwidth)


def signals(bandwidth, window, places, seed):
    """Random signals at places: each a sum of many sinusoids, whose strength is the spectrum's."""
    rng = np.random.default_rng(seed)
    found = np.empty((4000, len(places)), complex)
    for row in found:
        frequency = rng.uniform(-bandwidth / 2, bandwidth / 2, 150)
        turned = rng.normal(size=150) + 1j * rng.normal(size=150)
        turned *= amplitude(frequency, bandwidth, window)
        row[:] = turned @ np.exp(2j * np.pi * np.outer(frequency, places))
    return found


@pytest.mark.parametrize(
    ("spectrum", "most"), [(RANGE, -28), (AZIMUTH, -45)], ids=["range", "azimuth"]
)
def test_signals_of_the_spectrum_are_found_between_their_samples(spectrum, most):
    rows = np.arange(0, FRACTIONS + 1, 64)
    wanted_at = rows / FRACTIONS
    both = signals(*spectrum, np.concatenate([AT, wanted_at]), seed=1)
    samples, wanted = both[:, :TAPS], both[:, TAPS:]
    found = samples @ least_squares_taps(*spectrum)[rows].T.astype("float64")

    def power(values):
        return (np.abs(values) ** 2).mean(axis=0)

    error = power(found - wanted).mean() / power(wanted).mean()
    assert 10 * np.log10(error) <= most
    # the ratio of the two powers, of 4,000 signals that differ by -28 dB, scatters by 0.005 dB
    ratio = 10 * np.log10(power(found) / power(wanted))
    assert abs(ratio.mean()) <= 0.02
    assert np.ptp(ratio) <= 0.02 + 2 * 0.005


@pytest.mark.parametrize("spectrum", [RANGE, AZIMUTH], ids=["range", "azimuth"])
def test_power_is_the_same_at_every_fraction(spectrum):
    """Exactly, from the correlation of the spectrum: no signals, no scatter."""
    ratio = [10 * np.log10(power) for _, power in expected(*spectrum, least_squares_taps)]
    assert abs(np.mean(ratio)) <= 0.02
    assert np.ptp(ratio) <= 0.02


def test_a_sinc_that_is_cut_off_fails_what_is_asked_here():
    """Four tenths of a decibel too much, and a ripple of seven."""
    ratio = [10 * np.log10(power) for _, power in expected(*AZIMUTH, unit_sum_sinc)]
    assert np.mean(ratio) > 0.3
    assert np.ptp(ratio) > 0.5


def cut_sinc(*_):
    return np.sinc(np.arange(FRACTIONS + 1)[:, None] / FRACTIONS - AT)


def unit_sum_sinc(*_):
    found = cut_sinc()
    return found / found.sum(axis=1, keepdims=True)


def expected(bandwidth, window, make):
    """Mean squared error and power of interpolated values, of power 1, at some fractions."""
    frequency = (np.arange(201) + 0.5) / 201 * bandwidth - bandwidth / 2
    power = amplitude(frequency, bandwidth, window) ** 2
    power /= power.sum()
    weights = np.asarray(make(bandwidth, window), "float64")
    for row in range(0, FRACTIONS + 1, 64):
        response = weights[row] @ np.exp(2j * np.pi * np.outer(AT, frequency))
        wanted = np.exp(2j * np.pi * frequency * row / FRACTIONS)
        yield power @ np.abs(response - wanted) ** 2, power @ np.abs(response) ** 2


@given(st.floats(0.05, 0.99), st.floats(0.5, 1.0))
@settings(max_examples=10)
def test_no_error_is_larger_than_that_of_a_cut_sinc(bandwidth, window):
    ours = [error for error, _ in expected(bandwidth, window, least_squares_taps)]
    sinc = [error for error, _ in expected(bandwidth, window, cut_sinc)]
    # weights are kept small by 1e-4 of their square, which for a sinc is at most 1; half of that
    # remains for float32 and for the two sums over the spectrum
    assert (np.array(ours) <= np.array(sinc) + 1.5e-4).all()


@given(st.floats(0.3, 0.99), st.floats(0.5, 1.0))
@settings(max_examples=10)
def test_weights_are_the_best_for_their_spectrum(bandwidth, window):
    """Fitted to its waves one by one, each as strong as the spectrum has it, and kept small."""
    frequency = (np.arange(801) + 0.5) / 801 * bandwidth - bandwidth / 2
    strength = amplitude(frequency, bandwidth, window)
    strength /= np.sqrt((strength**2).sum())
    rows = np.arange(0, FRACTIONS + 1, 128)
    waves = strength[:, None] * np.exp(2j * np.pi * np.outer(frequency, AT))
    wanted = strength[:, None] * np.exp(2j * np.pi * np.outer(frequency, rows / FRACTIONS))
    both = [np.concatenate([one.real, one.imag]) for one in (waves, wanted)]
    both[0] = np.concatenate([both[0], 1e-2 * np.eye(TAPS)])
    both[1] = np.concatenate([both[1], np.zeros((TAPS, len(rows)))])
    best = np.linalg.lstsq(*both)[0]
    # two sums over the spectrum, which differ by its edges' share of a step
    np.testing.assert_allclose(least_squares_taps(bandwidth, window)[rows].T, best, atol=1e-3)


@given(st.floats(0.05, 0.99), st.floats(0.5, 1.0))
@settings(max_examples=10)
def test_at_a_sample_the_weights_give_that_sample(bandwidth, window):
    errors = [error for error, _ in expected(bandwidth, window, least_squares_taps)]
    # a unit impulse would cost 1e-4 for its square and nothing else: the best costs no more
    assert errors[0] <= 1.01e-4
    assert errors[-1] <= 1.01e-4


@pytest.mark.parametrize("spectrum", [RANGE, AZIMUTH], ids=["range", "azimuth"])
def test_for_a_wide_spectrum_that_is_a_unit_impulse(spectrum):
    """A narrow one leaves samples so alike that it hardly matters which is taken."""
    taps = least_squares_taps(*spectrum)
    assert taps.shape == (FRACTIONS + 1, TAPS)
    assert taps.dtype == "float32"
    # frequencies beyond the band are free: weights of a third of them are kept small at no cost
    np.testing.assert_allclose(taps[0], AT == 0, atol=2e-2)
    np.testing.assert_allclose(taps[-1], AT == 1, atol=2e-2)


def test_weights_are_the_same_from_either_end():
    taps = least_squares_taps(*RANGE)
    # a linear system of eight solved in float64, kept in float32
    np.testing.assert_allclose(taps[::-1, ::-1], taps, atol=1e-6)


@pytest.mark.parametrize("bandwidth", [0.0, 1.0, -0.3, 1.2, float("nan")])
def test_a_spectrum_that_does_not_fit_the_sampling_is_refused(bandwidth):
    with pytest.raises(ValueError, match=r"bandwidth of .* sampling rates; give more than 0, less"):
        least_squares_taps(bandwidth, 0.75)


@pytest.mark.parametrize("window", [0.49, 1.01, float("nan")])
def test_a_window_that_is_none_is_refused(window):
    with pytest.raises(ValueError, match=r"window coefficient .*; give 0\.5 to 1"):
        least_squares_taps(0.7, window)
