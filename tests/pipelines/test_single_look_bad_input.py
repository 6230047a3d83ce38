"""Complex products that lack something, pairs that are none: one line that names what it is.

Pixels are simulated on real annotations.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from single_look import mountain, pair_of
from three_dates import BOX, DAYS, around, tree

import cube
from cube.simulate import SlcScene, simulate_slc


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.rglob(pattern)
    return found


def last(folder: Path) -> Path:
    return sorted(folder.glob("*.SAFE"))[-1]


def test_a_burst_without_valid_samples_is_named(own_dates, build_images, tmp_path):
    path = only(last(own_dates), "s1a-iw1-slc-vv-*.xml")
    text = path.read_text()
    lists = re.findall(r"<firstValidSample[^>]*>[^<]*<", text)
    text = text.replace(lists[1], re.sub(r"(?<=[ >])\d+", "-1", lists[1]))
    path.write_text(text)
    error = build_images(own_dates, tmp_path / "cube.zarr").error
    assert f"{path.name}: burst 2 of 2 (IW1) has no valid sample" in error
    assert not (tmp_path / "cube.zarr").exists()


def rewrite(path: Path, old: str, new: str) -> None:
    changed, count = re.subn(old, new, path.read_text(), flags=re.DOTALL)
    assert count, f"{path} does not hold {old}"
    path.write_text(changed)


@pytest.mark.parametrize("days", [0, 24])
def test_a_missing_burst_is_named_and_unknown(dates, build_images, tmp_path, data_dir, days):
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
    said = build_images(folder, tmp_path / "cube.zarr").fine().err
    assert f"{day}T06:37:31 sentinel-1a orbit 52 lacks burst 110432 of IW1: it has no" in said
    ds = cube.open_cube(tmp_path / "cube.zarr")
    unknown = np.isnan(ds.slc_vv.values)
    lacking = days // 12
    assert 0.2 < unknown[lacking].mean() < 0.8
    assert not unknown[[at for at in range(3) if at != lacking]].any()
    found = cube.coherence(ds.slc_vv.isel(time=1), ds.slc_vv.isel(time=lacking)).values
    assert np.isnan(found[unknown[lacking]]).all()


def test_a_pass_of_other_sub_swaths_is_named(dates, build_images, tmp_path, data_dir):
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
    error = build_images(folder, tmp_path / "cube.zarr").error
    assert "lacks every burst that shows the grid (110431 of IW1, 110432 of IW1)" in error
    assert other.stem in error


def test_a_pass_of_other_polarisations_is_left_out_by_name(own_dates, build_images, tmp_path):
    product = last(own_dates)
    for path in [*product.rglob("*-vh-*")]:
        path.unlink()
    said = build_images(own_dates, tmp_path / "cube.zarr", "--dry-run").fine().out
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
    own_dates, build_images, tmp_path, pattern, old, new, says
):
    path = only(last(own_dates) / "annotation", pattern)
    rewrite(path, old, new)
    error = build_images(own_dates, tmp_path / "cube.zarr").error
    assert says in error
    assert path.name in error
    assert not (tmp_path / "cube.zarr").exists()


def test_a_cut_measurement_is_one_line(own_dates, build_images, tmp_path):
    path = only(last(own_dates), "s1a-iw1-slc-vv-*.tiff")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    error = build_images(own_dates, tmp_path / "cube.zarr").error
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
def test_options_that_do_not_go_with_complex_images(dates, build_images, tmp_path, words, says):
    assert says in build_images(dates, tmp_path / "cube.zarr", *words).error


def test_a_folder_of_detected_products_is_one_line(build_images, tmp_path, dates):
    name = "S1A_IW_GRDH_1SDV_20230904T063730_20230904T063757_050174_0609E3_DAA1.SAFE"
    (tmp_path / "grd" / name).mkdir(parents=True)
    (tmp_path / "grd" / "dem.tif").symlink_to(dates / "dem.tif")
    error = build_images(tmp_path / "grd", tmp_path / "cube.zarr").error
    assert "holds 1 Sentinel-1 products, none of them SLC; give a folder of SLC" in error


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--window", "4,5"), "window of 4 by 5 pixels; give odd numbers"),
        (("--window", "3,9999"), "window of 3 by 9999 pixels; the cube has"),
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


def test_coherence_of_what_is_no_cube_of_images(dates, build_images, cube_command, tmp_path):
    assert "no such cube" in cube_command("coherence", tmp_path / "none.zarr").error
    build_images(dates, tmp_path / "cube.zarr", "--preset", "kurosiwo-slc").fine()
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
