"""A whole simulated flood: products of its passes, DEM, permanent water, truth, STAC catalog."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pystac
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from scipy.ndimage import map_coordinates

from cube.grid import BBox
from cube.simulate.catalog import product_item, raster_item, slc_item, write_catalog
from cube.simulate.geometry import ImageGeometry, image_over
from cube.simulate.groundmap import ground_map, solve_terrain
from cube.simulate.luts import calibration_table, noise_power, noise_table, sigma_gain
from cube.simulate.orbit import Orbit, orbit_over
from cube.simulate.pixels import Border, add_border, form_image
from cube.simulate.product import ProductSpec, SliceTimes, interferometric_swaths, mid_swath_time
from cube.simulate.radiometry import GroundState, TrackView, scene_sigma0, view, wet_fraction
from cube.simulate.safe import write_grd
from cube.simulate.scenarios import DEMO, SMALL, Pass, Scenario, Track
from cube.simulate.terrain import write_dem
from cube.simulate.world import World, build_world, flood_depth

__all__ = ["SimulatedEvent", "simulate_event"]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

MARGIN_M = 1500.0
PRODUCTS = ("grd", "slc")
COHERENCE = "coherence.tif"


@dataclass(frozen=True, slots=True)
class SimulatedEvent:
    """Where the files of a simulated event are."""

    directory: Path
    bbox: BBox
    catalog: Path
    event: Path
    dem: Path
    permanent_water: Path
    truth: Path
    products: tuple[Path, ...]
    """SAFE folders of detected products in order of time."""
    single_look: tuple[Path, ...] = ()
    """SAFE folders of single-look products in order of time."""
    coherence: Path | None = None
    """True coherence of each single-look product and the next, where there are any."""


def simulate_event(
    directory: Path,
    *,
    seed: int = 0,
    small: bool = False,
    scenario: Scenario | None = None,
    products: Collection[str] = ("grd",),
) -> SimulatedEvent:
    """Simulate a flood and write it as a folder.

    The folder is built beside its place and renamed when it is complete: a run that is stopped
    leaves nothing under that name.

    Parameters
    ----------
    directory : Path
        New folder; its parent must exist.
    seed : int
        Of landscape, speckle and weather. The same seed gives the same pixels.
    small : bool
        Short for the scenario ``SMALL``, which tests use.
    scenario : Scenario, optional
        What is simulated; ``DEMO`` if none is given.
    products : collection of {"grd", "slc"}
        Detected products of all passes, single-look ones of some passes of one track, or both.

    Returns
    -------
    SimulatedEvent

    Raises
    ------
    ValueError
        There are no such products.
    FileExistsError
        `directory` is already there.
    FileNotFoundError
        Its parent is not.
    """
    if not products or not set(products) <= set(PRODUCTS):
        raise ValueError(f"products {sorted(products)} are none of {', '.join(PRODUCTS)}")
    directory = directory.absolute()  # a catalog's links are made relative from whole paths
    if directory.exists():
        raise FileExistsError(f"{directory} is already there; remove it or choose another name")
    chosen = scenario or (SMALL if small else DEMO)
    part = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        names = _build(part, seed, chosen, products)
        part.chmod(0o755)
        part.rename(directory)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return SimulatedEvent(
        directory,
        chosen.bbox,
        directory / "catalog.json",
        directory / "event.toml",
        directory / "dem.tif",
        directory / "permanent_water.tif",
        directory / "truth.tif",
        tuple(directory / "safe" / name for name in names.get("grd", ())),
        tuple(directory / "safe" / name for name in names.get("slc", ())),
        directory / COHERENCE if "slc" in names else None,
    )


def _build(
    directory: Path, seed: int, scenario: Scenario, products: Collection[str]
) -> dict[str, list[str]]:
    """Write everything into an empty folder; names of the products of each kind."""
    world = build_world(scenario.bbox, seed, dem_margin_deg=scenario.dem_margin_deg)
    (directory / "safe").mkdir()
    collections, names = {}, {}
    for kind, write in (("grd", _detected), ("slc", _single_look)):
        if kind in products:
            written = write(directory, world, scenario, seed)
            collections[f"sentinel-1-{kind}"] = [item for item, _ in written]
            names[kind] = [safe.name for _, safe in written]
    write_dem(directory / "dem.tif", world.terrain)
    _write_map(
        directory / "permanent_water.tif", world.grid, world.permanent, "permanent water, 0 or 1"
    )
    _write_map(
        directory / "truth.tif",
        world.target,
        truth(world, scenario.passes[-1]),
        "simulated: 0 dry, 1 permanent water, 2 flood",
    )
    (directory / "event.toml").write_text(_event_text(scenario, seed))
    day = np.datetime64(scenario.before[0], "us")
    collections |= {
        "dem": [raster_item("dem", directory / "dem.tif", day)],
        "permanent-water": [raster_item("permanent-water", directory / "permanent_water.tif", day)],
    }
    write_catalog(directory, scenario.title, collections)
    return names


def _detected(
    directory: Path, world: World, scenario: Scenario, seed: int
) -> list[tuple[pystac.Item, Path]]:
    """Write the detected products of all passes."""
    return [
        (product_item(spec, safe), safe)
        for simulator in simulators(world, scenario, seed)
        for spec, safe in simulator.write(directory / "safe")
    ]


def _single_look(
    directory: Path, world: World, scenario: Scenario, seed: int
) -> list[tuple[pystac.Item, Path]]:
    """Write single-look products of one track, and how coherent their ground is."""
    # Their compiled code takes a second to load, which detected products do without.
    from cube.simulate.slc_event import SlcPass, SlcSimulator, pass_numbers, write_coherence

    chosen = list(simulators(world, scenario, seed, pass_numbers(scenario)))
    passes = [
        SlcPass(one.item, one.number, one.datatake, one.state(), one.orbit()) for one in chosen
    ]
    write_coherence(directory / COHERENCE, world, passes)
    simulator = SlcSimulator(world, scenario, chosen[0].view, seed)
    safes = simulator.write(directory / "safe", passes)
    return [
        (slc_item(safe, one.item, one.datatake), safe)
        for one, safe in zip(passes, safes, strict=True)
    ]


def _orbit(track: Track, time: str, bbox: BBox, tube_deg: float = 0.0) -> Orbit:
    west, south, east, north = bbox
    return orbit_over(
        (west + east) / 2,
        (south + north) / 2,
        time=np.datetime64(time, "us"),
        direction=track.direction,
        incidence_deg=track.incidence_deg + tube_deg,
    )


def simulators(
    world: World, scenario: Scenario, seed: int, numbers: Collection[int] | None = None
) -> Iterator[PassSimulator]:
    """One for each pass, or those numbered, in order of time; a track is seen in one way."""
    views: dict[Track, TrackView] = {}
    for number, item in enumerate(scenario.passes):
        if numbers is not None and number not in numbers:
            continue
        if item.track not in views:
            views[item.track] = view(world, _orbit(item.track, item.time, scenario.bbox), seed)
        yield PassSimulator(world, scenario, views[item.track], item, number, seed)


def truth(world: World, item: Pass) -> NDArray[np.uint8]:
    """Classes on the target grid: 0 dry, 1 permanent water, 2 flood.

    Flood is ground of which half a pixel or more is under water, vegetation above it or not.
    """
    window = world.target_window()
    wet = wet_fraction(flood_depth(world, item.stage_m))[window] >= 0.5
    return np.where(world.permanent[window], 1, np.where(wet, 2, 0)).astype("uint8")


def _write_map(path: Path, grid: GeoBox, values: NDArray[np.generic], text: str) -> None:
    rows, cols = grid.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype="uint8",
        count=1,
        height=rows,
        width=cols,
        crs=str(grid.crs),
        transform=grid.affine,
        nodata=255,
        compress="deflate",
        tiled=True,
        blockxsize=256,
        blockysize=256,
    ) as file:
        file.write(values.astype("uint8"), 1)
        file.set_band_description(1, text)


def _event_text(scenario: Scenario, seed: int) -> str:
    """Content of the event file."""
    return "\n".join(
        [
            f'id = "{scenario.id}"',
            f'title = "{scenario.title}"',
            "simulated = true",
            f"before = [{scenario.before[0]}, {scenario.before[1]}]",
            f"during = [{scenario.during[0]}, {scenario.during[1]}]",
            'dem = "dem.tif"',
            'permanent_water = "permanent_water.tif"',
            f'sources = ["simulated by cube.simulate, seed {seed}"]',
            "",
            "[[aois]]",
            f'name = "{scenario.aoi}"',
            f"bbox = [{', '.join(str(value) for value in scenario.bbox)}]",
            "",
        ]
    )


@dataclass(frozen=True, slots=True)
class PassSimulator:
    """Images of one overflight."""

    world: World
    scenario: Scenario
    view: TrackView
    item: Pass
    number: int
    seed: int

    def write(self, directory: Path) -> list[tuple[ProductSpec, Path]]:
        """Write the products of the pass and return them with their specifications."""
        whole = self._spec()
        parts = self._parts(whole)
        images = self._images(whole)
        written = []
        first = 0
        for spec in parts:
            lines = slice(first, first + spec.geometry.lines)
            first += spec.geometry.lines
            pixels = {name: image[lines] for name, image in images.items()}
            written.append((spec, write_grd(directory, spec, pixels)))
        return written

    def _stream(self, key: int) -> np.random.SeedSequence:
        return np.random.SeedSequence(self.seed, spawn_key=(self.number, key))

    def state(self) -> GroundState:
        """What the ground was like."""
        return GroundState(
            flood_depth(self.world, self.item.stage_m),
            self.item.wind_m_s,
            self.item.soil_db,
            int(self._stream(8).generate_state(1)[0]),
        )

    @property
    def datatake(self) -> int:
        """Identifier that was never given to a real one."""
        return 0x55000 + self.item.absolute_orbit - 44000

    def orbit(self) -> Orbit:
        """Orbit of the pass, which wanders in its tube of 100 m or so."""
        tube = np.random.default_rng(self._stream(9)).uniform(-0.004, 0.004)
        return _orbit(self.item.track, self.item.time, self.scenario.bbox, float(tube))

    def _spec(self) -> ProductSpec:
        """The overflight as one product."""
        orbit = self.orbit()
        west, south, east, north = self.scenario.bbox
        lon, lat = np.array([west, east, west, east]), np.array([south, south, north, north])
        height = np.full(4, float(np.median(self.world.height_m)))
        swaths = interferometric_swaths(orbit, float(height[0]))
        geometry = image_over(
            orbit, lat, lon, height, margin_m=MARGIN_M, mid_time_s=mid_swath_time(swaths)
        )
        terrain = self.world.terrain
        old = self.item.border
        return ProductSpec(
            geometry,
            self.item.track.direction,
            swaths,
            lambda lat, lon: terrain.ellipsoidal(lon, lat),
            absolute_orbit=self.item.absolute_orbit,
            datatake=self.datatake,
            # Border noise belongs to the processor before 2.90, which knew no azimuth vectors.
            ipf="002.84" if old else "003.40",
            noise_form="range" if old else "range and azimuth",
            label=f"{self.scenario.title}, seed {self.seed}",
        )

    def _parts(self, whole: ProductSpec) -> list[ProductSpec]:
        """Slices that abut: the first line of one follows the last line of the other."""
        edges = np.linspace(0, whole.geometry.lines, self.item.parts + 1).round().astype(int)
        pieces = [
            whole.geometry.with_lines(first, stop - first)
            for first, stop in pairwise(edges.tolist())
        ]
        times = tuple(_sensing(piece) for piece in pieces)
        return [whole.part(piece, number, times) for number, piece in enumerate(pieces, 1)]

    def _images(self, whole: ProductSpec) -> dict[str, NDArray[np.uint16]]:
        """Digital numbers of all lines of the pass."""
        world = self.world
        row, col = self._ground(whole.geometry)
        scene = scene_sigma0(world, self.view, self.state())
        gain = sigma_gain(whole, calibration_table(whole))
        images = {}
        for key, name in enumerate(whole.polarisations):
            sigma0 = map_coordinates(scene[name], [row, col], order=1, mode="nearest")
            images[name] = form_image(
                sigma0,
                gain,
                noise_power(whole, noise_table(whole, name)),
                generator=np.random.default_rng(self._stream(key)),
            )
            if self.item.border:
                near = min(230, whole.geometry.samples // 8)
                add_border(images[name], Border(near, near // 2), self._stream(7))
        return images

    def _ground(self, geometry: ImageGeometry) -> tuple[Floats, Floats]:
        """Row and column of the world at each pixel of the image."""
        world = self.world
        project = Transformer.from_crs("EPSG:4326", str(world.grid.crs), always_xy=True)
        to_pixel = ~world.grid.affine

        def plane(lat: Floats, lon: Floats) -> tuple[Floats, Floats]:
            x, y = project.transform(lon, lat)
            col = to_pixel.a * x + to_pixel.b * y + to_pixel.c - 0.5
            row = to_pixel.d * x + to_pixel.e * y + to_pixel.f - 0.5
            return row, col

        def height(row: Floats, col: Floats) -> Floats:
            grid = world.height_m
            return np.asarray(map_coordinates(grid, [row, col], order=1, mode="nearest"))

        bounds = float(world.height_m.min()) - 1.0, float(world.height_m.max()) + 1.0
        _, row, col = solve_terrain(ground_map(geometry, plane, bounds), height)
        return row, col


def _sensing(geometry: ImageGeometry) -> SliceTimes:
    """Raw data of a slice begin and end 1.5 s outside its lines."""
    stop = geometry.first_line_s + (geometry.lines - 1) * geometry.line_step_s
    return SliceTimes(geometry.first_line_s - 1.5, stop + 1.5)
