"""The notebooks run, top to bottom; the first on the cube that the README's first block builds."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client", "ignore::ResourceWarning")
@pytest.mark.parametrize("name", ["01_open_cube", "02_own_event", "03_coherence", "04_networks"])
def test_notebook_runs(name, tmp_path, demo, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(demo.cache))
    if name in ("01_open_cube", "04_networks"):
        shutil.copytree(demo.cube, tmp_path / "demo.zarr")
    notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "committed without outputs"
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute()
    printed = "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])
    )
    if name == "01_open_cube":
        assert "at least once" in printed
        assert "simulated truth" in printed
    elif name == "04_networks":
        assert "network: " in printed
        assert "the members differ on" in printed
    elif name == "03_coherence":
        assert "looks: nothing in common shows 0.12" in printed
        assert "boxes of coherence above 0.7" in printed
    else:
        assert "no DEM; give --dem FILE" in printed
        assert (tmp_path / "myflood.png").stat().st_size > 10_000
