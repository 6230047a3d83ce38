"""Examples to learn from: repeatable, unlike one another, and physical where it can be said."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np

from cube.simulate.examples import FLOOD, PERMANENT, Examples, example
from cube.simulate.landscapes import _barred, _line_banks, _streams, landscape
from cube.simulate.speckles import Speckles
from cube.simulate.world import Cover


def decibel(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(power)


def test_the_same_seed_gives_the_same_examples():
    first, second = (list(islice(Examples(7, 48, 3), 4)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        for name, band in one.bands.items():
            np.testing.assert_array_equal(band, other.bands[name])
        np.testing.assert_array_equal(one.classes, other.classes)
    assert not np.array_equal(first[0].vv, first[1].vv)
    assert not np.array_equal(first[0].vv, Examples(8, 48, 3)[0].vv)


def test_an_example_does_not_depend_on_those_before():
    alone = Examples(7, 48, 3)[3]
    after = list(islice(Examples(7, 48, 3), 4))[3]
    np.testing.assert_array_equal(alone.vv, after.vv)
    np.testing.assert_array_equal(alone.classes, after.classes)


def test_images_are_linear_power_and_classes_are_the_cubes():
    for one in islice(Examples(1, 64, 5), 30):
        for band in one.bands.values():
            assert band.dtype == np.float32
            assert band.min() > 0
            assert np.isfinite(band).all()
        assert set(np.unique(one.classes)) <= {0, PERMANENT, FLOOD}


def test_what_is_hidden_is_water_mostly():
    """And some pixels that are wet by three to five tenths: .74 to .90 by seed, so of several."""
    worlds = [Examples(seed, 64, 20) for seed in (1, 2, 3)]
    found = [one.classes[one.hidden] for world in worlds for one in islice(world, 60)]
    assert (np.concatenate(found) != 0).mean() > 0.8


def test_water_is_darker_than_land_on_the_whole_and_new_water_than_before():
    dark, land, now, before = [], [], [], []
    for one in islice(Examples(2, 96, 20), 80):
        dark.append(decibel(one.vh)[one.classes == PERMANENT])
        land.append(decibel(one.vh)[one.classes == 0])
        open_water = (one.classes == FLOOD) & ~one.hidden
        now.append(decibel(one.vv)[open_water])
        before.append(decibel(one.reference_vv)[open_water])
    dark, land, now, before = (np.median(np.concatenate(one)) for one in (dark, land, now, before))
    assert dark < land - 5
    assert now < before - 3


def test_speckle_has_a_mean_of_one_and_the_looks_of_its_dates():
    rng = np.random.default_rng(0)
    speckles = Speckles(rng, count=8, size=256)
    one = [speckles.draw((200, 200), 1, rng) for _ in range(12)]
    eight = [speckles.draw((200, 200), 8, rng) for _ in range(12)]
    assert np.mean(one) == np.float32(1.0) or abs(np.mean(one) - 1) < 0.01
    looks = 1 / np.var(one, axis=(1, 2))
    assert 2.5 < looks.min() <= looks.max() < 7  # three to six, some correlated
    assert np.var(eight) < np.var(one) / 4


def test_speckle_is_as_wide_as_the_resolution():
    """Two pixels wide: intensities of neighbours correlate as exp(-d^2 / 2 s^2), s about one."""
    speckles = Speckles(np.random.default_rng(0), count=32, size=256)
    found = []
    for field in speckles._fields:
        near, far = ((field - 1)[:, step:] * (field - 1)[:, :-step] for step in (1, 3))
        found.append((near.mean() / field.var(), far.mean() / field.var()))
    near, far = np.transpose(found)
    assert 0.25 < near.min() < 0.55  # spreads of 0.7 and less
    assert 0.6 < near.max() < 0.85
    assert np.abs(far).max() < 0.2


def test_landscapes_hold_what_they_promise():
    rng = np.random.default_rng(5)
    lands = [landscape(96, rng, 0.4, 0.5) for _ in range(30)]
    covers = set(np.unique(np.concatenate([one.cover.ravel() for one in lands])))
    assert covers == {int(one) for one in Cover if one is not Cover.WATER}
    wet = [(one.standing_m < 0).mean() for one in lands]
    assert min(wet) == 0
    assert max(wet) > 0.2
    part = lands[0].part(slice(3, 10), slice(5, 9))
    assert part.cover.shape == (7, 4)
    assert part.fields.shape == (3, 7, 4)
    assert part.slope.shape == (2, 7, 4)


def test_bars_lie_dry_in_rivers_that_are_wider_for_it_and_along_them():
    row = np.indices((128, 128), "float32")[0] * 10
    river = np.abs(row - 640) - 100  # 200 m from bank to bank
    barred = 0
    for seed in range(60):
        distance, bars = _barred(river, np.random.default_rng(seed), 0.4)
        if distance is river:
            assert not bars.any()
            continue
        barred += 1
        assert (distance[bars] > 0).all()
        shift = (river - distance)[~bars]
        assert np.ptp(shift) < 1e-3
        assert 59 < shift[0] < 801
        assert (river - shift[0])[bars].max(initial=0) < 400
    assert 12 < barred < 36  # two fifths: 24, and more than three deviations of 3.8 either way


def test_streams_are_narrow_and_as_many_landscapes_as_asked_have_some():
    axis = (np.arange(128, dtype="float32") - 64) * 10
    east, south = np.meshgrid(axis, axis)
    streams = [_streams(east, south, np.random.default_rng(seed), 0.5) for seed in range(80)]
    drawn = [one for one in streams if one.min() < 1e5]
    assert 25 < len(drawn) < 55  # a half: 40, and more than three deviations of 4.5 either way
    assert min(one.min() for one in drawn) >= -25.1  # half the width of the widest
    wet = [(one < 0).mean() for one in drawn]
    assert 0.01 < np.mean(wet) < 0.15


def test_banks_have_one_kind_of_plants_and_towns_stay():
    water = np.tile((np.arange(40, dtype="float32") - 20) * 10, (10, 1))
    lined = 0
    for seed in range(40):
        cover = np.full(water.shape, Cover.BARE, "uint8")
        cover[0] = Cover.URBAN
        _line_banks(cover, water, np.random.default_rng(seed))
        changed = cover[1:] != Cover.BARE
        lined += bool(changed.any())
        assert not changed[water[1:] > 60].any()
        assert set(cover[1:][changed]) <= {Cover.SHRUB, Cover.FOREST}
        assert len(set(cover[1:][changed])) < 2
        assert (cover[0] == Cover.URBAN).all()
    assert 14 < lined < 34  # three fifths: 24, three deviations of 3.1


def test_labels_keep_a_stream_of_three_pixels():
    """However an analyst generalises outlines."""
    land = replace(
        landscape(64, np.random.default_rng(3), 0.0, 0.0),
        standing_m=np.tile(np.abs(np.arange(64, dtype="float32") - 32) * 10 - 15, (64, 1)),
    )
    speckles = Speckles(np.random.default_rng(0), count=4, size=128)
    for seed in range(40):
        one = example(land, speckles, np.random.default_rng(seed), 1.0)
        assert (one.classes[4:-4, 32] != 0).all()


def test_bars_of_sand_return_less_in_vh_than_fields_and_as_much_in_vv():
    """Oh, Sarabandi and Ulaby 1992: 10 to 18 dB less than in VV, which noise lifts."""
    lands = [landscape(96, np.random.default_rng(seed), 1.0, 0.0) for seed in range(40)]
    lands = [one for one in lands if (one.bars & (one.cover == Cover.BARE)).mean() > 0.02]
    assert len(lands) > 5
    speckles = Speckles(np.random.default_rng(0), count=4, size=256)
    ratios: dict[bool, list[float]] = {True: [], False: []}
    for land in lands:
        plain = replace(land, bars=np.zeros_like(land.bars))
        sand = land.bars & (land.cover == Cover.BARE)
        for seed in range(4):
            for one in (land, plain):
                seen = example(one, speckles, np.random.default_rng(seed))
                dry = sand & (seen.classes == 0)
                if dry.any():
                    level = decibel(seen.vv[dry].mean()) - decibel(seen.vh[dry].mean())
                    ratios[one is land].append(level)
    assert 9 < np.median(ratios[True]) < 14
    assert np.median(ratios[False]) < 8.5


def test_water_under_what_is_laid_over_it_is_hidden():
    """A wood along a stream, 20 m wide, with the radar behind either of its banks."""
    across = np.tile(np.abs(np.arange(64, dtype="float32") - 32) * 10 - 10, (64, 1))
    land = landscape(64, np.random.default_rng(3), 0.0, 0.0)
    speckles = Speckles(np.random.default_rng(0), count=4, size=128)
    hidden = []
    for seed in range(40):
        one, bare = (
            example(
                replace(land, standing_m=across, cover=np.full_like(land.cover, kind)),
                speckles,
                np.random.default_rng(seed),
            )
            for kind in (Cover.FOREST, Cover.BARE)
        )
        if not (bare.classes == FLOOD).any():
            hidden.append(one.hidden[:, 31:34].mean())
            assert bare.hidden[:, 31:34].mean() < 0.05
    assert len(hidden) > 5
    assert 0.2 < np.median(hidden) < 0.7
