"""``cube benchmark uncertainty``: do probabilities hold, and do doubts tell errors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from dask.base import compute

from cube.errors import PlanError, StoreError
from cube.kernels.expectation import entropy
from cube.kernels.scores import Reliability
from cube.kernels.selective import FRACTIONS, Selective
from cube.steps.scores import lazy_reliability, lazy_selective
from cube.store.opening import open_cube
from pipelines.verify import chosen_pass, truth_on

__all__ = ["Verdict", "benchmark_uncertainty", "uncertainty_lines"]

TOPS = {"aleatoric": 0.25, "epistemic": 0.25}
"""Variances of a probability; of entropies it is the logarithm of the number of classes."""
LAYERS = ("entropy", "aleatoric", "epistemic", "mutual_information")
BINARY = "binary_entropy"
"""Of the probability of water itself, which every cube has."""


@dataclass(frozen=True)
class Verdict:
    """How far the water probability of a pass can be believed.

    Attributes
    ----------
    time : str
    simulated : bool
        Whether the truth belongs to a simulated event.
    pixels : int
        Known in both.
    reliability : Reliability
    layers : dict of layer to Selective
    """

    time: str
    simulated: bool
    pixels: int
    reliability: Reliability
    layers: Mapping[str, Selective]

    def as_json(self) -> dict[str, Any]:
        """Figures; null where there is none."""

        def told(value: float) -> float | None:
            return None if math.isnan(value) else value

        return {
            "time": self.time,
            "simulated": self.simulated,
            "pixels": self.pixels,
            "nll": told(self.reliability.nll),
            "brier": told(self.reliability.brier),
            "ece": told(self.reliability.ece),
            "layers": {
                name: {
                    "aurc": told(one.aurc),
                    "monotonicity_fraction": told(one.monotonicity),
                    "discard_improvement": told(one.improvement),
                    "discarded": FRACTIONS.tolist(),
                    "error": [told(float(value)) for value in one.discard()],
                    "mean_right": told(one.mean_right),
                    "mean_wrong": told(one.mean_wrong),
                }
                for name, one in self.layers.items()
            },
        }


def benchmark_uncertainty(
    cube: str | Path,
    truth: str | Path,
    time: str | None = None,
    layers: Sequence[str] = (),
) -> Verdict:
    """Score the water probability of one pass, and its uncertainty, against known classes.

    Parameters
    ----------
    cube : str or Path
    truth : str or Path
        uint8 raster on the cube's own grid: 0 dry, 1 permanent water, 2 flood, 255 unknown.
    time : str, optional
        Pass to compare (nearest to it); the last one without.
    layers : sequence of str
        Of the cube; all that it has without. ``binary_entropy`` is that of the probability.

    Raises
    ------
    CubeError
        No water probability, no such layer, a truth on another grid, or nothing known in both.
    """
    ds = open_cube(cube)
    if "water_probability" not in ds or ds.sizes["time"] == 0:
        raise StoreError(f"{cube}: has no finished water_probability to score")
    held = [BINARY, *(name for name in LAYERS if name in ds)]
    unknown = [name for name in layers if name not in held]
    if unknown:
        raise PlanError(
            f"{cube}: has no layer {unknown[0]!r} of uncertainty; choose of {', '.join(held)}"
        )
    chosen = chosen_pass(ds, time)
    known = truth_on(truth, ds)
    water = np.where(known == 255, 255, np.isin(known, (1, 2))).astype("uint8")
    real = xr.DataArray(water, dims=("y", "x"))
    chance = _bare(chosen["water_probability"])
    doubts = {name: _layer(chosen, chance, name) for name in layers or held}
    tops = {name: TOPS.get(name, math.log(_classes(ds, name))) for name in doubts}
    found, *selected = compute(
        lazy_reliability(chance, real),
        *(lazy_selective(one, chance, real, tops[name]) for name, one in doubts.items()),
    )
    pixels = int(found.number.sum())
    if not pixels:
        raise PlanError(f"{truth}: nothing is known both there and in {cube}; give another --time")
    return Verdict(
        str(chosen["time"].values.astype("datetime64[s]")),
        bool(ds.attrs["floodcube"]["identity"].get("simulated")),
        pixels,
        found,
        dict(zip(doubts, selected, strict=True)),
    )


def _bare(layer: xr.DataArray) -> xr.DataArray:
    return layer.drop_vars(layer.coords)


def _layer(chosen: xr.Dataset, chance: xr.DataArray, name: str) -> xr.DataArray:
    if name != BINARY:
        return _bare(chosen[name])
    found: xr.DataArray = xr.apply_ufunc(
        _binary, chance, dask="parallelized", output_dtypes=[np.float32]
    )
    return found


def _binary(chance: Any) -> Any:
    return entropy(np.stack([chance, 1 - chance]))


def _classes(ds: xr.Dataset, name: str) -> int:
    """Classes whose entropy a layer is."""
    return 3 if name != BINARY and "flood_probability" in ds else 2


def uncertainty_lines(found: Verdict) -> list[str]:
    """Lines of ``cube benchmark uncertainty``."""
    label = "SIMULATED truth" if found.simulated else "truth"
    score = found.reliability
    lines = [
        f"pass {found.time} against {label}, {found.pixels:,} pixels",
        f"water  NLL {score.nll:.4f}  Brier {score.brier:.4f}  ECE {score.ece:.4f}",
    ]
    for name, one in found.layers.items():
        errors = " ".join(f"{100 * value:.2f}" for value in one.discard())
        lines += [
            f"{name}: AURC {one.aurc:.5f}  MF {one.monotonicity:.2f}  DI {one.improvement:.5f}"
            f"  mean of right {one.mean_right:.3f}, of wrong {one.mean_wrong:.3f}",
            f"  errors, %, as ninths are left out: {errors}",
        ]
    return lines
