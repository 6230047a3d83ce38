"""``cube benchmark sar``: goals on real products, an independent solver, and what is no product."""

from __future__ import annotations

import bisect
import importlib.util
import json
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from orbit_files import annotated, write_orbit
from references import LIGHT, State, Vector, ecef, read_product, zero_doppler

from cube.kernels.doppler import zero_doppler as solve
from cube.kernels.ellipsoid import to_ecef
from cube.readers.geolocation import read_geometry

GROUND_SPEED = 6830.0  # m/s; of the beam, within half a percent

# Largest allowed root mean square in azimuth, line and pixel. Times of the grid are whole
# microseconds, 7 mm of flight. Lines of IPF 2.70 are 75 us off its own precise orbit.
GEOMETRY = ("--no-speed", "--no-peers")
GOALS = {
    "S1A_IW_GRDH_1SDV_20150203": (0.55, 0.06, 1e-4),
    "S1A_IW_GRDH_1SDV_20210809": (0.01, 0.001, 1e-4),  # orbit of the downlink
    "S1B_IW_GRDH_1SDV_20211223": (0.01, 0.001, 1e-4),
    "S1C_S4_GRDH_1SDH_20250118": (0.01, 0.001, 1e-4),
    "S1A_IW_SLC__1SDV_20220104": (0.01, 0.001, 1e-4),
    "S1A_IW_SLC__1SDV_20230904": (0.01, 0.003, 1e-3),
    "S1A_IW_SLC__1SDV_20230916": (0.01, 0.003, 1e-3),
}


def find(data_dir: Path, name: str) -> Path:
    return next((data_dir / "safe").glob(f"{name}*"))


@pytest.fixture(scope="module")
def records(cube_command, data_dir):
    """Records of all real products, by product."""
    words = [find(data_dir, name) for name in GOALS]
    found = json.loads(cube_command("benchmark", "sar", *words, *GEOMETRY, "--json").fine().out)
    assert (found["speed"], found["peers"]) == (None, None)
    assert [one["product"][:25] for one in found["products"]] == list(GOALS)
    return {one["product"][:25]: one for one in found["products"]}


@pytest.mark.parametrize("name", GOALS)
def test_geometry_is_esas(records, name):
    one = records[name]
    azimuth, line, pixel = GOALS[name]
    assert one["slant_range_rms_m"] <= 0.01
    assert one["azimuth_rms_m"] <= azimuth
    assert one["line_rms"] <= line
    assert one["pixel_rms"] <= pixel
    assert one["points"] == 210 * len(one["swaths"])
    for column in ("line", "pixel", "azimuth", "slant_range"):
        unit = "_m" if column in ("azimuth", "slant_range") else ""
        assert one[f"{column}_rms{unit}"] <= one[f"{column}_max{unit}"]


def test_what_is_left_of_the_old_processor_is_one_shift_in_time(records):
    """Every swath and every line alike: no fault of orbit, range or bistatic term."""
    swath = records["S1A_IW_GRDH_1SDV_20150203"]["swaths"][0]
    spread = np.sqrt(swath["azimuth_rms_m"] ** 2 - swath["azimuth_mean_m"] ** 2)
    assert swath["azimuth_mean_m"] == pytest.approx(75e-6 * GROUND_SPEED, abs=0.01)
    assert spread < 0.04


def test_each_product_says_where_its_orbit_and_bistatic_reference_come_from(records):
    found = {
        name: (one["orbit"], {part["bistatic_reference"] for part in one["swaths"]})
        for name, one in records.items()
    }
    assert found["S1A_IW_GRDH_1SDV_20210809"][0] == "Downlink"
    assert found["S1A_IW_SLC__1SDV_20220104"][1] == {"fitted to the geolocation grid"}
    assert found["S1A_IW_SLC__1SDV_20230904"] == ("Auxiliary", {"middle of IW2"})
    assert [part["swath"] for part in records["S1A_IW_SLC__1SDV_20230904"]["swaths"]] == [
        "IW1", "IW2", "IW3",
    ]  # fmt: skip
    assert {part["polarisation"] for part in records["S1C_S4_GRDH_1SDH_20250118"]["swaths"]} == {
        "hh"
    }


# --- an independent solver


