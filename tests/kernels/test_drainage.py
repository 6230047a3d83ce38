"""Which cells meet a channel, and heights above it in a valley of known shape."""

from __future__ import annotations

import numpy as np
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from cube.kernels.drainage import height_above_channel
from cube.steps.hand import hand

DX = 30.0


@given(st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_a_cell_stands_above_the_first_channel_on_its_path(count, seed):
    """Random trees, each cell walked down one by one."""
    rng = np.random.default_rng(seed)
    downstream = np.array([rng.integers(0, cell + 1) for cell in range(count)])
    drain = rng.random(count) < 0.2
    height = rng.uniform(0, 100, count).astype("float32")
    expected = []
    for start in range(count):
        cell = start
        while not drain[cell] and downstream[cell] != cell:
            cell = downstream[cell]
        expected.append(height[start] - height[cell] if drain[cell] else np.nan)
    found = height_above_channel(drain, downstream, np.arange(count), height)
    # up to 60 drops, each of them rounded to float32 at 100 m
    np.testing.assert_allclose(found, expected, rtol=0, atol=60 * 4e-6)


def valley(side=0.1, along=0.001, shape=(201, 101)):
    """A straight valley that drains to the south, floor in the middle column."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    floor = 500.0 - along * DX * y
    return (floor + side * DX * np.abs(x - shape[1] // 2)).astype("float32")


GRID = Affine(DX, 0, 600_000.0, 0, -DX, 3_000_000.0)  # UTM, metres
# The lowest neighbour is the diagonal one: a step across takes a step down the valley with it
ABOVE = (0.1 + 0.001) * DX * np.abs(np.arange(101) - 50)


def test_a_valley_side_stands_above_the_floor_below_it():
    found = hand(valley(), GRID, geographic=False)
    # 101 cells of 30 m are 0.09 km2 a row: the channel begins within the first 70 rows, since
    # the outermost flow reaches the floor 50 rows below
    inner = slice(70, 140), slice(2, -2)
    # float32 holds 500 m to 3e-5 m
    np.testing.assert_allclose(
        found[inner], np.broadcast_to(ABOVE, found.shape)[inner], rtol=0, atol=1e-3
    )


def test_flow_that_leaves_the_map_before_a_channel_has_no_height_above_it():
    """Ridges four cells inside the map; 4 x 201 cells beyond them are 0.7 km2, and no channel."""
    height = valley()
    for west, east in zip(range(4), range(100, 96, -1), strict=True):
        height[:, [west, east]] = valley()[:, [8 - west]]
    found = hand(height, GRID, geographic=False)
    assert np.isnan(found[2:-2, [0, 1, 2, 98, 99, 100]]).all()
    assert np.isfinite(found[80:140, 5:96]).all()


def test_a_void_is_a_void():
    height = valley()
    height[100:110, 20:24] = np.nan
    found = hand(height, GRID, geographic=False)
    assert np.isnan(found[100:110, 20:24]).all()
    # between the void and the floor nothing changes
    np.testing.assert_allclose(found[105, 30:45], ABOVE[30:45], rtol=0, atol=1e-3)


def test_height_above_drainage_is_never_negative():
    rng = np.random.default_rng(24)
    rough = valley() + rng.normal(0, 2, (201, 101)).astype("float32")
    found = hand(rough, GRID, geographic=False)
    assert np.nanmin(found) >= 0
    assert np.isfinite(found).mean() > 0.5


def test_degrees_give_the_heights_of_metres():
    """The same valley at the equator, in degrees of the same size."""
    step = DX / 111_319.5
    metric = hand(valley(), GRID, geographic=False)
    degrees = hand(valley(), Affine(step, 0, 10.0, 0, -step, 0.03), geographic=True)
    np.testing.assert_allclose(degrees[70:140, 2:-2], metric[70:140, 2:-2], rtol=0, atol=1e-3)
