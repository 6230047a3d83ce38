"""What a model is, eats and gives: the records of model cards and of normalisers."""

from __future__ import annotations

import hashlib
import math
import re
from pathlib import Path
from typing import Annotated, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["Branch", "Card", "Input", "Network", "Normaliser", "Score", "write_card"]

_INPUT = re.compile(r"^(reference_)?([a-z][a-z0-9_]*?)(?:\[-([1-9][0-9]*)\])?$")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Input(_Frozen):
    """One band that a model takes.

    On a card ``vv`` is that of the pass itself, ``vv[-1]`` of the pass before on the same track,
    ``vv[-2]`` of the one before that, and ``reference_vv`` of the reference of the track.

    Examples
    --------
    >>> Input.parse("vh[-2]")
    Input(band='vh', earlier=2, reference=False)
    >>> Input.parse("reference_vv").variable
    'reference_vv'
    """

    band: str
    earlier: int = 0
    reference: bool = False

    @classmethod
    def parse(cls, text: str) -> Input:
        """Input as a card writes it; ValueError if it is none."""
        found = _INPUT.match(text)
        if not found or (found[1] and found[3]):
            raise ValueError(f"{text!r} is no input; write vv, vv[-1] or reference_vv")
        return cls(band=found[2], earlier=int(found[3] or 0), reference=bool(found[1]))

    @property
    def power(self) -> bool:
        """Whether it is backscatter, which is never negative; heights and angles may be."""
        return self.band in ("vv", "vh", "hh", "hv")

    @property
    def variable(self) -> str:
        """Name of the variable in a Dataset."""
        return f"reference_{self.band}" if self.reference else self.band


class Network(_Frozen):
    """An architecture and its sizes."""

    name: Literal["unet"]
    widths: tuple[int, ...] = Field(min_length=1)
    patch: int = Field(default=1, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)


class Normaliser(_Frozen):
    """How the values of a band become what a network eats: clamped, perhaps logarithmic, scaled."""

    id: str
    version: int = Field(ge=1)
    title: str
    scale: Literal["linear", "decibel", "context"] = Field(
        description="context: decibels, those of the 7 by 7 mean, log coefficient of variation"
    )
    limits: dict[str, tuple[float, float]] = Field(
        default={}, description="values of a band are kept between them"
    )
    missing: Literal["mean", "high"] = Field(
        default="mean", description="what stands for a missing value: the mean, or the upper limit"
    )
    mean: dict[str, tuple[float, ...]]
    deviation: dict[str, tuple[Annotated[float, Field(gt=0)], ...]]
    sources: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _whole(self) -> Normaliser:
        wanted = 3 if self.scale == "context" else 1
        if self.mean.keys() != self.deviation.keys():
            raise ValueError("mean and deviation are of different bands")
        for band in self.mean:
            if {len(self.mean[band]), len(self.deviation[band])} != {wanted}:
                raise ValueError(f"{band}: {self.scale} has {wanted} values a band")
            low, high = self.limits.get(band, (-math.inf, math.inf))
            if not low < high:
                raise ValueError(f"{band}: limits {low:g} and {high:g} do not ascend")
            if self.scale != "linear" and low <= 0:
                raise ValueError(f"{band}: {self.scale} needs limits above 0")
        return self

    @property
    def name(self) -> str:
        """Name as a card gives it, for example ``kurosiwo@2``."""
        return f"{self.id}@{self.version}"

    @property
    def channels(self) -> int:
        """Channels of one band."""
        return 3 if self.scale == "context" else 1


