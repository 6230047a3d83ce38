"""Backscatter of one pass from terrain-corrected products, through a STAC loader.

Two loaders stand behind one door: stackstac, and odc-stac, which is maintained. Both get the grid
in full (what an Item says of its projection is not believed), and both end in a stack of one task
or a few per block. Loader versions may change how pixels are resampled: of all backscatter, this
alone is outside the promise that blocks never change a bit, except on a grid that continues the
products' own, where pixels are copied.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import pystac
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

from cube.chunks import pull_blocks
from cube.errors import PlanError, SourceError
from cube.grid import crs_of, lonlat_bounds, shape_of
from cube.kernels.radiometry import FLOOR
from cube.kernels.resample import raise_to_floor
from cube.readers.access import plain
from cube.readers.projected import ProjectedReader
from cube.readers.remote import GDAL_HTTP, gdal_address
from cube.readers.scene import Files

__all__ = ["RtcSource", "projected"]

_GEOTIFF = "image/tiff; application=geotiff"
_DAY = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class RtcSource:
    """What the backscatter of one pass is made from.

    Attributes
    ----------
    grid : GeoBox
    slices : tuple of tuple of Files
        Slices in order of time, each with the file of every polarisation in the order asked.
    """

    grid: GeoBox
    slices: tuple[tuple[Files, ...], ...]


def projected(source: RtcSource, block: int, engine: str) -> da.Array:
    """Lazy backscatter of one pass.

    Parameters
    ----------
    source : RtcSource
    block : int
    engine : str
        ``stackstac`` or ``odc-stac``.

    Returns
    -------
    dask array, float32, shape (polarisation, y, x)
        Linear power, NaN where no slice has data; where slices overlap the earlier one is kept.

    Raises
    ------
    PlanError
        The engine cannot make such a grid.
    """
    return _ENGINES[engine](source, block)


def _finished(stack: NDArray[np.float32]) -> NDArray[np.float32]:
    """First valid of the slices, raised to the floor. Shape (slice, band, y, x) to (band, y, x)."""
    out = np.array(stack[0])
    for later in stack[1:]:
        np.copyto(out, later, where=np.isnan(out))
    raise_to_floor(out, FLOOR)
    return out


# --- stackstac


class _Reader:
    """What stackstac calls a reader: ours, with its signing, retry and trust, behind its names."""

    def __init__(self, *, url: str, spec: Any, slices: tuple[Files, ...], **_: Any) -> None:
        self._spec, self._slices, self._url = spec, slices, url
        files = next(one for one in slices if one.measurement == url)
        height, width = spec.shape
        crs = f"EPSG:{spec.epsg}"
        self._reader = ProjectedReader(files, crs, Affine(*spec.transform[:6]), (height, width))

    def read(self, window: RasterWindow, **_: Any) -> NDArray[np.float32]:
        rows, cols = window.toslices()
        return self._reader.read(rows, cols)

    def close(self) -> None:
        """Nothing is shared: what is open belongs to its thread."""

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self._url, "spec": self._spec, "slices": self._slices}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # the same as when it was made


def _stackstac(source: RtcSource, block: int) -> da.Array:
    import stackstac

    grid = source.grid
    epsg = crs_of(grid).to_epsg()
    if epsg is None:
        raise PlanError(
            f"stackstac needs a CRS with an EPSG code, not {str(grid.crs)[:60]!r}; choose --engine"
            " odc-stac or --crs EPSG:N"
        )
    bands = [str(number) for number in range(len(source.slices[0]))]
    every = tuple(files for one in source.slices for files in one)
    items = [
        {
            "type": "Feature",
            "id": str(number),
            "bbox": list(lonlat_bounds(grid)),
            "geometry": None,
            "properties": {
                "datetime": f"2000-01-01T00:00:00.{number:06d}Z",
                # The whole grid: each file says itself, when it is opened, where it lies
                "proj:epsg": epsg,
                "proj:bbox": list(grid.boundingbox.bbox),
            },
            "assets": {
                band: {"href": files.measurement} for band, files in zip(bands, one, strict=True)
            },
        }
        for number, one in enumerate(source.slices)
    ]
    stack = stackstac.stack(
        items,
        assets=bands,
        epsg=epsg,
        resolution=(grid.resolution.x, -grid.resolution.y),
        bounds=grid.boundingbox.bbox,
        snap_bounds=False,
        chunksize=(-1, -1, block, block),
        dtype=np.dtype("float32"),
        fill_value=np.float32("nan"),
        rescale=False,
        sortby_date=False,
        xy_coords=False,
        properties=False,
        band_coords=False,
        reader=partial(_Reader, slices=every),
    )
    finished: da.Array = da.map_blocks(_finished, stack.data, drop_axis=0, dtype="float32")
    return finished


# --- odc-stac


def _odc_block(rows: slice, cols: slice, source: RtcSource) -> NDArray[np.float32]:
    """Read a block when it is due: a signed address would not outlive a graph that held it."""
    import odc.stac

    grid = source.grid[rows, cols]
    bands = [str(number) for number in range(len(source.slices[0]))]
    items = [_odc_item(number, one, grid) for number, one in enumerate(source.slices)]
    addresses = {
        files.measurement: gdal_address(files.measurement, files.access)
        for one in source.slices
        for files in one
    }
    try:
        with rasterio.Env(**GDAL_HTTP):
            loaded = odc.stac.load(
                items,
                bands=bands,
                geobox=grid,
                groupby="id",
                resampling="bilinear",
                dtype="float32",
                nodata=float("nan"),
                patch_url=addresses.__getitem__,
                progress=None,
            )
    except RasterioError as error:
        names = ", ".join(plain(files.measurement) for one in source.slices for files in one)
        raise SourceError(f"{names[:300]}: cannot be read by odc-stac") from error
    stack = np.stack([loaded[band].values for band in bands], axis=1)
    stack[stack == 0] = np.nan
    return _finished(stack)


def _odc_item(number: int, files: tuple[Files, ...], grid: GeoBox) -> pystac.Item:
    """Item of a slice that lies, as far as it says, over the whole block: the file knows better."""
    footprint = grid.extent.to_crs("EPSG:4326", resolution=math.inf)
    item = pystac.Item(
        id=f"{number:04d}",
        geometry=footprint.json,
        bbox=list(footprint.boundingbox.bbox),
        datetime=_DAY + timedelta(microseconds=number),
        properties={},
    )
    for band, one in enumerate(files):
        item.add_asset(
            str(band), pystac.Asset(one.measurement, media_type=_GEOTIFF, roles=["data"])
        )
    return item


def _odc(source: RtcSource, block: int) -> da.Array:
    bands = len(source.slices[0])
    shape = shape_of(source.grid)
    return pull_blocks(_odc_block, shape, block, bands, "odc-stac", source=source)


_ENGINES: dict[str, Callable[[RtcSource, int], da.Array]] = {
    "stackstac": _stackstac,
    "odc-stac": _odc,
}
