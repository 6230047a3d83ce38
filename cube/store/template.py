"""The empty cube: metadata and coordinates first, blocks after.

The template is written beside its place and renamed, so that a cube either does not exist or is
whole. Compression and chunks are those of `cube.schema`.
"""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from zarr.codecs import BloscCodec, BloscShuffle

from cube.errors import StoreError
from cube.grid import crs_of
from cube.kernels.water import histogram
from cube.schema import CHUNK, FORMAT_VERSION, TIME_CHUNK, Variable, coordinate_variables

__all__ = [
    "PLAN_ATTRIBUTE",
    "axis_attrs",
    "chunks_of",
    "consolidate",
    "create",
    "create_array",
    "read_plan",
    "remove",
    "replace_plan",
    "spatial_ref_attrs",
]

PLAN_ATTRIBUTE = "floodcube"


def _codec(dtype: str) -> BloscCodec:
    size = 1 if dtype in ("bool", "string") else np.dtype(dtype).itemsize
    return BloscCodec(
        cname="zstd", clevel=3, shuffle=BloscShuffle.bitshuffle, typesize=size, blocksize=0
    )


def create_array(
    group: zarr.Group, variable: Variable, shape: tuple[int, ...], chunks: tuple[int, ...]
) -> zarr.Array[Any]:
    """Create one array of a cube, unwritten: it reads as its fill value."""
    text = variable.dtype == "string"
    return group.create_array(
        variable.path,
        shape=shape,
        chunks=chunks,
        dtype=variable.dtype,
        fill_value=variable.fill,
        compressors=() if text else _codec(variable.dtype),
        dimension_names=variable.dims,
        attributes=dict(variable.attrs),
        config={"write_empty_chunks": False},
    )


def chunks_of(variable: Variable, sizes: dict[str, int]) -> tuple[int, ...]:
    """Edges of the stored chunks of an array."""
    if variable.dims == ("time",):
        return (TIME_CHUNK,)
    if set(variable.dims) == {"y", "x"} or len(variable.dims) == 3:
        return tuple(CHUNK if dim in ("y", "x") else 1 for dim in variable.dims)
    return tuple(max(sizes[dim], 1) for dim in variable.dims)


def statistics_variables(polarisations: tuple[str, ...]) -> list[tuple[Variable, tuple[int, ...]]]:
    """Arrays of the ``statistics`` group and the sizes of their trailing axes."""
    found: list[tuple[Variable, tuple[int, ...]]] = [
        (
            Variable(
                "floored",
                ("time", "tile_y", "tile_x", "polarisation", "count"),
                "uint32",
                0,
                {"long_name": "valid samples, and those that noise removal left without power"},
                "statistics",
            ),
            (len(polarisations), 2),
        )
    ]
    if "vv" in polarisations:
        empty = np.full((4, 4), np.nan, "float32")
        bins = histogram(empty, empty if "vh" in polarisations else None).shape
        variable = Variable(
            "histogram",
            ("time", "tile_y", "tile_x", "vv_bin", "vh_bin"),
            "uint16",
            0,
            {"long_name": "joint histogram of VV and VH in dB, means of 4 x 4 pixels"},
            "statistics",
        )
        found.append((variable, bins))
        of_track = replace(variable, name="reference_histogram", dims=("track", *variable.dims[1:]))
        found.append((of_track, bins))
    return found


def create(
    path: Path,
    plan: dict[str, Any],
    grid: GeoBox,
    variables: tuple[Variable, ...],
    coordinates: dict[str, NDArray[Any]],
    polarisations: tuple[str, ...],
) -> None:
    """Write an empty cube at `path`, which must not exist.

    Parameters
    ----------
    path : Path
    plan : dict
        What the store keeps of its plan; JSON.
    grid : GeoBox
    variables : tuple of Variable
    coordinates : dict of arrays
        Values of every coordinate over ``time`` and ``track``.
    polarisations : tuple of str
        Of backscatter, which statistics are kept of; none in a cube of complex images.

    Raises
    ------
    StoreError
        The place exists already or cannot be written.
    """
    if path.exists():
        raise StoreError(f"{path}: exists already and is not a cube; choose another --out")
    aside = path.with_name(f".{path.name}.template")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        _write(aside, plan, grid, variables, coordinates, polarisations)
        aside.rename(path)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise StoreError(f"{path}: cannot be created ({error.strerror or error})") from error


def remove(path: Path) -> None:
    """Delete the cube at `path`, where there is one; it is gone at once, or still whole.

    Raises
    ------
    StoreError
        It cannot be deleted.
    """
    aside = path.with_name(f".{path.name}.removed")
    try:
        shutil.rmtree(aside, ignore_errors=True)  # left by a run that was killed
        if path.exists():
            path.rename(aside)
            shutil.rmtree(aside)
    except OSError as error:
        raise StoreError(f"{path}: cannot be replaced ({error.strerror or error})") from error


