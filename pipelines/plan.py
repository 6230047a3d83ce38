"""The plan of a cube: everything that is decided before anything is written.

``identity`` says which cube this is: two requests of equal identity make the same cube, and a
store of another identity is never written to. ``passes`` lists what it is made from. Both are kept
in the store. What only says how it is run (block, workers, memory) is not.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from cube.errors import DemError, PlanError, SearchError
from cube.readers.dem import Dem, chosen_geoid
from cube.readers.passes import Pass, group_passes
from cube.readers.raster import identity as file_identity
from cube.readers.raster import lonlat_extent
from cube.readers.scene import Scene
from cube.readers.stac import Source
from cube.readers.tiled import Tile
from cube.schema import CHUNK, FORMAT_VERSION
from pipelines.cost import run_of
from pipelines.layers import Tiled
from pipelines.orbits import with_orbits
from pipelines.request import Request, Resolved
from pipelines.resolve import KUROSIWO_SLC, open_source, resolve

__all__ = [
    "PassRecord",
    "Plan",
    "Planned",
    "identity_of",
    "make_plan",
    "plan_cube",
    "tiled_layers",
]


@dataclass(frozen=True)
class PassRecord:
    """A pass as the store keeps it."""

    platform: str
    datatake: int
    track: int
    direction: str
    time: str
    role: str
    scenes: tuple[str, ...]
    orbits: tuple[str, ...] = ()
    """Names of the orbit files of the scenes; none where their annotations' orbits serve."""


@dataclass(frozen=True)
class Plan:
    """What will be built, from what, and what it costs.

    Attributes
    ----------
    identity : dict
        JSON; see the module.
    passes : tuple of PassRecord
        Sorted by time.
    layers : tuple of str
        What is promised beside backscatter.
    run : dict
        JSON: source, block, blocks, workers, bytes to read and to write, peak memory per worker.
    notes : tuple of str
        What a user should know: scenes left out, layers that cannot be given.
    tiles : dict
        Ids of the tiles of layers that come from an endpoint, by layer.
    """

    identity: dict[str, Any]
    passes: tuple[PassRecord, ...]
    layers: tuple[str, ...]
    run: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    tiles: dict[str, list[str]] = field(default_factory=dict)

    @property
    def tracks(self) -> tuple[int, ...]:
        """Relative orbits, sorted."""
        return tuple(sorted({one.track for one in self.passes}))

    @property
    def polarisations(self) -> tuple[str, ...]:
        """Names of the polarisations."""
        return tuple(self.identity["polarisations"])

    def reference_passes(self, track: int) -> list[int]:
        """Passes that make the reference of a track: its latest ones before the event."""
        found = [
            index
            for index, one in enumerate(self.passes)
            if one.track == track and one.role == "before"
        ]
        return found[-self.identity["reference_passes"] :]

    def referenced(self, track: int) -> bool:
        """Whether a track has a reference."""
        return "reference" in self.layers and len(self.reference_passes(track)) >= 2

    def stored(self) -> dict[str, Any]:
        """What the store keeps: nothing about this machine or this run."""
        kept = {
            "identity": self.identity,
            "passes": [asdict(one) for one in self.passes],
            "layers": list(self.layers),
            "tiles": self.tiles,
        }
        return json.loads(json.dumps(kept))  # type: ignore[no-any-return]  # tuples become lists

    @classmethod
    def from_stored(cls, stored: dict[str, Any]) -> Plan:
        """Plan of an existing store, without a run."""
        passes = tuple(
            PassRecord(
                **{**one, "scenes": tuple(one["scenes"]), "orbits": tuple(one.get("orbits", ()))}
            )
            for one in stored["passes"]
        )
        return cls(stored["identity"], passes, tuple(stored["layers"]), tiles=stored["tiles"])

    def as_json(self) -> dict[str, Any]:
        """Everything, for ``--json``."""
        return {**self.stored(), "run": self.run, "notes": list(self.notes)}


