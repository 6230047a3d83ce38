"""The Python door: the commands as functions."""

from __future__ import annotations

from typing import Any

import xarray as xr

from cube.store.opening import open_cube
from pipelines.build import build as _build
from pipelines.cubes import info
from pipelines.plan import Plan, make_plan
from pipelines.quicklook import quicklook
from pipelines.request import Request
from pipelines.runner import Progress
from pipelines.verify import verify

__all__ = ["build", "info", "plan", "quicklook", "verify"]


def plan(**options: Any) -> Plan:
    """Plan a cube without writing anything; options are those of `pipelines.request.Request`.

    Raises
    ------
    cube.CubeError
        It cannot be built as asked.
    """
    return make_plan(Request(**options))


def build(*, quiet: bool = True, **options: Any) -> xr.Dataset:
    """Build a cube (or go on with one) and open it.

    Parameters
    ----------
    quiet : bool
        Without progress lines on standard error.
    **options
        Those of `pipelines.request.Request`, for example ``event="demo"``.

    Returns
    -------
    xarray.Dataset
        Lazy, as `cube.open_cube` gives it.

    Raises
    ------
    cube.CubeError
        One line that says what was found, what was allowed and what to do.
    """
    result = _build(Request(**options), Progress(quiet=quiet))
    return open_cube(result.path)
