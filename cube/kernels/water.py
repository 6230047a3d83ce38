"""Open water from one Sentinel-1 image: two-class Bayes on VV and VH, fitted once per scene.

What the classes look like is physics and literature (`cube.kernels.surfaces`): water under each
wind, land under each cover, as normal densities of (VV, VH) in decibels (the Bayes rule is that of
Bauer-Marschallinger et al. 2022, without their time series). The scene only says how much of each
it holds. So the fit is bounded, has one optimum whatever it starts from, and no scene can bend a
class into something that was never observed.

The ratio VH/VV needs no term of its own: in decibels it is VH - VV, a direction in the plane of
(VV, VH), and the joint density with its correlation contains it. Averages are linear; decibels
appear only as the argument of the densities.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cube.kernels.multilook import box_lookup, cell_histogram
from cube.kernels.surfaces import LAND, MOST_SHALLOW, OPEN, WATER, densities, land_densities, shares
from cube.kernels.threshold import fit_shares, modes, separate, tiled_threshold

__all__ = ["HALO", "WaterModel", "fit", "histogram", "lookup", "probability"]

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Counts = NDArray[np.number]

HALO = 2
"""Samples that `probability` looks beyond each side of a block: half of its 5x5 box."""

CELL = 4
BIN_DB, FINE_DB = 0.5, 0.25
VV_DB, VH_DB = (-35.0, 5.0), (-40.0, 0.0)
N_VV, N_VH = 80, 80


SCENE_SPREAD = 1.6
"""Spread in dB from scene to scene of a surface that was not fitted: incidence over the swath at
0.15-0.35 dB per degree, season, calibration, and sigma nought or gamma nought, which differ by
1/cos(incidence), 0.6 to 1.6 dB: both are served by one set of densities."""

GLOBAL_SHARE = 0.03
"""Inland water over land: 2.4 % by Landsat (Pekel et al. 2016), 3.7 % with lakes below its pixel
(Verpoorter et al. 2014). No scene is believed to hold less: a prior estimated freely (Saerens et
al. 2002) goes to zero on nearly dry scenes and takes the small ponds with it."""

LARGEST_SHARE = 0.5
"""Beyond this the prior would call land water on its own."""

CONFIDENCE = 0.1
"""Weight of the usual shares against the scene, whose cells are correlated over kilometres and
are thus far fewer independent witnesses than their number."""

HIDDEN_WATER = 0.05
"""Share of water that looks like land: emergent plants, jetties, banks."""

LOOK_ALIKE = 0.01
"""Share of land that looks like water: radar shadow, asphalt, smooth fields."""

TEXTURE = 1.6
"""Spread in dB within one surface: two modes closer than twice that are its texture."""

LEAST_CELLS = 200
"""Cells below which a tile shows modes by chance."""

MISFIT = 0.5
"""Nats per cell by which the densities may miss a scene before they are not of this scene."""


@dataclass(frozen=True, slots=True)
class WaterModel:
    """What `probability` needs to know of a scene: a few dozen numbers.

    Attributes
    ----------
    method : str
        ``"bayes"``: the scene or a tile holds two separate modes, of open water and of land by
        the textbook, or all of the scene looks like open water. All shares are fitted. Smooth
        dry ground is left out: its density nearly is that of shallow or rough water, one image
        cannot tell them apart, and a dark mode of its own is far more often water (the flood rule
        drops what is as dark in the reference).
        ``"dry"``: no such mode. Only the covers are fitted, smooth ground among them; water keeps
        its usual winds and the share of the world: ponds are found, no mode is invented.
        ``"tiled-threshold"``: textbook and scene differ by more than `MISFIT` (uncalibrated data,
        another band) and tiles with two modes exist: their median Kittler-Illingworth threshold,
        in the polarisation whose modes lie further apart.
    dual : bool
        Whether VH is used.
    share : float
        Prior probability of water.
    water, land : floats
        Share of each of `WATER` and `LAND` within its class.
    misfit : float
        Kullback-Leibler divergence of the scene from the textbook, nats; 0 without data.
    threshold, slope : float
        Of a tiled threshold: dB, and log-odds per dB; else 0, so that models compare.
    on_vh : bool
        Whether `threshold` is for VH.
    """

    method: str
    dual: bool
    share: float
    water: tuple[float, ...]
    land: tuple[float, ...]
    misfit: float
    threshold: float = 0.0
    slope: float = 0.0
    on_vh: bool = False


def _axes(dual: bool, step: float, first: float) -> tuple[Float64, Float64 | None]:
    """Decibels of VV and VH every `step`, from `first` above the lower ends."""
    vv = np.arange(VV_DB[0] + first, VV_DB[1] + 1e-9, step)
    return vv, np.arange(VH_DB[0] + first, VH_DB[1] + 1e-9, step) if dual else None


def _centres(dual: bool) -> tuple[Float64, Float64 | None]:
    return _axes(dual, BIN_DB, BIN_DB / 2)


def histogram(
    vv: NDArray[np.floating], vh: NDArray[np.floating] | None = None
) -> NDArray[np.uint32]:
    """Count 4x4 cell means over fixed bins of 0.5 dB.

    Single samples are mostly speckle; a cell has about the looks of the box of `probability`.
    Counts of blocks that begin and end on multiples of four add to exactly those of the whole.

    Parameters
    ----------
    vv, vh : float, shape (y, x)
        Linear power; NaN marks missing.

    Returns
    -------
    uint32, shape (80, 80), or (80, 1) without `vh`
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
    inner = [10 ** ((low + BIN_DB * np.arange(1, N_VV)) / 10) for low, _ in (VV_DB, VH_DB)]
    return cell_histogram(vv, vh, inner[0], inner[1], CELL)


