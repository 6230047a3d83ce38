from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from numpy.polynomial import Polynomial
from pyproj import Transformer
from scipy.optimize import brentq
from simulated_ground import LAT, LON, hill

from cube.simulate.geometry import SPEED_OF_LIGHT, ground_point, image_over, zero_doppler
from cube.simulate.groundmap import ground_map, solve_terrain


def annotation(safe: Path, polarisation: str = "vv") -> ET.Element:
    return ET.parse(next((safe / "annotation").glob(f"*-grd-{polarisation}-*.xml"))).getroot()


def seconds(text: str | None, since: str | None) -> float:
    return float((np.datetime64(text) - np.datetime64(since)) / np.timedelta64(1, "us")) * 1e-6


def test_image_and_ground_positions_are_inverse(geometry):
    generator = np.random.default_rng(0)
    line, col = generator.uniform(0, 1700, 3000), generator.uniform(0, 1880, 3000)
    height = generator.uniform(-60, 500, 3000)
    lat, lon = geometry.ground_position(line, col, height)
    found = geometry.image_position(lat, lon, height)
    np.testing.assert_allclose(found[0], line, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found[1], col, rtol=0, atol=1e-6)


def test_solver_agrees_with_bisection_point_by_point(geometry):
    """The vectorised Newton solution against a plain bisection of the Doppler of one point."""
    orbit = geometry.orbit
    to_earth = Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)
    for lon, lat, height in [(68.1, 27.45, -40.0), (68.3, 27.6, 350.0)]:
        point = np.array(to_earth.transform(lon, lat, height))

        def doppler(time, point=point):
            state = orbit.state(time)
            return float((point - state.position) @ state.velocity)

        wanted = brentq(doppler, -30, 30, xtol=1e-13)
        time, distance = zero_doppler(orbit, point)
        assert float(time) == pytest.approx(wanted, abs=1e-9)
        exact = np.linalg.norm(point - orbit.state(wanted).position)
        assert float(distance) == pytest.approx(float(exact), abs=1e-6)


def test_ground_range_polynomials_undo_each_other(geometry):
    ground = np.linspace(0, geometry.samples * geometry.range_step_m, 500)
    for record in geometry.records:
        slant = np.polyval(record.grsr[::-1], ground)
        back = np.polyval(record.srgr[::-1], slant - record.near_range_m)
        np.testing.assert_allclose(back, ground, rtol=0, atol=1e-4)


def test_ground_range_polynomials_over_a_full_swath_are_as_good_as_degree_eight_can_be(geometry):
    """Real products show the same 8 cm; their constant term, too, is some centimetres."""
    wide = image_over(
        geometry.orbit,
        np.array([LAT]),
        np.array([LON]),
        np.array([20.0]),
        margin_m=0.0,
        mid_time_s=geometry.mid_time_s,
        size=(100, 25000),
    )
    ground = np.linspace(0, 250e3, 1000)
    record = wide.records[2]
    slant = np.polyval(record.grsr[::-1], ground)
    back = np.polyval(record.srgr[::-1], slant - record.near_range_m)
    np.testing.assert_allclose(back, ground, rtol=0, atol=0.12)


def test_ground_range_is_the_length_of_the_arc(geometry):
    record = geometry.records[3]
    slant = np.polyval(record.grsr[::-1], np.linspace(0, 18000, 20001))
    height = geometry.terrain_height_m
    lat, lon = ground_point(geometry.orbit, np.full(20001, record.time_s), slant, height)
    to_earth = Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)
    points = np.stack(to_earth.transform(lon, lat, np.full(20001, height)), axis=-1)
    steps = np.linalg.norm(np.diff(points, axis=0), axis=-1)
    assert steps.sum() == pytest.approx(18000, abs=1e-3)
    # Even steps, so that the samples are even on the ground.
    np.testing.assert_allclose(steps, 0.9, rtol=0, atol=1e-6)


def test_lines_use_the_record_nearest_to_their_zero_doppler_time(geometry):
    time, distance = geometry.slant(np.arange(1700.0), np.array([900.0]))
    times = np.array([record.time_s for record in geometry.records])
    for index in range(0, 1700, 100):
        nearest = geometry.records[int(np.abs(times - time[index]).argmin())]
        wanted = np.polyval(nearest.grsr[::-1], 9000.0)
        assert float(distance[index]) == pytest.approx(wanted, abs=1e-6)
    used = np.unique(geometry.nearest_record(time))
    assert used.size >= 3


def test_fast_ground_map_is_within_a_fivehundredth_of_a_pixel(geometry):
    project = Transformer.from_crs("EPSG:4326", "EPSG:32642", always_xy=True)
    ground = ground_map(geometry, lambda lat, lon: project.transform(lon, lat), (-60.0, 400.0))
    lines, cols = np.arange(1700), np.arange(1880)
    coefficients = ground.coefficients(lines, cols)
    generator = np.random.default_rng(2)
    line, col = generator.integers(0, 1700, 4000), generator.integers(0, 1880, 4000)
    # The lines in which the record changes are where a piecewise map could go wrong.
    edges = np.array([[b.first, b.stop - 1] for b in ground.blocks]).ravel()
    line = np.append(line, np.repeat(edges, 300))
    col = np.append(col, generator.integers(0, 1880, 300 * edges.size))
    for height in (-60.0, 30.0, 400.0):
        x, y = ground.locate(coefficients, np.full((1700, 1880), height))
        lat, lon = geometry.ground_position(line.astype(float), col.astype(float), height)
        exact = project.transform(lon, lat)
        error = np.hypot(x[line, col] - exact[0], y[line, col] - exact[1])
        assert error.max() < 0.002 * 10.0


