"""The water floor on real chips with hand-drawn labels. Evaluation only: nothing is tuned here.

Labels were drawn on Sentinel-2 of nearby dates; differences of 0.05 in IoU on one chip mean
nothing, so margins are wide and each states its reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr

import cube
from cube.catalog import load_model
from cube.kernels import multilook, scores, threshold, water

TILE = 128  # samples; 16 tiles of 1024 cells in a chip of 512 x 512
DRY = ("Ghana_53713", "Spain_6860600", "awc00")
NO_DATA = 255


@dataclass(frozen=True, eq=False)
class Chip:
    name: str
    vv: np.ndarray  # linear power, NaN = no data
    vh: np.ndarray
    label: np.ndarray  # 0, 1, 255


@dataclass(frozen=True)
class Row:
    """Scores of one chip."""

    name: str
    method: str
    floor: scores.Counts
    otsu: scores.Counts
    best: scores.Counts  # of the label-seeing threshold
    reliability: scores.Reliability


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as source:
        return source.read()


def linear(decibels: np.ndarray, valid: np.ndarray) -> np.ndarray:
    safe = np.where(valid, decibels, 0.0).astype("float64")
    return np.where(valid, 10 ** (safe / 10), np.nan).astype("float32")


def chips(data_dir: Path) -> Iterator[Chip]:
    """All labelled chips: Sen1Floods11, then STAC Overflow (whose no data is 0 dB)."""
    folder = data_dir / "chips"
    for path in sorted((folder / "sen1floods11").glob("*_S1Hand.tif")):
        name = path.name.removesuffix("_S1Hand.tif")
        label = read(path.with_name(f"{name}_LabelHand.tif"))[0]
        vv, vh = read(path)
        valid = np.isfinite(vv) & np.isfinite(vh)
        truth = np.where(label < 0, NO_DATA, label).astype("uint8")
        yield Chip(name, linear(vv, valid), linear(vh, valid), truth)
    for path in sorted((folder / "stac_overflow").glob("*_vv.tif")):
        name = path.name.removesuffix("_vv.tif")
        vv, vh = read(path)[0], read(path.with_name(f"{name}_vh.tif"))[0]
        valid = (vv != 0) & (vh != 0) & np.isfinite(vv) & np.isfinite(vh)
        truth = read(path.with_name(f"{name}.tif"))[0].astype("uint8")
        yield Chip(name, linear(vv, valid), linear(vh, valid), truth)


def decibel(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.maximum(power, 1e-10))


def floor(vv: np.ndarray, vh: np.ndarray | None) -> tuple[np.ndarray, water.WaterModel]:
    """What a build without torch does: histograms of tiles, their sum, one fit, one lookup."""
    tiles = [
        water.histogram(
            vv[y : y + TILE, x : x + TILE], None if vh is None else vh[y : y + TILE, x : x + TILE]
        )
        for y in range(0, vv.shape[0], TILE)
        for x in range(0, vv.shape[1], TILE)
    ]
    model = water.fit(np.sum(tiles, axis=0), np.stack(tiles))
    return water.probability(vv, vh, model), model


def otsu(chip: Chip) -> scores.Counts:
    """One Otsu threshold for all of the chip, on single samples of VH in dB."""
    level = decibel(chip.vh)
    valid = np.isfinite(level)
    edges = np.arange(-60.0, 20.01, 0.1)
    counts = np.histogram(level[valid], edges)[0]
    cut = threshold.otsu(counts, (edges[:-1] + edges[1:]) / 2)
    return scores.count(np.where(valid, level <= cut, NO_DATA).astype("uint8"), chip.label)


def label_seeing(chip: Chip) -> scores.Counts:
    """The best that one threshold on 5x5 means of VV or VH could do, found with the label."""
    out = []
    for power in (chip.vv, chip.vh):
        level = decibel(multilook.box_mean(power))
        known = np.isfinite(level) & (chip.label != NO_DATA)
        cut, _ = threshold.best_threshold(level[known], chip.label[known] == 1)
        cut = -np.inf if np.isnan(cut) else cut
        found = np.where(np.isfinite(level), level <= cut, NO_DATA).astype("uint8")
        out.append(scores.count(found, chip.label))
    return max(out, key=lambda counts: np.nan_to_num(counts.iou))


@dataclass(frozen=True)
class ModelRow:
    """Scores of a model on one chip."""

    name: str
    found: scores.Counts  # by the threshold of the card
    even: scores.Counts  # by one half
    otsu: scores.Counts
    best: scores.Counts
    reliability: scores.Reliability


@cache
def model_table(data_dir: Path, model: str) -> tuple[ModelRow, ...]:
    """Scores of a model on every chip that has valid pixels with a label."""
    threshold_of = load_model(model).card.water_thresholds[1]
    rows = []
    for chip in chips(data_dir):
        if not np.isfinite(chip.vv[chip.label != NO_DATA]).any():
            continue
        ds = xr.Dataset({"vv": (("y", "x"), chip.vv), "vh": (("y", "x"), chip.vh)})
        chance = cube.infer(ds, model).water_probability.values

        def at(level: float, chance: np.ndarray = chance, label: np.ndarray = chip.label):
            found = np.where(np.isnan(chance), NO_DATA, chance > level).astype("uint8")
            return scores.count(found, label)

        rows.append(
            ModelRow(
                chip.name,
                at(threshold_of),
                at(0.5),
                otsu(chip),
                label_seeing(chip),
                scores.reliability(chance, chip.label),
            )
        )
    return tuple(rows)


def pooled_model(rows: tuple[ModelRow, ...], without: str = "nothing") -> ModelRow:
    """Sum of all rows but those whose name starts with `without`."""
    used = [row for row in rows if not row.name.startswith(without)]
    return ModelRow(
        "pooled",
        *(
            sum((getattr(row, name) for row in used), scores.Counts())
            for name in ("found", "even", "otsu", "best")
        ),
        sum((row.reliability for row in used), scores.Reliability()),
    )


@cache
def score_table(data_dir: Path) -> tuple[Row, ...]:
    """Scores of every chip that has valid pixels with a label."""
    rows = []
    for chip in chips(data_dir):
        if not np.isfinite(chip.vv[chip.label != NO_DATA]).any():
            continue
        chance, model = floor(chip.vv, chip.vh)
        found = np.where(np.isnan(chance), NO_DATA, chance > 0.5).astype("uint8")
        rows.append(
            Row(
                chip.name,
                model.method,
                scores.count(found, chip.label),
                otsu(chip),
                label_seeing(chip),
                scores.reliability(chance, chip.label),
            )
        )
    return tuple(rows)


def pooled(rows: tuple[Row, ...], without: str = "nothing") -> Row:
    """Sum of all rows but those whose name starts with `without`."""
    used = [row for row in rows if not row.name.startswith(without)]
    return Row(
        "pooled",
        "",
        sum((row.floor for row in used), scores.Counts()),
        sum((row.otsu for row in used), scores.Counts()),
        sum((row.best for row in used), scores.Counts()),
        sum((row.reliability for row in used), scores.Reliability()),
    )


def test_the_floor_runs_on_every_chip(data_dir):
    for chip in chips(data_dir):
        chance, model = floor(chip.vv, chip.vh)
        assert chance.dtype == np.float32
        assert np.array_equal(np.isnan(chance), np.isnan(chip.vv)), chip.name
        assert model.method != "tiled-threshold", "calibrated chips are within the textbook"


def test_a_chip_without_valid_pixels_gives_nothing(data_dir):
    (chip,) = (chip for chip in chips(data_dir) if chip.name.startswith("Paraguay"))
    chance, model = floor(chip.vv, chip.vh)
    assert np.isnan(chance).all()
    assert model.method == "dry"


def test_dry_chips_stay_dry(data_dir):
    """One per cent: what the labels themselves miss of ponds, ditches and shadow."""
    rows = {row.name: row for row in score_table(data_dir)}
    for name in DRY:
        assert rows[name].floor.false_share < 0.01, name
        assert rows[name].method == "dry", name


def test_the_floor_is_above_a_global_otsu(data_dir):
    """Pooled, by 0.05: the spread that labels alone cause on one chip."""
    rows = score_table(data_dir)
    for without in ("nothing", "Pakistan"):
        total = pooled(rows, without)
        assert total.floor.iou > total.otsu.iou + 0.05


def test_open_floods_are_found_about_as_well_as_one_threshold_could(data_dir):
    """India's flood is open water: no threshold that saw its labels does better by 0.05."""
    (row,) = (row for row in score_table(data_dir) if row.name.startswith("India"))
    assert row.method == "bayes"
    assert row.floor.iou > row.best.iou - 0.05


