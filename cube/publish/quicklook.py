"""One picture of a cube: before, after, and flood over backscatter, or coherence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cube.errors import StoreError
from cube.schema import FloodClass

__all__ = ["quicklook"]

_MAX_PIXELS = 1200
_COLOURS = {"permanent water": (0.12, 0.25, 0.69, 1.0), "flood": (0.90, 0.10, 0.29, 0.85)}


def quicklook(ds: xr.Dataset, target: Path, *, title: str, metres: float) -> Path:
    """Draw a cube as PNG: backscatter before and after, and flood over backscatter.

    Of complex images their power is drawn, and the coherence of the last pair, black 0 to white 1.

    Parameters
    ----------
    ds : xarray.Dataset
        A cube as `cube.open_cube` gives it; at least one complete pass.
    target : Path
        PNG to write.
    title : str
        First line of the picture.
    metres : float
        Ground size of a pixel in the middle of the grid, for the scale bar.

    Returns
    -------
    Path
        `target`.

    Raises
    ------
    StoreError
        No complete pass, nothing in it to draw, or the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if ds.sizes["time"] == 0:
        raise StoreError("no complete pass to draw; finish the build first")
    step = max(1, -(-max(ds.sizes["y"], ds.sizes["x"]) // _MAX_PIXELS))
    last = ds.isel(time=-1)
    first = _before(ds, last)
    panels: list[tuple[str, Any, Any]] = [
        (f"before  {_day(first)}", _grey(_power(first), step), None)
    ]
    panels.append((f"after  {_day(last)}", _grey(_power(last), step), None))
    if "flood" in ds:
        panels.append((f"flood  {_day(last)}", panels[1][1], _classes(last["flood"], step)))
    coherences = [str(key) for key in ds if ds[key].dims == ("pair", "y", "x")]
    if coherences and ds.sizes["pair"]:
        pair = ds[max(coherences)].isel(pair=-1)  # VV rather than VH
        days = [str(pair[f"{one}_time"].values)[:10] for one in ("primary", "secondary")]
        panels.append((f"coherence  {' to '.join(days)}", _averaged(pair, step), None))
    figure = Figure(figsize=(5.2 * len(panels), 5.2 * ds.sizes["y"] / ds.sizes["x"] + 1.3))
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (text, grey, classes) in zip(axes, panels, strict=True):
        axis.imshow(grey, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        if classes is not None:
            axis.imshow(classes, interpolation="nearest")
        axis.set_title(text, fontsize=11)
        axis.set_axis_off()
    _scale_bar(axes[0], panels[0][1].shape, metres * step)
    if "flood" in ds:
        _legend(axes[-1])
    figure.suptitle(title, fontsize=12)
    figure.tight_layout()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(target, dpi=110, format="png")
    except OSError as error:
        raise StoreError(f"{target}: cannot be written ({error.strerror or error})") from error
    return target


def _before(ds: xr.Dataset, last: xr.Dataset) -> xr.Dataset:
    """Latest pass before the event on the track of `last`, else the first pass."""
    same = (ds["relative_orbit"] == last["relative_orbit"]) & (ds["role"] == "before")
    found = np.flatnonzero(same.values)
    return ds.isel(time=int(found[-1]) if len(found) else 0)


def _day(one: xr.Dataset) -> str:
    return str(one["time"].values.astype("datetime64[m]")).replace("T", " ") + " UTC"


def _power(one: xr.Dataset) -> xr.DataArray:
    """Backscatter of a pass, linear, in the best polarisation there is."""
    for name in ("vv", "hh", "vh", "hv"):
        if name in one:
            return one[name]
        if f"slc_{name}" in one:
            return abs(one[f"slc_{name}"]) ** 2
        if f"Ampl_{name.upper()}" in one:
            return one[f"Ampl_{name.upper()}"] ** 2
    raise StoreError("the cube holds neither backscatter nor complex images to draw")


def _averaged(values: xr.DataArray, step: int) -> NDArray[np.float32]:
    """Means over the pixels that one of the picture shows, of linear values."""
    coarse: Any = values
    if step > 1:
        coarse = values.coarsen(y=step, x=step, boundary="pad").mean()
    return np.asarray(coarse.values, "float32")


def _grey(power: xr.DataArray, step: int) -> NDArray[np.float32]:
    """Backscatter in decibels, 2nd to 98th percentile stretched to 0..1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        decibels = 10 * np.log10(_averaged(power, step))
    valid = decibels[np.isfinite(decibels)]
    low, high = np.percentile(valid, (2, 98)) if valid.size else (0.0, 1.0)
    scaled = (decibels - low) / max(high - low, 1e-6)
    return np.asarray(np.clip(scaled, 0, 1), "float32")


def _classes(flood: xr.DataArray, step: int) -> NDArray[np.float64]:
    """Colours of permanent water and flood, transparent elsewhere."""
    values = flood.values[::step, ::step]
    colours = np.zeros((*values.shape, 4))
    colours[values == FloodClass.PERMANENT] = _COLOURS["permanent water"]
    colours[values == FloodClass.FLOOD] = _COLOURS["flood"]
    return colours


def _scale_bar(axis: Any, shape: tuple[int, ...], metres: float) -> None:
    """Bar of a round length, about a quarter of the width."""
    goal = shape[1] * metres / 4
    power = 10 ** np.floor(np.log10(goal))
    length = max(value for value in (power, 2 * power, 5 * power) if value <= goal)
    pixels = length / metres
    y, x = shape[0] * 0.95, shape[1] * 0.04
    for width, colour in ((5, "black"), (2.5, "white")):
        axis.plot([x, x + pixels], [y, y], color=colour, linewidth=width, solid_capstyle="butt")
    text = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    axis.text(
        x + pixels / 2,
        y - shape[0] * 0.02,
        text,
        color="white",
        ha="center",
        va="bottom",
        fontsize=9,
        bbox={"facecolor": "black", "alpha": 0.5, "pad": 1.5, "linewidth": 0},
    )


def _legend(axis: Any) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=colour, label=name) for name, colour in _COLOURS.items()]
    axis.legend(handles=handles, loc="lower right", fontsize=9, framealpha=0.8)
