"""Simulated SLC products: phase, spectrum, power and coherence of their pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from slc_measures import (
    A_BETA,
    EMPTY,
    LAT,
    LINES,
    LON,
    REAL,
    SAMPLES,
    VV,
    C,
    annotation,
    box,
    deramp,
    pixels,
    span,
    starts,
    time,
    value,
)

from cube.simulate.ellipsoid import ecef_from_geodetic
from cube.simulate.geometry import zero_doppler
from cube.simulate.orbit import orbit_over
from cube.simulate.slc import SlcScene, simulate_slc

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture(scope="module")
def product(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Speckle that fills the middle burst of IW2 and reaches the other swaths."""
    scene = SlcScene(bounds=box(LON, LAT, 3.4, 5.0), height=50.0, beta0=0.3, seed=1)
    return simulate_slc(tmp_path_factory.mktemp("product"), template, scene)


def test_image_target_has_the_phase_of_its_path(template, tmp_path):
    targets = (("IW2", LINES + 100, 250, 9000.0), ("IW2", 2, 120, 600, 500.0))
    scene = SlcScene((0, 0, 1, 1), density=0, image_targets=targets)
    safe = simulate_slc(tmp_path, template, scene, **VV)
    image, root = pixels(safe), annotation(safe)
    for line, sample, height in ((LINES + 100, 250, 9000.0), (2 * LINES + 120, 600, 500.0)):
        tau = value(root, "imageInformation/slantRangeTime")
        tau += sample / value(root, "rangeSamplingRate")
        turns = (-tau * value(root, "radarFrequency")) % 1
        expected = height * np.exp(2j * np.pi * turns)
        assert abs(image[line, sample] - expected) < 1.0
    image[LINES + 90 : LINES + 112, 240:262] = 0
    image[2 * LINES + 110 : 2 * LINES + 132, 590:612] = 0
    assert not image.any()


def test_phase_is_that_of_the_exact_path(template, tmp_path):
    """By the orbit behind the state vectors, and the frequency of the technical note."""
    root = annotation(template)
    orbit = orbit_over(
        LON,
        LAT,
        time=time("2023-09-04T06:37:31"),
        direction="descending",
        incidence_deg=38.0,
        height_m=50.0,
    )
    places = [(LON, LAT), (LON + 0.008, LAT + 0.01), (LON - 0.007, LAT - 0.012)]
    targets = tuple((*place, 50.0, 9000.0) for place in places)
    scene = SlcScene((0, 0, 1, 1), density=0, targets=targets)
    image = pixels(simulate_slc(tmp_path, template, scene, **VV))
    begin, step = starts(root)[1], value(root, "azimuthTimeInterval")
    rate, near = value(root, "rangeSamplingRate"), value(root, "imageInformation/slantRangeTime")
    for lon, lat in places:
        point = ecef_from_geodetic(np.array(lat), np.array(lon), np.array(50.0))
        seen, distance = (float(x) for x in zero_doppler(orbit, point))
        tau = 2 * distance / C
        line_s = seen - 0.5 * (tau - near - SAMPLES / 2 / rate)
        line = (line_s - span(begin, time("2023-09-04T06:37:31"))) / step
        sample = (tau - near) * rate
        at = round(line), round(sample)
        law, eta = deramp(root, 1, tau), (line - LINES / 2) * step
        frequency = law["f_dc"] + law["k_t"] * (eta + law["f_dc"] / law["k_a"])
        turns = -tau * value(root, "radarFrequency") + frequency * (at[0] - line) * step
        found = image[LINES + at[0], at[1]]
        assert abs(found) > 5000
        assert abs(np.angle(found * np.exp(-2j * np.pi * (turns % 1)))) < 0.005


def spectrum_centre(block: np.ndarray, step: float) -> float:
    """Middle of the azimuth spectrum, Hz, by the phase from line to line."""
    return float(np.angle((block[1:] * block[:-1].conj()).sum()) / (2 * np.pi * step))


