"""Simulated SLC products: their form, and where in them things are."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from slc_measures import (
    EMPTY,
    LAT,
    LINES,
    LON,
    REAL,
    SAMPLES,
    VV,
    C,
    annotation,
    box,
    peak,
    pixels,
    span,
    starts,
    time,
    value,
)

from cube.simulate.slc import SlcScene, simulate_slc

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture(scope="module")
def product(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thin speckle on the middle burst of IW2."""
    scene = SlcScene(bounds=box(LON, LAT, 3.4, 5.0), height=50.0, beta0=0.3, density=0.01)
    return simulate_slc(tmp_path_factory.mktemp("product"), template, scene)


@pytest.fixture(scope="module")
def real_product(pair: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Points at all places of the geolocation grid that start a burst, in two real bursts."""
    out = tmp_path_factory.mktemp("real")
    grid = simulate_slc(out, pair[0], EMPTY, **REAL)
    places = [
        tuple(value(point, name) for name in ("longitude", "latitude", "height"))
        for point in annotation(grid, "iw1").iter("geolocationGridPoint")
    ]
    scene = SlcScene((0, 0, 1, 1), density=0, targets=tuple((*p, 9000.0) for p in places))
    (out / "points").mkdir()
    return simulate_slc(out / "points", pair[0], scene, **REAL)


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("which", ["product", "real_product"])
def test_xarray_sentinel_reads_the_pixels(which, request):
    xarray_sentinel = pytest.importorskip("xarray_sentinel")
    safe = request.getfixturevalue(which)
    swath = "IW2" if which == "product" else "IW1"
    tree = xarray_sentinel.open_sentinel1_dataset(safe)
    swaths = ["IW1", "IW2", "IW3"] if which == "product" else ["IW1"]
    assert [name for name in tree.attrs["subgroups"] if "/" not in name] == swaths
    assert tree.attrs["product_type"] == "SLC"
    found = xarray_sentinel.open_sentinel1_dataset(safe, group=f"{swath}/VV")
    root = annotation(safe, swath.lower())
    lines = int(value(root, "linesPerBurst"))
    burst = xarray_sentinel.crop_burst_dataset(found, burst_index=1)
    some = slice(0, 250) if which == "product" else slice(1300, 1400)
    written = pixels(safe, swath.lower())[lines : 2 * lines][some]
    assert np.abs(written).any()
    np.testing.assert_array_equal(burst.measurement[some].values, written)
    assert time(str(burst.azimuth_time.values[0])) == starts(root)[1]
    assert found.attrs["number_of_bursts"] == len(starts(root))
    for name in ("orbit", "dc_estimate", "azimuth_fm_rate", "gcp", "calibration", "noise_range"):
        assert xarray_sentinel.open_sentinel1_dataset(safe, group=f"{swath}/VV/{name}").sizes


@pytest.mark.peers
@pytest.mark.parametrize("which", ["product", "real_product"])
def test_annotations_are_valid_by_the_schema(which, request):
    """The schemas are ESA's, as xarray-sentinel carries them."""
    esa_safe = pytest.importorskip("xarray_sentinel").esa_safe
    files = sorted((request.getfixturevalue(which) / "annotation").rglob("*.xml"))
    assert len(files) == (18 if which == "product" else 3)
    for path in files:
        kind = "annotation" if path.parent.name == "annotation" else path.name.split("-")[0]
        schema = esa_safe.cached_sentinel1_schemas(kind)
        assert [error.reason for error in schema.iter_errors(str(path))] == []


@pytest.mark.parametrize("which", ["product", "real_product"])
def test_pixels_lie_side_by_side_from_the_byte_that_the_annotation_states(which, request):
    safe = request.getfixturevalue(which)
    swath = "iw2" if which == "product" else "iw1"
    root = annotation(safe, swath)
    path = next((safe / "measurement").glob(f"*-{swath}-slc-vv-*"))
    lines, width = int(value(root, "linesPerBurst")), int(value(root, "samplesPerBurst"))
    image = pixels(safe, swath)
    some = slice(lines - 180, lines - 140)
    for at, burst in enumerate(root.iter("burst")):
        raw = np.memmap(path, "<i2", "r", int(value(burst, "byteOffset")), (lines, width, 2))[some]
        found = image[at * lines :][some]
        np.testing.assert_array_equal(raw[..., 0] + 1j * raw[..., 1], found)
    assert image[some].any() or image[lines:][some].any()
    assert path.stat().st_size == int(value(root, "byteOffset")) + 4 * image.size
    if which == "real_product":
        assert path.stat().st_blocks * 512 < path.stat().st_size / 20


def test_manifest_knows_the_files(product, real_product):
    for safe in (product, real_product):
        text = (safe / "manifest.safe").read_text()
        there = {p.relative_to(safe).as_posix() for p in safe.rglob("*") if p.is_file()}
        assert {*re.findall(r'href="\./([am][^"]+)"', text), "manifest.safe"} == there
        pointers = set(re.findall(r'dataObjectID="([^"]+)"', text))
        assert pointers == set(re.findall(r'<dataObject ID="([^"]+)"', text))


def test_points_of_the_real_grid_are_where_it_says(real_product):
    root, image = annotation(real_product, "iw1"), pixels(real_product, "iw1")
    begin, step = starts(root), value(root, "azimuthTimeInterval")
    lines = int(value(root, "linesPerBurst"))
    found = []
    for point in root.iter("geolocationGridPoint"):
        line, sample = int(value(point, "line")), int(value(point, "pixel"))
        # First lines of a burst are not valid; the burst before has the same ground.
        if line != lines or not 400 < sample < 20000:
            continue
        expected = span(begin[1], begin[0]) / step
        place = peak(image[:lines], round(expected), sample)
        found.append((place[0] - expected, place[1] - sample, place[2] / 9000))
    found = np.array(found)
    assert len(found) == 17
    assert np.abs(found[:, 0]).max() < 0.02
    assert np.abs(found[:, 1]).max() < 0.01
    assert np.abs(found[:, 2] - 1).max() < 0.001


def test_made_up_grid_and_solver_agree(template, tmp_path):
    root = annotation(template)
    points = [p for p in root.iter("geolocationGridPoint") if value(p, "line") == LINES]
    points = [p for p in points if 30 < value(p, "pixel") < 700]
    targets = tuple(
        (value(p, "longitude"), value(p, "latitude"), value(p, "height"), 9000.0) for p in points
    )
    scene = SlcScene((0, 0, 1, 1), density=0, targets=targets)
    image = pixels(simulate_slc(tmp_path, template, scene, **VV))
    line = span(starts(root)[1], starts(root)[0]) / value(root, "azimuthTimeInterval")
    assert abs(line - round(line)) < 0.001
    for point in points:
        place = peak(image, round(line), int(value(point, "pixel")))
        assert abs(place[0] - line) < 0.01
        assert abs(place[1] - value(point, "pixel")) < 0.01


def test_a_target_is_in_every_burst_and_swath_that_sees_it(template, tmp_path):
    """The overlaps in azimuth and range hold it two and two times."""
    one, two = annotation(template, "iw1"), annotation(template, "iw2")
    # Ground in the middle of both overlaps, from IW2's grid and a search in range.
    rate = value(two, "rangeSamplingRate")
    near = [value(r, "imageInformation/slantRangeTime") for r in (one, two)]
    shared = (near[0] + 760 / rate + near[1] + 8 / rate) / 2
    points = [p for p in two.iter("geolocationGridPoint") if value(p, "line") == LINES]
    tau = [value(p, "slantRangeTime") for p in points]
    place = [
        np.interp(shared, tau, [value(p, x) for p in points])
        for x in ("longitude", "latitude", "height")
    ]
    # Some ten lines on, to be inside the valid lines of the later burst.
    place[1] -= 10 * 14 / 111e3
    scene = SlcScene((0, 0, 1, 1), density=0, targets=((*place, 9000.0),))
    safe = simulate_slc(tmp_path, template, scene, polarisations=("VV",))
    seen = {}
    for swath in ("iw1", "iw2", "iw3"):
        power = np.abs(pixels(safe, swath)).reshape(3, LINES, SAMPLES).max(axis=(1, 2))
        seen[swath] = (power > 6000).sum()
    assert seen == {"iw1": 1, "iw2": 2, "iw3": 0}


def test_shifted_lines_and_orbit_move_what_they_should(template, tmp_path):
    scene = SlcScene((0, 0, 1, 1), density=0, targets=((LON, LAT, 50.0, 9000.0),))
    found, roots = [], []
    for name, more in {
        "plain": {},
        "later": {"line_shift": 0.43},
        "aside": {"orbit_shift_m": 100.0},
    }.items():
        (tmp_path / name).mkdir()
        safe = simulate_slc(tmp_path / name, template, scene, **VV, **more)
        roots.append(annotation(safe))
        found.append(peak(pixels(safe), LINES + LINES // 2, 384, reach=60))
    step, rate = value(roots[0], "azimuthTimeInterval"), value(roots[0], "rangeSamplingRate")
    shift = [span(b, a) for a, b in zip(*map(starts, roots[:2]), strict=True)]
    assert np.ptp(shift) == 0
    assert abs(shift[0] / step - 0.43) < 0.0003
    assert abs(found[0][0] - found[1][0] - shift[0] / step) < 0.005
    assert abs(found[0][1] - found[1][1]) < 0.002
    sensing = [time(r.findtext(".//sensingTime")) for r in roots[:2]]
    assert span(sensing[1], sensing[0]) == shift[0]
    # To the right is towards the ground: nearer by the sine of the off-nadir angle.
    nearer = (found[0][1] - found[2][1]) * C / 2 / rate
    angle = value(roots[0], "incidenceAngleMidSwath")
    assert 100 * np.sin(np.radians(angle - 6)) < nearer < 100 * np.sin(np.radians(angle))
    # The grid follows: what it says of a pixel is where the solver puts it.
    points = [p for p in roots[2].iter("geolocationGridPoint") if value(p, "line") == LINES]
    point = points[len(points) // 2]
    target = (*(value(point, x) for x in ("longitude", "latitude", "height")), 9000.0)
    scene = SlcScene((0, 0, 1, 1), density=0, targets=(target,))
    image = pixels(simulate_slc(tmp_path, template, scene, orbit_shift_m=100.0, **VV))
    line = span(starts(roots[2])[1], starts(roots[2])[0]) / step
    place = peak(image, round(line), int(value(point, "pixel")))
    assert abs(place[0] - line) < 0.01
    assert abs(place[1] - value(point, "pixel")) < 0.01


def test_grid_of_real_annotations_is_solved_to_a_centimetre(pair, tmp_path):
    scene = EMPTY
    roots = []
    for name, shift in (("as_it_is", 0.0), ("solved", 1e-6)):
        (tmp_path / name).mkdir()
        safe = simulate_slc(tmp_path / name, pair[0], scene, orbit_shift_m=shift, **REAL)
        roots.append(annotation(safe, "iw1"))
    for name in ("latitude", "longitude"):
        grids = [[float(item.text) for item in root.iter(name)] for root in roots]
        assert len(grids[0]) == 63
        # Azimuth times and state vectors have whole microseconds: 7 mm.
        assert np.abs(np.diff(grids, axis=0)).max() * 111e3 < 0.015


def test_another_date_of_the_same_track(pair, tmp_path):
    scene = EMPTY
    first = simulate_slc(tmp_path, pair[0], scene, **REAL)
    later = simulate_slc(tmp_path, pair[0], scene, time_shift_days=12, **REAL)
    assert later.name[:-10] == pair[1].stem[:-5]  # but for its checksum
    names = {p.name for p in later.rglob("*.tiff")}
    assert names == {"s1a-iw1-slc-vv-20230916t063731-20230916t063756-050349-060fcd-004.tiff"}
    roots = [annotation(safe, "iw1") for safe in (first, later)]
    for tag in ("azimuthTime", "sensingTime", "time", "ascendingNodeTime", "startTime"):
        texts = [[time(item.text) for item in root.iter(tag)] for root in roots]
        assert {b - a for a, b in zip(*texts, strict=True)} == {np.timedelta64(12, "D")}
    ids = [[(b.text, int(b.get("absolute"))) for b in root.iter("burstId")] for root in roots]
    assert [b[0] for b in ids[0]] == [b[0] for b in ids[1]]
    assert [b[1] - a[1] for a, b in zip(*ids, strict=True)] == [375887, 375887]
    assert value(roots[1], "absoluteOrbitNumber") == 50349
    manifest = (later / "manifest.safe").read_text()
    assert "20230904" not in manifest
    assert "2023-09-04" not in re.sub(r"<safe:processing .*?</safe:processing>", "", manifest)
    assert ">50349<" in manifest
    with pytest.raises(ValueError, match="repeat cycles"):
        simulate_slc(tmp_path, pair[0], scene, time_shift_days=7, **REAL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"swaths": ("IW4",)}, "no annotation and calibration"),
        ({"polarisations": ("HH",)}, "no annotation and calibration"),
        ({"bursts": [0, 2]}, "not consecutive"),
        ({"bursts": range(2, 5)}, "no consecutive bursts of 3"),
    ],
)
def test_impossible_wishes_are_refused(template, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        simulate_slc(tmp_path, template, EMPTY, **change)
    assert not list(tmp_path.iterdir())


def test_a_product_is_not_overwritten(template, tmp_path):
    scene = EMPTY
    simulate_slc(tmp_path, template, scene, **VV)
    with pytest.raises(FileExistsError, match="already there"):
        simulate_slc(tmp_path, template, scene, **VV)


def test_bounds_that_hold_no_ground_are_refused(template, tmp_path):
    with pytest.raises(ValueError, match="not west, south, east, north"):
        simulate_slc(tmp_path, template, SlcScene((1, 0, 0, 1), density=0), **VV)
