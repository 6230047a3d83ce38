"""Calibration and noise against plain Python on real tables; border noise on made fringes."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from references import Tables, calibrated, noise_power, read_tables

from cube.kernels import radiometry
from cube.kernels.radiometry import AzimuthNoise, Lut, Radiometry
from cube.readers.calibration import GAINS, read_radiometry
from cube.readers.scene import Calibrated
from cube.readers.window import Window

PRODUCTS = {
    "three azimuth vectors": "S1B_IW_GRDH_1SDV_20211223*",
    "three azimuth vectors, VV and VH": "S1A_IW_GRDH_1SDV_20210809*",
    "old form": "S1A_IW_GRDH_1SDV_20150203*",
    "stripmap": "S1C_S4_GRDH_1SDH_20250118*",
}
SHAPE = (16_700, 26_100)  # of all but the stripmap product; tables are constant beyond their nodes


@pytest.fixture(params=PRODUCTS)
def files(request, data_dir, tmp_path):
    """Pairs of calibration and noise files of a product."""
    source = next((data_dir / "safe").glob(PRODUCTS[request.param]))
    if source.suffix == ".zip":
        with zipfile.ZipFile(source) as archive:
            names = [name for name in archive.namelist() if "/calibration/" in name]
            archive.extractall(tmp_path, names)
        source = next(tmp_path.glob("*.SAFE"))
    folder = source / "annotation/calibration"
    gains = sorted(folder.glob("calibration-*.xml"))
    assert gains
    return [(path, path.with_name(path.name.replace("calibration-", "noise-"))) for path in gains]


def agree(found, tables: Tables, number: int, line: int, sample: int) -> None:
    exact = calibrated(tables, number, line, sample)
    # Float32 throughout: six roundings of 6e-8 each, of the two powers before they are subtracted
    scale = (number**2 + noise_power(tables, line, sample)) / max(
        number**2 - noise_power(tables, line, sample), 1e-30
    )
    assert found == pytest.approx(exact, rel=1e-6 * max(scale, 1.0), abs=1e-12)


@pytest.mark.parametrize("backscatter", GAINS)
def test_samples_are_those_of_the_scalar_formula(files, backscatter):
    rng = np.random.default_rng(9)
    for gain, noise in files:
        made = read_radiometry(str(gain), str(noise), backscatter)
        tables = read_tables(gain, noise, GAINS[backscatter])
        assert len(made.azimuth) == len(tables.azimuth)
        for line, sample in zip(
            rng.integers(0, SHAPE[0], 40), rng.integers(0, SHAPE[1] - 60, 40), strict=True
        ):
            numbers = rng.integers(1, 2000, (1, 60)).astype("uint16")
            found = radiometry.calibrate(numbers, int(line), int(sample), made)
            for at in (0, 17, 59):
                agree(found[0, at], tables, int(numbers[0, at]), int(line), int(sample) + at)


def test_noise_changes_where_the_sub_swaths_meet(files):
    for gain, noise in files:
        tables = read_tables(gain, noise)
        made = read_radiometry(str(gain), str(noise), "sigma0")
        for (first, last, near, far), _, _ in tables.azimuth:
            line = (first + last) // 2
            for edge in (near, far):
                begin = max(edge - 2, 0)
                found = radiometry.noise_power(line, begin, (1, 5), made)[0]
                exact = [noise_power(tables, line, begin + k) for k in range(5)]
                # table row in float32, times a float32 factor
                np.testing.assert_allclose(found, exact, rtol=1e-6)


def table(rng, lines, nodes):
    return Lut.from_vectors(
        list(lines), [np.array(at, float) for at in nodes],
        [rng.uniform(200, 900, len(at)) for at in nodes],
    )  # fmt: skip


def small_radiometry(seed=10):
    """Nodes that differ between vectors, as in real products, and azimuth blocks that end early."""
    rng = np.random.default_rng(seed)
    gain = table(rng, [-20, 30, 90], [[0, 40, 80, 119], [0, 40, 80, 119], [0, 40, 80, 119]])
    noise = table(rng, [0, 50, 85], [[0, 33, 119], [0, 7, 8, 70, 119], [20, 90]])
    azimuth = (
        AzimuthNoise(0, 70, 0, 49, np.array([0.0, 20, 70]), np.array([1.0, 1.3, 0.9])),
        AzimuthNoise(5, 99, 50, 99, np.array([5.0, 99]), np.array([0.8, 1.1])),
    )
    return Radiometry(gain, noise, azimuth)


def test_vectors_with_nodes_of_their_own_are_each_interpolated_along_their_own():
    rng = np.random.default_rng(11)
    nodes = [[0, 33, 119], [0, 7, 8, 70, 119], [20, 90]]
    values = [rng.uniform(1, 9, len(at)) for at in nodes]
    made = Radiometry(
        Lut.constant(1.0), Lut.from_vectors([0, 50, 85], [np.array(at) for at in nodes], values)
    )
    rows = [
        (float(line), list(map(float, at)), list(map(float, value)))
        for line, at, value in zip([0, 50, 85], nodes, values, strict=True)
    ]
    tables = Tables([(0.0, [0.0], [1.0])], rows, [])
    found = radiometry.noise_power(0, 0, (100, 130), made)
    for line, sample in rng.integers(0, (100, 130), (200, 2)):
        exact = noise_power(tables, int(line), int(sample))
        assert found[line, sample] == pytest.approx(exact, rel=1e-6)


WHOLE = np.random.default_rng(12).integers(0, 120, (100, 120)).astype("uint16")


@settings(deadline=None)  # the first call compiles
@given(st.data())
def test_any_window_has_the_bits_of_the_whole(data):
    made = small_radiometry()
    whole = radiometry.calibrate(WHOLE, 0, 0, made)
    top, left = data.draw(st.integers(0, 99)), data.draw(st.integers(0, 119))
    below, right = data.draw(st.integers(top + 1, 100)), data.draw(st.integers(left + 1, 120))
    part = radiometry.calibrate(WHOLE[top:below, left:right], top, left, made)
    np.testing.assert_array_equal(part.view("u4"), whole[top:below, left:right].view("u4"))
    noise = radiometry.noise_power(top, left, part.shape, made)
    full = radiometry.noise_power(0, 0, WHOLE.shape, made)
    np.testing.assert_array_equal(noise, full[top:below, left:right])


def test_zero_is_no_data_and_power_below_the_noise_is_kept():
    made = Radiometry(Lut.constant(10.0), Lut.constant(50.0))
    found = radiometry.calibrate(np.array([[0, 1, 7, 8]], "uint16"), 0, 0, made)
    # integers below 2^24: exact in float32 but for the division
    np.testing.assert_allclose(found, [[np.nan, -0.49, -0.01, 0.14]], rtol=1e-7)


def test_limits_cut_every_side():
    made = Radiometry(Lut.constant(1.0), Lut.constant(0.0))
    rows, cols = np.zeros((2, 4), "int64"), np.zeros((2, 5), "int64")
    limits = radiometry.Limits(rows[0] + 21, rows[0] + 23, cols[0] + 11, cols[0] + 12)
    found = radiometry.calibrate(np.ones((4, 5), "uint16"), 10, 20, made, limits)
    known = np.zeros((4, 5), bool)
    known[1:3, 1:4] = True
    np.testing.assert_array_equal(np.isfinite(found), known)


@pytest.mark.parametrize(
    ("lines", "samples", "values", "message"),
    [
        ([], [], [], "without vectors"),
        ([0], [[0, 1]], [[1.0]], "2 samples and 1 values"),
        ([0], [[]], [[]], "0 samples"),
        ([0], [[0, 5, 5]], [[1.0, 2.0, 3.0]], "do not increase"),
    ],
)
def test_tables_that_make_no_sense_are_refused(lines, samples, values, message):
    with pytest.raises(ValueError, match=message):
        Lut.from_vectors(lines, [np.array(at) for at in samples], [np.array(v) for v in values])


# Border noise. Speckle of 4.4 looks as in IW GRD; fringes are the low numbers that products
# before IPF 2.90 carry between the edge and the image.
NOISE, SEA = 2500.0, 30_000.0


def speckle(rng, shape, power):
    return np.rint(np.sqrt(rng.gamma(4.4, power / 4.4, shape))).astype("uint16")


@pytest.mark.parametrize("width", [0, 1, 30, 63, 64, 65, 200, 499])
def test_fringes_are_left_out_to_the_sample(width):
    rng = np.random.default_rng(13)
    numbers = speckle(rng, (50, 700), SEA)
    numbers[:, :width] = rng.integers(1, 21, (50, width))
    floor = np.full(numbers.shape, NOISE, "float32")
    found = radiometry.first_imaged(numbers, floor)
    # the first image sample itself is darker than half the noise in 1e-5 of all lines
    np.testing.assert_array_equal(found, width)


def test_zeros_before_the_fringes_are_left_out_as_well():
    rng = np.random.default_rng(14)
    numbers = speckle(rng, (50, 700), SEA)
    numbers[:, :300] = 0
    numbers[:, 300:380] = rng.integers(1, 21, (50, 80))
    found = radiometry.first_imaged(numbers, np.full(numbers.shape, NOISE, "float32"))
    np.testing.assert_array_equal(found, 380)


def test_a_line_without_image_is_left_out_as_far_as_was_searched():
    numbers = np.random.default_rng(15).integers(0, 21, (5, 564)).astype("uint16")
    found = radiometry.first_imaged(numbers, np.full(numbers.shape, NOISE, "float32"))
    np.testing.assert_array_equal(found, 500)


def test_calm_sea_at_the_noise_floor_is_not_taken_for_a_border():
    """Nothing imaged is darker than the noise: what looks like water must stay."""
    rng = np.random.default_rng(16)
    numbers = speckle(rng, (5000, 564), NOISE)
    found = radiometry.first_imaged(numbers, np.full(numbers.shape, NOISE, "float32"))
    assert found.sum() / numbers.size < 1e-3


class Raw:
    """A measurement in memory."""

    def __init__(self, numbers):
        self.numbers, self.shape = numbers, numbers.shape

    def read(self, window):
        return self.numbers[window.line : window.line_stop, window.sample : window.sample_stop]


def fringed(power, shape=(1300, 1500), widths=(70, 90, 40, 120)):
    """Speckle with fringes at the top, bottom, left and right, of varying width."""
    rng = np.random.default_rng(17)
    numbers = speckle(rng, shape, power)
    image = np.ones(shape, bool)
    top, bottom, left, right = widths
    slant = np.arange(shape[1]) // 100  # real edges are not parallel to the image
    line, sample = np.indices(shape)
    image &= (line >= (top + slant)[None]) & (line < (shape[0] - bottom - slant)[None])
    image &= (sample >= left + line // 90) & (sample < shape[1] - right - line // 90)
    numbers[~image] = rng.integers(1, 21, (~image).sum())
    return numbers, image


def test_all_four_edges_lose_their_fringes_and_nothing_else():
    numbers, image = fringed(SEA)
    made = Calibrated(Raw(numbers), Radiometry(Lut.constant(400.0), Lut.constant(NOISE)))
    found = np.isfinite(made.read(Window(0, 0, *numbers.shape)))
    assert not (found & ~image).any()
    # dark speckle at the very edge: a tenth of a sample per line and edge at most
    assert (image & ~found).sum() < 1e-3 * image.sum()


def test_an_image_of_noise_alone_keeps_its_edges():
    numbers, _ = fringed(NOISE, widths=(0, 0, 0, 0))
    numbers = speckle(np.random.default_rng(18), numbers.shape, NOISE)
    made = Calibrated(Raw(numbers), Radiometry(Lut.constant(400.0), Lut.constant(NOISE)))
    found = np.isfinite(made.read(Window(0, 0, *numbers.shape)))
    assert (~found & (numbers > 0)).mean() < 1e-3


FRINGED = fringed(SEA)[0]
TABLES = Radiometry(
    small_radiometry().gain, Lut.constant(NOISE), small_radiometry().azimuth
)  # fmt: skip
EDGED = Calibrated(Raw(FRINGED), TABLES)
EDGED_WHOLE = EDGED.read(Window(0, 0, *FRINGED.shape))


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_windows_near_the_edges_have_the_bits_of_the_whole(data):
    lines, samples = FRINGED.shape
    top = data.draw(st.integers(0, lines - 1) | st.integers(lines - 140, lines - 1))
    left = data.draw(st.integers(0, samples - 1) | st.integers(samples - 140, samples - 1))
    window = Window(
        top, left,
        min(lines, top + data.draw(st.integers(1, 400))),
        min(samples, left + data.draw(st.integers(1, 400))),
    )  # fmt: skip
    expected = EDGED_WHOLE[top : window.line_stop, left : window.sample_stop]
    np.testing.assert_array_equal(EDGED.read(window).view("u4"), expected.view("u4"))


def test_an_image_smaller_than_the_search_is_read_whole():
    numbers = speckle(np.random.default_rng(19), (40, 50), SEA)
    made = Calibrated(Raw(numbers), Radiometry(Lut.constant(400.0), Lut.constant(NOISE)))
    assert np.isfinite(made.read(Window(0, 0, 40, 50))).all()


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_xarray_sentinel_calibrates_alike(data_dir):
    """Its LUTs, read and interpolated by it, on the same digital numbers; it removes no noise."""
    import xarray as xr
    import xarray_sentinel

    safe = next((data_dir / "safe").glob("S1B_IW_GRDH_1SDV_20211223*"))
    product = xr.open_dataset(safe, engine="sentinel-1", group="IW/VV")
    tables = xr.open_dataset(safe, engine="sentinel-1", group="IW/VV/calibration")
    numbers = np.random.default_rng(20).integers(1, 900, (64, 90)).astype("uint16")
    path = next((safe / "annotation/calibration").glob("calibration-*.xml"))
    noise = path.with_name(path.name.replace("calibration-", "noise-"))
    for line, sample in [(0, 0), (8100, 12_345), (16_600, 26_000)]:
        window = product.measurement.isel(
            azimuth_time=slice(line, line + 64), ground_range=slice(sample, sample + 90)
        ).copy(data=numbers)
        for ours, theirs in (("sigma0", "sigmaNought"), ("beta0", "betaNought")):
            gain = read_radiometry(str(path), str(noise), ours).gain
            found = radiometry.calibrate(numbers, line, sample, Radiometry(gain, Lut.constant(0.0)))
            expected = xarray_sentinel.calibrate_intensity(window, tables[theirs])
            # our float32 is good to 1e-6; theirs interpolates along azimuth in time
            np.testing.assert_allclose(found, expected.values, rtol=1e-4)
