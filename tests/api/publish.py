"""A simulated event laid out as the Planetary Computer lays out its collections.

Files lie under ROOT/CONTAINER/…, so that a server of ROOT, as a proxy for the hosts that Items name
or under its own address, is a blob store; Items have the structure of recorded ones. Whatever is
published says that it is simulated.
"""

from __future__ import annotations

import json
import math
import shutil
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.transform import Affine
from rasterio.warp import reproject, transform_bounds

__all__ = ["Publication", "publish"]

Json = dict[str, Any]

STORES = {
    "sentinel-1-grd": ("sentinel1euwest", "s1-grd"),
    "sentinel-1-rtc": ("sentinel1euwestrtc", "sentinel1-grd-rtc"),
    "cop-dem-glo-30": ("elevationeuwest", "copernicus-dem"),
    "jrc-gsw": ("ai4edataeuwest", "jrcgsw"),
}
"""Account and container of each collection, as in the hrefs of real Items."""
MADE_BY_THE_API = ("tilejson", "rendered_preview")
RECORDED = "S1A_IW_GRDH_1SDV_20240325T055038_20240325T055103_053134_066FC4"
RFI = """<?xml version="1.0" encoding="UTF-8"?>
<rfi>
  <adsHeader>
    <missionId>S1A</missionId>
    <productType>GRD</productType>
    <polarisation>{polarisation}</polarisation>
    <mode>IW</mode>
  </adsHeader>
  <rfiMitigationApplied>Never</rfiMitigationApplied>
  <rfiDetectionFromNoiseReportList count="0"/>
  <rfiBurstReportList count="0"/>
</rfi>
"""


@dataclass
class Publication:
    """What was published.

    Attributes
    ----------
    root : Path
        Folder for a server: each container is a folder in it.
    collections, items : list of dict
        For an API.
    """

    root: Path
    templates: Path
    """Recorded Items and Collections."""
    base: str | None
    collections: list[Json] = field(default_factory=list)
    items: list[Json] = field(default_factory=list)

    def folder(self, collection: str) -> Path:
        """Where the files of a collection lie."""
        return self.root / STORES[collection][1]

    def href(self, collection: str, path: Path) -> str:
        """Address of a file."""
        account, container = STORES[collection]
        host = self.base or f"http://{account}.blob.core.windows.net"
        return f"{host}/{container}/{path.relative_to(self.folder(collection)).as_posix()}"

    def start(self, collection: str) -> None:
        """Add a collection and its folder."""
        text = (self.templates / "collections" / f"pc_{collection}.json").read_text()
        self.collections.append(json.loads(text))
        self.folder(collection).mkdir(parents=True)

    def template(self, name: str) -> Json:
        """A recorded Item."""
        item: Json = json.loads((self.templates / "planetary_computer" / name).read_text())
        return item

    def of(self, collection: str) -> list[Json]:
        """Items of a collection."""
        return [item for item in self.items if item["collection"] == collection]


def publish(event: Path, root: Path, templates: Path, base: str | None = None) -> Publication:
    """Publish products, DEM and permanent water of a simulated event.

    Parameters
    ----------
    event : Path
        Folder that ``simulate_event`` wrote.
    root : Path
        New folder for the files.
    templates : Path
        Folder of recorded STAC: ``data_dir / "stac"``.
    base : str, optional
        Address of a server of `root`. Without it hrefs name the real hosts (with http, for a server
        that is their proxy).
    """
    made = Publication(root, templates, base.rstrip("/") if base else None)
    for path in sorted((event / "sentinel-1-grd").glob("*/*.json")):
        if not made.collections:
            made.start("sentinel-1-grd")
        publish_product(made, json.loads(path.read_text()), path.parent)
    publish_dem(made, event / "dem.tif")
    publish_occurrence(made, event / "permanent_water.tif")
    return made


def simulated(item: Json, collection: str) -> Json:
    """Finish an Item: in its collection, without links, and known as simulated."""
    item["collection"] = collection
    item["links"] = []
    item["properties"]["simulated"] = True
    return item


# --- products


