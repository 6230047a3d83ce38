"""Scores add, divide last, and say NaN when nothing can be said."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cube.kernels.scores import Counts, Reliability, count, reliability

MASKS = st.lists(st.sampled_from([0, 1, 255]), min_size=1, max_size=40)


@settings(deadline=None)
@given(st.data())
def test_counts_are_those_of_a_loop(data):
    found = data.draw(MASKS)
    truth = data.draw(
        st.lists(st.sampled_from([0, 1, 255]), min_size=len(found), max_size=len(found))
    )
    pairs = [(a, b) for a, b in zip(found, truth, strict=True) if 255 not in (a, b)]
    expected = Counts(
        pairs.count((1, 1)), pairs.count((1, 0)), pairs.count((0, 1)), pairs.count((0, 0))
    )
    assert count(np.array(found, "u1"), np.array(truth, "u1")) == expected


@settings(deadline=None)
@given(MASKS, st.integers(0, 40))
def test_parts_add_to_the_whole(values, cut):
    found, truth = np.array(values, "u1"), np.array(values[::-1], "u1")
    assert count(found[:cut], truth[:cut]) + count(found[cut:], truth[cut:]) == count(found, truth)


def test_ratios_follow_their_definitions():
    counts = Counts(hit=6, false=2, miss=4, correct_dry=8)
    assert counts.iou == 0.5
    assert counts.f1 == pytest.approx(2 * 0.75 * 0.6 / (0.75 + 0.6))
    assert (counts.precision, counts.recall) == (0.75, 0.6)
    assert (counts.false_share, counts.accuracy, counts.total) == (0.2, 0.7, 20)


def test_nothing_can_be_said_about_nothing():
    empty = Counts()
    for name in ("iou", "f1", "precision", "recall", "false_share", "accuracy"):
        assert math.isnan(getattr(empty, name)), name
    dry = Counts(correct_dry=5)
    assert math.isnan(dry.iou)
    assert dry.accuracy == 1


def test_boolean_masks_and_a_valid_mask_work():
    found, truth = np.array([True, True, False]), np.array([True, False, False])
    assert count(found, truth, np.array([True, False, True])) == Counts(hit=1, correct_dry=1)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"found has shape \(2,\), truth \(3,\)"):
        count([0, 1], [0, 1, 1])
    with pytest.raises(ValueError, match="valid has shape"):
        count([0, 1], [0, 1], [True])
    with pytest.raises(ValueError, match="probability has shape"):
        reliability([0.5], [0, 1])


def test_a_calibrated_probability_has_no_calibration_error():
    rng = np.random.default_rng(0)
    chance = rng.random(200_000)
    truth = rng.random(chance.size) < chance
    found = reliability(chance, truth)
    assert found.ece < 0.005  # 15 bins of 13,000: standard error 0.004 each
    assert found.brier == pytest.approx(1 / 6, abs=0.003)  # integral of p (1 - p)
    assert found.nll == pytest.approx(0.5, abs=0.005)  # integral of the entropy of p


def test_over_confidence_is_an_error():
    assert reliability(np.full(100, 1.0), np.arange(100) < 70).ece == pytest.approx(0.3)


def test_sums_of_reliability_add():
    rng = np.random.default_rng(1)
    chance, truth = rng.random(1000), rng.random(1000) < 0.4
    parts = reliability(chance[:300], truth[:300]) + reliability(chance[300:], truth[300:])
    whole = reliability(chance, truth)
    for name in ("ece", "nll", "brier"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-12)


def test_missing_pixels_do_not_count():
    found = reliability(np.array([0.5, np.nan, 0.5]), np.array([1, 1, 255], "u1"))
    assert found.number.sum() == 1
    assert found.nll == pytest.approx(math.log(2))


def test_no_pixel_gives_no_score():
    for name in ("ece", "nll", "brier"):
        assert math.isnan(getattr(Reliability(), name))


def test_a_certain_error_costs_much_but_not_everything():
    assert reliability([0.0], [1]).nll == pytest.approx(6 * math.log(10))


def test_probabilities_are_between_0_and_1():
    with pytest.raises(ValueError, match=r"from 0\.5 to 1\.5; expected 0 to 1"):
        reliability([0.5, 1.5], [0, 1])
