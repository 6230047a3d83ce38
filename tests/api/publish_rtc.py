"""The terrain-corrected products of a simulated event, as the Planetary Computer has them.

They are made from the ground itself, not from the GRD products: gamma nought of level ground of the
same cover, with speckle, inside the footprint of each product.
"""

from __future__ import annotations

import hashlib
from copy import deepcopy
from dataclasses import replace

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from publish import MADE_BY_THE_API, Json, Publication, acquired, simulated, write_array
from pyproj import Transformer
from rasterio.features import rasterize
from shapely import transform
from shapely.geometry import mapping, shape

from cube.simulate import Scenario
from cube.simulate.event import PassSimulator, simulators
from cube.simulate.pixels import speckle
from cube.simulate.radiometry import scene_sigma0
from cube.simulate.world import World, build_world

__all__ = ["NO_DATA", "publish_rtc"]

NO_DATA = -32768.0


def publish_rtc(made: Publication, scenario: Scenario, seed: int = 0) -> None:
    """Add collection ``sentinel-1-rtc`` to a publication of this scenario's GRD products."""
    made.start("sentinel-1-rtc")
    world = build_world(scenario.bbox, seed, dem_margin_deg=scenario.dem_margin_deg)
    grd = made.of("sentinel-1-grd")
    for simulator in simulators(world, scenario, seed):
        gamma = gamma_nought(simulator)
        orbit = simulator.item.absolute_orbit
        for source in (item for item in grd if item["properties"]["sat:absolute_orbit"] == orbit):
            publish_scene(made, world, gamma, source)


def gamma_nought(simulator: PassSimulator) -> dict[str, NDArray[np.float32]]:
    """Gamma nought of a pass on the grid of the world, slopes taken out, with speckle."""
    seen = simulator.view
    level = replace(seen, land={name: power / seen.area for name, power in seen.land.items()})
    scene = scene_sigma0(simulator.world, level, simulator.state())
    generator = np.random.default_rng((simulator.seed, simulator.number, 104))
    cosine = np.cos(np.radians(seen.incidence_deg))
    return {name: power / cosine * speckle(power.shape, generator) for name, power in scene.items()}


def publish_scene(
    made: Publication, world: World, gamma: dict[str, NDArray[np.float32]], source: Json
) -> None:
    """One product on its part of the grid."""
    change = Transformer.from_crs("EPSG:4326", str(world.grid.crs), always_xy=True)
    outline = transform(
        shape(source["geometry"]), lambda xy: np.stack(change.transform(*xy.T), axis=-1)
    )
    whole = world.grid.affine
    west, south, east, north = outline.bounds
    left, right = int((west - whole.c) // 10), int(-((whole.c - east) // 10))
    top, bottom = int((whole.f - north) // 10), int(-((south - whole.f) // 10))
    size = bottom - top, right - left
    place = Affine(10, 0, whole.c + 10 * left, 0, -10, whole.f - 10 * top)
    inside = rasterize([mapping(outline)], size, transform=place).astype(bool)
    item = rtc_item(made, source, int(world.grid.crs.to_epsg()), place, size)
    for pol in ("vv", "vh"):
        inner = source["assets"][pol]["href"].split("/s1-grd/")[1]
        path = made.folder("sentinel-1-rtc") / inner.replace(".tiff", ".rtc.tiff")
        values = np.where(inside, gamma[pol.upper()][top:bottom, left:right], np.float32(NO_DATA))
        write_array(
            path,
            values.astype("float32"),
            crs=str(world.grid.crs),
            transform=place,
            nodata=NO_DATA,
            options={"overview_resampling": "average"},
        )
        item["assets"][pol] |= {
            "href": made.href("sentinel-1-rtc", path),
            "file:size": path.stat().st_size,
            "file:checksum": hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest(),
        }
    made.items.append(item)


def rtc_item(
    made: Publication, source: Json, epsg: int, place: Affine, size: tuple[int, int]
) -> Json:
    """The recorded Item with what the GRD product's one says, on this grid."""
    item = made.template("mspc-s1-rtc.json")
    item["id"] = f"{source['id']}_rtc"
    for key in ("bbox", "geometry"):
        item[key] = deepcopy(source[key])
    for key in MADE_BY_THE_API:
        del item["assets"][key]
    item["properties"] |= acquired(item["properties"], source["properties"])
    item["properties"] |= {
        "proj:epsg": epsg,
        "proj:shape": list(size),
        "proj:transform": list(place)[:9],
        "proj:bbox": [place.c, place.f - 10 * size[0], place.c + 10 * size[1], place.f],
    }
    return simulated(item, "sentinel-1-rtc")
