"""Images of tensorflow-datasets, read without decoding what isn't wanted."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from supcon_tf.data.quiet import only_errors
from supcon_tf.data.source import Source, SourceSplit, progress_options
from supcon_tf.data.tfds_access import prepared_builder
from supcon_tf.errors import UserError

_LABELS_AT_ONCE = 4096
_IMAGES_AT_ONCE = 256


def open_tfds(name: str, data_dir: str, image_size: int) -> Source:
    """A classification data set of tensorflow-datasets, downloaded if need be.

    Its `validation` images are the test images if it has no `test` split, or one whose
    images have no labels, and are left alone otherwise. Grayscale images are shown as
    RGB, an alpha channel is dropped.

    Args:
        name: as `tfds.builder` takes it.
        data_dir: folder of the prepared data; the library's own default if empty.
        image_size: height and width in pixels that images are resized to, without
            keeping their proportions; 0 keeps their size, which must then be one.

    Raises:
        UserError: if the data set is unknown, unfit or out of reach, or sizes differ
            while `image_size` is 0.
    """
    builder = prepared_builder(name, data_dir)
    test_name, notes = _test_split(builder)
    shape = _image_shape(builder, image_size, name)
    return Source(
        name=builder.name,
        class_names=tuple(builder.info.features["label"].names),
        image_shape=shape,
        train=_source_split(builder, "train", image_size),
        test=_source_split(builder, test_name, image_size) if test_name else None,
        notes=notes,
    )


def _test_split(builder: Any) -> tuple[str | None, tuple[str, ...]]:
    """The split of labelled images for test, and a note if it is not the first."""
    splits = [name for name in ("test", "validation") if name in builder.info.splits]
    labelled = (name for name in splits if not _lacks_labels(builder, name))
    found = next(labelled, None)
    if found == next(iter(splits), None):
        return found, ()
    instead = f"its {found} split is" if found else "a share of its train images is"
    return found, (
        f"the {splits[0]} images of {builder.name} have no labels, so {instead} used "
        "as test images",
    )


def _lacks_labels(builder: Any, split: str) -> bool:
    """Whether a split is of images to be guessed: their labels are -1."""
    with _readable(builder.name):
        first = list(_exactly(_dataset(builder, split, "label"), 1, 1))
    return bool(first) and int(first[0]["label"]) < 0


def _image_shape(builder: Any, image_size: int, name: str) -> tuple[int, int, int]:
    if image_size:
        return image_size, image_size, 3
    height, width = builder.info.features["image"].shape[:2]
    if height is None or width is None:
        # The data set doesn't promise one size; the first image says which it would
        # have to be, and reading the others checks it.
        with _readable(name):
            encoded = next(iter(_dataset(builder, "train", "image")))["image"]
            height, width = (
                builder.info.features["image"].decode_example(encoded).shape[:2]
            )
    return int(height), int(width), 3


def _source_split(builder: Any, split: str, image_size: int) -> SourceSplit:
    count = builder.info.splits[split].num_examples
    batches = _dataset(builder, split, "label").batch(_LABELS_AT_ONCE)
    with _readable(builder.name):
        labels = [batch["label"] for batch in _exactly(batches, count, _LABELS_AT_ONCE)]

    if sum(map(len, labels)) != count:
        raise UserError(
            f"--data_dir has a prepared {builder.name} of {count} {split} images. "
            f"Received: {sum(map(len, labels))}"
        )

    def read(indices: np.ndarray, out: np.ndarray) -> None:
        positions = np.full(count, -1, np.int64)
        positions[indices] = np.arange(len(indices))
        images = _decoded(builder, split, positions, out.shape[1:3], bool(image_size))
        with (
            _readable(builder.name),
            tqdm(**progress_options(len(indices), f"{builder.name} {split}")) as bar,
        ):
            for batch in _exactly(images, len(indices), _IMAGES_AT_ONCE):
                where, pixels, sizes = batch
                _check_sizes(sizes, out.shape[1:3], builder.name, bool(image_size))
                out[where] = pixels
                bar.update(len(where))

    all_labels = np.concatenate([np.empty(0, np.int64), *labels])
    return SourceSplit(all_labels, read, name=split)


def _dataset(builder: Any, split: str, feature: str) -> tf.data.Dataset:
    """{feature: value} of a split, in the order of its files; images stay encoded."""
    import tensorflow_datasets as tfds

    skip = {"image": tfds.decode.SkipDecoding()} if feature == "image" else None
    with only_errors("absl"):
        return builder.as_dataset(
            split=split,
            shuffle_files=False,
            decoders=tfds.decode.PartialDecoding({feature: True}, decoders=skip),
            read_config=tfds.ReadConfig(try_autocache=False),
        )


def _decoded(
    builder: Any, split: str, positions: np.ndarray, size: tuple[int, int], resize: bool
) -> tf.data.Dataset:
    """Batches of (place in the output, pixels, sizes before resizing)."""
    image = builder.info.features["image"]
    where = tf.constant(positions)

    def decode(
        index: tf.Tensor, example: dict[str, tf.Tensor]
    ) -> tuple[tf.Tensor, ...]:
        pixels = image.decode_example(example["image"])
        pixels = (
            pixels[..., :3]
            if image.shape[-1] > 1
            else tf.image.grayscale_to_rgb(pixels)
        )
        found = tf.shape(pixels)[:2]
        if resize:
            pixels = tf.image.resize(pixels, size, antialias=True)
            pixels = tf.saturate_cast(tf.round(pixels), tf.uint8)
        elif image.shape[0] is None or image.shape[1] is None:
            # A batch needs one shape; the caller refuses what was cut or padded here.
            pixels = tf.image.resize_with_crop_or_pad(pixels, *size)
        return where[index], pixels, found

    dataset = _dataset(builder, split, "image").enumerate()
    dataset = dataset.filter(lambda index, _: where[index] >= 0)
    dataset = dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.batch(_IMAGES_AT_ONCE).prefetch(2)


def _exactly(dataset: tf.data.Dataset, count: int, batch_size: int) -> Iterator[Any]:
    """The batches of `count` elements.

    Asking for one more would make TensorFlow report an OUT_OF_RANGE on the terminal.
    """
    return islice(dataset.as_numpy_iterator(), -(-count // batch_size))


def _check_sizes(
    sizes: np.ndarray, expected: tuple[int, int], name: str, resized: bool
) -> None:
    wrong = sizes[(sizes != np.array(expected)).any(axis=1)]
    if len(wrong) and not resized:
        height, width = wrong[0]
        raise UserError(
            "--image_size must be given for images of different sizes. Received: 0 "
            f"with {expected[1]}x{expected[0]} and {width}x{height} in {name}"
        )


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except tf.errors.OpError as error:
        message = error.message.splitlines()[0]
        raise UserError(
            f"--data_dir has a prepared {name} that can't be read ({message})"
        ) from error
