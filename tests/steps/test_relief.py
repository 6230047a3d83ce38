"""Halos: whatever may share a cell with a block, or hide it, lies within."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from cube.readers.dem import open_dem
from cube.steps.relief import MOST_HALO, STEP, Relief, level_reach, reach_of, read_relief

GRID = GeoBox((1500, 1700), Affine(10, 0, 400_000, 0, -10, 3_063_500), "EPSG:32642")
ANGLES = (30.0, 46.0)
REACH = 1 / np.tan(np.radians(30.0)) / 10.0  # pixels a metre


def write(path, heights, step, nodata=None):
    """DEM on the grid's CRS, around the grid on every side by as many samples as there are."""
    rows, cols = heights.shape
    x = 400_000 + 17_000 / 2 - cols * step / 2
    y = 3_063_500 - 15_000 / 2 + rows * step / 2
    with rasterio.open(
        path, "w", driver="GTiff", count=1, dtype="float32", height=rows, width=cols,
        crs="EPSG:32642", transform=Affine(step, 0, x, 0, -step, y), nodata=nodata,
    ) as file:  # fmt: skip
        file.write(heights.astype("float32"), 1)
    return open_dem(str(path), "ellipsoid")


def test_level_ground_needs_the_cells_beside_a_pixel_only(tmp_path):
    dem = write(tmp_path / "dem.tif", np.full((1200, 1200), 80.0), 30.0)
    found = reach_of(read_relief(GRID, dem), GRID, 512, ANGLES)
    assert found.halos == ((64,) * 4,) * 3
    assert level_reach((1500, 1700), 512).halos == ((1,) * 4,) * 3


@pytest.mark.parametrize("step", [30.0, 90.0, 1000.0])
def test_a_peak_is_within_the_halo_of_the_blocks_it_may_fold_over(tmp_path, step):
    count = int(36_000 / step)
    heights = np.zeros((count, count))
    row, col = np.mgrid[:count, :count] * step
    away = np.hypot(row - 18_000 - 2_000, col - 18_000 + 3_000)
    heights[:] = np.maximum(0.0, 1500 - away)
    dem = write(tmp_path / "dem.tif", heights, step)
    found = reach_of(read_relief(GRID, dem), GRID, 512, ANGLES)
    top = heights.max()
    # the peak in pixels of the grid
    at = 750 + 200, 850 - 300
    for y, halos in enumerate(found.halos):
        for x, halo in enumerate(halos):
            edges = (512 * y, 512 * y + 511), (512 * x, 512 * x + 511)
            distance = max(
                max(low - place, place - high, 0)
                for place, (low, high) in zip(at, edges, strict=True)
            )
            assert halo % STEP == 0
            if 0 < distance < min(top * REACH, MOST_HALO):
                assert halo >= distance
    assert max(map(max, found.halos)) <= MOST_HALO


def test_voids_and_what_lies_beyond_the_dem_are_level(tmp_path):
    heights = np.full((600, 600), 50.0)
    heights[100:200, 100:200] = -9999
    dem = write(tmp_path / "dem.tif", heights, 30.0, nodata=-9999)
    found = reach_of(read_relief(GRID, dem), GRID, 2048, ANGLES)
    assert found.halos == ((64,),)
    nothing = Relief(np.full((26, 28), np.inf), np.full((26, 28), -np.inf), 7)
    assert reach_of(nothing, GRID, 2048, ANGLES).halos == ((64,),)


@settings(max_examples=60, deadline=None)
@given(
    place=st.tuples(st.integers(0, 25), st.integers(0, 27)),
    height=st.floats(0, 9000),
    block=st.sampled_from([512, 1024, 1536, 2048]),
)
def test_any_lone_height_is_reached_or_does_not_matter(place, height, block):
    low, high = np.zeros((26, 28), "float32"), np.zeros((26, 28), "float32")
    high[place] = height
    found = reach_of(Relief(low, high, 7), GRID, block, ANGLES)
    # nearest and farthest pixel of the bin, from the grid's first
    near = [(number - 7) * 128 for number in place]
    for y, halos in enumerate(found.halos):
        for x, halo in enumerate(halos):
            gaps = []
            for start, first, size in ((near[0], y * block, 1500), (near[1], x * block, 1700)):
                last = min(first + block, size) - 1
                gaps.append(max(first - (start + 127), start - last, 0))
            distance = max(gaps)
            if 0 < distance <= min(height * REACH, MOST_HALO):
                assert halo >= distance
