"""A branch in stages: each goes on from the one before, the last is calibrated on."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cube.infer.trainer import Stage, train_branch
from cube.infer.training import Recipe
from pipelines.train import BRANCHES


@dataclass
class Noise:
    """Examples of which every pixel is of one class, and who asked for which."""

    seed: int
    fill: int
    asked: list[tuple[int, int]] = field(default_factory=list)

    def __getitem__(self, number):
        self.asked.append((self.fill, self.seed))
        rng = np.random.default_rng([self.seed, number])
        values = rng.uniform(0.01, 0.2, (4, 32, 32)).astype("float32")
        names = "vv", "vh", "reference_vv", "reference_vh"
        return Noisy(dict(zip(names, values, strict=True)), np.full((32, 32), self.fill, "uint8"))


@dataclass
class Noisy:
    bands: dict
    classes: np.ndarray

    @property
    def hidden(self):
        return np.zeros_like(self.classes, bool)


def stage(fill, asked, steps=2, rate=3e-3):
    recipe = Recipe(steps, batch=2, rate=rate, unseen=1, average=0.0)
    return Stage(partial(Noise, fill=fill, asked=asked), recipe)


@pytest.fixture
def branch():
    small = BRANCHES[1].network.model_copy(update={"widths": (4, 4)})
    return BRANCHES[1].model_copy(update={"network": small})


def test_a_stage_goes_on_from_the_one_before(tmp_path, branch):
    """At a rate of almost nothing weights stay as the first stage left them."""
    paths = [tmp_path / f"{name}.safetensors" for name in ("one", "still", "moved")]
    first, still, moved = stage(2, []), stage(2, [], rate=1e-12), stage(2, [])
    for stages, path in zip(([first], [first, still], [first, moved]), paths, strict=True):
        train_branch(branch, stages, 5, path)
    one, kept, learnt = (load_file(path) for path in paths)
    names = [name for name in one if name.endswith("weight")]
    for name in names:
        torch.testing.assert_close(kept[name], one[name], rtol=0, atol=1e-6)
    assert any((learnt[name] - one[name]).abs().max() > 1e-3 for name in names)


def test_stages_have_examples_of_their_own_and_the_last_is_scored(tmp_path, branch):
    asked = []
    found = train_branch(
        branch, [stage(0, asked), stage(2, asked)], 5, tmp_path / "two.safetensors"
    )
    assert [fill for fill, _ in asked] == 4 * [0] + 4 * [2] + 2 * [2]
    assert len({seed for _, seed in asked}) == 3
    assert 0 <= found.nll < 10


def test_steps_are_counted_through_all_stages(tmp_path, branch):
    told = []
    train_branch(
        branch,
        [stage(0, [], steps=100), stage(2, [], steps=200)],
        5,
        tmp_path / "many.safetensors",
        lambda step, _: told.append(step),
    )
    assert told == [100, 200, 300]
