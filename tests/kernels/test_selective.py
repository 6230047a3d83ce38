"""Selective scores against sorting, and probabilities against torchmetrics."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.classification import binary_calibration_error

from cube.kernels.scores import reliability
from cube.kernels.selective import BINS, FRACTIONS, Risk, Selective, selective

LN2 = float(np.log(2))


def sample(count: int, seed: int = 0):
    """Doubt, probability and truth; the doubt tells something, not everything."""
    rng = np.random.default_rng(seed)
    probability = rng.beta(0.5, 0.8, count)
    truth = rng.random(count) < 0.1 + 0.75 * probability
    p = np.clip(probability, 1e-9, 1 - 1e-9)
    doubt = -(p * np.log(p) + (1 - p) * np.log(1 - p)) * rng.uniform(0.8, 1, count)
    return doubt, probability, truth


def by_sorting(doubt, cost):
    """AURC and the discard curve with every pixel in its place."""
    ordered = cost[np.argsort(doubt, kind="stable")].astype("float64")
    risks = ordered.cumsum() / np.arange(1, ordered.size + 1)
    kept = [ordered[: max(round((1 - f) * ordered.size), 1)].mean() for f in FRACTIONS]
    return risks.mean(), np.array(kept)


def losses(probability, truth):
    return -np.log(np.maximum(np.where(truth, probability, 1 - probability), 1e-6))


@pytest.mark.parametrize("power", [1, 2, 3])
def test_bins_are_as_good_as_sorting(power):
    """Of entropies, of variances, and of those of a very sure network."""
    doubt, probability, truth = sample(200_000)
    doubt = LN2 * (doubt / LN2) ** power
    found = selective(doubt, probability, truth, LN2)
    wrong = (probability > 0.5) != truth
    for risk, cost in ((found.by_error, wrong), (found.by_loss, losses(probability, truth))):
        aurc, curve = by_sorting(doubt, cost)
        # pixels of one of 8192 bins change places, some 25 of 200,000; found 7e-5 and 1.1e-4
        assert risk.aurc == pytest.approx(aurc, abs=1e-4 * curve[0])
        np.testing.assert_allclose(risk.discard(), curve, atol=2e-4 * curve[0])
        steps = np.diff(curve)
        assert risk.improvement == pytest.approx(-steps.mean(), abs=2e-5 * curve[0])
        assert risk.monotonicity == (steps < 0).mean()


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 4))
def test_bins_are_never_worse_than_their_bound(seed, tens, crowded):
    """Whatever the order in a bin: m / 4k."""
    rng, count = np.random.default_rng(seed), 9 * tens
    cell = rng.integers(0, crowded, count)
    doubt = ((cell + 0.5 + rng.uniform(-0.4, 0.4, count)) / BINS) ** 4
    truth = np.zeros(count, bool)
    probability = np.where(rng.random(count) < rng.random(), 0.9, 0.1)
    found = selective(doubt, probability, truth, 1.0)
    _, curve = by_sorting(doubt, probability > 0.5)
    kept = np.rint((1 - FRACTIONS) * count)
    last = np.searchsorted(found.number.cumsum(), kept)
    # 1e-9: rounding of shares of ninths
    assert (abs(found.by_error.discard() - curve) <= found.number[last] / (4 * kept) + 1e-9).all()


def test_pixels_of_one_bin_are_in_random_order():
    """The mean over all orders of three ties between a surer and a less sure pixel."""
    cost = np.array([0.0, 1.0, 0.0, 0.5, 1.0])
    orders = [[0, *(np.array(one) + 1), 4] for one in itertools.permutations(range(3))]
    risks = [(cost[one].cumsum() / np.arange(1, 6)).mean() for one in orders]
    found = Risk(np.array([1.0, 0, 3, 1]), np.array([0.0, 0, 1.5, 1.0]))
    assert found.aurc == pytest.approx(np.mean(risks), rel=1e-12)


def test_where_all_is_alike_nothing_falls():
    """All in one bin: the error rate is the same at every coverage, but for rounding."""
    _, probability, truth = sample(1000)
    found = selective(np.full(1000, 0.3), probability, truth, LN2)
    rate = ((probability > 0.5) != truth).mean()
    assert found.by_error.aurc == pytest.approx(rate, rel=1e-12)
    np.testing.assert_allclose(found.by_error.discard(), rate, rtol=1e-12)
    for risk in (found.by_error, found.by_loss):
        assert risk.monotonicity == 0
        assert risk.improvement == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("pixels", [7.0, 10.0, 49.0, 997.0])
def test_rounding_is_no_fall(pixels):
    """Three bins of one error rate, whose quotients differ in their last bits."""
    number = np.full(3, pixels)
    assert Risk(number, 0.1 * number).monotonicity == 0


def test_an_oracle_of_the_loss_is_monotonous_and_the_best_there_is():
    doubt, probability, truth = sample(50_000)
    cost = losses(probability, truth)
    best = selective(cost, probability, truth, 14.0).by_loss
    real = selective(doubt, probability, truth, LN2).by_loss
    assert best.monotonicity == 1
    assert best.aurc < real.aurc
    assert (best.discard() <= real.discard() + 1e-12).all()


def test_an_oracle_of_right_and_wrong_falls_until_no_error_is_left():
    _, probability, truth = sample(50_000)
    wrong = (probability > 0.5) != truth
    oracle = np.where(wrong, 0.6, 0.1)
    found = selective(oracle, probability, truth, LN2)
    curve = found.by_error.discard()
    left = np.maximum(wrong.mean() - FRACTIONS, 0) / (1 - FRACTIONS)
    np.testing.assert_allclose(curve, left, atol=1e-12)
    assert found.by_error.monotonicity == np.ceil(wrong.mean() * 9) / 8
    assert found.mean_wrong == pytest.approx(0.6)
    assert found.mean_right == pytest.approx(0.1)


def test_an_oracle_of_many_errors_has_a_monotonicity_of_one():
    truth = np.zeros(9000, bool)
    probability = np.where(np.arange(9000) % 10 == 0, 0.1, 0.9)  # nine tenths are wrong
    oracle = np.where(probability > 0.5, 0.6, 0.1)
    found = selective(oracle, probability, truth, LN2)
    assert found.by_error.monotonicity == 1
    assert found.by_error.improvement > 0


def test_parts_add_up_to_the_whole():
    data = sample(10_000)
    whole = selective(*data, LN2)
    parts = [selective(*(one[start::3] for one in data), LN2) for start in range(3)]
    total = sum(parts, Selective())
    assert total.top == LN2
    np.testing.assert_array_equal(total.number, whole.number)
    np.testing.assert_array_equal(total.errors, whole.errors)
    # sums in another order
    np.testing.assert_allclose(total.losses, whole.losses, rtol=1e-12)
    assert total.mean_wrong == pytest.approx(whole.mean_wrong, rel=1e-12)
    assert total.mean_right == pytest.approx(whole.mean_right, rel=1e-12)


def test_sums_of_other_bins_do_not_add():
    one, other = selective([0.1], [0.5], [True], 0.25), selective([0.1], [0.5], [True], LN2)
    with pytest.raises(ValueError, match=r"up to 0\.25 and up to 0\.693147 do not add"):
        one + other


def test_the_loss_of_all_pixels_is_that_of_the_calibration_scores():
    data = sample(50_000)
    found, expected = selective(*data, LN2), reliability(*data[1:])
    assert found.by_loss.discard()[0] == pytest.approx(expected.nll, rel=1e-12)


def test_missing_pixels_count_nowhere():
    found = selective([np.nan, 0.1, 0.2], [0.5, np.nan, 0.9], np.array([1, 1, 255], "uint8"), 1)
    assert found.pixels == 0
    for risk in (found.by_error, found.by_loss):
        assert np.isnan([risk.aurc, risk.monotonicity, risk.improvement]).all()
        assert np.isnan(risk.discard()).all()
    assert np.isnan([found.mean_right, found.mean_wrong]).all()


def test_calibration_scores_are_those_of_torchmetrics_and_torch():
    _, probability, truth = sample(40_000)
    found = reliability(probability, truth)
    p, t = torch.from_numpy(probability), torch.from_numpy(truth)
    # both bin by the probability of the class; sums of float64 in another order
    theirs = binary_calibration_error(p, t.int(), n_bins=15, norm="l1")
    assert found.ece == pytest.approx(float(theirs), rel=1e-9)
    loss = torch.nn.functional.binary_cross_entropy(p.clip(1e-6, 1 - 1e-6), t.double())
    assert found.nll == pytest.approx(float(loss), rel=1e-6)  # kept from 0 on one side or on both
    assert found.brier == pytest.approx(
        float(torch.nn.functional.mse_loss(p, t.double())), rel=1e-12
    )


def test_calibration_by_the_likeliest_class_is_that_of_torchmetrics():
    """As of a network of two classes, where only the surer one is looked at."""
    _, probability, truth = sample(40_000)
    sure, right = np.maximum(probability, 1 - probability), (probability > 0.5) == truth
    theirs = binary_calibration_error(
        torch.from_numpy(sure), torch.from_numpy(right).int(), n_bins=15, norm="l1"
    )
    assert reliability(sure, right).ece == pytest.approx(float(theirs), rel=1e-9)


@pytest.mark.parametrize(
    ("doubt", "chance", "truth", "says"),
    [
        ([0.1], [0.5, 0.5], [1, 0], "must agree"),
        ([0.9], [0.5], [True], "uncertainty from 0.9 to 0.9; expected 0 to 0.69"),
        ([-0.1], [0.5], [True], "uncertainty from -0.1"),
        ([np.inf], [0.5], [True], "uncertainty from inf"),
        ([0.1], [1.5], [True], "probability from 1.5 to 1.5; expected 0 to 1"),
    ],
)
def test_what_is_no_uncertainty_is_refused(doubt, chance, truth, says):
    with pytest.raises(ValueError, match=says):
        selective(doubt, chance, truth, LN2)


@pytest.mark.parametrize("top", [0.0, -1.0, np.inf, np.nan])
def test_bins_need_an_end(top):
    with pytest.raises(ValueError, match="expected a number above 0"):
        selective([0.1], [0.5], [True], top)


def test_the_largest_uncertainty_is_in_the_last_bin():
    assert selective([LN2], [0.5], [True], LN2).number[BINS - 1] == 1
