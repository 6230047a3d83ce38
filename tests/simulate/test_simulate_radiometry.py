from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import rasterio
from simulated_ground import LAT, LON

from cube.simulate import simulate_product
from cube.simulate.pixels import LOOKS, speckle
from cube.simulate.radiometry import area_ratio, land_db, water_db
from cube.simulate.world import Cover

LEVEL_DB = {"VV": -11.0, "VH": -24.0}


def numbers(item: ET.Element, tag: str) -> np.ndarray:
    return np.array(item.findtext(tag).split(), dtype=float)


def lut(root: ET.Element, record: str, values: str, line: np.ndarray, col: np.ndarray):
    """Bilinear value of a table of vectors at lines and samples, written out at length."""
    items = list(root.iter(record))
    at = np.array([int(item.findtext("line")) for item in items])
    rows = np.array([np.interp(col, numbers(i, "pixel"), numbers(i, values)) for i in items])
    return np.array([[np.interp(n, at, rows[:, k]) for k in range(col.size)] for n in line])


def calibrate(safe: Path, polarisation: str, block: tuple[slice, slice]) -> np.ndarray:
    """Sigma nought by the book, without noise: (DN^2 - noise) / A^2."""
    key = polarisation.lower()
    line = np.arange(block[0].start, block[0].stop)
    col = np.arange(block[1].start, block[1].stop)
    with rasterio.open(next((safe / "measurement").glob(f"*-{key}-*.tiff"))) as file:
        digital = file.read(1)[block].astype(float)
    folder = safe / "annotation" / "calibration"
    root = ET.parse(next(folder.glob(f"calibration-*-{key}-*.xml"))).getroot()
    gain = lut(root, "calibrationVector", "sigmaNought", line, col)
    root = ET.parse(next(folder.glob(f"noise-*-{key}-*.xml"))).getroot()
    if list(root.iter("noiseVector")):
        return (digital**2 - lut(root, "noiseVector", "noiseLut", line, col)) / gain**2
    noise = lut(root, "noiseRangeVector", "noiseRangeLut", line, col)
    for item in root.iter("noiseAzimuthVector"):
        first, last = (int(item.findtext(f"{end}RangeSample")) for end in ("first", "last"))
        factor = np.interp(line, numbers(item, "line"), numbers(item, "noiseAzimuthLut"))
        inside = (col >= first) & (col <= last)
        noise[:, inside] *= factor[:, None]
    return (digital**2 - noise) / gain**2


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Even ground across the boundary of IW1 and IW2."""
    return simulate_product(
        tmp_path_factory.mktemp("flat"),
        lon=LON,
        lat=LAT,
        size=(700, 600),
        incidence=36.55,
        sigma0=lambda lat, lon: {
            n: np.full(lat.shape, 10 ** (v / 10)) for n, v in LEVEL_DB.items()
        },
        seed=3,
    )


@pytest.mark.parametrize("polarisation", ["VV", "VH"])
@pytest.mark.parametrize("cols", [slice(0, 250), slice(330, 600)], ids=["IW1", "IW2"])
def test_calibrated_mean_is_the_intended_backscatter(flat, polarisation, cols):
    """3 sigma of 1.6e5 pixels with 6 correlated each is 0.03 dB, with the noise 0.04 dB."""
    mean = calibrate(flat, polarisation, (slice(0, 700), cols)).mean()
    assert 10 * np.log10(mean) == pytest.approx(LEVEL_DB[polarisation], abs=0.05)


def test_noise_is_worth_removing(flat):
    """Of the cross-polarised power here a third is noise: no test could miss its removal."""
    with rasterio.open(next((flat / "measurement").glob("*-vh-*.tiff"))) as file:
        power = (file.read(1).astype(float) ** 2).mean()
    signal = 10 ** (LEVEL_DB["VH"] / 10) * 474.0**2 / np.sin(np.radians(36.55))
    assert 1.3 < power / signal < 2.5


def test_both_swaths_have_their_own_azimuth_noise(flat):
    path = next((flat / "annotation" / "calibration").glob("noise-*-vv-*.xml"))
    items = list(ET.parse(path).getroot().iter("noiseAzimuthVector"))
    assert [item.findtext("swath") for item in items] == ["IW1", "IW2"]
    last = int(items[0].findtext("lastRangeSample"))
    assert int(items[1].findtext("firstRangeSample")) == last + 1
    first, second = (numbers(item, "noiseAzimuthLut") for item in items)
    assert np.abs(first / second - 1).max() > 0.02


def test_speckle_has_the_looks_of_the_product(flat):
    """Signal and noise speckle alike, so that the power as received has the nominal looks."""
    with rasterio.open(next((flat / "measurement").glob("*-vv-*.tiff"))) as file:
        power = file.read(1)[:, 330:].astype(float) ** 2
    power /= power.mean(axis=0)
    assert 1 / power.var() == pytest.approx(LOOKS, rel=0.05)


def test_speckle_is_correlated_over_the_resolution_cell_and_no_further():
    field = speckle((800, 800), np.random.default_rng(4)) - 1
    variance = (field**2).mean()
    for axis in (0, 1):
        lag = [
            float((field * np.roll(field, shift, axis)).mean() / variance) for shift in (1, 2, 6)
        ]
        assert 0.55 < lag[0] < 0.85
        assert 0.1 < lag[1] < 0.4
        assert abs(lag[2]) < 0.02


def test_polarisations_speckle_apart(flat):
    images = []
    for key in ("vv", "vh"):
        with rasterio.open(next((flat / "measurement").glob(f"*-{key}-*.tiff"))) as file:
            images.append(file.read(1).astype(float).ravel())
    assert abs(np.corrcoef(images)[0, 1]) < 0.02


def test_product_without_noise_and_speckle_is_exact(tmp_path):
    safe = simulate_product(
        tmp_path, lon=LON, lat=LAT, size=(60, 60), noise=False, speckle=False, polarisations=("VV",)
    )
    power = calibrate(safe, "VV", (slice(0, 60), slice(0, 60)))
    # Rounding of a digital number of 190 to whole numbers.
    np.testing.assert_allclose(10 * np.log10(power), -10.0, rtol=0, atol=0.03)
    root = ET.parse(next((safe / "annotation" / "calibration").glob("noise-*"))).getroot()
    assert numbers(next(root.iter("noiseRangeVector")), "noiseRangeLut").max() == 0
    assert safe.name.startswith("S1A_IW_GRDH_1SSV_")


def test_gains_follow_from_the_incidence_angle(flat):
    path = next((flat / "annotation" / "calibration").glob("calibration-*-vv-*.xml"))
    item = next(ET.parse(path).getroot().iter("calibrationVector"))
    beta, sigma, gamma = (numbers(item, k) for k in ("betaNought", "sigmaNought", "gamma"))
    np.testing.assert_array_equal(numbers(item, "dn"), beta)
    sine = (beta / sigma) ** 2
    tangent = (beta / gamma) ** 2
    np.testing.assert_allclose(tangent, sine / np.sqrt(1 - sine**2), rtol=1e-5)
    assert np.degrees(np.arcsin(sine[sine.size // 2])) == pytest.approx(36.55, abs=0.02)


def test_windy_water_is_as_bright_as_bare_soil_in_one_polarisation_only():
    assert water_db("VV", 9.5, 38.0) > land_db("VV", Cover.BARE, 38.0) - 1
    assert water_db("VH", 9.5, 38.0) < land_db("VH", Cover.BARE, 38.0) - 4
    assert water_db("VV", 3.0, 38.0) < land_db("VV", Cover.BARE, 38.0) - 7


def test_dry_look_alike_is_darker_than_windy_water():
    assert land_db("VV", Cover.SMOOTH, 38.0) < water_db("VV", 8.0, 38.0)


def test_slopes_that_face_the_radar_are_brighter():
    angle = np.radians(38.0)
    look = np.array([np.sin(angle), 0.0, np.cos(angle)])[:, None, None]
    normal = np.array([-np.cos(angle), 0.0, np.sin(angle)])[:, None, None]
    for slope_deg in (-15.0, 0.0, 15.0):
        # A slope that falls towards the radar, in the east, faces it.
        slope = np.full((1, 1), -np.tan(np.radians(slope_deg)), "float32")
        found = area_ratio(slope, np.zeros((1, 1), "float32"), look, normal)
        local = angle - np.radians(slope_deg)
        wanted = np.tan(angle) / np.tan(local)
        assert float(found[0, 0]) == pytest.approx(wanted, rel=1e-5)


def test_slope_along_the_track_changes_little():
    angle = np.radians(38.0)
    look = np.array([np.sin(angle), 0.0, np.cos(angle)])[:, None, None]
    normal = np.array([-np.cos(angle), 0.0, np.sin(angle)])[:, None, None]
    slope = np.full((1, 1), 0.2, "float32")
    found = area_ratio(np.zeros((1, 1), "float32"), slope, look, normal)
    assert float(found[0, 0]) == pytest.approx(1.0, abs=1e-6)
