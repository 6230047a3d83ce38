"""Single-look complex products: real ones, single bursts, and what is wrong with some.

Truth is the text of the annotations, by patterns, and rasterio.
"""

from __future__ import annotations

import pickle
import re
import shutil
import statistics
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.windows import Window as RasterWindow
from shapely.geometry import Point

from cube.errors import SearchError, SourceError
from cube.readers.measurement import Samples
from cube.readers.safe import extract, open_safe
from cube.readers.scene import Files, Scene
from cube.readers.slc import SlcImage, amplitude_gain, burst_window, open_samples, open_slc
from cube.readers.stac import FolderSource
from cube.readers.window import Window
from cube.simulate.slc import SlcScene, simulate_slc

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
LIGHT = 299_792_458.0
SEPTEMBER = (
    "S1A_IW_SLC__1SDV_20230904T063730_20230904T063757_050174_0609E3_DAA1",
    "S1A_IW_SLC__1SDV_20230916T063730_20230916T063757_050349_060FCD_6814",
)
JANUARY = "S1A_IW_SLC__1SDV_20220104T170557_20220104T170624_041314_04E951_F1F1.SAFE"
ROME = "S1B_IW_GRDH_1SDV_20211223T051122_20211223T051147_030148_039993_5371.SAFE"
EVERYWHERE = (-180.0, -90.0, 180.0, 90.0)


@pytest.fixture(scope="session")
def safe(data_dir: Path) -> Path:
    return data_dir / "safe"


