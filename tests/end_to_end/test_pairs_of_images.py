"""Complex images on real annotations, geocoded: coherence and phase against known truth.

Pixels are SIMULATED: no public product of single-look complex samples is small enough to keep. The
simulator shares no code with the processor; the second date's lines lie .43 line beside the first's
(aligned ones would hide a missing deramping).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.integrate import quad
from scipy.special import hyp2f1
from seam_places import near_seams, seams_of
from single_look import (
    COHERENCES,
    SIZE,
    STRIPE,
    Level,
    grid_around,
    mountain,
    pair_of,
    product_of,
    scene_over,
    striped,
    write_dem,
)

import cube
from cube.readers.dem import open_dem
from cube.simulate.slc import simulate_slc
from cube.steps.slc import SlcSource, geocoded_slc

BOTH = {"swaths": ("IW1", "IW2"), "polarisations": ("VV",), "bursts": range(2)}
HEIGHT = 600.0
WINDOW = 11
LOOKS_A_PIXEL = 0.51
"""Independent samples that one of 10 m is worth on level ground: Hamming-weighted bands of 0.67 and
0.88 (IW1), 0.64 and 0.75 (IW2) sampling rates give 62 and 60 in 121 pixels."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pairs")


@pytest.fixture(scope="module")
def grid():
    return grid_around()


def geocoded(grid, dem, products, block=2048):
    """Images of products, all cut as the first is."""
    slices = [(product_of(one),) for one in products]
    return [
        geocoded_slc(SlcSource(grid, dem, one, slices[0]), block).compute()[0] for one in slices
    ]


@pytest.fixture(scope="module")
def stripes(folder, grid, data_dir):
    """Two dates of one orbit over level ground, coherent in stripes; products, then images."""
    first, _ = pair_of(data_dir)
    scene = scene_over(grid, striped(grid), height=HEIGHT, seed=5)
    products = [
        simulate_slc(folder, first, scene, date=0, **BOTH),
        simulate_slc(folder, first, scene, date=1, line_shift=0.43, time_shift_days=12, **BOTH),
    ]
    return products, geocoded(grid, Level(HEIGHT, SIZE), products)


@pytest.fixture(scope="module")
def dem(folder):
    return open_dem(str(write_dem(folder / "dem.tif")), "ellipsoid", None)


@pytest.fixture(scope="module")
def hills(folder, grid, dem, data_dir):
    """The real pair's orbits, the second moved 150 m to the side, wholly coherent ground."""
    first, second = pair_of(data_dir)
    place = folder / "hills"
    place.mkdir()
    scene = scene_over(grid, 1.0, height=mountain, seed=6)
    products = [
        simulate_slc(place, first, scene, date=0, **BOTH),
        simulate_slc(place, second, scene, date=1, line_shift=0.43, orbit_shift_m=150.0, **BOTH),
    ]
    return products, geocoded(grid, dem, products)


@pytest.fixture(scope="module")
def level_seams(grid, stripes):
    return seams_of(stripes[0][0], grid, lambda lon, lat: np.full(lon.shape, HEIGHT))


@pytest.fixture(scope="module")
def hill_seams(grid, hills):
    return seams_of(hills[0][0], grid, mountain)


# --- coherence


def expected(truth, looks):
    """Mean magnitude of a coherence estimate (Touzi et al. 1999, eq. 8), by its density."""
    if truth == 1:
        return 1.0

    def density(r):
        rest = 1 - r * r
        return (
            2 * (looks - 1) * (1 - truth**2) ** looks * r * rest ** (looks - 2)
            * hyp2f1(looks, looks, 1, (truth * r) ** 2)
        )  # fmt: skip

    whole = quad(density, 0, 1, limit=300)[0]
    return quad(lambda r: r * density(r), 0, 1, limit=300)[0] / whole


def estimate(one, other, where):
    a, b = one[where].astype("complex128"), other[where].astype("complex128")
    return np.abs(np.vdot(b, a)) / np.sqrt((np.abs(a) ** 2).sum() * (np.abs(b) ** 2).sum())


