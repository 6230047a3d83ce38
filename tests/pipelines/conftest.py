"""One simulated radar image over gentle hills, and ``cube build`` of it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grounds import write_dem

from cube.simulate import simulate_product

LON, LAT = 68.2, 27.6
BOX = "68.182,27.584,68.218,27.616"
AROUND = (68.14, 27.54, 68.26, 27.66)
LEVEL_M = 120.0
IMAGE = {
    "size": (640, 640),
    "start": "2022-08-30T01:25:00",
    "orbit_direction": "descending",
    "incidence": 38.0,
}


def gentle(lat: Any, lon: Any) -> Any:
    """Ellipsoidal height: slopes up to 9 degrees."""
    return LEVEL_M + 40 * np.sin((np.asarray(lon) - LON) * 350) * np.cos((lat - LAT) * 300)


def add_product(folder: Path, day: str = "2022-08-30", **more: Any) -> Path:
    """Simulate an image of the hills on another day, or otherwise; a data take for each day."""
    chosen = {**IMAGE, "start": f"{day}T01:25:00", "dem": gentle, "seed": 7, **more}
    safe = simulate_product(folder, lon=LON, lat=LAT, **chosen)
    manifest = safe / "manifest.safe"
    text, count = re.subn(
        r"(missionDataTakeID>)\d+<", rf"\g<1>{day:.4}{day[5:7]}{day[8:]}<", manifest.read_text()
    )
    assert count == 1
    manifest.write_text(text)
    return safe


@pytest.fixture(scope="session")
def radar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a product and of the DEM of its hills; read only by agreement."""
    folder = tmp_path_factory.mktemp("radar")
    add_product(folder)
    write_dem(folder / "dem.tif", gentle, AROUND, 1 / 3600)
    return folder


@pytest.fixture
def own_radar(radar: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may damage."""
    return Path(shutil.copytree(radar, tmp_path / "radar"))


@pytest.fixture(scope="session")
def radar_words(scratch: Path) -> Callable[..., list[object]]:
    """Words of a build of a folder with products and a DEM; what comes later replaces them."""

    def words(folder: Path, out: Path, *more: object) -> list[object]:
        return [
            "--bbox", BOX, "--during", "2022-08-30/2022-08-30", "--source", folder,
            "--dem", folder / "dem.tif", "--dem-datum", "ellipsoid", "--hand", "none",
            "--model", "none", "--scratch", scratch, "--out", out, *more,
        ]  # fmt: skip

    return words


@pytest.fixture(scope="session")
def radar_build(cube_command, radar_words):
    """``cube build`` of such a folder in this process."""

    def run(folder: Path, out: Path, *more: object):
        return cube_command("build", *radar_words(folder, out, *more))

    return run


@pytest.fixture(scope="session")
def radar_cube(radar, radar_build, tmp_path_factory) -> Path:
    """A finished cube of the product."""
    out = tmp_path_factory.mktemp("radar_cube") / "cube.zarr"
    radar_build(radar, out).fine()
    return out
