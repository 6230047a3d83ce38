"""Orbit files: a real one, ones made from real annotations, and ones that are no use."""

from __future__ import annotations

import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from orbit_files import Vectors, annotated, write_orbit
from references import circular_orbit, dot, ecef, minus, zero_doppler

from cube.errors import SourceError
from cube.readers import orbit as reader
from cube.readers.annotation import read_annotation
from cube.readers.orbit import find_orbit, named_orbit, orbit_around, read_header
from cube.readers.scene import Files, open_annotation

PRODUCTS = ["S1A_IW_GRDH_1SDV_20210809", "S1B_IW_GRDH_1SDV_20211223", "S1C_S4_GRDH_1SDH_20250118"]


def time(content: str) -> np.datetime64:
    return np.datetime64(content, "us")


@pytest.fixture
def example(data_dir) -> Path:
    return data_dir / "orbit" / "S1_orbit_example.EOF"


@pytest.fixture
def annotation(data_dir) -> Path:
    folder = next((data_dir / "safe").glob("S1A_IW_GRDH_1SDV_20210809*.SAFE"))
    return next((folder / "annotation").glob("*-vv-*.xml"))


START, STOP = time("2021-08-09T17:39:53.153776"), time("2021-08-09T17:40:18.152800")
SCENE = ("sentinel-1a", START, STOP)


@pytest.fixture
def vectors(annotation):
    return annotated(annotation.read_bytes())


def test_a_real_header_is_read(example):
    found = read_header(example)
    assert found.name.startswith("S1A_OPER_AUX_POEORB_OPOD_20181203T120749_V20181112T225942_2018")
    assert (found.platform, found.kind) == ("sentinel-1a", "POEORB")
    assert found.start == time("2018-11-12T22:59:42")
    assert found.stop == time("2018-11-14T00:59:42")
    assert found.created == time("2018-12-03T12:07:49")


def test_a_real_file_that_is_cut_short_is_refused_by_its_vectors(example):
    """Its header promises 26 hours, it holds 70 seconds."""
    scene = (time("2018-11-13T12:00:00"), time("2018-11-13T12:00:25"))
    assert find_orbit(example, "sentinel-1a", *scene).path == example
    with pytest.raises(SourceError, match=r"to 2018-11-12T23:01:12, needed are.*cut short") as one:
        orbit_around(example, "sentinel-1a", scene[0], *scene)
    assert "\n" not in str(one.value)


def test_real_vectors_are_joined_by_a_path_that_falls_freely(example, monkeypatch):
    """The eight vectors of the real file, which span 70 s, with a margin that they have."""
    monkeypatch.setattr(reader, "MARGIN", np.timedelta64(20, "s"))
    epoch = time("2018-11-12T23:00:37")
    orbit, header = orbit_around(example, "sentinel-1a", epoch, epoch, epoch)
    assert header.kind == "POEORB"
    # the vector at 23:00:42 as it is written, 5 s after the epoch
    place, speed, _ = orbit.state(np.array(5.0))
    exact = (-2028422.977002, 6532596.156540, 1805251.894958)
    np.testing.assert_allclose(place, exact, rtol=0, atol=1e-3)
    np.testing.assert_allclose(speed, (966.314136, 2294.735374, -7178.425371), rtol=0, atol=1e-5)
    # half way between vectors: position and velocity agree with each other
    ahead, behind = (orbit.state(np.array(0.0 + step))[0] for step in (0.5, -0.5))
    np.testing.assert_allclose(ahead - behind, orbit.state(np.array(0.0))[1], rtol=0, atol=1e-3)


