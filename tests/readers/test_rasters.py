"""Measurements window by window, DEMs and their datum, and XML from outside."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning

from cube.errors import DemError, SourceError
from cube.readers import xml
from cube.readers.dem import open_dem, undulation
from cube.readers.measurement import Measurement
from cube.readers.raster import describe, identity
from cube.readers.window import Window

SHAPE = (300, 200)


def numbers() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 4000, SHAPE, dtype="uint16")


def measurement(path: Path, **options: object) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        profile = {"height": SHAPE[0], "width": SHAPE[1], "count": 1, "dtype": "uint16"}
        with rasterio.open(path, "w", driver="GTiff", **{**profile, **options}) as file:
            file.write(numbers(), 1)
    return path


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compress": "deflate"},
        {"tiled": True, "blockxsize": 128, "blockysize": 128},
        {"endianness": "BIG"},
        {"blockysize": 7},
        {"BIGTIFF": "YES"},
    ],
    ids=["plain", "compressed", "tiled", "big-endian", "strips", "bigtiff"],
)
def test_every_layout_gives_the_same_pixels(tmp_path, options):
    reader = Measurement(str(measurement(tmp_path / "m.tiff", **options)), SHAPE)
    read = reader.read(Window(10, 20, 250, 180))
    np.testing.assert_array_equal(read, numbers()[10:250, 20:180])


def test_a_truncated_plain_image_is_found_without_reading_it(tmp_path):
    path = measurement(tmp_path / "m.tiff")
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(SourceError, match=r"truncated at [\d,]+ of [\d,]+ bytes"):
        Measurement(str(path), SHAPE).check()


def test_a_truncated_compressed_image_is_found_on_reading(tmp_path):
    path = measurement(tmp_path / "m.tiff", compress="deflate")
    path.write_bytes(path.read_bytes()[:-20_000])
    with pytest.raises(SourceError, match="the file is damaged or truncated, download it again"):
        Measurement(str(path), SHAPE).read(Window(0, 0, *SHAPE))


def test_a_reader_travels_without_its_handle(tmp_path):
    reader = Measurement(str(measurement(tmp_path / "m.tiff")), SHAPE)
    reader.check()
    travelled = pickle.loads(pickle.dumps(reader))
    np.testing.assert_array_equal(travelled.read(Window(0, 0, 3, 3)), numbers()[:3, :3])


# --- DEM


def dem(path: Path, crs: str | None, **options: object) -> Path:
    transform = Affine(0.01, 0, 12.0, 0, -0.01, 42.0)
    profile = {"height": 20, "width": 30, "count": 1, "dtype": "float32", "transform": transform}
    with rasterio.open(path, "w", driver="GTiff", crs=crs, **{**profile, **options}) as file:
        for band in range(1, file.count + 1):
            file.write(np.full((20, 30), 100, "float32"), band)
    return path


def test_a_bare_dem_names_the_flag(tmp_path):
    with pytest.raises(DemError, match=r"give --dem-datum egm2008\|egm96\|ellipsoid"):
        open_dem(str(dem(tmp_path / "dem.tif", "EPSG:4326")))


@pytest.mark.parametrize(
    ("crs", "datum", "geoid"),
    [
        ("EPSG:4326+5773", "egm96", "egm96"),
        ("EPSG:4326+3855", "egm2008", "egm96 for egm2008"),
        ("EPSG:32633+5773", "egm96", "egm96"),
        ("EPSG:4979", "ellipsoid", "none"),
    ],
)
def test_a_stated_datum_is_believed(tmp_path, crs, datum, geoid):
    found = open_dem(str(dem(tmp_path / "dem.tif", crs)))
    assert (found.datum, found.geoid) == (datum, geoid)


def test_a_flag_against_the_file_is_refused(tmp_path):
    path = str(dem(tmp_path / "dem.tif", "EPSG:4326+5773"))
    with pytest.raises(DemError, match="its CRS says heights above egm96, --dem-datum says egm20"):
        open_dem(path, "egm2008")


def test_a_flag_that_agrees_is_fine(tmp_path):
    assert open_dem(str(dem(tmp_path / "dem.tif", "EPSG:4326+5773")), "egm96").datum == "egm96"


def test_an_unknown_vertical_datum_is_refused(tmp_path):
    path = str(dem(tmp_path / "dem.tif", "EPSG:4326+5703"))  # NAVD88
    with pytest.raises(DemError, match="NAVD88"):
        open_dem(path)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"crs": None}, "has no CRS"),
        ({"crs": "EPSG:4326", "count": 2}, "has 2 bands, expected one"),
        ({"crs": "EPSG:4326", "transform": Affine(0.01, 0.002, 12, 0, -0.01, 42)}, "is rotated"),
        ({"crs": "EPSG:4326", "transform": Affine(0.01, 0, 12, 0, 0.01, 42)}, "south-up"),
    ],
    ids=["no crs", "bands", "rotated", "south-up"],
)
def test_a_raster_that_cannot_serve_is_refused(tmp_path, options, says):
    path = dem(tmp_path / "dem.tif", **options)
    with pytest.raises(SourceError, match=says):
        describe(str(path))


@pytest.mark.parametrize("nodata", [-9999.0, float("nan"), 0.0])
def test_voids_are_nan(tmp_path, nodata):
    path = dem(tmp_path / "dem.tif", "EPSG:4979", nodata=nodata)
    with rasterio.open(path, "r+") as file:
        file.write(np.full((2, 3), nodata, "float32"), 1, window=((5, 7), (10, 13)))
    values, _ = open_dem(str(path)).window(slice(0, 20), slice(0, 30))
    assert np.isnan(values).sum() == 6
    assert np.isnan(values[5:7, 10:13]).all()


def test_geoid_heights_become_ellipsoidal(tmp_path):
    bare = open_dem(str(dem(tmp_path / "a.tif", "EPSG:4979"))).window(slice(0, 20), slice(0, 30))[0]
    above = open_dem(str(dem(tmp_path / "b.tif", "EPSG:4326+5773"))).window(
        slice(0, 20), slice(0, 30)
    )[0]
    assert 47 < (above - bare).mean() < 50  # Rome


def test_the_geoid_closes_at_the_date_line():
    lat = np.array([[10.0, 10.0, 10.0]])
    np.testing.assert_allclose(
        undulation(np.array([[180.0, -180.0, 540.0]]), lat), undulation(lat * 0 + 180, lat)
    )


def test_the_geoid_agrees_with_the_published_grid(data_dir):
    # EGM96 grid of NGA, float32, 15 arc-minutes from 90 S
    raw = np.fromfile(data_dir / "geoid" / "egm96_15.gtx", ">f4", offset=40).reshape(721, 1440)
    lat = np.array([[-60.0, 0.25, 41.75, 80.0]])
    lon = np.array([[-120.0, 0.5, 12.5, 179.75]])
    rows, cols = ((lat + 90) / 0.25).astype(int), ((lon + 180) / 0.25).astype(int)
    np.testing.assert_allclose(undulation(lon, lat), raw[rows, cols], atol=0.006)


def test_a_window_outside_the_dem_is_unknown(tmp_path):
    values, _ = open_dem(str(dem(tmp_path / "dem.tif", "EPSG:4979"))).window(
        slice(100, 110), slice(0, 30)
    )
    assert np.isnan(values).all()


def test_the_real_dem_states_its_datum(data_dir):
    assert open_dem(str(data_dir / "dem" / "rome_30m_egm96.tif")).datum == "egm96"


def test_real_geoid_heights_agree_with_real_ellipsoidal_ones(data_dir):
    folder = data_dir / "dem"
    geoid = open_dem(str(folder / "los_angeles_dem_geoid.tif"), "egm2008")
    ellipsoid = open_dem(str(folder / "los_angeles_dem_ellipsoid.tif"), "ellipsoid")
    assert geoid.raster.shape == ellipsoid.raster.shape
    part = slice(0, 200), slice(0, 200)
    # EGM96 stands in for EGM2008: they differ by up to about a metre
    np.testing.assert_allclose(geoid.window(*part)[0], ellipsoid.window(*part)[0], atol=1.0)


def test_identity_is_the_content_and_not_the_place(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    for folder in (tmp_path, tmp_path / "elsewhere"):
        (folder / "dem.tif").write_bytes(b"content")
    assert identity(str(tmp_path / "dem.tif")) == identity(str(tmp_path / "elsewhere" / "dem.tif"))


# --- XML

BOMB = (
    '<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>'
    "<product>&c;</product>"
)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (BOMB, "declares a DTD or entities"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><product/>', "declares a DTD or entities"),
        (
            '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><product>&b;</product>',
            "declares a DTD or entities",
        ),
        ("<product>", "malformed XML"),
        ("", "malformed XML"),
        ("\x00\x01", "malformed XML"),
        ('<?xml version="1.0" encoding="nonsense"?><product/>', "malformed XML"),
        ("<noise/>", "holds <noise>, expected <product>"),
    ],
    ids=["bomb", "external dtd", "external entity", "open", "empty", "binary", "encoding", "other"],
)
def test_xml_that_cannot_be_trusted_is_refused(content, says):
    with pytest.raises(SourceError, match=says):
        xml.parse_bytes(content.encode(), "a.xml", "product")


def test_a_missing_xml_file_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"a\.xml: cannot read \(No such file or directory\)"):
        xml.parse(str(tmp_path / "a.xml"))
