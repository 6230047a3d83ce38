from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from simulated_ground import LAT, LON, hill
from slc_measures import real_pair, small_template

from cube.simulate import SimulatedEvent, simulate_event, simulate_product
from cube.simulate.geometry import ImageGeometry, image_over
from cube.simulate.orbit import orbit_over
from cube.simulate.product import ProductSpec, interferometric_swaths, mid_swath_time


@pytest.fixture(scope="session")
def event(tmp_path_factory: pytest.TempPathFactory) -> SimulatedEvent:
    return simulate_event(tmp_path_factory.mktemp("simulated") / "event", small=True)


@pytest.fixture(scope="session")
def hill_product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One product over the hill, far from mid-swath, so that the bistatic residual is large."""
    return simulate_product(
        tmp_path_factory.mktemp("hill"),
        lon=LON,
        lat=LAT,
        size=(900, 500),
        incidence=41.9,
        orbit_direction="ascending",
        dem=hill,
        seed=5,
    )


@pytest.fixture(scope="session")
def geometry() -> ImageGeometry:
    orbit = orbit_over(
        LON,
        LAT,
        time=np.datetime64("2022-08-30T01:25:00", "us"),
        direction="descending",
        incidence_deg=36.7,
        height_m=20.0,
    )
    swaths = interferometric_swaths(orbit, 20.0)
    return image_over(
        orbit,
        np.array([LAT]),
        np.array([LON]),
        np.array([20.0]),
        margin_m=0.0,
        mid_time_s=mid_swath_time(swaths),
        size=(1700, 1880),
    )


@pytest.fixture(scope="session")
def spec(geometry: ImageGeometry) -> ProductSpec:
    swaths = interferometric_swaths(geometry.orbit, 20.0)
    return ProductSpec(geometry, "descending", swaths, lambda lat, lon: 20.0 + 0 * lat)


@pytest.fixture(scope="session")
def pair(data_dir: Path) -> tuple[Path, Path]:
    """Zips of a real interferometric pair, whose pixels are zero."""
    return real_pair(data_dir)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up single-look product of small bursts; read only by agreement."""
    return small_template(tmp_path_factory.mktemp("template"))
