"""What a user waits for: help at once, and the demo in two minutes from nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from spent import children_cpu

CLI = [sys.executable, "-c", "from cube.cli import main; main()"]


def test_help_is_there_at_once(benchmark):
    """Best of five in CPU seconds; it costs less than to import xarray, which it does without."""

    def best(command):
        spent = []
        for _ in range(5):
            began = children_cpu()
            subprocess.run(command, capture_output=True, text=True, check=True)
            spent.append(children_cpu() - began)
        return min(spent)

    found = benchmark.pedantic(best, args=([*CLI, "--help"],), rounds=1, warmup_rounds=1)
    xarray = best([sys.executable, "-c", "import xarray"])
    benchmark.extra_info.update(
        {"CPU s": round(found, 3), "import xarray, CPU s": round(xarray, 3)}
    )
    assert found < xarray


@pytest.mark.slow
def test_the_demo_takes_two_minutes_at_most(benchmark, tmp_path):
    """On two cores, simulation of its products included, in an empty folder and cache."""

    def build():
        done = subprocess.run(
            [*CLI, "build", "--event", "demo", "--workers", "2"],
            cwd=tmp_path,
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done

    cpu, began = children_cpu(), time.monotonic()
    benchmark.pedantic(build, rounds=1)
    wall = time.monotonic() - began
    benchmark.extra_info["CPU s"] = round(children_cpu() - cpu, 1)
    assert wall <= 120
