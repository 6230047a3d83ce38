"""Complex images of made-up products: the other direction, the other hemisphere, other grids.

Annotation and pixels are SIMULATED, on an orbit that is made up too.
"""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from single_look import Level, product_of

from cube.simulate import SlcScene, make_slc_template, simulate_slc
from cube.steps.slc import SlcSource, geocoded_slc

HEIGHT = 80.0
PLACES = {
    "ascending, south": (27.4, -22.3, "ascending", "EPSG:32735", 10.0),
    "descending, north": (24.0, 62.0, "descending", "EPSG:3857", 20.0),
    "ascending, degrees": (-61.0, 5.5, "ascending", "EPSG:4326", 1e-4),
}


@pytest.mark.parametrize("name", PLACES)
def test_a_pair_is_coherent_and_flat_and_points_stand_where_they_are(name, tmp_path):
    lon, lat, direction, crs, step = PLACES[name]
    template = make_slc_template(
        tmp_path, lon=lon, lat=lat, orbit_direction=direction, bursts=2, swaths=("IW1", "IW2"),
        lines_per_burst=400, samples_per_burst=1600, polarisations=("VV",), height=HEIGHT,
    )  # fmt: skip
    size = 120, 120
    x, y = Transformer.from_crs(4326, crs, always_xy=True).transform(lon, lat)
    grid = GeoBox(
        size, Affine(step, 0, x - 60.5 * step, 0, -step, y + 60.5 * step), crs
    )  # the middle of pixel (60, 60) is the place itself
    reach = 0.012 / np.cos(np.radians(lat)), 0.012
    scene = SlcScene(
        (lon - reach[0], lat - reach[1], lon + reach[0], lat + reach[1]), HEIGHT,
        targets=((lon, lat, HEIGHT, 20_000.0),), seed=2,
    )  # fmt: skip
    dates = []
    for date, more in enumerate(({}, {"line_shift": 0.43, "time_shift_days": 12})):
        (tmp_path / str(date)).mkdir()
        safe = simulate_slc(tmp_path / str(date), template, scene, date=date, **more)
        dates.append((product_of(safe),))
    one, other = (
        geocoded_slc(SlcSource(grid, Level(HEIGHT, size), date, dates[0]), 512).compute()[0]
        for date in dates
    )
    assert np.isfinite(one).all()
    assert np.unravel_index(np.abs(one).argmax(), size) == (60, 60)
    for image in (one, other):
        image[45:76, 45:76] = 0  # the point would outshine the ground
    cross = np.vdot(other.astype("complex128"), one)
    power = np.sqrt((np.abs(one) ** 2).sum(dtype=float) * (np.abs(other) ** 2).sum(dtype=float))
    # a thousandth is lost by interpolation in range
    assert abs(cross) / power > 0.998
    # the orbit is made up and smooth: nothing is left of the phase
    assert abs(np.angle(cross)) < 0.005
