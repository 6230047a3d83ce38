"""``cube benchmark sar``: geometry beside ESA's own grid and, if asked for, speed beside peers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cube.errors import CubeError, PlanError, SourceError
from cube.kernels.doppler import ConvergenceError, zero_doppler
from cube.kernels.ellipsoid import SPEED_OF_LIGHT, to_ecef
from cube.kernels.groundrange import GroundRangeImage, to_image
from cube.kernels.orbit import Orbit
from cube.kernels.slantrange import SlantRangeImage, line_times, to_slant_image
from cube.readers.annotation import GridPoints
from cube.readers.geolocation import SwathGeometry, read_geometry

__all__ = ["benchmark", "benchmark_lines"]

_COLUMNS = ("line", "pixel", "azimuth_m", "slant_range_m")

Float64 = NDArray[np.float64]


def benchmark(
    products: Sequence[Path],
    orbits: Path | None = None,
    *,
    speed: bool | None = False,
    peers: bool | None = False,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Benchmark products.

    Parameters
    ----------
    products : sequence of Path
        SAFE folders or zips, GRD or SLC.
    orbits : Path or None
        Orbit file or folder of them, instead of the annotations' orbits.
    speed : bool or None
        Time the kernels too, on the geometry of the first GRD product. None: where that can be
        done, and else say why not.
    peers : bool or None
        Give xarray-sentinel and sarsen the same work, in processes of their own. None: where they
        are installed.
    say : callable
        Takes a line about what goes on.

    Returns
    -------
    dict
        JSON: ``products``, one record each (see `record`); ``speed`` and ``peers``: None where they
        are not wanted, ``{"left_out": reason}`` where they cannot be had.

    Raises
    ------
    CubeError
        A product cannot be read, or there is none whose speed can be measured.
    """
    if not products:
        raise PlanError("no product; give SAFE folders or zips")
    found: dict[str, Any] = {
        "products": [record(product, read_geometry(product, orbits)) for product in products],
        "speed": None,
        "peers": None,
    }
    kinds = [one["product_type"] for one in found["products"]]
    product = products[kinds.index("GRD")] if "GRD" in kinds else None
    if speed is not False:
        say("timing kernels; --no-speed leaves this out")
        found["speed"] = _measured(_speed, product, needed=speed is True)
    if peers is not False:
        say("timing xarray-sentinel and sarsen, some two minutes; --no-peers leaves this out")
        found["peers"] = _measured(_peers, product, needed=peers is True)
    return found


def _measured(
    measure: Callable[[Path], dict[str, Any]], product: Path | None, *, needed: bool
) -> dict[str, Any]:
    """Measure on a product; where that cannot be and was not asked for, why."""
    try:
        if product is None:
            raise PlanError("speed is measured on a GRD product; give one with its tables")
        return measure(product)
    except CubeError as error:
        if needed:
            raise
        return {"left_out": str(error)}


def _speed(product: Path) -> dict[str, Any]:
    from pipelines.benchmark_speed import measure  # compiles kernels

    return measure(product)


def _peers(product: Path) -> dict[str, Any]:
    from pipelines.benchmark_peers import compare

    return compare(product)


def record(product: Path, swaths: Sequence[SwathGeometry]) -> dict[str, Any]:
    """How far our geometry lies from the grid of a product.

    Returns
    -------
    dict
        Root mean square and largest magnitude over all points of all swaths: ``line`` and
        ``pixel``; ``azimuth_m``, the difference of azimuth times by the speed of the beam over the
        ground; ``slant_range_m``. The same for each swath, with the mean.
    """
    parts = [_differences(one, product) for one in swaths]
    whole = {name: np.concatenate([part[name] for part in parts]) for name in _COLUMNS}
    first = swaths[0]
    return {
        "product": product.name.removesuffix(".zip").removesuffix(".SAFE"),
        "product_type": first.kind,
        "mode": first.mode,
        "orbit": first.orbit_source,
        "orbit_file": first.orbit_file,
        "points": len(whole["line"]),
        **_summary(whole),
        "swaths": [
            {
                "swath": one.swath,
                "polarisation": one.polarisation,
                "bistatic_reference": one.bistatic,
                "bistatic_reference_s": one.image.bistatic_reference_s,
                "points": len(part["line"]),
                **_summary(part),
                **{_named(name, "mean"): float(part[name].mean()) for name in _COLUMNS},
            }
            for one, part in zip(swaths, parts, strict=True)
        ],
    }


def _named(column: str, statistic: str) -> str:
    """``line_rms``, ``azimuth_rms_m``."""
    name, metres, _ = column.partition("_m")
    return f"{name}_{statistic}{metres}"


