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
from single_look import mountain, pair_of
from single_look import write_dem as write_mountain
from three_dates import BOX as SEAM
from three_dates import DAYS, KEPT, PLACE, around

from cube.simulate import SlcScene, simulate_product, simulate_slc

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


@pytest.fixture(scope="session")
def dates(tmp_path_factory, data_dir) -> Path:
    """Three dates of a track, wholly coherent but for the last one's western half; and the DEM."""
    folder = tmp_path_factory.mktemp("dates")
    first, _ = pair_of(data_dir)

    def left(lon, lat):
        return np.where(lon < PLACE[0], 0.0, 1.0)

    for date, (shift, line, coherence) in enumerate(
        ((0, 0.0, 1.0), (12, 0.43, 1.0), (24, 0.21, left))
    ):
        scene = SlcScene(around(), height=mountain, coherence=coherence, density=0.03)
        simulate_slc(
            folder, first, scene, date=date, time_shift_days=shift, line_shift=line,
            orbit_shift_m=40.0 * date, polarisations=("VV", "VH"), **KEPT,
        )  # fmt: skip
    write_mountain(folder / "dem.tif", PLACE)
    return folder


@pytest.fixture
def own_dates(dates, tmp_path) -> Path:
    """A copy of them that a test may damage."""
    return Path(shutil.copytree(dates, tmp_path / "dates"))


@pytest.fixture(scope="session")
def build_images(cube_command):
    def run(source: Path, out: Path, *more: object):
        return cube_command(
            "build", "--bbox", SEAM, *DAYS, "--product", "slc", "--source", source,
            "--dem", source / "dem.tif", "--out", out, "--scratch", out.parent / "scratch", *more,
        )  # fmt: skip

    return run


@pytest.fixture(scope="session")
def images(dates, build_images, tmp_path_factory) -> Path:
    """A finished cube of complex images; read only by agreement."""
    out = tmp_path_factory.mktemp("images") / "cube.zarr"
    build_images(dates, out).fine()
    return out


@pytest.fixture
def own_images(images, tmp_path) -> Path:
    return Path(shutil.copytree(images, tmp_path / "cube.zarr"))


@pytest.fixture
def interrupt_at(monkeypatch) -> Callable[..., None]:
    """Interrupt a call of a module's function, the first being number one; others go through."""

    def prepare(module: Any, name: str, number: int) -> None:
        whole, calls = getattr(module, name), []

        def breaks(*args: Any) -> Any:
            calls.append(args)
            if len(calls) == number:
                raise KeyboardInterrupt
            return whole(*args)

        monkeypatch.setattr(module, name, breaks)

    return prepare
