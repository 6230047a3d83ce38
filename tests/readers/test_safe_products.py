"""SAFE products: real ones, zips good and bad, and how scenes become passes."""

from __future__ import annotations

import pickle
import shutil
import stat
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from shapely.geometry import Point

from cube.errors import SourceError
from cube.readers.annotation import read_annotation, read_grid
from cube.readers.calibration import read_radiometry
from cube.readers.passes import Windows, group_passes
from cube.readers.safe import extract, find_products, open_safe, order_polarisations
from cube.readers.scene import Scene, open_annotation

ROME = "S1B_IW_GRDH_1SDV_20211223T051122_20211223T051147_030148_039993_5371.SAFE"
OLD = "S1A_IW_GRDH_1SDV_20150203T043109_20150203T043134_004454_00574F_6D00.zip"
STRIPMAP = "S1C_S4_GRDH_1SDH_20250118T171404_20250118T171421_000638_000538_4B8B.SAFE"


# --- real products


@pytest.fixture(scope="session")
def safe(data_dir: Path) -> Path:
    return data_dir / "safe"


def annotations(product: Path) -> dict[str, Path]:
    """Annotation file of each polarisation."""
    return {path.name.split("-")[3]: path for path in sorted(product.glob("annotation/*.xml"))}


def radiometry(product: Path, polarisation: str):
    name = annotations(product)[polarisation].name
    folder = product / "annotation" / "calibration"
    return read_radiometry(
        str(folder / f"calibration-{name}"), str(folder / f"noise-{name}"), "gamma0"
    )


def test_a_real_manifest_tells_who_and_where(safe):
    scene = open_safe(safe / ROME, safe)
    assert (scene.platform, scene.mode, scene.product) == ("sentinel-1b", "IW", "GRD")
    assert (scene.relative_orbit, scene.orbit_direction) == (22, "descending")
    assert scene.datatake == 0x39993
    assert scene.start == np.datetime64("2021-12-23T05:11:22.594441")


def test_a_real_footprint_holds_rome(safe):
    assert open_safe(safe / ROME, safe).footprint.contains(Point(12.5, 41.9))


@pytest.fixture
def filled_stripmap(safe: Path, tmp_path: Path) -> Path:
    """The real stripmap product with something in its measurement files."""
    product = Path(shutil.copytree(safe / STRIPMAP, tmp_path / STRIPMAP))
    for path in product.glob("measurement/*.tiff"):
        path.write_bytes(b"II")
    return product


def test_co_polarised_comes_before_cross_polarised(filled_stripmap, tmp_path):
    assert open_safe(filled_stripmap, tmp_path).polarisations == ("hh", "hv")


def test_sentinel_1c_is_read(filled_stripmap, tmp_path):
    scene = open_safe(filled_stripmap, tmp_path)
    assert (scene.platform, scene.mode, scene.orbit_direction) == ("sentinel-1c", "SM", "ascending")


@pytest.mark.parametrize(
    ("names", "ordered"),
    [(["vh", "vv"], ["vv", "vh"]), (["hv", "hh"], ["hh", "hv"]), (["hv"], ["hv"])],
)
def test_order_of_polarisations(names, ordered):
    assert order_polarisations(names) == ordered


def test_a_real_product_without_pixels_is_refused(safe, tmp_path):
    with pytest.raises(SourceError, match=r"measurement file s1c-s4-grd-\S+ is empty"):
        open_safe(safe / STRIPMAP, tmp_path)


def test_a_real_zip_without_measurement_is_refused(safe, tmp_path):
    with pytest.raises(SourceError, match="measurement file s1a-iw-grd-v"):
        open_safe(safe / OLD, tmp_path)