@pytest.fixture(scope="session")
def unpacked(safe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Both products of September 2023; read only."""
    folder = tmp_path_factory.mktemp("unpacked")
    return tuple(extract(safe / f"{name}.zip", folder) for name in SEPTEMBER)


def image(product: Path, swath: str, pol: str = "vv") -> Files:
    """Files of an image by their names, whether the product is complete or not."""
    (annotation,) = product.glob(f"annotation/*-{swath}-slc-{pol}-*.xml")
    tables = annotation.parent / "calibration"
    return Files(
        str(product / "measurement" / f"{annotation.stem}.tiff"),
        str(annotation),
        str(tables / f"calibration-{annotation.name}"),
        str(tables / f"noise-{annotation.name}"),
        swath=swath,
    )


def every_image(safe: Path, unpacked: tuple[Path, ...]) -> list[Files]:
    found = [
        image(product, f"iw{n}", pol)
        for product in unpacked
        for n in (1, 2, 3)
        for pol in ("vv", "vh")
    ]
    return [*found, image(safe / JANUARY, "iw1")]


def values(text: str, tag: str) -> list[float]:
    return [float(one) for one in re.findall(rf"<{tag}>([^<\s]+)</{tag}>", text)]


def burst_ids(text: str) -> list[int]:
    return [int(one) for one in re.findall(r"<burstId[^>]*>(\d+)<", text)]


def one_value(text: str, tag: str) -> float:
    (found,) = values(text, tag)
    return found


# --- real products


def test_every_real_image_has_the_bursts_of_its_annotation(safe, unpacked):
    for files in every_image(safe, unpacked):
        text = Path(files.annotation).read_text()
        found = open_slc(files, None)
        assert [one.number for one in found.bursts] == burst_ids(text)
        assert len(found.bursts) == 9
        lines, samples = (int(one_value(text, f"numberOf{axis}")) for axis in ("Lines", "Samples"))
        assert found.shape == (lines, samples)
        assert all(one.lines == lines / 9 for one in found.bursts)
        assert found.polarisation == files.annotation.split("-slc-")[1][:2]
        assert {one.swath for one in found.bursts} == {found.swath} == {files.swath.upper()}


def test_bursts_of_two_dates_have_the_same_numbers(unpacked):
    for swath in ("iw1", "iw2", "iw3"):
        one, other = (
            [burst.number for burst in open_slc(image(product, swath), None).bursts]
            for product in unpacked
        )
        assert one == other == list(range(one[0], one[0] + 9))


def test_numbers_that_are_not_annotated_are_computed(safe, unpacked, tmp_path):
    """For all 117 bursts at hand, of two tracks and two years."""
    for number, files in enumerate(every_image(safe, unpacked)):
        text = Path(files.annotation).read_text()
        bare = tmp_path / f"{number}.xml"
        bare.write_text(re.sub(r"<burstId[^>]*>\d+</burstId>", "", text))
        assert not burst_ids(bare.read_text())
        found = open_slc(replace(files, annotation=str(bare)), None)
        assert [one.number for one in found.bursts] == burst_ids(text)


@pytest.mark.parametrize("mission", ["S1C", "S1D"])
def test_numbers_of_other_satellites_are_not_guessed(cut, bad, mission):
    says = r"burst 1 of 1 \(IW1\): no burstId, which only S1A and S1B of before 2022 do without$"
    bad(
        says,
        (r"<burstId[^>]*>\d+</burstId>", ""),
        ("<missionId>S1A</missionId>", f"<missionId>{mission}</missionId>"),
    )


def test_bursts_begin_at_their_annotated_times_on_one_grid_of_lines(safe, unpacked):
    for files in every_image(safe, unpacked):
        text = Path(files.annotation).read_text()
        listed = text.partition("<burstList")[2].partition("</burstList>")[0]
        times = re.findall(r"<azimuthTime>([^<]+)<", listed)
        first = datetime.fromisoformat(re.findall(r"<productFirstLineUtcTime>([^<]+)<", text)[0])
        found = open_slc(files, None)
        assert found.epoch == np.datetime64(first)
        wanted = [(datetime.fromisoformat(time) - first).total_seconds() for time in times]
        assert [one.start_s for one in found.bursts] == pytest.approx(wanted, abs=1e-9)
        assert all(
            one.start_s < later for one, later in zip(found.bursts, wanted[1:], strict=False)
        )


def test_the_first_line_was_sensed_when_the_steered_beam_saw_it(safe, unpacked):
    """The sign of the steering, without pixels: the other gives seconds more.

    A beam steered by k_s sees zero-Doppler time eta at (k_a eta + f_dc) / (k_a - k_s); some 40
    ms remain, that are alike in all swaths.
    """
    for files in every_image(safe, unpacked):
        text = Path(files.annotation).read_text()
        sensed = datetime.fromisoformat(re.findall(r"<sensingTime>([^<]+)<", text)[0])
        listed = text.partition("<burstList")[2]
        shown = datetime.fromisoformat(re.findall(r"<azimuthTime>([^<]+)<", listed)[0])
        one = open_slc(files, None).bursts[0]
        k_s = 2 * one.speed_m_s * one.steering_rad_s / one.wavelength_m
        middle = one.first_sample_s + one.samples / 2 / one.sampling_rate_hz
        k_a, f_dc = (
            sum(term * (middle - record[0]) ** n for n, term in enumerate(record[1]))
            for record in (one.fm_rate, one.doppler)
        )
        eta = -one.lines / 2 * one.line_step_s
        late = (k_a * eta + f_dc) / (k_a - k_s) - eta
        assert 0 < late - (sensed - shown).total_seconds() < 0.06
        backwards = (k_a * eta + f_dc) / (k_a + k_s) - eta
        assert abs(backwards - (sensed - shown).total_seconds()) > 0.5


def middle_of(product: Path) -> float:
    """Two-way time of the middle of IW2."""
    text = Path(image(product, "iw2").annotation).read_text()
    info = text.partition("<imageInformation>")[2]
    return values(info, "slantRangeTime")[0] + one_value(text, "numberOfSamples") / (
        2 * one_value(text, "rangeSamplingRate")
    )


@pytest.mark.parametrize("swath", ["iw1", "iw2", "iw3"])
def test_the_bistatic_reference_is_the_middle_of_iw2(unpacked, swath):
    for product in unpacked:
        found = open_slc(image(product, swath), image(product, "iw2"))
        wanted = middle_of(product)
        assert [one.bistatic_reference_s for one in found.bursts] == pytest.approx(
            [wanted] * 9, rel=1e-14
        )


@pytest.mark.parametrize("swath", ["iw1", "iw2", "iw3"])
def test_without_iw2_the_grid_says_what_it_is(unpacked, swath):
    for product in unpacked:
        found = open_slc(image(product, swath), None).bursts[0]
        # half of 3 us is 0.0007 line
        assert found.bistatic_reference_s == pytest.approx(middle_of(product), abs=3e-6)


def test_wavelength_sampling_and_spectrum_are_those_of_iw(safe, unpacked):
    for files in every_image(safe, unpacked):
        found, text = open_slc(files, None), Path(files.annotation).read_text()
        one = found.bursts[0]
        assert one.wavelength_m == pytest.approx(LIGHT / 5.40500045433435e9, rel=1e-12)
        assert one.line_step_s == one_value(text, "azimuthTimeInterval")
        assert one.sampling_rate_hz == one_value(text, "rangeSamplingRate")
        assert 7580 < one.speed_m_s < 7620
        (azimuth, along), (across, window) = found.spectrum
        assert [window, along] == values(text, "windowCoefficient")  # range, then azimuth
        assert {window, along} <= {0.70, 0.75}
        bands = values(text, "processingBandwidth")
        assert across == pytest.approx(bands[0] / one.sampling_rate_hz, rel=1e-12)
        assert azimuth == pytest.approx(bands[1] * one.line_step_s, rel=1e-12)
        assert 0.6 < azimuth < 0.7
        assert 0.6 < across < 0.9
        assert [taps.shape for taps in found.taps] == [(1025, 8)] * 2


def test_beams_are_steered_as_fast_as_annotated(unpacked):
    for swath, degrees in (("iw1", 1.5904), ("iw2", 0.9799), ("iw3", 1.3974)):
        found = open_slc(image(unpacked[0], swath), None).bursts[0]
        assert np.degrees(found.steering_rad_s) == pytest.approx(degrees, abs=5e-5)


def test_each_burst_has_the_records_nearest_to_its_middle(unpacked):
    files = image(unpacked[0], "iw1")
    text = Path(files.annotation).read_text()
    found = open_slc(files, None)
    epoch = datetime.fromisoformat(str(found.epoch)[:26])
    for tag, terms, name in (
        ("azimuthFmRate", "azimuthFmRatePolynomial", "fm_rate"),
        ("dcEstimate", "dataDcPolynomial", "doppler"),
    ):
        records = []
        for record in re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL):
            time = datetime.fromisoformat(re.findall("<azimuthTime>([^<]+)<", record)[0])
            listed = re.findall(rf"<{terms}[^>]*>([^<]+)<", record)[0]
            row = values(record, "t0")[0], tuple(map(float, listed.split()))
            records.append(((time - epoch).total_seconds(), row))
        assert len(records) > 9
        for one in found.bursts:
            middle = one.start_s + one.lines / 2 * one.line_step_s
            assert getattr(one, name) == min(records, key=lambda at: abs(at[0] - middle))[1]


def test_the_old_form_of_rates_is_read_the_same(unpacked, tmp_path):
    """Before IPF 2.50 the coefficients were three elements."""
    files = image(unpacked[0], "iw3")

    def three(match: re.Match[str]) -> str:
        return "".join(f"<c{n}>{one}</c{n}>" for n, one in enumerate(match[1].split()))

    pattern = r"<azimuthFmRatePolynomial[^>]*>([^<]+)</azimuthFmRatePolynomial>"
    old = tmp_path / "old.xml"
    text, count = re.subn(pattern, three, Path(files.annotation).read_text())
    assert count > 9
    old.write_text(text)
    found = open_slc(replace(files, annotation=str(old)), None)
    wanted = open_slc(files, None)
    assert [one.fm_rate for one in found.bursts] == [one.fm_rate for one in wanted.bursts]


def test_times_from_another_epoch_are_the_same_moments(unpacked):
    found = open_slc(image(unpacked[0], "iw1"), None)
    assert found.since(found.epoch) is found
    moved = found.since(found.epoch - np.timedelta64(90, "s"))
    assert moved.bursts[3].start_s == pytest.approx(found.bursts[3].start_s + 90, abs=1e-9)
    place, speed, _ = found.orbit.state(np.array(3.25))
    # 7.6 km/s for a rounding of 1e-14 s
    np.testing.assert_allclose(moved.orbit.state(np.array(93.25))[0], place, atol=1e-6)
    np.testing.assert_allclose(moved.orbit.state(np.array(93.25))[1], speed, atol=1e-8)


def test_valid_samples_are_those_listed(unpacked):
    files = image(unpacked[0], "iw2")
    text = Path(files.annotation).read_text()
    found = open_slc(files, None)
    for end in ("first", "last"):
        lists = re.findall(rf"<{end}ValidSample[^>]*>([^<]+)<", text)
        for one, listed in zip(found.bursts, lists, strict=True):
            assert getattr(one, f"{end}_valid").tolist() == [int(at) for at in listed.split()]


def test_a_digital_number_of_beta_nought_is_237(safe, unpacked):
    for files in every_image(safe, unpacked):
        rows = re.findall(r"<betaNought[^>]*>([^<]+)<", Path(files.calibration).read_text())
        assert amplitude_gain(files) == statistics.fmean(map(float, rows[0].split())) == 237.0


# --- a scene of many images


def test_a_scene_holds_an_image_of_each_swath_and_polarisation(safe, tmp_path):
    scene = open_safe(safe / f"{SEPTEMBER[0]}.zip", tmp_path)
    assert (scene.mode, scene.product, scene.relative_orbit) == ("IW", "SLC", 52)
    assert scene.polarisations == ("vv", "vh")
    assert [(name, files.swath) for name, files in scene.files] == [
        (pol, swath) for pol in ("vv", "vh") for swath in ("iw1", "iw2", "iw3")
    ]
    for name, files in scene.files:
        paths = (files.measurement, files.annotation, files.calibration, files.noise)
        assert all(f"-{files.swath}-slc-{name}-" in path for path in paths)


def test_swaths_come_in_order_with_the_polarisations_asked_for(safe, tmp_path):
    scene = open_safe(safe / f"{SEPTEMBER[0]}.zip", tmp_path)
    both = scene.swaths(("vh", "vv"))
    assert [[files.swath for files in one] for one in both] == [
        [swath] * 2 for swath in ("iw1", "iw2", "iw3")
    ]
    assert all("-slc-vh-" in one[0].annotation for one in both)
    assert all("-slc-vv-" in one[1].annotation for one in both)


def test_a_swath_without_one_of_the_polarisations_is_left_out(safe, tmp_path):
    scene = open_safe(safe / f"{SEPTEMBER[0]}.zip", tmp_path)
    kept = tuple(one for one in scene.files if (one[0], one[1].swath) != ("vh", "iw2"))
    fewer = replace(scene, files=kept)
    assert [one[0].swath for one in fewer.swaths(("vv", "vh"))] == ["iw1", "iw3"]
    assert [one[0].swath for one in fewer.swaths(("vv",))] == ["iw1", "iw2", "iw3"]
    assert fewer.swaths(("hh",)) == ()


# --- single bursts, as burst2safe makes them

LINE, SAMPLE, NUMBER = 700, 9000, 5000


@pytest.fixture(scope="session")
def cut(safe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One burst of one swath and polarisation with one point target; read only."""
    scene = SlcScene(
        (0, 0, 1, 1), density=0, image_targets=(("IW1", 2, LINE, SAMPLE, NUMBER),)
    )  # fmt: skip
    return simulate_slc(
        tmp_path_factory.mktemp("cut"), safe / f"{SEPTEMBER[0]}.zip", scene,
        swaths=("IW1",), polarisations=("VV",), bursts=(2,),
    )  # fmt: skip


def check_single(scene: Scene, unpacked: tuple[Path, ...]) -> None:
    assert scene.polarisations == ("vv",)
    ((files,),) = scene.swaths(("vv",))
    found = open_slc(files, None)
    whole = open_slc(image(unpacked[0], "iw1"), None)
    (one,) = found.bursts
    assert (one.number, found.shape) == (whole.bursts[2].number, (one.lines, one.samples))
    assert one.lines == whole.bursts[2].lines
    start = (found.epoch - whole.epoch) / np.timedelta64(1, "ns") * 1e-9
    assert start + one.start_s == pytest.approx(whole.bursts[2].start_s, abs=1e-6)
    assert (one.fm_rate, one.doppler) == (whole.bursts[2].fm_rate, whole.bursts[2].doppler)
    np.testing.assert_array_equal(one.first_valid, whole.bursts[2].first_valid)
    assert one.bistatic_reference_s == pytest.approx(middle_of(unpacked[0]), abs=3e-6)
    near = open_samples(files, found).read(Window(LINE - 4, SAMPLE - 4, LINE + 5, SAMPLE + 5))
    # rounded to whole numbers in both parts
    assert abs(near[4, 4]) == pytest.approx(NUMBER, abs=1)
    assert np.abs(near).argmax() == 4 * 9 + 4


def test_a_product_of_one_burst_is_read(cut, unpacked, tmp_path):
    check_single(open_safe(cut, tmp_path), unpacked)


def test_a_zip_of_one_is_found_unpacked_and_read(cut, unpacked, tmp_path):
    (tmp_path / "archive").mkdir()
    shutil.make_archive(str(tmp_path / "archive" / cut.stem), "zip", cut.parent, cut.name)
    source = FolderSource(tmp_path / "archive", tmp_path / "scratch", product="slc")
    days = date(2023, 9, 4), date(2023, 9, 4)
    (scene,) = source.search(EVERYWHERE, days)
    assert scene.footprint.contains(Point(-9, 31))
    assert scene.archive == str(tmp_path / "archive" / f"{cut.stem}.zip")
    extract(Path(scene.archive), tmp_path / "scratch")
    check_single(scene, unpacked)


def test_a_folder_of_both_kinds_gives_each_its_own(safe, cut, tmp_path):
    for product in (safe / ROME, cut):
        (tmp_path / product.name).symlink_to(product)
    for kind, name in (("slc", cut.name), ("grd", ROME)):
        found = FolderSource(tmp_path, tmp_path / "scratch", product=kind).scenes
        assert [f"{scene.id}.SAFE" for scene in found] == [name]


def test_a_folder_without_the_kind_is_one_line(safe, tmp_path):
    (tmp_path / ROME).symlink_to(safe / ROME)
    says = "holds 1 Sentinel-1 products, none of them SLC; give a folder of SLC products"
    with pytest.raises(SearchError, match=says):
        FolderSource(tmp_path, tmp_path, product="slc")


# --- samples

SHAPE = 41, 57


def write(path: Path, numbers: np.ndarray, dtype: str = "complex_int16", **options) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", height=numbers.shape[0], width=numbers.shape[1], count=1,
        dtype=dtype, **options,
    ) as file:  # fmt: skip
        file.write(numbers, 1)
    return path


