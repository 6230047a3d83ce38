"""``cube events import``: from a catalogue to events that can be built."""

from __future__ import annotations

import json
import math
import sqlite3
import tomllib
import tracemalloc
from contextlib import closing

import pytest
from geopackages import PATCH, change, write_catalogue

from cube.catalog import load_event
from cube.readers.catalogue import read_catalogue
from pipelines import events as pipeline

ROWS = [
    (514, 1.0, -6_520_000.0, 830_000.0),
    (514, 1.0, -6_500_000.0, 840_000.0),
    (427, 9.0, 1_670_000.0, 7_830_000.0),
    (427, 12.0, 1_680_000.0, 7_840_000.0),
    (427, math.nan, 1_600_000.0, 7_800_000.0),
    (1111012, 1.0, 16_820_000.0, -3_844_000.0),
    (1111012, 1.0, 16_822_240.0, -3_844_000.0),
]


@pytest.fixture(autouse=True)
def no_catalog(monkeypatch):
    monkeypatch.delenv("CUBE_CATALOG", raising=False)


@pytest.fixture
def catalogue(tmp_path):
    return write_catalogue(tmp_path / "catalogue.gpkg", ROWS)


def test_the_areas_are_filled_in(catalogue, tmp_path, cube_command):
    out = tmp_path / "mine"
    printed = cube_command("events", "import", "--catalogue", catalogue, "--out", out).fine().out
    assert printed.splitlines() == [
        "ks427        aoi09, aoi12",
        "ks514        aoi01",
        "ks427: box still not known: aoi07, aoi10",
        "ks514: box still not known: aoi02, aoi03",
        "left out: 1 patches without label",
        "left out: 2 patches of activation 1111012, which is not in the catalog",
        f"2 events written to {out / 'events'}; use them with --catalog {out}",
    ]
    aoi = load_event("ks514", str(out)).aoi("aoi01")
    radius = 6_378_137.0
    assert aoi.bbox[0] == pytest.approx(math.degrees(-6_520_000 / radius), abs=1.1e-6)
    assert aoi.bbox[2] == pytest.approx(math.degrees((-6_500_000 + PATCH) / radius), abs=1.1e-6)
    assert aoi.verified
    assert aoi.source == "catalogue.gpkg of Kuro Siwo, extent of 2 patch polygons"


def test_the_default_box_goes_and_the_rest_stays(catalogue, tmp_path):
    pipeline.import_catalogue(catalogue, tmp_path / "mine")
    shipped, filled = load_event("ks514"), load_event("ks514", str(tmp_path / "mine"))
    assert "centre" in {aoi.name for aoi in shipped.aois}
    assert [aoi.name for aoi in filled.aois] == ["aoi01", "aoi02", "aoi03"]
    assert not any(aoi.default_box for aoi in filled.aois)
    same = {"aois"}
    assert filled.model_dump(exclude=same) == shipped.model_dump(exclude=same)


def test_a_box_of_third_parties_becomes_a_verified_one(tmp_path):
    path = write_catalogue(tmp_path / "catalogue.gpkg", [(118, 1.0, -153_000.0, 5_124_000.0)])
    pipeline.import_catalogue(path, tmp_path / "mine")
    event = load_event("ks118", str(tmp_path / "mine"))
    assert not load_event("ks118").aoi("aoi01").verified
    assert [aoi.verified for aoi in event.aois] == [True, False]


def test_an_area_that_the_catalog_did_not_know_is_added(catalogue, tmp_path):
    pipeline.import_catalogue(catalogue, tmp_path / "mine")
    event = load_event("ks427", str(tmp_path / "mine"))
    assert [aoi.number for aoi in event.aois] == [3, 4, 7, 9, 10, 12]
    assert event.aoi("aoi12").climate_zone is None
    assert event.aoi("aoi04") == load_event("ks427").aoi("aoi04")


