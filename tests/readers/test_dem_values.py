"""Vertical datums: NGA's grid, Copernicus heights above both surfaces, a compound CRS."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from affine import Affine

from cube.errors import DemError
from cube.readers.dem import open_dem, undulation


@pytest.fixture(scope="module")
def egm96(data_dir):
    """NGA's 15 arc-minute grid: (latitude, longitude, metres), read without GDAL or PROJ."""
    content = (data_dir / "geoid/egm96_15.gtx").read_bytes()
    south, west, step_lat, step_lon = np.frombuffer(content, ">f8", 4)
    rows, cols = np.frombuffer(content, ">i4", 2, 32)
    grid = np.frombuffer(content, ">f4", rows * cols, 40).reshape(rows, cols).astype("float64")
    assert (south, step_lat, step_lon) == (-90, 0.25, 0.25)
    assert west in (-180, 0)
    return grid, west


def between_nodes(egm96, lon, lat):
    """Bilinear in plain Python."""
    grid, west = egm96
    col, row = (lon - west) % 360 / 0.25, (lat + 90) / 0.25
    y, x = min(int(row), grid.shape[0] - 2), int(col)
    fy, fx = row - y, col - x
    x1 = (x + 1) % 1440
    low = grid[y, x % 1440] * (1 - fx) + grid[y, x1] * fx
    return low * (1 - fy) + (grid[y + 1, x % 1440] * (1 - fx) + grid[y + 1, x1] * fx) * fy


def test_undulations_are_those_of_the_grid(egm96):
    rng = np.random.default_rng(40)
    lon, lat = rng.uniform(-180, 360, (1, 500)), rng.uniform(-90, 90, (1, 500))
    found = undulation(lon, lat)
    expected = [between_nodes(egm96, x, y) for x, y in zip(lon[0], lat[0], strict=True)]
    # kept in centimetres: half of one at the nodes, plus float32 in 100 m
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=0.011)


def test_nodes_and_poles_are_met(egm96):
    _, west = egm96
    lon = np.array([[west, west + 90.25, 12.5, 179.75, 0.0, 0.0]])
    lat = np.array([[0.0, -33.75, 41.75, 10.0, 90.0, -90.0]])
    expected = [between_nodes(egm96, x, y) for x, y in zip(lon[0], lat[0], strict=True)]
    np.testing.assert_allclose(undulation(lon, lat)[0], expected, rtol=0, atol=0.011)


def test_the_antimeridian_is_no_edge():
    lat = np.linspace(-80, 80, 33)
    lon = np.array([-180.0, 180.0, 540.0, -540.0])
    at = undulation(*np.meshgrid(lon, lat))
    np.testing.assert_array_equal(at, at[:, :1].repeat(4, axis=1))
    east, west = (undulation(np.full((1, 33), x), lat[None]) for x in (179.999, -179.999))
    # 0.002 degree of a surface that changes by 5 m a degree at most, and centimetres
    np.testing.assert_allclose(east, west, rtol=0, atol=0.03)
    middle = undulation(np.full((1, 33), 180.0), lat[None])
    np.testing.assert_allclose(middle, (east + west) / 2, rtol=0, atol=0.011)


def test_geoid_heights_become_ellipsoid_heights(data_dir):
    """Copernicus GLO-30 over Los Angeles above EGM2008 and above the ellipsoid, by dem-stitcher."""
    geoid = open_dem(str(data_dir / "dem/los_angeles_dem_geoid.tif"), "egm2008")
    assert geoid.geoid == "egm96 for egm2008"
    ellipsoid = open_dem(str(data_dir / "dem/los_angeles_dem_ellipsoid.tif"), "ellipsoid")
    assert geoid.raster.shape == ellipsoid.raster.shape
    assert geoid.raster.transform == pytest.approx(ellipsoid.raster.transform)
    part = slice(0, geoid.raster.shape[0]), slice(0, geoid.raster.shape[1])
    found, origin = geoid.window(*part)
    expected, _ = ellipsoid.window(*part)
    assert origin == (0, 0)
    known = np.isfinite(expected) & np.isfinite(found)
    assert known.mean() > 0.9
    # EGM96 stands in for EGM2008: rms 0.2 m worldwide, a metre in places (Pavlis et al. 2012)
    assert np.abs(found[known] - expected[known]).max() <= 1.0
    # and it is not the geoid height: that is 35 m away
    assert np.abs(expected[known] - (found[known] + 35)).min() > 20


