"""Speed of the water kernels in CPU seconds, beside the same thing in scipy and numpy.

Run with ``pytest tests/benchmarks/test_water_speed.py --benchmark-only``. CPU seconds, because
workers share the machine.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.ndimage import map_coordinates, uniform_filter

from cube.kernels import flood, multilook, terrain, water

SIZE = 2048  # one compute block
MEGAPIXELS = SIZE * SIZE / 1e6

cpu = pytest.mark.benchmark(timer=time.process_time, min_rounds=3, warmup=True)


@pytest.fixture(scope="module")
def power():
    rng = np.random.default_rng(0)
    level = np.where(rng.random((SIZE // 64, SIZE // 64)) < 0.3, -21.0, -11.0)
    mean = 10 ** (np.kron(level, np.ones((64, 64))) / 10)
    vv = (mean * rng.gamma(4.4, 1 / 4.4, mean.shape)).astype("float32")
    vh = (mean / 5 * rng.gamma(4.4, 1 / 4.4, mean.shape)).astype("float32")
    return vv, vh


@pytest.fixture(scope="module")
def model(power):
    return water.fit(water.histogram(*power))


def speed(benchmark):
    """Megapixels per CPU second; NaN when timing is switched off."""
    if benchmark.stats is None:
        return float("nan")
    rate = MEGAPIXELS / benchmark.stats.stats.min
    benchmark.extra_info["Mpix per CPU s"] = round(rate, 1)
    return rate


@cpu
def test_box_mean(benchmark, power):
    benchmark(multilook.box_mean, power[0], 5)
    assert not speed(benchmark) < 40


@cpu
def test_box_mean_by_scipy(benchmark, power):
    """No missing samples, running sums."""
    benchmark(uniform_filter, power[0], 5)
    speed(benchmark)


@cpu
def test_probability(benchmark, power, model):
    benchmark(water.probability, *power, model)
    assert not speed(benchmark) < 20


@cpu
def test_probability_by_numpy(benchmark, power, model):
    table = water.lookup(model)

    def plain(vv, vh):
        i, j = (
            (10 * np.log10(uniform_filter(image, 5)) - low) / 0.25
            for image, low in ((vv, -35.0), (vh, -40.0))
        )
        return map_coordinates(table, [i, j], order=1, mode="nearest")

    result = benchmark(plain, *power)
    speed(benchmark)
    inside = np.s_[2:-2, 2:-2]
    found = water.probability(*power, model)
    np.testing.assert_allclose(found[inside], result[inside], atol=1e-3)


@cpu
def test_histogram(benchmark, power):
    benchmark(water.histogram, *power)
    speed(benchmark)


@cpu
def test_fit(benchmark, power):
    """Seconds, not pixels: one fit a scene, here with 64 tiles."""
    vv, vh = power
    tiles = np.stack(
        [
            water.histogram(vv[y : y + 256, x : x + 256], vh[y : y + 256, x : x + 256])
            for y in range(0, SIZE, 256)
            for x in range(0, SIZE, 256)
        ]
    )
    benchmark(water.fit, tiles.sum(axis=0), tiles)


@cpu
def test_slope(benchmark, power):
    benchmark(terrain.slope, power[0], 10.0, 10.0)
    speed(benchmark)


@cpu
def test_classify(benchmark, power, model):
    chance = water.probability(*power, model)
    dropped = np.full_like(chance, 5.0)
    none = np.zeros(chance.shape, "uint8")
    benchmark(flood.classify, chance, none, np.zeros_like(chance), dropped, none)
    speed(benchmark)


@cpu
def test_reference_of_ten_passes(benchmark, power):
    rng = np.random.default_rng(1)
    stack = np.stack([power[0] * np.float32(level) for level in rng.uniform(0.7, 1.4, 10)])
    benchmark(flood.reference, stack)
    speed(benchmark)