def _masses(dual: bool, with_smooth: bool) -> tuple[Float64, Float64]:
    """Probability of each bin of a histogram under each water and land: (surface, vv, vh or 1)."""
    vv, vh = _centres(dual)
    area = BIN_DB**2 if dual else BIN_DB
    return densities(WATER, vv, vh) * area, land_densities(vv, vh, with_smooth) * area


def _brightness(grids: NDArray[np.number]) -> tuple[Float64, Float64]:
    """Sums (…, bin) along equal (VV + VH) / 2 in dB, or of VV alone, and the centres of the bins.

    That is the direction in which water and land lie apart, and it falls on whole bins.
    """
    vv, vh = _centres(grids.shape[-1] > 1)
    if vh is None:
        return grids[..., 0].astype(np.float64), vv
    which = np.add.outer(np.arange(N_VV), np.arange(N_VH)).ravel()
    flat = grids.reshape(-1, which.size).astype(np.float64)
    summed = np.array([np.bincount(which, weights=row) for row in flat])
    centres = (vv[0] + vh[0]) / 2 + BIN_DB / 2 * np.arange(summed.shape[1])
    return summed, centres


def _water_modes(counts: Counts, water: Float64, land: Float64) -> NDArray[np.bool_]:
    """Which histograms (…, vv, vh) hold two modes, of open water and of land by the textbook."""
    bright, centres = _brightness(counts)
    classes, _ = _brightness(np.stack([water, land]))
    odds = np.diff(np.log(classes + 1e-12), axis=0)[0]  # of land against water
    fitted = modes(bright, centres, TEXTURE)
    wet = np.interp(fitted.dark, centres, odds) < 0
    dry = np.interp(fitted.bright, centres, odds) > 0
    enough = bright.sum(axis=1) >= LEAST_CELLS
    return np.asarray(separate(fitted) & wet & dry & enough)


def _capped(share: Float64) -> Float64:
    """Shares of `WATER` with no more than `MOST_SHALLOW` of shallow water."""
    share = share / share.sum()
    shallow = min(float(share[-1]), MOST_SHALLOW)
    return np.append(share[:-1] * ((1 - shallow) / share[:-1].sum()), shallow)


def _fallback(tiles: Counts) -> tuple[float, float, bool] | None:
    """Tiled threshold (dB), log-odds per dB, and whether on VH: the better separated of the two."""
    vv, vh = _centres(tiles.shape[2] > 1)
    cuts = [(*tiled_threshold(tiles.sum(axis=2), vv, TEXTURE), False)]
    if vh is not None:
        cuts.append((*tiled_threshold(tiles.sum(axis=1), vh, TEXTURE), True))
    found = [(apart, cut, slope, on_vh) for cut, slope, apart, on_vh in cuts if not np.isnan(cut)]
    return max(found)[1:] if found else None


def _checked(scene: Counts, tiles: Counts | None) -> tuple[Counts, Counts]:
    counts = np.asarray(scene)
    if counts.shape not in ((N_VV, N_VH), (N_VV, 1)):
        raise ValueError(
            f"scene_histogram has shape {counts.shape}; `histogram` gives {(N_VV, N_VH)},"
            f" or {(N_VV, 1)} without VH"
        )
    parts = counts[None] if tiles is None else np.asarray(tiles)
    if parts.ndim != 3 or parts.shape[1:] != counts.shape:
        raise ValueError(
            f"tile_histograms has shape {parts.shape}; expected (tile, *{counts.shape})"
        )
    return counts, parts