def pairs(shape=SHAPE, seed=0) -> np.ndarray:
    """Complex whole numbers of 16 bits, the extremes among them."""
    rng = np.random.default_rng(seed)
    found = rng.integers(-(2**15), 2**15, (*shape, 2)).astype("float32")
    found[0, 0], found[-1, -1] = (-(2**15), 2**15 - 1), (0, -1)
    return found.view("complex64")[..., 0]


LAYOUTS = {
    "lines in order": {},
    "strips": {"blockysize": 4},
    "zstd": {"compress": "zstd"},
    "tiled": {"tiled": True, "blockxsize": 16, "blockysize": 32},
    "tiled, deflate": {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"},
}


@pytest.fixture(scope="module", params=LAYOUTS)
def stored(request, tmp_path_factory) -> tuple[Samples, np.ndarray]:
    path = tmp_path_factory.mktemp("samples") / "vv.tiff"
    write(path, pairs(), **LAYOUTS[request.param])
    return Samples(str(path), SHAPE), pairs()


def test_a_window_holds_the_numbers_that_rasterio_reads(stored):
    samples, _ = stored

    @given(st.data())
    @settings(max_examples=25)
    def check(data):
        line, sample = (data.draw(st.integers(0, size - 1)) for size in SHAPE)
        height, width = (
            data.draw(st.integers(1, size - at))
            for size, at in zip(SHAPE, (line, sample), strict=True)
        )
        found = samples.read(Window(line, sample, line + height, sample + width))
        with rasterio.open(samples.href) as file:
            wanted = file.read(1, window=RasterWindow(sample, line, width, height))
        assert found.dtype == "complex64"
        np.testing.assert_array_equal(found, wanted)

    check()


def test_all_numbers_are_those_that_were_written(stored):
    samples, numbers = stored
    np.testing.assert_array_equal(samples.read(Window(0, 0, *SHAPE)), numbers)


def test_samples_travel_as_their_path(stored):
    samples, numbers = stored
    found = pickle.loads(pickle.dumps(samples)).read(Window(3, 5, 9, 50))
    np.testing.assert_array_equal(found, numbers[3:9, 5:50])


def test_the_compressed_measurement_of_a_real_zip_is_read(unpacked):
    """Its pixels were taken out: zeros of the right size and kind."""
    files = image(unpacked[0], "iw1")
    with rasterio.open(files.measurement) as file:
        assert file.compression is not None
    found = open_samples(files, open_slc(files, None))
    part = found.read(Window(13_500, 22_000, 13_563, 23_055))
    assert part.shape == (63, 1055)
    assert part.dtype == "complex64"
    assert not part.any()


def test_lines_of_a_burst_are_lines_of_the_image(unpacked):
    found = open_slc(image(unpacked[0], "iw1"), None)
    assert burst_window(found, 3, Window(5, 7, 9, 11)) == Window(4526, 7, 4530, 11)


def test_other_kinds_of_pixels_are_refused(tmp_path):
    path = write(tmp_path / "grd.tiff", np.ones(SHAPE, "uint16"), "uint16")
    says = r"grd\.tiff: holds 1 x 41 x 57 uint16, the annotation says 1 x 41 x 57 complex_int16$"
    with pytest.raises(SourceError, match=says):
        Samples(str(path), SHAPE).check()


def test_complex_pixels_that_others_wrote_again_are_read_too(safe, tmp_path):
    rng = np.random.default_rng(3)
    values = (rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE)).astype("complex64")
    path = write(tmp_path / "vv.tiff", values, "complex64")
    found = Samples(str(path), SHAPE).read(Window(3, 5, 20, 50))
    assert found.tobytes() == values[3:20, 5:50].tobytes()
    files = image(safe / JANUARY, "iw1")
    assert not open_samples(files, open_slc(files, None)).read(Window(0, 0, 9, 9)).any()