def test_what_was_refused_is_planned_after_the_import(
    catalogue, tmp_path, cube_command, small_event
):
    words = ("plan", "--event", "ks427", "--aoi", "aoi09", "--source", small_event)
    assert "cube events import --catalogue catalogue.gpkg" in cube_command(*words).error
    out = tmp_path / "mine"
    cube_command("events", "import", "--catalogue", catalogue, "--out", out).fine()
    assert "no DEM" in cube_command(*words, "--catalog", out).error  # past the area


def test_a_second_import_writes_the_same_bytes(catalogue, tmp_path, tree):
    out = tmp_path / "mine"
    pipeline.import_catalogue(catalogue, out)
    first = tree(out)
    pipeline.import_catalogue(catalogue, out)
    assert tree(out) == first
    assert set(first) == {"events/ks427.toml", "events/ks514.toml"}


def test_what_a_user_changed_is_kept(catalogue, tmp_path):
    out = tmp_path / "mine"
    pipeline.import_catalogue(catalogue, out)
    path = out / "events" / "ks514.toml"
    path.write_text(path.read_text().replace('country = "Guyana"', 'country = "mine"'))
    pipeline.import_catalogue(catalogue, out)
    assert load_event("ks514", str(out)).country == "mine"


def test_the_file_says_where_its_boxes_are_from(catalogue, tmp_path):
    pipeline.import_catalogue(catalogue, tmp_path / "mine")
    text = (tmp_path / "mine" / "events" / "ks514.toml").read_text(encoding="utf-8")
    assert text.startswith("# Boxes of areas: written by cube events import")
    assert tomllib.loads(text)["kurosiwo"]["split"] == "val"


def test_the_environment_names_the_folder(catalogue, tmp_path, monkeypatch, cube_command):
    out = tmp_path / "mine"
    out.mkdir()
    monkeypatch.setenv("CUBE_CATALOG", str(out))
    cube_command("events", "import", "--catalogue", catalogue).fine()
    assert load_event("ks514").aoi(None).name == "aoi01"


def test_without_a_folder_nothing_is_read(catalogue, cube_command):
    error = cube_command("events", "import", "--catalogue", catalogue).error
    assert error == "no folder to write events to; give --out DIR, or set CUBE_CATALOG to it"


def test_catalogues_of_single_activations_are_read_together(tmp_path, cube_command):
    for actid in (427, 514):
        folder = tmp_path / "data" / str(actid)
        folder.mkdir(parents=True)
        rows = [row for row in ROWS if row[0] == actid]
        write_catalogue(folder / "catalogue.gpkg", rows).rename(folder / "catalogue.gkpg")
    words = ("--catalogue", tmp_path / "data", "--out", tmp_path / "mine", "--json")
    found = json.loads(cube_command("events", "import", *words).fine().out)
    assert found["areas"] == {"ks427": ["aoi09", "aoi12"], "ks514": ["aoi01"]}
    assert found["unlabelled"] == 1
    assert found["unknown"] == {}


def test_an_area_may_lie_in_two_files(tmp_path):
    for name, row in zip("ab", ROWS[:2], strict=True):
        (tmp_path / "data" / name).mkdir(parents=True)
        write_catalogue(tmp_path / "data" / name / "catalogue.gpkg", [row])
    both = write_catalogue(tmp_path / "catalogue.gpkg", ROWS[:2])
    pipeline.import_catalogue(tmp_path / "data", tmp_path / "apart")
    pipeline.import_catalogue(both, tmp_path / "together")
    apart, together = (
        load_event("ks514", str(tmp_path / name)).aoi("aoi01") for name in ("apart", "together")
    )
    assert apart == together


def _garbage(path):
    path.write_bytes(b"not a database" * 100)


def _no_tables(path):
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE catalogue (actid)")


def _no_columns(path):
    change(write_catalogue(path, ROWS), "ALTER TABLE catalogue RENAME COLUMN aoiid TO area")


