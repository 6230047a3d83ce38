"""Image coordinates and incidence angles: ESA's geolocation grids and plain Python."""

from __future__ import annotations

import math
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from references import (
    FLATTENING,
    LIGHT,
    Product,
    circular_orbit,
    ecef,
    ground_range,
    horner,
    nearest,
    read_product,
    zero_doppler,
)

from cube.kernels import geocode
from cube.kernels.doppler import zero_doppler as solve
from cube.kernels.ellipsoid import to_ecef
from cube.kernels.groundrange import GroundRangeImage, to_image
from cube.kernels.orbit import fit_orbit
from cube.readers.annotation import read_annotation

# rms of (line, pixel) and where each comes from. Orbit files: annotated places carry 1e-9 degree
# or 0.1 mm, annotated pixels of the grid the difference between ESA's forward and inverse slant
# polynomials (0.002 pixel). The lines of IPF 2.70 are 75 us off its orbit, all alike.
GRIDS = {
    "S1B_IW_GRDH_1SDV_20211223": (0.001, 0.003),
    "S1C_S4_GRDH_1SDH_20250118": (0.001, 0.003),
    "S1A_IW_GRDH_1SDV_20210809": (0.001, 0.003),
    "S1A_IW_GRDH_1SDV_20150203": (0.06, 0.003),
}


@pytest.fixture(params=GRIDS)
def annotations(request, data_dir, tmp_path):
    """Product's tolerance and the paths of its annotations."""
    source = next((data_dir / "safe").glob(f"{request.param}*"))
    folder = source
    if source.suffix == ".zip":
        with zipfile.ZipFile(source) as archive:
            names = [name for name in archive.namelist() if "/annotation/s1" in name]
            archive.extractall(tmp_path, names)
        folder = next(tmp_path.glob("*.SAFE"))
    paths = sorted((folder / "annotation").glob("*.xml"))
    assert paths
    return GRIDS[request.param], paths


def column(product: Product, name: str) -> np.ndarray:
    return np.array([getattr(point, name) for point in product.grid])


def test_esa_grid_points_are_found_where_esa_says(annotations):
    (most_line, most_pixel), paths = annotations
    for path in paths:
        product, annotation = read_product(path.read_bytes()), read_annotation(str(path))
        points = to_ecef(*(column(product, name) for name in ("lon", "lat", "height")))
        line, sample = (part[:, None] for part in solve(annotation.orbit, points))
        for pixel in np.unique(column(product, "pixel")):  # one range at a time, as in a tile
            same = column(product, "pixel") == pixel
            part = line[same], sample[same]
            to_image(annotation.image, *part)
            line[same], sample[same] = part
        miss_line = line[:, 0] - column(product, "line")
        miss_pixel = sample[:, 0] - column(product, "pixel")
        assert math.sqrt(np.mean(miss_line**2)) <= most_line
        assert math.sqrt(np.mean(miss_pixel**2)) <= most_pixel


def test_the_grid_itself_shows_half_of_the_echo_delay(annotations):
    """Grid time minus line time is half of (delay - mid-swath delay): no code of ours in it."""
    for path in annotations[1]:
        product = read_product(path.read_bytes())
        late = column(product, "time") - column(product, "line") * product.line_step
        slope, constant = np.polyfit(column(product, "slant_time"), late, 1)
        # times are written to 1e-6 s over 1e-3 s of delay, some 200 of them
        assert slope == pytest.approx(0.5, abs=2e-3)
        reference = read_annotation(str(path)).image.bistatic_reference_s
        # 0.4 us of mid-swath delay are 0.00015 line; the rest is the rounding of times
        assert -constant / slope == pytest.approx(reference, abs=2e-6)


def test_the_grid_itself_uses_the_record_nearest_in_time(annotations):
    for path in annotations[1]:
        product = read_product(path.read_bytes())
        times = [time for time, _, _ in product.records]
        width = product.samples * product.sample_step
        misses = {-1: [], 0: []}
        for point in product.grid[::7]:
            found = nearest(times, point.line * product.line_step)
            for step, miss in misses.items():
                _, origin, row = product.records[max(found + step, 0)]
                ground = ground_range(row, origin, point.slant_time * LIGHT / 2, -1e3, width + 1e3)
                miss.append(abs(ground / product.sample_step - point.pixel))
        # the grid is made with the inverse polynomial, that differs by some centimetres
        assert max(misses[0]) < 0.02
        assert max(misses[0]) <= max(misses[-1])


