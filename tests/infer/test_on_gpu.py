"""On a GPU: what the processor gives, whatever the chunks, and with little memory."""

from __future__ import annotations

import gc
import logging

import dask
import numpy as np
import pytest
import small_models
import torch
import xarray as xr

import cube
from cube.errors import PlanError
from cube.infer import blocks

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="torch sees no GPU; these tests compare one with the CPU"
)
NAMES = "water_probability", "entropy", "aleatoric"
# float32 sums in another order through some twenty layers; TF32 would change up to 5e-3
SAME = 2e-4
# bfloat16 has 8 bits; cube.infer.weights lets it change a probability by as much
ROUGH = 0.02


@pytest.fixture(scope="module")
def two_branches(tmp_path_factory):
    return small_models.two_branch_model(tmp_path_factory.mktemp("two") / "random")


def scene(shape=(1500, 1300), dates: int = 1) -> xr.Dataset:
    """Land and a lake with speckle; holes, and a corner that no pass covers."""
    rng = np.random.default_rng(2)
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    lake = (rows - shape[0] / 2) ** 2 + (cols - shape[1] / 3) ** 2 < (shape[0] / 4) ** 2
    bands = {}
    for name, land, water in (("vv", 0.1, 0.01), ("vh", 0.02, 0.003)):
        power = np.where(lake, water, land) * rng.gamma(4, 0.25, (dates, *shape))
        power[:, 40:48, 30:41] = np.nan
        power[:, -200:, -300:] = np.nan
        bands[name] = (("time", "y", "x"), power.astype("float32"))
    return xr.Dataset(bands)


def with_reference(ds: xr.Dataset) -> xr.Dataset:
    """The same with a reference on the left."""
    left = np.arange(ds.sizes["x"]) < 700
    before = {f"reference_{name}": (0.4 * ds[name] + 0.03).where(left) for name in ("vv", "vh")}
    return ds.assign({name: one.transpose(*ds.vv.dims) for name, one in before.items()})


def largest(found: xr.Dataset, wanted: xr.Dataset, name: str) -> float:
    one, other = found[name].values, wanted[name].values
    np.testing.assert_array_equal(np.isnan(one), np.isnan(other), err_msg=name)
    return float(np.nanmax(abs(one - other)))


@pytest.fixture(scope="module")
def wanted() -> xr.Dataset:
    return cube.infer(scene(), device="cpu")


def test_float32_is_that_of_the_processor(wanted):
    found = cube.infer(scene(), device="cuda")
    assert np.isnan(found.water_probability).sum() == np.isnan(scene().vv).sum()
    for name in NAMES:
        assert largest(found, wanted, name) < SAME


def test_bfloat16_agrees(wanted):
    found = cube.infer(scene(), device="cuda", precision="bfloat16")
    assert 0 < largest(found, wanted, "water_probability") < ROUGH


@pytest.mark.parametrize("chunks", [(512, 512), (700, 1300), (1500, 333)])
def test_chunks_change_nothing(chunks):
    ds = scene(dates=2)
    whole = cube.infer(ds, device="cuda")
    lazy = cube.infer(ds.chunk(y=chunks[0], x=chunks[1]), device="cuda")
    with dask.config.set(scheduler="threads", num_workers=16):
        lazy = lazy.compute()
    for name in NAMES:
        assert largest(lazy, whole, name) < SAME


@pytest.mark.parametrize("passes", [0, 3])
def test_branches_several_models_and_passes(two_branches, tmp_path, passes):
    """Branches and members as on the processor; passes have noise of another generator."""
    ds = with_reference(scene())
    other = small_models.two_branch_model(tmp_path / "other", 5)
    found = cube.infer(ds, [two_branches, other], device="cuda", passes=passes, seed=1)
    if passes:
        lazy = cube.infer(
            ds.chunk(y=512, x=512), [two_branches, other], device="cuda", passes=passes, seed=1
        ).compute()
        assert float(found.epistemic.mean()) > 1e-6
        assert largest(lazy, found, "epistemic") < SAME
        return
    expected = cube.infer(ds, [two_branches, other], device="cpu")
    for name in (*NAMES, "flood_probability", "epistemic", "mutual_information"):
        assert largest(found, expected, name) < SAME


def test_decibels_are_refused():
    with pytest.raises(PlanError, match="takes linear power, found -"):
        cube.infer(scene().map(lambda band: 10 * np.log10(band)), device="cuda")


def test_what_is_nowhere_known_is_nan():
    found = cube.infer(xr.full_like(scene((300, 200)), np.nan), device="cuda")
    assert found.water_probability.isnull().all()


def test_a_model_that_is_not_reckoned_there_still_runs(wanted, monkeypatch):
    monkeypatch.setattr(blocks, "fits", lambda *_: False)
    found = cube.infer(scene(), device="cuda")
    assert largest(found, wanted, "water_probability") < SAME


def test_little_memory_means_smaller_tiles_and_one_word_for_each_size(monkeypatch, caplog):
    """The allocator gets 900 MB: tiles of 4096 have no room, some quarter has."""
    monkeypatch.setattr(blocks, "_told", {})
    ds = scene((4000, 4000))
    found = cube.infer(ds, device="cuda")
    assert "out of memory" not in caplog.text
    gc.collect()
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    allowed = torch.cuda.memory_reserved() + 900e6
    torch.cuda.set_per_process_memory_fraction(allowed / total)
    try:
        with caplog.at_level(logging.WARNING):
            small = cube.infer(ds, device="cuda")
            said = caplog.text.count("out of memory")
            cube.infer(ds, device="cuda")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert 1 <= said <= 3
    assert caplog.text.count("out of memory") == said
    for name in NAMES:
        assert largest(small, found, name) < SAME
