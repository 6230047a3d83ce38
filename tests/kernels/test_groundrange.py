"""Slant to ground range and line times: inversion, choice of the record, bistatic shift."""

from __future__ import annotations

import numpy as np
import pytest
from references import LIGHT, ground_range, horner, read_product

from cube.kernels import groundrange
from cube.kernels.groundrange import GroundRangeImage

SIZE = (1000, 26_000)
STEP = 10.0
# 800 km near range, 30 degrees near and 46 degrees far incidence over 260 km, as in IW
SLANT = [8.0e5, 0.5, 4.8e-7, -1.6e-13, 3e-20]


def image(shifts=(0.0, 40.0, -60.0), times=(0.0, 1.0, 2.0)):
    """Records that differ by constants, so that the one that was used can be told."""
    return GroundRangeImage(
        first_line_s=0.0,
        line_step_s=1.5e-3,
        sample_step_m=STEP,
        bistatic_reference_s=2 * 8.8e5 / LIGHT,
        record_time_s=np.array(times),
        ground_origin_m=np.array(shifts),
        slant_coefficients=np.array([SLANT] * len(shifts)),
        shape=SIZE,
    )


@pytest.mark.parametrize("near", [8.0e5, 8.6e5, 9.2e5])
def test_the_inverse_polynomial_is_that_of_bisection(near):
    far = near + 20_000.0
    made = image()
    polynomials = groundrange.ground_polynomials(made, slice(1, 3), near, far)
    assert polynomials.shape == (2, 7)
    for slant in np.linspace(near, far, 41):
        u = (2 * slant - near - far) / (far - near)
        for row, shift in zip(polynomials, (40.0, -60.0), strict=True):
            exact = ground_range(SLANT, shift, slant, -50_000, 400_000)
            # degree 6 over 20 km, four times the widest tile: a millionth of a pixel
            assert abs(horner(row, u) - exact) / STEP < 1e-6


def test_a_polynomial_that_turns_is_refused():
    made = image()
    turning = GroundRangeImage(
        **{name: getattr(made, name) for name in made.__slots__}
        | {"slant_coefficients": np.array([[8e5, -0.5]] * 3)}
    )
    with pytest.raises(ValueError, match="does not increase"):
        groundrange.ground_polynomials(turning, slice(0, 1), 8e5, 8.1e5)


def test_limits_are_the_nearest_and_farthest_slant_range_of_all_records():
    near, far = groundrange.slant_limits(image())
    assert near == pytest.approx(horner(SLANT, -40.0), abs=1e-6)
    assert far == pytest.approx(horner(SLANT, SIZE[1] * STEP + 60.0), abs=1e-6)


@pytest.mark.parametrize(
    ("first", "last", "found"),
    [
        (-5.0, -4.0, (0, 1)),
        (0.2, 0.4, (0, 1)),
        (0.4, 0.6, (0, 2)),
        (0.6, 1.4, (1, 2)),
        (-1.0, 9.0, (0, 3)),
        (1.6, 9.0, (2, 3)),
    ],
)
def test_the_records_that_a_tile_may_need(first, last, found):
    assert groundrange.nearest_records(image(), first, last) == slice(*found)


def solve(made, time, slant):
    line, sample = np.atleast_2d(time).astype(float), np.atleast_2d(slant).astype(float)
    groundrange.to_image(made, line, sample)
    return line, sample


def test_each_pixel_takes_the_record_nearest_to_its_own_line():
    made = image()
    slant = np.full(41, made.bistatic_reference_s * LIGHT / 2)
    time = np.linspace(0.0, 2.0, 41) + 1e-9  # clear of the exact middles
    _, sample = solve(made, time, slant)
    shifts = np.array([0.0, 40.0, -60.0])[np.abs(time[:, None] - [0, 1, 2]).argmin(axis=1)]
    exact = [ground_range(SLANT, shift, slant[0], 0, 4e5) / STEP for shift in shifts]
    # one slant range only: the interval is widened to 1 m, and nothing is lost
    np.testing.assert_allclose(sample[0], exact, rtol=0, atol=1e-6)


def test_the_record_changes_halfway():
    made = image()
    slant = made.bistatic_reference_s * LIGHT / 2
    _, before = solve(made, 0.5 - 1e-9, slant)
    _, after = solve(made, 0.5 + 1e-9, slant)
    assert after - before == pytest.approx(40.0 / STEP, abs=1e-5)


def test_a_pixel_does_not_depend_on_its_neighbours_records():
    """Times jump to and fro along a row where the terrain does."""
    made = image()
    rng = np.random.default_rng(6)
    time, slant = rng.uniform(-0.5, 2.5, (5, 40)), rng.uniform(8.7e5, 8.75e5, (5, 40))
    line, sample = solve(made, time, slant)
    for at in np.ndindex(time.shape):
        shown = time[at] - (slant[at] / LIGHT - made.bistatic_reference_s / 2)
        assert line[at] == pytest.approx(shown / 1.5e-3, abs=1e-9)
        shift = [0.0, 40.0, -60.0][int(np.abs(shown - np.arange(3)).argmin())]
        exact = ground_range(SLANT, shift, slant[at], -1e3, 4e5) / STEP
        assert sample[at] == pytest.approx(exact, abs=1e-6)


def test_unknown_stays_unknown():
    line, sample = solve(image(), [[0.3, np.nan]], [[8.7e5, np.nan]])
    assert np.isfinite([line[0, 0], sample[0, 0]]).all()
    assert np.isnan([line[0, 1], sample[0, 1]]).all()
    line, sample = solve(image(), [[np.nan]], [[np.nan]])
    assert np.isnan([line[0, 0], sample[0, 0]]).all()


def test_one_record_serves_all_lines():
    made = image(shifts=(5.0,), times=(1.0,))
    _, sample = solve(made, [[-3.0, 7.0]], [[8.7e5, 8.7e5]])
    assert sample[0, 0] == sample[0, 1]


@pytest.mark.parametrize("pattern", ["S1B*GRDH*20211223*", "S1A*GRDH*20210809*", "S1C*GRDH*"])
def test_real_polynomials_are_inverted_over_the_whole_swath(data_dir, pattern):
    path = sorted((data_dir / "safe").glob(f"{pattern}.SAFE/annotation/*.xml"))[0]
    product = read_product(path.read_bytes())
    times, origins, rows = zip(*product.records, strict=True)
    made = GroundRangeImage(
        0.0, product.line_step, product.sample_step, 0.0, np.array(times), np.array(origins),
        np.array(rows), (product.lines, product.samples),
    )  # fmt: skip
    near, far = groundrange.slant_limits(made)
    width = product.samples * product.sample_step
    record = len(rows) // 2
    for low in np.linspace(near, far - 20_000, 6):
        row = groundrange.ground_polynomials(made, slice(record, record + 1), low, low + 2e4)[0]
        for u in (-1.0, -0.3, 0.4, 1.0):
            slant = low + 1e4 * (1 + u)
            exact = ground_range(rows[record], origins[record], slant, -5e4, width + 5e4)
            if -1000 < exact < width + 1000:
                assert abs(horner(row, u) - exact) / product.sample_step < 1e-6
