"""Sentinel-1 products of a known world: exact geometry, known backscatter, coherence and flood.

Nothing here shares code with the processor: an error of sign or datum in either shows up.
"""

from __future__ import annotations

from cube.simulate.event import SimulatedEvent, simulate_event
from cube.simulate.product import ProductSpec
from cube.simulate.products import simulate_product
from cube.simulate.safe import rewrite_pixels, write_grd
from cube.simulate.scenarios import SCENARIOS, Scenario
from cube.simulate.slc import SlcScene, simulate_slc
from cube.simulate.slc_template import make_slc_template

__all__ = [
    "SCENARIOS",
    "ProductSpec",
    "Scenario",
    "SimulatedEvent",
    "SlcScene",
    "make_slc_template",
    "rewrite_pixels",
    "simulate_event",
    "simulate_product",
    "simulate_slc",
    "write_grd",
]