def publish_product(made: Publication, source: Json, place: Path) -> None:
    """One GRD product: measurements as COG, metadata under their short names."""
    safe = (place / source["assets"]["safe-manifest"]["href"]).resolve().parent
    year, month, day = (int(part) for part in source["properties"]["datetime"][:10].split("-"))
    name = safe.name.removesuffix(".SAFE")
    target = made.folder("sentinel-1-grd") / f"GRD/{year}/{month}/{day}/IW/DV/{name}"
    for folder in ("measurement", "annotation/rfi", "annotation/calibration"):
        (target / folder).mkdir(parents=True)
    shutil.copyfile(safe / "manifest.safe", target / "manifest.safe")
    for pol in ("vv", "vh"):
        (stem,) = (path.stem for path in (safe / "measurement").glob(f"*-{pol}-*.tiff"))
        calibration = safe / "annotation/calibration"
        copies = {
            safe / f"annotation/{stem}.xml": f"annotation/iw-{pol}.xml",
            calibration / f"calibration-{stem}.xml": (
                f"annotation/calibration/calibration-iw-{pol}.xml"
            ),
            calibration / f"noise-{stem}.xml": f"annotation/calibration/noise-iw-{pol}.xml",
        }
        for here, there in copies.items():
            shutil.copyfile(here, target / there)
        rfi = target / f"annotation/rfi/rfi-iw-{pol}.xml"
        rfi.write_text(RFI.format(polarisation=pol.upper()))
        write_cog(safe / f"measurement/{stem}.tiff", target / f"measurement/iw-{pol}.tiff")
    made.items.append(product_item(made, source, target))


def product_item(made: Publication, source: Json, target: Path) -> Json:
    """Item of a product: the recorded one with what the simulated one says."""
    item = made.template("mspc-s1-grd.json")
    for key in ("id", "bbox", "geometry"):
        item[key] = deepcopy(source[key])
    for key in MADE_BY_THE_API:
        del item["assets"][key]
    for asset in item["assets"].values():
        inside = asset["href"].split(f"/{RECORDED}_", 1)[1].partition("/")[2]
        asset["href"] = made.href("sentinel-1-grd", target / inside)
    item["properties"] |= acquired(item["properties"], source["properties"])
    item["properties"]["proj:shape"] = source["properties"]["s1:shape"][::-1]
    return simulated(item, "sentinel-1-grd")


def acquired(wanted: Json, found: Json) -> Json:
    """How and when a product was acquired, as far as recorded Items say it."""
    same = {key: found[key] for key in wanted if key in found and not key.startswith("proj:")}
    times = {key: spaced(found[key]) for key in ("start_datetime", "end_datetime")}
    return same | times | {"platform": found["platform"].upper()}


def spaced(moment: str) -> str:
    """A time as the Planetary Computer writes those of a product."""
    return moment.replace("T", " ").replace("Z", "+00:00")


def write_cog(source: Path | str, target: Path, **options: str) -> None:
    """Copy a raster as a cloud-optimised GeoTIFF."""
    given = {"compress": "deflate", "blocksize": "512", "level": "1", "num_threads": "2"}
    given["overview_resampling"] = "nearest"
    rasterio.shutil.copy(source, target, driver="COG", **given | options)


def write_array(target: Path, values: NDArray[Any], **profile: Any) -> None:
    """Write one band as a cloud-optimised GeoTIFF."""
    tags, options = profile.pop("tags", {}), profile.pop("options", {})
    shape = {"height": values.shape[0], "width": values.shape[1], "count": 1}
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", dtype=values.dtype, **shape, **profile) as file:
            file.write(values, 1)
            file.update_tags(TIFFTAG_IMAGEDESCRIPTION="simulated", **tags)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_cog(memory.name, target, **options)


# --- layers


