"""Samples of a burst at places of the map, against a burst deramped as a whole, one by one."""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cube.kernels.burst_sampling import burst_bounds, sample_burst, sample_polar
from cube.kernels.taps import FRACTIONS, least_squares_taps
from cube.kernels.tops import Burst

LIGHT = 299_792_458.0
# Burst 3 of IW1 of 2023-09-04, track 52, as its annotation has it
STEERING, WAVELENGTH, SPEED = math.radians(1.590368784), LIGHT / 5.40500045433435e9, 7595.4917
RATE = (5.334431164884956e-3, (-2331.308655455866, 449690.1057079641, -78128584.68617493))
CENTROID = (5.337093144532509e-3, (-10.07332, -11104.81, -4719402.0))
LINES, SAMPLES, STEP, SAMPLING, FIRST = 1507, 23055, 2.0555563e-3, 64345238.12571428, RATE[0]
START, REFERENCE = 1.25, 5.85274e-3
AZIMUTH, RANGE = (0.6721669, 0.70), (0.8780759, 0.75)
TAPS = least_squares_taps(*AZIMUTH), least_squares_taps(*RANGE)


def burst(first_valid=None, last_valid=None, **more) -> Burst:
    """A burst whose lines are all valid, if nothing else is said."""
    found = Burst(
        "IW1", 1, START, STEP, FIRST, SAMPLING, REFERENCE,
        np.zeros(LINES, int) if first_valid is None else first_valid,
        np.full(LINES, SAMPLES - 1) if last_valid is None else last_valid,
        SAMPLES, STEERING, RATE, CENTROID, SPEED, WAVELENGTH,
    )  # fmt: skip
    return replace(found, **more)


def place(line, sample):
    """Zero-Doppler time and slant range whose line and sample those are."""
    delay = FIRST + np.asarray(sample) / SAMPLING
    time = START + np.asarray(line) * STEP + 0.5 * (delay - REFERENCE)
    return time, delay * LIGHT / 2


def sampled(one, values, origin, line, sample, *, scale=1.0, chosen=None, fill=0):
    """What `sample_burst` finds at lines and samples of the burst; both of shape (y, x)."""
    line, sample = np.atleast_2d(line), np.atleast_2d(sample)
    out = np.full(line.shape, fill, "complex64")
    where = np.ones(line.shape, bool) if chosen is None else chosen
    time, slant = place(line, sample)
    sample_burst(one, values, origin, TAPS, time, slant, where, scale, out)
    return out


# --- the phase law, as COPE-GSEG-EOPG-TN-14-0025 writes it


def polynomial(record, tau):
    return math.fsum(term * (tau - record[0]) ** power for power, term in enumerate(record[1]))


@dataclass(frozen=True)
class Law:
    k_a: float
    f_dc: float
    k_s: float
    k_t: float
    eta_ref: float

    def phase(self, eta):
        late = eta - self.eta_ref
        return math.pi * self.k_t * late**2 + 2 * math.pi * self.f_dc * late

    def steered(self, eta):
        """Doppler frequency of a target when the beam that is steered passes it."""
        return self.k_a * (self.f_dc + self.k_s * eta) / (self.k_a - self.k_s)


def law(sample) -> Law:
    tau, middle = FIRST + sample / SAMPLING, FIRST + SAMPLES / (2 * SAMPLING)
    k_s = 2 * SPEED * STEERING / WAVELENGTH
    k_a, f_dc = polynomial(RATE, tau), polynomial(CENTROID, tau)
    at_middle = -polynomial(CENTROID, middle) / polynomial(RATE, middle)
    return Law(k_a, f_dc, k_s, k_a * k_s / (k_a - k_s), -f_dc / k_a - at_middle)


def eta(line):
    """Seconds after the middle of the burst."""
    return (line - LINES / 2) * STEP


