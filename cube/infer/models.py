"""Models on disk: a card of what a network is and eats, and its weights; nothing is unpickled."""

from __future__ import annotations

import hashlib
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file

from cube.errors import CatalogError
from cube.infer.networks import UNet, build

__all__ = ["Card", "Network", "Normaliser", "open_network", "read_card"]

_SHOWN = 3


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Network(_Frozen):
    """An architecture and its sizes."""

    name: Literal["unet"]
    widths: tuple[int, ...] = Field(min_length=1)


class Normaliser(_Frozen):
    """How linear power becomes what a network eats: clamped, perhaps in decibels, scaled."""

    scale: Literal["linear", "decibel"]
    low: float
    high: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]


class Card(_Frozen):
    """What a model is, what it eats and gives, and where it comes from."""

    id: str
    version: int = Field(ge=1)
    title: str
    network: Network
    bands: tuple[str, ...] = Field(min_length=1)
    classes: tuple[str, ...] = Field(min_length=1)
    units: Literal["linear power"]
    normaliser: Normaliser
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    licence: str
    training: str
    sources: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _of_one_size(self) -> Card:
        sizes = {len(self.bands), len(self.normaliser.mean), len(self.normaliser.deviation)}
        if len(sizes) > 1:
            raise ValueError("bands, mean and deviation of different lengths")
        return self


def read_card(folder: Path) -> Card:
    """Card of a model, ``card.toml`` in its folder.

    Raises
    ------
    CatalogError
        There is none, or it is malformed.
    """
    path = folder / "card.toml"
    try:
        return Card.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise CatalogError(
            f"{folder}: no model there ({error.strerror}); give a folder with card.toml and"
            " model.safetensors"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CatalogError(f"{path}: not valid TOML ({error})") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the card"
        raise CatalogError(f"{path}: {key}: {first['msg']}") from error


@lru_cache(maxsize=4)
def open_network(folder: str, sha256: str) -> UNet:
    """Network with its weights, ready to predict; loaded once per process and content.

    Parameters
    ----------
    folder : str
    sha256 : str
        Of the weights, as the card says: another file is refused.

    Raises
    ------
    CatalogError
        Weights missing, truncated, of another content than the card's, or of another network.
    """
    card, path = read_card(Path(folder)), Path(folder) / "model.safetensors"
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise CatalogError(f"{path}: cannot read ({error.strerror})") from error
    if found != sha256:
        raise CatalogError(
            f"{path}: sha256 {found[:12]}…, the card says {sha256[:12]}…; weights and card do not"
            " belong together, or a download is incomplete"
        )
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise CatalogError(f"{path}: not a readable safetensors file ({error})") from error
    network = build(card.network.name, len(card.bands), len(card.classes), card.network.widths)
    wanted = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in weights.items()}
    wrong = sorted(key for key in wanted.keys() | given.keys() if wanted.get(key) != given.get(key))
    if wrong:
        shown = "; ".join(
            f"{key} is {given.get(key, 'missing')}, expected {wanted.get(key, 'none')}"
            for key in wrong[:_SHOWN]
        )
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise CatalogError(f"{path}: weights of another network ({shown}{more})")
    network.load_state_dict(weights)
    return network.eval()
