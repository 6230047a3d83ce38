"""How every kernel is compiled."""

from __future__ import annotations

from numba import njit

__all__ = ["compiled", "inlined"]

compiled = njit(nogil=True, cache=True, error_model="numpy")
"""Without the GIL, kept on disk, and dividing as numpy does.

A zero divisor gives NaN or infinity. Python's check of every divisor would keep the loop around it
from being done eight samples at a time: calibration went from 270 to 720 Mpix a CPU-second.
"""

inlined = njit(nogil=True, error_model="numpy", inline="always")
"""The same, but made part of the kernel that calls it.

For what is called with whole arrays once a pixel: handing these over takes as long as the work.
"""
