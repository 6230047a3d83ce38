"""Whatever is wrong with what is asked or given: one clear line, and what was there stays."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import zarr

from cube.schema import FORMAT_VERSION

BOX = "68.163,27.482,68.213,27.518"


def only(folder: Path, pattern: str) -> Path:
    """First file of a pattern."""
    return sorted(folder.rglob(pattern))[0]


def rewrite(path: Path, old: str, new: str) -> None:
    """Replace text of a file that must be there."""
    content = path.read_text()
    changed, count = re.subn(old, new, content, flags=re.DOTALL)
    assert count, f"{path} does not hold {old}"
    path.write_text(changed)


def test_unknown_event_offers_near_names(cube_command):
    error = cube_command("plan", "--event", "pakistan2202").error
    assert "unknown event 'pakistan2202'; did you mean pakistan2022" in error


def test_unknown_event_file_is_named(cube_command, tmp_path):
    error = cube_command("plan", "--event", tmp_path / "nowhere.toml").error
    assert "nowhere.toml: no such event file" in error


def test_unknown_aoi_lists_the_known(build, small_event, tmp_path):
    error = build(small_event, tmp_path / "cube.zarr", "--aoi", "atlantis").error
    assert error == "event demo has no AOI 'atlantis'; it has plain"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--during", "yesterday"], "--during 'yesterday' is not two days; give for example"),
        (["--during", "2022-09-20/2022-08-21"], "ends before it begins"),
        (["--during", "2022-07-01/2022-09-20"], "before ends on 2022-08-20, during begins on"),
        (["--reference", "spring"], "unknown reference 'spring'; choose recent"),
        (["--preset", "flod"], "unknown preset 'flod'; did you mean flood?"),
        (["--product", "ocn"], "product 'ocn' cannot be built yet; build --product grd"),
        (["--backscatter", "db"], "'db'; choose gamma0_rtc, gamma0, sigma0 or beta0"),
        (["--model", "oracle"], "or choose bayes or none"),
        (["--crs", "EPSG:0"], "unknown CRS 'EPSG:0': give utm or EPSG:N"),
        (["--resolution", "0"], "is not positive"),
        (["--resolution", "nan"], "is not positive"),
        (["--resolution", "1"], "choose 2 to 40 m"),
        (["--resolution", "100"], "choose 2 to 40 m"),
        (["--workers", "0"], "--workers 0; give at least 1"),
        (["--scheduler", "spark"], "choose threads, processes or HOST:PORT"),
        (["--memory-limit", "lots"], "'lots' is not a size; give for example 2GB"),
        (["--memory-limit", "1MB"], "needs for its smallest block; give more"),
        (["--bbox", BOX], "give either --event ID or --bbox W,S,E,N"),
        (["--dem-datum", "navd88"], "DEM datum 'navd88' is unknown; give one of egm2008"),
        (["--out", "s3://bucket/cube.zarr"], "cubes are built on a local disk; give a folder"),
        (["--permanent-water", "lake.tif"], "lake.tif: no such file; check the path"),
        (["--hand", "hand.tif"], "hand.tif: no such file; check the path"),
        (["--catalog", "nowhere"], "--catalog nowhere: no such folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_option_that_cannot_be_met_is_refused(build, small_event, tmp_path, options, says):
    assert says in build(small_event, tmp_path / "cube.zarr", *options).error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [[], ["--bbox", "1,2,3,4"]], ids=["nothing", "no dates"])
def test_a_build_of_nothing_is_refused(cube_command, options):
    assert "--during A/B" in cube_command("build", *options).error


@pytest.mark.parametrize(
    ("box", "says"),
    [
        ("68,28,69,27", "is empty or outside"),
        ("68,27,68,28", "has no width"),
        ("68,27,inf,28", "is not four finite numbers"),
        ("168,27,469,28", "is empty or outside"),
    ],
)
def test_a_box_that_is_none_is_refused(cube_command, small_event, box, says):
    words = ("--bbox", box, "--during", "2022-09-01/2022-09-30", "--source", small_event)
    assert says in cube_command("plan", *words, "--dem", small_event / "dem.tif").error


def test_an_area_without_an_event_has_no_aoi(cube_command, small_event):
    words = ("--bbox", BOX, "--during", "2022-09-01/2022-09-30", "--aoi", "plain")
    assert "--aoi plain belongs to an event" in cube_command("plan", *words).error


# --- sources


def search(cube_command, small_event, tmp_path, source, *, box=BOX, during="2022-09-01/2022-09-30"):
    """Plan over any folder."""
    words = ("--bbox", box, "--during", during, "--source", source, "--scratch", tmp_path / "s")
    return cube_command("plan", *words, "--dem", small_event / "dem.tif")


@pytest.mark.parametrize("folder", [".", "safe"], ids=["catalog", "products"])
def test_an_empty_search_says_what_is_there(cube_command, small_event, tmp_path, folder):
    error = search(
        cube_command, small_event, tmp_path, small_event / folder, during="2021-01-01/2021-02-01"
    ).error
    assert "no Sentinel-1 GRD scene over 68.163,27.482,68.213,27.518 from 2021-01-01" in error
    assert "it holds 5 products of 2022-07-08 to 2022-09-18 over 68." in error
    assert "relative orbits 78" in error


def test_an_area_outside_the_products_says_where_they_are(cube_command, small_event, tmp_path):
    error = search(cube_command, small_event, tmp_path, small_event, box="68.11,27.43,68.12,27.44")
    assert "no Sentinel-1 GRD scene over 68.11,27.43,68.12,27.44" in error.error


def test_scenes_on_other_tracks_are_counted(cube_command, own_event, tmp_path):
    rewrite(own_event / "event.toml", 'dem = "dem.tif"', 'dem = "dem.tif"\ntracks = [5, 42]')
    error = cube_command("plan", "--event", own_event / "event.toml", "--source", own_event).error
    assert "on relative orbits 5, 42: 5 scenes were found (5 on 78)" in error


def test_a_source_that_does_not_exist_is_named(build, small_event, tmp_path):
    error = build(small_event, tmp_path / "cube.zarr", "--source", tmp_path / "gone").error
    assert "gone' is neither a folder, a URL nor a known endpoint" in error


def test_a_file_is_no_source(build, small_event, tmp_path):
    error = build(small_event, tmp_path / "c", "--source", small_event / "dem.tif").error
    assert "dem.tif: neither a folder nor a Sentinel-1 product" in error


def test_a_folder_without_products_says_what_it_looked_for(build, small_event, tmp_path):
    (tmp_path / "empty").mkdir()
    error = build(small_event, tmp_path / "cube.zarr", "--source", tmp_path / "empty").error
    assert "holds neither catalog.json nor Sentinel-1 products (NAME.SAFE or NAME.zip)" in error


def test_slc_products_beside_grd_are_no_obstacle(build, own_event, tmp_path):
    name = "S1A_IW_SLC__1SDV_20220104T170557_20220104T170624_041314_04E951_F1F1.SAFE"
    (own_event / "safe" / name).mkdir()
    words = ("--source", own_event / "safe", "--dry-run")
    build(own_event, tmp_path / "cube.zarr", *words).fine()


def test_a_folder_of_slc_only_says_so(build, small_event, tmp_path):
    name = "S1A_IW_SLC__1SDV_20220104T170557_20220104T170624_041314_04E951_F1F1.SAFE"
    (tmp_path / "slc" / name).mkdir(parents=True)
    error = build(small_event, tmp_path / "cube.zarr", "--source", tmp_path / "slc").error
    assert "holds 1 Sentinel-1 products, none of them GRD" in error


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "null", '{"type": "Catalog"}', '{"type": "Feature", "id": 1}']
)
def test_a_catalog_that_is_none_is_one_line(build, own_event, tmp_path, content):
    (own_event / "catalog.json").write_text(content)
    error = build(own_event, tmp_path / "cube.zarr").error
    assert "catalog.json: not a readable STAC catalog" in error


def test_a_catalog_whose_item_is_damaged_is_one_line(build, own_event, tmp_path):
    only(own_event / "sentinel-1-grd", "S1A*.json").write_text('{"type": "Feature"}')
    assert "not a readable STAC catalog" in build(own_event, tmp_path / "cube.zarr").error


# --- products


def damage_missing(safe: Path) -> None:
    only(safe, "measurement/*vv*.tiff").unlink()


def damage_empty(safe: Path) -> None:
    only(safe, "measurement/*vv*.tiff").write_bytes(b"")


def damage_truncated(safe: Path) -> None:
    path = only(safe, "measurement/*vv*.tiff")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_not_tiff(safe: Path) -> None:
    only(safe, "measurement/*vv*.tiff").write_bytes(b"<html>not found</html>")


def recompress(safe: Path, *, cut: int = 0, crop: int = 0, dtype: str = "uint16") -> None:
    path = only(safe, "measurement/*vv*.tiff")
    with rasterio.open(path) as file:
        pixels = file.read(1)[crop:]
    height, width = pixels.shape
    size = {"height": height, "width": width, "count": 1, "dtype": dtype}
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        file = rasterio.open(path, "w", driver="GTiff", compress="deflate", **size)
    with file:
        file.write(pixels.astype(dtype), 1)
    path.write_bytes(path.read_bytes()[: -cut or None])


def damage_size(safe: Path) -> None:
    recompress(safe, crop=10)


def damage_type(safe: Path) -> None:
    recompress(safe, dtype="float32")


def damage_calibration(safe: Path) -> None:
    only(safe, "annotation/calibration/calibration-*vv*.xml").unlink()


def damage_noise(safe: Path) -> None:
    only(safe, "annotation/calibration/noise-*vv*.xml").unlink()


def damage_annotation(safe: Path) -> None:
    only(safe, "annotation/*vv*.xml").write_text("<product><adsHeader>")


def damage_other_document(safe: Path) -> None:
    only(safe, "annotation/*vv*.xml").write_text("<html/>")


def damage_orbit(safe: Path) -> None:
    rewrite(only(safe, "annotation/*vv*.xml"), "<orbitList.*</orbitList>", "<orbitList/>")


def damage_spacing(safe: Path) -> None:
    rewrite(only(safe, "annotation/*vv*.xml"), "<rangePixelSpacing>.*?</rangePixelSpacing>", "")


def damage_number(safe: Path) -> None:
    path = only(safe, "annotation/*vv*.xml")
    rewrite(path, "<numberOfLines>.*?</numberOfLines>", "<numberOfLines>many</numberOfLines>")


def damage_time(safe: Path) -> None:
    path, tag = only(safe, "annotation/*vv*.xml"), "productFirstLineUtcTime"
    rewrite(path, f"<{tag}>.*?</{tag}>", f"<{tag}>noon</{tag}>")


def damage_coefficients(safe: Path) -> None:
    path = only(safe, "annotation/*vv*.xml")
    rewrite(path, "<coordinateConversionList.*</coordinateConversionList>", "")


def damage_gain(safe: Path) -> None:
    path = only(safe, "annotation/calibration/calibration-*vv*.xml")
    rewrite(path, "<calibrationVectorList.*</calibrationVectorList>", "")


def damage_noise_vectors(safe: Path) -> None:
    path = only(safe, "annotation/calibration/noise-*vv*.xml")
    rewrite(path, "<noiseRangeVectorList.*</noiseRangeVectorList>", "")


def entities(path: Path) -> None:
    bomb = '<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;">]>\n'
    content = path.read_text()
    head, declared, body = content.rpartition("?>\n")
    path.write_text(head + declared + bomb + body)


def damage_entities(safe: Path) -> None:
    entities(only(safe, "annotation/*vv*.xml"))


DAMAGES = {
    damage_missing: r"iw-grd-vv-\S*\.tiff: measurement file is missing; is the product complete\?",
    damage_empty: r"measurement file is empty; download the product again",
    damage_truncated: r"not a readable TIFF .*; download the product again",
    damage_not_tiff: r"not a readable TIFF .*; download the product again",
    damage_size: r"holds 1 x \d+ x \d+ uint16, the annotation says 1 x \d+ x \d+ uint16",
    damage_type: r"holds 1 x \d+ x \d+ float32, the annotation says 1 x \d+ x \d+ uint16",
    damage_calibration: r"calibration-\S+: cannot read \(No such file or directory\)",
    damage_noise: r"noise-\S+: cannot read \(No such file or directory\)",
    damage_annotation: r"malformed XML .*; download the product again",
    damage_other_document: r"holds <html>, expected <product>",
    damage_orbit: r"no orbit state vectors; the file is incomplete",
    damage_spacing: r"lacks rangePixelSpacing; the file is incomplete",
    damage_number: r"numberOfLines is 'many', not a number",
    damage_time: r"'noon' is not a time",
    damage_coefficients: r"no coordinateConversion records",
    damage_gain: r"calibration-\S+: ",
    damage_noise_vectors: r"noise-\S+: ",
    damage_entities: r"declares a DTD or entities .* which are refused",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda one: one.__name__.removeprefix("damage_"))
def test_a_damaged_product_is_named_before_anything_is_written(build, own_event, tmp_path, damage):
    damage(sorted((own_event / "safe").iterdir())[-1])
    error = build(own_event, tmp_path / "cube.zarr", "--resolution", 20).error
    assert re.search(DAMAGES[damage], error), error
    assert [path.name for path in tmp_path.iterdir()] == ["event"]


def test_a_truncated_compressed_measurement_is_named(build, own_event, tmp_path):
    recompress(sorted((own_event / "safe").iterdir())[-1], cut=60_000)
    error = build(own_event, tmp_path / "cube.zarr", "--resolution", 20).error
    assert re.search(r"\.tiff: .*(damaged|truncated|download)", error), error


def test_a_compressed_measurement_gives_the_same_cube(build, own_event, tmp_path, built, tree):
    recompress(sorted((own_event / "safe").iterdir())[-1])
    build(own_event, tmp_path / "cube.zarr").fine()
    assert tree(tmp_path / "cube.zarr") == tree(built)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda safe: (safe / "manifest.safe").unlink(), "no manifest.safe; not a complete SAFE"),
        (lambda safe: (safe / "manifest.safe").write_text("<XFDU>"), "malformed XML"),
        (lambda safe: entities(safe / "manifest.safe"), "declares a DTD or entities"),
        (
            lambda safe: rewrite(safe / "manifest.safe", "relativeOrbitNumber", "orbit"),
            "lacks relativeOrbitNumber; the manifest is incomplete",
        ),
        (
            lambda safe: rewrite(safe / "manifest.safe", r"coordinates>[^<]+<", "coordinates>x<"),
            "footprint 'x' is not lat,lon pairs",
        ),
        (lambda safe: shutil.rmtree(safe / "annotation"), "no annotation/"),
        (damage_missing, "measurement file s1a-iw-grd-vv-"),
        (damage_empty, "is empty; download the product again"),
        (damage_calibration, "calibration file calibration-s1a-iw-grd-vv-"),
        (damage_noise, "noise file noise-s1a-iw-grd-vv-"),
    ],
    ids=[
        "no manifest",
        "malformed manifest",
        "entities",
        "no orbit",
        "footprint",
        "no annotation",
        "no measurement",
        "empty measurement",
        "no calibration",
        "no noise",
    ],
)
def test_a_plain_folder_with_an_incomplete_product_is_refused(
    build, own_event, tmp_path, damage, says
):
    damage(sorted((own_event / "safe").iterdir())[0])
    error = build(own_event, tmp_path / "cube.zarr", "--source", own_event / "safe").error
    assert says in error


# --- DEM


def cropped(source: Path, target: Path, rows: slice, **changes: object) -> Path:
    with rasterio.open(source) as file:
        values, profile = file.read(1)[rows], file.profile
        transform = file.window_transform(((rows.start, rows.stop), (0, file.width)))
    profile |= {"height": values.shape[0], "transform": transform, **changes}
    with rasterio.open(target, "w", **profile) as file:
        file.write(values, 1)
    return target


def test_a_missing_dem_is_asked_for(cube_command, small_event):
    words = ("--bbox", BOX, "--during", "2022-09-01/2022-09-30", "--source", small_event)
    assert "no DEM; give --dem FILE" in cube_command("plan", *words).error


def test_a_dem_that_is_not_there_is_named(build, small_event, tmp_path):
    error = build(small_event, tmp_path / "cube.zarr", "--dem", tmp_path / "alps.tif").error
    assert "alps.tif: no such file" in error


def test_a_dem_that_does_not_cover_says_what_it_covers(build, small_event, tmp_path):
    dem = cropped(small_event / "dem.tif", tmp_path / "part.tif", slice(0, 40))
    error = build(small_event, tmp_path / "cube.zarr", "--dem", dem).error
    assert re.search(r"part\.tif: covers 68\.\S+, the area asked for is 68\.163,", error), error


def test_a_bare_dem_is_refused_by_the_name_of_the_flag(build, small_event, tmp_path):
    dem = cropped(small_event / "dem.tif", tmp_path / "bare.tif", slice(0, 300), crs="EPSG:4326")
    error = build(small_event, tmp_path / "cube.zarr", "--dem", dem).error
    assert "give --dem-datum egm2008|egm96|ellipsoid" in error


def test_a_datum_against_the_file_is_refused(build, small_event, tmp_path):
    error = build(small_event, tmp_path / "cube.zarr", "--dem-datum", "ellipsoid").error
    assert "its CRS says heights above egm" in error


def test_a_raster_that_is_none_is_refused_before_anything_is_written(build, small_event, tmp_path):
    bad = small_event / "event.toml"
    error = build(small_event, tmp_path / "cube.zarr", "--permanent-water", bad).error
    assert "not a readable raster" in error
    assert list(tmp_path.iterdir()) == []


# --- what is already at --out


def test_a_cube_of_another_plan_is_kept(build, small_event, own_cube, tree):
    before = tree(own_cube)
    error = build(small_event, own_cube, "--backscatter", "sigma0").error
    assert 'backscatter is "gamma0_rtc", asked for "sigma0"' in error
    assert "--overwrite" in error
    assert tree(own_cube) == before


def test_overwrite_replaces_a_cube_of_another_plan(build, small_event, own_cube):
    build(small_event, own_cube, "--resolution", 40, "--overwrite").fine()
    assert zarr.open_group(own_cube, mode="r")["vv"].shape[1:] == (102, 125)


def test_overwrite_keeps_the_cube_when_there_is_nothing_to_put_in_its_place(
    build, small_event, own_cube, tmp_path, tree
):
    before = tree(own_cube)
    (tmp_path / "empty").mkdir()
    error = build(small_event, own_cube, "--overwrite", "--source", tmp_path / "empty").error
    assert "holds neither" in error
    assert tree(own_cube) == before


def foreign_file(path: Path) -> None:
    path.write_text("my thesis")


def foreign_folder(path: Path) -> None:
    path.mkdir()
    (path / "thesis.txt").write_text("my thesis")


def foreign_group(path: Path) -> None:
    group = zarr.open_group(path, mode="w", zarr_format=3)
    group.create_array("temperature", shape=(2,), dtype="f4")[:] = 1


def foreign_array(path: Path) -> None:
    zarr.create_array(path, shape=(2,), dtype="f4", zarr_format=3)[:] = 1


def foreign_json(path: Path) -> None:
    path.mkdir()
    (path / "zarr.json").write_text("[]")


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]], ids=["plain", "overwrite"])
@pytest.mark.parametrize(
    "put",
    [foreign_file, foreign_folder, foreign_group, foreign_array, foreign_json],
    ids=lambda one: one.__name__,
)
def test_what_is_no_cube_is_never_touched(build, small_event, tmp_path, tree, put, overwrite):
    out = tmp_path / "cube.zarr"
    put(out)
    before = tree(tmp_path)
    assert "no flood cube; choose another place" in build(small_event, out, *overwrite).error
    assert tree(tmp_path) == before


def test_a_cube_of_another_format_is_replaced_on_request(build, small_event, own_cube):
    root = own_cube / "zarr.json"
    content = json.loads(root.read_text())
    content["attributes"]["floodcube"]["format"] = "0"
    root.write_text(json.dumps(content))
    error = build(small_event, own_cube).error
    assert f"cube format 0, this version reads {FORMAT_VERSION}" in error
    build(small_event, own_cube, "--resolution", 40, "--overwrite").fine()


def test_a_place_below_a_file_is_one_line(build, small_event, tmp_path):
    (tmp_path / "file").write_text("")
    error = build(small_event, tmp_path / "file" / "cube.zarr").error
    assert "cannot be created" in error


def test_voids_of_the_dem_stay_unknown(build, own_event, tmp_path):
    with rasterio.open(own_event / "dem.tif", "r+") as file:
        values = file.read(1)
        row, col = (values.shape[0] // 2, values.shape[1] // 2)
        values[row - 3 : row + 3, col - 3 : col + 3] = -32768
        file.nodata = -32768
        file.write(values, 1)
    out = tmp_path / "cube.zarr"
    build(own_event, out).fine()
    cube = zarr.open_group(out, mode="r")
    void = np.isnan(cube["dem"][...])
    assert 50 < void.sum() < 5000
    assert np.isnan(cube["vv"][0][void]).all()
    assert (cube["flood"][-1][void] == 255).all()