@pytest.fixture(scope="session")
def old(safe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The product of 2015, unpacked."""
    return extract(safe / OLD, tmp_path_factory.mktemp("old"))


def test_the_old_form_of_noise_has_no_azimuth_vectors(old):
    assert radiometry(old, "vv").azimuth == ()


def test_the_new_form_of_noise_has_azimuth_vectors(safe):
    assert len(radiometry(safe / ROME, "vv").azimuth) == 3


def test_stripmap_of_sentinel_1c_has_range_noise_only(safe):
    assert radiometry(safe / STRIPMAP, "hv").azimuth == ()


@pytest.mark.parametrize("polarisation", ["hh", "hv"])
def test_polarisations_of_one_product_share_their_geometry(safe, polarisation):
    path = annotations(safe / STRIPMAP)[polarisation]
    found = read_annotation(str(path))
    assert found.polarisation == polarisation
    assert found.image.shape == read_annotation(str(annotations(safe / STRIPMAP)["hh"])).image.shape


def test_a_real_image_has_the_size_of_its_tiff(safe):
    assert read_annotation(str(annotations(safe / ROME)["vv"])).image.shape == (16705, 26102)


def test_a_real_grid_spans_the_image(safe):
    grid = read_grid(str(annotations(safe / ROME)["vv"]))
    assert (grid.line.min(), grid.sample.max()) == (0, 26101)
    assert grid.lon.shape == (210,)


def test_an_slc_annotation_is_refused_by_its_type(safe):
    path = next(safe.glob("*SLC*.SAFE/annotation/*.xml"))
    with pytest.raises(SourceError, match="product type SLC; this reader takes GRD"):
        read_annotation(str(path))


def test_every_real_annotation_of_grd_is_read(safe, old):
    paths = [*safe.glob("*GRDH*.SAFE/annotation/*.xml"), *old.glob("annotation/*.xml")]
    assert len(paths) == 7
    for path in paths:
        assert read_annotation(str(path)).orbit is not None


# --- folders of products


def product(folder: Path, name: str) -> Path:
    path = folder / name
    if name.endswith(".SAFE"):
        path.mkdir(parents=True)
    else:
        path.write_bytes(b"")
    return path


def test_products_are_found_by_name_and_sorted(tmp_path):
    zipped = product(tmp_path, OLD)
    folder = product(tmp_path, ROME)
    product(tmp_path, "notes.SAFE")
    product(tmp_path, "photos.zip")
    assert find_products(tmp_path) == [zipped, folder]


def test_a_zip_beside_its_folder_counts_once(tmp_path):
    folder = product(tmp_path, ROME)
    product(tmp_path, ROME.replace(".SAFE", ".zip"))
    product(tmp_path, f"{ROME}.zip")
    assert find_products(tmp_path) == [folder]


# --- zips


@pytest.fixture(scope="session")
def small_safe(small_event: Path) -> Path:
    """One simulated product."""
    return sorted((small_event / "safe").iterdir())[0]


def packed(safe: Path, target: Path, *, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """A product as a zip, as ESA gives it."""
    with zipfile.ZipFile(target, "w", compression) as file:
        for path in sorted(safe.rglob("*")):
            file.write(path, f"{safe.name}/{path.relative_to(safe).as_posix()}")
    return target


@pytest.fixture
def archive(small_safe: Path, tmp_path: Path) -> Path:
    return packed(small_safe, tmp_path / f"{small_safe.stem}.zip")


def test_a_zip_reads_like_its_folder(archive, small_safe, tmp_path):
    zipped, plain = open_safe(archive, tmp_path), open_safe(small_safe, tmp_path)
    assert zipped.archive == str(archive)
    assert replace(zipped, archive=None, files=plain.files) == plain


def test_opening_a_zip_unpacks_nothing(archive, tmp_path):
    open_safe(archive, tmp_path / "scratch")
    assert not (tmp_path / "scratch").exists()


def test_a_zip_unpacks_to_the_files_of_its_folder(archive, small_safe, tmp_path, tree):
    assert tree(extract(archive, tmp_path / "scratch")) == tree(small_safe)


def test_a_zip_is_unpacked_once(archive, tmp_path):
    folder = extract(archive, tmp_path / "scratch")
    before = folder.stat().st_mtime_ns, (folder / "manifest.safe").stat().st_ino
    again = extract(archive, tmp_path / "scratch")
    assert (again.stat().st_mtime_ns, (again / "manifest.safe").stat().st_ino) == before


def test_unpacking_leaves_nothing_beside(archive, small_safe, tmp_path):
    extract(archive, tmp_path / "scratch")
    assert [path.name for path in (tmp_path / "scratch").iterdir()] == [small_safe.name]


def test_zipped_products_build_the_cube_of_their_folders(build, small_event, built, tmp_path, tree):
    (tmp_path / "zips").mkdir()
    for path in (small_event / "safe").iterdir():
        packed(path, tmp_path / "zips" / f"{path.stem}.zip", compression=zipfile.ZIP_STORED)
    words = ("--source", tmp_path / "zips", "--scratch", tmp_path / "scratch")
    assert build(small_event, tmp_path / "cube.zarr", *words).fine().err.count("unpacking") == 5
    for layer in ("vv", "vh", "flood"):
        assert tree(tmp_path / "cube.zarr" / layer) == tree(built / layer)


def add(archive: Path, name: str, content: bytes = b"x", mode: int = 0o644) -> None:
    member = zipfile.ZipInfo(name)
    member.external_attr = mode << 16
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(member, content)


HOSTILE: dict[str, Callable[[Path], None]] = {
    "parent": lambda zipped: add(zipped, f"{zipped.stem}.SAFE/../../evil.txt"),
    "absolute": lambda zipped: add(zipped, "/tmp/floodcube-evil.txt"),
    "backslash": lambda zipped: add(zipped, f"{zipped.stem}.SAFE\\..\\evil.txt"),
    "link": lambda zipped: add(
        zipped, f"{zipped.stem}.SAFE/link", b"/etc/passwd", stat.S_IFLNK | 0o777
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("read", [open_safe, extract], ids=["open", "extract"])
def test_a_hostile_member_is_refused_and_nothing_written(archive, tmp_path, tree, kind, read):
    HOSTILE[kind](archive)
    before = tree(tmp_path)
    with pytest.raises(SourceError, match="the zip is refused"):
        read(archive, tmp_path / "scratch")
    assert tree(tmp_path) == before
    assert not Path("/tmp/floodcube-evil.txt").exists()


def truncated(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])


def not_zip(archive: Path) -> None:
    archive.write_bytes(b"<html>try again later</html>")


def flipped(archive: Path) -> None:
    """Damage the compressed bytes of the largest member."""
    with zipfile.ZipFile(archive) as file:
        member = max(file.infolist(), key=lambda one: one.compress_size)
    content = bytearray(archive.read_bytes())
    middle = member.header_offset + 200 + member.compress_size // 2
    content[middle : middle + 64] = bytes(64)
    archive.write_bytes(content)


@pytest.mark.parametrize("damage", [truncated, not_zip, flipped], ids=lambda one: one.__name__)
def test_a_damaged_zip_is_named_and_leaves_nothing(archive, tmp_path, damage):
    damage(archive)
    with pytest.raises(SourceError, match=r"\.zip: not a readable zip .*; download it again"):
        extract(archive, tmp_path / "scratch")
    scratch = tmp_path / "scratch"
    assert not scratch.exists() or list(scratch.iterdir()) == []


def test_a_zip_of_two_products_is_refused(archive, tmp_path):
    add(archive, "other.SAFE/manifest.safe")
    with pytest.raises(SourceError, match=r"expected one NAME\.SAFE"):
        extract(archive, tmp_path / "scratch")


def test_a_zip_bomb_is_refused(archive, tmp_path, monkeypatch):
    monkeypatch.setattr("cube.readers.safe._MAX_EXTRACTED", 1000)
    with pytest.raises(SourceError, match="would unpack to more than 1,000 bytes"):
        extract(archive, tmp_path / "scratch")


def test_an_absurd_manifest_is_refused(archive, tmp_path, monkeypatch):
    monkeypatch.setattr("cube.readers.safe._MAX_MANIFEST", 100)
    with pytest.raises(SourceError, match="at most 100 are read"):
        open_safe(archive, tmp_path)


def test_a_zip_that_cannot_be_unpacked_there_is_named(archive, tmp_path):
    (tmp_path / "scratch").write_text("a file")
    with pytest.raises(SourceError, match="cannot be unpacked into"):
        extract(archive, tmp_path / "scratch")


# --- passes

WINDOWS = Windows(
    before=(date(2022, 6, 1), date(2022, 8, 20)),
    during=(date(2022, 8, 21), date(2022, 9, 20)),
    after=(date(2022, 10, 1), date(2022, 10, 31)),
)


@pytest.fixture(scope="session")
def model(small_safe: Path) -> Scene:
    return open_safe(small_safe, small_safe.parent)


def scenes(model: Scene, *starts: str, **changes) -> list[Scene]:
    """Scenes like a real one at other times."""
    return [
        replace(model, id=f"S1A_{start}", start=np.datetime64(start, "us"), **changes)
        for start in starts
    ]


def test_slices_of_a_datatake_are_one_pass_in_order_of_time(model):
    given = scenes(model, "2022-09-18T01:25:45", "2022-09-18T01:25:20")
    passes, _, _ = group_passes(given, WINDOWS)
    assert [[scene.id for scene in one.scenes] for one in passes] == [
        ["S1A_2022-09-18T01:25:20", "S1A_2022-09-18T01:25:45"]
    ]


def test_a_pass_begins_with_its_first_slice(model):
    given = scenes(model, "2022-09-18T01:25:45", "2022-09-18T01:25:20")
    assert group_passes(given, WINDOWS)[0][0].time == np.datetime64("2022-09-18T01:25:20", "us")


def test_satellites_of_one_datatake_number_are_two_passes(model):
    given = scenes(model, "2022-09-18T01:25:20")
    given += scenes(model, "2022-09-18T01:26:20", platform="sentinel-1b")
    assert len(group_passes(given, WINDOWS)[0]) == 2


@pytest.mark.parametrize(
    ("start", "role"),
    [
        ("2022-06-01T00:00:00", "before"),
        ("2022-08-20T23:59:59", "before"),
        ("2022-08-21T00:00:00", "during"),
        ("2022-09-20T23:59:59", "during"),
        ("2022-10-31T12:00:00", "after"),
    ],
)
def test_roles_follow_the_days(model, start, role):
    assert [one.role for one in group_passes(scenes(model, start), WINDOWS)[0]] == [role]


@pytest.mark.parametrize("start", ["2022-05-31T23:59:59", "2022-09-21T00:00:00"])
def test_days_of_no_window_are_left_out(model, start):
    assert group_passes(scenes(model, start), WINDOWS)[0] == []


def test_a_product_processed_again_counts_once_with_a_note(model):
    first = replace(model, id="S1A_first")
    passes, _, notes = group_passes([replace(model, id="S1A_second"), first], WINDOWS)
    assert [scene.id for scene in passes[0].scenes] == ["S1A_second"]
    assert notes == ["left out S1A_first: processed again as S1A_second"]


def test_odd_polarisations_are_left_out_with_a_note(model):
    given = scenes(model, "2022-07-08", "2022-07-20")
    for number, scene in enumerate(given):
        given[number] = replace(scene, datatake=number)
    odd = scenes(model, "2022-09-18", datatake=9, files=(("vv", model.files[0][1]),))
    passes, common, notes = group_passes([*given, *odd], WINDOWS)
    assert (len(passes), common) == (2, ("vv", "vh"))
    assert notes == ["left out S1A_2022-09-18: has vv, most scenes have vv, vh"]


def test_other_tracks_are_left_out(model):
    assert group_passes(scenes(model, "2022-09-18"), WINDOWS, tracks=(5,))[0] == []


def test_passes_are_sorted_by_time(model):
    given = [
        replace(scene, datatake=number)
        for number, scene in enumerate(scenes(model, "2022-09-18", "2022-07-08", "2022-08-01"))
    ]
    times = [one.time for one in group_passes(given, WINDOWS)[0]]
    assert times == sorted(times)


# --- what travels to workers


def test_an_annotation_travels(model):
    found = open_annotation(model.files[0][1])
    assert pickle.loads(pickle.dumps(found)).epoch == found.epoch


def test_files_are_small_on_their_way(model):
    assert len(pickle.dumps(model.files)) < 4000
