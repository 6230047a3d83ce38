"""The Doppler law of bursts and the cuts between them, against formulas and loops written here."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cube.kernels.tops import LAW_STEP, Burst, burst_of, doppler_law, seams_of

LIGHT = 299_792_458.0
# Burst 3 of IW1 of 2023-09-04, track 52, as its annotation has it
STEERING_DEG_S, WAVELENGTH, SPEED = 1.590368784, LIGHT / 5.40500045433435e9, 7595.4917
RATE = (5.334431164884956e-3, (-2331.308655455866, 449690.1057079641, -78128584.68617493))
CENTROID = (5.337093144532509e-3, (-10.07332, -11104.81, -4719402.0))
LINES, SAMPLES, STEP, SAMPLING, FIRST = 1507, 23055, 2.0555563e-3, 64345238.12571428, RATE[0]


def burst(
    swath="IW1", number=1, start=0.0, valid=(21, 1487), samples=(171, 22000), first=FIRST,
    reference=5.85274e-3,
) -> Burst:  # fmt: skip
    line = np.arange(LINES)
    inside = (line >= valid[0]) & (line <= valid[1])
    return Burst(
        swath, number, start, STEP, first, SAMPLING, reference,
        np.where(inside, samples[0], -1), np.where(inside, samples[1], -1), SAMPLES,
        math.radians(STEERING_DEG_S), RATE, CENTROID, SPEED, WAVELENGTH,
    )  # fmt: skip


# --- the law


def polynomial(record, tau):
    origin, terms = record
    return math.fsum(term * (tau - origin) ** power for power, term in enumerate(terms))


def law(one: Burst, sample: float) -> tuple[float, float, float]:
    """COPE-GSEG-EOPG-TN-14-0025, step by step, for one sample."""
    tau = one.first_sample_s + sample / one.sampling_rate_hz
    mid_swath = one.first_sample_s + one.samples / (2 * one.sampling_rate_hz)
    k_s = 2 * SPEED / WAVELENGTH * math.radians(STEERING_DEG_S)
    k_a, f_dc = polynomial(RATE, tau), polynomial(CENTROID, tau)

    def beam_centre(tau):
        return -polynomial(CENTROID, tau) / polynomial(RATE, tau)

    return k_a * k_s / (k_a - k_s), f_dc, beam_centre(tau) - beam_centre(mid_swath)


def test_the_law_is_that_of_the_technical_note():
    found = doppler_law(burst())
    assert found.shape == ((SAMPLES - 1) // LAW_STEP + 2, 3)
    for row in (0, 1, 100, 200, len(found) - 1):
        wanted = law(burst(), row * LAW_STEP)
        np.testing.assert_allclose(found[row, :2], wanted[:2], rtol=1e-12)
        # half a sample more or less of mid swath is 8 ns, where eta_ref grows by 25 s a second
        assert found[row, 2] == pytest.approx(wanted[2], abs=1e-6)


def test_values_are_those_that_were_measured_on_this_product():
    """Hz per second, Hz and seconds: of another program, for the same annotation."""
    k_t, f_dc, eta_ref = doppler_law(burst()).T
    near, middle, far = k_t[[0, len(k_t) // 2, -1]]
    # given to 1 Hz/s there, for the middle of another burst
    assert (near, middle, far) == pytest.approx((1784, 1738, 1694), abs=2)
    assert (k_t > 0).all()
    assert -30 < f_dc.min() < f_dc.max() < 5
    assert np.abs(eta_ref).max() < 0.01
    edge = middle * LINES / 2 * STEP
    assert edge == pytest.approx(2692, abs=2)


def test_the_law_agrees_with_the_beam_that_is_steered():
    """A target's Doppler at its own zero-Doppler time, from when the beam passes it."""
    one = burst()
    k_s = 2 * SPEED / WAVELENGTH * math.radians(STEERING_DEG_S)
    table = doppler_law(one)
    shift = law(one, SAMPLES / 2)  # eta_ref is counted from mid swath
    rate_mid = polynomial(RATE, FIRST + SAMPLES / (2 * SAMPLING))
    for row, eta in product((0, 150, 300), (-1.4, 0.0, 1.2)):
        tau = FIRST + row * LAW_STEP / SAMPLING
        k_a, f_dc = polynomial(RATE, tau), polynomial(CENTROID, tau)
        # the beam sees eta at the raw time e: f = f_dc + k_s e and f = k_a (e - eta)
        raw = (k_a * eta + f_dc) / (k_a - k_s)
        frequency = k_a * (raw - eta)
        assert frequency == pytest.approx(f_dc + k_s * raw, rel=1e-9)
        k_t, centroid, eta_ref = table[row]
        # what the zero of eta_ref at mid swath takes away is the same all over the burst
        moved = k_t * -shift[1] / rate_mid
        assert centroid + k_t * (eta - eta_ref) - moved == pytest.approx(frequency, abs=1e-2)


