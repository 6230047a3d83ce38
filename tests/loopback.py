"""A server on this machine that notes every request and fails on demand."""

from __future__ import annotations

import contextlib
import re
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

CHUNK = 1 << 16
HTML = b"<!DOCTYPE html><html><body><h1>Sign in</h1></body></html>"


@dataclass
class Fault:
    """What goes wrong with the requests that match; the first rule that matches counts."""

    path: str = ""
    """Regular expression, searched for in path and query."""
    times: int | None = 1
    """How many requests it spoils; None for all."""
    after: int = 0
    """How many matching requests pass unharmed before."""
    method: str | None = None
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    """Seconds until the answer, which is right unless another field says otherwise."""
    cut: int | None = None
    """Close the connection after so many bytes of the body."""
    drop: bool = False
    """Close the connection without a word."""
    redirect: str | None = None
    """Where to send the client; ``{path}`` stands for the path and query asked for."""
    html: bool = False
    """Answer 200 with a web page."""
    content_range: str | None = None
    """What to say instead of the range that is sent."""
    ignore_range: bool = False
    """Answer 200 with the whole file."""

    def meets(self, method: str, target: str) -> bool:
        """Whether this request is spoilt; counts it."""
        if self.method not in (None, method) or not re.search(self.path, target):
            return False
        if self.after:
            self.after -= 1
            return False
        if self.times is not None:
            if not self.times:
                return False
            self.times -= 1
        return True


@dataclass(frozen=True)
class Record:
    """A request as it was answered."""

    method: str
    path: str
    query: str
    host: str
    """The host that was asked for, which is another than this server where it is a proxy."""
    range: str | None
    status: int
    """0 where the connection was closed without an answer."""
    sent: int
    """Bytes of the body."""
    connection: int
    """Number of the connection: requests of one number shared it."""
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Request:
    """What a client asks."""

    method: str
    path: str
    query: str
    host: str
    headers: Mapping[str, str]
    body: bytes
    foreign: bool
    """Whether it came as to a proxy, with the whole URL."""

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{self.query}" if self.query else self.path


@dataclass
class Response:
    """What a server says; `file`, first byte and length instead of `body` for a part of a file."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    file: tuple[Path, int, int] | None = None

    @property
    def length(self) -> int:
        return self.file[2] if self.file else len(self.body)

    def pieces(self) -> Iterator[bytes]:
        """The body in pieces."""
        if self.file is None:
            yield self.body
            return
        path, start, left = self.file
        with path.open("rb") as file:
            file.seek(start)
            while left and (piece := file.read(min(CHUNK, left))):
                left -= len(piece)
                yield piece


class Loopback(ThreadingHTTPServer):
    """A server on a free port of this machine that notes what it answers and fails on demand."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.faults: list[Fault] = []
        self.requests: list[Record] = []
        self.connections = 0
        self.guard = threading.Lock()
        self.stopping = threading.Event()
        self.open: set[socket.socket] = set()
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop listening and close the connections that clients keep."""
        if self.stopping.is_set():
            return
        self.stopping.set()
        self.shutdown()
        self._thread.join()
        self.server_close()
        with self.guard:
            for connection in self.open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """Forget requests and faults."""
        with self.guard:
            self.requests.clear()
            self.faults.clear()
            self.connections = 0

    @property
    def bytes_sent(self) -> int:
        """Bytes of all bodies sent."""
        return sum(record.sent for record in list(self.requests))

    def fault(self, request: Request) -> Fault | None:
        """The rule that spoils a request, if any."""
        with self.guard:
            found = (one for one in self.faults if one.meets(request.method, request.target))
            return next(found, None)

    def answer(self, request: Request, *, whole: bool) -> Response:
        """What is right; `whole` for ranges to be ignored."""
        raise NotImplementedError

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are part of the game."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Loopback

    def setup(self) -> None:
        super().setup()
        with self.server.guard:
            self.server.connections += 1
            self.number = self.server.connections
            self.server.open.add(self.connection)

    def finish(self) -> None:
        with self.server.guard:
            self.server.open.discard(self.connection)
        with contextlib.suppress(ConnectionError):
            super().finish()

    def do_GET(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        parts = urlsplit(self.path)
        host = parts.netloc or self.headers.get("Host", "")
        request = Request(
            self.command, parts.path, parts.query, host, self.headers, body, bool(parts.netloc)
        )
        fault = self.server.fault(request)
        if fault and fault.delay:
            self.server.stopping.wait(fault.delay)
        if fault and fault.drop:
            self.close_connection = True
            self._note(request, 0, 0)
            return
        response = spoilt(request, fault) or self.server.answer(
            request, whole=bool(fault and fault.ignore_range)
        )
        if fault and fault.content_range is not None:
            response.headers["Content-Range"] = fault.content_range
        self._send(request, response, fault.cut if fault else None)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_CONNECT = do_GET  # noqa: N815

    def _send(self, request: Request, response: Response, cut: int | None) -> None:
        """Say it; the record is there before the last byte, so that a client finds it."""
        silent = request.method == "HEAD" or response.status in (204, 304)
        limit = 0 if silent else response.length if cut is None else min(cut, response.length)
        self._note(request, response.status, limit)
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(response.length))
        self.end_headers()
        if not silent:
            for piece in response.pieces():
                self.wfile.write(piece[:limit])
                limit -= len(piece[:limit])
        if cut is not None:
            self.close_connection = True

    def _note(self, request: Request, status: int, sent: int) -> None:
        record = Record(
            request.method,
            request.path,
            request.query,
            request.host,
            request.headers.get("Range"),
            status,
            sent,
            self.number,
            request.headers,
            request.body,
        )
        with self.server.guard:
            self.server.requests.append(record)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def spoilt(request: Request, fault: Fault | None) -> Response | None:
    """The wrong answer of a rule, or None where the body is to be the right one."""
    if fault is None:
        return None
    if fault.redirect is not None:
        place = {"Location": fault.redirect.replace("{path}", request.target)}
        return Response(fault.status or 302, place | fault.headers)
    if fault.html:
        kind = {"Content-Type": "text/html; charset=utf-8"}
        return Response(fault.status or 200, kind | fault.headers, HTML)
    if fault.status is not None:
        text = f"{fault.status} {HTTPStatus(fault.status).phrase}\n".encode()
        return Response(fault.status, {"Content-Type": "text/plain"} | fault.headers, text)
    return None
