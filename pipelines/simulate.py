"""``cube simulate``."""

from __future__ import annotations

from pathlib import Path

from cube.errors import PlanError
from cube.simulate import SCENARIOS, simulate_event

__all__ = ["simulate"]


PRODUCTS = {"grd": ("grd",), "slc": ("slc",), "both": ("grd", "slc")}
"""What ``--product`` names."""


def simulate(
    folder: Path,
    *,
    seed: int = 0,
    small: bool = False,
    scenario: str | None = None,
    product: str = "grd",
) -> Path:
    """Simulate an event into a new folder; see `cube.simulate.simulate_event`.

    Parameters
    ----------
    folder : Path
    seed : int
    small : bool
        Short for the scenario ``small``.
    scenario : str, optional
        ``demo`` if none is given, ``small`` or ``indus``.
    product : {"grd", "slc", "both"}
        Detected images, single-look complex ones, or both of the same passes.

    Raises
    ------
    PlanError
        There is no such scenario or product, or the folder exists or cannot be written.
    """
    name = scenario or ("small" if small else "demo")
    if name not in SCENARIOS:
        raise PlanError(f"no scenario {name!r}; choose one of {', '.join(SCENARIOS)}")
    if small and name != "small":
        raise PlanError(f"--small and the scenario {name!r} exclude each other; leave one out")
    if product not in PRODUCTS:
        raise PlanError(f"no product {product!r} is simulated; choose grd, slc or both")
    folder = folder.absolute()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        return simulate_event(
            folder, seed=seed, scenario=SCENARIOS[name], products=PRODUCTS[product]
        ).directory
    except FileExistsError as error:
        raise PlanError(f"{folder}: exists already; choose a new folder") from error
    except OSError as error:
        raise PlanError(f"{folder}: cannot be written ({error.strerror or error})") from error