@pytest.mark.parametrize("sample", [2306, 18448])
def test_deramped_speckle_is_centred(pair, tmp_path, sample):
    """At three azimuths, near and far range; the plain law of the technical note."""
    bare = simulate_slc(tmp_path, pair[0], EMPTY, **REAL)
    root = annotation(bare, "iw1")
    lines, step = int(value(root, "linesPerBurst")), value(root, "azimuthTimeInterval")
    ends = [
        [value(p, name) for name in ("longitude", "latitude", "height")]
        for p in root.iter("geolocationGridPoint")
        if value(p, "pixel") == sample and value(p, "line") in (0, lines)
    ]
    lon, lat, height = np.mean(ends, axis=0)
    # 19 km along a track that runs askew of the meridian: a band of the burst's lines.
    slope = (ends[1][0] - ends[0][0]) / (ends[1][1] - ends[0][1])
    scene = SlcScene(
        bounds=box(lon, lat, 7.0, 19.0),
        height=height,
        beta0=lambda x, y: 0.3 * (np.abs(x - lon - slope * (y - lat)) < 0.012),
        density=0.008,
        seed=4,
    )
    (tmp_path / "out").mkdir()
    image = pixels(simulate_slc(tmp_path / "out", pair[0], scene, **REAL), "iw1")[:lines]
    for first in (130, 630, 1130):
        rows = np.arange(first, first + 256)
        full = np.flatnonzero((np.abs(image[rows]) > 0).mean(axis=0) > 0.9)
        cols = np.arange(full.mean() - 150, full.mean() + 150).astype(int)
        assert np.isin(cols, full).all()
        tau = value(root, "imageInformation/slantRangeTime")
        tau = tau + cols / value(root, "rangeSamplingRate")
        law = deramp(root, 0, tau)
        eta = (rows[:, None] - lines / 2) * step
        offset = eta + law["f_dc"] / law["k_a"] - law["f_dc_mid"] / law["k_a_mid"]
        phase = np.pi * law["k_t"] * offset**2 + 2 * np.pi * law["f_dc"] * offset
        block = image[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1] * np.exp(-1j * phase)
        # The reference of mid swath moves the law, and so the spectrum, by this.
        expected = float(np.mean(law["k_t"] * law["f_dc_mid"] / law["k_a_mid"]))
        assert abs(spectrum_centre(block, step) - expected) < 2.0
        raw = image[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1] * np.exp(+1j * phase)
        assert np.abs((raw[1:] * raw[:-1].conj()).sum()) < 0.2 * (np.abs(raw) ** 2).sum()


def test_shifted_grid_interferes_after_the_law_alone(template, tmp_path):
    """Two grids 0.43 lines apart: deramp, interpolate, reramp; without the ramps it fails."""
    scene = SlcScene(bounds=box(LON, LAT, 1.5, 3.6), height=50.0, seed=11)
    images, roots = [], []
    for name, shift in (("one", 0.0), ("two", 0.43)):
        (tmp_path / name).mkdir()
        safe = simulate_slc(tmp_path / name, template, scene, line_shift=shift, date=1, **VV)
        images.append(pixels(safe)[LINES : 2 * LINES, 300:420].astype("complex128"))
        roots.append(annotation(safe))
    step = value(roots[0], "azimuthTimeInterval")
    shift = span(starts(roots[1])[1], starts(roots[0])[1]) / step
    tau = value(roots[1], "imageInformation/slantRangeTime")
    tau = tau + np.arange(300, 420) / value(roots[1], "rangeSamplingRate")
    law = deramp(roots[1], 1, tau)

    def ramp(line: np.ndarray) -> np.ndarray:
        offset = (line[:, None] - LINES / 2) * step + law["f_dc"] / law["k_a"]
        offset = offset - law["f_dc_mid"] / law["k_a_mid"]
        return np.exp(1j * (np.pi * law["k_t"] * offset + 2 * np.pi * law["f_dc"]) * offset)

    def moved(values: np.ndarray) -> np.ndarray:
        turn = np.exp(-2j * np.pi * np.fft.fftfreq(LINES) * shift)
        return np.fft.ifft(np.fft.fft(values, axis=0) * turn[:, None], axis=0)

    def interfere(values: np.ndarray) -> complex:
        x, y = images[0][30:270], values[30:270]
        power = (np.abs(x) ** 2).sum() * (np.abs(y) ** 2).sum()
        return complex((x * y.conj()).sum() / np.sqrt(power))

    line = np.arange(LINES)
    good = interfere(moved(images[1] * ramp(line).conj()) * ramp(line - shift))
    assert abs(good) > 0.99
    assert abs(np.angle(good)) < 0.005
    # These small bursts turn by 800 Hz only; real ones by 5000.
    assert abs(interfere(moved(images[1]))) < 0.9
    assert abs(interfere(moved(images[1] * ramp(line)) * ramp(line - shift).conj())) < 0.9