# A synthetic image, so that every step of the chain can be done by bisection.
STATE = circular_orbit()
RECORDS = [(-3.0, 0.0), (1.0, 15.0), (2.0, -25.0), (6.0, 0.0)]
SLANT = [7.85e5, 0.47, 5.2e-7, -1.6e-13]
STEP, LINE_S, REFERENCE = 10.0, 1.5e-3, 2 * 8.0e5 / LIGHT
SIZE = (8000, 26_000)
FIRST = 12.0  # seconds after the epoch; the records' times count from here


@pytest.fixture(scope="module")
def orbit():
    time = np.arange(17) * 10.0 - 80.0
    return fit_orbit(time, *(np.array(rows) for rows in zip(*map(STATE, time), strict=True)))


@pytest.fixture(scope="module")
def image():
    return GroundRangeImage(
        FIRST, LINE_S, STEP, REFERENCE,
        np.array([FIRST + time for time, _ in RECORDS]),
        np.array([origin for _, origin in RECORDS]),
        np.array([SLANT] * len(RECORDS)), SIZE,
    )  # fmt: skip


def exact(lon, lat, height):
    """Line and sample by bisection."""
    time, slant = zero_doppler(STATE, ecef(lon, lat, height), -20, 60)
    shown = time - slant / LIGHT + REFERENCE / 2
    record = RECORDS[nearest([FIRST + at for at, _ in RECORDS], shown)]
    ground = ground_range(SLANT, record[1], slant, -2e5, 3e5)
    return (shown - FIRST) / LINE_S, ground / STEP


def tile(lon0=4.3, lat0=2.0, width=0.046, shape=(512, 512)):
    """Degrees at a tile's nodes and a function that gives those of a pixel."""

    def place(u, v):
        return lon0 + width / 2 * u, lat0 - width / 2 * v

    at = -np.cos(np.pi * (np.arange(8) + 0.5) / 8)
    lon, lat = place(*np.meshgrid(at, at))

    def pixel(row, col):
        return place((2 * col + 1) / shape[1] - 1, (2 * row + 1) / shape[0] - 1)

    return lon, lat, pixel


def rough(shape=(512, 512), relief=5000.0):
    return np.random.default_rng(7).uniform(0, relief, shape).astype("float32")


def test_a_tile_agrees_with_bisection_from_map_to_pixel(orbit, image):
    lon, lat, pixel = tile()
    height = rough()
    line, sample = geocode.image_coordinates(orbit, image, lon, lat, height)
    for row, col in np.random.default_rng(8).integers(0, 512, (200, 2)):
        wanted_line, wanted_sample = exact(*pixel(row, col), float(height[row, col]))
        assert abs(line[row, col] - wanted_line) <= 1e-6
        # 0.01 mm of slant range are 0.02 mm on the ground; the inverse polynomial 1e-6 pixel
        assert abs(sample[row, col] - wanted_sample) <= 1e-4


def test_the_same_tile_has_the_same_bits_whatever_came_before(orbit, image):
    lon, lat, _ = tile()
    height = rough()
    first = geocode.image_coordinates(orbit, image, lon, lat, height)
    other_lon, other_lat, _ = tile(lon0=4.5, lat0=2.1)
    geocode.image_coordinates(orbit, image, other_lon, other_lat, height)
    again = geocode.image_coordinates(orbit, image, lon, lat, height.copy())
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize(("lon0", "lat0"), [(4.3, 6.0), (4.3, -1.0), (1.5, 2.0), (8.5, 2.0)])
def test_a_tile_beyond_an_edge_is_nowhere(orbit, image, lon0, lat0):
    lon, lat, _ = tile(lon0=lon0, lat0=lat0)
    assert geocode.image_coordinates(orbit, image, lon, lat, rough()) is None


def test_a_tile_on_the_left_of_the_track_is_not_its_mirror_image(orbit, image):
    lon0, lat0 = -5.2, 0.1
    line, sample = exact(lon0, lat0, 2500.0)
    assert 0 < line < SIZE[0]  # time and range alone would find it
    assert 0 < sample < SIZE[1]
    lon, lat, pixel = tile(lon0=lon0, lat0=lat0)
    assert geocode.image_coordinates(orbit, image, lon, lat, rough()) is None
    lattice = lattice_of(orbit, image, pixel, lambda lon, lat: 0 * lon, 32, (64, 64))
    out = np.full((64, 64), np.nan, "float32")
    geocode.local_incidence(np.zeros((66, 66), "float32"), lattice, 32, (10.0, 10.0), SIZE, out)
    assert np.isnan(out).all()


def test_a_tile_at_the_antipode_is_nowhere(orbit, image):
    lon, lat, _ = tile(lon0=180.0, lat0=0.0)
    assert geocode.image_coordinates(orbit, image, lon, lat, rough()) is None


