"""Sentinel-1 GRD products of a known world: exact geometry, known backscatter, known flood.

Nothing here shares code with the processor: an error of sign or datum in either shows up.
"""

from __future__ import annotations

from cube.simulate.event import SimulatedEvent, simulate_event
from cube.simulate.product import ProductSpec
from cube.simulate.products import simulate_product
from cube.simulate.safe import rewrite_pixels, write_grd
from cube.simulate.scenarios import SCENARIOS, Scenario

__all__ = [
    "SCENARIOS",
    "ProductSpec",
    "Scenario",
    "SimulatedEvent",
    "rewrite_pixels",
    "simulate_event",
    "simulate_product",
    "write_grd",
]
