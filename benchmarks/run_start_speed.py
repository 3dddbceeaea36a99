"""How soon a run on images that stay encoded starts, and what memory they take.

Up to the first batch, in processes of their own on folders of up to 100,000 small
files.

    python -m benchmarks.run_start_speed
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.measure import REPOSITORY, Row, table
from benchmarks.stream_speed import jpeg
from supcon_tf.runtime.environment import prepare_environment

FILES, FILE_CLASSES = (1_000, 10_000, 100_000), 100
START_SECONDS = 10.0
BYTES_AN_IMAGE = 100.0


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        return start_rows(Path(folder))


START = """
import json, resource, sys, time, tracemalloc
begin = time.perf_counter()
from supcon_tf.runtime.environment import prepare_environment
prepare_environment()
from pathlib import Path
from supcon_tf.config import Config, DataConfig
from supcon_tf.data import load
from supcon_tf.data.batches import Batches
from supcon_tf.runs.run_folder import RunFolder
imported = time.perf_counter()
if traced := sys.argv[3] == "traced":
    tracemalloc.start()
data = load(DataConfig("folder", sys.argv[1], image_size=224, cache_gib=0.0))
data.channel_statistics()
data.repeated(data.validation), data.repeated(data.test)
RunFolder(sys.argv[2]).begin(Config(), data.fingerprint)
next(iter(Batches(data.train, batch_size=32, augmentation="resized_crop").epoch(0)))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
if traced:
    peak = tracemalloc.get_traced_memory()[1]
print(json.dumps([time.perf_counter() - begin, imported - begin, peak]))
"""


def start_rows(folder: Path) -> list[Row]:
    """Seconds until the first batch, and what memory grows by with more files."""
    roots = {count: small_files(folder, count) for count in FILES}
    rows = []
    for count, root in roots.items():
        seconds, imports, peak = started(root, folder)
        rows.append(
            Row(
                f"start of a run on {count:,} encoded images, against what is allowed",
                *(seconds, START_SECONDS, "s", START_SECONDS / seconds, 1.0),
                note=f"{imports:.1f} s of it imports; peak {peak / 2**20:.0f} MiB",
            )
        )
    few, many = FILES[0], FILES[-1]
    # The peak of a process differs by tens of megabytes from one start to the next.
    peaks = [started(roots[count], folder, traced=True)[2] for count in (few, many)]
    grown = (peaks[1] - peaks[0]) / (many - few) - len(file_name(0))
    rows.append(
        Row(
            "memory an encoded image takes beyond its name, against what is allowed",
            *(grown, BYTES_AN_IMAGE, "bytes", BYTES_AN_IMAGE / max(grown, 1.0), 1.0),
            note=f"peaks of what Python and NumPy hold at {few:,} and {many:,} images",
        )
    )
    return rows


def file_name(place: int) -> str:
    return f"image_{place:08d}.jpg"


def small_files(folder: Path, count: int) -> Path:
    """A folder of files of about 1.5 kB in 100 classes, some with equal contents."""
    rng = np.random.default_rng(0)
    contents = [jpeg(rng.integers(0, 256, (16, 16, 3), np.uint8)) for _ in range(999)]
    root = folder / str(count)
    for place in range(FILE_CLASSES):
        (root / "train" / f"class_{place:03d}").mkdir(parents=True)
    for place in range(count):
        owner = f"class_{place % FILE_CLASSES:03d}"
        path = root / "train" / owner / file_name(place)
        path.write_bytes(contents[place % len(contents)])
    return root


def started(
    root: Path, folder: Path, traced: bool = False
) -> tuple[float, float, float]:
    """Of the start of a run: its seconds, those of imports, and the peak memory.

    With `traced` that of Python and NumPy alone, which is exact and takes longer.
    """
    run = folder / f"run-{root.name}-{traced}"
    done = subprocess.run(
        [sys.executable, "-c", START, root, run, "traced" if traced else ""],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, imports, peak = json.loads(done.stdout.splitlines()[-1])
    return seconds, imports, peak


if __name__ == "__main__":
    prepare_environment()
    print(table(rows()))
