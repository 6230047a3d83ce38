"""STAC Items of simulated products and their maps, in a static catalog.

Item ids, asset keys and properties are those that the Planetary Computer gives to its collection
``sentinel-1-grd``, so that a search there and a folder here look alike. Of single-look products,
which it does not hold, assets are named as stactools names them: ``iw1-vv`` and the like.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pystac
import rasterio
from pyproj import Transformer

from cube.simulate.product import ProductSpec
from cube.simulate.scenarios import Pass
from cube.simulate.slc_files import read_template

__all__ = ["product_item", "raster_item", "slc_item", "write_catalog"]

GEOTIFF = "image/tiff; application=geotiff"
EXTENSIONS = [
    "https://stac-extensions.github.io/sar/v1.0.0/schema.json",
    "https://stac-extensions.github.io/sat/v1.0.0/schema.json",
]


SAFE_SPACE = "http://www.esa.int/safe/sentinel-1.0"
PROPERTIES = {
    "platform": "sentinel-1a",
    "constellation": "Sentinel-1",
    "instruments": ["c-sar"],
    "simulated": True,
    "s1:orbit_source": "RESORB",
    "s1:processing_level": "1",
    "sar:frequency_band": "C",
    "sar:center_frequency": 5.405,
    "sar:observation_direction": "right",
    "sar:instrument_mode": "IW",
    "sat:platform_international_designator": "2014-016A",
}
"""Of simulated single-look products, whatever the pass."""


def _utc(time: np.datetime64) -> datetime:
    return datetime.fromisoformat(str(time)).replace(tzinfo=UTC)


def _text(time: np.datetime64) -> str:
    return f"{time}Z"


def product_item(spec: ProductSpec, safe: Path) -> pystac.Item:
    """Item of one product; assets point into its SAFE folder.

    Parameters
    ----------
    spec : ProductSpec
    safe : Path
        Where the product is now.
    """
    grid = spec.grid()
    ends = ((0, 0), (0, -1), (-1, -1), (-1, 0))
    ring = [[round(float(grid.lon[at]), 6), round(float(grid.lat[at]), 6)] for at in ends]
    lon, lat = [point[0] for point in ring], [point[1] for point in ring]
    start, stop = spec.first_line_time, spec.last_line_time
    item = pystac.Item(
        id=spec.stem,
        geometry={"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
        bbox=[min(lon), min(lat), max(lon), max(lat)],
        datetime=_utc(start + (stop - start) / 2),
        properties=_properties(spec),
        stac_extensions=EXTENSIONS,
    )
    item.add_asset("safe-manifest", _metadata(safe / "manifest.safe", "Manifest File"))
    for name in spec.polarisations:
        stem, key = spec.file_stem(name), name.lower()
        item.add_asset(
            key,
            pystac.Asset(
                str(safe / "measurement" / f"{stem}.tiff"),
                title=f"{name}: simulated amplitude",
                media_type=GEOTIFF,
                roles=["data"],
            ),
        )
        annotation = safe / "annotation"
        files = {
            "product": annotation / f"{stem}.xml",
            "calibration": annotation / "calibration" / f"calibration-{stem}.xml",
            "noise": annotation / "calibration" / f"noise-{stem}.xml",
        }
        for kind, path in files.items():
            item.add_asset(f"schema-{kind}-{key}", _metadata(path, f"{kind.capitalize()} Schema"))
    return item


def slc_item(safe: Path, item: Pass, datatake: int) -> pystac.Item:
    """Item of one single-look product: an asset ``iw1-vv`` and its like for each image.

    Parameters
    ----------
    safe : Path
        Where the product is now.
    item : Pass
    datatake : int
    """
    template = read_template(safe)
    root = ET.fromstring(template.texts["manifest.safe"])
    corners = next(root.iter("{http://www.opengis.net/gml}coordinates")).text or ""
    # latitude before longitude, and the first corner not again at the end
    ring = [[float(part) for part in pair.split(",")][::-1] for pair in corners.split()]
    start, stop = (
        np.datetime64(next(root.iter(f"{{{SAFE_SPACE}}}{name}")).text or "", "us")
        for name in ("startTime", "stopTime")
    )
    lon, lat = [point[0] for point in ring], [point[1] for point in ring]
    images = template.images()
    found = pystac.Item(
        # as products of the other kind are named: without the checksum
        id=safe.stem.rpartition("_")[0],
        geometry={"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
        bbox=[min(lon), min(lat), max(lon), max(lat)],
        datetime=_utc(start + (stop - start) / 2),
        properties={
            "start_datetime": _text(start),
            "end_datetime": _text(stop),
            "sar:polarizations": sorted({name for _, name in images}, reverse=True),
            **_slc_properties(item, datatake),
        },
        stac_extensions=EXTENSIONS,
    )
    found.add_asset("safe-manifest", _metadata(safe / "manifest.safe", "Manifest File"))
    for (swath, name), paths in images.items():
        key = f"{swath}-{name}".lower()
        found.add_asset(
            key,
            pystac.Asset(
                str(safe / "measurement" / f"{Path(paths['product']).stem}.tiff"),
                title=f"{swath} {name}: simulated complex samples",
                media_type=GEOTIFF,
                roles=["data"],
            ),
        )
        for kind, path in paths.items():
            schema = _metadata(safe / path, f"{kind.capitalize()} Schema")
            found.add_asset(f"schema-{kind}-{key}", schema)
    return found


def _slc_properties(item: Pass, datatake: int) -> dict[str, Any]:
    return {
        **PROPERTIES,
        "s1:datatake_id": str(datatake),
        "s1:slice_number": "1",
        "s1:total_slices": "1",
        "sar:product_type": "SLC",
        "sar:resolution_range": 3.1,
        "sar:resolution_azimuth": 22,
        "sar:pixel_spacing_range": 2.3,
        "sar:pixel_spacing_azimuth": 14.1,
        "sar:looks_range": 1,
        "sar:looks_azimuth": 1,
        "sat:orbit_state": item.track.direction,
        "sat:absolute_orbit": item.absolute_orbit,
        "sat:relative_orbit": item.track.relative_orbit,
    }


def _metadata(path: Path, title: str) -> pystac.Asset:
    return pystac.Asset(str(path), title=title, media_type="application/xml", roles=["metadata"])


def _properties(spec: ProductSpec) -> dict[str, Any]:
    start, stop = spec.first_line_time, spec.last_line_time
    return {
        "platform": {"S1A": "sentinel-1a", "S1B": "sentinel-1b"}[spec.mission],
        "constellation": "Sentinel-1",
        "instruments": ["c-sar"],
        "start_datetime": _text(start),
        "end_datetime": _text(stop),
        "simulated": True,
        "s1:datatake_id": str(spec.datatake),
        "s1:slice_number": str(spec.slice_number),
        "s1:total_slices": str(len(spec.all_slices)),
        "s1:product_timeliness": "Fast-24h",
        "s1:orbit_source": "RESORB",
        "s1:processing_level": "1",
        "s1:resolution": "high",
        "s1:instrument_configuration_ID": "7",
        "s1:shape": [spec.geometry.samples, spec.geometry.lines],
        "sar:frequency_band": "C",
        "sar:center_frequency": 5.405,
        "sar:observation_direction": "right",
        "sar:instrument_mode": "IW",
        "sar:polarizations": list(spec.polarisations),
        "sar:product_type": "GRD",
        "sar:resolution_range": 20,
        "sar:resolution_azimuth": 22,
        "sar:pixel_spacing_range": 10,
        "sar:pixel_spacing_azimuth": 10,
        "sar:looks_range": 5,
        "sar:looks_azimuth": 1,
        "sar:looks_equivalent_number": 4.4,
        "sat:platform_international_designator": "2014-016A",
        "sat:orbit_state": spec.direction,
        "sat:absolute_orbit": spec.absolute_orbit,
        "sat:relative_orbit": spec.relative_orbit,
    }


def raster_item(identifier: str, path: Path, time: np.datetime64) -> pystac.Item:
    """Item of one GeoTIFF with the asset ``data``."""
    with rasterio.open(path) as file:
        bounds, crs, shape = file.bounds, file.crs, file.shape
        transform = list(file.transform)[:6]
    to_degrees = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    west, south, east, north = to_degrees.transform_bounds(*bounds)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    item = pystac.Item(
        id=identifier,
        geometry={"type": "Polygon", "coordinates": [ring]},
        bbox=[west, south, east, north],
        datetime=_utc(time),
        properties={
            "simulated": True,
            "proj:shape": list(shape),
            "proj:transform": transform,
        },
    )
    item.add_asset("data", pystac.Asset(str(path), media_type=GEOTIFF, roles=["data"]))
    return item


def write_catalog(directory: Path, title: str, collections: dict[str, list[pystac.Item]]) -> Path:
    """Write ``directory/catalog.json`` with a collection for each list of Items.

    All links and assets are relative, so that the folder can be moved as a whole.
    """
    root = pystac.Catalog(id="simulated", description=title, title=title)
    for name, items in collections.items():
        boxes = np.array([item.bbox for item in items], dtype=float)
        box = [*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist()]
        times = sorted(item.datetime for item in items if item.datetime is not None)
        collection = pystac.Collection(
            id=name,
            description=f"{title}: {name}; simulated, not an observation",
            license="CC0-1.0",
            extent=pystac.Extent(
                pystac.SpatialExtent([box]),
                pystac.TemporalExtent([[times[0], times[-1]]]),
            ),
        )
        collection.add_items(items)
        root.add_child(collection)
    # named as a file: a folder whose name holds a dot would be taken for one
    root.normalize_hrefs(str(directory / "catalog.json"))
    root.make_all_asset_hrefs_relative()
    root.save(catalog_type=pystac.CatalogType.SELF_CONTAINED)
    return directory / "catalog.json"
