"""What other people's software makes of simulated products."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import rasterio
from pyproj import Transformer
from rasterio.transform import from_origin
from simulated_ground import LAT, LON, hill

from cube.simulate import simulate_product

xarray_sentinel = pytest.importorskip("xarray_sentinel")
xr = pytest.importorskip("xarray")

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
]

UTM = "EPSG:32642"


def group(safe: Path, name: str):
    return xr.open_dataset(safe, engine="sentinel-1", group=name)


def annotation(safe: Path) -> ET.Element:
    return ET.parse(next((safe / "annotation").glob("*-grd-vv-*.xml"))).getroot()


@pytest.mark.parametrize("number", range(5))
def test_every_annotation_is_valid_by_the_schema(event, number):
    """The schemas are ESA's, as xarray-sentinel carries them."""
    from xarray_sentinel import esa_safe

    safe = event.products[number]
    files = sorted((safe / "annotation").rglob("*.xml"))
    assert len(files) == 6
    for path in files:
        kind = "annotation" if path.parent.name == "annotation" else path.name.split("-")[0]
        if kind == "noise" and "noiseVectorList" in path.read_text():
            continue  # that schema knows only the newer form
        schema = esa_safe.cached_sentinel1_schemas(kind)
        errors = [f"{error.path}: {error.reason}" for error in schema.iter_errors(str(path))]
        # An element that processor 2.84 did not write yet: its schema had none.
        known = [text for text in errors if "'rfiMitigationPerformed' expected" in text]
        assert errors == (known if "002.84" in (safe / "manifest.safe").read_text() else [])


def test_elements_are_in_the_order_of_the_schema(event):
    """Validation without a fault implies order; this says so for the parts of the root."""
    tags = [child.tag for child in annotation(event.products[0])]
    assert tags == [
        "adsHeader",
        "qualityInformation",
        "generalAnnotation",
        "imageAnnotation",
        "dopplerCentroid",
        "antennaPattern",
        "swathTiming",
        "geolocationGrid",
        "coordinateConversion",
        "swathMerging",
    ]


def test_root_group_knows_the_product(event):
    attributes = group(event.products[-1], "").attrs
    assert attributes["family_name"] == "SENTINEL-1"
    assert attributes["relative_orbit_number"] == 78
    assert attributes["orbit_number"] == 45125
    assert attributes["pass"] == "DESCENDING"
    assert attributes["product_type"] == "GRD"
    assert attributes["transmitter_receiver_polarisations"] == ["VV", "VH"]
    assert {"IW/VV", "IW/VH", "IW/VV/calibration"} <= set(attributes["subgroups"])


def test_measurement_has_the_pixels_and_times(event):
    safe = event.products[0]
    data = group(safe, "IW/VV")
    with rasterio.open(next((safe / "measurement").glob("*-vv-*"))) as file:
        np.testing.assert_array_equal(data["measurement"].values, file.read(1))
    root = annotation(safe)
    first = np.datetime64(root.findtext(".//productFirstLineUtcTime"))
    last = np.datetime64(root.findtext(".//productLastLineUtcTime"))
    assert abs(data["azimuth_time"].values[0] - first) <= np.timedelta64(1, "us")
    assert abs(data["azimuth_time"].values[-1] - last) <= np.timedelta64(2, "us")
    np.testing.assert_allclose(np.diff(data["ground_range"].values), 10.0)


