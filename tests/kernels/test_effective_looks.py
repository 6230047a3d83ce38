"""Independent samples of a window, against the scatter of simulated means over it."""

from __future__ import annotations

import numpy as np
import pytest

from cube.kernels.coherence_statistics import effective_looks

IW = ((0.672, 0.70), (0.878, 0.75))
BOXCAR = ((0.5, 1.0), (0.5, 1.0))


def test_samples_that_share_nothing_all_count():
    """Without a window, the correlation is a sinc: zero at every step of one over the bandwidth."""
    steps = ((2.0, 0.0), (0.0, 4.0))
    # the spectrum is summed at 257 frequencies: 1 / 257 of it is counted at both ends
    assert effective_looks((5, 7), steps, BOXCAR) == pytest.approx(35, rel=5e-3)


def test_one_sample_is_one_look():
    assert effective_looks((1, 1), ((0.7, 0.1), (0.2, 2.0)), IW) == pytest.approx(1)


def test_samples_of_one_place_are_one_look():
    steps = ((1e-4, 0.0), (0.0, 1e-4))
    # (2 pi x 0.4 x 5e-4)^2 of correlation is lost at most
    assert effective_looks((5, 5), steps, IW) == pytest.approx(1, abs=1e-5)


def test_it_is_the_mean_of_two_axes_where_the_map_lies_along_the_image():
    """Rows and columns of a separable window multiply."""
    along = effective_looks((7, 1), ((0.6, 0.0), (0.0, 0.0)), IW)
    across = effective_looks((1, 9), ((0.0, 0.0), (0.0, 1.3)), IW)
    both = effective_looks((7, 9), ((0.6, 0.0), (0.0, 1.3)), IW)
    assert both == pytest.approx(along * across, rel=1e-9)


CASES = {
    "IW at 10 m": ((5, 5), ((0.7, 0.1), (-0.4, 2.4)), IW),
    "IW at 5 m": ((7, 7), ((0.35, 0.05), (-0.1, 1.2)), IW),
    "turned": ((3, 9), ((0.3, 0.8), (-0.3, 0.6)), IW),
    "one row": ((1, 11), ((0.0, 0.0), (0.1, 0.7)), IW),
}


@pytest.mark.parametrize(("window", "steps", "spectrum"), CASES.values(), ids=CASES)
def test_means_scatter_as_the_looks_say(window, steps, spectrum):
    """Of Gaussian samples with the spectrum: variance of the mean power is mean squared / looks."""
    rng = np.random.default_rng(5)
    row, col = np.mgrid[: window[0], : window[1]]
    waves = []
    for (per_row, per_col), (bandwidth, weight) in zip(steps, spectrum, strict=True):
        place = (per_row * row + per_col * col).ravel()
        # 32 lines of a band: repeats after more than 32 samples, the windows reach 19
        frequency = ((np.arange(32) + 0.5) / 32 - 0.5) * bandwidth
        strength = weight + (1 - weight) * np.cos(2 * np.pi * frequency / bandwidth)
        waves.append(strength * np.exp(2j * np.pi * np.outer(place, frequency)))
    both = (waves[0][:, :, None] * waves[1][:, None, :]).reshape(row.size, -1)
    means = []
    for _ in range(20):
        noise = rng.normal(size=(both.shape[1], 1000, 2)).view("complex128")[..., 0]
        means.append((np.abs(both @ noise) ** 2).mean(axis=0))
    power = np.concatenate(means)
    found = power.mean() ** 2 / power.var()
    looks = effective_looks(window, steps, spectrum)
    # a mean of L looks is nearly a gamma variable, whose sample variance scatters by this share
    scatter = np.sqrt((2 + 6 / looks) / len(power))
    assert found == pytest.approx(looks, rel=3 * scatter)
    assert looks < 0.97 * row.size