def test_images_of_another_size_are_refused(tmp_path):
    path = write(tmp_path / "vv.tiff", pairs())
    says = "holds 1 x 41 x 57 complex_int16, the annotation says 1 x 42 x 57 complex_int16"
    with pytest.raises(SourceError, match=says):
        Samples(str(path), (42, 57)).read(Window(0, 0, 1, 1))


@pytest.mark.parametrize("layout", ["lines in order", "zstd"])
def test_a_truncated_measurement_is_one_line(tmp_path, layout):
    path = write(tmp_path / "vv.tiff", pairs(), **LAYOUTS[layout])
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(SourceError, match=r"vv\.tiff: .*download (the product|it) again") as caught:
        Samples(str(path), SHAPE).read(Window(0, 0, *SHAPE))
    assert "\n" not in str(caught.value)


# --- what is wrong with some

Edit = tuple[str, str]


@pytest.fixture
def edited(cut: Path, tmp_path: Path) -> Callable[..., Files]:
    """The single burst with its annotation or calibration changed."""

    def change(*edits: Edit, kind: str = "annotation") -> Files:
        files = image(cut, "iw1")
        text = Path(getattr(files, kind)).read_text()
        for old, new in edits:
            text, count = re.subn(old, new, text, flags=re.DOTALL)
            assert count, f"no {old}"
        (tmp_path / "edited.xml").write_text(text)
        return replace(files, **{kind: str(tmp_path / "edited.xml")})

    return change


