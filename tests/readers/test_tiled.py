"""Layers gathered from tiles: every value where it belongs, what no tile holds unknown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from servers import AssetServer, Fault

from cube.errors import SearchError, SourceError, TrustError
from cube.readers import transport
from cube.readers.access import Access
from cube.readers.tiled import Tile, find_tiles, gather, water_from_occurrence

LOCAL = Access(local=True)
STEP = 1 / 120


def plane(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Heights that bilinear sampling reproduces."""
    return 100.0 + 30.0 * lon - 20.0 * lat


def write_tile(
    folder: Path, west: int, south: int, *, factor: int = 1, crs: str = "EPSG:4326"
) -> Tile:
    """One degree of the plane, posted as Copernicus DEM is: centres on whole degrees."""
    rows, cols = 120, 120 // factor
    width = STEP * factor
    transform = from_origin(west - STEP / 2, south + 1 + STEP / 2, width, STEP)
    lon = transform.c + width * (np.arange(cols) + 0.5)
    lat = transform.f - STEP * (np.arange(rows) + 0.5)
    path = folder / f"N{south:02}_E{west:03}.tif"
    with rasterio.open(
        path,
        "w",
        driver="COG",
        height=rows,
        width=cols,
        count=1,
        dtype="float32",
        crs=crs,
        transform=transform,
        compress="deflate",
    ) as file:
        file.write(plane(*np.meshgrid(lon, lat)).astype("float32"), 1)
    return Tile(path.stem, str(path))


def gathered(tiles: list[Tile], target: Path, bounds: tuple[float, float, float, float]):
    gather(tiles, LOCAL, bounds, target, dtype="float32", nodata=float("nan"))
    with rasterio.open(target) as file:
        values, transform = file.read(1), file.transform
    rows, cols = np.indices(values.shape)
    lon = transform.c + transform.a * (cols + 0.5)
    lat = transform.f + transform.e * (rows + 0.5)
    return values, lon, lat


def test_tiles_are_joined_without_a_seam(tmp_path):
    tiles = [write_tile(tmp_path, west, south) for west in (67, 68) for south in (27, 28)]
    values, lon, lat = gathered(tiles, tmp_path / "dem.tif", (67.61, 27.73, 68.33, 28.29))
    assert np.array_equal(values, plane(lon, lat).astype("float32")), "copied bit for bit"
    assert lon.min() <= 67.61 + STEP
    assert lon.max() >= 68.33 - STEP
    assert lat.min() <= 27.73 + STEP
    assert lat.max() >= 28.29 - STEP


def test_pixels_stay_on_the_grid_of_the_tiles(tmp_path):
    tiles = [write_tile(tmp_path, 67, 27)]
    _, lon, lat = gathered(tiles, tmp_path / "dem.tif", (67.3333, 27.2222, 67.6, 27.7))
    assert np.allclose(lon[0] * 120, np.round(lon[0] * 120), atol=1e-6)
    assert np.allclose(lat[:, 0] * 120, np.round(lat[:, 0] * 120), atol=1e-6)


def test_what_no_tile_holds_is_unknown(tmp_path):
    values, lon, _ = gathered(
        [write_tile(tmp_path, 67, 27)], tmp_path / "dem.tif", (67.5, 27.2, 68.5, 27.8)
    )
    held = lon < 68 - STEP / 2
    assert np.isfinite(values[held]).all()
    assert np.isnan(values[~held]).all()


def test_wider_pixels_near_the_poles_are_resampled(tmp_path):
    fine, wide = write_tile(tmp_path, 20, 49), write_tile(tmp_path, 20, 50, factor=2)
    values, lon, lat = gathered([wide, fine], tmp_path / "dem.tif", (20.2, 49.7, 20.8, 50.3))
    off = np.abs(values - plane(lon, lat))
    assert off[lat < 50].max() == 0 or off[lat < 49.99].max() < 1e-4
    # half a wide pixel of the plane's slope, where its edge is repeated
    assert off.max() <= 30 * STEP
    assert np.median(off) < 1e-3


