"""Votes, sieves and evidence over chunks."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import cube
from cube.errors import PlanError
from cube.kernels.coherence_evidence import flood_evidence
from cube.kernels.sieve import sieve as sieve_image
from cube.kernels.vote import vote as vote_pixels

DIMS = ("time", "y", "x")
SHAPE = 2, 40, 33


def members(chunks: dict[str, int] | None = None) -> dict[str, xr.DataArray]:
    rng = np.random.default_rng(0)
    out = {}
    for number, name in enumerate(("bayes", "network", "coherence")):
        values = rng.random(SHAPE).astype("float32")
        values[:, number * 5 : number * 5 + 4] = np.nan
        out[name] = xr.DataArray(values, dims=DIMS, coords={"y": np.arange(40)})
        if chunks:
            out[name] = out[name].chunk(chunks)
    return out


def test_a_vote_is_that_of_the_pixels_whatever_the_chunks():
    whole = cube.vote(members())
    expected = vote_pixels(np.stack([one.values for one in members().values()]))
    for name, values in zip(("likelihood", "agreement", "water", "members"), expected, strict=True):
        np.testing.assert_array_equal(whole[name], values)
    assert whole.likelihood.attrs["ensemble"] == "bayes network coherence"
    lazy = cube.vote(members({"y": 7, "x": 11}))
    assert isinstance(lazy.water.data, da.Array)
    xr.testing.assert_identical(lazy.compute(), whole)
    assert "flood" not in whole


def test_permanent_water_and_exclusions_take_precedence():
    wet = {"one": xr.DataArray(np.full(SHAPE, 0.9, "float32"), dims=DIMS)}
    permanent = np.zeros(SHAPE[1:], "uint8")
    permanent[:10], permanent[10:20] = 1, 255
    mask = np.zeros(SHAPE[1:], "uint8")
    mask[:, :5], mask[:, 5:10] = 2, 32
    found = cube.vote(
        wet,
        permanent_water=xr.DataArray(permanent, dims=("y", "x")),
        mask=xr.DataArray(mask, dims=("y", "x")),
    ).flood
    assert found.dims == DIMS
    assert (found[:, :, :5] == 255).all()  # shadow
    assert (found[:, 20:, 5:10] == 0).all()  # above the drainage
    assert (found[:, :10, 5:] == 1).all()  # permanent, there too
    assert (found[:, 10:20, 10:] == 255).all()  # new or old: unknown
    assert (found[:, 20:, 10:] == 2).all()


@given(st.integers(3, 40), st.integers(3, 33), st.integers(1, 7))
def test_a_sieve_over_chunks_is_that_of_the_whole(rows, cols, least):
    rng = np.random.default_rng(1)
    classes = rng.choice([0, 1, 2, 255], SHAPE, p=[0.4, 0.1, 0.45, 0.05]).astype("uint8")
    flood = xr.DataArray(classes, dims=DIMS, attrs={"long_name": "flood classes"})
    expected = np.stack([sieve_image(one, least) for one in classes])
    np.testing.assert_array_equal(cube.sieve(flood, least), expected)
    lazy = cube.sieve(flood.chunk(time=1, y=rows, x=cols), least)
    np.testing.assert_array_equal(lazy.compute(scheduler="sync"), expected)
    assert lazy.attrs == flood.attrs


def coherent() -> xr.Dataset:
    """Five passes of a track; the fourth is of the flood, in the left half."""
    times = np.datetime64("2022-08-01", "ns") + np.arange(5) * np.timedelta64(12, "D")
    values = np.full((4, 6, 8), 0.6, "float32")
    values[2, :, :4] = 0.12
    values[2, 0] = np.nan
    return xr.Dataset(
        {"coherence_vv": (("pair", "y", "x"), values, {"looks": 40.0})},
        {
            "time": times,
            "primary_time": ("pair", times[:-1]),
            "secondary_time": ("pair", times[1:]),
            "relative_orbit": ("time", [7] * 5),
            "role": ("time", ["before"] * 3 + ["during"] * 2),
        },
    )


def test_lost_coherence_is_evidence_of_the_pass_that_lost_it():
    ds = coherent()
    found = cube.coherence_evidence(ds)
    assert found.dims == DIMS
    assert found[:3].isnull().all()  # before the event
    assert found[3, 0].isnull().all()
    assert (found[3, 1:, :4] > 0.95).all()
    assert (found[3, 1:, 4:] < 0.05).all()
    expected = flood_evidence(ds.coherence_vv[2].values, np.full((6, 8), 0.6, "float32"), 40)
    np.testing.assert_allclose(found[3], expected, atol=1e-6)
    lazy = cube.coherence_evidence(ds.chunk(y=2, x=3))
    assert isinstance(lazy.data, da.Array)
    np.testing.assert_array_equal(lazy, found)


def test_coherence_is_a_member_like_others():
    found = cube.coherence_evidence(coherent())
    sure = xr.full_like(found, 0.9)
    ds = cube.vote({"network": sure, "coherence": found})
    assert (ds.members[3, 1:] == 2).all()
    assert (ds.members[:3] == 1).all()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: cube.vote({}), "no members to vote"),
        (
            lambda: cube.vote({"a": members()["bayes"], "b": members()["bayes"][0]}),
            "member b has .* they must agree",
        ),
        (lambda: cube.sieve(members()["bayes"], 0), "give 1 or more"),
        (lambda: cube.sieve(members()["bayes"][:, 0], 2), "needs y, x"),
        (lambda: cube.coherence_evidence(coherent(), "vh"), "has no coherence_vh; add it with"),
        (
            lambda: cube.coherence_evidence(
                coherent().assign_coords(role=("time", ["during"] * 5))
            ),
            "two passes of one track before the event",
        ),
    ],
)
def test_what_cannot_be_is_one_line(call, says):
    with pytest.raises(PlanError, match=says):
        call()
