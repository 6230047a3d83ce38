"""``cube train``: the same model for the same seed, and one that the other commands take."""

from __future__ import annotations

import torch

import cube
from cube.catalog import load_model


def test_two_trainings_of_one_seed_are_one_model(cube_command, tmp_path, built):
    sums = []
    for name in ("first", "second"):
        out = tmp_path / name / "tiny"
        said = cube_command("train", "--out", out, "--steps", 2, "--seed", 3).fine().out
        assert "tiny@1" in said
        assert "cube train --on simulation --seed 3" in said
        sums.append(load_model(str(out)).card.sha256)
    assert sums[0] == sums[1]
    assert (out / "model.safetensors").stat().st_size < 5e6
    found = cube.infer(cube.open_cube(built).isel(time=[-1]), out)
    assert {"water_probability", "flood_probability", "flood", "aleatoric"} <= set(found.data_vars)
    assert 0 <= float(found.water_probability.min()) <= float(found.water_probability.max()) <= 1


def test_what_cannot_be_trained_is_refused(cube_command, tmp_path):
    assert "is there already" in cube_command("train", "--out", tmp_path, "--steps", 1).error
    assert "give 1 or more" in cube_command("train", "--out", tmp_path / "a", "--steps", 0).error
    assert cube_command("train", "--out", tmp_path / "a", "--on", "chips").code == 2
    if not torch.cuda.is_available():
        said = cube_command("train", "--out", tmp_path / "a", "--device", "cuda").error
        assert "this torch sees 0 GPUs" in said
    said = cube_command("train", "--out", tmp_path / "a", "--device", "potato").error
    assert "device 'potato': unknown" in said
    said = cube_command("train", "--out", tmp_path / "a", "--device", "meta").error
    assert "models run on cpu or cuda" in said
    assert list(tmp_path.iterdir()) == []
