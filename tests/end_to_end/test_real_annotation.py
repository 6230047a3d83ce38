"""Point targets and texture on real annotations, from SAFE folder to cube.

The annotation, calibration, noise and orbit are real; the pixels are simulated, since no public
fixture has any. Targets stand at ESA's own geolocation grid points, so truth comes from ESA's
processor and from plain Python in this file, which imports nothing of cube for it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import rasterio
import xarray as xr
from pyproj import Transformer
from rasterio.transform import from_origin
from scipy.interpolate import griddata

from cube.simulate import rewrite_pixels

SPREAD = 1.3  # pixels; standard deviation of a target's power
PEAK = 4.0e8  # DN squared, 50 dB above the field

PRODUCTS = {
    "new noise form, downlink orbit": "S1A_IW_GRDH_1SDV_20210809T173953*.SAFE",
    "old noise form": "S1A_IW_GRDH_1SDV_20150203T043109*.zip",
    "stripmap, HH and HV": "S1C_S4_GRDH_1SDH_20250118T171404*.SAFE",
    "new noise form, single polarisation": "S1B_IW_GRDH_1SDV_20211223T051122*.SAFE",
}


@dataclass
class Grid:
    """Geolocation grid of an annotation."""

    line: np.ndarray
    pixel: np.ndarray
    lon: np.ndarray
    lat: np.ndarray
    height: np.ndarray


@dataclass
class Product:
    safe: Path
    dem: Path
    grid: Grid
    targets: list[int]
    polarisation: str
    day: str


def field(pixel: np.ndarray | float) -> np.ndarray | float:
    """Mean power of the background in DN squared: it varies along range only, and slowly."""
    return 40_000.0 * (1 + 0.2 * np.sin(pixel / 3000.0))


def texture() -> np.ndarray:
    """Speckle of 4.4 looks and mean one, repeated every 509 lines, for any image width."""
    return np.random.default_rng(5).gamma(4.4, 1 / 4.4, (509, 27_000)).astype("float32")


def read_grid(annotation: Path) -> Grid:
    points = ET.parse(annotation).getroot().iter("geolocationGridPoint")
    rows = [
        [float(p.findtext(tag)) for tag in ("line", "pixel", "longitude", "latitude", "height")]
        for p in points
    ]
    return Grid(*np.array(rows).T)


def choose(grid: Grid) -> list[int]:
    """Grid points at near, middle and far range, on different lines, away from the edges."""
    lines, pixels = np.unique(grid.line), np.unique(grid.pixel)
    wanted = [(3, 2), (5, len(pixels) // 2), (6, len(pixels) - 3)]
    return [
        int(np.flatnonzero((grid.line == lines[i]) & (grid.pixel == pixels[j]))[0])
        for i, j in wanted
    ]


def write_dem(path: Path, grid: Grid) -> None:
    """Ellipsoidal heights of the grid points, each over its own surroundings."""
    step = 0.01
    west, north = grid.lon.min() - 0.2, grid.lat.max() + 0.2
    lon = np.arange(west, grid.lon.max() + 0.2, step) + step / 2
    lat = np.arange(north, grid.lat.min() - 0.2, -step) - step / 2
    x, y = np.meshgrid(lon, lat)
    height = griddata((grid.lon, grid.lat), grid.height, (x, y), method="nearest")
    with rasterio.open(
        path, "w", driver="GTiff", height=len(lat), width=len(lon), count=1, dtype="float32",
        crs="EPSG:4326", transform=from_origin(west, north, step, step),
    ) as file:  # fmt: skip
        file.write(height.astype("float32"), 1)


@pytest.fixture(params=PRODUCTS, ids=lambda name: name.replace(" ", "-").replace(",", ""))
def product(request, data_dir, tmp_path):
    source = next((data_dir / "safe").glob(PRODUCTS[request.param]))
    if source.suffix == ".zip":
        with zipfile.ZipFile(source) as archive:
            names = [name for name in archive.namelist() if "/annotation/" in name]
            archive.extractall(tmp_path / "zip", names)
        annotations = next((tmp_path / "zip").glob("*.SAFE")) / "annotation"
    else:
        annotations = source / "annotation"
    files = sorted(annotations.glob("*.xml"))
    names = [file.name.split("-")[3] for file in files]
    co_polarised = next(name for name in names if name[0] == name[1])
    grid = read_grid(files[names.index(co_polarised)])
    targets = choose(grid)

    speckle = texture()

    def rows(first: int, count: int) -> np.ndarray:
        samples = int(grid.pixel.max()) + 1
        line, pixel = np.arange(first, first + count)[:, None], np.arange(samples)[None]
        power = field(pixel) * speckle[line[:, 0] % len(speckle), :samples]
        for k in targets:
            if abs(grid.line[k] - first - count / 2) < count / 2 + 12:
                near = np.abs(pixel[0] - grid.pixel[k]) < 12
                away = (line - grid.line[k]) ** 2 + (pixel[:, near] - grid.pixel[k]) ** 2
                power[:, near] += PEAK * np.exp(-away / (2 * SPREAD**2))
        return np.minimum(np.rint(np.sqrt(power)), 65535).astype("uint16")

    folder = tmp_path / "products"
    folder.mkdir()
    safe = rewrite_pixels(source, folder, {name.upper(): rows for name in names})
    write_dem(tmp_path / "dem.tif", grid)
    stamp = safe.name.split("_")[4]
    day = f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}"
    yield Product(safe, tmp_path / "dem.tif", grid, targets, co_polarised, day)
    shutil.rmtree(folder)  # 1.7 GB: not to be kept for pytest's last three runs


def build(product: Product, out: Path, box: tuple[float, ...], *more: str) -> xr.Dataset:
    command = [
        sys.executable, "-c", "from cube.cli import main; main()", "build",
        "--bbox", ",".join(f"{value:.6f}" for value in box),
        "--during", f"{product.day}/{product.day}",
        "--source", str(product.safe.parent), "--dem", str(product.dem),
        "--dem-datum", "ellipsoid", "--hand", "none", "--backscatter", "sigma0",
        "--out", str(out), "--scratch", str(out.parent / "scratch"), *more,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return xr.open_zarr(out)


def position(ds: xr.Dataset, name: str) -> tuple[float, float]:
    """Map coordinates of the centre of power of the brightest spot."""
    power = ds[name].isel(time=0).values.astype("float64")
    row, col = np.unravel_index(np.nanargmax(power), power.shape)
    part = (slice(row - 6, row + 7), slice(col - 6, col + 7))
    spot = power[part] - np.median(power[part])
    spot = np.where(spot > 0.02 * spot.max(), spot, 0.0)  # the texture must not pull the centre
    y, x = np.meshgrid(ds.y.values[part[0]], ds.x.values[part[1]], indexing="ij")
    return float((spot * x).sum() / spot.sum()), float((spot * y).sum() / spot.sum())


def test_targets_land_on_esas_grid_points_and_the_field_is_calibrated(product, tmp_path):
    """Every target within 0.1 pixel; the field's mean sigma0 within 0.05 dB."""
    grid = product.grid
    for number, k in enumerate(product.targets):
        lon, lat = grid.lon[k], grid.lat[k]
        box = (lon - 0.012, lat - 0.01, lon + 0.012, lat + 0.01)
        ds = build(product, tmp_path / f"{number}.zarr", box)
        to_map = Transformer.from_crs("EPSG:4326", ds.spatial_ref.crs_wkt, always_xy=True)
        x, y = to_map.transform(lon, lat)
        found_x, found_y = position(ds, product.polarisation)
        assert abs(found_x - x) < 1.0, "east-west, metres of a 10 m pixel"
        assert abs(found_y - y) < 1.0, "north-south, metres of a 10 m pixel"
        decibels = mean_difference(product, ds, grid, k)
        assert abs(decibels) < 0.05