def identity_of(resolved: Resolved) -> dict[str, Any]:
    """Identity as far as the request decides it, before any search."""
    grid = resolved.grid
    windows = resolved.windows

    def days(window: Any) -> list[str] | None:
        return None if window is None else [day.isoformat() for day in window]

    found = {
        "format": FORMAT_VERSION,
        "event": resolved.event.id if resolved.event is not None else None,
        "simulated": resolved.event is not None and resolved.event.simulated,
        "bbox": list(resolved.bbox),
        "crs": str(grid.crs),
        "transform": [float(value) for value in tuple(grid.affine)[:6]],
        "shape": list(grid.shape),
        "chunk": CHUNK,
        "product": resolved.product,
        "engine": resolved.engine if resolved.product == "rtc" else None,
        "preset": resolved.preset.name,
        "backscatter": resolved.backscatter,
        "speckle": resolved.speckle,
        "sea": resolved.sea if resolved.sea in ("none", "dem") else _file(resolved.sea),
        "noise_equivalent": resolved.noise_equivalent,
        **_geometry(resolved),
        "before": days(windows.before),
        "during": days(windows.during),
        "after": days(windows.after),
        "tracks": list(resolved.tracks),
        "reference_passes": resolved.reference_passes,
        "dem": _dem_identity(resolved.dem),
        "permanent_water": resolved.permanent_water.identity
        if isinstance(resolved.permanent_water, Tiled)
        else _file(resolved.permanent_water),
        "hand": "none"
        if resolved.hand == "none"
        else _file(resolved.hand) or "from the DEM by pyflwdir",
        "model": resolved.network.card.name if resolved.network else resolved.model,
        "model_sha256": [resolved.network.card.sha256] if resolved.network else None,
        "model_fingerprint": [resolved.network.card.fingerprint] if resolved.network else None,
    }
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]


def _geometry(resolved: Resolved) -> dict[str, str | None]:
    """What geocodes radar images, of products that are radar images."""
    if resolved.product == "rtc":
        return {"orbit": None, "path_delay": None}
    return {
        "orbit": "annotation" if resolved.orbit is None else "files",
        "path_delay": "standard" if resolved.path_delay else "none",
    }


def _dem_identity(dem: Dem | Tiled) -> dict[str, Any]:
    if isinstance(dem, Tiled):
        geoid = chosen_geoid(dem.datum or "", dem.geoid)
        return {
            **dem.identity,
            "datum": dem.datum,
            "geoid": geoid[0],
            "geoid_grid": _file(geoid[1]),
        }
    return {
        **file_identity(dem.raster.path),
        "datum": dem.datum,
        "geoid": dem.geoid,
        "geoid_grid": _file(dem.grid.path if dem.grid else None),
    }


def _file(path: str | None) -> dict[str, str] | None:
    return None if path in (None, "none") else file_identity(str(path))


def make_plan(request: Request) -> Plan:
    """Plan a cube: resolve, search, group, decide. Writes nothing.

    Raises
    ------
    CubeError
        Nothing can be built as asked; the message says what was found instead.
    """
    resolved = resolve(request)
    return plan_cube(request, resolved, open_source(resolved, request)).plan


class Planned(NamedTuple):
    """A plan, and where the files of its passes and the tiles of its layers are now."""

    plan: Plan
    passes: tuple[Pass, ...]
    tiles: dict[str, tuple[Tile, ...]]


def plan_cube(request: Request, resolved: Resolved, source: Source) -> Planned:
    """Plan a cube from what a source holds."""
    _check_dem(resolved)
    scenes = _scenes(resolved, source, resolved.tracks)
    passes, polarisations, notes = group_passes(scenes, resolved.windows, resolved.tracks)
    if not passes:
        # on any track: what is there, for the message
        raise _nothing(resolved, scenes or _scenes(resolved, source, ()), source)
    tiles: dict[str, tuple[Tile, ...]] = {
        layer.layer: layer.tiles(resolved.grid) for layer in tiled_layers(resolved)
    }
    ids = {layer: [tile.id for tile in found] for layer, found in tiles.items()}
    passes, orbits = with_orbits(passes, resolved.orbit)
    records = tuple(map(_record, passes, orbits))
    layers, more = _layers(resolved, polarisations, records)
    identity = {**identity_of(resolved), "polarisations": list(polarisations)}
    # a real event may be asked of simulated products: what comes out must say so
    identity["simulated"] |= any(scene.simulated for one in passes for scene in one.scenes)
    notes = [*_of_area(request, resolved), *source.notes, *notes, *more]
    plan = Plan(identity, records, layers, notes=tuple(notes), tiles=ids)
    run = run_of(request, resolved, polarisations, layers, tuple(passes))
    return Planned(replace(plan, run=run), tuple(passes), tiles)


def _of_area(request: Request, resolved: Resolved) -> list[str]:
    """What is doubtful of the event's area."""
    if resolved.event is None or request.bbox is not None:
        return []
    aoi = resolved.event.aoi(request.aoi)
    if aoi.default_box:
        return [f"the box of {aoi.name} is drawn around the event's centre and may miss the flood"]
    if not aoi.verified:
        return [f"the box of {aoi.name} is not verified ({aoi.source}); see cube events check"]
    return []


def _scenes(resolved: Resolved, source: Source, tracks: tuple[int, ...]) -> list[Scene]:
    wanted = resolved.product.upper()
    found = source.search(resolved.bbox, resolved.windows.span, tracks)
    return [scene for scene in found if scene.product == wanted]


