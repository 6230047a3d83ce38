"""One simulated product of given ground: for training and for tests of readers and geocoding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cube.simulate.geometry import ImageGeometry, image_over
from cube.simulate.groundmap import ground_map, solve_terrain
from cube.simulate.luts import calibration_table, noise_power, noise_table, sigma_gain
from cube.simulate.orbit import Direction, orbit_over
from cube.simulate.pixels import Target, form_image
from cube.simulate.product import ProductSpec, SliceTimes, interferometric_swaths, mid_swath_time
from cube.simulate.safe import write_grd

__all__ = ["simulate_product"]

Floats = NDArray[np.float64]


def simulate_product(
    directory: Path,
    *,
    lon: float,
    lat: float,
    size: tuple[int, int] = (512, 512),
    start: np.datetime64 | str = "2022-08-30T01:25:00",
    orbit_direction: Direction = "descending",
    incidence: float = 38.0,
    sigma0: Callable[[Floats, Floats], dict[str, Floats]] | None = None,
    dem: Callable[[Floats, Floats], Floats] | float = 0.0,
    targets: Sequence[tuple[float, float, float, float]] = (),
    seed: int = 0,
    noise: bool = True,
    speckle: bool = True,
    polarisations: tuple[str, ...] = ("VV", "VH"),
) -> Path:
    """Write one GRD product of known ground and return its SAFE folder.

    Parameters
    ----------
    directory : Path
        Existing folder.
    lon, lat : float
        Centre of the image, degrees.
    size : (lines, samples)
    start : datetime64 or str
        Zero-Doppler time of the centre, UTC.
    orbit_direction : {"ascending", "descending"}
    incidence : float
        Incidence angle at the centre, degrees.
    sigma0 : callable (lat, lon) -> {polarisation: linear sigma nought}
        Arrays of one shape, degrees in; constant -10 dB and -17 dB where left out.
    dem : callable (lat, lon) -> ellipsoidal height in metres, or a constant height
        The slope does not change sigma nought here: give what the ground should show.
    targets : sequence of (lon, lat, ellipsoidal height, digital number at the peak)
        Points placed by the exact solver, whatever the DEM.
    seed : int
        Of the speckle.
    noise, speckle : bool
        Without noise the noise vectors are 0.
    polarisations : tuple of str

    Raises
    ------
    ValueError
        The orbit cannot see the place, or the terrain lies over itself.
    FileExistsError
        The product is already there.
    """
    height = dem if callable(dem) else _constant(dem)
    spec = _specification(
        (lon, lat),
        size,
        np.datetime64(str(start), "us"),
        orbit_direction,
        incidence,
        height,
        polarisations=polarisations,
        noise=noise,
    )
    ground = ground_map(
        spec.geometry, lambda at_lat, at_lon: (_near(at_lon, lon), at_lat), _height_bounds(spec)
    )
    _, u, v = solve_terrain(ground, lambda lon, lat: np.asarray(height(lat, lon)))
    power = (sigma0 or _uniform)(v, u)
    points = [_target(spec.geometry, *item) for item in targets]
    gain = sigma_gain(spec, calibration_table(spec))
    images = {}
    for number, name in enumerate(polarisations):
        stream = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
        images[name] = form_image(
            np.asarray(np.broadcast_to(power[name], u.shape), "float32"),
            gain,
            noise_power(spec, noise_table(spec, name)) if noise else None,
            generator=stream if speckle else None,
            targets=points,
        )
    return write_grd(directory, spec, images)


def _specification(
    place: tuple[float, float],
    size: tuple[int, int],
    start: np.datetime64,
    direction: Direction,
    incidence: float,
    height: Callable[[Floats, Floats], Floats],
    *,
    polarisations: tuple[str, ...],
    noise: bool,
) -> ProductSpec:
    """One slice centred on a place (lon, lat)."""
    lon, lat = np.array([place[0]]), np.array([place[1]])
    centre = np.asarray(height(lat, lon), "float64")
    orbit = orbit_over(
        *place,
        time=start,
        direction=direction,
        incidence_deg=incidence,
        height_m=float(centre[0]),
    )
    swaths = interferometric_swaths(orbit, float(centre[0]))
    geometry = image_over(
        orbit,
        lat,
        lon,
        centre,
        margin_m=0.0,
        mid_time_s=mid_swath_time(swaths),
        size=size,
    )
    stop = geometry.first_line_s + (geometry.lines - 1) * geometry.line_step_s
    return ProductSpec(
        geometry,
        direction,
        swaths,
        height,
        polarisations,
        slices=(SliceTimes(geometry.first_line_s - 1.5, stop + 1.5),),
        noise_scale=1.0 if noise else 0.0,
    )


def _near(lon: Floats, centre: float) -> Floats:
    """Longitudes without a jump at the antimeridian, within half a turn of `centre`."""
    return centre + np.remainder(lon - centre + 180.0, 360.0) - 180.0


def _constant(height_m: float) -> Callable[[Floats, Floats], Floats]:
    return lambda lat, lon: np.full(np.shape(lat), float(height_m))


def _uniform(lat: Floats, lon: Floats) -> dict[str, Floats]:
    """Fields everywhere: -10 dB in co-polarisation, -17 dB in cross-polarisation."""
    levels = {"VV": 10**-1.0, "HH": 10**-1.0, "VH": 10**-1.7, "HV": 10**-1.7}
    return {name: np.full(lat.shape, level) for name, level in levels.items()}


def _target(
    geometry: ImageGeometry, lon: float, lat: float, height_m: float, amplitude: float
) -> Target:
    line, col = geometry.image_position(np.array(lat), np.array(lon), height_m)
    return Target(float(line), float(col), amplitude)


def _height_bounds(spec: ProductSpec) -> tuple[float, float]:
    """Lowest and highest terrain of the image, with some room, for the parabola in height."""
    geometry = spec.geometry
    line, col = np.meshgrid(
        np.linspace(0, geometry.lines - 1, 60),
        np.linspace(0, geometry.samples - 1, 60),
        indexing="ij",
    )
    lat, lon = geometry.ground_position(line, col, geometry.terrain_height_m)
    height = np.asarray(spec.height(lat, lon))
    return float(height.min()) - 20.0, float(height.max()) + 20.0
