"""``cube quicklook``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cube.grid import cell_area
from cube.publish.quicklook import quicklook as draw
from cube.store.opening import open_cube
from pipelines.cubes import flooded_km2, grid_of

__all__ = ["quicklook"]


def quicklook(cube: str | Path, target: str | Path) -> Path:
    """Draw a cube as PNG.

    Raises
    ------
    CubeError
        No cube, no complete pass, or the file cannot be written.
    """
    ds = open_cube(cube)
    grid = grid_of(ds)
    row, col = grid.shape[0] // 2, grid.shape[1] // 2
    metres = float(np.sqrt(cell_area(grid, slice(row, row + 1), slice(col, col + 1))[0, 0]))
    identity = ds.attrs["floodcube"]["identity"]
    title = str(identity.get("event") or "flood cube")
    if identity.get("simulated"):
        title += " (simulated)"
    areas = flooded_km2(cube, ds.isel(time=slice(-1, None))) if ds.sizes["time"] else {}
    if "flood" in ds and areas:
        last = str(ds["time"].values[-1].astype("datetime64[us]"))
        title += f": {areas[last]['flood']:.1f} km² flooded on {last[:10]}"
    return draw(ds, Path(target), title=title, metres=metres)
