"""Boxes of two complex images: against plain loops, and what is missing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cube.kernels.interferogram import multilook


def pair(shape, seed=0, missing=0.1):
    rng = np.random.default_rng(seed)

    def noise():
        return rng.normal(size=shape) + 1j * rng.normal(size=shape)

    one = noise()
    both = np.stack([one, 0.6j * one + 0.8 * noise()]).astype("complex64")
    both[0, rng.random(shape) < missing] = np.nan
    both[1, rng.random(shape) < missing] = 0
    return both


def plain(a, b, looks, least):
    rows, cols = a.shape[0] // looks[0], a.shape[1] // looks[1]
    cross = np.full((rows, cols), np.nan + 1j * np.nan)
    coherence = np.full((rows, cols), np.nan)
    for i in range(rows):
        for j in range(cols):
            box = np.s_[i * looks[0] : (i + 1) * looks[0], j * looks[1] : (j + 1) * looks[1]]
            p, q = a[box].astype("complex128").ravel(), b[box].astype("complex128").ravel()
            known = np.isfinite(p) & np.isfinite(q) & (p != 0) & (q != 0)
            if known.sum() < least * looks[0] * looks[1]:
                continue
            p, q = p[known], q[known]
            cross[i, j] = (p * q.conj()).mean()
            coherence[i, j] = abs((p * q.conj()).sum()) / np.sqrt(
                (abs(p) ** 2).sum() * (abs(q) ** 2).sum()
            )
    return cross, coherence


@given(
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.sampled_from([0.2, 0.5, 1.0]),
)
def test_boxes_are_those_of_plain_loops(shape, looks, least):
    a, b = pair(shape, seed=shape[0])
    found, expected = multilook(a, b, looks, least), plain(a, b, looks, least)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        # sums of at most 49 terms in float32
        np.testing.assert_allclose(one, other, atol=5e-6, rtol=5e-6)


def test_equal_images_are_coherent():
    a = pair((40, 40), missing=0)[0]
    cross, coherence = multilook(a, a, (5, 4))
    np.testing.assert_allclose(coherence, 1, atol=2e-7)
    np.testing.assert_allclose(cross.imag, 0, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (((3, 3), (3, 4), (1, 1), 0.5), "images of shapes"),
        (((3, 3), (3, 3), (0, 1), 0.5), "boxes of 0 by 1 samples"),
        (((3, 3), (3, 3), (1, 1), 0.0), "least share 0"),
    ],
)
def test_what_is_no_box_is_refused(arguments, says):
    one, other, looks, least = arguments
    with pytest.raises(ValueError, match=says):
        multilook(np.ones(one, "complex64"), np.ones(other, "complex64"), looks, least)
