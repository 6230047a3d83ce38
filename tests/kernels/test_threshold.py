"""Thresholds and modes against closed forms and exhaustive search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cube.kernels import threshold

CENTRES = np.arange(-34.75, 5, 0.5)


def normal(mean, spread, weight=1.0):
    """Expected counts of a normal mode over `CENTRES`, 10,000 cells."""
    line = np.exp(-0.5 * ((CENTRES - mean) / spread) ** 2)
    return 10_000 * weight * line / line.sum()


def plain_otsu(counts, centres):
    """Largest between-class variance by trying every cut with explicit class means."""
    best, cut = -1.0, None
    total = sum(counts)
    for k in range(1, len(centres)):
        low, high = sum(counts[:k]), sum(counts[k:])
        if low == 0 or high == 0:
            continue
        a = sum(c * v for c, v in zip(counts[:k], centres[:k], strict=True)) / low
        b = sum(c * v for c, v in zip(counts[k:], centres[k:], strict=True)) / high
        score = low * high / total**2 * (a - b) ** 2
        if score > best * (1 + 1e-9):
            best, cut = score, (k, k)
        elif score > best * (1 - 1e-9):
            cut = (cut[0], k)
    if cut is None:
        return float("nan")
    edges = [(centres[k - 1] + centres[k]) / 2 for k in cut]
    return sum(edges) / 2


@settings(deadline=None)
@given(st.lists(st.integers(0, 50), min_size=3, max_size=25))
def test_otsu_is_the_best_of_all_cuts(counts):
    centres = [float(k) for k in range(len(counts))]
    assert threshold.otsu(counts, centres) == pytest.approx(
        plain_otsu(counts, centres), abs=1e-6, nan_ok=True
    )


def test_equal_normal_modes_are_cut_in_the_middle():
    counts = normal(-22, 1.5) + normal(-12, 1.5)
    assert threshold.otsu(counts, CENTRES) == pytest.approx(-17, abs=0.25)
    assert threshold.kittler_illingworth(counts, CENTRES) == pytest.approx(-17, abs=0.25)


def test_least_error_is_where_two_unequal_modes_cross():
    """Kittler-Illingworth finds the crossing of the densities; Otsu is drawn into the large one."""
    rare, common = normal(-24, 1.0, 0.05), normal(-12, 2.5, 0.95)
    crossing = CENTRES[np.flatnonzero((rare < common) & (CENTRES > -24))[0]]
    cut = threshold.kittler_illingworth(rare + common, CENTRES)
    assert cut == pytest.approx(crossing, abs=1.0)
    assert abs(threshold.otsu(rare + common, CENTRES) - crossing) > 2


def test_one_value_has_no_threshold():
    single = np.zeros(CENTRES.size)
    single[30] = 500
    empty = np.zeros(CENTRES.size)
    for rule in (threshold.otsu, threshold.kittler_illingworth):
        assert np.isnan(rule(single, CENTRES))
        assert np.isnan(rule(empty, CENTRES))


def test_modes_are_recovered():
    fitted = threshold.modes(normal(-22, 1.5, 0.3) + normal(-12, 2.0, 0.7), CENTRES)
    assert float(fitted.share) == pytest.approx(0.3, abs=0.01)
    assert float(fitted.dark) == pytest.approx(-22, abs=0.1)
    assert float(fitted.bright) == pytest.approx(-12, abs=0.1)
    assert float(fitted.ashman) == pytest.approx(2**0.5 * 10 / np.hypot(1.5, 2.0), rel=0.03)


def test_one_normal_mode_is_not_two():
    for spread in (1.0, 2.0, 4.0):
        assert not threshold.separate(threshold.modes(normal(-13, spread), CENTRES))


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1.5, 4))
def test_a_counted_normal_mode_is_not_two(seed, spread):
    """1000 cells, as in a tile of 128 x 128 samples."""
    rng = np.random.default_rng(seed)
    edges = np.append(CENTRES - 0.25, CENTRES[-1] + 0.25)
    counts = np.histogram(rng.normal(-13, spread, 1000), edges)[0]
    assert not threshold.separate(threshold.modes(counts, CENTRES, least_spread=1.5))


def test_a_small_mode_is_not_trusted():
    def found(share):
        counts = normal(-24, 1.2, share) + normal(-12, 1.5, 1 - share)
        return bool(threshold.separate(threshold.modes(counts, CENTRES)))

    assert found(0.15)
    assert not found(0.05)


def test_narrow_modes_may_be_texture():
    counts = normal(-14, 0.6) + normal(-11.5, 0.6)
    assert threshold.separate(threshold.modes(counts, CENTRES))
    assert not threshold.separate(threshold.modes(counts, CENTRES, least_spread=1.6))


def test_empty_histograms_have_no_modes():
    fitted = threshold.modes(np.zeros((2, 3, CENTRES.size)), CENTRES)
    assert fitted.ashman.shape == (2, 3)
    assert np.isnan(fitted.ashman).all()
    assert not threshold.separate(fitted).any()


def test_only_tiles_with_two_modes_choose_the_threshold():
    land = normal(-10, 2.0)
    tiles = np.stack([land, normal(-22, 1.5) + normal(-10, 1.5), land, land])
    cut, slope, apart = threshold.tiled_threshold(tiles, CENTRES)
    assert cut == pytest.approx(-16, abs=0.5)
    assert slope == pytest.approx(-12 / 1.5**2, rel=0.1)
    assert apart == pytest.approx(8, rel=0.1)
    assert np.isnan(threshold.tiled_threshold(tiles[[0, 2]], CENTRES)).all()


def test_shares_of_known_densities_are_recovered():
    densities = np.stack([normal(-22, 1.5), normal(-15, 2), normal(-9, 2)]) / 10_000
    truth = np.array([0.1, 0.3, 0.6])
    share, misfit = threshold.fit_shares(truth @ densities * 1e6, densities, np.full(3, 1 / 3), 0.0)
    assert share == pytest.approx(truth, abs=0.01)
    assert misfit < 1e-3


def test_confidence_pulls_towards_the_usual():
    densities = np.eye(2)
    share, _ = threshold.fit_shares([1, 0], densities, np.array([0.5, 0.5]), 1.0)
    assert share == pytest.approx([0.75, 0.25])


def test_misfit_grows_when_nothing_known_is_near():
    densities = (normal(-12, 2.0) / 10_000)[None]
    near = threshold.fit_shares(normal(-12, 1.0), densities, np.ones(1), 0.1)[1]
    far = threshold.fit_shares(normal(-2, 1.0), densities, np.ones(1), 0.1)[1]
    assert near < 0.1
    assert far > 2


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-6, 6), st.booleans()), min_size=1, max_size=30))
def test_best_threshold_is_the_best_of_all(samples):
    values = np.array([value for value, _ in samples], float)
    labels = np.array([label for _, label in samples])
    cut, score = threshold.best_threshold(values, labels)
    if not labels.any():
        assert np.isnan(cut)
        return
    scores = []
    for trial in values:
        taken = values <= trial
        scores.append((taken & labels).sum() / (taken | labels).sum())
    assert score == pytest.approx(max(scores))
    taken = values <= cut
    assert (taken & labels).sum() / (taken | labels).sum() == pytest.approx(score)


def test_missing_values_are_not_judged():
    assert threshold.best_threshold([np.nan, 1.0, 2.0], [True, True, False]) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("histogram", "centres", "text"),
    [
        ([1, 2, 3], [0, 1], "one count for each"),
        ([1], [0], "at least two centres"),
        ([1, -1], [0, 1], "negative or NaN"),
        ([1, np.nan], [0, 1], "negative or NaN"),
    ],
)
def test_bad_histograms_are_refused(histogram, centres, text):
    for rule in (threshold.otsu, threshold.kittler_illingworth, threshold.modes):
        with pytest.raises(ValueError, match=text):
            rule(histogram, centres)


def test_labels_fit_their_values():
    with pytest.raises(ValueError, match=r"shape \(2,\), labels of shape \(3,\)"):
        threshold.best_threshold([1.0, 2.0], [True, False, True])
