"""Running lazy blocks on threads, processes or a cluster, with progress."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import dask.threaded
from dask.base import optimize
from dask.callbacks import Callback
from dask.core import flatten

from cube.errors import PlanError

__all__ = ["Progress", "Runner", "task_graph"]


class Progress:
    """Progress by stage and block: a live bar on a terminal, plain lines elsewhere."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._live = not quiet and sys.stderr.isatty()

    def say(self, line: str) -> None:
        """One line about what happens."""
        if not self._quiet:
            print(line, file=sys.stderr, flush=True)

    @contextmanager
    def stage(self, title: str, total: int) -> Iterator[Callable[[], None]]:
        """Count `total` blocks; yields what to call after each."""
        if self._live:
            with self._bar(title, total) as advance:
                yield advance
            return
        began, done = time.monotonic(), 0

        def advance_plain() -> None:
            nonlocal done
            done += 1

        yield advance_plain
        seconds = time.monotonic() - began
        rate = f", {done / seconds:.1f} blocks/s" if seconds > 0 and done else ""
        self.say(f"{title}: {done} of {total} blocks in {seconds:.1f} s{rate}")

    @contextmanager
    def _bar(self, title: str, total: int) -> Iterator[Callable[[], None]]:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        began, done = time.monotonic(), 0
        with Bar(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(title, total=total, rate="")

            def advance() -> None:
                nonlocal done
                done += 1
                rate = done / max(time.monotonic() - began, 1e-3)
                bar.update(task, advance=1, rate=f"{rate:.1f} blocks/s")

            yield advance


class _Count(Callback):
    """Call `advance` whenever one of `keys` is computed."""

    def __init__(self, keys: set[Any], advance: Callable[[], None]) -> None:
        super().__init__(posttask=self._after)  # type: ignore[no-untyped-call]
        self._keys, self._advance = keys, advance

    def _after(self, key: Any, *_: Any) -> None:
        if key in self._keys:
            self._advance()


def task_graph(arrays: Sequence[Any]) -> tuple[dict[Any, Any], list[Any]]:
    """Tasks of lazy blocks, without those that none of them needs, and the key of each block."""
    optimised = optimize(*arrays)
    graph: dict[Any, Any] = {}
    for block in optimised:
        graph.update(block.__dask_graph__())
    return graph, [key for block in optimised for key in flatten(block.__dask_keys__())]


class Runner:
    """Where tasks run: ``threads``, ``processes`` (a local cluster) or a scheduler's address.

    Parameters
    ----------
    scheduler : str
    workers : int
        Threads, or processes of one thread.
    memory_limit : int
        Bytes per worker, for ``processes``.
    """

    def __init__(self, scheduler: str, workers: int, memory_limit: int) -> None:
        self._scheduler = scheduler
        self._workers = workers
        self._memory = memory_limit
        self._client: Any = None
        self._cluster: Any = None

    def __enter__(self) -> Runner:
        if self._scheduler == "threads":
            return self
        from distributed import Client, LocalCluster

        if self._scheduler == "processes":
            self._cluster = LocalCluster(
                n_workers=self._workers,
                threads_per_worker=1,
                memory_limit=self._memory,
                dashboard_address=None,
            )
            self._client = Client(self._cluster, set_as_default=False)
        else:
            try:
                self._client = Client(self._scheduler, timeout="20s", set_as_default=False)
            except (OSError, ValueError) as error:
                raise PlanError(
                    f"--scheduler {self._scheduler}: no Dask scheduler answers there ({error});"
                    " start one, or choose threads or processes"
                ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for part in (self._client, self._cluster):
            if part is not None:
                part.close()

    @property
    def dashboard(self) -> str | None:
        """Address of the cluster's dashboard, where it has one."""
        if self._client is None or "dashboard" not in self._client.scheduler_info()["services"]:
            return None
        return str(self._client.dashboard_link)

    def run(self, arrays: Sequence[Any], advance: Callable[[], None]) -> list[Any]:
        """Compute lazy arrays; call `advance` as each finishes. Returns their values."""
        if not arrays:
            return []
        if self._client is None:
            graph, keys = task_graph(arrays)
            with _Count(set(keys), advance):
                return list(dask.threaded.get(graph, keys, num_workers=self._workers))
        from distributed import KilledWorker, as_completed

        futures = self._client.compute(list(arrays))
        try:
            for future in as_completed(futures, loop=self._client.loop):
                future.result()
                advance()
            return list(self._client.gather(futures))
        except KilledWorker as error:
            raise PlanError(
                f"a worker died again and again ({str(error).splitlines()[0][:160]}); give a"
                " larger --memory-limit or fewer --workers, and run the same command again"
            ) from error
        finally:
            self._client.cancel(futures)
