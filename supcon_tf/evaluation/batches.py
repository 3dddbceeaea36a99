"""Functions of images, applied to a whole split with the memory of one batch."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from supcon_tf.data import Split

BATCH_SIZE = 128

ImageFunction = Callable[[tf.Tensor], dict[str, tf.Tensor]]


def compiled(function: ImageFunction, split: Split) -> ImageFunction:
    """`function`, traced once for images of the split's shape, however many."""
    shape = [None, *split.images.shape[1:]]
    return tf.function(function, input_signature=[tf.TensorSpec(shape, tf.float32)])


def in_batches(function: ImageFunction, split: Split) -> dict[str, np.ndarray]:
    """What `function` gives for each image.

    Args:
        function: from float32 images (B, H, W, C) in [0, 1] to named tensors (B, ...).
        split: at least one image.

    Returns:
        For each name an array (N, ...) with the images in the order of the split.
    """
    parts: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(split), BATCH_SIZE):
        images = split.images[start : start + BATCH_SIZE].astype(np.float32) / 255
        for name, value in function(tf.constant(images)).items():
            parts.setdefault(name, []).append(value.numpy())
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}
