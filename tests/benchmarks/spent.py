"""What work takes of the processors."""

from __future__ import annotations

import os
import time
from collections.abc import Callable


def cpu_seconds(function: Callable[..., object], *args: object, rounds: int = 3) -> float:
    """The best of some rounds, in this process."""
    spent = []
    for _ in range(rounds):
        began = time.process_time()
        function(*args)
        spent.append(time.process_time() - began)
    return min(spent)


def children_cpu() -> float:
    """CPU-seconds of all processes that were started here and have ended."""
    times = os.times()
    return times.children_user + times.children_system
