"""Single-look products of a simulated event: whose passes they are, and what is said of them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from slc_measures import annotation, starts, time, value

from cube.grid import target_grid
from cube.readers.stac import CatalogSource
from cube.simulate import simulate_event
from cube.simulate.scenarios import DEMO, INDUS, SMALL
from cube.simulate.slc_event import pass_numbers

xarray_sentinel = pytest.importorskip("xarray_sentinel")
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

PASSES = [SMALL.passes[at] for at in (1, 2, 3)]


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    folder = tmp_path_factory.mktemp("single") / "event"
    return simulate_event(folder, small=True, products=("slc",))


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("both") / "event"
    return simulate_event(folder, small=True, products=("grd", "slc"))


def items_of(event) -> list[pystac.Item]:
    catalog = pystac.Catalog.from_file(str(event.catalog))
    items = list(catalog.get_child("sentinel-1-slc").get_items())
    return sorted(items, key=lambda item: item.datetime)


@pytest.mark.parametrize(
    ("scenario", "numbers"), [(DEMO, [4, 6, 8, 10]), (SMALL, [1, 2, 3]), (INDUS, [1, 3, 5, 7])]
)
def test_passes_are_of_one_track_on_both_sides_of_the_flood(scenario, numbers):
    assert pass_numbers(scenario) == numbers
    chosen = [scenario.passes[number] for number in numbers]
    assert {item.track for item in chosen} == {scenario.passes[-1].track}
    assert [item.stage_m > 0 for item in chosen] == [False, False, True, True][: len(chosen)]


def test_products_carry_the_numbers_of_their_passes(single):
    assert not single.products
    for safe, item in zip(single.single_look, PASSES, strict=True):
        name = safe.name.split("_")
        assert name[:3] == ["S1A", "IW", "SLC"]
        assert name[-3:-1] == [
            f"{item.absolute_orbit:06d}",
            f"{0x55000 + item.absolute_orbit - 44000:06X}",
        ]
        middle = np.datetime64(item.time)
        root = annotation(safe)
        first, last = (time(root.findtext(f"adsHeader/{key}Time")) for key in ("start", "stop"))
        assert first - np.timedelta64(1, "s") < middle < last + np.timedelta64(1, "s")
        assert f"({SMALL.title}, seed 0)" in (safe / "manifest.safe").read_text()


def test_bursts_have_equal_numbers_and_lines_that_are_not_aligned(single):
    for swath in ("iw1", "iw2"):
        roots = [annotation(safe, swath) for safe in single.single_look]
        assert len({tuple(burst.text for burst in root.iter("burstId")) for root in roots}) == 1
        absolute = [int(next(root.iter("burstId")).attrib["absolute"]) for root in roots]
        assert absolute == sorted(set(absolute))
        for (one, early), (two, late) in pairwise(zip(roots, PASSES, strict=True)):
            gap = np.datetime64(late.time) - np.datetime64(early.time)
            shift = (starts(two)[0] - starts(one)[0] - gap) / np.timedelta64(1, "us") / 1e6
            lines = abs(shift) / value(one, "azimuthTimeInterval")
            assert 0.02 < lines < 1


def vectors(root: ET.Element, epoch: np.datetime64) -> tuple[np.ndarray, np.ndarray]:
    found = list(root.iter("orbit"))
    seconds = [
        (time(one.findtext("time")) - epoch) / np.timedelta64(1, "us") / 1e6 for one in found
    ]
    places = [[float(one.findtext(f"position/{axis}")) for axis in "xyz"] for one in found]
    return np.array(seconds), np.array(places)


def test_detected_and_single_look_products_of_a_pass_have_one_orbit(both):
    """To the metres by which a shift across the track is not along the equator."""
    detected = {safe.name.split("_")[-3]: safe for safe in both.products}
    places = []
    for safe, item in zip(both.single_look, PASSES, strict=True):
        other = detected[f"{item.absolute_orbit:06d}"]
        epoch = np.datetime64(item.time, "us")
        at, place = vectors(annotation(safe), epoch)
        grd = ET.parse(next((other / "annotation").glob("*-vv-*.xml"))).getroot()
        when, known = vectors(grd, epoch)
        inside = (when > at[0]) & (when < at[-1])
        fit = np.array(
            [np.polynomial.Polynomial.fit(at, axis, 8)(when[inside]) for axis in place.T]
        )
        assert inside.sum() > 10
        assert np.linalg.norm(fit.T - known[inside], axis=1).max() < 5
        places.append([np.polynomial.Polynomial.fit(at, axis, 8)(0.0) for axis in place.T])
    apart = np.linalg.norm(np.diff(places, axis=0), axis=1)
    # along the track they are a metre apart at most: these are baselines
    assert ((apart > 10) & (apart < 160)).all()


def test_items_are_those_of_single_look_products(single):
    catalog = pystac.Catalog.from_file(str(single.catalog))
    assert {child.id for child in catalog.get_children()} == {
        "sentinel-1-slc",
        "dem",
        "permanent-water",
    }
    keys = {"safe-manifest"}
    for image in ("iw1-vv", "iw2-vv"):
        keys |= {image, *(f"schema-{kind}-{image}" for kind in ("product", "calibration", "noise"))}
    for item, safe, one in zip(items_of(single), single.single_look, PASSES, strict=True):
        assert item.id == safe.name.rpartition("_")[0]
        assert set(item.assets) == keys
        found = item.properties
        assert found["simulated"] is True
        assert found["sar:product_type"] == "SLC"
        assert found["sar:polarizations"] == ["VV"]
        assert found["sat:absolute_orbit"] == one.absolute_orbit
        assert found["start_datetime"] < found["end_datetime"]
        for asset in item.assets.values():
            assert not asset.href.startswith("/")
            assert (Path(item.get_self_href()).parent / asset.href).resolve().is_file()
        west, south, east, north = SMALL.bbox
        box = item.bbox
        assert box[0] < west - 0.008
        assert box[1] < south - 0.008
        assert box[2] > east + 0.008
        assert box[3] > north + 0.008


def test_readers_find_the_products_in_the_catalog(single):
    source = CatalogSource(single.catalog, "sentinel-1-slc", "slc")
    assert not source.notes
    scenes = source.search(SMALL.bbox, (date(2022, 6, 1), date(2022, 9, 30)))
    assert [scene.relative_orbit for scene in scenes] == [78, 78, 78]
    assert all(scene.simulated for scene in scenes)
    for scene in scenes:
        swaths = scene.swaths(("vv",))
        assert [files.swath for (files,) in swaths] == ["iw1", "iw2"]


def test_xarray_sentinel_opens_a_product(single):
    safe = single.single_look[-1]
    for swath in ("IW1", "IW2"):
        image = xarray_sentinel.open_sentinel1_dataset(str(safe), group=f"{swath}/VV")
        assert image.attrs["number_of_bursts"] == 2
        burst = xarray_sentinel.crop_burst_dataset(image, 0).measurement.values
        assert burst.dtype.kind == "c"
        assert (burst != 0).mean() > 0.2


def test_true_coherence_lies_on_the_target_grid(single):
    grid = target_grid(single.bbox)
    with rasterio.open(single.coherence) as file, rasterio.open(single.truth) as known:
        assert file.shape == known.shape == tuple(grid.shape)
        assert file.transform == grid.affine
        assert file.crs.to_epsg() == grid.crs.to_epsg()
        assert file.dtypes == ("float32", "float32")
        assert np.isnan(file.nodata)
        assert file.descriptions == ("2022-07-20 2022-08-01", "2022-08-01 2022-09-18")
        before, flooded = file.read()
        classes = known.read(1)
    values = {0.0, 0.15, 0.3, 0.4, 0.5, 0.7, 0.85}
    assert {round(float(v), 3) for v in np.unique(before)} == values
    town = round(float(np.sqrt(0.85 * 0.15)), 3)
    assert {round(float(v), 3) for v in np.unique(flooded)} == {*values, town}
    assert np.array_equal(flooded[classes == 0], before[classes == 0])
    assert (flooded[classes == 1] == 0).all()
    assert {round(float(v), 3) for v in np.unique(flooded[classes == 2])} == {0.0, town}
    assert ((flooded == np.float32(0)) | (classes != 2) | (before == np.float32(0.85))).all()


def test_no_byte_depends_on_what_else_is_simulated(event, single, both, tree):
    """Also: the same seed gives the same bytes, and detected products are what they were."""
    detected, complex_ones, all_of_them = (tree(one.directory) for one in (event, single, both))
    union = detected | complex_ones
    assert set(all_of_them) == set(union)
    different = {path for path, content in all_of_them.items() if union[path] != content}
    # which lists what there is
    assert different == {"catalog.json"}
    assert not any("/." in path or path.startswith(".") for path in union)


def test_detected_products_alone_are_the_default(event):
    assert not event.single_look
    assert event.coherence is None
    assert not list(event.directory.glob("*coherence*"))


def test_products_that_are_none_are_refused(tmp_path, cube_command):
    for products in ((), ("rtc",), ("grd", "raw")):
        with pytest.raises(ValueError, match="none of grd, slc"):
            simulate_event(tmp_path / "event", small=True, products=products)
    said = cube_command("simulate", tmp_path / "event", "--small", "--product", "rtc").error
    assert "choose grd, slc or both" in said
    assert list(tmp_path.iterdir()) == []
