"""Rasters behind an href: the tiles that are needed are fetched, GDAL decodes them.

A remote TIFF is never open. Its directories are read once (by tifffile, through pages of bytes that
are fetched once); for each read the pages of directories and of the tiles wanted are put into a
sparse file in memory, which GDAL opens, decodes and forgets. So signing, retry, trust and
redirects are `cube.readers.transport`'s for every byte, and no handle is shared between threads or
outlives a token.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import os
import re
import struct
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import IO, Any, cast
from urllib.parse import urlsplit

import rasterio
import tifffile
from rasterio.errors import NotGeoreferencedWarning

from cube.errors import SourceError
from cube.readers.access import ON_DISK, Access, is_remote, plain, sign
from cube.readers.transport import RETRIES, TIMEOUT_S, get_range

__all__ = [
    "CACHE_BYTES",
    "GDAL_HTTP",
    "Block",
    "blocks_within",
    "gdal_address",
    "open_raster",
    "problem",
]

PAGE = 1 << 13
CACHE_BYTES = 128 * 2**20
"""Pages that a process keeps: blocks beside one another share tiles of their sources."""
_HEADER_PAGES = 8
_GAP = 2
_LONGEST_RUN = 512
_CONNECTIONS = 8
_MALFORMED = (
    tifffile.TiffFileError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    struct.error,
)
"""What tifffile raises on bytes that are no TIFF, or a damaged one."""

Block = tuple[int, int]
"""Row and column of a tile."""


def blocks_within(
    block: tuple[int, int],
    shape: tuple[int, int],
    top: float,
    bottom: float,
    left: float,
    right: float,
) -> set[Block]:
    """Blocks of an image that hold a part of it, given by its edges in pixels; none outside.

    Examples
    --------
    >>> sorted(blocks_within((256, 256), (1000, 300), -5.0, 256.5, 10.0, 20.0))
    [(0, 0), (1, 0)]
    """

    def along(axis: int, low: float, high: float) -> range:
        first, stop = max(math.floor(low), 0), min(math.ceil(high), shape[axis])
        return range(first // block[axis], -(-stop // block[axis])) if first < stop else range(0)

    return set(itertools.product(along(0, top, bottom), along(1, left, right)))


class _Pages:
    """Pages of all remote files of this process; the least recently used are dropped."""

    def __init__(self, limit: int) -> None:
        self._limit = limit // PAGE
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, href: str, pages: Iterable[int]) -> dict[int, bytes]:
        """Those of the pages that are here."""
        found = {}
        with self._lock:
            for page in pages:
                content = self._kept.get((href, page))
                if content is not None:
                    self._kept.move_to_end((href, page))
                    found[page] = content
        return found

    def put(self, href: str, pages: dict[int, bytes]) -> None:
        """Keep pages."""
        with self._lock:
            for page, content in pages.items():
                self._kept[href, page] = content
                self._kept.move_to_end((href, page))
            while len(self._kept) > self._limit:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()


_PAGES = _Pages(CACHE_BYTES)


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_CONNECTIONS, thread_name_prefix="fetch")


@lru_cache(maxsize=256)
def _header(href: str, access: Access) -> tuple[bytes, int]:
    """First bytes of a file, which every opening needs again, and its size."""
    return get_range(href, access, 0, _HEADER_PAGES * PAGE)


def _runs(pages: list[int]) -> Iterator[tuple[int, int]]:
    """Runs of pages, first and stop, joined across gaps cheaper than a request."""
    first = last = pages[0]
    for page in pages[1:]:
        if page - last > _GAP + 1 or page - first >= _LONGEST_RUN:
            yield first, last + 1
            first = page
        last = page
    yield first, last + 1


def _fetch(href: str, access: Access, run: tuple[int, int]) -> dict[int, bytes]:
    size = _header(href, access)[1]
    content, now = get_range(href, access, run[0] * PAGE, min(run[1] * PAGE, size))
    if now != size:
        raise SourceError(
            f"{plain(href)}: changed from {size:,} to {now:,} bytes while it was read; build again"
        )
    pages = {page: content[(page - run[0]) * PAGE :][:PAGE] for page in range(*run)}
    _PAGES.put(href, pages)
    return pages


def _gather(href: str, access: Access, spans: Iterable[tuple[int, int]]) -> dict[int, bytes]:
    """Pages that hold byte spans (start, stop); what is missing comes in few requests at once."""
    size = _header(href, access)[1]
    wanted: set[int] = set()
    for start, stop in spans:
        if stop > size:
            raise SourceError(
                f"{plain(href)}: damaged: ends at {size:,} bytes, a tile lies at {start:,} to"
                f" {stop:,}; the file is truncated"
            )
        wanted.update(range(start // PAGE, -(-stop // PAGE)))
    found = _PAGES.get(href, wanted)
    missing = sorted(page for page in wanted if page not in found and page >= _HEADER_PAGES)
    if missing:
        for pages in _pool().map(lambda run: _fetch(href, access, run), list(_runs(missing))):
            found |= pages
    return found


class _PagedFile(io.RawIOBase):
    """What the directories are read from."""

    def __init__(self, href: str, access: Access) -> None:
        self._href, self._access, self._at = href, access, 0
        self._start, self._size = _header(href, access)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        stop = self._size if size is None or size < 0 else min(self._at + size, self._size)
        if stop <= self._at:
            return b""
        if stop <= len(self._start):
            content = self._start[self._at : stop]
        else:
            first = self._at // PAGE
            whole = dict(enumerate(_cut(self._start)))
            whole |= _gather(self._href, self._access, [(self._at, stop)])
            joined = b"".join(whole[page] for page in range(first, -(-stop // PAGE)))
            content = joined[self._at - first * PAGE : stop - first * PAGE]
        self._at = stop
        return content


def _cut(content: bytes) -> list[bytes]:
    return [content[at : at + PAGE] for at in range(0, len(content), PAGE)]


@dataclass(frozen=True)
class _Level:
    """Tiles of an image or of an overview: where each lies."""

    across: int
    offsets: tuple[int, ...]
    counts: tuple[int, ...]

    def span(self, block: Block) -> tuple[int, int]:
        """Bytes of a tile; none for one that is not stored."""
        index = block[0] * self.across + block[1]
        return self.offsets[index], self.offsets[index] + self.counts[index]


@dataclass(frozen=True)
class _Layout:
    """What a TIFF's directories say."""

    directories: tuple[tuple[int, int], ...]
    levels: tuple[_Level, ...]