def deramped_and_back(values, origin, line, sample):
    """Value at one place of a burst that is deramped as a whole, interpolated and ramped again."""
    l0, s0 = math.floor(line) - 3, math.floor(sample) - 3
    along = TAPS[0][round((line % 1) * FRACTIONS)]
    across = TAPS[1][round((sample % 1) * FRACTIONS)]
    total = 0j
    for m in range(8):
        own = law(s0 + m)
        for k in range(8):
            number = complex(values[l0 + k - origin[0], s0 + m - origin[1]])
            number *= cmath.exp(-1j * own.phase(eta(l0 + k)))
            total += float(along[k]) * float(across[m]) * number
    slant = (FIRST + sample / SAMPLING) * LIGHT / 2
    total *= cmath.exp(1j * law(sample).phase(eta(line)))
    return total * cmath.exp(4j * math.pi * slant / WAVELENGTH)


def response(at, spectrum):
    """Focused echo of a point at distances in samples: the transform of its Hamming window."""
    bandwidth, window = spectrum
    x = bandwidth * at
    side = (1 - window) / 2
    return (window * np.sinc(x) + side * (np.sinc(x - 1) + np.sinc(x + 1))) / window


def echoes(origin, shape, points):
    """Window of a burst with points (line, sample, amplitude): each of its own Doppler frequency.

    The phase of its path is -4 pi R / lambda.
    """
    line = np.arange(shape[0])[:, None] + origin[0]
    sample = np.arange(shape[1]) + origin[1]
    values = np.zeros(shape, complex)
    for at_line, at_sample, amplitude in points:
        slant = (FIRST + at_sample / SAMPLING) * LIGHT / 2
        turned = 2j * np.pi * law(at_sample).steered(eta(at_line)) * (line - at_line) * STEP
        near = response(line - at_line, AZIMUTH) * np.exp(turned)
        path = cmath.exp(-4j * math.pi * slant / WAVELENGTH)
        values += amplitude * path * near * response(sample - at_sample, RANGE)
    return values.astype("complex64")


# --- against the burst deramped as a whole

AREAS = {
    "first lines, near": (5, 12),
    "middle, mid swath": (720, 11_500),
    "last lines, far": (1440, 22_960),
}


@pytest.mark.parametrize("origin", AREAS.values(), ids=AREAS)
def test_turned_taps_are_a_burst_deramped_interpolated_and_ramped(origin):
    rng = np.random.default_rng(2)
    shape = 60, 80
    points = [
        (*(rng.uniform(-3, size + 3) + first for first, size in zip(origin, shape, strict=True)), a)
        for a in rng.normal(size=(2000, 2)).view(complex)[:, 0]
    ]
    values = echoes(origin, shape, points)
    line = origin[0] + rng.uniform(4, shape[0] - 5, (5, 30))
    sample = origin[1] + rng.uniform(4, shape[1] - 5, (5, 30))
    found = sampled(burst(), values, origin, line, sample)
    wanted = np.array(
        [deramped_and_back(values, origin, *at) for at in zip(line.flat, sample.flat, strict=True)]
    )
    error = np.sqrt((np.abs(found.ravel() - wanted) ** 2).mean() / (np.abs(wanted) ** 2).mean())
    # deramping a burst as a whole tilts its spectrum in range: 0.005 cycles a sample at its ends
    assert error <= 5e-3


# --- point targets


@pytest.mark.parametrize("line", [40.37, 753.5, 1466.81])
@pytest.mark.parametrize("sample", [30.6, 11_527.25, 23_020.9])
def test_a_point_is_found_at_its_place(line, sample):
    """Its Doppler frequency is that of the beam that is steered: no formula of the kernel's."""
    at = 300 * cmath.exp(0.7j)
    origin = int(line) - 20, int(sample) - 20
    values = echoes(origin, (41, 41), [(line, sample, at)])
    (found,) = sampled(burst(), values, origin, line, sample).ravel()
    assert abs(found) == pytest.approx(300, rel=0.01)
    assert cmath.phase(found / at) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("line", [40.37, 1466.81])