@pytest.mark.parametrize("polarisation", ["VV", "VH"])
def test_metadata_groups_hold_what_the_files_say(event, polarisation):
    safe = event.products[0]
    prefix = f"IW/{polarisation}"
    orbit = group(safe, f"{prefix}/orbit")
    assert orbit.sizes["azimuth_time"] >= 16
    radius = np.linalg.norm(orbit["position"].values, axis=0)
    np.testing.assert_allclose(radius, 7.0711e6, atol=1.0)
    gcp = group(safe, f"{prefix}/gcp")
    assert gcp.sizes["slant_range_time"] == 21
    assert np.isfinite(gcp["latitude"]).all()
    west, south, east, north = event.bbox
    assert gcp["longitude"].min() < west < east < gcp["longitude"].max()
    assert gcp["latitude"].min() < south < north < gcp["latitude"].max()
    conversion = group(safe, f"{prefix}/coordinate_conversion")
    assert conversion.sizes["degree"] == 9
    np.testing.assert_allclose(
        conversion["grsrCoefficients"].values[:, 0], conversion["sr0"].values, atol=0.01
    )
    calibration = group(safe, f"{prefix}/calibration")
    assert float(calibration["betaNought"].std()) == 0.0
    noise = group(safe, f"{prefix}/noise_range")
    assert noise["noiseRangeLut"].min() > 100
    assert noise["line"].values[-1] == group(safe, prefix).sizes["azimuth_time"] - 1
    azimuth = group(safe, f"{prefix}/noise_azimuth")
    assert azimuth["noiseAzimuthLut"].min() >= 1.0
    for name in ("attitude", "azimuth_fm_rate", "dc_estimate"):
        assert group(safe, f"{prefix}/{name}").sizes["azimuth_time"] >= 2


def test_calibration_of_the_peer_gives_the_same_backscatter(tmp_path):
    safe = simulate_product(
        tmp_path, lon=LON, lat=LAT, size=(80, 80), noise=False, speckle=False, polarisations=("VV",)
    )
    data, table = group(safe, "IW/VV"), group(safe, "IW/VV/calibration")
    sigma = xarray_sentinel.calibrate_intensity(data["measurement"], table["sigmaNought"])
    np.testing.assert_allclose(10 * np.log10(sigma.values), -10.0, atol=0.03)


def _write_projected_dem(path: Path, x0: float, y0: float, size: int) -> None:
    """Ellipsoidal heights on a UTM grid of 10 m: sarsen takes the DEM's grid and no geoid."""
    x, y = x0 + 10.0 * (np.arange(size) + 0.5), y0 - 10.0 * (np.arange(size) + 0.5)
    to_degrees = Transformer.from_crs(UTM, "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(*np.meshgrid(x, y))
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype="float32",
        count=1,
        height=size,
        width=size,
        crs=UTM,
        transform=from_origin(x0, y0, 10.0, 10.0),
    ) as file:
        file.write(hill(lat, lon).astype("float32"), 1)


@pytest.mark.parametrize("direction", ["ascending", "descending"])
def test_sarsen_puts_a_bright_target_where_it_is(tmp_path, direction):
    """Within a pixel; sarsen knows no bistatic residual: 0.1 m in azimuth so near mid-swath."""
    sarsen = pytest.importorskip("sarsen")
    to_utm = Transformer.from_crs("EPSG:4326", UTM, always_xy=True)
    x, y = (round(value, -1) + 5.0 for value in to_utm.transform(LON + 0.003, LAT + 0.002))
    lon, lat = Transformer.from_crs(UTM, "EPSG:4326", always_xy=True).transform(x, y)
    height = float(hill(np.array(lat), np.array(lon)))
    safe = simulate_product(
        tmp_path,
        lon=LON,
        lat=LAT,
        size=(500, 500),
        incidence=39.5,
        orbit_direction=direction,
        dem=hill,
        targets=[(lon, lat, height, 30000.0)],
        noise=False,
        speckle=False,
        polarisations=("VV",),
    )
    dem = tmp_path / "dem.tif"
    size = 120
    _write_projected_dem(dem, x - 605.0, y + 595.0, size)
    product = sarsen.Sentinel1SarProduct(str(safe), "IW/VV")
    out = tmp_path / "gtc.tif"
    sarsen.terrain_correction(
        product, dem_urlpath=str(dem), output_urlpath=str(out), interp_method="linear"
    )
    with rasterio.open(out) as file:
        power, transform = file.read(1).astype(float), file.transform
    weight = power - np.nanmedian(power)
    weight[~(weight > 0.02 * np.nanmax(weight))] = 0
    rows, cols = np.mgrid[0:size, 0:size]
    row, col = ((weight * axis).sum() / weight.sum() for axis in (rows, cols))
    found = transform * (col + 0.5, row + 0.5)
    assert np.hypot(found[0] - x, found[1] - y) < 3.0
