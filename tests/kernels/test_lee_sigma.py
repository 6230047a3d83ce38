"""Lee Sigma against plain Python, its table against the distribution, and its point targets."""

from __future__ import annotations

import math

import numpy as np
import pytest
import speckle_references as references
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import gamma
from speckle_references import images, same_bits, speckled

from cube.kernels.lee_sigma import SIGMA_RANGES, lee_sigma, z98

patient = settings(deadline=None)  # the first call compiles


@patient
@given(
    images(),
    st.sampled_from(sorted(SIGMA_RANGES)),
    st.sampled_from([3, 5, 7, 9]),
    st.sampled_from([3, 5]),
    st.sampled_from([0.5, 0.9, 0.98]),
)
def test_lee_sigma_equals_its_definition(image, key, window, target, share):
    looks, sigma = key
    valid = ~np.isnan(image)
    limit = float(np.quantile(image[valid], share)) if valid.any() else math.nan
    bounds = SIGMA_RANGES[key]
    wanted, sure = references.lee_sigma(image, limit, looks, bounds, window, target)
    found = lee_sigma(image, limit, looks=looks, sigma=sigma, window=window, target=target)
    assert found.dtype == np.float32
    assert np.array_equal(np.isnan(found), ~valid)
    half = max(window, target) // 2
    # float32 sums, measured by the largest power in the window
    error = np.abs(found - wanted) <= 2e-5 * references.scale(image, half)
    assert error[valid & sure].all()


def test_most_ranges_are_sure():
    image = speckled(np.random.default_rng(0), (30, 30))
    _, sure = references.lee_sigma(image, 0.4, 1, SIGMA_RANGES[1, 0.9], 7, 3)
    assert sure.mean() > 0.98


@pytest.mark.parametrize("key", SIGMA_RANGES)
def test_ranges_are_those_of_speckle(key):
    """They hold the share sigma, keep the mean, and have the spread (gamma of shape `looks`).

    For gamma the moments over a range are those of shapes one and two higher. The paper found
    its bounds to about 0.4 %.
    """
    looks, sigma = key
    lower, upper, spread = SIGMA_RANGES[key]

    def within(order):
        ends = gamma.cdf([lower, upper], looks + order, scale=1 / looks)
        return ends[1] - ends[0]

    assert within(0) == pytest.approx(sigma, abs=0.002)
    mean = within(1) / within(0)
    assert mean == pytest.approx(1, abs=0.003)
    square = (looks + 1) / looks * within(2) / within(0)
    assert math.sqrt(square - mean**2) == pytest.approx(spread, abs=0.003)


def test_a_cluster_is_kept_and_a_few_bright_samples_are_not():
    image = np.full((12, 24), 0.1, "float32")
    image[4:6, 4:7] = 5  # six samples
    image[4:6, 16:19] = 5
    image[4, 16] = 0.1  # five remain
    found = lee_sigma(image, 1.0)
    assert (found[4:6, 4:7] == 5).all()
    assert (found[4:6, 16:19] != image[4:6, 16:19]).any()


def test_what_is_marked_is_bright_itself():
    image = np.full((9, 9), 1.0, "float32")
    image[3:6, 3:6] = 100
    image[4, 5] = 1.5  # in the cluster, not bright; its neighbours are no speckle of it
    found = lee_sigma(image, 50.0)
    kept = image == 100
    assert np.array_equal(found[kept], image[kept])
    assert found[4, 5] != image[4, 5]


@patient
@given(images(least=6), st.sampled_from([0.6, 0.9, 0.98]))
def test_targets_hold_those_of_any_scan(image, share):
    valid = ~np.isnan(image)
    limit = float(np.quantile(image[valid], share)) if valid.any() else math.nan
    kept = references.targets_in_order(image, limit)
    assert not (kept & ~references.point_targets(image, limit, 1)).any()
    turned = references.targets_in_order(image[::-1, ::-1], limit)[::-1, ::-1]
    found = lee_sigma(image, limit)
    assert np.array_equal(found[kept | turned], image[kept | turned])


def test_targets_of_a_tile_are_seen_from_the_next():
    """A cluster across the seams of tiles (64 x 512) is one."""
    image = speckled(np.random.default_rng(1), (130, 1030))
    image[62:66, 510:514] = 7
    image[126:130, 1022:1026] = 7
    assert (lee_sigma(image, 5.0)[image == 7] == 7).all()


def test_without_a_percentile_nothing_is_a_target():
    image = np.full((9, 9), 1.0, "float32")
    image[3:6, 3:6] = 2
    assert same_bits(lee_sigma(image, math.nan), lee_sigma(image, 1e9))


def test_where_nothing_is_in_range_the_sample_is_kept():
    image = np.array([[-1.0, -2.0, -3.0]])
    assert lee_sigma(image, 1.0).tolist() == image.tolist()


def test_other_looks_are_refused():
    with pytest.raises(
        ValueError,
        match=r"no sigma range for 5 looks and sigma 0.9; known are looks 1, 2, 3, 4"
        r" with sigma 0.5, 0.6, 0.7, 0.8, 0.9",
    ):
        lee_sigma(np.ones((3, 3)), 1.0, looks=5)
    with pytest.raises(ValueError, match=r"no sigma range for 1 looks and sigma 0\.95"):
        lee_sigma(np.ones((3, 3)), 1.0, sigma=0.95)


@pytest.mark.parametrize("target", [1, 4, 7])
def test_target_windows_are_of_two_sizes(target):
    with pytest.raises(ValueError, match="give 3 or 5"):
        lee_sigma(np.ones((3, 3)), 1.0, target=target)


@given(st.lists(st.floats(-1, 1, width=32) | st.just(math.nan), max_size=300))
def test_z98_is_a_sorted_value(values):
    found, wanted = z98(np.array(values, "float32")), references.percentile(values)
    assert found == wanted or (math.isnan(found) and math.isnan(wanted))


def test_z98_leaves_its_values_alone():
    values = np.array([[3.0, 1.0], [np.nan, 2.0]])
    before = values.copy()
    assert z98(values) == 2.0  # int(0.98 * 3) - 1 = 1
    np.testing.assert_array_equal(values, before)
