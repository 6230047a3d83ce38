"""The default model chunk by chunk, beside plain torch and ONNX Runtime on the same pixels.

Run with ``pytest tests/benchmarks/test_infer_speed.py --benchmark-only -s``. CPU seconds, because
workers share the machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings

import dask
import dask.array as da
import numpy as np
import onnxruntime
import pytest
import torch
import xarray as xr
from spent import in_turns

import cube
from cube.catalog import load_model, load_normaliser
from cube.infer.channels import channels
from cube.infer.predict import predictor
from cube.infer.weights import open_networks
from cube.kernels.expectation import class_probabilities
from pipelines.cost import network_memory

CHUNK = 1024
cpu = pytest.mark.benchmark(timer=time.process_time, min_rounds=3, warmup=True)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def scene(size: int, bands: tuple[str, ...]) -> xr.Dataset:
    rng = np.random.default_rng(0)
    return xr.Dataset(
        {name: (("y", "x"), rng.gamma(4, 0.02, (size, size)).astype("float32")) for name in bands}
    )


@pytest.fixture(scope="module")
def ds(request) -> xr.Dataset:
    size = 1024 if request.config.getoption("benchmark_disable") else 4096
    return scene(size, ("vv", "vh"))


@pytest.fixture
def quiet(benchmark):
    """In small, one processor of those there are: threads of a network wait for one another busily,
    which would count on a machine that has other work."""
    if not benchmark.disabled:
        yield
        return
    every = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(every)})  # of this thread, which is to do all the work
    with dask.config.set(scheduler="synchronous"):
        yield
    os.sched_setaffinity(0, every)


def network(name: str = "single"):
    card = load_model("default").card
    return open_networks("default", card.sha256, "cpu", "float32")[name]


def prepared(size: int) -> np.ndarray:
    """Channels of one tile."""
    branch = next(b for b in load_model("default").card.branches if b.name == "single")
    one = scene(size, ("vv", "vh"))
    bands = np.stack([one.vv.values, one.vh.values])
    return channels(bands, branch.parsed, load_normaliser(branch.normaliser))


def in_torch(given: np.ndarray) -> torch.Tensor:
    with torch.inference_mode():
        tensor = torch.from_numpy(given)[None].contiguous(memory_format=torch.channels_last)
        return network()(tensor)


def in_onnx(given: np.ndarray, folder):
    """Session of ONNX Runtime with the same network, on as many threads."""
    path = folder / "network.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter without onnxscript is deprecated
        torch.onnx.export(
            network(), (torch.from_numpy(given)[None],), path, dynamo=False, opset_version=17,
            input_names=["x"], output_names=["y"],
        )  # fmt: skip
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options)
    return lambda values: session.run(None, {"x": values[None]})[0]


@cpu
def test_chunks_cost_little_over_the_network_itself(benchmark, ds, quiet, tmp_path):
    """Ours over chunks, against the network, its channels and its head on the pixels with halo."""
    function, layout = predictor(["default"], held=frozenset({"vv", "vh"}))
    size = ds.sizes["y"]
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    lazy = ds.chunk(y=CHUNK, x=CHUNK)
    wanted = [*function.layers]

    def ours():
        return dask.compute(*(cube.infer(lazy)[name].data for name in wanted))

    wide = CHUNK + 2 * layout.halo if size > CHUNK else CHUNK
    given = prepared(wide)
    onnx = in_onnx(given, tmp_path)
    np.testing.assert_allclose(onnx(given), in_torch(given).numpy(), atol=1e-3)
    logits = in_torch(given)[0].numpy()
    chunks = (size // CHUNK) ** 2
    inner, pixels = CHUNK**2 / 1e6, size**2 / 1e6
    halo = (wide / CHUNK) ** 2
    benchmark.pedantic(ours, rounds=3, warmup_rounds=1)
    best, torch_s, made_s, scene_s, head_s, onnx_s = in_turns(
        ours,
        lambda: in_torch(given),
        lambda: prepared(wide),
        lambda: scene(wide, ("vv", "vh")),
        lambda: class_probabilities(logits[:2], logits[2:]),
        lambda: onnx(given),
        rounds=7 if benchmark.disabled else 3,
    )
    channel_s = made_s - scene_s
    plain = chunks * (torch_s + channel_s + head_s)
    told = {
        "network in torch": inner * halo / torch_s,
        "network in ONNX Runtime": inner * halo / onnx_s,
        "network, channels and head": inner * halo / (torch_s + channel_s + head_s),
        "ours, halo not counted": pixels / best,
        "halo, times the pixels": halo,
        "over plain, %": 100 * (best / plain - 1),
    }
    for name, value in told.items():
        benchmark.extra_info[name] = round(value, 2)
        print(f"{name}: {value:.2f}")
    # corner chunks have less halo than is reckoned, so ours may come out below
    assert best < (1.25 if benchmark.disabled else 1.1) * plain
    assert benchmark.disabled or pixels / best > 1.0  # of a CPU: 2 Mpix/s of two


@cpu
def test_bfloat16_is_twice_as_fast_where_it_is_there(benchmark, ds, quiet):
    if not torch.cpu._is_avx512_bf16_supported():
        pytest.skip("this processor has no bfloat16")
    lazy = ds.chunk(y=CHUNK, x=CHUNK)

    def ours(precision="bfloat16"):
        return cube.infer(lazy, precision=precision).water_probability.data.compute()

    benchmark.pedantic(ours, rounds=3, warmup_rounds=1)
    exact, rough = in_turns(lambda: ours("float32"), ours)
    rate = ds.sizes["y"] ** 2 / 1e6 / rough
    benchmark.extra_info["Mpix per CPU s"] = round(rate, 2)
    print(f"bfloat16: {rate:.2f} Mpix per CPU s, {exact / rough:.2f} of float32")
    assert rough < exact
    assert benchmark.disabled or rate > 2.0  # of a CPU: 4 Mpix/s of two


WHOLE = """
import json, resource, sys, time
from dataclasses import dataclass
import dask, numpy as np
from cube.infer.cubes import PassSource, pass_layers
from cube.infer.predict import predictor
rows, cols, block = map(int, sys.argv[1:4])

