"""Calibration in CPU seconds, beside the formula in numpy and xarray-sentinel.

Run with ``pytest tests/benchmarks/test_radiometry_speed.py``. CPU seconds, because workers share
the machine; limits are shares of the slower way, measured in the same run.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
from spent import cpu_seconds

from cube.kernels import radiometry
from cube.kernels.radiometry import Lut, Radiometry
from cube.readers.calibration import read_radiometry

SIZE = 4096
LINE, SAMPLE = 6000, 9000  # in the middle of the scene, over the seam of two sub-swaths

cpu = pytest.mark.benchmark(timer=time.process_time, min_rounds=3, warmup=True)


def speed(benchmark, pixels: int) -> float:
    """Megapixels per CPU second; NaN when timing is switched off."""
    if benchmark.stats is None:
        return float("nan")
    rate = pixels / 1e6 / benchmark.stats.stats.min
    benchmark.extra_info["Mpix per CPU s"] = round(rate, 1)
    return rate


@pytest.fixture(scope="module")
def safe(data_dir):
    return next((data_dir / "safe").glob("S1B_IW_GRDH_1SDV_20211223*.SAFE"))


@pytest.fixture(scope="module")
def tables(safe):
    gain = next((safe / "annotation/calibration").glob("calibration-*.xml"))
    noise = gain.with_name(gain.name.replace("calibration-", "noise-"))
    return read_radiometry(str(gain), str(noise), "sigma0")


@pytest.fixture(scope="module")
def numbers():
    power = np.random.default_rng(0).gamma(4.4, 30_000 / 4.4, (SIZE, SIZE))
    return np.sqrt(power).astype("uint16")


def expand(lut, lines, samples):
    """Bilinear table on whole lines and samples, in numpy."""
    along = np.stack([np.interp(samples, lut.samples, row) for row in lut.values])
    at = np.clip(np.interp(lines, lut.lines, np.arange(len(lut.lines))), 0, len(lut.lines) - 1)
    low = np.minimum(at.astype(int), len(lut.lines) - 2)
    share = (at - low)[:, None].astype("float32")
    along = along.astype("float32")
    return along[low] * (1 - share) + along[low + 1] * share


@cpu
def test_calibration(benchmark, tables, numbers):
    found = benchmark(radiometry.calibrate, numbers, LINE, SAMPLE, tables)
    rate = speed(benchmark, SIZE * SIZE)
    lines, samples = np.arange(LINE, LINE + SIZE), np.arange(SAMPLE, SAMPLE + SIZE)

    def in_numpy():
        out = np.empty(numbers.shape, "float32")
        for first in range(0, SIZE, 512):  # blocks that stay in the cache
            part = slice(first, first + 512)
            noise = expand(tables.noise, lines[part], samples)
            for one in tables.azimuth:
                factor = np.interp(lines[part], one.lines, one.values).astype("float32")
                cut = slice(max(one.first_sample - SAMPLE, 0), max(one.last_sample + 1 - SAMPLE, 0))
                noise[:, cut] *= factor[:, None]
            gain = expand(tables.gain, lines[part], samples)
            dn = numbers[part].astype("float32")
            out[part] = np.where(dn > 0, (dn * dn - noise) / (gain * gain), np.nan)
        return out

    theirs = SIZE * SIZE / 1e6 / cpu_seconds(in_numpy)
    benchmark.extra_info["numpy, Mpix per CPU s"] = round(theirs, 1)
    # both in float32: some roundings of 6e-8 of numbers 20 times what noise removal leaves
    np.testing.assert_allclose(found, in_numpy(), rtol=1e-4, atol=1e-6)
    assert not rate < 5 * theirs  # measured 13 times numpy in blocks that stay in the cache


@cpu
@pytest.mark.peers
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_calibration_beside_xarray_sentinel(benchmark, safe, tables, numbers):
    """Without noise, of which it removes none; a window, since it fills memory with the scene."""
    import xarray as xr
    import xarray_sentinel

    size = 2048
    product = xr.open_dataset(safe, engine="sentinel-1", group="IW/VV")
    luts = xr.open_dataset(safe, engine="sentinel-1", group="IW/VV/calibration")
    window = product.measurement.isel(
        azimuth_time=slice(LINE, LINE + size), ground_range=slice(SAMPLE, SAMPLE + size)
    ).copy(data=numbers[:size, :size])
    silent = Radiometry(tables.gain, Lut.constant(0.0))
    found = benchmark(radiometry.calibrate, numbers[:size, :size].copy(), LINE, SAMPLE, silent)
    rate = speed(benchmark, size * size)

    def peer():
        return xarray_sentinel.calibrate_intensity(window, luts.sigmaNought).values

    theirs = size * size / 1e6 / cpu_seconds(peer)
    benchmark.extra_info["xarray-sentinel, Mpix per CPU s"] = round(theirs, 1)
    np.testing.assert_allclose(found, peer(), rtol=1e-4)
    assert not rate < 15 * theirs  # measured 41 times
