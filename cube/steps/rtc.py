"""Backscatter of one pass from terrain-corrected products, through a STAC loader.

Two loaders stand behind one door: stackstac, which cuts the grid into windows for our own reader,
and odc-stac, which is maintained and reads by itself. Both get the grid in full: what an Item says
of its projection is not believed. The first keeps the promise that blocks never change a bit. The
second does so only where pixels are copied: elsewhere it lets GDAL choose a kernel for each block,
a little wider than the first's.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any

import dask.array as da
import numpy as np
import pystac
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as RasterWindow

from cube.chunks import pull_blocks
from cube.errors import SourceError
from cube.grid import crs_of, shape_of
from cube.kernels.mosaic import lay_under, settle
from cube.kernels.radiometry import FLOOR
from cube.readers.access import forget_tokens, hush, plain
from cube.readers.projected import ProjectedReader
from cube.readers.remote import GDAL_HTTP, gdal_address
from cube.readers.scene import Files

__all__ = ["RtcSource", "projected"]

_BAND = "band"
_GEOTIFF = "image/tiff; application=geotiff"
_PROJECTION = "https://stac-extensions.github.io/projection/v1.1.0/schema.json"
_DAY = datetime(2000, 1, 1, tzinfo=UTC)
_TALKATIVE = ("odc.loader._rio", *(f"rasterio.{part}" for part in ("_base", "_env", "_err", "_io")))
"""Loggers that say which file they could not read, by its whole address."""
_PIXELS = 3857
"""Any code: stackstac wants one, and does nothing with it where Items and grid agree."""


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
    """
    return _ENGINES[engine](source, block)


def _mosaic(
    readers: Iterable[ProjectedReader],
    read: Callable[[ProjectedReader, slice, slice], NDArray[np.float32]],
    rows: slice,
    cols: slice,
) -> NDArray[np.float32]:
    """First valid power of the slices, raised to the floor; none is read for nothing."""
    out = None
    for reader in readers:
        if not reader.meets(rows, cols):
            continue
        if out is None:
            out = read(reader, rows, cols)
            missing = settle(out, FLOOR)
        else:
            missing = lay_under(out, read(reader, rows, cols), FLOOR)
        if not missing:
            break
    if out is None:
        return np.full((rows.stop - rows.start, cols.stop - cols.start), np.nan, "float32")
    return out


def _readers(source: RtcSource, band: int) -> Iterator[ProjectedReader]:
    """Files of a polarisation on the grid, in order of time."""
    grid = source.grid
    crs, transform, shape = str(crs_of(grid)), grid.affine, shape_of(grid)
    return (ProjectedReader(files[band], crs, transform, shape) for files in source.slices)


# --- stackstac


class _Reader:
    """What stackstac calls a reader: one polarisation of a pass, all slices in one.

    Ours, with its signing, retry and trust, behind stackstac's names. Slices are read in order and
    only while something is missing, so that a block never holds more than one of them.
    """

    def __init__(self, *, url: str, source: RtcSource, **_: Any) -> None:
        self._band, self._source = int(url), source

    def read(self, window: RasterWindow, **_: Any) -> NDArray[np.float32]:
        readers = _readers(self._source, self._band)
        return _mosaic(readers, ProjectedReader.read, *window.toslices())

    def close(self) -> None:
        """Nothing stays open."""


def _stackstac(source: RtcSource, block: int) -> da.Array:
    """Stack of one Item, the pass, whose assets are its polarisations.

    stackstac gets the grid as pixels: it only cuts it into windows, and what it knows of maps (an
    EPSG code, bounds that divide evenly) is asked of no grid.
    """
    import stackstac

    height, width = shape_of(source.grid)
    bands = [str(number) for number in range(len(source.slices[0]))]
    bounds = (0, 0, width, height)
    item = {
        "type": "Feature",
        "id": "pass",
        "bbox": [0, 0, 0, 0],
        "geometry": None,
        "properties": {
            "datetime": "2000-01-01T00:00:00Z",
            "proj:epsg": _PIXELS,
            "proj:bbox": bounds,  # the whole grid: where a file lies, it says itself
        },
        "assets": {band: {"href": band} for band in bands},
    }
    stack = stackstac.stack(
        [item],
        assets=bands,
        epsg=_PIXELS,
        resolution=1,
        bounds=bounds,
        snap_bounds=False,
        chunksize=(1, -1, block, block),
        dtype=np.dtype("float32"),
        fill_value=np.float32("nan"),
        rescale=False,
        sortby_date=False,
        xy_coords=False,
        properties=False,
        band_coords=False,
        reader=partial(_Reader, source=source),
    )
    lazy: da.Array = da.map_blocks(_only, stack.data, drop_axis=0, dtype="float32")
    return lazy


