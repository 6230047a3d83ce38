"""Single-look products of a simulated event: the passes of one track, and how coherent they are.

A product is as small as the area allows, yet a seam of sub-swaths and seams of bursts cross it.
The products of one pass as GRD and as SLC have one data take, one ground, and one orbit to a few
metres; their speckle has nothing in common.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import rasterio
from numpy.polynomial.polynomial import polyval2d, polyvander2d
from numpy.typing import NDArray
from pyproj import Transformer
from scipy.ndimage import map_coordinates

from cube.grid import BBox
from cube.simulate.geometry import look_vectors
from cube.simulate.orbit import Orbit, orbit_over
from cube.simulate.radiometry import GroundState, TrackView, scene_sigma0, wet_fraction
from cube.simulate.scenarios import Pass, Scenario
from cube.simulate.slc import SlcScene, make_slc_template, simulate_slc
from cube.simulate.slc_frame import SWATHS, Frame, frame_over
from cube.simulate.slc_scene import Field
from cube.simulate.smooth import on_grid
from cube.simulate.world import Cover, World, lonlat_nodes

__all__ = ["SlcPass", "SlcSimulator", "pass_numbers", "true_coherence", "write_coherence"]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

COHERENCE = {
    Cover.URBAN: 0.85,
    Cover.BARE: 0.7,
    Cover.CROP: 0.5,
    Cover.SHRUB: 0.4,
    Cover.SMOOTH: 0.3,
    Cover.FOREST: 0.15,
    Cover.WATER: 0.0,
}
"""Coherence of a class between two passes, however many days lie between them. Round numbers in
the order that C band shows over 12 days: buildings keep theirs, plants move (Jacob et al. 2020,
IEEE JSTARS 13), water is another surface at every pass."""
FLOODED_TOWN = 0.15
"""What a town has under water, between the walls above it: a round number too. That coherence
falls there is how floods in towns are told (Chini et al. 2019, Remote Sensing 11(2), 107)."""
DENSITY = 0.03
"""Scatterers on a square metre: 1.7 in a pixel of IW1, 1.5 in one of IW2. Their amplitudes are
Gaussian, and so is speckle however few they are; fewer make its power uneven."""
SEEN_M, SCATTERING_M = 1000.0, 400.0
"""How far around the area the products reach, and how far there are scatterers: beyond, samples are
0, which no window over the area sees."""
METRES_PER_DEGREE = 111e3


@dataclass(frozen=True, slots=True)
class SlcPass:
    """One overflight: what the event's own simulator knows of it."""

    item: Pass
    number: int
    """In the scenario."""
    datatake: int
    state: GroundState
    orbit: Orbit
    """Where the satellite was, in the tube around the track's."""


def pass_numbers(scenario: Scenario) -> list[int]:
    """Passes that have single-look products: two before the flood, and up to two during it.

    All are of the track of the last pass, since images of two tracks do not interfere.
    """
    track = scenario.passes[-1].track
    own = [at for at, item in enumerate(scenario.passes) if item.track == track]
    before, during = (
        [at for at in own if first <= date.fromisoformat(scenario.passes[at].time[:10]) <= last]
        for first, last in (scenario.before, scenario.during)
    )
    return [*before[-2:], *during[-2:]]


def true_coherence(world: World, state: GroundState) -> Singles:
    """Coherence that ground has at one pass, shape of the world.

    Between two passes it is the geometric mean of theirs.
    """
    table = np.array([COHERENCE[item] for item in Cover], "float32")
    found = table[world.cover]
    wet = wet_fraction(state.depth_m) >= 0.5
    found[wet] = np.where(world.cover[wet] == Cover.URBAN, FLOODED_TOWN, 0.0)
    return found


def write_coherence(path: Path, world: World, passes: Sequence[SlcPass]) -> None:
    """Write the true coherence of each pass and the next on the target grid, one band each."""
    window = world.target_window()
    of_pass = [true_coherence(world, one.state)[window] for one in passes]
    days = [one.item.time[:10] for one in passes]
    rows, cols = world.target.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype="float32",
        count=len(passes) - 1,
        height=rows,
        width=cols,
        crs=str(world.target.crs),
        transform=world.target.affine,
        nodata=float("nan"),
        compress="deflate",
        tiled=True,
        blockxsize=256,
        blockysize=256,
    ) as file:
        pairs = zip(pairwise(of_pass), pairwise(days), strict=True)
        for band, ((one, other), names) in enumerate(pairs, 1):
            file.write(np.sqrt(one * other), band)
            file.set_band_description(band, " ".join(names))


