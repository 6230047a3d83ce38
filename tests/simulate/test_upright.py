"""Layover and shadow of what stands upright, against a walk along every line of sight."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cube.simulate.upright import FURTHEST, lay_over


def walked(power: list[float], height: list[float], angle: float) -> list[float]:
    """One row seen from the left, pixel by pixel of 10 m; what is out of the row is as its edge."""
    last, out = len(power) - 1, []
    for here, level in enumerate(height):
        seen, lit = power[here], 1.0
        for step in range(1, FURTHEST + 1):
            behind, before = min(here + step, last), max(here - step, 0)
            reach = (height[behind] - level) / math.tan(math.radians(angle)) / 10
            seen += min(max(reach - (step - 1), 0), 1) * power[behind]
            cast = (height[before] - level) * math.tan(math.radians(angle)) / 10
            lit *= 1 - min(max(cast - (step - 1), 0), 1)
        out.append(seen * lit)
    return out


@pytest.mark.parametrize("angle", [29.0, 38.0, 46.0])
def test_it_is_what_a_walk_along_each_line_finds(angle):
    rng = np.random.default_rng(1)
    height = (rng.uniform(0, 25, (5, 40)) * (rng.random((5, 40)) < 0.3)).astype("float32")
    power = rng.gamma(4, 0.1, (5, 40)).astype("float32")
    (found, double), covered = lay_over((power, 2 * power), height, 1, angle, 10.0)
    expected = [walked(*row, angle) for row in zip(power.tolist(), height.tolist(), strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(double, 2 * found, rtol=1e-6)
    (turned,), turned_cover = lay_over((power[:, ::-1],), height[:, ::-1], -1, angle, 10.0)
    np.testing.assert_array_equal(turned[:, ::-1], found)
    np.testing.assert_array_equal(turned_cover[:, ::-1], covered)


def test_level_ground_and_the_inside_of_a_forest_stay():
    power = np.random.default_rng(2).gamma(4, 0.1, (8, 30)).astype("float32")
    wood = np.zeros((8, 30), "float32")
    wood[:, 10:20] = 9
    (flat,), none = lay_over((power,), np.full_like(wood, 9), 1, 38.0, 10.0)
    np.testing.assert_array_equal(flat, power)
    assert not none.any()
    (seen,), part = lay_over((power,), wood, 1, 38.0, 10.0)
    away = np.ones(30, bool)
    away[[8, 9, 20, 21]] = False
    np.testing.assert_array_equal(seen[:, away], power[:, away])
    assert (part[:, 9] == 1).all()  # 9 m stand 11.5 m nearer
    assert not part[:, [*range(8), *range(10, 30)]].any()
    assert (seen[:, 9] > power[:, 9]).all()
    assert (seen[:, 20] < power[:, 20]).all()
