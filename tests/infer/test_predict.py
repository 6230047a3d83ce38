"""A network over chunks: the values of the whole, whatever the chunks; and what is refused."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

import cube
from cube.errors import CatalogError, PlanError
from cube.infer import predict
from cube.infer.networks import UNet

WIDTHS = (4, 6, 8)
SHAPE = 150, 131

CARD = """
id = "random"
version = 1
title = "Random weights, for tests"
bands = ["vv", "vh"]
classes = ["water"]
units = "linear power"
licence = "none"
training = "none"
sources = ["tests"]
sha256 = "{sha256}"
[network]
name = "unet"
widths = [4, 6, 8]
[normaliser]
scale = "decibel"
low = 1e-5
high = 10.0
mean = [-12.0, -19.0]
deviation = [6.0, 6.0]
"""


def write_model(folder: Path, weights: dict[str, torch.Tensor], card: str = CARD) -> Path:
    folder.mkdir(exist_ok=True)
    save_file(weights, folder / "model.safetensors")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    (folder / "card.toml").write_text(card.format(sha256=digest))
    return folder


def random_weights(seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    network = UNet(2, 1, WIDTHS)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 2)
    return network.state_dict()


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "random", random_weights())


def scene(dates: int = 2) -> xr.Dataset:
    rng = np.random.default_rng(4)
    power = rng.gamma(4, 0.02, (2, dates, *SHAPE)).astype("float32")
    power[0, :, 40:48, 30:41] = np.nan
    power[1, -1, 100:103, :20] = np.nan
    dims = ("time", "y", "x")
    attrs = {"units": "1", "grid_mapping": "spatial_ref"}
    return xr.Dataset(
        {name: (dims, values, attrs) for name, values in zip(("vv", "vh"), power, strict=True)},
        {"y": np.arange(SHAPE[0]), "x": np.arange(SHAPE[1]), "spatial_ref": 0},
    )


def plain(ds: xr.Dataset, weights: dict[str, torch.Tensor]) -> np.ndarray:
    """torch on the whole image, normalised by hand."""
    network = UNet(2, 1, WIDTHS)
    network.load_state_dict(weights)
    network.eval()
    found = []
    for date in range(ds.sizes["time"]):
        bands = np.stack([ds[name].isel(time=date).values for name in ("vv", "vh")])
        known = np.isfinite(bands).all(axis=0)
        decibels = 10 * np.log10(np.clip(bands, 1e-5, 10))
        channels = (decibels - np.array([-12, -19])[:, None, None]) / 6
        channels[:, ~known] = 0
        bottom, right = -SHAPE[0] % 4, -SHAPE[1] % 4
        padded = np.pad(channels, ((0, 0), (0, bottom), (0, right))).astype("float32")
        with torch.inference_mode():
            logits = network(torch.from_numpy(padded)[None])[0, 0, : SHAPE[0], : SHAPE[1]]
        found.append(np.where(known, torch.sigmoid(logits).numpy(), np.nan))
    return np.stack(found)


def test_probabilities_are_those_of_torch_on_the_whole(model):
    ds = scene()
    found = cube.infer(ds, model)
    assert found.water_probability.dims == ("time", "y", "x")
    assert found.water_probability.dtype == np.float32
    assert found.water_probability.attrs["model"] == "random@1"
    np.testing.assert_allclose(
        found.water_probability.values, plain(ds, random_weights()), atol=1e-6
    )
    assert set(found.data_vars) == {"vv", "vh", "water_probability"}
    np.testing.assert_array_equal(
        np.isnan(found.water_probability), np.isnan(ds.vv) | np.isnan(ds.vh)
    )


@given(st.integers(1, 150), st.integers(1, 131), st.sampled_from([40, 64, 1024]))
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_chunks_and_tiles_change_nothing(model, rows, cols, tile):
    ds = scene(1)
    whole = cube.infer(ds, model).water_probability.values
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predict, "_TILE", tile)
        lazy = cube.infer(ds.chunk(y=rows, x=cols), model).water_probability
        assert isinstance(lazy.data, da.Array)
        # convolutions of other sizes add up in another order: some last bits of float32
        np.testing.assert_allclose(lazy.values, whole, atol=1e-6)


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


def test_the_reach_is_exact():
    """Where all weights are above 0, everything in reach of a pixel changes it."""
    for widths in ((3,), (3, 4), (3, 4, 5), (3, 4, 5, 6)):
        network = UNet(2, 1, widths).eval().double()
        with torch.no_grad():
            for weight in network.parameters():
                weight.abs_().add_(0.1)
        size = 32 * network.stride
        image = torch.rand(1, 2, size, size, dtype=torch.float64, requires_grad=True)
        out, middle, farthest = network(image)[0, 0], size // 2, 0
        for step in range(network.stride):
            place = middle + step
            gradient = torch.autograd.grad(out[place, place], image, retain_graph=True)[0]
            at = (gradient.abs().sum((0, 1)) > 0).nonzero()[:, 0]
            farthest = max(farthest, place - int(at.min()), int(at.max()) - place)
        assert farthest == network.reach


def test_weights_are_not_in_the_graph(model):
    ds = scene(1).chunk(y=64, x=64)
    lazy = cube.infer(ds, model).water_probability
    graph = dict(lazy.__dask_graph__())
    given = sum(len(pickle.dumps(ds[name].__dask_graph__())) for name in ("vv", "vh"))
    weights = (model / "model.safetensors").stat().st_size
    assert len(pickle.dumps(graph)) < given + weights / 2 + 200_000


def test_building_a_graph_computes_nothing(model):
    def never(block):
        raise AssertionError("computed")

    lazy = da.map_blocks(
        never, da.zeros((1, 128, 128), chunks=64), dtype="f4", meta=np.empty((0,) * 3, "f4")
    )
    ds = xr.Dataset({name: (("time", "y", "x"), lazy) for name in ("vv", "vh")})
    found = cube.infer(ds, model)
    assert found.water_probability.shape == (1, 128, 128)


# --- refused


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda ds: ds.drop_vars("vh"), "model random needs vh; the Dataset holds vv"),
        (lambda ds: ds.assign(vv=ds.vv.assign_attrs(units="dB")), "vv is in decibels"),
        (lambda ds: ds.map(lambda band: 10 * np.log10(band)), "takes linear power, found -"),
        (lambda ds: ds.isel(y=0, drop=True), "vv has dimensions time, x; needs y, x"),
    ],
)
def test_bands_that_are_none_are_one_line(model, change, says):
    with pytest.raises(PlanError, match=says) as caught:
        cube.infer(change(scene(1)), model).compute()
    assert "\n" not in str(caught.value)


def test_a_model_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(CatalogError, match="no model there"):
        cube.infer(scene(1), tmp_path)


def test_weights_of_another_network_name_what_differs(tmp_path):
    folder = write_model(tmp_path / "other", UNet(2, 1, (4, 6)).state_dict())
    with pytest.raises(
        CatalogError, match=r"down\.2\.0\.weight is missing, expected \(8, 6, 3, 3\)"
    ):
        cube.infer(scene(1), folder)


def test_weights_that_were_changed_or_cut_are_refused(model, tmp_path):
    folder = write_model(tmp_path / "cut", random_weights())
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CatalogError, match="weights and card do not belong together"):
        cube.infer(scene(1), folder)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('bands = ["vv", "vh"]', 'bands = ["vv"]', "bands, mean and deviation of different"),
        ('name = "unet"', 'name = "resnet"', r"network\.name: Input should be 'unet'"),
        ("[network]", "[netw", "not valid TOML"),
        ('licence = "none"', "", "licence: Field required"),
    ],
)
def test_a_malformed_card_is_one_line(tmp_path, old, new, says):
    folder = write_model(tmp_path / "bad", random_weights(), CARD.replace(old, new))
    with pytest.raises(CatalogError, match=says):
        cube.infer(scene(1), folder)
