"""The water model on scenes of known truth: simulated speckle over known surfaces.

The scenes share no code with the kernels: levels are stated in dB, texture is a smooth field,
speckle is averaged exponential noise with the correlation of an image that is sampled twice per
resolution cell.
"""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from cube.kernels import water

SIZE = 256
CROPS, BARE, ARID = (-10.8, -17.3), (-13.0, -20.0), (-14.5, -22.5)
FOREST, PLAYA = (-8.2, -14.0), (-17.5, -24.5)
CALM, ROUGH = (-20.0, -28.0), (-15.0, -27.5)
Y, X = np.mgrid[:SIZE, :SIZE]


def surface(rng, levels, texture):
    """VV and VH in linear power; texture in dB, seven tenths of it common to both."""

    def smooth():
        field = gaussian_filter(rng.normal(size=(SIZE, SIZE)), 6, mode="wrap")
        return field / field.std()

    common = smooth()
    out = []
    for level in levels:
        looks = gaussian_filter(rng.exponential(size=(8, SIZE, SIZE)), (0, 0.6, 0.6)).mean(axis=0)
        field = 0.84 * common + 0.54 * smooth()
        out.append((10 ** ((level + texture * field) / 10) * looks).astype("float32"))
    return np.array(out)


def scene(land, lake=CALM, where=None, seed=0):
    """Land of one kind, with a lake `where`."""
    rng = np.random.default_rng(seed)
    ground = surface(rng, land, 1.2)
    return ground if where is None else np.where(where, surface(rng, lake, 0.8), ground)


def tiles(power, vh=True, size=128):
    return np.stack(
        [
            water.histogram(part[0], part[1] if vh else None)
            for y in range(0, SIZE, size)
            for x in range(0, SIZE, size)
            for part in [power[:, y : y + size, x : x + size]]
        ]
    )


def run(power, vh=True):
    parts = tiles(power, vh)
    model = water.fit(parts.sum(axis=0, dtype=np.uint32), parts)
    return water.probability(power[0], power[1] if vh else None, model) > 0.5, model


def iou(found, truth):
    return (found & truth).sum() / (found | truth).sum()


@pytest.mark.parametrize("land", [FOREST, CROPS, BARE, ARID, PLAYA])
@pytest.mark.parametrize("seed", [0, 1])
def test_dry_land_of_one_kind_stays_dry(land, seed):
    """However dark: without a second mode there is no evidence of water."""
    found, model = run(scene(land, seed=seed))
    assert model.method != "tiled-threshold"
    assert found.mean() < 0.01


@pytest.mark.parametrize(
    ("lake", "land", "vh"),
    [
        (CALM, FOREST, True),
        (CALM, CROPS, True),
        (ROUGH, FOREST, True),
        (ROUGH, CROPS, True),  # VV of rough water is that of bare ground: VH tells
        (CALM, FOREST, False),
        (CALM, CROPS, False),
    ],
)
def test_half_a_scene_of_water_is_found(lake, land, vh):
    truth = X < SIZE // 2
    found, model = run(scene(land, lake, truth), vh)
    assert model.method == "bayes"
    assert iou(found, truth) > 0.95  # a box of 5 wets or dries 2 samples along a border of 256


def test_water_beside_bare_ground_is_found():
    truth = X < SIZE // 2
    found, _ = run(scene(BARE, CALM, truth))
    assert iou(found, truth) > 0.95


@pytest.mark.parametrize("lake", [CALM, (-16.5, -28.5), (-13.0, -27.0)])
def test_all_water_is_water_though_it_is_one_mode(lake):
    found, model = run(scene(CROPS, lake, X >= 0))
    assert model.method == "bayes"
    assert found.mean() > 0.98


def test_mostly_water_is_not_split_in_two():
    truth = X < 0.9 * SIZE
    found, _ = run(scene(CROPS, CALM, truth))
    assert iou(found, truth) > 0.97


def test_a_pond_is_found_where_no_mode_shows():
    truth = (Y - 100) ** 2 + (X - 150) ** 2 < 15**2
    found, model = run(scene(CROPS, (-22.0, -29.0), truth))
    assert model.method == "dry"
    assert model.share == pytest.approx(water.GLOBAL_SHARE)
    assert found[truth].mean() > 0.5
    assert found[~truth].mean() < 0.005


