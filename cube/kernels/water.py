"""Open water from one Sentinel-1 image: two-class Bayes on VV and VH, fitted once per scene.

What the classes look like is physics and literature (`WATER`, `LAND`): open water under each wind,
land under each cover, as normal densities of (VV, VH) in decibels. The scene only says how much of
each it holds. So the fit is bounded, has one optimum whatever it starts from, and no scene can
bend a class into something that was never observed.

The ratio VH/VV needs no term of its own: in decibels it is VH - VV, a direction in the plane of
(VV, VH), and the joint density with its correlation contains it. Rough dry soil and wind-roughened
water of the same VV differ along that direction.

Averages are linear; decibels appear only as the argument of the densities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cube.kernels.multilook import box_lookup, cell_histogram
from cube.kernels.threshold import modes, separate, tiled_threshold

__all__ = ["HALO", "WaterModel", "fit", "histogram", "lookup", "probability"]

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Counts = NDArray[np.number]

HALO = 2
"""Samples that `probability` looks beyond each side of a block: half of its 5x5 box."""

BOX = 2 * HALO + 1
CELL = 4
BIN_DB = 0.5
FINE_DB = 0.25
VV_DB = (-35.0, 5.0)
VH_DB = (-40.0, 0.0)


class Surface(NamedTuple):
    """One kind of surface: its usual share within its class, and its density in dB."""

    share: float
    vv: float
    vh: float
    vv_spread: float
    vh_spread: float
    correlation: float


def _power_sum(*terms: tuple[float, float]) -> float:
    """Decibels of a sum of (weight, decibels)."""
    return float(10 * np.log10(sum(weight * 10 ** (level / 10) for weight, level in terms)))


def _wind(speed: float, share: float) -> Surface:
    """Open water under a 10 m wind of `speed` m/s at about 38 degrees of incidence.

    VH rises by 0.580 dB per m/s (Vachon & Wolfe 2011: VH = 0.580 U - 35.652). Sentinel-1 does not
    see the calm end: noise of -28 to -22 dB is removed to within about a fifth, and that of cross
    talk and of what drifts on inland water adds to it: -32 dB, added in power. VV rises from calm
    (-24.5 dB) by 1.15 dB per m/s to -13 dB at 10 m/s, as CMOD5 does (Hersbach et al. 2007).
    Spread within a scene: local shelter (1.3), the step between two winds (0.7), 20-30 looks of
    speckle (0.9); VH is steadier (0.8) but closer to the noise (1.0).
    """
    vh = _power_sum((1.0, 0.580 * speed - 35.652), (1.0, -32.0))
    return Surface(share, -24.5 + 1.15 * speed, vh, 1.8, 1.6, 0.3)


def _shallow(share: float) -> Surface:
    """Water of which a quarter is something else: banks, stems, hedges, roofs, clods.

    Linear mixture of water under 3 m/s with crops; the spread spans a tenth to a half. Most of a
    flood over land looks like this.
    """
    water = _wind(3.0, 1.0)
    vv = _power_sum((0.75, water.vv), (0.25, -10.8))
    vh = _power_sum((0.75, water.vh), (0.25, -17.3))
    return Surface(share, vv, vh, 2.4, 2.4, 0.7)


WATER = (
    _wind(1.0, 0.20),
    _wind(3.0, 0.29),
    _wind(5.0, 0.18),
    _wind(7.0, 0.09),
    _wind(9.5, 0.04),
    _shallow(0.20),
)
"""Winds over land: Rayleigh distributed about 3.3 m/s (Archer & Jacobson 2005). A fifth is shallow
or shore: the 50 m box of a water body 500 m across touches land on 1 - (450 / 500)^2 of it."""

MOST_SHALLOW = 0.5
"""Largest share of it that a scene may choose: water that is nowhere open is bare ground."""

TEXTURE = 1.6
"""Spread in dB of (VV + VH) / 2 within one surface: two modes within twice that are its texture."""

OPEN = len(WATER) - 1
"""Number of those that are open water."""

LAND = (
    Surface(0.28, -8.2, -14.0, 1.6, 1.6, 0.7),  # forest
    Surface(0.22, -9.5, -16.0, 2.0, 2.0, 0.7),  # shrub, grass
    Surface(0.20, -10.8, -17.3, 2.1, 2.1, 0.7),  # crops
    Surface(0.25, -13.2, -20.7, 2.4, 2.4, 0.7),  # bare: soil, stubble, arid ground
    Surface(0.05, -4.5, -12.0, 4.0, 4.0, 0.7),  # built up
)
"""Means at 30-45 degrees within the ranges of Ulaby & Dobson (1989) for C band.

