"""``cube models``: list, show, convert; and what is refused."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import small_models
import torch
from safetensors.torch import load_file

from cube.catalog import load_model, load_normaliser
from cube.errors import CatalogError, UnknownNameError
from cube.infer.networks import UNet

CARD = small_models.HEAD.replace('sha256 = "{sha256}"\n', "") + small_models.SINGLE


class Marked(UNet):
    """A network whose pickle is more than tensors."""


class Bomb:
    """A pickle that runs code when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.fixture
def card(tmp_path) -> Path:
    path = tmp_path / "card-without.toml"
    path.write_text(CARD)
    return path


def test_models_of_the_users_catalog_are_listed_and_shown(cube_command, tmp_path):
    small_models.single_model(tmp_path / "models" / "random")
    listed = cube_command("models", "list", "--catalog", tmp_path).fine().out
    assert "random@1" in listed
    assert "Random weights, for tests (vv, vh)" in listed
    found = json.loads(cube_command("models", "list", "--catalog", tmp_path, "--json").fine().out)
    assert found["random"]["branches"][0]["inputs"] == ["vv", "vh"]
    shown = cube_command("models", "show", "random", "--catalog", tmp_path).fine().out
    assert "copernicusfm-db@1" in shown
    assert "classes dry, water" in shown
    folder = tmp_path / "models" / "random"
    card = json.loads(cube_command("models", "show", folder, "--json").fine().out)
    assert card["sha256"] == load_model(str(folder)).card.sha256


def test_a_folder_of_another_name_than_its_model_is_refused(cube_command, tmp_path):
    small_models.single_model(tmp_path / "models" / "other")
    said = cube_command("models", "list", "--catalog", tmp_path).error
    assert "name the folder after it" in said


def test_weights_that_are_not_the_cards_are_found_when_shown(cube_command, tmp_path):
    folder = small_models.single_model(tmp_path / "random")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes() + b"\0")
    assert "do not belong together" in cube_command("models", "show", folder).error


@pytest.mark.parametrize("form", ["plain", "below", "safetensors", "prefixed"])
def test_a_checkpoint_becomes_a_model_with_its_weights(cube_command, tmp_path, card, form):
    weights = small_models.random_weights()
    words = []
    source = tmp_path / "weights.pt"
    if form == "plain":
        torch.save(weights, source)
    elif form == "below":
        torch.save({"epoch": 3, "model_state_dict": weights}, source)
    elif form == "safetensors":
        from safetensors.torch import save_file

        source = tmp_path / "weights.safetensors"
        save_file(weights, source)
    else:
        torch.save({f"module.{key}": value for key, value in weights.items()}, source)
        words = ["--strip", "module."]
    out = tmp_path / "random"
    said = cube_command("models", "convert", source, "--card", card, "--out", out, *words).fine()
    assert "random@1" in said.out
    kept = load_file(out / "model.safetensors")
    for key, value in weights.items():
        torch.testing.assert_close(kept[f"single.{key}"], value, rtol=0, atol=0)
    assert cube_command("models", "show", out).fine()
    assert not list(tmp_path.glob(".random-*"))


def test_a_pickle_runs_only_where_it_is_trusted(cube_command, tmp_path, card):
    mark, source, out = tmp_path / "ran", tmp_path / "bomb.pt", tmp_path / "random"
    torch.save({"state_dict": small_models.random_weights(), "more": Bomb(mark)}, source)
    words = ("models", "convert", source, "--card", card, "--out", out)
    assert "convert it with --trust-pickle if you trust" in cube_command(*words).error
    assert not mark.exists()
    assert not out.exists()
    cube_command(*words, "--trust-pickle").fine()
    assert mark.exists()


def test_a_whole_module_is_converted_where_it_is_trusted(cube_command, tmp_path, card):
    network = UNet(2, 2, small_models.WIDTHS)
    source, out = tmp_path / "module.pt", tmp_path / "random"
    torch.save(network, source)
    words = ("models", "convert", source, "--card", card, "--out", out)
    assert "--trust-pickle" in cube_command(*words).error
    cube_command(*words, "--trust-pickle").fine()
    assert (out / "model.safetensors").is_file()