@pytest.fixture
def bad(edited) -> Callable[..., None]:
    """Check that an annotation is refused in one line that names the file."""

    def check(says: str, *edits: Edit) -> None:
        files = edited(*edits)
        with pytest.raises(SourceError, match=says) as caught:
            open_slc(files, None)
        assert str(caught.value).startswith(f"{files.annotation}: ")
        assert "\n" not in str(caught.value)

    return check


FIRST_VALID = r"(<firstValidSample[^>]*>)[^<]*<"
BURST = r"edited\.xml: burst 1 of 1 \(IW1\)"
REFUSED = {
    "no valid sample": (
        rf"{BURST} has no valid sample; leave the product out$",
        (FIRST_VALID, rf"\g<1>{'-1 ' * 1507}<"),
    ),
    "valid samples of too few lines": (
        rf"{BURST}: valid samples of 1506 and 1507 lines, the burst has 1507$",
        (FIRST_VALID, rf"\g<1>{'171 ' * 1506}<"),
    ),
    "valid samples beyond the image": (
        rf"{BURST}: last valid sample 23055, the image has 23055$",
        (r"(<lastValidSample[^>]*>)[^<]*<", rf"\g<1>{'23055 ' * 1507}<"),
    ),
    "valid samples that are words": (
        rf"{BURST}: a list of numbers holds text",
        (FIRST_VALID, rf"\g<1>{'all ' * 1507}<"),
    ),
    "no list of valid samples": (
        rf"{BURST}: <burst> lacks lastValidSample",
        (r"<lastValidSample.*?</lastValidSample>", ""),
    ),
    "no rates": (
        "no azimuthFmRate records; the phase law of bursts needs them$",
        (r"<azimuthFmRate>.*</azimuthFmRate>", ""),
    ),
    "no centroids": (
        "no dcEstimate records; the phase law of bursts needs them$",
        (r"<dcEstimate>.*</dcEstimate>", ""),
    ),
    "a rate without its polynomial": (
        "<azimuthFmRate> lacks azimuthFmRatePolynomial",
        (r"<azimuthFmRatePolynomial[^>]*>[^<]*</azimuthFmRatePolynomial>", ""),
    ),
    "no steering": (
        "<productInformation> lacks azimuthSteeringRate; the file is incomplete$",
        (r"<azimuthSteeringRate>.*?</azimuthSteeringRate>", ""),
    ),
    "no turn of the beam": (
        r"azimuthSteeringRate 0, radarFrequency 5\.405e\+09; of a TOPS image both are above 0$",
        (r"(<azimuthSteeringRate>)[^<]*", r"\g<1>0.0"),
    ),
    "no frequency": (
        "radarFrequency 0; of a TOPS image both are above 0",
        (r"(<radarFrequency>)[^<]*", r"\g<1>0"),
    ),
    "an endless rate": (
        "azimuthSteeringRate is 'inf', not a finite number",
        (r"(<azimuthSteeringRate>)[^<]*", r"\g<1>inf"),
    ),
    "half a burst": (
        "burstId is 4.5, not a whole number",
        (r"(<burstId[^>]*>)[^<]*", r"\g<1>4.5"),
    ),
    "lines that are no number": (
        "linesPerBurst is 'nan', not a finite number",
        (r"(<linesPerBurst>)[^<]*", r"\g<1>nan"),
    ),
    "an FM rate above 0": (
        r"burst 1 of 1 \(IW1\): azimuthFmRate of .* Hz/s; it is below 0",
        (r"(<azimuthFmRatePolynomial[^>]*>)[^<]*", r"\g<1>2300.0 0.0 0.0"),
    ),
    "an FM rate that is no number": (
        "a list of numbers holds nan",
        (r"(<azimuthFmRatePolynomial[^>]*>)[^<]*", r"\g<1>nan 0.0 0.0"),
    ),
    "a centroid that is no number": (
        "a list of numbers holds inf",
        (r"(<dataDcPolynomial[^>]*>)[^<]*", r"\g<1>inf 0.0 0.0"),
    ),
    "a valid sample that is none": (
        r"burst 1 of 1 \(IW1\): firstValidSample holds what is no number of a sample",
        (r"(<firstValidSample[^>]*>)-1 ", r"\g<1>0.5 "),
    ),
    "steering backwards": (
        "azimuthSteeringRate -1.59",
        (r"(<azimuthSteeringRate>)", r"\g<1>-"),
    ),
    "a band wider than the sampling": (
        r"rangeProcessing of 1\.011 sampling rates, window 0\.75; expected less than 1, and 0\.5",
        (r"(<rangeProcessing>.*?<processingBandwidth>)[^<]*", r"\g<1>6.505e+07"),
    ),
    "a window that is none": (
        r"azimuthProcessing of 0\.672 sampling rates, window 0\.2;",
        (r"(<azimuthProcessing>.*?<windowCoefficient>)[^<]*", r"\g<1>0.2"),
    ),
    "other lines in the bursts than in the image": (
        "1 bursts of 1500 lines, the image has 1507; the file is incomplete$",
        (r"(<linesPerBurst>)1507", r"\g<1>1500"),
    ),
    "no bursts": (
        "no bursts in swathTiming/burstList; the file is incomplete$",
        (r"<burst>.*</burst>", ""),
    ),
    "another mode": ("product EW SLC; this reader takes IW SLC$", ("<mode>IW<", "<mode>EW<")),
    "another product": (
        "product IW GRD; this reader takes IW SLC$",
        ("<productType>SLC<", "<productType>GRD<"),
    ),
}


