from __future__ import annotations

import hashlib
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import rasterio
from simulated_ground import LAT, LON, hill

from cube.simulate import rewrite_pixels, simulate_product, write_grd
from cube.simulate.luts import noise_power, noise_table
from cube.simulate.product import ProductSpec

SPACES = {"safe": "http://www.esa.int/safe/sentinel-1.0"}
NAME = re.compile(r"S1A_IW_GRDH_1SDV_\d{8}T\d{6}_\d{8}T\d{6}_\d{6}_[0-9A-F]{6}_[0-9A-F]{4}\.SAFE")


def test_names_follow_the_convention(hill_product):
    assert NAME.fullmatch(hill_product.name)
    stem = "-".join(hill_product.name.lower().split("_")[4:8])
    files = sorted(p.relative_to(hill_product).as_posix() for p in hill_product.rglob("*.*"))
    assert files == sorted(
        ["manifest.safe"]
        + [f"annotation/s1a-iw-grd-{p}-{stem}-{n}.xml" for p, n in (("vv", "001"), ("vh", "002"))]
        + [
            f"annotation/calibration/{kind}-s1a-iw-grd-{p}-{stem}-{n}.xml"
            for kind in ("calibration", "noise")
            for p, n in (("vv", "001"), ("vh", "002"))
        ]
        + [f"measurement/s1a-iw-grd-{p}-{stem}-{n}.tiff" for p, n in (("vv", "001"), ("vh", "002"))]
    )


def test_manifest_lists_every_file_with_its_checksum(hill_product):
    root = ET.parse(hill_product / "manifest.safe").getroot()
    found = set()
    for item in root.iter("byteStream"):
        path = hill_product / item.find("fileLocation").get("href")
        content = path.read_bytes()
        assert int(item.get("size")) == len(content)
        assert item.findtext("checksum") == hashlib.md5(content).hexdigest()
        found.add(path.resolve())
    files = {p.resolve() for p in hill_product.rglob("*") if p.is_file()}
    assert files - found == {(hill_product / "manifest.safe").resolve()}


def test_manifest_identifiers_are_unique_and_resolve(hill_product):
    root = ET.parse(hill_product / "manifest.safe").getroot()
    objects = [item.get("ID") for item in root.iter("dataObject")]
    metadata = [item.get("ID") for item in root.iter("metadataObject")]
    assert len(set(objects)) == len(objects) == 8
    pointers = {item.get("dataObjectID") for item in root.iter("dataObjectPointer")}
    assert pointers == set(objects)
    for unit in root.iter("{urn:ccsds:schema:xfdu:1}contentUnit"):
        for name in [*(unit.get("dmdID") or "").split(), unit.get("repID") or metadata[0]]:
            assert name in metadata


def test_manifest_says_that_it_is_simulated(hill_product):
    root = ET.parse(hill_product / "manifest.safe").getroot()
    facility = root.find(".//safe:facility", SPACES)
    assert "simulated" in facility.get("name")
    assert root.find(".//safe:software", SPACES).get("name") == "Sentinel-1 IPF"


def test_measurement_is_plain_strips_with_control_points(hill_product):
    with rasterio.open(next((hill_product / "measurement").glob("*-vv-*"))) as file:
        points, crs = file.gcps
        assert file.shape == (900, 500)
        assert file.dtypes == ("uint16",)
        assert file.compression is None
        assert not file.profile["tiled"]
    assert crs.to_epsg() == 4326
    root = ET.parse(next((hill_product / "annotation").glob("*-vv-*"))).getroot()
    grid = [
        tuple(
            float(item.findtext(key))
            for key in ("line", "pixel", "longitude", "latitude", "height")
        )
        for item in root.iter("geolocationGridPoint")
    ]
    found = [(point.row, point.col, point.x, point.y, point.z) for point in points]
    np.testing.assert_allclose(found, grid, rtol=0, atol=1e-9)
    assert len(found) == 210