@pytest.mark.parametrize("zone", ["burst seam", "swath seam", "inside"])
@pytest.mark.parametrize("number", range(4))
def test_coherence_is_that_of_the_ground(stripes, level_seams, zone, number):
    truth = COHERENCES[number]
    column = np.arange(SIZE[1])
    inner = (column // STRIPE % 4 == number) & (abs(column % STRIPE - STRIPE / 2) < STRIPE / 2 - 4)
    where = near_seams(level_seams)[zone] & inner
    assert where.sum() > 400
    looks = where.sum() * LOOKS_A_PIXEL
    found = estimate(*stripes[1], where)
    # spread of an estimate of many looks (Touzi et al. 1999, eq. 12), of none by Rayleigh's law
    spread = (1 - truth**2) / np.sqrt(2 * looks) if truth else np.sqrt((1 - np.pi / 4) / looks)
    # and of its mean, for hundreds of looks
    bias = (1 - truth**2) ** 2 / (4 * looks * truth) if truth else np.sqrt(np.pi / 4 / looks)
    # eight taps lose a thousandth in range
    assert abs(found - truth - bias) < 3 * spread + 0.0015


@pytest.mark.parametrize("number", range(4))
def test_sliding_windows_show_the_mean_that_their_looks_foretell(stripes, level_seams, number):
    one, other = stripes[1]
    images = [xr.DataArray(image, dims=("y", "x")) for image in (one, other)]
    found = cube.coherence(*images, (WINDOW, WINDOW)).values
    column = np.arange(SIZE[1])
    half = STRIPE / 2 - WINDOW // 2 - 1
    inner = (column // STRIPE % 4 == number) & (abs(column % STRIPE - STRIPE / 2) < half)
    values = found[8:-8][:, inner]
    truth = COHERENCES[number]
    mean = expected(truth, 121 * LOOKS_A_PIXEL)
    windows = values.size / 121
    assert abs(values.mean() - mean) < 3 * values.std() / np.sqrt(windows) + 0.002


def test_power_is_beta_nought(stripes, level_seams):
    swath, _ = level_seams
    for image in stripes[1]:
        power = np.abs(image) ** 2
        for n in (1, 2):
            there = swath == n
            # looks of all pixels together: a per cent or less; windows of responses cut at ten
            # samples, and int16, cost less
            spread = 1 / np.sqrt(there.sum() * LOOKS_A_PIXEL)
            assert power[there].mean() == pytest.approx(0.2, rel=3 * spread + 0.01)


def test_equal_images_are_coherent_to_the_last_bit(stripes):
    image = xr.DataArray(stripes[1][0], dims=("y", "x"))
    found = cube.coherence(image, image.copy(), (5, 7), magnitude=False).values
    known = np.isfinite(found)
    assert known[4:-4, 4:-4].all()
    assert (found[known] == 1).all()


def test_no_bit_depends_on_blocks(grid, dem, hills):
    products, whole = hills
    small = geocoded(grid, dem, products, block=512)
    for one, other in zip(whole, small, strict=True):
        assert one.tobytes() == other.tobytes()


# --- phase


def multilooked(one, other, rows=20, cols=25):
    cross = one * other.conj()
    height, width = SIZE[0] // rows, SIZE[1] // cols
    parts = cross[: height * rows, : width * cols].reshape(height, rows, width, cols)
    return np.angle(parts.sum(axis=(1, 3)))


def test_phase_over_hills_is_flat(hills):
    phase = multilooked(*hills[1])
    # of it .017 are the orbits': vectors of one annotation scatter by 2 mm, and each smooths as it
    # does, a twentieth of a millimetre apart
    assert np.sqrt((phase**2).mean()) < 0.02
    assert phase.std() < 0.01


def test_heights_that_are_off_turn_the_phase(grid, dem, hills):
    """A control: the pair has a baseline, and what was taken out are the fringes of the DEM."""
    path = write_dem(Path(dem.raster.path).with_name("raised.tif"), raised=20)
    lifted = geocoded(grid, open_dem(str(path), "ellipsoid", None), hills[0])
    shift = np.angle((lifted[0] * lifted[1].conj()).sum())
    # 4 pi B dh / (lambda R sin theta) for 179 m, 20 m, 870 km and 38 degrees, less what hills add
    foretold = 4 * np.pi * 179 * 20 / (0.05547 * 8.7e5 * 0.62)
    assert abs(shift) == pytest.approx(foretold, rel=0.25)


def test_phase_does_not_jump_at_seams(hills, hill_seams):
    swath, lines = hill_seams
    cross = hills[1][0] * hills[1][1].conj()
    before = (swath == 1) & (lines < -4) & (lines > -60)
    after = (swath == 1) & (lines > 4) & (lines < 60)
    jump = np.angle(cross[before].sum() * cross[after].sum().conj())
    assert abs(jump) < 0.01
    near, far = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    for row in range(SIZE[0]):
        for one in np.flatnonzero(np.diff(swath[row])):
            far[row, max(one - 25, 0) : max(one - 4, 0)] = True
            near[row, one + 6 : one + 27] = True
    jump = np.angle(cross[near].sum() * cross[far].sum().conj())
    assert abs(jump) < 0.01


def test_coherence_of_the_real_pair_is_what_baseline_and_doppler_leave(hills, hill_seams):
    one, other = hills[1]
    for zone in near_seams(hill_seams).values():
        # 179 m of some 6.7 km of critical baseline, and up to 8 Hz of 313 between the Dopplers
        assert 0.95 < estimate(one, other, zone) < 0.995