@dataclass(frozen=True)
class SlcSimulator:
    """Products of the passes of one track.

    Attributes
    ----------
    world : World
    scenario : Scenario
    view : TrackView
        Of the track.
    seed : int
    polarisations : tuple of str
    """

    world: World
    scenario: Scenario
    view: TrackView
    seed: int
    polarisations: tuple[str, ...] = ("VV",)

    def write(self, directory: Path, passes: Sequence[SlcPass]) -> list[Path]:
        """Write one product for each pass and return their SAFE folders."""
        orbit, fields = self._orbit(passes[0]), _Fields(self.world)
        heights = float(self.world.height_m.min()), float(self.world.height_m.max())
        seen = _around(self.scenario.bbox, SEEN_M)
        frame = frame_over(orbit, seen, heights, self.world.terrain.ellipsoidal)
        share = self._slope_share(orbit)
        return [self._write(directory, one, frame, fields, share) for one in passes]

    def _orbit(self, one: SlcPass) -> Orbit:
        """Orbit of the track, in the middle of its tube."""
        item = one.item
        west, south, east, north = self.scenario.bbox
        return orbit_over(
            (west + east) / 2,
            (south + north) / 2,
            time=np.datetime64(item.time, "us"),
            direction=item.track.direction,
            incidence_deg=item.track.incidence_deg,
        )

    def _slope_share(self, orbit: Orbit) -> Singles:
        """Ground of a slope in one pixel against that of level ground, as on a map.

        The scatterers bring this factor along, so that the echo of the ground must not have it.
        """
        lon, lat = lonlat_nodes(self.world.grid)
        height = self.world.height_m
        normal = look_vectors(orbit, lat, lon, float(np.median(height)))[1]
        east, north, up = on_grid(np.moveaxis(normal, -1, 0), (height.shape[0], height.shape[1]))
        slope_east, slope_south = (
            np.gradient(height, 10.0, axis=1),
            np.gradient(height, 10.0, axis=0),
        )
        across = up - slope_east * east + slope_south * north
        return np.asarray(np.clip(up / across, 0.05, 20.0), "float32")

    def _write(
        self, directory: Path, one: SlcPass, frame: Frame, fields: _Fields, share: Singles
    ) -> Path:
        """Write the product of one pass."""
        item, track_orbit = one.item, self._orbit(one)
        level = replace(self.view, land={key: v / share for key, v in self.view.land.items()})
        sine = np.sin(np.radians(self.view.incidence_deg)).astype("float32")
        sigma0 = scene_sigma0(self.world, level, one.state)
        scene = SlcScene(
            bounds=_around(self.scenario.bbox, SCATTERING_M),
            height=fields.height,
            coherence=fields.nearest(true_coherence(self.world, one.state)),
            beta0={key: fields.bilinear(sigma0[key] / sine) for key in self.polarisations},
            seed=self.seed,
            density=DENSITY,
        )
        stream = np.random.default_rng(
            np.random.SeedSequence(self.seed, spawn_key=(one.number, 11))
        )
        with tempfile.TemporaryDirectory(prefix=".template.", dir=directory) as folder:
            template = make_slc_template(
                Path(folder),
                lon=frame.lon,
                lat=frame.lat,
                start=track_orbit.epoch + np.timedelta64(round(frame.start_s * 1e6), "us"),
                orbit_direction=item.track.direction,
                incidence=frame.incidence,
                swaths=SWATHS,
                bursts=frame.bursts,
                lines_per_burst=frame.lines,
                samples_per_burst=frame.samples,
                polarisations=self.polarisations,
                height=self.world.terrain.ellipsoidal,
                absolute_orbit=item.absolute_orbit,
                datatake=one.datatake,
                label=f"{self.scenario.title}, seed {self.seed}",
            )
            return simulate_slc(
                directory,
                template,
                scene,
                date=one.number,
                line_shift=round(float(stream.uniform(0.1, 0.9)), 3),
                orbit_shift_m=_to_the_right(track_orbit, one.orbit),
            )


def _around(bbox: BBox, metres: float) -> BBox:
    """A box and some of its surroundings."""
    west, south, east, north = bbox
    up = metres / METRES_PER_DEGREE
    side = up / float(np.cos(np.radians((south + north) / 2)))
    return west - side, south - up, east + side, north + up


def _to_the_right(orbit: Orbit, other: Orbit) -> float:
    """Metres by which another orbit lies to the right of the flight, horizontally."""
    state = orbit.state(0.0)
    down = -state.position / np.linalg.norm(state.position)
    right = np.cross(down, state.velocity)
    right /= np.linalg.norm(right)
    return round(float((other.state(0.0).position - state.position) @ right), 3)


class _Fields:
    """Rasters of the world as functions of longitude and latitude.

    Projecting every scatterer would take longer than all the rest: a cubic in longitude and
    latitude is within a tenth of a millimetre over 20 km.
    """

    def __init__(self, world: World) -> None:
        terrain = world.terrain
        self._terrain, self._dem = terrain, terrain.orthometric_m + terrain.undulation_m
        lon, lat = lonlat_nodes(world.grid)
        self._origin = float(lon.mean()), float(lat.mean())
        x, y = Transformer.from_crs("EPSG:4326", str(world.grid.crs), always_xy=True).transform(
            lon, lat
        )
        col, row = ~world.grid.affine * (x, y)
        terms = polyvander2d(*self._degrees(lon, lat), (3, 3)).reshape(-1, 16)
        fits = [np.linalg.lstsq(terms, axis.ravel() - 0.5)[0] for axis in (row, col)]
        self._row, self._col = (fit.reshape(4, 4) for fit in fits)
        self._last: tuple[Floats, tuple[Floats, Floats]] | None = None

    def _degrees(self, lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
        """Small numbers, for the powers of them."""
        return 10 * (lon - self._origin[0]), 10 * (lat - self._origin[1])

    def place(self, lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
        """Row and column of the world; of the points asked for last they are still known."""
        if self._last is None or self._last[0] is not lon:
            at = self._degrees(lon, lat)
            self._last = lon, (polyval2d(*at, self._row), polyval2d(*at, self._col))
        return self._last[1]

    def height(self, lon: Floats, lat: Floats) -> Floats:
        """Ellipsoidal height, bilinear in the DEM."""
        return self._terrain.sample(self._dem, lon, lat)

    def nearest(self, raster: Singles) -> Field:
        """Value of the pixel that a place lies in."""

        def value(lon: Floats, lat: Floats) -> Floats:
            row, col = (np.rint(axis).astype(np.intp) for axis in self.place(lon, lat))
            return np.asarray(raster[row, col], "float64")

        return value

    def bilinear(self, raster: Singles) -> Field:
        """Value between the centres of pixels, as detected products have it."""

        def value(lon: Floats, lat: Floats) -> Floats:
            return np.asarray(map_coordinates(raster, self.place(lon, lat), order=1), "float64")

        return value
