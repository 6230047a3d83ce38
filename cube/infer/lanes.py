"""Ways to a device and back, so that copies, the decoding of chunks and networks overlap.

A lane is a stream of copies with two pinned buffers. A thread holds one for as long as a tile is
under way; there are few, and with them what tiles hold of the device's memory is bounded, however
many threads dask has. All networks run on one further stream: its memory is used again by the next
tile as soon as kernels are queued, and nobody waits for a kernel but who wants its result.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import LifoQueue
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["Lane", "lane"]

Float32 = NDArray[np.float32]

LANES = 6
"""Tiles under way at once: one in the network, others going up or down."""
STRIP = 4 * 2**20
"""Samples of a pinned buffer: 16 MiB. Pinned memory is dear, and never given back."""

_turn = threading.Lock()
_making = threading.Lock()
_pools: dict[torch.device, LifoQueue[Any]] = {}
_streams: dict[torch.device, torch.cuda.Stream] = {}


class Lane:
    """Copies that need none: the device is this processor."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def up(self, values: NDArray[Any]) -> torch.Tensor:
        """Float32 tensor on the device, of the shape of `values` (y, x, band)."""
        return torch.from_numpy(np.array(values, np.float32, order="C"))

    def facts(self, few: torch.Tensor) -> list[float]:
        """A few numbers of the device, waited for."""
        return [float(one) for one in few.tolist()]

    def down(self, layers: torch.Tensor, out: Float32) -> None:
        """Copy layers (layer, y, x) into an array of that shape."""
        np.copyto(out, layers.numpy())

    @contextmanager
    def current(self) -> Iterator[None]:
        """Copies and kernels within go this way."""
        yield

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Kernels within are a network's: one thread at a time queues them."""
        with _turn:
            yield


class _Pinned(Lane):
    """Copies to and from a GPU, beside its kernels."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        # before the network's blocks of threads, or its few kernels would wait for whole tiles
        self.stream = torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]
        self.buffers = [torch.empty(STRIP, pin_memory=True) for _ in range(2)]
        # waiting threads sleep: those of a busy wait would take processors from the decoding
        self.events = [
            torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            for _ in range(2)
        ]

    def up(self, values: NDArray[Any]) -> torch.Tensor:
        """See `Lane.up`; the last strips are still under way on the stream."""
        out = torch.empty(values.shape, dtype=torch.float32, device=self.device)
        step = max(STRIP // max(values[:1].size, 1), 1)
        for number, top in enumerate(range(0, len(values), step)):
            part = values[top : top + step]
            strip, event = self._strip(number, part.shape), self.events[number % 2]
            event.synchronize()
            np.copyto(strip.numpy(), part, casting="unsafe")
            out[top : top + step].copy_(strip, non_blocking=True)
            event.record(self.stream)
        return out

    def facts(self, few: torch.Tensor) -> list[float]:
        self.events[0].synchronize()
        strip = self._strip(0, few.shape)
        strip.copy_(few, non_blocking=True)
        self.events[0].record(self.stream)
        self.events[0].synchronize()
        return [float(one) for one in strip.tolist()]

    def down(self, layers: torch.Tensor, out: Float32) -> None:
        step = max(STRIP // max(out.shape[-1], 1), 1)
        before: tuple[Float32, torch.Tensor, torch.cuda.Event] | None = None
        places = [(layer, top) for layer in range(len(out)) for top in range(0, out.shape[1], step)]
        for number, (layer, top) in enumerate(places):
            target = out[layer, top : top + step]
            strip, event = self._strip(number, target.shape), self.events[number % 2]
            event.synchronize()
            strip.copy_(layers[layer, top : top + step], non_blocking=True)
            event.record(self.stream)
            self._take(before)  # while the next strip is under way
            before = target, strip, event
        self._take(before)

    def _take(self, arriving: tuple[Float32, torch.Tensor, torch.cuda.Event] | None) -> None:
        if arriving is not None:
            target, strip, event = arriving
            event.synchronize()
            np.copyto(target, strip.numpy())

    def _strip(self, number: int, shape: tuple[int, ...]) -> torch.Tensor:
        size = int(np.prod(shape))
        if size > STRIP:
            raise ValueError(f"a row of {size} samples; lanes carry {STRIP} at most")
        return self.buffers[number % 2][:size].view(shape)

    @contextmanager
    def current(self) -> Iterator[None]:
        with torch.cuda.stream(self.stream):
            yield

    @contextmanager
    def turn(self) -> Iterator[None]:
        with _turn:
            stream = _streams.get(self.device)
            if stream is None:
                stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
                _streams[self.device] = stream
            stream.wait_stream(self.stream)
            try:
                with torch.cuda.stream(stream):
                    yield
            finally:
                # also after an error: what this stream frees, kernels of the other may still read
                self.stream.wait_stream(stream)


@contextmanager
def lane(device: torch.device) -> Iterator[Lane]:
    """A lane to a device, for as long as no other thread has it; waits for one."""
    with _making:
        pool = _pools.get(device)
        if pool is None:
            pool = _pools[device] = LifoQueue()
            for _ in range(LANES):
                pool.put(None)  # made when first wanted
    held = pool.get()
    try:
        if held is None:
            held = _Pinned(device) if device.type == "cuda" else Lane(device)
        with held.current():
            yield held
    finally:
        pool.put(held)
