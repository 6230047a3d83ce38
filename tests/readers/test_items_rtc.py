"""Items of terrain-corrected products as their providers wrote them, recorded word for word."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyproj import Transformer
from shapely.geometry import Polygon

from cube.errors import SourceError
from cube.readers.access import Access
from cube.readers.items import scene_from_item
from cube.readers.scene import Scene

PUBLIC = Access(signing="planetary-computer")


def read(path: Path) -> Scene:
    return scene_from_item(json.loads(path.read_text()), PUBLIC, product="rtc")


def outline(item: dict[str, Any], swapped: bool) -> Polygon:
    """Border of the raster in degrees, from its projection, transform and shape alone."""
    found = item["properties"]
    a, _, x0, _, e, y0 = found["proj:transform"][:6]
    width, height = found["proj:shape"] if swapped else found["proj:shape"][::-1]
    along = np.linspace(0, 1, 50)
    xs = np.concatenate([along, np.ones(50), along[::-1], np.zeros(50)]) * width * a + x0
    ys = np.concatenate([np.zeros(50), along, np.ones(50), along[::-1]]) * height * e + y0
    change = Transformer.from_crs(found["proj:epsg"], 4326, always_xy=True)
    return Polygon(np.stack(change.transform(xs, ys), axis=-1))


@pytest.fixture
def planetary(data_dir: Path) -> Path:
    return data_dir / "stac/planetary_computer"


def test_an_item_of_2024_is_a_scene(planetary):
    path = planetary / "mspc-s1-rtc.json"
    scene = read(path)
    assert scene.id == "S1A_IW_GRDH_1SDV_20240325T055038_20240325T055103_053134_066FC4_rtc"
    assert (scene.platform, scene.product, scene.mode) == ("sentinel-1a", "RTC", "IW")
    assert (scene.relative_orbit, scene.orbit_direction) == (37, "descending")
    assert scene.datatake == 421828 == 0x66FC4
    assert str(scene.start) == "2024-03-25T05:50:38.146465"
    assert scene.polarisations == ("vv", "vh")
    ends = [files.measurement.rpartition("/")[2] for _, files in scene.files]
    assert ends == ["iw-vv.rtc.tiff", "iw-vh.rtc.tiff"]
    files = scene.of(("vv",))[0]
    assert (files.annotation, files.calibration, files.noise) == ("", "", "")
    assert files.access == PUBLIC
    raster = outline(json.loads(path.read_text()), swapped=False)
    assert raster.buffer(1e-3).contains(scene.footprint)
    assert scene.footprint.area > 0.6 * raster.area


def test_metres_of_2019_become_degrees(planetary):
    paths = sorted(planetary.glob("*20191215*_rtc.json"))
    assert len(paths) == 4
    for path in paths:
        item = json.loads(path.read_text())
        assert item["bbox"][0] > 1e5, "the Item has metres where degrees belong"
        scene = read(path)
        # Their proj:shape is columns and rows: one more thing that is not believed
        raster = outline(item, swapped=True)
        assert raster.buffer(1e-3).contains(scene.footprint)
        assert 0.6 < scene.footprint.area / raster.area < 1
        assert (scene.relative_orbit, scene.datatake) == (5, 227548)
        assert scene.polarisations == ("vv", "vh")


def test_slices_of_2019_lie_in_a_row(planetary):
    scenes = sorted(map(read, planetary.glob("*20191215*_rtc.json")), key=lambda one: one.start)
    _, eleven, twelve, thirteen = (one.footprint for one in scenes)
    for one, other in ((eleven, twelve), (twelve, thirteen)):
        assert one.distance(other) < 1e-3  # neighbours meet within a hundred metres
        assert one.intersection(other).area < 0.05 * one.area
    assert eleven.distance(thirteen) > 1


def test_a_tile_of_indigo_is_a_scene(data_dir):
    path = data_dir / "stac/aws_rtc/S1A_20200103_17RMJ_ASC.json"
    scene = read(path)
    assert (scene.product, scene.polarisations) == ("RTC", ("vv", "vh"))
    assert (scene.relative_orbit, scene.orbit_direction) == (121, "ascending")
    assert scene.datatake == 0x382F7  # from the names of the products it was made from
    ends = [files.measurement.rpartition("/")[2] for _, files in scene.files]
    assert ends == ["Gamma0_VV.tif", "Gamma0_VH.tif"], "not the incidence angle"
    raster = outline(json.loads(path.read_text()), swapped=False)
    assert raster.buffer(1e-3).contains(scene.footprint)


@pytest.mark.parametrize("code", [{"proj:code": "EPSG:32614"}, {}], ids=["code", "nothing"])
def test_metres_need_a_projection(planetary, code):
    item = json.loads(next(planetary.glob("*20191215T004249*_rtc.json")).read_text())
    plain = scene_from_item(deepcopy(item), PUBLIC, product="rtc").footprint
    del item["properties"]["proj:epsg"]
    item["properties"] |= code
    if code:
        assert scene_from_item(item, PUBLIC, product="rtc").footprint.equals_exact(plain, 1e-12)
        return
    with pytest.raises(SourceError, match=r"geometry 282795,.* is not in degrees"):
        scene_from_item(item, PUBLIC, product="rtc")


def test_an_item_without_images_says_what_it_has(planetary):
    item = json.loads((planetary / "mspc-s1-rtc.json").read_text())
    del item["assets"]["vv"], item["assets"]["vh"]
    says = r"no vv, vh, hh or hv asset; assets: tilejson, rendered_preview"
    with pytest.raises(SourceError, match=says):
        scene_from_item(item, PUBLIC, product="rtc")
