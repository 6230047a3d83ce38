"""``cube build --product slc`` and ``cube coherence``: whole cubes, stopped ones, bad input.

Pixels are simulated on real annotations.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from matplotlib import pyplot as plt
from single_look import mountain, pair_of, write_dem

import cube
from cube.simulate.slc import SlcScene, simulate_slc

PLACE = -8.420, 31.640
"""Where the first two bursts of IW1 meet, in the middle of the swath."""
HALF = 0.008, 0.006
BOX = ",".join(
    f"{centre + sign * half:.4f}"
    for sign in (-1, 1)
    for centre, half in zip(PLACE, HALF, strict=True)
)
DAYS = ("--before", "2023-08-20/2023-09-17", "--during", "2023-09-18/2023-10-01")
KEPT = {"swaths": ("IW1",), "bursts": range(2)}


def around(margin: float = 0.006) -> tuple[float, float, float, float]:
    west, south, east, north = map(float, BOX.split(","))
    return west - margin, south - margin, east + margin, north + margin


@pytest.fixture(scope="session")
def dates(tmp_path_factory, data_dir) -> Path:
    """Three dates of a track, wholly coherent but for the last one's western half; and the DEM."""
    folder = tmp_path_factory.mktemp("dates")
    first, _ = pair_of(data_dir)

    def left(lon, lat):
        return np.where(lon < PLACE[0], 0.0, 1.0)

    for date, (shift, line, coherence) in enumerate(
        ((0, 0.0, 1.0), (12, 0.43, 1.0), (24, 0.21, left))
    ):
        scene = SlcScene(around(), height=mountain, coherence=coherence, density=0.03)
        simulate_slc(
            folder, first, scene, date=date, time_shift_days=shift, line_shift=line,
            orbit_shift_m=40.0 * date, polarisations=("VV", "VH"), **KEPT,
        )  # fmt: skip
    write_dem(folder / "dem.tif", PLACE)
    return folder


@pytest.fixture
def own_dates(dates, tmp_path) -> Path:
    """A copy of them that a test may damage."""
    return Path(shutil.copytree(dates, tmp_path / "dates"))


@pytest.fixture(scope="session")
def build(cube_command):
    def run(source: Path, out: Path, *more: object):
        return cube_command(
            "build", "--bbox", BOX, *DAYS, "--product", "slc", "--source", source,
            "--dem", source / "dem.tif", "--out", out, "--scratch", out.parent / "scratch", *more,
        )  # fmt: skip

    return run


@pytest.fixture(scope="session")
def images(dates, build, tmp_path_factory) -> Path:
    """A finished cube of complex images; read only by agreement."""
    out = tmp_path_factory.mktemp("images") / "cube.zarr"
    build(dates, out).fine()
    return out


@pytest.fixture
def own_images(images, tmp_path) -> Path:
    return Path(shutil.copytree(images, tmp_path / "cube.zarr"))


def tree(path: Path) -> dict[str, bytes]:
    files = sorted(one for one in path.rglob("*") if one.is_file())
    return {str(one.relative_to(path)): one.read_bytes() for one in files}


def test_a_cube_of_complex_images(images):
    ds = cube.open_cube(images)
    assert {"slc_vv", "slc_vh", "dem", "mask", "incidence_angle", "rtc_anf"} == set(ds.data_vars)
    assert ds.slc_vv.dtype == np.complex64
    assert ds.slc_vv.dims == ("time", "y", "x")
    assert list(ds.role.values) == ["before", "before", "during"]
    assert np.isfinite(ds.slc_vv.values).all()
    assert not (ds.mask.values & 4).any()
    places = ds.sensor_position.values
    assert np.linalg.norm(places[1] - places[0]) == pytest.approx(40, abs=1)
    assert np.linalg.norm(places[2] - places[0]) == pytest.approx(80, abs=1)
    plain = xr.open_zarr(images)
    assert np.isnan(zarr.open_array(f"{images}/slc_vv").fill_value)
    assert plain.slc_vv.attrs["polarisation"] == "VV"


def test_coherence_between_any_two_dates_is_one_call(images):
    ds = cube.open_cube(images)
    east = ds.x > float(ds.x.mean()) + 100
    first, last = ds.slc_vv.isel(time=0), ds.slc_vv.isel(time=2)
    found = cube.coherence(first, last)
    assert found.chunks is not None
    assert 55 < found.attrs["looks"] < 70
    # 80 m of baseline, 12 looks and an orbit that drifts: near 1 where nothing changed
    assert float(found.where(east).mean()) > 0.95
    assert float(found.where(ds.x < float(ds.x.mean()) - 100).mean()) < 0.16