def test_probabilities_are_calibrated_where_the_label_is_in_the_data(data_dir):
    """Without Pakistan, whose label is mostly not in single-date backscatter.

    0.05 is the share of pixels on which two analysts' outlines differ; the textbook without a
    scene prior has an NLL of 0.2 there.
    """
    total = pooled(score_table(data_dir), "Pakistan").reliability
    assert total.ece < 0.05
    assert total.nll < 0.2


def test_blocks_of_a_chip_give_the_bits_of_the_whole(data_dir):
    chip = next(chips(data_dir))
    whole, model = floor(chip.vv, chip.vh)
    part = np.s_[100 - water.HALO : 300 + water.HALO, 64 - water.HALO : 333 + water.HALO]
    block = water.probability(chip.vv[part], chip.vh[part], model)
    inner = block[water.HALO : -water.HALO, water.HALO : -water.HALO]
    assert np.array_equal(inner, whole[100:300, 64:333], equal_nan=True)


def test_permanent_water_of_the_jrc_is_mostly_seen(data_dir):
    """Weak: an unlabelled chip and other years' extent, half of which should be dark."""
    folder = data_dir / "chips" / "ayt12"
    vv, vh = (read(folder / f"ayt12_{pol}.tif")[0] for pol in ("vv", "vh"))
    valid = (vv != 0) & (vh != 0)
    chance, _ = floor(linear(vv, valid), linear(vh, valid))
    lasting = (read(folder / "jrc_seasonality.tif")[0] >= 3) & valid
    assert (chance[lasting] > 0.5).mean() > 0.5