def interpolated(vectors: list[tuple[float, Vector, Vector]], count: int = 8) -> State:
    """State by Lagrange's polynomial through the nearest vectors, of each component for itself."""
    times = [time for time, _, _ in vectors]

    def state(at: float) -> tuple[Vector, Vector]:
        first = min(max(bisect.bisect(times, at) - count // 2, 0), len(times) - count)
        near = vectors[first : first + count]
        weights = []
        for i, (here, _, _) in enumerate(near):
            weight = 1.0
            for j, (there, _, _) in enumerate(near):
                if i != j:
                    weight *= (at - there) / (here - there)
            weights.append(weight)

        def mixed(part: int) -> Vector:
            x, y, z = (
                sum(w * vector[part][axis] for w, vector in zip(weights, near, strict=True))
                for axis in range(3)
            )
            return x, y, z

        return mixed(1), mixed(2)

    return state


def annotation_of(product: Path, swath: str) -> bytes:
    pattern = re.compile(rf"annotation/s1[a-z]-{swath}-[a-z]{{3}}-(vv|hh)-[^/]*\.xml$")
    if product.suffix == ".zip":
        with zipfile.ZipFile(product) as archive:
            return archive.read(next(name for name in archive.namelist() if pattern.search(name)))
    paths = (product / "annotation").glob("*.xml")
    return next(path for path in paths if pattern.search(path.as_posix())).read_bytes()


@pytest.mark.parametrize(
    ("name", "swath"),
    [
        ("S1C_S4_GRDH_1SDH_20250118", "s4"),
        ("S1A_IW_GRDH_1SDV_20210809", "iw"),
        ("S1A_IW_SLC__1SDV_20220104", "iw1"),
        ("S1A_IW_SLC__1SDV_20230916", "iw3"),
    ],
)
def test_bisection_in_plain_python_finds_the_same_place(data_dir, name, swath):
    source = find(data_dir, name)
    product = read_product(annotation_of(source, swath))
    ours = next(one for one in read_geometry(source) if one.swath.lower() == swath)
    grid = ours.grid
    time, slant = solve(ours.orbit, to_ecef(grid.lon, grid.lat, grid.height))
    state = interpolated(product.orbit)
    along, across, left = [], [], []
    for k, point in enumerate(product.grid[::3]):
        place = ecef(point.lon, point.lat, point.height)
        exact, distance = zero_doppler(state, place, -30.0, 60.0)
        along.append((time[3 * k] - exact) * GROUND_SPEED)
        across.append(slant[3 * k] - distance)
        left.append((distance - point.slant_time * LIGHT / 2, (exact - point.time) * GROUND_SPEED))
    assert np.abs(along).max() < 0.01
    assert np.abs(across).max() < 0.01
    rms = np.sqrt(np.mean(np.square(left), axis=0))
    print(f"{name} {swath}: the plain solver lies {rms[0]:.5f} m in range and {rms[1]:.4f} m in"
          " azimuth off the grid")  # fmt: skip
    assert (rms < 0.01).all()


def test_bisection_agrees_over_an_extra_wide_scene(data_dir):
    """A real orbit, and ground as EW images it: a minute of flight, 18 to 47 degrees of incidence.

    No EW product was at hand whose grid could be the truth.
    """
    source = find(data_dir, "S1A_IW_GRDH_1SDV_20210809")
    product = read_product(annotation_of(source, "iw"))
    ours = read_geometry(source)[0]
    middle = product.grid[len(product.grid) // 2]
    lon, lat = np.meshgrid(middle.lon + np.arange(-4, 4, 0.5), middle.lat + np.arange(-2, 2.5, 0.5))
    height = np.random.default_rng(0).uniform(-100, 4000, lon.shape)
    points = to_ecef(lon, lat, height)
    time, slant = solve(ours.orbit, points)
    sight = ours.orbit.state(time)[0] - points
    up = points / np.linalg.norm(points, axis=-1)[..., None]
    angle = np.degrees(np.arccos((sight * up).sum(-1) / slant))
    seen = (angle > 18) & (angle < 47)
    assert np.ptp(time[seen]) > 60
    assert np.ptp(angle[seen]) > 25
    state, along, across = interpolated(product.orbit), [], []
    for k in np.flatnonzero(seen):
        place = ecef(lon.flat[k], lat.flat[k], height.flat[k])
        exact, distance = zero_doppler(state, place, -70.0, 100.0)
        along.append((time.flat[k] - exact) * GROUND_SPEED)
        across.append(slant.flat[k] - distance)
    assert np.abs(along).max() < 0.01
    assert np.abs(across).max() < 0.01


# --- orbit files


def test_an_orbit_file_of_the_products_own_vectors_changes_nothing(
    cube_command, data_dir, records, tmp_path
):
    source = find(data_dir, "S1B_IW_GRDH_1SDV_20211223")
    file = write_orbit(tmp_path, annotated(annotation_of(source, "iw")))
    words = ("benchmark", "sar", source, "--orbit", tmp_path, *GEOMETRY, "--json")
    found = json.loads(cube_command(*words).fine().out)["products"][0]
    own = records["S1B_IW_GRDH_1SDV_20211223"]
    assert (found["orbit"], found["orbit_file"]) == ("POEORB", file.stem)
    for key in ("line_rms", "pixel_rms", "azimuth_rms_m", "slant_range_rms_m"):
        assert found[key] == pytest.approx(own[key], abs=1e-4)


def test_a_wrong_orbit_shows(cube_command, data_dir, tmp_path):
    source = find(data_dir, "S1B_IW_GRDH_1SDV_20211223")
    file = write_orbit(tmp_path, annotated(annotation_of(source, "iw")).beside(50.0))
    words = ("benchmark", "sar", source, "--orbit", file, *GEOMETRY, "--json")
    found = json.loads(cube_command(*words).fine().out)["products"][0]
    assert 10 < np.hypot(found["slant_range_rms_m"], found["azimuth_rms_m"]) < 60


def test_an_orbit_of_another_day_is_one_line(cube_command, data_dir):
    source = find(data_dir, "S1A_IW_SLC__1SDV_20230904")
    example = data_dir / "orbit" / "S1_orbit_example.EOF"
    error = cube_command("benchmark", "sar", source, "--orbit", example).error
    assert "no orbit of sentinel-1a from 2023-09-04T06:37:31" in error
    assert "it holds POEORB of sentinel-1a, 2018-11-12T22:59:42" in error


# --- what is printed, and what is no product


def test_lines_for_people_name_every_swath(cube_command, data_dir):
    source = find(data_dir, "S1A_IW_SLC__1SDV_20230904")
    lines = cube_command("benchmark", "sar", source, *GEOMETRY).fine().out.splitlines()
    assert lines[1] == f"{source.stem}: 630 points, orbit Auxiliary"
    assert [line.split()[0] for line in lines[2:6]] == ["all", "IW1", "IW2", "IW3"]
    assert all("slant range 0.0000" in line for line in lines[2:6])


def test_a_zip_and_its_folder_give_the_same(cube_command, data_dir, records, tmp_path):
    name = "S1A_IW_SLC__1SDV_20230904"
    with zipfile.ZipFile(find(data_dir, name)) as archive:
        archive.extractall(tmp_path, [n for n in archive.namelist() if "/annotation/s1" in n])
    folder = next(tmp_path.iterdir())
    found = json.loads(cube_command("benchmark", "sar", folder, *GEOMETRY, "--json").fine().out)
    assert found["products"][0] == records[name]


@pytest.fixture
def own(data_dir, tmp_path) -> Path:
    """A copy of a real product's annotations."""
    source = find(data_dir, "S1A_IW_SLC__1SDV_20220104")
    folder = tmp_path / source.name
    shutil.copytree(source / "annotation", folder / "annotation", copy_function=shutil.copyfile)
    for path in folder.rglob("*"):
        path.chmod(0o755)
    return folder


DAMAGES = {
    "lines": ("<linesPerBurst>1501<", "<linesPerBurst>1500<", "9 bursts of 1500 lines"),
    "mode": ("<mode>IW<", "<mode>WV<", "product WV SLC; give GRD or SLC"),
    "type": ("<productType>SLC<", "<productType>OCN<", "product IW OCN; give GRD or SLC"),
    "rate": (r"<rangeSamplingRate>[^<]*<", "<rangeSamplingRate>0<", "rangeSamplingRate 0.0"),
    "no rate": (r"<rangeSamplingRate>[^<]*<", "<rangeSamplingRate><", "lacks"),
    "no grid": ("<geolocationGridPointList.*</geolocationGridPointList>", "", "no geolocationG"),
    "no orbit": ("<orbitList.*</orbitList>", "", "no orbit state vectors"),
    "far": (r"<latitude>[^<]*<", "<latitude>-80<", "lie outside its orbit"),
    "not finite": (r"<longitude>[^<]*<", "<longitude>nan<", "finite|outside its orbit"),
    "malformed": ("</product>", "", "malformed XML"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_annotation_is_one_line(cube_command, own, damage):
    old, new, says = DAMAGES[damage]
    path = next((own / "annotation").glob("*.xml"))
    changed, count = re.subn(old, new, path.read_text(), flags=re.DOTALL)
    assert count
    path.write_text(changed)
    assert re.search(says, cube_command("benchmark", "sar", own).error)


def test_what_is_no_product_is_one_line(cube_command, own, tmp_path):
    def error(path: Path) -> str:
        return cube_command("benchmark", "sar", path).error

    assert "no such product; give a SAFE folder or zip" in error(tmp_path / "nowhere.SAFE")
    (tmp_path / "text.zip").write_text("no zip")
    assert "neither a SAFE folder nor a readable zip" in error(tmp_path / "text.zip")
    ocean = own.rename(tmp_path / own.name.replace("SLC__1S", "OCN__2S"))
    assert "product type OCN; give GRD or SLC" in error(ocean)
    (tmp_path / "empty.SAFE").mkdir()
    assert "no annotation/*.xml; give a Sentinel-1 product" in error(tmp_path / "empty.SAFE")


def test_a_truncated_zip_is_one_line(cube_command, data_dir, tmp_path):
    content = bytearray(find(data_dir, "S1A_IW_SLC__1SDV_20230904").read_bytes())
    (tmp_path / "cut.zip").write_bytes(content[: len(content) // 2])
    assert "nor a readable zip" in cube_command("benchmark", "sar", tmp_path / "cut.zip").error
    with zipfile.ZipFile(find(data_dir, "S1A_IW_SLC__1SDV_20230904")) as archive:
        at = min(
            info.header_offset
            for info in archive.infolist()
            if re.search(r"annotation/s1a-iw1-slc-vv", info.filename)
        )
    content[at + 200 : at + 3000] = bytes(2800)
    (tmp_path / "flipped.zip").write_bytes(content)
    assert "nor a readable zip" in cube_command("benchmark", "sar", tmp_path / "flipped.zip").error


# --- speed


def test_speed_is_told_of_every_kernel(cube_command, data_dir):
    source = find(data_dir, "S1B_IW_GRDH_1SDV_20211223")
    found = json.loads(
        cube_command("benchmark", "sar", source, "--speed", "--no-peers", "--json").fine().out
    )
    rates = found["speed"]["mpix_per_cpu_s"]
    assert set(rates) >= {
        "calibration",
        "geometry",
        "geometric_correction",
        "flattened",
        "lee_sigma",
    }
    # a tenth of what a slow machine does: an array of Python numbers would not get there
    assert all(rate > 1 for rate in rates.values())


def test_speed_needs_a_detected_product(cube_command, data_dir):
    source = find(data_dir, "S1A_IW_SLC__1SDV_20220104")
    error = cube_command("benchmark", "sar", source, "--speed").error
    assert error == "speed is measured on a GRD product; give one with its tables"


def test_speed_without_tables_is_one_line(cube_command, data_dir, tmp_path):
    source = find(data_dir, "S1B_IW_GRDH_1SDV_20211223")
    folder = tmp_path / source.name
    shutil.copytree(source, folder, copy_function=shutil.copyfile,
                    ignore=shutil.ignore_patterns("*.tiff", "noise-*"))  # fmt: skip
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755)
    assert "noise file" in cube_command("benchmark", "sar", folder, "--speed").error


def test_peers_that_are_not_installed_are_one_line(cube_command, data_dir, monkeypatch):
    known = importlib.util.find_spec

    def find_spec(name, *more):
        return None if name in ("xarray_sentinel", "sarsen") else known(name, *more)

    monkeypatch.setattr("importlib.util.find_spec", find_spec)
    source = find(data_dir, "S1B_IW_GRDH_1SDV_20211223")
    error = cube_command("benchmark", "sar", source, "--no-speed", "--peers").error
    assert "--peers needs xarray-sentinel, sarsen; pip install 'floodcube[peers]'" in error


def test_what_cannot_be_timed_is_left_out_with_its_reason(cube_command, data_dir, monkeypatch):
    source = find(data_dir, "S1A_IW_SLC__1SDV_20220104")
    found = json.loads(cube_command("benchmark", "sar", source, "--json").fine().out)
    assert found["products"][0]["slant_range_rms_m"] <= 0.01
    for name in ("speed", "peers"):
        assert found[name] == {
            "left_out": "speed is measured on a GRD product; give one with its tables"
        }
    lines = cube_command("benchmark", "sar", source).fine().out.splitlines()
    assert lines[-1].startswith("peers: speed is measured on a GRD product")