def test_lines_and_times_of_the_annotation_belong_together(hill_product):
    root = ET.parse(next((hill_product / "annotation").glob("*-vh-*"))).getroot()
    first, last = (
        np.datetime64(root.findtext(f".//product{end}LineUtcTime")) for end in ("First", "Last")
    )
    lines = int(root.findtext(".//numberOfLines"))
    step = float(root.findtext(".//azimuthTimeInterval"))
    assert abs((last - first) / np.timedelta64(1, "us") - (lines - 1) * step * 1e6) <= 1
    assert root.findtext(".//bistaticDelayCorrectionApplied") == "true"
    bounds = list(root.iter("swathBounds"))
    assert int(bounds[0].findtext("firstRangeSample")) == 0
    assert (
        int(bounds[-1].findtext("lastRangeSample")) == int(root.findtext(".//numberOfSamples")) - 1
    )


def test_point_target_lies_at_its_exact_position(tmp_path):
    lon, lat, height = LON + 0.004, LAT - 0.003, 87.0
    safe = simulate_product(
        tmp_path,
        lon=LON,
        lat=LAT,
        size=(200, 200),
        dem=hill,
        targets=[(lon, lat, height, 20000.0)],
        noise=False,
        speckle=False,
    )
    with rasterio.open(next((safe / "measurement").glob("*-vv-*"))) as file:
        power = file.read(1).astype(float) ** 2
    background = np.median(power)
    peak = np.unravel_index(power.argmax(), power.shape)
    rows, cols = np.mgrid[peak[0] - 6 : peak[0] + 7, peak[1] - 6 : peak[1] + 7]
    weight = power[rows, cols] - background
    centre = (weight * rows).sum() / weight.sum(), (weight * cols).sum() / weight.sum()
    # The image is centred on LON, LAT on the ground; go there through the geolocation grid.
    root = ET.parse(next((safe / "annotation").glob("*-vv-*"))).getroot()
    grid = np.array(
        [
            [float(i.findtext(k)) for k in ("line", "pixel", "longitude", "latitude", "height")]
            for i in root.iter("geolocationGridPoint")
        ]
    )
    # Lines and samples as a quadratic in lon, lat and height: exact to a hundredth over 2 km.
    x, y, z = ((grid[:, k] - v) / s for k, v, s in ((2, LON, 0.01), (3, LAT, 0.01), (4, 60, 100)))
    terms = [x * 0 + 1, x, y, z, x * x, x * y, y * y]
    at = ((lon - LON) / 0.01, (lat - LAT) / 0.01, (height - 60) / 100)
    here = np.array([1, *at, at[0] ** 2, at[0] * at[1], at[1] ** 2])
    for axis in (0, 1):
        fit, *_ = np.linalg.lstsq(np.stack(terms, 1), grid[:, axis], rcond=None)
        assert centre[axis] == pytest.approx(here @ fit, abs=0.05)


def test_older_products_have_one_list_of_noise_vectors(event):
    safe = event.products[1]
    path = next((safe / "annotation" / "calibration").glob("noise-*-vv-*"))
    root = ET.parse(path).getroot()
    assert [child.tag for child in root] == ["adsHeader", "noiseVectorList"]
    assert root.find(".//noiseVector/noiseLut") is not None
    version = ET.parse(safe / "manifest.safe").find(".//safe:software", SPACES).get("version")
    assert version == "002.84"


def test_border_noise_lines_both_edges_and_both_polarisations(event):
    images = []
    for key in ("vv", "vh"):
        with rasterio.open(next((event.products[1] / "measurement").glob(f"*-{key}-*"))) as file:
            images.append(file.read(1))
    for image in images:
        near, far = image[:, :40], image[:, -15:]
        assert (near == 0).mean() > 0.3
        assert np.median(far) < 5
        assert np.median(image[:, 300:-300]) > 60
    strip = images[0] < 8
    edge = [int(np.flatnonzero(~row)[0]) for row in strip[::50]]
    assert len(set(edge)) > 2
    with rasterio.open(next((event.products[0] / "measurement").glob("*-vv-*"))) as file:
        assert file.read(1).min() >= 1


