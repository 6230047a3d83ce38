"""A GRD product with pixels made up over its middle, for measuring speed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import tifffile
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from cube.errors import SourceError
from cube.readers.annotation import read_annotation, read_grid
from cube.readers.measurement import Measurement
from cube.readers.safe import open_safe
from cube.readers.scene import Files
from cube.readers.window import Window
from cube.simulate import rewrite_pixels

__all__ = ["SPACING_M", "Kept", "MadeScene", "hills", "make_scene", "open_scene", "write_hills"]

SPACING_M = 10.0
_AROUND = 1700  # lines before and after the middle: 34 km, a turned map of 20 km by 20 km
_POWER = 30_000.0  # of the numbers, squared; a common level over land
_LOOKS = 4.4


def hills(window: Window) -> NDArray[np.float32]:
    """Heights of hills of 300 m over 4 km, metres, shape ``window.shape``; slopes up to 27 degrees.

    What is before the first pixel goes on as it is.
    """
    rows = np.arange(window.line, window.line_stop)[:, None] / 70
    cols = np.arange(window.sample, window.sample_stop)[None] / 60
    return np.asarray(400 + 300 * np.sin(cols) * np.cos(rows), "float32")


class Kept:
    """A layer in memory, read like one that is stored."""

    def __init__(self, values: NDArray[np.float32]) -> None:
        self._values = values
        self.shape = values.shape

    def __dask_tokenize__(self) -> int:
        return id(self._values)  # one of its own; its pixels need not be looked at for it

    def read(self, window: Window) -> NDArray[np.float32]:
        """Part of the layer."""
        return self._values[window.line : window.line_stop, window.sample : window.sample_stop]


def write_hills(scene: MadeScene, size: int, path: Path) -> Path:
    """DEM of the hills on the map of `size` by `size` pixels, and as far again on every side."""
    grid = scene.grid(3 * size)
    height = hills(Window(-size, -size, 2 * size, 2 * size))
    with rasterio.open(
        path, "w", driver="GTiff", height=3 * size, width=3 * size, count=1, dtype="float32",
        crs=str(grid.crs), transform=grid.affine, tiled=True,
    ) as file:  # fmt: skip
        file.write(height, 1)
    return path


@dataclass(frozen=True)
class MadeScene:
    """A product in a folder of its own.

    Attributes
    ----------
    safe : Path
    polarisation : str
        Lower case; the one that has pixels.
    files : Files
    shape : (lines, samples)
    middle : (lon, lat)
        The geolocation grid's point nearest to the middle of the image.
    """

    safe: Path
    polarisation: str
    files: Files
    shape: tuple[int, int]
    middle: tuple[float, float]

    def grid(self, size: int) -> GeoBox:
        """Map of `size` by `size` pixels of 10 m around the middle, in UTM."""
        lon, lat = self.middle
        epsg = (32600 if lat >= 0 else 32700) + int((lon + 180) // 6) % 60 + 1
        x, y = Transformer.from_crs("EPSG:4326", epsg, always_xy=True).transform(lon, lat)
        half = SPACING_M * size / 2
        return GeoBox(
            (size, size), Affine(SPACING_M, 0, x - half, 0, -SPACING_M, y + half), f"EPSG:{epsg}"
        )

    def numbers(self, lines: int, samples: int) -> tuple[int, int, NDArray[np.uint16]]:
        """First line and sample, and numbers, of a window of that size in the image's middle."""
        size = min(lines, self.shape[0], 2 * _AROUND), min(samples, self.shape[1])
        line, sample = ((edge - wide) // 2 for edge, wide in zip(self.shape, size, strict=True))
        window = Window(line, sample, line + size[0], sample + size[1])
        return line, sample, Measurement(self.files.measurement, self.shape).read(window)


def make_scene(product: Path, folder: Path) -> MadeScene:
    """Copy a product's annotations and give it speckle around its middle line.

    Raises
    ------
    SourceError
        A table or annotation is missing.
    """
    try:
        safe = rewrite_pixels(product, folder, {})
    except (OSError, ValueError) as error:
        raise SourceError(f"{product}: cannot be copied ({error})") from error
    for annotation in sorted((safe / "annotation").glob("*.xml")):
        shape = read_annotation(str(annotation)).image.shape
        _write(safe / "measurement" / f"{annotation.stem}.tiff", shape)
    return open_scene(safe)


def open_scene(safe: Path) -> MadeScene:
    """Scene that `make_scene` made."""
    scene = open_safe(safe, safe.parent)
    polarisation, files = scene.files[0]
    grid = read_grid(files.annotation)
    away = abs(grid.line / grid.line.max() - 0.5) + abs(grid.sample / grid.sample.max() - 0.5)
    at = int(away.argmin())
    shape = read_annotation(files.annotation).image.shape
    return MadeScene(safe, polarisation, files, shape, (float(grid.lon[at]), float(grid.lat[at])))


def _write(path: Path, shape: tuple[int, int]) -> None:
    """Measurement whose lines are zero but around the middle: a sparse file of whole strips."""
    lines, samples = shape
    image = tifffile.memmap(
        path, shape=shape, dtype="uint16", rowsperstrip=1, photometric="minisblack"
    )
    tile = np.random.default_rng(0).gamma(_LOOKS, _POWER / _LOOKS, (256, samples))
    numbers = np.sqrt(tile).astype("uint16")
    first, stop = max(lines // 2 - _AROUND, 0), min(lines // 2 + _AROUND, lines)
    for line in range(first, stop, len(numbers)):
        count = min(len(numbers), stop - line)
        image[line : line + count] = numbers[:count]
    image.flush()