def _only(stack: NDArray[np.float32]) -> NDArray[np.float32]:
    one: NDArray[np.float32] = stack[0]
    return one


# --- odc-stac


def _odc_block(rows: slice, cols: slice, source: RtcSource) -> NDArray[np.float32]:
    """Read a block when it is due: a signed address would not outlive a graph that held it."""
    read = partial(_odc_read, grid=source.grid)
    count = len(source.slices[0])
    bands = [_mosaic(_odc_readers(source, band), read, rows, cols) for band in range(count)]
    return bands[0][None] if count == 1 else np.stack(bands)


def _odc_readers(source: RtcSource, band: int) -> Iterator[ProjectedReader]:
    """Our readers, of which odc-stac needs to be told only where their files lie."""
    for reader in _readers(source, band):
        gdal_address(reader.files.measurement, reader.files.access)  # refuses what it cannot read
        yield reader


def _odc_read(
    reader: ProjectedReader, rows: slice, cols: slice, grid: GeoBox
) -> NDArray[np.float32]:
    files, part = reader.files, grid[rows, cols]
    try:
        return _odc_load(files, part)
    except RasterioError:
        if files.access.signing is None:
            raise _unreadable(files) from None  # GDAL's words may hold a signed address
        forget_tokens()  # one may have been withdrawn before its time
    try:
        return _odc_load(files, part)
    except RasterioError:
        raise _unreadable(files) from None


def _odc_load(files: Files, grid: GeoBox) -> NDArray[np.float32]:
    import odc.stac

    address = gdal_address(files.measurement, files.access)
    with rasterio.Env(**GDAL_HTTP):
        loaded = odc.stac.load(
            [_odc_item(grid)],
            bands=[_BAND],
            geobox=grid,
            resampling="bilinear",
            dtype="float32",
            nodata=float("nan"),
            patch_url=lambda _: address,
            driver=_odc_driver(),
        )
    values: NDArray[np.float32] = loaded[_BAND].values[0]
    return values


def _unreadable(files: Files) -> SourceError:
    return SourceError(
        f"{plain(files.measurement)}: cannot be read by odc-stac; try again, a build goes on where"
        " it stopped, or build with --engine stackstac, which says more"
    )


def _odc_item(grid: GeoBox) -> pystac.Item:
    """Item of a file that has, as far as it says, the grid of the block.

    So odc-stac reads it, wherever it thinks that dates change or zones end; where the file lies,
    it says itself when it is opened.
    """
    item = pystac.Item(
        id="slice",
        geometry=None,
        bbox=None,
        datetime=_DAY,
        properties={
            "proj:wkt2": crs_of(grid).to_wkt(),
            "proj:shape": list(shape_of(grid)),
            "proj:transform": list(grid.affine)[:6],
        },
        stac_extensions=[_PROJECTION],
    )
    item.add_asset(_BAND, pystac.Asset("/file", media_type=_GEOTIFF, roles=["data"]))
    return item


@lru_cache(maxsize=1)
def _odc_driver() -> Any:
    """odc-stac's own reader, for which a file without no-data value has zero as such."""
    from odc.loader import RioDriver, RioReader

    _ignore_places()  # in every process
    hush(*_TALKATIVE)

    class Reader(RioReader):
        def read(self, cfg: Any, *args: Any, **kwargs: Any) -> Any:
            return super().read(replace(cfg, src_nodata_fallback=0), *args, **kwargs)

    class Driver(RioDriver):
        def open(self, src: Any, ctx: Any) -> Any:
            return Reader(src, ctx)

    return Driver()


def _ignore_places() -> None:
    """Let nobody hear of arrays without a place on the map, which rasterio makes while it warps.

    It hushes them itself, but by `warnings.catch_warnings`: of two threads, one switches the
    warning on again for the other.
    """
    warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)


def _odc(source: RtcSource, block: int) -> da.Array:
    _ignore_places()
    bands = len(source.slices[0])
    shape = shape_of(source.grid)
    return pull_blocks(_odc_block, shape, block, bands, "odc-stac", source=source)


_ENGINES: dict[str, Callable[[RtcSource, int], da.Array]] = {
    "stackstac": _stackstac,
    "odc-stac": _odc,
}