def test_a_lake_in_one_tile_is_evidence_for_the_scene():
    """It fills 3 per cent of the scene, lost in its histogram, and a tenth of one tile."""
    truth = (abs(Y - 40) < 30) & (abs(X - 50) < 40)
    power = scene(CROPS, CALM, truth)
    parts = tiles(power, size=64)
    total = parts.sum(axis=0)
    assert water.fit(total).method == "dry"
    assert water.fit(total, parts).method == "bayes"


@pytest.mark.parametrize("seed", range(4))
def test_a_lake_in_one_tile_does_not_flood_bare_ground(seed):
    truth = (abs(Y - 64) < 40) & (abs(X - 64) < 40)
    found, _ = run(scene(ARID, CALM, truth, seed))
    assert found[~truth].mean() < 0.02
    inside = (abs(Y - 64) < 36) & (abs(X - 64) < 36)
    assert found[inside].mean() > 0.95


@pytest.mark.parametrize("shift", [-1.0, 1.6])
def test_sigma_and_gamma_nought_are_both_served(shift):
    """They differ by 1/cos(incidence), at most 1.6 dB, which the classes allow for."""
    truth = X < SIZE // 2
    power = scene(CROPS, CALM, truth) * np.float32(10 ** (shift / 10))
    assert iou(run(power)[0], truth) > 0.95


def test_uncalibrated_data_fall_back_to_tiles():
    """15 dB too bright, no textbook surface is near; the two modes are still there."""
    truth = X < 90
    power = scene(CROPS, CALM, truth) * np.float32(10**1.5)
    found, model = run(power)
    assert model.method == "tiled-threshold"
    assert model.misfit > water.MISFIT
    assert iou(found, truth) > 0.95


@pytest.mark.parametrize("seed", range(4))
def test_water_at_the_level_of_noise_is_found(seed):
    """Products that hold their noise show calm water at -25 dB in VH, not at -30."""
    truth = X < 26
    found, model = run(scene(CROPS, (-18.0, -25.0), truth, seed))
    assert model.method == "bayes"
    assert iou(found, truth) > 0.85  # 2 of 26 columns are a border that the box blurs


def test_the_share_is_that_of_the_scene():
    for part in (0.2, 0.35):
        _, model = run(scene(CROPS, CALM, np.less(X, part * SIZE)))
        assert model.share == pytest.approx(part, abs=0.05)


def test_probability_never_rises_towards_brighter_pixels():
    for power in (scene(CROPS), scene(CROPS, CALM, X < 128)):
        table = water.lookup(run(power)[1])
        assert (table[1:, 1:] <= table[:-1, :-1]).all()
        assert ((table >= 0) & (table <= 1)).all()


def test_nothing_is_certain():
    """Some water looks like land and some land like water."""
    table = water.lookup(run(scene(CROPS, CALM, X < 128))[1])
    assert table[:60, :60].max() < 1
    assert table[100, 90] > 1e-3


def test_histograms_of_blocks_add():
    power = scene(CROPS, CALM, X < 100)
    power[:, 30:90, 40:77] = np.nan
    whole = water.histogram(*power)
    assert whole.dtype == np.uint32
    assert whole.shape == (80, 80)
    for size in (32, 100, 128):
        parts = [
            water.histogram(*power[:, y : y + size, x : x + size])
            for y in range(0, SIZE, size)
            for x in range(0, SIZE, size)
        ]
        assert np.array_equal(np.sum(parts, axis=0), whole)


def test_histogram_counts_levels_where_they_belong():
    levels = np.array([-60.0, -34.8, -10.2, 4.9, 30.0])
    power = np.repeat(np.repeat(10 ** (levels / 10), 4)[None], 4, axis=0)
    counts = water.histogram(power)
    assert counts.shape == (80, 1)
    assert np.flatnonzero(counts[:, 0]).tolist() == [0, 49, 79]
    assert counts[[0, 49, 79], 0].tolist() == [2, 1, 2]


def test_zero_and_missing_power_do_no_harm():
    assert water.histogram(np.zeros((4, 4)), np.zeros((4, 4)))[0, 0] == 1
    assert water.histogram(np.full((8, 8), np.nan)).sum() == 0