def _damaged(path):
    change(write_catalogue(path, ROWS), "UPDATE catalogue SET geom = x'47500001'")


def _no_crs(path):
    change(write_catalogue(path, ROWS), "UPDATE gpkg_geometry_columns SET srs_id = -1")


def _empty(path):
    change(write_catalogue(path, ROWS), "DELETE FROM catalogue")


def _unlabelled(path):
    write_catalogue(path, ROWS[4:5])


def _unknown(path):
    write_catalogue(path, ROWS[5:])


def _points(path):
    write_catalogue(path, [(514, 1.0, 0.0, 0.0)], size=0.0)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "holds no catalogue.gpkg, nor do its folders; give the file"),
        (_garbage, "not a GeoPackage that can be read (file is not a database)"),
        (_no_tables, "SQLite, but no GeoPackage: has no table gpkg_contents"),
        (_no_columns, "no layer with columns actid and aoiid"),
        (_damaged, "row 1: damaged geometry; fetch the file again"),
        (_no_crs, "its patches are in an unknown CRS"),
        (_empty, "holds no patches"),
        (_unlabelled, "no labelled patch: 1 without an area, 0 without geometry"),
        (_unknown, "none of its activations is in the catalog: 1111012"),
        (_points, "area aoi01 of the catalogue: "),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_bad_input_is_one_line_and_writes_nothing(tmp_path, cube_command, make, says):
    path, out = tmp_path / "catalogue.gpkg", tmp_path / "mine"
    make(path)
    error = cube_command("events", "import", "--catalogue", path, "--out", out).error
    assert says in error
    assert not out.exists()


def test_a_folder_that_is_a_file_is_refused(catalogue, tmp_path, cube_command):
    (tmp_path / "mine").write_text("")
    words = ("--catalogue", catalogue, "--out", tmp_path / "mine")
    assert "mine: not a folder" in cube_command("events", "import", *words).error


def test_a_folder_that_cannot_be_written_is_one_line(catalogue, tmp_path, cube_command):
    out = tmp_path / "mine"
    out.mkdir()
    (out / "events").write_text("")
    error = cube_command("events", "import", "--catalogue", catalogue, "--out", out).error
    assert "ks427.toml: cannot be written" in error


def test_a_failed_write_leaves_what_was_there(catalogue, tmp_path, monkeypatch, tree):
    out = tmp_path / "mine"
    pipeline.import_catalogue(catalogue, out)
    before = tree(out)

    def fail(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pipeline.os, "fsync", fail)
    with pytest.raises(pipeline.CatalogError, match=r"cannot be written \(No space left"):
        pipeline.import_catalogue(catalogue, out)
    assert tree(out) == before


def test_bad_usage_exits_with_two(cube_command):
    assert cube_command("events", "import").code == 2


def test_memory_does_not_grow_with_the_file(tmp_path):
    path = write_catalogue(tmp_path / "catalogue.gpkg", ROWS[:1])
    change(
        path,
        "INSERT INTO catalogue (actid, aoiid, geom) WITH RECURSIVE n(i) AS"
        " (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"
        " SELECT 514, 1, (SELECT geom FROM catalogue LIMIT 1) FROM n",
    )
    tracemalloc.start()
    try:
        found = read_catalogue(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.areas[514, 1].patches == 100_001
    assert peak < 30e6  # 20 thousand rows are held at a time; all of them would take 70 MB


def test_the_command_explains_itself(cube_command):
    assert "catalogue" in cube_command("events", "import", "--help").fine().out


@pytest.mark.parametrize("event", ["ks1111002", "ks1111008"])
def test_an_event_without_a_box_that_could_be_checked_is_refused(cube_command, event):
    error = cube_command("plan", "--event", event, "--dem", "none.tif").error
    assert f"event {event}: the box of AOI aoi01" in error
    assert "cube events import --catalogue catalogue.gpkg" in error
