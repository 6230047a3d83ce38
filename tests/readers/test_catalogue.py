"""Kuro Siwo's catalogue: GeoPackages written by GDAL, and damaged ones."""

from __future__ import annotations

import math
import sqlite3
import struct
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pyogrio.raw
import pytest
import shapely
from geopackages import PATCH, change
from geopackages import write_catalogue as write
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from cube.errors import SourceError
from cube.readers.catalogue import find_catalogues, read_catalogue

LIMIT = 20_037_508.342789244  # half the circumference


def degrees(x: float, y: float) -> tuple[float, float]:
    """Longitude and latitude of Web Mercator on the sphere (EPSG:3857, method 1024)."""
    radius = 6_378_137.0
    return math.degrees(x / radius), math.degrees(math.atan(math.sinh(y / radius)))


ROWS = [
    (567, 8.0, 17_043_935.0, -3_449_065.0),
    (567, 8.0, 17_041_695.0, -3_442_345.0),
    (567, math.nan, 17_000_000.0, -3_400_000.0),
    (567, 15.0, 16_820_000.0, -3_844_000.0),
    (118, 1.0, -153_000.0, 5_124_000.0),
]


def test_an_area_is_the_extent_of_its_patches(tmp_path):
    found = read_catalogue(write(tmp_path / "catalogue.gpkg", ROWS))
    assert {key: area.patches for key, area in found.areas.items()} == {
        (567, 8): 2,
        (567, 15): 1,
        (118, 1): 1,
    }
    west, south = degrees(17_041_695.0, -3_449_065.0)
    east, north = degrees(17_043_935.0 + PATCH, -3_442_345.0 + PATCH)
    assert found.areas[567, 8].box == pytest.approx((west, south, east, north), abs=1.1e-6)
    assert found.unlabelled == 1


patches = st.tuples(
    st.sampled_from([1, 2]),
    st.sampled_from([1.0, 2.0, math.nan, 0.0]),
    st.floats(-LIMIT / 2.1, LIMIT / 2.1 - PATCH),
    st.floats(-1e7, 1e7),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(patches, min_size=1, max_size=12))
def test_boxes_are_minima_and_maxima_rounded_outwards(rows):
    with tempfile.TemporaryDirectory() as folder:
        found = read_catalogue(write(Path(folder) / "catalogue.gpkg", rows))
    wanted: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for actid, aoiid, left, bottom in rows:
        if aoiid in (1.0, 2.0):
            corners = wanted.setdefault((actid, int(aoiid)), [])
            corners += [degrees(left, bottom), degrees(left + PATCH, bottom + PATCH)]
    assert set(found.areas) == set(wanted)
    assert sum(area.patches for area in found.areas.values()) + found.unlabelled == len(rows)
    for key, corners in wanted.items():
        exact = np.array([np.min(corners, 0), np.max(corners, 0)]).ravel()
        outwards = np.array(found.areas[key].box) - exact
        assert (outwards[:2] <= 1e-9).all()
        assert (outwards[2:] >= -1e-9).all()
        assert np.abs(outwards).max() <= 1.1e-6


def test_the_files_own_crs_is_taken(tmp_path):
    rows = [(1, 1.0, 500_000.0, 3_000_000.0), (1, 1.0, 520_000.0, 3_010_000.0)]
    area = read_catalogue(write(tmp_path / "c.gpkg", rows, crs="EPSG:32642")).areas[1, 1]
    lon, lat = Transformer.from_crs("EPSG:32642", "EPSG:4326", always_xy=True).transform(
        [500_000.0, 522_240.0], [3_000_000.0, 3_012_240.0]
    )
    assert area.box == pytest.approx((lon[0], lat[0], lon[1], lat[1]), abs=1e-3)


def test_degrees_stay_degrees(tmp_path):
    rows = [(1, 1.0, 68.0, 27.0), (1, 1.0, 69.0, 28.0)]
    area = read_catalogue(write(tmp_path / "c.gpkg", rows, crs="EPSG:4326", size=0.5)).areas[1, 1]
    assert area.box == pytest.approx((68, 27, 69.5, 28.5), abs=1.1e-6)