def test_terrain_solution_lies_on_the_terrain(geometry):
    ground = ground_map(geometry, lambda lat, lon: (lat, lon), (0.0, 200.0))
    height, lat, lon = solve_terrain(ground, hill)
    np.testing.assert_allclose(hill(lat, lon), height, rtol=0, atol=1e-3)
    at = (slice(None, None, 97), slice(None, None, 89))
    line, col = geometry.image_position(lat[at], lon[at], height[at])
    rows, cols = np.mgrid[0:1700:97, 0:1880:89]
    np.testing.assert_allclose(line, rows, rtol=0, atol=1e-3)
    np.testing.assert_allclose(col, cols, rtol=0, atol=1e-3)


def test_terrain_that_lies_over_itself_is_refused(geometry):
    ground = ground_map(geometry, lambda lat, lon: (lat, lon), (0.0, 400.0))

    def cliffs(lat, lon):
        return 200 + 150 * np.sin((lon - LON) * 1e5)

    with pytest.raises(ValueError, match="layover"):
        solve_terrain(ground, cliffs)


def test_annotated_grid_agrees_with_a_solution_from_the_annotated_orbit(hill_product):
    """Zero Doppler, bistatic law, ground range and terrain, from nothing but the XML file."""
    root = annotation(hill_product)
    since = root.findtext(".//productFirstLineUtcTime")
    step = float(root.findtext(".//azimuthTimeInterval"))
    time = np.array([seconds(item.findtext("time"), since) for item in root.iter("orbit")])
    vectors = {
        kind: np.array(
            [[float(axis.text) for axis in item.find(kind)] for item in root.iter("orbit")]
        )
        for kind in ("position", "velocity")
    }
    assert time.size >= 16
    assert time[0] <= -60
    # Degree nine over 150 s: micrometres in position and um/s in speed. A cubic from vector to
    # vector would be 0.1 mm/s off in speed, which at this range is a microsecond of azimuth.
    fits = [Polynomial.fit(time, axis, 9) for axis in vectors["position"].T]

    def spline(t):
        return np.array([fit(t) for fit in fits])

    def speed(t):
        return np.array([fit.deriv()(t) for fit in fits])

    moving = np.array([speed(t) for t in time])
    np.testing.assert_allclose(moving, vectors["velocity"], rtol=0, atol=1e-4)
    beams = [
        [float(text) for text in item.findtext("slantRangeTime").split()]
        for item in root.iter("antennaPattern")
        if item.find("swath") is not None
    ]
    mid_time = (min(beam[0] for beam in beams) + max(beam[-1] for beam in beams)) / 2
    conversions = [
        (
            seconds(item.findtext("azimuthTime"), since),
            np.array(item.findtext("grsrCoefficients").split(), dtype=float),
        )
        for item in root.iter("coordinateConversion")
        if item.find("sr0") is not None
    ]
    to_earth = Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)
    residuals = []
    for item in root.iter("geolocationGridPoint"):
        value = {child.tag: child.text for child in item}
        lat, lon, height = (float(value[key]) for key in ("latitude", "longitude", "height"))
        point = np.array(to_earth.transform(lon, lat, height))
        solved = brentq(lambda t, p=point: float((p - spline(t)) @ speed(t)), -5, 5, xtol=1e-12)
        annotated = seconds(value["azimuthTime"], since)
        # Annotated times are whole microseconds, and a microsecond is 7 mm.
        assert solved == pytest.approx(annotated, abs=0.6e-6)
        two_way = float(value["slantRangeTime"])
        distance = np.linalg.norm(point - spline(solved))
        assert distance == pytest.approx(two_way * SPEED_OF_LIGHT / 2, abs=1e-3)
        residual = 0.5 * (two_way - mid_time)
        residuals.append(residual)
        assert annotated - int(value["line"]) * step == pytest.approx(residual, abs=0.6e-6)
        _, nearest = min(conversions, key=lambda record: abs(record[0] - annotated))
        along = np.polyval(nearest[::-1], int(value["pixel"]) * 10.0)
        assert along == pytest.approx(two_way * SPEED_OF_LIGHT / 2, abs=1e-3)
        assert height == pytest.approx(float(hill(np.array(lat), np.array(lon))), abs=1e-3)
    # The law must have been put to the test: there is nothing to see in mid-swath.
    assert min(residuals) > 5e-5


def test_annotated_angles_are_those_of_the_ellipsoid(hill_product):
    root = annotation(hill_product)
    angles = np.array(
        [float(i.findtext("incidenceAngle")) for i in root.iter("geolocationGridPoint")]
    )
    assert abs(float(np.median(angles)) - 41.9) < 0.2
    assert np.ptp(angles) > 0.2
    elevation = [float(i.findtext("elevationAngle")) for i in root.iter("geolocationGridPoint")]
    # On a sphere sin(elevation) / sin(incidence) = R / (R + H) = 0.902.
    ratio = np.sin(np.radians(elevation)) / np.sin(np.radians(angles))
    np.testing.assert_allclose(ratio, 0.9015, atol=0.002)
