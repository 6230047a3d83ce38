"""Surface layers: heights against scipy, classes by nearest neighbour, mask bits, any block."""

from __future__ import annotations

import numpy as np
import pytest
from pyproj import Transformer
from scipy.ndimage import map_coordinates, minimum_filter

from cube.grid import shape_of
from cube.readers.dem import open_dem
from cube.readers.raster import describe, read_window
from cube.schema import Flag
from cube.steps.heights import heights
from cube.steps.relief import reach_of, read_relief
from cube.steps.terrain import Exclusion, Surface, surface_bands, surface_layers


@pytest.fixture
def surface(made, grid):
    return Surface(
        grid, open_dem(str(made.dem), "ellipsoid"), describe(str(made.hand))[0],
        describe(str(made.water))[0], ((1, made.files()[:1]),), Exclusion(10.0, 20.0),
        flattened=True,
    )  # fmt: skip


def reach(surface, block):
    relief = read_relief(surface.grid, surface.dem)
    return reach_of(relief, surface.grid, block, (30.0, 46.0))


@pytest.fixture
def layers(surface):
    found = surface_layers(surface, reach(surface, 2048)).compute(scheduler="synchronous")
    return {name: band for (name, _), band in zip(surface_bands(surface), found, strict=True)}


def pixels(grid, path):
    """Pixel coordinates (row, column) of the grid's centres in a raster, by PROJ, one by one."""
    raster, _ = describe(str(path))
    rows, cols = shape_of(grid)
    col, row = np.meshgrid(np.arange(cols) + 0.5, np.arange(rows) + 0.5)
    x, y = grid.affine * (col, row)
    lon, lat = Transformer.from_crs(str(grid.crs), "EPSG:4326", always_xy=True).transform(x, y)
    at_col, at_row = ~raster.affine * (lon, lat)
    values = read_window(raster, slice(0, raster.shape[0]), slice(0, raster.shape[1]))
    return values, at_row - 0.5, at_col - 0.5


def test_heights_are_those_of_scipy(made, grid, layers):
    values, row, col = pixels(grid, made.dem)
    values = np.where(values == -9999, np.nan, values).astype("float64")
    expected = map_coordinates(values, [row, col], order=1, mode="constant", cval=np.nan)
    found = layers["dem"]
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    assert 0 < np.isnan(found).mean() < 0.01  # the void is in sight
    # float32 weights: 80 m x 6e-8 and slopes of 8 m a sample; places are good to 1e-8 samples
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("block", [512, 1024])
def test_no_value_depends_on_the_block(surface, block):
    whole = surface_layers(surface, reach(surface, 2048)).compute(scheduler="synchronous")
    found = surface_layers(surface, reach(surface, block)).compute(
        scheduler="threads", num_workers=2
    )
    np.testing.assert_array_equal(found.view("u4"), whole.view("u4"))


def test_the_halo_of_a_block_is_its_neighbour(surface):
    rows, cols = shape_of(surface.grid)
    whole = heights(surface.grid, slice(0, rows), slice(0, cols), surface.dem)
    part = heights(surface.grid, slice(511, 1025), slice(511, 1025), surface.dem)
    np.testing.assert_array_equal(part.view("u4"), whole[511:1025, 511:1025].view("u4"))
    beyond = heights(surface.grid, slice(-1, 3), slice(cols - 2, cols + 1), surface.dem)
    np.testing.assert_array_equal(beyond[1:, :-1], whole[:3, -2:])
    assert np.isfinite(beyond).all()


def test_permanent_water_is_the_nearest_sample(made, grid, layers):
    values, row, col = pixels(grid, made.water)
    near_row, near_col = np.rint(row).astype(int), np.rint(col).astype(int)
    inside = (near_row < values.shape[0]) & (near_col < values.shape[1])
    expected = np.full(row.shape, 255)
    expected[inside] = values[near_row[inside], near_col[inside]]
    # within 1e-6 of halfway the two are equally near
    halfway = np.abs(np.abs(row - near_row) - 0.5) < 1e-6
    halfway |= np.abs(np.abs(col - near_col) - 0.5) < 1e-6
    np.testing.assert_array_equal(layers["permanent_water"][~halfway], expected[~halfway])
    assert not inside.all()


def test_mask_bits_say_why(grid, layers):
    mask = layers["mask"].astype("uint8")
    # heights above drainage are bilinear: no class, so the limit itself is what is compared
    with np.errstate(invalid="ignore"):
        steep_land = layers["hand"] > 20.0
    np.testing.assert_array_equal((mask & Flag.HAND) != 0, steep_land)
    unseen = np.isnan(layers["incidence_angle"])
    np.testing.assert_array_equal((mask & Flag.NEVER_IMAGED) != 0, unseen)
    assert 0.02 < unseen.mean() < 0.9
    assert not (mask & ~np.uint8(Flag.HAND | Flag.SLOPE | Flag.NEVER_IMAGED)).any()
    rows, cols = shape_of(grid)
    col, row = np.meshgrid(np.arange(cols) + 0.5, np.arange(rows) + 0.5)
    to_degrees = Transformer.from_crs(str(grid.crs), "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(*(grid.affine * (col, row)))
    # slope of the formula that made the DEM, in metres along meridian and parallel at 27.6 north
    east = 80 * 300 * np.cos((lon - 68.2) * 300) * np.cos((lat - 27.6) * 200) / 98_740
    north = 80 * 200 * np.sin((lon - 68.2) * 300) * np.sin((lat - 27.6) * 200) / 110_810
    slope = np.degrees(np.arctan(np.hypot(east, north)))
    found = (mask & Flag.SLOPE) != 0
    known = np.isfinite(layers["dem"])
    # a facet of the DEM has the slope of its middle, up to 15 m away: 80 m / (329 m)^2 x 15 m
    # is 0.6 degree
    inner = minimum_filter(known, 3)
    assert found[inner & (slope > 11)].all()
    assert not found[inner & (slope < 9)].any()


def test_incidence_is_flat_on_the_hilltops(layers, grid, surface):
    """Where the hill is level, the angle is that of the ellipsoid, smooth over the image."""
    angle = layers["incidence_angle"]
    assert 20 < np.nanmin(angle) < np.nanmax(angle) < 56
    # hills of up to 14 degrees about the 38 of the simulated centre
    assert np.nanmedian(angle) == pytest.approx(38.0, abs=0.7)


def test_a_dem_void_has_no_height_and_no_angle(layers):
    void = np.isnan(layers["dem"])
    assert np.isnan(layers["incidence_angle"][void]).all()
    assert ((layers["mask"][void].astype(int) & Flag.NEVER_IMAGED) != 0).all()