@pytest.mark.parametrize("samples", [1, 64, 65, 128, 129])
def test_the_table_reaches_beyond_the_last_sample(samples):
    """Two entries for every sample to be interpolated between."""
    found = doppler_law(replace(burst(), samples=samples))
    assert (samples - 1) // LAW_STEP + 1 < len(found)
    assert (len(found) - 1) * LAW_STEP >= samples


def test_without_steering_there_is_no_ramp():
    k_t, _, _ = doppler_law(replace(burst(), steering_rad_s=0.0)).T
    np.testing.assert_array_equal(k_t, 0)


# --- seams


def test_valid_times_are_those_that_all_lines_hold():
    one = burst(start=2.0)
    one.first_valid[30], one.last_valid[40] = 180, 21_000
    found = one.valid_times()
    wanted = 2 + 21 * STEP, 2 + 1487 * STEP, FIRST + 180 / SAMPLING, FIRST + 21_000 / SAMPLING
    assert found == pytest.approx(wanted, rel=1e-14)


CYCLE = 1343 * STEP  # overlap of valid lines: 1467 - 1343 = 124


def test_bursts_are_cut_in_the_middle_of_what_both_show():
    bursts = [burst(number=n, start=n * CYCLE) for n in range(3)]
    seams = seams_of(bursts[::-1])
    assert seams.keys == (("IW1", 0), ("IW1", 1), ("IW1", 2))
    first, last = seams.bounds[:, 0], seams.bounds[:, 1]
    assert first[0] == pytest.approx(21 * STEP, abs=1e-12)
    assert last[2] == pytest.approx(2 * CYCLE + 1487 * STEP, abs=1e-12)
    for n in (0, 1):
        middle = (n * CYCLE + 1487 * STEP + (n + 1) * CYCLE + 21 * STEP) / 2
        assert last[n] == first[n + 1] == pytest.approx(middle, abs=1e-12)
    assert (seams.bounds[:, 4] == bursts[0].bistatic_reference_s).all()


def test_between_bursts_that_leave_a_gap_nothing_is_made_up():
    seams = seams_of([burst(number=1), burst(number=3, start=2 * CYCLE)])
    assert seams.bounds[0, 1] == pytest.approx(1487 * STEP, abs=1e-12)
    assert seams.bounds[1, 0] == pytest.approx(2 * CYCLE + 21 * STEP, abs=1e-12)


NEXT = FIRST + 20_000 / SAMPLING  # sample 0 of the next swath


def test_swaths_are_cut_at_one_time_that_all_their_bursts_hold():
    near = [burst("IW1", n, n * CYCLE, samples=(171, 21_900 - 7 * n)) for n in range(2)]
    far = [
        burst("IW2", n, n * CYCLE + 0.9, samples=(300 + 9 * n, 21_000), first=NEXT) for n in (0, 1)
    ]
    for bursts in (near + far, far + near):
        seams = seams_of(bursts)
        rows = {key: row for key, row in zip(seams.keys, seams.bounds, strict=True)}
        cut = (FIRST + 21_893 / SAMPLING + NEXT + 309 / SAMPLING) / 2
        for n in (0, 1):
            assert rows["IW1", n][3] == rows["IW2", n][2] == pytest.approx(cut, abs=1e-15)
            assert rows["IW1", n][2] == pytest.approx(FIRST + 171 / SAMPLING, abs=1e-15)
            assert rows["IW2", n][3] == pytest.approx(NEXT + 21_000 / SAMPLING, abs=1e-15)


