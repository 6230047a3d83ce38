"""Models on workers of a cluster: the values of this process, on workers that fit."""

from __future__ import annotations

import numpy as np
import pytest
from distributed import Client
from test_predict import scene, with_reference

import cube


def test_a_worker_in_another_process_gives_the_same(two_branches):
    ds = with_reference(scene(2)).chunk(time=1, y=80, x=70)
    lazy = cube.infer(ds, two_branches)
    here = lazy.compute(scheduler="threads")
    with Client(n_workers=1, threads_per_worker=2, dashboard_address=None) as client:
        there = lazy.compute()
        threads = client.run(_threads_of_torch)
    for name in ("water_probability", "flood_probability", "entropy", "aleatoric"):
        # other threads may add up in another order
        np.testing.assert_allclose(there[name], here[name], atol=1e-6)
    assert set(threads.values()) == {2}


def _threads_of_torch() -> int:
    import torch

    return torch.get_num_threads()


def test_blocks_wait_for_a_worker_with_their_resources(two_branches):
    lazy = cube.infer(scene(1).chunk(y=80), two_branches, resources={"GPU": 1})
    layers = lazy.entropy.__dask_graph__().layers.values()
    marked = [one for one in layers if (one.annotations or {}).get("resources") == {"GPU": 1}]
    assert marked
    with Client(n_workers=1, threads_per_worker=1, dashboard_address=None, resources={"GPU": 1}):
        there = lazy.entropy.compute()
    here = cube.infer(scene(1), two_branches).entropy
    np.testing.assert_allclose(there, here, atol=1e-6)


@pytest.mark.parametrize("chunks", [{"y": 64, "x": 64}, {"y": 150, "x": 131}])
def test_one_network_runs_at_a_time(two_branches, chunks, monkeypatch):
    """However many threads dask has: layers are held once."""
    import threading

    from cube.infer.networks import UNet

    running, most, forward = [0], [0], UNet.forward
    lock = threading.Lock()

    def counted(self, x):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        try:
            return forward(self, x)
        finally:
            with lock:
                running[0] -= 1

    monkeypatch.setattr(UNet, "forward", counted)
    cube.infer(scene(4).chunk(time=1, **chunks), two_branches).entropy.compute(
        scheduler="threads", num_workers=4
    )
    assert most[0] == 1
