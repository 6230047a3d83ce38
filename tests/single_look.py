"""A simulated pair of complex images on real annotations: ground, products, and what they show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.transform import from_origin

from cube.readers.safe import open_safe
from cube.simulate.slc import SlcScene

PLACE = -8.79, 31.70
"""Where IW1 and IW2 of the pair overlap, and the first burst of IW1 ends."""
ZONE = "EPSG:32629"
SIZE = 1000, 400
COHERENCES = (1.0, 0.7, 0.3, 0.0)
STRIPE = 50
"""Columns of one coherence; then comes the next of `COHERENCES`, again and again."""
_UTM = Transformer.from_crs(4326, ZONE, always_xy=True)


def pair_of(data_dir: Path) -> list[Path]:
    """Zips of the pair of 2023-09-04 and 2023-09-16."""
    found = sorted((data_dir / "safe").glob("S1A_IW_SLC__1SDV_20230[9]*.zip"))
    assert len(found) == 2
    return found


def grid_around(place: tuple[float, float] = PLACE, size: tuple[int, int] = SIZE) -> GeoBox:
    """Pixels of 10 m, their edges on multiples of 10 m."""
    x, y = _UTM.transform(*place)
    left, top = round(x / 10) * 10 - size[1] * 5, round(y / 10) * 10 + size[0] * 5
    return GeoBox(size, Affine(10, 0, left, 0, -10, top), ZONE)


def mountain(lon, lat):
    """Ellipsoidal height, 350 to 850 m, with slopes up to 24 degrees."""
    wide = np.sin((lon - PLACE[0]) * 2 * np.pi / 0.042)
    return 600 + 250 * wide * np.cos((lat - PLACE[1]) * 2 * np.pi / 0.03)


def striped(grid: GeoBox):
    """`COHERENCES` side by side in stripes of a grid, as a function of longitude and latitude."""

    def coherence(lon, lat):
        x, _ = _UTM.transform(lon, lat)
        stripe = np.floor((x - grid.affine.c) / (10 * STRIPE)).astype(int)
        return np.asarray(COHERENCES)[stripe % len(COHERENCES)]

    return coherence


def scene_over(grid: GeoBox, coherence, **more) -> SlcScene:
    """Scatterers over a grid and half a kilometre around it."""
    box = grid.geographic_extent.boundingbox
    bounds = box.left - 0.005, box.bottom - 0.005, box.right + 0.005, box.top + 0.005
    return SlcScene(bounds=bounds, coherence=coherence, **more)


def write_dem(path: Path, place: tuple[float, float] = PLACE, raised: float = 0.0) -> Path:
    """DEM of the mountain at one second of arc, `raised` by metres."""
    step, count = 1 / 3600, 800
    west, north = place[0] - 0.11, place[1] + 0.11
    lon, lat = (west + (np.arange(count) + 0.5) * step), (north - (np.arange(count) + 0.5) * step)
    with rasterio.open(
        path, "w", driver="GTiff", dtype="float32", count=1, width=count, height=count,
        crs="EPSG:4979", transform=from_origin(west, north, step, step),
    ) as file:  # fmt: skip
        file.write((mountain(lon, lat[:, None]) + raised).astype("float32"), 1)
    return path


def product_of(safe: Path, polarisations: tuple[str, ...] = ("vv",)):
    """Files of a product, sub-swath by sub-swath."""
    return open_safe(safe, safe.parent / "unpacked").swaths(polarisations)


class Level:
    """Heights that are the same everywhere, as a reader of windows."""

    def __init__(self, height: float, shape: tuple[int, int]) -> None:
        self.height, self.shape = height, shape

    def read(self, window):
        return np.full(window.shape, self.height, "float32")