@pytest.mark.parametrize("pattern", PRODUCTS)
def test_an_annotations_own_vectors_in_a_file_give_its_own_geometry(data_dir, tmp_path, pattern):
    folder = next((data_dir / "safe").glob(f"{pattern}*.SAFE"))
    path = sorted((folder / "annotation").glob("*.xml"))[0]
    own = read_annotation(str(path))
    file = write_orbit(tmp_path, annotated(path.read_bytes()))
    found = read_annotation(str(path), orbit=str(file))
    assert (found.orbit_source, own.orbit_source in ("Auxiliary", "Downlink")) == ("POEORB", True)
    at = np.linspace(-5, 30, 50)
    for ours, theirs in zip(found.orbit.state(at), own.orbit.state(at), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


def test_files_with_an_orbit_file_are_opened_with_it(annotation, vectors, tmp_path):
    """And opened again when it is replaced in place."""
    file = write_orbit(tmp_path, vectors)
    plain = open_annotation(Files("", str(annotation)))
    files = Files("", str(annotation), orbit=str(file))
    place = [open_annotation(files).orbit.state(np.array(0.0))[0][2]]
    write_orbit(tmp_path, vectors.beside(100.0))
    place.append(open_annotation(files).orbit.state(np.array(0.0))[0][2])
    assert place[0] == pytest.approx(plain.orbit.state(np.array(0.0))[0][2], abs=1e-6)
    assert place[1] - place[0] == pytest.approx(100.0, abs=1e-6)


def test_a_full_day_costs_its_arc_only(tmp_path):
    """26 hours at 10 s of a circular orbit: what comes out is that orbit at the scene."""
    state = circular_orbit()
    epoch = np.datetime64("2023-03-02T00:59:42", "us")
    steps = np.arange(-1200, 1201)
    rows = [state(10.0 * step) for step in steps]
    times = [str((epoch + np.timedelta64(10 * int(step), "s")).astype("M8[us]")) for step in steps]
    made = Vectors(
        "Sentinel-1B",
        tuple(times),
        tuple(tuple(f"{value:.6f}" for value in (*a, *b)) for a, b in rows),
    )
    path = write_orbit(tmp_path, made)
    orbit, _ = orbit_around(path, "sentinel-1b", epoch, epoch, epoch + np.timedelta64(25, "s"))
    assert orbit.half_s < 80
    at = np.linspace(0, 25, 40)
    place, speed, _ = orbit.state(at)
    exact = [state(moment) for moment in at]
    # six decimals are written
    np.testing.assert_allclose(place, [a for a, _ in exact], rtol=0, atol=1e-5)
    np.testing.assert_allclose(speed, [b for _, b in exact], rtol=0, atol=1e-6)
    point = ecef(5.0, 0.7, 100.0)
    when, distance = zero_doppler(state, point, -50.0, 80.0)
    a, b, _ = orbit.state(np.array(when))
    assert abs(dot(minus(point, a), b)) / 7500**2 < 1e-8
    assert np.linalg.norm(np.subtract(point, a)) == pytest.approx(distance, abs=1e-4)


# --- the choice


def test_precise_before_restituted_then_the_latest(vectors, tmp_path):
    old = write_orbit(tmp_path, vectors, created="2021-08-29T12:00:00")
    new = write_orbit(tmp_path, vectors, created="2022-03-01T12:00:00")
    write_orbit(tmp_path, vectors, "AUX_RESORB", created="2024-01-01T12:00:00")
    write_orbit(tmp_path, vectors, "AUX_PREORB", created="2024-01-01T12:00:00")
    write_orbit(tmp_path, replace(vectors, mission="Sentinel-1B"))
    write_orbit(tmp_path, vectors.later(24))
    assert find_orbit(tmp_path, *SCENE).path == new
    new.unlink()
    assert find_orbit(tmp_path, *SCENE).path == old
    old.unlink()
    assert find_orbit(tmp_path, *SCENE).kind == "RESORB"


def test_a_file_that_ends_next_to_the_scene_is_not_taken(vectors, tmp_path):
    path = write_orbit(tmp_path, vectors, margin_h=0)
    found = read_header(path)
    latest = found.stop - np.timedelta64(60, "s")
    assert find_orbit(tmp_path, "sentinel-1a", START, latest).path == path
    with pytest.raises(SourceError, match="no orbit of sentinel-1a"):
        find_orbit(tmp_path, "sentinel-1a", START, latest + np.timedelta64(1, "s"))


@pytest.mark.parametrize("wrong", ["day", "satellite"])
@pytest.mark.parametrize("place", ["file", "folder"])
def test_no_file_for_a_scene_says_what_there_is(vectors, tmp_path, wrong, place):
    other = vectors.later(48) if wrong == "day" else replace(vectors, mission="Sentinel-1C")
    path = write_orbit(tmp_path, other)
    with pytest.raises(SourceError) as error:
        find_orbit(path if place == "file" else tmp_path, *SCENE)
    says = str(error.value)
    assert "no orbit of sentinel-1a from 2021-08-09T17:39:53 to 2021-08-09T17:40:18" in says
    holds = "2021-08-11T16" if wrong == "day" else "POEORB of sentinel-1c, 2021-08-09T16"
    assert holds in says
    assert "\n" not in says


def test_many_files_are_not_all_named(vectors, tmp_path):
    for day in range(1, 8):
        write_orbit(tmp_path, vectors.later(24 * day))
    with pytest.raises(SourceError, match="and 4 more; give the file"):
        find_orbit(tmp_path, *SCENE)


def test_a_zipped_file_is_read(vectors, tmp_path):
    path = write_orbit(tmp_path, vectors)
    with zipfile.ZipFile(tmp_path / f"{path.name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, path.name)
    plain = orbit_around(path, "sentinel-1a", START, START, STOP)[0]
    path.unlink()
    found = find_orbit(tmp_path, *SCENE)
    assert found.path.name.endswith(".EOF.zip")
    orbit, _ = orbit_around(found.path, "sentinel-1a", START, START, STOP)
    np.testing.assert_array_equal(orbit.coefficients, plain.coefficients)


def test_a_noted_file_is_found_whatever_it_is_called_now(vectors, tmp_path):
    path = write_orbit(tmp_path, vectors)
    name = path.stem
    moved = path.rename(tmp_path / "renamed.EOF")
    assert named_orbit(tmp_path, name).path == moved
    assert named_orbit(moved, name).path == moved
    moved.unlink()
    write_orbit(tmp_path, vectors, "AUX_RESORB")
    with pytest.raises(SourceError, match=rf"no longer holds {name}\.EOF"):
        named_orbit(tmp_path, name)


# --- what is refused

DAMAGES = {
    "no file": ("", "", "cannot be read"),
    "predicted": ("AUX_POEORB</", "AUX_PREORB</", "a predicted orbit; give AUX_POEORB"),
    "attitude": ("AUX_POEORB</", "AUX_RESATT</", "File_Type AUX_RESATT, no orbit"),
    "another mission": ("Sentinel-1A<", "Sentinel-2A<", "expected for example 'Sentinel-1A'"),
    "another frame": ("EARTH_FIXED", "GM2000", "Ref_Frame 'GM2000'; only EARTH_FIXED is read"),
    "another time": ("e>UTC<", "e>TAI<", "Time_Reference 'TAI'; only UTC is read"),
    "reversed validity": ("UTC=2021-08-09T16:3", "UTC=2031-08-09T16:3", "before it begins"),
    "no time": ("<UTC>UTC=", "<UTC>TAI=", "is not a time such as UTC="),
    "another unit": ('<X unit="m">', '<X unit="km">', "unit of X is 'km', expected 'm'"),
    "count": ('count="16"', 'count="9361"', "16 state vectors where 9361 are announced"),
    "not a number": ('<VY unit="m/s">', '<VY unit="m/s">x', "VY is 'x"),
    "not finite": ('<Z unit="m">.*?<', '<Z unit="m">1e999<', "not a finite number"),
    "missing": ("<VZ .*?</VZ>", "", "lacks VZ"),
    "no vectors": ("<List_of_OSVs.*</List_of_OSVs>", "", "no Data_Block/List_of_OSVs"),
    "entities": (
        "<Earth_Explorer_File>",
        '<!DOCTYPE a [<!ENTITY b "c">]><Earth_Explorer_File>',
        "declares a DTD or entities",
    ),
    "no header": ("</Earth_Explorer_Header>", "", "no Earth Explorer header"),
    "another document": ("Earth_Explorer_File>", "Other>", "malformed XML|expected"),
    "marked": ("NOMINAL", "DEGRADED", "marked as not NOMINAL"),
    "cut": ("</OSV>.*", "", "malformed XML"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_one_line(vectors, tmp_path, damage):
    old, new, says = DAMAGES[damage]
    path = write_orbit(tmp_path, vectors)
    if damage == "no file":
        path.unlink()
    else:
        changed, count = re.subn(old, new, path.read_text(), flags=re.DOTALL)
        assert count
        path.write_text(changed)

    def use():
        return orbit_around(find_orbit(path, *SCENE).path, "sentinel-1a", START, START, STOP)

    with pytest.raises(SourceError, match=says) as error:
        use()
    assert "\n" not in str(error.value)


def test_vectors_that_jump_are_refused(vectors, tmp_path):
    rows = list(vectors.values)
    rows[8] = (repr(float(rows[8][0]) + 50), *rows[8][1:])
    path = write_orbit(tmp_path, replace(vectors, values=tuple(rows)))
    with pytest.raises(SourceError, match=r"lie \d+\.\d m beside any smooth path"):
        orbit_around(path, "sentinel-1a", START, START, STOP)


def test_times_that_do_not_increase_are_refused(vectors, tmp_path):
    times = list(vectors.times)
    times[4], times[5] = times[5], times[4]
    path = write_orbit(tmp_path, replace(vectors, times=tuple(times)))
    with pytest.raises(SourceError, match="do not increase"):
        orbit_around(path, "sentinel-1a", START, START, STOP)


def test_a_gap_is_refused(vectors, tmp_path):
    keep = [k for k in range(16) if k not in (6, 7, 8)]
    part = replace(
        vectors,
        times=tuple(vectors.times[k] for k in keep),
        values=tuple(vectors.values[k] for k in keep),
    )
    with pytest.raises(SourceError, match="state vectors 40 s apart, expected 10"):
        orbit_around(write_orbit(tmp_path, part), "sentinel-1a", START, START, STOP)


def test_an_orbit_of_another_satellite_is_refused_by_the_product(annotation, vectors, tmp_path):
    path = write_orbit(tmp_path, replace(vectors, mission="Sentinel-1C"))
    with pytest.raises(SourceError, match="orbit of sentinel-1c, the product is of sentinel-1a"):
        read_annotation(str(annotation), orbit=str(path))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x00" * 100])
def test_what_is_no_orbit_file_is_one_line(tmp_path, content):
    for name in ("a.EOF", "a.EOF.zip"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SourceError, match=r"no Earth Explorer header|not a readable zip"):
            find_orbit(tmp_path / name, *SCENE)


def test_a_folder_without_orbits_is_one_line(vectors, tmp_path):
    write_orbit(tmp_path, vectors, "AUX_PREORB")
    with pytest.raises(SourceError, match=r"none of its 1 files \.EOF holds a precise"):
        find_orbit(tmp_path, *SCENE)
