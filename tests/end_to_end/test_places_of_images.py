"""Points and edges of complex images on real annotations: where they come to lie on the map."""

from __future__ import annotations

import re

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from seam_places import bursts_of
from single_look import Level, pair_of, product_of

from cube.readers.annotation import read_grid
from cube.readers.dem import open_dem
from cube.simulate.slc import SlcScene, simulate_slc
from cube.steps.slc import SlcSource, geocoded_slc


def test_points_of_esas_grid_come_into_focus_where_it_says(tmp_path, data_dir):
    first, _ = pair_of(data_dir)
    bare = SlcScene(bounds=(0.0, 0.0, 0.001, 0.001), density=0.0)
    empty = simulate_slc(tmp_path, first, bare, swaths=("IW1", "IW2", "IW3"), polarisations=("VV",),
                         bursts=range(3))  # fmt: skip
    chosen = []
    for n in (1, 2, 3):
        href = next((empty / "annotation").glob(f"s1a-iw{n}-*.xml"))
        text = href.read_text()
        points, lines = read_grid(str(href)), _lines(text)
        start = _starts(text)
        step = float(text.split("<azimuthTimeInterval>")[1].split("<")[0])
        # the grid's lines are first lines of bursts, which hold no data: the burst before does
        for sample in (2, 10, 17):
            at = np.flatnonzero(points.line == lines)[sample]
            line = (start[1] - start[0]) / step
            chosen.append((f"IW{n}", 0, line, points.sample[at], 3000.0, points, at))
    scene = SlcScene(
        bounds=bare.bounds, density=0.0, image_targets=tuple(one[:5] for one in chosen)
    )
    (tmp_path / "with").mkdir()
    product = simulate_slc(
        tmp_path / "with", first, scene, swaths=("IW1", "IW2", "IW3"), polarisations=("VV",),
        bursts=range(3),
    )  # fmt: skip
    for swath, _, _, _, _, points, at in chosen:
        north, east = _focus(product, points.lon[at], points.lat[at], points.height[at])
        # .05 of a line of 13.9 m along the track, 10 degrees from north; .05 of a sample of 2.33 m
        # (slant) is .17 to .22 m on the ground; the grid's own degrees are rounded to a centimetre
        assert abs(north) < 0.05 * 13.9, (swath, north, east)
        assert abs(east) < 0.05 * 2.33 / np.sin(np.radians(45)) + 0.18 * abs(north), swath


def _lines(text):
    return float(text.split("<linesPerBurst>")[1].split("<")[0])


def _starts(text):
    found = re.findall(r"<azimuthTime>([^<]+)<", bursts_of(text))
    return [np.datetime64(one).astype("int64") * 1e-6 for one in found]


def _focus(product, lon, lat, height):
    """Metres to the north and to the east by which the brightest place is off."""
    zone = Transformer.from_crs(4326, 32629, always_xy=True)
    x, y = zone.transform(lon, lat)
    size = 61, 41
    grid = GeoBox(size, Affine(0.5, 0, x - 10.25, 0, -1.0, y + 30.5), "EPSG:32629")
    slices = (product_of(product),)
    image = geocoded_slc(SlcSource(grid, Level(height, size), slices, slices), 512).compute()[0]
    power = np.abs(image)
    row, col = np.unravel_index(np.nanargmax(power), size)
    assert 0 < row < size[0] - 1
    assert 0 < col < size[1] - 1

    def vertex(values):
        return (values[0] - values[2]) / 2 / (values[0] - 2 * values[1] + values[2])

    down = row + vertex(power[row - 1 : row + 2, col].astype(float))
    right = col + vertex(power[row, col - 1 : col + 2].astype(float))
    return (size[0] // 2 - down) * 1.0, (right - size[1] // 2) * 0.5


def test_footprint_of_another_processors_coherence(tmp_path, data_dir):
    """Edges of its valid part are lines of one time and of one range, as our geometry sees them."""
    path = data_dir / "insar" / "coh_vv.tif"
    with rasterio.open(path) as file:
        valid, transform, size = file.read(1) != 0, file.transform, file.shape
    first, _ = pair_of(data_dir)
    bare = SlcScene(bounds=(0.0, 0.0, 0.001, 0.001), density=0.0)
    product = simulate_slc(tmp_path, first, bare, swaths=("IW1", "IW2"), polarisations=("VV",),
                           bursts=range(1))  # fmt: skip
    dem = open_dem(str(data_dir / "dem" / "slc_pair_iw1_burst1_glo30.tif"), "egm2008", None)
    grid = GeoBox(size, transform, "EPSG:4326")
    ours = {}
    for n in (1, 2):
        files = tuple(part for part in product_of(product) if part[0].swath == f"iw{n}")
        source = SlcSource(grid, dem, (files,), (files,))
        ours[n] = np.isfinite(geocoded_slc(source, 2048).compute()[0])
    # far edge of IW1, where IW2 has not begun in azimuth: theirs ends up to 18 samples of 3.5 m
    # before the last valid one, which is 4 pixels of 14.6 m
    edge = np.array([np.flatnonzero(one)[0] for one in valid[:120]])
    mine = np.array([np.flatnonzero(one)[0] for one in ours[1][:120]])
    assert (np.abs(edge - mine) <= 6).all()
    assert np.std(edge - mine) < 1.0
    # first line of IW2: they cut half of the overlap of 123 lines off the first burst too, and ours
    # begins where a pixel has three lines before it: 58.5 lines of 13.9 m in pixels of 17.1 m
    top = np.array([np.flatnonzero(one)[0] for one in valid[:, :200].T])
    mine = np.array([np.flatnonzero(one)[0] for one in ours[2][:, :200].T])
    assert np.mean(top - mine) == pytest.approx(58.5 * 13.9 / 17.1, abs=2.5)
    assert np.std(top - mine) < 1.0
    covered = ours[1] | ours[2]
    assert not (valid & ~covered).any()