class Branch(_Frozen):
    """One network of a model: the first of which all inputs are there is used at a pixel."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    inputs: tuple[str, ...] = Field(min_length=1)
    classes: tuple[str, ...] = Field(min_length=1)
    gives: dict[str, tuple[str, ...]] = Field(
        default={}, description="layers as sums of classes; CLASS_probability of each without"
    )
    head: Literal["softmax", "sigmoid", "heteroscedastic"]
    temperature: float = Field(default=1.0, gt=0)
    water_threshold: float = Field(
        default=0.5, gt=0, lt=1, description="what is more probable than this is water"
    )
    normaliser: str
    network: Network

    @model_validator(mode="after")
    def _known(self) -> Branch:
        for text in self.inputs:
            Input.parse(text)
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes are named twice")
        if self.head != "sigmoid" and len(self.classes) < 2:
            raise ValueError(f"head {self.head} needs two classes or more")
        for layer, parts in self.gives.items():
            if unknown := sorted(set(parts) - set(self.classes)):
                raise ValueError(f"{layer} is made of {unknown[0]}, which is no class")
        return self

    @property
    def given(self) -> dict[str, tuple[str, ...]]:
        """Layers, each with the classes whose probabilities add up to it."""
        return self.gives or {f"{name}_probability": (name,) for name in self.classes}

    @property
    def parsed(self) -> tuple[Input, ...]:
        """Inputs in order."""
        return tuple(Input.parse(text) for text in self.inputs)


class Score(_Frozen):
    """A figure, what it was measured on and where that can be read."""

    data: str
    metric: str
    value: float
    source: str


class Card(_Frozen):
    """A model: its networks, where it comes from and how good it was found."""

    id: str
    version: int = Field(ge=1)
    title: str
    units: Literal["linear power"]
    branches: tuple[Branch, ...] = Field(min_length=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    licence: str
    training: str
    scores: tuple[Score, ...] = ()
    sources: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Card:
        names = [branch.name for branch in self.branches]
        if len(set(names)) < len(names):
            raise ValueError("branches are named twice")
        return self

    def having(self, held: frozenset[str]) -> Card:
        """The same with the branches whose inputs are held; none may be left.

        Raises
        ------
        ValueError
            No branch has all of its inputs.
        """
        kept = tuple(
            branch for branch in self.branches if all(one.variable in held for one in branch.parsed)
        )
        if not kept:
            wanted = {one.variable for one in self.branches[-1].parsed}
            raise ValueError(
                f"model {self.name} needs {', '.join(sorted(wanted - held))}; found"
                f" {', '.join(sorted(held)) or 'nothing'}"
            )
        return self.model_copy(update={"branches": kept})

    @property
    def water_thresholds(self) -> tuple[float, float]:
        """Of pixels where flood is told, and of those where only water is.

        Of the first branch of each kind; of the other kind where there is none of one.
        """
        kinds: dict[bool, float] = {}
        for branch in self.branches:
            kinds.setdefault("flood_probability" in branch.given, branch.water_threshold)
        either = self.branches[0].water_threshold
        return kinds.get(True, either), kinds.get(False, either)

    @property
    def fingerprint(self) -> str:
        """sha256 of all that what is told depends on: weights, and the branches as they are."""
        branches = "".join(branch.model_dump_json() for branch in self.branches)
        return hashlib.sha256(f"{self.sha256}{branches}".encode()).hexdigest()

    def uncertainty(self, networks: int) -> tuple[str, ...]:
        """Layers of uncertainty that this many networks or passes give."""
        names = ["entropy"]
        if any(branch.head == "heteroscedastic" for branch in self.branches):
            names.append("aleatoric")
        if networks > 1:
            names += ["epistemic", "mutual_information"]
        return tuple(names)

    @property
    def layers(self) -> tuple[str, ...]:
        """Probabilities that any branch gives, in order."""
        return tuple(dict.fromkeys(name for branch in self.branches for name in branch.given))

    @property
    def inputs(self) -> tuple[str, ...]:
        """Inputs of any branch, in order."""
        return tuple(dict.fromkeys(name for branch in self.branches for name in branch.inputs))

    @property
    def name(self) -> str:
        """Name as a cube records it, for example ``default@1``."""
        return f"{self.id}@{self.version}"


def write_card(card: Card, path: Path) -> None:
    """Write a card as the TOML file that it is read from."""
    values = card.model_dump(mode="json", exclude_defaults=True)
    path.write_text(tomli_w.dumps(values, multiline_strings=True), encoding="utf-8")
