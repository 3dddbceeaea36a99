"""How fast images that stay encoded stream.

Photos of 500 x 375 pixels as ImageNet has them, to crops of 224 pixels, against
`keras.utils.image_dataset_from_directory` and a shuffled `tfds.load`, each with the
same augmentation; all are drained by the same loop.

    python -m benchmarks.stream_speed
"""

import functools
import io
import itertools
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Row, alternating, speed_row, table
from supcon_tf.runtime.environment import prepare_environment

BATCH, PHOTOS, DISTINCT, CLASSES, SIZE, TURNS = 64, 1024, 256, 8, 224, 15
PARTS = {"train": PHOTOS, "test": CLASSES}


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        return stream_rows(Path(folder))


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
    count, iterators = 0, [iter(dataset)]
    for images, _ in iterators[0]:
        assert images.shape[1:] == (SIZE, SIZE, 3)
        count += images.shape[0]
    assert count == PHOTOS
    # Which TensorFlow may let go only when it would have tuned the pipeline next.
    threading.Thread(target=iterators.clear).start()
    return count


if __name__ == "__main__":
    prepare_environment()
    print(table(rows()))