def test_coherence_is_added_to_the_cube(own_images, cube_command):
    said = cube_command("coherence", own_images).fine().out
    assert "coherence of 2 pairs, change for 1 passes, window 11 x 11" in said
    ds = cube.open_cube(own_images)
    assert ds.coherence_vv.dims == ("pair", "y", "x")
    lazy = cube.coherence_pairs(cube.open_cube(own_images))
    np.testing.assert_array_equal(ds.coherence_vv.values, lazy.coherence_vv.values)
    for name in ("temporal_baseline", "perpendicular_baseline", "primary_time", "pair_orbit"):
        np.testing.assert_array_equal(ds[name].values, lazy[name].values)
    np.testing.assert_allclose(ds.temporal_baseline, 12, atol=1e-4)
    np.testing.assert_allclose(ds.perpendicular_baseline, 40 * np.cos(np.radians(29)), atol=2)
    change = cube.coherence_change(cube.open_cube(own_images))
    stored = ds.coherence_change_vv.isel(time=[2]).values
    np.testing.assert_allclose(stored, change.coherence_change_vv.values, atol=1e-6)
    assert np.isnan(ds.coherence_change_vv.isel(time=[0, 1])).all()
    west = ds.x < float(ds.x.mean()) - 100
    assert float(ds.coherence_change_vv.isel(time=2).where(west).mean()) < -0.7


def test_coherence_that_is_there_is_not_made_again(own_images, cube_command):
    cube_command("coherence", own_images).fine()
    before = tree(own_images)
    assert "nothing to do" in cube_command("coherence", own_images).fine().err
    assert tree(own_images) == before
    error = cube_command("coherence", own_images, "--window", "5,5").error
    assert "holds coherence of 2 pairs (consecutive, window 11,11)" in error
    assert tree(own_images) == before
    cube_command("coherence", own_images, "--window", "5,5", "--overwrite").fine()
    assert cube.open_cube(own_images).coherence_vv.attrs["window"] == [5, 5]
    cube_command("coherence", own_images, "--overwrite").fine()
    assert tree(own_images) == before


def test_stopped_coherence_goes_on_and_ends_with_the_same_bytes(
    own_images, cube_command, monkeypatch
):
    import pipelines.coherence as pipeline

    whole = own_images.with_name("whole.zarr")
    shutil.copytree(own_images, whole)
    cube_command("coherence", whole, "--pairs", "within:24").fine()
    flag = pipeline.set_flag

    def stop(path, name, index, value=True):
        flag(path, name, index, value)
        if index == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "set_flag", stop)
    with pytest.raises(KeyboardInterrupt):
        pipeline.add_coherence(own_images, pairs="within:24")
    monkeypatch.undo()
    ds = cube.open_cube(own_images)
    assert ds.sizes["pair"] == 2
    assert "coherence_change_vv" not in ds
    assert "resuming" in cube_command("coherence", own_images, "--pairs", "within:24").fine().err
    assert tree(own_images) == tree(whole)


def test_a_stopped_build_goes_on_and_ends_with_the_same_bytes(
    dates, images, build, tmp_path, monkeypatch
):
    from pipelines import stages
    from pipelines.build import build as pipeline
    from pipelines.request import Request
    from pipelines.runner import Progress

    flag = stages.set_flag

    def stop(path, name, index, value=True):
        flag(path, name, index, value)
        raise KeyboardInterrupt

    out = tmp_path / "cube.zarr"
    request = Request(
        bbox=tuple(map(float, BOX.split(","))), before=DAYS[1], during=DAYS[3], product="slc",
        source=str(dates), dem=str(dates / "dem.tif"), out=str(out), scratch=str(tmp_path / "s"),
    )  # fmt: skip
    monkeypatch.setattr(stages, "set_flag", stop)
    with pytest.raises(KeyboardInterrupt):
        pipeline(request, Progress(quiet=True))
    monkeypatch.undo()
    assert cube.open_cube(out).sizes["time"] == 1
    assert "resuming" in build(dates, out).fine().err
    assert tree(out) == tree(images)


def test_blocks_and_processes_change_no_byte(dates, images, build, tmp_path):
    out = tmp_path / "cube.zarr"
    build(dates, out, "--scheduler", "processes", "--workers", 2).fine()
    assert tree(out) == tree(images)