# --- the plain reference ---------------------------------------------------------------------


def vectors(path: Path, list_tag: str, value_tag: str) -> list[tuple[float, list, list]]:
    return [
        (
            float(vector.findtext("line")),
            [float(v) for v in vector.findtext("pixel").split()],
            [float(v) for v in vector.findtext(value_tag).split()],
        )
        for vector in ET.parse(path).getroot().iter(list_tag)
    ]


def between(table: list[tuple[float, list, list]], line: float, pixel: float) -> float:
    """Bilinear value of a table of vectors."""
    k = max(i for i, row in enumerate(table) if row[0] <= line or i == 0)
    k = min(k, len(table) - 2)
    weight = (line - table[k][0]) / (table[k + 1][0] - table[k][0])
    low, high = (float(np.interp(pixel, row[1], row[2])) for row in table[k : k + 2])
    return low + weight * (high - low)


def azimuth_noise(path: Path, line: float, pixel: float) -> float:
    for vector in ET.parse(path).getroot().iter("noiseAzimuthVector"):
        first, last = (float(vector.findtext(f"{w}RangeSample")) for w in ("first", "last"))
        lines = [float(v) for v in vector.findtext("line").split()]
        if first <= pixel <= last and lines[0] <= line <= lines[-1]:
            return float(
                np.interp(
                    line, lines, [float(v) for v in vector.findtext("noiseAzimuthLut").split()]
                )
            )
    return 1.0


