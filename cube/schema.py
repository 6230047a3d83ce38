"""What a flood cube is: the one owner of names, dimensions, types, fill values and CF attributes.

A cube is a Zarr v3 group with dimensions ``time, y, x`` and ``track`` (relative orbit) for what
belongs to a track rather than to a pass::

    ds.incidence_angle.sel(track=ds.relative_orbit)

A pass is one (platform, datatake); its ``time`` is the earliest sensing start of its slices over
the grid when it was first written. Passes may lie unsorted along ``time`` on disk, and only those
whose ``complete`` is true hold what the plan promised::

    ds = xr.open_zarr(url)
    ds = ds.sel(time=ds.complete).sortby("time")

Backscatter is linear power. What is not known is NaN, NaT or 255, never 0: the fill values below
are Zarr fill values, so blocks that were not written read as unknown. Integer classes carry no
``_FillValue`` attribute, which would turn them to float on reading; 255 stands in their
``flag_values``.

A cube of complex images has ``slc_vv`` … (time, y, x) in the place of backscatter, and
``sensor_position`` over time; or they lie beside it, and ``slc_complete`` says of which passes. Of
pairs of passes ``coherence_vv`` … (pair, y, x) holds the coherence, with times and baselines over
``pair``; ``coherence_complete`` says which are whole.

Two groups live beside the arrays. ``statistics`` holds, per pass and stored tile, the joint
histogram of multilooked VV and VH that the water model is fitted to, and how many samples noise
removal had left without power. ``progress`` exists only while a build is unfinished: one flag per
block and stage. Neither a clock time, a host, a user nor a path is stored anywhere: two builds of
one plan are equal byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

__all__ = [
    "CHUNK",
    "FORMAT_VERSION",
    "SENSOR_POSITION",
    "SLC_COMPLETE",
    "Flag",
    "FloodClass",
    "Role",
    "Variable",
    "cube_variables",
    "flood_attrs",
    "model_attrs",
    "model_variables",
    "pair_coordinates",
    "pair_variables",
]

FORMAT_VERSION = "3"
CHUNK = 512
"""Edge of a stored chunk in pixels; compute blocks are whole multiples of it."""
TIME_CHUNK = 1024
TIME_UNITS = "microseconds since 1970-01-01"
NO_DATA = 255
NOT_A_TIME = int(np.iinfo("int64").min)

Role = Literal["before", "during", "after"]
Backscatter = Literal["gamma0_rtc", "gamma0", "sigma0", "beta0"]


class FloodClass:
    """Values of ``flood``."""

    DRY = 0
    PERMANENT = 1
    FLOOD = 2
    UNKNOWN = 255


class Flag:
    """Bits of ``mask`` (CF flag_masks)."""

    LAYOVER = 1
    SHADOW = 2
    NEVER_IMAGED = 4
    SEA = 8
    SLOPE = 16
    HAND = 32


@dataclass(frozen=True)
class Variable:
    """One array of a cube."""

    name: str
    dims: tuple[str, ...]
    dtype: str
    fill: Any
    attrs: Mapping[str, Any] = field(default_factory=dict)
    group: str = ""

    @property
    def path(self) -> str:
        """Path of the array within the store."""
        return f"{self.group}/{self.name}" if self.group else self.name


_PLANE = ("y", "x")
_TRACK = ("track", "y", "x")
_PASS = ("time", "y", "x")
_LONG = {
    "gamma0_rtc": "terrain-corrected gamma nought",
    "gamma0": "gamma nought",
    "sigma0": "sigma nought",
    "beta0": "beta nought",
}
_CLASSES = {
    "flag_values": [FloodClass.DRY, FloodClass.PERMANENT, FloodClass.FLOOD, FloodClass.UNKNOWN],
    "flag_meanings": "dry permanent_water flood no_data",
}
_MASK = {
    "flag_masks": [
        Flag.LAYOVER,
        Flag.SHADOW,
        Flag.NEVER_IMAGED,
        Flag.SEA,
        Flag.SLOPE,
        Flag.HAND,
    ],
    "flag_meanings": "layover shadow never_imaged sea slope hand",
}


SENSOR_POSITION = Variable(
    "sensor_position",
    ("time", "axis"),
    "float64",
    float("nan"),
    {
        "long_name": "place of the satellite as it saw the middle of the grid, Earth-fixed x, y, z",
        "units": "m",
    },
)
"""Of complex images: what the baselines of pairs follow from."""


SLC_COMPLETE = Variable(
    "slc_complete",
    ("time",),
    "bool",
    False,
    {"long_name": "complex images of the pass are written"},
)
"""Of complex images that were added to a cube of detected ones."""


def coordinate_variables(*, sensed: bool = False) -> tuple[Variable, ...]:
    """Coordinates over time, track, y and x; `sensed` with the places of the satellite."""
    text = {"fill": "", "dtype": "string"}
    per_pass = (
        Variable("time", ("time",), "int64", 0, _time("start of sensing over the grid", "time")),
        Variable(
            "relative_orbit", ("time",), "int16", 0, {"long_name": "relative orbit of the pass"}
        ),
        Variable("orbit_direction", ("time",), attrs={"long_name": "orbit direction"}, **text),
        Variable("platform", ("time",), attrs={"long_name": "satellite"}, **text),
        Variable(
            "scene_ids",
            ("time",),
            attrs={"long_name": "products of the pass, separated by a space"},
            **text,
        ),
        Variable(
            "role",
            ("time",),
            attrs={"long_name": "before, during or after the event"},
            **text,
        ),
        Variable(
            "backscatter_complete",
            ("time",),
            "bool",
            False,
            {"long_name": "backscatter of the pass is written"},
        ),
        Variable(
            "complete",
            ("time",),
            "bool",
            False,
            {"long_name": "all layers that the plan promises are written for the pass"},
        ),
    )
    return (
        *per_pass,
        *(SENSOR_POSITION,) * sensed,
        Variable("track", ("track",), "int16", 0, {"long_name": "relative orbit"}),
        Variable("y", ("y",), "float64", float("nan"), {"axis": "Y"}),
        Variable("x", ("x",), "float64", float("nan"), {"axis": "X"}),
        Variable("spatial_ref", (), "int64", 0, {}),
    )


def _time(long_name: str, standard_name: str | None = None) -> dict[str, Any]:
    attrs = {
        "long_name": long_name,
        "units": TIME_UNITS,
        "calendar": "proleptic_gregorian",
    }
    return attrs if standard_name is None else {"standard_name": standard_name, **attrs}


def cube_variables(
    polarisations: tuple[str, ...], backscatter: str, layers: frozenset[str]
) -> tuple[Variable, ...]:
    """Data variables of a cube.

    Parameters
    ----------
    polarisations : tuple of str
        Lower case.
    backscatter : str
        ``gamma0_rtc``, ``gamma0``, ``sigma0`` or ``beta0``.
    layers : frozenset of str
        What the plan promises beside backscatter: ``incidence_angle``, ``rtc_anf``, ``nesz``,
        ``reference``, ``water`` (probability), ``flood`` (classes and their summary), ``hand``,
        ``permanent_water``; or, in its place, ``slc`` (complex images) or ``phase_amplitude``.
    """
    nan = float("nan")
    long = _LONG.get(backscatter, "")
    found = [
        Variable(
            "dem",
            _PLANE,
            "float32",
            nan,
            {"standard_name": "height_above_reference_ellipsoid", "units": "m"},
        ),
        Variable("mask", _TRACK, "uint8", 0, {"long_name": "geometric exclusions", **_MASK}),
    ]
    if "incidence_angle" in layers:
        angle = {"long_name": "local incidence angle", "units": "degree"}
        found.append(Variable("incidence_angle", _TRACK, "float32", nan, angle))
    if "rtc_anf" in layers:
        ratio = {
            "long_name": "area normalisation factor: beta0 = gamma0_rtc * rtc_anf",
            "units": "1",
        }
        found.append(Variable("rtc_anf", _TRACK, "float32", nan, ratio))
    if "slc" in layers or "phase_amplitude" in layers:
        return (
            *found,
            *_single_look_variables(polarisations, layers),
            *_water_variables(layers & {"hand"}),
        )
    for name in polarisations:
        attrs = {"units": "1", "backscatter": backscatter, "polarisation": name.upper()}
        found.append(
            Variable(
                name,
                _PASS,
                "float32",
                nan,
                {"long_name": f"{long}, {name.upper()}, linear power", **attrs},
            )
        )
        if "nesz" in layers:
            text = f"noise-equivalent sigma nought, {name.upper()}, linear power"
            noise = {"long_name": text, "units": "1", "polarisation": name.upper()}
            found.append(Variable(f"nesz_{name}", _PASS, "float32", nan, noise))
        if "reference" in layers:
            text = f"median {long} before the event, {name.upper()}, linear power"
            found.append(
                Variable(f"reference_{name}", _TRACK, "float32", nan, {"long_name": text, **attrs})
            )
    found += _water_variables(layers)
    return tuple(found)


def _single_look_variables(
    polarisations: tuple[str, ...], layers: frozenset[str]
) -> list[Variable]:
    nan = float("nan")
    if "phase_amplitude" in layers:
        return [
            Variable(
                f"{kind}_{name.upper()}",
                _PASS,
                "float32",
                nan,
                {
                    "long_name": f"{text}, {name.upper()}, sampled bilinearly",
                    "units": "radian" if kind == "Phase" else "1",
                    "polarisation": name.upper(),
                },
            )
            for name in polarisations
            for kind, text in (
                ("Phase", "phase of single-look samples, range phase included"),
                ("Ampl", "amplitude of single-look samples, digital number"),
            )
        ]
    return [
        Variable(
            f"slc_{name}",
            _PASS,
            "complex64",
            complex(nan, nan),
            {
                "long_name": f"single-look complex image, {name.upper()}, range phase removed",
                "units": "1",
                "backscatter": "beta0",
                "polarisation": name.upper(),
                "comment": "the squared magnitude is beta nought, linear power",
            },
        )
        for name in polarisations
    ]


def pair_coordinates() -> tuple[Variable, ...]:
    """Coordinates over pairs of passes."""
    nan = float("nan")
    return (
        Variable("primary_time", ("pair",), "int64", 0, _time("pass of the primary image")),
        Variable("secondary_time", ("pair",), "int64", 0, _time("pass of the secondary image")),
        Variable(
            "temporal_baseline",
            ("pair",),
            "float64",
            nan,
            # not "days" as units: xarray would read it as a duration
            {"long_name": "days from the primary to the secondary image", "units": "1"},
        ),
        Variable(
            "perpendicular_baseline",
            ("pair",),
            "float64",
            nan,
            {
                "long_name": "baseline across the line of sight, above 0 where the secondary is"
                " higher",
                "units": "m",
            },
        ),
        Variable("pair_orbit", ("pair",), "int16", 0, {"long_name": "relative orbit of the pair"}),
        Variable(
            "coherence_complete",
            ("pair",),
            "bool",
            False,
            {"long_name": "coherence of the pair is written"},
        ),
    )


def pair_variables(
    polarisations: tuple[str, ...], attrs: Mapping[str, Any], *, change: bool
) -> tuple[Variable, ...]:
    """Coherence of pairs, and where `change` its change per pass.

    Parameters
    ----------
    polarisations : tuple of str
    attrs : mapping
        Window and looks.
    change : bool
    """
    nan = float("nan")
    found = []
    for name in polarisations:
        common = {"units": "1", "polarisation": name.upper(), **attrs}
        text = f"interferometric coherence, {name.upper()}"
        found.append(
            Variable(
                f"coherence_{name}",
                ("pair", "y", "x"),
                "float32",
                nan,
                {"long_name": text, **common},
            )
        )
        if change:
            text = f"change of coherence since before the event, {name.upper()}"
            found.append(
                Variable(
                    f"coherence_change_{name}", _PASS, "float32", nan, {"long_name": text, **common}
                )
            )
    return tuple(found)


_OF_MODELS = {
    "flood_probability": ("probability of water that is not permanent", "1"),
    "water_by_height": ("probability of water with what the heights around say of it", "1"),
    "entropy": ("entropy of the classes", "nat"),
    "aleatoric": ("variance of the probability of the likeliest class over its logits", "1"),
    "epistemic": ("variance of the probability of the likeliest class over networks", "1"),
    "mutual_information": ("entropy that the disagreement of networks adds", "nat"),
}


def flood_attrs() -> dict[str, Any]:
    """CF attributes of flood classes of a pass."""
    return {"long_name": "flood classes", **_CLASSES}


def model_attrs(name: str) -> dict[str, str]:
    """CF attributes of a layer that models give: probabilities of classes, and uncertainty.

    Examples
    --------
    >>> model_attrs("urban_probability")
    {'long_name': 'probability of urban', 'units': '1'}
    """
    plain = f"probability of {name.removesuffix('_probability').replace('_', ' ')}", "1"
    long_name, units = _OF_MODELS.get(name, plain)
    return {"long_name": long_name, "units": units}


def model_variables(layers: Iterable[str]) -> list[Variable]:
    """Layers per pass that only some models give, of those named."""
    nan = float("nan")
    return [
        Variable(name, _PASS, "float32", nan, model_attrs(name))
        for name in _OF_MODELS
        if name in layers
    ]


def _water_variables(layers: frozenset[str]) -> list[Variable]:
    nan = float("nan")
    found = []
    if "hand" in layers:
        attrs = {"long_name": "height above nearest drainage", "units": "m"}
        found.append(Variable("hand", _PLANE, "float32", nan, attrs))
    if "permanent_water" in layers:
        attrs_water = {
            "long_name": "permanent water",
            "flag_values": [0, 1, NO_DATA],
            "flag_meanings": "other permanent_water no_data",
        }
        found.append(Variable("permanent_water", _PLANE, "uint8", NO_DATA, attrs_water))
    if "water" in layers:
        attrs = {"long_name": "probability of open water", "units": "1"}
        found.append(Variable("water_probability", _PASS, "float32", nan, attrs))
    found += model_variables(layers)
    if "flood" in layers:
        found += [
            Variable("flood", _PASS, "uint8", NO_DATA, flood_attrs()),
            Variable(
                "flood_extent",
                _PLANE,
                "uint8",
                NO_DATA,
                {"long_name": "flooded at least once", **_CLASSES},
            ),
            Variable(
                "flood_first", _PLANE, "int64", NOT_A_TIME, _time("first pass that saw flood")
            ),
            Variable(
                "flood_duration",
                _PLANE,
                "float32",
                nan,
                {"long_name": "time under flood", "units": "days"},
            ),
        ]
    return found
