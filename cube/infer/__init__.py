"""Networks applied to cubes block by block; the only place that knows torch.

The package is callable: ``cube.infer(ds, model)`` is `cube.infer.predict.infer`.
"""

from __future__ import annotations

import sys
import types
from typing import Any


class _Callable(types.ModuleType):
    """A module that may be called: importing any part of it would hide a function of its name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from cube.infer.predict import infer  # torch takes a second

        return infer(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
