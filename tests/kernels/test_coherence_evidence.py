"""Evidence of coherence on simulated circular Gaussian pairs of known coherence."""

from __future__ import annotations

import numpy as np
import pytest

from cube.kernels.coherence_evidence import flood_evidence, magnitude_density
from cube.kernels.coherence_statistics import expected_magnitude

LOOKS = 24


def estimates(truth: np.ndarray, seed: int) -> np.ndarray:
    """Magnitudes of estimates of LOOKS independent samples."""
    rng = np.random.default_rng(seed)
    parts = rng.standard_normal((4, LOOKS, truth.size))
    first = parts[0] + 1j * parts[1]
    second = truth * first + np.sqrt(1 - truth**2) * (parts[2] + 1j * parts[3])
    powers = (abs(first) ** 2).sum(0) * (abs(second) ** 2).sum(0)
    return np.abs((first * second.conj()).sum(0)) / np.sqrt(powers)


@pytest.mark.parametrize("truth", [0.0, 0.3, 0.7, 0.95])
def test_the_density_is_that_of_estimates(truth):
    found = estimates(np.full(200_000, truth), 1)
    edges = np.linspace(0, 1, 21)
    counts = np.histogram(found, edges)[0] / found.size
    grid = np.linspace(0, 1, 20_001)
    density = magnitude_density(grid, truth, float(LOOKS))
    mass = np.add.reduceat(density[:-1], np.arange(0, 20_000, 1000)) * (grid[1] - grid[0])
    # four standard deviations of a count of 200,000
    np.testing.assert_allclose(counts, mass, atol=4 * np.sqrt(0.25 / found.size))
    mean = np.trapezoid(grid * density, grid)
    assert mean == pytest.approx(expected_magnitude(truth, LOOKS), abs=1e-5)


def test_probabilities_mean_what_they_say():
    """Of pixels with a probability of p, a share of p is water."""
    rng = np.random.default_rng(2)
    count = 400_000
    before_truth = rng.choice([0.4, 0.5, 0.6, 0.75], count)
    # ten pairs before the event; the assumed spread from pair to pair is real here
    now_truth = np.clip(before_truth + 0.1 * rng.standard_normal(count), 0, 0.98)
    water = rng.random(count) < 0.3
    now = estimates(np.where(water, 0.0, now_truth), 3)
    table = {value: expected_magnitude(value, LOOKS) for value in np.unique(before_truth)}
    before = np.vectorize(table.get)(before_truth)
    chance = flood_evidence(now, before, LOOKS, prior=0.3, most_error=0.5)
    assert np.isfinite(chance).all()
    cell = np.minimum((chance * 10).astype(int), 9)
    for one in range(10):
        used = cell == one
        if used.sum() < 500:
            continue
        stated, true = chance[used].mean(), water[used].mean()
        # four standard deviations, and what a table of 129 by 129 nodes leaves
        assert true == pytest.approx(stated, abs=4 * np.sqrt(0.25 / used.sum()) + 0.02)


def test_where_coherence_was_low_it_abstains():
    now, before = np.full(3, 0.2), np.array([0.15, 0.25, 0.7])
    found = flood_evidence(now, before, LOOKS)
    assert np.isnan(found[:2]).all()
    assert found[2] > 0.9
    # more looks tell more
    assert np.isfinite(flood_evidence(np.array([0.1]), np.array([0.35]), 200))


def test_missing_is_missing():
    found = flood_evidence(np.array([np.nan, 0.2]), np.array([0.6, np.nan]), LOOKS)
    assert np.isnan(found).all()


@pytest.mark.parametrize(
    ("now", "before", "options", "says"),
    [
        ([0.1], [0.1, 0.2], {}, "must agree"),
        ([1.4], [0.5], {}, "coherence now from 0 to 1.4"),
        ([0.5], [-0.5], {}, "coherence before from -0.5"),
        ([0.5], [0.5], {"looks": 1}, "give 2 to 500"),
        ([0.5], [0.5], {"prior": 0}, "prior 0"),
    ],
)
def test_what_is_no_coherence_is_refused(now, before, options, says):
    with pytest.raises(ValueError, match=says):
        flood_evidence(np.array(now), np.array(before), **{"looks": LOOKS, **options})
