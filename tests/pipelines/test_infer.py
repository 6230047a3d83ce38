"""``cube infer`` and ``cube build --model``: what stands in the cube is what the model says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import small_models
import xarray as xr

import cube
from pipelines import infer as pipeline
from pipelines.cost import network_memory
from pipelines.infer import infer_cube

LAYERS = ("water_probability", "flood_probability", "entropy", "aleatoric")


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    return small_models.two_branch_model(tmp_path_factory.mktemp("model") / "random")


@pytest.fixture(scope="session")
def told(built, model, tmp_path_factory) -> Path:
    """A cube that the model told anew."""
    path = Path(shutil.copytree(built, tmp_path_factory.mktemp("told") / "cube.zarr"))
    infer_cube(path, [str(model)])
    return path


def test_the_cube_holds_what_the_model_says_of_its_arrays(cube_command, own_cube, model):
    before = cube.open_cube(own_cube).load()
    out = cube_command("infer", own_cube, "--model", model).fine().out
    assert "SIMULATED" in out.splitlines()[-1]
    assert f"told by random@1: {', '.join(LAYERS)}" in out.splitlines()[-1]
    ds = cube.open_cube(own_cube)
    expected = cube.infer(before.drop_vars(["water_probability", "flood"]), model)
    for name in (*LAYERS, "flood"):
        # convolutions of other sizes add up in another order
        np.testing.assert_allclose(ds[name], expected[name], atol=1e-6, err_msg=name)
    assert abs(ds.water_probability - before.water_probability).max() > 0.01
    assert ds.attrs["floodcube"]["identity"]["model"] == "random@1"
    assert "flood_extent" in ds
    assert ds.entropy.attrs["units"] == "nat"
    for name in ("vv", "vh", "dem", "mask", "permanent_water", "reference_vv"):
        np.testing.assert_array_equal(ds[name], before[name])
    again = cube_command("infer", own_cube, "--model", model).fine()
    assert "nothing to do" in again.err


def test_another_threshold_of_the_same_weights_is_told_anew(
    cube_command, own_cube, model, tmp_path
):
    cube_command("infer", own_cube, "--model", model).fine()
    before = cube.open_cube(own_cube).load()
    other = Path(shutil.copytree(model, tmp_path / "random"))
    card = (other / "card.toml").read_text()
    level = round(float(np.median(before.water_probability.values[before.flood.values == 2])), 3)
    strict = card.replace('name = "change"', f'name = "change"\nwater_threshold = {level}')
    (other / "card.toml").write_text(strict)
    assert "nothing to do" not in cube_command("infer", own_cube, "--model", other).fine().err
    ds = cube.open_cube(own_cube)
    np.testing.assert_array_equal(ds.water_probability, before.water_probability)
    flood, chance = ds.flood.values == 2, ds.water_probability.values
    np.testing.assert_array_equal(flood, (before.flood.values == 2) & (chance > level))
    assert 0.3 < flood.sum() / (before.flood.values == 2).sum() < 0.7


def test_unwritten_layers_read_as_unknown(told):
    plain = xr.open_zarr(told)
    assert plain.entropy.encoding.get("_FillValue") is None or np.isnan(
        plain.entropy.encoding["_FillValue"]
    )
    assert plain.flood.dtype == np.uint8


def test_stopped_in_the_middle_it_shows_only_what_is_whole_and_goes_on(
    own_cube, model, told, tree, interrupt_at
):
    interrupt_at(pipeline, "pass_layers", 3)
    with pytest.raises(KeyboardInterrupt):
        infer_cube(own_cube, [str(model)])
    shown = cube.open_cube(own_cube)
    assert shown.sizes["time"] == 2
    assert "flood_extent" not in shown
    assert shown.water_probability.notnull().any(("y", "x")).all()
    infer_cube(own_cube, [str(model)])
    assert tree(own_cube) == tree(told)


def test_smaller_blocks_change_nothing_but_last_bits(own_cube, model, told):
    limit = network_memory(512, 1) + 1
    infer_cube(own_cube, [str(model)], workers=1, memory_limit=f"{limit}B")
    one, other = cube.open_cube(own_cube), cube.open_cube(told)
    for name in LAYERS:
        np.testing.assert_allclose(one[name], other[name], atol=1e-6)


def test_a_build_by_the_model_is_a_build_told_anew(build, small_event, model, told, tmp_path):
    out = build(small_event, tmp_path / "cube.zarr", "--model", model).fine().out
    assert "SIMULATED" in out
    one, other = cube.open_cube(tmp_path / "cube.zarr"), cube.open_cube(told)
    for name in (*LAYERS, "flood", "flood_extent"):
        np.testing.assert_allclose(one[name], other[name], atol=1e-6, err_msg=name)
    # and the cube that was told anew is a cube of that plan
    again = build(small_event, told, "--model", model).fine()
    assert "nothing to do" in again.err


def test_a_plan_foretells_the_memory_of_a_network(cube_command, small_event, model):
    words = ("plan", "--event", small_event / "event.toml", "--source", small_event, "--json")
    runs = [
        json.loads(cube_command(*words, "--workers", 2, "--model", name).fine().out)["run"]
        for name in ("bayes", model)
    ]
    assert runs[0]["peak_memory_per_worker"] + 3e8 < runs[1]["peak_memory_per_worker"] < 3e9
    limit = f"{network_memory(512, 2) + 1}B"
    narrow = cube_command(*words, "--workers", 2, "--model", model, "--memory-limit", limit)
    assert json.loads(narrow.fine().out)["run"]["block"] == 512


def test_a_catalog_of_ones_own_has_normalisers_and_models_that_take_heights(
    cube_command, own_cube, tmp_path
):
    (tmp_path / "normalisers.toml").write_text(NORMALISER)
    inputs = '["vv", "vh", "dem", "incidence_angle"]'
    card = small_models.SINGLE.replace('["vv", "vh"]', inputs).replace("copernicusfm-db", "own")
    folder = small_models.write_model(
        tmp_path / "models" / "random",
        small_models.named("single", small_models.random_weights(4)),
        small_models.HEAD + card,
    )
    before = cube.open_cube(own_cube).load()
    cube_command("infer", own_cube, "--model", "random", "--catalog", tmp_path).fine()
    after = cube.open_cube(own_cube)
    ds = before.assign(dem=before.dem - 100)  # below the ellipsoid, as much of the coast is
    for given, found in ((before, after), (ds, None)):
        expected = cube.infer(given, folder).water_probability
        assert expected.notnull().any()
        if found is not None:
            np.testing.assert_allclose(found.water_probability, expected, atol=1e-6)


NORMALISER = """
[own]
version = 1
title = "Backscatter, heights and angles as they are"
scale = "linear"
mean = { vv = [0.1], vh = [0.02], dem = [0.0], incidence_angle = [38.0] }
deviation = { vv = [0.1], vh = [0.02], dem = [50.0], incidence_angle = [5.0] }
sources = ["tests"]
"""


def test_another_model_or_an_ensemble_takes_the_place(own_cube, model, tmp_path):
    other = small_models.two_branch_model(tmp_path / "other" / "random", seed=3)
    infer_cube(own_cube, [str(model)])
    infer_cube(own_cube, [str(model), str(other)])
    ds = cube.open_cube(own_cube)
    assert {"epistemic", "mutual_information"} <= set(ds.data_vars)
    assert float(ds.epistemic.max()) > 1e-4
    infer_cube(own_cube, [str(other)])
    ds = cube.open_cube(own_cube)
    assert ds.attrs["model"]["models"] == "random@1"
    assert "epistemic" not in ds  # one network has none


# --- refused


def test_what_cannot_be_told_is_one_line(cube_command, own_cube, model, tmp_path):
    said = cube_command("infer", tmp_path / "none.zarr", "--model", model).error
    assert "no such cube" in said
    assert "unknown model 'nonsuch'" in cube_command("infer", own_cube, "--model", "nonsuch").error
    assert "no model there" in cube_command("infer", own_cube, "--model", tmp_path).error
    assert cube_command("infer", own_cube, "--precision", "int8").code == 2


def test_a_model_of_other_bands_is_refused_and_nothing_is_changed(
    cube_command, own_cube, tmp_path, tree
):
    card = small_models.HEAD + small_models.SINGLE.replace(
        '["vv", "vh"]', '["vv", "reference_vv", "vv[-1]"]'
    ).replace("copernicusfm-db@1", "kurosiwo@2").replace('"vv[-1]"', '"hh"')
    folder = tmp_path / "hh" / "random"
    weights = small_models.named("single", small_models.random_weights(3))
    small_models.write_model(folder, weights, card)
    before = tree(own_cube)
    said = cube_command("infer", own_cube, "--model", folder).error
    assert "has no band hh" in said
    assert tree(own_cube) == before


def test_an_unfinished_cube_is_finished_first(own_cube, model):
    from cube.errors import StoreError
    from cube.store.write import set_flag

    set_flag(own_cube, "complete", 1, False)
    with pytest.raises(StoreError, match="run its cube build again first"):
        infer_cube(own_cube, [str(model)])
