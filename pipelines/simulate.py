"""``cube simulate``."""

from __future__ import annotations

from pathlib import Path

from cube.errors import PlanError
from cube.simulate import simulate_event

__all__ = ["simulate"]


def simulate(folder: Path, *, seed: int = 0, small: bool = False) -> Path:
    """Simulate an event into a new folder; see `cube.simulate.simulate_event`.

    Raises
    ------
    PlanError
        The folder exists, or cannot be written.
    """
    folder = folder.absolute()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        return simulate_event(folder, seed=seed, small=small).directory
    except FileExistsError as error:
        raise PlanError(f"{folder}: exists already; choose a new folder") from error
    except OSError as error:
        raise PlanError(f"{folder}: cannot be written ({error.strerror or error})") from error
