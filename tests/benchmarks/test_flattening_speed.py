"""From a file of numbers to a flattened block of the map, in CPU seconds and beside its parts.

Run with ``pytest tests/benchmarks/test_flattening_speed.py``. CPU seconds, because workers share
the machine. The annotation and tables are real, heights and pixels are made up.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

from cube.grid import shape_of
from cube.readers.dem import open_dem
from cube.steps.backscatter import PassSource, backscatter
from cube.steps.relief import reach_of, read_relief
from cube.steps.terrain import Exclusion, Surface, surface_bands, surface_layers
from pipelines.benchmark_scene import make_scene, write_hills

cpu = pytest.mark.benchmark(timer=time.process_time, min_rounds=3, warmup=True)
SIZE = 2048


@pytest.fixture(scope="module")
def scene(data_dir, tmp_path_factory):
    source = next((data_dir / "safe").glob("S1B_IW_GRDH_1SDV_20211223*.SAFE"))
    return make_scene(source, tmp_path_factory.mktemp("scene"))


def rate(benchmark, pixels: int) -> float:
    """Megapixels per CPU second; NaN when timing is switched off."""
    if benchmark.stats is None:
        return float("nan")
    found = pixels / 1e6 / benchmark.stats.stats.median
    benchmark.extra_info["Mpix per CPU s"] = round(found, 1)
    return found
