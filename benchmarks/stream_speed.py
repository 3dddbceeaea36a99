"""Images that stay encoded: how fast they stream, how soon a run starts, what it takes.

Photos of 500 x 375 pixels as ImageNet has them, to crops of 224 pixels, against
`keras.utils.image_dataset_from_directory` and a shuffled `tfds.load`, each with the
same augmentation; all are drained by the same loop. Then the start of a run, up to its
first batch, in processes of their own on folders of up to 100,000 small files.

    python -m benchmarks.stream_speed
"""

import functools
import io
import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import REPOSITORY, Row, alternating, speed_row, table
from supcon_tf.runtime.environment import prepare_environment

BATCH, PHOTOS, DISTINCT, CLASSES, SIZE, TURNS = 64, 1024, 256, 8, 224, 15
PARTS = {"train": PHOTOS, "test": CLASSES}
FILES, FILE_CLASSES = (1_000, 10_000, 100_000), 100
START_SECONDS = 10.0
BYTES_AN_IMAGE = 100.0


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        return [*stream_rows(Path(folder)), *start_rows(Path(folder))]


def stream_rows(folder: Path) -> list[Row]:
    """Images per second, from files and from records."""
    for part, count in PARTS.items():
        for place, content in enumerate(photos(count)):
            file = folder / "photos" / part / f"class{place % CLASSES}" / f"{place}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    prepare_records(folder)
    runs = {
        "files": ours("folder", folder / "photos"),
        "keras": keras_directory(folder / "photos" / "train"),
        "records": ours("photos", folder),
        "tfds": tfds_load(folder),
    }
    seconds = alternating(runs, TURNS)
    what = f"streamed crops of {SIZE} pixels from"
    return [
        speed_row(
            f"{what} JPEG files against image_dataset_from_directory",
            *(seconds, "keras", PHOTOS),
            goal=1.0,
            ours="files",
        ),
        speed_row(
            f"{what} TFRecord against shuffled tfds.load",
            *(seconds, "tfds", PHOTOS),
            goal=1.0,
            ours="records",
        ),
    ]


def photos(count: int) -> Iterator[bytes]:
    """Some, again and again."""
    yield from itertools.islice(itertools.cycle(distinct_photos()), count)


@functools.cache
def distinct_photos() -> list[bytes]:
    """Smooth with some noise: about as many bytes as a photo has."""
    from PIL import Image

    rng = np.random.default_rng(0)
    found = []
    for _ in range(DISTINCT):
        rough = rng.integers(0, 256, (12, 16, 3), np.uint8)
        smooth = Image.fromarray(rough).resize((500, 375), Image.Resampling.BICUBIC)
        noisy = np.asarray(smooth) + rng.normal(0, 8, (375, 500, 1))
        found.append(jpeg(np.clip(noisy, 0, 255).astype(np.uint8)))
    return found


def jpeg(pixels: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


def prepare_records(folder: Path) -> None:
    """The same photos as a data set of tensorflow-datasets, in several files."""
    import tensorflow_datasets as tfds

    class Photos(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self) -> Any:
            features = {
                "image": tfds.features.Image(shape=(None, None, 3)),
                "label": tfds.features.ClassLabel(num_classes=CLASSES),
            }
            return self.dataset_info_from_configs(
                features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
            return {part: self._generate_examples(n) for part, n in PARTS.items()}

        def _generate_examples(
            self, count: int
        ) -> Iterator[tuple[int, dict[str, Any]]]:
            for place, content in enumerate(photos(count)):
                label = place % CLASSES
                yield place, {"image": io.BytesIO(content), "label": label}

    Photos(data_dir=str(folder)).download_and_prepare(
        download_config=tfds.download.DownloadConfig(num_shards=4)
    )


def ours(dataset: str, data_dir: Path) -> Callable[[], Any]:
    from supcon_tf.config import DataConfig
    from supcon_tf.data import load
    from supcon_tf.data.batches import Batches

    config = DataConfig(
        *(dataset, str(data_dir)),
        image_size=SIZE,
        crop_to_aspect_ratio=True,
        validation_share=0.0,
        cache_gib=0.0,
    )
    split = load(config).train
    batches = Batches(split, batch_size=BATCH, augmentation="resized_crop")
    epochs = iter(range(10**6))
    return lambda: drained(batches.epoch(next(epochs)))


def keras_directory(folder: Path) -> Callable[[], Any]:
    import keras

    dataset = keras.utils.image_dataset_from_directory(
        folder, image_size=(SIZE, SIZE), batch_size=BATCH, verbose=False
    )
    return augmented(dataset)


def tfds_load(folder: Path) -> Callable[[], Any]:
    import tensorflow as tf
    import tensorflow_datasets as tfds

    dataset = tfds.load(
        "photos", split="train", data_dir=str(folder), shuffle_files=True
    )
    dataset = dataset.shuffle(128).map(
        lambda example: (
            tf.image.resize(example["image"], (SIZE, SIZE)),
            example["label"],
        ),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    return augmented(dataset.batch(BATCH))


def augmented(dataset: Any) -> Callable[[], Any]:
    """Whole batches, with the same augmentation as ours has."""
    import tensorflow as tf

    from supcon_tf.data.augmentation.policies import augment

    seeds = tf.data.Dataset.counter()
    dataset = tf.data.Dataset.zip(dataset, seeds).map(
        lambda batch, seed: (
            augment(batch[0] / 255.0, "resized_crop", tf.stack([seed, seed])),
            batch[1],
        ),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    dataset = dataset.prefetch(tf.data.AUTOTUNE)
    return lambda: drained(dataset)


def drained(dataset: Any) -> int:
    count = 0
    for images, _ in dataset:
        assert images.shape[1:] == (SIZE, SIZE, 3)
        count += images.shape[0]
    assert count == PHOTOS
    return count


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
