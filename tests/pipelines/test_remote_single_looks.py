"""Complex products read over HTTP, where a catalog's assets point: the same cube as from disk.

Products are simulated, the server is on loopback.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from servers import AssetServer, Fault

from cube.readers import transport
from cube.simulate import simulate_event


@pytest.fixture(scope="module")
def event(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("single") / "event"
    return simulate_event(folder, small=True, products=("slc",)).directory


@pytest.fixture
def served(event, tmp_path, monkeypatch):
    """The event's products on a server, and a folder whose catalog points there."""
    monkeypatch.setattr(transport, "BACKOFF_S", 0.001)
    transport._session.cache_clear()
    folder = tmp_path / "event"
    shutil.copytree(event, folder, ignore=shutil.ignore_patterns("safe"))
    with AssetServer(event) as server:
        for path in (folder / "sentinel-1-slc").rglob("*.json"):
            item = json.loads(path.read_text())
            for asset in item.get("assets", {}).values():
                asset["href"] = f"{server.url}/safe/{asset['href'].split('/safe/')[1]}"
            path.write_text(json.dumps(item))
        yield folder, server
    transport._session.cache_clear()


@pytest.fixture
def build(cube_command, tmp_path):
    def run(source: Path, out: str):
        return cube_command(
            "build", "--event", source / "event.toml", "--source", source, "--product", "slc",
            "--scratch", tmp_path / "scratch", "--out", tmp_path / out,
        )  # fmt: skip

    return run


def tree(path: Path) -> dict[str, bytes]:
    files = sorted(one for one in path.rglob("*") if one.is_file())
    return {str(one.relative_to(path)): one.read_bytes() for one in files}


def test_a_cube_from_a_server_is_that_from_disk(event, served, build, tmp_path):
    folder, server = served
    said = build(folder, "remote.zarr").fine().out
    assert "SIMULATED" in said
    build(event, "local.zarr").fine()
    assert tree(tmp_path / "remote.zarr") == tree(tmp_path / "local.zarr")
    whole = sum(one.stat().st_size for one in (event / "safe").rglob("*.tiff"))
    assert 0 < server.bytes_sent < 1.5 * whole


def test_failures_that_pass_are_borne(served, build, tmp_path):
    folder, server = served
    server.faults.append(Fault(status=503, times=3))
    build(folder, "cube.zarr").fine()


def test_a_measurement_that_is_gone_is_one_line(served, build, tmp_path):
    folder, server = served
    server.faults.append(Fault(status=404, path=r"\.tiff", times=None))
    error = build(folder, "cube.zarr").error
    assert ".tiff" in error
    assert "404" in error
    assert not (tmp_path / "cube.zarr").exists()
