from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("name", ["cube.kernels", "cube.readers", "cube.steps", "torch"])
def test_simulator_shares_nothing_with_the_processor(name):
    """An error of sign that both shared would never be seen."""
    code = f"import sys, cube.simulate; print({name!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
