"""Complex images in a cube of detected ones: arrays over its passes, added and flagged."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from cube.errors import StoreError
from cube.schema import CHUNK, SENSOR_POSITION, SLC_COMPLETE, TIME_CHUNK, Variable
from cube.store.template import consolidate, create_array

__all__ = ["IMAGES_ATTRIBUTE", "add_images", "read_images"]

IMAGES_ATTRIBUTE = "images"
"""Attribute of the cube that holds the plan of its complex images."""


def read_images(path: Path) -> dict[str, Any] | None:
    """Plan of the complex images that were added to a cube; None where none were."""
    group = zarr.open_group(path, mode="r", use_consolidated=False)
    found = dict(group.attrs).get(IMAGES_ATTRIBUTE)
    return found if isinstance(found, dict) else None


def add_images(
    path: Path,
    plan: Mapping[str, Any],
    variables: tuple[Variable, ...],
    positions: NDArray[np.float64],
    shape: tuple[int, int],
) -> None:
    """Create the arrays of complex images, unwritten, then say that they are there.

    Parameters
    ----------
    path : Path
        Of a cube without complex images; what an interrupted call left is written again.
    plan : mapping
        What `read_images` shall find; JSON.
    variables : tuple of Variable
    positions : float64, shape (passes, 3)
        Places of the satellite, NaN for passes without complex images.
    shape : (rows, columns)

    Raises
    ------
    StoreError
        The store cannot be written.
    """
    try:
        group = zarr.open_group(path, mode="r+", use_consolidated=False)
        for variable in (SENSOR_POSITION, SLC_COMPLETE, *variables):
            shutil.rmtree(path / variable.name, ignore_errors=True)
        array = create_array(group, SENSOR_POSITION, positions.shape, positions.shape)
        array[...] = positions
        create_array(group, SLC_COMPLETE, (len(positions),), (TIME_CHUNK,))
        for variable in variables:
            attrs = {**variable.attrs, "grid_mapping": "spatial_ref"}
            placed = replace(variable, attrs=attrs)
            create_array(group, placed, (len(positions), *shape), (1, CHUNK, CHUNK))
        located = str(group.attrs["coordinates"]).split()
        names = SENSOR_POSITION.name, SLC_COMPLETE.name
        group.attrs.update(
            {
                "coordinates": " ".join(dict.fromkeys([*located, *names])),
                IMAGES_ATTRIBUTE: dict(plan),
            }
        )
        consolidate(path)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror or error})") from error
