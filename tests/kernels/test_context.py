"""Context of backscatter against plain sums of boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cube.kernels.context import HALO, LEAST_CV, backscatter_context

LOW, HIGH = 1e-5, 10.0


def by_hand(power: np.ndarray) -> np.ndarray:
    """Loops over pixels, in double precision."""
    out = np.full((3, *power.shape), np.nan)
    for row, col in np.ndindex(power.shape):
        if np.isnan(power[row, col]):
            continue
        box = power[max(row - 3, 0) : row + 4, max(col - 3, 0) : col + 4].astype("float64")
        box = box[~np.isnan(box)]
        variation = max(box.std() / max(box.mean(), LOW), LEAST_CV)
        out[:, row, col] = (
            10 * np.log10(np.clip(power[row, col], LOW, HIGH)),
            10 * np.log10(np.clip(box.mean(), LOW, HIGH)),
            np.log(variation),
        )
    return out


def speckled(shape: tuple[int, int], holes: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(3)
    power = rng.gamma(4, 0.01, shape).astype("float32")
    power[rng.random(shape) < holes] = np.nan
    return power


def test_it_is_the_sums_of_boxes():
    power = speckled((23, 31))
    power[5, 5], power[9, 9] = 1e-7, 50.0
    # sums of 49 float32
    np.testing.assert_allclose(backscatter_context(power, LOW, HIGH), by_hand(power), atol=2e-4)


def test_even_ground_keeps_the_least_variation():
    found = backscatter_context(np.full((9, 9), 0.3), LOW, HIGH)
    assert (found[2] <= np.log(LEAST_CV) + 0.01).all()


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 12), st.integers(1, 12))
def test_a_block_with_its_halo_has_the_bits_of_the_whole(top, left, rows, cols):
    power = speckled((40, 42))
    whole = backscatter_context(power, LOW, HIGH)
    first = max(top - HALO, 0), max(left - HALO, 0)
    part = backscatter_context(
        power[first[0] : top + rows + HALO, first[1] : left + cols + HALO], LOW, HIGH
    )
    row, col = top - first[0], left - first[1]
    np.testing.assert_array_equal(
        part[:, row : row + rows, col : col + cols], whole[:, top : top + rows, left : left + cols]
    )


@pytest.mark.parametrize(
    ("power", "limits", "says"),
    [
        (np.zeros(3), (1e-5, 1), "two axes"),
        (np.zeros((3, 3)), (0, 1), "positive, ascending"),
        (np.zeros((3, 3)), (2, 1), "positive, ascending"),
    ],
)
def test_what_is_no_image_or_limit_is_refused(power, limits, says):
    with pytest.raises(ValueError, match=says):
        backscatter_context(power, *limits)
