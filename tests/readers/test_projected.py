"""Files on map grids, read onto other grids: samples themselves, planes and means are the truth."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from cogs import LAEA, NODATA, UTM42, centres, in_crs, plane, speckle, write_cog
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.errors import NotGeoreferencedWarning
from servers import AssetServer, Fault, asset_server  # noqa: F401  # a fixture

from cube.errors import SourceError
from cube.readers.access import Access
from cube.readers.projected import ProjectedReader, check_projected
from cube.readers.scene import Files

SHAPE = (700, 900)
ORIGIN = (400_000.0, 3_060_000.0)
OWN = Affine(10, 0, ORIGIN[0], 0, -10, ORIGIN[1])
GRADIENT = 10 * (1e-5 + 2e-5)
"""Change of the plane over a pixel, along both axes."""
APPROXIMATE = 0.02
"""Pixels by which GDAL's transformer may miss: it calls PROJ at some pixels of a line only. It is
asked for 0.01, and looks at the middle and the ends."""
WIDENED = 0.1
"""Pixels by which a kernel of 1.06 or 1.85 pixels shifts a plane: its samples are not symmetric."""


def everything(reader: ProjectedReader) -> np.ndarray:
    return reader.read(slice(0, reader.shape[0]), slice(0, reader.shape[1]))


def on(path: Path | str, transform: Affine, shape=SHAPE, crs: str = UTM42, **access) -> np.ndarray:
    return everything(ProjectedReader(Files(str(path), **access), crs, transform, shape))


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> tuple[Path, np.ndarray]:
    values = speckle(SHAPE, seed=1)
    return write_cog(tmp_path_factory.mktemp("s") / "vv.tif", values, OWN), values


@pytest.fixture(scope="module")
def sloping(tmp_path_factory) -> Path:
    return write_cog(
        tmp_path_factory.mktemp("p") / "vv.tif", plane(*centres(OWN, SHAPE), ORIGIN), OWN
    )


# --- the file's own grid


@settings(deadline=None, max_examples=60)
@given(
    st.integers(-1000, 1000), st.integers(-1200, 1200), st.integers(0, 600), st.integers(0, 600),
    st.integers(1, 500), st.integers(1, 500),
)  # fmt: skip
def test_a_grid_that_goes_on_is_copied(samples, down, right, row, col, height, width):
    path, values = samples
    grid = OWN @ Affine.translation(right, down)
    reader = ProjectedReader(Files(str(path)), UTM42, grid, (1200, 1200))
    found = reader.read(slice(row, row + height), slice(col, col + width))
    padded = np.full((3600, 4500), np.nan, "float32")  # the file in the midst of nothing
    padded[1000:1700, 1200:2100] = values
    first, left = 1000 + down + row, 1200 + right + col
    expected = np.full((height, width), np.nan, "float32")
    part = padded[max(first, 0) : max(first + height, 0), max(left, 0) : max(left + width, 0)]
    expected[: part.shape[0], : part.shape[1]] = part
    np.testing.assert_array_equal(found, expected)


def test_a_grid_is_the_same_where_rounding_says_otherwise(samples):
    grid = Affine(10 * (1 + 1e-12), 0, ORIGIN[0] + 1e-4, 0, -10, ORIGIN[1] - 1e-4)
    np.testing.assert_array_equal(on(samples[0], grid), samples[1])


# --- other grids


def test_half_a_pixel_aside_is_the_mean_of_four(samples):
    path, values = samples
    found = on(path, OWN @ Affine.translation(0.5, 0.5))
    wide = values.astype("float64")
    expected = (wide[:-1, :-1] + wide[1:, :-1] + wide[:-1, 1:] + wide[1:, 1:]) / 4
    np.testing.assert_allclose(found[:-1, :-1], expected, rtol=3e-7)


GRIDS = {
    "finer": (UTM42, Affine(7, 0, 401_003.0, 0, -7, 3_059_001.0)),
    "turned": (UTM42, Affine(8, 3, 401_003.0, 3, -8, 3_057_001.0)),
    "zone 41": ("EPSG:32641", Affine(10, 0, 995_500, 0, -10, 3_067_500)),
    "zone 43": ("EPSG:32643", Affine(10, 0, -192_500, 0, -10, 3_080_500)),
    "mercator": ("EPSG:3857", Affine(12, 0, 7_565_500, 0, -12, 3_206_000)),
    "degrees": ("EPSG:4326", Affine(1e-4, 0, 67.995, 0, -1e-4, 27.655)),
    "no code": (LAEA, Affine(10, 0, -4_500, 0, -10, 23_500)),
}


def inside(x, y, margin=10.0):
    """Where a file says everything that a kernel needs."""
    (height, width), (west, north) = SHAPE, ORIGIN
    return (
        (x > west + margin)
        & (x < west + 10 * width - margin)
        & (y < north - margin)
        & (y > north - 10 * height + margin)
    )


@pytest.mark.parametrize("grid", GRIDS)
def test_a_plane_stays_a_plane(sloping, grid):
    crs, transform = GRIDS[grid]
    found = on(sloping, transform, crs=crs)
    x, y = in_crs(*centres(transform, SHAPE), crs, UTM42)
    seen = inside(x, y)
    assert seen.mean() > 0.3
    missed = np.abs(found - plane(x, y, ORIGIN))[seen].max()
    # bilinear is exact on a plane: what is left is where, not how much
    off = WIDENED if grid in ("mercator", "degrees") else APPROXIMATE
    assert missed < (1e-7 if crs == UTM42 else off * GRADIENT)
    assert np.isnan(found[~inside(x, y, -20.0)]).all()


def test_a_file_without_a_code_is_read_onto_one_that_has_it(tmp_path):
    transform = GRIDS["no code"][1]
    x, y = in_crs(*centres(transform, SHAPE), LAEA, UTM42)
    path = write_cog(tmp_path / "vv.tif", plane(x, y, ORIGIN), transform, LAEA)
    np.testing.assert_array_equal(on(path, transform, crs=LAEA), plane(x, y, ORIGIN).astype("f4"))
    found = on(path, OWN)
    seen = np.isfinite(found)
    assert seen.mean() > 0.5
    missed = np.abs(found - plane(*centres(OWN, SHAPE), ORIGIN))[seen]
    assert np.percentile(missed, 99) < APPROXIMATE * GRADIENT
    assert missed.max() < GRADIENT  # the file's outermost half pixels are held, not sloped


def test_a_file_elsewhere_gives_nothing(sloping):
    assert np.isnan(on(sloping, OWN @ Affine.translation(5000.3, 0))).all()
    assert np.isnan(on(sloping, Affine(10, 0, 400_000, 0, -10, 3_060_000), crs="EPSG:32602")).all()


# --- no data


@pytest.mark.parametrize("nodata", [NODATA, float("nan"), 0.0, None], ids=str)
@pytest.mark.parametrize("aside", [0, 0.5, 0.3], ids=["aligned", "half", "third"])
def test_no_data_is_never_mixed_in(tmp_path, nodata, aside):
    values = np.full(SHAPE, 0.2, "float32")
    hole = np.zeros(SHAPE, bool)
    hole[:, :40] = hole[200:260, 300:420] = hole[-5:] = True
    values[hole] = 0 if nodata is None else nodata
    path = write_cog(tmp_path / "vv.tif", values, OWN, nodata=nodata)
    found = on(path, OWN @ Affine.translation(aside, aside))
    assert np.unique(found[np.isfinite(found)]) == [np.float32(0.2)]
    if not aside:
        np.testing.assert_array_equal(np.isnan(found), hole)
        return
    around = hole[:-1, :-1].astype(int) + hole[1:, :-1] + hole[:-1, 1:] + hole[1:, 1:]
    assert np.isnan(found[:-1, :-1][around == 4]).all()
    assert np.isfinite(found[:-1, :-1][around == 0]).all()


def test_zero_is_no_data_whatever_the_tag_says(tmp_path):
    values = speckle(SHAPE)
    values[:50] = 0
    found = on(write_cog(tmp_path / "vv.tif", values, OWN), OWN)
    np.testing.assert_array_equal(np.isnan(found), values == 0)


# --- overviews


@pytest.fixture(scope="module")
def tall(tmp_path_factory) -> tuple[Path, np.ndarray]:
    values = speckle((2048, 2048), seed=2)
    return write_cog(tmp_path_factory.mktemp("t") / "vv.tif", values, OWN), values


def means(values: np.ndarray, size: int) -> np.ndarray:
    height, width = values.shape
    blocks = values.reshape(height // size, size, width // size, size)
    return blocks.mean(axis=(1, 3), dtype="float64")


@pytest.mark.parametrize("size", [2, 8])
def test_a_coarse_grid_holds_means(tall, size):
    path, values = tall
    shape = (2048 // size,) * 2
    found = on(path, OWN @ Affine.scale(size), shape)
    np.testing.assert_allclose(found, means(values, size), rtol=3e-7)


def test_a_coarse_grid_fetches_its_share(tall, asset_server):  # noqa: F811
    path, values = tall
    server = asset_server(path.parent)
    found = on(f"{server.url}/vv.tif", OWN @ Affine.scale(8), (256, 256), access=Access(local=True))
    np.testing.assert_allclose(found, means(values, 8), rtol=3e-7)
    whole = path.stat().st_size * 3 / 4  # a quarter and more are overviews
    assert server.bytes_sent < 1.1 * whole / 64
    assert len(server.requests) <= 3


@pytest.mark.parametrize("levels", [True, False], ids=["overviews", "none"])
@pytest.mark.parametrize("size", [6.7, 8.3, 13.0])
def test_a_coarse_grid_aside_averages_as_well(tall, tmp_path, levels, size):
    path, values = tall
    if not levels:
        path = write_cog(tmp_path / "vv.tif", values, OWN, overviews="none")
    count = int(2000 / size)
    found = on(path, OWN @ Affine.translation(3.3, 4.4) @ Affine.scale(size), (count, count))
    assert abs(found.mean() / values[4:2004, 3:2003].mean() - 1) < 2e-3
    # The worst overview is half as coarse as the grid, and its samples are means of 4 by 4
    assert found.std() < values.std() / 3
    rough = speckle((2048, 2048), seed=2).std() / size
    assert found.std() > rough / 2


@pytest.mark.parametrize("levels", ["auto", "none"])
def test_a_coarse_grid_of_another_zone_holds_the_plane(tmp_path, levels):
    values = plane(*centres(OWN, SHAPE), ORIGIN)
    path = write_cog(tmp_path / "vv.tif", values, OWN, overviews=levels, blocksize=128)
    crs, fine = GRIDS["zone 43"]
    transform = fine @ Affine.scale(3.7)
    found = on(path, transform, (189, 243), crs)
    x, y = in_crs(*centres(transform, found.shape), crs, UTM42)
    missed = np.abs(found - plane(x, y, ORIGIN))[inside(x, y, 100.0)]
    assert missed.size > 10_000
    assert missed.max() < 2 * WIDENED * GRADIENT  # of an overview's pixels, or 10 m and 3.7 of them


# --- windows, threads, processes


@settings(deadline=None, max_examples=15)
@given(st.data())
def test_no_value_depends_on_the_window(samples, data):
    grid = GRIDS[data.draw(st.sampled_from(["turned", "zone 43", "mercator"]))]
    whole = on(samples[0], grid[1], (1100, 1100), grid[0])
    reader = ProjectedReader(Files(str(samples[0])), *grid, (1100, 1100))
    cuts = [sorted({0, 1100, *data.draw(st.lists(st.integers(1, 1099), max_size=2))}) for _ in "yx"]
    parts = [
        [
            reader.read(slice(y0, y1), slice(x0, x1))
            for x0, x1 in zip(cuts[1], cuts[1][1:], strict=False)
        ]
        for y0, y1 in zip(cuts[0], cuts[0][1:], strict=False)
    ]
    np.testing.assert_array_equal(np.block(parts), whole)


def test_threads_share_a_reader(samples):
    crs, transform = GRIDS["zone 43"]
    reader = ProjectedReader(Files(str(samples[0])), crs, transform, (1100, 1100))
    whole = everything(reader)
    corners = [(y, x) for y in range(0, 1000, 130) for x in range(0, 1000, 170)]
    with ThreadPoolExecutor(8) as pool:
        parts = pool.map(lambda at: reader.read(*(slice(one, one + 90) for one in at)), corners)
        for (y, x), part in zip(corners, parts, strict=True):
            np.testing.assert_array_equal(part, whole[y : y + 90, x : x + 90])


def test_a_reader_travels_closed(samples):
    crs, transform = GRIDS["zone 43"]
    reader = ProjectedReader(Files(str(samples[0])), crs, transform, SHAPE)
    whole = everything(reader)
    packed = pickle.dumps(reader)
    assert len(packed) < 2000
    np.testing.assert_array_equal(everything(pickle.loads(packed)), whole)


# --- over HTTP


@pytest.mark.parametrize("grid", ["own", "zone 43"])
def test_a_file_far_away_is_the_same(samples, asset_server, grid):  # noqa: F811
    crs, transform = GRIDS.get(grid, (UTM42, OWN))
    server = asset_server(samples[0].parent)
    found = on(f"{server.url}/vv.tif", transform, crs=crs, access=Access(local=True))
    np.testing.assert_array_equal(found, on(samples[0], transform, crs=crs))


@pytest.fixture(scope="module")
def far(tall, tmp_path_factory) -> Iterator[tuple[Path, str]]:
    """Folder of files with and without overviews, and its address."""
    folder = tmp_path_factory.mktemp("far")
    for name, levels in (("auto", "auto"), ("none", "none")):
        write_cog(folder / f"{name}.tif", tall[1], OWN, overviews=levels, blocksize=128)
    with AssetServer(folder) as server:
        yield folder, server.url


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(["auto", "none"]),
    st.sampled_from(["turned", "zone 41", "mercator", "degrees"]),
    st.floats(0.3, 12.0), st.integers(0, 900), st.integers(0, 900), st.integers(1, 300),
)  # fmt: skip
def test_what_is_fetched_is_all_that_is_read(far, levels, grid, size, row, col, length):
    """Of a remote file only some tiles are there: whoever looks at another finds it damaged."""
    folder, url = far
    crs, transform = GRIDS[grid]
    window = slice(row, row + length), slice(col, col + length)
    near = Files(str(folder / f"{levels}.tif"))
    found = [
        ProjectedReader(files, crs, transform @ Affine.scale(size), (1200, 1200)).read(*window)
        for files in (Files(f"{url}/{levels}.tif", access=Access(local=True)), near)
    ]
    np.testing.assert_array_equal(*found)


def test_what_a_window_needs_is_fetched_at_once(tall, asset_server):  # noqa: F811
    server = asset_server(tall[0].parent)
    files = Files(f"{server.url}/vv.tif", access=Access(local=True))
    crs, transform = GRIDS["zone 43"]
    reader = ProjectedReader(files, crs, transform @ Affine.translation(300, 600), (4096, 4096))
    reader.read(slice(0, 1024), slice(0, 1024))
    # 5 or 6 rows of the file's tiles, the header, and the end where the first overviews lie
    assert len(server.requests) <= 9
    server.reset()
    reader.read(slice(0, 1024), slice(0, 1024))
    assert server.requests == []


def test_a_failure_far_away_is_told_in_our_words(tall, asset_server):  # noqa: F811
    server = asset_server(tall[0].parent)
    server.faults.append(Fault(path="vv", after=1, times=None, status=404))
    crs, transform = GRIDS["zone 43"]
    with pytest.raises(SourceError, match=r"/vv\.tif: missing \(HTTP 404\)"):
        on(f"{server.url}/vv.tif", transform, crs=crs, access=Access(local=True))


# --- files that cannot be read


def damaged(folder: Path) -> dict[str, Path]:
    values = speckle(SHAPE)
    good = write_cog(folder / "good.tif", values, OWN).read_bytes()
    made = {name: folder / f"{name}.tif" for name in ("cut", "broken", "text", "two", "nowhere")}
    made["cut"].write_bytes(good[: len(good) // 2])
    made["broken"].write_bytes(good[:20_000] + bytes(len(good) - 20_000))
    made["text"].write_text("not a raster")
    write_cog(made["two"], np.stack([values, values]), OWN)
    with (
        pytest.warns(NotGeoreferencedWarning),
        rasterio.open(
            made["nowhere"], "w", driver="GTiff", height=20, width=20, count=1, dtype="float32"
        ) as file,
    ):
        file.write(values[:20, :20], 1)
    return made | {"gone": folder / "gone.tif"}


SAID = {
    "text": "text.tif: not a readable raster",
    "gone": "gone.tif: not a readable raster",
    "two": "two.tif: has 2 bands; expected one band on a map grid",
    "nowhere": "nowhere.tif: has no CRS; expected one band on a map grid",
}


@pytest.mark.parametrize("what", SAID)
def test_what_is_no_product_is_refused_at_once(tmp_path, what):
    path = damaged(tmp_path)[what]
    for attempt in (lambda: check_projected(Files(str(path))), lambda: on(path, OWN)):
        with pytest.raises(SourceError) as failure:
            attempt()
        assert SAID[what] in str(failure.value)
        assert "\n" not in str(failure.value)


@pytest.mark.parametrize("what", ["cut", "broken"])
@pytest.mark.parametrize("grid", ["own", "zone 43"])
def test_damage_is_found_when_it_is_read(tmp_path, what, grid):
    path = damaged(tmp_path)[what]
    crs, transform = GRIDS.get(grid, (UTM42, OWN))
    with pytest.raises(SourceError, match=rf"{what}\.tif: .*") as failure:
        on(path, transform, crs=crs)
    assert "\n" not in str(failure.value)
    assert len(str(failure.value)) < 400
