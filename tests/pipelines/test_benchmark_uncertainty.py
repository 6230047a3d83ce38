"""``cube benchmark uncertainty`` of built cubes against their truth."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import small_models
from affine import Affine

import cube
from cube.kernels.selective import FRACTIONS
from pipelines.benchmark_uncertainty import benchmark_uncertainty
from pipelines.infer import infer_cube


@pytest.fixture(scope="session")
def truth(small_event) -> Path:
    return small_event / "truth.tif"


@pytest.fixture(scope="session")
def ensemble(built, tmp_path_factory) -> Path:
    """A cube with every layer of uncertainty, of two networks that have learned nothing."""
    folder = tmp_path_factory.mktemp("ensemble")
    path = Path(shutil.copytree(built, folder / "cube.zarr"))
    models = [small_models.two_branch_model(folder / str(seed), seed) for seed in (0, 5)]
    infer_cube(path, [str(one) for one in models])
    return path


@pytest.fixture
def altered(truth, tmp_path):
    """The truth with other values or at another place."""

    def write(name, values=None, **profile) -> Path:
        with rasterio.open(truth) as file:
            kept, old = file.profile, file.read(1)
        with rasterio.open(tmp_path / f"{name}.tif", "w", **{**kept, **profile}) as file:
            file.write(old if values is None else np.full(old.shape, values, old.dtype), 1)
        return tmp_path / f"{name}.tif"

    return write


def compared(path: Path, truth: Path, name: str | None = None):
    """Probability, truth and a layer of the last pass where all are known."""
    with rasterio.open(truth) as file:
        known = file.read(1)
    ds = cube.open_cube(path).isel(time=-1)
    chance = ds.water_probability.values.astype("float64")
    use = (known != 255) & ~np.isnan(chance)
    p, t = chance[use], np.isin(known[use], (1, 2))
    return p, t, None if name is None else ds[name].values.astype("float64")[use]


def test_figures_are_those_of_the_arrays(cube_command, built, truth):
    out = cube_command("benchmark", "uncertainty", built, "--truth", truth, "--json").fine().out
    found = json.loads(out)
    assert found["simulated"] is True
    p, t, _ = compared(built, truth)
    loss = -np.log(np.maximum(np.where(t, p, 1 - p), 1e-6))
    assert found["pixels"] == p.size
    assert found["brier"] == pytest.approx(((p - t) ** 2).mean(), rel=1e-9)
    assert found["nll"] == pytest.approx(loss.mean(), rel=1e-9)
    layer = found["layers"]["binary_entropy"]
    wrong = (p > 0.5) != t
    assert layer["pixels"] == p.size
    assert layer["error"][0] == pytest.approx(wrong.mean())
    assert layer["by_nll"]["nll"][0] == pytest.approx(loss.mean())
    entropy = -(p * np.log(np.maximum(p, 1e-30)) + (1 - p) * np.log(np.maximum(1 - p, 1e-30)))
    order = np.argsort(entropy, kind="stable")
    risks = wrong[order].cumsum() / np.arange(1, wrong.size + 1)
    # a tenth of the pixels are as sure as the floor ever is, to the last bits, which sorting obeys
    assert layer["aurc"] == pytest.approx(risks.mean(), abs=2e-3)


@pytest.mark.parametrize("name", ["entropy", "aleatoric", "epistemic", "mutual_information"])
def test_layers_are_scored_as_by_sorting(ensemble, truth, name):
    found = benchmark_uncertainty(ensemble, truth, layers=[name])
    assert list(found.layers) == [name]
    p, t, doubt = compared(ensemble, truth, name)
    wrong = ((p > 0.5) != t)[np.argsort(doubt, kind="stable")]
    risks = wrong.cumsum() / np.arange(1, wrong.size + 1)
    one = found.layers[name]
    # two hundred thousand pixels in 8192 bins; found 1e-6 and 1.6e-4
    assert one.by_error.aurc == pytest.approx(risks.mean(), abs=2e-5)
    kept = np.rint((1 - FRACTIONS) * wrong.size).astype(int)
    np.testing.assert_allclose(one.by_error.discard(), risks[kept - 1], atol=5e-4)
    assert one.mean_wrong == pytest.approx(doubt[(p > 0.5) != t].mean(), rel=1e-9)
    assert one.mean_right == pytest.approx(doubt[(p > 0.5) == t].mean(), rel=1e-9)


def test_lines_name_every_layer_and_that_it_is_simulated(cube_command, ensemble, truth):
    lines = cube_command("benchmark", "uncertainty", ensemble, "--truth", truth).fine().out
    assert "SIMULATED truth" in lines
    for name in ("binary_entropy", "entropy", "aleatoric", "epistemic", "mutual_information"):
        assert f"\n{name}: AURC" in lines, name


def test_entropies_of_classes_that_do_not_exclude_one_another_add_up(built, truth, tmp_path):
    """Beyond ln 2, of a cube that holds the probability of water alone."""
    path = Path(shutil.copytree(built, tmp_path / "cube.zarr"))
    card = small_models.SINGLE.replace('"softmax"', '"sigmoid"')
    weights = small_models.named("single", small_models.random_weights(seed=3))
    model = small_models.write_model(tmp_path / "model", weights, small_models.HEAD + card)
    infer_cube(path, [str(model)])
    assert cube.open_cube(path).entropy.max() > 1  # else nothing is tested
    found = benchmark_uncertainty(path, truth).layers
    assert found["entropy"].top == pytest.approx(2 * np.log(2))
    assert found["binary_entropy"].top == pytest.approx(np.log(2))


def test_what_cannot_be_scored_is_one_line(cube_command, built, truth, altered, tmp_path):
    words = ("benchmark", "uncertainty", built, "--truth")
    said = cube_command(*words, truth, "--layer", "doubt").error
    assert "has no layer 'doubt' of uncertainty; choose of binary_entropy" in said
    assert "is not a time" in cube_command(*words, truth, "--time", "soon").error
    assert "none.tif" in cube_command(*words, tmp_path / "none.tif").error
    assert "nothing is known both" in cube_command(*words, altered("unknown", 255)).error
    said = cube_command(*words, altered("other", 7)).error
    assert "holds 7, which is no flood class; expected 0 dry, 1 permanent water" in said
    aside = altered("aside", transform=Affine(10, 0, 1000, 0, -10, 1000))
    assert "is not on the cube's grid" in cube_command(*words, aside).error


@pytest.mark.parametrize("value", [np.nan, 1.5, 256.0, -1.0])
def test_a_truth_of_other_numbers_is_refused(cube_command, built, altered, value):
    other = altered("numbers", dtype="float32")
    with rasterio.open(other, "r+") as file:
        classes = file.read(1)
        classes[5, 5] = value
        file.write(classes, 1)
    said = cube_command("benchmark", "uncertainty", built, "--truth", other).error
    assert f"holds {value}, which is no flood class" in said


def test_a_cube_without_probability_is_refused(cube_command, small_event, truth, build, tmp_path):
    bare = tmp_path / "bare.zarr"
    build(small_event, bare, "--model", "none").fine()
    said = cube_command("benchmark", "uncertainty", bare, "--truth", truth).error
    assert "has no finished water_probability" in said


def test_a_layer_that_is_no_uncertainty_is_one_line(cube_command, ensemble, truth, tmp_path):
    import zarr

    path = Path(shutil.copytree(ensemble, tmp_path / "cube.zarr"))
    zarr.open_array(path / "aleatoric")[-1, 7, 7] = 3.0
    said = cube_command("benchmark", "uncertainty", path, "--truth", truth).error
    assert "to 3; expected 0 to 0.25" in said
    assert "run cube infer" in said