def test_kuro_siwos_layers_are_phase_and_amplitude_of_numbers(dates, build, tmp_path):
    out = tmp_path / "cube.zarr"
    build(dates, out, "--preset", "kurosiwo-slc").fine()
    ds = cube.open_cube(out)
    names = ["Phase_VV", "Ampl_VH", "Ampl_VV", "Phase_VH"]
    assert set(names) <= set(ds.data_vars)
    assert ds.attrs["floodcube"]["identity"]["crs"] == "EPSG:3857"
    for name in names:
        assert ds[name].dtype == np.float32
        assert np.isfinite(ds[name].values).all()
    # digital numbers of beta nought 0.2 by a gain of 237: root mean square 106, its mean less by
    # the root of pi / 4, and by what bilinear interpolation takes from single looks
    assert 60 < float(ds.Ampl_VV.mean()) < 106
    phase = ds.Phase_VV.values
    assert np.abs(phase).max() <= np.pi
    # uniform phases have pi / sqrt(3) = 1.81 rad; means of four of them have less
    assert 0.8 < phase.std() < 1.81


# --- bad input


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.rglob(pattern)
    return found


def last(folder: Path) -> Path:
    return sorted(folder.glob("*.SAFE"))[-1]


def test_a_burst_without_valid_samples_is_named(own_dates, build, tmp_path):
    path = only(last(own_dates), "s1a-iw1-slc-vv-*.xml")
    text = path.read_text()
    lists = re.findall(r"<firstValidSample[^>]*>[^<]*<", text)
    text = text.replace(lists[1], re.sub(r"(?<=[ >])\d+", "-1", lists[1]))
    path.write_text(text)
    error = build(own_dates, tmp_path / "cube.zarr").error
    assert f"{path.name}: burst 2 of 2 (IW1) has no valid sample" in error
    assert not (tmp_path / "cube.zarr").exists()


def rewrite(path: Path, old: str, new: str) -> None:
    changed, count = re.subn(old, new, path.read_text(), flags=re.DOTALL)
    assert count, f"{path} does not hold {old}"
    path.write_text(changed)


@pytest.mark.parametrize("days", [0, 24])
def test_a_missing_burst_is_named_and_unknown(dates, build, tmp_path, data_dir, days):
    """Whichever date lacks it: the others keep theirs."""
    folder = tmp_path / "some"
    folder.mkdir()
    (folder / "dem.tif").symlink_to(dates / "dem.tif")
    day = np.datetime64("2023-09-04") + np.timedelta64(days, "D")
    for one in dates.glob("*.SAFE"):
        if str(day).replace("-", "") not in one.name:
            (folder / one.name).symlink_to(one)
    first, _ = pair_of(data_dir)
    scene = SlcScene(around(), height=mountain, density=0.0)
    simulate_slc(
        folder, first, scene, time_shift_days=days, swaths=("IW1",), bursts=range(1),
        polarisations=("VV", "VH"),
    )  # fmt: skip
    said = build(folder, tmp_path / "cube.zarr").fine().err
    assert f"{day}T06:37:31 sentinel-1a orbit 52 lacks burst 110432 of IW1: it has no" in said
    ds = cube.open_cube(tmp_path / "cube.zarr")
    unknown = np.isnan(ds.slc_vv.values)
    lacking = days // 12
    assert 0.2 < unknown[lacking].mean() < 0.8
    assert not unknown[[at for at in range(3) if at != lacking]].any()
    found = cube.coherence(ds.slc_vv.isel(time=1), ds.slc_vv.isel(time=lacking)).values
    assert np.isnan(found[unknown[lacking]]).all()


def test_a_pass_of_other_sub_swaths_is_named(dates, build, tmp_path, data_dir):
    folder = tmp_path / "some"
    folder.mkdir()
    (folder / "dem.tif").symlink_to(dates / "dem.tif")
    (folder / sorted(dates.glob("*.SAFE"))[0].name).symlink_to(sorted(dates.glob("*.SAFE"))[0])
    first, _ = pair_of(data_dir)
    scene = SlcScene(around(), height=mountain, density=0.0)
    other = simulate_slc(
        folder, first, scene, time_shift_days=12, swaths=("IW3",), bursts=range(2),
        polarisations=("VV", "VH"),
    )  # fmt: skip
    error = build(folder, tmp_path / "cube.zarr").error
    assert "lacks every burst that shows the grid (110431 of IW1, 110432 of IW1)" in error
    assert other.stem in error


def test_a_pass_of_other_polarisations_is_left_out_by_name(own_dates, build, tmp_path):
    product = last(own_dates)
    for path in [*product.rglob("*-vh-*")]:
        path.unlink()
    said = build(own_dates, tmp_path / "cube.zarr", "--dry-run").fine().out
    assert f"left out {product.stem}: has vv, most scenes have vv, vh" in said