@dataclass(frozen=True)
class Speckled:
    seed: int
    shape: tuple = (rows, cols)
    def read(self, window):
        seed = self.seed, window.line, window.sample
        values = np.random.default_rng(seed).standard_exponential(window.shape, dtype="f4")
        values *= np.float32(0.08)
        return values

@dataclass(frozen=True)
class Nothing:
    shape: tuple = (rows, cols)
    def read(self, window):
        return np.zeros(window.shape, "u1")

function, _ = predictor(["default"])
bands = tuple(Speckled(number) for number in range(len(function.inputs)))
source = PassSource(function, bands, Nothing(), Nothing(), True)
began, spent = time.time(), time.process_time()
layers = pass_layers(source, (rows, cols), block)
ones = [(1,) * many for many in layers.numblocks[1:]]
means = layers.map_blocks(
    lambda values: values.mean(axis=(1, 2), keepdims=True, dtype="f8"),
    chunks=(layers.chunks[0], *ones), dtype="f8")
with dask.config.set(scheduler="threads"):
    values = means.compute().mean(axis=(1, 2)).tolist()
print(json.dumps({
    "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    "seconds": time.time() - began, "cpu": time.process_time() - spent, "values": values}))
"""


@pytest.mark.parametrize(
    "shape", [(4096, 4096), pytest.param((17_000, 25_000), marks=pytest.mark.slow)]
)
def test_a_pass_stays_within_memory(shape):
    """The branch of two dates over a whole pass of a cube, in a process of its own.

    Every block reads its surroundings anew, as of a cube on disk; what is foretold for it holds.
    """
    done = subprocess.run(
        [sys.executable, "-c", WHOLE, *map(str, shape), "2048"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    pixels = shape[0] * shape[1] / 1e6
    print(f"{shape}: {found['peak_gb']:.2f} GB, {pixels / found['cpu']:.2f} Mpix per CPU s")
    assert found["peak_gb"] * 1e9 < network_memory(2048, os.cpu_count() or 1)
    assert os.cpu_count() != 2 or found["peak_gb"] < 3.0
    assert all(np.isfinite(found["values"]))


def test_the_graph_does_not_grow_with_the_weights():
    """A handful of tasks for each chunk, and kilobytes: no weights."""
    import pickle

    lazy = scene(4096, ("vv", "vh")).chunk(y=1024, x=1024)
    found = cube.infer(lazy).water_probability
    given = sum(len(pickle.dumps(lazy[name].__dask_graph__())) for name in ("vv", "vh"))
    assert len(pickle.dumps(dict(found.__dask_graph__()))) < given + 400_000
    assert isinstance(found.data, da.Array)
