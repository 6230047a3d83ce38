"""What a request means: event, area, dates, source, grid, DEM; contradictions are refused."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TypeGuard

import platformdirs
from odc.geo.geobox import GeoBox

from cube.catalog import Endpoint, Event, Model, Preset, load_event, load_model, load_preset
from cube.errors import PlanError, UnknownNameError
from cube.grid import BBox, check_bbox, crs_of, target_grid
from cube.readers.dem import Dem, open_dem
from cube.readers.passes import Windows
from cube.readers.stac import Source
from pipelines.layers import Tiled
from pipelines.request import Request, Resolved
from pipelines.sources import (
    check_endpoint,
    find_endpoint,
    known_endpoint,
    layer_source,
    scene_source,
)

__all__ = ["KUROSIWO_SLC", "open_source", "resolve"]

SIMULATION = 1
"""Version of the simulated event in the scratch folder; older ones are not used again."""
MODELS = ("bayes", "none")
KUROSIWO_SLC = "kurosiwo-slc"
"""Preset whose layers are phase and amplitude, as that data set was made."""
ENGINES = ("stackstac", "odc-stac")
"""What reads terrain-corrected products onto the grid."""
PRODUCTS = {"grd": "flood", "rtc": "rtc", "slc": "slc"}
"""Products that can be built, and the preset that each has by default."""
BACKSCATTER = ("gamma0_rtc", "gamma0", "sigma0", "beta0")
"""Kinds of backscatter that `grd` gives; the first is terrain-flattened."""
SPECKLE = ("none", "boxcar", "lee", "refined-lee", "lee-sigma")
"""Speckle filters of radar images."""
PATH_DELAYS = ("none", "standard")
"""What a range is lengthened by: nothing, or a standard troposphere (`cube.kernels.delay`)."""
KUROSIWO = "kurosiwo"
"""Name of the reference of two passes (Bountos et al. 2024, Kuro Siwo)."""
_MIN_RESOLUTION_M, _MAX_RESOLUTION_M = 2.0, 40.0
_MAX_PROJECTED_M = 1000.0  # overviews hold means of power; radar images are sampled point by point


def resolve(request: Request) -> Resolved:
    """Look everything up that needs no search.

    Raises
    ------
    CubeError
        Unknown event, preset or endpoint, or options that contradict each other.
    """
    scratch = scratch_folder(request)
    event = _event(request)
    if request.product not in PRODUCTS:
        raise PlanError(
            f"product {request.product!r} cannot be built yet; build --product"
            f" {' or '.join(PRODUCTS)}"
        )
    preset = load_preset(request.preset or PRODUCTS[request.product], request.catalog)
    if preset.product != request.product:
        raise PlanError(
            f"preset {preset.id} is for product {preset.product}; give --product {preset.product}"
        )
    if request.engine not in ENGINES:
        raise PlanError(f"unknown engine {request.engine!r}; choose {' or '.join(ENGINES)}")
    source = request.source or (event.source if event is not None else None)
    if source is None:
        raise PlanError("no source of scenes; give --source FOLDER, URL or endpoint id")
    truth = None
    endpoint = known_endpoint(source, request.catalog)
    if endpoint is not None and endpoint.kind == "simulation":
        # other products are another folder: it takes a minute to simulate what nobody asked for
        name = "" if event is None else event.id
        kind = "-slc" if request.product == "slc" else ""
        folder = scratch / f"simulated-{name or 'event'}{kind}-{SIMULATION}"
        _simulate(folder, "slc" if kind else "grd")
        event, source = load_event(str(folder / "event.toml")), str(folder)
    elif endpoint is not None:
        check_endpoint(endpoint, request.product, request.collection)
    if event is not None and event.simulated:
        known = Path(source) / "truth.tif"
        truth = known if known.is_file() else None
    bbox = _bbox(request, event)
    model = request.model or preset.model
    network = None if model in MODELS else _network(model, request.catalog)
    if model != "none" and request.product == "slc":
        raise PlanError(
            f"--model {model}: water is told from detected images; leave the option out, or build"
            " --product grd"
        )
    return Resolved(
        event=event,
        preset=preset,
        bbox=bbox,
        windows=_windows(request, event),
        tracks=event.tracks if event is not None else (),
        grid=_grid(request, preset, bbox),
        backscatter=_backscatter(request, preset),
        model=model,
        network=network,
        dem=_dem(request, event, source, endpoint),
        permanent_water=_water(request, event, endpoint),
        hand=_hand(request, event),
        reference_passes=2 if request.reference == KUROSIWO else 10,
        product=request.product,
        engine=request.engine,
        speckle=_speckle(request, preset),
        sea=request.sea or preset.sea,
        noise_equivalent=_noise_equivalent(request),
        orbit=_orbit(request),
        path_delay=_path_delay(request),
        source=source,
        out=_out(request, event),
        scratch=scratch,
        truth=truth,
    )


def _event(request: Request) -> Event | None:
    if (request.event is None) == (request.bbox is None):
        raise PlanError("give either --event ID or --bbox W,S,E,N with --during A/B")
    if request.event is None:
        if request.aoi is not None:
            raise PlanError(f"--aoi {request.aoi} belongs to an event; give --event, not --bbox")
        if request.during is None:
            raise PlanError("--bbox needs --during A/B, the days of the flood")
        return None
    return load_event(request.event, request.catalog)


def _simulate(folder: Path, product: str) -> None:
    """Simulate an event, once."""
    if folder.exists():
        return
    from cube.simulate import simulate_event  # takes 40 MB, which a real event does without

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        simulate_event(folder, products=(product,))
    except OSError as error:
        if not folder.exists():  # else another process was faster: the same bytes
            raise PlanError(
                f"{folder}: cannot be written ({error.strerror or error}); give --scratch FOLDER"
            ) from error


def open_source(resolved: Resolved, request: Request) -> Source:
    """Open the source of scenes."""
    return scene_source(
        resolved.source, resolved.product, request.collection, request.catalog, resolved.scratch
    )


def _backscatter(request: Request, preset: Preset) -> str:
    asked = request.backscatter or preset.backscatter
    if preset.product != "grd":
        if asked != preset.backscatter:
            kind = (
                "terrain-corrected products hold" if preset.product == "rtc" else "samples are of"
            )
            raise PlanError(
                f"--backscatter {asked}: {kind} {preset.backscatter}; leave the option out, or"
                " build --product grd"
            )
        return asked
    if asked not in BACKSCATTER:
        *others, last = BACKSCATTER
        raise PlanError(f"unknown backscatter {asked!r}; choose {', '.join(others)} or {last}")
    return asked


def _speckle(request: Request, preset: Preset) -> str:
    asked = request.speckle or preset.speckle
    if asked not in SPECKLE:
        *others, last = SPECKLE
        more = " (of all dates together: see cube.speckle_filter)" if asked == "quegan" else ""
        raise PlanError(
            f"unknown speckle filter {asked!r}{more}; choose {', '.join(others)} or {last}"
        )
    if asked != "none" and request.product != "grd":
        raise PlanError(
            f"--speckle {asked}: filters work on detected radar images; leave the option out, or"
            " build --product grd"
        )
    return asked


def _noise_equivalent(request: Request) -> bool:
    if request.noise_equivalent and request.product != "grd":
        raise PlanError(
            "--noise-equivalent: only detected radar images have their noise taken out; leave the"
            " option out, or build --product grd"
        )
    return request.noise_equivalent


def _orbit(request: Request) -> Path | None:
    if request.orbit is None:
        return None
    if request.product == "rtc":
        raise PlanError(
            f"--orbit {request.orbit}: terrain-corrected products lie on their map grid already;"
            " leave the option out, or build --product grd"
        )
    try:
        there = Path(request.orbit).exists()
    except OSError:  # too long for a name
        there = False
    if not there:
        raise PlanError(f"--orbit {request.orbit}: no such file or folder; check the path")
    return Path(request.orbit)


def _path_delay(request: Request) -> bool:
    if request.path_delay not in PATH_DELAYS:
        raise PlanError(
            f"unknown path delay {request.path_delay!r}; choose {' or '.join(PATH_DELAYS)}"
        )
    if request.path_delay != "none" and request.product == "rtc":
        raise PlanError(
            f"--path-delay {request.path_delay}: terrain-corrected products lie on their map grid"
            " already; leave the option out, or build --product grd"
        )
    return request.path_delay == "standard"


def _network(name: str, catalog: str | None) -> Model:
    """Model of the catalog, or of a folder."""
    try:
        return load_model(name, catalog)
    except UnknownNameError as error:
        raise PlanError(f"{error}; or choose {' or '.join(MODELS)}") from error


def _bbox(request: Request, event: Event | None) -> BBox:
    if request.bbox is not None:
        return check_bbox(request.bbox)
    assert event is not None  # one of both is given: `_event` saw to it
    return event.box(request.aoi)


def _windows(request: Request, event: Event | None) -> Windows:
    during = parse_dates(request.during, "--during") if request.during else None
    before = parse_dates(request.before, "--before") if request.before else None
    after = None
    if event is not None:
        during, before, after = during or event.during, before or event.before, event.after
    assert during is not None  # --bbox needs it: `_event` saw to it
    reference = request.reference
    if reference not in ("recent", KUROSIWO):
        named = event.references if event is not None else {}
        if reference in named:
            before = named[reference]
        elif "/" in reference:
            before = parse_dates(reference, "--reference")
        else:
            known = ", ".join(["recent", KUROSIWO, *named])
            raise PlanError(f"unknown reference {reference!r}; choose {known} or A/B")
    if before is not None and before[1] >= during[0]:
        raise PlanError(f"before ends on {before[1]}, during begins on {during[0]}; end it earlier")
    return Windows(before, during, after)


def _grid(request: Request, preset: Preset, bbox: BBox) -> GeoBox:
    resolution = request.resolution or preset.resolution
    grid = target_grid(bbox, request.crs or preset.crs, resolution)
    coarsest = _MAX_PROJECTED_M if preset.product == "rtc" else _MAX_RESOLUTION_M
    if not crs_of(grid).geographic and not (
        min(resolution) >= _MIN_RESOLUTION_M and max(resolution) <= coarsest
    ):
        raise PlanError(
            f"resolution {resolution[0]:g},{resolution[1]:g}: IW GRDH has 10 m pixels, choose"
            f" {_MIN_RESOLUTION_M:g} to {coarsest:g} m (coarser would alias: build at"
            " 20 m and coarsen with xarray)"
        )
    height, width = grid.shape
    if min(height, width) < 2 or max(height, width) > 200_000:
        raise PlanError(f"grid of {height} x {width} pixels; choose another bbox or resolution")
    return grid


def _dem(
    request: Request, event: Event | None, source: str, endpoint: Endpoint | None
) -> Dem | Tiled:
    """DEM: the user's or the event's file, or tiles of an endpoint: the one named, the source."""
    asked = request.dem or (event.dem if event is not None else None)
    if _names_endpoint(asked):
        endpoint, asked = _with_layer(asked, "dem", request.catalog), None
    if asked is None and endpoint is not None and "dem" in endpoint.assets:
        layer_source(endpoint, "dem")
        return Tiled(endpoint, "dem", request.dem_datum or endpoint.dem_datum, request.geoid)
    if asked is None:
        find_endpoint(source, request.catalog)  # a source that is not there is the first to mend
        raise PlanError(
            "no DEM; give --dem FILE (and --dem-datum where the file does not say what its"
            " heights refer to), or --dem ENDPOINT, for example planetary-computer"
        )
    datum = request.dem_datum
    if datum is None and request.dem is None and event is not None:
        datum = event.dem_datum
    return open_dem(asked, datum, request.geoid)


def _names_endpoint(asked: str | None) -> TypeGuard[str]:
    """Whether an option is an endpoint's id, and neither a file nor one that is missing."""
    if asked is None or Path(asked).exists():
        return False
    return not Path(asked).suffix and "/" not in asked


