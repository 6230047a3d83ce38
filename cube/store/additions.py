"""Layers added to a finished cube: created unwritten, announced, finished, removed."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import zarr
from numpy.typing import NDArray

from cube.errors import StoreError
from cube.schema import Variable
from cube.store.template import chunks_of, consolidate, create_array

__all__ = ["COHERENCE", "IMAGES", "MODEL", "add_layers", "finish", "read_addition", "remove_layers"]

COHERENCE = "coherence"
"""Attribute of a cube that says which pairs it holds coherence of, and how it was made."""
MODEL = "model"
"""Attribute of a cube that says which models told water and flood anew."""
IMAGES = "images"
"""Attribute of a cube of detected images that holds the plan of complex ones."""


def read_addition(path: Path, key: str) -> dict[str, Any] | None:
    """What a cube keeps of layers that were added; None where they were not."""
    group = zarr.open_group(path, mode="r", use_consolidated=False)
    found = dict(group.attrs).get(key)
    return found if isinstance(found, dict) else None


def add_layers(
    path: Path,
    key: str,
    content: Mapping[str, Any],
    variables: Iterable[Variable],
    values: Mapping[str, NDArray[Any]],
    without: Iterable[str] = (),
) -> None:
    """Create arrays, unwritten but for those with values, then say that they are there.

    Parameters
    ----------
    path : Path
        Of a cube without these layers; what an interrupted call left is written again.
    key : str
    content : mapping
        What `read_addition` shall find; JSON.
    variables : iterable of Variable
        Those without y and x are coordinates.
    values : mapping
        Of variables that are known; they say how long new dimensions are.
    without : iterable of str
        Arrays that these take the place of, to be removed.

    Raises
    ------
    StoreError
        The store cannot be written.
    """
    variables = tuple(variables)
    try:
        group = zarr.open_group(path, mode="r+", use_consolidated=False)
        sizes = {name: int(group[name].shape[0]) for name in ("time", "y", "x")}  # type: ignore[union-attr]  # arrays, by the schema
        for variable in variables:
            if variable.name in values:
                sizes |= zip(variable.dims, values[variable.name].shape, strict=True)
        for name in without:
            shutil.rmtree(path / name, ignore_errors=True)
        for variable in variables:
            shutil.rmtree(path / variable.name, ignore_errors=True)
            on_map = "y" in variable.dims
            attrs = {**variable.attrs, **({"grid_mapping": "spatial_ref"} if on_map else {})}
            shape = tuple(sizes[dim] for dim in variable.dims)
            array = create_array(
                group, replace(variable, attrs=attrs), shape, chunks_of(variable, sizes)
            )
            if variable.name in values:
                array[...] = values[variable.name]
        names = [variable.name for variable in variables if "y" not in variable.dims]
        located = str(group.attrs["coordinates"]).split()
        group.attrs.update(
            {"coordinates": " ".join(dict.fromkeys([*located, *names])), key: dict(content)}
        )
        consolidate(path)
    except OSError as error:
        raise _unwritable(path, error) from error


def finish(path: Path, key: str) -> None:
    """Say that all of what was added is written, by one atomic rename."""
    try:
        group = zarr.open_group(path, mode="r+", use_consolidated=True)
        group.attrs[key] = {**(read_addition(path, key) or {}), "finished": True}
    except OSError as error:
        raise _unwritable(path, error) from error


def remove_layers(path: Path, key: str, dimension: str, prefix: str) -> None:
    """Delete arrays over a dimension, or of names with a prefix; first they go out of sight."""
    try:
        group = zarr.open_group(path, mode="r+", use_consolidated=False)
        names = [
            name
            for name, array in group.arrays()
            if dimension in (array.metadata.dimension_names or ()) or name.startswith(prefix)  # type: ignore[union-attr]  # version 3
        ]
        located = [one for one in str(group.attrs["coordinates"]).split() if one not in names]
        group.attrs.update({"coordinates": " ".join(located)})
        if key in group.attrs:
            del group.attrs[key]
        for name in (*names, "progress"):
            shutil.rmtree(path / name, ignore_errors=True)
        consolidate(path)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path}: cannot be written ({error.strerror or error})")