@pytest.mark.parametrize(
    "lefts",
    [
        (LIMIT - 10_000, -LIMIT + 8_000),
        (LIMIT - 10_000, LIMIT - 1_000),  # the second reaches across
        (LIMIT - 10_000, LIMIT - 1_000, -LIMIT + 8_000),
        (-LIMIT + 8_000, LIMIT - 10_000),
    ],
)
def test_an_area_across_the_antimeridian_stays_narrow(tmp_path, lefts):
    rows = [(1, 1.0, left, -1_800_000.0) for left in lefts]
    west, south, east, north = read_catalogue(write(tmp_path / "c.gpkg", rows)).areas[1, 1].box
    assert west == pytest.approx(degrees(LIMIT - 10_000, 0)[0], abs=2e-6)
    assert -180 < east < -179.8
    assert south < north


def test_a_slanted_patch_at_the_antimeridian_stays_narrow(tmp_path):
    """In UTM zone 1 the upper left corner lies across, the lower left does not."""
    crs = "EPSG:32601"
    left, bottom = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(-179.9995, 60)
    found = read_catalogue(write(tmp_path / "c.gpkg", [(1, 1.0, left, bottom)], crs=crs))
    west, _, east, _ = found.areas[1, 1].box
    assert 179.99 < west < 180
    assert -180 < east < -179.9


def test_an_area_across_greenwich_stays_narrow(tmp_path):
    rows = [(1, 1.0, -30_000.0, 5e6), (1, 1.0, 10_000.0, 5e6)]
    west, _, east, _ = read_catalogue(write(tmp_path / "c.gpkg", rows)).areas[1, 1].box
    assert (west, east) == pytest.approx((degrees(-3e4, 0)[0], degrees(12_240, 0)[0]), abs=2e-6)


@pytest.mark.parametrize("aoiid", [math.nan, 0.0, 999_999.0, -1.0, 1.5])
def test_patches_without_an_area_are_counted(tmp_path, aoiid):
    rows = [*ROWS[:1], (567, aoiid, 0.0, 0.0)]
    found = read_catalogue(write(tmp_path / "c.gpkg", rows))
    assert set(found.areas) == {(567, 8)}
    assert found.unlabelled == 1


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("envelope", [False, True])
def test_geometries_are_read_in_every_form_of_the_standard(tmp_path, order, envelope):
    path = write(tmp_path / "c.gpkg", ROWS[:1])
    box = (1e6, 2e6, 1e6 + PATCH, 2e6 + PATCH)
    blob = b"GP\x00" + bytes([(order == "<") | envelope << 1]) + struct.pack(f"{order}i", 3857)
    if envelope:
        blob += struct.pack(f"{order}4d", box[0], box[2], box[1], box[3])
    blob += shapely.to_wkb(shapely.box(*box), byte_order=int(order == "<"))
    found = read_catalogue(change(path, "UPDATE catalogue SET geom = ?", blob)).areas[567, 8]
    assert found.box == pytest.approx((*degrees(*box[:2]), *degrees(*box[2:])), abs=1.1e-6)


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"GP",
        b"XX\x00\x03" + bytes(36),
        b"GP\x00\x03" + bytes(8),  # shorter than its envelope
        b"GP\x00\x01" + bytes(4) + b"\x01\x03",  # cut polygon
        b"GP\x00\x0f" + bytes(80),  # envelope of no known form
        b"GP\x00\x21" + bytes(40),  # extended type
        b"GP\x00\x03" + bytes(4) + struct.pack("<4d", 1, math.nan, 1, 2),
        b"GP\x00\x03" + bytes(4) + struct.pack("<4d", 2, 1, 1, 2),
        "text",
    ],
)
def test_a_damaged_geometry_names_its_row(tmp_path, blob):
    path = write(tmp_path / "c.gpkg", ROWS)
    change(path, "UPDATE catalogue SET geom = ? WHERE rowid = 2", blob)
    with pytest.raises(SourceError, match=r"c\.gpkg: row 2: damaged geometry"):
        read_catalogue(path)


@pytest.mark.parametrize("blob", [None, b"GP\x00\x11" + bytes(4)])
def test_an_empty_geometry_is_counted(tmp_path, blob):
    path = write(tmp_path / "c.gpkg", ROWS)
    found = read_catalogue(change(path, "UPDATE catalogue SET geom = ? WHERE rowid = 2", blob))
    assert found.without_geometry == 1
    assert found.areas[567, 8].patches == 1