def _write(
    path: Path,
    plan: dict[str, Any],
    grid: GeoBox,
    variables: tuple[Variable, ...],
    coordinates: dict[str, NDArray[Any]],
    polarisations: tuple[str, ...],
) -> None:
    height, width = grid.shape
    values: dict[str, NDArray[Any]] = {
        **coordinates,
        "y": np.asarray(grid.coords[grid.dims[0]].values),
        "x": np.asarray(grid.coords[grid.dims[1]].values),
        "spatial_ref": np.array(0, "int64"),
    }
    sizes = {
        "time": len(coordinates["time"]),
        "track": len(coordinates["track"]),
        "y": height,
        "x": width,
        "axis": 3,
    }
    described = coordinate_variables(sensed="sensor_position" in coordinates)
    located = " ".join(variable.name for variable in described if variable.dims != (variable.name,))
    group = zarr.open_group(
        path,
        mode="w-",
        zarr_format=3,
        attributes={
            "Conventions": "CF-1.11",
            "title": "Sentinel-1 flood cube",
            "coordinates": located,
            PLAN_ATTRIBUTE: {"format": FORMAT_VERSION, **plan},
        },
    )
    for variable in described:
        attrs = dict(variable.attrs)
        if variable.name == "spatial_ref":
            attrs = spatial_ref_attrs(grid)
        elif variable.name in ("x", "y"):
            attrs |= axis_attrs(grid, variable.name)
        shape = tuple(sizes[dim] for dim in variable.dims)
        placed = replace(variable, attrs=attrs)
        array = create_array(group, placed, shape, chunks_of(variable, sizes))
        if variable.name in values:
            array[...] = values[variable.name]
    for variable in variables:
        attrs = {**variable.attrs, "grid_mapping": "spatial_ref"}
        shape = tuple(sizes[dim] for dim in variable.dims)
        placed = replace(variable, attrs=attrs)
        create_array(group, placed, shape, chunks_of(variable, sizes))
    tiles = (-(-height // CHUNK), -(-width // CHUNK))
    for variable, trailing in statistics_variables(polarisations) if polarisations else ():
        create_array(group, variable, (sizes["time"], *tiles, *trailing), (1, 1, 1, *trailing))
    consolidate(path)


def consolidate(path: Path) -> None:
    """Put all metadata into the root, so that plain xarray opens the cube in one read."""
    with warnings.catch_warnings():
        # Consolidated metadata is not yet in the Zarr v3 specification; zarr and xarray read it
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        zarr.consolidate_metadata(path)


def axis_attrs(grid: GeoBox, name: str) -> dict[str, str]:
    """CF attributes of ``y`` or ``x``."""
    attrs = grid.coords[grid.dims[0 if name == "y" else 1]]
    if crs_of(grid).geographic:
        return {
            "units": "degrees_north" if name == "y" else "degrees_east",
            "standard_name": "latitude" if name == "y" else "longitude",
        }
    return {"units": str(attrs.units), "standard_name": f"projection_{name}_coordinate"}


def spatial_ref_attrs(grid: GeoBox) -> dict[str, Any]:
    """CF attributes of ``spatial_ref``, with the transform that GDAL reads."""
    affine = grid.affine
    transform = (affine.c, affine.a, affine.b, affine.f, affine.d, affine.e)
    cf = json.loads(json.dumps(crs_of(grid).proj.to_cf()))
    return {**cf, "GeoTransform": " ".join(repr(float(value)) for value in transform)}


def read_plan(path: Path, *, any_format: bool = False) -> dict[str, Any] | None:
    """Plan of the cube at `path`; None where nothing is there.

    Raises
    ------
    StoreError
        Something else is there, or a cube of another format version (unless `any_format`).
    """
    if not path.exists():
        return None
    try:
        group = zarr.open_group(path, mode="r", use_consolidated=False)
        plan = dict(group.attrs).get(PLAN_ATTRIBUTE)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{path}: is there but no flood cube; choose another place") from error
    if not isinstance(plan, dict):
        raise StoreError(f"{path}: is a Zarr group but no flood cube; choose another place")
    found = plan.get("format")
    if found != FORMAT_VERSION and not any_format:
        raise StoreError(
            f"{path}: cube format {found}, this version reads {FORMAT_VERSION}; build it again"
            " with --overwrite"
        )
    return plan


def replace_plan(path: Path, plan: dict[str, Any]) -> None:
    """Keep another plan in a cube, by one atomic rename."""
    try:
        group = zarr.open_group(path, mode="r+", use_consolidated=True)
        group.attrs[PLAN_ATTRIBUTE] = {**(read_plan(path) or {}), **plan}
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror or error})") from error