def inner(image: np.ndarray) -> np.ndarray:
    """Pixels of the middle burst that lie well inside the speckle."""
    return image[LINES + 60 : LINES + 240, 150:650]


def test_power_is_that_of_beta_nought(product):
    for swath, cols in (("iw1", slice(660, 740)), ("iw2", slice(150, 650))):
        block = pixels(product, swath)[LINES + 120 : LINES + 240, cols]
        looks = block.size * 0.5
        power = (np.abs(block) ** 2).mean() / A_BETA**2
        assert abs(power / 0.3 - 1) < 4 / np.sqrt(looks) + 0.003
    # Exponential: the standard deviation is the mean.
    intensity = np.abs(inner(pixels(product))) ** 2
    assert abs(intensity.std() / intensity.mean() - 1) < 0.06


def test_polarisations_speckle_by_themselves(product):
    one, two = inner(pixels(product)), inner(pixels(product, pol="vh"))
    product_ = (one * two.conj()).mean() / np.sqrt(
        (np.abs(one) ** 2).mean() * (np.abs(two) ** 2).mean()
    )
    assert abs(product_) < 0.02


def test_coherence_of_dates_is_the_given_one(template, tmp_path):
    wanted = (0.0, 0.3, 0.7, 1.0)
    edges = LON + np.array([-0.01, 0.0, 0.01])
    scene = SlcScene(
        bounds=box(LON, LAT, 3.4, 5.0),
        height=50.0,
        coherence=lambda lon, lat: np.take(wanted, np.searchsorted(edges, lon)),
        phase=lambda lon, lat, date: np.full(lon.shape, 0.5 * date),
        seed=9,
    )
    images = []
    for date in range(3):
        (tmp_path / str(date)).mkdir()
        images.append(pixels(simulate_slc(tmp_path / str(date), template, scene, date=date, **VV)))
    # Columns in the middle of each stripe, by the geolocation grid of the middle burst.
    root = annotation(template)
    points = [p for p in root.iter("geolocationGridPoint") if value(p, "line") == LINES]
    lons = np.array([value(p, "longitude") for p in points])
    cols = [value(p, "pixel") for p in points]
    order = np.argsort(lons)
    for stripe, truth in zip((-0.0145, -0.005, 0.005, 0.0145), wanted, strict=True):
        # Half the burst further south the track is some 0.009 degrees further west.
        at = int(np.interp(LON + stripe + 0.006, lons[order], np.array(cols)[order]))
        for a, b in ((0, 1), (1, 2)):
            x, y = (
                image[LINES + 110 : LINES + 190, at - 30 : at + 30]
                for image in images[a:][: b - a + 1 : b - a]
            )
            found = (x.conj() * y).sum() / np.sqrt((np.abs(x) ** 2).sum() * (np.abs(y) ** 2).sum())
            assert abs(abs(found) - truth) < 0.05 + 0.03 * (truth == 0)
            if truth > 0.5:
                assert abs(np.angle(found) - 0.5) < 0.05


def test_nothing_outside_the_valid_samples(product, template):
    total = 0
    for swath in ("iw1", "iw2", "iw3"):
        root, image = annotation(product, swath), pixels(product, swath)
        first, last = (
            np.concatenate(
                [np.array(b.findtext(f"{end}ValidSample").split(), int) for b in root.iter("burst")]
            )[:, None]
            for end in ("first", "last")
        )
        col = np.arange(image.shape[1])
        valid = (col >= first) & (col <= last) & (first >= 0)
        assert 0.7 < valid.mean() < 0.99
        assert not image[~valid].any()
        total += (image != 0).sum()
    assert total > 150_000


def test_same_seed_same_bytes_however_it_is_cut(template, tmp_path, tree):
    scene = SlcScene(bounds=box(LON, LAT, 2.5, 1.5), height=50.0, coherence=0.5, seed=7)
    safes = []
    for name, more in {
        "one": VV,
        "two": VV,
        "both": {"swaths": ("IW2", "IW3"), "bursts": [1, 2]},
        "date": {**VV, "date": 1},
    }.items():
        (tmp_path / name).mkdir()
        safes.append(simulate_slc(tmp_path / name, template, scene, **more))
    assert tree(safes[0]) == tree(safes[1])
    whole = pixels(safes[0])
    np.testing.assert_array_equal(pixels(safes[2]), whole[LINES:])
    assert np.abs(whole[LINES:]).any()
    assert (pixels(safes[3]) != whole).any()
