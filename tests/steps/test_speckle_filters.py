"""Filters on readers and lazy arrays: halos, graphs and what is refused."""

from __future__ import annotations

import pickle
import tracemalloc
from contextlib import contextmanager
from itertools import pairwise

import dask
import dask.array as da
import numpy as np
import pytest
import speckle_references as references
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from speckle_references import same_bits, speckled

from cube.errors import PlanError
from cube.kernels import speckle
from cube.readers.scene import open_calibrated
from cube.readers.window import Window
from cube.steps.speckle import Filtered, scene_z98, speckle_filter

SINGLE = ["boxcar", "lee", "refined-lee", "lee-sigma"]
EVERY = [*SINGLE, "quegan"]
SHAPE = (3, 23, 31)


@contextmanager
def no_compute():
    """A scheduler that refuses."""

    def refuse(*_, **__):
        raise AssertionError("computed while only a graph was asked for")

    with dask.config.set(scheduler=refuse):
        yield


class Memory:
    """A reader of an array that remembers what was asked of it."""

    def __init__(self, image):
        self.image = image
        self.shape = image.shape
        self.asked = []

    def read(self, window):
        self.asked.append(window)
        assert min(window) >= 0
        assert window.line_stop <= self.shape[0]
        assert window.sample_stop <= self.shape[1]
        return self.image[window.line : window.line_stop, window.sample : window.sample_stop]


class Ramp:
    """A large image that is nowhere: the power of a sample is its number, scaled."""

    def __init__(self, shape):
        self.shape = shape

    def read(self, window):
        line = np.arange(window.line, window.line_stop, dtype="float32")[:, None]
        sample = np.arange(window.sample, window.sample_stop, dtype="float32")
        return line + sample / np.float32(self.shape[1])


@pytest.fixture(scope="module")
def stack():
    """Three dates with gaps, zeros, negative power and a point target."""
    rng = np.random.default_rng(0)
    found = speckled(rng, SHAPE) - np.float32(0.01)
    found[rng.random(SHAPE) < 0.1] = np.nan
    found[rng.random(SHAPE) < 0.05] = 0
    found[:, 10:13, 14:17] = 8
    return found


@pytest.fixture(scope="module")
def image(stack):
    """The same, with what an image of a cube carries."""
    return xr.DataArray(
        stack,
        dims=("time", "y", "x"),
        coords={"time": [3, 1, 2], "y": np.arange(SHAPE[1]) * -10.0, "orbit": ("time", [7, 8, 9])},
        name="vv",
        attrs={"units": "1", "backscatter": "gamma0"},
    )


def arguments(name):
    return {"z98": 0.4} if name == "lee-sigma" else {}


def corners(data, shape):
    """Window of at least one sample inside an image."""
    line, sample = (data.draw(st.integers(0, length - 1)) for length in shape)
    stops = [data.draw(st.integers(at + 1, n)) for at, n in zip((line, sample), shape, strict=True)]
    return Window(line, sample, *stops)


@pytest.mark.parametrize("name", SINGLE)
@settings(deadline=None)  # the first call compiles
@given(data=st.data())
def test_any_window_of_a_filtered_image_has_the_bits_of_the_whole(stack, name, data):
    reader = Memory(stack[0])
    window = corners(data, reader.shape)
    filtered = Filtered(reader, name, **arguments(name))
    whole = filtered.read(Window(0, 0, *reader.shape))
    assert same_bits(whole, speckle.FILTERS[name].apply(stack[0], **arguments(name)))
    # what is near is not passed on: readers may leave out the rest, and the filter needs it
    part = filtered.read(window, (np.zeros((1, 1)), np.zeros((1, 1))))
    assert same_bits(
        part, whole[window.line : window.line_stop, window.sample : window.sample_stop]
    )
    asked = reader.asked[-1]
    assert max(np.abs(np.subtract(asked, window))) <= filtered.halo


def test_calibrated_measurements_are_filtered(made):
    calibrated = open_calibrated(made.files()[0], "gamma0")
    window = Window(0, 200, 60, 290)
    near = np.full((1, 1), 30.0), np.full((1, 1), 240.0)
    filtered = Filtered(calibrated, "lee", looks=4.4, window=5)
    assert filtered.shape == calibrated.shape
    grown = calibrated.read(Window(0, 198, 62, 292))
    wanted = speckle.lee(grown, 5, 4.4)[:60, 2:-2]
    assert same_bits(filtered.read(window, near), wanted)
    assert np.isfinite(wanted).any()


def test_a_filtered_reader_travels(stack):
    filtered = Filtered(Memory(stack[0]), "lee-sigma", z98=0.4, window=5)
    window = Window(3, 4, 9, 12)
    assert same_bits(pickle.loads(pickle.dumps(filtered)).read(window), filtered.read(window))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("frost", {}, "no speckle filter 'frost'; choose one of boxcar, lee, refined-lee, lee-si"),
        ("quegan", {}, "'quegan' takes all dates together, not one image"),
        ("lee-sigma", {}, "'lee-sigma' needs the image's z98; see scene_z98"),
        ("lee", {"z98": 1.0}, "'lee' takes no z98; leave it out"),
        ("lee", {"damping": 1}, "'lee': no option damping; known are looks, window"),
        ("lee", {"window": 4}, "'lee': window of 4 samples; give an odd size"),
        ("lee-sigma", {"z98": 1, "looks": 7}, "'lee-sigma': no sigma range for 7 looks"),
    ],
)
def test_what_a_reader_cannot_filter_is_refused(stack, name, options, message):
    with pytest.raises(PlanError, match=message):
        Filtered(Memory(stack[0]), name, **options)


