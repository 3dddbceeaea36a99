"""Images of a prepared data set of tensorflow-datasets, one after the other."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice, zip_longest
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from supcon_tf.data.decoding.encoded import decode
from supcon_tf.data.sources.quiet import only_errors
from supcon_tf.data.sources.source import BadImages, Reader, progress_options
from supcon_tf.data.sources.tfds_pixels import Fit, first_line
from supcon_tf.data.untuned import untuned
from supcon_tf.errors import UserError

_IMAGES_AT_ONCE = 256
# Finding one reads the data up to it once more.
_REASONS = 10


def stream_reader(builder: Any, split: str, count: int, fit: Fit) -> Reader:
    """A reader that reads all and decodes what is wanted."""

    def read(indices: np.ndarray, out: np.ndarray) -> BadImages:
        positions = np.full(count, -1, np.int64)
        positions[indices] = np.arange(len(indices))
        images = _decoded(builder, split, positions, fit)
        # What can't be decoded is missing among them.
        images = images.ignore_errors().batch(_IMAGES_AT_ONCE).prefetch(2)
        missing = np.ones(len(indices), bool)
        with (
            readable(builder.name),
            tqdm(**progress_options(len(indices), f"{builder.name} {split}")) as bar,
        ):
            for batch in exactly(images, len(indices), _IMAGES_AT_ONCE):
                where, (pixels, sizes) = batch
                fit.refuse_sizes(sizes)
                out[where] = pixels
                missing[where] = False
                bar.update(len(where))
        bad = np.flatnonzero(missing)
        bad = bad[np.argsort(indices[bad])]
        reasons = _reasons(builder, split, indices[bad[:_REASONS]]) if len(bad) else []
        return {
            int(k): f"{split}[{indices[k]}]{reason}"
            for k, reason in zip_longest(bad, reasons, fillvalue="")
        }

    return read


def dataset(builder: Any, split: str, feature: str) -> tf.data.Dataset:
    """{feature: value} of a split, in the order of its files; images stay encoded."""
    import tensorflow_datasets as tfds

    skip = {"image": tfds.decode.SkipDecoding()} if feature == "image" else None
    with only_errors("absl"):
        return untuned(
            builder.as_dataset(
                split=split,
                shuffle_files=False,
                decoders=tfds.decode.PartialDecoding({feature: True}, decoders=skip),
                read_config=tfds.ReadConfig(try_autocache=False),
            )
        )


def _decoded(
    builder: Any, split: str, positions: np.ndarray, fit: Fit
) -> tf.data.Dataset:
    """(place in the output, (pixels, size before resizing)) of the wanted images."""
    where = tf.constant(positions)
    images = dataset(builder, split, "image").enumerate()
    images = images.filter(lambda index, _: where[index] >= 0)
    return images.map(
        lambda index, example: (where[index], fit.of_content(example["image"])),
        num_parallel_calls=tf.data.AUTOTUNE,
    )


def _reasons(builder: Any, split: str, indices: np.ndarray) -> list[str]:
    """Why some images can't be decoded, in brackets, in the order of their indices."""
    wanted = tf.constant(indices)
    images = dataset(builder, split, "image").enumerate()
    images = images.filter(lambda index, _: tf.reduce_any(index == wanted))
    reasons = []
    for _, example in exactly(images, len(indices), 1):
        try:
            decode(tf.constant(example["image"]))
            reasons.append("")
        except tf.errors.InvalidArgumentError as error:
            reasons.append(f" ({first_line(error)})")
    return reasons


def exactly(elements: tf.data.Dataset, count: int, batch_size: int) -> Iterator[Any]:
    """The batches of `count` elements.

    Asking for one more would make TensorFlow report an OUT_OF_RANGE on the terminal.
    """
    return islice(elements.as_numpy_iterator(), -(-count // batch_size))


@contextmanager
def readable(name: str) -> Iterator[None]:
    try:
        yield
    except tf.errors.OpError as error:
        raise UserError(
            f"--data_dir has a prepared {name} that can't be read ({first_line(error)})"
        ) from error