def test_a_compound_crs_is_believed(data_dir):
    path = data_dir / "dem/rome_30m_egm96.tif"
    dem = open_dem(str(path))
    assert (dem.datum, dem.geoid) == ("egm96", "egm96")
    found, _ = dem.window(slice(0, 360), slice(0, 360))
    with rasterio.open(path) as raster:
        above_geoid = raster.read(1).astype("float64")
    # EGM96 in Rome is 48 m (NGA's grid between 41.75..42 N, 12.25..12.75 E)
    np.testing.assert_allclose(found - above_geoid, 48, rtol=0, atol=1.0)
    with pytest.raises(DemError, match="its CRS says heights above egm96, --dem-datum says"):
        open_dem(str(path), "ellipsoid")


def test_a_part_has_the_values_of_the_whole(data_dir):
    dem = open_dem(str(data_dir / "dem/rome_30m_egm96.tif"))
    whole, _ = dem.window(slice(0, 360), slice(0, 360))
    part, origin = dem.window(slice(-5, 70), slice(300, 500))
    assert origin == (0, 300)
    np.testing.assert_array_equal(part, whole[:70, 300:])
    nothing, _ = dem.window(slice(400, 500), slice(0, 10))
    assert np.isnan(nothing).all()


def write(path, values, crs, transform, nodata=None):
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=values.shape[0], width=values.shape[1],
        dtype=values.dtype, crs=crs, transform=transform, nodata=nodata,
    ) as file:  # fmt: skip
        file.write(values, 1)
    return str(path)


def test_a_projected_dem_gets_the_undulation_of_its_own_places(tmp_path, egm96):
    path = write(
        tmp_path / "utm.tif", np.full((40, 50), 7, "int16"), "EPSG:32642",
        Affine(90, 0, 420_000, 0, -90, 3_060_000), nodata=-1,
    )  # fmt: skip
    found, _ = open_dem(path, "egm96").window(slice(0, 40), slice(0, 50))
    # 420 to 424.5 km east, 3056.4 to 3060 km north in zone 42: 68.19 to 68.24 E, 27.63 to 27.66 N
    corners = [between_nodes(egm96, lon, lat) for lon in (68.19, 68.24) for lat in (27.63, 27.66)]
    assert 7 + min(corners) - 0.02 < found.min() < found.max() < 7 + max(corners) + 0.02


def test_voids_stay_voids_whatever_the_datum(tmp_path):
    values = np.full((10, 10), 100, "int16")
    values[3, 4] = -32768
    path = write(
        tmp_path / "void.tif", values, "EPSG:4326", Affine(0.01, 0, 68, 0, -0.01, 28), -32768
    )
    for datum in ("egm96", "egm2008", "ellipsoid"):
        found, _ = open_dem(path, datum).window(slice(0, 10), slice(0, 10))
        assert np.isnan(found[3, 4])
        assert np.isfinite(found).sum() == 99


def test_a_dem_across_the_antimeridian_covers_both_sides(tmp_path):
    path = write(
        tmp_path / "fiji.tif", np.zeros((100, 400), "int16"), "EPSG:4326",
        Affine(0.01, 0, 178, 0, -0.01, -16),
    )  # fmt: skip
    dem = open_dem(path, "egm96")
    assert dem.covers(np.array([179.9, -179.9, 181.5, -178.5]), np.full(4, -16.5))
    assert not dem.covers(np.array([-177.9]), np.array([-16.5]))
    found, _ = dem.window(slice(0, 100), slice(0, 400))
    # a smooth surface: 5 m a degree at most, over a hundredth of a degree, and centimetres
    assert np.abs(np.diff(found, axis=1)).max() < 0.08


def test_a_given_geoid_grid_replaces_the_shipped_one(data_dir):
    """The EGM2008 cut of the same authors: what is left is their interpolation, not ours."""
    folder = data_dir / "dem"
    ours = open_dem(
        str(folder / "los_angeles_dem_geoid.tif"), "egm2008", str(folder / "egm_08_los_angeles.tif")
    )
    assert ours.geoid == "egm_08_los_angeles.tif"
    theirs = open_dem(str(folder / "los_angeles_dem_ellipsoid.tif"), "ellipsoid")
    everything = slice(0, 361), slice(0, 361)
    difference = ours.window(*everything)[0] - theirs.window(*everything)[0]
    assert np.isfinite(difference).all()
    assert np.abs(difference).max() <= 0.05
