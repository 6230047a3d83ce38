"""Sieve against flood fill in plain Python, and GDAL where it means the same."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio.features
from hypothesis import given
from hypothesis import strategies as st

from cube.kernels.sieve import sieve


def by_hand(classes: np.ndarray, least: int, connectivity: int) -> np.ndarray:
    """Flood fill from every pixel."""
    steps = [(0, 1), (1, 0), (0, -1), (-1, 0)]
    if connectivity == 8:
        steps += [(1, 1), (1, -1), (-1, 1), (-1, -1)]
    out = classes.copy()
    for start in zip(*np.nonzero(classes == 2), strict=True):
        seen, todo = {start}, [start]
        while todo:
            row, col = todo.pop()
            for down, right in steps:
                place = row + down, col + right
                inside = 0 <= place[0] < classes.shape[0] and 0 <= place[1] < classes.shape[1]
                if inside and classes[place] == 2 and place not in seen:
                    seen.add(place)
                    todo.append(place)
        if len(seen) < least:
            out[start] = 0
    return out


def scene(seed: int, share: float = 0.35) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rest = (1 - share) / 3
    return rng.choice([0, 1, 2, 255], (14, 17), p=[rest, rest, share, rest]).astype("uint8")


@given(st.integers(0, 50), st.integers(1, 9), st.sampled_from([4, 8]))
def test_it_is_flood_fill(seed, least, connectivity):
    classes = scene(seed)
    found = sieve(classes, least, connectivity=connectivity)
    np.testing.assert_array_equal(found, by_hand(classes, least, connectivity))
    assert found.dtype == classes.dtype


@pytest.mark.parametrize("connectivity", [4, 8])
def test_it_is_gdals_where_patches_lie_in_one_class(connectivity):
    rng = np.random.default_rng(3)
    classes = np.zeros((60, 60), "uint8")
    for _ in range(25):
        row, col = rng.integers(2, 54, 2)
        classes[row : row + rng.integers(1, 5), col : col + rng.integers(1, 5)] = 2
    # GDAL fills holes in flood as well; there are none that small here
    theirs = rasterio.features.sieve(classes, 6, connectivity=connectivity)
    mine = sieve(classes, 6, connectivity=connectivity)
    assert (mine != classes).any()
    np.testing.assert_array_equal(mine[theirs != 2], theirs[theirs != 2])
    np.testing.assert_array_equal(mine == 2, (theirs == 2) & (classes == 2))


@given(st.integers(0, 30), st.integers(2, 6), st.integers(0, 13), st.integers(0, 16))
def test_a_block_with_its_halo_has_the_whole(seed, least, top, left):
    classes = scene(seed, 0.5)
    whole, halo = sieve(classes, least), least - 1
    first = max(top - halo, 0), max(left - halo, 0)
    part = sieve(classes[first[0] : top + 4 + halo, first[1] : left + 4 + halo], least)
    row, col = top - first[0], left - first[1]
    expected = whole[top : top + 4, left : left + 4]
    np.testing.assert_array_equal(
        part[row : row + expected.shape[0], col : col + expected.shape[1]], expected
    )


@pytest.mark.parametrize(
    ("shape", "least", "connectivity", "says"),
    [
        ((3,), 2, 8, "two axes"),
        ((3, 3), 0, 8, "give 1 or more"),
        ((3, 3), 2, 6, "give 4 or 8"),
    ],
)
def test_what_cannot_be_sieved_is_refused(shape, least, connectivity, says):
    with pytest.raises(ValueError, match=says):
        sieve(np.zeros(shape, "uint8"), least, connectivity=connectivity)
