"""What a GPU reckons beside the network, on tensors of the processor: the kernels' values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from small_models import WIDTHS, single_model, two_branch_model

import cube
from cube.cards import Branch, Card, Input, Normaliser
from cube.catalog import load_model, load_normaliser
from cube.errors import PlanError
from cube.infer import blocks, lanes, on_device
from cube.infer.blocks import Predictor
from cube.infer.channels import channels
from cube.infer.networks import UNet
from cube.infer.weights import arithmetic
from cube.kernels.expectation import class_probabilities, entropy

NORMALISERS = ["floodcube-context@1", "kurosiwo@2", "copernicusfm-db@1", "copbench-flood@1"]
BANDS = Input.parse("vv"), Input.parse("vh")
# last bits of float32 through ten decibels and a scale of 0.5; sums have the kernel's bits
CHANNELS = 3e-6
# the kernels reckon in float64, this in float32: some last bits of a probability
CHANCES = 2e-6
powers = st.one_of(
    st.just(np.nan), st.just(0.0), st.floats(2.0**-20, 100, width=32), st.just(np.float32(3e4))
)


def branch(head: str, classes: int, temperature: float) -> Branch:
    names = tuple(f"c{number}" for number in range(classes))
    return Branch(
        name="one", inputs=("vv", "vh"), classes=names, head=head, temperature=temperature,
        normaliser=NORMALISERS[0], network={"name": "unet", "widths": WIDTHS},
    )  # fmt: skip


@given(
    arrays.arrays(
        np.float32, arrays.array_shapes(min_dims=2, max_dims=2, max_side=25), elements=powers
    ),
    st.integers(0, 2**32 - 1),
    st.sampled_from(NORMALISERS),
)
@settings(max_examples=60)
def test_channels_are_those_of_the_kernels(first, seed, name):
    """Any shape, any pixels missing, evenness as of speckle and none at all."""
    normaliser = load_normaliser(name)
    second = np.random.default_rng(seed).gamma(4, 0.02, first.shape).astype("float32")
    known = np.isfinite(first)
    given = np.where(known, np.stack([first, second]), np.float32(np.nan))
    with np.errstate(divide="ignore"):
        wanted = channels(given, BANDS, normaliser)
    tensors = [torch.from_numpy(band) for band in (first, second)]
    found = on_device.channels(tensors, torch.from_numpy(known), BANDS, normaliser)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-6, atol=CHANNELS)


def test_boxes_have_the_bits_of_the_kernel():
    """So has the variance, which is a difference of sums: no tolerance hides its loss."""
    rng = np.random.default_rng(1)
    power = (0.1 + 1e-5 * rng.standard_normal((200, 300))).astype("float32")
    expected = sum_of_seven(sum_of_seven(power, 0), 1)
    np.testing.assert_array_equal(on_device._boxes(torch.from_numpy(power)[None])[0], expected)


def sum_of_seven(values: np.ndarray, axis: int) -> np.ndarray:
    """One after the other, in float32."""
    ends = [(3, 3) if number == axis else (0, 0) for number in range(2)]
    wide = np.pad(values, ends)
    size = values.shape[axis]
    total = np.zeros_like(values)
    for step in range(7):
        total += np.take(wide, range(step, step + size), axis)
    return total


@given(
    st.sampled_from(["softmax", "heteroscedastic", "sigmoid"]),
    st.integers(2, 5),
    st.floats(0.3, 3),
    st.sampled_from([0.1, 1, 8, 60]),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=60)
def test_heads_are_those_of_the_kernels(head, classes, temperature, size, seed):
    one = branch(head, classes, temperature)
    outputs = classes * (2 if head == "heteroscedastic" else 1)
    logits = np.random.default_rng(seed).normal(0, size, (outputs, 9, 11)).astype("float32")
    logits[:, 0, 0] = 0
    found = on_device.probabilities(one, torch.from_numpy(logits))
    with np.errstate(over="ignore"):
        wanted = blocks._head(one, logits)
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=CHANCES)
    np.testing.assert_allclose(
        on_device.entropy(one, found[0]), blocks._entropy(one, found[0].numpy()), atol=CHANCES
    )


def test_entropy_is_nan_where_a_probability_is():
    chance = torch.tensor([[0.5, np.nan, 1.0], [0.5, 0.5, 0.0]])
    found = on_device.entropy(branch("softmax", 2, 1), chance)
    np.testing.assert_allclose(found, entropy(chance.numpy()), atol=1e-7)


def test_scales_without_end_stay_numbers():
    logits = torch.tensor([[1e3], [-1e3], [0.0], [1e4], [1e4], [1e4]])
    chance, variance = on_device.probabilities(branch("heteroscedastic", 3, 0.5), logits)
    wanted, _ = class_probabilities(logits[:3].numpy(), logits[3:].numpy(), 0.5)
    assert variance.isfinite().all()
    np.testing.assert_allclose(chance, wanted, atol=CHANCES)


# --- whole blocks, as if the processor were a GPU


@pytest.fixture
def as_a_gpu(monkeypatch):
    """Blocks go the way of a GPU after this is called."""
    return lambda: monkeypatch.setattr(Predictor, "_on_device", lambda self: True)


def scene(shape=(150, 131)) -> xr.Dataset:
    """Two dates; a reference on the left, holes, and a part that no pass covers."""
    rng = np.random.default_rng(4)
    power = rng.gamma(4, 0.02, (4, 2, *shape)).astype("float32")
    power[0, :, 40:48, 30:41] = np.nan
    power[:2, 1, 100:, 60:] = np.nan
    power[2:, :, :, 70:] = np.nan
    names = "vv", "vh", "reference_vv", "reference_vh"
    return xr.Dataset(
        {name: (("time", "y", "x"), one) for name, one in zip(names, power, strict=True)}
    )


def agree(found: xr.Dataset, wanted: xr.Dataset, atol: float = 1e-5) -> None:
    for name in wanted.data_vars:
        if name == "flood":  # a probability of just the threshold may fall on either side
            assert (found[name].values != wanted[name].values).mean() < 1e-4
        else:
            np.testing.assert_allclose(found[name], wanted[name], atol=atol, err_msg=name)


@pytest.mark.parametrize("chunks", [None, {"y": 64, "x": 70}])
def test_a_gpu_gives_what_a_processor_gives(two_branches, as_a_gpu, chunks):
    ds = scene()
    wanted = cube.infer(ds, two_branches)
    as_a_gpu()
    found = cube.infer(ds.chunk(chunks) if chunks else ds, two_branches)
    assert {"water_probability", "flood_probability", "entropy", "aleatoric"} <= {*found}
    agree(found.compute(), wanted)


def test_softmax_in_decibels_too(model, as_a_gpu):
    ds = scene()[["vv", "vh"]]
    wanted = cube.infer(ds, model)
    as_a_gpu()
    agree(cube.infer(ds, model), wanted)


@pytest.mark.parametrize("passes", [0, 3])
def test_several_networks_give_the_spread_of_a_processor(tmp_path, as_a_gpu, monkeypatch, passes):
    monkeypatch.setattr(blocks, "DROPOUT_TILE", 64)
    monkeypatch.setattr("cube.infer.predict.DROPOUT_TILE", 64)
    models = [two_branch_model(tmp_path / str(seed), seed) for seed in (1, 2)]
    wanted = cube.infer(scene(), models, passes=passes, seed=3)
    assert float(wanted.epistemic.mean()) > 1e-6
    as_a_gpu()
    agree(cube.infer(scene(), models, passes=passes, seed=3), wanted)


def test_without_memory_tiles_get_smaller_and_that_is_said_once(model, as_a_gpu, request, caplog):
    ds = scene()[["vv", "vh"]]
    wanted = cube.infer(ds, model)
    request.getfixturevalue("scarce_memory")
    as_a_gpu()
    agree(cube.infer(ds, model), wanted)
    agree(cube.infer(ds, model), wanted)
    assert caplog.text.count("out of memory") == 1


def test_decibels_are_refused(model, as_a_gpu):
    as_a_gpu()
    with pytest.raises(PlanError, match="takes linear power, found -"):
        cube.infer(scene().map(lambda band: 10 * np.log10(band)), model)


def test_a_place_that_no_pass_covers_costs_no_network(model, as_a_gpu, monkeypatch):
    monkeypatch.setattr(UNet, "forward", lambda self, x: pytest.fail("for nothing"))
    as_a_gpu()
    found = cube.infer(xr.full_like(scene(), np.nan), model)
    assert found.water_probability.isnull().all()


# --- strips of pinned buffers, without a GPU


class Event:
    """Counts."""

    def __init__(self):
        self.recorded = self.waited = 0

    def record(self, stream):
        self.recorded += 1

    def synchronize(self):
        self.waited += 1


@pytest.fixture
def way(monkeypatch) -> lanes.Lane:
    """A lane of pinned buffers whose memory is ordinary, and whose device is the processor."""
    monkeypatch.setattr(lanes, "STRIP", 100)
    made = lanes._Pinned.__new__(lanes._Pinned)
    made.device, made.stream = torch.device("cpu"), None
    made.buffers, made.events = [torch.empty(100), torch.empty(100)], [Event(), Event()]
    return made


@given(st.integers(1, 40), st.integers(1, 50), st.integers(1, 2), st.integers(1, 3))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_strips_carry_everything(way, rows, cols, bands, layers):
    rng = np.random.default_rng(0)
    values = rng.random((rows + 2, bands, cols)).transpose(0, 2, 1)[1:-1]
    np.testing.assert_array_equal(way.up(values).numpy(), values.astype("float32"))
    found, out = torch.rand(layers, rows, cols), np.zeros((layers, 2 * rows, cols), "float32")
    way.down(found, out[:, rows:])
    np.testing.assert_array_equal(out[:, rows:], found.numpy())
    assert (out[:, :rows] == 0).all()
    assert way.facts(torch.tensor([1.0, np.inf])) == [1.0, np.inf]
    for event in way.events:
        assert event.waited >= event.recorded - 1


def test_a_row_longer_than_a_strip_is_refused(way):
    with pytest.raises(ValueError, match="a row of 101 samples"):
        way.up(np.zeros((2, 101, 1), "float32"))


def test_float32_is_no_tf32_and_settings_come_back():
    backend = torch.backends.cudnn

    def settings():
        return backend.conv.fp32_precision, backend.benchmark

    before = settings()
    with arithmetic("cuda", repeated=True):
        assert settings() == ("ieee", True)
        with arithmetic("cuda"):
            assert settings() == ("ieee", False)
        assert settings() == ("ieee", True)
    assert settings() == before
    with pytest.raises(KeyError), arithmetic("cuda"):
        raise KeyError
    assert settings() == before
    with arithmetic("cpu"):
        assert settings() == before


# --- what it does not know


def test_only_what_is_known_here_is_reckoned_here(model):
    card: Card = load_model(str(model)).card
    normaliser = load_normaliser(card.branches[0].normaliser)
    assert on_device.fits(card.branches, [normaliser])
    other = normaliser.model_copy(update={"scale": "cubic"})
    assert not on_device.fits(card.branches, [other])
    heights = card.branches[0].model_copy(update={"inputs": ("vv", "dem")})
    assert not on_device.fits([heights], [normaliser])

    class Newer(Normaliser):
        bands: str = ""

    on_device._KNOWN[Newer] = on_device._KNOWN[Normaliser]
    values = normaliser.model_dump()
    assert on_device.fits(card.branches, [Newer(**values)])
    assert not on_device.fits(card.branches, [Newer(**values, bands="ratios")])
    del on_device._KNOWN[Newer]


def test_a_model_unlike_these_goes_through_the_processor_and_says_so(tmp_path, monkeypatch, caplog):
    folder = single_model(tmp_path / "other")
    function, _ = cube.infer.predict.predictor([folder])
    monkeypatch.setattr(blocks, "_slow", set())
    monkeypatch.setattr(blocks, "fits", lambda *_: False)
    moved = Predictor(**{**vars(function), "device": "cuda"})
    assert not moved._on_device()
    assert not moved._on_device()
    assert caplog.text.count("reckoned on the CPU") == 1
