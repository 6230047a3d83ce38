"""Lazy stacks: what a build would write, as a Dataset that computes what is asked of it."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from cube.errors import PlanError
from cube.readers.passes import Pass
from cube.schema import SENSOR_POSITION
from cube.steps.slc import SlcSource, geocoded_slc
from cube.store.template import PLAN_ATTRIBUTE, axis_attrs, spatial_ref_attrs
from pipelines.images import image_variables
from pipelines.inputs import maps_of, ready
from pipelines.plan import Plan, plan_cube
from pipelines.request import Request, Resolved
from pipelines.resolve import open_source, resolve
from pipelines.runner import Progress
from pipelines.single_look import references_of, sensor_positions, slices_of

__all__ = ["stack"]


def stack(*, quiet: bool = True, **options: Any) -> xr.Dataset:
    """Complex images of an event or a box as a lazy stack; nothing is written but unpacked zips.

    The values are those of a cube that ``cube.build`` writes with the same options, bit for bit;
    every look at them computes them anew, so build a cube where they are looked at twice.

    Parameters
    ----------
    quiet : bool
        Without progress lines on standard error.
    **options
        Those of `pipelines.request.Request`, for example ``event="demo"`` or ``bbox``, ``before``,
        ``during``, ``source`` and ``dem``. ``product`` is ``slc``.

    Returns
    -------
    Dataset
        ``slc_vv`` … complex64 (time, y, x), with the coordinates that a cube has.

    Raises
    ------
    cube.CubeError
        It cannot be planned as asked.
    """
    options.setdefault("product", "slc")
    request = Request(**options)
    if request.product != "slc":
        raise PlanError(f"product {request.product!r} has no lazy stack; give slc, or build a cube")
    progress = Progress(quiet=quiet)
    resolved = resolve(request)
    plan, passes, tiles = plan_cube(request, resolved, open_source(resolved, request))
    if "slc" not in plan.layers:
        raise PlanError(f"preset {resolved.preset.name} has no lazy stack; build a cube")
    passes = ready(passes, plan, resolved, progress)
    dem = maps_of(resolved, plan, tiles, progress).dem
    polarisations, block = plan.polarisations, plan.run["block"]
    references = references_of(passes, polarisations, resolved.grid)
    images = [
        geocoded_slc(
            SlcSource(
                resolved.grid,
                dem,
                slices_of(one, polarisations),
                slices_of(passes[references[one.track]], polarisations),
                delay=resolved.path_delay,
            ),
            block,
        )
        for one in passes
    ]
    found = xr.Dataset(
        {
            variable.name: (
                ("time", "y", "x"),
                da.stack([image[band] for image in images]),
                {**variable.attrs, "grid_mapping": "spatial_ref"},
            )
            for band, variable in enumerate(image_variables(plan, passes, resolved))
        }
    )
    found.attrs[PLAN_ATTRIBUTE] = plan.stored()
    return found.assign_coords(_coordinates(resolved, plan, passes))


def _coordinates(resolved: Resolved, plan: Plan, passes: tuple[Pass, ...]) -> dict[str, Any]:
    """Those of a cube: of its map and of its passes."""
    grid = resolved.grid
    axes = {
        name: (name, np.asarray(grid.coords[dim].values), axis_attrs(grid, name))
        for name, dim in zip(("y", "x"), grid.dims, strict=True)
    }
    records = plan.passes
    return {
        **axes,
        "spatial_ref": ((), 0, spatial_ref_attrs(grid)),
        "time": np.array([one.time for one in records], "datetime64[ns]"),
        "relative_orbit": ("time", np.array([one.track for one in records], "int16")),
        "orbit_direction": ("time", [one.direction for one in records]),
        "platform": ("time", [one.platform for one in records]),
        "role": ("time", [one.role for one in records]),
        "scene_ids": ("time", [" ".join(one.scenes) for one in records]),
        "sensor_position": (
            ("time", "axis"),
            sensor_positions(passes, plan.polarisations, grid),
            dict(SENSOR_POSITION.attrs),
        ),
    }
