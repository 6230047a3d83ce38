"""``cube train``: a model from simulated landscapes alone, the same one for the same seed."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypedDict

from cube.cards import Branch, Card, Network, Score, write_card
from cube.errors import PlanError
from cube.infer.predict import device_of
from cube.infer.trainer import Trained, train_branch
from cube.infer.training import Recipe
from cube.infer.weights import join
from cube.simulate.examples import Examples

__all__ = ["BRANCHES", "train"]

_NETWORK = Network(name="unet", widths=(40, 64, 96, 128), patch=2, dropout=0.05)
_NORMALISER = "floodcube-context@1"
_SOURCE = "examples of cube.simulate.examples that were not learnt from"

BRANCHES = (
    Branch(
        name="change",
        inputs=("vv", "vh", "reference_vv", "reference_vh"),
        classes=("dry", "permanent_water", "flood"),
        gives={
            "water_probability": ("permanent_water", "flood"),
            "flood_probability": ("flood",),
        },
        head="heteroscedastic",
        normaliser=_NORMALISER,
        network=_NETWORK,
    ),
    Branch(
        name="single",
        inputs=("vv", "vh"),
        classes=("dry", "water"),
        gives={"water_probability": ("water",)},
        head="heteroscedastic",
        normaliser=_NORMALISER,
        network=_NETWORK,
    ),
)
"""Of the default model: before and during a flood, and one date alone."""

STEPS = {"change": 6000, "single": 6500}
"""Half an hour to an hour of one core each."""


class _World(TypedDict, total=False):
    barred: float
    streams: float
    worked: float


WORLDS: dict[str, _World] = {
    "change": {"barred": 0.0, "streams": 0.5, "worked": 0.0},
    "single": {"barred": 0.4, "streams": 0.3},
}
"""Shares of `cube.simulate.examples.Examples`.

Bars look like water to one date alone; two dates were told no better for them. What one date cannot
see of streams makes it expect them everywhere. Fields that change between the dates made the flood
of real tiles better and that of the simulated events worse, see ``catalogs/models/evaluations.md``.
"""

LANDSCAPES, UNSEEN = 400, 40
"""Landscapes to draw examples of, and batches to calibrate on, at most."""
WORKERS = 8
"""Processes beside a GPU at most, each with 2 GB of landscapes; they make 100 batches a second."""


@dataclass(frozen=True)
class _Job:
    branch: Branch
    recipe: Recipe
    seed: int
    device: str
    workers: int
    weights: Path


def _train(job: _Job) -> Trained:
    told = partial(_tell, job.branch.name, job.recipe.steps)
    # a short training needs no more landscapes than it looks at
    some = min(LANDSCAPES, job.recipe.steps * job.recipe.batch)
    return train_branch(
        job.branch,
        partial(_examples, job.branch.name, some),
        job.recipe,
        job.seed,
        job.weights,
        told,
        device=job.device,
        workers=job.workers,
    )


def _examples(branch: str, landscapes: int, seed: int) -> Examples:
    return Examples(seed, landscapes=landscapes, **WORLDS[branch])


def _tell(name: str, steps: int, step: int, loss: float) -> None:
    if step % 500 == 0 or step == steps:
        print(f"{name}: step {step} of {steps}, loss {loss:.4f}", flush=True)


def train(out: str | Path, *, seed: int = 0, steps: int | None = None, device: str = "cpu") -> Card:
    """Train a model on simulated landscapes and write it as a folder with card and weights.

    Parameters
    ----------
    out : str or Path
        New folder; its name is the model's id.
    seed : int
        The same seed gives the same model on the same kind of processor.
    steps : int, optional
        Of each branch; as many as the default model's without.
    device : str
        ``cpu`` trains the branches side by side, a thread each; for ``cuda`` other processes make
        the examples meanwhile, the same ones.

    Returns
    -------
    Card

    Raises
    ------
    PlanError
        The folder is there already, no steps, or no such device.
    """
    target = Path(out)
    if target.exists():
        raise PlanError(f"{out}: is there already; choose another folder, or remove it")
    if steps is not None and steps < 1:
        raise PlanError(f"{steps} steps; give 1 or more")
    device = device_of(device)
    # beside the model and not removed if something fails: an hour's work lies there
    parts = target.with_name(f".{target.name}-parts")
    parts.mkdir(parents=True, exist_ok=True)
    workers = 0 if device == "cpu" else _workers(len(BRANCHES))
    jobs = [
        _Job(
            branch,
            _recipe(steps or STEPS[branch.name]),
            seed,
            device,
            workers,
            parts / f"{branch.name}.safetensors",
        )
        for branch in BRANCHES
    ]
    found = _run(jobs, len(jobs) if workers else len(os.sched_getaffinity(0)))
    target.mkdir()
    sha256 = join([one.weights for one in found], target / "model.safetensors")
    card = _card(target.name, found, sha256, seed, [job.recipe.steps for job in jobs])
    write_card(card, target / "card.toml")
    shutil.rmtree(parts)
    return card


def _workers(branches: int) -> int:
    """Processes that make the examples of a branch while a GPU learns from them."""
    return min(max(len(os.sched_getaffinity(0)) // branches, 1), WORKERS)


def _recipe(steps: int) -> Recipe:
    return Recipe(steps, unseen=min(UNSEEN, max(steps, 2)))


def _run(jobs: Sequence[_Job], workers: int) -> list[Trained]:
    """Results in the order of the jobs, each in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
        futures = {pool.submit(_train, job): number for number, job in enumerate(jobs)}
        done = {futures[one]: one.result() for one in as_completed(futures)}
    return [done[number] for number in range(len(jobs))]


def _card(
    name: str, found: Sequence[Trained], sha256: str, seed: int, steps: Sequence[int]
) -> Card:
    scores = [
        Score(
            data=f"simulated, {one.branch.name}",
            metric=metric,
            value=round(value, 4),
            source=_SOURCE,
        )
        for one in found
        for metric, value in (
            *((f"IoU {key}", value) for key, value in one.iou.items()),
            ("NLL water", one.nll),
            ("ECE water", one.ece),
        )
    ]
    told = ", ".join(f"{one.branch.name} {count}" for one, count in zip(found, steps, strict=True))
    return Card(
        id=name,
        version=1,
        title="Water and flood from VV and VH, trained on simulated landscapes only",
        units="linear power",
        branches=tuple(one.branch for one in found),
        sha256=sha256,
        licence="as floodcube itself",
        training=f"cube train --on simulation --seed {seed}; steps: {told}",
        scores=tuple(scores),
        sources=(
            "architecture: Ronneberger et al. 2015, arXiv 1505.04597, with skips that add",
            "head: Kendall and Gal 2017, arXiv 1703.04977",
            "examples: cube.simulate.landscapes and cube.simulate.examples; no real image or label",
        ),
    )
