"""What `tf.data` needs to make batches of a split and to hand them over."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from supcon_tf.data.encoded_images import EncodedImages
from supcon_tf.data.image_data import Split
from supcon_tf.data.threads import thread_count
from supcon_tf.data.untuned import untuned

# A tensor is a second copy of the images; above this size they are gathered by numpy.
_LARGEST_TENSOR = 2**30


def batches_of(dataset: tf.data.Dataset, split: Split) -> Iterator[Any]:
    """The batches of a data set that is made of a split.

    Raises:
        UserError: if an image can't be decoded, which TensorFlow puts into words of its
            own.
    """
    try:
        yield from dataset
    except tf.errors.OpError:
        failure = getattr(split.images, "failure", None)
        if failure is None:
            raise
        raise failure from None


def to_float(images: tf.Tensor) -> tf.Tensor:
    """Pixels from 0 to 255 as float32 in [0, 1]."""
    return tf.cast(images, tf.float32) / 255.0


def made_ahead(
    dataset: tf.data.Dataset, make: Callable[..., Any], split: Split
) -> tf.data.Dataset:
    """The batches that `make` makes of the elements, some before they are asked for.

    Args:
        dataset: whose elements say what is in a batch.
        make: the batch of an element.
        split: whose images are in it.
    """
    if isinstance(split.images, EncodedImages):
        # The images of a batch are decoded side by side: more batches, each of some
        # 100 MB, would gain nothing.
        at_once, ahead = 3, 2
    else:
        # Those of large images take as much memory, however many processors there are.
        at_once, ahead = min(thread_count(), 8), 4
    dataset = dataset.map(make, num_parallel_calls=at_once, deterministic=True)
    options = tf.data.Options()
    # Each worker asks for its own rows; tf.data must not divide them again.
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.OFF
    )
    return untuned(dataset.prefetch(ahead).with_options(options))


def gatherer(split: Split) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function from (B,) indices to (B, H, W, 3) uint8 images."""
    images = split.images
    in_memory = isinstance(images, np.ndarray) and not isinstance(images, np.memmap)
    if in_memory and images.nbytes <= _LARGEST_TENSOR:
        # An eager tensor, which a graph refers to instead of containing it; tf.data
        # reads it on the CPU, where it would be copied to from a GPU at every batch.
        with tf.device("CPU"):
            tensor = tf.constant(images)
        return lambda indices: tf.gather(tensor, indices)

    def gather(indices: tf.Tensor) -> tf.Tensor:
        (batch,) = tf.numpy_function(
            lambda i: np.asarray(images[i]), [indices], [tf.uint8], stateful=False
        )
        return tf.ensure_shape(batch, (*indices.shape, *images.shape[1:]))

    return gather
