"""Training: the same weights for the same seed, and probabilities that mean what they say."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch
from torch import nn

from cube.cards import Branch, Network
from cube.infer import training
from cube.infer.calibration import fit_temperature, fit_threshold
from cube.infer.heads import log_likelihood
from cube.infer.networks import UNet
from cube.infer.training import Batch, Batches, Recipe, fit
from cube.kernels.expectation import class_probabilities
from cube.simulate.examples import Examples
from pipelines.train import BRANCHES


def noisy(seed: int, size: int = 32, count: int = 8):
    """Label noise that depends on the input (Bountos et al. 2025): flips where x2 is large.

    The class is the sign of x1 + x3, blurred by nothing; near a boundary drawn by x2 labels flip
    with a probability up to 0.45.
    """
    rng = np.random.default_rng(seed)
    while True:
        x = rng.normal(0, 1, (count, 3, size, size)).astype("float32")
        clean = x[:, 0] + x[:, 2] > 0
        flips = 0.45 / (1 + np.exp(-4 * (x[:, 1] - 0.3)))
        label = clean ^ (rng.random(clean.shape) < flips)
        yield Batch(x, label.astype("uint8")), flips


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_what_is_trained_is_what_predicts(classes):
    rng = np.random.default_rng(classes)
    mean, scale = rng.normal(0, 2, (2, classes, 5, 6)).astype("float32")
    for spread in (scale, None):
        given = (None if one is None else torch.from_numpy(one[None]) for one in (mean, spread))
        given = tuple(given)
        chance, _ = class_probabilities(mean, spread)
        for one in range(classes):
            true = torch.full((1, 5, 6), one)
            found = torch.exp(log_likelihood(*given, true))[0].numpy()
            np.testing.assert_allclose(found, np.clip(chance[one], 1e-7, 1), atol=2e-6)


def trained(scale: bool, steps: int = 400) -> torch.nn.Module:
    """Heads that are linear in what they are given, as in the paper."""
    torch.manual_seed(0)
    network = torch.nn.Conv2d(3, 4 if scale else 2, 1)
    return fit(network, (batch for batch, _ in noisy(1)), Recipe(steps, scale=scale, rate=3e-2))


def test_noise_of_labels_is_learnt_where_it_is():
    """Scales are large where labels flip, and the noisy labels become likelier."""
    network, plain = trained(True), trained(False)
    losses, orders = [[], []], []
    for batch, flips in islice(noisy(99), 6):
        target = batch.classes.astype("intp")
        with torch.inference_mode():
            out = network(torch.from_numpy(batch.channels)).numpy()
            other = plain(torch.from_numpy(batch.channels)).numpy()
        for number, (mean, scale) in enumerate(((out[:, :2], out[:, 2:]), (other, None))):
            chance, _ = class_probabilities(
                np.moveaxis(mean, 1, 0), None if scale is None else np.moveaxis(scale, 1, 0)
            )
            true = np.take_along_axis(chance, target[None], 0)
            losses[number].append(-np.log(np.maximum(true, 1e-6)).mean())
        width = np.sqrt((out[:, 2:] ** 2).sum(axis=1)).ravel()
        ranks = width.argsort().argsort(), flips.ravel().argsort().argsort()
        orders.append(np.corrcoef(*ranks)[0, 1])
    assert np.mean(orders) > 0.5
    assert np.mean(losses[0]) < np.mean(losses[1]) - 0.005


def test_the_same_seed_gives_the_same_weights():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        first, second = trained(True, 5), trained(True, 5)
    finally:
        torch.set_num_threads(threads)
    for one, other in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("there", [True, False])
def test_bfloat16_is_for_processors_that_have_it(monkeypatch, there):
    """Emulated, a step takes ten times as long as in float32."""
    seen = []

    class Watched(nn.Conv2d):
        def forward(self, x):
            seen.append(torch.is_autocast_enabled("cpu"))
            return super().forward(x)

    monkeypatch.setattr(training, "has_bfloat16", lambda device: there)
    batch = Batch(np.zeros((1, 2, 4, 4), "float32"), np.zeros((1, 4, 4), "uint8"))
    fit(Watched(2, 2, 1), iter([batch]), Recipe(steps=1, scale=False))
    assert seen == [there]


def test_unknown_pixels_teach_nothing():
    def of_noise():
        rng = np.random.default_rng(0)
        for batch, _ in noisy(1):
            classes = batch.classes.copy()
            hidden = rng.random(classes.shape) < 0.3
            yield Batch(batch.channels, np.where(hidden, 255, classes).astype("uint8")), hidden

    def flipped(fill):
        for batch, hidden in of_noise():
            channels = batch.channels
            yield Batch(channels, np.where(hidden, fill, batch.classes).astype("uint8"))

    results = []
    for fill in (255, 1):
        torch.manual_seed(0)
        results.append(fit(UNet(3, 2, (4,)), flipped(fill), Recipe(3, scale=False)))
    weights = [one.head.weight for one in results]
    assert not torch.equal(*weights)  # known pixels do teach


def test_a_loss_that_is_not_finite_stops():
    broken = Batch(np.full((1, 3, 8, 8), np.nan, "float32"), np.zeros((1, 8, 8), "uint8"))
    with pytest.raises(FloatingPointError, match="lower the rate"):
        fit(UNet(3, 2, (4,)), iter([broken]), Recipe(1, scale=False))


@pytest.mark.parametrize("branch", BRANCHES, ids=lambda one: one.name)
def test_batches_are_channels_and_classes_of_the_branch(branch):
    found = Batches(Examples(3, 64, 2), branch, 3, 0, 1)[0]
    assert found.channels.shape == (3, 3 * len(branch.inputs), 64, 64)
    assert np.isfinite(found.channels).all()
    assert set(np.unique(found.classes)) <= {*range(len(branch.classes)), 255}
    again = Batches(Examples(3, 64, 2), branch, 3, 0, 1)[0]
    np.testing.assert_array_equal(found.channels, again.channels)
    np.testing.assert_array_equal(found.classes, again.classes)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # one processor is enough
def test_batches_made_ahead_by_processes_are_the_same_in_the_same_order():
    found = Batches(Examples(3, 64, 2), BRANCHES[0], 2, 0, 5)
    ahead = list(found.made_by(2))  # first, or processes would be handed what is made
    here = list(found.made_by(0))
    assert len(here) == len(ahead) == 5
    for one, other in zip(here, ahead, strict=True):
        np.testing.assert_array_equal(one.channels, other.channels)
        np.testing.assert_array_equal(one.classes, other.classes)


def test_turns_move_channels_and_classes_alike():
    branch = Branch(
        name="single",
        inputs=("vv",),
        classes=("dry", "water"),
        head="softmax",
        normaliser="copernicusfm-db@1",
        network=Network(name="unet", widths=(4,)),
    )

    class Bright:
        def __init__(self) -> None:
            water = np.zeros((16, 16), bool)
            water[:3, 5:] = True
            self.bands = {"vv": np.where(water, 0.001, 0.1).astype("float32")}
            self.classes = np.where(water, 2, 0).astype("uint8")
            self.hidden = np.zeros_like(water)

    found = Batches([Bright() for _ in range(12)], branch, 12, 5, 1)[0]
    np.testing.assert_array_equal(found.channels[:, 0] < -1, found.classes == 1)
    assert len({one.tobytes() for one in found.classes}) > 4


def test_what_is_hidden_is_learnt_from_two_dates_only():
    examples = Examples(3, 64, 4)
    hidden = np.mean([examples[number].hidden.mean() for number in range(32)])
    assert hidden > 0.005  # else nothing is tested
    shares = {
        branch.name: np.mean(Batches(examples, branch, 32, 0, 1)[0].classes == 255)
        for branch in BRANCHES
    }
    assert shares == {"change": 0, "single": pytest.approx(hidden)}


def test_a_temperature_undoes_what_was_made_too_sure():
    rng = np.random.default_rng(0)
    logit = rng.normal(0, 2, 20_000)
    truth = rng.random(20_000) < 1 / (1 + np.exp(-logit))
    mean = np.stack([np.zeros_like(logit), 3 * logit])
    classes = truth.astype("uint8")
    classes[:50] = 255
    assert fit_temperature(mean, None, classes) == pytest.approx(3, rel=0.05)  # 20,000 draws
    with pytest.raises(ValueError, match="some that are known"):
        fit_temperature(mean, None, np.full(20_000, 255))


def test_the_threshold_is_that_of_the_largest_iou():
    rng = np.random.default_rng(1)
    chance = rng.random(5000)
    truth = rng.random(5000) < chance**2
    found = fit_threshold(chance, truth)
    steps = np.arange(0, 1, 0.01)
    ious = [(truth & (chance > t)).sum() / (truth | (chance > t)).sum() for t in steps]
    mine = (truth & (chance > found)).sum() / (truth | (chance > found)).sum()
    assert mine >= max(ious) - 0.003  # a pixel on the edge of a step
    with pytest.raises(ValueError, match="some that is"):
        fit_threshold(chance, np.zeros(5000, bool))
