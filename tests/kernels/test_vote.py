"""Votes against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cube.kernels.vote import vote

PROBABILITY = st.one_of(st.just(float("nan")), st.floats(0, 1, width=32))


@given(st.lists(st.lists(PROBABILITY, min_size=3, max_size=3), min_size=1, max_size=6))
def test_it_is_counting(rows):
    likelihood, agreement, water, number = vote(np.array(rows))
    for pixel in range(3):
        ran = [row[pixel] for row in rows if not np.isnan(row[pixel])]
        assert number[pixel] == len(ran)
        if not ran:
            assert water[pixel] == 255
            assert np.isnan(likelihood[pixel])
            continue
        wet = sum(value > 0.5 for value in ran)
        mean = sum(ran) / len(ran)
        expected = wet > len(ran) / 2 or (2 * wet == len(ran) and mean > 0.5)
        assert water[pixel] == expected
        assert likelihood[pixel] == pytest.approx(mean, abs=1e-6)
        assert agreement[pixel] == pytest.approx((wet if expected else len(ran) - wet) / len(ran))


def test_a_half_is_dry():
    assert vote(np.array([[0.5]]))[2] == 0
    assert vote(np.array([[0.25], [0.75]]))[2] == 0
    assert vote(np.array([[0.25], [0.875]]))[2] == 1


@pytest.mark.parametrize(
    ("members", "says"),
    [
        (np.zeros((0, 3)), "give 1 to 255"),
        (np.array([[-12.0]]), "probabilities from -12 to 1; expected 0 to 1"),
        (np.array([[2.0]]), "probabilities from 0 to 2"),
    ],
)
def test_what_is_no_probability_is_refused(members, says):
    with pytest.raises(ValueError, match=says):
        vote(members)