def test_the_percentile_of_a_part_counts_all_of_a_small_one(stack):
    window = Window(2, 3, 20, 29)
    wanted = references.percentile(stack[0, 2:20, 3:29].ravel().tolist())
    assert scene_z98(Memory(stack[0]), window) == wanted


def test_the_percentile_of_nothing_is_nan():
    assert np.isnan(scene_z98(Memory(np.full((5, 5), np.nan, "float32")), Window(0, 0, 5, 5)))


def test_the_percentile_of_a_large_part_takes_lines_and_samples_of_the_image(monkeypatch):
    reader, window = Ramp((5000, 6000)), Window(1001, 1501, 4001, 5504)
    monkeypatch.setattr("cube.steps.speckle.ENOUGH", 10_000)
    step = 35  # the least that leaves no more than 10,000 of 3000 x 4003
    whole = reader.read(Window(0, 0, 5000, 6000))
    wanted = references.percentile(
        whole[1015:4001:step, 1505:5504:step].ravel().tolist()  # multiples of 35
    )
    found = {scene_z98(reader, window)}
    for part in ((64, 100), (513, 4096), (10_000, 10_000)):
        monkeypatch.setattr("cube.steps.speckle.PART", part)
        found.add(scene_z98(reader, window))
    assert found == {wanted}


def test_the_percentile_of_a_scene_takes_little_memory():
    shape = 16_000, 26_000
    tracemalloc.start()
    try:
        found = scene_z98(Ramp(shape), Window(0, 0, *shape))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == pytest.approx(0.98 * shape[0], rel=1e-3)
    assert peak < 50e6


@pytest.mark.parametrize("name", EVERY)
@settings(deadline=None, max_examples=25)  # the first call compiles
@given(data=st.data())
def test_chunks_never_change_a_bit(image, name, data):
    chunks = {}
    for dim, length in image.sizes.items():
        cuts = data.draw(st.sets(st.integers(1, length - 1), max_size=4))
        edges = [0, *sorted(cuts), length]
        chunks[dim] = tuple(b - a for a, b in pairwise(edges))
    window = data.draw(st.sampled_from([3, 7, 11]))
    options = {} if name == "refined-lee" else {"window": window}
    whole = speckle_filter(image, name, **options, **arguments(name))
    with no_compute():
        lazy = speckle_filter(image.chunk(chunks), name, **options, **arguments(name))
    assert lazy.dtype == np.float32
    computed = lazy.compute(scheduler="sync")
    assert same_bits(computed.values, whole.values)
    xr.testing.assert_identical(computed, whole)


@pytest.mark.parametrize("name", EVERY)
def test_images_smaller_than_the_halo_are_filtered_too(image, name):
    small = image[:, 9:11, 12:15]  # the halo is 3
    found = speckle_filter(small.chunk(time=1, y=1, x=2), name, **arguments(name))
    wanted = speckle_filter(small, name, **arguments(name))
    assert same_bits(found.compute(scheduler="sync").values, wanted.values)


@pytest.mark.parametrize("name", EVERY)
def test_filtering_keeps_what_an_image_carries(image, name):
    found = speckle_filter(image, name)
    kernel = speckle.FILTERS[name]
    extra = {"z98": references.percentile(image.values[1].ravel().tolist())}
    one = image.values if kernel.needs_time else image.values[1]
    wanted = kernel.apply(one, **(extra if kernel.needs_z98 else {}))
    assert same_bits(found.values if kernel.needs_time else found.values[1], wanted)
    assert found.attrs.pop("speckle_filter").startswith(f"{name} (")
    xr.testing.assert_identical(found.copy(data=image.data), image)


def test_the_attribute_says_how():
    image = xr.DataArray(np.ones((8, 8), "f4"), dims=("y", "x"))
    found = speckle_filter(image, "lee-sigma", looks=4, z98=3.0)
    assert found.speckle_filter == "lee-sigma (looks 4, sigma 0.9, target 3, window 7)"


@pytest.mark.parametrize("name", EVERY)
def test_chunks_are_kept_where_they_can_be(image, name):
    found = speckle_filter(image.chunk(time=1, y=8, x=31), name)
    dates = (3,) if name == "quegan" else (1, 1, 1)
    assert found.chunks == (dates, (8, 8, 7), (31,))