def test_a_checkpoint_of_another_network_names_what_differs(cube_command, tmp_path, card):
    source, out = tmp_path / "other.pt", tmp_path / "random"
    weights = small_models.random_weights(widths=(4, 6))
    del weights["head.bias"]
    torch.save(weights, source)
    said = cube_command("models", "convert", source, "--card", card, "--out", out).error
    assert "weights of another network than random@1" in said
    assert "expected" in said
    assert not out.exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "cannot be read as a checkpoint"),
        (b"no checkpoint", "holds objects beside tensors|cannot be read as a checkpoint"),
        (pickle.dumps([1, 2]), "holds no tensors by key|cannot be read|holds objects"),
        (None, "no such file"),
    ],
)
def test_what_is_no_checkpoint_is_one_line(cube_command, tmp_path, card, content, says):
    import re

    source, out = tmp_path / "broken.pt", tmp_path / "random"
    if content is not None:
        source.write_bytes(content)
    said = cube_command("models", "convert", source, "--card", card, "--out", out).error
    assert re.search(says, said)
    assert not out.exists()


def test_a_truncated_checkpoint_is_one_line(cube_command, tmp_path, card):
    source, out = tmp_path / "cut.pt", tmp_path / "random"
    torch.save(small_models.random_weights(), source)
    source.write_bytes(source.read_bytes()[:-2000])
    said = cube_command("models", "convert", source, "--card", card, "--out", out).error
    assert "cannot be read as a checkpoint" in said


def test_a_place_that_is_taken_or_misnamed_is_refused(cube_command, tmp_path, card):
    source = tmp_path / "weights.pt"
    torch.save(small_models.random_weights(), source)
    (tmp_path / "random").mkdir()
    words = ("models", "convert", source, "--card", card, "--out")
    assert "is there already" in cube_command(*words, tmp_path / "random").error
    assert "the card's id is 'random'" in cube_command(*words, tmp_path / "other").error


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('["vv", "vh"]', '["vv", "hh"]', "normaliser copernicusfm-db@1 has no band hh"),
        ('["vv", "vh"]', '["vv", "-1"]', "'-1' is no input; write vv"),
        ("copernicusfm-db@1", "copernicusfm-db@9", "the catalog has copernicusfm-db@1"),
        ("copernicusfm-db@1", "copernicus", "unknown normaliser 'copernicus'; did you mean"),
        ('name = "unet"', 'name = "resnet"', r"branches\.0\.network\.name: Input should be 'unet'"),
        ('["dry", "water"]', '["water"]', "head softmax needs two classes or more|is made of"),
        ('["water"]\n[branches.network', '["sea"]\n[branches.network', "is made of sea"),
        ("[[branches]]", "[[branch", "not valid TOML"),
        ('licence = "none"', "", "licence: Field required"),
    ],
)
def test_a_malformed_card_is_one_line(tmp_path, old, new, says):
    card = (small_models.HEAD + small_models.SINGLE).replace(old, new, 1)
    assert card != small_models.HEAD + small_models.SINGLE
    weights = small_models.named("single", small_models.random_weights())
    folder = small_models.write_model(tmp_path / "random", weights, card)
    with pytest.raises((CatalogError, UnknownNameError), match=says) as caught:
        load_model(str(folder))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "band", "mean"),
    [
        ("kurosiwo@2", "vh", 0.0264),
        ("kurosiwo-slc@1", "ampl_vv", 81.130),
        ("kurosiwo-multihuntr@1", "slope", 2.9482),
        ("copbench-flood@1", "vv", 0.0981),
        ("copernicusfm-db@1", "vh", -20.26),
        ("floodcube-context@1", "vv", -12.0),
    ],
)
def test_published_normalisers_have_their_numbers(name, band, mean):
    found = load_normaliser(name)
    assert found.name == name
    assert found.mean[band][0] == mean