def publish_dem(made: Publication, dem: Path) -> None:
    """The DEM in tiles of a degree; beyond it, its edge goes on to the edge of the tile.

    Tiles hold 3600 by 3600 pixels centred on whole arc-seconds, from the north-west corner on. The
    heights stay those above EGM96, which also stands in for EGM2008 where that is not installed.
    """
    made.start("cop-dem-glo-30")
    with rasterio.open(dem) as file:
        height = file.read(1)
        first = round(file.transform.c * 3600 + 0.5), round(file.transform.f * 3600 - 0.5)
    columns, rows = (first[0], first[0] + height.shape[1]), (first[1], first[1] - height.shape[0])
    for lon in range(columns[0] // 3600, (columns[1] - 1) // 3600 + 1):
        # A row on a whole degree is the first of the tile to its south
        for lat in range(rows[1] // 3600, (rows[0] - 1) // 3600 + 1):
            col = np.clip(lon * 3600 + np.arange(3600) - columns[0], 0, height.shape[1] - 1)
            row = np.clip(rows[0] - (lat + 1) * 3600 + np.arange(3600), 0, height.shape[0] - 1)
            dem_tile(made, lon, lat, height[np.ix_(row, col)])


def dem_tile(made: Publication, lon: int, lat: int, height: NDArray[np.float32]) -> None:
    """One tile of the DEM."""
    corner = (
        f"{'N' if lat >= 0 else 'S'}{abs(lat):02d}",
        f"{'E' if lon >= 0 else 'W'}{abs(lon):03d}",
    )
    name = f"Copernicus_DSM_COG_10_{corner[0]}_00_{corner[1]}_00_DEM"
    path = made.folder("cop-dem-glo-30") / f"COP30_hh/{name}.tif"
    step = 1 / 3600
    place = Affine(step, 0, lon - step / 2, 0, -step, lat + 1 + step / 2)
    write_array(path, height, crs="EPSG:4326", transform=place, tags={"AREA_OR_POINT": "Point"})
    item = made.template("Copernicus_DSM_COG_10_N53_00_W115_00_DEM.json")
    item["id"] = name
    item["assets"] = {"data": item["assets"]["data"]}
    item["assets"]["data"]["href"] = made.href("cop-dem-glo-30", path)
    locate(item, place, height.shape)
    item["properties"] |= {
        "proj:centroid": {"lat": lat + 0.5, "lon": lon + 0.5},
        "grid:code": f"CDEM-{''.join(corner)}",
    }
    made.items.append(simulated(item, "cop-dem-glo-30"))


def publish_occurrence(made: Publication, water: Path) -> None:
    """Permanent water as a share of time; pixels of 0.00025 degrees, 255 where nothing is known."""
    made.start("jrc-gsw")
    step = 0.00025
    with rasterio.open(water) as file:
        known = file.read(1)
        west, south, east, north = transform_bounds(file.crs, "EPSG:4326", *file.bounds)
        percent = np.where(known == 255, -1.0, known * 100.0).astype("float32")
        column, row = math.floor(west / step), math.ceil(north / step)
        shape = row - math.floor(south / step), math.ceil(east / step) - column
        place = Affine(step, 0, column * step, 0, -step, row * step)
        found = np.full(shape, -1, dtype="float32")
        reproject(
            percent,
            found,
            src_transform=file.transform,
            src_crs=file.crs,
            src_nodata=-1,
            dst_transform=place,
            dst_crs="EPSG:4326",
            dst_nodata=-1,
            resampling=Resampling.average,
        )
    share = np.where(found < 0, 255, np.rint(found)).astype("uint8")
    corner = f"{math.floor(west / 10) * 10}E_{math.ceil(north / 10) * 10}N"
    path = made.folder("jrc-gsw") / f"occurrence/occurrence_{corner}v1_4_2021cog.tif"
    write_array(path, share, crs="EPSG:4326", transform=place, nodata=255)
    item = made.template("jrc-gsw-item.json")
    item["id"] = f"{corner}v1_4_2021cog"
    item["assets"] = {"occurrence": item["assets"]["occurrence"]}
    item["assets"]["occurrence"] |= {
        "href": made.href("jrc-gsw", path),
        "file:size": path.stat().st_size,
    }
    locate(item, place, share.shape)
    made.items.append(simulated(item, "jrc-gsw"))


def locate(item: Json, place: Affine, shape: tuple[int, ...]) -> None:
    """Write where a raster in degrees lies."""
    west, north = place.c, place.f
    east, south = west + shape[1] * place.a, north + shape[0] * place.e
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    item["geometry"] = {"type": "Polygon", "coordinates": [ring]}
    item["bbox"] = [west, south, east, north]
    item["properties"] |= {"proj:shape": list(shape), "proj:transform": list(place)[:6]}
    if "proj:bbox" in item["properties"]:
        item["properties"]["proj:bbox"] = item["bbox"]
