"""Weights out of foreign checkpoints; code in them runs only where it is trusted."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from cube.errors import CatalogError

__all__ = ["read_checkpoint"]

_UNREADABLE = (
    RuntimeError,
    SafetensorError,
    EOFError,
    ValueError,
    AttributeError,  # of a pickle that is trusted and names what is not installed
    ImportError,
    OSError,
)
_BELOW = ("state_dict", "model_state_dict", "model")


def read_checkpoint(
    path: Path, *, strip: str = "", trust_pickle: bool = False
) -> dict[str, torch.Tensor]:
    """Tensors of a checkpoint by key.

    Parameters
    ----------
    path : Path
        ``.safetensors``, or a file of torch.save.
    strip : str
        Prefix of all keys, taken off.
    trust_pickle : bool
        Whether objects other than tensors may be made, which runs code of the file.

    Raises
    ------
    CatalogError
        No such file, a truncated one, objects that are not trusted, or no tensors in it.
    """
    found = _read(path, trust_pickle)
    if isinstance(found, torch.nn.Module):
        found = found.state_dict()
    for name in _BELOW:
        if isinstance(found, dict) and isinstance(found.get(name), dict):
            found = found[name]
            break
    tensors = (
        {str(key): value for key, value in found.items() if isinstance(value, torch.Tensor)}
        if isinstance(found, dict)
        else {}
    )
    if not tensors:
        raise CatalogError(
            f"{path}: holds no tensors by key but {type(found).__name__}; give a state_dict"
        )
    others = [key for key in tensors if not key.startswith(strip)]
    if others:
        raise CatalogError(f"{path}: key {others[0]} does not begin with {strip!r}")
    return {key.removeprefix(strip): value.contiguous() for key, value in tensors.items()}


def _read(path: Path, trust_pickle: bool) -> Any:
    if not path.is_file():
        raise CatalogError(f"{path}: no such file; give one of torch.save or safetensors")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch's guesses; what fails is told
            return torch.load(path, map_location="cpu", weights_only=not trust_pickle)
    except pickle.UnpicklingError as error:
        raise CatalogError(
            f"{path}: holds objects beside tensors, and making them runs code of the file; convert"
            " it with --trust-pickle if you trust where it comes from"
        ) from error
    except _UNREADABLE as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CatalogError(f"{path}: cannot be read as a checkpoint ({first})") from error
