"""``cube.coherence``: blocks, what is kept of the images, and what is refused."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import cube
from cube.errors import PlanError
from cube.kernels.coherence import coherence as kernel

SHAPE = 61, 47


def images(seed=0):
    rng = np.random.default_rng(seed)

    def noise():
        return rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE)

    first = noise()
    stack = np.stack([first, 0.6 * first + 0.8 * noise()]).astype("complex64")
    stack[1, 20:30, 5:9] = np.nan
    coords = {"y": 100.0 - 10 * np.arange(SHAPE[0]), "x": 10.0 * np.arange(SHAPE[1])}
    coords |= {"time": np.array(["2023-09-04", "2023-09-16"], "datetime64[ns]"), "spatial_ref": 0}
    return xr.DataArray(
        stack, coords, ("time", "y", "x"), "slc", attrs={"grid_mapping": "spatial_ref"}
    )


@given(
    st.integers(1, 61), st.integers(1, 47), st.sampled_from([(1, 1), (3, 7), (11, 5)]),
    st.booleans(),
)  # fmt: skip
@settings(max_examples=15)  # up to 2,867 blocks each
def test_no_value_depends_on_chunks(rows, cols, window, magnitude):
    pair = images()
    whole = kernel(pair.values[0], pair.values[1], window)
    lazy = pair.chunk(y=rows, x=cols)
    found = cube.coherence(lazy.isel(time=0), lazy.isel(time=1), window, magnitude=magnitude)
    assert isinstance(found.data, da.Array)
    expected = np.abs(whole) if magnitude else whole
    assert found.dtype == expected.dtype
    assert found.values.tobytes() == expected.tobytes()


def test_one_call_gives_the_coherence_of_two_dates():
    pair = images()
    found = cube.coherence(pair.isel(time=0), pair.isel(time=1), (5, 5))
    assert found.dims == ("y", "x")
    assert found.name == "coherence"
    assert found.attrs["window"] == [5, 5]
    assert found.attrs["grid_mapping"] == "spatial_ref"
    assert set(found.coords) == {"y", "x", "spatial_ref"}
    assert np.isnan(found.values[20:30, 5:9]).all()
    assert 0.5 < float(found.mean()) < 0.75


def test_one_date_may_be_lazy_and_axes_in_any_order():
    pair = images()
    mixed = cube.coherence(
        pair.isel(time=0).transpose("x", "y"), pair.isel(time=1).chunk(y=20), (3, 3)
    )
    plain = cube.coherence(pair.isel(time=0), pair.isel(time=1), (3, 3))
    np.testing.assert_array_equal(mixed.values, plain.values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, b: (a.real, b), "primary is float32; coherence needs complex samples"),
        (lambda a, b: (a, b.isel(y=slice(1, None))), r"images of \(61, 47\) and \(60, 47\) pixels"),
        (lambda a, b: (a, b.assign_coords(x=b.x + 10)), "whose coordinates along x differ"),
        (lambda a, b: (a, images()), "secondary has dimensions time, y, x; give one image"),
    ],
)
def test_what_is_no_pair_is_one_line(change, message):
    pair = images()
    with pytest.raises(PlanError, match=message):
        cube.coherence(*change(pair.isel(time=0), pair.isel(time=1)))


def test_windows_and_shares_that_are_none_are_one_line():
    one = images().isel(time=0)
    with pytest.raises(PlanError, match="window of 4 by 3 pixels; give odd numbers"):
        cube.coherence(one, one, (4, 3))
    with pytest.raises(PlanError, match="least share 2"):
        cube.coherence(one, one, least=2)