def test_a_file_that_is_no_sqlite_is_refused(tmp_path):
    path = tmp_path / "catalogue.gpkg"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(SourceError, match="not a GeoPackage that can be read"):
        read_catalogue(path)


def test_a_truncated_file_is_refused(tmp_path):
    rows = [(1, 1.0, float(index), 0.0) for index in range(2000)]
    path = write(tmp_path / "c.gpkg", rows)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SourceError, match="not a GeoPackage that can be read"):
        read_catalogue(path)


def test_sqlite_without_the_tables_of_a_geopackage_is_refused(tmp_path):
    path = tmp_path / "c.gpkg"
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE catalogue (actid, aoiid, geom)")
    with pytest.raises(SourceError, match="no GeoPackage: has no table gpkg_contents"):
        read_catalogue(path)


def test_another_geopackage_says_what_it_has(tmp_path):
    path = write(tmp_path / "c.gpkg", ROWS)
    change(path, "ALTER TABLE catalogue RENAME COLUMN actid TO activation")
    with pytest.raises(SourceError) as caught:
        read_catalogue(path)
    assert str(caught.value) == (
        f"{path}: no layer with columns actid and aoiid; it has catalogue (activation, aoiid, fid,"
        " geom)"
    )


def test_an_empty_catalogue_is_refused(tmp_path):
    path = write(tmp_path / "c.gpkg", ROWS)
    with pytest.raises(SourceError, match="holds no patches"):
        read_catalogue(change(path, "DELETE FROM catalogue"))


def test_an_undefined_crs_is_refused(tmp_path):
    path = write(tmp_path / "c.gpkg", ROWS)
    change(path, "UPDATE gpkg_geometry_columns SET srs_id = 99999")
    with pytest.raises(SourceError, match="patches are in CRS 99999, which it does not define"):
        read_catalogue(path)


def test_an_unknown_crs_is_refused(tmp_path):
    path = write(tmp_path / "c.gpkg", ROWS)
    change(path, "UPDATE gpkg_geometry_columns SET srs_id = -1")
    with pytest.raises(SourceError, match="patches are in an unknown CRS"):
        read_catalogue(path)


def test_coordinates_outside_the_crs_are_refused(tmp_path):
    rows = [(1, 1.0, 1e30, 1e30)]
    with pytest.raises(SourceError, match="coordinates outside its CRS"):
        read_catalogue(write(tmp_path / "c.gpkg", rows, crs="EPSG:32642"))


def test_a_layer_may_have_any_name_and_others_beside_it(tmp_path):
    path = tmp_path / "c.gpkg"
    pyogrio.raw.write(
        path,
        geometry=np.array([shapely.to_wkb(shapely.Point(0, 0))], dtype=object),
        field_data=[np.array([1])],
        fields=np.array(["other"], dtype=object),
        geometry_type="Point",
        crs="EPSG:4326",
        driver="GPKG",
        layer="aside",
    )
    write(path, ROWS, layer='a "quoted" name', append=True)
    assert set(read_catalogue(path).areas) == {(567, 8), (567, 15), (118, 1)}


def test_reading_leaves_the_file_alone(tmp_path):
    path = write(tmp_path / "c.gpkg", ROWS)
    before = path.read_bytes()
    read_catalogue(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_paths_may_hold_signs_of_addresses(tmp_path):
    folder = tmp_path / "50 % of? #1"
    folder.mkdir()
    assert read_catalogue(write(folder / "c.gpkg", ROWS)).unlabelled == 1


def test_catalogues_of_a_folder_are_found_under_both_names(tmp_path):
    for name in ("118/catalogue.gkpg", "567/catalogue.gpkg", "catalogue.gpkg", "567/other.gpkg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    found = [path.relative_to(tmp_path).as_posix() for path in find_catalogues(tmp_path)]
    assert found == ["118/catalogue.gkpg", "567/catalogue.gpkg", "catalogue.gpkg"]


def test_a_missing_catalogue_is_refused(tmp_path):
    with pytest.raises(SourceError, match=r"none\.gpkg: no such file"):
        find_catalogues(tmp_path / "none.gpkg")
    with pytest.raises(SourceError, match=r"holds no catalogue\.gpkg"):
        find_catalogues(tmp_path)
