"""``cube.interferogram``: lazy and not, whatever the chunks; where its pixels lie."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import cube
from cube.errors import PlanError
from cube.kernels.interferogram import multilook

SHAPE = 47, 61


def images():
    rng = np.random.default_rng(1)
    stack = (rng.normal(size=(2, *SHAPE)) + 1j * rng.normal(size=(2, *SHAPE))).astype("complex64")
    stack[0, 5:9, 7:30] = np.nan
    coords = {"y": 100.0 - 10 * np.arange(SHAPE[0]), "x": 10.0 * np.arange(SHAPE[1])}
    coords |= {"spatial_ref": 0, "relative_orbit": ("time", [52, 52])}
    attrs = {"grid_mapping": "spatial_ref", "polarisation": "VV"}
    return xr.DataArray(stack, coords, ("time", "y", "x"), "slc_vv", attrs)


@given(st.integers(1, 47), st.integers(1, 61), st.sampled_from([(1, 1), (3, 4), (5, 2)]))
@settings(max_examples=15)
def test_no_value_depends_on_chunks(rows, cols, looks):
    pair = images()
    lazy = pair.chunk(y=rows, x=cols)
    found = cube.interferogram(lazy.isel(time=0), lazy.isel(time=1), looks)
    assert isinstance(found.coherence.data, da.Array)
    cross, coherence = multilook(pair.values[0], pair.values[1], looks)
    assert found.interferogram.values.tobytes() == cross.tobytes()
    np.testing.assert_array_equal(found.coherence.values, coherence)
    assert found.coherence.dtype == np.float32


def test_pixels_lie_in_the_middle_of_their_boxes():
    pair = images()
    found = cube.interferogram(pair.isel(time=0), pair.isel(time=1), (4, 5))
    assert found.sizes == {"y": 11, "x": 12}
    assert found.x.values[:2].tolist() == [20.0, 70.0]
    assert found.y.values[:2].tolist() == [85.0, 45.0]
    assert "spatial_ref" in found.coords
    assert found.coherence.attrs["polarisation"] == "VV"


def test_what_is_no_pair_is_one_line():
    pair = images()
    with pytest.raises(PlanError, match="boxes of 0 by 3 pixels; give 1 to 47 by 1 to 61"):
        cube.interferogram(pair.isel(time=0), pair.isel(time=1), (0, 3))
    other = pair.isel(time=1).assign_coords(relative_orbit=81)
    with pytest.raises(PlanError, match="primary is of relative orbit 52, secondary of 81"):
        cube.interferogram(pair.isel(time=0), other)
