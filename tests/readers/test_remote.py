"""Rasters read over HTTP: the same samples as on disk, from no more bytes than their tiles hold."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.windows import Window as RasterWindow
from servers import AssetServer, Fault

from cube.errors import SourceError
from cube.readers import remote, transport
from cube.readers.access import Access
from cube.readers.measurement import Measurement
from cube.readers.window import Window

LOCAL = Access(local=True)

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

SHAPE = (1800, 2300)
TILE = 256


def image() -> np.ndarray:
    """Speckled amplitudes of four looks."""
    rng = np.random.default_rng(3)
    return (150 * np.sqrt(rng.gamma(4.4, 1 / 4.4, SHAPE))).astype("uint16")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image as a COG, in strips, in strips without compression, and damaged."""
    path = tmp_path_factory.mktemp("remote")
    values = image()
    shared = {"height": SHAPE[0], "width": SHAPE[1], "count": 1, "dtype": "uint16"}
    kinds = {
        "cog": {"driver": "COG", "compress": "deflate", "blocksize": TILE},
        "big": {"driver": "COG", "compress": "zstd", "blocksize": TILE, "BIGTIFF": "YES"},
        "strips": {"driver": "GTiff", "compress": "deflate"},
        "raw": {"driver": "GTiff"},
    }
    for name, kind in kinds.items():
        with rasterio.open(path / f"{name}.tif", "w", **shared, **kind) as file:
            file.write(values, 1)
    # a tag written afterwards moves the directory to the end of the file
    with rasterio.open(path / "strips.tif", "r+") as file:
        file.update_tags(ns="rewritten", once="more" * 1000)
    whole = (path / "cog.tif").read_bytes()
    (path / "cut.tif").write_bytes(whole[: len(whole) // 2])
    middle = len(whole) // 2
    (path / "damaged.tif").write_bytes(whole[:middle] + bytes(60_000) + whole[middle + 60_000 :])
    (path / "text.tif").write_bytes(b"this is no TIFF" * 100)
    return path


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AssetServer]:
    """The folder served; nothing is remembered of earlier tests."""
    monkeypatch.setattr(transport, "BACKOFF_S", 0.001)
    transport._session.cache_clear()
    with AssetServer(folder) as started:
        yield started
    transport._session.cache_clear()


def measurement(server: AssetServer, name: str = "cog") -> Measurement:
    return Measurement(f"{server.url}/{name}.tif", SHAPE, LOCAL)


def rhomb(line: float, sample: float, size: int, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """Lines and samples of a square block of the map, turned as the orbit turns it."""
    y, x = np.mgrid[:size, :size] - size / 2
    turn = np.radians(degrees)
    return line + y * np.cos(turn) + x * np.sin(turn), sample - y * np.sin(turn) + x * np.cos(turn)


@pytest.mark.parametrize("name", ["cog", "big", "strips", "raw"])
def test_samples_are_those_of_the_file(server, name):
    window = Window(300, 700, 1100, 1900)
    assert np.array_equal(measurement(server, name).read(window), image()[300:1100, 700:1900])


@pytest.mark.parametrize("name", ["cog", "raw"])
def test_samples_near_the_coordinates_are_those_of_the_file(server, name):
    line, sample = rhomb(900, 1100, 700, 12)
    window = Window.around(line, sample, SHAPE)
    found = measurement(server, name).read(window, (line, sample))
    down, right = np.floor(line).astype(int), np.floor(sample).astype(int)
    for more_down, more_right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        at = down + more_down, right + more_right
        assert np.array_equal(
            found[at[0] - window.line, at[1] - window.sample], image()[at[0], at[1]]
        )


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    line=st.floats(-200, 2000),
    sample=st.floats(-200, 2500),
    size=st.integers(2, 400),
    degrees=st.floats(-180, 180),
)
def test_any_rhomb_finds_its_neighbours(server, line, sample, size, degrees):
    lines, samples = rhomb(line, sample, size, degrees)
    window = Window.around(lines, samples, SHAPE)
    if window is None:
        return
    found = measurement(server).read(window, (lines, samples))
    inside = (lines >= 0) & (lines <= SHAPE[0] - 1) & (samples >= 0) & (samples <= SHAPE[1] - 1)
    rows, cols = np.floor(lines[inside]).astype(int), np.floor(samples[inside]).astype(int)
    rows, cols = np.append(rows, np.minimum(rows + 1, SHAPE[0] - 1)), np.append(cols, cols)
    assert np.array_equal(found[rows - window.line, cols - window.sample], image()[rows, cols])


def tile_sizes(path: Path) -> np.ndarray:
    """Bytes of every tile."""
    with rasterio.open(path) as raster:
        rows, cols = -(-SHAPE[0] // TILE), -(-SHAPE[1] // TILE)
        return np.array(
            [
                [
                    int(raster.get_tag_item(f"BLOCK_SIZE_{col}_{row}", "TIFF", bidx=1))
                    for col in range(cols)
                ]
                for row in range(rows)
            ]
        )


def test_only_tiles_that_hold_a_neighbour_are_fetched(server, folder):
    source = measurement(server)
    source.check()
    before = server.bytes_sent
    lines, samples = rhomb(900, 1100, 700, 45)
    source.read(Window.around(lines, samples, SHAPE), (lines, samples))
    near = {
        (int(line), int(sample))
        for line, sample in zip((lines // TILE).flat, (samples // TILE).flat, strict=True)
    }
    sizes = tile_sizes(folder / "cog.tif")
    needed = sum(sizes[at] for at in near)
    box = sizes[
        int(lines.min() // TILE) : int(lines.max() // TILE) + 1,
        int(samples.min() // TILE) : int(samples.max() // TILE) + 1,
    ].sum()
    fetched = server.bytes_sent - before
    pages = 2 * remote.PAGE * len({row for row, _ in near})  # a run begins and ends within a page
    assert needed <= fetched <= needed + pages
    assert fetched < 0.8 * box


def test_what_was_read_is_not_asked_for_again(server):
    source = measurement(server)
    first = source.read(Window(0, 0, 700, 700))
    before = len(server.requests)
    assert np.array_equal(source.read(Window(0, 0, 700, 700)), first)
    assert len(server.requests) == before


def test_blocks_beside_one_another_share_tiles(server, folder):
    source = measurement(server)
    source.check()
    before = server.bytes_sent
    for sample in range(0, SHAPE[1], 300):
        source.read(Window(0, sample, 600, min(sample + 300, SHAPE[1])))
    fetched = server.bytes_sent - before
    assert fetched <= tile_sizes(folder / "cog.tif")[:3].sum() + 4 * remote.PAGE


def test_memory_of_pages_is_bounded():
    pages = remote._Pages(10 * remote.PAGE)
    for number in range(50):
        pages.put("a", {number: bytes(remote.PAGE)})
    assert len(pages._kept) == 10
    assert set(pages.get("a", range(50))) == set(range(40, 50))


def test_runs_join_over_small_gaps_only():
    assert list(remote._runs([1, 2, 4, 9, 10])) == [(1, 5), (9, 11)]
    assert [stop - start for start, stop in remote._runs(list(range(600)))] == [512, 88]


def test_threads_read_at_once(server):
    source, truth = measurement(server), image()

    def read(number: int) -> bool:
        line, sample = 37 * number % 1500, 53 * number % 2000
        window = Window(line, sample, line + 250, sample + 250)
        return np.array_equal(source.read(window), truth[line : line + 250, sample : sample + 250])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(60)))


def test_a_reader_travels_as_its_address(server):
    source = pickle.loads(pickle.dumps(measurement(server)))
    assert np.array_equal(source.read(Window(0, 0, 9, 9)), image()[:9, :9])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("absent", r"absent\.tif: missing \(HTTP 404\)"),
        ("text", r"text\.tif: not a readable TIFF \(.*\); is it the right asset\?"),
    ],
)
def test_what_is_no_raster_is_one_line(server, name, says):
    with pytest.raises(SourceError, match=says):
        measurement(server, name).check()


def test_another_size_than_the_annotation_says(server):
    with pytest.raises(SourceError, match=r"cog\.tif: holds 1 x 1800 x 2300 uint16, the annot"):
        Measurement(f"{server.url}/cog.tif", (10, 10), LOCAL).check()


@pytest.mark.parametrize("name", ["damaged", "cut"])
def test_a_damaged_file_is_one_line(server, name):
    with pytest.raises(SourceError, match=rf"{name}\.tif: .*damaged|{name}\.tif: not a readable"):
        measurement(server, name).read(Window(0, 0, *SHAPE))


def test_a_failure_below_gdal_says_what_failed(server):
    source = measurement(server)
    source.check()
    server.faults = [Fault(status=403, times=None)]
    with pytest.raises(SourceError, match=r"cog\.tif: refused \(HTTP 403\)"):
        source.read(Window(0, 0, 600, 600))


def test_a_failure_passes_and_the_file_is_read_on(server):
    source = measurement(server)
    source.check()
    server.faults = [Fault(status=404, times=1)]
    with pytest.raises(SourceError, match="missing"):
        source.read(Window(0, 0, 600, 600))
    assert np.array_equal(source.read(Window(0, 0, 600, 600)), image()[:600, :600])


def test_a_file_that_changes_while_it_is_read_is_refused(server, folder):
    other = folder / "changing.tif"
    other.write_bytes((folder / "cog.tif").read_bytes())
    source = measurement(server, "changing")
    source.check()
    other.write_bytes((folder / "cog.tif").read_bytes() + b"more")
    with pytest.raises(SourceError, match=r"changed from [\d,]+ to [\d,]+ bytes while it was read"):
        source.read(Window(0, 0, 600, 600))


def test_gdal_gets_its_own_address_only_where_it_may(server):
    assert remote.gdal_address("/data/a.tif", LOCAL) == "/data/a.tif"
    assert remote.gdal_address(f"{server.url}/cog.tif", LOCAL) == f"{server.url}/cog.tif"
    with pytest.raises(SourceError, match="s3 is read by --engine stackstac alone"):
        remote.gdal_address("s3://bucket/a.tif", LOCAL)


def test_an_open_raster_is_a_rasterio_dataset(server):
    with remote.open_raster(f"{server.url}/cog.tif", LOCAL, [(0, 0)]) as raster:
        assert raster.overviews(1)
        part = raster.read(1, window=RasterWindow(5, 7, 20, 10))
    assert np.array_equal(part, image()[7:17, 5:25])


def test_an_overview_is_read_from_its_own_tiles(server, folder):
    with rasterio.open(folder / "cog.tif", overview_level=1) as raster:
        truth = raster.read(1)
    before = server.bytes_sent
    rows, cols = -(-truth.shape[0] // TILE), -(-truth.shape[1] // TILE)
    blocks = [(row, col) for row in range(rows) for col in range(cols)]
    with remote.open_raster(f"{server.url}/cog.tif", LOCAL, blocks, level=1) as raster:
        assert np.array_equal(raster.read(1), truth)
    assert server.bytes_sent - before < (folder / "cog.tif").stat().st_size / 8
