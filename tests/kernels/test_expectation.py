"""Probabilities of uncertain logits against their definition, random samples and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import softmax
from scipy.stats import norm

from cube.kernels.expectation import class_probabilities, entropy


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("temperature", [0.2, 1.0, 3.0])
def test_certain_logits_are_a_softmax_exactly(classes, temperature):
    logits = np.random.default_rng(1).normal(0, 4, (classes, 6, 7)).astype("float32")
    chance, variance = class_probabilities(logits, np.zeros_like(logits), temperature)
    plain, none = class_probabilities(logits, None, temperature)
    expected = softmax(logits.astype("float64") / temperature, axis=0)
    np.testing.assert_allclose(chance, expected, atol=1e-6)  # float32
    np.testing.assert_allclose(plain, expected, atol=1e-6)
    assert none.max() == 0
    # what differences of float32 squares leave
    assert variance.max() < 1e-6


@pytest.mark.parametrize(("width", "within"), [(0.5, 1e-5), (1, 2e-4), (2, 5e-3), (5, 0.04)])
def test_two_classes_are_the_integral(width, within):
    """Gauss and Hermite fall off where the width makes a step of the logistic curve."""
    for middle in (-3.0, -0.4, 0.0, 2.0):
        exact = quad(
            lambda z, m=middle: norm.pdf(z) / (1 + math.exp(-(m + width * z))), -9, 9, limit=200
        )[0]
        mean = np.array([[0.0], [middle]])
        scale = np.full((2, 1), width / math.sqrt(2))  # of the difference: width
        chance, _ = class_probabilities(mean, scale)
        assert chance[1, 0] == pytest.approx(exact, abs=within)
        probit = 1 / (1 + math.exp(-middle / math.sqrt(1 + math.pi / 8 * width**2)))
        # MacKay's approximation is itself good to 0.02
        assert chance[1, 0] == pytest.approx(probit, abs=within + 0.02)


@pytest.mark.parametrize("classes", [3, 4])
def test_more_classes_are_the_mean_of_random_samples(classes):
    rng = np.random.default_rng(2)
    mean = rng.normal(0, 2, (classes, 40))
    scale = rng.uniform(0, 1, (classes, 40)) * rng.choice([-1, 1], (classes, 40))
    samples = softmax(mean + scale * rng.standard_normal((40_000, classes, 40)), axis=1)
    chance, variance = class_probabilities(mean, scale)
    # 1 / sqrt(40000) of the samples, and what degree five leaves at scales up to 1
    np.testing.assert_allclose(chance, samples.mean(axis=0), atol=0.008)
    np.testing.assert_allclose(variance, samples.var(axis=0), atol=0.012)


def test_probabilities_add_up_and_stay_within_bounds():
    rng = np.random.default_rng(3)
    for classes in (2, 3, 4):
        mean, scale = rng.normal(0, 8, (2, classes, 500))
        chance, variance = class_probabilities(mean, scale)
        np.testing.assert_allclose(chance.sum(axis=0), 1, atol=1e-5)
        assert chance.min() >= -1e-6
        assert variance.min() >= 0
        assert variance.max() <= 0.25 + 1e-6
        spent = entropy(np.clip(chance, 0, 1))
        assert spent.min() >= 0
        assert spent.max() <= math.log(classes) + 1e-5


def test_a_sure_class_with_a_wide_scale_stays_a_probability():
    """Where it is moved down nothing may be left of the sum that the others are lost in."""
    for sure in (40.0, 60.0, 200.0):
        for scale in (0.5, 5.0, 40.0):
            mean = np.array([[sure], [0.0], [1.0]])
            chance, variance = class_probabilities(mean, np.array([[scale], [0.0], [0.1]]))
            assert np.isfinite(chance).all()
            assert chance.sum() == pytest.approx(1, abs=1e-5)
            assert chance.min() >= 0
            assert np.isfinite(variance).all()


def test_entropy_of_missing_is_missing():
    assert np.isnan(entropy(np.array([[np.nan], [0.5]])))[0]


@pytest.mark.parametrize(
    ("mean", "scale", "temperature", "says"),
    [
        (np.zeros((1, 3)), None, 1, "two classes or more"),
        (np.zeros((2, 3)), np.zeros((2, 4)), 1, "must agree"),
        (np.zeros((2, 3)), None, 0, "positive"),
    ],
)
def test_what_is_no_logit_is_refused(mean, scale, temperature, says):
    with pytest.raises(ValueError, match=says):
        class_probabilities(mean, scale, temperature)
