"""What the commands about models print."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cube.cards import Card
from cube.catalog import Model
from cube.store.opening import open_cube
from pipelines.cubes import flooded_km2

if TYPE_CHECKING:
    from pipelines.infer import Inferred  # torch takes two seconds

__all__ = ["card_lines", "inferred_lines", "list_lines"]


def list_lines(models: Iterable[Model]) -> list[str]:
    """A line for each model."""
    return [
        f"{one.card.name:20} {one.card.title}"
        f" ({' or '.join(', '.join(branch.inputs) for branch in one.card.branches)})"
        for one in models
    ]


def card_lines(card: Card, where: str | Path) -> list[str]:
    """Lines of a card."""
    lines = [f"{card.name}: {card.title}", f"  at        {where}"]
    for branch in card.branches:
        network = branch.network
        lines += [
            f"  {branch.name:9} {', '.join(branch.inputs)} ({card.units}, {branch.normaliser})"
            f" -> {', '.join(branch.given)}",
            f"            classes {', '.join(branch.classes)}; {network.name}"
            f" {'-'.join(map(str, network.widths))}, patches of {network.patch}, {branch.head},"
            f" temperature {branch.temperature:.3f}, water above {branch.water_threshold:g}",
        ]
    lines += [
        f"  training  {card.training}",
        f"  licence   {card.licence}",
        f"  sha256    {card.sha256}",
    ]
    lines += [f"  {one.data}: {one.metric} {one.value:.3f}" for one in card.scores]
    return [*lines, *(f"  source    {one}" for one in card.sources)]


def inferred_lines(found: Inferred) -> list[str]:
    """Lines of ``cube infer``."""
    ds = open_cube(found.path)
    areas = flooded_km2(found.path, ds)
    lines = [
        f"  {key[:16]}  water {one['permanent'] + one['flood']:.2f} km2, flood"
        f" {one['flood']:.2f} km2, unknown {one['unknown']:.2f} km2"
        for key, one in areas.items()
        if key != "extent"
    ]
    made_up = "SIMULATED, " if found.plan.identity["simulated"] else ""
    return [
        *lines,
        f"{found.path}: {made_up}{len(found.plan.passes)} passes told by {found.models}:"
        f" {', '.join(found.layers)}; open it with cube.open_cube({str(found.path)!r})",
    ]
