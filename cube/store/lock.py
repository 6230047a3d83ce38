"""One builder per cube: an exclusively created lock file with owner and heartbeat."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from cube.errors import StoreError

__all__ = ["BuildLock"]

_BEAT_S = 5.0
_STALE_S = 60.0


class BuildLock:
    """Context manager that holds ``<cube>.lock`` beside the cube.

    The lock is taken over when its owner is known to be dead (same host, no such process) or its
    heartbeat has been silent for a minute. It lies beside the cube, not in it, since a cube holds
    neither host nor process.

    Raises
    ------
    StoreError
        Somebody else is building this cube.
    """

    def __init__(self, cube: Path) -> None:
        self._path = cube.with_name(cube.name + ".lock")
        self._cube = cube
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> BuildLock:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._take()
        except OSError as error:
            raise StoreError(
                f"{self._cube}: cannot be created or locked there ({error.strerror or error});"
                " choose another --out"
            ) from error
        self._thread = threading.Thread(target=self._beat, name="cube-lock", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._path.unlink(missing_ok=True)

    def _take(self) -> None:
        for _ in range(2):
            try:
                self._create()
            except FileExistsError:
                self._refuse_or_clear()
            else:
                return
        raise StoreError(f"{self._cube}: another build took the lock just now; wait for it")

    def _create(self) -> None:
        process = psutil.Process()
        owner = {
            "host": socket.gethostname(),
            "pid": process.pid,
            "started": process.create_time(),
        }
        # Written aside and linked: the lock appears whole, or not at all
        aside = self._path.with_name(f"{self._path.name}.{process.pid}")
        try:
            aside.write_text(json.dumps(owner))
            os.link(aside, self._path)
        finally:
            aside.unlink(missing_ok=True)

    def _refuse_or_clear(self) -> None:
        try:
            content = self._path.read_bytes()
            silent = time.time() - self._path.stat().st_mtime
        except FileNotFoundError:
            return  # released between the two calls
        owner = _owner(content)
        if owner["host"] == socket.gethostname():
            dead = not _alive(owner["pid"], owner["started"])
        else:
            dead = silent > _STALE_S
        if not dead:
            raise StoreError(
                f"{self._cube}: another build is writing it (process {owner['pid']} on"
                f" {owner['host']}, last sign {silent:.0f} s ago); wait for it or choose another"
                " --out"
            )
        self._clear(content)

    def _clear(self, content: bytes) -> None:
        """Remove a dead lock, but not one that somebody took over in the meantime."""
        aside = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            self._path.rename(aside)
        except FileNotFoundError:
            return
        try:
            if aside.read_bytes() != content:
                os.link(aside, self._path)
        finally:
            aside.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._stop.wait(_BEAT_S):
            try:
                os.utime(self._path)
            except OSError:
                return  # the folder is gone: the build will say so itself


def _owner(content: bytes) -> dict[str, Any]:
    """Owner of a lock file; one that cannot be read has nobody, and grows stale by its age."""
    try:
        owner = json.loads(content)
        return {
            "host": str(owner["host"]),
            "pid": int(owner["pid"]),
            "started": float(owner["started"]),
        }
    except (ValueError, KeyError, TypeError):
        return {"host": "an unknown host", "pid": 0, "started": 0.0}


def _alive(pid: int, started: float) -> bool:
    try:
        return bool(abs(psutil.Process(pid).create_time() - started) < 2.0)
    except psutil.Error:
        return False
