"""TOML files with numbers about the world, checked at the door.

Files are looked up in ``--catalog DIR``, then in ``$CUBE_CATALOG``, then among those shipped; the
first one that has an id wins, so a user adds or replaces an event without touching the package.
"""

from __future__ import annotations

import difflib
import importlib.resources
import os
import tomllib
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cube.cards import Card, Normaliser
from cube.errors import CatalogError, UnknownNameError
from cube.events import Aoi, Event, KuroSiwo

__all__ = [
    "Aoi",
    "Card",
    "Endpoint",
    "Event",
    "KuroSiwo",
    "Model",
    "Normaliser",
    "Preset",
    "Storage",
    "events",
    "load_endpoint",
    "load_event",
    "load_model",
    "load_normaliser",
    "load_preset",
    "models",
    "normalisers_of",
]

_Record = TypeVar("_Record", bound=BaseModel)
_CUTOFF = 0.4


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Storage(_Frozen):
    """How objects of an ``s3://`` store are asked for."""

    endpoint: str | None = Field(default=None, description="address; without one, Amazon's")
    region: str | None = None
    requester_pays: bool = False
    anonymous: bool = False


class Endpoint(_Frozen):
    """A place where scenes, and perhaps a DEM and permanent water, are found.

    ``collections`` and ``assets`` are named by what they hold: ``grd``, ``rtc``, ``dem``,
    ``permanent_water``.
    """

    id: str
    title: str
    kind: Literal["api", "folder", "simulation"]
    url: str | None = None
    trust: Literal["local", "public"]
    signing: Literal["planetary-computer"] | None = None
    storage: Storage = Storage()
    credentials: tuple[str, ...] = Field(default=(), description="environment variables")
    delivers: Literal["files", "archives"] = "files"
    collections: dict[str, str]
    assets: dict[str, str] = {}
    dem_datum: Literal["egm2008", "egm96", "ellipsoid"] | None = None
    sources: tuple[str, ...] = Field(min_length=1)


class Preset(_Frozen):
    """A versioned recipe from product to cube."""

    id: str
    version: int = Field(ge=1)
    title: str
    product: Literal["grd", "rtc", "slc"]
    backscatter: Literal["gamma0_rtc", "gamma0", "sigma0", "beta0"]
    speckle: str = Field(default="none", description="filter of the radar image, before sampling")
    sea: Literal["none", "dem"] = Field(default="none", description="what tells sea, to be masked")
    crs: str
    resolution: tuple[float, float]
    model: str
    max_slope: float = Field(gt=0, le=90)
    max_hand: float = Field(gt=0)
    sources: tuple[str, ...] = Field(min_length=1)

    @property
    def name(self) -> str:
        """Name as a cube records it, for example ``flood@1``."""
        return f"{self.id}@{self.version}"


@dataclass(frozen=True)
class Model:
    """A model as it lies in a catalog or in a folder of its own.

    Attributes
    ----------
    card : Card
    weights : Traversable
        safetensors file with the weights of all branches.
    normalisers : tuple of Normaliser
        Of the branches, in order.
    """

    card: Card
    weights: Traversable
    normalisers: tuple[Normaliser, ...]

    def normaliser(self, branch: str) -> Normaliser:
        """That of a branch, by its name."""
        return self.normalisers[[one.name for one in self.card.branches].index(branch)]

    @property
    def where(self) -> str:
        """What `load_model` finds it by in another process: a packaged model by its id."""
        folder = Path(str(self.weights)).parent
        packaged = Path(str(importlib.resources.files("catalogs"))) / "models"
        return self.card.id if folder.parent == packaged else str(folder.absolute())


def _roots(folder: str | None) -> list[Traversable]:
    roots: list[Traversable] = []
    for name, chosen in (("--catalog", folder), ("$CUBE_CATALOG", os.environ.get("CUBE_CATALOG"))):
        if chosen:
            path = Path(chosen)
            if not path.is_dir():
                raise CatalogError(f"{name} {chosen}: no such folder")
            roots.append(path)
    return [*roots, importlib.resources.files("catalogs")]