@pytest.mark.parametrize(("says", "edit"), REFUSED.values(), ids=REFUSED)
def test_an_annotation_that_lacks_something_is_one_line(bad, says, edit):
    bad(says, edit)


def test_the_burst_to_blame_is_named(unpacked, tmp_path):
    files = image(unpacked[0], "iw3")
    text = Path(files.annotation).read_text()
    lists = list(re.finditer(r"(<firstValidSample[^>]*>)[^<]*<", text))
    fourth = lists[3]
    text = f"{text[: fourth.start()]}{fourth[1]}{'-1 ' * 1520}<{text[fourth.end() :]}"
    (tmp_path / "edited.xml").write_text(text)
    lines = open_slc(files, None).bursts[0].lines
    says = r"edited\.xml: burst 4 of 9 \(IW3\)"
    says += " has no valid" if lines == 1520 else f": valid samples of 1520 and {lines} lines"
    with pytest.raises(SourceError, match=says):
        open_slc(replace(files, annotation=str(tmp_path / "edited.xml")), None)


def test_a_grd_annotation_is_refused(safe):
    files = Files("", str(next((safe / ROME).glob("annotation/*.xml"))))
    with pytest.raises(SourceError, match="product IW GRD; this reader takes IW SLC"):
        open_slc(files, None)


