"""Rasters behind an href, read by GDAL through pages of bytes that are fetched once.

GDAL asks for bytes; what is missing is fetched in runs of whole pages, several runs at a time, over
`cube.readers.transport`, so that signing, retry, trust and redirects are the same for every file,
and every byte is counted.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import threading
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import rasterio
from rasterio.errors import NotGeoreferencedWarning

from cube.errors import SourceError
from cube.readers.access import Access, is_remote, plain, sign
from cube.readers.transport import RETRIES, TIMEOUT_S, get_range

__all__ = [
    "CACHE_BYTES",
    "GDAL_HTTP",
    "Pool",
    "gdal_address",
    "open_raster",
    "prefetch_tiles",
    "traffic",
]

PAGE = 1 << 13
CACHE_BYTES = 128 * 2**20
"""Pages that a process keeps: blocks beside one another share tiles of their sources."""
_HEADER_PAGES = 8
_GAP = 2
_LONGEST_RUN = 512
_CONNECTIONS = 8


class _Pages:
    """Pages of all remote files of this process; the least recently used are dropped."""

    def __init__(self, limit: int) -> None:
        self._limit = limit // PAGE
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()
        self.fetched = 0
        self.requests = 0

    def get(self, href: str, page: int) -> bytes | None:
        with self._lock:
            found = self._kept.get((href, page))
            if found is not None:
                self._kept.move_to_end((href, page))
            return found

    def missing(self, href: str, pages: set[int]) -> list[int]:
        with self._lock:
            return sorted(page for page in pages if (href, page) not in self._kept)

    def put(self, href: str, first: int, content: bytes) -> None:
        with self._lock:
            self.fetched += len(content)
            self.requests += 1
            for number, at in enumerate(range(0, len(content), PAGE)):
                self._kept[href, first + number] = content[at : at + PAGE]
                self._kept.move_to_end((href, first + number))
            while len(self._kept) > self._limit:
                self._kept.popitem(last=False)


_PAGES = _Pages(CACHE_BYTES)


def traffic() -> tuple[int, int]:
    """Bytes fetched and requests made by this process so far, for rasters."""
    return _PAGES.fetched, _PAGES.requests


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_CONNECTIONS, thread_name_prefix="fetch")


@lru_cache(maxsize=256)
def _header(href: str, access: Access) -> tuple[bytes, int]:
    """First bytes of a file, which every opening needs again, and its size."""
    content, size = get_range(href, access, 0, _HEADER_PAGES * PAGE)
    _PAGES.put(href, 0, content)
    return content, size


def _runs(pages: list[int]) -> Iterator[tuple[int, int]]:
    """Runs of pages, first and stop, joined across gaps cheaper than a request."""
    first = last = pages[0]
    for page in pages[1:]:
        if page - last > _GAP + 1 or page - first >= _LONGEST_RUN:
            yield first, last + 1
            first = page
        last = page
    yield first, last + 1


def _fetch(href: str, access: Access, run: tuple[int, int]) -> bytes:
    size = _header(href, access)[1]
    start, stop = run[0] * PAGE, min(run[1] * PAGE, size)
    content, now = get_range(href, access, start, stop)
    if now != size:
        raise SourceError(
            f"{plain(href)}: changed from {size:,} to {now:,} bytes while it was read; build again"
        )
    _PAGES.put(href, run[0], content)
    return content


def prefetch(href: str, access: Access, spans: list[tuple[int, int]]) -> None:
    """Fetch byte spans (start, stop) that are about to be read, in few requests side by side."""
    wanted: set[int] = set()
    size = _header(href, access)[1]
    for start, stop in spans:
        if stop > size:
            raise SourceError(
                f"{plain(href)}: damaged: ends at {size:,} bytes, a tile lies at {start:,} to"
                f" {stop:,}; the file is truncated"
            )
        wanted.update(range(start // PAGE, -(-stop // PAGE)))
    missing = _PAGES.missing(href, wanted)
    if missing:
        list(_pool().map(lambda run: _fetch(href, access, run), _runs(missing)))


def prefetch_tiles(raster: Any, href: str, access: Access, tiles: list[tuple[int, int]]) -> None:
    """Fetch the tiles (row, column) of an open remote raster that are about to be read."""
    if is_remote(href):
        prefetch(href, access, [_span(raster, *tile) for tile in tiles])


def _span(raster: Any, row: int, col: int) -> tuple[int, int]:
    """Where a tile lies in its file: start and stop; empty for one that is not stored."""
    offset = raster.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=1)
    size = raster.get_tag_item(f"BLOCK_SIZE_{col}_{row}", "TIFF", bidx=1)
    return (0, 0) if offset is None else (int(offset), int(offset) + int(size or 0))


class _RemoteFile(io.RawIOBase):
    """What GDAL reads from: a seekable file of pages. A failure is kept for whoever asked."""

    def __init__(self, href: str, access: Access, failures: list[SourceError]) -> None:
        self._href, self._access, self._at = href, access, 0
        self._failures = failures
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
            try:
                content = self._pages(self._at, stop)
            except SourceError as error:
                self._failures.append(error)  # GDAL knows only that reading failed
                raise OSError(str(error)) from error
        self._at = stop
        return content

    def _pages(self, start: int, stop: int) -> bytes:
        first, last = start // PAGE, -(-stop // PAGE)
        found = {page: _PAGES.get(self._href, page) for page in range(first, last)}
        missing = [page for page, content in found.items() if content is None]
        for run in _runs(missing) if missing else ():
            content = _fetch(self._href, self._access, run)
            for page in range(*run):
                at = (page - run[0]) * PAGE
                found[page] = content[at : at + PAGE]
        joined = b"".join(content for _, content in sorted(found.items()) if content is not None)
        return joined[start - first * PAGE : stop - first * PAGE]


GDAL_HTTP = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MAX_RETRY": str(RETRIES),
    "GDAL_HTTP_RETRY_DELAY": "0.5",
    "GDAL_HTTP_CONNECTTIMEOUT": str(int(TIMEOUT_S[0])),
    "GDAL_HTTP_TIMEOUT": str(int(TIMEOUT_S[1])),
    "GDAL_INGESTED_BYTES_AT_OPEN": str(_HEADER_PAGES * PAGE),
}
"""Settings of GDAL's own transport, for a library that opens its addresses itself."""


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