def test_a_point_near_an_end_is_lost_without_the_law(line):
    """What is asked above can fail: the same samples, read as of a beam that is not steered."""
    sample = 11_527.25
    origin = int(line) - 20, int(sample) - 20
    values = echoes(origin, (41, 41), [(line, sample, 300.0)])
    still = burst(steering_rad_s=STEERING * 1e-6)
    (found,) = sampled(still, values, origin, line, sample).ravel()
    assert abs(abs(found) / 300 - 1) > 0.05 or abs(cmath.phase(found)) > 0.2


@pytest.mark.parametrize(
    "wrong",
    [
        {"steering_rad_s": STEERING * 1e-6},
        {"steering_rad_s": -STEERING},
        {"bistatic_reference_s": REFERENCE + 2 * STEP},
        {"wavelength_m": WAVELENGTH * (1 + 1e-7)},
        {"fm_rate": (RATE[0], (-1e9, 0.0, 0.0))},
    ],
    ids=["no steering", "steering backwards", "a line late", "wavelength", "no FM rate"],
)
def test_what_is_wrong_in_the_law_shows(wrong):
    """Amplitude or phase of points of many fractions at both ends of a burst."""
    worst = 0.0
    for line in (40.1, 40.35, 40.6, 1466.2, 1466.45, 1466.8):
        origin = int(line) - 20, 480
        values = echoes(origin, (41, 41), [(line, 500.3, 1.0)])
        (found,) = sampled(burst(**wrong), values, origin, line, 500.3).ravel()
        worst = max(worst, abs(found - 1))
    assert worst > 0.05


def test_flattened_phase_does_not_know_how_far_a_point_is():
    """Points of one phase over 13 km of range, which is 4e5 turns of the path's phase."""
    samples = np.linspace(25, 23_025, 12) + np.linspace(0, 0.9, 12)
    found = []
    for sample in samples:
        origin = 700, int(sample) - 15
        values = echoes(origin, (31, 31), [(715.4, sample, 100.0)])
        found.append(complex(sampled(burst(), values, origin, 715.4, sample)[0, 0]))
    assert np.abs(np.angle(found)).max() <= 0.02


# --- what the kernel keeps


def noise(shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(*shape, 2)).astype("float32").view("complex64")[..., 0]


def spread(seed, shape=(40, 50), origin=(300, 2000), size=(7, 9)):
    """Random places with all their taps in a window."""
    rng = np.random.default_rng(seed)
    line = origin[0] + rng.uniform(3, shape[0] - 5, size)
    return line, origin[1] + rng.uniform(3, shape[1] - 5, size)


def test_it_is_linear():
    one, other = noise((40, 50), 1), noise((40, 50), 2)
    at = spread(3)
    together = sampled(burst(), (2 - 1j) * one + 0.5j * other, (300, 2000), *at)
    apart = (2 - 1j) * sampled(burst(), one, (300, 2000), *at)
    apart += 0.5j * sampled(burst(), other, (300, 2000), *at)
    # sums of 64 float32 numbers of size 1
    np.testing.assert_allclose(together, apart, rtol=0, atol=5e-6)


def test_samples_are_multiplied_by_the_scale():
    values, at = noise((40, 50)), spread(4)
    found = sampled(burst(), values, (300, 2000), *at, scale=1 / 237)
    wanted = sampled(burst(), values, (300, 2000), *at) / 237
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


@given(st.integers(0, 1000), st.integers(0, 9), st.integers(0, 9))
@settings(max_examples=20)
def test_a_window_has_the_bits_of_the_whole(seed, above, left):
    """Wherever it begins: blocks of the map read windows of their own."""
    values = noise((60, 70), seed)
    line, sample = spread(seed, (40, 50), (310, 2010))
    whole = sampled(burst(), values, (300, 2000), line, sample)
    part = np.ascontiguousarray(values[10 - above : 51, 10 - left : 62])
    found = sampled(burst(), part, (310 - above, 2010 - left), line, sample)
    assert found.tobytes() == whole.tobytes()
    assert (found != 0).all()


def test_the_result_of_a_place_does_not_depend_on_its_neighbours():
    values = noise((40, 50))
    line, sample = spread(5)
    whole = sampled(burst(), values, (300, 2000), line, sample)
    for at in np.ndindex(line.shape):
        (alone,) = sampled(burst(), values, (300, 2000), line[at], sample[at]).ravel()
        assert alone == whole[at]


