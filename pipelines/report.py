"""What commands print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cube.errors import SourceError
from cube.store.opening import open_cube
from pipelines.cubes import flooded_km2
from pipelines.plan import Plan
from pipelines.verify import Verdict, verify

__all__ = ["closing_lines", "info_lines", "plan_lines", "verdict_lines"]


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def plan_lines(plan: Plan) -> list[str]:
    """Lines of ``cube plan``."""
    identity, run = plan.identity, plan.run
    height, width = identity["shape"]
    lines = [
        f"cube      {run['out']}",
        f"source    {run['source']}"
        + (" (SIMULATED products, no observation)" if identity["simulated"] else ""),
        f"grid      {height} x {width} pixels of {abs(identity['transform'][4]):g} x"
        f" {identity['transform'][0]:g}, {identity['crs']}",
        f"product   {identity['product']}, {identity['backscatter']},"
        f" {', '.join(plan.polarisations)} (preset {identity['preset']})",
        f"dem       {identity['dem']['name']}, heights above {identity['dem']['datum']},"
        f" geoid {identity['dem']['geoid']}",
        f"layers    {', '.join(plan.layers) or 'backscatter only'}",
        f"passes    {len(plan.passes)} on relative orbits {', '.join(map(str, plan.tracks))}",
    ]
    lines += [
        f"  {one.time[:19]} {one.platform} orbit {one.track:3} {one.direction:10} {one.role:6}"
        f" {len(one.scenes)} scene{'s' if len(one.scenes) > 1 else ''}"
        for one in plan.passes
    ]
    if orbits := sorted({name for one in plan.passes for name in one.orbits}):
        lines.append(f"orbits    {len(orbits)} files: {', '.join(orbits)}")
    if identity["speckle"] != "none":
        lines.append(f"speckle   {identity['speckle']}, on the radar image")
    if identity["sea"] != "none":
        sea = "where the DEM shows it" if identity["sea"] == "dem" else identity["sea"]["name"]
        lines.append(f"sea       masked {sea}")
    if identity["path_delay"] == "standard":
        lines.append("delay     ranges through a standard troposphere")
    lines += [
        f"blocks    {run['blocks'][0]} x {run['blocks'][1]} of {run['block']} x {run['block']}"
        f" pixels, on {run['workers']} {run['scheduler']}",
        f"read      about {_bytes(run['bytes_fetched'])} over the network"
        if run["bytes_fetched"]
        else f"read      {_bytes(run['bytes_source'])} of measurements at most",
    ]
    if run["bytes_unpacked"]:
        lines.append(f"unpack    {_bytes(run['bytes_unpacked'])} into the scratch folder")
    lines += [
        f"write     {_bytes(run['bytes_written'])} before compression",
        f"memory    {_bytes(run['peak_memory_per_worker'])} peak per worker,"
        f" limit {_bytes(run['memory_limit'])}",
    ]
    lines += [
        f"also      --aoi {name}: {height} x {width} pixels"
        for name, (height, width) in run["other_areas"].items()
    ]
    return [*lines, *(f"note: {note}" for note in plan.notes)]


def verdict_lines(verdict: Verdict) -> list[str]:
    """Lines of ``cube verify``."""
    label = "truth"
    if verdict.simulated:
        label = (
            "SIMULATED truth (with flood under plants and between houses, hard to see in C band)"
        )
    return [
        f"pass {verdict.time[:19]} against {label}, {verdict.pixels:,} pixels",
        *(
            f"{name:6} IoU {counts.iou:.3f}  F1 {counts.f1:.3f}  precision"
            f" {counts.precision:.3f}  recall {counts.recall:.3f}"
            for name, counts in (("water", verdict.water), ("flood", verdict.flood))
        ),
    ]


def closing_lines(path: Path, plan: Plan, truth: Path | None) -> list[str]:
    """Last lines of ``cube build``: score where truth is known, areas, how to open."""
    lines = _score(path, plan, truth)
    flooded = _flooded(path, plan)
    opening = f"open it with cube.open_cube({str(path)!r})"
    label = "SIMULATED, " if plan.identity["simulated"] else ""
    return [*lines, f"{path}: {label}{len(plan.passes)} passes, {flooded}; {opening}"]


def _score(path: Path, plan: Plan, truth: Path | None) -> list[str]:
    """Score where truth is known and can be compared."""
    if truth is None or "flood" not in plan.layers:
        return []
    try:
        return verdict_lines(verify(path, truth))
    except SourceError as error:  # a grid of the user's choice, which truth is not on
        return [f"not scored: {error}"]


def _flooded(path: Path, plan: Plan) -> str:
    if "slc" in plan.layers:
        names = ", ".join(f"slc_{name}" for name in plan.polarisations)
        return f"complex images {names}; cube coherence {path} adds coherence"
    if "flood" not in plan.layers:
        return "no flood layers"
    if not {"reference", "permanent_water"} & set(plan.layers):
        return "flood unknown everywhere (no pass before the event and no permanent water layer)"
    areas = flooded_km2(path, open_cube(path).isel(time=slice(-1, None)))
    last = min(areas)  # the word "extent" sorts after any time
    text = f"{areas[last]['flood']:.2f} km2 flooded on {last[:10]}"
    if "extent" in areas:
        text += f", {areas['extent']['flood']:.2f} km2 at least once"
    return text


def info_lines(found: dict[str, Any]) -> list[str]:
    """Lines of ``cube info``."""
    state = "finished" if found["finished"] else "unfinished: run the build again to go on"
    lines = [
        f"{found['path']}: {found['shape'][0]} x {found['shape'][1]} pixels, {state}",
        f"variables {', '.join(found['variables'])}",
    ]
    for one in found["passes"]:
        area = f"{one['km2']['flood']:9.2f} km2 flood" if one["km2"] else ""
        mark = "complete" if one["complete"] else "incomplete"
        lines.append(
            f"  {one['time'][:19]} {one['platform']} orbit {one['relative_orbit']:3}"
            f" {one['orbit_direction']:10} {one['role']:6} {mark:10} {area}"
        )
    if found["extent_km2"]:
        lines.append(f"flooded at least once: {found['extent_km2']['flood']:.2f} km2")
    return lines