def test_a_tile_partly_outside_is_solved_outside_as_well(orbit, image):
    lon, lat, pixel = tile(lat0=1.68)
    height = rough(relief=500.0)
    line, sample = geocode.image_coordinates(orbit, image, lon, lat, height)
    assert line.min() < -100
    assert line.max() > 100
    assert np.isfinite(line).all()
    assert np.isfinite(sample).all()
    for row, col in [(0, 0), (511, 511), (0, 511), (511, 0)]:
        wanted_line, wanted_sample = exact(*pixel(row, col), float(height[row, col]))
        assert abs(line[row, col] - wanted_line) <= 1e-6
        assert abs(sample[row, col] - wanted_sample) <= 1e-4


def test_the_outer_half_of_the_outermost_pixels_belongs_to_them(orbit, image):
    """Slices follow each other line by line: between their centres there must be no gap."""
    lon, lat, _ = tile(lat0=1.68)
    flat = np.zeros((512, 512), "float32")
    line, _ = geocode.image_coordinates(orbit, image, lon, lat, flat)
    bigger = replace(image, first_line_s=FIRST - 10 * LINE_S)  # ten lines more, at the beginning
    wanted = geocode.image_coordinates(orbit, bigger, lon, lat, flat)[0] - 10
    half = (wanted >= -0.5) & (wanted < 0)
    assert half.sum() > 50
    assert (line[half] == 0).all()
    inner = wanted >= 0
    # the same polynomial with other rounding
    np.testing.assert_allclose(line[inner], wanted[inner], rtol=0, atol=1e-6)


def test_a_pixel_without_height_has_no_place(orbit, image):
    lon, lat, _ = tile()
    height = rough()
    height[100:200, 50:60] = np.nan
    line, sample = geocode.image_coordinates(orbit, image, lon, lat, height)
    for found in (line, sample):
        np.testing.assert_array_equal(np.isnan(found), np.isnan(height))


def axes(lon, lat):
    """East, north and up."""
    lam, phi = math.radians(lon), math.radians(lat)
    return (
        (-math.sin(lam), math.cos(lam), 0.0),
        (-math.sin(phi) * math.cos(lam), -math.sin(phi) * math.sin(lam), math.cos(phi)),
        (math.cos(phi) * math.cos(lam), math.cos(phi) * math.sin(lam), math.sin(phi)),
    )


def flat_incidence(annotation, product, frame):
    """Angle at every grid point on level ground, whose `frame` is x, y and up."""
    place = (column(product, name) for name in ("lon", "lat", "height"))
    sight = geocode.sight_lattice(
        annotation.orbit, annotation.image, to_ecef(*place)[:, None],
        *(frame[:, None, k] for k in range(3)),
    )  # fmt: skip
    found = np.full((len(product.grid), 1, 1), np.nan, "float32")
    for k, point in enumerate(product.grid):
        lattice = np.append(sight[k, 0], [1.0, 1.0])[None, None].repeat(2, 0).repeat(2, 1)
        lattice[..., 3:5] = 1.0  # inside, whatever side of the outermost pixel's centre
        flat = np.full((3, 3), point.height, "float32")
        geocode.local_incidence(flat, lattice, 1, (10.0, 10.0), (3, 3), found[k])
    return found[:, 0, 0]


def test_flat_ground_is_seen_at_esa_incidence_angle(annotations):
    """ESA's angle is to the line from the Earth's centre; ours to the normal of the ellipsoid."""
    path = annotations[1][0]
    product, annotation = read_product(path.read_bytes()), read_annotation(str(path))
    place = list(zip(column(product, "lon"), column(product, "lat"), strict=True))
    esa = column(product, "incidence")
    central = np.array([axes(lon, central_latitude(lat)) for lon, lat in place])
    # on the ellipsoid; a height of 1900 m turns the line by 1e-5 degree
    found = flat_incidence(annotation, product, central)
    # float32 holds 45 degrees to 4e-6
    np.testing.assert_allclose(found, esa, rtol=0, atol=1e-4)
    normal = np.array([axes(*at) for at in place])
    # normal and radius differ by up to 0.19 degree in the meridian, across which the track runs
    np.testing.assert_allclose(flat_incidence(annotation, product, normal), esa, rtol=0, atol=0.04)


def central_latitude(lat):
    e2 = FLATTENING * (2 - FLATTENING)
    return math.degrees(math.atan((1 - e2) * math.tan(math.radians(lat))))


