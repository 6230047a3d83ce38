"""Three simulated dates of a track on real annotation: where, when, and what is kept of them."""

from __future__ import annotations

from pathlib import Path

PLACE = -8.420, 31.640
"""Where the first two bursts of IW1 meet, in the middle of the swath."""
HALF = 0.008, 0.006
BOX = ",".join(
    f"{centre + sign * half:.4f}"
    for sign in (-1, 1)
    for centre, half in zip(PLACE, HALF, strict=True)
)
DAYS = ("--before", "2023-08-20/2023-09-17", "--during", "2023-09-18/2023-10-01")
KEPT = {"swaths": ("IW1",), "bursts": range(2)}


def around(margin: float = 0.006) -> tuple[float, float, float, float]:
    west, south, east, north = map(float, BOX.split(","))
    return west - margin, south - margin, east + margin, north + margin


def tree(path: Path) -> dict[str, bytes]:
    files = sorted(one for one in path.rglob("*") if one.is_file())
    return {str(one.relative_to(path)): one.read_bytes() for one in files}
