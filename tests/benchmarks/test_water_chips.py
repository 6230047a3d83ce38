"""The score table of the water floor, as it stands in the README.

``python tests/benchmarks/test_water_chips.py DATA`` prints it.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import test_chips
from test_chips import Row, pooled

HEAD = (
    "| chip | water, % | fit | IoU floor | IoU Otsu VH | IoU best threshold (saw the label) |"
    " false water, % | NLL | ECE |"
)


def score_table(data_dir: Path) -> list[Row]:
    """One row for each chip with valid labelled pixels."""
    return list(test_chips.score_table(data_dir))


def figure(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def line(row: Row) -> str:
    truth = row.floor.hit + row.floor.miss
    cells = (
        row.name,
        figure(100 * truth / row.floor.total, 1),
        row.method or "–",
        figure(row.floor.iou, 2),
        figure(row.otsu.iou, 2),
        figure(row.best.iou, 2),
        figure(100 * row.floor.false_share, 2),
        figure(row.reliability.nll, 2),
        figure(row.reliability.ece, 3),
    )
    return f"| {' | '.join(cells)} |"


def readme_table(data_dir: Path) -> str:
    """Markdown; the same text whenever the code and the chips are the same."""
    rows = test_chips.score_table(data_dir)
    everything = pooled(rows)
    clear = pooled(rows, "Pakistan")
    lines = [HEAD, "|" + "---|" * (HEAD.count("|") - 1)]
    lines += [line(row) for row in sorted(rows, key=lambda row: row.name)]
    lines.append(line(everything).replace("| pooled |", "| **pooled** |", 1))
    lines.append(line(clear).replace("| pooled |", "| **pooled without Pakistan_849790** |", 1))
    return "\n".join(lines)


def test_the_table_is_whole_and_repeats(data_dir):
    first = readme_table(data_dir)
    test_chips.score_table.cache_clear()
    assert readme_table(data_dir) == first
    assert first.count("\n") == 1 + len(score_table(data_dir)) + 2


if __name__ == "__main__":
    sys.stdout.write(readme_table(Path(sys.argv[1])) + "\n")
