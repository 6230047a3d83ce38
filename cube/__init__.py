"""Analysis-ready Sentinel-1 flood cubes with Xarray, Dask and Zarr.

>>> import cube
>>> sorted(cube.__all__)[:3]
['CubeError', 'Request', 'build']

``cube.build(event="demo")`` builds a cube, ``cube.open_cube(path)`` opens one as an ordinary lazy
`xarray.Dataset`. Names load what they need on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cube import infer
    from cube.errors import CubeError
    from cube.steps.coherence import coherence
    from cube.steps.hypsometry import by_height
    from cube.steps.interferogram import interferogram
    from cube.steps.members import coherence_evidence, sieve, vote
    from cube.steps.pairs import coherence_change, coherence_pairs
    from cube.steps.speckle import speckle_filter
    from cube.store.opening import open_cube
    from pipelines.api import build, info, plan, quicklook, verify
    from pipelines.request import Request
    from pipelines.stack import stack

__all__ = [
    "CubeError",
    "Request",
    "build",
    "by_height",
    "coherence",
    "coherence_change",
    "coherence_evidence",
    "coherence_pairs",
    "infer",
    "info",
    "interferogram",
    "open_cube",
    "plan",
    "quicklook",
    "sieve",
    "speckle_filter",
    "stack",
    "verify",
    "vote",
]

_HOMES = {
    "CubeError": "cube.errors",
    "Request": "pipelines.request",
    "build": "pipelines.api",
    "by_height": "cube.steps.hypsometry",
    "coherence": "cube.steps.coherence",
    "coherence_change": "cube.steps.pairs",
    "coherence_evidence": "cube.steps.members",
    "coherence_pairs": "cube.steps.pairs",
    "infer": "cube.infer",
    "info": "pipelines.api",
    "interferogram": "cube.steps.interferogram",
    "open_cube": "cube.store.opening",
    "plan": "pipelines.api",
    "quicklook": "pipelines.api",
    "sieve": "cube.steps.members",
    "speckle_filter": "cube.steps.speckle",
    "stack": "pipelines.stack",
    "verify": "pipelines.api",
    "vote": "cube.steps.members",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cube' has no attribute {name!r}")
    module = importlib.import_module(_HOMES[name])
    return getattr(module, name, module)  # `infer` is a package that may be called itself


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