def test_vv_alone_is_enough_for_open_water(data_dir):
    """Old scenes have no VH: within 0.1 of both polarisations on the open flood."""
    (chip,) = (chip for chip in chips(data_dir) if chip.name.startswith("India"))
    chance, _ = floor(chip.vv, None)
    found = scores.count(
        np.where(np.isnan(chance), NO_DATA, chance > 0.5).astype("uint8"), chip.label
    )
    (row,) = (row for row in score_table(data_dir) if row.name == chip.name)
    assert found.iou == pytest.approx(row.floor.iou, abs=0.1)


def test_the_network_is_above_the_floor_and_above_any_threshold_per_chip(data_dir):
    """Without Pakistan, pooled: by more than seeds differ (0.03), and than seeing labels."""
    total = pooled_model(model_table(data_dir, "default"), "Pakistan")
    floor_iou = pooled(score_table(data_dir), "Pakistan").floor.iou
    assert total.found.iou > floor_iou + 0.03
    assert total.found.iou > total.best.iou
    assert total.found.iou > total.otsu.iou + 0.3


def test_the_network_is_calibrated_and_dry_where_it_is_dry(data_dir):
    """At the threshold and temperature of the card, which come from simulation."""
    rows = model_table(data_dir, "default")
    total = pooled_model(rows, "Pakistan").reliability
    assert total.ece < 0.02
    assert total.nll < 0.12
    for row in rows:
        if row.name in DRY:
            assert row.found.false_share < 0.005, row.name