def lattice_of(orbit, image, pixel, height, step, shape):
    rows = np.arange((shape[0] - 1) // step + 2) * step
    cols = np.arange((shape[1] - 1) // step + 2) * step
    lon, lat = pixel(*np.meshgrid(rows, cols, indexing="ij"))
    up = height(lon, lat)
    frame = np.array([axes(*place) for place in zip(lon.ravel(), lat.ravel(), strict=True)])
    frame = frame.reshape(*lon.shape, 3, 3)
    sight = geocode.sight_lattice(
        orbit, image, to_ecef(lon, lat, up), *(frame[..., k, :] for k in range(3))
    )
    return np.concatenate([sight, np.ones((*lon.shape, 2))], axis=-1)


@pytest.mark.parametrize(("east", "north"), [(0.0, 0.0), (0.4, 0.0), (-0.3, 0.2), (0.1, -0.6)])
def test_a_tilted_plane_follows_the_vector_formula(orbit, image, east, north):
    _, _, pixel = tile()
    lattice = lattice_of(orbit, image, pixel, lambda lon, lat: 0 * lon, 32, (64, 64))
    y, x = np.mgrid[66.0:0.0:-1, 0.0:66.0] * 10.0
    height = (east * x + north * y).astype("float32")
    out = np.full((64, 64), np.nan, "float32")
    geocode.local_incidence(height, lattice, 32, (10.0, 10.0), SIZE, out)
    for row, col in [(0, 0), (13, 57), (63, 63), (32, 31)]:
        lon, lat = pixel(row, col)
        point = ecef(lon, lat, 0.0)
        satellite = STATE(zero_doppler(STATE, point, -20, 60)[0])[0]
        sight = np.subtract(satellite, point)
        facet = np.array([-east, -north, 1.0]) @ np.array(axes(lon, lat))
        cosine = sight @ facet / np.linalg.norm(sight) / np.linalg.norm(facet)
        # float32 heights of up to 600 m are exact to 3e-5 m over 80 m of baseline
        assert out[row, col] == pytest.approx(math.degrees(math.acos(cosine)), abs=5e-3)


def test_lattice_steps_cost_less_than_five_thousandths_of_a_degree(orbit, image):
    """Hills of 600 m within 5 km; every pixel's own line of sight is the truth."""
    _, _, pixel = tile()

    def hills(lon, lat):
        return 300 * np.sin(2 * np.pi * lon / 0.05) * np.sin(2 * np.pi * lat / 0.07)

    shape = (200, 200)
    lon, lat = pixel(*np.meshgrid(np.arange(-1, 201), np.arange(-1, 201), indexing="ij"))
    height = hills(lon, lat).astype("float32")
    found = {}
    for step in (1, 32):
        lattice = lattice_of(orbit, image, pixel, hills, step, shape)
        found[step] = np.full(shape, np.nan, "float32")
        geocode.local_incidence(height, lattice, step, (10.0, 10.0), SIZE, found[step])
    assert np.isfinite(found[1]).all()
    assert np.abs(found[32] - found[1]).max() < 5e-3


def test_incidence_is_unknown_outside_the_image_and_kept_where_known(orbit, image):
    _, _, pixel = tile()
    lattice = lattice_of(orbit, image, pixel, lambda lon, lat: 0 * lon, 32, (64, 64))
    line = lattice[..., 3]
    middle = (line.min() + line.max()) / 2
    out = np.full((64, 64), np.nan, "float32")
    out[:, 40:] = 7.0
    flat = np.zeros((66, 66), "float32")
    geocode.local_incidence(flat, lattice, 32, (10.0, 10.0), (int(middle), SIZE[1]), out)
    assert (out[:, 40:] == 7.0).all()
    seen = np.isfinite(out[:, :40])
    assert 0.3 < seen.mean() < 0.7


def test_the_synthetic_image_holds_the_synthetic_tile():
    """The tests above look where there is something to see."""
    line, sample = exact(4.3, 2.0, 0.0)
    assert 500 < line < SIZE[0] - 500
    assert 500 < sample < SIZE[1] - 500
    assert horner(SLANT, 0.0) < horner(SLANT, SIZE[1] * STEP)


def test_a_missing_height_gives_no_angle_to_it_and_its_neighbours(orbit, image):
    _, _, pixel = tile()
    lattice = lattice_of(orbit, image, pixel, lambda lon, lat: 0 * lon, 32, (64, 64))
    height = np.zeros((66, 66), "float32")
    height[20, 30] = np.nan
    out = np.full((64, 64), np.nan, "float32")
    geocode.local_incidence(height, lattice, 32, (10.0, 10.0), SIZE, out)
    expected = np.ones((64, 64), bool)
    expected[18:21, 28:31] = False
    # the missing height itself is not used, but nothing can be said of it
    expected[19, 29] = np.isfinite(out[19, 29])
    np.testing.assert_array_equal(np.isfinite(out), expected)
