"""How long a command needs to answer, and an import to load.

python -m benchmarks.startup_speed
"""

import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import Row, alternating, table

REPOSITORY = Path(__file__).resolve().parents[1]
TURNS = 5
ANSWER_SECONDS = 1.0
IMPORT_SECONDS = 0.3


def rows() -> list[Row]:
    """Medians of fresh processes; the peer of an answer is what is allowed."""
    runs = {
        "train.py --help": _process("train.py", "--help"),
        "train.py, wrong flag": _process("train.py", "--temprature=1"),
        "import tensorflow": _process("-c", "import tensorflow"),
        "import keras": _process("-c", "import keras"),
        "import supcon_tf.losses": _process("-c", "import supcon_tf.losses"),
    }
    seconds = alternating(runs, TURNS)
    found = []
    for name in list(runs)[:2]:
        median = statistics.median(seconds[name])
        ratio = ANSWER_SECONDS / median
        what = f"{name}, against the second that is allowed"
        found.append(Row(what, median, ANSWER_SECONDS, "s", ratio, 1.0))
    for other, goal in (("import tensorflow", 1.0), ("import keras", None)):
        pairs = zip(seconds["import supcon_tf.losses"], seconds[other], strict=True)
        extra = statistics.median(ours - theirs for ours, theirs in pairs)
        what = f"import supcon_tf.losses beyond {other}, against what is allowed"
        ratio = IMPORT_SECONDS / max(extra, 1e-3)
        found.append(Row(what, extra, IMPORT_SECONDS, "s", ratio, goal))
    return found


def _process(*words: str) -> Callable[[], Any]:
    return lambda: subprocess.run(
        [sys.executable, *words], cwd=REPOSITORY, capture_output=True, check=False
    )


if __name__ == "__main__":
    print(table(rows()))