def tiled_layers(resolved: Resolved) -> list[Tiled]:
    """Layers that are still in an endpoint's tiles."""
    given = (resolved.dem, resolved.permanent_water)
    return [layer for layer in given if isinstance(layer, Tiled)]


def _record(one: Pass, orbits: tuple[str, ...]) -> PassRecord:
    return PassRecord(
        one.platform,
        one.datatake,
        one.track,
        one.direction,
        str(one.time.astype("datetime64[us]")),
        one.role,
        tuple(scene.id for scene in one.scenes),
        orbits,
    )


def _nothing(resolved: Resolved, scenes: list[Any], source: Source) -> SearchError:
    box = ",".join(f"{value:g}" for value in resolved.bbox)
    first, last = resolved.windows.span
    asked = f"no Sentinel-1 {resolved.product.upper()} scene over {box} from {first} to {last}"
    if resolved.tracks:
        asked += f" on relative orbits {', '.join(map(str, resolved.tracks))}"
    if scenes:
        seen = Counter(scene.relative_orbit for scene in scenes)
        found = ", ".join(f"{count} on {track}" for track, count in sorted(seen.items()))
        days = f"{scenes[0].start.astype('datetime64[D]')}"
        return SearchError(f"{asked}: {len(scenes)} scenes were found ({found}), one of {days}")
    return SearchError(f"{asked}: {source.summary()}")


def _check_dem(resolved: Resolved) -> None:
    """Refuse a DEM file that does not cover the area asked for."""
    if isinstance(resolved.dem, Tiled):
        return  # what no tile holds is unknown, as open sea is
    west, south, east, north = resolved.bbox
    east = east + 360 if east < west else east
    lon, lat = np.meshgrid(np.linspace(west, east, 9), np.linspace(south, north, 9))
    if resolved.dem.covers(lon, lat):
        return
    extent = ",".join(f"{value:.4f}" for value in lonlat_extent(resolved.dem.raster))
    box = ",".join(f"{value:g}" for value in resolved.bbox)
    raise DemError(
        f"{resolved.dem.raster.path}: covers {extent}, the area asked for is {box};"
        " give a DEM that covers it"
    )


def _network_layers(
    resolved: Resolved, polarisations: tuple[str, ...], *, referenced: bool
) -> list[str]:
    """What a network gives beside water and flood, by its branches that have their inputs."""
    if resolved.network is None:
        return []
    held = {*polarisations, *(f"reference_{name}" for name in polarisations if referenced)}
    try:
        card = resolved.network.card.having(frozenset(held))
    except ValueError as error:
        raise PlanError(f"{error}; choose --model bayes or none") from error
    return [*card.layers, *card.uncertainty(1)]


def _layers(
    resolved: Resolved, polarisations: tuple[str, ...], passes: tuple[PassRecord, ...]
) -> tuple[tuple[str, ...], list[str]]:
    """Layers that can be promised, and a line for each that cannot."""
    notes: list[str] = []
    if resolved.product == "slc":
        hand = [] if resolved.hand == "none" else ["hand"]
        kind = "phase_amplitude" if resolved.preset.id == KUROSIWO_SLC else "slc"
        return ("incidence_angle", "rtc_anf", *hand, kind), notes
    layers = ["incidence_angle"] if resolved.product == "grd" else []
    if resolved.product == "grd" and resolved.backscatter == "gamma0_rtc":
        layers.append("rtc_anf")
    if resolved.noise_equivalent:
        layers.append("nesz")
    if resolved.hand != "none":
        layers.append("hand")
    before = Counter(one.track for one in passes if one.role == "before")
    referenced = [track for track, count in before.items() if count >= 2]
    water = resolved.model != "none"
    if water and "vv" not in polarisations:
        notes.append(
            f"no water or flood layers: model {resolved.model} needs vv, found"
            f" {', '.join(polarisations)}"
        )
        water = False
    if referenced:
        layers.append("reference")
    missing = sorted({one.track for one in passes} - set(referenced))
    if missing and water:
        names = ", ".join(map(str, missing))
        notes.append(f"no reference on relative orbit {names}: fewer than 2 passes before")
    if resolved.permanent_water is not None or (water and sum(before.values()) >= 3):
        layers.append("permanent_water")
    if water:
        layers += ["water", "flood"]
        layers += _network_layers(resolved, polarisations, referenced=bool(referenced))
        if not referenced and "permanent_water" not in layers:
            notes.append(
                "flood will be 255 (unknown) everywhere: there is neither a pass before the event"
                " nor a permanent water layer; give --before A/B or --permanent-water FILE"
            )
    return tuple(layers), notes
