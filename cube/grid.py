"""The target grid: which CRS, which pixels, how large they are on the ellipsoid."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pyproj import Transformer as ProjTransformer
from pyproj.exceptions import CRSError

from cube.errors import PlanError

__all__ = [
    "cell_area",
    "check_bbox",
    "crs_of",
    "lonlat_bounds",
    "pixel_to_map",
    "shape_of",
    "target_grid",
    "to_lonlat",
    "utm_epsg",
]

BBox = tuple[float, float, float, float]
"""West, south, east, north in degrees; west > east crosses the antimeridian."""


def check_bbox(bbox: BBox) -> BBox:
    """Return `bbox` as floats, or refuse it.

    Raises
    ------
    PlanError
        Not four finite numbers, out of range, or empty.

    Examples
    --------
    >>> check_bbox((68, 27, 69, 28))
    (68.0, 27.0, 69.0, 28.0)
    """
    found = ",".join(f"{value:g}" for value in bbox)
    advice = "give west,south,east,north in degrees, for example 68.07,27.45,68.44,27.70"
    if len(bbox) != 4 or not all(math.isfinite(value) for value in bbox):
        raise PlanError(f"bbox {found} is not four finite numbers; {advice}")
    west, south, east, north = (float(value) for value in bbox)
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south < north <= 90):
        raise PlanError(f"bbox {found} is empty or outside -180..180, -90..90; {advice}")
    if west == east:
        raise PlanError(f"bbox {found} has no width; {advice}")
    return west, south, east, north


def utm_epsg(lon: float, lat: float) -> int:
    """EPSG code of the UTM zone (or polar UPS grid) of a place.

    Zones are the plain six degrees; the exceptions of Norway and Svalbard are not applied, as in
    most gridded SAR products.

    Examples
    --------
    >>> utm_epsg(68.25, 27.6), utm_epsg(-70.0, -20.0)
    (32642, 32719)
    """
    if lat >= 84:
        return 5041
    if lat <= -80:
        return 5042
    zone = int((lon + 180) // 6) % 60 + 1
    return (32600 if lat >= 0 else 32700) + zone


def shape_of(grid: GeoBox) -> tuple[int, int]:
    """Rows and columns of a grid."""
    return int(grid.shape[0]), int(grid.shape[1])


def crs_of(grid: GeoBox) -> CRS:
    """CRS of a grid.

    Raises
    ------
    PlanError
        It has none.
    """
    if grid.crs is None:
        raise PlanError("the target grid has no CRS; give utm or EPSG:N")
    return grid.crs


def target_grid(
    bbox: BBox, crs: str = "utm", resolution: tuple[float, float] = (10.0, 10.0)
) -> GeoBox:
    """Pixel grid that covers `bbox`, its edges on whole multiples of the resolution.

    Parameters
    ----------
    bbox : west, south, east, north
        Degrees; ``west > east`` crosses the antimeridian.
    crs : str
        ``"utm"`` (zone of the centre) or anything that PROJ understands.
    resolution : (y, x)
        Pixel size in units of the CRS, both positive.

    Raises
    ------
    PlanError
        Empty box, unknown CRS, one that is cut where the box goes on, or a resolution that is not
        positive.

    Examples
    --------
    >>> grid = target_grid((68.10, 27.50, 68.15, 27.55))
    >>> str(grid.crs), grid.resolution.x, grid.affine.c % 10, grid.affine.f % 10
    ('EPSG:32642', 10.0, 0.0, 0.0)
    """
    west, south, east, north = check_bbox(bbox)
    if min(resolution) <= 0 or not all(math.isfinite(size) for size in resolution):
        raise PlanError(f"resolution {resolution} is not positive; give metres or Y,X")
    if east < west:
        east += 360
    if crs == "utm":
        lon = (west + east) / 2
        crs = f"EPSG:{utm_epsg(lon if lon <= 180 else lon - 360, (south + north) / 2)}"
    try:
        target = CRS(crs)
    except (CRSError, ValueError) as error:
        raise PlanError(f"unknown CRS {crs!r}: give utm or EPSG:N") from error
    if east > 180 and _is_cut(target, (south + north) / 2):
        raise PlanError(
            f"{target} is cut at the antimeridian, which the area crosses; give --crs utm, or a"
            " box on either side"
        )
    xmin, ymin, xmax, ymax = _project_bounds(target, west, south, east, north)
    size_y, size_x = resolution
    x0, x1 = math.floor(xmin / size_x), math.ceil(xmax / size_x)
    y0, y1 = math.floor(ymin / size_y), math.ceil(ymax / size_y)
    affine = Affine(size_x, 0.0, x0 * size_x, 0.0, -size_y, y1 * size_y)
    return GeoBox((y1 - y0, x1 - x0), affine, target)


def _is_cut(crs: CRS, lat: float) -> bool:
    """Whether the two sides of the antimeridian lie apart on a map."""
    transformer = ProjTransformer.from_crs("EPSG:4326", crs.proj, always_xy=True)
    x, y = transformer.transform([180 - 1e-9, 180 + 1e-9], [lat, lat])
    return math.hypot(x[1] - x[0], y[1] - y[0]) > 1  # of any unit; where they meet it is 1e-4


def _project_bounds(
    crs: CRS, west: float, south: float, east: float, north: float
) -> tuple[float, float, float, float]:
    """Bounds in `crs` of a box in degrees, along 21 points an edge (east may exceed 180)."""
    along = np.linspace(0, 1, 21)
    lon = np.concatenate([west + (east - west) * along, west + (east - west) * along])
    lat = np.concatenate([np.full(21, south), np.full(21, north)])
    lon = np.concatenate([lon, np.full(21, west), np.full(21, east)])
    lat = np.concatenate([lat, *[south + (north - south) * along] * 2])
    transformer = ProjTransformer.from_crs("EPSG:4326", crs.proj, always_xy=True)
    x, y = transformer.transform(lon, lat)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise PlanError(f"{crs} cannot hold the box {west:g},{south:g},{east:g},{north:g}")
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def lonlat_bounds(grid: GeoBox, margin: float = 0.0) -> BBox:
    """Bounds of `grid` in degrees, grown by `margin` degrees.

    West is in -180..180; east may exceed 180 where the grid crosses the antimeridian, so that
    ``west < east`` always holds.
    """
    height, width = grid.shape
    along = np.linspace(0, 1, 33)
    col = np.concatenate([along * width, along * width, np.zeros(33), np.full(33, width)])
    row = np.concatenate([np.zeros(33), np.full(33, height), along * height, along * height])
    lon, lat = to_lonlat(grid)(*pixel_to_map(grid, col, row))
    if lon.max() - lon.min() > 180:
        lon = np.where(lon < 0, lon + 360, lon)
    return (
        float(lon.min() - margin),
        float(max(lat.min() - margin, -90)),
        float(lon.max() + margin),
        float(min(lat.max() + margin, 90)),
    )


def pixel_to_map(
    grid: GeoBox, col: NDArray[np.float64], row: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Map coordinates of pixel coordinates (0.5, 0.5 is the centre of the first pixel)."""
    affine = grid.affine
    x = affine.a * col + affine.b * row + affine.c
    return x, affine.d * col + affine.e * row + affine.f


