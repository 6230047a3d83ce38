"""Box and cell means against plain Python, and blocks against the whole."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cube.kernels import multilook


def plain_box(image, size):
    """Mean of the valid samples around each valid one, one by one."""
    half = size // 2
    out = np.full(image.shape, np.nan)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            if math.isnan(image[y, x]):
                continue
            found = [
                float(image[j, i])
                for j in range(max(0, y - half), min(image.shape[0], y + half + 1))
                for i in range(max(0, x - half), min(image.shape[1], x + half + 1))
                if not math.isnan(image[j, i])
            ]
            out[y, x] = math.fsum(found) / len(found)
    return out


@st.composite
def images(draw, least=1, most=24):
    """Speckle of any level with any share of gaps."""
    shape = draw(st.tuples(st.integers(least, most), st.integers(least, most)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    image = rng.gamma(4, 10 ** draw(st.floats(-5, 1)), shape).astype("float32")
    image[rng.random(shape) < draw(st.sampled_from([0.0, 0.1, 0.6, 1.0]))] = np.nan
    return image


@settings(deadline=None)  # the first call compiles
@given(images(), st.sampled_from([1, 3, 5, 7, 31]))
def test_box_mean_is_the_mean_of_the_valid(image, size):
    found = multilook.box_mean(image, size)
    assert found.dtype == np.float32
    # float64 sums rounded once to float32: half a unit in the last place, 6e-8
    np.testing.assert_allclose(found, plain_box(image, size), rtol=1e-7)


@settings(deadline=None)  # the first call compiles
@given(images(least=6), st.sampled_from([3, 5, 7]), st.data())
def test_a_block_with_halo_has_the_bits_of_the_whole(image, size, data):
    half = size // 2
    y0 = data.draw(st.integers(0, image.shape[0] - 1))
    x0 = data.draw(st.integers(0, image.shape[1] - 1))
    y1 = data.draw(st.integers(y0 + 1, image.shape[0]))
    x1 = data.draw(st.integers(x0 + 1, image.shape[1]))
    top, left = max(0, y0 - half), max(0, x0 - half)
    block = multilook.box_mean(image[top : y1 + half, left : x1 + half], size)
    inner = block[y0 - top : y1 - top, x0 - left : x1 - left]
    whole = multilook.box_mean(image, size)[y0:y1, x0:x1]
    assert np.array_equal(inner, whole, equal_nan=True)


def test_box_mean_has_no_drift_over_a_long_dark_line():
    """After bright samples, running sums in float32 would leave 1e-3 of them behind."""
    line = np.full((1, 5000), 1e-4, "float32")
    line[0, :100] = 1e3
    assert multilook.box_mean(line, 5)[0, 200:] == pytest.approx(1e-4, rel=1e-6)


def test_box_mean_of_nothing_is_nothing():
    assert multilook.box_mean(np.empty((0, 5)), 5).shape == (0, 5)
    assert np.isnan(multilook.box_mean(np.full((4, 4), np.nan), 5)).all()


@pytest.mark.parametrize("size", [0, 2, -1])
def test_a_box_needs_a_centre(size):
    with pytest.raises(ValueError, match="no centre; give an odd size"):
        multilook.box_mean(np.ones((3, 3)), size)


def test_only_images_are_averaged():
    with pytest.raises(ValueError, match=r"shape \(2, 3, 4\); expected two axes"):
        multilook.box_mean(np.ones((2, 3, 4)))


def test_cells_are_means_of_their_own_samples():
    image = np.arange(64.0).reshape(8, 8)
    assert multilook.cell_mean(image, 4).tolist() == [[13.5, 17.5], [45.5, 49.5]]


def test_a_cell_needs_half_of_its_samples():
    image = np.ones((4, 8), "float32")
    image[:2, :4] = np.nan  # 8 of 16 remain
    image[:2, 4:] = np.nan
    image[2, 4] = np.nan  # 7 of 16 remain
    assert np.isnan(multilook.cell_mean(image)).tolist() == [[False, True]]


def test_leftover_rows_and_columns_make_no_cell():
    assert multilook.cell_mean(np.ones((7, 9)), 4).shape == (1, 2)
    assert multilook.cell_mean(np.ones((3, 3)), 4).shape == (0, 0)


def test_a_cell_has_a_size():
    with pytest.raises(ValueError, match="at least 1"):
        multilook.cell_mean(np.ones((3, 3)), 0)


@settings(deadline=None)  # the first call compiles
@given(images(least=8), st.integers(1, 3))
def test_counts_of_blocks_add_to_those_of_the_whole(image, cut):
    edges = 10.0 ** np.arange(-6, 3)
    other = image[::-1].copy()
    whole = multilook.cell_histogram(image, other, edges, edges)
    row = 4 * cut
    parts = [
        multilook.cell_histogram(image[part], other[part], edges, edges)
        for part in (np.s_[:row], np.s_[row:])
    ]
    assert np.array_equal(sum(parts), whole)
    assert whole.dtype == np.uint32


def test_counts_need_images_of_one_shape():
    with pytest.raises(ValueError, match=r"\(4, 4\) and \(4, 8\)"):
        multilook.cell_histogram(np.ones((4, 4)), np.ones((4, 8)), np.ones(1), np.ones(1))


def test_lookup_interpolates_between_nodes_and_stops_at_the_ends():
    table = np.array([[0.0, 1.0], [2.0, 3.0]], "float32")
    level = 10 ** (np.array([[-30.0, -15.0, 5.0]]) / 10)
    found = multilook.box_lookup(level, level, table, (-20.0, -20.0), 10.0, size=1)
    assert found[0] == pytest.approx([0.0, 1.5, 3.0], abs=1e-5)


def test_lookup_takes_power_of_zero_as_dark():
    table = np.array([[0.25], [1.0]], "float32")
    zero = np.array([[0.0, -1e-3]])
    assert multilook.box_lookup(zero, None, table, (-20.0, 0.0), 10.0, 1).tolist() == [[0.25] * 2]


@pytest.mark.parametrize(
    ("second", "shape"), [(None, (2, 2)), (np.ones((3, 3)), (2, 1)), (None, (1, 1))]
)
def test_a_table_fits_its_images(second, shape):
    with pytest.raises(ValueError, match="does not fit the number of images"):
        multilook.box_lookup(np.ones((3, 3)), second, np.zeros(shape, "f4"), (0.0, 0.0), 1.0)


def test_lookup_needs_images_of_one_shape_and_a_centre():
    table = np.zeros((2, 2), "f4")
    with pytest.raises(ValueError, match=r"shapes \(3, 3\) and \(3, 4\)"):
        multilook.box_lookup(np.ones((3, 3)), np.ones((3, 4)), table, (0.0, 0.0), 1.0)
    with pytest.raises(ValueError, match="no centre"):
        multilook.box_lookup(np.ones((3, 3)), np.ones((3, 3)), table, (0.0, 0.0), 1.0, size=4)
