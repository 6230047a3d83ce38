"""One stage of a store: the blocks that its journal misses, written with progress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cube.store.write import Journal, Target, write_blocks
from pipelines.runner import Progress, Runner

__all__ = ["write_stage"]


def write_stage(
    journal: Journal,
    title: str,
    stack: Any,
    targets: Sequence[Target],
    runner: Runner,
    progress: Progress,
    statistics: Mapping[str, tuple[int, Any]] | None = None,
) -> None:
    """Write the blocks of a stage that are missing; one that is whole costs a look at its journal.

    Parameters
    ----------
    journal : Journal
        Opened here.
    title : str
        What is said of it.
    stack, targets, statistics
        See `cube.store.write.write_blocks`.
    runner : Runner
    progress : Progress
    """
    journal.open()
    writes = write_blocks(stack, journal.path, targets, journal, statistics)
    if writes:
        with progress.stage(title, len(writes)) as advance:
            runner.run(writes, advance)