def test_lines_whose_last_sample_is_before_their_first_hold_none(edited):
    listed = ["171"] * 1507
    listed[40] = "23054"
    found = open_slc(edited((FIRST_VALID, rf"\g<1>{' '.join(listed)}<")), None).bursts[0]
    assert found.first_valid[40] == found.last_valid[40] == -1
    assert found.first_valid[41] == 171


def test_a_spectrum_without_window_is_flat(edited):
    found: SlcImage = open_slc(edited(("<windowType>Hamming<", "<windowType>NONE<")), None)
    assert [window for _, window in found.spectrum] == [1.0, 1.0]


BETA = r"(<betaNought[^>]*>)[^<]*<"


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        ((r"<betaNought.*?</betaNought>", ""), "<calibrationVector> lacks betaNought"),
        (
            (BETA, r"\g<1>237.0 238.0<"),
            "betaNought of 237 to 238; that of a single-look image is o",
        ),
        ((BETA, r"\g<1>0.0 0.0<"), "betaNought of 0 to 0"),
        ((BETA, r"\g<1>nan 237.0<"), "a list of numbers holds nan"),
        ((BETA, r"\g<1>much<"), "a list of numbers holds text"),
        (
            (r"<calibrationVector>.*</calibrationVector>", ""),
            "no calibrationVector; the file is in",
        ),
    ],
    ids=["missing", "not constant", "zero", "not a number", "words", "no vectors"],
)
def test_a_calibration_that_lacks_something_is_one_line(edited, edit, says):
    files = edited(edit, kind="calibration")
    with pytest.raises(SourceError, match=says) as caught:
        amplitude_gain(files)
    assert str(caught.value).startswith(f"{files.calibration}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_annotation_is_one_line(tmp_path):
    with pytest.raises(SourceError, match=r"no\.xml: cannot read"):
        open_slc(Files("", str(tmp_path / "no.xml")), None)