def test_swaths_that_do_not_meet_keep_their_gap():
    far = burst("IW3", 0, samples=(100, 21_000), first=FIRST + 50_000 / SAMPLING)
    bounds = seams_of([far, burst("IW1", 0)]).bounds
    bounds = bounds[np.argsort(bounds[:, 2])]
    assert bounds[0, 3] == pytest.approx(FIRST + 22_000 / SAMPLING, abs=1e-15)
    assert bounds[1, 2] == pytest.approx(FIRST + 50_100 / SAMPLING, abs=1e-15)


def test_one_number_may_be_in_every_swath():
    """ESA counts the places that a track shows, whatever the swath."""
    bursts = [
        burst(f"IW{n}", 110433, n * 0.9, first=FIRST + n * 20_000 / SAMPLING) for n in (1, 2, 3)
    ]
    assert set(seams_of(bursts).keys) == {(f"IW{n}", 110433) for n in (1, 2, 3)}


# --- which burst shows a place


def loops(time, slant, bounds, out):
    """All bursts that hold each place: the first of them, and how many."""
    found, holders = out.copy(), np.zeros(out.shape, int)
    for at in np.ndindex(out.shape):
        delay = 2 * slant[at] / LIGHT
        for number, (first, last, near, far, reference) in enumerate(bounds):
            line = time[at] - (delay - reference) / 2
            if first <= line < last and near <= delay < far:
                holders[at] += 1
                if found[at] < 0:
                    found[at] = number
    return found, holders


def places(seed, shape=(9, 11)):
    """Places over all bursts of three swaths and some way beyond; one in ten nowhere."""
    rng = np.random.default_rng(seed)
    delay = rng.uniform(FIRST - 5e-5, FIRST + 64_000 / SAMPLING, shape)
    time = rng.uniform(-0.5, 3 * CYCLE + 2.5, shape)
    time[rng.random(shape) < 0.05] = np.nan
    delay[rng.random(shape) < 0.05] = np.nan
    return time, delay * LIGHT / 2


def pass_of(seed):
    """Bursts of three swaths whose starts and edges stray, one missing."""
    rng = np.random.default_rng(seed)
    bursts = [
        burst(
            f"IW{s}", n, n * CYCLE + 0.9 * (s % 3) + STEP * rng.integers(-4, 5),
            samples=(int(rng.integers(100, 400)), int(rng.integers(20_800, 22_000))),
            first=FIRST + (s - 1) * 20_000 / SAMPLING,
        )
        for s in (1, 2, 3)
        for n in range(3)
    ]  # fmt: skip
    del bursts[int(rng.integers(0, 9))]
    return bursts


@given(st.integers(0, 10_000))
@settings(max_examples=40)
def test_every_place_is_in_one_burst_at_most_and_found_there(seed):
    bounds = seams_of(pass_of(seed)).bounds
    time, slant = places(seed)
    out = np.full(time.shape, -1, "int16")
    wanted, holders = loops(time, slant, bounds, out)
    assert holders.max() == 1
    assert (holders == 0).any()
    burst_of(time, slant, bounds, out)
    np.testing.assert_array_equal(out, wanted)
    assert (out[np.isnan(time) | np.isnan(slant)] == -1).all()


@given(st.integers(0, 10_000))
@settings(max_examples=20)
def test_what_is_known_is_kept(seed):
    bounds = seams_of(pass_of(seed)).bounds
    time, slant = places(seed)
    rng = np.random.default_rng(seed)
    out = np.where(rng.random(time.shape) < 0.5, rng.integers(0, 40, time.shape), -1)
    out = out.astype("int16")
    wanted, _ = loops(time, slant, bounds, out)
    burst_of(time, slant, bounds, out)
    np.testing.assert_array_equal(out, wanted)


def test_a_cut_belongs_to_the_later_burst():
    bounds = seams_of([burst(number=n, start=n * CYCLE) for n in (0, 1)]).bounds
    delay = 0.0055
    shown = bounds[0, 1] + np.array([[-1e-9, 1e-9]])
    time = shown + 0.5 * (delay - bounds[0, 4])
    out = np.full((1, 2), -1, "int16")
    burst_of(time, np.full((1, 2), delay * LIGHT / 2), bounds, out)
    assert out.tolist() == [[0, 1]]
