"""How long a command needs to answer, and an import to load.

python -m benchmarks.startup_speed
"""

import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from benchmarks.measure import REPOSITORY, Row, alternating, table

TURNS = 5
ANSWER_SECONDS = 1.0
IMPORT_SECONDS = 0.3
# Both imports of a turn in one process: seconds of either vary by more than ours adds.
IMPORTS = (
    "import time, tensorflow; start = time.perf_counter();"
    "import supcon_tf.losses; print(time.perf_counter() - start)"
)


def rows() -> list[Row]:
    """Medians of fresh processes; the peer of an answer is what is allowed."""
    runs = {
        "train.py --help": _process("train.py", "--help"),
        "train.py, wrong flag": _process("train.py", "--temprature=1"),
    }
    seconds = alternating(runs, TURNS)
    found = []
    for name in runs:
        median = statistics.median(seconds[name])
        ratio = ANSWER_SECONDS / median
        what = f"{name}, against the second that is allowed"
        found.append(Row(what, median, ANSWER_SECONDS, "s", ratio, 1.0))
    extra = statistics.median(
        float(_process("-c", IMPORTS)().stdout) for _ in range(TURNS)
    )
    what = "import supcon_tf.losses after import tensorflow, against what is allowed"
    ratio = IMPORT_SECONDS / extra
    found.append(Row(what, extra, IMPORT_SECONDS, "s", ratio, 1.0))
    return found


def _process(*words: str) -> Callable[[], Any]:
    return lambda: subprocess.run(
        [sys.executable, *words], cwd=REPOSITORY, capture_output=True, check=False
    )


if __name__ == "__main__":
    print(table(rows()))
