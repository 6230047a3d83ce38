"""Flattened backscatter through the command line: slices, blocks, layover and shadow.

Products are simulated. What is folded and what is hidden is told by distances and angles between
points alone, by the simulator's own orbit, which shares no code with the processor.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from grounds import image_geometry, write_dem
from pyproj import Transformer
from scipy.ndimage import binary_dilation

from cube.schema import Flag
from cube.simulate import simulate_product
from cube.simulate.ellipsoid import ecef_from_geodetic
from cube.simulate.geometry import look_vectors, zero_doppler
from cube.simulate.orbit import Orbit, orbit_over
from cube.simulate.product import ProductSpec, SliceTimes
from cube.simulate.radiometry import area_ratio
from cube.simulate.safe import write_grd

LON, LAT, START = 68.2, 27.6, "2022-08-30T01:25:00"
EAST_M, NORTH_M = 98_740.0, 110_810.0  # of a degree at 27.6 north
BOX = "68.18,27.58,68.22,27.62"
AROUND = (LON - 0.06, LAT - 0.06, LON + 0.06, LAT + 0.06)
FINE = 1 / 10_800  # degrees: 10 m, as the pixels
GAMMA = 0.1
LEVEL_M, HILL_M, WAVES = 500.0, 60.0, (700.0, 600.0)
SIZE = (900, 900)
IMAGE = {"size": SIZE, "start": START, "orbit_direction": "descending", "incidence": 40.0}


def hills(lat, lon):
    """Slopes up to 23 degrees."""
    return LEVEL_M + HILL_M * np.sin((lon - LON) * WAVES[0]) * np.cos((lat - LAT) * WAVES[1])


def orbit_of(height_m: float) -> Orbit:
    return orbit_over(
        LON, LAT, time=np.datetime64(START, "us"), direction="descending", incidence_deg=40.0,
        height_m=height_m,
    )  # fmt: skip


def bright_as_hills(lat, lon):
    """Sigma nought of hills of one gamma nought."""
    look, normal, incidence = look_vectors(orbit_of(LEVEL_M), lat, lon, hills(lat, lon))
    x, y = (lon - LON) * WAVES[0], (lat - LAT) * WAVES[1]
    east = HILL_M * WAVES[0] * np.cos(x) * np.cos(y) / EAST_M
    north = -HILL_M * WAVES[1] * np.sin(x) * np.sin(y) / NORTH_M
    area = area_ratio(east, north, np.moveaxis(look, -1, 0), np.moveaxis(normal, -1, 0))
    power = GAMMA * area * np.cos(np.radians(incidence))
    return {"VV": power, "VH": 0.2 * power}


def simulate(folder: Path, height, **more) -> Path:
    return simulate_product(
        folder, lon=LON, lat=LAT, **IMAGE,
        **{"dem": height, "noise": False, "speckle": False, **more},
    )  # fmt: skip


def sliced(whole: Path, folder: Path, first_stop: int) -> None:
    """The same pixels as two slices that abut."""
    folder.mkdir()
    geometry, swaths = image_geometry(LON, LAT, LEVEL_M, **IMAGE)
    spec = ProductSpec(geometry, "descending", swaths, hills, noise_scale=0.0)
    edges = (0, first_stop, SIZE[0])
    pieces = [geometry.with_lines(a, b - a) for a, b in pairwise(edges)]
    times = tuple(
        SliceTimes(one.first_line_s - 1.5, one.first_line_s + one.lines * one.line_step_s + 1.5)
        for one in pieces
    )
    images = {}
    for name in ("VV", "VH"):
        with rasterio.open(next(whole.glob(f"measurement/*-{name.lower()}-*.tiff"))) as file:
            images[name] = file.read(1)
    for number, (piece, first) in enumerate(zip(pieces, edges, strict=False), 1):
        lines = slice(first, first + piece.lines)
        part = spec.part(piece, number, times)
        write_grd(folder, part, {name: image[lines] for name, image in images.items()})


@pytest.fixture(scope="session")
def hilly(tmp_path_factory) -> tuple[Path, Path]:
    """Folder of a product over hills of one gamma nought, and their DEM."""
    folder = tmp_path_factory.mktemp("hilly")
    simulate(folder, hills, sigma0=bright_as_hills)
    return folder, write_dem(folder / "dem.tif", hills, AROUND, FINE)


@pytest.fixture(scope="session")
def words(scratch):
    """Words of a build without water."""

    def make(source: Path, dem: Path, out: Path, *more: object) -> list[object]:
        return [
            "--bbox", BOX, "--during", "2022-08-30/2022-08-30", "--source", source,
            "--dem", dem, "--dem-datum", "ellipsoid", "--hand", "none", "--out", out,
            "--scratch", scratch, *more,
        ]  # fmt: skip

    return make


def opened(path: Path) -> xr.Dataset:
    with xr.open_zarr(path) as ds:
        return ds.load()


@pytest.fixture(scope="session")
def whole(hilly, cube_command, words, tmp_path_factory) -> xr.Dataset:
    out = tmp_path_factory.mktemp("whole") / "cube.zarr"
    cube_command("build", *words(*hilly, out, "--model", "none")).fine()
    return opened(out)


def decibels(values) -> np.ndarray:
    return 10 * np.log10(np.asarray(values) / GAMMA)


@pytest.mark.parametrize("line", [450, 301])
def test_two_slices_are_one_picture(hilly, whole, cube_command, words, tmp_path, line):
    source, dem = hilly
    sliced(next(source.glob("*.SAFE")), tmp_path / "slices", line)
    assert len(list((tmp_path / "slices").iterdir())) == 2
    out = tmp_path / "cube.zarr"
    cube_command("build", *words(tmp_path / "slices", dem, out, "--model", "none")).fine()
    joined = opened(out)
    assert joined.scene_ids.values[0].count(" ") == 1
    # the same orbit from state vectors around another time: a micrometre of it
    np.testing.assert_allclose(joined.rtc_anf, whole.rtc_anf, rtol=1e-5)
    np.testing.assert_array_equal(joined["mask"], whole["mask"])
    assert np.isfinite(joined.vv.values).all()
    ratio = joined.vv.values[0] / whole.vv.values[0]
    differs = np.abs(10 * np.log10(ratio)) > 1e-3
    # where the two abut, the nearer line is taken instead of both: one line of pixels, askew
    rows, cols = np.nonzero(differs)
    assert 0.5 * differs.shape[1] < len(cols) < 2.5 * differs.shape[1]
    leaning = np.polynomial.Polynomial.fit(cols, rows, 1)
    assert np.abs(rows - leaning(cols)).max() < 1.5
    # brightness of these hills changes by 0.25 dB a line at most; the nearer line is half as far
    assert np.abs(10 * np.log10(ratio)).max() < 0.13
    # bilinear sampling, as of one product
    assert decibels(joined.vv.values).std() < 0.04


def test_flattening_does_not_depend_on_blocks(hilly, cube_command, words, tmp_path, tree):
    grid = ("--resolution", 5, "--model", "none", "--workers", 1)
    layout, cubes = [], []
    for name in ("wide", "narrow"):
        out = tmp_path / f"{name}.zarr"
        limit = ("--memory-limit", f"{layout[0]['peak_memory_per_worker'] - 1}B") if layout else ()
        asked = words(*hilly, out, *grid, *limit)
        layout.append(json.loads(cube_command("plan", *asked, "--json").fine().out)["run"])
        cube_command("build", *asked).fine()
        cubes.append(tree(out))
    assert [run["block"] for run in layout] == [1024, 512]
    assert layout[1]["blocks"] == [2, 2]
    assert any(name.startswith("rtc_anf/c/0/1/1") for name in cubes[0])
    assert cubes[0] == cubes[1]


# --- a ridge that folds over and hides

CREST_M, FRONT, BACK = 260.0, np.tan(np.radians(62.0)), np.tan(np.radians(66.0))


def away_from_the_radar() -> np.ndarray:
    """Horizontal direction (east, north) along which the ground range grows."""
    look, _, _ = look_vectors(orbit_of(0.0), np.array([LAT]), np.array([LON]), 0.0)
    return -look[0, :2] / np.hypot(*look[0, :2])


def ridge(lat, lon):
    """A straight ridge along the track: its front is steeper than the beam, its back too."""
    east, north = away_from_the_radar()
    across = (lon - LON) * EAST_M * east + (lat - LAT) * NORTH_M * north
    return np.maximum(0.0, CREST_M - np.where(across < 0, -FRONT, BACK) * across)


def profile(shift_m: float) -> tuple[np.ndarray, ...]:
    """Longitude, latitude, and whether folded and hidden, every 2 m across the ridge.

    Of the points of one azimuth, one is folded that has another as far away, and hidden where a
    nearer one is seen at a larger angle off nadir.
    """
    east, north = away_from_the_radar()
    at = np.arange(-1500.0, 1500.0, 2.0)
    lon = LON + (at * east - shift_m * north) / EAST_M
    lat = LAT + (at * north + shift_m * east) / NORTH_M
    points = ecef_from_geodetic(lat, lon, ridge(lat, lon))
    orbit = orbit_of(0.0)
    time, distance = zero_doppler(orbit, points)
    place = orbit.state(time).position
    cosine = np.einsum("ij,ij->i", points - place, -place) / np.linalg.norm(place, axis=1)
    angle = np.arccos(cosine / distance)
    hidden = np.maximum.accumulate(angle) > angle + 1e-9
    folded = (np.maximum.accumulate(distance) > distance + 1e-6) | (
        np.minimum.accumulate(distance[::-1])[::-1] < distance - 1e-6
    )
    return lon, lat, folded, hidden


PIXELS = {"square": "10", "wide": "7,14", "high": "14,7"}


@pytest.fixture(scope="session")
def level_image(tmp_path_factory) -> Path:
    """Folder of a product over level ground, of a DEM with a ridge, and of dry land."""
    folder = tmp_path_factory.mktemp("mountain")
    simulate(folder, 0.0, noise=True, speckle=True, seed=5)
    write_dem(folder / "dem.tif", ridge, AROUND, FINE)
    write_dem(folder / "dry.tif", lambda *_: np.array(0.0), AROUND, 0.01)
    return folder


@pytest.fixture(scope="module", params=PIXELS.values(), ids=PIXELS.keys())
def mountain(request, level_image, tmp_path_factory, cube_command, words) -> xr.Dataset:
    """Flood cube of it on the DEM with the ridge."""
    out = tmp_path_factory.mktemp("mountains") / "cube.zarr"
    more = ("--permanent-water", level_image / "dry.tif", "--resolution", request.param)
    cube_command("build", *words(level_image, level_image / "dem.tif", out, *more)).fine()
    return opened(out)


def near_edges(flags: np.ndarray) -> np.ndarray:
    """Within 35 m, three pixels or so, of where a flag changes, of points every 2 m."""
    return binary_dilation(np.diff(flags, prepend=flags[0]), iterations=17)


@pytest.mark.parametrize("shift_m", [-1500.0, -620.0, 0.0, 333.0, 1480.0])
def test_masks_are_where_distances_and_angles_say(mountain, shift_m):
    lon, lat, folded, hidden = profile(shift_m)
    to_map = Transformer.from_crs("EPSG:4326", mountain.spatial_ref.crs_wkt, always_xy=True)
    x, y = to_map.transform(lon, lat)
    col, row = (
        np.rint((place - float(at[0])) / float(at[1] - at[0])).astype(int)
        for place, at in ((x, mountain.x), (y, mountain.y))
    )
    mask = mountain["mask"].values[0][row, col]
    clear = ~near_edges(folded) & ~near_edges(hidden)
    assert (clear & hidden).sum() > 50
    assert (clear & folded & ~hidden).sum() > 50
    np.testing.assert_array_equal((mask & Flag.SHADOW != 0)[clear], hidden[clear])
    # what is hidden shines into no cell, and is not called folded
    lit = clear & ~hidden
    np.testing.assert_array_equal((mask & Flag.LAYOVER != 0)[lit], folded[lit])


def test_shadow_is_unknown_and_layover_has_power(mountain):
    mask = mountain["mask"].values[0]
    shadow, layover = (mask & Flag.SHADOW) != 0, (mask & Flag.LAYOVER) != 0
    assert 0.005 < shadow.mean() < 0.1
    assert 0.02 < layover.mean() < 0.3
    for name in ("vv", "vh", "rtc_anf"):
        values = mountain[name].values[0]
        assert np.isnan(values[shadow]).all()
        assert np.isfinite(values[~shadow]).all()
    # level ground's echo shared by three slopes is less for each
    assert np.nanmedian(mountain.vv.values[0][layover]) < 0.6 * np.nanmedian(mountain.vv.values)


def test_no_flood_is_told_in_layover_and_shadow(mountain):
    unseen = (mountain["mask"].values[0] & (Flag.LAYOVER | Flag.SHADOW)) != 0
    flood = mountain.flood.values[0]
    assert (flood[unseen] == 255).all()
    assert (flood[~unseen] != 255).all()