Shares are those of the land surface (Friedl et al. 2010), rounded. Spread within a scene: moisture
and roughness between fields (1.3 to 2.1), speckle (0.9); common causes move VV and VH together.
"""

BARE = 3
"""Index of bare ground in `LAND`."""

SMOOTH = Surface(0.1, -17.5, -24.5, 2.0, 2.0, 0.7)
"""Smooth dry ground (playa, sand sheet), as a share of bare ground and nowhere else. It is not
fitted on its own: its density nearly is that of wind-roughened water, and one image cannot tell
them apart; the flood rule drops what is as dark in the reference."""

SCENE_SPREAD = 1.6
"""Spread in dB from scene to scene of a surface that was not fitted: incidence over the swath at
0.15-0.35 dB per degree, season, calibration, and sigma nought or gamma nought, which differ by
1/cos(incidence), 0.6 to 1.6 dB: both are served by one set of densities."""

GLOBAL_SHARE = 0.03
"""Inland water over land: 2.4 % by Landsat (Pekel et al. 2016), 3.7 % with lakes below its pixel
(Verpoorter et al. 2014). No scene is believed to hold less: a prior estimated freely goes to zero
on nearly dry scenes and takes the small ponds with it."""

LARGEST_SHARE = 0.5
"""Beyond this the prior would call land water on its own."""

CONFIDENCE = 0.1
"""Weight of the usual shares against the scene, whose cells are correlated over kilometres and
are thus far fewer independent witnesses than their number."""

HIDDEN_WATER = 0.05
"""Share of water that looks like land: emergent plants, jetties, shores within a cell."""

LOOK_ALIKE = 0.01
"""Share of land that looks like water: radar shadow, asphalt, smooth sand (O'Grady et al. 2011)."""

BLUR_DB = 2.0
"""A scene may be more uniform than the textbook's surfaces: compared at their own spread."""

MISFIT = 0.5
"""Nats per cell by which the densities may miss a scene before they are not of this scene."""


@dataclass(frozen=True, slots=True)
class WaterModel:
    """What `probability` needs to know of a scene: a few dozen numbers.

    Attributes
    ----------
    method : str
        ``"bayes"``: the scene showed water as a mode of its own, and set all shares.
        ``"dry"``: it showed none; water keeps its usual shares and the global prior.
        ``"tiled-threshold"``: the densities do not describe this scene (see `fit`), but some of
        its tiles hold two modes.
    dual : bool
        Whether VH is used.
    share : float
        Prior probability of water.
    water, land : float64
        Share of each of `WATER` and `LAND` within its class.
    misfit : float
        Kullback-Leibler divergence of the scene from the fit, nats; NaN without data.
    threshold, slope : float
        Of a tiled threshold: dB, and log-odds per dB; else NaN.
    on_vh : bool
        Whether `threshold` is for VH.
    """

    method: str
    dual: bool
    share: float
    water: Float64
    land: Float64
    misfit: float
    threshold: float = float("nan")
    slope: float = float("nan")
    on_vh: bool = False


def _centres(limits: tuple[float, float]) -> Float64:
    return np.arange(limits[0] + BIN_DB / 2, limits[1], BIN_DB)


def histogram(
    vv: NDArray[np.floating], vh: NDArray[np.floating] | None = None
) -> NDArray[np.uint32]:
    """Count the decibels of 4x4 cell means over fixed bins of 0.5 dB.

    Cells are averaged because single samples are mostly speckle; a cell has about the looks of the
    5x5 box of `probability`. Counts are integers: the histograms of blocks that begin and end on
    multiples of four add to exactly that of the whole.

    Parameters
    ----------
    vv, vh : float, shape (y, x)
        Linear power; NaN marks missing. Without `vh` there is one bin of VH.

    Returns
    -------
    uint32, shape (80, 80) or (80, 1)
        VV from -35 to 5 dB by VH from -40 to 0 dB; what lies beyond counts at the edge. Cells of
        which fewer than half are valid do not count.

    Raises
    ------
    ValueError
        The inputs are not images of one shape.

    Examples
    --------
    >>> int(histogram(np.full((8, 8), 0.11), np.full((8, 8), 0.011))[50, 40])
    4
    """
    vv_edges, vh_edges = (
        10 ** (np.arange(low + BIN_DB, high - BIN_DB / 2, BIN_DB) / 10)
        for low, high in (VV_DB, VH_DB)
    )
    return cell_histogram(vv, vh, vv_edges, vh_edges, CELL)


def _densities(
    surfaces: tuple[Surface, ...], vv: Float64, vh: Float64 | None, scene_spread: float = 0.0
) -> Float64:
    """Density of each surface at each (vv, vh) in dB: shape (surface, vv, vh or 1), 1/dB^2."""
    out = []
    for surface in surfaces:
        vv_spread = np.hypot(surface.vv_spread, scene_spread)
        a = ((vv - surface.vv) / vv_spread)[:, None]
        if vh is None:
            out.append(np.exp(-0.5 * a**2) / np.sqrt(2 * np.pi) / vv_spread)
            continue
        vh_spread = np.hypot(surface.vh_spread, scene_spread)
        scale = 2 * np.pi * vv_spread * vh_spread
        b = ((vh - surface.vh) / vh_spread)[None, :]
        rest = 1 - surface.correlation**2
        form = (a**2 - 2 * surface.correlation * a * b + b**2) / rest
        out.append(np.exp(-0.5 * form) / (scale * np.sqrt(rest)))
    return np.array(out)


def _shares(surfaces: tuple[Surface, ...]) -> Float64:
    share = np.array([surface.share for surface in surfaces])
    return share / share.sum()


def _divergence(seen: Float64, fit: Float64) -> float:
    """Kullback-Leibler divergence in nats of a histogram, blurred by `BLUR_DB`, from its fit."""
    width = _centres(VH_DB).size if seen.size > _centres(VV_DB).size else 1
    grid = np.stack([seen, fit / fit.sum()]).reshape(2, -1, width)
    blur = (0, BLUR_DB / BIN_DB, BLUR_DB / BIN_DB if width > 1 else 0)
    first, second = np.maximum(gaussian_filter(grid, blur, mode="nearest"), 1e-300)
    return float((first * np.log(first / second)).sum())


def _weigh(counts: Counts, density: Float64, prior: Float64) -> tuple[Float64, float]:
    """Shares of fixed densities in a histogram, and the divergence that remains (nats).

    Expectation-maximisation of the shares alone, with a Dirichlet prior about `prior` of weight
    `CONFIDENCE`: concave, so it has one optimum.
    """
    seen = counts.astype(np.float64).ravel() / counts.sum()
    share = prior.copy()
    for _ in range(500):
        joint = share[:, None] * density
        total = np.maximum(joint.sum(axis=0), 1e-300)
        fresh = ((seen / total) * joint).sum(axis=1)
        fresh = (fresh / fresh.sum() + CONFIDENCE * prior) / (1 + CONFIDENCE)
        done = float(np.abs(fresh - share).max()) < 1e-6
        share = fresh
        if done:
            break
    return share, _divergence(seen, share @ density)


def _land_densities(vv: Float64, vh: Float64 | None, with_smooth: bool) -> Float64:
    """Density of land under each cover, smooth ground within bare; as `_densities`."""
    density = _densities(LAND, vv, vh)
    if not with_smooth:
        return density
    smooth = _densities((SMOOTH,), vv, vh)[0]
    density[BARE] = (1 - SMOOTH.share) * density[BARE] + SMOOTH.share * smooth
    return density


def _masses(dual: bool, with_smooth: bool) -> tuple[Float64, Float64]:
    """Probability of each bin of a histogram under each water and land: shape (surface, bin)."""
    vv, vh = _centres(VV_DB), _centres(VH_DB) if dual else None
    area = BIN_DB**2 if dual else BIN_DB
    water, land = _densities(WATER, vv, vh), _land_densities(vv, vh, with_smooth)
    return water.reshape(len(WATER), -1) * area, land.reshape(len(LAND), -1) * area


def _brightness(counts: Counts) -> tuple[Float64, Float64]:
    """Histograms of (VV + VH) / 2 in dB, or of VV alone, and the centres of their bins.

    The sum runs along the direction in which water and land lie apart, and falls on whole bins.
    """
    grid = counts.astype(np.float64)
    if counts.shape[-1] == 1:
        return grid[..., 0], _centres(VV_DB)
    vv, vh = _centres(VV_DB), _centres(VH_DB)
    which = np.add.outer(np.arange(vv.size), np.arange(vh.size)).ravel()
    flat = grid.reshape(-1, which.size)
    summed = np.stack([np.bincount(which, weights=row) for row in flat])
    centres = (vv[0] + vh[0]) / 2 + BIN_DB / 2 * np.arange(summed.shape[1])
    return summed.reshape(*counts.shape[:-2], -1), centres


def _check_counts(counts: Counts, name: str, axes: int) -> None:
    size, width = _centres(VV_DB).size, _centres(VH_DB).size
    if counts.ndim != axes or counts.shape[-2:] not in ((size, width), (size, 1)):
        raise ValueError(
            f"{name} has shape {counts.shape}; expected the last two axes of `histogram`,"
            f" ({size}, {width}) or ({size}, 1)"
        )


def _water_modes(counts: Counts, water: Float64, land: Float64) -> NDArray[np.bool_]:
    """Which histograms (…, vv, vh) hold two modes, of water and of land by the textbook."""
    bright, centres = _brightness(counts)
    fitted = modes(bright, centres, TEXTURE)
    dual = counts.shape[-1] > 1
    size, width = _centres(VV_DB).size, _centres(VH_DB).size if dual else 1
    wet, dry = (_brightness(part.reshape(size, width) * 1.0)[0] for part in (water, land))
    odds = np.log(wet + 1e-12) - np.log(dry + 1e-12)
    apart = (np.interp(fitted.dark, centres, odds) > 0) & (
        np.interp(fitted.bright, centres, odds) < 0
    )
    return np.asarray(separate(fitted) & apart)


def _capped(share: Float64) -> Float64:
    """Shares of `WATER` with no more than `MOST_SHALLOW` of shallow water."""
    shallow = min(float(share[OPEN]), MOST_SHALLOW)
    return np.append(share[:OPEN] * ((1 - shallow) / share[:OPEN].sum()), shallow)


def _fallback(tiles: Counts) -> tuple[float, float, bool]:
    """Tiled threshold (dB), log-odds per dB, and whether on VH: the better separated of the two."""
    cut, slope, apart = tiled_threshold(tiles.sum(axis=2), _centres(VV_DB), TEXTURE)
    if tiles.shape[2] > 1:
        other, its_slope, further = tiled_threshold(tiles.sum(axis=1), _centres(VH_DB), TEXTURE)
        if np.isnan(apart) or further > apart:
            return other, its_slope, True
    return cut, slope, False


def fit(scene_histogram: Counts, tile_histograms: Counts | None = None) -> WaterModel:
    """Fit the shares of water and land, of each wind and each cover, to the histogram of a scene.

    Three outcomes, in `WaterModel.method`:

    ``"bayes"``
        The scene, or one of its tiles, holds a separate mode (Ashman's D > 2) where the textbook
        sees water. Shares of all winds and covers follow by expectation-maximisation. Smooth dry
        ground is left out of the fit: its density nearly is that of wind-roughened water, a lone
        image cannot tell them apart, and a mode of its own is far more often water; it stays in
        `LOOK_ALIKE`, and the flood rule drops what is as dark in the reference.
    ``"dry"``
        No such mode. Only the covers of the land, smooth dry ground among them, are fitted; water
        keeps its usual winds and the share of the world, so that ponds are found but no mode is
        invented out of the dark tail of the land.
    ``"tiled-threshold"``
        The Bayes fit misses the scene by more than `MISFIT` nats per cell (uncalibrated data,
        another band or polarisation) and tiles with two modes exist: the median of their
        Kittler-Illingworth thresholds, after Martinis et al. (2009, 2015), in the polarisation
        whose modes lie further apart.

    Parameters
    ----------
    scene_histogram : integer, shape (80, 80) or (80, 1)
        Of `histogram`, summed over the scene.
    tile_histograms : integer, shape (tile, 80, 80) or (tile, 80, 1), optional
        The same by tile: a flood that is lost in the scene may fill half of a tile.

    Returns
    -------
    WaterModel

    Raises
    ------
    ValueError
        A histogram is not of this module's bins.

    Examples
    --------
    >>> fit(histogram(np.full((64, 64), 0.1), np.full((64, 64), 0.02))).method
    'dry'
    """
    counts = np.asarray(scene_histogram)
    _check_counts(counts, "scene_histogram", 2)
    dual = counts.shape[1] > 1
    tiles = counts[None] if tile_histograms is None else np.asarray(tile_histograms)
    _check_counts(tiles, "tile_histograms", 3)
    if tiles.shape[1:] != counts.shape:
        raise ValueError(f"tile_histograms of {tiles.shape[1:]} bins, scene of {counts.shape}")
    usual, covers = _shares(WATER), _shares(LAND)
    if counts.sum() == 0:
        return WaterModel("dry", dual, GLOBAL_SHARE, usual, covers, float("nan"))
    water, land = _masses(dual, True)
    prior = np.concatenate([GLOBAL_SHARE * usual, (1 - GLOBAL_SHARE) * covers])
    weight, misfit = _weigh(counts, np.concatenate([water, land]), prior)
    every = np.concatenate([counts[None], tiles])
    held = _water_modes(every, usual @ water, covers @ land)
    held[0] |= weight[:OPEN].sum() > LARGEST_SHARE  # one mode, and it is open water
    method, share = "dry", GLOBAL_SHARE
    if held.any():
        method, land = "bayes", _masses(dual, False)[1]
        seen = every[1:][held[1:]].sum(axis=0) if held[1:].any() else counts
        wet = _weigh(seen, np.concatenate([water, land]), prior)[0][: usual.size]
        usual = _capped(wet / wet.sum())
        prior = np.append(GLOBAL_SHARE, prior[usual.size :])
        weight = _weigh(counts, np.concatenate([(usual @ water)[None], land]), prior)[0]
        share, dry = float(np.clip(weight[0], GLOBAL_SHARE, LARGEST_SHARE)), weight[1:]
    else:
        dry = _weigh(counts, land, covers)[0]
    cut, slope, on_vh = _fallback(tiles) if misfit > MISFIT else (np.nan, np.nan, False)
    if not np.isnan(cut):
        method = "tiled-threshold"
    return WaterModel(method, dual, share, usual, dry / dry.sum(), misfit, cut, slope, on_vh)


def lookup(model: WaterModel) -> Float32:
    """Probability of water at nodes 0.25 dB apart, for bilinear interpolation.

    Each class shows the face of the other on a small share of its area (`HIDDEN_WATER`,
    `LOOK_ALIKE`), which no wind or cover explains and which keeps the probability from certainty.
    What is darker by one factor in VV and VH is no less water: nothing on land is darker than
    smooth water, whatever the wide tails of the normal densities of land say.

    Parameters
    ----------
    model : WaterModel
        Of `fit`.

    Returns
    -------
    float32, shape (161, 161) or (161, 1)
        Nodes from -35 to 5 dB of VV by -40 to 0 dB of VH.
    """
    vv = np.arange(VV_DB[0], VV_DB[1] + FINE_DB / 2, FINE_DB)
    vh = np.arange(VH_DB[0], VH_DB[1] + FINE_DB / 2, FINE_DB) if model.dual else None
    if model.method == "tiled-threshold":
        nodes = vh if model.on_vh and vh is not None else vv
        odds = np.clip(model.slope * (nodes - model.threshold), -50, 50)
        line = 1 / (1 + np.exp(-odds))
        line = line * (1 - HIDDEN_WATER - LOOK_ALIKE) + HIDDEN_WATER
        table = line[None, :] if model.on_vh else line[:, None]
        return np.ascontiguousarray(
            np.broadcast_to(table, (vv.size, 1 if vh is None else vh.size)), dtype=np.float32
        )
    unseen = 0.0 if model.method == "bayes" else SCENE_SPREAD
    water = np.tensordot(model.water, _densities(WATER, vv, vh, unseen), axes=1)
    land = np.tensordot(model.land, _land_densities(vv, vh, model.method != "bayes"), axes=1)
    seen = model.share * ((1 - HIDDEN_WATER) * water + HIDDEN_WATER * land)
    rest = (1 - model.share) * ((1 - LOOK_ALIKE) * land + LOOK_ALIKE * water)
    table = seen / np.maximum(seen + rest, 1e-300)
    for row in range(len(table) - 2, -1, -1):
        darker = table[row, :-1] if model.dual else table[row]
        np.maximum(darker, table[row + 1, 1:] if model.dual else table[row + 1], out=darker)
    return np.ascontiguousarray(table, dtype=np.float32)


def probability(
    vv: NDArray[np.floating], vh: NDArray[np.floating] | None, model: WaterModel
) -> Float32:
    """Probability of open water of each pixel, from its 5x5 mean.

    Parameters
    ----------
    vv, vh : float, shape (y, x)
        Linear power; NaN marks missing. `vh` is None where the model was fitted without.
    model : WaterModel
        Of `fit`.

    Returns
    -------
    float32, shape (y, x), in [0, 1]
        NaN where either centre is NaN. With a halo of `HALO` samples a block gives the bits of
        the whole image.

    Raises
    ------
    ValueError
        The inputs are not images of one shape, or not of the model's polarisations.

    Examples
    --------
    >>> model = fit(histogram(np.full((64, 64), 0.1), np.full((64, 64), 0.02)))
    >>> probability(np.full((1, 2), 0.006), np.array([[0.0012, 0.03]]), model).round(1)
    array([[0.7, 0. ]], dtype=float32)
    """
    if (vh is not None) != model.dual:
        fitted, given = ("VV and VH", "VV alone") if model.dual else ("VV alone", "VV and VH")
        raise ValueError(f"the model was fitted on {fitted} and is asked about {given}")
    return box_lookup(vv, vh, lookup(model), (VV_DB[0], VH_DB[0]), FINE_DB, BOX)