@pytest.mark.parametrize("name", EVERY)
def test_dimensions_may_come_in_any_order(image, name):
    other = image.copy(data=image.values[:, ::-1] * 2)
    both = xr.concat([image, other], xr.Variable("polarisation", ["vv", "vh"]))
    found = speckle_filter(both.transpose("x", "polarisation", "y", "time"), name)
    assert found.dims == ("x", "polarisation", "y", "time")
    wanted = speckle_filter(both.isel(polarisation=1), name)
    got = found.isel(polarisation=1).transpose("time", "y", "x")
    assert same_bits(got.values, wanted.values)


@pytest.mark.parametrize("name", EVERY)
def test_equal_graphs_have_equal_keys(image, name):
    lazy = image.chunk(y=8, x=9)
    again = image.copy().chunk(y=8, x=9)
    key = speckle_filter(lazy, name).data.name
    assert speckle_filter(again, name).data.name == key
    assert speckle_filter(again * 2, name).data.name != key
    options = {"looks": 2} if name != "boxcar" and name != "quegan" else {"window": 5}
    assert speckle_filter(lazy, name, **options).data.name != key


def test_every_image_has_its_own_percentile_and_it_is_lazy(image):
    levels = image * xr.DataArray(np.array([1, 10, 100], "f4"), dims="time")
    for one in (levels, levels.chunk(time=2, y=5, x=6)):
        with no_compute():
            found = speckle_filter(one, "lee-sigma")
        for k in range(3):
            limit = references.percentile(levels.values[k].ravel().tolist())
            wanted = speckle_filter(levels[k], "lee-sigma", z98=limit)
            assert same_bits(found[k].compute(scheduler="sync").values, wanted.values)


def test_a_lazy_percentile_is_the_readers(monkeypatch):
    monkeypatch.setattr("cube.steps.speckle.ENOUGH", 500)
    power = speckled(np.random.default_rng(1), (90, 110))
    power[40:43, 50:53] = 9
    limit = scene_z98(Memory(power), Window(0, 0, 90, 110))
    image = xr.DataArray(power, dims=("y", "x"))
    wanted = speckle_filter(image, "lee-sigma", z98=limit)
    assert same_bits(speckle_filter(image, "lee-sigma").values, wanted.values)
    lazy = speckle_filter(image.chunk(y=40, x=50), "lee-sigma")
    assert same_bits(lazy.compute(scheduler="sync").values, wanted.values)
    assert limit != references.percentile(power.ravel().tolist())  # it was thinned


def test_percentiles_may_be_given_in_many_ways(image):
    lazy = image.chunk(time=2, y=9, x=10)
    wanted = speckle_filter(image, "lee-sigma", z98=0.4).values
    each = xr.DataArray([0.1, 0.4, 9.0], dims="time", coords={"time": [30, 10, 20]})
    ways = [0.4, np.float32(0.4), da.from_array(np.array(0.4)), dask.delayed(float)(0.4), each]
    for way in ways:
        with no_compute():
            found = speckle_filter(lazy, "lee-sigma", z98=way)
        assert same_bits(found[1].compute(scheduler="sync").values, wanted[1])
    assert not same_bits(found[0].compute(scheduler="sync").values, wanted[0])
    assert same_bits(speckle_filter(image, "lee-sigma", z98=each).values[1], wanted[1])


@pytest.mark.parametrize(
    ("changes", "name", "options", "message"),
    [
        ({}, "frost", {}, "choose one of boxcar, lee, refined-lee, lee-sigma, quegan"),
        ({}, "lee", {"size": 5}, "'lee': no option size; known are looks, window"),
        ({}, "lee", {"looks": -1}, "'lee': -1 looks; give a number above 0"),
        ({}, "boxcar", {"z98": 1.0}, "'boxcar' takes no z98; leave it out"),
        (
            {"units": "dB"},
            "lee",
            {},
            r"image is in dB; filter linear power, 10 \*\* \(image / 10\)",
        ),
        ({"units": " db"}, "lee", {}, "image is in dB"),
        ({"dims": ("y", "x", "band")}, "quegan", {}, "'quegan' needs the dimension 'time'; the im"),
        ({"dims": ("time", "lat", "x")}, "lee", {}, "'lee' needs the dimension 'y'; the image has"),
        ({"dtype": "complex64"}, "lee", {}, "image is complex64; filter real linear power"),
        ({}, "lee-sigma", {"z98": np.ones(3)}, "z98 has {'dim_0': 3}; the images are {'time': 2}"),
        ({}, "lee-sigma", {"z98": dask.delayed(float)(1)}, "z98 is lazy and the image is not"),
    ],
)
def test_what_cannot_be_filtered_is_refused(changes, name, options, message):
    image = xr.DataArray(
        np.ones((2, 3, 4), changes.get("dtype", "float32")),
        dims=changes.get("dims", ("time", "y", "x")),
        attrs={"units": changes.get("units", "1")},
    )
    with pytest.raises(PlanError, match=message):
        speckle_filter(image, name, **options)


def test_whole_numbers_are_power_too():
    image = xr.DataArray(np.full((9, 9), 7, "uint16"), dims=("y", "x"))
    for one in (image, image.chunk(y=4)):
        found = speckle_filter(one, "boxcar").compute(scheduler="sync")
        assert found.dtype == np.float32
        assert (found == 7).all()
