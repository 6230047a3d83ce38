"""The target grid: where pixels lie, and how large they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Geod

from cube.errors import PlanError
from cube.grid import (
    cell_area,
    check_bbox,
    lonlat_bounds,
    pixel_to_map,
    shape_of,
    target_grid,
    to_lonlat,
    utm_epsg,
)


def corners(grid: GeoBox) -> tuple[np.ndarray, np.ndarray]:
    """Longitude and latitude of the four outer corners."""
    height, width = shape_of(grid)
    col, row = np.array([0.0, width, width, 0.0]), np.array([0.0, 0.0, height, height])
    return to_lonlat(grid)(*pixel_to_map(grid, col, row))


@pytest.mark.parametrize(
    ("lon", "lat", "epsg"),
    [
        (68.25, 27.6, 32642),
        (-70.0, -20.0, 32719),
        (-180.0, 10.0, 32601),
        (180.0, 10.0, 32601),
        (179.99, -0.01, 32760),
        (0.0, 0.0, 32631),
        (5.0, 60.0, 32631),  # the exception of Norway is not made
        (10.0, 84.0, 5041),
        (10.0, -80.0, 5042),
    ],
)
def test_utm_zone(lon, lat, epsg):
    assert utm_epsg(lon, lat) == epsg


@settings(max_examples=40, deadline=None)
@given(
    west=st.floats(-179, 178),
    south=st.floats(-79, 82),
    width=st.floats(0.01, 0.5),
    height=st.floats(0.01, 0.5),
)
def test_a_grid_covers_its_box(west, south, width, height):
    grid = target_grid((west, south, west + width, south + height), resolution=(40, 40))
    found = lonlat_bounds(grid)
    assert found[0] <= west + 1e-9
    assert found[1] <= south + 1e-9
    assert found[2] >= west + width - 1e-9
    assert found[3] >= south + height - 1e-9


@pytest.mark.parametrize("resolution", [(10.0, 10.0), (5.0, 20.0), (30.0, 30.0)])
def test_pixel_edges_lie_on_multiples_of_the_resolution(resolution):
    affine = target_grid((68.1, 27.4, 68.3, 27.6), resolution=resolution).affine
    assert (affine.c % resolution[1], affine.f % resolution[0]) == (0, 0)
    assert (affine.a, affine.e) == (resolution[1], -resolution[0])


def test_neighbouring_boxes_share_their_pixels():
    left = target_grid((68.1, 27.4, 68.2, 27.6), "EPSG:32642").affine
    right = target_grid((68.2, 27.4, 68.3, 27.6), "EPSG:32642").affine
    assert (right.c - left.c) % 10 == 0


def test_a_box_across_the_antimeridian_is_one_narrow_grid():
    grid = target_grid((179.9, -18.1, -179.9, -17.9), resolution=(40, 40))
    assert 500 < grid.shape[1] < 560
    west, _, east, _ = lonlat_bounds(grid)
    assert west < 179.9 < 180.1 < east


@pytest.mark.parametrize(
    "bbox",
    [
        (0, 0, 0, 1),
        (0, 1, 1, 1),
        (0, 2, 1, 1),
        (0, -91, 1, 0),
        (-181, 0, 1, 1),
        (0, 0, 361, 1),
        (0, 0, float("nan"), 1),
        (0, 0, float("inf"), 1),
    ],
)
def test_a_box_that_is_none_is_refused(bbox):
    with pytest.raises(PlanError, match=r"give west,south,east,north in degrees, for example"):
        check_bbox(bbox)


def test_a_box_of_three_numbers_is_refused():
    with pytest.raises(PlanError, match="is not four finite numbers"):
        check_bbox((1, 2, 3))


@pytest.mark.parametrize("crs", ["EPSG:0", "nonsense", "EPSG:abc", ""])
def test_an_unknown_crs_is_refused(crs):
    with pytest.raises(PlanError, match="give utm or EPSG:N"):
        target_grid((68.1, 27.4, 68.3, 27.6), crs)


@pytest.mark.parametrize("resolution", [(0, 10), (10, -1), (float("nan"), 10), (float("inf"), 10)])
def test_a_resolution_that_is_none_is_refused(resolution):
    with pytest.raises(PlanError, match="is not positive"):
        target_grid((68.1, 27.4, 68.3, 27.6), resolution=resolution)


@pytest.mark.parametrize(
    ("crs", "resolution"),
    [("utm", (40, 40)), ("EPSG:3857", (40, 40)), ("EPSG:4326", (4e-4, 4e-4))],
)
def test_areas_are_those_of_the_ellipsoid(crs, resolution):
    grid = target_grid((68.1, 27.4, 68.2, 27.5), crs, resolution)
    height, width = shape_of(grid)
    lon, lat = corners(grid)
    # geodesics and map lines between the corners differ: cut the edges finely
    edge = np.linspace(0, 1, 200)
    col = np.concatenate([edge * width, np.full(200, width), edge[::-1] * width, np.zeros(200)])
    row = np.concatenate([np.zeros(200), edge * height, np.full(200, height), edge[::-1] * height])
    lon, lat = to_lonlat(grid)(*pixel_to_map(grid, col, row))
    exact = abs(Geod(ellps="WGS84").polygon_area_perimeter(lon, lat)[0])
    found = cell_area(grid, slice(0, height), slice(0, width)).sum()
    np.testing.assert_allclose(found, exact, rtol=2e-6)


def test_areas_of_a_part_are_those_of_the_whole():
    grid = target_grid((68.1, 27.4, 68.2, 27.5), resolution=(40, 40))
    height, width = shape_of(grid)
    whole = cell_area(grid, slice(0, height), slice(0, width))
    part = cell_area(grid, slice(70, 130), slice(33, 99))
    np.testing.assert_allclose(part, whole[70:130, 33:99], rtol=1e-12)
