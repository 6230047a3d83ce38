"""Speckle filters in CPU seconds, beside the same thing in scipy and numpy.

Run with ``pytest tests/benchmarks/test_speckle_speed.py --benchmark-only``. CPU seconds, because
workers share the machine. What stands beside a filter knows no missing samples.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from cube.kernels import speckle
from cube.kernels.lee_sigma import SIGMA_RANGES

SIZE = 4096
MEGAPIXELS = SIZE * SIZE / 1e6
DATES = 4
LOOKS = 4.4  # of IW GRD in high resolution

cpu = pytest.mark.benchmark(timer=time.process_time, min_rounds=3, warmup=True)


@pytest.fixture(scope="module")
def image():
    """Speckle over fields of water and land, some clusters of bright samples, no gaps."""
    rng = np.random.default_rng(0)
    level = np.where(rng.random((SIZE // 64, SIZE // 64)) < 0.3, 0.008, 0.08)
    power = np.kron(level, np.ones((64, 64))) * rng.gamma(LOOKS, 1 / LOOKS, (SIZE, SIZE))
    for y, x in rng.integers(0, SIZE - 4, (2000, 2)):
        power[y : y + 4, x : x + 3] = 5
    return power.astype("float32")


@pytest.fixture(scope="module")
def gaps(image):
    """The same with a tenth missing, here and there and at the border."""
    found = image.copy()
    found[np.random.default_rng(1).random(image.shape) < 0.05] = np.nan
    found[:, : SIZE // 20] = np.nan
    return found


def speed(benchmark, name, megapixels=MEGAPIXELS):
    """Megapixels per CPU second; NaN when timing is switched off."""
    if benchmark.stats is None:
        return float("nan")
    rate = megapixels / benchmark.stats.stats.min
    benchmark.extra_info[f"{name}, Mpix per CPU s"] = round(rate, 1)
    return rate


def rate_of(benchmark, name, function, *arguments, megapixels=MEGAPIXELS):
    """Megapixels per CPU second of something else, the best of three calls."""
    best = np.inf
    for _ in range(3):
        began = time.process_time()
        function(*arguments)
        best = min(best, time.process_time() - began)
    rate = megapixels / best
    benchmark.extra_info[f"{name}, Mpix per CPU s"] = round(rate, 1)
    return rate


def scipy_lee(image):
    """Lee's filter in scipy: two running means."""
    mean = uniform_filter(image, 7)
    variance = np.maximum(uniform_filter(image * image, 7) - mean * mean, 0) * np.float32(49 / 48)
    noise = np.float32(1 / LOOKS)
    signal = np.maximum(variance - mean * mean * noise, 0) / (1 + noise)
    with np.errstate(invalid="ignore"):
        return mean + np.where(signal > 0, signal / variance, 0) * (image - mean)


def numpy_estimate(value, total, squares, count, noise):
    mean = total / count
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = np.where(count > 1, (squares - mean * total) / (count - 1), 0)
        signal = np.maximum(variance - mean * mean * noise, 0) / (1 + noise)
        return mean + np.where(signal > 0, signal / variance, 0) * (value - mean)


def numpy_lee_sigma(image):
    """The sigma filter without point targets in numpy: shifted copies, strips that fit the cache.

    Returns
    -------
    float32, shape (y - 6, x - 6)
        Where windows are whole.
    """
    lower, upper, spread = map(np.float32, SIGMA_RANGES[1, 0.9])
    out = np.empty((image.shape[0] - 6, image.shape[1] - 6), "float32")
    for top in range(0, len(out), 16):
        strip = image[top : top + 22]
        shape = len(strip) - 6, out.shape[1]
        value = strip[3:-3, 3:-3]
        sums = np.zeros((2, *shape), "float32")
        for y, x in np.ndindex(3, 3):
            near = strip[2 + y : 2 + y + shape[0], 2 + x : 2 + x + shape[1]]
            sums += near, near * near
        mean = numpy_estimate(value, *sums, np.float32(9), np.float32(1))
        low, high = lower * mean, upper * mean
        sums = np.zeros((3, *shape), "float32")
        for y, x in np.ndindex(7, 7):
            near = strip[y : y + shape[0], x : x + shape[1]]
            inside = (near >= low) & (near <= high)
            taken = np.where(inside, near, np.float32(0))
            sums += taken, taken * taken, inside
        with np.errstate(invalid="ignore"):
            found = numpy_estimate(value, *sums, spread * spread)
        out[top : top + shape[0]] = np.where(sums[2] == 0, value, found)
    return out


@cpu
@pytest.mark.parametrize("filled", [True, False], ids=["filled", "gaps"])
def test_lee_sigma(benchmark, image, gaps, filled):
    power = image if filled else gaps
    found = benchmark(speckle.lee_sigma, power, 1.0)
    assert np.array_equal(np.isnan(found), np.isnan(power))
    assert not speed(benchmark, "Lee Sigma") < 40


@cpu
def test_lee_sigma_beside_numpy(benchmark, image):
    part = image[: SIZE // 8]
    found = benchmark(speckle.lee_sigma, part, np.inf)
    ours = speed(benchmark, "Lee Sigma", MEGAPIXELS / 8)
    theirs = rate_of(benchmark, "numpy", numpy_lee_sigma, part, megapixels=MEGAPIXELS / 8)
    error = np.abs(found[3:-3, 3:-3] / numpy_lee_sigma(part) - 1)
    # samples at the very edge of a range fall on either side of it in one case of a million
    assert np.mean(error > 1e-4) < 1e-4
    assert not ours < 4 * theirs


@cpu
def test_percentile(benchmark, gaps):
    found = benchmark(speckle.z98, gaps)
    speed(benchmark, "z98")
    assert found == pytest.approx(np.nanquantile(gaps, 0.98), rel=1e-3)


@cpu
def test_boxcar(benchmark, image):
    found = benchmark(speckle.boxcar, image)
    ours = speed(benchmark, "boxcar")
    theirs = rate_of(benchmark, "scipy", uniform_filter, image, 7)
    inner = np.s_[3:-3, 3:-3]
    # running sums of float32 drift
    np.testing.assert_allclose(found[inner], uniform_filter(image, 7)[inner], rtol=1e-3)
    assert not ours < theirs


@cpu
def test_lee(benchmark, image):
    found = benchmark(speckle.lee, image, 7, LOOKS)
    ours = speed(benchmark, "Lee")
    theirs = rate_of(benchmark, "scipy", scipy_lee, image)
    inner = np.s_[3:-3, 3:-3]
    np.testing.assert_allclose(found[inner], scipy_lee(image)[inner], rtol=1e-2)
    assert not ours < 2 * theirs


@cpu
def test_refined_lee(benchmark, image):
    benchmark(speckle.refined_lee, image, LOOKS)
    assert not speed(benchmark, "refined Lee") < 20


@cpu
def test_quegan(benchmark, image):
    """Megapixels count every date."""
    stack = image.reshape(DATES, SIZE // DATES, SIZE)
    found = benchmark(speckle.quegan, stack)
    ours = speed(benchmark, "Quegan")

    def scipy():
        local = np.stack([uniform_filter(one, 7) for one in stack])
        return local * (stack / local).mean(axis=0)

    theirs = rate_of(benchmark, "scipy", scipy)
    inner = np.s_[:, 3:-3, 3:-3]
    np.testing.assert_allclose(found[inner], scipy()[inner], rtol=1e-2)
    assert not ours < theirs
