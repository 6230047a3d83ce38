"""Areas of cells on the ellipsoid: geodesic polygons, and facets in space."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Geod, Transformer
from references import ecef

from cube.grid import cell_area
from cube.kernels.area import class_area

# CRS, pixel size, x and y of the first corner, of a grid of 700 x 900 pixels
GRIDS = {
    "UTM, edge of the zone": ("EPSG:32642", 10.0, 230_000.0, 3_060_000.0),
    "UTM, middle of the zone": ("EPSG:32642", 10.0, 498_000.0, 3_060_000.0),
    "UTM, south": ("EPSG:32719", 20.0, 300_000.0, 7_000_000.0),
    "web Mercator at 60 north": ("EPSG:3857", 20.0, 1_200_000.0, 8_400_000.0),
    "degrees at 60 north": ("EPSG:4326", 0.0002, 11.0, 60.0),
    "degrees at the equator": ("EPSG:4326", 0.0001, 30.0, 0.03),
    "equal area": ("EPSG:6933", 10.0, 6_000_000.0, 3_000_000.0),
}
SHAPE = (700, 900)


def made(name: str, factor: float = 1.0) -> GeoBox:
    crs, size, x, y = GRIDS[name]
    return GeoBox(SHAPE, Affine(size * factor, 0, x, 0, -size * factor, y), crs)


def outline(grid: GeoBox, row: int, col: int, count: int):
    """Degrees along the edges of a cell, `count` points each."""
    along = np.linspace(0, 1, count, endpoint=False)
    x = np.concatenate([along, np.ones(count), 1 - along, np.zeros(count)])
    y = np.concatenate([np.zeros(count), along, np.ones(count), 1 - along])
    to_degrees = Transformer.from_crs(str(grid.crs), "EPSG:4326", always_xy=True)
    return to_degrees.transform(*(grid.affine * (col + x, row + y)))


def cells():
    rng = np.random.default_rng(25)
    corners = [(0, 0), (0, SHAPE[1] - 1), (SHAPE[0] - 1, 0), (SHAPE[0] - 1, SHAPE[1] - 1)]
    return corners + [tuple(at) for at in rng.integers(0, SHAPE, (30, 2))]


@pytest.mark.parametrize("name", GRIDS)
def test_a_cell_has_the_area_of_its_facet_in_space(name):
    """Ten metres of ellipsoid are flat to 1e-12: the cross product of the diagonals is the area."""
    grid = made(name)
    area = cell_area(grid, slice(0, SHAPE[0]), slice(0, SHAPE[1]))
    for row, col in cells():
        lon, lat = outline(grid, row, col, 1)
        corners = np.array([ecef(*at, 0.0) for at in zip(lon, lat, strict=True)])
        facet = np.linalg.norm(np.cross(corners[2] - corners[0], corners[3] - corners[1])) / 2
        # places are known to 1e-9 m; the lattice of 64 cells to 1e-7
        assert area[row, col] == pytest.approx(facet, rel=1e-6)


@pytest.mark.parametrize("name", GRIDS)
def test_a_cell_has_the_area_of_its_geodesic_polygon(name):
    """Cells of a kilometre and more: the polygon's area is good to 0.1 m2 (Karney 2013)."""
    factor = 100.0
    grid = made(name, factor)
    geod = Geod(ellps="WGS84")
    for row, col in [(0, 0), (2, 11), (30, 30)]:
        part = slice(row, row + 1), slice(col, col + 1)
        area = cell_area(grid, *part, step=1)
        exact = abs(geod.polygon_area_perimeter(*outline(grid, row, col, 40))[0])
        # the scale at the centre stands for the cell: its curvature over 2 km is 1e-7 of it;
        # 40 points an edge follow the parallel to 1e-7
        assert area[0, 0] == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("name", ["UTM, edge of the zone", "degrees at 60 north"])
def test_part_of_a_grid_has_the_areas_of_the_whole(name):
    grid = made(name)
    whole = cell_area(grid, slice(0, SHAPE[0]), slice(0, SHAPE[1]))
    for rows, cols in [((0, 512), (512, 900)), ((130, 131), (77, 79)), ((512, 700), (0, 512))]:
        part = cell_area(grid, slice(*rows), slice(*cols))
        np.testing.assert_array_equal(part, whole[slice(*rows), slice(*cols)])


def test_class_areas_add_up_to_the_whole():
    rng = np.random.default_rng(26)
    classes = rng.choice([0, 1, 2, 255], (40, 50)).astype("uint8")
    area = rng.uniform(90, 110, (40, 50))
    found = class_area(classes, area, (0, 1, 2, 255))
    for value, total in zip((0, 1, 2, 255), found, strict=True):
        pairs = zip(classes.ravel(), area.ravel(), strict=True)
        assert total == pytest.approx(sum(a for c, a in pairs if c == value), rel=1e-12)
    assert found.sum() == pytest.approx(area.sum(), rel=1e-12)
    assert class_area(classes, area, (7,)) == [0.0]
