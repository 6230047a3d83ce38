"""Illuminated area: planes by vectors, cones by a four times finer surface, layover where it is."""

from __future__ import annotations

import numpy as np
import pytest

from cube.kernels import facets
from tests.kernels.seen_ground import (
    STEP,
    closest,
    ground,
    normals,
    range_turn,
    vector_ratio,
)

INNER = (slice(12, -12), slice(12, -12))
TURNS = {
    "as a track lies on a map": 0.0,
    "along the track": 12.0,
    "diagonal": 45.0,
    "across": 100.0,
}


def decibels(ratio):
    return 10 * np.log10(ratio)


@pytest.mark.parametrize("turn", TURNS.values(), ids=TURNS.keys())
@pytest.mark.parametrize("pixel", [10.0, 37.0])
def test_level_ground_has_the_cotangent_of_the_incidence_and_no_stripes(turn, pixel):
    made = ground(lambda x, y: 300.0, pixel=pixel, turn=turn)
    _, ratio, layover = made.seen()
    expected = vector_ratio(made.points, normals(made.points))[INNER]
    difference = decibels(ratio[INNER] / expected)
    # the ellipsoid's curvature over the patch is in `expected` too
    assert abs(difference.mean()) < 0.01
    assert difference.std() < 0.03, "stripes"
    assert np.abs(difference).max() < 0.05
    assert not layover.any()


# range slopes towards the radar (rise of x > 0 with columns running away) and away from it
PLANES = [(-40, 0), (-25, 10), (-10, -20), (0, 30), (8, 0), (13, 0), (17, 5), (22, -15), (26, 20)]


@pytest.mark.parametrize(("along", "across"), PLANES)
def test_a_tilted_plane_is_what_vectors_say(along, across):
    rise_x, rise_y = np.tan(np.radians([along, across]))
    made = ground(lambda x, y: 2000 + rise_x * x + rise_y * y, turn=range_turn())
    _, ratio, layover = made.seen()
    inner = (slice(60, -60), slice(60, -60))  # cells near the edge lack facets beyond it
    expected = vector_ratio(made.points, normals(made.points))[inner]
    difference = decibels(ratio[inner] / expected)
    # the beat of facets and cells: below 0.02 dB rms where the plane is stretched by a third
    assert abs(difference.mean()) < 0.03
    assert difference.std() < 0.08
    assert not layover[inner].any()


def by_vectors(made):
    """Slant range and illuminated area of every facet between pixels, by cross products."""
    points = made.points
    corner, across = points[:-1, :-1], points[1:, 1:]
    right, down = points[:-1, 1:], points[1:, :-1]
    diagonals = np.cross(across - corner, right - down) / 2  # the area vector of any four corners
    middle = (corner + right + down + across) / 4
    _, position, velocity = closest(middle)
    away = middle - position
    slant = np.linalg.norm(away, axis=-1)
    seen = np.abs((diagonals * away).sum(-1)) / slant
    facing = (diagonals * away).sum(-1) * np.sign((diagonals[0, 0] * middle[0, 0]).sum()) < 0
    return slant, np.where(facing, seen, 0.0), np.linalg.norm(velocity, axis=-1)


CONES = {"hill": 20.0, "steep": 28.0, "folded": 55.0}


@pytest.mark.parametrize("slope", CONES.values(), ids=CONES.keys())
def test_the_area_of_a_cone_is_all_there(slope):
    """What the cells hold is what the facets show, also where ground lies over itself."""
    rise = np.tan(np.radians(slope))

    def cone(x, y):
        return np.maximum(0.0, 700.0 - rise * np.hypot(x, y))

    made = ground(cone, size=(321, 321), turn=range_turn())
    cells, _, layover = made.seen()
    slant, seen, _ = by_vectors(made)
    near, far = made.view.satellite_m, made.view.earth_m
    turned = np.arccos((near**2 + far**2 - slant**2) / (2 * near * far))
    rate = near * np.sin(turned) / slant  # of range with ground range, by the law of cosines
    # slant area of a cell: pixel / speed x speed of the footprint x pixel x rate; the two speeds
    # differ by 0.2 percent over three kilometres
    total = (seen / (made.pixel**2 * rate)).sum()
    assert cells.area.sum() == pytest.approx(total, rel=2e-3)
    assert layover.any() == (slope > 40)


def test_layover_is_where_another_slope_is_as_far_away():
    """A ridge along the track: layover is every pixel whose range another slope shares."""
    front = np.tan(np.radians(60.0))

    def ridge(x, y):
        return np.maximum(0.0, np.minimum(400.0 - front * np.maximum(-x, 0), 400 - 0.3 * np.abs(x)))

    made = ground(ridge, size=(65, 641), turn=range_turn())
    _, ratio, layover = made.seen()
    row = 32
    across = made.plane[1][row]
    crest = int(np.argmax(made.height[row]))
    foot = int(np.flatnonzero(made.height[row] > 0)[0]) - 1
    assert across[crest] < across[foot], "the crest is nearer than its foot"
    expected = (across > across[crest]) & (across < across[foot])
    edges = np.abs(across[:, None] - across[[crest, foot]]).min(axis=1) < 2.5  # cells
    np.testing.assert_array_equal(layover[row][~edges], expected[~edges])
    assert expected.sum() > 30
    # front, crest and back share cells: much more ground than level ground shows
    bright = ratio[row][expected & ~edges]
    assert np.nanmedian(bright) > 2 * np.nanmedian(ratio[row][:40])