def test_only_chosen_places_are_filled():
    values = noise((40, 50))
    line, sample = spread(6)
    chosen = np.random.default_rng(7).random(line.shape) < 0.5
    found = sampled(burst(), values, (300, 2000), line, sample, chosen=chosen, fill=7 + 7j)
    whole = sampled(burst(), values, (300, 2000), line, sample)
    np.testing.assert_array_equal(found, np.where(chosen, whole, np.complex64(7 + 7j)))


@pytest.mark.parametrize("far_off", [np.nan, -1.0, 1e6])
@pytest.mark.parametrize("which", ["time", "slant"])
def test_places_that_are_nowhere_stay_as_they_are(which, far_off):
    values = noise((40, 50))
    time, slant = place(*spread(8))
    (time if which == "time" else slant)[2, 3] = far_off
    out = np.full(time.shape, 5, "complex64")
    sample_burst(
        burst(), values, (300, 2000), TAPS, time, slant, np.ones(time.shape, bool), 1.0, out
    )
    assert out[2, 3] == 5
    assert (out == 5).sum() == 1


# --- the edges


def ragged(seed):
    """Valid samples that differ from line to line, lines without any at both ends and between."""
    rng = np.random.default_rng(seed)
    first, last = rng.integers(2000, 2012, LINES), rng.integers(2038, 2050, LINES)
    for gone in (slice(0, 306), slice(332, None), slice(318, 318 + int(rng.integers(0, 2)))):
        first[gone], last[gone] = -1, -1
    return first, last


@given(st.integers(0, 10_000))
@settings(max_examples=15)
def test_only_places_with_all_their_taps_valid_are_filled(seed):
    """Line by line and sample by sample from one side of the valid part to the other."""
    first, last = ragged(seed)
    line, sample = (
        np.mgrid[298:342, 1995:2056]
        + np.random.default_rng(seed).uniform(0.1, 0.9, 2)[:, None, None]
    )
    found = sampled(burst(first, last), noise((60, 80)), (290, 1985), line, sample)
    wanted = np.zeros(line.shape, bool)
    for at in np.ndindex(line.shape):
        l0, s0 = math.floor(line[at]) - 3, math.floor(sample[at]) - 3
        wanted[at] = all(
            0 <= first[k] <= s0 and s0 + 7 <= last[k] for k in range(l0, l0 + 8)
        )  # fmt: skip
    np.testing.assert_array_equal(found != 0, wanted)
    assert wanted.any()


@pytest.mark.parametrize("end", ["first line", "last line", "first sample", "last sample"])
def test_the_outermost_place_with_eight_taps_is_filled_and_the_next_is_not(end):
    shape = LINES, 40
    line, sample = {
        "first line": ((3.001, 2.999), (500.5, 500.5)),
        "last line": ((LINES - 5 + 0.999, LINES - 4 + 0.001), (500.5, 500.5)),
        "first sample": ((700.5, 700.5), (3.001, 2.999)),
        "last sample": ((700.5, 700.5), (SAMPLES - 5 + 0.999, SAMPLES - 4 + 0.001)),
    }[end]
    origin = 0, int(np.clip(sample[0] - 20, 0, SAMPLES - 40))
    found = sampled(burst(), noise(shape), origin, [line], [sample])
    assert (found != 0).tolist() == [[True, False]]


def test_a_window_that_is_too_small_fills_what_it_holds():
    values = noise((20, 22))
    line, sample = np.mgrid[300:330, 2000:2030] + 0.3
    found = sampled(burst(), values, (304, 2003), line, sample)
    held = (line >= 307) & (line < 320) & (sample >= 2006) & (sample < 2021)
    np.testing.assert_array_equal(found != 0, held)


# --- what a window must hold