def _bayes(scene: Counts, witness: Counts) -> tuple[float, Float64, Float64]:
    """Share of water in a scene; of each wind, by a histogram that holds a water mode; of covers.

    The winds are fitted where water is known to be, and only then is the water so described sought
    in the scene: a lake in one tile is no licence to read all bare ground as shallow water.
    """
    water, land = _masses(scene.shape[1] > 1, with_smooth=False)
    usual, covers = GLOBAL_SHARE * shares(WATER), (1 - GLOBAL_SHARE) * shares(LAND)
    trials = []
    for without in (1, 0):  # a product either holds its noise or does not
        kept = np.flatnonzero(np.arange(len(WATER)) // OPEN != without)
        prior = np.concatenate([usual[kept], covers])
        densities = np.concatenate([water[kept], land])
        fitted, misfit = fit_shares(witness, densities, prior / prior.sum(), CONFIDENCE)
        wet = np.zeros(len(WATER))
        wet[kept] = fitted[: kept.size]
        trials.append((misfit, wet))
    wet = _capped(min(trials, key=lambda trial: trial[0])[1])
    one = np.tensordot(wet, water, axes=1)[None]
    prior = np.append(GLOBAL_SHARE, covers)
    share, _ = fit_shares(scene, np.concatenate([one, land]), prior, CONFIDENCE)
    return float(np.clip(share[0], GLOBAL_SHARE, LARGEST_SHARE)), wet, share[1:]


def fit(scene_histogram: Counts, tile_histograms: Counts | None = None) -> WaterModel:
    """Fit the shares of water and land, of each wind and each cover, to the histogram of a scene.

    `WaterModel.method` says which of three ways was taken.

    Parameters
    ----------
    scene_histogram : integer, shape (80, 80) or (80, 1)
        Of `histogram`, summed over the scene.
    tile_histograms : integer, shape (tile, 80, 80) or (tile, 80, 1), optional
        The same by tile: a flood that is lost in the scene may fill half of a tile. Let tiles be
        of a fixed grid, such as stored chunks, and the model does not depend on compute blocks.

    Raises
    ------
    ValueError
        A histogram is not of this module's bins.

    Examples
    --------
    >>> fit(histogram(np.full((64, 64), 0.1), np.full((64, 64), 0.02))).method
    'dry'
    """
    scene, tiles = _checked(scene_histogram, tile_histograms)
    dual = scene.shape[1] > 1
    wet, dry = shares(WATER), shares(LAND)
    if scene.sum() == 0:
        return WaterModel("dry", dual, GLOBAL_SHARE, tuple(wet.tolist()), tuple(dry.tolist()), 0.0)
    water, land = _masses(dual, with_smooth=True)
    prior = np.concatenate([GLOBAL_SHARE * wet, (1 - GLOBAL_SHARE) * dry])
    found, misfit = fit_shares(scene, np.concatenate([water, land]), prior, CONFIDENCE)
    typical = (np.tensordot(wet[:OPEN], water[:OPEN], axes=1), np.tensordot(dry, land, axes=1))
    held = _water_modes(np.concatenate([scene[None], tiles]), *typical)
    witness = tiles[held[1:]].sum(axis=0) if held[1:].any() else scene
    if held.any() or found[:OPEN].sum() > LARGEST_SHARE:  # the latter: one mode, all open water
        method, (share, wet, dry) = "bayes", _bayes(scene, witness)
    else:
        method, share, dry = "dry", GLOBAL_SHARE, fit_shares(scene, land, dry, CONFIDENCE)[0]
    waters, covers = tuple(wet.tolist()), tuple((dry / dry.sum()).tolist())
    fallback = _fallback(tiles) if misfit > MISFIT else None
    if fallback is not None:
        return WaterModel("tiled-threshold", dual, share, waters, covers, misfit, *fallback)
    return WaterModel(method, dual, share, waters, covers, misfit)


def _threshold_table(model: WaterModel, vv: Float64, vh: Float64 | None) -> Float64:
    """Logistic about the threshold: the odds of two normal modes of one spread."""
    nodes = vh[None, :] if model.on_vh and vh is not None else vv[:, None]
    chance = 1 / (1 + np.exp(-np.clip(model.slope * (nodes - model.threshold), -50, 50)))
    chance = HIDDEN_WATER + chance * (1 - HIDDEN_WATER - LOOK_ALIKE)
    return np.broadcast_to(chance, (vv.size, 1 if vh is None else vh.size))


def lookup(model: WaterModel) -> Float32:
    """Probability of water at nodes 0.25 dB apart, for bilinear interpolation.

    Each class shows the face of the other on a small share of its area (`HIDDEN_WATER`,
    `LOOK_ALIKE`), which no wind or cover explains and which keeps the probability from certainty.
    What is darker by one factor in VV and VH is no less water: nothing on land is darker than
    smooth water, whatever the wide tails of the normal densities of land say.

    Returns
    -------
    float32, shape (161, 161), or (161, 1) without VH
        Nodes from -35 to 5 dB of VV by -40 to 0 dB of VH.
    """
    vv, vh = _axes(model.dual, FINE_DB, 0.0)
    if model.method == "tiled-threshold":
        return _threshold_table(model, vv, vh).astype(np.float32)
    adapted = model.method == "bayes"
    water = np.tensordot(
        model.water, densities(WATER, vv, vh, 0.0 if adapted else SCENE_SPREAD), axes=1
    )
    land = np.tensordot(model.land, land_densities(vv, vh, with_smooth=not adapted), axes=1)
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
    >>> probability(np.full((1, 1), 0.007), np.full((1, 1), 0.0012), model).round(1)
    array([[0.7]], dtype=float32)
    """
    if (vh is not None) != model.dual:
        fitted, given = ("VV and VH", "VV alone") if model.dual else ("VV alone", "VV and VH")
        raise ValueError(f"the model was fitted on {fitted} and is asked about {given}")
    return box_lookup(vv, vh, lookup(model), (VV_DB[0], VH_DB[0]), FINE_DB, 2 * HALO + 1)
