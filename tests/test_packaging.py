"""What goes into the wheel."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        return set(wheel.namelist())


@pytest.mark.parametrize(
    "name",
    [
        "cube/py.typed",
        "pipelines/py.typed",
        "catalogs/presets.toml",
        "catalogs/endpoints.toml",
        "catalogs/events/demo.toml",
        "catalogs/events/pakistan2022.toml",
        "catalogs/geoid/egm96_15.tif",
        "catalogs/normalisers.toml",
        "catalogs/models/default/card.toml",
        "catalogs/models/default/model.safetensors",
    ],
)
def test_wheel_holds(name, names):
    assert name in names


def test_wheel_holds_three_packages_and_nothing_else(names):
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "cube",
        "pipelines",
        "catalogs",
    }


def test_the_models_of_the_wheel_are_small():
    weights = list((ROOT / "catalogs" / "models").glob("*/model.safetensors"))
    assert weights
    assert sum(path.stat().st_size for path in weights) <= 5e6