@pytest.mark.parametrize(
    ("pattern", "old", "new", "says"),
    [
        ("s1a-iw1-slc-vv-*.xml", "<azimuthFmRateList.*</azimuthFmRateList>", "",
         "no azimuthFmRate records; the phase law of bursts needs them"),
        ("s1a-iw1-slc-vh-*.xml", "<azimuthSteeringRate>[^<]*</azimuthSteeringRate>", "",
         "<productInformation> lacks azimuthSteeringRate"),
        ("calibration-s1a-iw1-slc-vv-*.xml", "(<betaNought[^>]*>)[^ ]*", r"\g<1>1.0",
         "betaNought of 1 to 237"),
        ("s1a-iw1-slc-vh-*.xml", "(<burstId[^>]*>)110432<", r"\g<1>110439<",
         "bursts 110431, 110439, vv of IW1 has 110431, 110432"),
    ],
)  # fmt: skip
def test_annotations_that_lack_something_are_one_line(
    own_dates, build, tmp_path, pattern, old, new, says
):
    path = only(last(own_dates) / "annotation", pattern)
    rewrite(path, old, new)
    error = build(own_dates, tmp_path / "cube.zarr").error
    assert says in error
    assert path.name in error
    assert not (tmp_path / "cube.zarr").exists()


def test_a_cut_measurement_is_one_line(own_dates, build, tmp_path):
    path = only(last(own_dates), "s1a-iw1-slc-vv-*.tiff")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    error = build(own_dates, tmp_path / "cube.zarr").error
    assert path.name in error
    assert "truncated" in error


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--model", "bayes"), "--model bayes: water is told from detected images"),
        (("--backscatter", "sigma0"), "--backscatter sigma0: samples are of beta0"),
        (("--speckle", "lee"), "--speckle lee: filters work on detected radar images"),
        (("--noise-equivalent",), "--noise-equivalent: only detected radar images"),
        (("--preset", "kurosiwo"), "preset kurosiwo is for product grd; give --product grd"),
        (("--resolution", "80"), "resolution 80,80"),
    ],
)
def test_options_that_do_not_go_with_complex_images(dates, build, tmp_path, words, says):
    assert says in build(dates, tmp_path / "cube.zarr", *words).error


def test_a_folder_of_detected_products_is_one_line(build, tmp_path, dates):
    name = "S1A_IW_GRDH_1SDV_20230904T063730_20230904T063757_050174_0609E3_DAA1.SAFE"
    (tmp_path / "grd" / name).mkdir(parents=True)
    (tmp_path / "grd" / "dem.tif").symlink_to(dates / "dem.tif")
    error = build(tmp_path / "grd", tmp_path / "cube.zarr").error
    assert "holds 1 Sentinel-1 products, none of them SLC; give a folder of SLC" in error


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--window", "4,5"), "window of 4 by 5 pixels; give odd numbers"),
        (("--pairs", "all"), "unknown pairs 'all'; choose consecutive, within:DAYS or reference"),
        (("--pairs", "within:3"), "no pairs 'within:3' among the passes (3 on orbit 52)"),
        (("--pairs", "reference:2023-10"), "reference:2023-10: 0 passes are of that time"),
        (("--memory-limit", "100MB"), "is less than the"),
    ],
)
def test_coherence_that_cannot_be_is_one_line(own_images, cube_command, words, says):
    before = tree(own_images)
    assert says in cube_command("coherence", own_images, *words).error
    assert tree(own_images) == before


def test_coherence_of_what_is_no_cube_of_images(dates, build, cube_command, tmp_path):
    assert "no such cube" in cube_command("coherence", tmp_path / "none.zarr").error
    build(dates, tmp_path / "cube.zarr", "--preset", "kurosiwo-slc").fine()
    error = cube_command("coherence", tmp_path / "cube.zarr").error
    assert "holds no complex images (slc_vv, …); build one with --product slc" in error


def test_the_plan_says_what_is_planned(dates, cube_command):
    said = json.loads(
        cube_command(
            "plan", "--bbox", BOX, *DAYS, "--product", "slc", "--source", dates, "--dem",
            dates / "dem.tif", "--json",
        ).fine().out
    )  # fmt: skip
    assert said["layers"] == ["incidence_angle", "rtc_anf", "slc"]
    assert said["identity"]["polarisations"] == ["vv", "vh"]
    assert said["run"]["peak_memory_per_worker"] < 3e9


def test_a_picture_shows_power_and_coherence(own_images, cube_command, tmp_path):
    cube_command("quicklook", own_images, tmp_path / "power.png").fine()
    cube_command("coherence", own_images).fine()
    cube_command("quicklook", own_images, tmp_path / "pair.png").fine()
    shapes = [plt.imread(tmp_path / name).shape for name in ("power.png", "pair.png")]
    assert shapes[1][1] == pytest.approx(1.5 * shapes[0][1], rel=0.05)  # three panels, not two
