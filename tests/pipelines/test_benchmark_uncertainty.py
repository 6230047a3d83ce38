"""``cube benchmark uncertainty`` of a built cube against its truth."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio

import cube


def test_figures_are_those_of_the_arrays(cube_command, built, small_event):
    truth = small_event / "truth.tif"
    out = cube_command("benchmark", "uncertainty", built, "--truth", truth, "--json").fine().out
    found = json.loads(out)
    assert found["simulated"] is True
    with rasterio.open(truth) as file:
        known = file.read(1)
    chance = cube.open_cube(built).water_probability.isel(time=-1).values.astype("float64")
    use = (known != 255) & ~np.isnan(chance)
    p, t = chance[use], np.isin(known[use], (1, 2))
    assert found["pixels"] == use.sum()
    assert found["brier"] == pytest.approx(((p - t) ** 2).mean(), rel=1e-6)
    assert found["nll"] == pytest.approx(
        -np.log(np.maximum(np.where(t, p, 1 - p), 1e-6)).mean(), rel=1e-6
    )
    layer = found["layers"]["binary_entropy"]
    wrong = (p > 0.5) != t
    assert layer["error"][0] == pytest.approx(wrong.mean())
    entropy = -(p * np.log(np.maximum(p, 1e-30)) + (1 - p) * np.log(np.maximum(1 - p, 1e-30)))
    order = np.argsort(entropy, kind="stable")
    risks = wrong[order].cumsum() / np.arange(1, wrong.size + 1)
    # the lookup of the water floor gives many equal probabilities: ties in another order
    assert layer["aurc"] == pytest.approx(risks.mean(), abs=2e-3)
    lines = cube_command("benchmark", "uncertainty", built, "--truth", truth).fine().out
    assert "SIMULATED truth" in lines
    assert "AURC" in lines


def test_what_cannot_be_scored_is_one_line(cube_command, built, small_event, build, tmp_path):
    truth = small_event / "truth.tif"
    words = ("benchmark", "uncertainty", built, "--truth")
    said = cube_command(*words, truth, "--layer", "doubt").error
    assert "has no layer 'doubt' of uncertainty; choose of binary_entropy" in said
    assert "is not a time" in cube_command(*words, truth, "--time", "soon").error
    assert cube_command(*words, tmp_path / "none.tif").error
    bare = tmp_path / "bare.zarr"
    build(small_event, bare, "--model", "none").fine()
    said = cube_command("benchmark", "uncertainty", bare, "--truth", truth).error
    assert "has no finished water_probability" in said
    with rasterio.open(truth) as file:
        profile, shape = file.profile, file.shape
    with rasterio.open(tmp_path / "unknown.tif", "w", **profile) as file:
        file.write(np.full(shape, 255, "uint8"), 1)
    assert "nothing is known both" in cube_command(*words, tmp_path / "unknown.tif").error
