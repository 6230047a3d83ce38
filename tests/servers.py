"""Servers on this machine for tests: files in ranges, signed as Azure signs them, and faults.

`AssetServer` stands for a blob store: byte ranges over kept connections, shared access signatures
that run out, and as a forward proxy also for hosts of other names. `FaultProxy` stands in front of
a real API. Both do what a `Fault` in their list ``faults`` says before they do what is right, and
note every request in ``requests``.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import pytest
from loopback import Fault, Loopback, Record, Request, Response

__all__ = ["AssetServer", "Fault", "FaultProxy", "Record", "asset_server"]


class AssetServer(Loopback):
    """A folder over HTTP.

    Parameters
    ----------
    folder : Path
        What lies at ``/``.
    clock : callable
        Seconds since 1970, for the expiry of tokens.

    Attributes
    ----------
    hosts : dict of str to Path
        Folders of other hosts, for requests that come as to a proxy (``http_proxy=server.url``).
        Without an entry they are served from `folder` by their path.
    signed : bool
        Whether files want a token of ``/sas/token/ACCOUNT/CONTAINER``, which is the address that
        ``PC_SDK_SAS_URL=server.url + "/sas/token"`` makes the Planetary Computer's package ask.
    lifetime : float
        Seconds that a new token lives.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.folder = folder.resolve()
        self.hosts: dict[str, Path] = {}
        self.signed = False
        self.lifetime = 3600.0
        self.clock = clock
        self.tokens: dict[str, tuple[str, str, float]] = {}
        self.issued = 0

    def expire(self) -> None:
        """Make every token issued so far invalid."""
        with self.guard:
            self.tokens.clear()

    def sign(self, account: str, container: str) -> tuple[str, str]:
        """A new token as a query, and when it ends."""
        with self.guard:
            self.issued += 1
            # As in real ones, characters that have to be quoted once and only once
            signature = f"{self.issued:04d}+/{account}="
            end = self.clock() + self.lifetime
            self.tokens[signature] = (account, container, end)
        expiry = datetime.fromtimestamp(end, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        words = {"se": expiry, "sp": "rl", "sv": "2024-05-04", "sr": "c", "sig": signature}
        return urlencode(words), expiry

    def answer(self, request: Request, *, whole: bool) -> Response:
        if request.method not in ("GET", "HEAD"):
            return Response(501)
        if request.path.startswith("/sas/token/") and not request.foreign:
            return self._token(request.path.removeprefix("/sas/token/").split("/"))
        if self.signed and not self._allowed(request):
            text = b"<?xml version='1.0'?><Error><Code>AuthenticationFailed</Code></Error>"
            return Response(403, {"Content-Type": "application/xml"}, text)
        folder = self.hosts.get(request.host.partition(":")[0]) if request.foreign else None
        root = (folder or self.folder).resolve()
        path = (root / unquote(request.path).lstrip("/")).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            text = b"<?xml version='1.0'?><Error><Code>BlobNotFound</Code></Error>"
            return Response(404, {"Content-Type": "application/xml"}, text)
        return file_response(path, request.headers, whole=whole)

    def _token(self, words: list[str]) -> Response:
        if len(words) != 2:
            return Response(404)
        query, expiry = self.sign(*words)
        body = json.dumps({"msft:expiry": expiry, "token": query}).encode()
        return Response(200, {"Content-Type": "application/json"}, body)

    def _allowed(self, request: Request) -> bool:
        """Whether the token is known, still valid and, through a proxy, made for this container."""
        query = parse_qs(request.query)
        known = self.tokens.get(query.get("sig", [""])[0])
        if known is None or "se" not in query or self.clock() >= known[2]:
            return False
        if not request.foreign:
            return True
        place = request.host.partition(".")[0], request.path.lstrip("/").partition("/")[0]
        return place == known[:2]


def file_response(path: Path, headers: Mapping[str, str], *, whole: bool) -> Response:
    """A file, or the range of it that is asked for (RFC 9110, one range)."""
    status = path.stat()
    size = status.st_size
    tag = f'"{status.st_mtime_ns:x}-{size:x}"'
    said = {
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
        "ETag": tag,
        "Last-Modified": formatdate(status.st_mtime, usegmt=True),
    }
    if headers.get("If-Match", tag) not in (tag, "*"):
        return Response(412, said)
    if headers.get("If-None-Match") == tag:
        return Response(304, said)
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", headers.get("Range", ""))
    if whole or not found or not any(found.groups()) or headers.get("If-Range", tag) != tag:
        return Response(200, said, file=(path, 0, size))
    first, last = found.groups()
    start = int(first) if first else max(0, size - int(last))
    stop = min(int(last) + 1, size) if first and last else size
    if start >= stop:
        return Response(416, said | {"Content-Range": f"bytes */{size}"})
    said["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return Response(206, said, file=(path, start, stop - start))


class FaultProxy(Loopback):
    """A reverse proxy before an API on this machine; its links are made to stay on the proxy."""

    def __init__(self, upstream_url: str) -> None:
        super().__init__()
        self.upstream = upstream_url.rstrip("/")

    def answer(self, request: Request, *, whole: bool) -> Response:
        place = urlsplit(self.upstream)
        drop = ("host", "connection", "accept-encoding", "content-length")
        headers = {
            name: value for name, value in request.headers.items() if name.lower() not in drop
        }
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        try:
            connection.request(
                request.method, place.path + request.target, request.body or None, headers
            )
            reply = connection.getresponse()
            body = reply.read()
        except OSError as error:
            return Response(502, {"Content-Type": "text/plain"}, f"{error}\n".encode())
        finally:
            connection.close()
        kind = reply.getheader("Content-Type", "text/plain")
        return Response(
            reply.status,
            {"Content-Type": kind},
            body.replace(self.upstream.encode(), self.url.encode()),
        )


@pytest.fixture
def asset_server() -> Iterator[Callable[..., AssetServer]]:
    """Start servers of folders: ``asset_server(folder)``; they end with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda folder, **options: stack.enter_context(AssetServer(folder, **options))
