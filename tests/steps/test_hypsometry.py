"""Heights as evidence: what is hidden below the level of a flood is found, and nothing invented."""

from __future__ import annotations

import dask
import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter

import cube
from cube.errors import PlanError


def plain(noise_m: float = 0.0, shape: tuple[int, int] = (400, 500), seed: int = 0):
    """A tilted plain with hollows, a flood to one level above the river, a third of it hidden.

    The radar says .95 of open water, .15 of hidden water and of a part of the dry ground that
    looks alike, .02 of the rest.
    """
    rng = np.random.default_rng(seed)
    x = np.arange(shape[1])
    ground = gaussian_filter(rng.standard_normal(shape), 12)
    ground *= 1.0 / ground.std()
    tilt = 0.002 * x
    flooded = ground < -0.3
    hidden = rng.random((8, 10)).repeat(50, 0).repeat(50, 1)[: shape[0], : shape[1]] < 0.33
    chance = np.where(flooded, np.where(hidden, 0.15, 0.95), np.where(hidden, 0.15, 0.02))
    error = noise_m * gaussian_filter(rng.standard_normal(shape), 1.5) / 0.188
    coords = {"y": 5e6 - 10.0 * np.arange(shape[0]), "x": 3e5 + 10.0 * np.arange(shape[1])}
    make = lambda values: xr.DataArray(  # noqa: E731
        values.astype("float32"), dims=("y", "x"), coords=coords
    )
    return make(chance), make(100 + ground + tilt + error), flooded, hidden


def loss(chance: xr.DataArray, flooded: np.ndarray) -> float:
    kept = np.clip(chance.values, 1e-4, 1 - 1e-4)
    return float(-np.log(np.where(flooded, kept, 1 - kept)).mean())


def test_hidden_water_is_told_from_dry_ground_that_looks_alike():
    chance, dem, flooded, hidden = plain()
    found = cube.by_height(chance, dem, reach_m=1000)
    assert found.dtype == np.float32
    deep = hidden & flooded & (dem.values < np.quantile(dem.values[flooded], 0.5))
    high = hidden & ~flooded & (dem.values > np.quantile(dem.values[~flooded], 0.5))
    assert np.median(found.values[deep]) > 0.3  # was 0.15
    assert np.median(found.values[high]) < 0.05
    assert loss(found, flooded) < 0.75 * loss(chance, flooded)


@pytest.mark.parametrize(("noise", "most"), [(0.0, 0.8), (0.5, 0.95), (2.0, 1.0), (20.0, 1.0)])
def test_a_worse_dem_helps_less_and_never_harms(noise, most):
    chance, dem, flooded, _ = plain(noise)
    assert loss(cube.by_height(chance, dem, 1000), flooded) < most * loss(chance, flooded) + 0.002


@pytest.mark.parametrize("chunks", [(64, 64), (100, 170), (400, 33)])
def test_chunks_change_no_more_than_last_bits(chunks):
    """Sums of blocks are added in another order, in float64."""
    chance, dem, *_ = plain(0.3)
    chance[20:60, 30:90] = np.nan
    dem[100:110] = np.nan
    whole = cube.by_height(chance, dem, 1000)
    lazy = cube.by_height(chance.chunk(y=chunks[0], x=chunks[1]), dem, 1000)
    assert dask.is_dask_collection(lazy)
    np.testing.assert_allclose(lazy, whole, atol=1e-6)
    np.testing.assert_array_equal(whole.isnull(), chance.isnull())
    np.testing.assert_array_equal(whole[100:110].values, chance[100:110].values)


def test_passes_are_weighed_each_by_itself():
    chance, dem, *_ = plain()
    other = xr.full_like(chance, 0.01)
    both = xr.concat([chance, other], "time").chunk(y=128, x=128, time=1)
    found = cube.by_height(both, dem, 1000).compute()
    np.testing.assert_allclose(found[0], cube.by_height(chance, dem, 1000), atol=1e-6)
    # the same everywhere: heights tell nothing
    np.testing.assert_allclose(found[1], 0.01, rtol=0.02)
    assert found.dims == ("time", "y", "x")


def test_where_no_water_is_around_nothing_changes():
    chance, dem, *_ = plain()
    dry = xr.zeros_like(chance)
    np.testing.assert_array_equal(cube.by_height(dry, dem), dry)


def test_what_cannot_be_weighed_is_one_line():
    chance, dem, *_ = plain()
    with pytest.raises(PlanError, match="heights have"):
        cube.by_height(chance, dem[:-1])
    with pytest.raises(PlanError, match="needs y and x"):
        cube.by_height(chance, dem.expand_dims("time"))
    with pytest.raises(PlanError, match="no coordinate x"):
        cube.by_height(chance.drop_vars("x"), dem)
    degrees = chance.assign_coords(x=chance.x.assign_attrs(units="degrees_east"))
    with pytest.raises(PlanError, match="in degrees"):
        cube.by_height(degrees, dem)
