"""Functions of images, applied to a whole split with the memory of one batch."""

from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from supcon_tf.attacks import Target
from supcon_tf.data import Split

BATCH_SIZE = 128
# Images that are held as float32 at a time, and lost at most when a run is stopped.
CHUNK = 1024

ImageFunction = Callable[[tf.Tensor], dict[str, tf.Tensor]]


def target_of(model: keras.Model | Target, split: Split) -> Target:
    """The model as attacks take it, tried on a few images of the split."""
    if isinstance(model, Target):
        return model
    return Target(model, split.pixels(slice(4)))


def logits_of(target: Target, split: Split) -> np.ndarray:
    """(N, classes) logits, batch by batch."""
    return in_batches(lambda images: {"logits": target.logits(images)}, split)["logits"]


def compiled(function: ImageFunction, split: Split) -> ImageFunction:
    """`function`, traced once for images of the split's shape, however many."""
    shape = [None, *split.images.shape[1:]]
    signature = [tf.TensorSpec(shape, tf.float32)]
    return tf.function(function, input_signature=signature, autograph=False)


def in_batches(function: ImageFunction, split: Split) -> dict[str, np.ndarray]:
    """What `function` gives for each image.

    Args:
        function: from float32 images (B, H, W, C) in [0, 1] to named tensors (B, ...).
        split: at least one image.

    Returns:
        For each name an array (N, ...) with the images in the order of the split.
    """
    parts: dict[str, list[np.ndarray]] = {}
    for images, _, _ in chunks(split, np.arange(len(split)), BATCH_SIZE):
        for name, value in function(tf.constant(images)).items():
            parts.setdefault(name, []).append(value.numpy())
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def chunks(
    split: Split, rows: np.ndarray, size: int = CHUNK
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Float32 images in [0,1], labels and row numbers, a bounded number at a time."""
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        yield split.pixels(part), split.labels[part], part
