"""A simulated product over hills, its DEM with a void, and grids of three projections."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from cube.readers.scene import Files
from cube.simulate import simulate_product

LON, LAT = 68.2, 27.6
NORTH_WEST = 68.05, 27.75
STEP = 1 / 3600
GRIDS = {
    # edges that no block size divides, and parts beyond the image on every side but one
    "utm": GeoBox((1111, 1301), Affine(10, 0, 409_000, 0, -10, 3_063_500), "EPSG:32642"),
    "degrees": GeoBox((1033, 1201), Affine(1e-4, 0, 68.13, 0, -1e-4, 27.69), "EPSG:4326"),
    "mercator": GeoBox((1050, 1111), Affine(12, 0, 7_583_000, 0, -12, 3_203_000), "EPSG:3857"),
}


def ground(lat, lon):
    """Ellipsoidal height: hills of 80 m that repeat every 2 km, slopes up to 14 degrees."""
    return 100 + 80 * np.sin((lon - LON) * 300) * np.cos((lat - LAT) * 200)


@dataclass(frozen=True)
class Made:
    """What was simulated."""

    safes: tuple[Path, ...]
    dem: Path
    water: Path
    hand: Path

    def files(self, number: int = 0) -> tuple[Files, ...]:
        """VV and VH of one product."""
        found = []
        for annotation in sorted((self.safes[number] / "annotation").glob("*.xml")):
            tables = annotation.parent / "calibration"
            measurement = self.safes[number] / "measurement" / f"{annotation.stem}.tiff"
            parts = (
                measurement,
                annotation,
                *(tables / f"{kind}-{annotation.name}" for kind in ("calibration", "noise")),
            )
            found.append(Files(*map(str, parts)))
        assert [Path(one.measurement).name.split("-")[3] for one in found] == ["vh", "vv"]
        return found[1], found[0]


def write(path, values, step, nodata=None):
    west, north = NORTH_WEST
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=values.shape[0], width=values.shape[1],
        dtype=values.dtype, crs="EPSG:4326", nodata=nodata,
        transform=Affine(step, 0, west, 0, -step, north),
    ) as file:  # fmt: skip
        file.write(values, 1)
    return path


def centres(shape, step):
    col, row = np.meshgrid(np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5)
    return NORTH_WEST[1] - row * step, NORTH_WEST[0] + col * step


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    safes = []
    for name, lat, seed in (("first", LAT, 3), ("second", LAT + 0.06, 4)):
        (folder / name).mkdir()
        safes.append(
            simulate_product(
                folder / name, lon=LON, lat=lat, size=(1500, 1400), dem=ground, seed=seed
            )
        )
    height = ground(*centres((1100, 1100), STEP)).astype("float32")
    height[400:420, 500:530] = -9999
    rng = np.random.default_rng(30)
    water = rng.choice([0, 1, 255], (500, 600)).astype("uint8")  # ends inside the grids
    above = rng.uniform(0, 30, (600, 600)).astype("float32")
    return Made(
        tuple(safes),
        write(folder / "dem.tif", height, STEP, nodata=-9999),
        write(folder / "water.tif", water, 0.0003),
        write(folder / "hand.tif", above, 0.0005),
    )


@pytest.fixture(params=GRIDS)
def grid(request) -> GeoBox:
    return GRIDS[request.param]
