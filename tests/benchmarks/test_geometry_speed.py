"""Geocoding in CPU seconds, beside an exact solution of every pixel and scipy's interpolation.

Run with ``pytest tests/benchmarks/test_geometry_speed.py``. CPU seconds, because workers share
the machine; limits are shares of the slower way, measured in the same run.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from spent import cpu_seconds

from cube.kernels import geocode
from cube.kernels.doppler import zero_doppler
from cube.kernels.ellipsoid import to_ecef
from cube.kernels.groundrange import to_image
from cube.kernels.resample import bilinear
from cube.readers.annotation import read_annotation

TILE = 512
SOURCE = 2048

cpu = pytest.mark.benchmark(timer=time.process_time, min_rounds=3, warmup=True)


def speed(benchmark, pixels: int) -> float:
    """Megapixels per CPU second; NaN when timing is switched off."""
    if benchmark.stats is None:
        return float("nan")
    rate = pixels / 1e6 / benchmark.stats.stats.min
    benchmark.extra_info["Mpix per CPU s"] = round(rate, 2)
    return rate


@pytest.fixture(scope="module")
def annotation(data_dir):
    folder = next((data_dir / "safe").glob("S1A_IW_GRDH_1SDV_20210809*.SAFE"))
    return read_annotation(str(sorted((folder / "annotation").glob("*.xml"))[0]))


def degrees(v, u):
    """A 5 km tile in the middle of the scene; v and u run over -1..1 down and to the east."""
    return 3.3 + 0.0326 * u, 45.5 - 0.023 * v


@pytest.fixture(scope="module")
def height():
    return np.random.default_rng(0).uniform(0, 1500, (TILE, TILE)).astype("float32")


@cpu
def test_image_coordinates(benchmark, annotation, height):
    at = -np.cos(np.pi * (np.arange(8) + 0.5) / 8)
    lon, lat = degrees(*np.meshgrid(at, at, indexing="ij"))
    found = benchmark(
        geocode.image_coordinates, annotation.orbit, annotation.image, lon, lat, height
    )
    rate = speed(benchmark, TILE * TILE)

    part = 128
    v, u = np.meshgrid(*[(2 * np.arange(part) + 1) / TILE - 1] * 2, indexing="ij")

    def exactly():
        points = to_ecef(*degrees(v, u), height[:part, :part])
        line, sample = zero_doppler(annotation.orbit, points)
        to_image(annotation.image, line, sample)
        return line, sample

    exact = part * part / 1e6 / cpu_seconds(exactly)
    benchmark.extra_info["exact, Mpix per CPU s"] = round(exact, 2)
    for ours, theirs in zip(found, exactly(), strict=True):
        # the tolerance of tests/kernels: a millionth of a line, a ten thousandth of a sample
        np.testing.assert_allclose(ours[:part, :part], theirs, rtol=0, atol=1e-4)
    # 35 multiplications on vectors against some four rounds of 200, compiled too: 37 times
    assert not rate < 15 * exact


@cpu
def test_local_incidence(benchmark, annotation, height):
    step = 32
    nodes = (2 * np.arange(TILE // step + 1) * step + 1) / TILE - 1
    lon, lat = degrees(*np.meshgrid(nodes, nodes, indexing="ij"))
    points = to_ecef(lon, lat, 700.0)
    up = points / np.linalg.norm(points, axis=-1)[..., None]
    east = np.cross([0.0, 0.0, 1.0], up)
    east /= np.linalg.norm(east, axis=-1)[..., None]
    sight = geocode.sight_lattice(
        annotation.orbit, annotation.image, points, east, np.cross(up, east), up
    )
    lattice = np.concatenate([sight, np.ones((*lon.shape, 2))], axis=-1)
    wide = np.pad(height, 1, mode="edge")

    def angles():
        out = np.full((TILE, TILE), np.nan, "float32")
        geocode.local_incidence(wide, lattice, step, (10.0, 10.0), annotation.image.shape, out)
        return out

    assert np.isfinite(benchmark(angles)).all()
    assert not speed(benchmark, TILE * TILE) < 10


@cpu
def test_bilinear(benchmark):
    rng = np.random.default_rng(1)
    image = rng.gamma(4.4, 1 / 4.4, (SOURCE + 400, SOURCE + 400)).astype("float32")
    row, col = np.mgrid[:SOURCE, :SOURCE].astype(float)
    row, col = row + 0.17 * col + 0.3, col + 0.1 * (SOURCE - row) + 0.4  # turned as a track is

    def ours():
        out = np.full(row.shape, np.nan, "float32")
        bilinear(image, (0, 0), row, col, out)
        return out

    def scipy():
        return map_coordinates(image, [row, col], order=1, cval=np.nan, output="float32")

    found = benchmark(ours)
    rate = speed(benchmark, SOURCE * SOURCE)
    theirs = SOURCE * SOURCE / 1e6 / cpu_seconds(scipy)
    benchmark.extra_info["scipy, Mpix per CPU s"] = round(theirs, 2)
    # scipy weighs in double precision: our float32 differs by 1e-7 of the neighbours' 3
    np.testing.assert_allclose(found, scipy(), rtol=0, atol=2e-6)
    assert not rate < 3 * theirs
