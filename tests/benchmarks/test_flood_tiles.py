"""Flood by two dates on real tiles of Copernicus EMS, whose decibels have to be assumed.

``python tests/benchmarks/test_flood_tiles.py DATA [MODEL]`` prints a table for the log,
``catalogs/models/evaluations.md``. The tiles (of activation EMSR763, before and during a flood)
were stretched to bytes, by ranges that nobody kept: water and land of both polarisations lie where
they usually do if VV runs from -22 to -3 dB and VH from -29 to -11, and two other ranges show how
much depends on it. Beside the model stands a rule that knows nothing of water: 5 by 5 pixels lost
three decibels in VV.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from scipy import ndimage

import cube
from cube.kernels import multilook, scores

NO_DATA = 255
TILES = "553_336", "553_337"
IMAGES = {
    "reference_vv": "PRE_S1/VV_pre",
    "vv": "POST_S1/VV_post",
    "reference_vh": "PRE_S1/VH_pre",
    "vh": "POST_S1/VH_post",
}
RANGES = {
    "usual": {"vv": (-22.0, -3.0), "vh": (-29.0, -11.0)},
    "wider": {"vv": (-25.0, 0.0), "vh": (-32.0, -8.0)},
    "narrower": {"vv": (-20.0, -4.0), "vh": (-27.0, -12.0)},
}


@dataclass(frozen=True)
class Row:
    """Scores of the flood of a tile at an assumed stretch."""

    tile: str
    stretch: str
    model: scores.Counts
    rule: scores.Counts


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as source:
        return source.read(1).astype("float32")


def tile(folder: Path, name: str, stretch: str) -> tuple[xr.Dataset, np.ndarray]:
    """Linear power with NaN outside of the mapped area, and flood as 0, 1 and 255 there."""
    levels = {band: read(folder / where / f"{name}.png") for band, where in IMAGES.items()}
    # dark water has level 0 as well as what lies outside
    inside = ndimage.binary_closing(sum(levels.values()) > 0, iterations=3)
    bands = {}
    for band, level in levels.items():
        low, high = RANGES[stretch][band[-2:]]
        power = 10 ** ((low + (high - low) / 255 * level) / 10)
        bands[band] = (("y", "x"), np.where(inside, power, np.nan).astype("float32"))
    label = read(folder / "Labels" / f"{name}.png") > 0
    return xr.Dataset(bands), np.where(inside, label, NO_DATA).astype("uint8")


def table(
    data_dir: Path, model: str = "default", stretches: Sequence[str] = tuple(RANGES)
) -> Iterator[Row]:
    folder = data_dir / "chips" / "emsr763"
    for name in TILES:
        for stretch in stretches:
            ds, label = tile(folder, name, stretch)
            flood = cube.infer(ds, model).flood.values
            found = np.where(flood == NO_DATA, NO_DATA, flood == 2).astype("uint8")
            now, before = (multilook.box_mean(ds[band].values) for band in ("vv", "reference_vv"))
            lost = np.where(np.isnan(now), NO_DATA, now < before / 2).astype("uint8")
            yield Row(name, stretch, scores.count(found, label), scores.count(lost, label))


def line(name: str, counts: scores.Counts) -> str:
    return f"| {name} | {counts.iou:.3f} | {counts.precision:.2f} | {counts.recall:.2f} |"


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_most_of_the_flood_of_real_tiles_is_found(data_dir):
    """How much else is called flood depends on the tile: bounds are those of the worse one."""
    for row in table(data_dir, stretches=("usual",)):
        assert row.model.recall > 0.5, row
        assert row.model.iou > 0.15, row


if __name__ == "__main__":
    print("| tile, stretch, by | IoU | precision | recall |\n|---|---|---|---|")
    for row in table(Path(sys.argv[1]), *sys.argv[2:]):
        print(line(f"{row.tile}, {row.stretch}, model", row.model))
        print(line(f"{row.tile}, {row.stretch}, three decibels lost", row.rule))
