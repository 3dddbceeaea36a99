"""The two-view SimCLR input pipeline against keras_cv layers all the way.

Both give batches of 128 float32 images in two views from uint8 images in memory: random
resized crop, flip, colour jitter, grayscale. Both are drained by the same loop.

    python -m benchmarks.input_speed
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.measure import Row, alternating, speed_row, table
from supcon_tf.runtime.environment import prepare_environment

BATCH = 128
BATCHES = 8
TURNS = 5
GOAL = 4.0
STEP_GOAL = 20.0


def rows() -> list[Row]:
    """Against keras_cv, and against how fast a training step eats images."""
    from benchmarks import step_speed

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (BATCH * BATCHES, 32, 32, 3), np.uint8)
    labels = rng.integers(0, 100, len(images))
    runs = {
        "ours": ours(images, labels),
        "keras_cv layers": keras_cv_layers(images, labels),
        "training step": step_speed.ours("float32", step_speed.WIDTH),
    }
    seconds = alternating(runs, TURNS)
    # A turn of the step eats another number of images than one of the pipeline gives.
    share = len(images) / (BATCH * step_speed.STEPS)
    seconds["training step"] = [s * share for s in seconds["training step"]]
    what = "two-view simclr pipeline against"
    return [
        speed_row(
            f"{what} keras_cv layers",
            seconds,
            "keras_cv layers",
            len(images),
            goal=GOAL,
        ),
        speed_row(
            f"{what} what a step eats (width 64, float32)",
            seconds,
            "training step",
            len(images),
            goal=STEP_GOAL,
        ),
    ]


def ours(images: np.ndarray, labels: np.ndarray) -> Callable[[], Any]:
    from supcon_tf.data import Split
    from supcon_tf.data.batches import Batches

    batches = Batches(
        Split(images, labels), batch_size=BATCH, augmentation="simclr", views=2
    )
    epochs = iter(range(10**6))
    return lambda: _drained(batches.epoch(next(epochs)))


def keras_cv_layers(images: np.ndarray, labels: np.ndarray) -> Callable[[], Any]:
    """As keras_cv's contrastive examples have it."""
    import keras_cv
    import tensorflow as tf

    layers = keras_cv.layers
    augmenter = layers.Augmenter(
        [
            layers.RandomFlip("horizontal"),
            layers.RandomCropAndResize(
                (32, 32), crop_area_factor=(0.2, 1.0), aspect_ratio_factor=(0.75, 1.33)
            ),
            layers.RandomApply(
                layers.RandomColorJitter(
                    value_range=(0, 255),
                    brightness_factor=0.4,
                    contrast_factor=0.4,
                    saturation_factor=0.4,
                    hue_factor=0.1,
                ),
                rate=0.8,
            ),
            layers.RandomApply(layers.Grayscale(output_channels=3), rate=0.2),
            layers.Rescaling(1 / 255),
        ]
    )

    def two_views(x: Any, y: Any) -> Any:
        x = tf.cast(x, tf.float32)
        return tf.stack([augmenter(x), augmenter(x)], axis=1), y

    dataset = (
        tf.data.Dataset.from_tensor_slices((images, labels))
        .shuffle(len(images))
        .batch(BATCH, drop_remainder=True)
        .map(two_views, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )
    return lambda: _drained(dataset)


def _drained(dataset: Any) -> int:
    count = 0
    for images, _ in dataset:
        assert images.shape == (BATCH, 2, 32, 32, 3)
        count += 1
    return count


if __name__ == "__main__":
    prepare_environment()
    print(table(rows()))