def to_lonlat(grid: GeoBox) -> Any:
    """Return a function (x, y) -> (lon, lat) in degrees for the CRS of `grid`."""
    return transformer_of(str(crs_of(grid)), "EPSG:4326").transform


@lru_cache(maxsize=64)
def transformer_of(source: str, target: str) -> ProjTransformer:
    """Horizontal transformer (x, y) -> (x, y) between two CRS, made once: threads may share it.

    To make one takes as long as the geometry of a stored tile.
    """
    return ProjTransformer.from_crs(source, target, always_xy=True)


def cell_area(grid: GeoBox, rows: slice, cols: slice, step: int = 64) -> NDArray[np.float64]:
    """Area of every pixel on the WGS 84 ellipsoid, in square metres.

    Evaluated on a lattice of `step` pixels and interpolated bilinearly; the area varies by 1e-4
    over a UTM zone, so the interpolation error is below 1e-7.

    Parameters
    ----------
    grid : GeoBox
    rows, cols : slice
        Part of the grid, with explicit start and stop.

    Returns
    -------
    float64, shape (rows, cols)

    Examples
    --------
    >>> grid = target_grid((68.10, 27.50, 68.11, 27.51))
    >>> area = cell_area(grid, slice(0, 10), slice(0, 10))
    >>> bool(abs(area.mean() - 100) < 0.1)
    True
    """
    lattice_row = _lattice(rows, step)
    lattice_col = _lattice(cols, step)
    col, row = np.meshgrid(lattice_col + 0.5, lattice_row + 0.5)
    area = _area_at(grid, col, row)
    # einsum, not BLAS: its threads would spin longer than this takes
    along = np.einsum("ia,ab->ib", _weights(rows, lattice_row), area)
    return np.asarray(np.einsum("ib,jb->ij", along, _weights(cols, lattice_col)))


def _area_at(
    grid: GeoBox, col: NDArray[np.float64], row: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Area in square metres of the pixels centred on pixel coordinates.

    The pixel's sides in longitude and latitude, turned and sheared as they may be, times the two
    radii of curvature (Snyder 1987, eq. 4-18 and 4-20). Not PROJ's areal scale: it has none for
    degrees, and takes web Mercator for a map of the sphere, 0.3 % off at 60 north.
    """
    to_degrees = to_lonlat(grid)

    def side(along_col: float, along_row: float) -> tuple[Any, Any]:
        ahead = to_degrees(*pixel_to_map(grid, col + along_col / 2, row + along_row / 2))
        behind = to_degrees(*pixel_to_map(grid, col - along_col / 2, row - along_row / 2))
        lon = np.remainder(ahead[0] - behind[0] + 180, 360) - 180
        return np.radians(lon), np.radians(ahead[1] - behind[1])

    (lon_x, lat_x), (lon_y, lat_y) = side(1.0, 0.0), side(0.0, 1.0)
    lat = np.radians(to_degrees(*pixel_to_map(grid, col, row))[1])
    a, e2 = 6378137.0, 0.0066943799901413165  # WGS 84 (NIMA TR8350.2)
    radii = a**2 * (1 - e2) / (1 - e2 * np.sin(lat) ** 2) ** 2
    return np.asarray(np.abs(lon_x * lat_y - lon_y * lat_x) * radii * np.cos(lat))


def _weights(part: slice, lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear interpolation from a lattice as a matrix, shape (part, lattice)."""
    at = np.arange(part.start, part.stop)
    return np.stack([np.interp(at, lattice, row) for row in np.eye(len(lattice))], axis=-1)


def _lattice(part: slice, step: int) -> NDArray[np.float64]:
    """Multiples of `step` that enclose `part`, so that parts agree with the whole."""
    return np.arange(part.start // step * step, part.stop + step, step, dtype="float64")
