"""Coherence in CPU seconds, beside what others do and beside moving the same bytes.

Run with ``pytest tests/benchmarks/test_coherence_speed.py --benchmark-only -s``. CPU seconds,
because workers share the machine; limits are ratios to something else in the same run, so they
hold in the small form too, in which every ratio is lower.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.ndimage import convolve, uniform_filter
from spent import cpu_seconds

from cube.kernels.coherence import coherence

WINDOWS = [(3, 3), (3, 11), (5, 21), (11, 11), (21, 21), (31, 31)]

cpu = pytest.mark.benchmark(timer=time.process_time, min_rounds=5, warmup=True)


@pytest.fixture(scope="module")
def pair(request):
    """Two images of a true coherence of 0.6: a burst of IW, or a fifth of its lines."""
    shape = (300 if request.config.getoption("benchmark_disable") else 1500), 9000
    rng = np.random.default_rng(0)
    parts = rng.standard_normal((4, *shape), "float32")
    first = parts[0] + 1j * parts[1]
    second = np.float32(0.6) * first + np.float32(0.8) * (parts[2] + 1j * parts[3])
    return first.astype("complex64"), second.astype("complex64")


def measure(benchmark, name, function, *arguments, pixels, rounds=5):
    """Megapixels per CPU second of the best round, which is printed and kept."""
    rate = pixels / 1e6 / cpu_seconds(function, *arguments, rounds=rounds)
    benchmark.extra_info[f"{name}, Mpix per CPU s"] = round(rate, 1)
    print(f"{name}: {rate:.1f} Mpix per CPU s")
    return rate


def in_scipy(mean):
    """Magnitude of coherence by three filtered terms, as in eos-sar and eo_tools; gaps unknown."""

    def magnitude(first, second, window):
        powers = mean(np.abs(first) ** 2, window) * mean(np.abs(second) ** 2, window)
        return np.abs(mean(first * second.conj(), window)) / np.sqrt(powers)

    return magnitude


def box(values, window):
    return convolve(values, np.full(window, 1 / (window[0] * window[1]), "float32"))


def inside(values, window):
    """Without the edges, where others mirror or repeat samples."""
    y, x = window[0] // 2, window[1] // 2
    return np.abs(values[y : len(values) - y, x : values.shape[1] - x])


@cpu
@pytest.mark.parametrize("window", WINDOWS)
def test_coherence_beside_running_means(benchmark, pair, window):
    found = benchmark(coherence, *pair, window)
    pixels = found.size
    rate = measure(benchmark, f"ours {window}", coherence, *pair, window, pixels=pixels)
    filtered = in_scipy(uniform_filter)
    theirs = measure(benchmark, "uniform_filter", filtered, *pair, window, pixels=pixels, rounds=2)
    # both in float32, theirs with sums that run along whole lines
    error = np.abs(inside(found, window) - inside(filtered(*pair, window), window)).max()
    assert error < 1e-4
    assert rate > 3 * theirs  # measured 6 to 9 times, 5 to 8 in the small form


@cpu
@pytest.mark.parametrize("window", [(3, 3), (11, 11)])
def test_coherence_beside_convolution(benchmark, pair, window):
    first, second = (image[:100].copy() for image in pair)
    found = benchmark(coherence, first, second, window)
    rate = measure(benchmark, f"ours {window}", coherence, first, second, window, pixels=found.size)
    filtered = in_scipy(box)
    theirs = measure(
        benchmark, "convolve", filtered, first, second, window, pixels=found.size, rounds=1
    )
    error = np.abs(inside(found, window) - inside(filtered(first, second, window), window)).max()
    assert error < 1e-4
    # measured 10 and 70 to 80 times: theirs grows with the number of samples of a window
    assert rate > {3: 5, 11: 35}[window[0]] * theirs


@cpu
@pytest.mark.parametrize("window", [(3, 3), (11, 11), (31, 31)])
def test_coherence_beside_moving_its_bytes(benchmark, pair, window):
    """The least there is to do: two images are read and one of their size is written anew."""
    found = benchmark(coherence, *pair, window)
    rate = measure(benchmark, f"ours {window}", coherence, *pair, window, pixels=found.size)
    moved = measure(benchmark, "sum of the images", np.add, *pair, pixels=found.size)
    assert rate > moved / 15  # measured a third to a fifth, a seventh in the small form


@cpu
def test_coherence_with_gaps(benchmark, pair):
    """A sample in a hundred: no line and no window is without."""
    window = 11, 11
    first, second = pair
    gaps = np.where(np.random.default_rng(1).random(first.shape) < 0.01, np.nan, first)
    gaps = gaps.astype("complex64")
    found = benchmark(coherence, gaps, second, window, 0, 0.1)  # corners have a quarter of a window
    assert np.isnan(found).sum() == np.isnan(gaps).sum()
    rate = measure(benchmark, "gaps", coherence, gaps, second, window, pixels=found.size)
    whole = measure(benchmark, "no gaps", coherence, *pair, window, pixels=found.size)
    assert rate > 0.5 * whole  # measured 0.85


@cpu
@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")
def test_coherence_beside_eos_sar(benchmark, pair):
    """Its `on_pair` gives the magnitude alone; so does what is timed of ours."""
    peer = pytest.importorskip("eos.sar.coherence", reason="eos-sar is not installed")
    window = 11, 11

    def magnitude(first, second):
        return np.abs(coherence(first, second, window))

    found = benchmark(magnitude, *pair)
    rate = measure(benchmark, "ours", magnitude, *pair, pixels=found.size)
    theirs = measure(benchmark, "eos-sar", peer.on_pair, *pair, window, pixels=found.size, rounds=2)
    error = np.abs(inside(found, window) - inside(peer.on_pair(*pair, window), window)).max()
    assert error < 1e-4
    assert rate > 2 * theirs  # measured 6 to 8 times, 4 to 6 in the small form