def test_bounds_are_those_of_the_chosen_places():
    line, sample = spread(9)
    chosen = np.random.default_rng(10).random(line.shape) < 0.4
    time, slant = place(line, sample)
    time[~chosen] = np.nan
    found = burst_bounds(burst(), time, slant, chosen)
    inside = line[chosen], sample[chosen]
    wanted = [bound(one) for one in inside for bound in (np.min, np.max)]
    # of time and range, in which a line is 7e6 and a sample 1e8 ulps
    assert found == pytest.approx(wanted, abs=1e-6)


def test_bounds_of_nothing_are_empty():
    time, slant = place(*spread(9))
    found = burst_bounds(burst(), time, slant, np.zeros(time.shape, bool))
    assert found == (math.inf, -math.inf, math.inf, -math.inf)


# --- phase and amplitude as numbers of their own


def polar(one, values, origin, line, sample, chosen=None):
    out = np.full(line.shape, 9, "float32"), np.full(line.shape, 9, "float32")
    where = np.ones(line.shape, bool) if chosen is None else chosen
    sample_polar(one, values, origin, *place(line, sample), where, out)
    return out


def bilinear(values, line, sample):
    l0, s0 = math.floor(line), math.floor(sample)
    y, x = line - l0, sample - s0
    return math.fsum(
        weight * values[l0 + k][s0 + m]
        for k, m, weight in (
            (0, 0, (1 - y) * (1 - x)), (0, 1, (1 - y) * x), (1, 0, y * (1 - x)), (1, 1, y * x),
        )
    )  # fmt: skip


def test_phase_and_amplitude_are_each_bilinear():
    values = noise((40, 50), 11)
    line, sample = spread(12)
    phase, amplitude = polar(burst(), values, (300, 2000), line, sample)
    angles = [[cmath.phase(complex(one)) for one in row] for row in values]
    sizes = [[abs(complex(one)) for one in row] for row in values]
    for at in np.ndindex(line.shape):
        inside = line[at] - 300, sample[at] - 2000
        # float32 of numbers up to 4
        assert phase[at] == pytest.approx(bilinear(angles, *inside), abs=3e-6)
        assert amplitude[at] == pytest.approx(bilinear(sizes, *inside), abs=3e-6)


def test_phase_is_smeared_across_its_jump():
    """Between 3 and -3 the circle's way leads over pi: what is found is 0, as it is elsewhere."""
    values = np.empty((4, 4), "complex64")
    values[:, ::2], values[:, 1::2] = np.exp(3j), np.exp(-3j)
    line, sample = np.array([[301.5, 301.5]]), np.array([[2001.5, 2001.25]])
    phase, amplitude = polar(burst(), values, (300, 2000), line, sample)
    np.testing.assert_allclose(phase, [[0, -1.5]], atol=1e-5)
    np.testing.assert_allclose(amplitude, 1, atol=1e-6)


@given(st.integers(0, 10_000))
@settings(max_examples=15)
def test_phase_and_amplitude_need_four_valid_neighbours(seed):
    first, last = ragged(seed)
    rng = np.random.default_rng(seed)
    line, sample = np.mgrid[298:342, 1995:2056] + rng.uniform(0.1, 0.9, 2)[:, None, None]
    chosen = rng.random(line.shape) < 0.8
    found = polar(burst(first, last), noise((60, 80)), (290, 1985), line, sample, chosen)
    wanted = chosen.copy()
    for at in np.argwhere(chosen):
        l0, s0 = math.floor(line[tuple(at)]), math.floor(sample[tuple(at)])
        wanted[tuple(at)] = all(0 <= first[k] <= s0 < last[k] for k in (l0, l0 + 1))
    for one in found:
        np.testing.assert_array_equal(one != 9, wanted)


def test_phase_and_amplitude_of_nowhere_stay_as_they_are():
    values, (time, slant) = noise((40, 50)), place(*spread(13))
    time[0, 0], slant[1, 1], time[2, 2] = np.nan, np.nan, -5.0
    out = np.full(time.shape, 9, "float32"), np.full(time.shape, 9, "float32")
    sample_polar(burst(), values, (300, 2000), time, slant, np.ones(time.shape, bool), out)
    for one in out:
        assert np.argwhere(one == 9).tolist() == [[0, 0], [1, 1], [2, 2]]