def _with_layer(name: str, layer: str, catalog: str | None) -> Endpoint:
    """Endpoint that holds a layer, by id."""
    found = find_endpoint(name, catalog)
    assert found is not None  # neither an address nor there: `_names_endpoint` saw to it
    layer_source(found, layer)
    return found


def _water(request: Request, event: Event | None, endpoint: Endpoint | None) -> str | Tiled | None:
    """Permanent water: none, a file, or tiles of the endpoint named or of the source's own."""
    asked = request.permanent_water
    if request.product == "slc" and asked not in (None, "none"):
        raise PlanError(
            f"--permanent-water {asked}: complex images have no flood layer; leave the option out,"
            " or build --product grd"
        )
    if asked == "none" or request.product == "slc":
        return None
    if _names_endpoint(asked):
        return Tiled(_with_layer(asked, "permanent_water", request.catalog), "permanent_water")
    given = asked or (event.permanent_water if event is not None else None)
    if given is None and endpoint is not None and "permanent_water" in endpoint.assets:
        layer_source(endpoint, "permanent_water")
        return Tiled(endpoint, "permanent_water")
    return given


def _hand(request: Request, event: Event | None) -> str | None:
    """Height above drainage: a file, made from the DEM, or none of it beside complex images."""
    if request.product == "slc" and request.hand is None:
        return "none"
    return request.hand or (event.hand if event is not None else None)


def _out(request: Request, event: Event | None) -> Path:
    if request.out is not None:
        if "://" in request.out and not request.out.startswith("file://"):
            raise PlanError(f"--out {request.out}: cubes are built on a local disk; give a folder")
        return Path(request.out.removeprefix("file://"))
    if event is None:
        return Path("cube.zarr")
    first = request.aoi is None or request.aoi == event.aois[0].name
    return Path(f"{event.id}.zarr" if first else f"{event.id}-{request.aoi}.zarr")


def scratch_folder(request: Request) -> Path:
    """Folder for what can be made again: unpacked zips, simulated events, HAND."""
    if request.scratch is not None:
        return Path(request.scratch)
    return Path(platformdirs.user_cache_dir("floodcube"))


def parse_dates(content: str, option: str) -> tuple[date, date]:
    """Parse ``A/B``.

    Raises
    ------
    PlanError
        Not two ISO days in order.
    """
    try:
        first, last = (date.fromisoformat(part.strip()) for part in content.split("/"))
    except ValueError as error:
        raise PlanError(
            f"{option} {content!r} is not two days; give for example 2022-08-10/2022-09-23"
        ) from error
    if first > last:
        raise PlanError(f"{option} {content}: ends before it begins")
    return first, last
