"""Flood classes against a table of decisions, and time against counted days."""

from __future__ import annotations

import itertools
import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cube.kernels import flood

NAN = math.nan


def decide(chance, permanent, before, dropped, mask):
    """The rule in words, one pixel at a time."""
    if math.isnan(chance) or mask in (1, 2, 4, 8):
        return 255
    if permanent == 1:
        return 1
    if chance <= 0.5:
        return 0
    has_reference = not math.isnan(before) and not math.isnan(dropped)
    if not has_reference:
        if permanent == 255:
            return 255
        return 0 if mask in (16, 32) else 2
    if before > 0.5:
        return 1 if permanent == 255 else 0
    if mask in (16, 32):
        return 0
    return 2 if dropped >= 3.0 else 0


def test_every_combination_is_decided_as_written():
    cases = list(
        itertools.product(
            (0.9, 0.5, 0.1, NAN),
            (0, 1, 255),
            (0.9, 0.1, NAN),
            (8.0, 3.0, 1.0, NAN),
            (0, 1, 2, 4, 8, 16, 32),
        )
    )
    chance, permanent, before, dropped, mask = (np.array([row]) for row in zip(*cases, strict=True))
    found = flood.classify(chance, permanent, before, dropped, mask)
    assert found.dtype == np.uint8
    assert found[0].tolist() == [decide(*case) for case in cases]


def test_a_dark_airfield_is_no_flood_and_a_wet_field_is():
    """Both dark now; only the field was bright before."""
    now, reference = np.array([[0.01] * 8]), np.array([[0.01] * 4 + [0.1] * 4])
    dropped = flood.drop(now, reference, size=1)
    found = flood.classify(np.full((1, 8), 0.9), np.zeros((1, 8)), np.full((1, 8), 0.2), dropped)
    assert found.tolist() == [[0] * 4 + [2] * 4]


def test_a_layer_that_is_absent_is_unknown_not_dry():
    water = np.full((1, 1), 0.9)
    assert flood.classify(water).tolist() == [[255]]
    assert flood.classify(water, np.zeros((1, 1))).tolist() == [[2]]
    assert flood.classify(water, None, np.full((1, 1), 0.1)).tolist() == [[2]]
    assert flood.classify(np.full((1, 1), 0.1)).tolist() == [[0]]


def test_bits_of_a_mask_combine():
    water, dry = np.full((1, 2), 0.9), np.zeros((1, 2))
    assert flood.classify(water, dry, mask=np.array([[16 | 32, 16 | 2]])).tolist() == [[0, 255]]


def test_least_drop_can_be_set():
    layers = (np.full((1, 1), 0.9), np.zeros((1, 1)), np.full((1, 1), 0.1), np.full((1, 1), 4.0))
    assert flood.classify(*layers, least_drop=5.0).tolist() == [[0]]
    assert flood.classify(*layers).tolist() == [[2]]


def test_layers_are_of_one_shape():
    for position, name in enumerate(
        ("permanent", "reference_probability", "dropped", "mask"), start=1
    ):
        layers = [np.full((2, 2), 0.9), None, None, None, None]
        layers[position] = np.zeros((2, 3))
        with pytest.raises(ValueError, match=name):
            flood.classify(*layers)


def test_nothing_is_classified_as_nothing():
    assert flood.classify(np.empty((0, 4))).shape == (0, 4)


def test_drop_is_in_decibels_and_unknown_beside_nothing():
    before = np.array([[0.2, NAN, 0.2, 0.0]])
    after = np.array([[0.02, 0.02, NAN, 0.02]])
    found = flood.drop(after, before, size=1)
    assert found[0, 0] == pytest.approx(10, abs=1e-5)
    assert np.isnan(found[0, 1:]).all()


def test_drop_needs_one_shape():
    with pytest.raises(ValueError, match=r"now has shape \(2, 2\), reference \(2, 3\)"):
        flood.drop(np.ones((2, 2)), np.ones((2, 3)))


def test_speckle_alone_seldom_drops_enough():
    """5x5 means of 4.4 independent looks: 1 in 1000 at most drops by half between two passes."""
    rng = np.random.default_rng(4)
    now, reference = (rng.gamma(4.4, 0.1 / 4.4, (400, 400)) for _ in range(2))
    assert (flood.drop(now, reference) > flood.LEAST_DROP).mean() < 1e-3