def mean_difference(product: Product, ds: xr.Dataset, grid: Grid, k: int) -> float:
    """Mean sigma0 of the cube against plain Python, in decibels, around but not on the target.

    Radar coordinates come from ESA's grid by a local quadratic, good to some tens of pixels in
    mountains, which is enough for tables and a mean that vary over thousands. Speckle leaves
    0.013 dB over the 44,000 pixels.
    """
    stem = next(product.safe.glob(f"annotation/*-{product.polarisation}-*.xml")).name
    tables = product.safe / "annotation" / "calibration"
    gain = vectors(tables / f"calibration-{stem}", "calibrationVector", "sigmaNought")
    noise_file = tables / f"noise-{stem}"
    noise = vectors(noise_file, "noiseRangeVector", "noiseRangeLut") or vectors(
        noise_file, "noiseVector", "noiseLut"
    )
    to_degrees = Transformer.from_crs(ds.spatial_ref.crs_wkt, "EPSG:4326", always_xy=True)
    power = ds[product.polarisation].isel(time=0).values
    x, y = np.meshgrid(ds.x.values, ds.y.values)
    lon, lat = to_degrees.transform(x, y)
    line, pixel = radar_coordinates(grid, k, np.asarray(lon), np.asarray(lat))
    middle = np.array(power.shape) // 2
    row, col = np.indices(power.shape)
    far = np.hypot(row - middle[0], col - middle[1]) > 25
    measured = power[far]
    expected = [
        (field(b) - between(noise, a, b) * azimuth_noise(noise_file, a, b))
        / between(gain, a, b) ** 2
        for a, b in zip(line[far][::199], pixel[far][::199], strict=True)
    ]
    assert np.isfinite(measured).all()
    return float(10 * np.log10(measured.mean() / np.mean(expected)))


def radar_coordinates(
    grid: Grid, k: int, lon: np.ndarray, lat: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Line and pixel by a quadratic through the grid points around point `k`."""
    away = np.hypot(
        (grid.lon - grid.lon[k]) * np.cos(np.radians(grid.lat[k])), grid.lat - grid.lat[k]
    )
    near = np.argsort(away)[:9]

    def design(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        u, v = np.ravel(a - grid.lon[k]), np.ravel(b - grid.lat[k])
        return np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=-1)

    weights = 1 / (0.02 + away[near])
    at = design(grid.lon[near], grid.lat[near]) * weights[:, None]
    out = []
    for values in (grid.line[near], grid.pixel[near]):
        solved = np.linalg.lstsq(at, values * weights, rcond=None)[0]
        out.append((design(lon, lat) @ solved).reshape(lon.shape))
    return out[0], out[1]