_NAMES: dict[str, tuple[str, Access]] = {}
"""What the paths that GDAL sees stand for."""
_OPENING = threading.Lock()
"""Tables of openers and of warnings to ignore are one for the process, and change while opening."""
_failures: list[SourceError] = []


def _open(path: str, mode: str = "r") -> _RemoteFile:
    """Give GDAL its bytes; there is never another file beside a known one."""
    href, access = _NAMES.get(Path(path).as_posix(), ("", None))
    if access is None:
        raise FileNotFoundError(path)
    return _RemoteFile(href, access, _failures)


def _name(href: str, access: Access) -> str:
    """A path for GDAL, of its own for every file: it keeps what it knows by path."""
    key = hashlib.sha256(f"{href} {access}".encode()).hexdigest()[:16]
    name = f"remote/{key}/{Path(plain(href)).name}"
    _NAMES[name] = href, access
    return name


def open_raster(href: str, access: Access, **options: Any) -> tuple[Any, list[SourceError]]:
    """Open a raster on disk or behind an href.

    Returns
    -------
    dataset : rasterio dataset
        Not shared between threads.
    failures : list of SourceError
        Grows with what goes wrong below GDAL, which passes on only that it did.

    Raises
    ------
    SourceError
        The first bytes cannot be had.
    RasterioError
        It is no raster.
    """
    global _failures
    remote = is_remote(href)
    if remote:
        _header(href, access)  # before the lock: this one waits for the network
    failures: list[SourceError] = []
    with _OPENING, warnings.catch_warnings():
        # Radar geometry has ground control points or nothing: that is expected here
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        if not remote:
            return rasterio.open(href, **options), failures
        _failures = failures
        return rasterio.open(_name(href, access), opener=_open, **options), failures


_Handle = TypeVar("_Handle")


class Pool(Generic[_Handle]):
    """Open handles of one raster: each serves one thread at a time, and all are closed in the end.

    Handles that belong to threads would be closed by dying threads, which GDAL's Python openers do
    not survive in silence.

    Parameters
    ----------
    make : callable
        Opens one more handle.
    close : callable
        Closes one.
    """

    def __init__(self, make: Callable[[], _Handle], close: Callable[[_Handle], None]) -> None:
        self._make = make
        self._free: list[_Handle] = []  # appending and popping are atomic
        weakref.finalize(self, _close_all, self._free, close)

    @contextlib.contextmanager
    def borrow(self) -> Iterator[_Handle]:
        """A handle for the time of a read."""
        try:
            handle = self._free.pop()
        except IndexError:
            handle = self._make()
        try:
            yield handle
        finally:
            self._free.append(handle)


def _close_all(handles: list[Any], close: Callable[[Any], None]) -> None:
    while handles:
        close(handles.pop())