def _read(path: Traversable | Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CatalogError(f"{path}: cannot read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CatalogError(f"{path}: not valid TOML ({error})") from error


def _check(model: type[_Record], values: dict[str, Any], where: object) -> _Record:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the record"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise CatalogError(f"{where}: {key}: {first['msg']}{more}") from error


def _near(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=_CUTOFF)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(sorted(known))}"


def events(folder: str | None = None) -> dict[str, Event]:
    """All events of the search path by id, sorted."""
    found: dict[str, Event] = {}
    for root in reversed(_roots(folder)):
        files = root / "events"
        if not files.is_dir():
            continue
        for path in sorted(files.iterdir(), key=lambda entry: entry.name):
            if path.name.endswith(".toml"):
                event = _check(Event, _read(path), path)
                if f"{event.id}.toml" != path.name:
                    raise CatalogError(f"{path}: holds id {event.id!r}; name the file after it")
                found[event.id] = event
    return dict(sorted(found.items()))


def load_event(name: str, folder: str | None = None) -> Event:
    """Event by id, or by the path of its TOML file.

    Raises
    ------
    CatalogError
        Unknown id (near names are offered) or malformed file.
    """
    if name.endswith(".toml") or os.sep in name:
        path = Path(name)
        if not path.is_file():
            raise CatalogError(f"{name}: no such event file")
        event = _check(Event, _read(path), path)
        base = path.resolve().parent
        local = {
            key: str(base / value)
            for key in ("dem", "permanent_water", "hand")
            if (value := getattr(event, key)) is not None
        }
        return event.model_copy(update=local)
    known = events(folder)
    if name not in known:
        raise UnknownNameError(f"unknown event {name!r}; {_near_events(name, known)}")
    return known[name]


def _near_events(name: str, known: dict[str, Event]) -> str:
    """Near ids; without any all but those of Kuro Siwo, which are many."""
    if difflib.get_close_matches(name, known, cutoff=_CUTOFF):
        return _near(name, list(known))
    own = [key for key, event in known.items() if event.kurosiwo is None]
    rest = len(known) - len(own)
    more = f" and {rest} of Kuro Siwo, see cube events list" if rest else ""
    return f"{_near(name, own)}{more}"


def _table(folder: str | None, file: str) -> dict[str, dict[str, Any]]:
    merged: dict[str, dict[str, Any]] = {}
    for root in reversed(_roots(folder)):
        path = root / file
        if path.is_file():
            for key, values in _read(path).items():
                if not isinstance(values, dict):
                    raise CatalogError(f"{path}: {key} is not a table; write [{key}] and its keys")
                merged[key] = {**values, "id": key}
    return merged


def _load(model: type[_Record], kind: str, name: str, folder: str | None) -> _Record:
    known = _table(folder, f"{kind}s.toml")
    if name not in known:
        raise UnknownNameError(f"unknown {kind} {name!r}; {_near(name, list(known))}")
    return _check(model, known[name], f"{kind}s.toml [{name}]")


def load_endpoint(name: str, folder: str | None = None) -> Endpoint:
    """Endpoint by id.

    Raises
    ------
    CatalogError
        Unknown id or malformed record.
    """
    return _load(Endpoint, "endpoint", name, folder)


def load_preset(name: str, folder: str | None = None) -> Preset:
    """Preset by id.

    Raises
    ------
    CatalogError
        Unknown id or malformed record.
    """
    return _load(Preset, "preset", name, folder)


def load_normaliser(name: str, folder: str | None = None) -> Normaliser:
    """Normaliser by its name and version, such as ``kurosiwo@2``.

    Raises
    ------
    CatalogError
        Unknown name, another version than the catalog's, or malformed record.
    """
    key, _, version = name.partition("@")
    found = _load(Normaliser, "normaliser", key, folder)
    if version != str(found.version):
        raise UnknownNameError(f"unknown normaliser {name!r}; the catalog has {found.name}")
    return found


def normalisers_of(card: Card, home: Traversable) -> tuple[Normaliser, ...]:
    """Normalisers of a card's branches: of the catalog that the model lies in, else of the others.

    Raises
    ------
    CatalogError
        A normaliser that is nowhere, or has not all bands.
    """
    around = home.parent.parent if isinstance(home, Path) else None
    own = around is not None and (around / "normalisers.toml").is_file()
    found = []
    for branch in card.branches:
        one = load_normaliser(branch.normaliser, str(around) if own else None)
        missing = sorted({item.band for item in branch.parsed} - one.mean.keys())
        if missing:
            raise CatalogError(
                f"{home / 'card.toml'}: normaliser {branch.normaliser} has no band {missing[0]}; it"
                f" has {', '.join(sorted(one.mean))}"
            )
        found.append(one)
    return tuple(found)


def _model(root: Traversable) -> Model:
    path = root / "card.toml"
    card = _check(Card, _read(path), path)
    return Model(card, root / "model.safetensors", normalisers_of(card, root))


def models(folder: str | None = None) -> dict[str, Model]:
    """All models of the search path by id, sorted: folders ``models/ID`` with a ``card.toml``."""
    found: dict[str, Model] = {}
    for root in reversed(_roots(folder)):
        homes = root / "models"
        if not homes.is_dir():
            continue
        for home in sorted(homes.iterdir(), key=lambda entry: entry.name):
            if (home / "card.toml").is_file():
                model = _model(home)
                if model.card.id != home.name:
                    raise CatalogError(
                        f"{home}: holds model {model.card.id!r}; name the folder after it"
                    )
                found[model.card.id] = model
    return dict(sorted(found.items()))


def load_model(name: str, folder: str | None = None) -> Model:
    """Model by id, or by the path of its folder.

    Raises
    ------
    CatalogError
        Unknown id (near names are offered), no such folder, or malformed card.
    """
    if os.sep in name or name.startswith("."):
        if not (Path(name) / "card.toml").is_file():
            raise CatalogError(
                f"{name}: no model there; give a folder with card.toml and model.safetensors"
            )
        return _model(Path(name))
    known = models(folder)
    if name not in known:
        raise UnknownNameError(f"unknown model {name!r}; {_near(name, list(known))}")
    return known[name]