@pytest.mark.parametrize("slope", [25.0, 60.0])
def test_gamma_of_a_uniform_surface_is_one_after_flattening(slope):
    """Brightness simulated on a four times finer cone, flattened on the coarse one."""
    rise = np.tan(np.radians(slope))

    def cone(x, y):
        return np.maximum(0.0, 450.0 - rise * np.hypot(x, y))

    made = ground(cone, size=(257, 257), turn=range_turn())
    _, ratio, layover = made.seen()
    fine = ground(cone, size=(1025, 1025), pixel=2.5, turn=range_turn())
    cells, _, _ = fine.seen()
    # cells of 2.5 m, averaged over 4 by 4, looked up where the coarse pixels are
    along, across = (values * 4 for values in made.plane)
    l0 = np.rint(along).astype(int) - cells.origin[0]
    s0 = np.rint(across).astype(int) - cells.origin[1]
    bright = np.zeros(made.size)
    weights = np.convolve(np.ones(4) / 4, np.convolve(np.ones(4) / 4, np.ones(5) / 5))
    reach = len(weights) // 2
    inner = (slice(40, -40), slice(40, -40))
    for dl, wl in zip(range(-reach, reach + 1), weights, strict=True):
        for ds, ws in zip(range(-reach, reach + 1), weights, strict=True):
            bright[inner] += wl * ws * cells.area[(l0 + dl)[inner], (s0 + ds)[inner]]
    bright[bright == 0] = np.nan  # slopes that face away
    found = decibels(bright[inner] / ratio[inner])
    before = decibels(bright[inner] / np.nanmedian(bright[inner]))
    inside = layover[inner]
    clear = ~inside & np.isfinite(found)
    # a back of 60 degrees faces away: where it begins, pixels of 10 m are too coarse
    assert np.sqrt((found[clear] ** 2).mean()) < (0.05 if slope < 40 else 0.2)
    assert np.sqrt((found[clear] ** 2).mean()) < 0.25 * np.sqrt((before[clear] ** 2).mean())
    if slope > 40:
        assert inside.sum() > 100
        folded = found[inside & np.isfinite(found)]
        assert np.sqrt((folded**2).mean()) < 0.4, "before flattening it is 6 dB"


def test_missing_heights_add_nothing_and_have_no_ratio():
    made = ground(lambda x, y: 100.0, size=(129, 129))
    _, whole, _ = made.seen()
    holed = ground(lambda x, y: np.where(np.hypot(x, y) < 100, np.nan, 100.0), size=(129, 129))
    _, ratio, _ = holed.seen()
    missing = np.isnan(holed.height)
    assert missing.sum() > 200
    assert np.isnan(ratio[missing]).all()
    row, col = np.mgrid[:129, :129]
    far = np.hypot(row - 64.5, col - 64.5) > 13
    # the line of sight at a lattice point in the hole is that of height 0: 1e-4 radian off
    np.testing.assert_allclose(ratio[far], whole[far], rtol=1e-4)


def test_no_facet_and_no_height_at_all():
    made = ground(lambda x, y: np.nan, size=(65, 65))
    cells, ratio, layover = made.seen()
    assert np.isnan(ratio).all()
    assert not layover.any()
    assert not cells.area.any()


def test_a_part_with_its_halo_is_the_whole_to_the_bit():
    rng = np.random.default_rng(3)
    waves = rng.uniform(0, 6, 4)

    def hills(x, y):
        return sum(
            75 * np.sin(x / (90 + 60 * k) + y / (200 - 30 * k) + w) for k, w in enumerate(waves)
        )

    made = ground(hills, size=(321, 353))
    _, whole, layover = made.seen()
    assert layover.any()
    # 400 m of relief lie over 400 cot(38 degrees) = 510 m
    first, last = np.array([64, 96]), np.array([257, 289])
    part = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    plane = made.plane[0][part], made.plane[1][part]
    (top, left), (bottom, right) = first // STEP, last // STEP + 2
    lattice = made.lattice[top:bottom, left:right]
    lit = np.ones(plane[0].shape, "bool")
    cells = facets.accumulate(plane, made.height[part].copy(), lit, lattice, STEP, made.reach())
    offset = 56, 64  # the block within its halo
    block = facets.Seen.nothing(np.ones((80, 64), "bool"))
    facets.gather(cells, plane, lit, lattice, STEP, offset, (-np.inf, np.inf), block)
    inner = tuple(slice(a, a + n) for a, n in zip(offset, (80, 64), strict=True))
    np.testing.assert_array_equal(block.ratio.view("u4"), whole[part][inner].view("u4"))
    np.testing.assert_array_equal(block.layover, layover[part][inner])
