"""Hills of one gamma nought, simulated, come out of a build as even as they are.

What the image shows is the simulator's own area formula, which shares no code with the processor.
"""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine

from cube.simulate import simulate_product
from cube.simulate.geometry import look_vectors
from cube.simulate.orbit import orbit_over
from cube.simulate.radiometry import area_ratio

LON, LAT, START = 68.2, 27.6, "2022-08-30T01:25:00"
GAMMA = 0.1
HEIGHT, WAVES_X, WAVES_Y = 60.0, 700.0, 600.0  # metres; radians a degree: slopes up to 23 degrees
HALF = 0.06


def dem(lat, lon):
    waves = np.sin((lon - LON) * WAVES_X) * np.cos((lat - LAT) * WAVES_Y)
    return 500 + HEIGHT * waves


def slopes(lat, lon):
    """Rise per metre to the east and north; a degree is 98.74 km by 110.81 km here."""
    x, y = (lon - LON) * WAVES_X, (lat - LAT) * WAVES_Y
    east = HEIGHT * WAVES_X * np.cos(x) * np.cos(y) / 98_740
    return east, -HEIGHT * WAVES_Y * np.sin(x) * np.sin(y) / 110_810


def make(folder, direction):
    orbit = orbit_over(
        LON, LAT, time=np.datetime64(START, "us"), direction=direction, incidence_deg=40.0,
        height_m=500.0,
    )  # fmt: skip

    def sigma0(lat, lon):
        look, normal, incidence = look_vectors(orbit, lat, lon, dem(lat, lon))
        east, north = slopes(lat, lon)
        area = area_ratio(east, north, np.moveaxis(look, -1, 0), np.moveaxis(normal, -1, 0))
        power = GAMMA * area * np.cos(np.radians(incidence))
        return {"VV": power, "VH": 0.2 * power}

    simulate_product(
        folder, lon=LON, lat=LAT, size=(900, 900), start=START, orbit_direction=direction,
        incidence=40.0, sigma0=sigma0, dem=dem, noise=False, speckle=False,
    )  # fmt: skip
    step = 1 / 10_800  # finer than the pixels, so that only flattening is judged
    at = (np.arange(round(2 * HALF / step)) + 0.5) * step - HALF
    lon, lat = np.meshgrid(LON + at, LAT - at)
    with rasterio.open(
        folder / "dem.tif", "w", driver="GTiff", height=len(at), width=len(at), count=1,
        dtype="float32", crs="EPSG:4326",
        transform=Affine(step, 0, LON - HALF, 0, -step, LAT + HALF),
    ) as file:  # fmt: skip
        file.write(dem(lat, lon).astype("float32"), 1)


@pytest.mark.parametrize("direction", ["ascending", "descending"])
def test_flattening_leaves_what_the_ground_is(direction, cube_command, tmp_path, scratch):
    make(tmp_path, direction)
    found = {}
    for kind in ("gamma0", "gamma0_rtc"):
        out = tmp_path / f"{kind}.zarr"
        cube_command(
            "build", "--bbox", "68.18,27.58,68.22,27.62", "--during", "2022-08-30/2022-08-30",
            "--source", tmp_path, "--dem", tmp_path / "dem.tif", "--dem-datum", "ellipsoid",
            "--hand", "none", "--model", "none", "--backscatter", kind, "--out", out,
            "--scratch", scratch,
        ).fine()  # fmt: skip
        with xr.open_zarr(out) as ds:
            power = ds.vv.values[0]
            assert np.isfinite(power).all()
            assert not (ds["mask"].values & 3).any(), "no layover and no shadow"
            found[kind] = 10 * np.log10(power / GAMMA)
            if kind == "gamma0_rtc":
                beta = ds.vv[0] * ds.rtc_anf[0]
                assert ds.vv.attrs["backscatter"] == "gamma0_rtc"
                # on these hills beta nought lies around gamma over the tangent of the incidence
                assert abs(10 * np.log10(float(beta.mean()) / GAMMA * np.tan(np.radians(40)))) < 0.6
    assert found["gamma0"].std() > 1.5
    assert abs(found["gamma0_rtc"].mean()) < 0.02
    # bilinear sampling of the image and of the ratio, each once: 0.02 dB measured
    assert found["gamma0_rtc"].std() < 0.04
    assert np.abs(found["gamma0_rtc"]).max() < 0.3
