"""Scores of lazy arrays: whatever the chunks, the sums of the whole."""

from __future__ import annotations

import dask
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from cube.kernels.scores import reliability
from cube.kernels.selective import selective
from cube.steps.scores import lazy_reliability, lazy_selective

SHAPE = 60, 47


def arrays() -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    rng = np.random.default_rng(0)
    chance = rng.random(SHAPE).astype("float32")
    chance[3:9] = np.nan
    truth = rng.integers(0, 2, SHAPE).astype("uint8")
    truth[:, :4] = 255
    doubt = (rng.random(SHAPE) * 0.25).astype("float32")
    return tuple(xr.DataArray(one, dims=("y", "x")) for one in (doubt, chance, truth))


@given(st.integers(1, 60), st.integers(1, 47))
def test_chunks_change_nothing(rows, cols):
    doubt, chance, truth = arrays()
    whole, sums = selective(doubt, chance, truth, 0.25), reliability(chance, truth)
    lazy = chance.chunk(y=rows, x=cols)
    # the others have chunks of their own
    found = lazy_selective(doubt.chunk(y=31), lazy, truth, 0.25).compute(scheduler="sync")
    np.testing.assert_array_equal(found.number, whole.number)
    np.testing.assert_array_equal(found.errors, whole.errors)
    # sums in another order
    np.testing.assert_allclose(found.losses, whole.losses, rtol=1e-12)
    assert found.mean_right == pytest.approx(whole.mean_right, rel=1e-12)
    assert found.mean_wrong == pytest.approx(whole.mean_wrong, rel=1e-12)
    other = lazy_reliability(lazy, truth).compute(scheduler="sync")
    np.testing.assert_array_equal(other.number, sums.number)
    assert other.nll == pytest.approx(sums.nll, rel=1e-12)
    assert other.brier == pytest.approx(sums.brier, rel=1e-12)
    assert other.ece == pytest.approx(sums.ece, rel=1e-12)


def test_arrays_of_other_dimensions_are_refused():
    _, chance, truth = arrays()
    with pytest.raises(ValueError, match="agree in dimensions and their order"):
        lazy_reliability(chance, truth.transpose("x", "y"))


def test_only_a_graph_is_asked_for_and_equal_input_makes_equal_keys():
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("computed while only a graph was asked for")

    doubt, chance, truth = (one.chunk(y=7, x=5) for one in arrays())
    with dask.config.set(scheduler=refuse):
        found = lazy_selective(doubt, chance, truth, 0.25), lazy_reliability(chance, truth)
        again = lazy_selective(doubt, chance, truth, 0.25), lazy_reliability(chance, truth)
        other = lazy_selective(doubt, chance, truth, 0.5), lazy_reliability(1 - chance, truth)
    assert [one.key for one in found] == [one.key for one in again]
    assert {one.key for one in found}.isdisjoint(one.key for one in other)


def test_no_task_adds_more_than_a_few_sums():
    """90 blocks: 90 sums, then 6, then one."""
    _, chance, truth = (one.chunk(y=7, x=5) for one in arrays())
    graph = lazy_reliability(chance, truth).__dask_graph__()
    adds = [key for key in graph if str(key).startswith("_add")]
    scores = [key for key in graph if str(key).startswith("reliability")]
    assert (len(scores), len(adds)) == (90, 7)
