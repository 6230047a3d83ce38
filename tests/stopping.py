"""Builds in processes of their own, waited for and stopped."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable


def wait_for(process: subprocess.Popen[str], happened: Callable[[], object]) -> None:
    """Return as soon as something happened; fail if the process ends before."""
    deadline = time.monotonic() + 120
    while not happened():
        assert process.poll() is None, f"ended before: {process.communicate()[1]}"
        assert time.monotonic() < deadline
        time.sleep(0.002)


def stop(process: subprocess.Popen[str], with_signal: signal.Signals) -> str:
    """Send a signal and return what was said on stderr."""
    process.send_signal(with_signal)
    return process.communicate(timeout=60)[1]
