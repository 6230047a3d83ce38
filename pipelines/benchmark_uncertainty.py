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

from cube.errors import PlanError, SourceError, StoreError
from cube.kernels.expectation import entropy
from cube.kernels.scores import Reliability
from cube.kernels.selective import FRACTIONS, Risk, Selective
from cube.schema import FloodClass
from cube.steps.scores import lazy_reliability, lazy_selective
from cube.store.opening import open_cube
from pipelines.verify import chosen_pass, truth_on

__all__ = ["Verdict", "benchmark_uncertainty", "uncertainty_lines"]

BINARY = "binary_entropy"
"""Of the probability of water itself, which every cube has."""
TOPS = {"aleatoric": 0.25, "epistemic": 0.25, BINARY: math.log(2)}
"""Largest values: of variances of a probability, and of the entropy of two classes. A cube does not
say how many classes its other entropies are of."""
LAYERS = ("entropy", "aleatoric", "epistemic", "mutual_information")


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

        def risk(one: Risk, curve: str) -> dict[str, Any]:
            return {
                "aurc": told(one.aurc),
                "monotonicity_fraction": told(one.monotonicity),
                "discard_improvement": told(one.improvement),
                curve: [told(float(value)) for value in one.discard()],
            }

        return {
            "time": self.time,
            "simulated": self.simulated,
            "pixels": self.pixels,
            "nll": told(self.reliability.nll),
            "brier": told(self.reliability.brier),
            "ece": told(self.reliability.ece),
            "layers": {
                name: {
                    "pixels": one.pixels,
                    "discarded": FRACTIONS.tolist(),
                    **risk(one.by_error, "error"),
                    "by_nll": risk(one.by_loss, "nll"),
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
        No water probability, no such layer, a truth on another grid or of other classes, nothing
        known in both, or values that are no probability or uncertainty.
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
    real = xr.DataArray(_water(truth_on(truth, ds), truth), dims=("y", "x"))
    chance = _bare(chosen["water_probability"])
    doubts = {name: _layer(chosen, chance, name) for name in layers or held}
    tops = TOPS | _entropy_tops({name: one for name, one in doubts.items() if name not in TOPS})
    try:
        found, *selected = compute(
            lazy_reliability(chance, real),
            *(lazy_selective(one, chance, real, tops[name]) for name, one in doubts.items()),
        )
    except ValueError as error:  # of the kernels: the cube holds what they refuse
        raise StoreError(f"{cube}: {error}; run cube infer on it, or build it anew") from error
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


def _water(classes: Any, name: str | Path) -> Any:
    """Flood classes as water: 0, 1, or 255 where unknown; a byte a pixel."""
    with np.errstate(invalid="ignore"):  # NaN as a byte, which the comparison finds
        small = classes.astype(np.uint8, copy=False)
    table = np.full(256, 2, np.uint8)
    table[[FloodClass.DRY, FloodClass.PERMANENT, FloodClass.FLOOD]] = 0, 1, 1
    table[FloodClass.UNKNOWN] = FloodClass.UNKNOWN
    water = table[small]
    other = (water == 2) | (small != classes)
    if other.any():
        raise SourceError(
            f"{name}: holds {classes[other][0]}, which is no flood class; expected 0 dry,"
            " 1 permanent water, 2 flood, 255 unknown"
        )
    return water


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


def _entropy_tops(layers: Mapping[str, xr.DataArray]) -> dict[str, float]:
    """Entropy of the fewest equal classes that the values of each layer fit in.

    Classes that exclude one another, two or three, end at their own logarithm; of those that do
    not, entropies add up, and two end where four end.
    """
    largest = compute(*(one.fillna(0).max() for one in layers.values()))
    classes = (max(math.ceil(math.exp(min(float(value), 50.0)) - 1e-5), 2) for value in largest)
    return dict(zip(layers, map(math.log, classes), strict=True))


def uncertainty_lines(found: Verdict) -> list[str]:
    """Lines of ``cube benchmark uncertainty``."""
    label = "SIMULATED truth" if found.simulated else "truth"
    score = found.reliability
    lines = [
        f"pass {found.time} against {label}, {found.pixels:,} pixels",
        f"water  NLL {score.nll:.4f}  Brier {score.brier:.4f}  ECE {score.ece:.4f}",
    ]
    for name, one in found.layers.items():
        risk, loss = one.by_error, one.by_loss
        errors = " ".join(f"{100 * value:.2f}" for value in risk.discard())
        losses = " ".join(f"{value:.3f}" for value in loss.discard())
        fewer = "" if one.pixels == found.pixels else f" ({one.pixels:,} pixels)"
        lines += [
            f"{name}{fewer}: AURC {risk.aurc:.5f}  MF {risk.monotonicity:.2f}"
            f"  DI {risk.improvement:.5f}"
            f"  mean of right {one.mean_right:.3f}, of wrong {one.mean_wrong:.3f}",
            f"  errors, %, as ninths are left out: {errors}",
            f"  NLL, as ninths are left out: {losses}"
            f"  (AURC {loss.aurc:.4f}  MF {loss.monotonicity:.2f}  DI {loss.improvement:.4f})",
        ]
    return lines
