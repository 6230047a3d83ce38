"""Shadow: ridges along the track against straight lines, gentle ground, and any window."""

from __future__ import annotations

import numpy as np
import pytest

from cube.kernels.shadow import in_shadow, may_hide
from tests.kernels.seen_ground import STEP, closest, ground, range_turn


def shadow(made):
    return in_shadow(made.view, made.plane, made.height, made.lattice, STEP)


def hidden(points):
    """Which points of one range line a nearer one hides, by angles off nadir."""
    _, position, _ = closest(points)
    down = -position / np.linalg.norm(position, axis=-1)[..., None]
    away = points - position
    cosine = (down * away).sum(-1) / np.linalg.norm(away, axis=-1)
    return np.maximum.accumulate(np.arccos(cosine)) > np.arccos(cosine) + 1e-9


def wall(x, y):
    """A ridge of 300 m whose back falls at 70 degrees, towards a plain."""
    return np.maximum(0.0, 300.0 - np.where(x < 0, -0.5 * x, 2.75 * x))


@pytest.mark.parametrize("off", [0.0, 7.0, -18.0])
def test_a_ridge_hides_what_straight_lines_say(off):
    """Also where range lines run askew through the pixels."""
    made = ground(wall, size=(129, 301), turn=range_turn() + off)
    found = shadow(made)
    if off == 0.0:
        expected = hidden(made.points[64])
        assert 15 < expected.sum() < 40
        wrong = np.flatnonzero(found[64] != expected)
        edges = np.flatnonzero(np.diff(expected.astype(int)))
        # bins of one cell, and two in front of a pixel that do not count
        assert all(np.abs(edges - k).min() <= 3 for k in wrong)
    # the ridge is alike all along: so is its shadow, away from where it enters the patch
    widths = found[32:-32].sum(axis=1)
    assert widths.min() > 12
    assert np.ptp(widths) <= 6  # bins at either end


def test_the_shadow_of_a_cone_ends_where_its_tip_is_seen():
    def cone(x, y):
        return np.maximum(0.0, 400.0 - 2.0 * np.hypot(x, y))

    made = ground(cone, size=(161, 201), turn=range_turn())
    found = shadow(made)
    row = 80
    expected = hidden(made.points[row])
    last = np.flatnonzero(expected)[-1]
    assert abs(np.flatnonzero(found[row])[-1] - last) <= 2
    # within the cone's own width, and nowhere in front of its tip
    rows, cols = np.nonzero(found)
    assert np.abs(rows - row).max() <= 21
    assert cols.min() >= 99


@pytest.mark.parametrize(("along", "across"), [(0, 0), (-25, 0), (20, 25), (0, 40), (-20, -30)])
def test_a_plane_that_is_seen_hides_nothing(along, across):
    rise_x, rise_y = np.tan(np.radians([along, across]))
    made = ground(lambda x, y: 3000 + rise_x * x + rise_y * y, turn=range_turn())
    assert not shadow(made).any()


def test_gentle_ground_need_not_be_asked_and_hides_nothing():
    rng = np.random.default_rng(8)
    phases = rng.uniform(0, 6, 6)

    def hills(x, y):
        return sum(
            9 * (k + 1) * np.sin(x / (60 * (k + 1)) + y / (75 * (k + 1)) + phase)
            for k, phase in enumerate(phases)
        )

    made = ground(hills, size=(257, 257), turn=3.0)
    limit = 0.8 / np.tan(np.radians(40.0))
    rise = np.hypot(*np.gradient(made.height.astype(float), 10.0)).max()
    scale = np.float32(0.95 * limit / rise)
    gentle = ground(lambda x, y: scale * hills(x, y), size=(257, 257), turn=3.0)
    assert not may_hide(gentle.height, 10.0, 10.0, 40.0)
    assert not shadow(gentle).any()
    assert may_hide(2 * gentle.height, 10.0, 10.0, 40.0)


def test_missing_heights_hide_nothing_and_are_not_hidden():
    made = ground(lambda x, y: np.where(np.abs(x) < 60, np.nan, wall(x, y)), size=(65, 301))
    found = shadow(made)
    assert not found[np.isnan(made.height)].any()
    assert not in_shadow(
        made.view,
        tuple(np.full_like(v, np.nan) for v in made.plane),
        made.height,
        made.lattice,
        STEP,
    ).any()


def test_a_window_with_its_halo_is_the_whole():
    def peaks(x, y):
        return 120 * np.maximum(0.0, np.sin(x / 110) * np.cos(y / 140)) ** 0.5

    made = ground(peaks, size=(289, 321))
    whole = shadow(made)
    assert 0.01 < whole.mean() < 0.5
    part = slice(64, 257), slice(64, 289)
    found = in_shadow(
        made.view,
        (made.plane[0][part], made.plane[1][part]),
        made.height[part].copy(),
        made.lattice[2:10, 2:11],
        STEP,
    )
    # 120 m hide at most 120 tan(40 degrees) = 100 m
    inner = slice(16, -16), slice(16, -16)
    np.testing.assert_array_equal(found[inner], whole[part][inner])