def test_slices_of_one_pass_abut(event):
    slices = event.products[2:4]
    roots = [ET.parse(next((safe / "annotation").glob("*-vv-*"))).getroot() for safe in slices]
    last = np.datetime64(roots[0].findtext(".//productLastLineUtcTime"))
    first = np.datetime64(roots[1].findtext(".//productFirstLineUtcTime"))
    step = float(roots[0].findtext(".//azimuthTimeInterval")) * 1e6
    assert abs((first - last) / np.timedelta64(1, "us") - step) <= 1
    for tag in ("missionDataTakeId", "absoluteOrbitNumber", "slantRangeTime", "numberOfSamples"):
        assert roots[0].findtext(f".//{tag}") == roots[1].findtext(f".//{tag}")
    assert [root.findtext(".//imageInformation/sliceNumber") for root in roots] == ["1", "2"]
    assert [root.find(".//sliceList").get("count") for root in roots] == ["2", "2"]
    # One picture: the lines on both sides of the cut are as alike as two neighbours elsewhere.
    rows = []
    for safe in slices:
        with rasterio.open(next((safe / "measurement").glob("*-vv-*"))) as file:
            rows.append(file.read(1).astype(float))
    across = np.corrcoef(rows[0][-1], rows[1][0])[0, 1]
    inside = np.corrcoef(rows[0][-2], rows[0][-1])[0, 1]
    assert across == pytest.approx(inside, abs=0.15)


def test_shapes_that_do_not_fit_are_refused(spec: ProductSpec, tmp_path):
    with pytest.raises(ValueError, match="expected"):
        write_grd(tmp_path, spec, {"VV": np.ones((3, 3), "uint16")})
    assert list(tmp_path.iterdir()) == []


def test_noise_of_the_pixels_is_that_of_the_file(spec: ProductSpec):
    table = noise_table(spec, "VV")
    power = noise_power(spec, table)
    assert power.shape == (1700, 1880)
    line, pixel = int(table.line[1]), int(table.pixel[5])
    factor = next(
        np.interp(line, item.line, item.factor)
        for item in table.azimuth
        if item.first_pixel <= pixel <= item.last_pixel
    )
    assert float(power[line, pixel]) == pytest.approx(table.power[1, 5] * factor, rel=1e-5)


@pytest.fixture
def original(hill_product: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "in" / hill_product.name
    shutil.copytree(hill_product, copy)
    return copy


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_pixels_are_replaced_and_the_annotation_kept(original, tmp_path, packed):
    source = original
    if packed:
        source = Path(
            shutil.make_archive(str(tmp_path / "a"), "zip", original.parent, original.name)
        )
    out = tmp_path / "out"
    out.mkdir()
    asked = []

    def rows(first: int, count: int) -> np.ndarray:
        asked.append((first, count))
        return np.full((count, 500), first, "uint16")

    image = np.arange(900 * 500, dtype="uint32").reshape(900, 500).astype("uint16")
    target = rewrite_pixels(source, out, {"VV": rows, "VH": image})
    assert target == out / original.name
    assert sum(count for _, count in asked) == 900
    assert max(count for _, count in asked) <= 512
    with rasterio.open(next((target / "measurement").glob("*-vh-*"))) as file:
        np.testing.assert_array_equal(file.read(1), image)
        assert file.compression is None
    for path in [*sorted((original / "annotation").rglob("*.xml")), original / "manifest.safe"]:
        assert (target / path.relative_to(original)).read_bytes() == path.read_bytes()


def test_pixels_of_another_size_or_polarisation_are_refused(original, tmp_path):
    for number, (pixels, text) in enumerate(
        [
            ({"VV": np.zeros((900, 400), "uint16")}, "expected uint16"),
            ({"VV": np.zeros((900, 500), "float32")}, "expected uint16"),
            ({"HH": np.zeros((900, 500), "uint16")}, "0 annotations of HH"),
        ]
    ):
        out = tmp_path / str(number)
        out.mkdir()
        with pytest.raises(ValueError, match=text):
            rewrite_pixels(original, out, pixels)
        assert list(out.iterdir()) == []


def test_a_product_is_not_written_twice(tmp_path):
    first = simulate_product(tmp_path, lon=LON, lat=LAT, size=(40, 40))
    with pytest.raises(FileExistsError, match="already there"):
        simulate_product(tmp_path, lon=LON, lat=LAT, size=(40, 40))
    assert list(tmp_path.iterdir()) == [first]
