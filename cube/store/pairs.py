"""Coherence of pairs in a finished cube: arrays over ``pair``, added, flagged, shown, removed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import zarr
from numpy.typing import NDArray

from cube.errors import StoreError
from cube.schema import CHUNK, TIME_CHUNK, Variable, pair_coordinates
from cube.store.template import consolidate, create_array

__all__ = ["PAIR_ATTRIBUTE", "add_pairs", "finish_pairs", "read_pairs", "remove_pairs"]

PAIR_ATTRIBUTE = "coherence"
"""Attribute of the cube that says which pairs, and how."""


def read_pairs(path: Path) -> dict[str, Any] | None:
    """What the cube keeps of its pairs; None where it has none."""
    group = zarr.open_group(path, mode="r", use_consolidated=False)
    found = dict(group.attrs).get(PAIR_ATTRIBUTE)
    return found if isinstance(found, dict) else None


def add_pairs(
    path: Path,
    asked: Mapping[str, Any],
    variables: tuple[Variable, ...],
    coordinates: Mapping[str, NDArray[Any]],
    shape: tuple[int, int],
) -> None:
    """Create the arrays of pairs, unwritten, then say that they are there.

    Parameters
    ----------
    path : Path
        Of a cube without pairs; what an interrupted call left is written again.
    asked : mapping
        What `read_pairs` shall find; JSON.
    variables : tuple of Variable
    coordinates : mapping
        Values over ``pair``.
    shape : (rows, columns)

    Raises
    ------
    StoreError
        The store cannot be written.
    """
    try:
        group = zarr.open_group(path, mode="r+", use_consolidated=False)
        count = len(coordinates["primary_time"])
        passes = group["time"].shape[0]  # type: ignore[union-attr]  # an array, by the schema
        for variable in pair_coordinates():
            _forget(path, variable.name)
            array = create_array(group, variable, (count,), (TIME_CHUNK,))
            if variable.name in coordinates:
                array[...] = coordinates[variable.name]
        for variable in variables:
            _forget(path, variable.name)
            first = count if variable.dims[0] == "pair" else passes
            placed = Variable(
                variable.name,
                variable.dims,
                variable.dtype,
                variable.fill,
                {**variable.attrs, "grid_mapping": "spatial_ref"},
            )
            create_array(group, placed, (first, *shape), (1, CHUNK, CHUNK))
        located = str(group.attrs["coordinates"]).split()
        names = [one.name for one in pair_coordinates()]
        group.attrs.update(
            {
                "coordinates": " ".join(dict.fromkeys([*located, *names])),
                PAIR_ATTRIBUTE: dict(asked),
            }
        )
        consolidate(path)
    except OSError as error:
        raise _unwritable(path, error) from error


def finish_pairs(path: Path) -> None:
    """Say that everything of the pairs is written, by one atomic rename."""
    try:
        group = zarr.open_group(path, mode="r+", use_consolidated=True)
        group.attrs[PAIR_ATTRIBUTE] = {**(read_pairs(path) or {}), "finished": True}
    except OSError as error:
        raise _unwritable(path, error) from error


def remove_pairs(path: Path) -> None:
    """Delete the arrays of pairs; they are out of sight before the first is gone."""
    try:
        group = zarr.open_group(path, mode="r+", use_consolidated=False)
        names = [
            name
            for name in group.array_keys()
            if name.startswith("coherence_") or name in {one.name for one in pair_coordinates()}
        ]
        located = [one for one in str(group.attrs["coordinates"]).split() if one not in names]
        group.attrs.update({"coordinates": " ".join(located)})
        if PAIR_ATTRIBUTE in group.attrs:
            del group.attrs[PAIR_ATTRIBUTE]
        for name in names:
            _forget(path, name)
        shutil.rmtree(path / "progress", ignore_errors=True)
        consolidate(path)
    except OSError as error:
        raise _unwritable(path, error) from error


def _forget(path: Path, name: str) -> None:
    shutil.rmtree(path / name, ignore_errors=True)


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path}: cannot be written ({error.strerror or error})")
