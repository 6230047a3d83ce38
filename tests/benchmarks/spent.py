"""What work takes of the processors."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable


def cpu_seconds(function: Callable[..., object], *args: object, rounds: int = 3) -> float:
    """The best of some rounds, in this process."""
    return in_turns(lambda: function(*args), rounds=rounds)[0]


def in_turns(*functions: Callable[[], object], rounds: int = 3) -> list[float]:
    """CPU-seconds of each at its best, all in each round: what else goes on then meets them alike.

    Threads of a network wait for one another busily, which counts where processors are shared.
    """
    best = [math.inf] * len(functions)
    for _ in range(rounds):
        for number, function in enumerate(functions):
            began = time.process_time()
            function()
            best[number] = min(best[number], time.process_time() - began)
    return best


def children_cpu() -> float:
    """CPU-seconds of all processes that were started here and have ended."""
    times = os.times()
    return times.children_user + times.children_system
