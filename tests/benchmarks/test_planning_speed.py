"""Planning a query of ten thousand Items: seconds and memory of the whole command."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ITEMS = 10_000
CLI = [sys.executable, "-c", "from cube.cli import main; main()"]
BOX = (68.163, 27.482, 68.213, 27.518)


def items(template: dict[str, Any], count: int) -> Iterator[str]:
    """Items as Planetary Computer writes them, one slice after the other on one track."""
    ring = [[66, 26], [70, 26], [70, 29], [66, 29], [66, 26]]
    first = datetime(2015, 1, 1, 1, 25, 26, tzinfo=UTC)
    for number in range(count):
        start = first + timedelta(hours=6 * number)
        stop = start + timedelta(seconds=25)
        name = (
            f"S1A_IW_GRDH_1SDV_{start:%Y%m%dT%H%M%S}_{stop:%Y%m%dT%H%M%S}_{number:06d}_{number:06X}"
        )
        text = json.dumps(
            {
                **template,
                "id": name,
                "geometry": {"type": "Polygon", "coordinates": [ring]},
                "bbox": [66, 26, 70, 29],
                "properties": {
                    **template["properties"],
                    "datetime": f"{start:%Y-%m-%dT%H:%M:%S}Z",
                    "start_datetime": f"{start:%Y-%m-%d %H:%M:%S}+00:00",
                    "end_datetime": f"{stop:%Y-%m-%d %H:%M:%S}+00:00",
                    "s1:datatake_id": str(number),
                    "sat:relative_orbit": 78,
                },
            }
        )
        yield text.replace(template["id"], name)


class Pages:
    """A search that answers in pages of text made beforehand: it costs as little as it can."""

    def __init__(self, texts: list[str]) -> None:
        self.texts, self.url = texts, ""

    def landing(self) -> bytes:
        search = {"rel": "search", "href": f"{self.url}/search", "type": "application/geo+json"}
        conforms = [
            "https://api.stacspec.org/v1.0.0/core",
            "https://api.stacspec.org/v1.0.0/item-search",
        ]
        return json.dumps(
            {
                "type": "Catalog",
                "id": "many",
                "stac_version": "1.0.0",
                "description": "many Items",
                "conformsTo": conforms,
                "links": [
                    {"rel": "root", "href": f"{self.url}/"},
                    {**search, "method": "GET"},
                    {**search, "method": "POST"},
                ],
            }
        ).encode()

    def page(self, query: dict[str, Any]) -> bytes:
        start, limit = int(query.get("token", 0)), int(query.get("limit", 10))
        links = []
        if start + limit < len(self.texts):
            body = {**query, "token": str(start + limit)}
            links = [{"rel": "next", "href": f"{self.url}/search", "method": "POST", "body": body}]
        features = ",".join(self.texts[start : start + limit])
        return (
            f'{{"type":"FeatureCollection","features":[{features}],"links":{json.dumps(links)}}}'
        ).encode()


@pytest.fixture
def many(data_dir: Path) -> Iterator[str]:
    """Address of an API with ten thousand Items."""
    recorded = data_dir / "stac/planetary_computer/mspc-s1-grd.json"
    pages = Pages(list(items(json.loads(recorded.read_text()), ITEMS)))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(pages.landing())

        def do_POST(self) -> None:
            size = int(self.headers["Content-Length"])
            self._send(pages.page(json.loads(self.rfile.read(size))))

        def _send(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        pages.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield pages.url
        server.shutdown()
        thread.join()


def test_ten_thousand_items_are_planned_in_seconds(benchmark, many, small_event, tmp_path):
    """Start of Python and libraries included, beside pystac-client that only reads the Items."""
    words = [*CLI, "plan", "--bbox", ",".join(map(str, BOX)), "--before", "2015-01-01/2020-12-31"]
    words += ["--during", "2021-01-01/2021-12-31", "--source", many, "--model", "none"]
    words += ["--dem", str(small_event / "dem.tif"), "--hand", "none", "--json"]
    report = tmp_path / "usage"
    measured = ["/usr/bin/env", "python3", "-c", MEASURE, str(report), *words]

    def plan() -> dict[str, Any]:
        done = subprocess.run(measured, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    began = time.monotonic()
    found = benchmark.pedantic(plan, rounds=1)
    wall = time.monotonic() - began
    cpu, peak = (float(value) for value in report.read_text().split())
    benchmark.extra_info.update(
        wall_s=round(wall, 1), cpu_s=round(cpu, 1), peak_mb=round(peak / 1024)
    )
    assert len(found["passes"]) == ITEMS
    peer = [*measured[:5], sys.executable, "-c", PEER, many]
    read = subprocess.run(peer, capture_output=True, text=True, check=True)
    assert int(read.stdout) == ITEMS
    theirs = float(report.read_text().split()[0])
    benchmark.extra_info.update(pystac_client_cpu_s=round(theirs, 1))
    # measured 2.2 times: what a product is, and whether it may be read, is looked at in every Item
    assert cpu <= 4 * theirs
    assert peak * 1024 <= 300e6


PEER = """
import sys
from pystac_client import Client
search = Client.open(sys.argv[1]).search(max_items=None, limit=250, datetime="2015/2021")
print(sum(1 for _ in search.items()))
"""

MEASURE = """
import os, resource, subprocess, sys
done = subprocess.run(sys.argv[2:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
open(sys.argv[1], "w").write(f"{used.ru_utime + used.ru_stime} {used.ru_maxrss}")
sys.exit(done.returncode)
"""