def _summary(differences: dict[str, Float64]) -> dict[str, float]:
    return {
        _named(name, statistic): float(value)
        for name in _COLUMNS
        for statistic, value in (
            ("rms", np.sqrt((differences[name] ** 2).mean())),
            ("max", np.abs(differences[name]).max()),
        )
    }


def _differences(swath: SwathGeometry, product: Path) -> dict[str, Float64]:
    """Our solution at the grid points, less what the grid says of them."""
    grid = swath.grid
    points = to_ecef(grid.lon, grid.lat, grid.height)
    try:
        time, slant = zero_doppler(swath.orbit, points)
    except ConvergenceError as error:
        raise SourceError(
            f"{product}: grid points of {swath.swath} lie outside its orbit ({error})"
        ) from error
    line, pixel = _place(swath.image, grid, time, slant)
    found = {
        "line": line - grid.line,
        "pixel": pixel - grid.sample,
        "azimuth_m": (time - grid.time_s) * _ground_speed(swath.orbit, points, time),
        "slant_range_m": slant - grid.slant_range_time_s * SPEED_OF_LIGHT / 2,
    }
    if not all(np.isfinite(values).all() for values in found.values()):
        raise SourceError(f"{product}: geolocation grid of {swath.swath} holds no finite numbers")
    return found


def _place(
    image: GroundRangeImage | SlantRangeImage, grid: GridPoints, time: Float64, slant: Float64
) -> tuple[Float64, Float64]:
    """Line and pixel of points by the functions that a build uses."""
    if isinstance(image, SlantRangeImage):
        return to_slant_image(image, line_times(image, grid.line)[0], time, slant)
    line, pixel = time.copy(), slant.copy()
    for k in range(len(line)):  # a point by itself, as a tile of the map is
        to_image(image, line[k : k + 1, None], pixel[k : k + 1, None])
    return line, pixel


def _ground_speed(orbit: Orbit, points: Float64, time: Float64) -> Float64:
    """Speed of the zero-Doppler beam over the ground at points, metres per second.

    The satellite's speed, less by the ratio of radii and by the cosine of the angle at the Earth's
    centre, since the beam is swung about it (Cumming and Wong 2005, chapter 4).
    """
    position, velocity, _ = orbit.state(time)
    share = (points * position).sum(-1) / (position * position).sum(-1)
    return np.asarray(np.linalg.norm(velocity, axis=-1) * share)


def benchmark_lines(found: dict[str, Any]) -> list[str]:
    """Lines of ``cube benchmark sar``."""
    lines = ["ours less the geolocation grid: root mean square (largest)"]
    for one in found["products"]:
        source = one["orbit"] if one["orbit_file"] is None else f"{one['orbit']} file"
        lines.append(f"{one['product']}: {one['points']} points, orbit {source}")
        lines.append(f"  {'all':4} {_row(one)}")
        if len(one["swaths"]) > 1:
            lines += [f"  {part['swath']:4} {_row(part)}" for part in one["swaths"]]
        names = dict.fromkeys(part["bistatic_reference"] for part in one["swaths"])
        lines.append(f"       bistatic reference: {', '.join(names)}")
    for name, told in (("speed", _speed_lines), ("peers", _peer_lines)):
        part = found[name]
        if part is not None:
            lines += [f"{name}: {part['left_out']}"] if "left_out" in part else told(part)
    return lines


def _row(one: dict[str, Any]) -> str:
    return (
        f"line {one['line_rms']:.5f} ({one['line_max']:.5f})"
        f"  pixel {one['pixel_rms']:.6f} ({one['pixel_max']:.6f})"
        f"  azimuth {one['azimuth_rms_m']:.4f} m ({one['azimuth_max_m']:.4f})"
        f"  slant range {one['slant_range_rms_m']:.5f} m ({one['slant_range_max_m']:.5f})"
    )


def _speed_lines(found: dict[str, Any]) -> list[str]:
    lines = [f"speed on one core ({found['cpu']}), million pixels per CPU-second:"]
    return lines + [f"  {name:22}{rate:9.1f}" for name, rate in found["mpix_per_cpu_s"].items()]


def _peer_lines(found: dict[str, Any]) -> list[str]:
    lines = [f"beside peers ({found['cpu']}), million pixels per CPU-second and peak memory:"]
    for name, one in found.items():
        if name == "cpu":
            continue
        rates = (f"{one[who]['mpix_per_cpu_s']:.3g}" for who in ("ours", "theirs"))
        peaks = (f"{one[who]['peak_bytes'] / 1e9:.2f} GB" for who in ("ours", "theirs"))
        lines.append(
            f"  {name:22}{' against '.join(rates)} of {one['peer']} ({one['cpu_ratio']:.3g} times);"
            f" {' against '.join(peaks)}"
        )
    return lines
