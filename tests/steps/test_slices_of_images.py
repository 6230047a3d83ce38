"""A pass in slices: bursts of products that follow each other are cut like those of one."""

from __future__ import annotations

import numpy as np
import pytest
from single_look import Level, grid_around, pair_of, product_of, scene_over

from cube.simulate.slc import simulate_slc
from cube.steps.slc import SlcSource, bursts_over, geocoded_slc

SIZE = 260, 120
PLACE = -8.456, 31.474
"""Where the second and the third burst of IW1 meet."""
KEPT = {"swaths": ("IW1",), "polarisations": ("VV",)}


@pytest.fixture(scope="module")
def grid():
    return grid_around(PLACE, SIZE)


@pytest.fixture(scope="module")
def products(tmp_path_factory, data_dir, grid):
    """Files of three bursts in one product, of the first two, of the last, and of the last two."""
    first, _ = pair_of(data_dir)
    scene = scene_over(grid, 1.0, height=400.0, density=0.03)
    found = {}
    for name, bursts in {
        "whole": range(3),
        "begin": range(2),
        "end": range(2, 3),
        "overlapping end": range(1, 3),
    }.items():
        folder = tmp_path_factory.mktemp("slice")
        found[name] = product_of(simulate_slc(folder, first, scene, bursts=bursts, **KEPT))
    return found


def image(grid, products, names, reference=None):
    slices = tuple(products[name] for name in names)
    cut = slices if reference is None else tuple(products[name] for name in reference)
    source = SlcSource(grid, Level(400.0, SIZE), slices, cut)
    return geocoded_slc(source, 512).compute()[0]


def test_the_seam_lies_in_the_area(grid, products):
    assert [number for _, number in bursts_over(grid, (products["whole"],))] == [110432, 110433]


@pytest.mark.parametrize(
    ("names", "reference"),
    [
        (("begin", "end"), None),
        (("begin", "overlapping end"), None),
        (("begin", "end"), ("whole",)),
        (("whole",), ("begin", "end")),
    ],
)
def test_slices_are_laid_together_without_a_gap(grid, products, names, reference):
    whole = image(grid, products, ("whole",))
    found = image(grid, products, names, reference)
    assert np.isfinite(whole).all()
    assert np.isfinite(found).all()
    # times count from another first line, rounded to a microsecond: 1e-4 of a line
    error = np.abs(found - whole) / np.sqrt((np.abs(whole) ** 2).mean())
    assert np.sqrt((error**2).mean()) < 0.01


def test_what_no_slice_holds_is_unknown(grid, products):
    found = image(grid, products, ("end",), ("begin", "end"))
    whole = image(grid, products, ("whole",))
    known = np.isfinite(found)
    assert 0.2 < known.mean() < 0.8
    error = np.abs(found - whole)[known] / np.abs(whole).mean()
    assert np.sqrt((error**2).mean()) < 0.01
