"""The default model on real chips with hand-drawn labels: a table, and an entry for the log.

``python tests/benchmarks/test_model_chips.py DATA [MODEL]`` prints the entry, to be added to
``catalogs/models/evaluations.md``. Every run that anybody looked at belongs there: what was chosen
after looking at chips is no longer blind.
"""

from __future__ import annotations

import datetime
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import test_chips
from test_water_chips import figure

HEAD = (
    "| chip | water, % | IoU | IoU at 0.5 | IoU Otsu VH | IoU best threshold (saw the label) |"
    " false water, % | NLL | ECE |"
)


def line(row: test_chips.ModelRow) -> str:
    truth = row.found.hit + row.found.miss
    cells = (
        row.name,
        figure(100 * truth / row.found.total, 1),
        figure(row.found.iou, 3),
        figure(row.even.iou, 3),
        figure(row.otsu.iou, 2),
        figure(row.best.iou, 2),
        figure(100 * row.found.false_share, 2),
        figure(row.reliability.nll, 3),
        figure(row.reliability.ece, 3),
    )
    return f"| {' | '.join(cells)} |"


def table(data_dir: Path, model: str = "default") -> str:
    """Markdown; the same text whenever the code, the model and the chips are the same."""
    rows = test_chips.model_table(data_dir, model)
    lines = [HEAD, "|" + "---|" * (HEAD.count("|") - 1)]
    lines += [line(row) for row in sorted(rows, key=lambda row: row.name)]
    lines.append(line(test_chips.pooled_model(rows)).replace("| pooled |", "| **pooled** |", 1))
    clear = line(test_chips.pooled_model(rows, "Pakistan"))
    lines.append(clear.replace("| pooled |", "| **pooled without Pakistan_849790** |", 1))
    return "\n".join(lines)


def test_the_table_is_whole(data_dir):
    text = table(data_dir)
    assert text.count("\n") == 1 + len(test_chips.model_table(data_dir, "default")) + 2


if __name__ == "__main__":
    from cube.catalog import load_model

    chosen = sys.argv[2] if len(sys.argv) > 2 else "default"
    card = load_model(chosen).card
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    today = datetime.datetime.now(tz=datetime.UTC).date()
    sys.stdout.write(
        f"## {today}, {card.name}, weights {card.sha256[:12]}, commit {commit}\n\n"
        f"{card.training}. Threshold {card.water_thresholds[1]:g}, from simulation.\n\n"
        f"{table(Path(sys.argv[1]), chosen)}\n"
    )
