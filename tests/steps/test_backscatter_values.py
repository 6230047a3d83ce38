"""Backscatter of a pass: plain Python from pixel to power, slices, voids, any block."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from references import (
    LIGHT,
    calibrated,
    ecef,
    ground_range,
    nearest,
    read_product,
    read_tables,
    zero_doppler,
)

from cube.grid import shape_of
from cube.readers.annotation import read_annotation
from cube.readers.dem import open_dem
from cube.steps.backscatter import PassSource, backscatter
from cube.steps.heights import heights


def source_of(made, grid: GeoBox, *numbers: int, kind: str = "sigma0") -> PassSource:
    dem = open_dem(str(made.dem), "ellipsoid")
    return PassSource(grid, dem, tuple(made.files(number) for number in numbers), kind)


def compute(source, block=2048):
    return backscatter(source, block).compute(scheduler="synchronous")


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_pixels_are_those_of_bisection_and_the_scalar_formula(made, grid):
    """From map coordinates to power without any code of ours, but for the height."""
    source = source_of(made, grid, 0)
    found = compute(source)
    rows, cols = shape_of(grid)
    height = heights(grid, slice(0, rows), slice(0, cols), source.dem)
    to_degrees = Transformer.from_crs(str(grid.crs), "EPSG:4326", always_xy=True)
    for band, files in zip(found, made.files(), strict=True):
        product = read_product(Path(files.annotation).read_bytes())
        time, places, _ = zip(*product.orbit, strict=True)
        path = np.polynomial.Chebyshev.fit
        axes = [path(time, column, 9) for column in np.transpose(places)]
        rates = [axis.deriv() for axis in axes]

        def state(at, axes=axes, rates=rates):
            return tuple(f(at) for f in axes), tuple(f(at) for f in rates)

        reference = read_annotation(files.annotation).image.bistatic_reference_s
        tables = read_tables(files.calibration, files.noise)
        with rasterio.open(files.measurement) as raster:
            numbers = raster.read(1)
        seen = np.argwhere(np.isfinite(band))
        for row, col in np.random.default_rng(31).permutation(seen)[:25]:
            lon, lat = to_degrees.transform(*(grid.affine * (col + 0.5, row + 0.5)))
            point = ecef(lon, lat, float(height[row, col]))
            moment, slant = zero_doppler(state, point, time[0], time[-1])
            shown = moment - slant / LIGHT + reference / 2
            record = product.records[nearest([one[0] for one in product.records], shown)]
            ground = ground_range(record[2], record[1], slant, -1e3, 3e4)
            line, sample = shown / product.line_step, ground / product.sample_step
            y, x = math.floor(line), math.floor(sample)
            if not (0 <= y < product.lines - 1 and 0 <= x < product.samples - 1):
                continue  # brought to the centre of an outermost pixel
            wy, wx = line - y, sample - x
            power = sum(
                weight * calibrated(tables, int(numbers[y + i, x + j]), y + i, x + j)
                for i, j, weight in (
                    (0, 0, (1 - wy) * (1 - wx)), (0, 1, (1 - wy) * wx),
                    (1, 0, wy * (1 - wx)), (1, 1, wy * wx),
                )
            )  # fmt: skip
            # 1e-4 pixel of place on speckle that changes by its own size within a pixel
            assert band[row, col] == pytest.approx(max(power, 1e-5), rel=2e-3, abs=1e-6)


@pytest.mark.parametrize("block", [512, 1024])
def test_no_value_depends_on_the_block(made, grid, block):
    source = source_of(made, grid, 0, 1, kind="gamma0")
    whole = compute(source)
    found = backscatter(source, block).compute(scheduler="threads", num_workers=2)
    np.testing.assert_array_equal(found.view("u4"), whole.view("u4"))


def test_the_mean_is_what_was_simulated(made, grid):
    """Fields of -10 and -17 dB; what noise removal leaves is unbiased before it is floored."""
    vv, vh = compute(source_of(made, grid, 0))
    # 4e5 cells of four looks and two-pixel correlation: 0.2 %; digital numbers round by 0.1 %
    assert np.nanmean(vv, dtype="float64") == pytest.approx(10**-1.0, rel=0.01)
    assert np.nanmean(vh, dtype="float64") == pytest.approx(10**-1.7, rel=0.01)


def test_the_earlier_slice_is_kept_where_both_look(made, grid):
    first, second = (compute(source_of(made, grid, number)) for number in (0, 1))
    both = compute(source_of(made, grid, 0, 1))
    expected = np.where(np.isfinite(first), first, second)
    np.testing.assert_array_equal(both, expected)
    assert (np.isfinite(first) & np.isfinite(second)).any()
    assert (np.isnan(first) & np.isfinite(second)).any()


def test_polarisations_come_in_the_order_asked(made, grid):
    dem = open_dem(str(made.dem), "ellipsoid")
    turned = PassSource(grid, dem, (made.files()[::-1],), "sigma0")
    np.testing.assert_array_equal(compute(turned), compute(source_of(made, grid, 0))[::-1])


def test_a_pixel_without_height_has_no_backscatter(made, grid):
    source = source_of(made, grid, 0, 1)
    rows, cols = shape_of(grid)
    void = np.isnan(heights(grid, slice(0, rows), slice(0, cols), source.dem))
    assert void.any()
    assert np.isnan(compute(source)[:, void]).all()


def test_what_noise_removal_takes_below_zero_is_raised_to_the_floor(made, grid):
    found = compute(source_of(made, grid, 0))
    known = found[np.isfinite(found)]
    assert (known > 0).all()
    assert (known == np.float32(1e-5)).any()


def test_gamma_and_beta_differ_from_sigma_by_the_ellipsoid_angle(made, grid):
    """On the ellipsoid: beta sin(angle) = sigma = gamma cos(angle), at 38 degrees in the centre."""
    kinds = {kind: compute(source_of(made, grid, 0, kind=kind))[0] for kind in
             ("sigma0", "gamma0", "beta0")}  # fmt: skip
    loud = kinds["sigma0"] > 1e-3
    sine = kinds["sigma0"][loud] / kinds["beta0"][loud]
    cosine = kinds["sigma0"][loud] / kinds["gamma0"][loud]
    # the three tables have seven digits and are interpolated apart: 1e-4 between nodes
    np.testing.assert_allclose(sine**2 + cosine**2, 1, rtol=0, atol=1e-3)
    assert np.degrees(np.arccos(np.median(cosine))) == pytest.approx(38, abs=0.7)
