"""One builder per cube."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cube.errors import StoreError
from cube.store.lock import BuildLock


def lock_file(cube: Path, **owner: object) -> Path:
    """A lock that somebody left."""
    path = cube.with_name(cube.name + ".lock")
    path.write_text(json.dumps(owner))
    return path


@pytest.fixture
def neighbour() -> Iterator[subprocess.Popen[bytes]]:
    """Another process that lives as long as the test."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.communicate()


def test_a_second_builder_stops_with_one_line(
    start_cube, build, asked, small_event, tmp_path, tree
):
    out = tmp_path / "cube.zarr"
    first = start_cube("build", *asked(small_event, out, "--resolution", 5))
    while not out.exists():
        assert first.poll() is None, first.communicate()[1]
        time.sleep(0.002)
    first.send_signal(signal.SIGSTOP)
    before = tree(tmp_path)
    error = build(small_event, out, "--resolution", 5).error
    unchanged = tree(tmp_path) == before
    first.kill()
    first.communicate()
    assert f"another build is writing it (process {first.pid} on {socket.gethostname()}" in error
    assert unchanged


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.communicate()
    lock_file(tmp_path / "c", host=socket.gethostname(), pid=dead.pid, started=time.time())
    with BuildLock(tmp_path / "c"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_process_number_used_again_is_not_the_owner(tmp_path, neighbour):
    long_ago = psutil.Process(neighbour.pid).create_time() - 3600
    lock_file(tmp_path / "c", host=socket.gethostname(), pid=neighbour.pid, started=long_ago)
    with BuildLock(tmp_path / "c"):
        pass


def test_the_lock_of_a_living_process_holds_however_old(tmp_path, neighbour):
    started = psutil.Process(neighbour.pid).create_time()
    path = lock_file(tmp_path / "c", host=socket.gethostname(), pid=neighbour.pid, started=started)
    os.utime(path, (0, 0))
    with pytest.raises(StoreError, match="another build is writing it"), BuildLock(tmp_path / "c"):
        pass


def test_a_silent_lock_of_another_host_is_taken_over(tmp_path):
    path = lock_file(tmp_path / "c", host="elsewhere", pid=1, started=0.0)
    os.utime(path, (time.time() - 61, time.time() - 61))
    with BuildLock(tmp_path / "c"):
        pass
    assert not path.exists()


def test_a_fresh_lock_of_another_host_holds(tmp_path):
    path = lock_file(tmp_path / "c", host="elsewhere", pid=1, started=0.0)
    os.utime(path, (time.time() - 30, time.time() - 30))
    with pytest.raises(StoreError, match="process 1 on elsewhere"), BuildLock(tmp_path / "c"):
        pass
    assert path.exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", "\x00\x00", '{"host": 1, "pid": "x"}'])
def test_an_unreadable_lock_grows_stale(tmp_path, content):
    path = tmp_path / "c.lock"
    path.write_text(content)
    os.utime(path, (time.time() - 61, time.time() - 61))
    with BuildLock(tmp_path / "c"):
        pass
    assert not path.exists()


def test_an_unreadable_fresh_lock_holds(tmp_path):
    (tmp_path / "c.lock").write_text("")
    with pytest.raises(StoreError, match="an unknown host"), BuildLock(tmp_path / "c"):
        pass


def test_the_lock_is_released_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), BuildLock(tmp_path / "c"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_the_lock_lies_beside_the_cube(tmp_path):
    with BuildLock(tmp_path / "c"):
        assert [path.name for path in tmp_path.iterdir()] == ["c.lock"]
