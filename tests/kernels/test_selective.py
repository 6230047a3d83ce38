"""Selective scores against sorting, and probabilities against torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.classification import BinaryCalibrationError

from cube.kernels.scores import reliability
from cube.kernels.selective import BINS, FRACTIONS, Selective, selective

LN2 = float(np.log(2))


def sample(count: int, seed: int = 0):
    """Doubt, probability and truth; the doubt tells something, not everything."""
    rng = np.random.default_rng(seed)
    probability = rng.beta(0.5, 0.8, count)
    truth = rng.random(count) < 0.1 + 0.75 * probability
    p = np.clip(probability, 1e-9, 1 - 1e-9)
    doubt = -(p * np.log(p) + (1 - p) * np.log(1 - p)) * rng.uniform(0.8, 1, count)
    return doubt, probability, truth


def by_sorting(doubt, probability, truth):
    """AURC and the discard curve with every pixel in its place."""
    wrong = ((probability > 0.5) != truth)[np.argsort(doubt, kind="stable")]
    risks = wrong.cumsum() / np.arange(1, wrong.size + 1)
    kept = [wrong[: max(round((1 - f) * wrong.size), 1)].mean() for f in FRACTIONS]
    return risks.mean(), np.array(kept)


def test_bins_are_as_good_as_sorting():
    data = sample(200_000)
    found = selective(*data, LN2)
    aurc, curve = by_sorting(*data)
    # pixels of one of 4096 bins change places: 50 of 200,000 each
    assert found.aurc == pytest.approx(aurc, abs=2e-5)
    np.testing.assert_allclose(found.discard(), curve, atol=1e-4)
    steps = np.diff(curve)
    assert found.improvement == pytest.approx(-steps.mean(), abs=2e-5)
    assert found.monotonicity == (steps < 0).mean() == 1


def test_ties_are_in_random_order():
    """All in one bin: the error rate is the same at every coverage."""
    _, probability, truth = sample(1000)
    found = selective(np.full(1000, 0.3), probability, truth, LN2)
    rate = ((probability > 0.5) != truth).mean()
    assert found.aurc == pytest.approx(rate)
    np.testing.assert_allclose(found.discard(), rate)
    assert found.monotonicity <= 1


def test_an_oracle_is_monotonous_and_the_best_there_is():
    _, probability, truth = sample(50_000)
    wrong = (probability > 0.5) != truth
    rng = np.random.default_rng(1)
    oracle = np.where(wrong, 0.35, 0.0) + 0.3 * rng.random(wrong.size)
    best, real = selective(oracle, probability, truth, LN2), selective(*sample(50_000), LN2)
    assert wrong.mean() > 1 / 9  # else nothing is left to fall
    falls = np.diff(best.discard())[: int(wrong.mean() * 9)]
    assert (falls < 0).all()
    assert best.aurc < real.aurc
    assert best.mean_wrong > best.mean_right


def test_an_oracle_of_many_errors_has_a_monotonicity_of_one():
    truth = np.zeros(9000, bool)
    probability = np.where(np.arange(9000) % 10 == 0, 0.1, 0.9)  # nine tenths are wrong
    oracle = np.where(probability > 0.5, 0.6, 0.1)
    found = selective(oracle, probability, truth, LN2)
    assert found.monotonicity == 1
    assert found.improvement > 0


def test_parts_add_up_to_the_whole():
    data = sample(10_000)
    whole = selective(*data, LN2)
    parts = [selective(*(one[start::3] for one in data), LN2) for start in range(3)]
    total = sum(parts, Selective())
    np.testing.assert_array_equal(total.number, whole.number)
    np.testing.assert_array_equal(total.errors, whole.errors)
    np.testing.assert_allclose(total.losses, whole.losses, rtol=1e-12)
    assert total.mean_wrong == pytest.approx(whole.mean_wrong, rel=1e-12)


def test_losses_may_be_discarded_instead_of_errors():
    doubt, probability, _ = sample(50_000)
    truth = np.random.default_rng(5).random(50_000) < probability
    found = selective(doubt, probability, truth, LN2)
    curve = found.discard(found.losses)
    assert curve[0] == pytest.approx(reliability(probability, truth).nll)
    assert curve[-1] < curve[0]


def test_missing_pixels_count_nowhere():
    found = selective([np.nan, 0.1, 0.2], [0.5, np.nan, 0.9], np.array([1, 1, 255], "uint8"), 1)
    assert found.number.sum() == 0
    assert np.isnan([found.aurc, found.monotonicity, found.mean_right, found.mean_wrong]).all()
    assert np.isnan(found.discard()).all()


def test_calibration_scores_are_those_of_torchmetrics():
    _, probability, truth = sample(40_000)
    probability = probability.astype("float32")
    found = reliability(probability, truth)
    p, t = torch.from_numpy(probability), torch.from_numpy(truth)
    theirs = BinaryCalibrationError(n_bins=15, norm="l1")
    # theirs bins by the surer class, ours by the class itself: folded, they are the same pixels
    sure, right = np.maximum(probability, 1 - probability), (probability > 0.5) == truth
    mine = reliability(sure, right)
    assert mine.ece == pytest.approx(
        float(theirs(torch.from_numpy(sure), torch.from_numpy(right))), abs=1e-6
    )
    loss = torch.nn.functional.binary_cross_entropy(p.double().clip(1e-6, 1 - 1e-6), t.double())
    assert found.nll == pytest.approx(float(loss), rel=1e-6)
    assert found.brier == pytest.approx(float(((p - t.float()) ** 2).mean()), rel=1e-5)


@pytest.mark.parametrize(
    ("doubt", "chance", "truth", "says"),
    [
        ([0.1], [0.5, 0.5], [1, 0], "must agree"),
        ([0.9], [0.5], [True], "uncertainty from 0.9 to 0.9; expected 0 to 0.69"),
        ([-0.1], [0.5], [True], "uncertainty from -0.1"),
        ([0.1], [1.5], [True], "probability from 1.5 to 1.5; expected 0 to 1"),
    ],
)
def test_what_is_no_uncertainty_is_refused(doubt, chance, truth, says):
    with pytest.raises(ValueError, match=says):
        selective(doubt, chance, truth, LN2)


def test_the_largest_uncertainty_is_in_the_last_bin():
    assert selective([LN2], [0.5], [True], LN2).number[BINS - 1] == 1