def test_only_the_part_asked_for_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(transport, "BACKOFF_S", 0.001)
    rng = np.random.default_rng(0)
    path = tmp_path / "N27_E067.tif"
    with rasterio.open(
        path,
        "w",
        driver="COG",
        height=3600,
        width=3600,
        count=1,
        dtype="float32",
        crs="EPSG:4326",
        transform=from_origin(67, 28, 1 / 3600, 1 / 3600),
        blocksize=512,
        compress="deflate",
    ) as file:
        file.write(rng.random((3600, 3600), "float32"), 1)
    with AssetServer(tmp_path) as server:
        tile = Tile(path.stem, f"{server.url}/{path.name}")
        bounds = (67.5, 27.5, 67.55, 27.55)
        gather([tile], LOCAL, bounds, tmp_path / "a" / "d.tif", dtype="float32", nodata=np.nan)
        assert server.bytes_sent < 0.1 * path.stat().st_size


def test_a_failed_tile_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(transport, "BACKOFF_S", 0.001)
    tile = write_tile(tmp_path, 67, 27)
    with AssetServer(tmp_path) as server:
        remote = Tile(tile.id, f"{server.url}/{Path(tile.href).name}")
        server.faults = [Fault(status=403, times=None)]
        with pytest.raises(SourceError, match=r"N27_E067\.tif: refused \(HTTP 403\)"):
            gathered([remote], tmp_path / "out" / "dem.tif", (67.2, 27.2, 67.4, 27.4))
    assert not (tmp_path / "out" / "dem.tif").exists()


def test_a_tile_that_is_no_raster_or_not_in_degrees(tmp_path):
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(SourceError, match="cannot be read"):
        gathered([Tile("text", str(tmp_path / "text.tif"))], tmp_path / "o.tif", (0, 0, 1, 1))
    metres = write_tile(tmp_path, 67, 27, crs="EPSG:32642")
    with pytest.raises(SourceError, match=r"is not in degrees but EPSG:32642"):
        gathered([metres], tmp_path / "o.tif", (67.2, 27.2, 67.4, 27.4))


def test_permanent_water_is_water_most_of_the_time(tmp_path):
    path = tmp_path / "occurrence.tif"
    percent = np.tile(np.array([0, 40, 74, 75, 100, 255], "uint8"), (6, 1))
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=6,
        width=6,
        count=1,
        dtype="uint8",
        crs="EPSG:4326",
        transform=from_origin(60, 30, 0.1, 0.1),
    ) as file:
        file.write(percent, 1)
    target = tmp_path / "water.tif"
    bounds = (60.0, 29.6, 60.8, 30.0)
    gather(
        [Tile("a", str(path))],
        LOCAL,
        bounds,
        target,
        dtype="uint8",
        nodata=255,
        change=water_from_occurrence,
    )
    with rasterio.open(target) as file:
        assert file.nodata == 255
        assert file.read(1).tolist() == [[0, 0, 0, 1, 1, 255, 255, 255]] * 4


class Holder:
    """What `find_tiles` asks of a source."""

    collection, access = "cop-dem-glo-30", Access()

    def __init__(self, items):
        self._items = items

    def over(self, bbox):
        return iter(self._items)

    def summary(self) -> str:
        return "nobody knows"


def tile_item(west: int, href: str) -> dict:
    ring = [[west, 27], [west + 1, 27], [west + 1, 28], [west, 28], [west, 27]]
    return {
        "id": f"E{west}",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {},
        "assets": {"data": {"href": href}},
    }


@pytest.fixture
def held() -> Callable[..., tuple[Tile, ...]]:
    return lambda *items: find_tiles(Holder(items), "data", (68.2, 27.1, 69.5, 27.5))


def test_tiles_over_the_box_in_order_each_once(held):
    found = held(*(tile_item(west, f"https://example.com/{west}.tif") for west in (70, 69, 68, 69)))
    assert [tile.id for tile in found] == ["E68", "E69"]


def test_no_tile_there_says_what_was_asked(held):
    with pytest.raises(
        SearchError, match=r"no tile of cop-dem-glo-30 over 68\.2,27\.1,69\.5,27\.5"
    ):
        held(tile_item(10, "https://example.com/10.tif"))


def test_a_tile_may_not_lead_inside(held):
    with pytest.raises(TrustError, match="points into this machine"):
        held(tile_item(68, "file:///etc/passwd"))
    with pytest.raises(SourceError, match="no asset 'data'"):
        held({**tile_item(68, "https://example.com/a.tif"), "assets": {}})
