"""Functions of blocks over chunks; also of those that give one value for a tile."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cube.infer.engine import Layout, Place, map_chunks


def differences(values: np.ndarray, place: Place) -> np.ndarray:
    """Sum over a window of 5 by 5, wrapped nowhere, and the place itself."""
    padded = np.pad(values, ((0, 0), (2, 2), (2, 2), (0, 0)))
    total = sum(
        padded[:, row : row + values.shape[1], col : col + values.shape[2], 0]
        for row in range(5)
        for col in range(5)
    )
    inner = total[:, place.rows, place.cols]
    rows = np.arange(inner.shape[1]) + place.top
    cols = np.arange(inner.shape[2]) + place.left
    where = np.broadcast_to(1000 * rows[:, None] + cols, inner.shape)
    return np.stack([inner, where], axis=-1).astype("float32")


def tile_means(values: np.ndarray, place: Place) -> np.ndarray:
    """What a classifier of tiles of 8 pixels looks like to the engine."""
    inner = values[:, place.rows, place.cols]
    rows, cols = inner.shape[1] // 8, inner.shape[2] // 8
    cut = inner[:, : rows * 8, : cols * 8].reshape(len(inner), rows, 8, cols, 8, inner.shape[-1])
    mean = cut.mean(axis=(2, 4))
    return np.concatenate([mean, mean**2], axis=-1).astype("float32")


@given(st.integers(5, 60), st.integers(5, 47))
def test_any_chunks_give_the_whole(rows, cols):
    values = np.random.default_rng(0).integers(0, 9, (2, 60, 47, 1)).astype("float32")
    layout = Layout(align=4, halo=4, layers=2)
    whole = map_chunks(values, differences, layout)
    lazy = map_chunks(da.from_array(values, (1, rows, cols, 1)), differences, layout)
    np.testing.assert_array_equal(lazy.compute(), whole)
    assert lazy.chunks[-1] == (2,)


@given(st.integers(5, 60), st.integers(5, 47))
def test_one_value_for_a_tile(rows, cols):
    values = np.random.default_rng(0).normal(size=(2, 60, 47, 3)).astype("float32")
    layout = Layout(align=8, halo=0, layers=6, cell=8)
    whole = map_chunks(values, tile_means, layout)
    assert whole.shape == (2, 7, 5, 6)
    lazy = map_chunks(da.from_array(values, (1, rows, cols, 3)), tile_means, layout)
    assert lazy.shape == whole.shape
    np.testing.assert_allclose(lazy.compute(), whole, atol=1e-6)


@pytest.mark.parametrize("chunks", [(1, 20, 47, 1), (2, 60, 47, 1)])
def test_a_task_or_so_for_each_block(chunks):
    values = da.zeros((2, 60, 47, 1), chunks=chunks)
    lazy = map_chunks(values, differences, Layout(4, 4, 2))
    blocks = int(np.prod(lazy.numblocks))
    assert len(dict(lazy.__dask_graph__())) <= 12 * blocks + 4