@lru_cache(maxsize=256)
def _layout(href: str, access: Access) -> _Layout:
    try:
        # a raw file is all that it needs
        file = cast(IO[bytes], _PagedFile(href, access))
        with tifffile.TiffFile(file, name="remote") as tiff:
            images = [image for page in tiff.pages for image in (page, *(page.pages or ()))]
            spans = [(image.offset, image.offset + 8 + 20 * len(image.tags)) for image in images]
            for image in images:
                spans += [
                    (tag.valueoffset, tag.valueoffset + tag.valuebytecount) for tag in image.tags
                ]
            # overviews follow the image; masks, which are marked otherwise, count for neither
            levels = [_level(image) for image in images if not int(image.subfiletype) & 4]
    except _MALFORMED as error:
        raise SourceError(
            f"{plain(href)}: not a readable TIFF ({problem(error)}); is it the right asset?"
        ) from error
    size = _header(href, access)[1]
    inside = tuple((start, min(stop, size)) for start, stop in spans if start < size)
    return _Layout(inside, tuple(levels))


def _level(image: Any) -> _Level:
    across = -(-image.imagewidth // image.tilewidth) if image.is_tiled else 1
    return _Level(across, tuple(image.dataoffsets), tuple(image.databytecounts))


_OPENING = threading.Lock()
"""What Python is told to ignore is one for the process: openings take turns."""


@contextlib.contextmanager
def open_raster(
    href: str, access: Access = ON_DISK, blocks: Iterable[Block] = (), level: int | None = None
) -> Iterator[Any]:
    """Open a raster on disk, or the part of a remote one that is to be read.

    Parameters
    ----------
    href : str
    access : Access
    blocks : iterable of (row, column)
        Tiles (or strips) that will be read; of a remote file no other can be.
    level : int, optional
        Overview to read from instead of the image.

    Yields
    ------
    rasterio dataset
        Of this thread alone.

    Raises
    ------
    SourceError
        A remote file cannot be had, or is no TIFF.
    RasterioError
        GDAL cannot open it.
    """
    options = {} if level is None else {"overview_level": level}
    if not is_remote(href):
        with _quietly(href, options) as raster:
            yield raster
        return
    layout = _layout(href, access)
    held = layout.levels[0 if level is None else level + 1]
    start, size = _header(href, access)
    pages = _gather(href, access, [*layout.directories, *(held.span(block) for block in blocks)])
    memory = os.memfd_create("raster", os.MFD_CLOEXEC)
    try:
        os.ftruncate(memory, size)
        os.pwrite(memory, start, 0)
        for page, content in pages.items():
            os.pwrite(memory, content, page * PAGE)
        with _quietly(f"/proc/self/fd/{memory}", {**options, "driver": "GTiff"}) as raster:
            yield raster
    finally:
        os.close(memory)


def _quietly(path: str, options: dict[str, Any]) -> Any:
    with _OPENING, warnings.catch_warnings():
        # Radar geometry has ground control points or nothing: that is expected here
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path, sharing=False, **options)


def problem(error: Exception) -> str:
    """What an error of GDAL or tifffile says, in one line and without our own file's name."""
    lines = re.sub(r"/proc/self/fd/\d+(, band \d+)?:? ?", "", str(error)).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__


# --- for a library that opens addresses itself

GDAL_HTTP = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MAX_RETRY": str(RETRIES),
    "GDAL_HTTP_RETRY_DELAY": "0.5",
    "GDAL_HTTP_CONNECTTIMEOUT": str(int(TIMEOUT_S[0])),
    "GDAL_HTTP_TIMEOUT": str(int(TIMEOUT_S[1])),
    "GDAL_INGESTED_BYTES_AT_OPEN": str(_HEADER_PAGES * PAGE),
}
"""Settings of GDAL's own transport."""


def gdal_address(href: str, access: Access) -> str:
    """Address that GDAL itself can open: signed, and seen not to lead where it may not.

    Raises
    ------
    SourceError
        It cannot be had, or is not one that GDAL's transport is given (s3).
    """
    if not is_remote(href):
        return href
    if urlsplit(href).scheme == "s3":
        raise SourceError(f"{plain(href)}: s3 is read by --engine stackstac alone")
    _header(href, access)  # follows redirects, and refuses those that lead inside
    return sign(href, access)
