"""What all benchmarks share: turns that alternate, rows, and their table."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supcon_tf.results.markdown import markdown_table

REPOSITORY = Path(__file__).resolve().parents[1]
# Seconds between two turns.
PAUSE = 0.05


@dataclass(frozen=True)
class Row:
    """One comparison.

    Args:
        what: what was measured, and against what.
        ours, peer: in `unit`.
        unit: such as "images/s" or "ms".
        ratio: above 1 if ours is better.
        goal: of the ratio; None if the row is for information.
        note: what else a reader should know.
    """

    what: str
    ours: float
    peer: float
    unit: str
    ratio: float
    goal: float | None = None
    note: str = ""


def alternating(
    runs: Mapping[str, Callable[[], Any]], turns: int, warmup: int = 1
) -> dict[str, list[float]]:
    """Seconds of each run in each turn.

    All take turns, so that a machine that gets slower does so for all of them. A pause
    lets the threads of one library go to sleep before another's turn: those of PyTorch
    wait busily for a while.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(warmup + turns):
        for name, run in runs.items():
            time.sleep(PAUSE)
            start = time.perf_counter()
            run()
            if turn >= warmup:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def speed_row(
    what: str,
    seconds: Mapping[str, Sequence[float]],
    peer: str,
    amount: int,
    unit: str = "images/s",
    goal: float | None = None,
    ours: str = "ours",
    note: str = "",
) -> Row:
    """Medians of `amount` per second; the ratio is the median of the turns' ratios."""
    pairs = zip(seconds[peer], seconds[ours], strict=True)
    return Row(
        what,
        amount / statistics.median(seconds[ours]),
        amount / statistics.median(seconds[peer]),
        unit,
        statistics.median(theirs / own for theirs, own in pairs),
        goal,
        note,
    )


def table(rows: Sequence[Row]) -> str:
    """A Markdown table, ratios first."""
    header = ["what", "ratio", "goal", "", "ours", "peer", "note"]
    return markdown_table(header, [_cells(row) for row in rows])


def _cells(row: Row) -> list[str]:
    verdict = ""
    if row.goal is not None:
        verdict = "reached" if row.ratio >= row.goal else "NOT reached"
    return [
        row.what,
        _short(row.ratio),
        "-" if row.goal is None else f"{row.goal:g}",
        verdict,
        f"{_short(row.ours)} {row.unit}",
        f"{_short(row.peer)} {row.unit}",
        row.note,
    ]


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
