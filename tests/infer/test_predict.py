"""A network over chunks: the values of the whole, whatever the chunks; and what is refused."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_models import (
    CHANGE,
    HEAD,
    SINGLE,
    WIDTHS,
    named,
    random_weights,
    single_model,
    two_branch_model,
    write_model,
)

import cube
from cube.errors import CatalogError, PlanError
from cube.infer import blocks
from cube.infer.networks import UNet

SHAPE = 150, 131
PASSES = ("time", "y", "x")


def scene(dates: int = 2) -> xr.Dataset:
    rng = np.random.default_rng(4)
    power = rng.gamma(4, 0.02, (2, dates, *SHAPE)).astype("float32")
    power[0, :, 40:48, 30:41] = np.nan
    power[1, -1, 100:103, :20] = np.nan
    attrs = {"units": "1", "grid_mapping": "spatial_ref"}
    return xr.Dataset(
        {name: (PASSES, values, attrs) for name, values in zip(("vv", "vh"), power, strict=True)},
        {"y": np.arange(SHAPE[0]), "x": np.arange(SHAPE[1]), "spatial_ref": 0},
    )


def with_reference(ds: xr.Dataset) -> xr.Dataset:
    """The same with a reference on the left."""
    rng = np.random.default_rng(5)
    added = {}
    for name in ("reference_vv", "reference_vh"):
        values = rng.gamma(20, 0.004, SHAPE).astype("float32")
        values[:, 70:] = np.nan
        added[name] = (("y", "x"), values)
    return ds.assign(added)


def plain(ds: xr.Dataset, weights: dict[str, torch.Tensor]) -> np.ndarray:
    """torch on the whole image, normalised by hand."""
    network = UNet(2, 2, WIDTHS)
    network.load_state_dict(weights)
    network.eval()
    found = []
    for date in range(ds.sizes["time"]):
        bands = np.stack([ds[name].isel(time=date).values for name in ("vv", "vh")])
        known = np.isfinite(bands).all(axis=0)
        decibels = 10 * np.log10(np.clip(bands, 1e-5, 100))
        mean, deviation = np.array([-12.59, -20.26]), np.array([5.26, 5.91])
        channels = (decibels - mean[:, None, None]) / deviation[:, None, None]
        channels[:, ~known] = 0
        bottom, right = -SHAPE[0] % 4, -SHAPE[1] % 4
        padded = np.pad(channels, ((0, 0), (0, bottom), (0, right))).astype("float32")
        with torch.inference_mode():
            logits = network(torch.from_numpy(padded)[None])[0, :, : SHAPE[0], : SHAPE[1]]
        found.append(np.where(known, torch.softmax(logits, 0)[1].numpy(), np.nan))
    return np.stack(found)


def same(first: xr.DataArray, second: xr.DataArray | np.ndarray) -> None:
    # convolutions of other sizes add up in another order: some last bits of float32
    np.testing.assert_allclose(np.asarray(first), np.asarray(second), atol=1e-6)


def test_probabilities_are_those_of_torch_on_the_whole(model):
    ds = scene()
    found = cube.infer(ds, model)
    assert found.water_probability.dims == PASSES
    assert found.water_probability.dtype == np.float32
    assert found.water_probability.attrs["model"] == "random@1"
    # the folding of normalisation into convolutions rounds once more
    np.testing.assert_allclose(
        found.water_probability.values, plain(ds, random_weights()), atol=3e-6
    )
    assert set(found.data_vars) == {"vv", "vh", "water_probability", "entropy"}
    np.testing.assert_array_equal(
        np.isnan(found.water_probability), np.isnan(ds.vv) | np.isnan(ds.vh)
    )


@given(st.integers(9, 150), st.integers(9, 131), st.sampled_from([40, 64, 1024]))
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_chunks_and_tiles_change_nothing(two_branches, rows, cols, tile):
    ds = with_reference(scene(1))
    whole = cube.infer(ds, two_branches)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_TILE", tile)
        lazy = cube.infer(ds.chunk(y=rows, x=cols), two_branches)
        assert isinstance(lazy.water_probability.data, da.Array)
        lazy = lazy.compute()
        for name in ("water_probability", "flood_probability", "entropy", "aleatoric"):
            same(lazy[name].values, whole[name])
        # a probability of just the threshold may fall on either side
        assert (lazy.flood.values != whole.flood.values).mean() < 1e-4


def test_the_first_branch_of_which_all_is_there_is_used(two_branches):
    ds = with_reference(scene(1))
    found = cube.infer(ds, two_branches).isel(time=0)
    alone = cube.infer(scene(1), two_branches).isel(time=0)
    assert "flood_probability" not in alone
    left, right = {"x": slice(0, 70)}, {"x": slice(70, None)}
    same(found.water_probability.isel(right), alone.water_probability.isel(right))
    assert np.nanmax(abs(found.water_probability - alone.water_probability).isel(left)) > 0.01
    assert found.flood_probability.isel(right).isnull().all()
    known = found.water_probability.isel(left).notnull()
    assert (found.flood_probability.isel(left).notnull() == known).all()
    assert (
        (found.flood_probability <= found.water_probability + 1e-6)
        .where(found.flood_probability.notnull(), True)
        .all()
    )
    assert (
        (found.flood.isel(right) == 255)
        .where(found.water_probability.isel(right) > 0.5, True)
        .all()
    )


def test_each_branch_has_a_threshold_of_its_own(two_branches, tmp_path):
    ds = with_reference(scene(1)).assign(permanent_water=(("y", "x"), np.zeros(SHAPE, "uint8")))
    plain = cube.infer(ds, two_branches).isel(time=0)
    left, right = (plain.water_probability.isel(x=part) for part in (slice(0, 70), slice(70, None)))
    change, single = (
        round(float(left.median()), 9),
        round(float(right.min() + right.median()) / 2, 9),
    )
    other = Path(shutil.copytree(two_branches, tmp_path / "random"))
    card = (other / "card.toml").read_text()
    for name, level in (("change", change), ("single", single)):
        card = card.replace(f'name = "{name}"', f'name = "{name}"\nwater_threshold = {level}')
    (other / "card.toml").write_text(card)
    found = cube.infer(ds, other).isel(time=0)
    np.testing.assert_array_equal(found.water_probability, plain.water_probability)
    level = np.where(found.flood_probability.notnull(), change, single)
    known = found.water_probability.notnull().values
    water = (found.water_probability > level).values[known]
    old = (1 - found.flood_probability / found.water_probability > 0.5).values[known]
    np.testing.assert_array_equal(found.flood.values[known], np.where(water & ~old, 2, 0))
    assert ((right > change) != (right > single)).any()


def test_flood_obeys_permanent_water_and_the_mask(two_branches):
    ds = with_reference(scene(1))
    permanent = np.zeros(SHAPE, "uint8")
    permanent[:20] = 1
    mask = np.zeros((1, *SHAPE), "uint8")
    mask[0, 30:40], mask[0, 50:60] = 2, 16
    ds = ds.assign(
        permanent_water=(("y", "x"), permanent), mask=(("track", "y", "x"), mask)
    ).assign_coords(track=[78], relative_orbit=("time", [78]))
    found = cube.infer(ds, two_branches).isel(time=0)
    unknown = found.water_probability.isnull()
    flood = found.flood.where(~unknown, 255)
    assert set(np.unique(flood[:20].where(~unknown[:20], 1))) == {1}
    assert (found.flood_probability > 0.5).any()
    assert (flood[30:40] == 255).all()
    assert not (flood[50:60] == 2).any()
    assert (flood[60:] == 2).any()


def test_a_reference_over_track_is_that_of_the_pass(two_branches):
    ds = scene(2)
    rng = np.random.default_rng(7)
    both = rng.gamma(20, 0.004, (2, 2, *SHAPE)).astype("float32")
    dims = ("track", "y", "x")
    names = "reference_vv", "reference_vh"
    cubed = ds.assign({n: (dims, v) for n, v in zip(names, both, strict=True)}).assign_coords(
        track=[5, 78], relative_orbit=("time", [78, 5])
    )
    found = cube.infer(cubed, two_branches)
    for time, track in ((0, 1), (1, 0)):
        one = ds.isel(time=[time]).assign(
            {n: (("y", "x"), v[track]) for n, v in zip(names, both, strict=True)}
        )
        same(found.flood_probability[time], cube.infer(one, two_branches).flood_probability[0])


def test_earlier_passes_are_those_of_the_track_in_order_of_time(tmp_path):
    card = HEAD + SINGLE.replace('["vv", "vh"]', '["vv", "vv[-1]"]')
    folder = write_model(tmp_path / "random", named("single", random_weights()), card)
    ds = scene(4)[["vv"]].assign_coords(
        time=np.array(["2022-09-13", "2022-09-01", "2022-09-25", "2022-09-02"], "M8[ns]"),
        relative_orbit=("time", [78, 78, 78, 5]),
    )
    plain_one = single_model(tmp_path / "plain")
    found = cube.infer(ds, folder).water_probability
    for now, before in ((0, 1), (2, 0)):
        pair = xr.Dataset(
            {"vv": ds.vv[now].drop_vars("time"), "vh": ds.vv[before].drop_vars("time")}
        )
        # the second band has the numbers of the first here
        pair_vh = 10 ** (
            (10 * np.log10(pair.vh.clip(1e-5, 100)) + 12.59) / 5.26 * 5.91 / 10 - 2.026
        )
        expected = cube.infer(pair.assign(vh=pair_vh), plain_one).water_probability
        np.testing.assert_allclose(found[now], expected, atol=2e-5)
    assert found[1].isnull().all()  # the first of its track
    assert found[3].isnull().all()


def test_a_change_far_away_changes_nothing_and_one_in_reach_does(model):
    ds = scene(1)
    reach = UNet(2, 1, WIDTHS).reach
    assert reach == 23
    before = cube.infer(ds, model).water_probability.values
    ds.vv[0, 60, 60] = 5.0
    after = cube.infer(ds, model).water_probability.values
    changed = np.argwhere(np.nan_to_num(np.abs(after - before)[0]) > 0)
    assert len(changed)
    assert np.abs(changed - 60).max() <= reach


def test_weights_are_not_in_the_graph(two_branches):
    ds = with_reference(scene(1)).chunk(y=64, x=64)
    lazy = cube.infer(ds, two_branches).water_probability
    given = sum(len(pickle.dumps(ds[name].__dask_graph__())) for name in ds.data_vars)
    grown = len(pickle.dumps(dict(lazy.__dask_graph__()))) - given
    wide = write_model(
        Path(two_branches).parent / "wide",
        {
            **named("change", random_weights(12, 6, widths=(24, 32, 48))),
            **named("single", random_weights(6, 4, widths=(24, 32, 48))),
        },
        HEAD
        + CHANGE.replace("[4, 6, 8]", "[24, 32, 48]")
        + SINGLE.replace("copernicusfm-db", "floodcube-context")
        .replace("softmax", "heteroscedastic")
        .replace("[4, 6, 8]", "[24, 32, 48]"),
    )
    larger = (wide / "model.safetensors").stat().st_size
    assert larger > 4 * (two_branches / "model.safetensors").stat().st_size
    other = cube.infer(ds, wide).water_probability
    assert len(pickle.dumps(dict(other.__dask_graph__()))) - given < grown + 20_000


def test_building_a_graph_computes_nothing(two_branches):
    def never(block):
        raise AssertionError("computed")

    lazy = da.map_blocks(
        never, da.zeros((1, 128, 128), chunks=64), dtype="f4", meta=np.empty((0,) * 3, "f4")
    )
    names = "vv", "vh", "reference_vv", "reference_vh"
    ds = xr.Dataset({name: (PASSES, lazy) for name in names})
    found = cube.infer(ds, two_branches)
    assert found.flood.shape == (1, 128, 128)


def test_without_coordinates_crs_or_time(model):
    ds = scene(1).isel(time=0).drop_vars(("y", "x", "spatial_ref"))
    found = cube.infer(ds, model).water_probability
    assert found.dims == ("y", "x")
    same(found, cube.infer(scene(1), model).water_probability[0])


def test_all_missing_blocks_are_missing(two_branches):
    ds = with_reference(scene(1)).map(lambda one: one.where(one.y < 0))
    found = cube.infer(ds.chunk(y=64), two_branches)
    assert found.water_probability.isnull().all()
    assert (found.flood == 255).all()


def test_an_ensemble_is_the_mean_and_knows_where_its_members_differ(tmp_path):
    ds = with_reference(scene(1))
    members = [two_branch_model(tmp_path / f"random{seed}", seed) for seed in (0, 1, 2)]
    found = cube.infer(ds, members)
    each = [cube.infer(ds, one) for one in members]
    mean = np.mean([one.water_probability for one in each], axis=0)
    same(found.water_probability, mean)
    right = {"x": slice(70, None)}  # two classes there
    chances = np.stack([one.water_probability.isel(right) for one in each])
    np.testing.assert_allclose(found.epistemic.isel(right), chances.var(axis=0), atol=1e-5)
    spent = np.mean([one.entropy.isel(right) for one in each], axis=0)
    np.testing.assert_allclose(
        found.mutual_information.isel(right), found.entropy.isel(right) - spent, atol=1e-5
    )
    known = found.entropy.notnull()
    assert (found.mutual_information >= 0).where(known, True).all()
    assert (found.mutual_information <= found.entropy + 1e-6).where(known, True).all()
    assert (found.entropy <= np.log(3) + 1e-6).where(known, True).all()
    alike = cube.infer(ds, [members[0], members[0]])
    assert float(alike.epistemic.max()) < 1e-6


def test_dropout_has_the_same_noise_in_whole_tiles_and_another_by_seed(two_branches, monkeypatch):
    monkeypatch.setattr(blocks, "DROPOUT_TILE", 64)
    monkeypatch.setattr("cube.infer.predict.DROPOUT_TILE", 64)
    ds = with_reference(scene(1))
    whole = cube.infer(ds, two_branches, passes=3, seed=1)
    assert float(whole.epistemic.mean()) > 1e-6
    for rows, cols in ((64, 64), (128, 64), (64, 131)):
        lazy = cube.infer(ds.chunk(y=rows, x=cols), two_branches, passes=3, seed=1)
        same(lazy.epistemic, whole.epistemic)
        same(lazy.water_probability, whole.water_probability)
    other = cube.infer(ds, two_branches, passes=3, seed=2)
    assert float(abs(other.water_probability - whole.water_probability).max()) > 1e-3


@pytest.fixture
def bfloat16(monkeypatch):
    """Says whether the processor has it; without, the arithmetic is the same, only slow."""
    from cube.infer import weights

    weights.open_networks.cache_clear()
    yield lambda there: monkeypatch.setattr(weights, "has_bfloat16", lambda device: there)
    weights.open_networks.cache_clear()


def test_bfloat16_agrees_with_float32(model, bfloat16):
    bfloat16(True)
    ds = scene(1)
    rough = cube.infer(ds, model, precision="bfloat16").water_probability
    exact = cube.infer(ds, model).water_probability
    # eight bits of mantissa through eight layers of random weights
    assert 0 < float(abs(rough - exact).max()) < 0.05


def test_a_processor_that_only_emulates_bfloat16_says_so_and_takes_float32(model, bfloat16, caplog):
    bfloat16(False)
    ds = scene(1)
    same(
        cube.infer(ds, model, precision="bfloat16").water_probability,
        cube.infer(ds, model).water_probability,
    )
    assert "cpu: has no bfloat16" in caplog.text


def test_what_bfloat16_would_change_too_much_is_told_and_stays_float32(
    model, monkeypatch, caplog, bfloat16
):
    from cube.infer import weights

    bfloat16(True)
    monkeypatch.setattr(weights, "AGREEMENT", 1e-9)
    ds = scene(1)
    rough = cube.infer(ds, model, precision="bfloat16").water_probability
    assert "bfloat16 changes probabilities" in caplog.text
    same(rough, cube.infer(ds, model).water_probability)


def test_a_device_without_memory_gets_smaller_tiles_and_says_so_once(model, request, caplog):
    ds = scene(1)
    whole = cube.infer(ds, model).water_probability
    request.getfixturevalue("scarce_memory")
    same(cube.infer(ds, model).water_probability, whole)
    same(cube.infer(ds, model).water_probability, whole)
    assert caplog.text.count("out of memory") == 1


def test_a_device_without_any_memory_says_what_torch_says(model, monkeypatch):
    def never(self, x):
        raise torch.OutOfMemoryError("no memory at all")

    monkeypatch.setattr(UNet, "forward", never)
    monkeypatch.setattr(blocks, "_told", {})
    with pytest.raises(torch.OutOfMemoryError, match="no memory at all"):
        cube.infer(scene(1), model)


# --- refused


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda ds: ds.drop_vars("vh"), "model random@1 needs vh; found"),
        (lambda ds: ds.assign(vv=ds.vv.assign_attrs(units="dB")), "vv is in decibels"),
        (lambda ds: ds.map(lambda band: 10 * np.log10(band)), "takes linear power, found -"),
        (lambda ds: ds.isel(y=0, drop=True), "vv has dimensions time, x; needs y, x"),
    ],
)
def test_bands_that_are_none_are_one_line(model, change, says):
    with pytest.raises(PlanError, match=says) as caught:
        cube.infer(change(scene(1)), model).compute()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"device": "cuda"}, "this torch sees 0 GPUs; give auto or cpu"),
        ({"device": "warp"}, "device 'warp': unknown; give auto, cpu or cuda"),
        ({"passes": 2}, "has no dropout"),
        ({"passes": -1}, "-1 passes; give 0 or more"),
    ],
)
def test_options_that_cannot_be_are_one_line(model, options, says, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(PlanError, match=says):
        cube.infer(scene(1), model, **options)


def test_models_that_do_not_fit_together_are_refused(model, two_branches):
    with pytest.raises(PlanError, match="members of an ensemble must agree"):
        cube.infer(scene(1), [model, two_branches])
    with pytest.raises(PlanError, match="no model given"):
        cube.infer(scene(1), [])


def test_a_reference_over_track_without_tracks_is_refused(two_branches):
    ds = scene(1)
    dims = ("track", "y", "x")
    ds = ds.assign({f"reference_{name}": (dims, ds[name].values) for name in ("vv", "vh")})
    with pytest.raises(PlanError, match="relative_orbit does not say whose it is"):
        cube.infer(ds, two_branches)
    with pytest.raises(PlanError, match=r"has no track 5; it has \[78\]"):
        cube.infer(ds.assign_coords(track=[78], relative_orbit=("time", [5])), two_branches)


def test_a_model_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(CatalogError, match="no model there"):
        cube.infer(scene(1), tmp_path)
    with pytest.raises(CatalogError, match="unknown model 'defualt'"):
        cube.infer(scene(1), "defualt")


def test_weights_of_another_network_name_what_differs(tmp_path):
    weights = named("single", random_weights(widths=(4, 6)))
    folder = write_model(tmp_path / "other", weights, HEAD + SINGLE)
    with pytest.raises(
        CatalogError, match=r"single\.across\.0\.weight is \(4, 6, 1, 1\), expected \(6, 8, 1, 1\)"
    ):
        cube.infer(scene(1), folder)


@pytest.mark.parametrize("cut", [100, 5_000])
def test_weights_that_were_changed_or_cut_are_refused(tmp_path, cut):
    folder = single_model(tmp_path / "cut")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(CatalogError, match="weights and card do not belong together"):
        cube.infer(scene(1), folder)
    path.unlink()
    with pytest.raises(CatalogError, match="cannot read"):
        cube.infer(scene(1), folder)


def test_a_truncated_file_with_its_own_checksum_is_refused(tmp_path):
    folder = single_model(tmp_path / "cut")
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    old = (folder / "card.toml").read_text()
    path.write_bytes(whole[:-100])
    import hashlib

    (folder / "card.toml").write_text(
        old.replace(hashlib.sha256(whole).hexdigest(), hashlib.sha256(whole[:-100]).hexdigest())
    )
    with pytest.raises(CatalogError, match="not a readable safetensors file"):
        cube.infer(scene(1), folder)
