"""Bytes that come over HTTP for each pixel of a cube, counted by the server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from servers import AssetServer

from cube.readers import remote
from cube.readers.access import Access
from cube.readers.measurement import Measurement
from cube.readers.projected import ProjectedReader
from cube.readers.scene import Files
from cube.readers.window import Window

LOCAL = Access(local=True)
SIZE = 9000
BLOCK = 2048
HEADING = 12.0
"""Degrees between the lines of Sentinel-1 images and a map's rows, at middle latitudes."""
LAND = {"vv": 0.1, "vh": 0.02}
"""Farmland: -10 and -17 dB."""

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def gain(data_dir: Path) -> float:
    """Sigma nought factor of a real product: amplitude = factor x sqrt(sigma nought)."""
    found = next(
        data_dir.glob("safe/S1A_IW_GRDH*20210809*/annotation/calibration/calibration-*vv*")
    )
    vectors = ElementTree.parse(found).findall(".//sigmaNought")
    return float(np.mean([float(value) for one in vectors for value in (one.text or "").split()]))


@pytest.fixture(scope="module")
def folder(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Speckled amplitudes of farmland as the COGs of public catalogs: DEFLATE, tiles of 512."""
    path, rng = tmp_path_factory.mktemp("bytes"), np.random.default_rng(0)
    for name, power in LAND.items():
        speckle = rng.gamma(4.4, 1 / 4.4, (SIZE, SIZE)).astype("float32")
        values = gain(data_dir) * np.sqrt(power * speckle)
        write_cog(path / f"{name}.tif", values.astype("uint16"))
        write_cog(
            path / f"{name}-rtc.tif",
            power * speckle[:6000, :6000],
            predictor=3,
            crs="EPSG:32642",
            transform=rasterio.transform.from_origin(400_000, 3_100_000, 10, 10),
        )
    return path


def write_cog(path: Path, values: np.ndarray, **more: object) -> None:
    profile = {"driver": "COG", "compress": "deflate", "blocksize": 512, "count": 1, **more}
    height, width = values.shape
    with rasterio.open(
        path, "w", height=height, width=width, dtype=values.dtype.name, **profile
    ) as file:
        file.write(values, 1)


@pytest.fixture
def server(folder: Path) -> Iterator[AssetServer]:
    remote._PAGES.clear()
    with AssetServer(folder) as started:
        yield started


def block(y: int, x: int) -> tuple[np.ndarray, np.ndarray]:
    """Lines and samples of a block of the map whose first pixel is (y, x) from the middle."""
    row, col = np.mgrid[y : y + BLOCK, x : x + BLOCK].astype(float)
    turn = np.radians(HEADING)
    line = SIZE / 2 + row * np.cos(turn) + col * np.sin(turn)
    return line, SIZE / 2 - row * np.sin(turn) + col * np.cos(turn)


def read_blocks(server: AssetServer, name: str, places: list[tuple[int, int]]) -> float:
    """Bytes fetched for each pixel."""
    source = Measurement(f"{server.url}/{name}.tif", (SIZE, SIZE), LOCAL)
    for y, x in places:
        lines, samples = block(y, x)
        window = Window.around(lines, samples, (SIZE, SIZE))
        source.read(window, (lines, samples))
    sent = sum(one.sent for one in server.requests if name in one.path)
    return sent / (len(places) * BLOCK**2)


def test_blocks_of_a_cube_share_what_they_fetch(server, benchmark):
    """At most 1.6 bytes for a pixel of VV or VH, headers and overlap included."""
    places = [(y, x) for y in (-2048, 0) for x in (-3072, -1024, 1024)]
    found = benchmark.pedantic(
        lambda: {name: read_blocks(server, name, places) for name in LAND}, rounds=1
    )
    benchmark.extra_info.update({name: round(value, 2) for name, value in found.items()})
    assert max(found.values()) <= 1.6


def test_a_lonely_block_costs_the_tiles_it_lies_on(server, folder, benchmark):
    """A block that shares with none pays for every tile it touches: the floor for such a file."""
    found = benchmark.pedantic(
        lambda: {name: read_blocks(server, name, [(-1024, -1024)]) for name in LAND}, rounds=1
    )
    lines, samples = block(-1024, -1024)
    tiles = np.unique((lines // 512).astype(int) * 100 + (samples // 512).astype(int))
    for name, value in found.items():
        with rasterio.open(folder / f"{name}.tif") as raster:
            needed = sum(
                int(raster.get_tag_item(f"BLOCK_SIZE_{at % 100}_{at // 100}", "TIFF", bidx=1))
                for at in tiles
            )
        floor = needed / BLOCK**2
        benchmark.extra_info[name] = f"{value:.2f}, tiles alone {floor:.2f}"
        assert value <= 1.08 * floor, "pages, header, and neighbours across an edge"


def test_a_block_on_the_grid_of_its_product_costs_its_tiles(server, benchmark):
    """Of a product on the map, 5 x 5 tiles for a block of 4 x 4 that lies off their edges."""
    name = "vv-rtc"
    files = Files(f"{server.url}/{name}.tif", access=LOCAL)
    grid = rasterio.transform.from_origin(400_000 + 3_000, 3_100_000 - 7_000, 10, 10)
    reader = ProjectedReader(files, "EPSG:32642", grid, (3 * BLOCK, 3 * BLOCK))
    benchmark.pedantic(lambda: reader.read(slice(512, 2560), slice(512, 2560)), rounds=1)
    whole = Path(server.folder / f"{name}.tif").stat().st_size / 6000**2 / (4 / 3)
    pixels = server.bytes_sent / BLOCK**2 / whole
    benchmark.extra_info.update(
        bytes_per_pixel=round(server.bytes_sent / BLOCK**2, 2), pixels_per_pixel=round(pixels, 2)
    )
    assert pixels <= 1.6


def test_a_coarse_grid_reads_an_overview(server, benchmark):
    """At 80 m a pixel stands for 64, of which one is fetched."""
    name = "vh-rtc"
    files = Files(f"{server.url}/{name}.tif", access=LOCAL)
    grid = rasterio.transform.from_origin(400_000, 3_100_000, 80, 80)
    reader = ProjectedReader(files, "EPSG:32642", grid, (750, 750))
    values = benchmark.pedantic(lambda: reader.read(slice(0, 750), slice(0, 750)), rounds=1)
    per_pixel = server.bytes_sent / 750**2
    benchmark.extra_info["bytes_per_pixel"] = round(per_pixel, 2)
    assert per_pixel <= 6
    assert abs(np.nanmean(values) / LAND["vh"] - 1) < 0.01, "an overview holds means of power"
