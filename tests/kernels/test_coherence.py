"""Coherence against sums in plain Python, closed forms of its expectation, and block layouts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cube.kernels.coherence import coherence
from cube.kernels.coherence_statistics import expected_magnitude, unbiased


def noise(rng, shape):
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)) / np.sqrt(2)


def pair(seed, shape, truth):
    """Independent samples of two images whose complex coherence is known."""
    rng = np.random.default_rng(seed)
    a = noise(rng, shape)
    b = np.conj(truth) * a + math.sqrt(1 - abs(truth) ** 2) * noise(rng, shape)
    return a.astype("complex64"), b.astype("complex64")


def plain(a, b, window, least=0.5):
    """Nested loops over Python's own numbers."""
    rows, cols = a.shape
    there = [
        [
            bool(a[y, x] == a[y, x] and b[y, x] == b[y, x] and a[y, x] and b[y, x])
            for x in range(cols)
        ]
        for y in range(rows)
    ]
    out = np.full(a.shape, complex("nan"), "complex64")
    for y in range(rows):
        for x in range(cols):
            if not there[y][x]:
                continue
            product, first, second, count = 0j, 0.0, 0.0, 0
            for v in range(max(0, y - window[0] // 2), min(rows, y + window[0] // 2 + 1)):
                for u in range(max(0, x - window[1] // 2), min(cols, x + window[1] // 2 + 1)):
                    if there[v][u]:
                        one, other = complex(a[v, u]), complex(b[v, u])
                        product += one * other.conjugate()
                        first, second = first + abs(one) ** 2, second + abs(other) ** 2
                        count += 1
            if count >= least * window[0] * window[1]:
                out[y, x] = product / math.sqrt(first * second)
    return out


@pytest.mark.parametrize("window", [(1, 1), (3, 5), (5, 3), (7, 1), (9, 11)])
@pytest.mark.parametrize("least", [0.01, 0.5, 1.0])
def test_sums_are_those_of_plain_loops(window, least):
    a, b = pair(1, (23, 31), 0.6 + 0.2j)
    a[4:7, 9:15], b[6:12, 20:22], b[0, 0] = np.nan, 0, complex(1, np.nan)
    found = coherence(a, b, window, least=least)
    # float32 products of up to 99 samples, each rounded to 6e-8
    np.testing.assert_allclose(found, plain(a, b, window, least), rtol=0, atol=2e-6)


def test_images_wider_than_what_is_worked_on_at_once():
    """Columns are taken in strips: nothing is seen of where they end."""
    a, b = pair(2, (9, 1400), 0.5)
    found = coherence(a, b, (101, 3), least=0.01)
    assert not np.isnan(found).any()
    for first in range(0, 1400, 350):
        part = slice(max(first - 1, 0), min(first + 351, 1400))
        alone = coherence(a[:, part].copy(), b[:, part].copy(), (101, 3), least=0.01)
        inner = slice(first - part.start, first - part.start + 350)
        np.testing.assert_array_equal(alone[:, inner], found[:, first : first + 350])


@given(
    st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 5, 11]), st.sampled_from([1, 3, 9]),
    st.integers(1, 40), st.integers(1, 40), st.integers(0, 60),
)  # fmt: skip
@settings(max_examples=60)
def test_blocks_have_the_bits_of_the_whole(seed, tall, wide, height, width, origin):
    """Whatever part of a grid is worked on, with half a window around it."""
    a, b = pair(seed, (47, 53), 0.4)
    rng = np.random.default_rng(seed)
    a[rng.random(a.shape) < 0.05] = np.nan
    whole = coherence(a, b, (tall, wide), first_row=origin)
    for y in range(0, 47, height):
        for x in range(0, 53, width):
            top, left = max(y - tall // 2, 0), max(x - wide // 2, 0)
            part = slice(top, y + height + tall // 2), slice(left, x + width + wide // 2)
            found = coherence(a[part].copy(), b[part].copy(), (tall, wide), first_row=origin + top)
            inner = found[y - top : y - top + height, x - left : x - left + width]
            expected = whole[y : y + height, x : x + width]
            assert np.ascontiguousarray(inner).tobytes() == np.ascontiguousarray(expected).tobytes()


@pytest.mark.parametrize("wide", [*range(1, 40, 2), 61, 101])
def test_windows_of_any_width_hold_their_columns(wide):
    """Columns are added as sums of sums, put together otherwise for each width."""
    a, b = pair(6, (7, 300), 0.3 + 0.4j)
    found = coherence(a, b, (3, wide), least=0.01)
    terms = np.stack([a * b.conj().astype("complex128"), abs(a) ** 2 + 1j * abs(b) ** 2])
    padded = np.pad(terms, ((0, 0), (1, 1), (wide // 2, wide // 2)))
    views = np.lib.stride_tricks.sliding_window_view(padded, (3, wide), (1, 2))
    product, power = views.sum((-2, -1))
    expected = product / np.sqrt(power.real * power.imag)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@given(st.integers(0, 39), st.integers(0, 49), st.sampled_from([(1, 1), (5, 3), (7, 13)]))
@settings(max_examples=30)
def test_a_missing_sample_changes_no_bit_where_no_window_holds_it(y, x, window):
    """Lines and windows that miss nothing are worked on without masks."""
    a, b = pair(7, (40, 50), 0.4)
    whole = coherence(a, b, window, least=0.01)
    a[y, x] = np.nan
    found = coherence(a, b, window, least=0.01)
    touched = np.zeros(a.shape, bool)
    top, left = max(y - window[0] // 2, 0), max(x - window[1] // 2, 0)
    touched[top : y + window[0] // 2 + 1, left : x + window[1] // 2 + 1] = True
    np.testing.assert_array_equal(found[~touched], whole[~touched])
    assert np.isnan(found).sum() == 1
    assert np.isnan(found[y, x])


@pytest.mark.parametrize("window", [(11, 11), (31, 31)])
def test_nothing_drifts_beside_a_bright_target(window):
    """Running sums would leave the rounding errors of a target of 80 dB on all that follows."""
    a, b = pair(8, (400, 300), 0.6)
    dim = coherence(a, b, window)
    a[100, 100], b[100, 100] = 1e4, 1e4
    found = coherence(a, b, window)
    half = window[0] // 2
    near = slice(100 - half, 101 + half), slice(100 - half, 101 + half)
    assert (np.abs(found[near]) > 0.99).all()
    found[near], dim[near] = 0, 0
    np.testing.assert_array_equal(found, dim)


def test_equal_images_give_exactly_one():
    a, _ = pair(3, (64, 64), 0.0)
    a[10, 10] *= 1e4  # a target of 80 dB
    found = coherence(a, a, (5, 7), least=0.01)
    assert (found == 1).all()


@pytest.mark.parametrize("truth", [0.0, 0.3, 0.7, 1.0])
def test_magnitudes_are_as_high_as_their_looks_make_them(truth):
    """Windows that share no sample: as many looks as samples."""
    window = 5, 7
    a, b = pair(4, (500, 700), truth * np.exp(1j))
    found = np.abs(coherence(a, b, window)[2::5, 3::7])
    expected = expected_magnitude(truth, window[0] * window[1])
    error = found.std() / math.sqrt(found.size)
    assert abs(found.mean() - expected) <= 3 * error + 1e-6


def test_the_phase_is_that_of_the_first_less_the_second():
    a, b = pair(5, (200, 200), 0.9 * np.exp(0.5j))
    mean = coherence(a, b, (11, 11))[5:-5, 5:-5].mean()
    assert np.angle(mean) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("truth", "looks", "expected"),
    [
        (0.0, 1, 1.0),  # one sample is always coherent with itself
        (0.0, 4, math.gamma(4) * math.gamma(1.5) / math.gamma(4.5)),  # Touzi et al. 1999, eq. 14
        (1.0, 4, 1.0),
    ],
)
def test_expected_magnitudes_are_those_of_closed_forms(truth, looks, expected):
    assert expected_magnitude(truth, looks) == pytest.approx(expected, abs=1e-9)


def test_expected_magnitude_is_the_mean_of_its_density():
    """The density of Touzi et al. 1999, eq. 8, summed by a rule of its own."""
    looks, truth = 6, 0.55
    grid = (np.arange(20_000) + 0.5) / 20_000
    from scipy.special import hyp2f1

    density = (
        2 * (looks - 1) * (1 - truth**2) ** looks * grid * (1 - grid**2) ** (looks - 2)
        * hyp2f1(looks, looks, 1, (grid * truth) ** 2)
    )  # fmt: skip
    assert density.mean() == pytest.approx(1, abs=1e-6)
    assert expected_magnitude(truth, looks) == pytest.approx((density * grid).mean(), abs=1e-6)


def test_bias_is_taken_away():
    truth = np.array([0.0, 0.2, 0.5, 0.95, 1.0])
    means = [expected_magnitude(float(one), 40) for one in truth]
    # means of a table of 257 truths, linear in between
    np.testing.assert_allclose(unbiased(means, 40), truth, atol=2e-3)
    assert np.isnan(unbiased([np.nan], 40)).all()
    assert unbiased(0.01, 40) == 0, "lower than any truth would give"


def test_what_does_not_fit_is_said():
    a = np.ones((4, 5), "complex64")
    with pytest.raises(ValueError, match=r"shapes \(4, 5\) and \(4, 4\)"):
        coherence(a, a[:, :4], (3, 3))
    with pytest.raises(ValueError, match="4 by 3 samples; give odd sizes"):
        coherence(a, a, (4, 3))
    with pytest.raises(ValueError, match="least share 0"):
        coherence(a, a, (3, 3), least=0)
    with pytest.raises(ValueError, match=r"coherence 1\.5; give 0 to 1"):
        expected_magnitude(1.5, 4)