@settings(deadline=None)  # the first call compiles
@given(st.integers(0, 2**32 - 1), st.integers(0, 11))
def test_reference_is_the_median_of_the_valid(seed, passes):
    rng = np.random.default_rng(seed)
    stack = rng.gamma(4, 0.02, (passes, 3, 4)).astype("float32")
    stack[rng.random(stack.shape) < 0.4] = NAN
    found = flood.reference(stack)
    assert found.dtype == np.float32
    for y, x in np.ndindex(3, 4):
        valid = [float(v) for v in stack[:, y, x] if not math.isnan(v)]
        if len(valid) < 2:
            assert math.isnan(found[y, x])
        else:
            assert found[y, x] == np.float32(statistics.median(valid))


def test_reference_is_linear():
    """Of two passes the mean power, not the mean of decibels (0.0316 here)."""
    assert flood.reference(np.array([[[0.1]], [[0.01]]])).item() == pytest.approx(0.055)


def test_permanent_water_needs_two_thirds_of_three():
    series = [
        [0.9, 0.9, 0.9, 0.9, NAN],
        [0.9, 0.9, 0.1, NAN, NAN],
        [0.9, 0.1, 0.1, 0.9, NAN],
        [NAN, NAN, NAN, NAN, 0.9],
    ]
    assert flood.permanent(np.array(series)[:, None]).tolist() == [[1, 1, 0, 255, 255]]


def test_one_half_is_not_water():
    assert flood.permanent(np.full((3, 1, 1), 0.5)).item() == 0


FLOODS = np.array(
    [  # five passes (rows) of seven pixels
        [0, 0, 1, 255, 255, 2, 0],
        [2, 0, 1, 255, 255, 2, 2],
        [2, 0, 255, 255, 2, 2, 255],
        [0, 0, 1, 255, 255, 2, 255],
        [0, 0, 0, 255, 255, 2, 0],
    ],
    dtype="uint8",
)[:, None]
DAYS = np.array([0.0, 6.0, 12.0, 18.0, 24.0])


def test_extent_keeps_the_worst_that_was_seen():
    assert flood.extent(FLOODS).tolist() == [[2, 0, 1, 255, 2, 2, 2]]


def test_first_is_the_first_pass_in_flood():
    assert flood.first(FLOODS).tolist() == [[1, -1, -1, -1, 2, 0, 1]]


def test_duration_is_half_the_time_to_either_side():
    found = flood.duration(FLOODS, DAYS)
    assert found.dtype == np.float32
    # from 3 to 15; never; never; unseen; seen once; all along; 3 before and 9 after
    np.testing.assert_array_equal(found, [[12, 0, 0, NAN, NAN, 24, 12]])


def test_duration_takes_dates():
    dates = np.datetime64("2022-08-01T13:00:00") + (DAYS * 24).astype("timedelta64[h]")
    same = flood.duration(FLOODS, DAYS)
    np.testing.assert_array_equal(flood.duration(FLOODS, dates.astype("datetime64[us]")), same)


@settings(deadline=None)  # the first call compiles
@given(st.integers(0, 2**32 - 1), st.integers(0, 8))
def test_duration_is_the_area_under_the_line(seed, passes):
    rng = np.random.default_rng(seed)
    series = rng.choice(np.array([0, 1, 2, 255], "uint8"), (passes, 1, 6))
    days = np.cumsum(rng.integers(0, 20, passes)).astype(float)
    found = flood.duration(series, days)
    for x in range(6):
        seen = [k for k in range(passes) if series[k, 0, x] != 255]
        wet = [float(series[k, 0, x] == 2) for k in seen]
        if not seen or (len(seen) == 1 and wet[0]):
            assert math.isnan(found[0, x])
        else:
            assert found[0, x] == pytest.approx(np.trapezoid(wet, days[seen]), rel=1e-6)


def test_no_pass_is_no_knowledge():
    none = np.empty((0, 2, 2), "uint8")
    assert (flood.extent(none) == 255).all()
    assert (flood.first(none) == -1).all()
    assert np.isnan(flood.duration(none, [])).all()
    assert np.isnan(flood.reference(np.empty((0, 2, 2)))).all()
    assert (flood.permanent(np.empty((0, 2, 2))) == 255).all()


def test_times_fit_and_ascend():
    with pytest.raises(ValueError, match="5 passes, times of shape"):
        flood.duration(FLOODS, DAYS[:4])
    with pytest.raises(ValueError, match="do not ascend"):
        flood.duration(FLOODS, DAYS[::-1])


@pytest.mark.parametrize("name", ["reference", "permanent", "extent", "first"])
def test_stacks_have_three_axes(name):
    with pytest.raises(ValueError, match=r"expected three axes \(time, y, x\)"):
        getattr(flood, name)(np.zeros((3, 3)))