@settings(deadline=None)  # the first call compiles
@given(st.integers(0, 2**32 - 1), st.data())
def test_a_block_with_halo_has_the_bits_of_the_whole(seed, data):
    rng = np.random.default_rng(seed)
    power = rng.gamma(4, 0.01, (2, 40, 44)).astype("float32")
    power[rng.random(power.shape) < 0.05] = np.nan
    model = water.fit(water.histogram(*power))
    y0, x0 = data.draw(st.integers(0, 39)), data.draw(st.integers(0, 43))
    y1, x1 = data.draw(st.integers(y0 + 1, 40)), data.draw(st.integers(x0 + 1, 44))
    top, left = max(0, y0 - water.HALO), max(0, x0 - water.HALO)
    part = power[:, top : y1 + water.HALO, left : x1 + water.HALO]
    block = water.probability(*part, model)[y0 - top : y1 - top, x0 - left : x1 - left]
    whole = water.probability(*power, model)
    assert np.array_equal(block, whole[y0:y1, x0:x1], equal_nan=True)
    assert np.array_equal(np.isnan(whole), np.isnan(power).any(axis=0))


def test_probability_is_the_table_at_the_mean():
    """Bilinear interpolation written out with numpy and scipy's box."""
    rng = np.random.default_rng(2)
    power = rng.gamma(4, 0.01, (2, 30, 30)).astype("float32")
    model = run(scene(CROPS, CALM, X < 128))[1]
    table = water.lookup(model).astype("float64")
    place = []
    for k, low in enumerate((-35.0, -40.0)):
        mean = np.array(
            [
                [power[k, y - 2 : y + 3, x - 2 : x + 3].mean() for x in range(2, 28)]
                for y in range(2, 28)
            ]
        )
        place.append((10 * np.log10(mean) - low) / 0.25)
    i, j = (np.floor(p).astype(int) for p in place)
    u, v = place[0] - i, place[1] - j
    expected = (
        (1 - u) * (1 - v) * table[i, j]
        + (1 - u) * v * table[i, j + 1]
        + u * (1 - v) * table[i + 1, j]
        + u * v * table[i + 1, j + 1]
    )
    found = water.probability(*power, model)[2:28, 2:28]
    np.testing.assert_allclose(found, expected, atol=1e-5)  # float32 means: 1e-7 of power


def test_a_scene_without_data_is_dry_and_unknown():
    model = water.fit(np.zeros((80, 80), np.uint32))
    assert model.method == "dry"
    assert model.misfit == 0
    missing = np.full((6, 6), np.nan)
    assert np.isnan(water.probability(missing, missing, model)).all()


def test_a_single_value_is_fitted():
    counts = np.zeros((80, 80), np.uint32)
    counts[50, 45] = 5
    assert water.fit(counts, counts[None]).method == "dry"


def test_a_model_is_small_and_comparable():
    power = scene(CROPS, CALM, X < 128)
    model = run(power)[1]
    again = pickle.loads(pickle.dumps(model))
    assert again == model == run(power)[1]
    assert hash(again) == hash(model)
    assert len(pickle.dumps(model)) < 1000


def test_the_order_of_tiles_does_not_matter():
    parts = tiles(scene(CROPS, CALM, X < 100))
    assert water.fit(parts.sum(axis=0), parts) == water.fit(parts.sum(axis=0), parts[::-1])


@pytest.mark.parametrize("shape", [(80,), (40, 40), (80, 2), (3, 80, 80)])
def test_a_histogram_of_other_bins_is_refused(shape):
    with pytest.raises(ValueError, match=r"scene_histogram has shape .*; `histogram` gives"):
        water.fit(np.ones(shape))


def test_tiles_are_of_the_bins_of_the_scene():
    with pytest.raises(ValueError, match="tile_histograms has shape"):
        water.fit(np.ones((80, 80)), np.ones((4, 80, 1)))


def test_a_model_is_used_with_its_polarisations():
    single = water.fit(np.zeros((80, 1)))
    power = np.ones((3, 3))
    with pytest.raises(ValueError, match="fitted on VV alone and is asked about VV and VH"):
        water.probability(power, power, single)
    with pytest.raises(ValueError, match="fitted on VV and VH and is asked about VV alone"):
        water.probability(power, None, water.fit(np.zeros((80, 80))))


def test_images_are_of_one_shape():
    model = water.fit(np.zeros((80, 80)))
    with pytest.raises(ValueError, match=r"shapes \(3, 3\) and \(3, 4\)"):
        water.probability(np.ones((3, 3)), np.ones((3, 4)), model)
    with pytest.raises(ValueError, match=r"shapes \(4, 4\) and \(4, 8\)"):
        water.histogram(np.ones((4, 4)), np.ones((4, 8)))
